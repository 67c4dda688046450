"""Writes the line for each refused connection on the logger ``mtlspolicy.connection``: address, code, subject, remedy.

Each record carries them for handlers: ``mtlspolicy_code``, ``mtlspolicy_address``, ``mtlspolicy_subject`` and, whole,
``mtlspolicy_decision``. It decides nothing. Refusals, by us, by OpenSSL and by the other end, are warnings; a handshake
that ran out of time is an information and an end that went away a debugging message, because neither says anything
about a certificate.
"""

from __future__ import annotations

import logging
import math
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.tls._cpython import uvloop_peername
from mtlspolicy.tls._openssl import GONE, TIMED_OUT

if TYPE_CHECKING:
    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._decision import Decision
    from mtlspolicy.tls._latch import Latch

__all__ = ["log_alert", "log_refusal"]

LOGGER: Final = logging.getLogger("mtlspolicy.connection")
BURST: Final = 20
"""Lines of one code that may follow each other without a pause."""
RATE: Final = 2.0
"""Lines of one code per second after that; the others are counted, and the next line says how many there were."""
_MOST_CODES: Final = 512
_LINE: Final = "line"
_DECISION: Final = "decision"
_YOUNG: Final = 2
"""Generations of objects that are gone through at any time."""
_LEVELS: Final = {GONE: logging.DEBUG, TIMED_OUT: logging.INFO}


class Buckets:
    """A token bucket for each reason code, so that a flood of one kind hides no other."""

    def __init__(self, burst: int = BURST, rate: float = RATE) -> None:
        self._burst = burst
        self._rate = rate
        self._lock = threading.Lock()
        self._held: dict[
            str, list[float]
        ] = {}  # code: tokens, when they were counted, lines left out since the last one

    def clear(self) -> None:
        """Fill every bucket again."""
        with self._lock:
            self._held.clear()

    def take(self, code: str, now: float) -> int | None:
        """Return how many lines of *code* were left out since the last one; ``None``: this one is left out as well.

        Args:
            code: The reason code.
            now: Seconds on a clock that does not go back.
        """
        with self._lock:
            if code not in self._held and len(self._held) >= _MOST_CODES:
                code = "other"
            held = self._held.setdefault(code, [float(self._burst), now, 0.0])
            held[0] = min(float(self._burst), held[0] + (now - held[1]) * self._rate)
            held[1] = now
            if held[0] < 1.0:
                held[2] += 1.0
                return None
            held[0] -= 1.0
            left_out, held[2] = int(held[2]), 0.0
            return left_out


class Searches:
    """Looks for addresses under uvloop, which alone knows them, and keeps an event loop from doing nothing else.

    Where a connection is no longer young all objects of the process are gone through, and whoever is refused could have
    that done again and again.

    Args:
        pause: After all objects were gone through, for how many times as long as it took they are not again; 100: a
            hundredth of the time at most goes into it.
        most_blocks: Blocks of memory of a process (`sys.getallocatedblocks`) in which all objects are gone through for
            a log line. Nothing ends a search before its time: of four millions it takes up to a tenth of a second.
    """

    def __init__(self, *, pause: float = 100.0, most_blocks: int = 4_000_000) -> None:
        self._pause = pause
        self._most_blocks = most_blocks
        self._lines = Buckets(burst=10, rate=1.0)
        self._lock = threading.Lock()
        self._rests: dict[str, float] = {}  # for what: until when all objects are not gone through again

    def clear(self) -> None:
        """Begin anew, as if nothing had been looked for."""
        self._lines.clear()
        with self._lock:
            self._rests.clear()

    def for_line(self, owner: object) -> object:
        """Return the address of *owner*'s socket for a log line; ``None``: not found, or not looked for everywhere."""
        began = time.monotonic()
        if self._lines.take("", began) is None:
            return None
        if sys.getallocatedblocks() > self._most_blocks or not self._may_begin(_LINE, began, alone=True):
            return uvloop_peername(owner, _YOUNG)
        try:
            return uvloop_peername(owner)
        finally:
            self._rest(_LINE, began)

    def for_decision(self, owner: object) -> object:
        """Return the address of *owner*'s socket, which a policy asks for; ``None``: there is none to be had.

        One that is found costs no pause, however long it took: the next connection's is looked for as it begins, and
        to leave it out would refuse, at random, clients who are to be admitted. They have shown a certificate that is
        valid here. Only where none is found, as on a TLS object that somebody drives by hand, is there a pause.
        """
        began = time.monotonic()
        if not self._may_begin(_DECISION, began):
            return uvloop_peername(owner, _YOUNG)
        found = uvloop_peername(owner)
        if found is None:
            self._rest(_DECISION, began)
        return found

    def _may_begin(self, what: str, now: float, *, alone: bool = False) -> bool:
        with self._lock:
            if now < self._rests.get(what, now):
                return False
            if alone:
                self._rests[what] = math.inf  # until it is known how long it takes: of several threads one goes on
            return True

    def _rest(self, what: str, began: float) -> None:
        now = time.monotonic()
        with self._lock:
            self._rests[what] = now + self._pause * (now - began)


LIMITER: Final = Buckets()
SEARCHES: Final = Searches()


def log_refusal(latch: Latch, owner: object) -> None:
    """Write the line for the refused connection of *latch*, whose object is *owner*."""
    _write(latch, latch.reason, owner, "refused")


def log_alert(latch: Latch, decision: Decision, owner: object) -> None:
    """Write the line for a connection that we had admitted and the other end refuses, by an alert."""
    _write(latch, decision, owner, "was refused by")


def _write(latch: Latch, decision: Decision, owner: object, verb: str) -> None:
    code = decision.code
    level = _LEVELS.get(code, logging.WARNING)
    if not LOGGER.isEnabledFor(level):
        return
    left_out = LIMITER.take(code, time.monotonic())
    if left_out is None:
        return
    if latch.peername is None and isinstance(owner, ssl.SSLObject):
        latch.locate(SEARCHES.for_line(owner))
    address, subject = latch.address, subject_of(latch.presented)
    more = f" ({left_out} more refused with this code since the last line)" if left_out else ""
    LOGGER.log(
        level, "%s %s: %s: %s; subject: %s%s",
        verb, address or "address unknown", code, decision.summary, subject, more,
        extra={
            "mtlspolicy_code": code, "mtlspolicy_address": address, "mtlspolicy_subject": subject,
            "mtlspolicy_decision": decision,
        },
    )  # fmt: skip


def subject_of(presented: PresentedChain | None) -> str:
    """Return the subject of the end entity, escaped RFC 4514 text; ``none`` where no certificate was at hand."""
    if presented is None:
        return "none"
    return str(ParsedCertificate(presented.ders[0]))
