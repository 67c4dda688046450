"""aiohttp's client: whom it takes for the server, pools, redirects and proxies."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from mtlspolicy import Evidence, Policy, ReferenceIdentifier, Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import aiohttp as ours
from mtlspolicy.testing import IssuedCertificate
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._peer_of import latch_of
from tests.integrations.aiohttp_serving import aiohttp_serving
from tests.integrations.loop_serving import CLIENTS, SERVER, UNKNOWN, in_a_loop
from tests.integrations.serving import HOST, ROOT, Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there")

SPIFFE = "spiffe://loops.test/server"
NAMED = ROOT.issue_server("localhost", HOST, SPIFFE)
ELSEWHERE = ROOT.issue_server("elsewhere.test")
ROOTS = TrustStore(anchors=[ROOT.certificate])
FRODO: Any = CLIENTS["frodo"]
ANYBODY = Verifier.for_clients(trust=ROOTS, policy=policies.Anyone())


@contextmanager
def serving(issued: IssuedCertificate = NAMED, to: str = "") -> Generator[Server, None, None]:
    """Serve who says who the client is; with *to*, redirects to there."""

    async def tell(request: web.Request) -> web.Response:
        if to:
            raise web.HTTPFound(to)
        assert request.transport is not None
        peer = tls.peer_of(request.transport)
        port = request.transport.get_extra_info("peername")[1]
        return web.json_response({"peer": peer and peer.common_name, "port": port})

    app = web.Application()
    app.router.add_get("/", tell)
    context = tls.server_context(credential=tls.Credential.of(issued.chain, issued.key), verifier=ANYBODY)
    with aiohttp_serving(app, context=context) as server:
        yield server


@pytest.fixture(scope="module")
def reached() -> Generator[Server, None, None]:
    """Lend a server named localhost, 127.0.0.1 and by a SPIFFE ID."""
    with serving() as server:
        yield server


def context_of(
    expected: Any, policy: Policy | None = None, *, trust: Any = ROOTS, resolver: Resolver | None = None
) -> Any:
    """Return the context of frodo for a server."""
    verifier = Verifier.for_servers(trust=trust, expected=expected, policy=policy)
    credential = tls.Credential.of(FRODO.chain, FRODO.key)
    return tls.client_context(credential=credential, verifier=verifier, options=tls.ClientOptions(resolver=resolver))


def get(url: str, context: Any, *, connector: Any = None, **options: Any) -> Any:
    """Return what a session of its own is told."""

    async def run() -> Any:
        made = aiohttp.TCPConnector(ssl=context) if connector is None else connector(context)
        async with aiohttp.ClientSession(connector=made) as session, session.get(url, **options) as answer:
            return await answer.json()

    return asyncio.run(run())


@pytest.mark.parametrize("connector", [None, ours.TCPConnector], ids=["theirs", "ours"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", "localhost"),
        (HOST, HOST),
        ("localhost", SPIFFE),
        ("localhost", ReferenceIdentifier.DIALED),
        (HOST, ReferenceIdentifier.DIALED),
    ],
    ids=["dns", "ip", "spiffe", "dialed", "dialed-ip"],
)
def test_the_server_is_who_was_expected(reached: Server, name: str, expected: Any, connector: Any) -> None:
    """By DNS name, IP address, URI, the name dialed, or the CN where it is asked for; and it learns the client's."""
    assert get(f"https://{name}:{reached.address[1]}/", context_of(expected), connector=connector)["peer"] == "frodo"


def test_a_server_known_by_its_common_name_alone_is_expected_by_name() -> None:
    """A private server whose certificate has no subjectAltName, where the CN is what was asked for."""
    with serving(ROOT.issue_server(common_name="db-1")) as server:
        expected = ReferenceIdentifier.common_name("db-1")
        assert get(f"https://localhost:{server.address[1]}/", context_of(expected))["peer"] == "frodo"


