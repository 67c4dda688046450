"""What a look-up asks of the world, step by step, and two ways to do it: blocking, in a thread, or on an event loop.

A look-up is a generator that yields steps and is sent their outcomes, so that it is written once. What fails is raised
inside it; when its driver is cancelled it is closed, and lets go of what it holds.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    import asyncio

    from mtlspolicy.revocation._http import Exchange, HTTPTransport
    from mtlspolicy.revocation._httpx import BlockingHTTPXTransport, HTTPXTransport

__all__ = ["Course", "Launch", "Pause", "Send", "Tasks", "Threads", "Wait", "Work"]

FETCHING: Final = "mtlspolicy-fetch"
"""Name of the threads that fetch what may take longer than anybody waits."""

_T = TypeVar("_T")


class Send(NamedTuple):
    """One exchange over the network, until a time on the monotonic clock; brings the body."""

    exchange: Exchange
    until: float


class Pause(NamedTuple):
    """Wait for so many seconds."""

    seconds: float


class Work(NamedTuple):
    """Call a function that may block or take long; brings what it returns."""

    call: Callable[[], Any]


class Wait(NamedTuple):
    """Wait for what somebody else does, until a time on the monotonic clock; whether it is done is seen from it."""

    landed: concurrent.futures.Future[None]
    until: float


class Launch(NamedTuple):
    """Begin another look-up that goes on by itself, whatever becomes of this one; ``ended`` is called in any case."""

    course: Course[None]
    ended: Callable[[], None]


Step: TypeAlias = "Send | Pause | Work | Wait | Launch"
Course: TypeAlias = Generator[Step, Any, _T]


class Threads:
    """Takes courses to their end in the thread that asks, which blocks.

    Args:
        transport: What fetches.
    """

    def __init__(self, transport: HTTPTransport | BlockingHTTPXTransport) -> None:
        self._transport = transport

    def drive(self, course: Course[_T]) -> _T:
        """Return what *course* returns.

        Raises:
            Exception: What the course does not expect.
        """
        try:
            step = next(course)
            while True:
                try:
                    outcome = self._done(step)
                except Exception as failure:  # noqa: BLE001 - the course says what it expects, and raises the rest
                    step = course.throw(failure)
                else:
                    step = course.send(outcome)
        except StopIteration as stop:
            value: _T = stop.value
            return value
        finally:
            course.close()

    def _done(self, step: Step) -> Any:
        match step:
            case Send():
                return self._transport.fetch(step.exchange, until=step.until)
            case Pause():
                return time.sleep(step.seconds)
            case Work():
                return step.call()
            case Wait():
                return concurrent.futures.wait([step.landed], max(0.0, step.until - time.monotonic()))
            case _:
                return threading.Thread(target=self._launched, args=step, name=FETCHING, daemon=True).start()

    def _launched(self, course: Course[None], ended: Callable[[], None]) -> None:
        try:
            self.drive(course)
        finally:
            ended()


class Tasks:
    """Takes courses to their end on the event loop that asks, which goes on meanwhile.

    Args:
        transport: What fetches.
    """

    def __init__(self, transport: HTTPXTransport) -> None:
        self._transport = transport
        self._launched: dict[asyncio.Task[None], asyncio.AbstractEventLoop] = {}

    async def drive(self, course: Course[_T]) -> _T:
        """Return what *course* returns; being cancelled ends the course.

        Raises:
            Exception: What the course does not expect.
        """
        try:
            step = next(course)
            while True:
                try:
                    outcome = await self._done(step)
                except Exception as failure:  # noqa: BLE001 - as with threads
                    step = course.throw(failure)
                else:
                    step = course.send(outcome)
        except StopIteration as stop:
            value: _T = stop.value
            return value
        finally:
            course.close()

    async def _done(self, step: Step) -> Any:
        import asyncio  # which blocking programs go without

        match step:
            case Send():
                return await self._transport.fetch(step.exchange, until=step.until)
            case Pause():
                return await asyncio.sleep(step.seconds)
            case Work():
                return await asyncio.to_thread(step.call)
            case Wait():
                wait = asyncio.wrap_future(step.landed)
                try:
                    return await asyncio.wait([wait], timeout=max(0.0, step.until - time.monotonic()))
                finally:
                    wait.cancel()
            case _:
                return self.launch(self.drive(step.course), step.ended)

    def launch(self, coroutine: Coroutine[Any, Any, None], ended: Callable[[], None]) -> asyncio.Task[None]:
        """Begin a task that belongs to nobody who waits, in a context of its own, and keep it to its end."""
        import asyncio

        loop = asyncio.get_running_loop()
        task = Context().run(loop.create_task, coroutine)
        self._launched[task] = loop

        def over(task: asyncio.Task[None]) -> None:
            self._launched.pop(task, None)
            ended()

        task.add_done_callback(over)
        return task

    def close(self) -> None:
        """Cancel what was launched; from any thread."""
        for task, loop in list(self._launched.items()):
            with contextlib.suppress(RuntimeError):  # the loop is closed, and has forgotten it
                loop.call_soon_threadsafe(task.cancel)
