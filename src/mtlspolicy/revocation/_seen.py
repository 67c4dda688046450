"""Remembers in one process what was known of a certificate, so that no older answer takes the place of a newer one.

It verifies nothing: what it is told was accepted before. A first answer that is replayed within its age it cannot see.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Final, TypeAlias, TypeVar, cast

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._revocation import CRLQuestion, CRLRule, OCSPQuestion, OCSPRule, RevocationAnswer, shown
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._process_lock import ProcessLock

__all__ = ["Seen"]

_Key: TypeAlias = "tuple[str, str, bytes, int, _Trust]"
"""Area, issuer's key and name, serial number (whatever digest a CertID has), and whose word was taken."""
_Trust: TypeAlias = "tuple[bool, str | None, frozenset[ParsedCertificate]]"
"""Whether SHA-1 counts, the place that was named to ask, and who was named to sign."""
_Delegate: TypeAlias = "tuple[str, bool, frozenset[ParsedCertificate], ParsedCertificate]"
"""Issuer's key, whether SHA-1 counted, who was named to sign, and the delegate's certificate."""
_K = TypeVar("_K")
_T = TypeVar("_T")
MOST: Final = 100_000
"""Certificates remembered; those that are revoked have as many places of their own, which good ones cannot fill."""


class Seen:
    """The newest thisUpdate of each certificate, and who was revoked. Bounded; safe between threads.

    A revocation is for ever; a hold stands until an answer that is newer. What was seen counts for every question about
    the certificate under the same trust, whatever ages, clock skew or nonce its rule asks for. It does not count under
    another trust (SHA-1 allowed or not, other responders named), since there it may have been told by somebody whose
    word is not taken; and OCSP and CRL are kept apart, since their dates do not compare.

    A claim, the word of a delegate that may itself be revoked, makes nobody revoked and nothing else a rollback, and
    lifts no hold: a claim of GOOD says which one it would lift, until its delegate was seen good. One
    that says revoked stands as the claim it is, against no answer and against what is not newer: whoever weighs it asks
    about the delegate. Against the delegate's own later word it stands for ever; once the delegate was seen good, it is
    a revocation.

    Args:
        most: Certificates remembered, as many revoked ones besides, and as many claims. What was told first goes first.

    Raises:
        ConfigurationError: *most* is less than one.
    """

    def __init__(self, most: int = MOST) -> None:
        if most < 1:
            raise ConfigurationError(f"most={most!r}: remember at least one certificate")
        self._most = most
        self._newest: OrderedDict[_Key, datetime] = OrderedDict()
        self._revoked: OrderedDict[_Key, RevocationAnswer] = OrderedDict()
        self._claimed: OrderedDict[_Key, RevocationAnswer] = OrderedDict()
        self._claims: OrderedDict[tuple[_Key, ParsedCertificate], datetime] = OrderedDict()
        self._vouched: OrderedDict[_Delegate, None] = OrderedDict()
        self._lock = ProcessLock()

    def judged(self, question: OCSPQuestion | CRLQuestion, answer: RevocationAnswer) -> RevocationAnswer:
        """Return *answer*, or what stands in its place: a revocation seen before, or that it is older than one seen.

        Args:
            question: What was asked.
            answer: What was accepted for it, or that there is no answer.
        """
        key = _key(question)
        with self._lock:
            if question.delegate:
                self._learn_of(_of(key, question.certificate)[0], answer.status)
            if _forever(answer) and (answer.claim is None or self._is_vouched(key, answer)):
                answer = answer.vouched()
                _put(self._revoked, key, answer, self._most)
                return answer
            revoked = self._revoked.get(key)
            if revoked is not None and (revoked.final or not _newer(answer, revoked)):
                return revoked
            claimed = self._claimed.get(key)
            if claimed is not None and _stands(claimed, answer):
                return claimed
            answer = answer.after(revoked or claimed)
            return answer if answer.this_update is None else self._dated(key, answer, answer.this_update)

    def _learn_of(self, delegate: _Delegate, status: RevocationStatus) -> None:
        """Take the revocations that a good delegate has told of for what they are; a revoked one tells of no more."""
        if status is RevocationStatus.REVOKED:
            self._vouched.pop(delegate, None)
        elif status is RevocationStatus.GOOD:
            for key, claim in [] if delegate in self._vouched else list(self._claimed.items()):
                if delegate in _of(key, _delegate_of(claim)) and _forever(claim):
                    _put(self._revoked, key, claim.vouched(), self._most)
            _put(self._vouched, delegate, None, self._most)

    def _dated(self, key: _Key, answer: RevocationAnswer, this_update: datetime) -> RevocationAnswer:
        newest, delegate = self._newest.get(key, this_update), answer.delegate
        if delegate is not None:
            newest = max(newest, self._claims.get((key, delegate), newest))
        if this_update < newest and not _forever(answer):
            detail = f"thisUpdate {shown(this_update)}, after an answer of {shown(newest)} was seen"
            return RevocationAnswer(RevocationStatus.UNAVAILABLE, f"{key[0]}.rollback", detail, answer.source)
        if delegate is not None:
            _put(self._claims, (key, delegate), max(this_update, newest), self._most)
            if answer.claim is RevocationStatus.REVOKED:
                _put(self._claimed, key, answer, self._most)
            elif answer.claim is RevocationStatus.GOOD and self._lifts(key, answer):
                self._claimed.pop(key, None)
            return answer
        _put(self._newest, key, this_update, self._most)
        if answer.status is RevocationStatus.REVOKED:
            _put(self._revoked, key, answer, self._most)
        elif answer.status is RevocationStatus.GOOD:
            self._revoked.pop(key, None)  # the hold is lifted
            self._claimed.pop(key, None)
        return answer

    def _lifts(self, key: _Key, answer: RevocationAnswer) -> bool:
        """Return whether the claim *answer* lifts a hold: of the same delegate, which was seen good."""
        claimed = self._claimed.get(key)
        return claimed is not None and claimed.delegate == answer.delegate and self._is_vouched(key, answer)

    def _is_vouched(self, key: _Key, claim: RevocationAnswer) -> bool:
        return any(one in self._vouched for one in _of(key, _delegate_of(claim)))


