"""Writes the line for each refused connection on the logger ``mtlspolicy.connection``: address, code, subject, remedy.

Each record carries them for handlers: ``mtlspolicy_code``, ``mtlspolicy_address``, ``mtlspolicy_subject`` and, whole,
``mtlspolicy_decision``. It decides nothing. Refusals, by us, by OpenSSL and by the other end, are warnings; a handshake
that ran out of time is an information and an end that went away a debugging message, because neither says anything
about a certificate.
"""

from __future__ import annotations

import logging
import ssl
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


LIMITER: Final = Buckets()
SEARCHES: Final = Buckets(burst=10, rate=1.0)
"""How often an address may be searched for under uvloop in vain or for a log line alone, which costs milliseconds."""


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
    if latch.peername is None and isinstance(owner, ssl.SSLObject) and SEARCHES.take("", time.monotonic()) is not None:
        latch.locate(uvloop_peername(owner))
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
