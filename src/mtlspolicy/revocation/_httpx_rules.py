"""What holds for both kinds of httpx clients: what is sent over one, which answer counts, and what a failure is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._identifiers import IPAddress
from mtlspolicy.revocation._destinations import FetchFailed, Target
from mtlspolicy.revocation._http import Exchange, headers_of
from mtlspolicy.revocation._http_response import refuse_status, timed_out, too_large

if TYPE_CHECKING:
    import httpx

__all__ = [
    "Body",
    "broken",
    "no_connection",
    "request_of",
    "require_connection",
    "require_open",
]

SMALL_PIECES: Final = 256
"""Pieces of a body that may be of any size; each takes some 10 microseconds, and all that have arrived are taken in one
go."""
LEAST_PIECE: Final = 64
"""Bytes of each further piece, on average. Servers send chunks of kilobytes, and networks packets of a thousand."""


def require_open(client: Any, target: Target) -> None:
    """Raise where *client* was closed: its connections are not opened again.

    Raises:
        FetchFailed: ``fetch.connect``.
    """
    if client.is_closed:
        raise FetchFailed("fetch.connect", f"{target.origin}: the httpx client is closed")


def request_of(exchange: Exchange, target: Target, address: IPAddress, **extensions: Any) -> httpx.Request:
    """Return the request, which leads to *address* and names the target as host and in TLS."""
    import httpx

    host = f"[{address}]" if address.version == 6 else str(address)
    return httpx.Request(
        exchange.method,
        f"{target.scheme}://{host}:{target.port}{target.path}",
        headers=list(headers_of(exchange, target)),
        content=exchange.body,
        extensions={
            "sni_hostname": target.host,
            "target": target.path.encode("ascii"),  # as it stands, where httpx would write some characters anew
            **extensions,
        },
    )


def no_connection(target: Target, tried: Iterable[IPAddress], reason: Exception | None) -> FetchFailed:
    """Return the failure of all addresses."""
    shown = ", ".join(map(str, tried))
    return FetchFailed("fetch.connect", f"{target.origin}: no connection to {shown}: {reason}")


def broken(error: Exception, target: Target) -> FetchFailed:
    """Return the failure that *error* is, of an exchange that had begun."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return timed_out(target.origin)
    return FetchFailed("fetch.incomplete", f"{target.origin}: the exchange broke: {type(error).__name__}: {error}")


def require_connection(response: httpx.Response, target: Target, address: IPAddress) -> None:
    """Raise unless the answer came from *address*, in TLS from a server that was verified by the target's name.

    Raises:
        FetchFailed: ``fetch.connect`` or ``fetch.tls``.
    """
    stream: Any = response.extensions["network_stream"]
    peer = stream.get_extra_info("server_addr")
    if peer is None or ipaddress.ip_address(peer[0]) != address:
        raise FetchFailed("fetch.connect", f"{target.origin}: the answer is not from the address that was allowed")
    if target.scheme == "https":
        secured: Any = stream.get_extra_info("ssl_object")
        if secured is None or secured.server_hostname != target.host:
            raise FetchFailed("fetch.tls", f"{target.origin}: the connection was made to another name")


class Body:
    """The body of one answer, which grows by pieces.

    Args:
        response: Status and headers, which are judged here.
        target: For messages.
        most_bytes: How long it may become.

    Raises:
        FetchFailed: Anything but a plain 200 of at most that length.
    """

    def __init__(self, response: httpx.Response, target: Target, most_bytes: int) -> None:
        self._origin = origin = target.origin
        self._most_bytes = most_bytes
        self._pieces = 0
        self.data = bytearray()
        refuse_status(response.status_code, response.reason_phrase, origin)
        codings = response.headers.get_list("transfer-encoding")
        if "content-encoding" in response.headers or [coding.lower() for coding in codings] not in ([], ["chunked"]):
            raise FetchFailed("fetch.encoding", f"{origin}: an encoded body; none was asked for")
        lengths = response.headers.get_list("content-length")
        if codings and lengths:  # RFC 9112, section 6.1
            raise FetchFailed("fetch.headers", f"{origin}: chunks and a Content-Length as well")
        if any(int(length) > most_bytes for length in lengths):
            raise too_large(origin, most_bytes)

    def add(self, piece: bytes) -> None:
        """Take one more piece.

        Raises:
            FetchFailed: ``fetch.too-large``: too many bytes, or too many pieces of a few.
        """
        self.data += piece
        self._pieces += 1
        if len(self.data) > self._most_bytes:
            raise too_large(self._origin, self._most_bytes)
        if self._pieces > SMALL_PIECES + len(self.data) // LEAST_PIECE:
            raise FetchFailed(
                "fetch.too-large", f"{self._origin}: the answer comes in {self._pieces} pieces of a few bytes"
            )
