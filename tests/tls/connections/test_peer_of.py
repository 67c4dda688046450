"""RULES 7: a peer comes from the latch of the connection itself, and None has one meaning."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from mtlspolicy import Possession, policies, tls
from mtlspolicy.errors import ConfigurationError, VerificationError
from mtlspolicy.tls import _cpython, _log
from mtlspolicy.tls._enforcement import enforcement_of

ASKING = (tls.peer_of, tls.decision_of, tls.presented_by)


class Searched:
    """In place of the clock and of the search: each search through all objects takes some seconds, by that clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, seconds: float, found: object = None) -> None:
        self.now, self.spent, self.seconds = 1000.0, 0.0, seconds
        self.everywhere = self.young = 0
        self._found = found
        monkeypatch.setattr(_log, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(_log, "uvloop_peername", self.search)
        monkeypatch.setattr(_log, "SEARCHES", _log.Searches(most_blocks=sys.maxsize))

    def search(self, _: object, generations: int = 3) -> object:
        """Find nothing among young objects, and what it was told among all."""
        if generations < 3:
            self.young += 1
            return None
        self.everywhere += 1
        self.spent += self.seconds
        self.now += self.seconds
        return self._found


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


def test_nobody_fills_a_loop_with_searches_for_an_address(pki: Any, pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no address can be had each refusal would walk through all objects: for 100 times as long none does."""
    searched = Searched(monkeypatch, seconds=0.05)
    context = pki.server(policies.CommonName("frodo") & policies.PeerAddress("127.0.0.1"))

    def refuse(times: int) -> None:
        for _ in range(times):
            with pytest.raises(tls.HandshakeRejected, match=r"address\.unknown"):
                pair(context, pki.plain_client(), "localhost").shake()

    refuse(15)
    assert searched.everywhere == 2  # once for a decision, once for a line
    searched.now += 4.89
    refuse(1)
    assert searched.everywhere == 2
    searched.now += 0.12
    refuse(5)
    assert searched.everywhere == 4


@pytest.mark.parametrize("seconds", [2.0, 0.5, 0.001])
def test_searches_take_a_hundredth_of_the_time(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a search costs in a process of any size: of all the time one per cent goes into them, at most."""
    searched = Searched(monkeypatch, seconds=seconds)
    searches = _log.Searches(most_blocks=sys.maxsize)
    began = searched.now
    while searched.now < began + 1000 * seconds + 100:
        for search in (searches.for_line, searches.for_decision):
            search(object())
        searched.now += max(0.1, seconds)
    took = searched.now - began
    assert searched.spent > 4 * seconds
    assert searched.spent <= 2 * (seconds + 0.01 * took)  # lines and decisions, and the first of each


def test_addresses_that_are_found_for_decisions_cost_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who is to be admitted is refused because a connection before his took long to be found."""
    searched = Searched(monkeypatch, seconds=2.0, found=("192.0.2.7", 1))
    searches = _log.Searches()
    assert [searches.for_decision(object()) for _ in range(5)] == [("192.0.2.7", 1)] * 5
    assert searched.everywhere == 5
    assert searches.for_line(object()) is not None
    assert searches.for_line(object()) is None  # a line is a line without an address too
    assert searches.for_decision(object()) is not None
    searches.clear()
    assert searches.for_line(object()) is not None


def test_lines_in_a_large_process_have_young_objects_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ends a search before its time, so that in a process with many objects the first is left out as well."""
    searched = Searched(monkeypatch, seconds=2.0, found=("192.0.2.7", 1))
    searches = _log.Searches(most_blocks=0)
    assert searches.for_line(object()) is None
    assert searched.everywhere == 0
    assert searched.young == 1


def test_a_collector_that_is_off_is_not_gone_through_for_who_only_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is switched off every object is young: then none is taken for young, and what is asked for is found."""
    loop = pytest.importorskip("uvloop.loop")
    seen: list[object] = []

    def get_objects(generation: int) -> list[object]:
        seen.append(generation)
        return []

    def get_referrers(part: object) -> list[object]:
        seen.append(part)
        return [seen]

    off = SimpleNamespace(isenabled=lambda: False, get_objects=get_objects, get_referrers=get_referrers)
    monkeypatch.setattr(_cpython, "gc", off)
    assert loop.SSLProtocol is not None
    assert _cpython.uvloop_peername("me", 2) is None
    assert seen == []
    assert _cpython.uvloop_peername("me") is None
    assert seen == ["me"]


def test_of_several_threads_one_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that refuse at one time do not go through all objects one after the other; a failure ends it as well."""
    searches = _log.Searches(most_blocks=sys.maxsize, pause=0.0)
    seen: list[int] = []

    def search(part: object, generations: int = 3) -> object:
        seen.append(generations)
        if seen == [3]:
            assert searches.for_line(part) is None  # as from another thread, while this one is at it
            raise MemoryError
        return None

    monkeypatch.setattr(_log, "uvloop_peername", search)
    with pytest.raises(MemoryError):
        searches.for_line(object())
    searches.for_line(object())
    assert seen == [3, 2, 3]


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
