"""A fetch under way, and the threads for sources that block. Both belong to the resolver, never to who asked first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import asyncio

    from mtlspolicy._evidence import Fact

__all__ = ["INTERRUPTS", "Flight", "Slot", "Workers"]

Slot: TypeAlias = tuple[str, Hashable]
"""Kind and key of a need: equal slots share one answer, whatever age each need allows."""

INTERRUPTS: Final = (KeyboardInterrupt, SystemExit)
"""What ends a program and is not swallowed; every other exception of a source means that there is no fact."""
WORKERS: Final = 16
"""Most threads for one kind, so that a source that hangs takes no thread from another kind."""
IDLE: Final = 10.0
"""Seconds after which a thread without work ends."""


class Flight:
    """One call of one source. Whoever waits only watches ``landed``: a waiter that leaves takes nothing along.

    Attributes:
        slot: Kind and key.
        loop: The event loop whose waiters share it; ``None`` where all threads and loops do.
        began: When it was asked for, on the monotonic clock, in seconds.
        due: When it has failed for lack of an answer, same clock.
        asked_at: The same moment as ``began``, aware.
        landed: Done once the outcome is known; carries no value, and cannot be cancelled.
        fact: The outcome, or ``None``: not to be had.
        error: What no source may raise (an interrupt); every waiter raises it.
        task: The task on ``loop``, for the resolver to cancel when it closes.
    """

    __slots__ = ("asked_at", "began", "due", "error", "fact", "landed", "loop", "over", "slot", "task")

    def __init__(
        self, slot: Slot, loop: asyncio.AbstractEventLoop | None, clocks: tuple[float, datetime], due: float
    ) -> None:
        self.slot = slot
        self.loop = loop
        self.began, self.asked_at = clocks
        self.due = due
        self.landed: Future[None] = Future()
        # A running future cannot be cancelled: a waiter whose own future is chained to this one harms nobody.
        self.landed.set_running_or_notify_cancel()
        self.over = False
        self.fact: Fact | None = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None


class Workers:
    """Daemon threads for one blocking source, started when there is work and ended when there is none.

    Daemons, because a source that hangs must not keep the program from ending. No thread exists before the first call,
    so a resolver may be built before a server forks.
    """

    def __init__(self, call: Callable[[Flight], Any], name: str) -> None:
        self._call = call
        self._name = f"mtlspolicy-{name}"
        self._ready = threading.Condition()
        self._queue: deque[Flight] = deque()
        self._threads = 0
        self._idle = 0

    def submit(self, flight: Flight) -> None:
        """Queue *flight* for a thread.

        Raises:
            RuntimeError: The system gives no thread and none is there.
        """
        with self._ready:
            while self._queue and self._queue[0].over:  # equal deadlines: those that are over stand in front
                self._queue.popleft()
            self._queue.append(flight)
            if len(self._queue) > self._idle and self._threads < WORKERS:
                self._start()
            self._ready.notify()

    def _start(self) -> None:
        self._threads += 1
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:
            self._threads -= 1
            if not self._threads:
                raise

    def _run(self) -> None:
        while (flight := self._next()) is not None:
            if not flight.over:
                self._call(flight)

    def _next(self) -> Flight | None:
        with self._ready:
            self._idle += 1
            self._ready.wait_for(lambda: self._queue, timeout=IDLE)
            self._idle -= 1
            if self._queue:
                return self._queue.popleft()
            self._threads -= 1
            return None
