"""RULES 7: a peer comes from the latch of the connection itself, and None has one meaning."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from typing import Any

import pytest

from mtlspolicy import Possession, policies, tls
from mtlspolicy.errors import ConfigurationError, VerificationError
from mtlspolicy.tls import _cpython, _hook, _log
from mtlspolicy.tls._enforcement import enforcement_of

ASKING = (tls.peer_of, tls.decision_of, tls.presented_by)


class Claims:
    """An object that says of itself that it is a connection of ours."""

    _latch = None

    def __init__(self, cls: type) -> None:
        self._cls = cls

    @property  # type: ignore[misc]  # that is the point
    def __class__(self) -> type:
        return self._cls


class Proxy:
    """An object that passes every attribute on, as wrappers of sockets do."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("ask", ASKING)
def test_rule_7_what_is_not_ours_raises(ask: Any, pki: Any, pair: Any) -> None:
    """A plain socket, TLS of somebody else, a proxy object, nothing: never None and never an unverified certificate."""
    plain = pair(pki.plain_server(), pki.plain_client(), "localhost")
    plain.shake()
    ours = pair(pki.server(), pki.plain_client(), "localhost")
    ours.shake()
    with socket.socket() as raw:
        for stranger in (raw, plain.server, plain.client, Proxy(ours.server), Claims(type(ours.server)), None, "x"):
            with pytest.raises(ConfigurationError) as caught:
                ask(stranger)
            assert caught.value.code == "tls.not-ours"


@pytest.mark.parametrize("ask", ASKING)
def test_rule_7_before_the_handshake_it_raises(ask: Any, pki: Any, pair: Any) -> None:
    """An undecided connection has no peer yet, and a held one neither."""
    ends = pair(pki.server(options=tls.ServerOptions(pending="hold")), pki.plain_client(), "localhost")
    with pytest.raises(ConfigurationError) as caught:
        ask(ends.server)
    assert caught.value.code == "tls.undecided"
    ends.shake()
    with pytest.raises(ConfigurationError, match="held") as caught:
        ask(ends.server)
    assert caught.value.code == "tls.undecided"


def test_rule_7_after_a_refusal_there_is_a_decision_and_no_peer(pki: Any, pair: Any) -> None:
    """A refused connection has no peer; what refused it can be asked for."""
    ends = pair(pki.server(), pki.plain_client("sam"), "localhost")
    with pytest.raises(tls.HandshakeRejected) as rejected:
        ends.shake()
    for ask in (tls.peer_of, tls.presented_by):
        with pytest.raises(ConfigurationError, match=r"name\.mismatch") as caught:
            ask(ends.server)
        assert caught.value.code == "tls.refused"
    assert tls.decision_of(ends.server) is rejected.value.decision


def test_rule_7_a_closed_socket_has_no_peer(pki: Any, serving: Any) -> None:
    """After close and after unwrap there is no connection to ask about."""
    with serving(pki.server()) as server:
        raw = socket.create_connection(server.address, timeout=20)
        with pki.client().wrap_socket(raw, server_hostname="localhost") as client:
            assert tls.peer_of(client) is not None
            client.sendall(b"x")
            client.recv(100)
        with pytest.raises(ConfigurationError) as caught:
            tls.peer_of(client)
    assert caught.value.code == "tls.closed"
    assert tls.decision_of(client)


def test_rule_7_none_means_that_none_was_presented(pki: Any, pair: Any) -> None:
    """Where a certificate is optional: decided, let in, and the decision is no PERMIT."""
    ends = pair(pki.server(client_certificate="optional"), pki.plain_client(None), "localhost")
    ends.shake()
    assert tls.peer_of(ends.server) is None
    assert tls.presented_by(ends.server) is None
    decision = tls.decision_of(ends.server)
    assert decision.code == "path.no-certificate"
    assert not decision
    ends.client.write(b"hello")
    assert ends.server.read(10) == b"hello"


