"""Counts the connections that a gate holds, in all and for each address, and says when one more would be too many."""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING

from mtlspolicy.tls._address import ip_address_of

if TYPE_CHECKING:
    from mtlspolicy.tls._options import ServerOptions

__all__ = ["Register"]


class Register:
    """The connections held by one gate. Safe to share between event loops in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_origin: Counter[Hashable] = Counter()
        self.held = 0

    def enter(self, origin: Hashable, options: ServerOptions) -> str | None:
        """Count one more from *origin*; or return which bound it would break, and count nothing."""
        with self._lock:
            if self.held >= options.max_held:
                return f"max_held={options.max_held} connections are waiting"
            if origin is not None and self._by_origin[origin] >= options.max_held_per_address:
                return f"max_held_per_address={options.max_held_per_address} connections of this address are waiting"
            self.held += 1
            self._by_origin[origin] += 1
            return None

    def leave(self, origin: Hashable) -> None:
        """Count one less from *origin*."""
        with self._lock:
            self.held -= 1
            self._by_origin[origin] -= 1
            if not self._by_origin[origin]:
                del self._by_origin[origin]  # an address that is gone leaves nothing behind


def origin_of(peername: object) -> Hashable:
    """Return what the bound for one address counts by; ``None``: not known, or no IP address (a Unix socket).

    Of IPv6 the first 64 bits, since a single host has a whole /64 (RFC 4291, section 2.5.1); IPv4-mapped ones are IPv4.
    """
    text = ip_address_of(peername)
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False)
