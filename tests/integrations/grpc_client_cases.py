"""Cases with channels of ours to real gRPC servers: whom a client believes it speaks to.

`test_grpc_clients` runs them in a process of its own, because other tests fork, and gRPC's threads do not survive that.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded

from mtlspolicy import ReferenceIdentifier, Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import grpc as ours
from mtlspolicy.testing import IssuedCertificate
from tests.integrations.battery import until
from tests.integrations.grpc_serving import (
    CALLS,
    FRODO,
    GOLLUM,
    HOST,
    PATIENCE,
    ROOT,
    VERIFIER,
    Client,
    Reply,
    Service,
    credential_of,
    handlers_of,
    nothing_ran,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*TEST CA.*")
SERVER: Final = ROOT.issue_server("localhost", HOST, uris=["spiffe://example.org/db"])
NAMED: Final = ROOT.issue_client("db-1", eku=[ExtendedKeyUsageOID.SERVER_AUTH])
"""A server whose certificate has a common name and no other."""
TRUST: Final = TrustStore(anchors=[ROOT.certificate])
SERVED: Final = Reply("OK", messages=(b"frodo TLS 2",))
EVERY: Final = pytest.mark.parametrize("kind", ["sync", "aio"])


@contextmanager
def serving(leaf: IssuedCertificate = SERVER, port: int = 0) -> Generator[int, None, None]:
    """Run gRPC's own server over gRPC's own TLS, which demands a client certificate; lend its port."""
    with ThreadPoolExecutor(16) as pool:
        credentials = ours.credentials(credential=credential_of(leaf), verifier=VERIFIER)
        interceptors: list[Any] = [ours.Interceptor(VERIFIER)]
        server = grpc.server(pool, handlers=handlers_of(Service()), interceptors=interceptors)
        try:
            found = server.add_secure_port(f"{HOST}:{port}", credentials)
            server.start()
            yield found
        finally:
            server.stop(None).wait(PATIENCE)


@pytest.fixture(scope="module")
def server() -> Generator[int, None, None]:
    """Lend the port of a server with a name, an address and a URI."""
    with serving() as port:
        yield port


@pytest.fixture(scope="module")
def named() -> Generator[int, None, None]:
    """Lend the port of a server with a common name alone."""
    with serving(NAMED) as port:
        yield port


def verifier_of(expected: Any = "localhost", **options: Any) -> Verifier:
    """Return who a server has to be."""
    return Verifier.for_servers(trust=TRUST, expected=expected, **options)


def parts(expected: Any = "localhost", issued: IssuedCertificate = FRODO, **options: Any) -> dict[str, Any]:
    """Return what a channel is made of."""
    return {"verifier": verifier_of(expected, **options), "credential": credential_of(issued)}


def by_sync(target: str, **made_of: Any) -> tuple[Reply, Exception | None]:
    """Ask over a channel of ``grpc``; return the answer, and why there was none."""
    with ours.channel(target, **made_of) as channel:
        return Client(channel).ask(), channel.refusal


def by_aio(target: str, **made_of: Any) -> tuple[Reply, Exception | None]:
    """Ask over a channel of ``grpc.aio``."""

    async def run() -> tuple[Reply, Exception | None]:
        async with ours.aio_channel(target, **made_of) as channel:
            try:
                answer = await channel.unary_unary("/t.S/plain")(b"who", timeout=PATIENCE)
            except grpc.RpcError as raised:
                error: Any = raised
                return Reply(error.code().name, error.details()), channel.refusal
            return Reply("OK", messages=(answer,)), channel.refusal

    return asyncio.run(run())


WAYS: Final[dict[str, Callable[..., tuple[Reply, Exception | None]]]] = {"sync": by_sync, "aio": by_aio}
EXPECTED: Final[dict[str, tuple[Any, Any, str]]] = {
    # whom the server is, whom it is not, and how that is refused
    "DNS": ("localhost", "other.test", "tls.name-mismatch"),
    "IP": (HOST, "127.0.0.2", "tls.name-mismatch"),
    "URI": ("spiffe://example.org/db", "spiffe://example.org/web", "identity.mismatch"),
    "CN": (ReferenceIdentifier.common_name("db-1"), ReferenceIdentifier.common_name("db-2"), "identity.mismatch"),
}


@EVERY
@pytest.mark.parametrize("name", EXPECTED)
def test_the_server_that_is_expected_is_called_and_another_is_told_nothing(
    server: int, named: int, kind: str, name: str
) -> None:
    """A server by another name sees neither method nor message of the call, and the channel says which code it was."""
    right, wrong, code = EXPECTED[name]
    target = f"{HOST if name == 'IP' else 'localhost'}:{named if name == 'CN' else server}"
    assert WAYS[kind](target, **parts(right)) == (SERVED, None)
    reply, why = nothing_ran(lambda: WAYS[kind](target, **parts(wrong)))
    assert reply.status == "UNAVAILABLE"
    assert isinstance(why, tls.HandshakeRejected)
    assert why.code == code


@EVERY
def test_dialed_is_the_host_of_the_target(server: int, kind: str) -> None:
    """One verifier asks for the name in the target, and for the address where that is one."""
    for host in ("localhost", HOST):
        assert WAYS[kind](f"{host}:{server}", **parts(ReferenceIdentifier.DIALED)) == (SERVED, None)


@EVERY
def test_a_pin_that_is_not_the_servers_ends_the_call(server: int, kind: str) -> None:
    """The policy of the verifier is asked, with the chain of the server."""
    right = policies.SPKIPin.of(SERVER.certificate) & policies.IssuerPin(ROOT.certificate)
    assert WAYS[kind](f"localhost:{server}", **parts(policy=right)) == (SERVED, None)
    wrong = parts(policy=policies.SPKIPin("00" * 32))
    reply, why = nothing_ran(lambda: WAYS[kind](f"localhost:{server}", **wrong))
    assert (reply.status, getattr(why, "code", "")) == ("UNAVAILABLE", "pin.mismatch")


@EVERY
def test_a_fact_about_the_server_is_looked_up_before_the_call(server: int, kind: str) -> None:
    """The handshake waits for the resolver, so that the first call is served and an unknown server is not called."""
    known = [True]

    @policies.lookup("test.known", key=lambda path: path.end_entity.spki_sha256, max_age=None)
    def enrolled(row: Any, _: Any) -> bool:
        return row is True

    def made_of() -> dict[str, Any]:
        resolver = Resolver({"test.known": lambda _: known[0]})
        return {**parts(policy=enrolled), "tls_options": tls.ClientOptions(resolver=resolver)}

    assert WAYS[kind](f"localhost:{server}", **made_of()) == (SERVED, None)
    known[0] = False
    reply, why = nothing_ran(lambda: WAYS[kind](f"localhost:{server}", **made_of()))
    assert reply.status == "UNAVAILABLE"
    assert isinstance(why, tls.HandshakeRejected)


@EVERY
def test_the_server_decides_on_the_client_as_ever(server: int, kind: str) -> None:
    """Through the tunnel a client is who its certificate says, for the server's own policy."""
    reply, why = nothing_ran(lambda: WAYS[kind](f"localhost:{server}", **parts(issued=GOLLUM)))
    assert (reply.status, reply.details, why) == ("PERMISSION_DENIED", "name.mismatch", None)


