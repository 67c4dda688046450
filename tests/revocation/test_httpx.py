"""Fetching through the connections of real httpx clients, of both kinds: the same rules; other clients are refused."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

httpx = pytest.importorskip("httpx")

from mtlspolicy.errors import ConfigurationError  # noqa: E402 - after it is known that the extra is there
from mtlspolicy.revocation._destinations import Destinations, FetchFailed  # noqa: E402
from mtlspolicy.revocation._http import Exchange  # noqa: E402
from mtlspolicy.revocation._httpx import BlockingHTTPXTransport, HTTPXTransport, httpx_transport  # noqa: E402
from mtlspolicy.revocation._httpx_wire import BlockingWire  # noqa: E402
from mtlspolicy.testing import CertificateAuthority  # noqa: E402
from tests.revocation.loopback import (  # noqa: E402
    GOOD,
    LIVENESS,
    Conversation,
    Server,
    answering,
    endless,
    failure,
    names,
    row,
    server_context,
    soon,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOST = 1000
Fetch = Callable[..., bytes]


def fetch_async(
    server: Server,
    exchange: Exchange | None = None,
    *,
    client: dict[str, Any] | None = None,
    seconds: float = 5.0,
    **options: Any,
) -> bytes:
    """Return what a transport over an `httpx.AsyncClient` of *client* that may reach *server* fetches from it."""

    async def run() -> bytes:
        async with httpx.AsyncClient(**_own("Async", client)) as opened:
            given: dict[str, Any] = {"destinations": server.destinations, **options}
            transport = HTTPXTransport(opened, **given)
            return await transport.fetch(exchange or Exchange(server.url(), most_bytes=MOST), until=soon(seconds))

    return asyncio.run(run())


def fetch_blocking(
    server: Server,
    exchange: Exchange | None = None,
    *,
    client: dict[str, Any] | None = None,
    seconds: float = 5.0,
    **options: Any,
) -> bytes:
    """Return the same over an `httpx.Client`."""
    with httpx.Client(**_own("", client)) as opened:
        given: dict[str, Any] = {"destinations": server.destinations, **options}
        transport = BlockingHTTPXTransport(opened, **given)
        return transport.fetch(exchange or Exchange(server.url(), most_bytes=MOST), until=soon(seconds))


def _own(prefix: str, options: dict[str, Any] | None) -> dict[str, Any]:
    """Return the options of a client without environment; those of ``transport`` are for one of the client's kind."""
    own: dict[str, Any] = {"trust_env": False, **(options or {})}
    if "transport" in own:
        own["transport"] = own["transport"][prefix]
    return own


@pytest.fixture(params=[fetch_async, fetch_blocking], ids=["async", "blocking"])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    """Fetch through a client of each kind."""
    found: Fetch = request.param
    return found


def trusting(authority: CertificateAuthority) -> ssl.SSLContext:
    """Return a client's context that trusts *authority*."""
    return ssl.create_default_context(cadata=authority.pem.decode())


def test_a_request_as_it_arrives(fetch: Fetch) -> None:
    """Path and body as given; nothing of the client's headers, cookies, credentials or base URL."""
    client = {
        "headers": {"X-Secret": "s"},
        "cookies": {"secret": "s"},
        "auth": ("user", "secret"),
        "params": {"secret": "s"},
        "base_url": "http://other.example/secret",
    }
    with Server(answering(GOOD)) as server:
        given = Exchange(server.url("/a%2Fb|c/../d?x=1"), body=b"\0\1", content_type="a/b", accept="c/d")
        assert fetch(server, given, client=client) == b"hello"
        assert server.talks[0].request == (
            b"POST /a%2Fb|c/../d?x=1 HTTP/1.1\r\n" + f"Host: 127.0.0.1:{server.port}\r\n".encode() +
            b"User-Agent: mtlspolicy\r\nAccept: c/d\r\nAccept-Encoding: identity\r\nConnection: close\r\n"
            b"Content-Type: a/b\r\nContent-Length: 2\r\n\r\n\0\1"
        )  # fmt: skip
        assert fetch(server) == b"hello"
        assert server.talks[1].request.startswith(b"GET / HTTP/1.1\r\n")


