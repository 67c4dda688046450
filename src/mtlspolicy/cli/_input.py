"""Reads what the command line names: files or standard input, certificates in PEM or DER, times. It trusts nothing."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._pem import looks_like_pem, read_pem
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence

LARGEST: Final = 16 * 1024 * 1024
"""Bytes; a bundle of all public CAs has a fiftieth of it."""
_CERTIFICATE_LABELS: Final = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})

_REMEDIES: Final = MappingProxyType(
    {
        "X509 CRL": "a revocation list is shown by: mtlspolicy explain CHAIN --trust FILE --crl FILE",
        "CERTIFICATE REQUEST": "a signing request is shown by: mtlspolicy pki csr DIR FILE",
        "NEW CERTIFICATE REQUEST": "a signing request is shown by: mtlspolicy pki csr DIR FILE",
    }
)
"""By the label of the first PEM block in place of a certificate."""


class Found(NamedTuple):
    """The certificates of a file, in its order, and the labels of other PEM blocks in it."""

    certificates: tuple[ParsedCertificate, ...]
    others: tuple[str, ...]


def read_bytes(source: str, *, wanted: str = "a certificate or a chain", largest: int = LARGEST) -> bytes:
    """Return the content of the file *source*, or of standard input for ``-``.

    Args:
        source: Name of a file, or ``-``.
        wanted: What should be in it, for messages.
        largest: Bytes.

    Raises:
        ConfigurationError: It cannot be read, is empty or larger than *largest*.
    """
    name = source_name(source)
    try:
        if source == "-":
            data = sys.stdin.buffer.read(largest + 1)
        else:
            with Path(source).open("rb") as stream:
                data = stream.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{name} cannot be read: {reason}", code="config.file") from None
    if not data.strip():
        raise ConfigurationError(f"{name} is empty: give {wanted}, PEM or DER", code="config.file")
    if len(data) > largest:
        raise ConfigurationError(f"{name} has more than {largest} bytes, too many for {wanted}")
    return data


def source_name(source: str) -> str:
    """Return what messages call *source*, escaped."""
    return "standard input" if source == "-" else f"the file {quoted(source)}"


def read_certificates(source: str) -> Found:
    """Return the certificates in the file *source* (``-``: standard input), PEM or DER.

    Raises:
        ConfigurationError: It cannot be read, holds no certificate, or bytes that are none.
    """
    data, name = read_bytes(source), source_name(source)
    if not looks_like_pem(data):
        if data[:1] != b"\x30":
            raise ConfigurationError(
                f"{name} holds neither PEM nor DER: give a certificate or a chain", code="config.file"
            )
        return Found((_certificate(data, name),), ())
    try:
        blocks = read_pem(data)
    except MalformedEvidence as error:
        raise ConfigurationError(f"{name}: {error}", code=error.code) from None
    ders = [block.der for block in blocks if block.label in _CERTIFICATE_LABELS]
    others = tuple(block.label for block in blocks if block.label not in _CERTIFICATE_LABELS)
    if not ders:
        remedy = f"; {_REMEDIES[others[0]]}" if others[0] in _REMEDIES else ""
        raise ConfigurationError(f"{name} holds no certificate, only: {', '.join(others)}{remedy}", code="config.file")
    return Found(tuple(_certificate(der, name, number) for number, der in enumerate(ders, 1)), others)


def _certificate(der: bytes, name: str, number: int = 0) -> ParsedCertificate:
    certificate = ParsedCertificate(der)
    try:
        _ = certificate.certificate, certificate.layout  # read now: what cannot be read is refused now
    except MalformedEvidence as error:
        where = f"{name}, certificate {number}" if number else name
        hint = "" if number else "; a .p12 or .pfx file: openssl pkcs12 -in FILE -nokeys -out chain.pem"
        raise ConfigurationError(f"{where}: {error}{hint}", code=error.code) from None
    return certificate


def parse_time(text: str) -> datetime:
    """Return the time in *text*, ISO 8601 with a time zone, in UTC.

    Raises:
        ConfigurationError: It is no such time.
    """
    example = "write it as 2026-01-31T12:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--at {quoted(text)} is no ISO 8601 time: {example}") from None
    if moment.tzinfo is None:
        raise ConfigurationError(f"--at {quoted(text)} has no time zone: {example}")
    return moment.astimezone(UTC)
