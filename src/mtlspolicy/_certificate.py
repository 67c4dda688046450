"""One certificate, parsed on demand: names, key and serial number as they stand in its bytes.

It decides nothing about trust. Every property that meets bytes it cannot read raises `MalformedEvidence`, nothing else.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from datetime import datetime
from functools import cache
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from mtlspolicy._der import Layout, certificate_layout
from mtlspolicy._der_keys import KeyForm, key_form
from mtlspolicy._der_usual import usual_layout
from mtlspolicy._identifiers import SUBJECT_ALT_NAME, PresentedIdentifiers
from mtlspolicy._lazy import lazy
from mtlspolicy._names import DistinguishedName
from mtlspolicy._text import escape
from mtlspolicy.errors import MalformedEvidence

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_T = TypeVar("_T")
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_times: Final[Callable[[x509.Certificate], tuple[datetime, datetime]]] = attrgetter(
    "not_valid_before_utc", "not_valid_after_utc"
)
_public_key: Final[Callable[[x509.Certificate], CertificatePublicKeyTypes]] = methodcaller("public_key")
"""A getter written in C is a call less of Python's than a function."""

PARSER_ERRORS: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    Warning,
)
"""What `cryptography` raises, early or late, for a certificate that it cannot read; warnings where these are errors."""