@pytest.mark.parametrize(
    ("issued", "expected", "policy"),
    [
        (ELSEWHERE, "localhost", None),
        (ELSEWHERE, ReferenceIdentifier.DIALED, None),
        (NAMED, "spiffe://loops.test/other", None),
        (NAMED, "elsewhere.test", None),
        (NAMED, "localhost", policies.SPKIPin.of(SERVER.certificate)),
        (UNKNOWN.issue_server("localhost"), "localhost", None),
    ],
    ids=["dns", "dialed", "spiffe", "not-dialed", "pin", "unknown-ca"],
)
def test_another_server_is_an_error_about_its_certificate(issued: Any, expected: Any, policy: Any) -> None:
    """aiohttp's own error for certificates; no request is sent."""
    with serving(issued) as server, pytest.raises(aiohttp.ClientConnectorCertificateError):
        get(f"https://localhost:{server.address[1]}/", context_of(expected, policy))


def test_a_pool_keeps_the_connections_of_two_contexts_apart(reached: Server) -> None:
    """A connection that was verified under one policy is never used for a request under another."""
    first, second = context_of("localhost"), context_of("localhost", policies.SPKIPin.of(SERVER.certificate))
    url = f"https://localhost:{reached.address[1]}/"

    async def run() -> list[int]:
        ports = []
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.get(url, ssl=first) as answer:
                    ports.append((await answer.json())["port"])
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(url, ssl=second)
        return ports

    ports = asyncio.run(run())
    assert ports[0] == ports[1]


@pytest.mark.parametrize("connector", [None, ours.TCPConnector], ids=["theirs", "ours"])
def test_a_kept_connection_after_its_ca_was_taken_out_of_the_trust(reached: Server, connector: Any) -> None:
    """Our connector decides again, and makes a new one, or fails; with aiohttp's own the connection itself does."""
    trusted = [ROOTS]
    context = context_of("localhost", trust=lambda: trusted[0])
    url = f"https://localhost:{reached.address[1]}/"
    failures: Any = aiohttp.ClientError if connector is None else aiohttp.ClientConnectorCertificateError

    async def run() -> tuple[int, int, int]:
        made = aiohttp.TCPConnector(ssl=context) if connector is None else connector(context)
        ports = []

        async def ask(session: aiohttp.ClientSession) -> None:
            try:
                async with session.get(url) as answer:
                    ports.append((await answer.json())["port"])
            except failures:
                ports.append(0)

        async with aiohttp.ClientSession(connector=made) as session:
            await ask(session)
            await ask(session)
            trusted[0] = TrustStore(anchors=[UNKNOWN.certificate])
            await ask(session)
        return ports[0], ports[1], ports[2]

    first, second, third = asyncio.run(run())
    assert first == second != 0
    assert third == 0


def test_a_kept_connection_is_left_when_a_fact_changes_or_the_context_does(reached: Server) -> None:
    """Facts are asked anew, in the loop; a setting that somebody changed is refused by the next handshake."""
    row = {"good": True}

    async def look(_: str) -> object:
        await asyncio.sleep(0)
        return row["good"]

    @policies.lookup("loops.server", key=lambda path: str(path.end_entity.subject), max_age=timedelta(microseconds=1))
    def good(found: object, _evidence: Evidence) -> bool:
        return found is True

    resolver = Resolver({"loops.server": look})
    context = context_of("localhost", good | policies.SPKIPin.of(NAMED.certificate), resolver=resolver)
    url = f"https://localhost:{reached.address[1]}/"

    async def run() -> None:
        async with aiohttp.ClientSession(connector=ours.TCPConnector(context)) as session:

            async def port() -> int:
                async with session.get(url, ssl=context) as answer:
                    return int((await answer.json())["port"])

            assert await port() == await port()
            context.post_handshake_auth = True
            with pytest.raises(aiohttp.ClientConnectorCertificateError, match="context-changed"):
                await port()

    asyncio.run(run())


class Seeing(ours.TCPConnector):
    """Keeps the transport that it gave out last."""

    transport: Any = None

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """Return a connection."""
        connection = await super().connect(*arguments, **options)
        self.transport = connection.transport
        return connection


