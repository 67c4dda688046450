"""RULES 1 and 2: every way into a connection passes the latch, and what is refused stays refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mtlspolicy import Evidence, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._guards import guard
from mtlspolicy.tls._latch import ADMITTED, HELD, REFUSED, UNDECIDED, Latch
from mtlspolicy.tls._object import LatchedObject
from mtlspolicy.tls._socket import LatchedSocket
from mtlspolicy.tls._surface import OBJECT_ACCESS, SOCKET_ACCESS, Access

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "write": (b"x",),
    "send": (b"x",),
    "sendall": (b"x",),
    "sendto": (b"x", ("127.0.0.1", 9)),
    "sendmsg": ([b"x"],),
    "sendmsg_afalg": ([b"x"],),
    "recv_into": (bytearray(10),),
    "recvfrom_into": (bytearray(10),),
    "recvmsg": (10,),
    "recvmsg_into": ([bytearray(10)],),
    "connect": (("127.0.0.1", 9),),
    "connect_ex": (("127.0.0.1", 9),),
}


def public(cls: type) -> set[str]:
    """Return the public names of a class, inherited ones included."""
    return {name for name in dir(cls) if not name.startswith("_")}


def names(table: dict[str, Access], cls: type, *kinds: Access) -> list[str]:
    """Return the names of *kinds* that the class of this Python has."""
    return sorted(name for name, kind in table.items() if kind in kinds and hasattr(cls, name))


OBJECT_DECIDING = [*names(OBJECT_ACCESS, ssl.SSLObject, Access.DATA, Access.ANSWER), "session", "do_handshake"]
SOCKET_DECIDING = [*names(SOCKET_ACCESS, ssl.SSLSocket, Access.DATA, Access.ANSWER), "session", "do_handshake"]
OBJECT_GUARDED = [*OBJECT_DECIDING, *names(OBJECT_ACCESS, ssl.SSLObject, Access.FACT), "context"]
SOCKET_GUARDED = SOCKET_DECIDING + names(SOCKET_ACCESS, ssl.SSLSocket, Access.FACT)


def use(connection: Any, name: str, tmp: Any = None) -> Any:
    """Use one public name of a connection, as a property or as a call."""
    found = getattr(connection, name)
    if not callable(found):
        return found
    if name == "sendfile":
        return found(tmp)
    return found(*ARGUMENTS.get(name, ()))


def latch_of(connection: Any) -> Latch:
    """Return the latch of a connection."""
    found: Latch = connection._latch
    return found


class Counter:
    """A policy's predicate that counts how often it was asked."""

    def __init__(self, *, answer: bool) -> None:
        self.asked = 0
        self.answer = answer

    def policy(self) -> Any:
        """Return the policy."""

        @policies.predicate("test.counted", identifies=True)
        def counted(_: Evidence) -> bool:
            self.asked += 1
            return self.answer

        return counted


@pytest.mark.parametrize(
    ("cls", "table"), [(ssl.SSLSocket, SOCKET_ACCESS), (ssl.SSLObject, OBJECT_ACCESS)], ids=["socket", "object"]
)
def test_every_public_name_of_this_python_is_classified(cls: type, table: dict[str, Access]) -> None:
    """A method that a new Python adds has no row in the table, and fails here until somebody has thought about it."""
    assert public(cls) - set(table) == set()


@pytest.mark.parametrize(
    ("cls", "table"), [(LatchedSocket, SOCKET_ACCESS), (LatchedObject, OBJECT_ACCESS)], ids=["socket", "object"]
)
def test_every_guarded_name_is_ours(cls: type, table: dict[str, Access]) -> None:
    """No name that moves data or shows identity is inherited unchanged."""
    for name in names(table, cls, Access.DATA, Access.ANSWER, Access.FACT, Access.OWN):
        assert name in vars(cls), name


@pytest.mark.parametrize("name", OBJECT_DECIDING)
def test_rule_1_an_undecided_object_decides_before_anything(name: str, pki: Any, pair: Any) -> None:
    """Each method that could finish the handshake asks the policy once, and gives a refused peer nothing."""
    counter = Counter(answer=False)
    ends = pair(pki.server(counter.policy()), pki.plain_client(), "localhost")
    ends.feed_server()
    ends.client.write(b"GET /secret")
    with pytest.raises(tls.HandshakeRejected):
        use(ends.server, name)
    assert counter.asked == 1
    assert latch_of(ends.server).state is REFUSED
    assert ends.server._sslobj is None


