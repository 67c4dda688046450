"""The one thread that looks at files from time to time. It begins with the first use and ends with its owner.

It decides nothing: what it calls publishes a new state in one step, and decisions go on under the one before.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, Protocol

LOG: Final = logging.getLogger("mtlspolicy.tenants")


class Owner(Protocol):
    """Whose files are looked at."""

    @abstractmethod
    def look(self) -> float:
        """Look, and return after how many seconds to look again."""

    @abstractmethod
    def renew(self) -> None:
        """Forget thread and lock: this is a forked child, whose only thread is the one that runs."""


class Watch:
    """A daemon thread that calls ``owner.look()``, first after *wait* seconds, as long as *owner* lives."""

    def __init__(self, owner: Owner, wait: float) -> None:
        self._stop = threading.Event()
        weakref.finalize(owner, self._stop.set)
        arguments = weakref.ref(owner), self._stop, wait
        threading.Thread(target=_run, args=arguments, name="mtlspolicy-tenants", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end; more than once does no harm."""
        self._stop.set()


def _run(reference: weakref.ref[Any], stop: threading.Event, wait: float) -> None:
    last = wait
    while not stop.wait(wait):
        owner = reference()
        if owner is None:
            return
        try:
            wait = last = owner.look()
        except Exception:
            # a reader's own error, or one of ours: the state ages, and after max_stale nobody is admitted under it
            LOG.exception("the files of the tenants could not be looked at")
            wait = last
        del owner


_OWNERS: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


def remember(owner: Owner) -> None:
    """Have *owner* renewed in every forked child."""
    _OWNERS.add(owner)


def _never(**_: object) -> None:
    """Stand for `os.register_at_fork` where no process forks."""


def _renew() -> None:
    for owner in list(_OWNERS):
        owner.renew()


_register: Callable[..., None] = getattr(os, "register_at_fork", _never)
_register(after_in_child=_renew)