def verifying_nothing() -> Any:
    """Return a context that encrypts to anybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (httpx.AsyncClient, "trust_env=True"),
        (lambda: httpx.AsyncClient(trust_env=False, follow_redirects=True), "follow_redirects"),
        (lambda: httpx.AsyncClient(trust_env=False, event_hooks={"request": [print]}), "event hooks"),
        (lambda: httpx.AsyncClient(trust_env=False, proxy="http://proxy.example:3128"), "a proxy or mounts"),
        (
            lambda: httpx.AsyncClient(trust_env=False, mounts={"http://": httpx.AsyncHTTPTransport()}),
            "a proxy or mounts",
        ),
        (
            lambda: httpx.AsyncClient(trust_env=False, transport=httpx.AsyncHTTPTransport(proxy="http://p.example")),
            "not httpx's own",
        ),
        (
            lambda: httpx.AsyncClient(trust_env=False, transport=httpx.MockTransport(lambda _: httpx.Response(200))),
            "not httpx's own",
        ),
        (lambda: httpx.AsyncClient(trust_env=False, transport=httpx.AsyncHTTPTransport(uds="/run/x")), "Unix socket"),
        (lambda: httpx.AsyncClient(trust_env=False, transport=httpx.AsyncHTTPTransport(http2=True)), "http2=True"),
        (lambda: httpx.AsyncClient(trust_env=False, transport=httpx.AsyncHTTPTransport(retries=2)), "retries"),
        (lambda: httpx.AsyncClient(trust_env=False, verify=False), "verify=False"),
        (lambda: httpx.AsyncClient(trust_env=False, verify=verifying_nothing()), "by name"),
        (httpx.Client, r"trust_env=True.*httpx.Client\(trust_env=False\)"),
        (lambda: httpx.Client(trust_env=False, follow_redirects=True), "follow_redirects"),
        (lambda: httpx.Client(trust_env=False, event_hooks={"response": [print]}), "event hooks"),
        (lambda: httpx.Client(trust_env=False, proxy="http://proxy.example:3128"), "a proxy or mounts"),
        (lambda: httpx.Client(trust_env=False, mounts={"http://": httpx.HTTPTransport()}), "a proxy or mounts"),
        (lambda: httpx.Client(trust_env=False, transport=httpx.HTTPTransport(proxy="http://p.example")), "not httpx's"),
        (
            lambda: httpx.Client(trust_env=False, transport=httpx.MockTransport(lambda _: httpx.Response(200))),
            "not httpx's own",
        ),
        (lambda: httpx.Client(trust_env=False, transport=httpx.HTTPTransport(uds="/run/x")), "Unix socket"),
        (lambda: httpx.Client(trust_env=False, transport=httpx.HTTPTransport(http2=True)), "http2=True"),
        (lambda: httpx.Client(trust_env=False, transport=httpx.HTTPTransport(retries=1)), "retries"),
        (lambda: httpx.Client(trust_env=False, verify=False), "verify=False"),
        (lambda: httpx.Client(trust_env=False, verify=verifying_nothing()), "by name"),
        (lambda: None, "client=NoneType: give an httpx.Client or an httpx.AsyncClient"),
    ],
)
def test_clients_that_might_go_elsewhere(client: Callable[[], Any], message: str) -> None:
    """Environment, proxies, redirects, hooks, foreign transports, retries, unverified TLS: each is refused."""
    with pytest.raises(ConfigurationError, match=message):
        httpx_transport(client(), Destinations())


def test_destinations_are_destinations() -> None:
    """A list of hosts in their place is refused."""
    with pytest.raises(ConfigurationError, match=r"revocation.Destinations\(...\)"):
        HTTPXTransport(httpx.AsyncClient(trust_env=False), destinations=["h"])  # type: ignore[arg-type]


def test_the_default_goes_nowhere_private(fetch: Fetch) -> None:
    """Without destinations loopback is out of reach, and one private address among the answers refuses all."""
    with Server(answering(GOOD)) as server:
        default = Destinations(ports=[server.port])
        assert failure(lambda: fetch(server, destinations=default)).code == "fetch.address"
        named = Exchange(server.url(host="many.example"))
        mixed = names("127.0.0.1", "10.0.0.1")
        assert failure(lambda: fetch(server, named, resolve=mixed)).code == "fetch.address"
        assert failure(lambda: fetch(server, Exchange("http://user@h/"))).code == "fetch.url"
        assert server.talks == []


def test_rebinding_resolver(fetch: Fetch) -> None:
    """The name is resolved once, by us; httpx is given the address, and the server the name."""
    answers = [[row("127.0.0.1")], [row("127.0.0.2")]]
    with Server(answering(GOOD)) as server:
        url = server.url(host="rebind.example")
        assert fetch(server, Exchange(url), resolve=lambda *_, **__: answers.pop(0)) == b"hello"
        assert len(answers) == 1
        assert f"Host: rebind.example:{server.port}\r\n".encode() in server.talks[0].request


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch, fetch: Fetch) -> None:
    """A client that does not trust the environment goes straight to the address."""
    with Server(answering(GOOD)) as server, Server(answering(GOOD)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert fetch(server) == b"hello"
        assert (len(server.talks), proxy.talks) == (1, [])


def test_the_next_address_is_tried(fetch: Fetch) -> None:
    """A name with several addresses is reached while one of them answers; IPv6 is as good as IPv4."""
    with Server(answering(GOOD)) as server:
        url = server.url(host="several.example")
        assert fetch(server, Exchange(url), resolve=names("::1", "127.0.0.1")) == b"hello"
        error = failure(lambda: fetch(server, Exchange(url), resolve=names("::1")))
        assert (error.code, error.retryable, error.counts_for) == ("fetch.connect", True, "responder")
    with Server(answering(GOOD), host="::1") as server:
        assert fetch(server, Exchange(server.url(host="[::1]"))) == b"hello"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (GOOD, b"hello"),
        (OK + b"\r\nhello", b"hello"),
        (CHUNKED + b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        (OK + b"Content-Length: 1000\r\n\r\n" + bytes(1000), bytes(1000)),
    ],
)
def test_complete_answers(data: bytes, body: bytes, fetch: Fetch) -> None:
    """A length, chunks, or the end of the connection: whichever tells where the body ends."""
    with Server(answering(data)) as server:
        assert fetch(server) == body


@pytest.mark.parametrize(
    ("data", "code", "counts_for"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://h/\r\n\r\n", "fetch.redirect", "certificate"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "fetch.status", "certificate"),
        (b"HTTP/1.1 429 Too Many\r\n\r\n", "fetch.status", "certificate"),
        (b"HTTP/1.1 500 Oops\r\n\r\n", "fetch.status", "responder"),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(5_000_000)), "fetch.encoding", "responder"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "fetch.incomplete", "responder"),
        (OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "fetch.headers", "responder"),
        (OK + b"Content-Length: 1001\r\n\r\n", "fetch.too-large", "certificate"),
        (OK + b"\r\n" + bytes(5_000_000), "fetch.too-large", "certificate"),
        (CHUNKED + b"4c4b40\r\n" + bytes(5_000_000), "fetch.too-large", "certificate"),
        (CHUNKED + b"1\r\nx\r\n" * 900 + b"0\r\n\r\n", "fetch.too-large", "certificate"),
        (OK + b"X: " + b"y" * 200_000 + b"\r\n\r\n", "fetch.headers", "responder"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 2000 + GOOD, "fetch.headers", "responder"),
        (OK + b"Content-Length: 5\r\n\r\nhell", "fetch.incomplete", "responder"),
        (CHUNKED + b"5\r\nhell", "fetch.incomplete", "responder"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "fetch.incomplete", "responder"),
        (b"\xff\x1b[2J\r\n\r\n", "fetch.incomplete", "responder"),
        (b"", "fetch.incomplete", "responder"),
    ],
)
def test_answers_that_are_none(data: bytes, code: str, counts_for: str, fetch: Fetch) -> None:
    """Anything but a complete, plain 200 within the limit."""
    with Server(answering(data)) as server:
        error = failure(lambda: fetch(server))
        assert (error.code, error.counts_for) == (code, counts_for)
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200", b" "),
        (OK, b"X: y\r\n"),
        (OK + b"Content-Length: 900\r\n\r\n", b"x"),
        (CHUNKED, b"0"),
        (CHUNKED, b"1\r\nx\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "status", "headers", "length", "size", "chunks", "interim"],
)
def test_drip(start: bytes, piece: bytes, fetch: Fetch) -> None:
    """httpx's own time-outs are for each read; the one deadline ends the fetch, and the connection."""
    with Server(endless(start, piece)) as server:
        error = failure(lambda: fetch(server, seconds=0.3))
        assert (error.code, error.retryable, error.counts_for) == ("fetch.timeout", True, "responder")
        assert server.left.wait(LIVENESS)


