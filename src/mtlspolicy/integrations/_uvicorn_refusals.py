"""The refused connections of one server of uvicorn while they are answered: together they count as one of it.

So they take no more than one place of ``limit_concurrency`` from the good ones. How many there may be the gate bounds
by itself. They end with the server like any other.
"""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["Refusals"]


class Refusals:
    """Stands for all of them among the connections and the tasks of the server, while there are any.

    Args:
        state: Of the server, ``uvicorn.server.ServerState``.
    """

    def __init__(self, state: Any) -> None:
        self._state: Any = state
        self._open: set[Any] = set()
        self._tasks: set[Any] = set()

    def state(self) -> Any:
        """Return the state of the server for one refused connection.

        Its requests do not count for ``limit_max_requests`` either: whoever is refused could end the server with them.
        """
        made = copy.copy(self._state)
        made.connections, made.tasks = self, self._tasks
        return made

    def add(self, connection: Any) -> None:
        """Take note of a connection, as uvicorn's protocols do by themselves."""
        self._open.add(connection)
        self._state.connections.add(self)
        self._state.tasks.add(self)

    def discard(self, connection: Any) -> None:
        """Let go of a connection that is lost."""
        self._open.discard(connection)
        if not self._open:
            self._state.connections.discard(self)
            self._state.tasks.discard(self)

    def shutdown(self) -> None:
        """Have every connection end when its answer is complete, as the server asks of all of its own."""
        for connection in tuple(self._open):
            connection.shutdown()

    def cancel(self, msg: object = None) -> None:
        """Cancel every answer that is not complete, as the server does with all of its tasks after some time."""
        for task in tuple(self._tasks):
            task.cancel(msg)
