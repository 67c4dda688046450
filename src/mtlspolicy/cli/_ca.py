"""A small private CA in memory: a root and its issuing CAs, and what they sign. ``pki`` stores it, the demo does not.

Its certificates are correct X.509 v3 (RFC 5280) and bear no test marker: what it issues is accepted wherever its root
is trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._identifiers import is_hostile
from mtlspolicy._reference import is_dns_name
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._destinations import Destinations, FetchFailed, target_of
from mtlspolicy.testing._keys import PrivateKey, generate_key, signature_hash
from mtlspolicy.testing._request import CertificateRequest, random_serial, sign_request
from mtlspolicy.testing._template import (
    LeafOptions,
    build_alternative_names,
    build_subject,
    build_validity,
    key_usage,
    revocation_pointers,
)

PURPOSES: Final = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: its certificate and private key, and the certificates that a leaf sends after its own."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False, compare=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def name(self) -> str:
        """The subject, escaped for printing."""
        return str(ParsedCertificate.of(self.certificate))


def make_root(name: str, *, until: datetime, key: str = "ec-p256") -> Authority:
    """Return a self-signed root called *name* that may have one level of CAs below it.

    Args:
        name: Its common name.
        until: End of its validity, aware; it begins one hour ago, so that a slow clock does no harm.
        key: Kind of key.
    """
    request = _ca_request(name, until=until, key=key, path_length=1)
    der = sign_request(request, issuer=request.subject, issuer_key=request.key)
    return Authority(x509.load_der_x509_certificate(der), request.key)


def make_issuing(root: Authority, name: str, *, until: datetime, key: str = "ec-p256") -> Authority:
    """Return a CA called *name* below *root* that issues for end entities alone; arguments as for `make_root`."""
    request = _ca_request(name, until=until, key=key, path_length=0)
    der = sign_request(request, issuer=root.certificate.subject, issuer_key=root.key)
    certificate = x509.load_der_x509_certificate(der)
    return Authority(certificate, request.key, (certificate,))


def _ca_request(name: str, *, until: datetime, key: str, path_length: int) -> CertificateRequest:
    require_plain(name, "the name of a CA")
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (key_usage(cert_sign=True), True),
    )
    subject = build_subject(name, organization=None, attributes={})
    return CertificateRequest(subject, generate_key(key), build_validity(None, until), extensions)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a certificate for an end entity should say.

    Attributes:
        role: ``client`` or ``server``.
        common_name: CN of the subject, or ``None``.
        names: Entries of the subjectAltName.
        validity: First and last second, aware.
        pointers: The extensions that say where to ask whether it is revoked; see `pointers_to`.
    """

    role: str
    common_name: str | None
    names: Sequence[x509.GeneralName]
    validity: tuple[datetime, datetime]
    pointers: Sequence[tuple[x509.ExtensionType, bool]] = ()


def issue(authority: Authority, wanted: Wanted, public_key: CertificatePublicKeyTypes) -> x509.Certificate:
    """Return the certificate for *public_key* that *wanted* describes, signed by *authority*.

    Raises:
        ConfigurationError: It would name nobody, or outlive the CA.
    """
    if wanted.common_name is None and not wanted.names:
        raise ConfigurationError("the certificate would name nobody: give a common name or a subjectAltName entry")
    end = authority.certificate.not_valid_after_utc
    if wanted.validity[1] > end:
        raise ConfigurationError(
            f"the certificate would be valid until {wanted.validity[1]:%Y-%m-%d} and outlive its CA {authority.name}, "
            f"which ends on {end:%Y-%m-%d}: give fewer --days, or make a new CA"
        )
    return _described(authority, wanted, public_key).sign(authority.key, signature_hash(authority.key))


def _described(authority: Authority, wanted: Wanted, public_key: CertificatePublicKeyTypes) -> x509.CertificateBuilder:
    subject = build_subject(wanted.common_name, organization=None, attributes={})
    usage = key_usage(digital_signature=True, key_encipherment=isinstance(public_key, rsa.RSAPublicKey))
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(public_key)
        .serial_number(random_serial())
        .not_valid_before(wanted.validity[0])
        .not_valid_after(wanted.validity[1])
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([PURPOSES[wanted.role]]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(above, critical=False)
    )
    if wanted.names:
        # RFC 5280, section 4.2.1.6: critical if and only if the subject is empty.
        san = x509.SubjectAlternativeName(wanted.names)
        builder = builder.add_extension(san, critical=wanted.common_name is None)
    for extension, critical in wanted.pointers:
        builder = builder.add_extension(extension, critical)
    return builder


def pointers_to(*, ocsp_url: str | None, crl_url: str | None) -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions with which a certificate says where its issuer's responder and revocation list are.

    Raises:
        ConfigurationError: One is no URL that our own end would ask.
    """
    for flag, url in (("--ocsp-url", ocsp_url), ("--crl-url", crl_url)):
        try:
            if url is not None:
                target_of(url, Destinations())
        except FetchFailed as error:
            if error.code == "fetch.url":  # what a refresher may ask, its port above all, is for each to say
                raise ConfigurationError(
                    f"{flag}: {error}; write it as those who verify reach it, such as http://ocsp.example.com/"
                ) from None
    return revocation_pointers(ocsp_url, crl_url)


def alternative_names(
    *, dns: Sequence[str] = (), ips: Sequence[str] = (), uris: Sequence[str] = (), emails: Sequence[str] = ()
) -> list[x509.GeneralName]:
    """Return subjectAltName entries.

    Raises:
        ConfigurationError: One is not what it should be.
    """
    for name in dns:
        if not is_dns_name(name.removeprefix("*.")):
            raise ConfigurationError(
                f"{quoted(name)} is no DNS name: write it in ASCII (xn--... for others), without a final dot"
            )
    for text in (*uris, *emails):
        require_plain(text, "a name")
    return build_alternative_names(LeafOptions(dns=dns, ips=ips, uris=uris, emails=emails))


def require_plain(text: str, what: str) -> None:
    """Raise `ConfigurationError` where *text* is empty or holds control or format characters, which no name may."""
    if not text.strip() or is_hostile(text):
        raise ConfigurationError(f"{what} is {quoted(text)}: write a text without control or format characters")


def pem_of(*certificates: x509.Certificate) -> bytes:
    """Return *certificates* as PEM, in their order."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def key_pem(key: PrivateKey) -> bytes:
    """Return the private key *key* as PKCS #8 PEM, not encrypted: it goes into a file for its owner alone."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
