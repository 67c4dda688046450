"""How connections of a tunnel end: nothing that a driver wrote is lost, and no forked child keeps an end unseen."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest

from mtlspolicy.integrations import _tunnel_flow
from mtlspolicy.integrations.tunnel import Tunnel
from tests.clients.serving import running
from tests.integrations.battery import until
from tests.integrations.test_tunnel import Echo, connected, context_of, run_script, threads

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a tunnel is a Unix socket")

PATIENCE: Final = 20.0
WORDS: Final = os.urandom(1 << 16) * 16


@contextmanager
def serving(handle: Any) -> Generator[Echo, None, None]:
    """Run a server that does with each connection, whose handshake is over, what *handle* says."""

    class Handler:
        def __init__(self, request: Any, _: object, server: Echo) -> None:
            with suppress(OSError):
                request.do_handshake()
                handle(request, server)

    server = Echo()
    server.RequestHandlerClass = Handler  # type: ignore[assignment]
    with running(server):
        yield server


def _read_all(request: ssl.SSLSocket, server: Echo) -> None:
    while part := request.recv(1 << 14):
        server.got.append(len(part))


def _says_one_octet(request: ssl.SSLSocket, server: Echo) -> None:
    server.got.append(len(request.recv(1)))
    request.sendall(b"1")
    _read_all(request, server)


def _says_much(request: ssl.SSLSocket, server: Echo) -> None:
    request.sendall(WORDS * 4)
    _read_all(request, server)


@pytest.mark.parametrize("handle", [_read_all, _says_one_octet, _says_much])
def test_a_driver_that_writes_and_closes_loses_nothing_whatever_the_server_says(handle: Any) -> None:
    """The server gets all of it, and then the end of TLS."""
    ended = threading.Semaphore(0)

    def to_the_end(request: ssl.SSLSocket, server: Echo) -> None:
        handle(request, server)
        ended.release()

    with serving(to_the_end) as server, Tunnel(server.target, context=context_of()) as tunnel:
        for turn in range(1, 6):
            with connected(tunnel) as local:
                local.sendall(WORDS)
            assert ended.acquire(timeout=PATIENCE)
            assert sum(server.got) == turn * len(WORDS)


def test_a_driver_that_closes_while_answers_come_is_not_waited_for() -> None:
    """The server's answers to nobody are dropped, and what the driver wrote last arrives all the same."""
    deaf, told = threading.Event(), threading.Event()

    def answer(request: ssl.SSLSocket, server: Echo) -> None:
        request.sendall(b"1")
        assert deaf.wait(PATIENCE)
        for _ in range(32):  # more than all buffers on the way hold
            request.sendall(WORDS)
        told.set()
        _read_all(request, server)

    before = threads()
    with serving(answer) as server, Tunnel(server.target, context=context_of()) as tunnel:
        with connected(tunnel) as local:
            assert local.recv(1) == b"1"
            local.shutdown(socket.SHUT_RD)
            deaf.set()
            assert told.wait(PATIENCE)
            local.sendall(WORDS)
        assert until(lambda: sum(server.got) == len(WORDS))
        assert until(lambda: threads() == before + 1)


def test_a_driver_that_ends_its_own_direction_is_answered() -> None:
    """All that the server says after that arrives, and then its end."""

    def late(request: ssl.SSLSocket, _: Echo) -> None:
        assert request.recv(1) == b"q"
        for _part in range(4):
            request.sendall(WORDS)

    with serving(late) as server, Tunnel(server.target, context=context_of()) as tunnel:
        for _ in range(5):
            with connected(tunnel) as local:
                local.sendall(b"q")
                local.shutdown(socket.SHUT_WR)
                heard = bytearray()
                while part := local.recv(1 << 16):
                    heard += part
                assert heard == WORDS * 4


def test_a_server_that_is_silent_after_the_driver_ended_its_direction_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Silence ends what only waits, on both sides."""
    monkeypatch.setattr(_tunnel_flow, "_SILENCE", 0.1)
    ended = threading.Event()

    def silent(request: ssl.SSLSocket, server: Echo) -> None:
        _read_all(request, server)
        ended.set()

    with serving(silent) as server, Tunnel(server.target, context=context_of()) as tunnel, connected(tunnel) as local:
        local.sendall(b"q")
        local.shutdown(socket.SHUT_WR)
        assert local.recv(1) == b""
        assert ended.wait(PATIENCE)
        assert server.got == [1]


def test_a_server_that_talks_and_never_listens_keeps_no_thread_for_a_driver_that_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it says to nobody is no progress."""
    monkeypatch.setattr(_tunnel_flow, "_SILENCE", 0.1)
    monkeypatch.setattr(_tunnel_flow, "_FAREWELL", 0.1)

    def deaf(request: ssl.SSLSocket, _: Echo) -> None:
        while True:
            request.sendall(WORDS)

    before = threads()
    with serving(deaf) as server, Tunnel(server.target, context=context_of()) as tunnel:
        with connected(tunnel) as local:
            assert local.recv(1)
            local.settimeout(0)
            with suppress(BlockingIOError):
                while True:
                    local.send(WORDS)
        assert until(lambda: threads() == before + 1)


