"""Renews answers before they lapse: in one daemon thread, or in one task on an event loop, so that no peer waits.

What is due, and what comes of it, the desk says; here is only when somebody looks.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

from mtlspolicy._text import escape
from mtlspolicy.revocation._shelf import LOGGER

if TYPE_CHECKING:
    import asyncio

    from mtlspolicy._revocation import RevocationQuestion
    from mtlspolicy.revocation._desk import Desk
    from mtlspolicy.revocation._steps import Tasks, Threads

__all__ = ["RenewingTask", "RenewingThread"]

RENEWING: Final = "mtlspolicy-renewals"
"""Name of the thread."""


class RenewingThread:
    """One daemon thread, started when there is something to renew, ended when the desk closes.

    Args:
        desk: Says what is due.
        threads: Does it.
    """

    def __init__(self, desk: Desk, threads: Threads) -> None:
        self._desk = desk
        self._threads = threads
        self._changed = threading.Condition()
        self._news = False
        self._thread: threading.Thread | None = None
        desk.changed = self.changed

    def begin(self) -> None:
        """Start the thread, unless it is there."""
        with self._changed:
            if (self._thread is None or not self._thread.is_alive()) and not self._desk.closed:
                thread = threading.Thread(target=self._run, name=RENEWING, daemon=True)
                with contextlib.suppress(RuntimeError):  # none to be had: answers lapse, and are asked for then
                    thread.start()
                    self._thread = thread

    def changed(self) -> None:
        """Look again what is due."""
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._desk.closed:
            question, seconds = self._desk.due()
            if question is not None:
                try:
                    self._threads.drive(self._desk.renew(question))
                except Exception as failure:  # noqa: BLE001 - one question that cannot be renewed keeps no other from it
                    _failed(self._desk, question, failure)
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._news, seconds)
                self._news = False


class RenewingTask:
    """One task on the loop that asked first; when that loop has ended, on the next one that asks.

    Args:
        desk: Says what is due.
        tasks: Does it.
    """

    def __init__(self, desk: Desk, tasks: Tasks) -> None:
        self._desk = desk
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._news: asyncio.Event | None = None
        desk.changed = self.changed

    def begin(self) -> None:
        """Start the task on the running loop, unless it is there."""
        import asyncio

        if self._desk.closed or (
            self._task is not None and not self._task.done() and not self._task.get_loop().is_closed()
        ):
            return
        self._news = asyncio.Event()
        self._task = self._tasks.launch(self._run(self._news), _nothing)

    def changed(self) -> None:
        """Look again what is due."""
        if self._task is not None and self._news is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._task.get_loop().call_soon_threadsafe(self._news.set)

    async def _run(self, news: asyncio.Event) -> None:
        import asyncio

        while not self._desk.closed:
            question, seconds = self._desk.due()
            if question is not None:
                try:
                    await self._tasks.drive(self._desk.renew(question))
                except Exception as failure:  # noqa: BLE001 - as in the thread
                    _failed(self._desk, question, failure)
                await asyncio.sleep(0)  # a long row of them, as after a new CRL, leaves the loop to others in between
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await news.wait()
            news.clear()


def _failed(desk: Desk, question: RevocationQuestion, failure: Exception) -> None:
    LOGGER.warning("an answer could not be renewed: %s: %s", type(failure).__name__, escape(str(failure), 200))
    desk.postpone(question)


def _nothing() -> None:
    """Nobody waits for the renewals to end."""
