"""Remembers in one process what was known of a certificate, so that no older answer takes the place of a newer one.

It verifies nothing: what it is told was accepted before. A first answer that is replayed within its age it cannot see.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from typing import Final, TypeAlias, TypeVar

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._revocation import CRLQuestion, CRLRule, OCSPQuestion, OCSPRule, RevocationAnswer, shown
from mtlspolicy.errors import ConfigurationError

__all__ = ["Seen"]

_Key: TypeAlias = "tuple[str, str, bytes, int, _Trust]"
"""Area, issuer's key and name, serial number (whatever digest a CertID has), and whose word was taken."""
_Trust: TypeAlias = "tuple[bool, str | None, frozenset[ParsedCertificate]]"
"""Whether SHA-1 counts, the place that was named to ask, and who was named to sign."""
_T = TypeVar("_T")
MOST: Final = 100_000
"""Certificates remembered; those that are revoked have as many places of their own, which good ones cannot fill."""


class Seen:
    """The newest thisUpdate of each certificate, and who was revoked. Bounded; safe between threads.

    A revocation is for ever; a hold stands until an answer that is newer. What was seen counts for every question about
    the certificate under the same trust, whatever ages, clock skew or nonce its rule asks for. It does not count under
    another trust (SHA-1 allowed or not, other responders named), since there it may have been told by somebody whose
    word is not taken; and OCSP and CRL are kept apart, since their dates do not compare.

    Args:
        most: Certificates remembered, and as many revoked ones besides. The one told of first goes first.

    Raises:
        ConfigurationError: *most* is less than one.
    """

    def __init__(self, most: int = MOST) -> None:
        if most < 1:
            raise ConfigurationError(f"most={most!r}: remember at least one certificate")
        self._most = most
        self._newest: OrderedDict[_Key, datetime] = OrderedDict()
        self._revoked: OrderedDict[_Key, RevocationAnswer] = OrderedDict()
        self._lock = threading.Lock()

    def judged(self, question: OCSPQuestion | CRLQuestion, answer: RevocationAnswer) -> RevocationAnswer:
        """Return *answer*, or what stands in its place: a revocation seen before, or that it is older than one seen.

        Args:
            question: What was asked.
            answer: What was accepted for it, or that there is no answer.
        """
        key = _key(question)
        with self._lock:
            if answer.final:
                _put(self._revoked, key, answer, self._most)
                return answer
            revoked = self._revoked.get(key)
            if revoked is not None and (revoked.final or not _newer(answer, revoked)):
                return revoked
            return answer if answer.this_update is None else self._dated(key, answer, answer.this_update)

    def _dated(self, key: _Key, answer: RevocationAnswer, this_update: datetime) -> RevocationAnswer:
        newest = self._newest.get(key, this_update)
        if this_update < newest:
            detail = f"thisUpdate {shown(this_update)}, after an answer of {shown(newest)} was seen"
            return RevocationAnswer(RevocationStatus.UNAVAILABLE, f"{key[0]}.rollback", detail, answer.source)
        _put(self._newest, key, this_update, self._most)
        if answer.status is RevocationStatus.REVOKED:
            _put(self._revoked, key, answer, self._most)
        elif answer.status is RevocationStatus.GOOD:
            self._revoked.pop(key, None)  # the hold is lifted
        return answer


def _key(question: OCSPQuestion | CRLQuestion) -> _Key:
    issuer, certificate, rule = question.issuer, question.certificate, question.rule
    return rule.area, issuer.spki_sha256, certificate.layout.issuer, certificate.serial_number, _trust(rule)


def _trust(rule: OCSPRule | CRLRule) -> _Trust:
    if isinstance(rule, CRLRule):
        return rule.allow_sha1, rule.distribution_point, frozenset()
    return rule.allow_sha1, rule.responder, frozenset(rule.responders)


def _newer(answer: RevocationAnswer, than: RevocationAnswer) -> bool:
    return answer.this_update is not None and than.this_update is not None and answer.this_update > than.this_update


def _put(memory: OrderedDict[_Key, _T], key: _Key, value: _T, most: int) -> None:
    memory[key] = value
    if len(memory) > most:
        memory.popitem(last=False)
