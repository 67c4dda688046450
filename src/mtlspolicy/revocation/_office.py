"""A desk with what serves it, for one process: threads, or an event loop. It answers the questions of resolvers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._background import RenewingTask, RenewingThread
from mtlspolicy.revocation._steps import Tasks, Threads

if TYPE_CHECKING:
    from mtlspolicy._resolver import Answer
    from mtlspolicy._revocation import RevocationQuestion
    from mtlspolicy.revocation._desk import Desk
    from mtlspolicy.revocation._http import HTTPTransport
    from mtlspolicy.revocation._httpx import BlockingHTTPXTransport, HTTPXTransport

__all__ = ["TaskOffice", "ThreadOffice"]


class ThreadOffice:
    """Answers in the thread that asks, and renews in one of its own.

    Args:
        desk: What the process knows.
        transport: What fetches.
    """

    def __init__(self, desk: Desk, transport: HTTPTransport | BlockingHTTPXTransport) -> None:
        self.desk = desk
        self._threads = Threads(transport)
        self._renewals = RenewingThread(desk, self._threads)

    def answer(self, question: RevocationQuestion, *, pushed: bool) -> Answer:
        """Return the answer to *question*; blocks.

        Raises:
            ConfigurationError: The refresher was closed: no fact, which admits nobody.
        """
        _require_open(self.desk)
        answer = self._threads.drive(self.desk.answer(question))
        if self.desk.has_renewals():
            self._renewals.begin()
        return self.desk.given(question, answer, pushed=pushed)

    def close(self) -> None:
        """End what goes on in the background; from any thread, more than once."""
        self.desk.close()


class TaskOffice:
    """Answers on the event loop that asks, and renews in a task on it.

    Args:
        desk: What the process knows.
        transport: What fetches.
    """

    def __init__(self, desk: Desk, transport: HTTPXTransport) -> None:
        self.desk = desk
        self._tasks = Tasks(transport)
        self._renewals = RenewingTask(desk, self._tasks)

    async def answer(self, question: RevocationQuestion, *, pushed: bool) -> Answer:
        """Return the answer to *question*.

        Raises:
            ConfigurationError: The refresher was closed: no fact, which admits nobody.
        """
        _require_open(self.desk)
        answer = await self._tasks.drive(self.desk.answer(question))
        if self.desk.has_renewals():
            self._renewals.begin()
        return self.desk.given(question, answer, pushed=pushed)

    def close(self) -> None:
        """End what goes on in the background; from any thread, more than once."""
        if self.desk.close():
            self._tasks.close()


def _require_open(desk: Desk) -> None:
    if desk.closed:
        raise ConfigurationError("the Refresher was closed: keep it open for as long as anybody is to be admitted")
