"""Reads what a person has in hand when building a policy: certificates, PEM files and lists, one entry a line.

It decides what is well-formed and refuses the rest by name, rule and remedy; nothing here is trusted or verified.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._pem import certificate_blocks, looks_like_pem
from mtlspolicy.errors import ConfigurationError, MalformedEvidence

_T = TypeVar("_T")

CertificateInput: TypeAlias = "x509.Certificate | ParsedCertificate | bytes"
"""A certificate as `cryptography` or this library parses it, or its PEM or DER."""
PathInput: TypeAlias = "str | os.PathLike[str]"
_PARTS: Final = tuple(map(attrgetter, ("certificate", "layout", "subject", "issuer", "key_sha256")))
LINE_LIMIT: Final = 4096
"""Longest line of a list, in bytes; no entry of any kind comes near it."""


def certificates_of(value: object, what: str) -> tuple[ParsedCertificate, ...]:
    """Return the certificates in *value*, a `CertificateInput`; PEM may hold several.

    Raises:
        ConfigurationError: *value* is something else, or cannot be read; *what* begins the message.
    """
    if isinstance(value, ParsedCertificate):
        return (_readable(value, what),)
    if isinstance(value, x509.Certificate):
        return (_readable(ParsedCertificate.of(value), what),)
    if isinstance(value, bytes):
        return tuple(_readable(ParsedCertificate(der), what) for der in _blocks(value, what))
    hint = "; a file is read by .from_file(path)" if isinstance(value, str) or hasattr(value, "__fspath__") else ""
    raise ConfigurationError(
        f"{what} takes a certificate, or its PEM or DER as bytes, not {type(value).__name__}{hint}"
    )


def certificate_of(value: object, what: str) -> ParsedCertificate:
    """Return the one certificate in *value*, a `CertificateInput`.

    Raises:
        ConfigurationError: There is none, or more than one.
    """
    found = certificates_of(value, what)
    first, *others = found
    if others:
        raise ConfigurationError(
            f"{what} takes one certificate; there are {len(found)} in the PEM: leave the one that is meant"
        )
    return first


def _blocks(data: bytes, what: str) -> tuple[bytes, ...]:
    try:
        ders = certificate_blocks(data) if looks_like_pem(data) else (data,)
    except MalformedEvidence as error:
        raise ConfigurationError(f"{what}: {error}") from None
    if not ders:
        raise ConfigurationError(f"{what}: there is no certificate in the PEM")
    return ders


def _readable(certificate: ParsedCertificate, what: str) -> ParsedCertificate:
    try:
        for read in _PARTS:  # each raises where it cannot be read
            read(certificate)
    except MalformedEvidence as error:
        hint = "" if certificate.der[:1] == b"\x30" else "; PEM has the line '-----BEGIN CERTIFICATE-----'"
        raise ConfigurationError(f"{what}: not a certificate that can be read: {error}{hint}") from None
    return certificate


def require_issuer(certificate: ParsedCertificate, what: str) -> ParsedCertificate:
    """Return *certificate* if it may be that of a CA: cA is TRUE, or it is X.509 v1, which cannot say so.

    Raises:
        ConfigurationError: It is an end entity's, or its basicConstraints cannot be read.
    """
    try:
        constraints = certificate.extension(x509.BasicConstraints)
    except MalformedEvidence as error:
        raise ConfigurationError(f"{what}: {error}") from None
    if certificate.version == 1 or (constraints is not None and constraints.ca):
        return certificate
    raise ConfigurationError(
        f"{what}: {certificate} is not a CA certificate (basicConstraints without cA, RFC 5280, section 4.2.1.9): give "
        "the certificate of the CA that issues, or pin the peer itself by policies.SPKIPin.of(certificate)"
    )


def require_duration(value: object, what: str) -> None:
    """Raise `ConfigurationError` unless *value* is a length of time of more than zero."""
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise ConfigurationError(f"{what}: {value!r} is no timedelta of more than zero, as timedelta(days=90) is")


def read_file(path: PathInput, what: str) -> bytes:
    """Return the content of the file *path*.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{what}: the file {str(path)!r} cannot be read: {error}", code="config.file"
        ) from None


def certificates_in_file(path: PathInput, what: str) -> tuple[ParsedCertificate, ...]:
    """Return the certificates in the PEM or DER file *path*.

    Raises:
        ConfigurationError: The file cannot be read or holds none, or something else as well.
    """
    return certificates_of(read_file(path, what), f"{what}, file {str(path)!r}")


def refuse_chain(certificates: tuple[ParsedCertificate, ...], what: str, advice: str) -> None:
    """Raise `ConfigurationError`, which ends in *advice*, where one of *certificates* is named as another's issuer."""
    subjects = {certificate.layout.subject: certificate for certificate in certificates}
    for certificate in certificates:
        above = subjects.get(certificate.layout.issuer)
        if above is not None and not certificate.self_issued:
            raise ConfigurationError(
                f"{what}: {above} issued {certificate}, so this is a chain and not a list; {advice}"
            )


def read_list(path: PathInput, what: str, parse: Callable[[str], _T], *, inline_comments: bool = True) -> frozenset[_T]:
    """Return what *parse* makes of each line of the file *path*; one bad entry refuses the whole list.

    Empty lines, and lines that begin with ``#``, are passed over; so is what follows ``#`` after white space, unless
    entries of this kind may contain that. The text is UTF-8, with or without byte order mark. The file is not held in
    memory.

    Raises:
        ConfigurationError: The file cannot be read, a line cannot be parsed (it is named), or there is no entry.
    """
    try:
        with Path(path).open("rb") as stream:
            found = frozenset(_entries(stream, parse, f"{what}, file {str(path)!r}", inline_comments=inline_comments))
    except ConfigurationError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{what}: the list {str(path)!r} cannot be read: {error}", code="config.file"
        ) from None
    if not found:
        raise ConfigurationError(
            f"{what}: the list {str(path)!r} has no entry; an empty list is refused, not read as 'all'"
        )
    return found


def _entries(stream: Iterator[bytes], parse: Callable[[str], _T], where: str, *, inline_comments: bool) -> Iterator[_T]:
    for number, raw in enumerate(stream, 1):
        line = raw.strip() if number > 1 else raw.removeprefix(b"\xef\xbb\xbf").strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            text = _text_of(line)
            yield parse(_without_comment(text) if inline_comments and "#" in text else text)
        except UnicodeDecodeError:
            raise ConfigurationError(f"{where}, line {number}: not UTF-8 text") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}, line {number}: {error}", code=error.code) from None


def _text_of(line: bytes) -> str:
    if len(line) > LINE_LIMIT:
        raise ConfigurationError(f"longer than {LINE_LIMIT} bytes")
    return line.decode("utf-8")


def _without_comment(text: str) -> str:
    places = [at for at in (text.find(" #"), text.find("\t#")) if at >= 0]
    return text[: min(places)].rstrip() if places else text
