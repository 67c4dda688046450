"""Keeps the current generation: looks at the files, publishes what changed in one step, and answers without waiting.

Who decides takes no lock and reads no file, with one exception: the first decision of a process, if the last look is
long ago, looks before it answers, so that a forked worker does not begin with what its parent read in the morning.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from mtlspolicy._text import escape, quoted
from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tenants._collection import Collection
from mtlspolicy.tenants._generation import Generation
from mtlspolicy.tenants._held import Trouble
from mtlspolicy.tenants._options import Options
from mtlspolicy.tenants._watch import LOG, Watch, remember

_SHARE: Final = 50
"""A look that takes long is followed by a pause of so many times that long: at most 2 % of one core is spent on it."""
_UNEASY: Final = 30.0
"""Seconds without a look, five intervals at least, after which decisions say so."""
_SOONEST: Final = 0.05
"""Seconds between two looks, where a file's time runs out."""


class State(NamedTuple):
    """What decisions are made under, published as one value."""

    generation: Generation
    troubles: tuple[Trouble, ...]


class Keeper:
    """The current generation of *collection*."""

    _clock: Callable[[], float] = staticmethod(time.monotonic)
    _today: Callable[[], datetime] = staticmethod(lambda: datetime.now(UTC))

    def __init__(self, collection: Collection, options: Options, *, origin: str) -> None:
        self._collection = collection
        self._options = options
        self._origin = origin
        self._dirty = True
        self._running = options.interval is None
        self._closed = False
        self._watch: Watch | None = None
        self._lock = threading.Lock()
        self._uneasy = self._until = math.inf
        self._due = -math.inf
        self.state: State = self._first()
        remember(self)

    def _first(self) -> State:
        clock = self._clock()
        self._collection.refresh(clock)
        generation = Generation(1, self._collection.content(), mode=self._options.common, taken=self._today())
        troubles = self._collection.troubles
        if troubles:
            raise ConfigurationError(f"{self._origin}: {troubles[0]}", code="tenant.index")
        self._looked(clock)
        self._dirty = False
        self._report(None, State(generation, ()))
        return State(generation, ())

    def store(self, tenant: str) -> TrustStore:
        """Return the current store of *tenant*; raise `TrustRefused` where there is none to decide under."""
        if not self._running:
            self.run()
        generation, troubles = self.state
        clock = self._clock()
        if clock >= self._uneasy:
            troubles = (*troubles, self._not_looked_at())
        elif not troubles:
            ready = generation.ready(tenant)
            if ready is not None:
                return ready
        return generation.store(tenant, troubles, clock)

    def run(self) -> None:
        """Begin to look from time to time, in this process; look at once where the last look is long ago."""
        with self._lock:
            if self._running:
                return
            if self._clock() >= self._due:
                self._look()
            self._watch = Watch(self, max(_SOONEST, self._due - self._clock()))
            self._running = True

    def look(self, *, again: bool = False) -> float:
        """Look at the files, and return after how many seconds to look again.

        Args:
            again: Read every file, also where it looks the same as before.
        """
        with self._lock:
            if again:
                self._collection.again()
            return self._look()

    def close(self) -> None:
        """End the thread. Nothing is looked at again but by `look`, and the state ages."""
        with self._lock:
            self._closed = self._running = True
            if self._watch is not None:
                self._watch.stop()

    def renew(self) -> None:
        """Begin again in a forked child: the thread stayed behind, perhaps in the middle of a look, with the lock."""
        self._lock = threading.Lock()
        self._watch = None
        self._running = self._closed or self._options.interval is None
        self._dirty = True

    def _look(self) -> float:
        clock = self._clock()
        dirty, self._dirty = self._dirty, True  # whatever ends this look early, the next one compares everything
        changed = self._collection.refresh(clock)
        before = self.state
        generation = before.generation
        if changed or dirty:
            generation = self._next(generation)
        self.state = State(generation, self._collection.troubles)
        self._dirty = False
        wait = self._looked(clock)
        self._report(before, self.state)
        return wait

    def _next(self, before: Generation) -> Generation:
        content = self._collection.content()
        made = Generation(before.number + 1, content, mode=self._options.common, taken=self._today())
        if made.digest != before.digest:
            return made
        if made.broken == before.broken:
            return before
        return Generation(before.number, content, mode=self._options.common, taken=before.taken)

    def _looked(self, clock: float) -> float:
        """Note the look that began at *clock*; return after how many seconds to look again."""
        interval = self._options.interval
        if interval is None:
            return math.inf
        now = self._clock()
        wait = max(interval, _SHARE * (now - clock))
        times = [trouble.until for trouble in self._collection.troubles if trouble.until > now]
        wait = max(_SOONEST, min(wait, min((*times, self._collection.due)) - now))
        self._due = now + wait
        self._until = clock + self._options.max_stale
        self._uneasy = min(clock + max(_UNEASY, 5 * wait), self._until)
        return wait

    def _not_looked_at(self) -> Trouble:
        since = self._until - self._options.max_stale
        return Trouble(self._origin, "were not looked at", False, False, since, self._until)  # noqa: FBT003 - a row

    def _report(self, before: State | None, after: State) -> None:
        """Log what changed for the operator; names and reasons are escaped."""
        generation = after.generation
        if before is None or generation is not before.generation:
            LOG.info("%s: %r", escape(self._origin), generation)
            known: Mapping[str, str] = {} if before is None else before.generation.broken
            for tenant, why in generation.broken.items():
                if known.get(tenant) != why:
                    LOG.warning("%s: tenant %s is refused: %s", escape(self._origin), quoted(tenant), why)
        known_troubles = () if before is None else before.troubles
        said = {str(trouble) for trouble in known_troubles}
        for trouble in after.troubles:
            if str(trouble) not in said:
                LOG.warning("%s: %s", escape(self._origin), escape(str(trouble)))