def _key(question: OCSPQuestion | CRLQuestion) -> _Key:
    issuer, certificate, rule = question.issuer, question.certificate, question.rule
    return rule.area, issuer.spki_sha256, certificate.layout.issuer, certificate.serial_number, _trust(rule)


def _trust(rule: OCSPRule | CRLRule) -> _Trust:
    if isinstance(rule, CRLRule):
        return rule.allow_sha1, rule.distribution_point, frozenset()
    return rule.allow_sha1, rule.responder, frozenset(rule.responders)


def _delegate_of(claim: RevocationAnswer) -> ParsedCertificate:
    return cast("ParsedCertificate", claim.delegate)  # every claim has one


def _of(key: _Key, delegate: ParsedCertificate) -> tuple[_Delegate, ...]:
    """Return by whose words *delegate* is known under the trust of *key*: of those named there, and of the CA alone."""
    sha1, _, named = key[4]
    own: _Delegate = (key[1], sha1, frozenset(), delegate)
    return ((key[1], sha1, named, delegate), own) if named else (own,)


def _stands(claimed: RevocationAnswer, answer: RevocationAnswer) -> bool:
    """Return whether a claim of REVOKED seen before stands in the place of *answer*."""
    if _forever(answer):
        return False
    own = answer.delegate == claimed.delegate
    if _forever(claimed) and (own or answer.claim is RevocationStatus.REVOKED):
        return True
    return not _newer(answer, claimed)


def _forever(answer: RevocationAnswer) -> bool:
    """Return whether *answer*, a claim or not, tells of a revocation that is no hold."""
    return answer.vouched().final


def _newer(answer: RevocationAnswer, than: RevocationAnswer) -> bool:
    return answer.this_update is not None and than.this_update is not None and answer.this_update > than.this_update


def _put(memory: OrderedDict[_K, _T], key: _K, value: _T, most: int) -> None:
    memory[key] = value
    if len(memory) > most:
        memory.popitem(last=False)
