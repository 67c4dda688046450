"""Targets for what peers and files hold: certificates and chains, PEM, names, URLs, OCSP responses, CRLs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from fuzz._material import (
    AT,
    FRODO,
    ISSUING,
    ROOT,
    SAM,
    STRANGER,
    VALUE,
    VERIFIER,
    Target,
    outcome,
    require,
    require_issued,
    told,
)
from mtlspolicy import MTLSPolicyError, PresentedChain, RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._pem import read_pem, write_pem
from mtlspolicy._rfc4514 import parse_rdns
from mtlspolicy._spiffe_id import SpiffeIdentifier
from mtlspolicy.forwarded._encodings import pem_certificates
from mtlspolicy.revocation import crl_question, ocsp_question, read_crl, read_ocsp
from mtlspolicy.revocation._destinations import Destinations, FetchFailed, target_of
from mtlspolicy.testing import BROKEN, CertificateAuthority, broken

_PROPERTIES: Final = sorted(
    name for name, value in vars(ParsedCertificate).items() if not name.startswith("_") and not callable(value)
)
_HOSTS: Final = Destinations(hosts=["ocsp.test", "192.0.2.1"], ports=[80, 443, 8080])
_FRODO, _SAM = (ocsp_question(one.certificate, ISSUING.certificate) for one in (FRODO, SAM))
_LISTED, _UNLISTED = (crl_question(one.certificate, ISSUING.certificate) for one in (SAM, FRODO))


def chain(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else.

    No certificate that the CA has never issued is admitted. `decide` has an answer to any bytes.
    """
    try:
        presented = PresentedChain.parse(data)
    except MTLSPolicyError as error:
        require(not VERIFIER.decide(data, at=AT), "admitted, and cannot be parsed")
        return told(error)
    return require_issued(data, presented.ders[0])


