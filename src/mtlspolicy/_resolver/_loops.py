"""Async sources: on the loop that asks, or, for callers without one, on a loop in a thread of the resolver's own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeAlias

from mtlspolicy._resolver._flight import INTERRUPTS, Flight
from mtlspolicy._resolver._source import Source

__all__ = ["PrivateLoop", "cancel", "first_landed", "launch"]

Land: TypeAlias = Callable[..., None]
"""``land(flight, value)`` or ``land(flight, failure=...)`` of the board."""


class PrivateLoop:
    """An event loop in a daemon thread, for async sources that blocking callers ask."""

    def __init__(self) -> None:
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def serve() -> None:
            halt = asyncio.Event()
            ready.set_result((asyncio.get_running_loop(), halt))
            await halt.wait()

        def run() -> None:
            try:
                with asyncio.Runner() as runner:  # cancels what is left and closes the loop when serve ends
                    runner.run(serve())
            except OSError as failure:  # no file descriptor for a loop
                ready.set_exception(failure)

        threading.Thread(target=run, name="mtlspolicy-loop", daemon=True).start()
        self.loop, self._halt = ready.result()

    def start(self, flight: Flight, source: Source, land: Land) -> None:
        """Call *source* for *flight* on this loop; from any thread."""

        def begin() -> None:
            launch(self.loop, flight, _relayed(flight, source, land))

        self.loop.call_soon_threadsafe(begin)

    def stop(self) -> None:
        """End the loop and its thread; from any thread, more than once."""
        with contextlib.suppress(RuntimeError):  # closed already
            self.loop.call_soon_threadsafe(self._halt.set)


def launch(loop: asyncio.AbstractEventLoop, flight: Flight, call: Any) -> None:
    """Start the coroutine *call* as the task of *flight*, on the running *loop*.

    It runs in a context of its own: the flight is shared, and the context variables of the first who asked are not.
    """
    flight.task = Context().run(loop.create_task, call)


async def fly(flight: Flight, source: Source, land: Land) -> None:
    """Await *source* within the flight's deadline and land the flight, however it ends."""
    try:
        async with asyncio.timeout(flight.due - time.monotonic()):
            value = await source(flight.slot[1])
    except INTERRUPTS as interrupt:
        land(flight, failure=interrupt)
        raise
    except BaseException as failure:  # noqa: BLE001 - whatever a source raises, cancellation included, is "not to be had"
        land(flight, failure=failure)
    else:
        land(flight, value)


async def _relayed(flight: Flight, source: Source, land: Land) -> None:
    """Like `fly`, but hand an interrupt to those who wait instead of ending the resolver's own loop with it."""

    def relay(flight: Flight, value: Any = None, *, failure: BaseException | None = None) -> None:
        if isinstance(failure, INTERRUPTS):
            flight.error = failure
        land(flight, value, failure=failure)

    with contextlib.suppress(*INTERRUPTS):
        await fly(flight, source, relay)


async def first_landed(flights: Iterable[Flight], until: float) -> None:
    """Wait until one of *flights* has landed or the monotonic clock reaches *until*; cancelling it harms no flight."""
    waits = [asyncio.wrap_future(flight.landed) for flight in flights]
    try:
        await asyncio.wait(waits, timeout=max(0.0, until - time.monotonic()), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def cancel(loop: asyncio.AbstractEventLoop, flight: Flight) -> None:
    """Cancel the flight's task on *loop*, from any thread; a loop that is closed has forgotten it."""
    if flight.task is not None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(flight.task.cancel)
