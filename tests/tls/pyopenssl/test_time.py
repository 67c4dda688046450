"""Time and facts with the pyOpenSSL engine: deadlines over sockets, facts inline or at hand, and nothing for ever."""

from __future__ import annotations

import socket
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from OpenSSL import SSL

from mtlspolicy import Resolver, policies, tls

ENROLLED = policies.lookup(
    "partner.enrolled", key=lambda path: path.end_entity.common_name, max_age=timedelta(seconds=30), identifies=True
)(lambda row, _evidence: row is not None and row["active"] == 1)


def resolver(seen: list[str], *, wait: threading.Event | None = None) -> Resolver:
    """Return a resolver whose source takes note of who was asked for."""

    def row(key: str) -> dict[str, int]:
        seen.append(key)
        if wait is not None:
            wait.wait(20)
        return {"active": 1 if key == "frodo" else 0}

    return Resolver({"partner.enrolled": row})


@pytest.mark.parametrize("timeout", [None, 10.0])
@pytest.mark.parametrize("who", ["frodo", "sam"])
def test_a_socket_waits_for_facts_in_the_handshake(
    who: str, timeout: float | None, pki: Any, over_sockets: Any, beside: Any
) -> None:
    """In the thread that drives the socket, blocking or with a time-out; the decision has the fact."""
    seen: list[str] = []
    context = pki.server(ENROLLED, resolver=resolver(seen))
    with over_sockets(context, pki.plain(pki.leaf(who)), timeout) as (one, other):

        def client() -> None:
            other.do_handshake()
            other.sendall(b"hello")

        beside(client)
        refused = None
        until = time.monotonic() + 20
        data = b""
        while not data and refused is None and time.monotonic() < until:
            try:
                data = one.recv(10)
            except SSL.WantReadError:
                continue
            except tls.HandshakeRejected as error:
                refused = error
        assert seen == [who]
        assert (data, refused is None) == ((b"hello", True) if who == "frodo" else (b"", False))
        assert one.gettimeout() == timeout, "the socket is as it was"


def test_connections_that_must_not_wait_go_by_the_facts_at_hand(pki: Any, pair: Any) -> None:
    """In memory, as event loops use it: what is not known is refused and asked for, so that the next try finds it."""
    seen: list[str] = []
    with resolver(seen) as facts:
        context = pki.server(ENROLLED, resolver=facts)
        for who, code in (("frodo", None), ("sam", "fact.refused")):
            refused = pair(context, pki.plain(pki.leaf(who))).shake().raised["server"]
            assert isinstance(refused, tls.HandshakeRejected)
            assert (refused.code, refused.retryable) == ("fact.missing", True)
            need = refused.decision.missing[0]
            until = time.monotonic() + 20
            while not facts.at_hand([need]) and time.monotonic() < until:
                time.sleep(0.01)
            again = pair(context, pki.plain(pki.leaf(who))).shake().raised.get("server")
            assert (None if again is None else again.code) == code
        assert seen == ["frodo", "sam"]


def test_rule_3_a_silent_client_is_cut_at_the_deadline(pki: Any, over_sockets: Any, lines: Any) -> None:
    """A blocking socket would wait in OpenSSL for ever."""
    with over_sockets(pki.server(handshake_timeout=0.1), pki.plain(None)) as (one, _):
        with pytest.raises(TimeoutError) as error:
            one.do_handshake()
        assert isinstance(error.value, SSL.Error)
        assert one.gettimeout() is None
    assert "tls.handshake-timeout" in lines()[0]


def test_rule_3_a_slow_client_is_cut_at_the_deadline_too(pki: Any, pair: Any) -> None:
    """The deadline is that of the whole handshake, also where the program drives it step by step."""
    ends = pair(pki.server(handshake_timeout=0.05), pki.plain(pki.leaf("frodo")))
    with pytest.raises(SSL.WantReadError):
        ends.server.do_handshake()
    ends.server._handshake.until = time.monotonic() - 1
    with pytest.raises(TimeoutError):
        ends.server.do_handshake()
    with pytest.raises(tls.HandshakeRejected, match=r"tls\.handshake-timeout"):
        ends.server.recv(1)


def test_a_full_socket_is_waited_for(pki: Any, over_sockets: Any) -> None:
    """Where the other end does not read, the handshake waits for room, and not longer than it may."""
    with over_sockets(pki.server(handshake_timeout=0.3), pki.plain(pki.leaf("frodo"))) as (one, other):
        other.settimeout(0.0)
        with pytest.raises(SSL.WantReadError):
            other.do_handshake()  # sends its first message
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        one.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            _fill(one.__getattr__("send"))
        one.settimeout(None)
        with pytest.raises(TimeoutError):
            one.do_handshake()


def _fill(send: Any) -> None:
    """Send until there is no room any more."""
    while True:
        send(bytes(4096))


def test_a_socket_like_object_without_time_outs_is_driven_as_it_is(pki: Any) -> None:
    """pyOpenSSL takes whatever has a ``fileno``; facts are not waited for then."""

    class Bare:
        def __init__(self, plain: socket.socket) -> None:
            self.fileno = plain.fileno
            self.shutdown = plain.shutdown

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.0)
        bare: Any = Bare(ours)
        one = SSL.Connection(pki.server(), bare)
        one.set_accept_state()
        with pytest.raises(SSL.WantReadError):
            one.do_handshake()
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(SSL.Error):
            one.do_handshake()
        assert tls.decision_of(one).code == "tls.openssl-plain-http"


def test_the_address_of_a_socket_is_in_decision_and_log(pki: Any, lines: Any, beside: Any) -> None:
    """From the socket itself; ``PeerAddress`` reads it, and `accept` gives latched connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = SSL.Connection(
            pki.server(policies.CommonName("frodo") & policies.PeerAddress("127.0.0.1")), listening
        )
        for who in ("frodo", "sam"):
            with socket.create_connection(listening.getsockname(), 20) as theirs:
                theirs.settimeout(None)
                other = SSL.Connection(pki.plain(pki.leaf(who)), theirs)
                other.set_connect_state()
                beside(other.do_handshake)
                one, address = listener.accept()
                if who == "frodo":
                    one.do_handshake()
                    peer = tls.peer_of(one)
                    assert peer is not None
                    assert peer.connection.transport_address == "127.0.0.1"
                else:
                    with pytest.raises(tls.HandshakeRejected, match=r"name\.mismatch"):
                        one.do_handshake()
                    assert f"127.0.0.1:{address[1]}" in lines()[0]
                one.close()