class ParsedCertificate:
    """A certificate and what it says. Two are equal when their DER is.

    Attributes:
        der: The certificate's bytes.
        sound_issuer: Whether it has passed the rules on single CA certificates, which look at its bytes alone.
    """

    sound_issuer = False

    def __init__(self, der: bytes) -> None:
        self.der = der

    @classmethod
    def of(cls, certificate: x509.Certificate) -> ParsedCertificate:
        """Return the parsed form of *certificate*."""
        parsed = cls(certificate.public_bytes(_canonical()[0]))
        parsed.__dict__["certificate"] = certificate
        return parsed

    def __eq__(self, other: object) -> bool:
        return self.der == other.der if isinstance(other, ParsedCertificate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"<ParsedCertificate {self}>"

    def __str__(self) -> str:
        """Return the subject, escaped, or the digest where the subject cannot be read or is empty."""
        return self._text

    @lazy
    def _text(self) -> str:
        try:
            return str(self.subject) if self.subject.rdns else f"sha256:{self.sha256[:16]}"
        except MalformedEvidence:
            return f"unreadable sha256:{self.sha256[:16]}"

    def _read(self, what: str, read: Callable[[x509.Certificate], _T]) -> _T:
        certificate = self.certificate
        try:
            return read(certificate)
        except PARSER_ERRORS as error:
            raise MalformedEvidence(f"{what} of {self} cannot be read: {escape(str(error), 200)}") from None

    @lazy
    def certificate(self) -> x509.Certificate:
        """The certificate as `cryptography` parses it."""
        try:
            if self.serial_number > 0:
                return x509.load_der_x509_certificate(self.der)
            # a few old roots have such a serial number; a peer's is refused before this is reached
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return x509.load_der_x509_certificate(self.der)
        except PARSER_ERRORS as error:
            raise MalformedEvidence(f"bytes that are not a certificate: {escape(str(error), 200)}") from None

    @lazy
    def layout(self) -> Layout:
        """Parts of the certificate as they stand in its bytes."""
        layout = usual_layout(self.der) or certificate_layout(self.der)
        held = self.__dict__  # what is asked for next, always
        held["serial_number"] = int.from_bytes(layout.serial, "big", signed=True)
        values = {kind: value for kind, _, value in layout.extensions}
        if len(values) == len(layout.extensions):
            held["_extension_values"] = values
        held["critical"] = frozenset([kind for kind, critical, _ in layout.extensions if critical])
        return layout

    @lazy
    def sha256(self) -> str:
        """SHA-256 of the DER, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @lazy
    def spki_sha256(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo as in the certificate, lower-case hex (RFC 7469, section 2.4)."""
        return hashlib.sha256(self.layout.spki).hexdigest()

    @lazy
    def public_key(self) -> CertificatePublicKeyTypes:
        """The subject's public key."""
        return self._read("the public key", _public_key)

    @lazy
    def key_sha256(self) -> str:
        """SHA-256 of the public key in its one canonical encoding, lower-case hex: equal for equal public numbers."""
        if self.key_canonical:
            return self.spki_sha256
        return hashlib.sha256(self.public_key.public_bytes(*_canonical())).hexdigest()

    @lazy
    def key_canonical(self) -> bool:
        """Whether the public key stands in the certificate in its one canonical encoding.

        Raises:
            MalformedEvidence: It cannot be read.
        """
        return self.key_form is not None or self.public_key.public_bytes(*_canonical()) == self.layout.spki

    @lazy
    def key_form(self) -> KeyForm | None:
        """The usual form that the key has, by its bytes alone, or ``None`` for every other key and encoding."""
        return key_form(self.layout.spki)

    @lazy
    def subject(self) -> DistinguishedName:
        """The subject."""
        return DistinguishedName.from_der(self.layout.subject)

    @lazy
    def issuer(self) -> DistinguishedName:
        """The issuer's name."""
        return DistinguishedName.from_der(self.layout.issuer)

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same bytes (RFC 5280, section 3.2); says nothing about the signature."""
        return self.layout.subject == self.layout.issuer

    @lazy
    def self_signed(self) -> bool:
        """Whether the signature verifies with the certificate's own key."""
        if not self.self_issued:
            return False
        return issued_by(self, self)

    @property
    def version(self) -> int:
        """X.509 version: 1, 2 or 3."""
        return self.layout.version

    @lazy
    def serial_number(self) -> int:
        """The serial number; may be negative or out of range, see RFC 5280, section 4.1.2.2."""
        self.layout  # noqa: B018 - writes it
        number: int = self.__dict__["serial_number"]
        return number

    @property
    def _validity(self) -> tuple[datetime, datetime]:
        both = self._read("the validity", _times)
        self.__dict__.update(not_before=both[0], not_after=both[1])  # who asks for one asks for the other
        return both

    @lazy
    def not_before(self) -> datetime:
        """Start of the validity, aware, UTC."""
        return self._validity[0]

    @lazy
    def not_after(self) -> datetime:
        """End of the validity, aware, UTC; the last second is valid."""
        return self._validity[1]

    @lazy
    def names(self) -> PresentedIdentifiers:
        """Every name of the subject."""
        return PresentedIdentifiers.read(self.subject, self._extension_values.get(SUBJECT_ALT_NAME))

    @lazy
    def common_name(self) -> str | None:
        """The subject's common name, or ``None`` where there is none, several, or one that cannot be read."""
        names = self.names
        return names.common_names[0] if len(names.common_names) == 1 and "common-name" not in names.unreadable else None

    def extension(self, kind: type[_Extension]) -> _Extension | None:
        """Return the extension of *kind*, or ``None`` where it is absent.

        Raises:
            MalformedEvidence: It is there and cannot be read, or another extension keeps it from being read.
        """
        wanted = kind.oid.dotted_string
        if wanted not in [oid for oid, _, _ in self.layout.extensions]:
            return None
        return self._read(kind.__name__, lambda certificate: certificate.extensions.get_extension_for_class(kind).value)

    def extension_value(self, oid: str) -> bytes | None:
        """Return the DER of the value of the extension *oid* (dotted), or ``None`` where it is absent.

        Raises:
            MalformedEvidence: Some extension is there twice, which no certificate may have (RFC 5280, section 4.2).
        """
        return self._extension_values.get(oid)

    @lazy
    def _extension_values(self) -> dict[str, bytes]:
        kinds = [kind for kind, _, _ in self.layout.extensions]
        values: dict[str, bytes] | None = self.__dict__.get("_extension_values")  # written with the layout
        if values is None:
            twice = next(kind for kind in kinds if kinds.count(kind) > 1)
            name = "subjectAltName" if twice == SUBJECT_ALT_NAME else twice
            raise MalformedEvidence(f"{self} has two {name} extensions")
        return values

    @lazy
    def name_constraints(self) -> x509.NameConstraints | None:
        """The nameConstraints of a CA (RFC 5280, section 4.2.1.10), or ``None``."""
        return self.extension(x509.NameConstraints)

    @lazy
    def critical(self) -> frozenset[str]:
        """Dotted OIDs of the extensions that are marked critical."""
        self.layout  # noqa: B018 - writes it
        critical: frozenset[str] = self.__dict__["critical"]
        return critical


@cache
def _canonical() -> tuple[Encoding, PublicFormat]:
    """Return how a public key is encoded; loaded late, since this is a fifth of the package's import time."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Encoding.DER, PublicFormat.SubjectPublicKeyInfo


def issued_by(certificate: ParsedCertificate, issuer: ParsedCertificate) -> bool:
    """Return whether *certificate* names *issuer* as its issuer and *issuer*'s key verifies its signature.

    Nothing else is verified: not validity, not basicConstraints, not keyUsage.
    """
    try:
        certificate.certificate.verify_directly_issued_by(issuer.certificate)
    except Exception:  # noqa: BLE001 - whatever keeps the signature from verifying, it did not verify
        return False
    return True
