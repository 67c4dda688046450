"""Writes and signs a correct certificate (RFC 5280) from what a test asked for.

Extensions that the standards demand (SAN, EKU, KU, AKI, SKI, basicConstraints) are put in here, in one place; nothing
here keeps a key or a state.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy._trust_roles import TEST_CA_OID, TEST_CA_TEXT
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing._keys import PrivateKey, resolve_key, signature_hash
from mtlspolicy.testing._template import (
    AuthorityOptions,
    LeafOptions,
    build_alternative_names,
    build_subject,
    build_validity,
    key_usage,
    leaf_key_usage,
    revocation_pointers,
)

MARKER_TEXT: Final = TEST_CA_TEXT
"""Text in the name of each test CA (its organization, unless that was chosen otherwise) and in the marker extension."""

MARKER_OID: Final = TEST_CA_OID
"""Private extension of each test CA, not critical, an OID for examples (X.660); value: MARKER_TEXT, UTF8String."""

_MARKER: Final = x509.UnrecognizedExtension(MARKER_OID, bytes((0x0C, len(MARKER_TEXT))) + MARKER_TEXT.encode())

SERIAL_BITS: Final = 158
"""Random bits of a serial number: the CA/Browser baseline requirements ask for 64 at least; below 2^159."""

Extensions = tuple[tuple[x509.ExtensionType, bool], ...]


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A certificate to be signed: everything but the issuer's part."""

    subject: x509.Name
    key: PrivateKey
    validity: tuple[datetime, datetime]
    extensions: Extensions
    serial: int | None = None


def random_serial() -> int:
    """Return a serial number, 0 < n < 2^159: its DER has at most 20 octets (RFC 5280, section 4.1.2.2)."""
    return secrets.randbits(SERIAL_BITS) + 1


def sign_request(request: CertificateRequest, *, issuer: x509.Name, issuer_key: PrivateKey) -> bytes:
    """Sign *request* and return the certificate, DER; adds subjectKeyIdentifier and authorityKeyIdentifier.

    Raises:
        ConfigurationError: A value cannot be written into a certificate.
    """
    first, last = request.validity
    try:
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(issuer)
            .public_key(request.key.public_key())
            .serial_number(random_serial() if request.serial is None else request.serial)
            .not_valid_before(first)
            .not_valid_after(last)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        for extension, critical in request.extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, signature_hash(issuer_key)).public_bytes(Encoding.DER)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"the certificate cannot be written: {error}; for a certificate that is wrong on purpose see testing.broken"
        ) from error


def authority_request(common_name: str, options: AuthorityOptions) -> CertificateRequest:
    """Return the request for a CA certificate: basicConstraints and keyUsage critical (RFC 5280, 4.2.1.9, 4.2.1.3)."""
    _known(options, AuthorityOptions)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=options.get("path_length")), True),
        (key_usage(digital_signature=True, cert_sign=True), True),
        (_MARKER, False),
    ]
    if eku := options.get("eku"):
        extensions.append((x509.ExtendedKeyUsage(eku), False))
    if (constraints := options.get("name_constraints")) is not None:
        extensions.append((constraints, True))
    return CertificateRequest(
        build_subject(
            common_name, organization=options.get("organization", MARKER_TEXT), attributes=options.get("attributes", {})
        ),
        resolve_key(options.get("key", "ec-p256")),
        build_validity(options.get("not_before"), options.get("not_after")),
        (*extensions, *_further(options)),
        options.get("serial"),
    )


def leaf_request(common_name: str | None, purpose: x509.ObjectIdentifier, options: LeafOptions) -> CertificateRequest:
    """Return the request for an end-entity certificate; extendedKeyUsage is *purpose* unless ``eku`` says otherwise.

    Raises:
        ConfigurationError: It would name nobody, or a value cannot be written.
    """
    _known(options, LeafOptions)
    subject = options.get("subject")
    if subject is None:
        subject = build_subject(
            common_name, organization=options.get("organization"), attributes=options.get("attributes", {})
        )
    elif common_name is not None:
        raise ConfigurationError("both subject and common_name are given: put the common name into the subject")
    key = resolve_key(options.get("key", "ec-p256"))
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (leaf_key_usage(key), True),
    ]
    if eku := options.get("eku", (purpose,)):
        extensions.append((x509.ExtendedKeyUsage(eku), False))
    names = build_alternative_names(options)
    if names:
        # RFC 5280, section 4.2.1.6: critical if and only if the subject is empty.
        extensions.append((x509.SubjectAlternativeName(names), not subject.rdns))
    elif not subject.rdns:
        raise ConfigurationError("the certificate would name nobody: give a common name, dns=, uris=, emails= or ips=")
    return CertificateRequest(
        subject,
        key,
        build_validity(options.get("not_before"), options.get("not_after")),
        (*extensions, *_further(options)),
        options.get("serial"),
    )


def _known(options: Mapping[str, object], allowed: type[AuthorityOptions | LeafOptions]) -> None:
    for name in options:
        if name not in allowed.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}: known are {', '.join(allowed.__annotations__)}")


def _further(options: AuthorityOptions | LeafOptions) -> Extensions:
    pointers = revocation_pointers(options.get("ocsp_url"), options.get("crl_url"))
    extra = options.get("extensions", ())
    return (*pointers, *(one if isinstance(one, tuple) else (one, False) for one in extra))
