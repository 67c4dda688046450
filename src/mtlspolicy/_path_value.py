"""A validated certification path: end entity to trust anchor (RFC 5280, section 6). Only path validation makes one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._lazy import lazy

REST_OF_SECOND: Final = timedelta(microseconds=999_999)
"""Certificates count whole seconds and the last one is valid (RFC 5280, section 4.1.2.5)."""


class CertificationPath:
    """Certificates from the end entity to the trust anchor, each issued by the next, validated under a profile.

    Attributes:
        certificates: End entity first, anchor last; one alone where the end entity is a registered peer.
        profile: Name of the `PathProfile` that it was validated under.
        alone: Whether no other path was possible, so that the answer on this one is the answer on the peer.
    """

    def __init__(self, certificates: tuple[ParsedCertificate, ...], profile: str, *, alone: bool = False) -> None:
        self.certificates = certificates
        self.profile = profile
        self.alone = alone

    @property
    def end_entity(self) -> ParsedCertificate:
        """The peer's own certificate."""
        return self.certificates[0]

    @property
    def issuer(self) -> ParsedCertificate | None:
        """The end entity's direct issuer, or ``None`` where the end entity is itself registered."""
        return self.certificates[1] if len(self.certificates) > 1 else None

    @property
    def anchor(self) -> ParsedCertificate:
        """The trust anchor."""
        return self.certificates[-1]

    @lazy
    def not_before(self) -> datetime:
        """Latest notBefore of all certificates, anchor included."""
        return max(certificate.not_before for certificate in self.certificates)

    @lazy
    def not_after(self) -> datetime:
        """Earliest notAfter of all certificates, anchor included."""
        return min(certificate.not_after for certificate in self.certificates)

    def valid_at(self, at: datetime) -> bool:
        """Return whether every certificate is inside its validity at the aware time *at*."""
        return self.not_before <= at <= self.not_after + REST_OF_SECOND

    @lazy
    def name_constraints(self) -> tuple[x509.NameConstraints, ...]:
        """The nameConstraints of the CAs of the path, anchor included (RFC 5280, section 4.2.1.10)."""
        found = [certificate.name_constraints for certificate in self.certificates[1:]]
        return tuple([constraints for constraints in found if constraints is not None])

    def __str__(self) -> str:
        """Return the subjects, end entity first, escaped."""
        return " < ".join(map(str, self.certificates))

    def __repr__(self) -> str:
        return f"<CertificationPath {self}>"
