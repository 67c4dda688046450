"""One certificate, parsed on demand: names, key and serial number as they stand in its bytes.

It decides nothing about trust. Every property that meets bytes it cannot read raises `MalformedEvidence`, nothing else.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlspolicy._der import Layout, certificate_layout
from mtlspolicy._identifiers import SUBJECT_ALT_NAME, PresentedIdentifiers
from mtlspolicy._names import DistinguishedName
from mtlspolicy._text import escape
from mtlspolicy.errors import MalformedEvidence

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_T = TypeVar("_T")
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

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
    """

    def __init__(self, der: bytes) -> None:
        self.der = der

    @classmethod
    def of(cls, certificate: x509.Certificate) -> ParsedCertificate:
        """Return the parsed form of *certificate*."""
        parsed = cls(certificate.public_bytes(Encoding.DER))
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

    @cached_property
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

    @cached_property
    def layout(self) -> Layout:
        """Parts of the certificate as they stand in its bytes."""
        return certificate_layout(self.der)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the DER, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def spki_sha256(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo as in the certificate, lower-case hex (RFC 7469, section 2.4)."""
        return hashlib.sha256(self.layout.spki).hexdigest()

    @cached_property
    def public_key(self) -> CertificatePublicKeyTypes:
        """The subject's public key."""
        return self._read("the public key", lambda certificate: certificate.public_key())

    @cached_property
    def key_sha256(self) -> str:
        """SHA-256 of the public key in its one canonical encoding, lower-case hex: equal for equal public numbers."""
        key = self.public_key
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    @cached_property
    def subject(self) -> DistinguishedName:
        """The subject."""
        return DistinguishedName.from_der(self.layout.subject)

    @cached_property
    def issuer(self) -> DistinguishedName:
        """The issuer's name."""
        return DistinguishedName.from_der(self.layout.issuer)

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same bytes (RFC 5280, section 3.2); says nothing about the signature."""
        return self.layout.subject == self.layout.issuer

    @cached_property
    def self_signed(self) -> bool:
        """Whether the signature verifies with the certificate's own key."""
        if not self.self_issued:
            return False
        return issued_by(self, self)

    @property
    def version(self) -> int:
        """X.509 version: 1, 2 or 3."""
        return self.layout.version

    @cached_property
    def serial_number(self) -> int:
        """The serial number; may be negative or out of range, see RFC 5280, section 4.1.2.2."""
        return int.from_bytes(self.layout.serial, "big", signed=True)

    @cached_property
    def not_before(self) -> datetime:
        """Start of the validity, aware, UTC."""
        return self._read("notBefore", lambda certificate: certificate.not_valid_before_utc)

    @cached_property
    def not_after(self) -> datetime:
        """End of the validity, aware, UTC; the last second is valid."""
        return self._read("notAfter", lambda certificate: certificate.not_valid_after_utc)

    @cached_property
    def names(self) -> PresentedIdentifiers:
        """Every name of the subject."""
        sans = [value for oid, _, value in self.layout.extensions if oid == SUBJECT_ALT_NAME]
        if len(sans) > 1:
            raise MalformedEvidence(f"{self} has two subjectAltName extensions")
        return PresentedIdentifiers.read(self.subject, sans[0] if sans else None)

    @cached_property
    def common_name(self) -> str | None:
        """The subject's common name, or ``None`` where there is none, several, or one that cannot be read."""
        names = self.names
        return names.common_names[0] if len(names.common_names) == 1 and "common-name" not in names.unreadable else None

    def extension(self, kind: type[_Extension]) -> _Extension | None:
        """Return the extension of *kind*, or ``None`` where it is absent.

        Raises:
            MalformedEvidence: It is there and cannot be read, or another extension keeps it from being read.
        """
        if not any(oid == kind.oid.dotted_string for oid, _, _ in self.layout.extensions):
            return None
        return self._read(kind.__name__, lambda certificate: certificate.extensions.get_extension_for_class(kind).value)

    @property
    def critical(self) -> frozenset[str]:
        """Dotted OIDs of the extensions that are marked critical."""
        return frozenset(oid for oid, critical, _ in self.layout.extensions if critical)


def issued_by(certificate: ParsedCertificate, issuer: ParsedCertificate) -> bool:
    """Return whether *certificate* names *issuer* as its issuer and *issuer*'s key verifies its signature.

    Nothing else is verified: not validity, not basicConstraints, not keyUsage.
    """
    try:
        certificate.certificate.verify_directly_issued_by(issuer.certificate)
    except Exception:  # noqa: BLE001 - whatever keeps the signature from verifying, it did not verify
        return False
    return True
