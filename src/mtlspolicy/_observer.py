"""Hands decisions to a hook on a thread of its own, so that neither its failure nor its slowness changes or delays one.

The only module of the core that uses a thread. It decides nothing, and drops what a slow hook does not take in time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

from mtlspolicy._decision import Decision
from mtlspolicy.errors import ConfigurationError

Hook = Callable[[Decision], object]
BACKLOG: Final = 10_000
"""Decisions that wait for a slow hook at most; more are dropped and counted."""


class Observer:
    """Delivers decisions to *hook* in order. The thread starts with the first decision, not before a server forks.

    Attributes:
        dropped: Decisions that a slow hook did not get.
        failed: Calls in which the hook raised.
    """

    def __init__(self, hook: Hook) -> None:
        if not callable(hook):
            raise ConfigurationError(
                f"observed_by takes a callable that is given each decision, not {type(hook).__name__}"
            )
        self.hook: Hook = hook
        self.dropped: int = 0
        self.failed: int = 0
        self._waiting: queue.SimpleQueue[Decision | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def put(self, decision: Decision) -> None:
        """Leave *decision* for the hook and return at once."""
        if self._waiting.qsize() >= BACKLOG:
            self.dropped += 1
            return
        self._waiting.put(decision)
        self._run()

    def _run(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # a process that was forked has none
            self._start()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread is starting it
        try:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._deliver, name="mtlspolicy-observer", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            self.dropped += 1  # no thread can be had, for example while the interpreter ends
        finally:
            self._starting.release()

    def _deliver(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self.hook(item)
            except BaseException:  # noqa: BLE001 - a hook's failure, SystemExit included, is its own; it is counted
                self.failed += 1

    def drain(self, timeout: float) -> bool:
        """Wait until every decision left so far was delivered; return whether it was within *timeout* seconds."""
        if self._thread is None:
            return True
        reached = threading.Event()
        self._waiting.put(reached)
        self._run()
        return reached.wait(timeout)
