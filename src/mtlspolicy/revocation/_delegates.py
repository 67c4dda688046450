"""What one process knows of delegated OCSP responders without nocheck, and what they signed that waits to be kept.

It reads nothing and asks nobody: it is told what was found out, and says whether a delegate's word may be kept. It is
not safe between threads by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._revocation import OCSPRule

if TYPE_CHECKING:
    from mtlspolicy._certificate import ParsedCertificate
    from mtlspolicy._revocation import CRLRule, RevocationAnswer, RevocationQuestion
    from mtlspolicy.revocation._cache import CachedStatement

__all__ = ["Delegates"]

_Proof = tuple["ParsedCertificate", bool, frozenset["ParsedCertificate"]]
"""A delegate, whether SHA-1 counted for what was learnt of it, and who besides the CA was named to sign that."""

MOST: Final = 256
"""Delegates remembered; a CA has one or two at a time."""
WAITING: Final = 1000
"""Responses that wait; each has a few thousand bytes at most in use, and 64 KiB at worst."""


class Delegates:
    """Whether delegates are revoked, as far as was asked. Bounded.

    What was learnt under a rule that names who may sign counts under no rule that does not: one tenant's responder says
    nothing about the delegates of another. What the CA itself has said counts under both.

    Args:
        most: Delegates remembered, the one told of first goes first.
        waiting: Responses that wait, likewise.
    """

    def __init__(self, most: int = MOST, waiting: int = WAITING) -> None:
        self._most, self._room = most, waiting
        self._known: OrderedDict[_Proof, RevocationAnswer] = OrderedDict()
        self._waiting: OrderedDict[str, tuple[tuple[_Proof, ...], CachedStatement]] = OrderedDict()

    def status(self, delegate: ParsedCertificate, rule: OCSPRule) -> RevocationStatus:
        """Return what was learnt of *delegate* that counts under *rule*: REVOKED if that is among it.

        Else what was learnt last: GOOD or UNKNOWN; or UNAVAILABLE: nothing.
        """
        known = [self._known[proof].status for proof in _proofs(delegate, rule) if proof in self._known]
        if RevocationStatus.REVOKED in known:
            return RevocationStatus.REVOKED
        return known[0] if known else RevocationStatus.UNAVAILABLE

    def wait(self, key: str, delegate: ParsedCertificate, rule: OCSPRule, statement: CachedStatement) -> None:
        """Put *statement*, accepted under *rule*, aside until *delegate*, who has signed it, is known to be good."""
        self._waiting[key] = _proofs(delegate, rule), statement
        self._waiting.move_to_end(key)
        if len(self._waiting) > self._room:
            self._waiting.popitem(last=False)

    def learn(self, question: RevocationQuestion, answer: RevocationAnswer) -> tuple[tuple[str, CachedStatement], ...]:
        """Remember *answer* if it is one about a delegate, and return what may be kept from now on, each with its key.

        A revocation that is no hold stays, whatever another method says afterwards.
        """
        if not question.delegate or answer.status is RevocationStatus.UNAVAILABLE:
            return ()
        proof = _proofs(question.certificate, question.rule)[0]
        known = self._known.get(proof)
        if known is None or not known.final:
            self._known[proof] = answer
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        mine = [key for key, (proofs, _) in self._waiting.items() if proof in proofs]
        released = [(key, self._waiting.pop(key)[1]) for key in mine]
        return tuple(released) if self._known[proof].status is RevocationStatus.GOOD else ()


def _proofs(delegate: ParsedCertificate, rule: OCSPRule | CRLRule) -> tuple[_Proof, ...]:
    """Return whose words on *delegate* count under *rule*, in the first place those that are learnt under it."""
    own: _Proof = (delegate, rule.allow_sha1, frozenset())
    named = rule.responders if isinstance(rule, OCSPRule) else ()
    return ((delegate, rule.allow_sha1, frozenset(named)), own) if named else (own,)