def test_the_deadline_covers_the_resolver(fetch: Fetch) -> None:
    """A resolver that hangs costs the deadline; one that fails is named, and a moment that has passed asks nobody."""
    release = threading.Event()

    def hanging(*_: object, **__: object) -> list[Any]:
        release.wait(LIVENESS)
        return []

    def failing(*_: object, **__: object) -> list[Any]:
        raise StopIteration  # which asyncio takes for no exception of a future

    with Server(answering(GOOD)) as server:
        named = Exchange(server.url(host="slow.example"))
        hung = failure(lambda: fetch(server, named, seconds=0.2, resolve=hanging))
        release.set()
        failed = failure(lambda: fetch(server, named, resolve=failing))
        late = failure(lambda: fetch(server, named, seconds=-1, resolve=failing))
    assert [error.code for error in (hung, failed, late)] == ["fetch.timeout", "fetch.resolve", "fetch.timeout"]


def test_a_fetch_that_is_cancelled() -> None:
    """Cancelling stays cancelling: no failure is made of it, and the connection is closed."""

    async def run(server: Server) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            transport = HTTPXTransport(client, destinations=server.destinations)
            task = asyncio.ensure_future(transport.fetch(Exchange(server.url()), until=soon(LIVENESS)))
            assert await asyncio.to_thread(server.met.wait, LIVENESS)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Server(endless(OK, b"")) as server:
        asyncio.run(run(server))
        assert server.left.wait(LIVENESS)


