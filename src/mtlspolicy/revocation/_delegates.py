"""What one process knows of delegated OCSP responders without nocheck, and what they signed that waits to be kept.

It reads nothing and asks nobody: it is told what was found out, and says whether a delegate's word may be kept. It is
not safe between threads by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from mtlspolicy._evidence import RevocationStatus

if TYPE_CHECKING:
    from mtlspolicy._certificate import ParsedCertificate
    from mtlspolicy._revocation import RevocationAnswer, RevocationQuestion
    from mtlspolicy.revocation._cache import CachedStatement

__all__ = ["Delegates"]

MOST: Final = 256
"""Delegates remembered; a CA has one or two at a time."""
WAITING: Final = 1000
"""Responses that wait; each has a few thousand bytes at most in use, and 64 KiB at worst."""


class Delegates:
    """Whether delegates are revoked, as far as was asked. Bounded.

    Args:
        most: Delegates remembered, the one told of first goes first.
        waiting: Responses that wait, likewise.
    """

    def __init__(self, most: int = MOST, waiting: int = WAITING) -> None:
        self._most, self._room = most, waiting
        self._known: OrderedDict[ParsedCertificate, RevocationAnswer] = OrderedDict()
        self._waiting: OrderedDict[str, tuple[ParsedCertificate, CachedStatement]] = OrderedDict()

    def status(self, delegate: ParsedCertificate) -> RevocationStatus:
        """Return what was last learnt of *delegate*: GOOD, REVOKED, UNKNOWN, or UNAVAILABLE: nothing."""
        known = self._known.get(delegate)
        return RevocationStatus.UNAVAILABLE if known is None else known.status

    def wait(self, key: str, delegate: ParsedCertificate, statement: CachedStatement) -> None:
        """Put *statement*, which *delegate* has signed, aside until the delegate is known to be good."""
        self._waiting[key] = delegate, statement
        self._waiting.move_to_end(key)
        if len(self._waiting) > self._room:
            self._waiting.popitem(last=False)

    def learn(self, question: RevocationQuestion, answer: RevocationAnswer) -> tuple[tuple[str, CachedStatement], ...]:
        """Remember *answer* if it is one about a delegate, and return what may be kept from now on, each with its key.

        A revocation that is no hold stays, whatever another method says afterwards.
        """
        if not question.delegate or answer.status is RevocationStatus.UNAVAILABLE:
            return ()
        delegate = question.certificate
        known = self._known.get(delegate)
        if known is None or not known.final:
            self._known[delegate] = answer
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        mine = [key for key, (signer, _) in self._waiting.items() if signer == delegate]
        released = [(key, self._waiting.pop(key)[1]) for key in mine]
        return tuple(released) if self._known[delegate].status is RevocationStatus.GOOD else ()
