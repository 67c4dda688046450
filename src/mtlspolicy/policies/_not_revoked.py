"""NotRevoked: no certificate of the path is revoked, by facts that an edge or the caller has looked up.

It fetches nothing and reads no response: `mtlspolicy.revocation` makes answers, and here they are weighed. REVOKED is
revoked whatever its time; comparing it with the time of a historical evaluation is deliberately not done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import timedelta
from typing import Final, NamedTuple

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._der import SEQUENCE, element, elements
from mtlspolicy._evidence import Evidence, Need, RevocationStatus
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy
from mtlspolicy._revocation import CLOCK_SKEW, MAX_AGE, OCSPRule, RevocationAnswer, RevocationQuestion, shown
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._input import CertificateInput, certificate_of, require_duration

__all__ = ["NotRevoked"]

_LATER: Final = frozenset({"crl", "either", "both", "declared"})
_NO_REV_AVAIL: Final = "2.5.29.56"
_BASIC_CONSTRAINTS: Final = "2.5.29.19"
_POINTERS: Final = {"2.5.29.31": "cRLDistributionPoints", "2.5.29.46": "freshestCRL"}
_ACCESS: Final = "1.3.6.1.5.5.7.1.1"
_NULL: Final = b"\x05\x00"
_NO_ISSUER: Final = (
    "the peer is itself the trust anchor, so that no issuer could revoke it: take it out of the store when it must go, "
    "and let it in by another alternative, as policies.CertificatePin"
)


class _Finding(NamedTuple):
    """What one certificate comes to. The gravest finding is the decision's.

    ``weight``: 0 good, 1 not asked about, 2 soft, 3 no answer, 4 a doubt that no answer mends, 5 revoked.
    """

    weight: int
    code: str
    detail: str
    need: Need | None = None


_VERDICTS: Final = (*(Verdict.PERMIT,) * 3, *(Verdict.INDETERMINATE,) * 2, Verdict.DENY)


@dataclass(frozen=True, slots=True, repr=False)
class NotRevoked(Policy):
    """No certificate of the path is revoked: every one but the anchor, or the end entity alone.

    GOOD permits and REVOKED denies. UNKNOWN (the responder does not know the certificate) and UNAVAILABLE (no answer to
    rely on) are INDETERMINATE; trying again may mend the latter. It does not say who the peer is.

    Not asked about: an end entity with noRevAvail (RFC 9608), and one that lives no longer than *short_lived*. Where
    the peer is itself the trust anchor there is nobody to ask, which is INDETERMINATE.

    Args:
        rule: ``"ocsp"``: an OCSP response (RFC 6960) is required. This version has no other.
        soft: Whether UNAVAILABLE admits, and it alone. The decision says so, ``ocsp.soft``. A question that nobody was
            asked (no resolver, or one that had no time) is still INDETERMINATE.
        scope: ``"path"``: every certificate but the anchor; ``"end-entity"``: the peer's own alone.
        responder: URL to ask instead of the one that a certificate names.
        responders: Certificates whose keys may sign responses besides the issuer and its delegates.
        max_age: Oldest thisUpdate, whatever nextUpdate says. Default 24 hours.
        clock_skew: How far a responder's clock and this one may differ. Default 5 minutes.
        allow_sha1: Whether responses may be signed with SHA-1.
        require_nonce: Whether a response must repeat the nonce of a request; responses at hand never do.
        short_lived: Longest lifetime of an end entity that is not asked about; ``None``: all are.

    Raises:
        ConfigurationError: A value is not one of these.
    """

    rule: str = "ocsp"
    _: KW_ONLY
    soft: bool = False
    scope: str = "path"
    responder: str | None = None
    responders: tuple[CertificateInput, ...] = ()
    max_age: timedelta = MAX_AGE
    clock_skew: timedelta = CLOCK_SKEW
    allow_sha1: bool = False
    require_nonce: bool = False
    short_lived: timedelta | None = None
    _acceptance: OCSPRule = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for what is no rule, and put the responses' own rule together."""
        if self.rule in _LATER:
            raise ConfigurationError(f"NotRevoked({self.rule!r}): this version asks by OCSP; say NotRevoked('ocsp')")
        if self.rule != "ocsp":
            raise ConfigurationError(f"NotRevoked({self.rule!r}) is no rule by name: say NotRevoked('ocsp')")
        if self.scope not in {"path", "end-entity"}:
            raise ConfigurationError(f"NotRevoked: scope={self.scope!r} is neither 'path' nor 'end-entity'")
        for name in ("soft", "allow_sha1", "require_nonce"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"NotRevoked: {name}={getattr(self, name)!r} is neither True nor False")
        if self.short_lived is not None:
            require_duration(self.short_lived, "NotRevoked: short_lived")
        if isinstance(self.responders, bytes | str) or not hasattr(self.responders, "__iter__"):
            raise ConfigurationError("NotRevoked: responders takes a list of certificates")
        named = tuple(certificate_of(one, "NotRevoked: responders") for one in self.responders)
        acceptance = OCSPRule(
            self.allow_sha1, self.responder, named, self.max_age, self.clock_skew, self.require_nonce
        )  # fmt: skip
        object.__setattr__(self, "responders", named)
        object.__setattr__(self, "_acceptance", acceptance)

    @property
    def _soft(self) -> bool:  # type: ignore[override]  # of the class elsewhere; here it is said to the constructor
        return self.soft

    def __repr__(self) -> str:
        scope = "every certificate but the anchor" if self.scope == "path" else "end entity"
        told = [f"{one.name}={getattr(self, one.name)!s}" for one in fields(self)[3:-1] if self._differs(one.name)]
        return f"NotRevoked({', '.join([scope, 'OCSP', *(['soft'] if self.soft else []), *told])})"

    def _differs(self, name: str) -> bool:
        return bool(getattr(self, name) != getattr(_DEFAULTS, name))

    def requires(self, path: CertificationPath) -> tuple[Need, ...]:
        """Return one need for each certificate that is asked about."""
        return tuple(question.need for question in self._questions(path) if not self._exempt(question, path))

    def _questions(self, path: CertificationPath) -> Iterator[RevocationQuestion]:
        pairs = list(zip(path.certificates, path.certificates[1:], strict=False))
        for certificate, issuer in pairs if self.scope == "path" else pairs[:1]:
            yield RevocationQuestion(certificate, issuer, self._acceptance)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return what the gravest answer comes to."""
        findings = [
            self._exempt(question, evidence.path) or self._finding(question, evidence)
            for question in self._questions(evidence.path)
        ] or [_Finding(4, "revocation.not-applicable", _NO_ISSUER)]
        gravest = max(findings, key=lambda one: one.weight)
        verdict = _VERDICTS[gravest.weight]
        if verdict is Verdict.PERMIT:
            return self.permit(gravest.code, "; ".join(one.detail for one in findings))
        if verdict is Verdict.DENY:
            return self.deny(gravest.code, gravest.detail)
        needs = tuple(one.need for one in findings if one.need is not None)
        return self.indeterminate(gravest.code, gravest.detail, needs=needs)

    def _exempt(self, question: RevocationQuestion, path: CertificationPath) -> _Finding | None:
        """Return why *question* is not asked, or what is wrong with the certificate's claim to that, else ``None``."""
        certificate = question.certificate
        end_entity = certificate is path.end_entity
        try:
            misuse = _misuse(certificate, end_entity=end_entity)
            if misuse is not None:
                return _Finding(4, "revocation.no-rev-avail-misused", f"noRevAvail of {certificate}: {misuse}")
            if certificate.extension_value(_NO_REV_AVAIL) is not None:
                return _Finding(1, "revocation.no-rev-avail", f"{certificate} says noRevAvail and was not asked about")
        except MalformedEvidence:
            return None  # what cannot be read excuses from nothing
        lifetime = certificate.not_after - certificate.not_before
        if end_entity and self.short_lived is not None and lifetime <= self.short_lived:
            return _Finding(1, "revocation.short-lived", f"{certificate} lives {lifetime} and was not asked about")
        return None

    def _finding(self, question: RevocationQuestion, evidence: Evidence) -> _Finding:
        need, certificate = question.need, question.certificate
        fact = evidence.fact(need)
        if fact is None:
            return _Finding(3, "ocsp.unavailable", f"{certificate}: nothing was looked up", need)
        answer = fact.value
        if not isinstance(answer, RevocationAnswer):
            kind = type(answer).__name__
            return _Finding(4, "ocsp.not-an-answer", f"{certificate}: {kind} is no RevocationAnswer")
        origin = f" ({answer.source})" if answer.source else ""
        if answer.status is RevocationStatus.REVOKED:
            return _Finding(5, "ocsp.revoked", f"{certificate} is revoked{_circumstances(answer)}{origin}")
        if answer.status is RevocationStatus.UNKNOWN:
            code = "ocsp.contradictory" if answer.code == "ocsp.contradictory" else "ocsp.unknown"
            return _Finding(4, code, f"{certificate}: {answer.detail or 'the responder does not know it'}{origin}")
        if answer.status is RevocationStatus.UNAVAILABLE:
            reason = f"{certificate}: {answer.code or 'no answer'}: {answer.detail}{origin}"
            if self.soft:
                return _Finding(2, "ocsp.soft", f"admitted without an answer, by soft=True; {reason}")
            return _Finding(3, "ocsp.unavailable", reason, need)
        lapse = answer.lapsed(self._acceptance, evidence.at)
        if lapse is not None:
            return _Finding(3, "ocsp.unavailable", f"{certificate}: {lapse[0]}: {lapse[1]}{origin}", need)
        until = "" if answer.next_update is None else f" until {shown(answer.next_update)}"
        return _Finding(0, "ocsp.good", f"{certificate} is good{until}{origin}")


