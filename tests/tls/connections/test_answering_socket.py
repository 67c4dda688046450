"""A blocking socket whose refused client is told so: by us alone, within bounds, and shut for everybody else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from mtlspolicy import ConfigurationError, Policy, Resolver, TrustStore, VerificationError, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls import _answering_socket
from mtlspolicy.tls._answering_socket import answering_sockets

ROOT: Final = CertificateAuthority("Root")
FRODO, GOLLUM = (ROOT.issue_client(name) for name in ("frodo", "gollum"))
SERVER: Final = ROOT.issue_server("localhost")
NAMED: Final = policies.CommonName("frodo")
PATIENCE: Final = 20.0
Respond = Callable[[Any, Callable[[], bytes]], bytes | None]


def _context(policy: Policy = NAMED, **options: Any) -> ssl.SSLContext:
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=policy)
    options = {"handshake_timeout": 1.0, **options}
    return tls.server_context(
        credential=tls.Credential.of(SERVER.chain, SERVER.key),
        verifier=verifier,
        options=tls.ServerOptions(**options),
    )


def _client(issued: Any, tmp_path: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.der)
    if issued is not None:
        context.load_cert_chain(*issued.files(tmp_path))
    return context


class Site:
    """A server for one connection at a time, whose application would say "secret"."""

    def __init__(self, listener: ssl.SSLContext) -> None:
        self._plain = socket.create_server(("127.0.0.1", 0))
        self._plain.settimeout(PATIENCE)
        self.listening: Any = listener.wrap_socket(self._plain, server_side=True)
        self.address = self.listening.getsockname()
        self.errors: list[BaseException] = []
        self.accepted: list[Any] = []
        self.left = 0

    @contextlib.contextmanager
    def visited(self, context: ssl.SSLContext) -> Any:
        """Give the client's end of a connection, which the server serves on a thread until it ends."""
        self.thread = thread = threading.Thread(target=self._serve)
        thread.start()
        try:
            with (
                self.listening,
                socket.create_connection(self.address, PATIENCE) as plain,
                contextlib.suppress(OSError),
                context.wrap_socket(plain, server_hostname="localhost") as secured,
            ):
                yield secured
        finally:
            thread.join(PATIENCE)
        assert not thread.is_alive()

    def _serve(self) -> None:
        connection, _ = self.listening.accept()
        connection.settimeout(PATIENCE)
        self.accepted.append(connection)
        with connection:
            try:
                connection.sendall(b"secret")
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.errors.append(error)
                self.left = connection.fileno()  # before its owner closes it


def _everything(secured: ssl.SSLSocket) -> bytes:
    got = b""
    with contextlib.suppress(OSError):
        while chunk := secured.recv(65536):
            got += chunk
    return got


def _echo(error: VerificationError, read: Callable[[], bytes]) -> bytes:
    return error.code.encode("ascii") + b" " + read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("issued", "code"), [(GOLLUM, "name.mismatch"), (None, "path.no-certificate")])
def test_a_refused_client_is_answered_and_shut_out(
    tmp_path: Any, issued: Any, code: str, version: ssl.TLSVersion
) -> None:
    """It reads the answer and a clean end of TLS; the server gets the refusal as ever, and no socket that is open."""
    context = _client(issued, tmp_path)
    context.minimum_version = context.maximum_version = version
    site = Site(answering_sockets(_context(), _echo))
    with site.visited(context) as secured:
        secured.sendall(b"hello")
        assert secured.recv(100) == f"{code} hello".encode("ascii")
        assert secured.recv(100) == b""  # close_notify: without it this raises
    (error,) = site.errors
    assert isinstance(error, tls.HandshakeRejected)
    assert error.code == code
    assert site.left == -1


def test_who_is_admitted_meets_the_application(tmp_path: Any) -> None:
    """The answer is asked for nobody else."""
    site = Site(answering_sockets(_context(), _echo))
    with site.visited(_client(FRODO, tmp_path)) as secured:
        assert secured.recv(100) == b"secret"
    assert site.errors == []


def test_while_it_is_answered_the_connection_tells_nothing_and_moves_nothing(tmp_path: Any) -> None:
    """There is no peer, no identity and no byte for anybody but the answer, on any thread."""
    seen: list[Any] = []

    def respond(error: Any, read: Callable[[], bytes]) -> bytes:
        connection = site.accepted[0]
        with pytest.raises(ConfigurationError) as raised:
            tls.peer_of(connection)
        seen.append(raised.value.code)
        seen.append(tls.decision_of(connection).code)
        for forbidden in (
            lambda: connection.recv(1),
            lambda: connection.sendall(b"x"),
            connection.getpeercert,
            connection.do_handshake,
            connection.unwrap,
            lambda: connection.session,
        ):
            with pytest.raises(tls.HandshakeRejected):
                forbidden()
        seen.append(error.code)
        return read()

    site = Site(answering_sockets(_context(), respond))
    with site.visited(_client(GOLLUM, tmp_path)) as secured:
        secured.sendall(b"hello")
        assert _everything(secured) == b"hello"
    assert seen == ["tls.refused", "name.mismatch", "name.mismatch"]


