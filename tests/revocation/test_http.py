"""HTTPTransport: where it connects to, whom it believes, and that it ends at the deadline; against real servers."""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any

import pytest

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._destinations import Destinations
from mtlspolicy.revocation._http import Exchange, HTTPTransport
from tests.revocation.loopback import (
    GOOD,
    LIVENESS,
    Conversation,
    Server,
    answering,
    failure,
    fetch,
    names,
    row,
    soon,
)

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere loopback is 127.0.0.1 alone, and full queues refuse"
)


def test_a_get_as_it_arrives() -> None:
    """The path as in the URL, the host, no encoding asked for, nothing kept open."""
    with Server(answering(GOOD)) as server:
        url = server.url("/crl/a%2Fb?x=1")
        assert fetch(server, Exchange(url, accept="application/pkix-crl")) == b"hello"
        assert server.talks[0].request.decode() == (
            "GET /crl/a%2Fb?x=1 HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{server.port}\r\n"
            "User-Agent: mtlspolicy\r\n"
            "Accept: application/pkix-crl\r\n"
            "Accept-Encoding: identity\r\n"
            "Connection: close\r\n\r\n"
        )


def test_a_post_as_it_arrives() -> None:
    """The body with its media type and length (RFC 6960, appendix A.1); each byte of it, many or none."""
    body = bytes(range(256)) * 4000
    with Server(answering(GOOD)) as server:
        given = Exchange(server.url(), body=body, content_type="application/ocsp-request")
        assert fetch(server, given) == b"hello"
        head, _, sent = server.talks[0].request.partition(b"\r\n\r\n")
        assert sent == body
        assert head.startswith(b"POST / HTTP/1.1\r\n")
        assert head.endswith(b"\r\nContent-Type: application/ocsp-request\r\nContent-Length: 1024000")
        assert fetch(server, Exchange(server.url(), body=b"")) == b"hello"
        assert server.talks[1].request.endswith(b"Content-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"content_type": "a\r\nX: y"}, "one line"),
        ({"accept": "a\n"}, "one line"),
        ({"accept": "ü"}, "one line"),
        ({"most_bytes": 0}, "at least one byte"),
    ],
)
def test_header_injection_by_the_caller(arguments: dict[str, Any], message: str) -> None:
    """What would become another request than it looks is refused when it is built."""
    with pytest.raises(ConfigurationError, match=message):
        Exchange("http://h/", **arguments)


def test_the_default_goes_nowhere_private() -> None:
    """Without destinations, a server on loopback is out of reach by port and by address, and is never connected to."""
    with Server(answering(GOOD)) as server:
        port = Destinations(ports=[server.port])
        found = [
            failure(lambda: HTTPTransport().fetch(Exchange(server.url()), until=soon())),
            failure(lambda: HTTPTransport(destinations=port).fetch(Exchange(server.url()), until=soon())),
        ]
        assert [error.code for error in found] == ["fetch.host", "fetch.address"]
        assert server.talks == []


def test_rebinding_resolver() -> None:
    """The name is resolved once, and the connection goes to that answer; what DNS says a moment later is not asked."""
    answers = [[row("127.0.0.1")], [row("127.0.0.2")]]
    with Server(answering(GOOD)) as server:
        url = server.url(host="rebind.example")
        assert fetch(server, Exchange(url), resolve=lambda *_, **__: answers.pop(0)) == b"hello"
        assert len(answers) == 1
        assert f"Host: rebind.example:{server.port}\r\n".encode() in server.talks[0].request


