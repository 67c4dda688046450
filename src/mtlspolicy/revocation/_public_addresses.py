"""Decides whether an IP address is public: global unicast, in a table of our own, so alike on every Python.

`ipaddress.is_global` differs between versions and calls translated loopback addresses global. Not decided here: what a
network of the reader's own, such as a private NAT64 prefix, translates to.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from mtlspolicy._identifiers import IPAddress

__all__ = ["is_public", "unmapped"]

_V4: Final = ipaddress.IPv4Network
_V6: Final = ipaddress.IPv6Network

_NOT_PUBLIC_4: Final = tuple(
    map(
        _V4,
        (
            # IANA IPv4 Special-Purpose Address Registry: every entry that is not "globally reachable"
            "0.0.0.0/8",  # this network (RFC 791)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # shared, behind carriers' NAT (RFC 6598)
            "127.0.0.0/8",  # loopback (RFC 1122)
            "169.254.0.0/16",  # link local (RFC 3927), and where clouds answer for a machine's credentials
            "172.16.0.0/12",  # private (RFC 1918)
            "192.0.0.0/24",  # protocol assignments (RFC 6890), with its anycast addresses, where no responder is
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
            "192.168.0.0/16",  # private (RFC 1918)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",  # documentation (RFC 5737)
            "203.0.113.0/24",  # documentation (RFC 5737)
            "224.0.0.0/4",  # multicast (RFC 5771)
            "240.0.0.0/4",  # reserved, and limited broadcast (RFC 1112, RFC 8190)
            # in no registry: what answers there is the host of a virtual machine
            "168.63.129.16/32",  # Azure's platform
        ),
    )
)

_GLOBAL_UNICAST_6: Final = _V6("2000::/3")
"""All that IANA allocates as global unicast. Outside: ``::``, ``::1``, 100::/64, 64:ff9b:1::/48 (RFC 8215, translated
wherever its user decided), 5f00::/16, fc00::/7, fe80::/10, fec0::/10, ff00::/8 and what is reserved."""
_NOT_PUBLIC_6: Final = tuple(
    map(
        _V6,
        (
            # IANA IPv6 Special-Purpose Address Registry: the entries inside 2000::/3 that are not "globally reachable"
            "2001::/23",  # protocol assignments (RFC 2928), with those in it where no responder is
            "2001:db8::/32",  # documentation (RFC 3849)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)

_MAPPED: Final = _V6("::ffff:0:0/96")  # RFC 4291, section 2.5.5.2
_LAST_32_BITS: Final = (_V6("::/96"), _V6("64:ff9b::/96"))  # IPv4-compatible (RFC 4291), NAT64 (RFC 6052)
_SIX_TO_FOUR: Final = _V6("2002::/16")  # RFC 3056: the IPv4 address follows the prefix
_TEREDO: Final = _V6("2001::/32")  # RFC 4380: the server's IPv4 address follows, the client's stands last, inverted
_ONES: Final = 0xFFFFFFFF


def unmapped(address: IPAddress) -> IPAddress:
    """Return the IPv4 address in an IPv4-mapped IPv6 address, which is the same; any other as it is."""
    if isinstance(address, ipaddress.IPv6Address) and address in _MAPPED:
        return ipaddress.IPv4Address(int(address) & _ONES)
    return address


def is_public(address: IPAddress) -> bool:
    """Return whether *address* is global unicast, and every IPv4 address that it is translated or tunnelled to as well.

    RFC 6052, section 3.1, has NAT64's own prefix stand for no other; nothing but this makes it so.
    """
    plain = unmapped(address)
    if isinstance(plain, ipaddress.IPv4Address):
        return not any(plain in network for network in _NOT_PUBLIC_4)
    inner = _embedded(plain)
    if inner:
        return all(map(is_public, inner))
    return plain in _GLOBAL_UNICAST_6 and not any(plain in network for network in _NOT_PUBLIC_6)


def _embedded(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    value = int(address)
    if any(address in network for network in _LAST_32_BITS):
        return (ipaddress.IPv4Address(value & _ONES),)
    if address in _SIX_TO_FOUR:
        return (ipaddress.IPv4Address(value >> 80 & _ONES),)
    if address in _TEREDO:
        return ipaddress.IPv4Address(value >> 64 & _ONES), ipaddress.IPv4Address(~value & _ONES)
    return ()