def test_a_kept_connection_that_was_refused_meanwhile_is_not_used(reached: Server) -> None:
    """Whoever refused it: `tls.peer_of` does, where it finds another certificate than was decided on."""
    url = f"https://localhost:{reached.address[1]}/"

    async def run() -> list[int]:
        ports, connector = [], Seeing(context_of("localhost"))
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(2):
                async with session.get(url) as answer:
                    ports.append((await answer.json())["port"])
                latch_of(connector.transport).mark_refused(refusal("tls.peer-changed", "another certificate"))
        return ports

    first, second = asyncio.run(run())
    assert first != second


def test_what_leads_around_the_context_is_refused(reached: Server) -> None:
    """``ssl=False``, plain HTTP and a context without a verifier."""
    port, context = reached.address[1], context_of("localhost")
    for url, options in ((f"https://localhost:{port}/", {"ssl": False}), (f"http://localhost:{port}/", {})):
        with pytest.raises(ConfigurationError):
            get(url, context, connector=ours.TCPConnector, **options)
    with pytest.raises(ConfigurationError, match="TCPConnector"):
        get(f"https://localhost:{port}/", True, connector=ours.TCPConnector)


def test_a_redirect_to_another_host_is_another_server() -> None:
    """The certificate is not shown to a host that nobody expected; with DIALED each host is expected under its name."""
    with serving(ELSEWHERE) as other, serving(to=f"https://{HOST}:{other.address[1]}/") as server:
        url = f"https://localhost:{server.address[1]}/"
        for expected in ("localhost", ReferenceIdentifier.DIALED):
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                get(url, context_of(expected))
    with serving() as other, serving(to=f"https://{HOST}:{other.address[1]}/") as server:
        url = f"https://localhost:{server.address[1]}/"
        assert get(url, context_of(ReferenceIdentifier.DIALED))["peer"] == "frodo"
    with serving(to="http://localhost:1/") as server, pytest.raises(ConfigurationError, match="no TLS"):
        get(f"https://localhost:{server.address[1]}/", context_of("localhost"), connector=ours.TCPConnector)


class Tunnels:
    """A proxy that knows CONNECT alone, and leads every tunnel to one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._writers: list[asyncio.StreamWriter] = []
        self._running: set[asyncio.Task[None] | None] = set()
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._running.add(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode("ascii"))
        there, out = await asyncio.open_connection(*self._server.address)
        self._writers += [writer, out]
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pipe(reader, out), _pipe(there, writer), return_exceptions=True)

    async def end(self) -> None:
        """End all tunnels."""
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*filter(None, self._running), return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(65536):
        writer.write(octets)
    writer.close()


@contextmanager
def tunnelling(server: Server) -> Generator[tuple[Tunnels, str], None, None]:
    """Serve as a proxy."""
    proxy = Tunnels(server)

    @asynccontextmanager
    async def begin(listener: socket.socket) -> AsyncGenerator[None, None]:
        async with await asyncio.start_server(proxy, sock=listener.dup()):
            yield
            await proxy.end()

    with in_a_loop(begin) as running:
        yield proxy, f"http://{HOST}:{running.address[1]}"


@pytest.mark.parametrize("connector", [None, ours.TCPConnector], ids=["theirs", "ours"])
def test_a_proxy_in_between_changes_nothing_about_who_the_server_is(reached: Server, connector: Any) -> None:
    """The tunnel ends at the server that was expected; one that leads elsewhere ends at the handshake."""
    url = f"https://localhost:{reached.address[1]}/"
    for expected in ("localhost", ReferenceIdentifier.DIALED, SPIFFE):
        with tunnelling(reached) as (proxy, address):
            assert get(url, context_of(expected), proxy=address, connector=connector)["peer"] == "frodo"
            assert proxy.asked == [f"CONNECT localhost:{reached.address[1]} HTTP/1.1"]
    with (
        serving(ELSEWHERE) as other,
        tunnelling(other) as (_, address),
        pytest.raises(aiohttp.ClientConnectorCertificateError),
    ):
        get(url, context_of("localhost"), proxy=address, connector=connector)