def test_one_private_address_among_the_answers() -> None:
    """Nothing is connected to, not even the public addresses before it."""
    with Server(answering(GOOD)) as server:
        resolve = names("127.0.0.1", *[f"127.0.1.{last}" for last in range(30)], "10.0.0.1")
        error = failure(lambda: fetch(server, Exchange(server.url(host="many.example")), resolve=resolve))
        assert (error.code, server.talks) == ("fetch.address", [])
        assert "10.0.0.1 is not public" in str(error)


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and its kin would move the resolution, and the judgement of the address, to somebody else."""
    with Server(answering(GOOD)) as server, Server(answering(GOOD)) as proxy:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert fetch(server) == b"hello"
        assert (len(server.talks), proxy.talks) == (1, [])


def test_the_next_address_is_tried() -> None:
    """A name with several addresses is reached while one of them answers; with none of them it is named why."""
    with Server(answering(GOOD)) as server:
        url = server.url(host="several.example")
        assert fetch(server, Exchange(url), resolve=names("::1", "127.0.0.1")) == b"hello"
        error = failure(lambda: fetch(server, Exchange(url), resolve=names("::1", "::1")))
        assert (error.code, error.counts_for, error.retryable) == ("fetch.connect", "responder", True)
        assert "no connection to ::1: " in str(error)


@LINUX
def test_only_some_of_many_addresses_are_tried() -> None:
    """Each address once and four at most, however many a name has: they are all somebody's to scan."""
    with Server(answering(GOOD)) as server:
        far = names("127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.1")
        error = failure(lambda: fetch(server, Exchange(server.url(host="many.example")), resolve=far))
        assert (error.code, server.talks) == ("fetch.connect", [])
        assert "127.0.0.2, 127.0.0.3, 127.0.0.4, 127.0.0.5: " in str(error)


def full_listener() -> tuple[socket.socket, list[socket.socket]]:
    """Return a listening socket whose queue is full, and what fills it: further attempts stay without an answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting: list[socket.socket] = []
    for _ in range(8):
        one = socket.socket()
        one.settimeout(0.2)
        waiting.append(one)
        try:
            one.connect(listener.getsockname())
        except TimeoutError:
            break
    return listener, waiting


@LINUX
def test_an_address_that_never_answers_takes_its_share_only() -> None:
    """The first address may swallow every packet: the others still have time, and with none of them the time is up."""
    listener, waiting = full_listener()
    port = listener.getsockname()[1]
    server = socket.create_server(("127.0.0.2", port))
    transport = HTTPTransport(
        destinations=Destinations(ports=[port], addresses=["127.0.0.0/8"]), resolve=names("127.0.0.1", "127.0.0.2")
    )

    def serve() -> None:
        connection, _ = server.accept()
        answering(GOOD)(Conversation(connection))
        connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        assert transport.fetch(Exchange(f"http://two.example:{port}/"), until=soon(2)) == b"hello"
        error = failure(lambda: transport.fetch(Exchange(f"http://127.0.0.1:{port}/"), until=soon(0.3)))
        assert error.code == "fetch.timeout"
    finally:
        thread.join(LIVENESS)
        for one in (*waiting, listener, server):
            one.close()


def test_ipv6_in_the_url() -> None:
    """An IPv6 literal is connected to without a resolver, and named in brackets."""
    with Server(answering(GOOD), host="::1") as server:
        url = server.url(host="[::1]")
        assert fetch(server, Exchange(url), resolve=names()) == b"hello"
        assert f"Host: [::1]:{server.port}\r\n".encode() in server.talks[0].request


def test_a_deadline_that_has_passed() -> None:
    """Nothing is asked, resolved or opened after it; a moment that is no number has passed too."""
    resolve = names("127.0.0.1")
    transport = HTTPTransport(resolve=resolve)
    past = failure(lambda: transport.fetch(Exchange("http://h.example/"), until=soon(-1)))
    never = failure(lambda: transport.fetch(Exchange("http://h.example/"), until=float("nan")))
    assert (past.code, never.code) == ("fetch.timeout", "fetch.timeout")
    assert resolve.asked == []  # type: ignore[attr-defined]


def test_destinations_are_destinations() -> None:
    """A list of hosts in their place is refused."""
    with pytest.raises(ConfigurationError, match=r"revocation.Destinations\(...\)"):
        HTTPTransport(destinations=["127.0.0.1"])  # type: ignore[arg-type]