def test_a_peer_says_where_it_came_from(pki: Any, serving: Any) -> None:
    """The peer of a socket: possession seen by TLS, address, version, suite, and a question of one's own."""
    with serving(pki.server()) as server:
        raw = socket.create_connection(server.address, timeout=20)
        with pki.client().wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(b"x")
            client.recv(100)
            address = client.getsockname()[0]
            other = tls.peer_of(client)
            presented = tls.presented_by(client)
        peer = server.result()
    assert peer.possession is Possession.TLS
    assert peer.connection.transport_address == address == "127.0.0.1"
    assert peer.connection.tls_version == "TLSv1.3"
    assert peer.connection.cipher.startswith("TLS_")
    assert peer.connection.resumed is False
    assert (
        peer.connection.server_name is None
    )  # a name costs a callback, so it is kept where several hosts share a listener
    peer.require(policies.CommonName("frodo"))
    with pytest.raises(VerificationError):
        peer.require(policies.CommonName("sam"))
    assert other is not None
    assert other.connection.server_name == "localhost"
    assert other.evidence.dialed == "localhost"
    assert presented is not None
    assert presented.ders[0] == pki.server_leaf.der  # and perhaps the root, which OpenSSL adds


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_transports_and_writers_are_asked_alike(loop: str, pki: Any) -> None:
    """StreamWriter, transport and TLS object of an event loop give the same peer, on both sides."""
    seen: list[Any] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(tls.peer_of(one) for one in (writer, writer.transport, writer.get_extra_info("ssl_object")))
        writer.write(b"done")
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=pki.server()) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=pki.client(), server_hostname="localhost"
            )
            seen.append(tls.peer_of(writer))
            assert await reader.read() == b"done"
            writer.close()

    if loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        uvloop.run(main())
    else:
        asyncio.run(main())
    names = sorted(peer.common_name for peer in seen)
    assert names == ["frodo", "frodo", "frodo", "localhost"]
    # A further question about the address has an answer, also under uvloop, which tells it after the handshake alone.
    for peer in seen:
        assert peer.connection.transport_address == "127.0.0.1"
        peer.require(policies.PeerAddress("127.0.0.1/32"))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_event_loops_tell_the_policy_the_address_of_the_socket(loop: str, pki: Any) -> None:
    """PeerAddress works on servers without a gate: the address is that of the socket below the TLS object."""
    outcomes: list[Any] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outcomes.append(tls.peer_of(writer))
        writer.close()

    async def main() -> None:
        for network in ("127.0.0.0/8", "192.0.2.0/24"):
            context = pki.server(policies.CommonName("frodo") & policies.PeerAddress(network))
            async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
                port = server.sockets[0].getsockname()[1]
                for _ in range(3):
                    await asyncio.gather(*(ask(port) for _ in range(5)))
            enforcement: Any = enforcement_of(context)
            assert enforcement.uses_address is (loop == "uvloop")

    async def ask(port: int) -> None:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=pki.plain_client(), server_hostname="localhost"
            )
            assert await reader.read() == b""
            writer.close()
        except OSError:
            return  # refused

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(main())
    else:
        asyncio.run(main())
    assert [peer.connection.transport_address for peer in outcomes] == ["127.0.0.1"] * 15


@pytest.mark.timeout(300)  # a quarter of a minute on two idle cores
def test_nobody_fills_a_loop_with_searches_for_an_address(pki: Any, pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no address can be had each refusal would walk through all objects: after a burst that is left out."""
    searches: list[object] = []

    def search(part: object) -> object:
        searches.append(part)
        return _cpython.uvloop_peername(part)

    monkeypatch.setattr(_hook, "uvloop_peername", search)
    monkeypatch.setattr(_log, "SEARCHES", _log.Buckets(burst=10, rate=0.0))  # however slow the machine is
    context = pki.server(policies.CommonName("frodo") & policies.PeerAddress("127.0.0.1"))
    for _ in range(30):
        with pytest.raises(tls.HandshakeRejected, match=r"address\.unknown"):
            pair(context, pki.plain_client(), "localhost").shake()
    assert len(searches) == 10


def test_rule_4_a_certificate_that_changed_has_no_peer(pki: Any, pair: Any) -> None:
    """peer_of compares the certificate of now with the one that was decided on, and shuts the connection otherwise."""

    class Changed:
        """A C object below a connection that shows another certificate."""

        server_side = True

        def getpeercert(self, der: bool, /) -> bytes:
            """Return the certificate of somebody else."""
            del der
            found: bytes = pki.leaf("sam").der
            return found

    ends = pair(pki.server(), pki.plain_client(), "localhost")
    ends.shake()
    ends.server.__dict__["_sslobj"] = Changed()
    with pytest.raises(tls.HandshakeRejected) as caught:
        tls.peer_of(ends.server)
    assert caught.value.code == "tls.peer-changed"
    with pytest.raises(tls.HandshakeRejected):
        ends.server.read(10)


def test_rule_7_no_connection_inherits_a_dead_ones_identity(pki: Any, pair: Any) -> None:
    """Objects that come and go at the same addresses never show each other's peer."""
    context = pki.server(policies.CommonName("frodo", "sam"))
    clients = {name: pki.plain_client(name) for name in ("frodo", "sam")}
    for number in range(1000):
        name = ("frodo", "sam")[number % 2]
        ends = pair(context, clients[name], "localhost")
        for _ in range(9):  # never shaken: ten thousand objects in all
            with pytest.raises(ConfigurationError):
                tls.peer_of(pair(context, clients[name], "localhost").server)
        ends.shake()
        assert tls.peer_of(ends.server).common_name == name  # type: ignore[union-attr]
        if number % 100 == 0:
            del ends
            gc.collect()


def test_a_connection_is_freed_when_nobody_holds_it(pki: Any, pair: Any) -> None:
    """The latch keeps no connection alive, neither admitted nor held nor refused."""
    import weakref

    for options in (tls.ServerOptions(), tls.ServerOptions(pending="hold")):
        ends = pair(pki.server(options=options), pki.plain_client(), "localhost")
        ends.shake()
        gone = weakref.ref(ends.server)
        del ends
        assert gone() is None


def test_ssl_errors_of_a_broken_connection_do_not_pass_for_a_peer(pki: Any, pair: Any) -> None:
    """After the other end's fatal alert OpenSSL has no certificate to compare: there is no peer then."""
    ends = pair(pki.server(), pki.plain_client(), "localhost")
    ends.shake()
    ends.to_server.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ssl.SSLError):
        ends.server.read(10)
    with pytest.raises(ConfigurationError) as caught:
        tls.peer_of(ends.server)
    assert caught.value.code == "tls.closed"
