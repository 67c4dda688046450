"""The facts at hand, the failures that are remembered for a moment, and the flights under way, of one process.

It decides which need is answered at once, joins a flight, starts one, or goes without; it calls no source.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._evidence import Fact, Need
from mtlspolicy._resolver._flight import Flight, Slot
from mtlspolicy._resolver._source import Answer, Instant, Terms
from mtlspolicy._text import escape, quoted

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

__all__ = ["Board", "clocks"]

_log: Final = logging.getLogger("mtlspolicy.resolver")
LOG_PAUSE: Final = 1.0
"""Seconds between two log lines about one kind: peers can cause failures, and must not fill a disk with them."""


class Kept:
    """A fact in the cache.

    Attributes:
        fact: The fact.
        since: What its age counts from, on the monotonic clock, in seconds.
        until: When it goes, same clock.
        pushed: Whether a source brought it of its own accord.
        asked: When it was last asked for, same clock.
    """

    __slots__ = ("asked", "fact", "pushed", "since", "until")

    def __init__(self, fact: Fact, since: float, until: float, asked: float, *, pushed: bool) -> None:
        self.fact = fact
        self.since = since
        self.until = until
        self.asked = asked
        self.pushed = pushed


def clocks() -> tuple[float, datetime]:
    """Return this moment on the monotonic clock, in seconds, and as an aware datetime."""
    return time.monotonic(), datetime.now(UTC)


class Board:
    """Cache, remembered failures and flights under one lock.

    The lock may be taken again by its holder: a resolver that the garbage collector finds is closed wherever that is.
    """

    def __init__(self, terms: Terms) -> None:
        self.pid = os.getpid()
        self.terms = terms
        self.closed = False
        self.lock = threading.RLock()
        self._facts: OrderedDict[Slot, Kept] = OrderedDict()
        self._failures: OrderedDict[Slot, float] = OrderedDict()
        self._shared: dict[tuple[Slot, asyncio.AbstractEventLoop | None], Flight] = {}
        self._under_way: dict[Flight, None] = {}  # in the order of their deadlines
        self._logged: dict[str, float] = {}

    def at_hand(self, needs: Iterable[Need]) -> dict[Need, Fact]:
        """Return the facts in the cache that are young enough for *needs*."""
        now, wall = clocks()
        with self.lock:
            found = {need: self._fresh(need, now, wall) for need in needs}
        return {need: fact for need, fact in found.items() if fact is not None}

    def at_once(self, need: Need, answers: Instant) -> Fact | None:
        """Return what a source answers at once for *need*; ``None``: nothing that is young enough. It is not kept."""
        try:
            answer: object = None if self.closed else answers(need.key)
        except Exception as failure:  # noqa: BLE001 - whatever a source raises, there is no fact
            self._tell_of(need.kind, self._reason(failure), clocks()[0])
            return None
        if not isinstance(answer, Answer):
            return None
        wall = clocks()[1]
        obtained = min(answer.obtained_at or wall, wall)  # a time to come would make it young for ever
        young = (wall - obtained).total_seconds() <= self._max_age(need)
        return Fact(answer.value, obtained) if young else None

    def seek(self, need: Need, loop: asyncio.AbstractEventLoop | None) -> tuple[Fact | Flight | None, bool]:
        """Return the fact at hand, or the flight to wait for, or None: there will be none; and whether to start it."""
        self.sweep()
        now, wall = clocks()
        slot = (need.kind, need.key)
        max_age = self._max_age(need)
        with self.lock:
            fact = self._fresh(need, now, wall)
            shared = self._shared.get((slot, loop))
            if fact is not None or (shared is not None and now - shared.began <= max_age):
                return fact or shared, False
            failed = self._failures.get(slot, -math.inf)
            if self.closed or now - failed < min(self.terms.negative_max_age, max_age):
                return None, False
            flight = Flight(slot, loop, (now, wall), now + self.terms.deadline)
            if len(self._under_way) >= self.terms.max_pending:
                self._tell(flight, "too many questions under way (max_pending)", now)
                return None, False
            self._shared[slot, loop] = flight
            self._under_way[flight] = None
            return flight, True

    def land(self, flight: Flight, value: Any = None, *, failure: BaseException | None = None) -> None:
        """End *flight* with a value or a failure; whatever comes after that, or after its deadline, is dropped."""
        now, wall = clocks()
        if failure is None and now > flight.due:
            failure = TimeoutError()
        with self.lock:
            if flight.over:
                return
            flight.over = True
            del self._under_way[flight]
            if self._shared.get((flight.slot, flight.loop)) is flight:
                del self._shared[flight.slot, flight.loop]
            if failure is None:
                flight.fact = self._keep(flight, value, (now, wall))
            else:
                self._remember_failure(flight, now)
        if failure is not None:
            self._tell(flight, self._reason(failure), now)
        flight.landed.set_result(None)

    def renew(self, need: Need, answer: Answer) -> bool:
        """Put *answer* in the place of the fact at hand, unless that one is newer; return whether it was.

        Only for what somebody has asked here, or is asking: what nobody needs takes no room.
        """
        now, wall = clocks()
        slot = (need.kind, need.key)
        with self.lock:
            older = self._facts.get(slot)
            if self.closed or (older is None and all(flying != slot for flying, _ in self._shared)):
                return False
            kept = _kept(answer, (now, wall), (now, wall))
            kept.pushed = True
            if older is not None:
                if older.since > kept.since and older.until >= now:
                    return False
                kept.asked = older.asked
            self._facts[slot] = kept
            self._failures.pop(slot, None)
            return True

    def last_asked(self, need: Need) -> float:
        """Return when the fact for *need* was last asked for, on the monotonic clock; long ago where it is not here."""
        with self.lock:
            kept = self._facts.get((need.kind, need.key))
            return -math.inf if kept is None else kept.asked

    def sweep(self) -> None:
        """Fail every flight whose deadline is over, whoever notices."""
        now, _ = clocks()
        while (first := self._first()) is not None and first.due <= now:
            self.land(first, failure=TimeoutError())

    def close(self) -> tuple[Flight, ...]:
        """Fail and return every flight under way; from now on there is neither fact nor flight."""
        with self.lock:
            self.closed = True
            self._facts.clear()
            flights = tuple(self._under_way)
        for flight in flights:
            self.land(flight, failure=TimeoutError())
        return flights

    def _first(self) -> Flight | None:
        with self.lock:
            return next(iter(self._under_way), None)

    def _max_age(self, need: Need) -> float:
        return self.terms.default_max_age if need.max_age is None else need.max_age.total_seconds()

    def _fresh(self, need: Need, now: float, wall: datetime) -> Fact | None:
        slot = (need.kind, need.key)
        kept = self._facts.get(slot)
        if kept is None:
            return None
        # The older of the two ages: the wall clock may have been set back, the monotonic one stands still in a suspend.
        age = max(now - kept.since, (wall - (kept.fact.obtained_at or wall)).total_seconds())
        if age > self._max_age(need) or now > kept.until:
            return None
        self._facts.move_to_end(slot)
        kept.asked = now
        return kept.fact

    def _keep(self, flight: Flight, value: Any, moment: tuple[float, datetime]) -> Fact:
        """Return *value* as a fact, and keep it. Its age counts from the question: it may have been read then.

        What was pushed meanwhile and is newer is what those who wait get: a revocation must not be a moment too late.
        """
        kept = _kept(value, (flight.began, flight.asked_at), moment)
        older = self._facts.get(flight.slot)
        newer = older is not None and older.since > kept.since and older.until >= moment[0]
        if older is not None and newer and older.pushed:
            return older.fact
        if not self.closed and not newer:
            self._facts[flight.slot] = kept
            self._facts.move_to_end(flight.slot)
            if len(self._facts) > self.terms.max_entries:
                self._facts.popitem(last=False)
        self._failures.pop(flight.slot, None)
        return kept.fact

    def _remember_failure(self, flight: Flight, now: float) -> None:
        self._failures[flight.slot] = now
        self._failures.move_to_end(flight.slot)
        if len(self._failures) > self.terms.max_entries:
            self._failures.popitem(last=False)

    def _tell(self, flight: Flight, reason: str, now: float) -> None:
        self._tell_of(flight.slot[0], reason, now)

    def _tell_of(self, kind: str, reason: str, now: float) -> None:
        if not self.closed and now - self._logged.get(kind, -math.inf) >= LOG_PAUSE:
            self._logged[kind] = now
            _log.warning("no fact from the source for %s: %s", quoted(kind), reason)

    def _reason(self, failure: BaseException) -> str:
        if isinstance(failure, TimeoutError) and not failure.args:
            return f"no answer within {self.terms.deadline:g} s"
        try:
            return f"{type(failure).__name__}: {escape(str(failure), 200)}"
        except Exception:  # noqa: BLE001 - an exception whose own text cannot be had
            return f"{type(failure).__name__} (its text cannot be had)"


def _kept(value: Any, asked: tuple[float, datetime], moment: tuple[float, datetime]) -> Kept:
    """Return *value*, asked for and obtained at two moments on both clocks, with the age and life that it states."""
    (began, asked_at), (now, wall) = asked, moment
    obtained_at, keep = asked_at, math.inf
    if isinstance(value, Answer):
        obtained_at = min(value.obtained_at or obtained_at, wall)  # a time to come would make it young for ever
        keep = math.inf if value.keep is None else value.keep
        value = value.value
    since = began - max(timedelta(0), asked_at - obtained_at).total_seconds()
    return Kept(Fact(value, obtained_at), since, now + keep, now, pushed=False)