@pytest.mark.parametrize("name", OBJECT_GUARDED)
def test_rule_1_a_refused_object_gives_nothing(name: str, pki: Any, pair: Any) -> None:
    """While refused every name raises, and the policy is not asked again."""
    counter = Counter(answer=False)
    ends = pair(pki.server(counter.policy()), pki.plain_client(), "localhost")
    with pytest.raises(tls.HandshakeRejected):
        ends.shake()
    with pytest.raises(tls.HandshakeRejected) as caught:
        use(ends.server, name)
    assert caught.value.code == "test.counted"
    assert counter.asked == 1


@pytest.mark.parametrize("name", OBJECT_DECIDING)
def test_rule_1_an_object_that_is_refused_does_not_answer_a_setter(name: str, pki: Any, pair: Any) -> None:
    """Session and context of a refused connection cannot be set either."""
    ends = pair(pki.server(Counter(answer=False).policy()), pki.plain_client(), "localhost")
    with pytest.raises(tls.HandshakeRejected):
        ends.shake()
    for attribute in ("session", "context"):
        with pytest.raises(tls.HandshakeRejected):
            setattr(ends.server, attribute, None)
    with pytest.raises(tls.HandshakeRejected):
        use(ends.server, name)


@pytest.mark.parametrize("name", [*names(OBJECT_ACCESS, ssl.SSLObject, Access.DATA), "session"])
def test_rule_1_a_held_object_moves_nothing(name: str, pki: Any, pair: Any) -> None:
    """While held, reading and writing wait for a gate that has claimed the object, and are refused where none has."""
    context = pki.server(Counter(answer=True).policy(), options=tls.ServerOptions(pending="hold"))
    for claimed in (True, False):
        ends = pair(context, pki.plain_client(), "localhost")
        ends.feed_server()
        ends.client.write(b"GET /secret")
        ends.server.do_handshake()
        assert latch_of(ends.server).state is HELD
        latch_of(ends.server).claimed = claimed
        with pytest.raises(ssl.SSLWantReadError if claimed else tls.HandshakeRejected) as caught:
            use(ends.server, name)
        if not claimed:
            assert getattr(caught.value, "code", None) == "gate.missing"
            assert latch_of(ends.server).state is REFUSED


@pytest.mark.parametrize("name", [*names(OBJECT_ACCESS, ssl.SSLObject, Access.ANSWER, Access.FACT), "do_handshake"])
def test_rule_1_a_held_object_answers_what_event_loops_ask(name: str, pki: Any, pair: Any) -> None:
    """asyncio and uvloop ask these before a gate can be there; they answer, and nothing is decided by it."""
    context = pki.server(Counter(answer=True).policy(), options=tls.ServerOptions(pending="hold"))
    ends = pair(context, pki.plain_client(version=ssl.TLSVersion.TLSv1_2), "localhost")
    ends.shake()
    if name == "selected_npn_protocol":
        with pytest.warns(DeprecationWarning, match="NPN"):
            use(ends.server, name)
    elif name == "unwrap":
        with pytest.raises(ssl.SSLWantReadError):  # close_notify is on its way, the client's is not there
            use(ends.server, name)
    else:
        use(ends.server, name)
    assert latch_of(ends.server).state is HELD


def test_rule_1_read_without_do_handshake_is_decided(pki: Any, pair: Any) -> None:
    """OpenSSL finishes a handshake inside a read; ours decides there, once, and then gives the bytes."""
    counter = Counter(answer=True)
    ends = pair(pki.server(counter.policy()), pki.plain_client(), "localhost")
    ends.feed_server()
    ends.client.write(b"hello")
    assert ends.server.read(100) == b"hello"
    assert ends.server.write(b"answer") == len(b"answer")
    assert ends.server.getpeercert(binary_form=True) == pki.leaf("frodo").der
    ends.server.do_handshake()
    assert counter.asked == 1
    assert latch_of(ends.server).state is ADMITTED