def test_every_kind_of_method_goes_through(server: int) -> None:
    """Streams in both directions, and an interceptor of gRPC's around the channel."""
    with ours.channel(f"localhost:{server}", **parts()) as channel:
        states: list[Any] = []
        channel.subscribe(states.append, try_to_connect=True)
        client = Client(channel)
        assert client.ask("unary_stream").messages == (b"frodo TLS 2",) * 2
        assert client.ask("stream_unary", b"who", b"who").messages == (b"frodo TLS 2,frodo TLS 2",)
        assert client.ask("stream_stream", b"who", b"who").messages == (b"frodo TLS 2",) * 2
        channel.unsubscribe(states.append)
        assert Client(grpc.intercept_channel(channel, _Counting())).ask() == SERVED
        assert grpc.ChannelConnectivity.READY in states


class _Counting(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # a package without types
    """An interceptor of somebody else."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Go on."""
        return continuation(details, request)


def test_every_kind_of_method_of_asyncio_goes_through(server: int) -> None:
    """The same for ``grpc.aio``, whose states can be waited for."""

    async def messages() -> Any:
        yield b"who"
        yield b"who"

    async def run() -> list[Any]:
        async with ours.aio_channel(f"localhost:{server}", **parts(), compression=grpc.Compression.Gzip) as channel:
            assert channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.IDLE
            await channel.wait_for_state_change(grpc.ChannelConnectivity.IDLE)
            await channel.channel_ready()
            twice = [one async for one in channel.unary_stream("/t.S/unary_stream")(b"who")]
            once = await channel.stream_unary("/t.S/stream_unary")(messages())
            each = [one async for one in channel.stream_stream("/t.S/stream_stream")(messages())]
            return [twice, once, each]

    both = [b"frodo TLS 2"] * 2
    assert asyncio.run(run()) == [both, b"frodo TLS 2,frodo TLS 2", both]


def test_a_channel_finds_its_server_again_after_a_restart() -> None:
    """The tunnel opens a connection for each that gRPC opens: a server that comes back is called again.

    What listens there meanwhile with another key is refused, and sees no call.
    """
    quick = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
    pin = policies.SPKIPin.of(SERVER.certificate)
    with serving() as port:
        channel = ours.channel(f"localhost:{port}", **parts(policy=pin), options=quick)
        assert Client(channel).ask() == SERVED
    with channel:
        CALLS.clear()
        with serving(ROOT.issue_server("localhost", HOST), port):
            assert _within(lambda: getattr(channel.refusal, "code", "") == "pin.mismatch", channel)
        assert CALLS == []
        with serving(port=port):
            assert _within(lambda: Client(channel).ask() == SERVED, channel)
            assert channel.refusal is None


def _within(condition: Callable[[], bool], channel: Any) -> bool:
    """Return whether *condition* comes to hold while the channel is asked again."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return True
        Client(channel).ask()
        time.sleep(0.02)
    return False


def test_an_old_decision_is_made_anew_before_a_call() -> None:
    """With ``max_age`` a connection that gRPC keeps is worth no more than the policy of now."""
    wanted: list[Any] = [policies.SPKIPin.of(SERVER.certificate)]
    made_of: dict[str, Any] = {**parts(policy=lambda: wanted[0]), "tls_options": tls.ClientOptions(max_age=0.001)}
    with serving() as port, ours.channel(f"localhost:{port}", **made_of) as channel:
        assert Client(channel).ask() == SERVED
        wanted[0] = policies.SPKIPin("00" * 32)
        CALLS.clear()
        assert Client(channel).ask().status == "UNAVAILABLE"
        assert CALLS == []


def test_a_fact_that_is_too_old_is_looked_up_by_the_next_connection() -> None:
    """With ``max_age`` and a fact that no longer counts, gRPC's next connection asks for it anew and is served."""
    asked: list[Any] = []

    @policies.lookup("test.fresh", key=lambda path: path.end_entity.spki_sha256, max_age=timedelta(seconds=0.05))
    def fresh(row: Any, _: Any) -> bool:
        return row is True

    def row_of(question: Any) -> bool:
        asked.append(question)
        return True

    options = tls.ClientOptions(max_age=0.001, resolver=Resolver({"test.fresh": row_of}))
    quick = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
    with serving() as port:
        target = f"localhost:{port}"
        with ours.channel(target, **parts(policy=fresh), tls_options=options, options=quick) as channel:
            assert Client(channel).ask() == SERVED
            before = len(asked)
            assert _within(lambda: len(asked) > before and Client(channel).ask() == SERVED, channel)


def test_the_authority_is_the_target_and_the_scheme_that_of_tls() -> None:
    """A server that looks at the headers of HTTP/2 sees a client over TLS, and call credentials may be sent."""
    seen: list[dict[bytes, bytes]] = []
    verifier = Verifier.for_clients(trust=TRUST, policy=policies.CommonName("frodo"))
    context = tls.server_context(credential=credential_of(SERVER), verifier=verifier, alpn=("h2",))

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True) as secured:
                _answer(secured, seen)

    with socket.create_server((HOST, 0)) as listener:
        target = f"localhost:{listener.getsockname()[1]}"
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with ours.channel(target, **parts()) as channel:
            token = grpc.access_token_call_credentials("token")
            assert channel.unary_unary("/t.S/plain")(b"who", timeout=PATIENCE, credentials=token) == b""
        thread.join(PATIENCE)
        assert not thread.is_alive()
    headers = seen[0]
    assert (headers[b":authority"], headers[b":scheme"]) == (target.encode(), b"https")
    assert headers[b"authorization"] == b"Bearer token"


