"""Tunnels: one server over TLS behind a Unix socket of this process, and nobody else at either end."""

from __future__ import annotations

import os
import socket
import socketserver
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy import ReferenceIdentifier, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import _tunnel, _tunnel_flow
from mtlspolicy.integrations.tunnel import Tunnel, postgresql
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.tls._log import BURST, LIMITER
from tests.clients.serving import running
from tests.integrations.battery import until

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="a tunnel is a Unix socket")

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
CA: Final = CertificateAuthority("Tunnels")
FRODO: Final = CA.issue_client("frodo")
SERVER: Final = CA.issue_server("localhost", HOST, uris=["spiffe://example.org/db"])
NAMED: Final = CA.issue_client("db-1", eku=[ExtendedKeyUsageOID.SERVER_AUTH])
"""A server whose certificate has a common name and no other."""
TRUST: Final = TrustStore(anchors=[CA.certificate])
_WITHOUT: Final = "import socket, sys\nwith socket.socket(socket.AF_UNIX) as s:\n    s.connect(sys.argv[1])\n"
STRANGER: Final = f"{_WITHOUT}    s.sendall(b'hello')\n    print(s.recv(100))\n"


class _Echo(socketserver.BaseRequestHandler):
    server: Any

    def handle(self) -> None:
        with suppress(OSError):
            self.request.do_handshake()
            while part := self.request.recv(65536):
                self.server.got.append(len(part))
                self.request.sendall(part)


class Echo(socketserver.ThreadingTCPServer):
    """Says what it hears, to frodo alone."""

    daemon_threads = True

    def __init__(self, leaf: IssuedCertificate = SERVER) -> None:
        super().__init__((HOST, 0), _Echo)
        self.got: list[int] = []
        verifier = Verifier.for_clients(trust=TRUST, policy=policies.CommonName("frodo"))
        context = tls.server_context(credential=tls.Credential.of(leaf.chain, leaf.key), verifier=verifier)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def target(self) -> str:
        """Where it is."""
        return f"localhost:{self.server_address[1]}"


@pytest.fixture(autouse=True)
def _every_line() -> None:
    """Let the log have all lines, whatever was written before."""
    LIMITER.clear()


@pytest.fixture(scope="module")
def echo() -> Generator[Echo, None, None]:
    """Run a server that says what it hears."""
    server = Echo()
    with running(server):
        yield server


@pytest.fixture(scope="module")
def named() -> Generator[Echo, None, None]:
    """Run another one, which has a common name alone."""
    server = Echo(NAMED)
    with running(server):
        yield server


def context_of(expected: Any = "localhost", **options: Any) -> ssl.SSLContext:
    """Return the context of frodo."""
    verifier = Verifier.for_servers(trust=TRUST, expected=expected, **options)
    return tls.client_context(credential=tls.Credential.of(FRODO.chain, FRODO.key), verifier=verifier)


@contextmanager
def connected(tunnel: Tunnel) -> Generator[socket.socket, None, None]:
    """Connect to the near end of *tunnel*."""
    with socket.socket(socket.AF_UNIX) as local:
        local.settimeout(PATIENCE)
        local.connect(str(tunnel.path))
        yield local


def said(tunnel: Tunnel, words: bytes = b"hello") -> bytes:
    """Return what comes back for *words*; nothing: the connection ended."""
    with connected(tunnel) as local, suppress(BrokenPipeError, ConnectionResetError):
        local.sendall(words)
        return local.recv(100)
    return b""


def threads() -> int:
    """Return how many threads of tunnels there are."""
    return sum(thread.name == "mtlspolicy-tunnel" for thread in threading.enumerate())


