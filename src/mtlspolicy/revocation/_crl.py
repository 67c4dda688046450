"""Reads a CRL (RFC 5280, section 6.3) into an answer to one question, or into the reason why it answers nothing.

Pure and total for bytes: no network, no clock, no memory of earlier CRLs. Delta CRLs, CRLs for some reasons only and
CRLs that somebody else than the certificate's issuer signs are refused by name.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._der import element
from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._keys import weakness
from mtlspolicy._revocation import DEFAULT_CRL_RULE, CRLQuestion, CRLRule, RevocationAnswer, shown
from mtlspolicy._revocation_pointers import distribution_points
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._input import CertificateInput, certificate_of
from mtlspolicy.revocation._crl_index import INVALIDITY_DATE, REASON, Entry
from mtlspolicy.revocation._crl_layout import CRL_NUMBER, ISSUING_DISTRIBUTION_POINT, moment
from mtlspolicy.revocation._crl_list import RevocationList
from mtlspolicy.revocation._unusable import Unusable

__all__ = ["RevocationList", "crl_question", "read_crl"]

_DELTA: Final = "2.5.29.27"
_AUTHORITY_KEY: Final = "2.5.29.35"
_UNDERSTOOD: Final = frozenset({CRL_NUMBER, ISSUING_DISTRIBUTION_POINT, _DELTA, _AUTHORITY_KEY})
_REASONS: Final = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}
"""RFC 5280, section 5.3.1; 7 is not used."""
_REMOVED: Final = "removeFromCRL"
_NOT_DEFINED: Final = "not defined"
_ENUMERATED: Final = 0x0A
_DIRECTORY_NAME: Final = 0xA4
_NONE: Final = timedelta(0)


def crl_question(
    certificate: CertificateInput, issuer: CertificateInput, rule: CRLRule = DEFAULT_CRL_RULE
) -> CRLQuestion:
    """Return the question whether *certificate* is on a CRL of *issuer*; that *issuer* did issue it is not verified.

    Raises:
        ConfigurationError: One of them is no certificate that can be read.
    """
    what = "crl_question"
    return CRLQuestion(certificate_of(certificate, what), certificate_of(issuer, what), rule)


def read_crl(crl: RevocationList | bytes, question: CRLQuestion, *, at: datetime, source: str = "") -> RevocationAnswer:
    """Return what *crl* says about the certificate in question, under the question's own rule.

    A CRL that is unusable in whatever way gives UNAVAILABLE with a code for that way. A certificate that is listed is
    REVOKED however old the CRL is, or however far ahead of a slow clock, and whatever part of the issuer's certificates
    the CRL is about; a hold needs a current one, and GOOD a current one that is about this certificate.

    Args:
        crl: A CRL, parsed, or DER or PEM. One that is asked about more than once should be parsed.
        question: Which certificate, by which issuer, under which rule.
        at: The aware time at which dates must be right.
        source: Where the CRL came from, for people; what `RevocationList.parse` was given counts where this is empty.

    Raises:
        ConfigurationError: *at* is naive.
    """
    if at.utcoffset() is None:
        raise ConfigurationError("at= is a naive datetime: give one with a time zone, such as datetime.now(UTC)")
    try:
        parsed = crl if isinstance(crl, RevocationList) else RevocationList.parse(crl, source=source)
        source = source or parsed.source
        return _answer(parsed, question, at, source)
    except Unusable as problem:
        code, detail = problem.code, str(problem)
    except MalformedEvidence as error:
        code = error.code if error.code.startswith("crl.") else "crl.malformed"
        detail = f"not a CRL that can be read: {escape(str(error), 200)}"
    return RevocationAnswer(RevocationStatus.UNAVAILABLE, code, detail, source)


def _answer(crl: RevocationList, question: CRLQuestion, at: datetime, source: str) -> RevocationAnswer:
    _require_issuer(crl, question)
    _require_understood(crl)
    entries = crl.entries_of(question.certificate.serial_number)
    if entries:
        answer = _revoked(crl, entries, source)
    else:
        _require_scope(crl, question.certificate)
        answer = RevocationAnswer(
            RevocationStatus.GOOD, "crl.good", source=source, this_update=crl.this_update, next_update=crl.next_update
        )
    if not answer.final:
        _require_current(crl, answer, question, at)
    return answer


def _require_issuer(crl: RevocationList, question: CRLQuestion) -> None:
    """Return if the certificate's issuer has signed *crl*, under its name, and may.

    Raises:
        Unusable: It has not, or may not.
    """
    issuer = question.issuer
    if crl.issuer != question.certificate.layout.issuer:
        raise Unusable("crl.other-issuer", "the CRL is of another issuer than the certificate")
    signed = crl.signed
    if not crl.one_algorithm:
        # RFC 5280, section 5.1.1.2: "This field MUST contain the same algorithm identifier as the signature field"
        raise Unusable("crl.algorithm-mismatch", "the CRL names two signature algorithms")
    if not signed.family:
        raise Unusable("crl.signature-algorithm", f"signature algorithm {_oid(crl)} is not accepted")
    if signed.digest == "sha1" and not question.rule.allow_sha1:
        raise Unusable("crl.sha1", "signed with SHA-1; where the issuer has nothing better, say allow_sha1=True")
    if not _may_sign(issuer):
        raise Unusable("crl.issuer-key-usage", f"keyUsage of {issuer} does not allow CRLs (cRLSign)")
    weak = weakness(issuer)
    if weak is not None:
        raise Unusable("crl.issuer-weak-key", f"the issuer {issuer} has {weak}")
    if not crl.signed_by(issuer):
        raise Unusable("crl.signature", f"the signature is not that of {issuer}")


def _oid(crl: RevocationList) -> str:
    try:
        return crl.signed.oid
    except MalformedEvidence:
        return "that cannot be read"


def _may_sign(issuer: ParsedCertificate) -> bool:
    """Return whether keyUsage allows CRLs; where there is none it restricts nothing (RFC 5280, section 6.3.3, f)."""
    try:
        usage = issuer.extension(x509.KeyUsage)
    except MalformedEvidence:
        return False
    return usage is None or usage.crl_sign


def _require_understood(crl: RevocationList) -> None:
    """Return if *crl* is a complete one of its own issuer, and nothing critical in it is unknown.

    Raises:
        Unusable: It is not.
    """
    if _DELTA in crl.extensions:
        raise Unusable("crl.delta", "a delta CRL, which says only what has changed; give the complete one")
    if crl.scope.indirect:
        raise Unusable("crl.indirect", "an indirect CRL, with certificates of several issuers")
    if crl.scope.attributes:
        raise Unusable("crl.attribute-certificates-only", "the CRL is about attribute certificates only")
    for oid, (critical, _) in crl.extensions.items():
        if critical and oid not in _UNDERSTOOD:
            # RFC 5280, section 5.2: "If a CRL contains a critical extension that the application cannot process, then
            # the application MUST NOT use that CRL to determine the status of certificates."
            raise Unusable("crl.critical-extension", f"the CRL has the critical extension {oid}")


def _revoked(crl: RevocationList, entries: list[Entry], source: str) -> RevocationAnswer:
    """Return what the gravest of *entries* says: of several, one that is for ever."""
    told = [_revocation(crl, entry, source) for entry in entries]
    answer = next((one for one in told if one.final), told[0])
    if not answer.final and any(one.reason == _REMOVED for one in told):
        # RFC 5280, section 5.3.1: removeFromCRL "MUST only appear in delta CRLs"
        raise Unusable("crl.remove-from-crl", "the entry says removeFromCRL, which a complete CRL cannot say")
    return answer


def _revocation(crl: RevocationList, entry: Entry, source: str) -> RevocationAnswer:
    """Return what one entry says. What in it cannot be read changes nothing about the certificate being listed."""
    return RevocationAnswer(
        RevocationStatus.REVOKED,
        "crl.revoked",
        source=source,
        this_update=crl.this_update,
        next_update=crl.next_update,
        revoked_at=_moment(*entry.date),
        reason=_reason(entry),
        invalidity_date=_invalidity_date(entry),
    )


def _moment(tag: int, content: bytes) -> datetime | None:
    try:
        return moment(tag, content)
    except MalformedEvidence:
        return None


def _reason(entry: Entry) -> str | None:
    _, value = entry.extensions.get(REASON, (False, None))
    if value is None:
        return None
    is_one = len(value) == 3 and value[:2] == bytes((_ENUMERATED, 1))
    return _REASONS.get(value[2], _NOT_DEFINED) if is_one else _NOT_DEFINED


def _invalidity_date(entry: Entry) -> datetime | None:
    _, value = entry.extensions.get(INVALIDITY_DATE, (False, None))
    if value is None:
        return None
    try:
        tag, start, end = element(value, 0, len(value))
    except MalformedEvidence:
        return None
    return _moment(tag, value[start:end])


def _require_scope(crl: RevocationList, certificate: ParsedCertificate) -> None:
    """Return if *crl* would list *certificate*, were it revoked for whatever reason (RFC 5280, section 6.3.3, b).

    Raises:
        Unusable: It might not.
    """
    scope = crl.scope
    if scope.partial:
        raise Unusable("crl.partial-reasons", "the CRL is about some reasons of revocation only")
    authority = _is_authority(certificate) if scope.users or scope.authorities else False
    if scope.users and authority:
        raise Unusable("crl.user-certificates-only", "the CRL is not about CA certificates")
    if scope.authorities and not authority:
        raise Unusable("crl.ca-certificates-only", "the CRL is about CA certificates only")
    if scope.point is not None and not _shares_point(crl, certificate):
        raise Unusable(
            "crl.distribution-point", "the CRL is about the certificates of another distribution point than this one's"
        )


def _is_authority(certificate: ParsedCertificate) -> bool:
    try:
        constraints = certificate.extension(x509.BasicConstraints)
    except MalformedEvidence as error:
        raise Unusable("crl.certificate-unreadable", f"basicConstraints: {escape(str(error), 200)}") from None
    return constraints is not None and constraints.ca


def _shares_point(crl: RevocationList, certificate: ParsedCertificate) -> bool:
    """Return whether a name of the CRL's distribution point is one of the certificate's.

    RFC 5280, section 6.3.3, b 2: "one of the names in the IDP matches one of the names in the DP". A certificate that
    has none is looked for at the name of its issuer (the section's last paragraph).
    """
    stated = crl.scope.point
    try:
        points = distribution_points(certificate)
    except MalformedEvidence as error:
        raise Unusable("crl.certificate-unreadable", f"cRLDistributionPoints: {escape(str(error), 200)}") from None
    names = {name for one in points if not (one.partial or one.indirect) for name in (*one.names, one.relative) if name}
    if not points:
        names = {(_DIRECTORY_NAME, certificate.layout.issuer)}
    return stated is not None and not names.isdisjoint((*stated.names, stated.relative))


def _require_current(crl: RevocationList, answer: RevocationAnswer, question: CRLQuestion, at: datetime) -> None:
    """Return if thisUpdate and nextUpdate are in order, and the CRL neither of the past nor to come."""
    if crl.this_update - at > question.rule.clock_skew:
        raise Unusable("crl.not-yet-valid", f"thisUpdate {shown(crl.this_update)} is still to come")
    if crl.next_update is None:
        # RFC 5280, section 5.1.2.5: "Conforming CRL issuers MUST include the nextUpdate field in all CRLs"
        raise Unusable("crl.no-next-update", "the CRL does not say until when it is current (nextUpdate)")
    if crl.next_update - crl.this_update < _NONE:
        raise Unusable(
            "crl.dates", f"nextUpdate {shown(crl.next_update)} is before thisUpdate {shown(crl.this_update)}"
        )
    lapse = answer.lapsed(question.rule, at)
    if lapse is not None:
        raise Unusable(*lapse)
