"""The CRLs that a process has in memory, parsed, and the fetches under way. Bounded; safe between threads.

It verifies nothing: what is kept here was accepted for one question, and is read for each other question anew.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from mtlspolicy._revocation import RevocationAnswer
    from mtlspolicy.revocation._crl_list import RevocationList

__all__ = ["CRLs", "Flight", "Held"]

MOST: Final = 256
"""CRLs in memory; those of a public CA may be split into as many parts."""
MOST_BYTES: Final = 256 << 20
"""Bytes of them, as encoded: a few of the largest that are fetched."""


class Held(NamedTuple):
    """One CRL in memory.

    Attributes:
        crl: As it was parsed.
        digest: SHA-256 of what was received.
        fetched: When it was last received, in seconds of the monotonic clock.
        answered: Whether it said something to the question for which it was received.
    """

    crl: RevocationList
    digest: bytes
    fetched: float
    answered: bool = False


class Flight:
    """One fetch under way, which belongs to nobody who waits for it.

    Attributes:
        landed: Done once it is over, however; cannot be cancelled.
        began: When it began, in seconds of the monotonic clock.
        failure: Why it brought nothing to rely on.
    """

    __slots__ = ("began", "failure", "landed")

    def __init__(self) -> None:
        self.landed: Future[None] = Future()
        self.landed.set_running_or_notify_cancel()
        self.began = time.monotonic()
        self.failure: RevocationAnswer | None = None


class CRLs:
    """CRLs by where they come from, the one unused for longest going first, and the fetches under way.

    Args:
        most: CRLs kept.
        most_bytes: Bytes kept; a CRL that is larger by itself is kept alone.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._flights: dict[str, Flight] = {}
        self._size = 0
        self._lock = threading.Lock()

    def held(self, key: str) -> Held | None:
        """Return the CRL that is kept under *key*."""
        with self._lock:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
            return held

    def keep(self, key: str, held: Held) -> bool:
        """Keep *held*, unless a newer one is there, and return whether it is kept."""
        with self._lock:
            older = self._held.get(key)
            if older is not None and _outdates(older, held.crl):
                return False
            self._size += len(held.crl.der) - (0 if older is None else len(older.crl.der))
            self._held[key] = held
            self._held.move_to_end(key)
            while len(self._held) > 1 and (len(self._held) > self._most or self._size > self._most_bytes):
                self._size -= len(self._held.popitem(last=False)[1].crl.der)
            return True

    def join(self, key: str) -> tuple[Flight, bool]:
        """Return the fetch under way, and whether it is a new one that the caller has to begin."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight()
            return flight, True

    def leave(self, key: str, flight: Flight) -> None:
        """End *flight*: whoever waits for it looks again."""
        with self._lock:
            del self._flights[key]
        flight.landed.set_result(None)


def _outdates(held: Held, other: RevocationList) -> bool:
    """Return whether *held* is newer than *other*, and of use, or about the same part of the issuer's certificates.

    What was of use is not given up for an older list of another scope, in which a revocation may be missing. What was
    never of use may be another part that somebody on the way has put there, and stays in nobody's way.
    """
    crl = held.crl
    return crl.this_update > other.this_update and (held.answered or crl.partition == other.partition)
