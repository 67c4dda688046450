"""Fetches bytes through the connections of an `httpx.AsyncClient`, held to the rules of `HTTPTransport`.

The name is resolved here, once, and the client's connection pool is given an address that was judged; HTTP's framing,
and which CAs are trusted, are the pool's. Nothing else of the client takes part. One that might go elsewhere is refused
when the transport is built.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._identifiers import IPAddress
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._destinations import Destinations, FetchFailed, Target, permitted_addresses, target_of
from mtlspolicy.revocation._http import ANYWHERE, MOST_TRIED, Exchange, headers_of, require_destinations
from mtlspolicy.revocation._http_response import refuse_status, remaining, timed_out, too_large
from mtlspolicy.revocation._lookups import Lookups, Resolve, answer_of

if TYPE_CHECKING:
    import httpx

__all__ = ["HTTPXTransport"]

SMALL_PIECES: Final = 256
"""Pieces of a body that may be of any size; each takes the event loop some 10 microseconds, and all that have arrived
are taken in one go."""
LEAST_PIECE: Final = 64
"""Bytes of each further piece, on average. Servers send chunks of kilobytes, and networks packets of a thousand."""
_REMEDY: Final = "give a client of its own: httpx.AsyncClient(trust_env=False)"


class HTTPXTransport:
    """Fetches on an asyncio event loop with the connections of an `httpx.AsyncClient`. Needs the extra ``httpx``.

    A synchronous `httpx.Client` is refused: its time-outs are for each read alone, and a server that sends one byte at
    a time would never meet one; `HTTPTransport` is for threads. HTTP/2 is refused, since its connections are shared.
    Header lines are joined and limited by the pool's parser (httpcore: 100 KiB). The TLS context is the client's; a
    server that it did not verify by name is refused.

    Args:
        client: Without proxy, environment (``trust_env=False``), redirects and event hooks. It stays the caller's,
            who closes it; its headers, cookies, credentials and base URL are not used.
        destinations: Where it may go; by default to public addresses, port 80 and 443.
        resolve: In place of `socket.getaddrinfo`, whose arguments and rows it has; called once for a fetch.

    Raises:
        ConfigurationError: A client that might go elsewhere; the message names what to leave out.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        destinations: Destinations = ANYWHERE,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._destinations = require_destinations(destinations)
        self._pool = _plain_transport(client)
        self._client = client
        self._lookups = Lookups(resolve)

    async def fetch(self, exchange: Exchange, *, until: float) -> bytes:
        """Return the body of the answer.

        Args:
            exchange: What to send where.
            until: The moment of `time.monotonic` by which the last byte must be there.

        Raises:
            FetchFailed: There is none, for whatever reason.
        """
        target = target_of(exchange.url, self._destinations)
        try:
            async with asyncio.timeout(remaining(until, target.origin)):
                addresses = permitted_addresses(target, await self._answers(target), self._destinations)
                return await self._fetched(exchange, target, addresses, until)
        except TimeoutError:
            raise timed_out(target.origin) from None

    async def _answers(self, target: Target) -> Iterable[IPAddress]:
        if target.address is not None:
            return (target.address,)
        future = self._lookups.start(target)
        await asyncio.wrap_future(future)
        return answer_of(future, target)

    async def _fetched(
        self, exchange: Exchange, target: Target, addresses: tuple[IPAddress, ...], until: float
    ) -> bytes:
        import httpx

        tried = addresses[:MOST_TRIED]
        reason: Exception | None = None
        for place, address in enumerate(tried):
            share = remaining(until, target.origin) / (len(tried) - place)
            try:
                return await self._exchanged(exchange, target, address, share)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if _by_tls(error):
                    raise FetchFailed("fetch.tls", f"{target.origin}: the TLS handshake failed: {error}") from None
                reason = error
            except (FetchFailed, TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001 - of the client, of its pool, or of the hostile answer
                what = f"{type(error).__name__}: {error}"
                raise FetchFailed("fetch.incomplete", f"{target.origin}: the exchange broke: {what}") from None
        shown = ", ".join(map(str, tried))
        raise FetchFailed("fetch.connect", f"{target.origin}: no connection to {shown}: {reason}")

    async def _exchanged(self, exchange: Exchange, target: Target, address: IPAddress, share: float) -> bytes:
        import httpx

        if self._client.is_closed:
            raise FetchFailed("fetch.connect", f"{target.origin}: the httpx client is closed")
        host = f"[{address}]" if address.version == 6 else str(address)
        request = httpx.Request(
            exchange.method,
            f"{target.scheme}://{host}:{target.port}{target.path}",
            headers=list(headers_of(exchange, target)),
            content=exchange.body,
            # reading, writing and a place in the pool have no limit of their own but the one deadline
            extensions={
                "sni_hostname": target.host,
                "target": target.path.encode("ascii"),  # as it stands, where httpx would write some characters anew
                "timeout": {"connect": share, "pool": None, "read": None, "write": None},
            },
        )
        response = await self._pool.handle_async_request(request)
        try:
            _require_connection(response, target, address)
            return await _body(response, target, exchange.most_bytes)
        finally:
            await response.aclose()


def _plain_transport(client: object) -> httpx.AsyncHTTPTransport:
    """Return the connections of *client*, or raise: what cannot be looked over is refused like what is wrong."""
    import httpx

    if not isinstance(client, httpx.AsyncClient):
        raise ConfigurationError(
            f"client={type(client).__name__}: only an httpx.AsyncClient can be held to one deadline; leave client= "
            "out, and the standard library's HTTP is used, in threads"
        )
    transport: Any = getattr(client, "_transport", None)
    pool: Any = getattr(transport, "_pool", None)
    context: Any = getattr(pool, "_ssl_context", None)
    plain: Any = httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    problems = (
        (client.trust_env, "trust_env=True, so that the environment may set a proxy"),
        (client.follow_redirects, "follow_redirects=True"),
        (any(client.event_hooks.values()), "event hooks, which would not be called"),
        (getattr(client, "_mounts", None) != {}, "a proxy or mounts"),
        (
            not isinstance(transport, httpx.AsyncHTTPTransport) or type(pool) is not type(plain._pool),
            "a transport that is not httpx's own without proxy",
        ),
        (getattr(pool, "_http2", True), "http2=True, whose connections many requests share"),
        (getattr(pool, "_uds", "") is not None, "a Unix socket (uds=...), which leads wherever it was bound"),
        (
            not isinstance(context, ssl.SSLContext)
            or context.verify_mode is not ssl.CERT_REQUIRED
            or not context.check_hostname,
            "verify=False, or a TLS context that does not verify servers by name",
        ),
    )
    for wrong, what in problems:
        if wrong:
            raise ConfigurationError(f"client: it has {what}; {_REMEDY}")
    found: httpx.AsyncHTTPTransport = transport
    return found


def _by_tls(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def _require_connection(response: httpx.Response, target: Target, address: IPAddress) -> None:
    """Raise unless the answer came from *address*, in TLS from a server that was verified by the target's name.

    Connections are kept by address: one that the client opened to another name of the same address may be used again.
    """
    stream: Any = response.extensions["network_stream"]
    peer = stream.get_extra_info("server_addr")
    if peer is None or ipaddress.ip_address(peer[0]) != address:
        raise FetchFailed("fetch.connect", f"{target.origin}: the answer is not from the address that was allowed")
    if target.scheme == "https":
        secured: Any = stream.get_extra_info("ssl_object")
        if secured is None or secured.server_hostname != target.host:
            raise FetchFailed("fetch.tls", f"{target.origin}: the connection was made to another name")


async def _body(response: httpx.Response, target: Target, most_bytes: int) -> bytes:
    origin = target.origin
    refuse_status(response.status_code, response.reason_phrase, origin)
    codings = response.headers.get_list("transfer-encoding")
    if "content-encoding" in response.headers or [coding.lower() for coding in codings] not in ([], ["chunked"]):
        raise FetchFailed("fetch.encoding", f"{origin}: an encoded body; none was asked for")
    lengths = response.headers.get_list("content-length")
    if codings and lengths:  # RFC 9112, section 6.1
        raise FetchFailed("fetch.headers", f"{origin}: chunks and a Content-Length as well")
    body, pieces = bytearray(), 0
    if any(int(length) > most_bytes for length in lengths):
        raise too_large(origin, most_bytes)
    async for piece in response.aiter_raw():
        body += piece
        pieces += 1
        if len(body) > most_bytes:
            raise too_large(origin, most_bytes)
        if pieces > SMALL_PIECES + len(body) // LEAST_PIECE:
            raise FetchFailed("fetch.too-large", f"{origin}: the answer comes in {pieces} pieces of a few bytes")
    return bytes(body)
