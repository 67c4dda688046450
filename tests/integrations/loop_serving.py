"""Certificates, contexts and clients for the servers that run in an event loop of their own, and a thread for each."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy import Evidence, Policy, Resolver, TrustStore, Verifier, policies, revocation, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.integrations.serving import HOST, PATIENCE, ROOT, Client, Reply, Server, listening, on_thread

ISSUING: Final = ROOT.intermediate("Issuing CA 1")
OTHER: Final = ROOT.intermediate("Issuing CA 2")
UNKNOWN: Final = CertificateAuthority("Unknown")
SERVER: Final = ROOT.issue_server("localhost", HOST)
CREDENTIAL: Final = tls.Credential.of(SERVER.chain, SERVER.key)
TRUST: Final = TrustStore(anchors=[ROOT.certificate], intermediates=[ISSUING.certificate, OTHER.certificate])
_YESTERDAY: Final = datetime.now(UTC) - timedelta(days=1)
REVOKED: Final = ISSUING.issue_client("frodo")
ISSUING.revoke(REVOKED)
POLICY: Final = policies.CommonName("frodo", "sam") & policies.IssuerPin(ISSUING.certificate)
UNREVOKED: Final = POLICY & policies.NotRevoked("crl", scope="end-entity")
CLIENTS: Final[dict[str, IssuedCertificate | None]] = {
    "frodo": ISSUING.issue_client("frodo"),
    "sam": ISSUING.issue_client("sam"),
    "wrong name": ISSUING.issue_client("gollum"),
    "wrong issuing CA": OTHER.issue_client("frodo"),
    "expired": ISSUING.issue_client("frodo", not_before=_YESTERDAY - timedelta(days=1), not_after=_YESTERDAY),
    "unknown CA": UNKNOWN.issue_client("frodo"),
    "revoked": REVOKED,
    "none": None,
}
REFUSED: Final = ("wrong name", "wrong issuing CA", "expired", "unknown CA", "none")


def crl_resolver() -> Resolver:
    """Return a resolver that answers from the CRL of the issuing CA, on threads."""
    crl = ISSUING.crl().public_bytes(Encoding.DER)
    return Resolver({revocation.CRL: revocation.crls_source([crl])})


class Row:
    """A data base of one column, which may be slow, down, or say no."""

    def __init__(self) -> None:
        self.asked = 0
        self.names: set[str] = {"CN=frodo", "CN=sam"}
        self.failing = False

    async def __call__(self, name: str) -> object:
        """Return whether *name* may come."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.failing:
            raise ConnectionError
        return name in self.names


class Slow(Row):
    """A data base that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    async def __call__(self, name: str) -> object:
        """Wait for the release."""
        self.asked += 1
        while not self.released.is_set():  # noqa: ASYNC110 - by another thread
            await asyncio.sleep(0.005)
        return name in self.names


@policies.lookup("loops.enrolled", key=lambda path: str(path.end_entity.subject), max_age=timedelta(microseconds=1))
def enrolled(row: object, _evidence: Evidence) -> bool:
    """Admit who is in the data base."""
    return row is True


def server_context(policy: Policy = POLICY, **options: Any) -> ssl.SSLContext:
    """Return the context of a server that admits frodo and sam, of one issuing CA, who are not revoked."""
    verifier = Verifier.for_clients(trust=TRUST, policy=policy)
    return tls.server_context(credential=CREDENTIAL, verifier=verifier, **options)


def holding(source: Any, **options: Any) -> ssl.SSLContext:
    """Return a context that holds connections until *source* has said who is enrolled."""
    given: Any = {"hold_timeout": PATIENCE, "pending": "hold", **options}
    resolver = Resolver({"loops.enrolled": source}, deadline=PATIENCE)
    return server_context(POLICY & enrolled, options=tls.ServerOptions(resolver=resolver, **given))


def client_context(who: str | IssuedCertificate | None) -> ssl.SSLContext:
    """Return the context of a client, without anything of ours, that trusts the servers here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.der)
    issued = CLIENTS[who] if isinstance(who, str) else who
    if issued is not None:
        with issued.tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)
    return context


@contextmanager
def dialed(server: Server, context: ssl.SSLContext, name: str = "localhost") -> Generator[Client, None, None]:
    """Open a connection by TLS."""
    with (
        socket.create_connection(server.address[:2], PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=name) as sock,
        sock.makefile("rb") as file,
    ):
        yield Client(sock, file)