def test_rule_1_waiting_for_bytes_decides_nothing(pki: Any, pair: Any) -> None:
    """While the handshake needs bytes the object stays undecided, and reading says so."""
    ends = pair(pki.server(), pki.plain_client(), "localhost")
    with pytest.raises(ssl.SSLWantReadError):
        ends.server.read()
    assert latch_of(ends.server).state is UNDECIDED
    assert repr(latch_of(ends.server)) == "<Latch undecided>"


def connected(pki: Any, context: ssl.SSLContext) -> tuple[ssl.SSLSocket, threading.Thread, list[Any]]:
    """Return an undecided server's socket whose client shakes hands on a thread and writes a request."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[Any] = []
    address = listener.getsockname()

    def dial() -> None:
        try:
            with pki.plain_client().wrap_socket(
                socket.create_connection(address, timeout=20), server_hostname="localhost"
            ) as client:
                client.sendall(b"GET /secret")
                seen.append(client.recv(100))
        except OSError as error:
            seen.append(error)

    thread = threading.Thread(target=dial, daemon=True)
    thread.start()
    accepted, _ = listener.accept()
    listener.close()
    return context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False), thread, seen


def no_byte(seen: list[Any]) -> bool:
    """Return whether a client saw the end of its connection and no application byte."""
    return len(seen) == 1 and (seen[0] == b"" or isinstance(seen[0], OSError))


@pytest.mark.parametrize("name", SOCKET_DECIDING)
def test_rule_1_an_undecided_socket_decides_before_anything(name: str, pki: Any, tmp_path: Any) -> None:
    """do_handshake_on_connect=False and then any method: the policy is asked once, and not one byte passes."""
    counter = Counter(answer=False)
    connection, thread, seen = connected(pki, pki.server(counter.policy()))
    (tmp_path / "page").write_bytes(b"SECRET")
    with (tmp_path / "page").open("rb") as page, connection:
        with pytest.raises(tls.HandshakeRejected):
            use(connection, name, page)
        assert counter.asked == 1
        assert connection.fileno() == -1
        for again in ("recv", "send", "do_handshake", "getpeercert"):
            with pytest.raises(tls.HandshakeRejected):
                use(connection, again)
    thread.join(20)
    assert no_byte(seen)
    assert counter.asked == 1


def test_rule_1_a_refused_socket_gives_nothing(pki: Any, tmp_path: Any) -> None:
    """While refused every guarded name of a socket raises; closing it once more does no harm."""
    connection, thread, seen = connected(pki, pki.server(Counter(answer=False).policy()))
    (tmp_path / "page").write_bytes(b"SECRET")
    with (tmp_path / "page").open("rb") as page:
        for name in SOCKET_GUARDED:
            with pytest.raises(tls.HandshakeRejected):
                use(connection, name, page)
    for attribute in ("session", "context"):
        with pytest.raises(tls.HandshakeRejected):
            setattr(connection, attribute, None)
    with pytest.raises(OSError, match="not connected"):
        connection.shutdown(socket.SHUT_WR)
    connection.close()
    thread.join(20)
    assert no_byte(seen)


def test_rule_2_files_of_a_refused_socket_are_dead(pki: Any) -> None:
    """A file made of an undecided socket decides at its first read, and the refusal closes what the file holds open."""
    connection, thread, seen = connected(pki, pki.server(Counter(answer=False).policy()))
    with connection.makefile("rb") as stream, pytest.raises(tls.HandshakeRejected):
        stream.readline()
    assert connection.fileno() == -1
    thread.join(20)
    assert no_byte(seen)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError, SystemExit, GeneratorExit])
@pytest.mark.parametrize("kind", ["socket", "object"])
def test_rule_2_an_interrupt_in_a_policy_leaves_the_connection_refused(
    interrupt: type[BaseException], kind: str, pki: Any, pair: Any
) -> None:
    """A BaseException in the decision passes through to the caller, and the connection is refused and shut."""

    @policies.predicate("test.interrupted", identifies=True)
    def interrupted(_: Evidence) -> bool:
        raise interrupt

    context = pki.server(interrupted)
    if kind == "socket":
        connection, thread, seen = connected(pki, context)
        with pytest.raises(interrupt):
            connection.recv(10)
        assert connection.fileno() == -1
        thread.join(20)
        assert no_byte(seen)
        again: list[Callable[[], Any]] = [lambda: connection.recv(10), lambda: connection.send(b"x")]
    else:
        ends = pair(context, pki.plain_client(), "localhost")
        with pytest.raises(interrupt):
            ends.shake()
        connection = ends.server
        again = [lambda: ends.server.read(10), lambda: ends.server.write(b"x")]
    for use_again in (*again, connection.do_handshake):
        with pytest.raises(tls.HandshakeRejected) as caught:
            use_again()
        assert caught.value.code == "tls.interrupted"


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), ssl.SSLWantReadError(2, "no"), MemoryError()])
def test_an_exception_in_a_policy_is_no_admission(error: Exception, pki: Any, pair: Any) -> None:
    """Whatever a policy raises, also what looks like a handshake that goes on, is INDETERMINATE and refuses."""

    @policies.predicate("test.broken", identifies=True)
    def broken(_: Evidence) -> bool:
        raise error

    for policy in (broken, policies.CommonName("frodo") & ~broken):
        ends = pair(pki.server(policy), pki.plain_client(), "localhost")
        with pytest.raises(tls.HandshakeRejected) as caught:
            ends.shake()
        assert caught.value.code == "policy.error"
        assert latch_of(ends.server).state is REFUSED


def test_a_policy_cannot_use_the_connection_that_it_decides_on(pki: Any, pair: Any) -> None:
    """While the decision is being made the latch is refused, so reading in a policy gives nothing."""
    seen: list[Any] = []

    @policies.predicate("test.reads", identifies=True)
    def reads(_: Evidence) -> bool:
        try:
            seen.append(ends.server.read(10))
        except ssl.SSLError as error:
            seen.append(error)
        return True

    ends = pair(pki.server(reads), pki.plain_client(), "localhost")
    ends.feed_server()
    ends.client.write(b"GET /secret")
    ends.server.do_handshake()
    assert len(seen) == 1
    assert isinstance(seen[0], tls.HandshakeRejected)


def test_after_shutdown_no_unprotected_byte_is_read(pki: Any, serving: Any) -> None:
    """ssl reads plain bytes from a socket that was shut down for writing, and anybody could put them there."""

    def serve(connection: ssl.SSLSocket) -> Any:
        connection.recv(10)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(100)

    with serving(pki.server(), serve) as server:
        raw = socket.create_connection(server.address, timeout=20)
        with pki.plain_client().wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(b"hello")
            socket.socket.send(client, b"POST /not-protected")
            outcome = server.result()
    assert isinstance(outcome, OSError)


@pytest.mark.parametrize("name", ["send", "sendall", "sendfile", "sendto", "write", "recv_into", "recvfrom", "recv"])
def test_after_shutdown_no_unprotected_byte_moves(name: str, pki: Any, tmp_path: Any) -> None:
    """ssl also falls back to the plain socket after a shutdown for reading, and would send the answer in the clear."""
    connection, thread, seen = connected(pki, pki.server(Counter(answer=True).policy()))
    (tmp_path / "page").write_bytes(b"SECRET")
    with (tmp_path / "page").open("rb") as page, connection:
        connection.recv(10)
        connection.shutdown(socket.SHUT_RD)
        with pytest.raises((OSError, ValueError), match="no TLS connection|unwrapped"):
            use(connection, name, page)
    thread.join(20)
    assert no_byte(seen)


def test_a_method_that_nobody_has_classified_is_guarded(pki: Any, pair: Any) -> None:
    """A Python that adds a method or a property to the classes adds no way around the latch."""

    class Newer(ssl.SSLObject):
        """As a later Python may have it."""

        def read_early_data(self) -> bytes:
            """Return what must not be seen."""
            return b"SECRET"

        @property
        def early_data(self) -> bytes:
            """Return what must not be seen."""
            return b"SECRET"

    guarded = guard(OBJECT_ACCESS)(type("Guarded", (LatchedObject, Newer), {}))
    context = pki.server()
    context.sslobject_class = guarded
    ends = pair(context, pki.plain_client("sam"), "localhost")
    with pytest.raises(tls.HandshakeRejected):
        ends.shake()
    with pytest.raises(tls.HandshakeRejected):
        ends.server.read_early_data()
    with pytest.raises(tls.HandshakeRejected):
        _ = ends.server.early_data


def test_an_admitted_object_whose_tls_was_taken_away_gives_nothing(pki: Any, pair: Any) -> None:
    """Whoever drops the C object below an admitted connection gets an error and no answer."""
    ends = pair(pki.server(), pki.plain_client(), "localhost")
    ends.shake()
    ends.server._end()
    with pytest.raises(tls.HandshakeRejected):
        ends.server.get_channel_binding()


def test_unwrap_hands_the_plain_socket_back(pki: Any, serving: Any) -> None:
    """Ending TLS in agreement gives what the standard library gives; nobody's identity belongs to the socket then."""

    def serve(connection: ssl.SSLSocket) -> Any:
        connection.recv(10)
        plain = connection.unwrap()
        with pytest.raises(ConfigurationError):
            tls.peer_of(connection)
        return plain.recv(100)

    with serving(pki.server(), serve) as server:
        raw = socket.create_connection(server.address, timeout=20)
        with pki.plain_client().wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(b"hello")
            client.unwrap().sendall(b"plain")
            assert server.result() == b"plain"


