"""A lock that a forked child has anew: the thread that held it in the parent is not there to give it back."""

from __future__ import annotations

import os
import threading
from typing import Self

__all__ = ["ProcessLock"]


class ProcessLock:
    """As `threading.Lock`, of one process. What it guards must be fit to be used as a fork has found it."""

    __slots__ = ("_lock", "_process")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: int = os.getpid()

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take it, and return whether it could be had."""
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock.acquire(blocking=blocking)

    def release(self) -> None:
        """Give it back."""
        self._lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
