"""Two real uses of the resolver: SQLite asked by a blocking server, and a slow async look-up behind the gate."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import CertificationPath, Evidence, Policy, Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority


def key_of(path: CertificationPath) -> str:
    """Return what a partner's row is found by."""
    return path.end_entity.spki_sha256


@policies.lookup("partner.enrolled", key=key_of, max_age=timedelta(seconds=30), identifies=True)
def enrolled(row: Any, _evidence: Evidence) -> bool:
    """Admit partners with an active row; a row that is not there is an answer too."""
    return row is not None and row["active"] == 1


class Site:
    """Certificates and contexts of one server."""

    def __init__(self, folder: Path) -> None:
        self.authority = CertificateAuthority()
        self.folder = folder
        self.issued = {name: self.authority.issue_client(name) for name in ("frodo", "sam", "gollum")}

    def key(self, name: str) -> str:
        """Return the key hash of a client, lower-case hex."""
        chain = self.issued[name].chain_pem
        trust = TrustStore(anchors=[self.authority.certificate])
        verifier = Verifier.for_clients(trust=trust, policy=policies.Anyone())
        return verifier.verify(chain).spki_sha256

    def server(self, resolver: Resolver, policy: Policy = enrolled, **options: Any) -> ssl.SSLContext:
        """Return the server's context."""
        issued = self.authority.issue_server("localhost")
        trust = TrustStore(anchors=[self.authority.certificate])
        return tls.server_context(
            credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem),
            verifier=Verifier.for_clients(trust=trust, policy=policy),
            options=tls.ServerOptions(resolver=resolver, **options),
        )

    def client(self, name: str) -> ssl.SSLContext:
        """Return the context of a client."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.load_cert_chain(*self.issued[name].files(self.folder, name=name))
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a site of its own to each test."""
    return Site(tmp_path)


class Handler(BaseHTTPRequestHandler):
    """Says who the caller is."""

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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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


def get(site: Site, port: int, name: str) -> bytes:
    """Return the whole answer to one request of client *name*; empty where the server ends the connection."""
    received = b""
    with (
        contextlib.suppress(ConnectionError, ssl.SSLError),
        socket.create_connection(("127.0.0.1", port), 30) as plain,
        site.client(name).wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while chunk := connection.recv(4096):
            received += chunk
    return received


@pytest.fixture
def partners(site: Site, tmp_path: Path) -> tuple[Path, Callable[[str], Any]]:
    """Give a data base file with frodo active and sam not, and the function that reads a row of it."""
    path = tmp_path / "partners.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE partner (key TEXT PRIMARY KEY, active INTEGER)")
        connection.executemany("INSERT INTO partner VALUES (?, ?)", [(site.key("frodo"), 1), (site.key("sam"), 0)])

    def fetch_row(key: str) -> Any:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute("SELECT active FROM partner WHERE key = ?", (key,)).fetchone()

    return path, fetch_row


def test_a_blocking_server_asks_sqlite(site: Site, partners: Any) -> None:
    """A client with an active row is served; one whose row is not active, and one without a row, are not."""
    with Resolver({"partner.enrolled": partners[1]}) as resolver, blocking_server(site.server(resolver)) as port:
        assert get(site, port, "frodo").endswith(b"\r\n\r\nfrodo")
        assert get(site, port, "sam") == b""
        assert get(site, port, "gollum") == b""
        assert get(site, port, "frodo").endswith(b"\r\n\r\nfrodo")


@pytest.mark.parametrize("negated", [False, True], ids=["plain", "under ~"])
def test_without_the_data_base_nobody_is_admitted(
    site: Site, partners: Any, caplog: pytest.LogCaptureFixture, *, negated: bool
) -> None:
    """While the data base is gone the answer is "not known", which admits nobody, nor under ~; then it is back."""
    path, fetch_row = partners
    policy = policies.CommonName("gollum") & ~enrolled if negated else enrolled
    name = "gollum" if negated else "frodo"
    moved = path.with_suffix(".away")
    path.rename(moved)
    resolver = Resolver({"partner.enrolled": fetch_row}, negative_max_age=0)
    with resolver, blocking_server(site.server(resolver, policy)) as port:
        assert get(site, port, name) == b""
        end = time.monotonic() + 20
        while "fact.missing" not in caplog.text:  # written just after the client sees the end
            assert time.monotonic() < end
            time.sleep(0.002)
        moved.rename(path)
        assert get(site, port, name).endswith(name.encode())


