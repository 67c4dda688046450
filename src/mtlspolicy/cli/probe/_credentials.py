"""Makes the certificates that a server must refuse: of a CA that nobody trusts, expired, and for another use.

The last two need a CA that the server trusts, so they are made where its certificate and key are given: a test CA. All
keys are new, live in memory and end with the program.
"""

from __future__ import annotations

import getpass
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlspolicy._text import quoted
from mtlspolicy.cli._input import read_certificates
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._credential import Credential
from mtlspolicy.tls._credential_pem import read_content
from mtlspolicy.tls._credential_source import PasswordSource, Source
from mtlspolicy.tls._key_loading import PrivateKey, load_key

PASSWORD: Final = "MTLSPOLICY_KEY_PASSWORD"  # noqa: S105 - the name of the variable
"""Environment variable with the password of encrypted keys."""
STRANGER: Final = "mtlspolicy probe: a CA that nobody trusts"
SUBJECT: Final = "mtlspolicy probe"
_HOUR: Final = timedelta(hours=1)


class Issuer:
    """A test CA: its certificate, those above it, and its key, which no ``repr`` shows.

    Args:
        chain: The CA's own certificate first.
        key: Its private key.
    """

    __slots__ = ("chain", "key")

    def __init__(self, chain: tuple[x509.Certificate, ...], key: PrivateKey) -> None:
        self.chain = chain
        self.key = key


def read_credential(chain: str, key: str | None, what: str) -> Credential:
    """Return the credential in the files *chain* and *key*; a password is taken from `PASSWORD` or asked for.

    Raises:
        ConfigurationError: They cannot be read, do not belong together, or the password is wrong or missing.
    """
    return Credential.from_files(chain, key, password=lambda: _password(what))


def _password(what: str) -> str:
    given = os.environ.get(PASSWORD)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise ConfigurationError(f"the key of {what} is encrypted: put its password into {PASSWORD}, or use a terminal")
    return getpass.getpass(f"Password of the key of {what}: ")


def stranger(like: Credential | None) -> Credential:
    """Return a credential of a CA made up here, with the names of *like*: what a forger can make."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, STRANGER)])
    now = datetime.now(UTC)
    builder = _builder(like, issuer).not_valid_before(now - _HOUR).not_valid_after(now + _HOUR)
    builder = builder.add_extension(_use(ExtendedKeyUsageOID.CLIENT_AUTH), critical=False)
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf = builder.public_key(leaf_key.public_key()).sign(key, hashes.SHA256())
    return Credential.of(leaf, leaf_key)


def expired(like: Credential | None, issuer: Issuer) -> Credential:
    """Return a credential that *issuer* issued, and that expired yesterday."""
    now = datetime.now(UTC)
    return _issued(like, issuer, (now - 2 * 24 * _HOUR, now - 24 * _HOUR), ExtendedKeyUsageOID.CLIENT_AUTH)


def wrong_use(like: Credential | None, issuer: Issuer) -> Credential:
    """Return a credential that *issuer* issued for servers, and not for clients."""
    now = datetime.now(UTC)
    return _issued(like, issuer, (now - _HOUR, now + _HOUR), ExtendedKeyUsageOID.SERVER_AUTH)


def _issued(
    like: Credential | None, issuer: Issuer, validity: tuple[datetime, datetime], use: x509.ObjectIdentifier
) -> Credential:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(like, issuer.chain[0].subject)
    builder = builder.not_valid_before(validity[0]).not_valid_after(validity[1]).public_key(key.public_key())
    builder = builder.add_extension(_use(use), critical=False).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
    )
    signer = issuer.key
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    leaf = builder.sign(signer, digest)
    return Credential.of([leaf, *issuer.chain], key)


def _builder(like: Credential | None, issuer: x509.Name) -> x509.CertificateBuilder:
    """Return a certificate with the subject and the names of *like*, so that nothing but one fault is refused."""
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
    builder = x509.CertificateBuilder().issuer_name(issuer).serial_number(x509.random_serial_number())
    builder = builder.subject_name(own if like is None else like.certificate.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    try:
        names = (
            None if like is None else like.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        )
    except x509.ExtensionNotFound:
        return builder
    return builder if names is None else builder.add_extension(names.value, critical=names.critical)


def _use(purpose: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([purpose])


def read_issuer(certificate: str, key: str) -> Issuer:
    """Return the test CA in the files *certificate* (PEM or DER, the CA first) and *key*.

    Raises:
        ConfigurationError: They cannot be read, do not belong together, or are no CA's.
    """
    chain = tuple(one.certificate for one in read_certificates(certificate).certificates)
    source = Source.of_file(key, "the private key of the test CA (PEM)")
    signer = load_key(read_content(source).key(), source, PasswordSource(lambda: _password("the test CA")))
    if signer.public_key() != chain[0].public_key():
        raise ConfigurationError(
            f"--issuer-key {quoted(key)} is not the key of the first certificate in --issuer-cert {quoted(certificate)}"
        )
    try:
        is_ca = chain[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_ca = False
    if not is_ca:
        raise ConfigurationError(f"--issuer-cert {quoted(certificate)} is no CA certificate, so it can issue none")
    return Issuer(chain, signer)
