"""IPAddressName: an iPAddress of the peer's subjectAltName, compared in binary. Where packets come from is no matter.

For the address of the connection there are `PeerAddress` and `ClientAddress`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from mtlspolicy._constraints import both_forms, name_objection
from mtlspolicy._decision import Verdict
from mtlspolicy._identifiers import IP, IPAddress
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import Match, absent, loose_address, misplaced_address, presented_list
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._addresses import IPNetwork, parse_network
from mtlspolicy.policies._input import CertificateInput
from mtlspolicy.policies._lists import Source
from mtlspolicy.policies._names import TextNamePolicy, names_in, require_text

__all__ = ["IPAddressName"]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class IPAddressName(TextNamePolicy[IPNetwork]):
    """An iPAddress is one of the expected addresses, or in one of the expected networks.

    IPv4-mapped IPv6 addresses count as IPv4, on both sides. An expected address that stands in a dNSName is
    INDETERMINATE.

    Args:
        networks: Addresses and CIDR networks without host bits, as text or `ipaddress` objects; or one collection of
            them; or one source, a callable that returns the current ones.
        allow_unconstrained: Whether a CA that has name constraints, none on iPAddress, may vouch for an address.

    Raises:
        ConfigurationError: No network, or text that is none.
    """

    entries: frozenset[IPNetwork] | Source
    allow_unconstrained: bool

    def __init__(
        self,
        *networks: str | IPAddress | IPNetwork | Collection[str | IPAddress | IPNetwork] | Source,
        allow_unconstrained: bool = False,
    ) -> None:
        object.__setattr__(self, "entries", self._entries_of(networks))
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)

    @classmethod
    def of(cls, *certificates: CertificateInput, allow_unconstrained: bool = False) -> Self:
        """Return a policy for every iPAddress of *certificates* (PEM or DER bytes, or parsed).

        Raises:
            ConfigurationError: A certificate has none.
        """
        found = [
            name for one in certificates for name in names_in(one, cls.__name__, lambda own: own.names.ip_addresses)
        ]
        return cls(found, allow_unconstrained=allow_unconstrained)

    @classmethod
    def _entry(cls, value: object) -> IPNetwork:
        if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address):
            if getattr(value, "scope_id", None) is not None:
                raise ConfigurationError(
                    f"{cls.__name__} '{value}' has a zone, which no certificate states: leave it out"
                )
            value = str(value)
        elif isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
            value = str(value)
        return parse_network(require_text(value, cls.__name__), cls.__name__)

    @classmethod
    def _shown(cls, entry: IPNetwork) -> str:
        return repr(_plain(entry))

    def _match(self, path: CertificationPath) -> Match:
        names, wanted = path.end_entity.names, self._current()
        for address in names.ip_addresses:
            if _inside(address, wanted):
                return Verdict.PERMIT, "name.match", str(address)
        for text in names.dns_names:
            misplaced = loose_address(text)
            if misplaced is not None and _inside(misplaced, wanted):
                return misplaced_address(text)
        if IP in names.unreadable:
            return Verdict.INDETERMINATE, "name.unreadable", "an iPAddress of the certificate cannot be read"
        if not names.ip_addresses:
            return absent("iPAddress")
        shown = presented_list([str(address) for address in names.ip_addresses])
        return Verdict.DENY, "name.mismatch", f"expected {self._listed()}, presented {shown}"

    def _objection(self, path: CertificationPath) -> str | None:
        addresses = path.end_entity.names.ip_addresses
        return name_objection(path, IP, addresses, allow_unconstrained=self.allow_unconstrained)


def _plain(network: IPNetwork) -> str:
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


def _inside(address: IPAddress, networks: frozenset[IPNetwork]) -> bool:
    """Return whether *address*, unmapped, is in one of *networks*, in at most as many steps as it has bits."""
    plain = both_forms(address)[-1]
    if len(networks) <= plain.max_prefixlen:
        return any(plain in network for network in networks)
    single = ipaddress.ip_network(plain)
    return any(single.supernet(new_prefix=length) in networks for length in range(plain.max_prefixlen + 1))