def test_a_socket_that_is_not_connected_reads_nothing(pki: Any) -> None:
    """Before it is connected a socket of ours says that it is not, as an error of the system."""
    with pki.client().wrap_socket(socket.socket(), server_hostname="localhost") as connection:
        for name in ("recv", "do_handshake", "getpeercert", "session"):
            with pytest.raises(OSError, match=".") as caught:
                use(connection, name)
            assert not isinstance(caught.value, ssl.SSLError)
        assert latch_of(connection).state is UNDECIDED
    with pytest.raises(OSError, match="no TLS connection"):
        connection.recv(10)


def test_connecting_a_wrapped_socket_decides(pki: Any, serving: Any) -> None:
    """A socket that is wrapped first and connected later shakes hands in connect, and is decided on there."""
    with serving(pki.server()) as server:
        with pki.client().wrap_socket(socket.socket(), server_hostname="localhost") as connection:
            connection.connect(server.address)
            assert latch_of(connection).state is ADMITTED
            connection.sendall(b"hello")
            assert connection.recv(100) == b"you are frodo: hello"
        with pki.client(expected="a.test").wrap_socket(socket.socket(), server_hostname="b.test") as connection:
            with pytest.raises(tls.HandshakeRejected):
                connection.connect(server.address)
            with pytest.raises(tls.HandshakeRejected):
                connection.connect(server.address)


