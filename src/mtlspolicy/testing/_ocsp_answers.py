"""What the responder of a test authority says about a certificate, right or wrong on purpose (RFC 6960).

It makes responses and sends nothing; what is wrong with one, and which rule refuses it, is for the reader to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._ocsp_layout import DIGESTS, issuer_digests
from mtlspolicy.testing._keys import PrivateKey, generate_key, signature_hash
from mtlspolicy.testing._request import CertificateRequest, sign_request
from mtlspolicy.testing._template import build_validity

if TYPE_CHECKING:
    from mtlspolicy.testing._authority import CertificateAuthority
    from mtlspolicy.testing._issued import IssuedCertificate

_HOUR: Final = timedelta(hours=1)
_MOMENT: Final = timedelta(minutes=1)
_SAID: Final = {
    "good": ocsp.OCSPCertStatus.GOOD,
    "revoked": ocsp.OCSPCertStatus.REVOKED,
    "unknown": ocsp.OCSPCertStatus.UNKNOWN,
}
_ERRORS: Final = {
    "malformed-request": ocsp.OCSPResponseStatus.MALFORMED_REQUEST,
    "internal-error": ocsp.OCSPResponseStatus.INTERNAL_ERROR,
    "try-later": ocsp.OCSPResponseStatus.TRY_LATER,
    "signature-required": ocsp.OCSPResponseStatus.SIG_REQUIRED,
    "unauthorized": ocsp.OCSPResponseStatus.UNAUTHORIZED,
}
_DATES: Final[dict[str, tuple[timedelta, timedelta | None]]] = {
    "current": (-_MOMENT, _HOUR),
    "expired": (-2 * _HOUR, -_HOUR),
    "not-yet-valid": (_HOUR, 2 * _HOUR),
    "old": (-240 * _HOUR, _HOUR),
    "no-next-update": (-_MOMENT, None),
}
"""thisUpdate and nextUpdate, from now."""
_SIGNERS: Final = (
    "issuer",
    "delegate",
    "delegate-without-nocheck",
    "delegate-with-ocsp",
    "delegate-with-crl",
    "delegate-without-purpose",
    "delegate-expired",
    "delegate-of-another",
    "stranger",
)
_ASKED_ABOUT: Final = frozenset({"delegate-without-nocheck", "delegate-with-ocsp", "delegate-with-crl"})
"""Delegates that may themselves be revoked."""
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "status": ("known", *_SAID, *_ERRORS),
    "dates": tuple(_DATES),
    "signer": _SIGNERS,
    "about": ("asked", "another"),
    "nonce": ("repeated", "none", "another"),
}


class TransferOptions(TypedDict, total=False):
    """How an answer is sent, whatever it says.

    ``body``: bytes to send in place of what would be said (``b""``, garbage). ``http_status``: default 200. ``delay``:
    seconds before the first byte. ``pause``: seconds between every two bytes, headers included. ``never``: nothing is
    sent; the connection stays open until the client or the responder closes it.
    """

    body: bytes | None
    http_status: int
    delay: float
    pause: float
    never: bool


class AnswerOptions(TransferOptions, total=False):
    """What `OCSPResponder.answer` accepts by keyword, besides that of `TransferOptions`.

    ``status``: ``"known"`` (default: what the authority knows), ``"good"``, ``"revoked"``, ``"unknown"``; or an error
    without a signature: ``"malformed-request"``, ``"internal-error"``, ``"try-later"``, ``"signature-required"``,
    ``"unauthorized"``. ``signer``: ``"issuer"`` (default), ``"delegate"``, ``"delegate-without-nocheck"`` (nor any
    place where its own status is published), ``"delegate-with-ocsp"`` and ``"delegate-with-crl"`` (without nocheck;
    they name this responder and this list), ``"delegate-without-purpose"``, ``"delegate-expired"``,
    ``"delegate-of-another"`` authority, ``"stranger"`` (a key of nobody's in the issuer's name). ``dates``:
    ``"current"`` (default), ``"expired"``, ``"not-yet-valid"``, ``"old"`` (ten days, and still not expired),
    ``"no-next-update"``. ``about``: ``"asked"`` (default) or ``"another"`` certificate. ``nonce``: ``"repeated"`` where
    the request has one (default), ``"none"``, ``"another"``.
    """

    status: str
    signer: str
    dates: str
    about: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Script:
    """One answer that was ordered; the fields are those of `AnswerOptions`."""

    status: str = "known"
    signer: str = "issuer"
    dates: str = "current"
    about: str = "asked"
    nonce: str = "repeated"
    body: bytes | None = None
    http_status: int = 200
    delay: float = 0.0
    pause: float = 0.0
    never: bool = False

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a word that means nothing here."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: say one of {', '.join(known)}")


class _Signer(NamedTuple):
    """Who signs: whose certificate is named and, for delegates, comes along, and with which key."""

    certificate: x509.Certificate
    key: PrivateKey
    carried: bool


class OCSPAnswers:
    """Responses for the certificates of one authority. What signs them is made when first needed, and then kept.

    Args:
        authority: Who issued them.
        pointers: Returns the URLs of the responder and of the revocation list, for delegates that name one.
    """

    def __init__(self, authority: CertificateAuthority, pointers: Callable[[], tuple[str, str]]) -> None:
        self._authority = authority
        self._pointers = pointers
        self._delegates: dict[str, IssuedCertificate] = {}
        self._stranger = generate_key("ec-p256")

    def delegate(self, signer: str) -> IssuedCertificate:
        """Return the certificate of a delegate, by its name in `AnswerOptions`.

        Raises:
            ConfigurationError: No delegate has this name.
        """
        if not signer.startswith("delegate") or signer not in _SIGNERS:
            raise ConfigurationError(f"{signer!r} is no delegate: say one of {', '.join(_SIGNERS[1:-1])}")
        if signer not in self._delegates:
            self._delegates[signer] = _issue_delegate(self._authority, signer, self._pointers)
        return self._delegates[signer]

    def response(self, request: bytes, scripts: Mapping[int | None, Script]) -> tuple[bytes, Script]:
        """Return the OCSPResponse, DER, to the OCSPRequest *request*, and the script that it follows.

        Args:
            request: DER, for one certificate; of any other one the answer is malformedRequest.
            scripts: By serial number; under ``None`` the one for all others.
        """
        fallback = scripts.get(None, Script())
        asked = _parsed(request)
        script = fallback if asked is None else scripts.get(asked.serial_number, fallback)
        if script.body is not None:
            return script.body, script
        return (_error("malformed-request") if asked is None else self._said(asked, script)), script

    def _said(self, asked: ocsp.OCSPRequest, script: Script) -> bytes:
        if script.status in _ERRORS:
            return _error(script.status)
        if not self._is_ours(asked):
            return _error("unauthorized")  # RFC 6960, section 2.3: it cannot answer for this issuer
        signer = self._signer(script.signer)
        builder = ocsp.OCSPResponseBuilder().responder_id(ocsp.OCSPResponderEncoding.NAME, signer.certificate)
        builder = self._with_entry(builder, asked, script)
        nonce = _nonce(asked, script)
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        if signer.carried:
            builder = builder.certificates([signer.certificate])
        return builder.sign(signer.key, signature_hash(signer.key)).public_bytes(Encoding.DER)

    def _is_ours(self, asked: ocsp.OCSPRequest) -> bool:
        layout = ParsedCertificate(self._authority.der).layout
        named = asked.issuer_name_hash, asked.issuer_key_hash
        digest = asked.hash_algorithm.name
        return digest in DIGESTS and named == issuer_digests(layout.subject, layout.spki, digest)

    def _with_entry(
        self, builder: ocsp.OCSPResponseBuilder, asked: ocsp.OCSPRequest, script: Script
    ) -> ocsp.OCSPResponseBuilder:
        now = datetime.now(UTC).replace(microsecond=0)
        first, last = _DATES[script.dates]
        entry = self._authority._revoked.get(asked.serial_number)
        status = _SAID[self._known(asked.serial_number) if script.status == "known" else script.status]
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        when, why = (now - _MOMENT, None) if entry is None else (entry.revocation_date_utc, _reason(entry))
        return builder.add_response_by_hash(
            asked.issuer_name_hash,
            asked.issuer_key_hash,
            asked.serial_number + (script.about == "another"),
            asked.hash_algorithm,
            status,
            now + first,
            None if last is None else now + last,
            when if revoked else None,
            why if revoked else None,
        )

    def _known(self, serial: int) -> str:
        if serial in self._authority._revoked:
            return "revoked"
        return "good" if serial in self._authority._issued else "unknown"

    def _signer(self, name: str) -> _Signer:
        if name == "issuer":
            return _Signer(self._authority.certificate, self._authority.key, carried=False)
        if name == "stranger":
            return _Signer(_namesake(self._authority, self._stranger), self._stranger, carried=False)
        leaf = self.delegate(name)
        return _Signer(leaf.certificate, leaf.key, carried=True)


def _parsed(request: bytes) -> ocsp.OCSPRequest | None:
    """Return the request, or ``None`` where it cannot be read: its digest and its extensions are read late."""
    try:
        asked = ocsp.load_der_ocsp_request(request)
        _ = asked.hash_algorithm, asked.extensions
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return None
    return asked


def _namesake(authority: CertificateAuthority, key: PrivateKey) -> x509.Certificate:
    """Return a certificate of nobody's that bears the authority's name."""
    name, validity = authority.certificate.subject, build_validity(None, None)
    der = sign_request(CertificateRequest(name, key, validity, ()), issuer=name, issuer_key=key)
    return x509.load_der_x509_certificate(der)


def _issue_delegate(
    authority: CertificateAuthority, name: str, pointers: Callable[[], tuple[str, str]]
) -> IssuedCertificate:
    purpose = (
        ExtendedKeyUsageOID.CLIENT_AUTH if name == "delegate-without-purpose" else ExtendedKeyUsageOID.OCSP_SIGNING
    )
    extensions = () if name in _ASKED_ABOUT else (x509.OCSPNoCheck(),)
    ocsp_url = pointers()[0] if name == "delegate-with-ocsp" else None
    crl_url = pointers()[1] if name == "delegate-with-crl" else None
    issuer = type(authority)("another authority") if name == "delegate-of-another" else authority
    first, last = (-2 * _HOUR, -_HOUR) if name == "delegate-expired" else (-_HOUR, 24 * _HOUR)
    now = datetime.now(UTC)
    return issuer.issue_client(
        "OCSP responder",
        eku=(purpose,),
        extensions=extensions,
        not_before=now + first,
        not_after=now + last,
        ocsp_url=ocsp_url,
        crl_url=crl_url,
    )


def _error(name: str) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(_ERRORS[name]).public_bytes(Encoding.DER)


def _nonce(asked: ocsp.OCSPRequest, script: Script) -> bytes | None:
    sent = [one.value.nonce for one in asked.extensions if isinstance(one.value, x509.OCSPNonce)]
    if script.nonce == "another":
        return b"another nonce"
    return sent[0] if sent and script.nonce == "repeated" else None


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    return next((one.value.reason for one in entry.extensions if isinstance(one.value, x509.CRLReason)), None)