def _answer(secured: Any, seen: list[dict[bytes, bytes]]) -> None:
    speaker = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    speaker.initiate_connection()
    secured.sendall(speaker.data_to_send())
    while part := secured.recv(65536):
        for event in speaker.receive_data(part):
            if isinstance(event, RequestReceived):
                seen.append(dict(event.headers))
            if isinstance(event, StreamEnded):
                speaker.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                speaker.send_data(event.stream_id, b"\0\0\0\0\0")
                speaker.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
        secured.sendall(speaker.data_to_send())


@pytest.mark.parametrize("name", ["grpc.default_authority", "grpc.ssl_target_name_override", "grpc.http2_scheme"])
@EVERY
def test_an_option_that_would_name_another_server_is_refused(kind: str, name: str) -> None:
    """Whom the server has to be is said in one place."""
    make = ours.channel if kind == "sync" else ours.aio_channel
    with pytest.raises(ConfigurationError, match=name.replace(".", r"\.")):
        make("localhost:1", **parts(), options=[(name, "other.test")])


def test_a_channel_that_cannot_be_made_leaves_no_tunnel() -> None:
    """An option that gRPC does not know ends the tunnel as well."""
    before = _tunnels()
    with pytest.raises(TypeError):
        ours.channel("localhost:1", **parts(), surprise=1)
    assert until(lambda: _tunnels() == before)


def _tunnels() -> int:
    return sum(thread.name == "mtlspolicy-tunnel" for thread in threading.enumerate())


def test_an_engine_that_is_not_the_standard_librarys_is_refused() -> None:
    """pyOpenSSL brings no context that the tunnel could use."""
    with pytest.raises(ConfigurationError, match="needs a context"):
        ours.channel("localhost:1", **parts(), tls_options=tls.ClientOptions(engine="pyopenssl"))


def test_what_is_closed_leaves_nothing(server: int) -> None:
    """Twenty channels, half of them refused, leave no thread of a tunnel."""
    before = _tunnels()
    wrong = parts(policy=policies.SPKIPin("00" * 32))
    with ThreadPoolExecutor(20) as pool:
        made_of = [wrong, parts()] * 10
        found = list(pool.map(lambda one: by_sync(f"localhost:{server}", **one)[0].status, made_of))
    assert found == ["UNAVAILABLE", "OK"] * 10
    assert until(lambda: _tunnels() == before)