def test_a_closed_client() -> None:
    """The connections of a client that was closed are not opened again."""

    async def run(server: Server) -> bytes:
        async with httpx.AsyncClient(trust_env=False) as client:
            transport = HTTPXTransport(client, destinations=server.destinations)
        return await transport.fetch(Exchange(server.url()), until=soon())

    with Server(answering(GOOD)) as server:
        error = failure(lambda: asyncio.run(run(server)))
        assert (error.code, "closed" in str(error), server.talks) == ("fetch.connect", True, [])


def _alter(request: Any) -> Any:
    """Send *request* elsewhere, to another name, or nowhere."""
    if request.url.host == "::1":
        request.url = request.url.copy_with(host="127.0.0.1")
    elif request.url.scheme == "https":
        request.extensions["sni_hostname"] = "other.example.com"
    else:
        raise KeyError("a defect")
    return request


class _Altered(httpx.AsyncHTTPTransport):  # type: ignore[misc, name-defined]
    """Connections that a subclass sends elsewhere, or breaks."""

    async def handle_async_request(self, request: Any) -> Any:
        return await super().handle_async_request(_alter(request))


class _BlockingAltered(httpx.HTTPTransport):  # type: ignore[misc, name-defined]
    """The same, blocking."""

    def handle_request(self, request: Any) -> Any:
        return super().handle_request(_alter(request))


def altered(**options: Any) -> dict[str, Any]:
    """Return the options of a client of such connections."""
    return {"transport": {"Async": _Altered(**options), "": _BlockingAltered(**options)}}


def test_an_answer_from_another_address(fetch: Fetch) -> None:
    """However the connection was made, an answer from another address than the one that was allowed is none."""
    with Server(answering(GOOD)) as server:
        error = failure(lambda: fetch(server, Exchange(server.url(host="[::1]")), client=altered()))
        assert (error.code, "not from the address" in str(error)) == ("fetch.connect", True)


def test_a_client_that_breaks(fetch: Fetch) -> None:
    """Whatever the client raises, nothing was fetched."""
    with Server(answering(GOOD)) as server:
        error = failure(lambda: fetch(server, client=altered()))
        assert (error.code, "KeyError" in str(error)) == ("fetch.incomplete", True)


def test_a_pool_that_is_used_up() -> None:
    """Waiting for a connection of the client counts as well."""

    def client() -> Any:
        return httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=1))

    async def run(server: Server) -> FetchFailed:
        async with client() as opened:
            transport = HTTPXTransport(opened, destinations=server.destinations)
            first = asyncio.ensure_future(transport.fetch(Exchange(server.url()), until=soon(LIVENESS)))
            assert await asyncio.to_thread(server.met.wait, LIVENESS)
            with pytest.raises(FetchFailed) as caught:
                await transport.fetch(Exchange(server.url()), until=soon(0.3))
            first.cancel()
            return caught.value

    with Server(endless(OK, b"")) as server:
        assert asyncio.run(run(server)).code == "fetch.timeout"


def test_https_of_the_clients_context(fetch: Fetch) -> None:
    """The server is verified by its name, not by the address; another CA or another name is refused."""
    authority, stranger = CertificateAuthority(), CertificateAuthority("stranger")
    with Server(answering(GOOD), context=server_context(authority, "ocsp.example.com")) as server:

        def code(host: str, trusted: CertificateAuthority) -> str:
            context = trusting(trusted)
            exchange = Exchange(server.url(host=host))
            try:
                return fetch(server, exchange, client={"verify": context}, resolve=names("127.0.0.1")).decode()
            except FetchFailed as error:
                return error.code

        assert code("ocsp.example.com", authority) == "hello"
        assert code("other.example.com", authority) == "fetch.tls"
        assert code("ocsp.example.com", stranger) == "fetch.tls"


