"""What one certificate says, as plain printable values: names, times, key, usages and pins. No warnings.

Each part is read by itself, so that one that cannot be read hides no other. Trust is not judged, nor any signature but
the certificate's own.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation_pointers import crl_urls, ocsp_urls
from mtlspolicy._text import escape
from mtlspolicy.errors import MalformedEvidence

NAME_LIMIT: Final = 2048
"""Characters of one name that are shown; the library's messages show fewer."""
PURPOSES: Final = {
    "1.3.6.1.5.5.7.3.1": "serverAuth", "1.3.6.1.5.5.7.3.2": "clientAuth", "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection", "1.3.6.1.5.5.7.3.8": "timeStamping", "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "2.5.29.37.0": "anyExtendedKeyUsage",
}  # fmt: skip
_USAGES: Final = (
    ("digital_signature", "digitalSignature"), ("content_commitment", "nonRepudiation"),
    ("key_encipherment", "keyEncipherment"), ("data_encipherment", "dataEncipherment"),
    ("key_agreement", "keyAgreement"), ("key_cert_sign", "keyCertSign"), ("crl_sign", "cRLSign"),
)  # fmt: skip
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def report(certificate: ParsedCertificate, at: datetime) -> dict[str, Any]:
    """Return what *certificate* says as text, numbers, lists and dictionaries; all text is escaped for printing.

    ``remaining`` is what is left of its validity at the time *at*. A part that cannot be read is the text
    ``unreadable: ...``. Absent extensions are ``None``.
    """
    row: dict[str, Any] = {
        "subject": _part(lambda: str(certificate.subject)),
        "issuer": _part(lambda: str(certificate.issuer)),
        "self_signed": certificate.self_signed,
        "serial_number": f"{certificate.serial_number:#x}",
        "version": certificate.version,
        "not_before": _part(lambda: _instant(certificate.not_before)),
        "not_after": _part(lambda: _instant(certificate.not_after)),
        "remaining": _part(lambda: _remaining(certificate, at)),
        "key": _part(lambda: key_text(certificate)),
        "signature": _part(lambda: _signature(certificate)),
        "basic_constraints": _part(lambda: _constraints(certificate)),
        "key_usage": _part(lambda: _key_usage(certificate)),
        "extended_key_usage": _part(lambda: purposes(certificate)),
    }
    row |= {"names": _part(lambda: _names(certificate)), "revocation": _part(lambda: _pointers(certificate))}
    return row | {"pins": _pins(certificate)}


def _part(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except MalformedEvidence as error:
        return f"unreadable: {error}"


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _remaining(certificate: ParsedCertificate, at: datetime) -> str:
    days = (certificate.not_after - at) // timedelta(days=1)
    return f"{days} days left" if days >= 0 else f"expired before {at:%Y-%m-%d}"


def key_text(certificate: ParsedCertificate) -> str:
    """Return kind and size of the public key: ``EC P-256``, ``RSA 2048 bits``, ``Ed25519``.

    Raises:
        MalformedEvidence: It cannot be read.
    """
    key = certificate.public_key
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size} bits"
    return type(key).__name__.removesuffix("PublicKey")


def _signature(certificate: ParsedCertificate) -> str:
    parsed = certificate.certificate
    try:
        digest = parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return f"unknown algorithm {parsed.signature_algorithm_oid.dotted_string}"
    return parsed.signature_algorithm_oid._name + (f" ({digest.name})" if digest is not None else "")


def _constraints(certificate: ParsedCertificate) -> dict[str, Any] | None:
    value = certificate.extension(x509.BasicConstraints)
    return None if value is None else {"ca": value.ca, "path_length": value.path_length}


def _key_usage(certificate: ParsedCertificate) -> list[str] | None:
    value = certificate.extension(x509.KeyUsage)
    if value is None:
        return None
    found = [name for attribute, name in _USAGES if getattr(value, attribute)]
    if value.key_agreement:  # these two are defined together with it alone (RFC 5280, section 4.2.1.3)
        found += ["encipherOnly"] * value.encipher_only + ["decipherOnly"] * value.decipher_only
    return found


def purposes(certificate: ParsedCertificate) -> list[str] | None:
    """Return the purposes of extKeyUsage by name, or dotted OID where it has none here; ``None``: no such extension.

    Raises:
        MalformedEvidence: The extension cannot be read.
    """
    value = certificate.extension(x509.ExtendedKeyUsage)
    return None if value is None else [str(PURPOSES.get(oid.dotted_string, oid.dotted_string)) for oid in value]


def _names(certificate: ParsedCertificate) -> dict[str, list[str]]:
    names = certificate.names
    found = {
        "common_name": names.common_names,
        "dns": names.dns_names,
        "ip": [str(address) for address in names.ip_addresses],
        "uri": names.uris,
        "email": names.emails,
        "email_in_subject": names.subject_emails,
        "unreadable": sorted(names.unreadable),
    }
    return {kind: [escape(text, NAME_LIMIT) for text in texts] for kind, texts in found.items() if texts}


def _pointers(certificate: ParsedCertificate) -> dict[str, list[str]]:
    found = {"ocsp": ocsp_urls(certificate), "crl": crl_urls(certificate)}
    return {kind: [escape(url, NAME_LIMIT) for url in urls] for kind, urls in found.items() if urls}


def _pins(certificate: ParsedCertificate) -> dict[str, str]:
    found = {
        "spki": _base64(certificate.spki_sha256),
        "certificate": _base64(certificate.sha256),
        "certificate_hex": certificate.sha256,
        "x5t#S256": base64.urlsafe_b64encode(bytes.fromhex(certificate.sha256)).rstrip(b"=").decode("ascii"),
    }
    try:
        constraints = certificate.extension(x509.BasicConstraints)
        if certificate.version == 1 or (constraints is not None and constraints.ca):
            found["issuer"] = _base64(certificate.key_sha256)
    except MalformedEvidence:
        pass  # nobody can pin as an issuer what does not say readably that it is one
    return found


def _base64(digest: str) -> str:
    return "sha256/" + base64.b64encode(bytes.fromhex(digest)).decode("ascii")