@pytest.mark.parametrize("ragged", [False, True])
def test_the_end_of_the_client_is_read_as_an_end(tmp_path: Any, *, ragged: bool) -> None:
    """With and without close_notify; and an answer can still be sent to one that has only closed its half."""
    read_so_far: list[bytes] = []

    def respond(_: Any, read: Callable[[], bytes]) -> bytes:
        while got := read():
            read_so_far.append(got)
        return b"late"

    site = Site(answering_sockets(_context(), respond))
    with site.visited(_client(GOLLUM, tmp_path)) as secured:
        secured.sendall(b"hello")
        if ragged:
            socket.socket.shutdown(secured, socket.SHUT_WR)
        else:
            secured.settimeout(0.0)
            with contextlib.suppress(ssl.SSLError):
                secured._sslobj.shutdown()
            secured.settimeout(PATIENCE)
        plain = b"".join(iter(lambda: socket.socket.recv(secured, 4096), b""))
    assert read_so_far == [b"hello"]
    assert plain[:1] == b"\x17"  # a record of application data


def test_what_asks_nothing_gets_nothing(tmp_path: Any) -> None:
    """Where there is no answer the connection is closed as in the handshake."""
    site = Site(answering_sockets(_context(), lambda *_: None))
    with site.visited(_client(GOLLUM, tmp_path)) as secured:
        assert _everything(secured) == b""
    assert isinstance(site.errors[0], tls.HandshakeRejected)


def test_a_connection_that_breaks_while_it_lingers_is_closed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At that moment its time-out is nought, as of a socket that an event loop drives and closes itself."""
    reset = socket.socket.shutdown

    def broken(sock: Any, how: int) -> None:
        if sock.gettimeout() == 0.0:
            monkeypatch.setattr(socket.socket, "shutdown", reset)
            raise ConnectionResetError("by the other end")
        reset(sock, how)

    site = Site(answering_sockets(_context(), _echo))
    with site.visited(_client(GOLLUM, tmp_path)) as secured:
        monkeypatch.setattr(socket.socket, "shutdown", broken, raising=False)
        secured.sendall(b"hello")
        assert _everything(secured) == b"name.mismatch hello"
    assert isinstance(site.errors[0], tls.HandshakeRejected)
    assert site.left == -1


@pytest.mark.parametrize("failure", [RuntimeError("a defect"), KeyboardInterrupt()])
def test_an_answer_that_fails_leaves_the_connection_shut(tmp_path: Any, failure: BaseException) -> None:
    """An interrupt or a defect is passed on, and opens nothing."""

    def respond(*_: Any) -> bytes:
        raise failure

    site = Site(answering_sockets(_context(), respond))
    with site.visited(_client(GOLLUM, tmp_path)) as secured:
        assert _everything(secured) == b""
    assert site.errors == [failure]
    assert site.left == -1
    with pytest.raises(tls.HandshakeRejected):
        site.accepted[0].recv(1)


def test_a_silent_client_is_left_when_its_time_is_over(tmp_path: Any) -> None:
    """The time is that of the handshake, and a thread is free again after it."""
    site = Site(answering_sockets(_context(), _echo))
    with site.visited(_client(GOLLUM, tmp_path)) as secured:
        assert _everything(secured) == b""
    assert isinstance(site.errors[0], tls.HandshakeRejected)


def test_time_that_is_over_is_no_time_to_wait_for_ever() -> None:
    """A time-out of 0 would mean that the socket does not block, and a negative one is none."""
    with pytest.raises(TimeoutError, match="the answer to the refusal took too long"):
        _answering_socket._Patience(None, time.monotonic() - 1.0).left()


def test_the_time_out_of_the_server_holds_for_each_step() -> None:
    """What the server has set for one call is not stretched, and ends with the time of all."""
    now = time.monotonic()
    assert _answering_socket._Patience(0.25, now + 100.0).left() == 0.25
    assert 99.0 < _answering_socket._Patience(None, now + 100.0).left() <= 100.0
    assert _answering_socket._Patience(0.25, now + 0.2).left() <= 0.2


def test_a_client_that_reads_nothing_is_left_when_its_time_is_over(tmp_path: Any) -> None:
    """An answer larger than all buffers does not hold the thread."""
    site = Site(answering_sockets(_context(), lambda *_: bytes(64 * 1024 * 1024)))
    with site.visited(_client(GOLLUM, tmp_path)):
        site.thread.join(PATIENCE)
    assert isinstance(site.errors[0], tls.HandshakeRejected)


def test_a_body_after_the_answer_is_thrown_away(tmp_path: Any) -> None:
    """A client that writes before it reads gets its answer, and no reset, for as much as a body usually is."""
    site = Site(answering_sockets(_context(handshake_timeout=PATIENCE), _echo))
    with site.visited(_client(GOLLUM, tmp_path)) as secured:
        for _ in range(9):
            secured.sendall(bytes(100 * 1024))
        assert secured.recv(13) == b"name.mismatch"


def test_a_body_without_end_is_cut(tmp_path: Any) -> None:
    """More than that is not read: the client is cut off while it writes."""
    site = Site(answering_sockets(_context(handshake_timeout=PATIENCE), _echo))
    sent = 0
    with site.visited(_client(GOLLUM, tmp_path)) as secured, contextlib.suppress(OSError):
        while sent < 1024:
            secured.sendall(bytes(100 * 1024))
            sent += 1
    assert sent < 1024


def test_a_client_that_has_its_answer_and_stays_is_left(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a byte, and also with one now and then: the first ends sooner, the second with the time of all."""
    monkeypatch.setattr(_answering_socket, "SILENCE", 0.2)
    ended: list[bool] = []
    for pause in (None, 0.05):
        site = Site(answering_sockets(_context(), _echo))
        with site.visited(_client(GOLLUM, tmp_path)) as secured:
            secured.sendall(b"hello")
            secured.recv(100)
            end = time.monotonic() + PATIENCE
            while not site.errors and time.monotonic() < end:
                time.sleep(pause or 0.05)
                if pause is not None:
                    with contextlib.suppress(OSError):
                        secured.sendall(b"x")
            ended.append(bool(site.errors))
    assert ended == [True, True]


