"""Builds trust stores from PEM files and directories: which certificate becomes what, and which file is refused.

A file is read once, while the store is built. Entries are never skipped: one that does not belong refuses the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._pem import certificate_blocks, looks_like_pem, read_pem
from mtlspolicy._text import quoted
from mtlspolicy._trust import TrustStore
from mtlspolicy._trust_roles import ca_problem
from mtlspolicy.errors import ConfigurationError, MalformedEvidence

_SUFFIXES: Final = frozenset({".pem", ".crt", ".cer"})
_LARGEST: Final = 64 * 1024 * 1024
"""Bytes; a larger file is no collection of CA certificates."""


def read_file(path: Any, what: str) -> bytes:
    """Return the content of *path*.

    Raises:
        ConfigurationError: Missing, unreadable, empty, a directory, or too large; names the file and *what* it should
        be.
    """
    name = f"{what} {quoted(str(path))}"
    try:
        file = Path(path)
        if file.is_dir():
            raise ConfigurationError(f"{name} is a directory: use .from_directory", code="config.file")
        data = file.read_bytes()
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{name} cannot be read: {reason}", code="config.file") from None
    if not data.strip():
        raise ConfigurationError(f"{name} is empty", code="config.file")
    if len(data) > _LARGEST:
        raise ConfigurationError(f"{name} has {len(data)} bytes; at most {_LARGEST}", code="config.file")
    return data


def read_certificates(data: bytes, source: str) -> tuple[ParsedCertificate, ...]:
    """Return every certificate in the PEM *data*.

    Raises:
        ConfigurationError: Names *source* and what does not belong: DER, a private key, ``TRUSTED CERTIFICATE``, no
            certificate at all.
    """
    if not looks_like_pem(data):
        remedy = ": one begins with the line '-----BEGIN CERTIFICATE-----'; give the file that the CA publishes"
        if data[:1] == b"\x30":
            remedy = "; it looks like DER: convert it with 'openssl x509 -inform der -out ca.pem'"
        raise ConfigurationError(f"{source} holds no PEM certificate{remedy}", code="trust.no-certificate")
    try:
        for block in read_pem(data):
            if "PRIVATE KEY" in block.label:
                raise ConfigurationError(
                    f"{source} holds a private key: a file of CA certificates has none; move the key away, and treat "
                    f"it as lost",
                    code="trust.private-key",
                )
            if block.label == "TRUSTED CERTIFICATE":
                raise ConfigurationError(
                    f"{source} holds a 'TRUSTED CERTIFICATE', whose trust settings only OpenSSL reads: convert it with "
                    "'openssl x509 -in ca.pem -out plain.pem'",
                    code="trust.trusted-certificate",
                )
        ders = certificate_blocks(data)
    except MalformedEvidence as error:
        raise ConfigurationError(f"{source}: {error}", code="trust.malformed") from None
    if not ders:
        raise ConfigurationError(f"{source} holds no certificate", code="trust.no-certificate")
    certificates = tuple(map(ParsedCertificate, dict.fromkeys(ders)))
    for number, certificate in enumerate(certificates, 1):
        try:
            certificate.certificate  # noqa: B018 - read now, so that what cannot be read is refused now
            certificate.layout  # noqa: B018
        except MalformedEvidence as error:
            raise ConfigurationError(f"{source}, certificate {number}: {error}", code="trust.malformed") from None
    return certificates


def parse_pem(data: bytes, *, anchors: Literal["self-signed", "all"], source: str) -> TrustStore:
    """Return the store in *data*; see `TrustStore.from_pem`."""
    if anchors not in ("self-signed", "all"):
        raise ConfigurationError(f"anchors={anchors!r}: write 'self-signed' or 'all'")
    roots: list[ParsedCertificate] = []
    others: list[ParsedCertificate] = []
    for certificate in read_certificates(data, source):
        (roots if anchors == "all" or _is_root(certificate, source) else others).append(certificate)
    if not roots:
        raise ConfigurationError(
            f"{source} holds no self-signed CA certificate, only {', '.join(map(str, others[:3]))}: add the root, or "
            f"say anchors='all' to trust an issuing CA by itself",
            code="trust.no-anchor",
        )
    try:
        return TrustStore(anchors=roots, intermediates=others)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}", code=error.code) from None


def _is_root(certificate: ParsedCertificate, source: str) -> bool:
    """Return whether *certificate* is a self-signed CA; an end entity's certificate is refused, not passed over."""
    try:
        problem = ca_problem(certificate)
    except MalformedEvidence as error:
        raise ConfigurationError(f"{source}: {error}", code="trust.malformed") from None
    if certificate.self_signed:
        if problem is not None:
            raise ConfigurationError(
                f"{source}: {certificate} is self-signed and cannot be a CA: {problem}; if it is a peer's own "
                f"certificate, register it with TrustStore(peers=[certificate])",
                code="trust.not-a-ca",
            )
        return True
    if problem is not None:
        raise ConfigurationError(
            f"{source}: {certificate} is not a CA certificate ({problem}): a trust store takes the certificates of CAs",
            code="trust.not-a-ca",
        )
    return False


def load_files(paths: Iterable[Any], *, anchors: Literal["self-signed", "all"]) -> TrustStore:
    """Return the stores in the files *paths*, joined."""
    stores = [
        parse_pem(read_file(path, "CA file"), anchors=anchors, source=f"CA file {quoted(str(path))}") for path in paths
    ]
    if not stores:
        raise ConfigurationError("no CA file given: the trust store would be empty")
    if len(stores) == 1:
        return stores[0]
    return TrustStore(
        anchors=[one for store in stores for one in store.anchors],
        intermediates=[one for store in stores for one in store.intermediates],
    )


def directory_files(path: Any) -> tuple[Path, ...]:
    """Return the certificate files of the directory *path*, sorted by name."""
    try:
        files = sorted(entry for entry in Path(path).iterdir() if entry.suffix.lower() in _SUFFIXES)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"CA directory {quoted(str(path))} cannot be read: {reason}", code="config.file"
        ) from None
    if not files:
        raise ConfigurationError(
            f"CA directory {quoted(str(path))} has no file *.pem, *.crt or *.cer", code="config.file"
        )
    return tuple(files)


@cache
def certifi_ders() -> frozenset[bytes]:
    """Return the DER of certifi's certificates."""
    import certifi

    return frozenset(certificate_blocks(Path(certifi.where()).read_bytes()))


@cache
def public_store() -> TrustStore:
    """Return certifi's store."""
    return TrustStore(anchors=[ParsedCertificate(der) for der in sorted(certifi_ders())])
