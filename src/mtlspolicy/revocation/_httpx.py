"""Fetches bytes through the connections of an httpx client, held to the rules of `HTTPTransport`.

The name is resolved here, once, and the client's connection pool is given an address that was judged; HTTP's framing,
and which CAs are trusted, are the pool's. Nothing else of the client takes part. One that might go elsewhere is refused
when the transport is built.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mtlspolicy._identifiers import IPAddress
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._destinations import Destinations, FetchFailed, Target, permitted_addresses, target_of
from mtlspolicy.revocation._http import ANYWHERE, MOST_TRIED, Exchange, places_of, require_destinations
from mtlspolicy.revocation._http_response import remaining, timed_out
from mtlspolicy.revocation._httpx_rules import (
    Body,
    broken,
    no_connection,
    request_of,
    require_connection,
    require_open,
)
from mtlspolicy.revocation._httpx_wire import AsyncWire, BlockingWire
from mtlspolicy.revocation._lookups import Lookups, Resolve, answer_of

if TYPE_CHECKING:
    import httpx

__all__ = ["BlockingHTTPXTransport", "HTTPXTransport", "httpx_transport"]


def httpx_transport(client: object, destinations: Destinations) -> BlockingHTTPXTransport | HTTPXTransport:
    """Return what fetches over *client*, blocking or on an event loop, as the client does.

    Raises:
        ConfigurationError: It is no client of httpx, or one that might go elsewhere.
    """
    import httpx

    if isinstance(client, httpx.Client):
        return BlockingHTTPXTransport(client, destinations=destinations)
    if isinstance(client, httpx.AsyncClient):
        return HTTPXTransport(client, destinations=destinations)
    raise ConfigurationError(
        f"client={type(client).__name__}: give an httpx.Client or an httpx.AsyncClient; leave client= out, and the "
        "standard library's HTTP is used, in threads"
    )


class _OverHTTPX:
    """Both kinds of clients.

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
        client: httpx.Client | httpx.AsyncClient,
        *,
        destinations: Destinations = ANYWHERE,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._destinations = require_destinations(destinations)
        self._pool: Any = _plain_transport(client)
        self._client = client
        self._lookups = Lookups(resolve)


class BlockingHTTPXTransport(_OverHTTPX):
    """Fetches with the connections of an `httpx.Client`. Blocks until the deadline at most; safe between threads.

    httpx's time-outs are for each read alone, and a server that sends one byte at a time would never meet one: here
    every read ends at the deadline, by `BlockingWire`. No thread is needed for that, and none is left behind.
    """

    def fetch(self, exchange: Exchange, *, until: float) -> bytes:
        """Return the body of the answer.

        Args:
            exchange: What to send where.
            until: The moment of `time.monotonic` by which the last byte must be there.

        Raises:
            FetchFailed: There is none, for whatever reason.
        """
        import httpx

        target, tried = places_of(exchange.url, self._destinations, self._lookups, until=until)
        reason: Exception | None = None
        for place, address in enumerate(tried):
            share = remaining(until, target.origin) / (len(tried) - place)
            try:
                return self._exchanged(exchange, target, address, share, until)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                reason = _unless_tls(error, target)
            except FetchFailed:
                raise
            except Exception as error:  # noqa: BLE001 - of the client, of its pool, or of the hostile answer
                raise broken(error, target) from None
        remaining(until, target.origin)
        raise no_connection(target, tried, reason)

    def _exchanged(self, exchange: Exchange, target: Target, address: IPAddress, share: float, until: float) -> bytes:
        require_open(self._client, target)
        wire = BlockingWire(until=until, origin=target.origin)
        left = remaining(until, target.origin)
        limits = {"connect": share, "pool": left, "read": left, "write": left}
        request = request_of(exchange, target, address, timeout=limits, trace=wire.trace)
        try:
            response: httpx.Response = self._pool.handle_request(request)
            try:
                require_connection(response, target, address)
                body = Body(response, target, exchange.most_bytes)
                for piece in response.iter_raw():
                    body.add(piece)
                return bytes(body.data)
            finally:
                response.close()
        finally:
            if wire.stream is not None:
                wire.stream.close()


class HTTPXTransport(_OverHTTPX):
    """Fetches on an asyncio event loop with the connections of an `httpx.AsyncClient`."""

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
                return await self._exchanged(exchange, target, address, share, until)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                reason = _unless_tls(error, target)
            except (FetchFailed, TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001 - of the client, of its pool, or of the hostile answer
                raise broken(error, target) from None
        raise no_connection(target, tried, reason)

    async def _exchanged(
        self, exchange: Exchange, target: Target, address: IPAddress, share: float, until: float
    ) -> bytes:
        require_open(self._client, target)
        wire = AsyncWire(until=until, origin=target.origin)
        # reading, writing and a place in the pool have no limit of their own but the one deadline
        limits = {"connect": share, "pool": None, "read": None, "write": None}
        request = request_of(exchange, target, address, timeout=limits, trace=wire.trace)
        try:
            response: httpx.Response = await self._pool.handle_async_request(request)
            try:
                require_connection(response, target, address)
                body = Body(response, target, exchange.most_bytes)
                async for piece in response.aiter_raw():
                    body.add(piece)
                return bytes(body.data)
            finally:
                await response.aclose()
        finally:
            if wire.stream is not None:
                await wire.stream.aclose()


def _plain_transport(client: httpx.Client | httpx.AsyncClient) -> Any:
    """Return the connections of *client*, or raise: what cannot be looked over is refused like what is wrong."""
    import httpx

    blocking = isinstance(client, httpx.Client)
    kind: Any = httpx.HTTPTransport if blocking else httpx.AsyncHTTPTransport
    transport: Any = getattr(client, "_transport", None)
    problems = (
        (client.trust_env, "trust_env=True, so that the environment may set a proxy"),
        (client.follow_redirects, "follow_redirects=True"),
        (any(client.event_hooks.values()), "event hooks, which would not be called"),
        (getattr(client, "_mounts", None) != {}, "a proxy or mounts"),
        *_problems_of_pool(getattr(transport, "_pool", None), kind=kind, own=isinstance(transport, kind)),
    )
    for wrong, what in problems:
        if wrong:
            remedy = f"httpx.{'Client' if blocking else 'AsyncClient'}(trust_env=False)"
            raise ConfigurationError(f"client: it has {what}; give a client of its own: {remedy}")
    return transport


def _problems_of_pool(pool: Any, *, kind: Any, own: bool) -> Iterable[tuple[bool, str]]:
    context: Any = getattr(pool, "_ssl_context", None)
    plain: Any = kind(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    unverified = (
        not isinstance(context, ssl.SSLContext)
        or context.verify_mode is not ssl.CERT_REQUIRED
        or not context.check_hostname
    )
    return (
        (not own or type(pool) is not type(plain._pool), "a transport that is not httpx's own without proxy"),
        (getattr(pool, "_http2", True), "http2=True, whose connections many requests share"),
        (getattr(pool, "_uds", "") is not None, "a Unix socket (uds=...), which leads wherever it was bound"),
        (getattr(pool, "_retries", 1) != 0, "retries, each of which takes its time: the refresher has its own"),
        (unverified, "verify=False, or a TLS context that does not verify servers by name"),
    )


def _unless_tls(error: Exception, target: Target) -> Exception:
    """Return *error*, of a connection that did not come about, after which another address may be tried.

    Raises:
        FetchFailed: ``fetch.tls``: it is TLS that failed.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    if seen is not None:
        raise FetchFailed("fetch.tls", f"{target.origin}: the TLS handshake failed: {error}") from None
    return error