def test_a_decision_that_took_all_the_time_is_still_told(tmp_path: Any) -> None:
    """A data base that does not answer: the refusal that can be tried again is the one that has to be heard."""
    waits = threading.Event()

    @policies.lookup("partner.enrolled", key=lambda path: path.end_entity.spki_sha256, max_age=None)
    def enrolled(row: Any, _: Any) -> bool:
        return row is True

    context = _context(
        policies.CommonName("frodo") & enrolled,
        resolver=Resolver({"partner.enrolled": lambda _: waits.wait(PATIENCE)}),
        handshake_timeout=0.3,
    )
    site = Site(answering_sockets(context, _echo))
    try:
        with site.visited(_client(FRODO, tmp_path)) as secured:
            secured.sendall(b"hello")
            assert _everything(secured) == b"fact.missing hello"
    finally:
        waits.set()
    assert isinstance(site.errors[0], tls.HandshakeRejected)
    assert site.errors[0].retryable


def test_a_context_that_was_changed_is_no_answer(tmp_path: Any) -> None:
    """What went wrong on our side is told to nobody: closed, as ever."""
    asked: list[Any] = []
    context = _context()
    site = Site(answering_sockets(context, lambda *given: asked.append(given)))
    context.sslobject_class = ssl.SSLObject
    with site.visited(_client(FRODO, tmp_path)) as secured:
        assert _everything(secured) == b""
    assert asked == []
    assert isinstance(site.errors[0], tls.HandshakeRejected)
    assert site.errors[0].code == "tls.context-changed"


def test_a_socket_that_does_not_block_is_refused_in_the_handshake(tmp_path: Any) -> None:
    """Nobody waits for an answer on somebody's event loop."""
    asked: list[Any] = []
    listener = answering_sockets(_context(), lambda *given: asked.append(given))
    near, far = socket.socketpair()
    with near, far:
        client = threading.Thread(target=lambda: _shake(_client(GOLLUM, tmp_path), far))
        client.start()
        server: Any = listener.wrap_socket(near, server_side=True, do_handshake_on_connect=False)
        server.settimeout(0.0)
        with pytest.raises(tls.HandshakeRejected):
            _to_the_end(server)
        server.close()
        client.join(PATIENCE)
    assert asked == []


def _to_the_end(server: Any) -> None:
    while True:
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            time.sleep(0.01)


def _shake(context: ssl.SSLContext, far: socket.socket) -> None:
    with contextlib.suppress(OSError), context.wrap_socket(far, server_hostname="localhost") as secured:
        secured.recv(1)


def test_what_an_event_loop_makes_of_it_is_refused_in_the_handshake(tmp_path: Any) -> None:
    """The listener answers over sockets alone: its other connections are those of the context."""
    asked: list[Any] = []
    listener = answering_sockets(_context(), lambda *given: asked.append(given))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = listener.wrap_bio(to_server, to_client, server_side=True)
    client = _client(GOLLUM, tmp_path).wrap_bio(to_client, to_server, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        server.do_handshake()
    client.do_handshake()
    with pytest.raises(tls.HandshakeRejected):
        server.do_handshake()
    assert asked == []