EXPECTED: Final[dict[str, tuple[Any, Any, str]]] = {
    # whom the server is, whom it is not, and how that is refused
    "DNS": ("localhost", "other.test", "tls.name-mismatch"),
    "IP": (HOST, "127.0.0.2", "tls.name-mismatch"),
    "URI": ("spiffe://example.org/db", "spiffe://example.org/web", "identity.mismatch"),
    "CN": (ReferenceIdentifier.common_name("db-1"), ReferenceIdentifier.common_name("db-2"), "identity.mismatch"),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_server_that_is_expected_is_reached_and_another_is_told_nothing(kind: str, echo: Echo, named: Echo) -> None:
    """A server by another name gets no byte of the driver, and the tunnel says which code refused it."""
    right, wrong, code = EXPECTED[kind]
    server = named if kind == "CN" else echo
    target = server.target.replace("localhost", HOST if kind == "IP" else "localhost")
    with Tunnel(target, context=context_of(right)) as tunnel:
        assert said(tunnel) == b"hello"
        assert tunnel.refusal is None
    server.got.clear()
    with Tunnel(target, context=context_of(wrong)) as tunnel:
        assert said(tunnel) == b""
        assert until(lambda: tunnel.refusal is not None)
        assert isinstance(tunnel.refusal, tls.HandshakeRejected)
        assert tunnel.refusal.code == code
    assert server.got == []


def test_dialed_is_the_host_of_the_target(echo: Echo) -> None:
    """One context, and each tunnel asks for the name that it leads to."""
    port = echo.server_address[1]
    context = context_of(ReferenceIdentifier.DIALED)
    for host in ("localhost", HOST):
        with Tunnel(f"{host}:{port}", context=context) as tunnel:
            assert said(tunnel) == b"hello"


def test_a_pin_is_asked_for_each_connection(echo: Echo) -> None:
    """The policy of now decides on the next connection, and the way is open again when it permits."""
    wanted: list[Any] = [policies.SPKIPin.of(SERVER.certificate)]
    with Tunnel(echo.target, context=context_of(policy=lambda: wanted[0])) as tunnel:
        assert said(tunnel) == b"hello"
        wanted[0] = policies.SPKIPin("00" * 32)
        assert said(tunnel) == b""
        assert until(lambda: getattr(tunnel.refusal, "code", "") == "pin.mismatch")
        wanted[0] = policies.SPKIPin.of(SERVER.certificate)
        assert said(tunnel) == b"hello"
        assert tunnel.refusal is None


def test_much_goes_both_ways_at_once_and_slow_readers_lose_nothing(echo: Echo) -> None:
    """Eight megabytes against an end that reads late come back whole."""
    words = os.urandom(1 << 16) * 128
    with Tunnel(echo.target, context=context_of()) as tunnel, connected(tunnel) as local:
        writer = threading.Thread(target=local.sendall, args=(words,))
        writer.start()
        heard = bytearray()
        while len(heard) < len(words) and (part := local.recv(1 << 16)):
            heard += part
        writer.join(PATIENCE)
    assert heard == words


def test_another_process_of_the_same_user_gets_nothing_through(echo: Echo, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever finds the socket is not who the certificate says, not even a child of this process."""
    with Tunnel(echo.target, context=context_of()) as tunnel:
        echo.got.clear()
        done = subprocess.run(
            [sys.executable, "-c", STRANGER, str(tunnel.path)], capture_output=True, text=True, timeout=50, check=False
        )
        assert "hello" not in done.stdout
        assert echo.got == []
        assert any("came from another process" in line for line in caplog.messages)
        assert said(tunnel) == b"hello"


def test_nobody_else_may_enter_the_folder(echo: Echo) -> None:
    """The folder is the owner's alone, and gone afterwards, as is every thread."""
    before = threads()
    with Tunnel(echo.target, context=context_of(), name=".s.PGSQL.5432") as tunnel:
        folder = tunnel.path.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert tunnel.path.name == ".s.PGSQL.5432"
        with connected(tunnel) as local:
            local.sendall(b"hello")
            assert local.recv(5) == b"hello"
            tunnel.close()
            assert local.recv(5) == b""
    assert not folder.exists()
    assert until(lambda: threads() == before)
    tunnel.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_that_closes_what_it_inherited_leaves_the_tunnel_of_its_parent(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork has no thread of the tunnel and no part in it: it gets nothing through, and its exit removes nothing."""
    with Tunnel(echo.target, context=context_of()) as tunnel:
        child = os.fork()
        if child == 0:
            tunnel.close()
            os._exit(0 if said(tunnel) == b"" else 1)
        assert os.waitpid(child, 0)[1] == 0
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: child)
            tunnel.close()
        assert said(tunnel) == b"hello"


@contextmanager
def _mute() -> Generator[tuple[str, list[socket.socket]], None, None]:
    """Listen, accept, and say nothing."""
    taken: list[socket.socket] = []
    with ExitStack() as stack, socket.create_server((HOST, 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                taken.append(stack.enter_context(listener.accept()[0]))

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"{HOST}:{listener.getsockname()[1]}", taken
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def test_close_ends_what_waits_in_a_handshake() -> None:
    """A server that says nothing keeps no thread once the tunnel is closed."""
    before = threads()
    with _mute() as (target, taken), Tunnel(target, context=context_of()) as tunnel, connected(tunnel) as local:
        assert until(lambda: bool(taken))
        tunnel.close()
        assert local.recv(1) == b""
    assert until(lambda: threads() == before)


def test_a_tunnel_that_is_closed_while_it_connects_leads_nowhere(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is connected after the end is dropped before TLS."""
    connect, dialing, closed = socket.create_connection, threading.Event(), threading.Event()

    def slow(*args: Any) -> socket.socket:
        dialing.set()
        assert closed.wait(PATIENCE)
        return connect(*args)

    monkeypatch.setattr(socket, "create_connection", slow)
    monkeypatch.setattr(_tunnel, "_PATIENCE", 0.01)
    before = threads()
    with Tunnel(echo.target, context=context_of()) as tunnel, connected(tunnel) as local:
        assert dialing.wait(PATIENCE)
        monkeypatch.setattr(_tunnel, "_PATIENCE", PATIENCE)
        Path(tunnel.path.parent, "x").touch()
        ending = threading.Thread(target=tunnel.close)
        ending.start()
        assert until(lambda: tunnel._course._closed)
        closed.set()
        ending.join(PATIENCE)
        assert local.recv(1) == b""
    assert "the tunnel was closed" in str(tunnel.refusal)
    assert any("no way to localhost" in line for line in caplog.messages)
    assert until(lambda: threads() == before)


def _unused() -> str:
    """Return a target at which nobody listens."""
    with socket.create_server((HOST, 0)) as unused:
        return f"{HOST}:{unused.getsockname()[1]}"


def test_no_server_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that cannot be made ends that of the driver, and the log and the tunnel know why."""
    target = _unused()
    with Tunnel(target, context=context_of()) as tunnel:
        assert said(tunnel) == b""
        assert until(lambda: isinstance(tunnel.refusal, ConnectionRefusedError))
    assert any(f"no way to {target}" in line for line in caplog.messages)


def test_a_server_that_speaks_another_protocol_is_told_nothing(echo: Echo) -> None:
    """Where the tunnel asks for a protocol and none is agreed on, there is no connection."""
    host, port = _tunnel.endpoint(echo.target)
    course = _tunnel.Course(_tunnel.Way(host, port, context_of(), None, "h2"), "socket")
    echo.got.clear()
    try:
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(course.path))
            assert local.recv(1) == b""
    finally:
        course.close()
    assert str(course.refusal) == "the server does not speak h2 over TLS"
    assert echo.got == []


def test_a_driver_that_tries_for_ever_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Lines are as many as the limit for one code allows; each refusal is known all the same."""
    target = _unused()
    with Tunnel(target, context=context_of()) as tunnel:
        for _ in range(BURST * 2):
            assert said(tunnel) == b""
        assert until(lambda: isinstance(tunnel.refusal, ConnectionRefusedError))
    assert sum(f"no way to {target}" in line for line in caplog.messages) < BURST * 2


@pytest.mark.parametrize("answer", [b"S", b"N", b""])
def test_a_postgresql_that_has_no_tls_is_told_nothing(answer: bytes) -> None:
    """Any other octet than ``S`` ends the connection, before TLS and before the user's name."""
    near, far = socket.socketpair()
    with near, far:
        if answer:
            far.sendall(answer + b"more")
        else:
            far.shutdown(socket.SHUT_WR)
        if answer == b"S":
            postgresql(near)
            assert near.recv(10) == b"more"
        else:
            with pytest.raises(ConnectionAbortedError, match="does not speak TLS"):
                postgresql(near)
        assert far.recv(100) == bytes.fromhex("0000000804d2162f")


def test_what_speaks_before_tls_may_end_the_connection(echo: Echo) -> None:
    """An error of it reaches the server as the end of the connection, without a handshake."""
    asked: list[socket.socket] = []

    def before(plain: socket.socket) -> None:
        asked.append(plain)
        raise ConnectionAbortedError("no TLS here")

    with Tunnel(echo.target, context=context_of(), before=before) as tunnel:
        assert said(tunnel) == b""
        assert until(lambda: str(tunnel.refusal) == "no TLS here")
    assert len(asked) == 1
    assert asked[0].fileno() == -1


def test_without_descriptors_a_connection_waits_and_is_served_later(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that cannot be started ends its connection and not the tunnel."""
    with Tunnel(echo.target, context=context_of()) as tunnel:
        failed: list[int] = []

        def no_thread(*_: Any) -> None:
            failed.append(1)
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(tunnel._course, "_start", no_thread)
            assert said(tunnel) == b""
        assert failed
        assert said(tunnel) == b"hello"


@pytest.mark.parametrize(
    "target",
    ["localhost", "localhost:", ":443", "localhost:0", "localhost:65536", "localhost:-1", "localhost:٣", "::1:443",
     "[localhost]:443", "dns:///localhost:443", "a@localhost:443", "", "localhost:443443443", "localhost:0123456789",
     "[::1:443", "bücher.example:443", "a\tb:443", "a\r\nb:443", "a?b:443", 443],
)  # fmt: skip
def test_a_target_is_a_host_and_a_port(target: Any) -> None:
    """Anything else is refused by name, hostile text escaped."""
    with pytest.raises(ConfigurationError, match="give host and port"):
        Tunnel(target, context=context_of())
    assert _tunnel.endpoint("[2001:db8::1]:5432") == ("2001:db8::1", 5432)


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "a\0b"])
def test_the_socket_has_a_name_in_its_folder(name: str) -> None:
    """A name never leads out of the folder."""
    with pytest.raises(ConfigurationError, match="the name of a file"):
        Tunnel("localhost:1", context=context_of(), name=name)


def test_a_context_without_a_verifier_is_refused() -> None:
    """Neither a plain context nor one for servers makes a tunnel."""
    with pytest.raises(ConfigurationError, match="needs a context whose verifier judges servers"):
        Tunnel("localhost:1", context=ssl.create_default_context())


def test_a_path_that_is_too_long_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails while it is made is undone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OSError, match="too long"):
        Tunnel("localhost:1", context=context_of(), name="x" * 200)
    assert list(tmp_path.iterdir()) == []


def test_a_system_that_does_not_say_who_connects_has_no_tunnels(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused when the tunnel is made."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigurationError, match="Linux and macOS"):
        Tunnel("localhost:1", context=context_of())


class _Scripted:
    """A socket that answers each call with what was written down for it."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def _next(self, _: Any) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    recv = send = _next


@pytest.mark.parametrize(
    ("answer", "event"),
    [(ssl.SSLWantReadError(), 1), (ssl.SSLWantWriteError(), 2), (BlockingIOError(), 1)],
)
def test_tls_may_wait_for_the_other_direction(answer: Exception, event: int) -> None:
    """To read it may have to write first: each direction waits for what its own operation wants."""
    source: Any = _Scripted(answer)
    sink: Any = _Scripted()
    flow = _tunnel_flow._Flow(source, sink)
    flow.move()
    assert flow.wait == (source, event)


@pytest.mark.parametrize(("answer", "event"), [(ssl.SSLWantReadError(), 1), (BlockingIOError(), 2)])
def test_what_was_read_is_written_before_more_is_read(answer: Exception, event: int) -> None:
    """A sink that takes a part is given the rest when it can take it, and then alone is more read."""
    source: Any = _Scripted(b"hello", b"")
    sink: Any = _Scripted(2, answer, 3)
    flow = _tunnel_flow._Flow(source, sink)
    flow.move()
    assert flow.wait == (sink, event)
    assert not flow.ended
    flow.move()
    assert flow.ended


@pytest.mark.parametrize("error", [ConnectionResetError(), ssl.SSLError("bad record"), ssl.SSLEOFError()])
def test_an_end_that_breaks_ends_the_connection(error: Exception) -> None:
    """A reset, a forged record and an end without its alert are the end."""
    source: Any = _Scripted(error)
    sink: Any = _Scripted()
    flow = _tunnel_flow._Flow(source, sink)
    flow.move()
    assert flow.ended


def test_a_direction_without_pause_gives_the_other_its_turn() -> None:
    """A source that never ends does not keep the way back waiting."""
    source: Any = _Scripted(*[b"x"] * 100)
    sink: Any = _Scripted(*[1] * 100)
    flow = _tunnel_flow._Flow(source, sink)
    flow.move()
    assert (flow.wait, flow.ended) == (None, False)
    assert len(source._answers) == 92


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run *script* in another Python, which finds what this one finds."""
    search = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], env={**os.environ, "PYTHONPATH": search},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


_FORGOTTEN: Final = """
from tests.integrations.test_tunnel import Tunnel, context_of
print(Tunnel("localhost:1", context=context_of()).path.parent)
"""


def test_a_tunnel_that_nobody_closes_ends_with_the_process() -> None:
    """Neither its threads keep the process, nor does its folder stay."""
    done = run_script(_FORGOTTEN)
    assert done.returncode == 0, done.stderr
    assert not Path(done.stdout.strip()).exists()
    assert "Traceback" not in done.stderr
