"""The client's IP address as a trusted proxy states it, for `policies.ClientAddress`. Only what the proxy wrote counts.

Of a list that every hop appends to, the entries that trusted hops wrote stand at the right; all to the left of them is
the client's own text.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtlspolicy._evidence import plain_address
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._headers import header_name

__all__ = ["ClientAddressHeader", "real_ip", "x_forwarded_for"]

_LONGEST = 64
"""Characters of an address with brackets and a port."""


@dataclass(frozen=True, slots=True)
class ClientAddressHeader:
    """Which header states the client's address, and which of its entries; `x_forwarded_for` and `real_ip` make one.

    Attributes:
        name: Lower-case name.
        hops: Trusted proxies that append to the list: 1 for one; 0 where the value is one address, which is set.
    """

    name: str
    hops: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", header_name(self.name))
        if isinstance(self.hops, bool) or not isinstance(self.hops, int) or self.hops < 0:
            raise ConfigurationError(f"hops={self.hops!r}: the number of trusted proxies that append to {self.name!r}")

    def stated(self, value: str | None) -> str | None:
        """Return the address, canonical text; ``None``: not stated, no address, or fewer entries than trusted hops."""
        if value is None:
            return None
        entries = value.split(",")
        if self.hops == 0:
            return _address(value) if len(entries) == 1 else None
        return _address(entries[-self.hops]) if len(entries) >= self.hops else None


def x_forwarded_for(hops: int = 1, *, header: str = "x-forwarded-for") -> ClientAddressHeader:
    """Return the address that the outermost of *hops* trusted proxies has appended to ``X-Forwarded-For``.

    Args:
        hops: Trusted proxies between the client and this program, each of which appends the address that it sees.
        header: Name of the header.

    Raises:
        ConfigurationError: *hops* is less than one.
    """
    if hops == 0:
        raise ConfigurationError("hops=0: with no trusted proxy the whole list is the client's own text; at least 1")
    return ClientAddressHeader(header, hops)


def real_ip(header: str = "x-real-ip") -> ClientAddressHeader:
    """Return the address in a header that the trusted proxy sets, replacing what the client sent."""
    return ClientAddressHeader(header, 0)


def _address(text: str) -> str | None:
    """Return the IP address in *text*, which may have a port, in canonical form; ``None`` where it is none."""
    text = text.strip(" \t")
    if not text.isascii() or len(text) > _LONGEST:
        return None
    if text.startswith("["):
        text, end, port = text[1:].partition("]")
        if ":" not in text or not end or (port and not (port[0] == ":" and port[1:].isdigit())):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not port.isdigit():
            return None
    try:
        return str(plain_address(text))
    except ConfigurationError:
        return None
