"""What is asked about a certificate's revocation and what an answer says: values that policy and interpreters share.

Nothing here reads a response or decides on a peer; it only says when an answer that was accepted has become too old.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import ClassVar, Final, TypeAlias

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._evidence import Need, RevocationStatus
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError

__all__ = ["CRLQuestion", "CRLRule", "OCSPQuestion", "OCSPRule", "RevocationAnswer", "RevocationQuestion"]

OCSP: Final = "revocation.ocsp"
"""The kind of the needs for OCSP; a `Resolver` takes the source of answers under it."""
CRL: Final = "revocation.crl"
"""The kind of the needs for CRLs."""
MAX_AGE: Final = timedelta(hours=24)
"""Oldest thisUpdate that is accepted, whatever nextUpdate says: what a replayed answer can hide is bounded by it."""
CRL_MAX_AGE: Final = timedelta(days=10)
"""The same for CRLs: the longest life of one that the CA/Browser Forum allows (Baseline Requirements, 4.9.7)."""
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the clocks of responder and reader may differ; what `openssl ocsp -validity_period` defaults to."""

_URL: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?:/[!-~]*)?", re.ASCII)
_NOT_FOR_EVER: Final = frozenset({"certificateHold", "removeFromCRL"})


def _require_terms(max_age: timedelta, clock_skew: timedelta) -> None:
    if not isinstance(max_age, timedelta) or max_age <= timedelta(0):
        raise ConfigurationError(f"max_age={max_age!r}: give a timedelta of more than zero")
    if not isinstance(clock_skew, timedelta) or clock_skew < timedelta(0):
        raise ConfigurationError(f"clock_skew={clock_skew!r}: give a timedelta of zero or more")


def _require_url(name: str, url: str | None, example: str) -> None:
    if url is not None and not (isinstance(url, str) and len(url) <= 2048 and _URL.fullmatch(url)):
        raise ConfigurationError(
            f"{name}={quoted(str(url), 200)}: give an http or https URL in ASCII without user name, such as {example!r}"
        )


@dataclass(frozen=True, slots=True)
class OCSPRule:
    """Which OCSP responses the asker accepts. Part of the question, so that no answer serves under another rule.

    Attributes:
        allow_sha1: Whether responses, and certificates of delegates, may be signed with SHA-1.
        responder: URL to ask instead of the one in the certificate; ``None``: that one. Not used offline.
        responders: Certificates whose keys may sign besides the issuer and its delegates.
        max_age: Oldest thisUpdate, whatever nextUpdate says.
        clock_skew: How far the responder's clock and this one may differ.
        require_nonce: Whether the response must repeat the request's nonce (RFC 9654); no prepared response does.
    """

    area: ClassVar[str] = "ocsp"

    allow_sha1: bool = False
    responder: str | None = None
    responders: tuple[ParsedCertificate, ...] = ()
    max_age: timedelta = MAX_AGE
    clock_skew: timedelta = CLOCK_SKEW
    require_nonce: bool = False

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a value that can never be right."""
        _require_terms(self.max_age, self.clock_skew)
        _require_url("responder", self.responder, "http://ocsp.example.com/")
        if type(self.responders) is not tuple or not all(type(one) is ParsedCertificate for one in self.responders):
            raise ConfigurationError("responders: give a tuple of parsed certificates, as policies.NotRevoked does")


DEFAULT_RULE: Final = OCSPRule()


@dataclass(frozen=True, slots=True)
class CRLRule:
    """Which CRLs the asker accepts. Part of the question, so that no answer serves under another rule.

    Attributes:
        allow_sha1: Whether CRLs may be signed with SHA-1.
        distribution_point: URL to fetch from instead of those in the certificate; ``None``: those. Not used offline.
        max_age: Oldest thisUpdate, whatever nextUpdate says.
        clock_skew: How far the issuer's clock and this one may differ.
    """

    area: ClassVar[str] = "crl"

    allow_sha1: bool = False
    distribution_point: str | None = None
    max_age: timedelta = CRL_MAX_AGE
    clock_skew: timedelta = CLOCK_SKEW

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a value that can never be right."""
        _require_terms(self.max_age, self.clock_skew)
        _require_url("distribution_point", self.distribution_point, "http://crl.example.com/ca.crl")


DEFAULT_CRL_RULE: Final = CRLRule()


@dataclass(frozen=True, slots=True)
class OCSPQuestion:
    """Is *certificate*, issued by *issuer*, revoked? The answer must be one that *rule* accepts.

    Attributes:
        certificate: The certificate in question.
        issuer: Its issuer on a path that was validated; nothing is verified here.
        rule: The asker's own rule of acceptance.
        delegate: Whether *certificate* is a responder's on whose word another answer hangs. Then no responder that
            would have to be asked about itself may answer: what hangs on another answer hangs on that one alone.
    """

    certificate: ParsedCertificate
    issuer: ParsedCertificate
    rule: OCSPRule = DEFAULT_RULE
    delegate: bool = False

    @property
    def need(self) -> Need:
        """The need whose fact is the `RevocationAnswer`."""
        return Need(OCSP, self, self.rule.max_age)


@dataclass(frozen=True, slots=True)
class CRLQuestion:
    """Is *certificate* on a CRL of its issuer? The CRL must be one that *rule* accepts.

    Attributes:
        certificate: The certificate in question.
        issuer: Its issuer on a path that was validated; nothing is verified here.
        rule: The asker's own rule of acceptance.
        delegate: Whether *certificate* is a responder's on whose word an answer hangs.
    """

    certificate: ParsedCertificate
    issuer: ParsedCertificate
    rule: CRLRule = DEFAULT_CRL_RULE
    delegate: bool = False

    @property
    def need(self) -> Need:
        """The need whose fact is the `RevocationAnswer`."""
        return Need(CRL, self, self.rule.max_age)


