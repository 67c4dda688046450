"""Servers of ``grpc`` and ``grpc.aio`` on loopback, and clients. For processes of their own: see `grpc_cases`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.integrations import grpc as ours
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
ROOT: Final = CertificateAuthority("Root")
ISSUING: Final = ROOT.intermediate("Issuing")
OTHER: Final = ROOT.intermediate("Other")
FOREIGN: Final = CertificateAuthority("Foreign")
SERVER: Final = ROOT.issue_server("localhost", HOST)
FRODO: Final = ISSUING.issue_client("frodo")
GOLLUM: Final = ISSUING.issue_client("gollum")
POLICY: Final = policies.CommonName("frodo", "sam") & policies.IssuerPin(ISSUING.certificate)
TRUST: Final = TrustStore.from_pem(ROOT.pem + ISSUING.pem + OTHER.pem)
VERIFIER: Final = Verifier.for_clients(trust=TRUST, policy=POLICY)
CALLS: Final[list[str]] = []
"""What has run of the application: methods, and readers of messages."""
KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
may_act: Final = ours.require(lambda request: policies.CommonName(request.decode("ascii")))


def credential_of(issued: IssuedCertificate) -> tls.Credential:
    """Return *issued* as one's own."""
    return tls.Credential.from_pem(issued.chain_pem, issued.key_pem)


def _read(octets: bytes) -> bytes:
    CALLS.append("read")
    if octets == b"unreadable":
        raise ValueError(octets)
    return octets


def _told(context: Any) -> bytes:
    who, chain = ours.peer(context), ours.presented(context)
    assert ours.peer_or_none(context) is who
    assert chain is not None
    return f"{who.common_name} {who.possession.value} {len(chain.ders)}".encode()


class Service:
    """The methods of ``grpc.server``, one of each kind; a message asks for its sender, or names who he must be."""

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        """Answer one message."""
        CALLS.append("unary_unary")
        return self._answer(request, context)

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        """Answer one message twice."""
        CALLS.append("unary_stream")
        yield self._answer(request, context)
        yield self._answer(request, context)

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:
        """Answer several messages once."""
        CALLS.append("stream_unary")
        return b",".join([self._answer(request, context) for request in requests])

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Answer each message."""
        CALLS.append("stream_stream")
        for request in requests:
            yield self._answer(request, context)

    def _answer(self, request: bytes, context: Any) -> bytes:
        if request == b"direct":  # the peer itself is asked, and not by require
            ours.peer(context).require(policies.CommonName("sam"))
        if request == b"elsewhere":  # a refusal of somebody else: of a server that the application calls
            VERIFIER.verify(FOREIGN.issue_client("somebody").der)
        if request != b"who":
            assert may_act(context, request) is ours.peer(context)
        return _told(context)


class AioService:
    """The same for ``grpc.aio.server``, with one that writes to the context and one that is no coroutine."""

    def __init__(self) -> None:
        self._answer = Service()._answer

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        """Answer one message."""
        CALLS.append("unary_unary")
        return self._answer(request, context)

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Answer one message twice."""
        CALLS.append("unary_stream")
        yield self._answer(request, context)
        yield self._answer(request, context)

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """Answer several messages once."""
        CALLS.append("stream_unary")
        return b",".join([self._answer(request, context) async for request in requests])

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Answer each message."""
        CALLS.append("stream_stream")
        async for request in requests:
            yield self._answer(request, context)

    async def writing(self, request: bytes, context: Any) -> None:
        """Answer by the context."""
        CALLS.append("writing")
        await context.write(self._answer(request, context))

    def blocking(self, request: bytes, context: Any) -> bytes:
        """Answer on a thread."""
        CALLS.append("blocking")
        return self._answer(request, context)


def handlers_of(service: Any) -> Any:
    """Return the handlers of *service* for a server."""
    methods = {name: getattr(grpc, f"{name}_rpc_method_handler")(getattr(service, name), _read) for name in KINDS}
    methods["plain"] = grpc.unary_unary_rpc_method_handler(service.unary_unary)
    if isinstance(service, AioService):
        methods["writing"] = grpc.unary_stream_rpc_method_handler(service.writing)
        methods["blocking"] = grpc.unary_unary_rpc_method_handler(service.blocking)
    return [grpc.method_handlers_generic_handler("t.S", methods)]


class Reply(NamedTuple):
    """What a call comes to: the name of its status, details, trailing metadata, messages."""

    status: str
    details: str = ""
    trailing: tuple[tuple[str, str], ...] = ()
    messages: tuple[bytes, ...] = ()


class Client:
    """A channel to one server."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def ask(self, method: str = "plain", *messages: bytes, metadata: Any = None, kind: str = "") -> Reply:
        """Call *method* with *messages*; one that asks for the caller where there is none."""
        kind = kind or {"writing": "unary_stream"}.get(method, method if method in KINDS else "unary_unary")
        given = messages or (b"who",)
        call = getattr(self.channel, kind)(f"/t.S/{method}")
        request: Any = iter(given) if kind.startswith("stream") else given[0]
        try:
            answer = call(request, timeout=PATIENCE, metadata=metadata)
            found = tuple(answer) if kind.endswith("stream") else (answer,)
        except grpc.RpcError as raised:
            error: Any = raised
            trailing = tuple((key, value) for key, value in error.trailing_metadata() or ())
            return Reply(error.code().name, error.details(), trailing)
        return Reply("OK", messages=found)


