"""The shared cache as a look-up sees it: what fails is a miss, left alone for a while; and what the log is told.

It verifies nothing; whoever takes something from it does.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._peer import now
from mtlspolicy._text import escape
from mtlspolicy.revocation._cache import Cache, CachedStatement, MemoryCache
from mtlspolicy.revocation._ledger import LONGEST
from mtlspolicy.revocation._steps import Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mtlspolicy._revocation import RevocationQuestion
    from mtlspolicy.revocation._steps import Course

__all__ = ["LOGGER", "Notes", "Shelf", "useful"]

LOGGER: Final = logging.getLogger("mtlspolicy.revocation")
PAUSE: Final = 5.0
"""Seconds for which a cache that failed is not used, and no second line about it is logged."""

QUIET: Final = 10.0
"""Seconds between two lines about one responder."""
MOST: Final = 256
"""Responders that are remembered for it."""


class Shelf:
    """One cache, which may be down.

    Args:
        cache: Where statements are kept.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._blocks = not isinstance(cache, MemoryCache)
        self._closed_until = -math.inf

    def find(self, key: str) -> Course[CachedStatement | None]:
        """Return what is kept under *key*, which nobody has verified; ``None``: nothing, or the cache is down."""
        found = yield from self._called(functools.partial(self._cache.get, key))
        return found if isinstance(found, CachedStatement) else None

    def store(self, key: str, statement: CachedStatement) -> Course[None]:
        """Keep *statement*, which was verified, unless the cache has one that stands against it."""
        yield from self._called(functools.partial(self._cache.put, key, statement))

    def _called(self, call: Callable[[], Any]) -> Course[Any]:
        if time.monotonic() < self._closed_until:
            return None
        try:
            return (yield Work(call)) if self._blocks else call()
        except Exception as failure:  # noqa: BLE001 - whatever it is, nothing was found and nobody is admitted for it
            if time.monotonic() >= self._closed_until:
                self._closed_until = time.monotonic() + PAUSE
                text = f"{type(failure).__name__}: {escape(str(failure), 200)}"
                LOGGER.warning("the cache is down, and left alone for %g s: %s", PAUSE, text)
            return None


class Notes:
    """What is said on the log of responders that gave no answer: of each, one line in a while."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def say(self, origin: str, text: str) -> None:
        """Log *text*, which is escaped already, unless something was said of *origin* a moment ago."""
        now = time.monotonic()
        with self._lock:
            if now < self._said.get(origin, -math.inf) + QUIET:
                return
            self._said[origin] = now
            self._said.move_to_end(origin)
            if len(self._said) > MOST:
                self._said.popitem(last=False)
        LOGGER.warning("%s", text)


def useful(question: RevocationQuestion, this_update: datetime, next_update: datetime | None) -> datetime:
    """Return until when a statement with these dates is of use to somebody."""
    at = now()
    left = this_update - at + min(question.rule.max_age, LONGEST) if next_update is None else next_update - at
    return at + min(left + min(question.rule.clock_skew, LONGEST), LONGEST)
