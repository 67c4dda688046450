"""What the tests of the gate share: certificates, contexts, a source under the test's control, both loops, clients."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from mtlspolicy import CertificationPath, Evidence, Policy, Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls import _log

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
PATIENCE = 30.0
"""Seconds after which a wait has failed; nothing here comes near it."""


def subject(path: CertificationPath) -> str:
    """Return the name that the source is asked for."""
    return str(path.end_entity.subject)


@policies.lookup("partner.enrolled", key=subject, identifies=True)
def enrolled(row: object, _evidence: Evidence) -> bool:
    """Admit peers whose row is true."""
    return row is True


class Source:
    """A source of facts that answers when it is told to."""

    def __init__(self, answer: object = None) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.began = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, key: str) -> object:
        """Wait for the release, then answer or fail."""
        self.asked.append(key)
        self.began.set()
        await self.released.wait()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Application(asyncio.Protocol):
    """Greets, and echoes what it is sent; writes itself down in ``made``, a list of the test."""

    greeting = b"hello "

    def __init__(self, made: list[Application]) -> None:
        self.made = made
        self.received = bytearray()
        self.lost = asyncio.Event()
        made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = transport
        transport.write(self.greeting)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Echo."""
        self.received += data
        self.transport.write(data)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note."""
        del exc
        self.lost.set()


class Client:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes, answer: int) -> bytes:
        """Send, and read so many bytes."""
        self.writer.write(data)
        return await asyncio.wait_for(self.reader.readexactly(answer), PATIENCE)

    async def ended(self) -> bytes:
        """Return what was received before the server ended the connection, in whatever way it shows."""
        received = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while chunk := await asyncio.wait_for(self.reader.read(65536), PATIENCE):
                received += chunk
        return received

    async def close(self) -> None:
        """Leave, whatever the server thinks of it."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await asyncio.wait_for(self.writer.wait_closed(), PATIENCE)


class Site:
    """One server with its gate, its contexts and its source; one for each test."""

    def __init__(self, authority: CertificateAuthority, folder: Path, version: ssl.TLSVersion) -> None:
        self.authority = authority
        self.folder = folder
        self.version = version
        self.source = Source(answer=True)
        self.made: list[Any] = []
        self.keepers: list[Any] = []
        self.factory: Callable[[], asyncio.BaseProtocol] = lambda: Application(self.made)
        self.resolver: Resolver | None = None
        self.policy: Policy = enrolled

    def context(
        self, policy: Policy = enrolled, *, client_certificate: Any = "required", **options: Any
    ) -> ssl.SSLContext:
        """Build a server context that holds, whose facts come from the site's source."""
        issued = self.authority.issue_server("localhost")
        options.setdefault("pending", "hold")
        if "resolver" not in options:
            self.resolver = options["resolver"] = Resolver({"partner.enrolled": self.source}, deadline=PATIENCE)
        return tls.server_context(
            credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem),
            verifier=Verifier.for_clients(trust=TrustStore(anchors=[self.authority.certificate]), policy=policy),
            client_certificate=client_certificate,
            options=tls.ServerOptions(**options),
        )

    def client_context(self, name: str | None = "frodo") -> ssl.SSLContext:
        """Build a client context of the standard library, with a certificate for *name*."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.minimum_version = context.maximum_version = self.version
        if name is not None:
            chain, key = self.authority.issue_client(name).files(self.folder, name=name)
            context.load_cert_chain(chain, key)
        return context

    def make(self) -> asyncio.BaseProtocol:
        """Make what the server makes for a connection, and write it down."""
        keeper = self.gate()
        self.keepers.append(keeper)
        return keeper

    @property
    def held(self) -> int:
        """How many connections the gate holds."""
        register: Any = self.gate.args[1]  # type: ignore[attr-defined]
        return int(register.held)

    @contextlib.asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None) -> AsyncIterator[int]:
        """Serve the factory behind a gate, and give the port."""
        self.gate = tls.gate(self.factory)
        server = await asyncio.get_running_loop().create_server(self.make, "127.0.0.1", 0, ssl=context)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for application in self.made:
                application.transport.abort()
            if self.resolver is not None:
                self.resolver.close()
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def client(
        self, port: int, name: str | None = "frodo", context: ssl.SSLContext | None = None
    ) -> AsyncIterator[Client]:
        """Connect with a certificate for *name*."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context or self.client_context(name), server_hostname="localhost"
        )
        client = Client(reader, writer)
        try:
            yield client
        finally:
            await client.close()

    async def turned_away(self, port: int, name: str | None = "frodo") -> bytes:
        """Connect, send a request, and return what came back before the end; in TLS 1.2 connecting may fail already."""
        try:
            async with self.client(port, name) as client:
                client.writer.write(b"request")
                return await client.ended()
        except (ConnectionError, ssl.SSLError):
            return b""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* is true."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "what was waited for did not happen"
            await asyncio.sleep(0.002)


@pytest.fixture(autouse=True)
def every_line() -> None:
    """Let the rate limit of the log begin anew for each test, so that no test silences another."""
    _log.LIMITER.clear()


@pytest.fixture(scope="session")
def gate_authority() -> CertificateAuthority:
    """One authority for all tests of the gate."""
    return CertificateAuthority()


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"])
def site(request: pytest.FixtureRequest, gate_authority: CertificateAuthority, tmp_path: Path) -> Site:
    """Give a site for each TLS version."""
    return Site(gate_authority, tmp_path, request.param)


@pytest.fixture
def site13(gate_authority: CertificateAuthority, tmp_path: Path) -> Site:
    """Give a site for TLS 1.3 alone, where the version makes no difference."""
    return Site(gate_authority, tmp_path, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end on a new event loop of each kind."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run_coroutine