_FORK: Final = """
import os, socket, sys
from contextlib import contextmanager
from tests.clients.serving import running
from tests.integrations.test_tunnel import Echo, Tunnel, connected, context_of, said, threads

@contextmanager
def child():
    "Fork a process that holds copies of all that is open, and lives until the block is left."
    reads, writes = os.pipe()
    number = os.fork()
    if number == 0:
        os.close(writes)
        os.read(reads, 1)
        os._exit(0)
    try:
        yield
    finally:
        os.close(writes)
        os.waitpid(number, 0)

server = Echo()
with running(server):
"""

_CLOSED: Final = """
    tunnel = Tunnel(server.target, context=context_of())
    with connected(tunnel) as local:
        local.sendall(b"a")
        assert local.recv(1) == b"a"
        with child():
            tunnel.close()
            print(threads(), local.recv(1))
"""


def test_close_does_not_wait_for_a_forked_child_that_lives() -> None:
    """Every thread is over when it returns, and the driver sees the end, whoever has copies of the sockets."""
    done = run_script(_FORK + _CLOSED)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0 b''\n"


_SERVER_ENDS: Final = """
    class Handler:
        def __init__(self, request, *_):
            request.do_handshake()
            request.sendall(request.recv(1))
            request.recv(1)
    server.RequestHandlerClass = Handler
    with Tunnel(server.target, context=context_of()) as tunnel, connected(tunnel) as local:
        local.sendall(b"a")
        assert local.recv(1) == b"a"
        with child():
            local.sendall(b"b")
            print(local.recv(1))
"""


def test_a_driver_sees_the_end_of_the_server_although_a_forked_child_lives() -> None:
    """A connection that was open at the fork ends for the driver when the server ends."""
    done = run_script(_FORK + _SERVER_ENDS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "b''\n"


class _Remote(socket.socket):
    """A real socket whose TLS ends as was written down for it."""

    answers: tuple[Exception, ...] = ()
    asked = 0

    def unwrap(self) -> None:
        """End TLS."""
        self.asked += 1
        if self.asked <= len(self.answers):
            raise self.answers[self.asked - 1]


@contextmanager
def _farewells(*answers: Exception) -> Generator[tuple[Any, socket.socket, socket.socket, socket.socket], None, None]:
    near, far = socket.socketpair()
    stop, stopped = socket.socketpair()
    with _Remote(near.family, near.type, fileno=near.detach()) as remote, far, stop, stopped:
        remote.settimeout(0)
        remote.answers = answers
        yield remote, far, stop, stopped


@pytest.mark.parametrize(
    "answers",
    [(), (ssl.SSLWantWriteError(),) * 2, (ssl.SSLWantReadError(),), (ValueError("No SSL wrapper"),), (OSError(),)],
)
def test_the_end_of_tls_is_said_once_there_is_room_and_its_answer_is_waited_for(answers: Any) -> None:
    """What the server still says is read to its end, so that nothing is reset."""
    with _farewells(*answers) as (remote, far, _, stopped):
        far.sendall(b"x" * 1000)
        far.shutdown(socket.SHUT_WR)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(_tunnel_flow, "_PART", 7)
            _tunnel_flow.farewell(remote, stopped)
        assert remote.recv(1) == b""
        assert remote.asked == (3 if len(answers) == 2 else 1)


def test_the_end_is_not_waited_for_where_the_tunnel_is_closed() -> None:
    """One attempt to say it, and no more."""
    with _farewells(ssl.SSLWantReadError()) as (remote, far, stop, stopped):
        stop.shutdown(socket.SHUT_RDWR)
        _tunnel_flow.farewell(remote, stopped)
        assert remote.asked == 1
        far.sendall(b"x")
        assert remote.recv(1) == b"x"


def test_a_server_that_does_not_end_is_waited_for_no_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left where it is."""
    monkeypatch.setattr(_tunnel_flow, "_FAREWELL", 0.05)
    with _farewells() as (remote, far, _, stopped):
        far.sendall(b"x")
        _tunnel_flow.farewell(remote, stopped)
        with pytest.raises(BlockingIOError):
            remote.recv(1)


def test_a_server_that_resets_has_ended() -> None:
    """So has a connection that a refusal closed meanwhile."""
    with _farewells() as (remote, far, _, stopped):
        remote.sendall(b"unread")
        far.close()
        _tunnel_flow.farewell(remote, stopped)
        remote.close()
        _tunnel_flow.farewell(remote, stopped)
        assert remote.asked == 2
