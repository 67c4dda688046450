"""PeerAddress and ClientAddress: the network that the peer's IP address is in.

An address is no identity: it says where packets come from. The one asks the socket and nothing else, the other what a
trusted proxy states; neither ever stands in for the other.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, Self, TypeAlias

from mtlspolicy._chain import Possession
from mtlspolicy._decision import Decision
from mtlspolicy._evidence import Evidence, plain_address
from mtlspolicy._identifiers import IPAddress
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._lists import Source, TextListPolicy

__all__ = ["ClientAddress", "PeerAddress"]

IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
LONGEST: Final = 100
"""Characters; no address with its zone is longer, and nothing longer is worth remembering."""
Range: TypeAlias = tuple[int, int, int]
"""IP version, number of host bits, and network address shifted right by them: what a look-up compares."""
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def parse_network(text: str, what: str) -> IPNetwork:
    """Return the network in CIDR form, or the single address, that *text* writes; IPv4-mapped ones as IPv4.

    Raises:
        ConfigurationError: Host bits are set (the message shows the network), or *text* is neither.
    """
    try:
        network = ipaddress.ip_network(_without_zone(text))
    except ValueError:
        raise ConfigurationError(f"{what} {text!r} {_remedy(text)}") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _without_zone(text: str) -> str:
    """Return *text*, or no network at all where it has a zone: that is an interface of this machine."""
    return "" if "%" in text else text


def _remedy(text: str) -> str:
    try:
        return f"has host bits set: write {str(ipaddress.ip_network(_without_zone(text), strict=False))!r}"
    except ValueError:
        return "is no network: write an IP address or CIDR like '10.0.0.0/8' or '2001:db8::/32', without zone or port"


class _Address(TextListPolicy[Range]):
    """Shared by both: networks as ranges, so that a look-up costs one step for each prefix length in the list."""

    __slots__ = ()

    @property
    def _reads_path_only(self) -> bool:  # type: ignore[override]  # the address is the connection's
        return False

    @classmethod
    def _entry(cls, value: object) -> Range:
        if isinstance(
            value, ipaddress.IPv4Network | ipaddress.IPv6Network | ipaddress.IPv4Address | ipaddress.IPv6Address
        ):
            value = str(value)
        if not isinstance(value, str):
            raise ConfigurationError(
                f"{cls.__name__} takes networks as text or ipaddress objects, not {type(value).__name__}"
            )
        network = parse_network(value, cls.__name__)
        bits = network.max_prefixlen - network.prefixlen
        return network.version, bits, int(network.network_address) >> bits

    @classmethod
    def _shown(cls, entry: Range) -> str:
        version, bits, top = entry
        kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
        return repr(str(kind((top << bits, kind((0, 0)).max_prefixlen - bits))))

    def _located(self, text: str | None, whose: str) -> Decision:
        ranges = self._current()
        if not text or len(text) > LONGEST:
            return self.indeterminate("address.unknown", f"{whose} is not known")
        place = _place(text)
        if place is None:
            return self.indeterminate("address.unknown", f"{whose} is {quoted(text, 80)}, which is no IP address")
        if _inside(place, ranges):
            return self.permit("address.match", place.text)
        return self.deny("address.mismatch", f"{whose} is {place.text}")


class _Place(NamedTuple):
    """An address as a look-up compares it: IP version, number of bits, value; and its canonical text."""

    version: int
    bits: int
    value: int
    text: str


@lru_cache(maxsize=1024)
def _place(text: str) -> _Place | None:
    """Return the address in *text*, or ``None`` where there is none. Peers come back, and reading is what costs."""
    try:
        address = plain_address(text)
    except ConfigurationError:
        return None
    return _Place(address.version, address.max_prefixlen, int(address), str(address))


def _inside(place: _Place, ranges: frozenset[Range]) -> bool:
    version, width, value, _ = place
    if len(ranges) > width:
        return any((version, bits, value >> bits) in ranges for bits in range(width + 1))
    for kind, bits, top in ranges:  # noqa: SIM110 - a generator costs more than the look-up
        if kind == version and value >> bits == top:
            return True
    return False


@dataclass(frozen=True, slots=True, init=False, repr=False)
class PeerAddress(_Address):
    """The other end of the socket is in one of the networks.

    Behind a proxy that is the proxy's address: there this is INDETERMINATE, and `ClientAddress` is what is meant.

    Args:
        networks: CIDR text without host bits, single addresses, or `ipaddress` objects; or one source, a callable that
            returns the current ones. An IPv4-mapped IPv6 address counts as IPv4.

    Raises:
        ConfigurationError: No network, or text that is none.
    """

    entries: frozenset[Range] | Source

    def __init__(self, *networks: str | IPNetwork | IPAddress | Source) -> None:
        object.__setattr__(self, "entries", self._gathered(networks))

    @classmethod
    def of(cls, *networks: IPNetwork | IPAddress) -> Self:
        """Return a policy of `ipaddress` objects; the same as the constructor."""
        return cls(*networks)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the socket's other end is in one of the networks."""
        if evidence.possession is Possession.PROXY:
            return self.indeterminate(
                "address.of-proxy",
                "the certificate was forwarded, so the socket's other end is the proxy: use policies.ClientAddress",
            )
        return self._located(evidence.connection.transport_address, "the peer's address")


@dataclass(frozen=True, slots=True, init=False, repr=False)
class ClientAddress(_Address):
    """The client is in one of the networks, as the trusted proxy states its address.

    Args:
        networks: CIDR text without host bits, single addresses, or `ipaddress` objects; or one source, a callable that
            returns the current ones. An IPv4-mapped IPv6 address counts as IPv4.

    Raises:
        ConfigurationError: No network, or text that is none.
    """

    entries: frozenset[Range] | Source

    def __init__(self, *networks: str | IPNetwork | IPAddress | Source) -> None:
        object.__setattr__(self, "entries", self._gathered(networks))

    @classmethod
    def of(cls, *networks: IPNetwork | IPAddress) -> Self:
        """Return a policy of `ipaddress` objects; the same as the constructor."""
        return cls(*networks)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the address that the proxy states is in one of the networks."""
        return self._located(evidence.connection.client_address, "the client's address")
