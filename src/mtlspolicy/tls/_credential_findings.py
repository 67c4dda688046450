"""Judges one's own certificates for a role, before a peer does: purpose, names, validity, strength.

It decides nothing about trust and reads no clock. What it finds are plain sentences; the builders of contexts raise
those that are fatal and log the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._credential_chain import UNREADABLE, is_ca, name_of

Role = Literal["server", "client"]
_PURPOSES: Final = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
_PURPOSE_NAMES: Final = {"server": "serverAuth", "client": "clientAuth"}
_RSA_BITS: Final = (2048, 8192)
"""Least: NIST SP 800-57 and OpenSSL's security level 2. Most: the default limit of our own verifiers."""

ExtensionType = TypeVar("ExtensionType", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a credential in a role.

    Attributes:
        code: Stable reason code, ``credential.fact``.
        message: A sentence that names the certificate, the rule and the remedy; printable.
        fatal: Whether every peer that follows the rules refuses the certificate in this role, now and later.
    """

    code: str
    message: str
    fatal: bool = False

    def __str__(self) -> str:
        """Return the sentence."""
        return self.message


def find(certificates: Sequence[x509.Certificate], role: Role, at: datetime | None) -> tuple[Finding, ...]:
    """Return what is wrong with *certificates* (end entity first) for *role*, and where *at* is given, at that time.

    Raises:
        ConfigurationError: *role* is something else, or *at* has no time zone.
    """
    if role not in _PURPOSES:
        raise ConfigurationError(f"role {role!r} is neither 'server' nor 'client'")
    if at is not None and at.utcoffset() is None:
        raise ConfigurationError("at= has no time zone: use datetime.now(timezone.utc)")
    found = [*_end_entity(certificates[0], role)]
    for certificate in certificates:
        found.extend(_strength(certificate))
        if at is not None:
            found.extend(_validity(certificate, at))
    return tuple(found)


def _end_entity(certificate: x509.Certificate, role: Role) -> Iterator[Finding]:
    name = name_of(certificate)
    if certificate.version is x509.Version.v1:
        yield Finding(
            "credential.version",
            f"{name} is an X.509 v1 certificate, which has no extensions; only verifiers with PathProfile.DIRECT admit "
            "it: issue it with openssl x509 -req -extfile FILE, where FILE holds subjectAltName and extendedKeyUsage="
            + _PURPOSE_NAMES[role],
        )
    try:
        extensions = certificate.extensions
    except UNREADABLE:
        yield Finding(
            "credential.extensions", f"{name} has extensions that cannot be read: have it issued again", fatal=True
        )
        return
    yield from _purpose(name, _value(extensions, x509.ExtendedKeyUsage), role)
    usage = _value(extensions, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        # RFC 8446, section 4.4.2.2: the key must be allowed to sign, with digitalSignature, where keyUsage is there.
        yield Finding(
            "credential.key-usage",
            f"{name} has a keyUsage without digitalSignature, which every handshake of TLS 1.3 needs: have it issued "
            "with keyUsage=critical,digitalSignature",
        )
    if role == "server" and not _value(extensions, x509.SubjectAlternativeName):
        yield Finding(
            "credential.no-san",
            f"{name} has no subjectAltName, and clients take a server's names from nowhere else (RFC 9525): have it "
            "issued with openssl ... -addext subjectAltName=DNS:server.example",
        )
    if is_ca(certificate):
        yield Finding(
            "credential.is-ca",
            f"{name} is a CA certificate (basicConstraints cA=TRUE), and verifiers refuse one as an end entity: have "
            "it issued with openssl ... -addext basicConstraints=critical,CA:FALSE",
        )


def _purpose(name: str, usages: x509.ExtendedKeyUsage | None, role: Role) -> Iterator[Finding]:
    if usages is None or _PURPOSES[role] in usages:
        return
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:
        yield Finding(
            "credential.any-purpose",
            f"{name} has anyExtendedKeyUsage and not {_PURPOSE_NAMES[role]}: many verifiers, those of this library "
            f"among them, refuse that; have it issued with extendedKeyUsage={_PURPOSE_NAMES[role]}",
        )
        return
    other = "client" if role == "server" else "server"
    if _PURPOSES[other] in usages:
        what = f"is a certificate for {other}s ({_PURPOSE_NAMES[other]} only) and is used by a {role}"
    else:
        what = f"has an extKeyUsage without {_PURPOSE_NAMES[role]} and is used by a {role}"
    advice = ""
    if role == "client":
        advice = "; public CAs no longer issue certificates for clients, so ask the private CA that the server trusts"
    yield Finding(
        "credential.purpose",
        f"{name} {what}: have it issued with extendedKeyUsage={_PURPOSE_NAMES[role]} (RFC 5280, section "
        f"4.2.1.12){advice}",
        fatal=True,
    )


def _value(extensions: x509.Extensions, kind: type[ExtensionType]) -> ExtensionType | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _strength(certificate: x509.Certificate) -> Iterator[Finding]:
    try:
        key = certificate.public_key()
    except UNREADABLE:
        return  # of a CA above: peers that know the algorithm judge it; the end entity's matched the private key
    if isinstance(key, rsa.RSAPublicKey) and not _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]:
        yield Finding(
            "credential.weak-key",
            f"{name_of(certificate)} has an RSA key of {key.key_size} bits, and peers accept {_RSA_BITS[0]} to "
            f"{_RSA_BITS[1]}: have it issued for a new key, openssl genpkey -algorithm EC -pkeyopt "
            "ec_paramgen_curve:P-256",
        )


def _validity(certificate: x509.Certificate, at: datetime) -> Iterator[Finding]:
    name, begin, end = name_of(certificate), certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if at > end:
        yield Finding(
            "credential.expired", f"{name} expired on {end:%Y-%m-%d %H:%M:%SZ}: have it renewed, or set the clock right"
        )
    if at < begin:
        yield Finding(
            "credential.not-yet-valid",
            f"{name} is valid only from {begin:%Y-%m-%d %H:%M:%SZ}: wait until then, or set the clock right",
        )
