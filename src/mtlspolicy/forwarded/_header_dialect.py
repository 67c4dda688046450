"""The dialect of every proxy that gives the certificate a header of its own: which header, in which form, beside what.

It puts together what the readers of certificates and of verdicts return, and refuses what does not belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._advice import advice_for, advised
from mtlspolicy.forwarded._encodings import malformed
from mtlspolicy.forwarded._forms import Form, read_form
from mtlspolicy.forwarded._headers import header_name
from mtlspolicy.forwarded._verdict import (
    Companion,
    Digest,
    Standing,
    companion_error,
    joint_standing,
    not_verified,
)

__all__ = ["CertificateHeaders"]

EMPTY: Final = frozenset({""})


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateHeaders:
    """How one family of proxies writes a certificate into headers; it fulfils `Dialect`.

    Attributes:
        name: Of the constructor.
        leaf: Header with the end entity.
        form: How certificates are written.
        several: Whether that header holds the chain as well, end entity first.
        chain: Headers with the other certificates, in order.
        companions: Headers with the proxy's verdict.
        proxy_verifies: Whether a certificate that did not verify is refused; our own validation follows either way.
        digest: Header with the certificate's digest, held against it.
        nothing: Values that say that there is no certificate.
    """

    name: str
    leaf: str
    form: Form
    several: bool = False
    chain: tuple[str, ...] = ()
    companions: tuple[Companion, ...] = ()
    proxy_verifies: bool = True
    digest: Digest | None = None
    nothing: frozenset[str] = EMPTY

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a name that no header has, and for one that would be read as two things."""
        if not isinstance(self.proxy_verifies, bool):
            raise ConfigurationError(f"forwarded.{self.name}(proxy_verifies={self.proxy_verifies!r}): True or False")
        object.__setattr__(self, "leaf", header_name(self.leaf))
        object.__setattr__(self, "chain", tuple(header_name(name, "chain_header") for name in self.chain))
        named = self._all()
        for name in named:
            if named.count(name) > 1:
                raise ConfigurationError(f"forwarded.{self.name}: the header {name!r} cannot be two things at once")

    def _all(self) -> list[str]:
        beside = [one.header for one in self.companions]
        return [self.leaf, *self.chain, *beside, *([] if self.digest is None else [self.digest.header])]

    @property
    def names(self) -> frozenset[str]:
        """All headers of the dialect."""
        return frozenset(self._all())

    @property
    def lists(self) -> frozenset[str]:
        """None: these proxies write each header on one line, and a second line is somebody else's."""
        return frozenset()

    @property
    def states_absence(self) -> bool:
        """Whether there is a verdict, which these proxies write whether or not there is a certificate."""
        return bool(self.companions)

    def advice(self, header: str | None = None) -> str:
        """Return what to set in the proxy for one of its headers; see `Dialect.advice`."""
        known = advice_for(self.name, self.form)
        if header in {one.header for one in self.companions}:
            text = known.verdict
        elif self.digest is not None and header == self.digest.header:
            text = known.digest
        else:
            text = known.chain if header in self.chain else known.leaf
        return text.replace("HEADER", header or self.leaf).replace("FORM", repr(self.form))

    def parse(self, values: Mapping[str, str], *, joined: bool) -> tuple[bytes, ...] | None:
        """Return the DER of the certificates, end entity first; see `Dialect.parse`."""
        standing = self._standing(values)
        if standing is Standing.FAILED and self.proxy_verifies:
            raise not_verified(self.companions, values)
        text = self._told(values, self.leaf)
        if text is None:
            self._require_absence(standing, values)
            return None
        if standing is Standing.ABSENT:
            raise companion_error("the proxy says that there is no certificate, and there is one")
        ders = self._read(self.leaf, text, joined=joined)
        end_entity, more = ders[0], len(ders) - 1  # a reader returns one at least
        if more and not self.several:
            problem = f"the header {self.leaf!r} has {more + 1} certificates, where the proxy writes one"
            raise advised(malformed(problem), self.advice())
        self._require_digest(values, end_entity)
        return ders + self._others(values, joined=joined)

    def _standing(self, values: Mapping[str, str]) -> Standing:
        try:
            return joint_standing(self.companions, values)
        except MalformedEvidence as error:
            raise advised(error, self.advice(self.companions[0].header)) from None  # of several the advice is one

    def _read(self, name: str, text: str, *, joined: bool) -> tuple[bytes, ...]:
        try:
            return read_form(self.form, text, joined=joined)
        except MalformedEvidence as error:
            raise advised(error, self.advice(name), name) from None

    def _told(self, values: Mapping[str, str], name: str) -> str | None:
        """Return the value of a header, or ``None`` where the proxy has none."""
        value = values.get(name)
        return None if value in self.nothing else value

    def _require_absence(self, standing: Standing, values: Mapping[str, str]) -> None:
        """Return if the proxy really says that there is no certificate.

        A verdict that is not about absence needs a certificate: without it, a hop between the proxy and us may have
        removed the header because a client named it in ``Connection``. ``0`` of HAProxy goes with an empty header.
        """
        emptied = standing is Standing.OPEN and (not self.companions or self.leaf in values)
        if standing is not Standing.ABSENT and not emptied:
            raise companion_error(f"the proxy's verdict on a certificate, and the header {self.leaf!r} has none")
        beside = [*self.chain, *([] if self.digest is None else [self.digest.header])]
        for name in beside:
            if self._told(values, name) is not None:
                raise companion_error(f"the header {name!r}, which goes with a certificate, without the certificate")

    def _require_digest(self, values: Mapping[str, str], der: bytes) -> None:
        if self.digest is not None:
            text = self._told(values, self.digest.header)
            if text is None:
                raise companion_error(f"a certificate without the header {self.digest.header!r}, its SHA-256")
            try:
                self.digest.require(text, der)
            except MalformedEvidence as error:
                raise advised(error, self.advice(self.digest.header)) from None

    def _others(self, values: Mapping[str, str], *, joined: bool) -> tuple[bytes, ...]:
        """Return the certificates of the chain's headers; where one is empty, those after it must be too."""
        found: list[bytes] = []
        ended: str | None = None
        for name in self.chain:
            text = self._told(values, name)
            if text is None:
                ended = name
            elif ended is not None:
                raise malformed(f"the header {name!r} has a certificate, and {ended!r} before it has none")
            else:
                found.extend(self._read(name, text, joined=joined))
        return tuple(found)