def test_an_object_that_is_admitted_is_used_like_any_other(pki: Any, pair: Any) -> None:
    """Session and context can be read and set as the standard library lets one, before and after the handshake."""
    context, client = pki.server(), pki.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    first = pair(context, client, "localhost")
    assert first.server.context is context
    first.shake()
    session = first.client.session
    second = pair(context, client, "localhost")
    second.client.session = session
    second.shake()
    assert second.client.session_reused
    with pytest.raises(ValueError, match="after handshake"):
        second.client.session = session
    with pytest.raises(ssl.SSLWantReadError):
        second.server.read(10)


def test_a_socket_that_is_admitted_is_used_like_any_other(pki: Any, serving: Any) -> None:
    """The same for sockets; a second do_handshake does nothing."""

    def serve(connection: ssl.SSLSocket) -> Any:
        connection.do_handshake()
        connection.do_handshake()
        connection.write(b"first")
        data = connection.recv(10)
        connection.settimeout(0.0)
        with pytest.raises(ssl.SSLWantReadError):
            connection.recv(10)
        return data, connection.context, connection.session is not None

    context, client_context = pki.server(), pki.client()
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(context, serve) as server:
        raw = socket.create_connection(server.address, timeout=20)
        with client_context.wrap_socket(raw, server_hostname="localhost") as client:
            buffer = bytearray(5)
            assert client.recv_into(buffer) == len(b"first")
            client.sendall(b"second")
            assert server.result() == (b"second", context, True)
            session = client.session
            with client_context.wrap_socket(
                socket.create_connection(server.address, timeout=20),
                server_hostname="localhost",
                do_handshake_on_connect=False,
            ) as again:
                again.session = session
                again.do_handshake()
                assert again.recv(10) == b"first"
                again.sendall(b"x")
                assert server.result()[0] == b"x"


