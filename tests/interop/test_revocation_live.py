"""Servers that ask a real responder who is revoked: blocking and on event loops, in outages, and when it changes.

The responder is the one of `mtlspolicy.testing`, a real HTTP server; once it is `openssl ocsp` that answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from mtlspolicy import Policy, Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.revocation import Destinations, Refresher
from mtlspolicy.revocation._ledger import Ledger
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, OCSPResponder

LIVENESS: Final = 20.0
"""Seconds in which what has to happen has happened, on a busy machine too."""
HARD: Final = policies.NotRevoked()
SOFT: Final = policies.NotRevoked(soft=True)


class Site:
    """Certificates and contexts of one server whose clients may be revoked."""

    def __init__(self, folder: Path, authority: CertificateAuthority, responder: OCSPResponder) -> None:
        self.folder = folder
        self.authority = authority
        self.responder = responder
        port = int(responder.url.split(":")[2].split("/")[0])
        self.destinations = Destinations(addresses=["127.0.0.0/8"], ports=[port])
        self.issued: dict[str, IssuedCertificate] = {}

    def leaf(self, name: str) -> IssuedCertificate:
        """Return the certificate of a client, always the same."""
        if name not in self.issued:
            self.issued[name] = self.authority.issue_client(
                name, ocsp_url=self.responder.url, crl_url=self.responder.crl_url
            )
        return self.issued[name]

    def server(self, resolver: Resolver, policy: Policy, **options: Any) -> ssl.SSLContext:
        """Return the server's context."""
        issued = self.authority.issue_server("localhost")
        trust = TrustStore(anchors=[self.authority.certificate])
        return tls.server_context(
            credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem),
            verifier=Verifier.for_clients(trust=trust, policy=policies.Anyone() & policy),
            options=tls.ServerOptions(resolver=resolver, **options),
        )

    def client(self, name: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """Return the context of a client."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.maximum_version = version
        context.load_cert_chain(*self.leaf(name).files(self.folder, name=name))
        return context


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give a site of its own to each test."""
    authority = CertificateAuthority("Root")
    with authority.ocsp_responder() as responder:
        yield Site(tmp_path, authority, responder)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every renewal due a twentieth of a second after the last."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)


class Handler(http.server.BaseHTTPRequestHandler):
    """Says who the caller is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the peer's name."""
        name = str(tls.peer_of(self.connection).common_name).encode()  # type: ignore[union-attr]
        self.send_response(200)
        self.send_header("Content-Length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parameter of the base class
        """Stay silent."""
        del format, args


@contextlib.contextmanager
def blocking_server(context: ssl.SSLContext) -> Iterator[int]:
    """Serve HTTP on threads."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refused client is no news for the terminal
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Visitor:
    """A client that resumes its TLS session where it has one."""

    def __init__(self, site: Site, port: int, name: str, version: ssl.TLSVersion) -> None:
        self._context = site.client(name, version)
        self._port = port
        self._session: ssl.SSLSession | None = None
        self.resumed: bool | None = None

    @contextlib.contextmanager
    def staying(self) -> Iterator[None]:
        """Keep a connection open meanwhile, whose session the others resume: OpenSSL forgets one that ended roughly."""
        with (
            socket.create_connection(("127.0.0.1", self._port), 30) as plain,
            self._context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
            self._session = connection.session
            yield

    def get(self) -> bytes:
        """Return the whole answer to one request; empty where the server ends the connection."""
        received = b""
        with (
            contextlib.suppress(ConnectionError, ssl.SSLError),
            socket.create_connection(("127.0.0.1", self._port), 30) as plain,
            self._context.wrap_socket(plain, server_hostname="localhost", session=self._session) as connection,
        ):
            self.resumed = connection.session_reused
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while chunk := connection.recv(4096):
                received += chunk
        return received


def until(condition: Callable[[], Any]) -> None:
    """Return as soon as *condition* holds."""
    end = time.monotonic() + LIVENESS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("rule", ["ocsp", "crl", "both"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["resumed", "not resumed"])
def test_a_client_revoked_while_a_blocking_server_runs(site: Site, version: ssl.TLSVersion, rule: str) -> None:
    """Its next connection is refused, resumed or not, though the answer at hand would hold for an hour."""
    with Refresher(destinations=site.destinations) as refresher:
        context = site.server(refresher.resolver(), policies.NotRevoked(rule))
        with blocking_server(context) as port, contextlib.ExitStack() as stack:
            frodo, sam = (Visitor(site, port, name, version) for name in ("frodo", "sam"))
            stack.enter_context(frodo.staying())
            assert frodo.get().endswith(b"\r\n\r\nfrodo")
            assert sam.get().endswith(b"\r\n\r\nsam")
            assert frodo.resumed is (version is ssl.TLSVersion.TLSv1_2)
            site.authority.revoke(site.leaf("frodo"))
            until(lambda: frodo.get() == b"")
            assert frodo.get() == b""
            assert sam.get().endswith(b"\r\n\r\nsam")


@pytest.mark.parametrize("policy", [HARD, SOFT], ids=["hard", "soft"])
def test_a_responder_that_is_gone(site: Site, policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    """A hard rule refuses who was not asked about before; a soft one admits, and still refuses who was seen revoked."""
    site.authority.revoke(site.leaf("gollum"))
    with Refresher(destinations=site.destinations, deadline=0.5) as refresher:
        context = site.server(refresher.resolver(), policy)
        with blocking_server(context) as port:
            frodo, gollum, sam = (
                Visitor(site, port, name, ssl.TLSVersion.TLSv1_3) for name in ("frodo", "gollum", "sam")
            )
            assert frodo.get().endswith(b"frodo")
            assert gollum.get() == b""
            site.responder.answer(http_status=503)
            assert frodo.get().endswith(b"frodo")
            assert gollum.get() == b""
            if policy is SOFT:
                assert sam.get().endswith(b"sam")
            else:
                assert sam.get() == b""
                until(lambda: "ocsp.unavailable" in caplog.text)
                site.responder.answer()
                until(lambda: sam.get().endswith(b"sam"))


def test_soft_says_so(site: Site) -> None:
    """Who is admitted without an answer has that written into the decision."""
    said: list[str] = []
    with Refresher(destinations=site.destinations, deadline=0.3) as refresher:
        site.responder.answer(never=True)
        trust = TrustStore(anchors=[site.authority.certificate])
        verifier = Verifier.for_clients(trust=trust, policy=policies.Anyone() & SOFT).observed_by(
            lambda decision: said.append(decision.explain())
        )
        issued = site.authority.issue_server("localhost")
        context = tls.server_context(
            credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem),
            verifier=verifier,
            options=tls.ServerOptions(resolver=refresher.resolver()),
        )
        with blocking_server(context) as port:
            assert Visitor(site, port, "frodo", ssl.TLSVersion.TLSv1_3).get().endswith(b"frodo")
        until(lambda: any("ocsp.soft" in one and "fetch.timeout" in one for one in said))


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say who the peer is."""
    del reader
    writer.write(str(tls.peer_of(writer).common_name).encode())  # type: ignore[union-attr]
    writer.close()


async def ask(port: int, context: ssl.SSLContext) -> bytes:
    """Return what the server says before it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        return await reader.read()
    except (ConnectionError, ssl.SSLError):
        return b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def gated(site: Site, policy: Policy, *, with_client: bool, **options: Any) -> AsyncIterator[int]:
    """Serve behind the gate with a refresher of each kind."""
    async with contextlib.AsyncExitStack() as stack:
        client = None
        if with_client:
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        refresher = await stack.enter_async_context(Refresher(destinations=site.destinations, client=client, **options))
        resolver = refresher.resolver(deadline=2 * refresher.deadline)
        context = site.server(resolver, policy, pending="hold", hold_timeout=LIVENESS)
        server = await tls.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=1000)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await asyncio.sleep(0)


KINDS = pytest.mark.parametrize("with_client", [True, False], ids=["httpx", "threads"])


@KINDS
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("rule", ["ocsp", "crl"])
def test_a_client_revoked_while_an_asyncio_server_runs(site: Site, rule: str, *, with_client: bool) -> None:
    """Behind the gate too the next connection is refused."""

    async def main() -> None:
        async with gated(site, policies.NotRevoked(rule), with_client=with_client) as port:
            context = site.client("frodo")
            assert await ask(port, context) == b"frodo"
            site.authority.revoke(site.leaf("frodo"))
            async with asyncio.timeout(LIVENESS):
                while await ask(port, context):
                    pass
            assert await ask(port, context) == b""
            assert await ask(port, site.client("sam")) == b"sam"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("loop", "with_client", "number"),
    [("asyncio", True, 200), ("asyncio", False, 200), ("uvloop", False, 1000)],
    ids=["httpx-200", "threads-200", "uvloop-1000"],
)
def test_many_connections_and_a_slow_responder(site: Site, loop: str, number: int, *, with_client: bool) -> None:
    """With a cold cache and a responder of 300 ms, all connections lead to one request, and others are served.

    A thousand at once under uvloop: asyncio itself reserves half a megabyte for both ends of each.
    """
    run: Any = asyncio.run
    if loop == "uvloop":
        run = pytest.importorskip("uvloop").run
        resource = pytest.importorskip("resource")
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] in range(2 * number + 200):
            pytest.skip(f"the system allows too few open files for {number} connections")
    site.responder.answer(delay=0.3)

    async def main() -> tuple[list[bytes], bytes]:
        async with gated(site, HARD, with_client=with_client, deadline=10.0) as port:
            context, others = site.client("frodo"), site.client("sam")
            site.responder.answer(site.leaf("sam"))
            assert await ask(port, others) == b"sam"
            waiting = asyncio.gather(*(ask(port, context) for _ in range(number)))
            await asyncio.to_thread(until, lambda: site.responder.requests == 2)
            meanwhile = await ask(port, others)
            return await waiting, meanwhile

    answers, meanwhile = run(main())
    assert answers == [b"frodo"] * number
    assert meanwhile == b"sam"
    assert site.responder.requests == 2


@KINDS
def test_an_asyncio_server_without_a_responder(site: Site, *, with_client: bool) -> None:
    """A responder that hangs costs its own clients the deadline: hard rules refuse, soft ones admit."""
    site.responder.answer(never=True)

    async def main(policy: Policy) -> bytes:
        async with gated(site, policy, with_client=with_client, deadline=0.3) as port:
            return await ask(port, site.client("frodo"))

    assert asyncio.run(main(HARD)) == b""
    assert asyncio.run(main(SOFT)) == b"frodo"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_answers(site: Site) -> None:
    """What `openssl ocsp` answers from the index of a CA, by HTTP, admits who is good and refuses who is revoked."""
    folder = site.folder
    (folder / "ca.pem").write_bytes(site.authority.pem)
    site.responder.delegate().files(folder, name="responder")

    class OpenSSL(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            (folder / "request.der").write_bytes(self.rfile.read(length))
            command = [
                "openssl", "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "responder.pem",
                "-rkey", "responder.key", "-reqin", "request.der", "-respout", "response.der", "-ndays", "1",
            ]  # fmt: skip
            subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=30)
            body = (folder / "response.der").read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parameter of the base class
            del format, args

    server = http.server.HTTPServer(("127.0.0.1", 0), OpenSSL)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = server.server_address[1]
    url = f"http://127.0.0.1:{port}/"
    site.issued = {name: site.authority.issue_client(name, ocsp_url=url) for name in ("frodo", "gollum")}
    rows = [_row("V", "", site.issued["frodo"]), _row("R", "260101120000Z,keyCompromise", site.issued["gollum"])]
    (folder / "index.txt").write_text("".join(rows), encoding="ascii")
    where = Destinations(addresses=["127.0.0.0/8"], ports=[port])
    try:
        with (
            Refresher(destinations=where, nonce=True, deadline=10.0) as refresher,
            blocking_server(site.server(refresher.resolver(deadline=15.0), HARD)) as own,
        ):
            assert Visitor(site, own, "frodo", ssl.TLSVersion.TLSv1_3).get().endswith(b"frodo")
            assert Visitor(site, own, "gollum", ssl.TLSVersion.TLSv1_3).get() == b""
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _row(status: str, revoked: str, leaf: IssuedCertificate) -> str:
    """Return a line of the index of `openssl ca`."""
    until = leaf.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    serial = f"{leaf.certificate.serial_number:X}"
    return f"{status}\t{until}\t{revoked}\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN=x\n"
