"""One CRL, parsed once and looked up often. Its signature is verified when it is asked for, with a key that is given.

It decides nothing about a certificate: that is for `read_crl`. The entries are read when the first serial number is
looked up, which for a long CRL takes as long as a few hundred handshakes; never do that on an event loop.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.revocation._crl_index import Entry, SerialIndex
from mtlspolicy.revocation._crl_layout import (
    ISSUING_DISTRIBUTION_POINT,
    MOST_BYTES,
    Extensions,
    Scope,
    crl_blocks,
    crl_number,
    layout_of,
    scope_of,
)
from mtlspolicy.revocation._signatures import Signed, signed_by, signed_of
from mtlspolicy.revocation._unusable import Unusable

__all__ = ["RevocationList"]

SHORT: Final = 16 * 1024
"""Octets of a CRL that is read and verified in a fraction of a handshake: some 400 entries."""
_KEYS: Final = 64
"""Keys whose verdict on the signature is remembered; a CRL meets as many as there are CAs of one name."""


class RevocationList:
    """A CRL (RFC 5280, section 5): who issued it, when, and what it says of a serial number.

    Nothing is verified when it is parsed, and its entries are not read yet: `read_crl` does both, in that order.

    Attributes:
        der: The CRL's bytes.
        source: Where it came from, for people.
        version: 1 or 2.
        issuer: DER of the issuer's name.
        this_update: When it was issued; aware, UTC.
        next_update: When the next one is issued at the latest; ``None`` where it does not say.
        crl_number: Its number (RFC 5280, section 5.2.3); ``None`` where it has none.
        scope: What of its issuer's certificates it is about.
        extensions: By dotted OID: critical, and the DER of the value.
    """

    __slots__ = (
        "_index", "_layout", "_problem", "_signatures",
        "crl_number", "der", "extensions", "issuer", "next_update", "scope", "source", "this_update", "version",
    )  # fmt: skip

    def __init__(self, der: bytes, *, source: str = "") -> None:
        if len(der) > MOST_BYTES:
            raise MalformedEvidence(f"a CRL of {len(der)} bytes; at most {MOST_BYTES}", code="crl.too-large")
        self._layout = layout = layout_of(der)
        self.der: bytes = der
        self.source: str = source
        self.version: int = layout.version
        self.issuer: bytes = layout.issuer
        self.this_update: datetime = layout.this_update
        self.next_update: datetime | None = layout.next_update
        self.extensions: Extensions = layout.extensions
        self.crl_number: int | None = crl_number(layout.extensions)
        self.scope: Scope = scope_of(layout.extensions)
        self._index: SerialIndex | None = None
        self._problem: Exception | None = None
        self._signatures: dict[bytes, bool] = {}

    @classmethod
    def parse(cls, data: bytes, *, source: str = "") -> RevocationList:
        """Return the CRL in *data*, DER, or PEM with this one CRL.

        Args:
            data: At most 64 MiB of DER, or as much as PEM.
            source: Where it came from, for people.

        Raises:
            MalformedEvidence: It is no CRL, or too large. What is wrong with entries shows when they are read.
        """
        first, *others = crl_blocks(data)
        if others:
            raise MalformedEvidence(f"{1 + len(others)} CRLs in one PEM file; give them one by one")
        return cls(first, source=source)

    def __repr__(self) -> str:
        return f"<RevocationList of {self.this_update:%Y-%m-%dT%H:%M:%SZ}, {len(self.der)} bytes>"

    def __len__(self) -> int:
        """Return the number of entries; reads them all the first time.

        Raises:
            MalformedEvidence: An entry is not well-formed, or keeps the CRL from being used.
        """
        try:
            return len(self._read())
        except Unusable as problem:
            raise MalformedEvidence(str(problem), code=problem.code) from None

    def __bool__(self) -> bool:
        """Return that it is a CRL: one without entries is no less true."""
        return True

    @property
    def partition(self) -> bytes:
        """DER of the issuingDistributionPoint: what keeps the CRLs of one issuer apart. Empty where there is none."""
        return self.extensions.get(ISSUING_DISTRIBUTION_POINT, (False, b""))[1]

    @property
    def signed(self) -> Signed:
        """The algorithm of the signature; what was signed is left out, since it may be long."""
        return Signed(b"", b"", self._layout.signature_algorithm)

    @property
    def one_algorithm(self) -> bool:
        """Whether the algorithm inside the signed part is the one beside the signature."""
        return self._layout.algorithm == self._layout.signature_algorithm

    def signed_by(self, issuer: ParsedCertificate) -> bool:
        """Return whether the key of *issuer* made the signature; that it may is not looked at. Verified once a key.

        Raises:
            MalformedEvidence: The key cannot be read, or the signature has another shape.
        """
        key = issuer.layout.spki
        known = self._signatures.get(key)
        if known is None:
            known = signed_by(issuer.public_key, signed_of(self.der))
            if len(self._signatures) >= _KEYS:
                self._signatures.clear()
            self._signatures[key] = known
        return known

    def answers_at_once(self, issuer: ParsedCertificate) -> bool:
        """Return whether it is short, or all that takes long was done: the signature by *issuer*, and the entries."""
        if len(self.der) <= SHORT:
            return True
        return issuer.layout.spki in self._signatures and (self._index is not None or self._problem is not None)

    def entries_of(self, serial: int) -> list[Entry]:
        """Return the entries with this serial number, in order; reads them all the first time.

        Raises:
            MalformedEvidence: An entry is not well-formed.
            Unusable: An entry keeps the CRL from being used.
        """
        index = self._index
        return (self._read() if index is None else index).entries_of(serial)

    def _read(self) -> SerialIndex:
        """Return the index. Two threads that come first both make one, which costs time and nothing else."""
        if self._problem is not None:
            raise self._problem
        if self._index is None:
            layout = self._layout
            try:
                self._index = SerialIndex(self.der, layout.start, layout.end, layout.version)
            except (Unusable, MalformedEvidence) as problem:
                self._problem = problem
                raise
        return self._index