def ask(server: Server, who: Any, *headers: str, path: str = "/", form: str | None = None) -> Reply:
    """Return the reply to one request by TLS; status 0: the connection ended without one."""
    context = who if isinstance(who, ssl.SSLContext) else client_context(who)
    body = b"" if form is None else form.encode("ascii")
    lines = [f"{'GET' if form is None else 'POST'} {path} HTTP/1.1", "Host: localhost", *headers, "Connection: close"]
    if form is not None:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    try:
        with dialed(server, context) as client:
            return client.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    except OSError:
        return Reply(0, {}, b"")


@contextmanager
def in_a_loop(
    begin: Callable[[socket.socket], AbstractAsyncContextManager[Any]], path: str | None = None, factory: Any = None
) -> Generator[Server, None, None]:
    """Run what *begin* enters on a listening socket in a loop on a thread, until the block ends."""
    with listening(path) as listener:
        address = listener.getsockname()
        ready = threading.Event()
        ended: list[Any] = []

        async def serving() -> None:
            end = asyncio.Event()
            ended.extend((asyncio.get_running_loop(), end))
            try:
                async with begin(listener):
                    ready.set()
                    await end.wait()
            finally:
                ready.set()

        def run() -> None:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(serving())

        def stop() -> None:
            ended[0].call_soon_threadsafe(ended[1].set)

        with on_thread(run, stop):
            assert ready.wait(PATIENCE)
            yield Server(address)


def until(holds: Callable[[], bool]) -> None:
    """Wait until *holds*, which has to come true."""
    last = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < last
        time.sleep(0.01)


def open_files() -> int:
    """Return how many files this process has open; where the system does not tell, always the same."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


_GET: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def ask_at_once(server: Server, number: int = 100, *, request: bytes = _GET) -> list[int]:
    """Return the status that each of *number* clients sees who come at once, every other of whom is refused."""
    good, bad = client_context("frodo"), client_context("wrong name")

    async def one(context: ssl.SSLContext) -> int:
        try:
            reader, writer = await asyncio.open_connection(*server.address, ssl=context, server_hostname="localhost")
        except OSError:
            return 0
        try:
            writer.write(request)
            line = await reader.readline()
        except OSError:
            return 0
        finally:
            writer.transport.abort()
        return int(line.split()[1]) if line else 0

    async with asyncio.timeout(PATIENCE):
        return list(await asyncio.gather(*(one(bad if index % 2 else good) for index in range(number))))


class Turning:
    """A context whose trust is taken away, and a client in TLS 1.2 that resumes its session before and after."""

    def __init__(self) -> None:
        self.trust = TRUST
        verifier = Verifier.for_clients(trust=lambda: self.trust, policy=POLICY)
        self.context = tls.server_context(credential=CREDENTIAL, verifier=verifier)
        self._client = client_context("frodo")
        self._client.maximum_version = ssl.TLSVersion.TLSv1_2
        self._session: ssl.SSLSession | None = None

    def ask(self, server: Server, request: bytes) -> tuple[bool, bytes]:
        """Return whether the session was resumed, and the first line of the answer; empty: none came."""
        with socket.create_connection(server.address[:2], PATIENCE) as plain:
            try:
                with self._client.wrap_socket(plain, server_hostname="localhost", session=self._session) as sock:
                    sock.sendall(request)
                    line = sock.recv(12)
                    self._session = sock.session
                    return bool(sock.session_reused), line
            except OSError:
                return False, b""


def outlives_trust(serve: Callable[[ssl.SSLContext], Any], request: bytes) -> list[tuple[bool, bytes]]:
    """Return what a client is told with a new session, with it resumed, and resumed when its CA is not trusted."""
    turning = Turning()
    with serve(turning.context) as server:
        told = [turning.ask(server, request) for _ in range(2)]
        turning.trust = TrustStore(anchors=[UNKNOWN.certificate])
        return [*told, turning.ask(server, request)]


def left_in_the_middle(server: Server, stop_after: int) -> None:
    """Begin a handshake, send so many octets of it, and go away without a word."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context("frodo").wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with socket.create_connection(server.address[:2], PATIENCE) as sock:
        sock.sendall(outgoing.read()[:stop_after])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def silent(server: Server, number: int = 20) -> Generator[None, None, None]:
    """Keep connections open that say nothing, or three octets."""
    with ExitStack() as stack:
        for index in range(number):
            sock = stack.enter_context(socket.create_connection(server.address[:2], PATIENCE))
            sock.sendall(b"\x16\x03\x01"[: index % 4])
        yield
