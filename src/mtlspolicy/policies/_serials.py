"""SerialNumbers and Blocked: issuer and serial number together name one certificate (RFC 5280, section 4.1.2.2).

A serial number alone names nothing, since every CA counts for itself. Nothing is fetched: these lists are the caller's
own, not revocation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Self, cast

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict, decision_of
from mtlspolicy._evidence import Evidence
from mtlspolicy._names import DistinguishedName
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._input import (
    CertificateInput,
    PathInput,
    certificate_of,
    certificates_in_file,
    certificates_of,
    read_list,
    require_issuer,
)
from mtlspolicy.policies._lists import ListPolicy, Source

__all__ = ["Blocked", "SerialNumbers"]

_PERMIT: Final = Verdict.PERMIT

SERIAL_LIMIT: Final = 2**159
"""Serial numbers are positive and have 20 octets at most (RFC 5280, section 4.1.2.2), the first bit being the sign."""
_MARKED: Final = re.compile(
    r"(?:0x|serial=)([0-9A-Fa-f]{1,42})|([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){1,20})", re.ASCII | re.IGNORECASE
)
_BARE: Final = re.compile(r"(?:[0-9]{1,60}|[0-9A-Fa-f]{1,42})", re.ASCII)


def parse_serial(text: str) -> int:
    """Return the serial number that *text* writes in hex, with a mark: ``0x51``, ``0a:1b`` or ``serial=51``.

    Raises:
        ConfigurationError: No mark (the message shows how it could be read), or not a serial number.
    """
    marked = _MARKED.fullmatch(text)
    if marked:
        return require_serial(int(marked[1] or marked[2].replace(":", ""), 16))
    if _BARE.fullmatch(text):
        readings = [f"{int(text, 16):#x} if it is hex, as openssl prints it"]
        if text.isdigit():
            readings.append(f"{int(text):#x} if it is decimal")
        raise ConfigurationError(
            f"serial number {text!r} has no mark that says its base: write {', or '.join(readings)}"
        )
    raise ConfigurationError(f"serial number {text!r}: write it in hex as '0x51', '0a:1b' or 'serial=51'")


def require_serial(number: int) -> int:
    """Return *number* if a certificate can have it: 0 < number < 2^159.

    Raises:
        ConfigurationError: It cannot.
    """
    if 0 < number < SERIAL_LIMIT:
        return number
    raise ConfigurationError(
        f"serial number {number:#x}: they are positive and have 20 octets at most (RFC 5280, section 4.1.2.2)",
        code="serial.out-of-range",
    )


class _SerialList(ListPolicy[int]):
    """Shared by both: one issuer, by key and by name, and a list of serial numbers."""

    __slots__ = ()

    issuer_key: str
    issuer_name: DistinguishedName

    @classmethod
    def _made(cls, issuer: CertificateInput, entries: frozenset[int]) -> Self:
        return cls._holding(entries, **_issuer_fields(issuer, cls.__name__))

    def _fill(self, issuer: CertificateInput, serials: object) -> None:
        object.__setattr__(self, "entries", self._given(serials))
        for name, value in _issuer_fields(issuer, type(self).__name__).items():
            object.__setattr__(self, name, value)

    def _given(self, serials: object) -> frozenset[int] | Source:
        if callable(serials):
            return self._gathered((serials,))
        if isinstance(serials, str | bytes) or not isinstance(serials, Iterable):
            raise ConfigurationError(
                f"{type(self).__name__}(serials={serials!r}): give several, as in serials={{0x51}}"
            )
        return self._parsed(cast("Iterable[object]", serials))

    @classmethod
    def of(cls, *certificates: CertificateInput, issuer: CertificateInput) -> Self:
        """Return a policy of the serial numbers of *certificates*, which *issuer* issued (PEM or DER bytes, or parsed).

        Raises:
            ConfigurationError: One of them names another issuer; signatures are not verified.
        """
        what = f"{cls.__name__}.of"
        above = _issuer(issuer, what)
        found = [one for value in certificates for one in certificates_of(value, what)]
        for certificate in found:
            if certificate.layout.issuer != above.layout.subject:
                raise ConfigurationError(
                    f"{what}: {certificate.issuer} issued {certificate}, not {above}: give that CA as issuer"
                )
        return cls._made(above, cls._parsed(certificate.serial_number for certificate in found))

    @classmethod
    def parse(cls, text: str, *, issuer: CertificateInput) -> Self:
        """Return a policy of one serial number, written in hex: ``0x51``, ``0a:1b`` or ``serial=51``."""
        return cls._made(issuer, frozenset({parse_serial(text)}))

    @classmethod
    def from_file(cls, path: PathInput, *, issuer: CertificateInput) -> Self:
        """Return a policy of the serial numbers of the certificates in the PEM or DER file *path*."""
        return cls.of(*certificates_in_file(path, cls.__name__), issuer=issuer)

    @classmethod
    def from_list_file(cls, path: PathInput, *, issuer: CertificateInput) -> Self:
        """Return a policy of the serial numbers in the file *path*, one a line, each marked; ``#`` begins a comment.

        Raises:
            ConfigurationError: The file cannot be read, has no entry, or one bad entry, whose line is named.
        """
        return cls._made(issuer, read_list(path, cls.__name__, parse_serial))

    @classmethod
    def _entry(cls, value: object) -> int:
        if isinstance(value, str):
            return parse_serial(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return require_serial(value)
        raise ConfigurationError(
            f"{cls.__name__} takes serial numbers as int or marked text, not {type(value).__name__}"
        )

    @classmethod
    def _shown(cls, entry: int) -> str:
        return f"{entry:#x}"

    def _arguments(self) -> str:
        return f"{self.issuer_name}, {self._listed()}"

    def _alike(self, other: Self) -> bool:
        return (self.issuer_key, self.issuer_name) == (other.issuer_key, other.issuer_name)


def _issuer(value: CertificateInput, what: str) -> ParsedCertificate:
    return require_issuer(certificate_of(value, f"{what}(issuer=...)"), f"{what}(issuer=...)")


def _issuer_fields(value: CertificateInput, what: str) -> dict[str, object]:
    certificate = _issuer(value, what)
    return {"issuer_key": certificate.key_sha256, "issuer_name": certificate.subject}


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SerialNumbers(_SerialList):
    """The peer's certificate comes from this issuer and has one of these serial numbers.

    The issuer is compared by key, so that its renewed or cross-signed certificate matches as well. A listed serial
    number under the issuer's name with another key is a doubt: INDETERMINATE, also under ``~``.

    Args:
        issuer: The CA's certificate (PEM or DER bytes, or parsed).
        serials: Integers, or text with a mark (``0x51``, ``0a:1b``, ``serial=51``, all hex); or a callable that returns
            the current ones.

    Raises:
        ConfigurationError: No serial number, one that none can have, or text without a mark.
    """

    entries: frozenset[int] | Source
    issuer_key: str
    issuer_name: DistinguishedName
    identifies: ClassVar[bool] = True
    _binds_issuer: ClassVar[bool] = True

    def __init__(self, issuer: CertificateInput, serials: Iterable[int | str] | Source) -> None:
        self._fill(issuer, serials)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether issuer and serial number are on the list."""
        path = evidence.path
        serial = path.end_entity.serial_number
        listed = serial in self._current()
        if not 0 < serial < SERIAL_LIMIT:
            return self.indeterminate("serial.out-of-range", f"the peer's serial number is {serial:#x}")
        if not listed:
            return self.deny("serial.mismatch", f"the peer's serial number is {serial:#x}")
        if path.issuer is not None and path.issuer.key_sha256 == self.issuer_key:
            return self.permit("serial.match", f"{serial:#x} of {path.issuer}")
        if path.end_entity.issuer == self.issuer_name:
            return self.indeterminate(
                "serial.other-key",
                f"{serial:#x} is on the list, and the issuer {self.issuer_name} has another key than the listed one",
            )
        return self.deny(
            "serial.mismatch", f"{serial:#x} is on the list, but {path.end_entity.issuer} is another issuer"
        )


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Blocked(_SerialList):
    """Denies certificates of this issuer with these serial numbers, and permits every other; it does not identify.

    Every certificate of the path but the anchor is looked up, so that a CA can be blocked like a peer. For a denial the
    issuer's key or its name is enough.

    Args:
        issuer: The CA's certificate (PEM or DER bytes, or parsed).
        serials: Integers, or text with a mark (``0x51``, ``0a:1b``, ``serial=51``, all hex); or a callable that returns
            the current ones.

    Raises:
        ConfigurationError: No serial number, one that none can have, or text without a mark.
    """

    entries: frozenset[int] | Source
    issuer_key: str
    issuer_name: DistinguishedName

    def __init__(self, issuer: CertificateInput, serials: Iterable[int | str] | Source) -> None:
        self._fill(issuer, serials)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return DENY where a certificate below the anchor is on the list."""
        held = self.entries
        blocked = self._current() if callable(held) else held
        certificates = evidence.path.certificates
        for place, certificate in enumerate(certificates[:-1] or certificates):
            serial = certificate.serial_number
            if serial in blocked and self._issued(certificate, certificates[place + 1 : place + 2]):
                return self.deny(
                    "serial.blocked", f"{certificate} with serial number {serial:#x} of {certificate.issuer}"
                )
            if not 0 < serial < SERIAL_LIMIT:
                return self.indeterminate("serial.out-of-range", f"the serial number of {certificate} is {serial:#x}")
        return decision_of(_PERMIT, "serial.not-blocked", f"{certificates[0].serial_number:#x}", self)

    def _issued(self, certificate: ParsedCertificate, above: tuple[ParsedCertificate, ...]) -> bool:
        if certificate.issuer == self.issuer_name:
            return True
        return any(issuer.key_sha256 == self.issuer_key for issuer in above)