def certificate(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else, for each property of a certificate."""
    parsed = ParsedCertificate(data)
    found = [outcome(lambda name=name: getattr(parsed, name)) for name in _PROPERTIES]  # type: ignore[misc]  # bound now
    return next((one for one in found if one != VALUE), VALUE)


def pem(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else. What a header may hold, a file may hold as well."""
    found = outcome(lambda: read_pem(data))
    forwarded = outcome(lambda: pem_certificates(data))
    if forwarded == VALUE:
        ders = tuple(block.der for block in read_pem(data.strip(b" \t\r\n")))
        require(pem_certificates(data) == ders, "PEM with two readings")
        require(pem_certificates("".join(map(write_pem, ders)).encode()) == ders, "PEM that is not read as written")
    return found if found == forwarded else f"{found}, {forwarded}"


def distinguished_name(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else, as RFC 4514 text."""
    return outcome(lambda: parse_rdns(data.decode("utf-8", "surrogateescape")))


def spiffe_id(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else. What is a SPIFFE ID is written in one way alone."""
    text = data.decode("utf-8", "surrogateescape")
    found = outcome(lambda: SpiffeIdentifier.parse(text))
    if found == VALUE:
        domain, path = SpiffeIdentifier.parse(text)
        require(f"spiffe://{domain}{path}" == text, "a SPIFFE ID with two spellings")
    return found


def url(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else. Nobody is connected to but hosts that are allowed."""
    text = data.decode("latin-1")
    found = outcome(lambda: target_of(text, _HOSTS), FetchFailed)
    if found == VALUE:
        target = target_of(text, _HOSTS)
        require(target.host in {"ocsp.test", "192.0.2.1"} and target.port in {80, 443, 8080}, f"goes to {target}")
        require(target_of(target.origin + target.path, _HOSTS) == target, "a URL that means two things")
    return found


def ocsp_response(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else. No response ever makes a revoked certificate good."""
    good, revoked = (read_ocsp(data, question, at=AT) for question in (_FRODO, _SAM))
    require(revoked.status is not RevocationStatus.GOOD, "a response says that the revoked certificate is good")
    require(good.status is not RevocationStatus.REVOKED, "a response says that the good certificate is revoked")
    statuses = {good.status, revoked.status}
    return VALUE if statuses & {RevocationStatus.GOOD, RevocationStatus.REVOKED} else f"{good.code} {revoked.code}"


def crl(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else. No list ever makes a revoked certificate good."""
    good, revoked = (read_crl(data, question, at=AT) for question in (_UNLISTED, _LISTED))
    require(revoked.status is not RevocationStatus.GOOD, "a list says that the revoked certificate is good")
    require(good.status is not RevocationStatus.REVOKED, "a list says that the good certificate is revoked")
    return VALUE if revoked.status is RevocationStatus.REVOKED else revoked.code


def _response(revoked: bool) -> bytes:  # noqa: FBT001 - two seeds
    builder = ocsp.OCSPResponseBuilder().add_response(
        (SAM if revoked else FRODO).certificate,
        ISSUING.certificate,
        hashes.SHA1(),  # noqa: S303 - a CertID, as responders write it
        ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
        AT,
        AT + timedelta(hours=1),
        AT - timedelta(hours=1) if revoked else None,
        None,
    )
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, ISSUING.certificate)
    return signed.sign(ISSUING.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _crls() -> tuple[bytes, bytes]:
    ISSUING.revoke(SAM)
    der = ISSUING.crl(this_update=AT, next_update=AT + timedelta(days=1)).public_bytes(Encoding.DER)
    return der, write_pem(der, "X509 CRL").encode()


_OIDS: Final = (b"\x06\x03\x55\x1d\x11", b"\x06\x03\x55\x1d\x1e", b"\x06\x03\x55\x1d\x13", b"\x06\x03\x55\x04\x03")
_DER: Final = (
    *(
        b"\x30\x80",
        b"\x30\x82",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x31\x00",
        b"\x02\x01\x00",
        b"\x05\x00",
        b"\x01\x01\xff",
    ),
    *(b"\xa0\x03\x02\x01\x02", b"\x17\x0d", b"\x18\x0f", b"\x0a\x01\x00", b"\x04\x00", b"\x1f\x81", *_OIDS),
)
_PEM: Final = (b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"-----", b"X509 ", b"TRUSTED ", b"\n")
_FILES: Final = (FRODO.der, FRODO.chain_pem, SAM.chain_pem + ROOT.pem, STRANGER.chain_pem, ROOT.der)
_BROKEN: Final = tuple(broken(name, CertificateAuthority("Issuing CA")).der for name in sorted(BROKEN))
"""Of another CA with the trusted one's name, so that none of them may be admitted."""

TARGETS: Final[Mapping[str, Target]] = {
    "chain": Target(chain, (*_FILES, *_BROKEN), (*_DER, *_PEM)),
    "certificate": Target(certificate, (FRODO.der, ROOT.der, STRANGER.der, *_BROKEN), _DER),
    "pem": Target(pem, (FRODO.chain_pem, b"a comment\r\n" + ROOT.pem), _PEM),
    "distinguished_name": Target(
        distinguished_name,
        (b"CN=frodo,O=a\\, b+OU=c,C=DE", b"1.2.3.4=#0403010203", "CN=\\C3\\A4é\\ ".encode()),
        (b"\\,", b"\\2C", b"+", b"#04", b"OID.2.5.4.3=", b"\xed\xa0\x80", b"\\00", b" = "),
    ),
    "spiffe_id": Target(
        spiffe_id, (b"spiffe://a.test/b/c", b"spiffe://a"), (b"/../", b"//", b"%2F", b"@", b":80", b"?")
    ),
    "url": Target(
        url,
        (b"http://ocsp.test/a?b", b"https://ocsp.test:8080", b"http://192.0.2.1:80/", b"http://[2001:db8::1]/"),
        (b"@", b"#", b"\\", b"//", b"127.0.0.1", b"0x7f.1", b"[::1]", b"%00", b".", b":443", b"https", b"/../"),
    ),
    "ocsp_response": Target(ocsp_response, (_response(revoked=False), _response(revoked=True)), _DER),
    "crl": Target(crl, _crls(), (*_DER, b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----")),
}
