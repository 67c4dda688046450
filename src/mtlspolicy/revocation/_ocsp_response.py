"""Reads an OCSP response (RFC 6960) into an answer to one question, or into the reason why it answers nothing.

Pure and total for bytes: no network, no clock, no memory of earlier answers. What the answer means for a peer is for
`policies.NotRevoked`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from cryptography.x509 import ocsp

from mtlspolicy._certificate import PARSER_ERRORS, ParsedCertificate
from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._revocation import OCSPQuestion, RevocationAnswer, good_answer, shown
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.revocation._ocsp_layout import (
    ASKED,
    Entry,
    Extensions,
    Layout,
    entries_for,
    generalized_time,
    layout_of,
    octets,
)
from mtlspolicy.revocation._ocsp_request import require_nonce_length
from mtlspolicy.revocation._ocsp_signer import may_be_revoked, require_signature
from mtlspolicy.revocation._ocsp_usual import Good, usual_good
from mtlspolicy.revocation._unusable import Unusable

__all__ = ["read_ocsp"]

MOST_BYTES: Final = 64 * 1024
"""Longest response; those in use have a few hundred bytes, and some thousand with certificates."""
NONCE: Final = "1.3.6.1.5.5.7.48.1.2"
_CRL_REASON, _INVALIDITY_DATE = "2.5.29.21", "2.5.29.24"
_OF_RESPONSE: Final = frozenset({NONCE})
_OF_ENTRY: Final = frozenset({_CRL_REASON, _INVALIDITY_DATE})
_NONCE_BYTES: Final = range(1, 129)  # RFC 9654, section 2.1
_NONE: Final = timedelta(0)

_STATUSES: Final = {
    ocsp.OCSPCertStatus.GOOD: (RevocationStatus.GOOD, "ocsp.good"),
    ocsp.OCSPCertStatus.REVOKED: (RevocationStatus.REVOKED, "ocsp.revoked"),
    ocsp.OCSPCertStatus.UNKNOWN: (RevocationStatus.UNKNOWN, "ocsp.unknown"),
}
_ERRORS: Final = {
    ocsp.OCSPResponseStatus.MALFORMED_REQUEST: ("ocsp.malformed-request", "malformedRequest"),
    ocsp.OCSPResponseStatus.INTERNAL_ERROR: ("ocsp.internal-error", "internalError"),
    ocsp.OCSPResponseStatus.TRY_LATER: ("ocsp.try-later", "tryLater"),
    ocsp.OCSPResponseStatus.SIG_REQUIRED: ("ocsp.signature-required", "sigRequired"),
    ocsp.OCSPResponseStatus.UNAUTHORIZED: ("ocsp.unauthorized", "unauthorized"),
}


def read_ocsp(
    response: bytes,
    question: OCSPQuestion,
    *,
    at: datetime,
    nonce: bytes | None = None,
    digest: str | None = None,
    source: str = "",
) -> RevocationAnswer:
    """Return what *response* says about the certificate in question, under the question's own rule.

    A response that is unusable in whatever way gives UNAVAILABLE with a code for that way. Contradictory entries give
    UNKNOWN: the responder answered, and said nothing. A revocation that is not a hold stays one however old the signed
    statement is, or however far ahead of a slow clock (RFC 5280, section 5.3.1: there is no way back).

    Signed by a delegate without id-pkix-ocsp-nocheck it is a claim: UNAVAILABLE, ``ocsp.delegate-revocation``, with
    ``claim`` and ``delegate``. Whether the delegate is revoked is another question, with ``delegate=True``.

    Args:
        response: An OCSPResponse, DER.
        question: Which certificate, by which issuer, under which rule.
        at: The aware time at which dates and the delegate's certificate must be valid.
        nonce: The nonce of the request; ``None`` where none was sent.
        digest: ``sha1`` or ``sha256``, as in the request's CertID; ``None``: either, for a response nobody asked for.
        source: Where the response came from, for people.

    Raises:
        ConfigurationError: *at* is naive, or *nonce* or *digest* is one that no request can have.
    """
    _require_possible(at, nonce, digest)
    try:
        return _read(response, question, at, nonce, digest, source)
    except Unusable as problem:
        code, detail = problem.code, str(problem)
    except (MalformedEvidence, *PARSER_ERRORS) as error:
        code, detail = "ocsp.malformed", f"not an OCSP response that can be read: {escape(str(error), 200)}"
    status = RevocationStatus.UNKNOWN if code == "ocsp.contradictory" else RevocationStatus.UNAVAILABLE
    return RevocationAnswer(status, code, detail, source)


def _require_possible(at: datetime, nonce: bytes | None, digest: str | None) -> None:
    if at.utcoffset() is None:
        raise ConfigurationError("at= is a naive datetime: give one with a time zone, such as datetime.now(UTC)")
    if digest is not None and digest not in ASKED:
        raise ConfigurationError(f"digest={digest!r}: a CertID is asked for by sha1 or sha256")
    if nonce is not None:
        require_nonce_length(nonce)


def _read(
    response: bytes, question: OCSPQuestion, at: datetime, nonce: bytes | None, digest: str | None, source: str
) -> RevocationAnswer:
    """Return the answer: in a short way where the response is the usual one, which changes nothing but the time."""
    usual = len(response) <= MOST_BYTES and not question.rule.require_nonce
    good = usual_good(response, question, digest) if usual else None
    if good is not None:
        return _current_good(good, question, at, source)
    entry, produced_at, signer = _accepted(response, question, at, nonce, digest)
    return _answer(entry, question, at, produced_at, source, signer)


def _accepted(
    data: bytes, question: OCSPQuestion, at: datetime, nonce: bytes | None, digest: str | None
) -> tuple[Entry, datetime, ParsedCertificate]:
    """Return the entry that answers, producedAt, and who has signed, of a response that is signed and understood."""
    if len(data) > MOST_BYTES:
        raise Unusable("ocsp.too-large", f"{len(data)} bytes; at most {MOST_BYTES}")
    response = ocsp.load_der_ocsp_response(data)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        code, name = _ERRORS[response.response_status]
        raise Unusable(code, f"the responder answers {name}")
    layout = layout_of(data)
    entries = entries_for(response, layout, question)
    signer = require_signature(response, layout, question, at)
    _require_understood(layout, entries)
    _require_nonce(layout, question, nonce)
    return _one_of(entries, digest), response.produced_at_utc, signer


def _require_understood(layout: Layout, entries: list[Entry]) -> None:
    """Return if no critical extension is there that is not understood (RFC 6960, section 4.4)."""
    _require_known(layout.extensions, _OF_RESPONSE)
    for entry in entries:
        _require_known(entry.extensions, _OF_ENTRY)


def _require_known(extensions: Extensions, understood: frozenset[str]) -> None:
    for oid, (critical, _) in extensions.items():
        if critical and oid not in understood:
            raise Unusable("ocsp.critical-extension", f"the response has the critical extension {oid}")


def _require_nonce(layout: Layout, question: OCSPQuestion, sent: bytes | None) -> None:
    """Return if the nonce is the one sent. A prepared response has none (RFC 9654, section 2.1), and may lack it."""
    found = layout.extensions.get(NONCE)
    if found is None:
        if question.rule.require_nonce:
            raise Unusable("ocsp.nonce-missing", "the response has no nonce, and the rule requires it")
        return
    nonce = octets(found[1])
    if len(nonce) not in _NONCE_BYTES:
        raise Unusable("ocsp.nonce-length", f"a nonce of {len(nonce)} bytes; from 1 to 128 (RFC 9654)")
    if sent is None and question.rule.require_nonce:
        raise Unusable("ocsp.nonce-missing", "the rule requires a nonce, and none was sent: nobody asked for this one")
    if sent is not None and nonce != sent:
        raise Unusable("ocsp.nonce-differs", "the nonce is not the one that was sent")


def _one_of(entries: list[Entry], digest: str | None) -> Entry:
    """Return the entry that answers; all entries about the certificate must say the same, whatever their digest."""
    if len(entries) > 1 and len(statuses := {entry.single.certificate_status for entry in entries}) > 1:
        told = " and ".join(sorted(status.name for status in statuses))
        raise Unusable("ocsp.contradictory", f"the response says {told} of the same certificate")
    asked = [entry for entry in entries if (entry.digest in ASKED if digest is None else entry.digest == digest)]
    if not asked:
        raise Unusable("ocsp.cert-id-algorithm", f"the CertID uses {entries[0].digest}, which was not asked for")
    return asked[0] if len(asked) == 1 else max(asked, key=lambda entry: entry.single.this_update_utc)


def _answer(
    entry: Entry, question: OCSPQuestion, at: datetime, produced_at: datetime, source: str, signer: ParsedCertificate
) -> RevocationAnswer:
    single = entry.single
    status, code = _STATUSES[single.certificate_status]
    date = entry.extensions.get(_INVALIDITY_DATE)
    answer = RevocationAnswer(
        status,
        code,
        source=source,
        this_update=single.this_update_utc,
        next_update=single.next_update_utc,
        produced_at=produced_at,
        revoked_at=single.revocation_time_utc,
        reason=_reason(single),
        invalidity_date=None if date is None else generalized_time(date[1]),
    )
    if not answer.final:
        _require_current(answer, question, at)
    return _claimed(answer, signer) if may_be_revoked(signer, question) else answer


def _current_good(good: Good, question: OCSPQuestion, at: datetime, source: str) -> RevocationAnswer:
    """Return the answer of the usual response, signed by the issuer, if its dates are in order."""
    answer = good_answer(good.this_update, good.next_update, good.produced_at, source)
    _require_current(answer, question, at)
    return answer


def _claimed(answer: RevocationAnswer, signer: ParsedCertificate) -> RevocationAnswer:
    """Return *answer* as the claim of *signer*, which counts for as much as is known of its own revocation."""
    detail = f"{signer} says {answer.status.value}, and may itself be revoked: it lacks id-pkix-ocsp-nocheck"
    return replace(
        answer,
        status=RevocationStatus.UNAVAILABLE,
        code="ocsp.delegate-revocation",
        detail=detail,
        claim=answer.status,
        delegate=signer,
    )


def _reason(single: ocsp.OCSPSingleResponse) -> str | None:
    """Return the reason's name. One that is not defined is still a reason, and the certificate still revoked."""
    try:
        reason = single.revocation_reason
    except PARSER_ERRORS:
        return "not defined"
    return None if reason is None else reason.value


def _require_current(answer: RevocationAnswer, question: OCSPQuestion, at: datetime) -> None:
    """Return if thisUpdate, nextUpdate and producedAt are in order, and the answer neither of the past nor to come."""
    rule, next_update = question.rule, answer.next_update
    this_update, produced_at = answer.this_update or at, answer.produced_at or at
    if this_update - at > rule.clock_skew:
        raise Unusable("ocsp.not-yet-valid", f"thisUpdate {shown(this_update)} is still to come")
    if produced_at - at > rule.clock_skew:
        raise Unusable("ocsp.produced-in-future", f"producedAt {shown(produced_at)} is still to come")
    if next_update is not None and next_update - this_update < _NONE:
        raise Unusable("ocsp.dates", f"nextUpdate {shown(next_update)} is before thisUpdate {shown(this_update)}")
    if this_update - produced_at > rule.clock_skew:
        raise Unusable("ocsp.dates", f"thisUpdate {shown(this_update)} is after producedAt {shown(produced_at)}")
    lapse = answer.lapsed(rule, at)
    if lapse is not None:
        raise Unusable(*lapse)