def test_a_connection_to_another_name(fetch: Fetch) -> None:
    """However the handshake was made, a server that was verified by another name answers for none of ours."""
    authority = CertificateAuthority()
    with Server(answering(GOOD), context=server_context(authority, "ocsp.example.com", "other.example.com")) as server:
        url, client = server.url(host="ocsp.example.com"), altered(verify=trusting(authority))
        error = failure(lambda: fetch(server, Exchange(url), client=client, resolve=names("127.0.0.1")))
        assert (error.code, "another name" in str(error)) == ("fetch.tls", True)


def _twice(talk: Conversation) -> None:
    for _ in range(2):
        talk.request = b""
        talk.read_request()
        talk.send(GOOD)


def test_a_connection_that_other_requests_left() -> None:
    """Pools keep connections by address; none of those is used, since nothing would hold it to the deadline."""

    async def run(server: Server) -> list[bytes | str]:
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(server.url())).content == b"hello"
            transport = HTTPXTransport(client, destinations=server.destinations)
            with pytest.raises(FetchFailed) as caught:
                await transport.fetch(Exchange(server.url()), until=soon())
            return [caught.value.code, await transport.fetch(Exchange(server.url()), until=soon())]

    def run_blocking(server: Server) -> list[bytes | str]:
        with httpx.Client(trust_env=False) as client:
            assert client.get(server.url()).content == b"hello"
            transport = BlockingHTTPXTransport(client, destinations=server.destinations)
            with pytest.raises(FetchFailed) as caught:
                transport.fetch(Exchange(server.url()), until=soon())
            return [caught.value.code, transport.fetch(Exchange(server.url()), until=soon())]

    with Server(_twice) as server:
        assert asyncio.run(run(server)) == ["fetch.connect", b"hello"]
        assert run_blocking(server) == ["fetch.connect", b"hello"]
        assert len(server.talks) == 4


def test_a_tls_handshake_that_drips(fetch: Fetch) -> None:
    """A server that never ends its handshake costs the deadline; connecting and shaking hands share it."""

    def silent(talk: Conversation) -> None:
        talk.wait_for_end()
        raise ConnectionError("the client left")

    with Server(silent) as server:
        began = time.monotonic()
        error = failure(
            lambda: fetch(server, Exchange(f"https://127.0.0.1:{server.port}/"), seconds=0.5, client={"verify": True})
        )
        assert error.code == "fetch.timeout"
        assert time.monotonic() - began < LIVENESS
        assert server.left.wait(LIVENESS)


def test_a_blocking_pool_that_is_used_up() -> None:
    """Waiting for a connection of a blocking client ends at the deadline as well."""
    release = threading.Event()

    def script(talk: Conversation) -> None:
        talk.read_request()
        release.wait(LIVENESS)
        talk.send(GOOD)

    found: list[bytes] = []
    with Server(script) as server, httpx.Client(trust_env=False, limits=httpx.Limits(max_connections=1)) as client:
        transport = BlockingHTTPXTransport(client, destinations=server.destinations)
        exchange = Exchange(server.url())
        first = threading.Thread(target=lambda: found.append(transport.fetch(exchange, until=soon(LIVENESS))))
        first.start()
        assert server.met.wait(LIVENESS)
        error = failure(lambda: transport.fetch(exchange, until=soon(0.2)))
        assert (error.code, len(server.talks)) == ("fetch.timeout", 1)
        release.set()
        first.join(LIVENESS)
    assert found == [b"hello"]


@pytest.mark.skipif(sys.platform != "linux", reason="a listener whose queue is full drops what comes")
def test_connecting_ends_at_the_deadline_too() -> None:
    """What waiting for the pool has taken is no longer there for connecting, whatever its share was."""
    with contextlib.ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.settimeout(0.0)
            one.connect_ex(full.getsockname())
        client = stack.enter_context(httpx.Client(trust_env=False))
        wire = BlockingWire(until=soon(0.2), origin="http://full.example")
        limits = {"connect": 30.0, "pool": 30.0, "read": 30.0, "write": 30.0}
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        request = httpx.Request("GET", url, extensions={"trace": wire.trace, "timeout": limits})
        began = time.monotonic()
        with pytest.raises(httpx.ConnectTimeout):
            client._transport.handle_request(request)
        assert time.monotonic() - began < LIVENESS


def test_a_closed_blocking_client() -> None:
    """The connections of a blocking client that was closed are not opened again."""
    with Server(answering(GOOD)) as server:
        with httpx.Client(trust_env=False) as client:
            transport = BlockingHTTPXTransport(client, destinations=server.destinations)
        error = failure(lambda: transport.fetch(Exchange(server.url()), until=soon()))
        assert (error.code, "closed" in str(error), server.talks) == ("fetch.connect", True, [])
