"""Attacks on blocking servers that answer refused clients: nothing that such a client sends reaches the application."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy import tls
from mtlspolicy.integrations._blocking import listener_for
from tests.integrations import battery, blocking
from tests.integrations.battery import Running
from tests.integrations.blocking import GOLLUM, GOOD, SERVERS, client_context, connected, everything, told
from tests.integrations.serving import HOST, PATIENCE, listening

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn is for Unix")
_GET: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module", params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Running, None, None]:
    """A server that answers whom it refuses, for all tests here."""
    with blocking.serving(request.param, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def gollum(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A client whom the policy refuses."""
    return client_context(tmp_path_factory.mktemp("gollum"), GOLLUM)


@pytest.fixture(scope="module")
def frodo(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A client who is admitted."""
    return client_context(tmp_path_factory.mktemp("frodo"), GOOD)


def test_a_refused_client_sends_an_octet_at_a_time(running: Running, gollum: ssl.SSLContext) -> None:
    """However its request is cut into records, there is one answer, and the application has not run."""
    before = running.ran
    answer = told(running, gollum, *(bytes([octet]) for octet in _GET))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert (answer.count(b"HTTP/1."), running.ran) == (1, before)


_SMUGGLED: Final = {
    "a hundred requests": _GET * 100,
    "a body that is a request": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" + _GET,
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + _GET,
    "websocket": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    "h2c": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "headers that claim": b"GET / HTTP/1.1\r\nHost: x\r\nClient-Cert: :AAAA:\r\nX-SSL-Client-Verify: SUCCESS\r\n"
    b"X-Forwarded-For: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n",
}


@pytest.mark.parametrize("attack", _SMUGGLED)
def test_a_refused_client_smuggles_a_second_request(running: Running, gollum: ssl.SSLContext, attack: str) -> None:
    """One answer and the end: what comes after the first head is read by nobody."""
    before = running.ran
    answer = told(running, gollum, _SMUGGLED[attack])
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b'{"error": "name.mismatch"}\n')
    assert (answer.count(b"HTTP/1."), running.ran) == (1, before)


_NO_REQUEST: Final = {
    "nothing but octets": bytes(range(256)) * 4 + b"\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "mail": b"EHLO example.org\r\nMAIL FROM:<x@example.org>\r\n\r\n",
    "TLS inside of TLS": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a head without end": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 300_000,
    "a target that ends the line": b"GET /\nHTTP/1.1 HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("attack", _NO_REQUEST)
def test_a_refused_client_sends_no_request(running: Running, gollum: ssl.SSLContext, attack: str) -> None:
    """What is not plainly a request is answered by the end of the connection, and no parser of the server sees it."""
    before = running.ran
    assert told(running, gollum, _NO_REQUEST[attack]) == b""
    assert running.ran == before


def test_a_refused_client_drips_its_head(
    running: Running, gollum: ssl.SSLContext, frodo: ssl.SSLContext, request: pytest.FixtureRequest
) -> None:
    """An octet now and then buys no time: it is cut off, and others are served meanwhile where there are threads."""
    before, cut = running.ran, threading.Event()
    with connected(running, gollum) as slow:

        def drip() -> None:
            with contextlib.suppress(OSError):
                slow.sendall(b"GET / HTTP/1.1\r\nA: ")
                while not cut.wait(0.05):
                    slow.sendall(b"a")
                return
            cut.set()

        thread = threading.Thread(target=drip)
        thread.start()
        if request.node.callspec.params["running"] != "gunicorn-sync":
            assert battery.ask(running, frodo) == "frodo"
        try:
            assert cut.wait(PATIENCE)
            assert everything(slow) == b""
        finally:
            cut.set()
            thread.join(PATIENCE)
    assert battery.ask(running, frodo) == "frodo"
    assert running.ran - before in {1, 2}


def test_refused_clients_that_say_nothing_hold_every_worker(
    running: Running, gollum: ssl.SSLContext, frodo: ssl.SSLContext, request: pytest.FixtureRequest
) -> None:
    """More of them than there are threads: each is left when the time of its handshake is over."""
    before, workers = running.ran, 1 if request.node.callspec.params["running"] == "gunicorn-sync" else 4
    with contextlib.ExitStack() as stack:
        silent = [socket.create_connection((HOST, running.port), PATIENCE) for _ in range(workers + 1)]
        threads = [threading.Thread(target=_shake_hands, args=(gollum, plain)) for plain in silent]
        for plain, thread in zip(silent, threads, strict=True):
            stack.enter_context(plain)
            thread.start()
        assert battery.ask(running, frodo) == "frodo"
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert running.ran == before + 1


def _shake_hands(context: ssl.SSLContext, plain: socket.socket) -> None:
    """Finish the handshake, and wait for the end without a word."""
    with contextlib.suppress(OSError), context.wrap_socket(plain, server_hostname="localhost") as secured:
        secured.recv(1)


def test_a_refused_client_sends_a_body_without_end(running: Running, gollum: ssl.SSLContext) -> None:
    """It is cut off after a body of usual size."""
    before, sent = running.ran, 0
    with connected(running, gollum) as endless, contextlib.suppress(OSError):
        endless.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        while sent < 1024:
            endless.sendall(bytes(64 * 1024))
            sent += 1
    assert sent < 1024
    assert running.ran == before


def test_another_blocking_server_has_the_same_context_bare(
    tmp_path: Path, gollum: ssl.SSLContext, frodo: ssl.SSLContext
) -> None:
    """It refuses in the handshake, also who has no certificate, and so does what an event loop would make of it."""
    (tmp_path / "clients.pem").write_bytes(blocking.CLIENTS.pem)
    battery.gunicorn_files(tmp_path)
    context = blocking.plain_context(tmp_path)
    listener_for(context, "test", refuse="respond", absent=403)
    said: list[Any] = []

    with listening() as listener:

        def serve() -> None:
            for _ in range(3):
                plain, _address = listener.accept()
                plain.settimeout(PATIENCE)
                with plain:
                    try:
                        with context.wrap_socket(plain, server_side=True) as connection:
                            connection.sendall(b"secret")
                            said.append(None)
                    except tls.HandshakeRejected as error:
                        said.append(error.code)

        thread = threading.Thread(target=serve)
        thread.start()
        server = Running(listener.getsockname()[1], battery.own_process, tmp_path / "runs")
        answers = [told(server, one, _GET) for one in (client_context(tmp_path, None), gollum, frodo)]
        thread.join(PATIENCE)
    assert answers == [b"", b"", b"secret"]
    assert said == ["path.no-certificate", "name.mismatch", None]