def _circumstances(answer: RevocationAnswer) -> str:
    parts = "" if answer.revoked_at is None else f" since {shown(answer.revoked_at)}"
    parts += "" if answer.reason is None else f", {answer.reason}"
    return parts + ("" if answer.invalidity_date is None else f", key unsafe since {shown(answer.invalidity_date)}")


def _misuse(certificate: ParsedCertificate, *, end_entity: bool) -> str | None:
    """Return what RFC 9608 forbids of the noRevAvail that *certificate* has, or ``None``; also where it has none."""
    value = certificate.extension_value(_NO_REV_AVAIL)
    if value is None:
        return None
    constraints = certificate.extension_value(_BASIC_CONSTRAINTS)
    if not end_entity or (constraints is not None and constraints != b"\x30\x00"):
        return "only an end entity may have it (section 3)"
    if value != _NULL or _NO_REV_AVAIL in certificate.critical:
        return "it must be NULL, and not critical (section 2)"
    pointers = [name for oid, name in _POINTERS.items() if certificate.extension_value(oid) is not None]
    if _names_responder(certificate):
        pointers.append("authorityInfoAccess with OCSP")
    return f"not beside {', '.join(pointers)} (section 3)" if pointers else None


def _names_responder(certificate: ParsedCertificate) -> bool:
    """Return whether the certificate names an OCSP responder, or has an authorityInfoAccess that cannot be read."""
    value = certificate.extension_value(_ACCESS)
    if value is None:
        return False
    try:
        tag, start, end = element(value, 0, len(value))
        methods = [elements(value, at, stop)[0] for _, at, stop in elements(value, start, end)]
    except (MalformedEvidence, IndexError):
        return True
    return tag != SEQUENCE or any(value[at:stop] == _OCSP_METHOD for _, at, stop in methods)


_OCSP_METHOD: Final = bytes.fromhex("2b06010505073001")
"""Content of the object identifier id-ad-ocsp, 1.3.6.1.5.5.7.48.1."""
_DEFAULTS: Final = NotRevoked()