@pytest.mark.parametrize("kind", ["object", "socket"])
def test_our_classes_on_a_context_without_a_verifier_refuse(kind: str, pki: Any, pair: Any, serving: Any) -> None:
    """Whoever sets our classes by hand has bound nothing: every connection is refused."""
    context = pki.plain_server()
    context.sslsocket_class, context.sslobject_class = LatchedSocket, LatchedObject
    if kind == "object":
        with pytest.raises(tls.HandshakeRejected) as caught:
            pair(context, pki.plain_client(), "localhost").shake()
        assert caught.value.code == "tls.unenforced-context"
        return
    with serving(context) as server:
        raw = socket.create_connection(server.address, timeout=20)
        with pki.plain_client().wrap_socket(raw, server_hostname="localhost") as client:
            assert client.recv(10) == b""
        assert server.result().code == "tls.unenforced-context"


def test_a_swap_to_a_context_of_the_other_side_is_refused(pki: Any, pair: Any) -> None:
    """RULES 5 and 6: a callback that leads to a client's context does not make servers of clients."""
    other = pki.client()

    def choose(connection: Any, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = other

    context = pki.plain_server(sni_callback=choose)
    tls.enforce(context, pki.clients())
    other.load_cert_chain(*pki.server_leaf.files(pki.folder))
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(context, pki.plain_client(), "localhost").shake()
    assert caught.value.code == "tls.wrong-side"


def test_an_undecided_socket_that_was_shut_down_decides_nothing(pki: Any) -> None:
    """After shutdown there is no TLS to shake hands over, and no plain byte is read in its place."""
    ours, theirs = socket.socketpair()
    with theirs, pki.server().wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as connection:
        theirs.sendall(b"plain")
        connection.shutdown(socket.SHUT_WR)
        for name in ("do_handshake", "recv", "getpeercert", "read"):
            with pytest.raises(OSError, match=".") as caught:
                use(connection, name)
            assert not isinstance(caught.value, ssl.SSLError)


def test_the_time_of_the_context_runs_between_calls(pki: Any) -> None:
    """A handshake that is taken up after its time is over is shut before another byte is waited for."""
    ours, theirs = socket.socketpair()
    context = pki.server(options=tls.ServerOptions(handshake_timeout=0.1))
    with theirs, context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as connection:
        connection.settimeout(0.0)
        with pytest.raises(ssl.SSLWantReadError):
            connection.do_handshake()
        threading.Event().wait(0.15)
        connection.settimeout(20)
        with pytest.raises(TimeoutError):
            connection.do_handshake()
        assert connection.fileno() == -1
        with pytest.raises(tls.HandshakeRejected) as caught:
            connection.do_handshake()
        assert caught.value.code == "tls.handshake-timeout"


def reset(address: Any, sent: bytes) -> None:
    """Connect, send bytes in the clear, and reset the connection."""
    client = socket.create_connection(address, timeout=20)
    client.sendall(sent)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    threading.Event().wait(0.05)


def wrap_and_read(context: ssl.SSLContext, accepted: socket.socket) -> bytes:
    """Wrap an accepted socket and read from it."""
    with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as connection:
        return connection.recv(100)


# CPython before 3.13 leaves the socket to the garbage collector where looking for early bytes fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("sent", [b"GET /secret", b""])
def test_bytes_before_the_handshake_are_never_read(sent: bytes, pki: Any) -> None:
    """THREATS 1, CVE-2023-40217: what a client sends in the clear before it resets the connection is no request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reset(listener.getsockname(), sent)
        accepted, _ = listener.accept()
        with accepted, pytest.raises(OSError, match="."):
            wrap_and_read(pki.server(), accepted)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as above
def test_a_connection_that_is_reset_before_it_is_accepted_is_passed_over(pki: Any) -> None:
    """RULES 3: one client that connects and resets does not end an accept loop."""
    with pki.server().wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:
        reset(listener.getsockname(), b"x")
        with socket.create_connection(listener.getsockname(), timeout=20) as good:
            connection, address = listener.accept()
            with connection:
                assert address == good.getsockname()
