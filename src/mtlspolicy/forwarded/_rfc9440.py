"""The headers of RFC 9440, ``Client-Cert`` and ``Client-Cert-Chain``, as Google Cloud, Cloudflare, HAProxy write them.

The identity is the certificate of the first header alone; what the second one holds helps to find a path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, Unpack

from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._advice import advice_for, advised
from mtlspolicy.forwarded._encodings import malformed
from mtlspolicy.forwarded._headers import header_name
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._structured_fields import byte_sequence, byte_sequences

__all__ = ["RFC9440", "rfc9440"]

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class RFC9440:
    """The dialect; see `rfc9440`.

    Attributes:
        leaf: Name of the header with the end entity.
        chain: Name of the header with the other certificates.
        name: Of the constructor.
    """

    leaf: str
    chain: str
    name: str = "rfc9440"

    @property
    def names(self) -> frozenset[str]:
        """Both headers."""
        return frozenset({self.leaf, self.chain})

    @property
    def lists(self) -> frozenset[str]:
        """The chain may stand on several lines; ``Client-Cert`` occurs once (RFC 9440, 2.2)."""
        return frozenset({self.chain})

    @property
    def states_absence(self) -> bool:
        """False: without a certificate there is no header."""
        return False

    def advice(self, header: str | None = None) -> str:
        """Return what the proxy has to write; see `Dialect.advice`."""
        known = advice_for(self.name)
        return known.chain if header == self.chain else known.leaf

    def parse(self, values: Mapping[str, str], *, joined: bool) -> tuple[bytes, ...]:
        """Return the DER of the certificates, end entity first; see `Dialect.parse`."""
        if self.leaf not in values:
            raise malformed(f"the header {self.chain!r} without {self.leaf!r}: a chain that belongs to no certificate")
        others = self._read(byte_sequences, values, self.chain)
        if joined and len(others) > 1:
            raise MalformedEvidence(
                f"{self.chain!r} with several certificates, which under WSGI may as well be two copies that somebody "
                "joined: have the proxy forward one intermediate, or none and give all to the trust store",
                code="forwarded.duplicate",
            )
        return (self._read(byte_sequence, values, self.leaf), *others)

    def _read(self, reader: Callable[[str], _Read], values: Mapping[str, str], header: str) -> _Read:
        try:
            return reader(values.get(header, ""))
        except MalformedEvidence as error:
            raise advised(error, self.advice(header), header) from None


def rfc9440(
    *, leaf_header: str = "client-cert", chain_header: str = "client-cert-chain", **options: Unpack[SourceOptions]
) -> ForwardedSource:
    """Return the source that reads the headers of RFC 9440.

    ``Client-Cert`` is one byte sequence. Refused, although RFC 8941 could be read otherwise: parameters after a value,
    which RFC 9440 defines none of, and base64 that lacks padding or is not canonical. ``Client-Cert-Chain`` is a list
    in any number of lines; it may include the root, as in the example of the RFC, and the end entity again, which the
    RFC leaves out and which changes nothing. A chain without ``Client-Cert`` is malformed. Under WSGI, where two copies
    look like a list, the chain has one certificate at most.

    An empty ``Client-Cert`` is malformed too: a proxy that has no certificate sends no header.

    Args:
        leaf_header: Name of the header with the end entity.
        chain_header: Name of the header with the other certificates, if there are any.
        **options: `SourceOptions`; ``trusted`` is required.

    Raises:
        ConfigurationError: An option that is none, names that are the same, or nobody is trusted.
    """
    leaf, chain = header_name(leaf_header, "leaf_header"), header_name(chain_header, "chain_header")
    if leaf == chain:
        raise ConfigurationError(
            f"leaf_header and chain_header are both {leaf!r}: the end entity and the other certificates have a header "
            "each (RFC 9440, 2.2 and 2.3)"
        )
    return source_of(RFC9440(leaf, chain), options)
