"""Contexts for clients that say how old a decision may be when something is written."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final, cast

import httpx
import pytest

from mtlspolicy import (
    ConfigurationError,
    Decision,
    Evidence,
    Policy,
    Resolver,
    TrustStore,
    Verifier,
    policies,
    tls,
)
from mtlspolicy.testing import CertificateAuthority

PATIENCE: Final = 20.0
AGE: Final = 0.05
ROW_AGE: Final = 2.0
ROOT: Final = CertificateAuthority("Root")
OTHER: Final = TrustStore(anchors=[CertificateAuthority("Other").certificate])
TRUST: Final = TrustStore(anchors=[ROOT.certificate])
SERVER: Final = ROOT.issue_server("localhost", "127.0.0.1", "spiffe://a.test/server")
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


@pytest.fixture(scope="module")
def port() -> Generator[int, None, None]:
    """Lend a server that answers each request with the number of its connection, and keeps connections open."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with SERVER.tempfiles() as (chain, key):
        context.load_cert_chain(chain, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(accepted: socket.socket, number: int) -> None:
            try:
                with context.wrap_socket(accepted, server_side=True) as secured:
                    while secured.recv(65536):
                        secured.sendall(_ANSWER + b"%04d" % number)
            except OSError:
                accepted.close()

        def accept() -> None:
            number = 0
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                number += 1
                threading.Thread(target=serve, args=(accepted, number), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


def _context(trust: Any = TRUST, *, max_age: float | None = AGE, **options: Any) -> ssl.SSLContext:
    verifier = Verifier.for_servers(trust=trust, expected="localhost", policy=options.pop("policy", None))
    return tls.client_context(verifier=verifier, options=tls.ClientOptions(max_age=max_age, **options))


def _age(seconds: float = 3 * AGE) -> None:
    threading.Event().wait(seconds)


@contextmanager
def _by_httpx(context: ssl.SSLContext, port: int) -> Generator[Callable[[], str], None, None]:
    with httpx.Client(verify=context, timeout=PATIENCE, trust_env=False) as client:
        yield lambda: client.get(f"https://localhost:{port}/").text


@contextmanager
def _by_asyncio(context: ssl.SSLContext, port: int) -> Generator[Callable[[], str], None, None]:
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(verify=context, timeout=PATIENCE, trust_env=False)

        async def ask() -> str:
            return (await client.get(f"https://localhost:{port}/")).text

        yield lambda: runner.run(ask())
        runner.run(client.aclose())


BOTH: Final = pytest.mark.parametrize("by", [_by_httpx, _by_asyncio], ids=["blocking", "asyncio"])


@BOTH
def test_a_kept_connection_ends_when_its_decision_is_too_old_and_no_longer_true(by: Any, port: int) -> None:
    """httpx keeps it in a pool; the CA is taken out of a live store: no request goes over it any more."""
    store = [TRUST]
    with by(_context(lambda: store[0]), port) as ask:
        first = ask()
        _age()
        assert ask() == first, "still admitted, and still the same connection"
        store[0] = OTHER
        _age()
        with pytest.raises((httpx.TransportError, tls.HandshakeRejected)):
            ask()
        with pytest.raises(httpx.ConnectError, match=r"path\.no-issuer"):
            ask()
        store[0] = TRUST | OTHER
        assert int(ask()) > int(first)


@BOTH
def test_no_kept_connection_is_used_under_another_trust(by: Any, port: int) -> None:
    """Without an age: what the source returns now counts for the next request, and not what it returned then."""
    store = [TRUST]
    with by(_context(lambda: store[0], max_age=None), port) as ask:
        first = ask()
        store[0] = TRUST | OTHER
        assert ask() == first, "decided on again under the new store, and admitted"
        store[0] = OTHER
        with pytest.raises((httpx.TransportError, tls.HandshakeRejected)):
            ask()
        with pytest.raises(httpx.ConnectError, match=r"path\.no-issuer"):
            ask()


@BOTH
def test_no_kept_connection_is_used_under_another_policy(by: Any, port: int) -> None:
    """A pin that was taken out of a live policy ends the connection at the next request; a source that fails, too."""
    current: list[Any] = [policies.DNSName("localhost")]

    def policy() -> Any:
        if current[0] is None:
            raise OSError("the file of policies is gone")
        return current[0]

    with by(_context(max_age=None, policy=policy), port) as ask:
        first = ask()
        for other in (policies.DNSName("other"), None):
            current[0] = other
            with pytest.raises((httpx.TransportError, tls.HandshakeRejected)):
                ask()
            current[0] = policies.DNSName("localhost")
            again = ask()
            assert int(again) > int(first)
            first = again


@BOTH
@pytest.mark.parametrize("kind", ["list", "bundle", "list in a live policy"])
def test_no_kept_connection_is_used_under_another_list(by: Any, port: int, kind: str) -> None:
    """A pin that is rotated, or a bundle, ends it as well: the policy is one object, and what is in it has changed."""
    now: list[Any] = [SERVER.certificate]
    anchors: list[Any] = [ROOT.certificate]
    policy: Any = policies.CertificatePin(lambda: policies.CertificatePin.of(now[0]))
    given: Any = policies.DNSName("localhost") & policy
    if kind == "bundle":
        given = policies.SpiffeID("spiffe://a.test/server", bundle=lambda: anchors[0], allow_unconstrained=True)
    elif kind == "list in a live policy":
        given = lambda: policy  # noqa: E731 - a source, in a variable
    with by(_context(max_age=None, policy=given), port) as ask:
        first = ask()
        assert ask() == first
        now[0], anchors[0] = ROOT.certificate, OTHER.anchors[0].certificate
        with pytest.raises((httpx.TransportError, tls.HandshakeRejected)):
            ask()
        now[0], anchors[0] = SERVER.certificate, ROOT.certificate
        assert int(ask()) > int(first)


def _raises() -> Any:
    raise OSError("the list is gone")


class _Odd(Policy):
    """A policy of somebody's own that cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]

    def evaluate(self, evidence: Evidence) -> Decision:
        """Permit."""
        del evidence
        return self.permit("acme.open")


def test_a_state_that_cannot_be_had_or_compared_is_decided_on_anew(port: int) -> None:
    """In doubt the question is asked: a source that fails refuses, a policy that cannot be compared may admit."""
    fails = [False]
    pins = policies.CertificatePin(lambda: _raises() if fails[0] else policies.CertificatePin.of(SERVER.certificate))
    with _by_httpx(_context(max_age=None, policy=pins), port) as ask:
        assert ask() == ask()
        fails[0] = True
        with pytest.raises((httpx.TransportError, tls.HandshakeRejected)):
            ask()
    made = [_Odd(), _Odd()]
    with _by_httpx(_context(max_age=None, policy=lambda: made[0]), port) as ask:
        first = ask()
        made.reverse()
        assert ask() == first


def test_attack_the_number_of_a_connection_that_is_shut_out_goes_to_another(port: int) -> None:
    """A thread that reads it would go on with the stranger who has that number: it stays until its owner closes."""
    store = [TRUST]
    context = _context(lambda: store[0], max_age=None)
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    read: list[bytes] = []

    def reading(connection: ssl.SSLSocket) -> None:
        try:
            read.append(connection.recv(10))
        except OSError:  # it came too late to wait, and is refused like everybody
            read.append(b"")

    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        number = connection.fileno()
        reader = threading.Thread(target=reading, args=(connection,))
        reader.start()
        threading.Event().wait(0.05)
        store[0] = OTHER
        with pytest.raises(tls.HandshakeRejected):
            connection.send(b"secret")
        assert connection.fileno() == number
        reader.join(PATIENCE)
        assert not reader.is_alive()
        assert read == [b""]
        for operation in (lambda: connection.send(b"secret"), lambda: connection.recv(1)):
            with pytest.raises(tls.HandshakeRejected):
                operation()


def test_attack_plain_text_while_another_thread_shuts_a_connection_out(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ssl`` sends in the clear where the TLS object has gone: by then nothing can be sent."""
    store = [TRUST]
    context = _context(lambda: store[0], max_age=None)
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sent: list[object] = []

    def shut(sock: socket.socket, how: int) -> None:
        sent.append(sock.__dict__["_sslobj"] is not None)
        original(sock, how)
        try:
            sent.append(ssl.SSLSocket.send(cast("Any", sock), b"secret"))
        except OSError as error:
            sent.append(type(error))

    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        original = socket.socket.shutdown
        store[0] = OTHER
        with monkeypatch.context() as patched:
            patched.setattr(socket.socket, "shutdown", shut, raising=False)
            with pytest.raises(tls.HandshakeRejected):
                connection.send(b"secret")
        with pytest.raises(OSError):  # noqa: PT011 - which one is for the system to say
            socket.socket.send(connection, b"secret")
    assert sent[0] is True, "first the socket, then its TLS object"
    assert not isinstance(sent[1], int)


@BOTH
def test_a_source_that_returns_the_same_makes_no_decision_anew(by: Any, port: int) -> None:
    """Another store object of the same content is no other store; the policy is not asked again."""
    asked: list[int] = []

    @policies.predicate("acme.counted")
    def counted(_: Any) -> bool:
        asked.append(1)
        return True

    with by(_context(lambda: TrustStore(anchors=[ROOT.certificate]), max_age=None, policy=counted), port) as ask:
        first = ask()
        before = len(asked)
        assert [ask(), ask()] == [first, first]
        assert len(asked) == before


@BOTH
def test_without_sources_and_without_an_age_the_decision_of_the_handshake_holds(by: Any, port: int) -> None:
    """Nothing can change but the clock: nobody is cut off in the middle, and nothing is asked."""
    context = _context(max_age=None)
    with by(context, port) as ask:
        assert ask() == ask()
    assert (context.sslsocket_class.__name__, context.sslobject_class.__name__) == ("LatchedSocket", "LatchedObject")


@BOTH
def test_a_young_decision_is_not_made_again(by: Any, port: int) -> None:
    """Within its age nothing is asked."""
    asked: list[int] = []

    @policies.predicate("acme.counted")
    def counted(_: Any) -> bool:
        asked.append(1)
        return True

    with by(_context(max_age=3600.0, policy=counted), port) as ask:
        ask()
        before = len(asked)
        assert ask()
        assert len(asked) == before


@policies.lookup("acme.row", key=lambda path: path.end_entity.spki_sha256, max_age=timedelta(seconds=ROW_AGE))
def row_allows(row: Any, _: Any) -> bool:
    """Permit what the look-up allows."""
    return row is True


def test_facts_are_looked_up_by_a_socket_that_blocks(port: int) -> None:
    """A row that has changed ends the connection at the next request."""
    rows = [True]
    resolver = Resolver({"acme.row": lambda _: rows[0]})
    with resolver, _by_httpx(_context(policy=row_allows, resolver=resolver), port) as ask:
        first = ask()
        _age()
        assert ask() == first
        rows[0] = False
        _age(1.2 * ROW_AGE)
        with pytest.raises(httpx.TransportError):
            ask()


def test_a_fact_that_is_missing_on_a_loop_ends_the_connection_and_is_asked_for() -> None:
    """Nobody can wait there: as in a handshake the facts at hand are all there is, and who tries again finds them."""
    asked: list[Any] = []

    def look_up(key: Any) -> bool:
        asked.append(key)
        return True

    policy: list[Any] = [policies.DNSName("localhost")]
    ends = _Ends(_context(policy=lambda: policy[0], resolver=Resolver({"acme.row": look_up})))
    ends.shake()
    ends.client.write(b"x")
    policy[0] = row_allows
    _age()
    with pytest.raises(tls.HandshakeRejected, match=r"fact\.missing"):
        ends.client.write(b"x")
    _until(lambda: bool(asked))
    with pytest.raises(tls.HandshakeRejected):
        ends.client.read(1)


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class _Ends:
    """A client's TLS object as an event loop drives it, and the server's, in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with SERVER.tempfiles() as (chain, key):
            plain.load_cert_chain(chain, key)
        here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(here, there, server_hostname="localhost")
        self.server = plain.wrap_bio(there, here, server_side=True)

    def shake(self) -> None:
        """Finish the handshake on both ends."""
        for end in (self.client, self.server, self.client, self.server):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()


def test_each_way_to_write_looks_at_the_age(port: int) -> None:
    """``write`` as well as ``send``; and the connection is shut for reading, too."""
    store = [TRUST]
    context = _context(lambda: store[0])
    for name in ("write", "send", "sendall"):
        store[0] = TRUST
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        with context.wrap_socket(plain, server_hostname="localhost") as secured:
            getattr(secured, name)(b"x")
            assert secured.recv(100).startswith(b"HTTP/1.1 200")
            store[0] = OTHER
            _age()
            with pytest.raises(tls.HandshakeRejected, match=r"path\.no-issuer"):
                getattr(secured, name)(b"x")
            with pytest.raises(tls.HandshakeRejected):
                secured.recv(1)
            assert tls.decision_of(secured).code == "path.no-issuer"


def test_what_is_no_age_is_refused() -> None:
    """Seconds, and the standard library's TLS."""
    for wrong in (0, -1.0, True, "1", float("nan")):
        with pytest.raises(ConfigurationError, match="max_age"):
            tls.ClientOptions(max_age=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="pyopenssl"):
        tls.ClientOptions(max_age=1.0, engine="pyopenssl")
