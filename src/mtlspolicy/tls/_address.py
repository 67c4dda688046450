"""Addresses of the other end of a socket, for policies (an IP address) and for logs (printable). It decides nothing."""

from __future__ import annotations

from typing import cast

from mtlspolicy._text import escape

__all__ = ["ip_address_of", "printable_address"]


def ip_address_of(peername: object) -> str | None:
    """Return the IP address in what ``getpeername`` gives, without zone; ``None``: another family, or not known."""
    if not isinstance(peername, tuple):
        return None
    parts = cast("tuple[object, ...]", peername)
    host = parts[0] if len(parts) in {2, 4} else None  # AF_INET, AF_INET6
    return host.partition("%")[0] if isinstance(host, str) and host else None


def printable_address(peername: object) -> str | None:
    """Return *peername* for a log line: ``127.0.0.1:54321``, ``[::1]:54321``, ``unix``; ``None``: not known."""
    host = ip_address_of(peername)
    if host is not None:
        port = cast("tuple[object, ...]", peername)[1]
        return escape(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", 100)
    if peername is None or isinstance(peername, tuple):
        return None
    return "unix"
