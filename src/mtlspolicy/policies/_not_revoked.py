"""NotRevoked: no certificate of the path is revoked, by facts that an edge or the caller has looked up.

It fetches nothing and reads neither response nor CRL: `mtlspolicy.revocation` makes answers, and here they are weighed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import timedelta
from typing import Final

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence, Need
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy
from mtlspolicy._revocation import (
    CLOCK_SKEW,
    CRL_MAX_AGE,
    MAX_AGE,
    CRLQuestion,
    CRLRule,
    OCSPQuestion,
    OCSPRule,
    RevocationQuestion,
)
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._input import CertificateInput, certificate_of, require_duration
from mtlspolicy.policies._not_revoked_delegate import finding_with_delegate
from mtlspolicy.policies._revocation_findings import (
    DOUBT,
    NOT_ASKED,
    Finding,
    declared_areas,
    either_of,
    exemption,
)

__all__ = ["NotRevoked"]

_RULES: Final = {
    "ocsp": "OCSP",
    "crl": "CRL",
    "either": "OCSP or CRL",
    "both": "OCSP and CRL",
    "declared": "as declared",
}
_VERDICTS: Final = (*(Verdict.PERMIT,) * 3, *(Verdict.INDETERMINATE,) * 2, Verdict.DENY)
"""By weight of the gravest finding."""
_NO_ISSUER: Final = (
    "the peer is itself the trust anchor, so that no issuer could revoke it: take it out of the store when it must go, "
    "and let it in by another alternative, as policies.CertificatePin"
)


@dataclass(frozen=True, slots=True, repr=False)
class NotRevoked(Policy):
    """No certificate of the path is revoked: every one but the anchor, or the end entity alone.

    GOOD permits and REVOKED denies. UNKNOWN (the responder does not know the certificate) and UNAVAILABLE (no answer to
    rely on) are INDETERMINATE; trying again may mend the latter. REVOKED is revoked whatever its time, but where the
    caller of `Verifier.decide` gives ``at``: then it counts from the date of revocation or invalidity on. It does not
    say who the peer is.

    Not asked about: an end entity with noRevAvail (RFC 9608), and one that lives no longer than *short_lived*. Where
    the peer is itself the trust anchor there is nobody to ask, which is INDETERMINATE.

    An OCSP responder that the issuer has certified without id-pkix-ocsp-nocheck is asked about as well (RFC 6960,
    section 4.2.2.2.1): by OCSP and CRL, as its certificate names them, where one GOOD is enough. Revoked, nothing that
    it says counts, for soft rules too (``ocsp.delegate-revoked``); where its status is not to be had, the answer is
    ``ocsp.delegate-unavailable``, and a soft rule admits unless the responder spoke against the certificate.

    Args:
        rule: Which answers are required, for each certificate: ``"ocsp"`` (RFC 6960), ``"crl"`` (RFC 5280, section 5),
            ``"either"``: one GOOD is enough, and REVOKED by either denies; ``"both"``; ``"declared"``: by a method that
            the certificate names, and nothing where it names none.
        soft: Whether UNAVAILABLE admits, and it alone. The decision says so, ``ocsp.soft`` or ``crl.soft``. A question
            that nobody was asked (no resolver, or one that had no time) is still INDETERMINATE.
        scope: ``"path"``: every certificate but the anchor; ``"end-entity"``: the peer's own alone.
        responder: URL to ask instead of the one that a certificate names.
        responders: Certificates whose keys may sign responses besides the issuer and its delegates.
        distribution_point: URL of the CRL instead of those that a certificate names.
        max_age: Oldest thisUpdate of an OCSP response, whatever nextUpdate says. Default 24 hours.
        crl_max_age: Oldest thisUpdate of a CRL. Default 10 days.
        clock_skew: How far a responder's clock and this one may differ. Default 5 minutes.
        allow_sha1: Whether responses and CRLs may be signed with SHA-1.
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
    distribution_point: str | None = None
    max_age: timedelta = MAX_AGE
    crl_max_age: timedelta = CRL_MAX_AGE
    clock_skew: timedelta = CLOCK_SKEW
    allow_sha1: bool = False
    require_nonce: bool = False
    short_lived: timedelta | None = None
    _ocsp: OCSPRule = field(init=False, compare=False)
    _crl: CRLRule = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for what is no rule, and put the rules of acceptance together."""
        if self.rule not in _RULES:
            known = ", ".join(map(repr, _RULES))
            raise ConfigurationError(f"NotRevoked({self.rule!r}) is no rule by name: say one of {known}")
        if self.scope not in {"path", "end-entity"}:
            raise ConfigurationError(f"NotRevoked: scope={self.scope!r} is neither 'path' nor 'end-entity'")
        for name in ("soft", "allow_sha1", "require_nonce"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"NotRevoked: {name}={getattr(self, name)!r} is neither True nor False")
        if self.short_lived is not None:
            require_duration(self.short_lived, "NotRevoked: short_lived")
        self._require_used()
        if isinstance(self.responders, bytes | str) or not hasattr(self.responders, "__iter__"):
            raise ConfigurationError("NotRevoked: responders takes a list of certificates")
        named = tuple(certificate_of(one, "NotRevoked: responders") for one in self.responders)
        by_ocsp = OCSPRule(
            self.allow_sha1, self.responder, named, self.max_age, self.clock_skew, self.require_nonce
        )  # fmt: skip
        by_crl = CRLRule(self.allow_sha1, self.distribution_point, self.crl_max_age, self.clock_skew)
        object.__setattr__(self, "responders", named)
        object.__setattr__(self, "_ocsp", by_ocsp)
        object.__setattr__(self, "_crl", by_crl)

    def _require_used(self) -> None:
        """Raise `ConfigurationError` for an argument that the rule never looks at: its author expects that it does."""
        unused = {
            "crl": ("responder", "responders", "max_age", "require_nonce"),
            "ocsp": ("distribution_point", "crl_max_age"),
        }
        for name in unused.get(self.rule, ()):
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise ConfigurationError(
                    f"NotRevoked({self.rule!r}) never looks at {name}=: leave it out, or say 'either' or 'both'"
                )

    @property
    def _soft(self) -> bool:  # type: ignore[override]  # of the class elsewhere; here it is said to the constructor
        return self.soft

    def __repr__(self) -> str:
        scope = "every certificate but the anchor" if self.scope == "path" else "end entity"
        said = [f"{one.name}={getattr(self, one.name)!s}" for one in fields(self)[3:-2] if self._differs(one.name)]
        return f"NotRevoked({', '.join([scope, _RULES[self.rule], *(['soft'] if self.soft else []), *said])})"

    def _differs(self, name: str) -> bool:
        return bool(getattr(self, name) != getattr(_DEFAULTS, name))

    def requires(self, path: CertificationPath) -> tuple[Need, ...]:
        """Return the needs for each certificate that is asked about."""
        return tuple(
            question.need
            for certificate, issuer in self._pairs(path)
            if exemption(certificate, path, self.short_lived) is None
            for question in self._questions(certificate, issuer)
        )

    def _pairs(self, path: CertificationPath) -> list[tuple[ParsedCertificate, ParsedCertificate]]:
        pairs = list(zip(path.certificates, path.certificates[1:], strict=False))
        return pairs if self.scope == "path" else pairs[:1]

    def _questions(self, certificate: ParsedCertificate, issuer: ParsedCertificate) -> Iterator[RevocationQuestion]:
        areas: tuple[str, ...] = (self.rule,) if self.rule in {"ocsp", "crl"} else ("ocsp", "crl")
        if self.rule == "declared":
            try:
                areas = tuple(sorted(declared_areas(certificate), reverse=True))
            except MalformedEvidence:
                areas = ()
        for area in areas:
            if area == "ocsp":
                yield OCSPQuestion(certificate, issuer, self._ocsp)
            else:
                yield CRLQuestion(certificate, issuer, self._crl)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return what the gravest answer comes to."""
        findings = [
            exemption(certificate, evidence.path, self.short_lived) or self._finding(certificate, issuer, evidence)
            for certificate, issuer in self._pairs(evidence.path)
        ] or [Finding(DOUBT, "revocation.not-applicable", _NO_ISSUER)]
        gravest = max(findings, key=lambda one: one.weight)
        verdict = _VERDICTS[gravest.weight]
        if verdict is Verdict.PERMIT:
            return self.permit(gravest.code, "; ".join(one.detail for one in findings))
        if verdict is Verdict.DENY:
            return self.deny(gravest.code, gravest.detail)
        needs = tuple(need for one in findings for need in one.needs)
        return self.indeterminate(gravest.code, gravest.detail, needs=needs)

    def _finding(self, certificate: ParsedCertificate, issuer: ParsedCertificate, evidence: Evidence) -> Finding:
        """Return what the answers about one certificate come to, by the rule."""
        found = [
            finding_with_delegate(one, evidence, soft=self.soft, crl_rule=self._crl)
            for one in self._questions(certificate, issuer)
        ]
        if not found:
            return self._nothing_declared(certificate)
        if self.rule != "both":
            return either_of(found)
        gravest = max(found, key=lambda one: one.weight)
        needs = tuple(need for one in found for need in one.needs)
        return Finding(gravest.weight, gravest.code, "; ".join(one.detail for one in found), needs)

    def _nothing_declared(self, certificate: ParsedCertificate) -> Finding:
        try:
            declared_areas(certificate)
        except MalformedEvidence as error:
            return Finding(DOUBT, "revocation.pointers", f"{certificate}: {error}")
        detail = f"{certificate} names neither an OCSP responder nor a CRL and was not asked about"
        return Finding(NOT_ASKED, "revocation.not-declared", detail)


_DEFAULTS: Final = NotRevoked()