class Server(NamedTuple):
    """A server that runs."""

    port: int

    @contextmanager
    def client(
        self, issued: IssuedCertificate | None = FRODO, *, credentials: Any = None, **options: Any
    ) -> Generator[Client, None, None]:
        """Lend a channel of its own to the server."""
        mine = None if issued is None else credential_of(issued)
        credentials = credentials or ours.channel_credentials(trust=TrustStore.from_pem(ROOT.pem), credential=mine)
        settings = {"grpc.use_local_subchannel_pool": 1, **options}
        target = f"localhost:{self.port}"
        with grpc.secure_channel(target, credentials, options=list(settings.items())) as channel:
            yield Client(channel)

    def ask(self, issued: IssuedCertificate | None = FRODO, *call: Any, **options: Any) -> Reply:
        """Call over a channel of its own."""
        with self.client(issued) as client:
            return client.ask(*call, **options)


@contextmanager
def serving(
    kind: str, verifier: Verifier = VERIFIER, *, credentials: Any = None, before: Any = (), **options: Any
) -> Generator[Server, None, None]:
    """Serve by ``grpc.server`` (*kind* ``sync``) or ``grpc.aio.server`` (``aio``)."""
    credentials = credentials or ours.credentials(credential=credential_of(SERVER), verifier=verifier)
    start = _aio_server if kind == "aio" else _sync_server
    with start(verifier, credentials, before, options) as port:
        yield Server(port)


@contextmanager
def _sync_server(verifier: Verifier, credentials: Any, before: Any, options: Any) -> Generator[int, None, None]:
    with ThreadPoolExecutor(16) as pool:
        interceptors: list[Any] = [*before, ours.Interceptor(verifier, **options)]
        server = grpc.server(pool, handlers=handlers_of(Service()), interceptors=interceptors)
        port = server.add_secure_port(f"{HOST}:0", credentials)
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait(PATIENCE)


@contextmanager
def _aio_server(verifier: Verifier, credentials: Any, before: Any, options: Any) -> Generator[int, None, None]:
    ready = threading.Event()
    ended: list[Any] = []

    async def run() -> None:
        end = asyncio.Event()
        with ThreadPoolExecutor(4) as pool:
            interceptors: list[Any] = [*before, ours.AioInterceptor(verifier, **options)]
            server = grpc.aio.server(pool, handlers=handlers_of(AioService()), interceptors=interceptors)
            port = server.add_secure_port(f"{HOST}:0", credentials)
            await server.start()
            ended.extend((port, asyncio.get_running_loop(), end))
            ready.set()
            await end.wait()
            await server.stop(None)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield ended[0]
    finally:
        ended[1].call_soon_threadsafe(ended[2].set)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def nothing_ran(ask: Callable[[], Any]) -> Any:
    """Return what *ask* returns, which leads to no line of the application."""
    CALLS.clear()
    found = ask()
    assert CALLS == []
    return found
