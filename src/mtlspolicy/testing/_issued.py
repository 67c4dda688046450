"""What a test authority hands out: a certificate, its private key and the chain to present.

It does not judge the certificate; those of the catalogue of broken ones may not even parse.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing._keys import PrivateKey


def pem_of(der: bytes) -> bytes:
    """Return *der* as one PEM block (RFC 7468) without parsing it, so that it serves for broken certificates too."""
    return b"-----BEGIN CERTIFICATE-----\n" + _base64_lines(der) + b"-----END CERTIFICATE-----\n"


def _base64_lines(der: bytes) -> bytes:
    text = base64.b64encode(der)
    return b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))


@dataclass(frozen=True, slots=True, repr=False)
class IssuedCertificate:
    """A certificate with its private key and chain, all in memory.

    Attributes:
        der: The certificate, DER.
        key: Its private key.
        root_der: The root that the chain leads to, DER; for a self-signed certificate itself.
        issuers_der: Issuing CAs that belong into the chain, DER, direct issuer first, without the root.
    """

    der: bytes
    key: PrivateKey = field(compare=False)
    root_der: bytes
    issuers_der: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        """Name the certificate by its SHA-256 (lower-case hex, shortened); nothing of the key, nothing hostile."""
        return f"IssuedCertificate(sha256={hashlib.sha256(self.der).hexdigest()[:16]})"

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse to pickle: the private key stays in this process."""
        raise TypeError(
            "IssuedCertificate holds a private key and does not pickle: pass .chain_pem and .key_pem yourself"
        )

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate, parsed anew.

        Raises:
            ValueError: It does not parse, which is the point of some of the broken ones.
        """
        return x509.load_der_x509_certificate(self.der)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificate and its issuing CAs, leaf first, without the root."""
        return tuple(x509.load_der_x509_certificate(der) for der in (self.der, *self.issuers_der))

    @property
    def root(self) -> x509.Certificate:
        """The root that the chain leads to: what a peer has to trust."""
        return x509.load_der_x509_certificate(self.root_der)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone, PEM."""
        return pem_of(self.der)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its issuing CAs, PEM, leaf first, without the root: what ``load_cert_chain`` wants."""
        return b"".join(pem_of(der) for der in (self.der, *self.issuers_der))

    @property
    def root_pem(self) -> bytes:
        """The root that the chain leads to, PEM."""
        return pem_of(self.root_der)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8 (RFC 5208), PEM, not encrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def encrypted_key_pem(self, password: bytes) -> bytes:
        """Return the private key, PKCS #8, PEM, encrypted under *password*."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))

    def pkcs12(self, password: bytes | None) -> bytes:
        """Return key, certificate and chain as PKCS #12 (RFC 7292), encrypted where *password* is given."""
        encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        certificate, *issuers = self.chain
        return pkcs12.serialize_key_and_certificates(
            b"mtlspolicy test", _pkcs12_key(self.key), certificate, issuers, encryption
        )

    def files(self, directory: str | os.PathLike[str], *, name: str | None = None) -> tuple[Path, Path]:
        """Write ``NAME.pem`` (chain) and ``NAME.key`` (private key, not encrypted), each readable by the owner alone.

        Files of these names are replaced. The default name is made of the certificate's SHA-256.

        Returns:
            Path of the chain, path of the key.

        Raises:
            ConfigurationError: *name* is not a plain file name.
        """
        stem = f"certificate-{hashlib.sha256(self.der).hexdigest()[:16]}" if name is None else name
        if not stem or Path(stem).name != stem:
            raise ConfigurationError(f"name {stem!r} is not a plain file name: give the directory separately")
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        chain, key = folder / f"{stem}.pem", folder / f"{stem}.key"
        _write_private(chain, self.chain_pem)
        _write_private(key, self.key_pem)
        return chain, key

    @contextmanager
    def tempfiles(self) -> Generator[tuple[Path, Path], None, None]:
        """Lend `files` in a directory that is removed at the end of the ``with`` block."""
        with tempfile.TemporaryDirectory(prefix="mtlspolicy-test-") as directory:
            yield self.files(directory)


def _write_private(path: Path, content: bytes) -> None:
    # mkstemp creates with mode 0600 and the rename swaps it in: others can read it at no moment, no link is followed.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".mtlspolicy-")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    Path(temporary).replace(path)


def _pkcs12_key(key: PrivateKey) -> pkcs12.PKCS12PrivateKeyTypes:
    if isinstance(
        key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
    ):
        return key
    raise ConfigurationError(f"PKCS #12 is not made for a {type(key).__name__} here: use .chain_pem and .key_pem")