def test_a_data_base_that_hangs_holds_a_blocking_server_for_the_deadline_only(site: Site) -> None:
    """A source that does not return lets its own client fail at the deadline, and no other client wait."""
    hanging, going_on = threading.Event(), threading.Event()

    def fetch_row(key: str) -> dict[str, int]:
        if key == site.key("sam"):
            hanging.set()
            going_on.wait(30)
        return {"active": 1}

    answers: list[bytes] = []
    resolver = Resolver({"partner.enrolled": fetch_row}, deadline=0.5)
    with resolver, blocking_server(site.server(resolver)) as port:
        slow = threading.Thread(target=lambda: answers.append(get(site, port, "sam")))
        slow.start()
        assert hanging.wait(30)
        assert get(site, port, "frodo").endswith(b"frodo")
        slow.join(30)
        assert answers == [b""]
        assert not going_on.is_set()
        going_on.set()


class Slow:
    """An async look-up of 300 ms."""

    def __init__(self, site: Site) -> None:
        self.rows = {site.key("frodo"): {"active": 1}, site.key("sam"): {"active": 1}}
        self.asked: list[str] = []
        self.answering = 0
        self.began = asyncio.Event()

    async def __call__(self, key: str) -> dict[str, int] | None:
        """Look up a row."""
        self.asked.append(key)
        self.answering += 1
        self.began.set()
        try:
            await asyncio.sleep(0.3)
        finally:
            self.answering -= 1
        return self.rows.get(key)


class Named(asyncio.Protocol):
    """Says who the peer is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer and close."""
        transport.write(str(tls.peer_of(transport).common_name).encode())  # type: ignore[attr-defined, union-attr]
        transport.close()


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
async def gated(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve `Named` behind a gate."""
    server = await asyncio.get_running_loop().create_server(tls.gate(Named), "127.0.0.1", 0, ssl=context, backlog=1000)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0)


def test_the_loop_serves_others_during_a_slow_look_up(site: Site, run: Any) -> None:
    """While one client's look-up takes 300 ms another, known already, comes and is answered."""
    slow = Slow(site)

    async def main() -> None:
        async with (
            Resolver({"partner.enrolled": slow}) as resolver,
            gated(site.server(resolver, pending="hold")) as port,
        ):
            assert await ask(port, site.client("sam")) == b"sam"
            slow.began.clear()
            waiting = asyncio.create_task(ask(port, site.client("frodo")))
            await slow.began.wait()
            assert await ask(port, site.client("sam")) == b"sam"
            assert slow.answering == 1
            assert await waiting == b"frodo"
            assert await ask(port, site.client("gollum")) == b""
        assert slow.asked == [site.key(name) for name in ("sam", "frodo", "gollum")]

    run(main())


def connections() -> int:
    """Return a thousand, or what the limit of open files allows for both ends together."""
    try:
        import resource
    except ImportError:
        return 200
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1000 if soft == resource.RLIM_INFINITY else max(10, min(1000, (soft - 200) // 2))


def test_a_thousand_connections_with_one_key_ask_once(site: Site, run: Any) -> None:
    """A thousand connections of one client, many of them while the look-up is under way, lead to one look-up."""
    slow = Slow(site)

    async def main() -> list[bytes]:
        turn = asyncio.Semaphore(100)
        context = site.client("frodo")

        async def one() -> bytes:
            async with turn:
                return await ask(port, context)

        async with (
            Resolver({"partner.enrolled": slow}) as resolver,
            gated(site.server(resolver, pending="hold")) as port,
        ):
            return await asyncio.gather(*(one() for _ in range(connections())))

    assert set(run(main())) == {b"frodo"}
    assert len(slow.asked) == 1


def test_a_first_client_that_hangs_up_harms_nobody(site: Site, run: Any) -> None:
    """Clients that connect and hang up while their look-up runs do not keep the answer from those who stay."""
    slow = Slow(site)

    async def main() -> list[bytes]:
        async with (
            Resolver({"partner.enrolled": slow}) as resolver,
            gated(site.server(resolver, pending="hold")) as port,
        ):
            first = asyncio.create_task(ask(port, site.client("frodo")))
            await slow.began.wait()
            others = [asyncio.create_task(ask(port, site.client("frodo"))) for _ in range(5)]
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await asyncio.gather(*others)

    assert run(main()) == [b"frodo"] * 5
    assert len(slow.asked) == 1


@pytest.mark.parametrize("negated", [False, True], ids=["plain", "under ~"])
def test_a_slow_look_up_that_fails_admits_nobody(
    site: Site, run: Any, caplog: pytest.LogCaptureFixture, *, negated: bool
) -> None:
    """Behind the gate too a resolver that is down is "not known": refused, under ~ as well."""
    policy = policies.CommonName("frodo") & ~enrolled if negated else enrolled

    async def down(_key: str) -> None:
        raise ConnectionRefusedError("data base")

    async def main() -> bytes:
        resolver = Resolver({"partner.enrolled": down})
        async with resolver, gated(site.server(resolver, policy, pending="hold")) as port:
            return await ask(port, site.client("frodo"))

    assert run(main()) == b""
    assert "fact.missing" in caplog.text