RevocationQuestion: TypeAlias = "OCSPQuestion | CRLQuestion"


@dataclass(frozen=True, slots=True)
class RevocationAnswer:
    """What is known of one certificate's revocation. Times are aware; hostile text in it is escaped where it is shown.

    Attributes:
        status: GOOD, REVOKED, UNKNOWN (the responder does not know it) or UNAVAILABLE (there is no answer to rely on).
        code: Reason code, of its own for each way in which a response is unusable.
        detail: Sentence for people.
        source: Where it came from, as text: a responder's URL, a file.
        this_update: When the status was known to be right; a GOOD answer must say it.
        next_update: When newer information is available at the latest; ``None``: not stated.
        produced_at: When the response was signed.
        revoked_at: When the certificate was revoked.
        reason: RFC 5280, section 5.3.1, as ``keyCompromise``; ``None`` where the responder states none.
        invalidity_date: Since when the key is known or suspected to be compromised; ``None``: not stated.
        claim: What a delegate says whose own certificate may be revoked: no answer to rely on, so that the status is
            UNAVAILABLE, until it is known that the delegate is not revoked. ``None`` for every other answer.
        delegate: That delegate's certificate.
        lifts: The hold, seen before, that a claim of GOOD would lift: nothing does before the delegate is known.
    """

    status: RevocationStatus
    code: str = ""
    detail: str = ""
    source: str = ""
    this_update: datetime | None = None
    next_update: datetime | None = None
    produced_at: datetime | None = None
    revoked_at: datetime | None = None
    reason: str | None = None
    invalidity_date: datetime | None = None
    claim: RevocationStatus | None = None
    delegate: ParsedCertificate | None = None
    lifts: RevocationAnswer | None = None

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for what is no status, a naive time, GOOD without a time, or half a claim."""
        if not isinstance(self.status, RevocationStatus):
            raise ConfigurationError(f"status={self.status!r}: give a RevocationStatus")
        if self.claim is not None or self.delegate is not None:
            self._require_claim()
        for moment in (self.this_update, self.next_update, self.produced_at, self.revoked_at, self.invalidity_date):
            if moment is not None and (not isinstance(moment, datetime) or moment.utcoffset() is None):
                raise ConfigurationError(f"{moment!r} is no aware datetime: give one, as with tzinfo=datetime.UTC")
        if self.told is RevocationStatus.GOOD and self.this_update is None:
            raise ConfigurationError("an answer GOOD says since when it is known: give this_update")

    def _require_claim(self) -> None:
        whole = isinstance(self.claim, RevocationStatus) and isinstance(self.delegate, ParsedCertificate)
        if not whole or self.status is not RevocationStatus.UNAVAILABLE:
            raise ConfigurationError("claim= goes with delegate=, and with the status UNAVAILABLE: nobody vouches yet")

    @property
    def told(self) -> RevocationStatus:
        """What was said, whether or not it counts: the claim of a delegate, else the status."""
        return self.status if self.claim is None else self.claim

    def vouched(self) -> RevocationAnswer:
        """Return the answer that a claim is where its delegate is not revoked; every other answer as it is."""
        if self.claim is None:
            return self
        code = f"ocsp.{self.claim.value}"
        return replace(self, status=self.claim, code=code, detail="", claim=None, delegate=None, lifts=None)

    def after(self, hold: RevocationAnswer | None) -> RevocationAnswer:
        """Return the answer, which says that it would lift *hold*, seen before, where it is a claim of GOOD."""
        return self if hold is None or self.claim is not RevocationStatus.GOOD else replace(self, lifts=hold)

    @property
    def final(self) -> bool:
        """Whether no later answer can be another one: revoked, and not on hold (RFC 5280, section 5.3.1)."""
        return self.status is RevocationStatus.REVOKED and self.reason not in _NOT_FOR_EVER

    def lapsed(self, rule: OCSPRule | CRLRule, at: datetime) -> tuple[str, str] | None:
        """Return code and sentence if the answer is too old for *rule* at the aware time *at*, else ``None``.

        A time to come is no lapse: an answer that arrives while a peer waits is newer than the decision's own time.
        """
        if self.this_update is not None and at - self.this_update > rule.max_age:
            return f"{rule.area}.too-old", f"thisUpdate {shown(self.this_update)} is older than max_age={rule.max_age}"
        if self.next_update is not None and at - self.next_update > rule.clock_skew:
            return f"{rule.area}.expired", f"nextUpdate {shown(self.next_update)} is over"
        return None


(_STATUS, _CODE, _DETAIL, _SOURCE, _THIS, _NEXT, _PRODUCED, *_OTHERS) = [
    getattr(RevocationAnswer, one.name).__set__ for one in fields(RevocationAnswer)
]
_GOOD: Final = RevocationStatus.GOOD


def good_answer(this_update: datetime, next_update: datetime, produced_at: datetime, source: str) -> RevocationAnswer:
    """Return the answer GOOD by OCSP with these times, which are aware.

    Filled in by hand, since the class takes three microseconds to find that what is right here by construction is so.
    """
    made: RevocationAnswer = object.__new__(RevocationAnswer)
    _STATUS(made, _GOOD)
    _CODE(made, "ocsp.good")
    _DETAIL(made, "")
    _SOURCE(made, source)
    _THIS(made, this_update)
    _NEXT(made, next_update)
    _PRODUCED(made, produced_at)
    for write in _OTHERS:
        write(made, None)
    return made


def shown(moment: datetime) -> str:
    """Return *moment* as text, in UTC where its offset is known, to the second."""
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")
