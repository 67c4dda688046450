"""Attacks on live connections: a first context that is changed later, and two threads inside one handshake."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import Policy, Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls._peer_of import latch_of

CA = CertificateAuthority("attacked root")
SERVER = CA.issue_server("localhost")
FRODO, SAM = CA.issue_client("frodo"), CA.issue_client("sam")
TRUST = TrustStore(anchors=[CA.certificate])


def _server(policy: Policy, **options: Any) -> ssl.SSLContext:
    credential = tls.Credential.of(SERVER.chain, SERVER.key)
    return tls.server_context(
        credential=credential, verifier=Verifier.for_clients(trust=TRUST, policy=policy), **options
    )


@pytest.fixture
def client(tmp_path: Path) -> ssl.SSLContext:
    """Return a context for a client with sam's certificate, as one writes it without this library."""
    return _client(tmp_path, SAM)


def _client(folder: Path, leaf: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=CA.der)
    context.load_cert_chain(*leaf.files(folder))
    return context


def _shake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Shake hands in memory and return the server's end; what it refuses is raised."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    open_ends = [theirs, ours]
    while open_ends:
        for end in tuple(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    return ours


def test_a_callback_that_is_set_later_leads_to_a_lax_host(client: ssl.SSLContext) -> None:
    """The context that a handshake began on is held to its settings too, though another one's policy decides."""
    lax, strict = _server(policies.Anyone()), _server(policies.CommonName("frodo"))

    def lead(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = lax

    strict.sni_callback = lead
    with pytest.raises(tls.HandshakeRejected, match=r"tls\.context-changed: sni_callback"):
        _shake(strict, client)


def test_the_first_context_stops_asking_for_certificates(client: ssl.SSLContext) -> None:
    """A peer that the host refuses does not come in without its certificate where the default context was changed."""
    host = _server(policies.CommonName("frodo"), client_certificate="optional")
    options = tls.ServerOptions(virtual_hosts={"localhost": host})
    first = _server(policies.CommonName("frodo"), client_certificate="optional", options=options)
    with pytest.raises(tls.HandshakeRejected, match=r"name\.mismatch"):
        _shake(first, client)
    first.verify_mode = ssl.CERT_NONE
    with pytest.raises(tls.HandshakeRejected, match=r"tls\.context-changed: verify_mode"):
        _shake(first, client)


class _Both:
    """A server's socket that two threads use at once, undecided, as a reader and a writer; and what came of it."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        near, far = socket.socketpair()
        for end in (near, far):
            end.settimeout(20)
        self.seen: list[Any] = []
        self.results: dict[str, Any] = {}
        self.socket = server.wrap_socket(near, server_side=True, do_handshake_on_connect=False)
        self.waiting = [threading.Thread(target=self._dial, args=(client, far))]
        self.waiting += [threading.Thread(target=self._use, args=(name,)) for name in ("recv", "send")]

    def _dial(self, client: ssl.SSLContext, far: socket.socket) -> None:
        try:
            with client.wrap_socket(far, server_hostname="localhost") as connection:
                connection.sendall(b"hello")
                self.seen.append(connection.recv(100))
        except OSError as error:
            self.seen.append(error)

    def _use(self, name: str) -> None:
        try:
            self.results[name] = self.socket.recv(100) if name == "recv" else self.socket.send(b"SECRET")
        except OSError as error:
            self.results[name] = error

    def run(self) -> None:
        for thread in self.waiting:
            thread.start()
        for thread in self.waiting:
            thread.join(30)
        self.socket.close()


def test_a_reader_and_a_writer_shake_hands_at_once(tmp_path: Path) -> None:
    """Both wait for one handshake and one decision; both inside OpenSSL corrupted memory and ended the process."""
    asked: list[str | None] = []

    @policies.predicate("acme.counted", identifies=True)
    def counted(evidence: Any) -> bool:
        asked.append(evidence.path.end_entity.common_name)
        return asked[-1] == "frodo"

    context = _server(counted)
    asked.clear()
    for leaf in (FRODO, SAM) * 10:
        both = _Both(context, _client(tmp_path, leaf))
        both.run()
        if leaf is FRODO:
            assert both.results == {"recv": b"hello", "send": 6}
            assert both.seen == [b"SECRET"]
        else:
            assert all(isinstance(result, tls.HandshakeRejected) for result in both.results.values())
            assert len(both.results) == 2
            assert both.seen == [b""] or isinstance(both.seen[0], OSError)
    assert asked == ["frodo", "sam"] * 10


def test_a_thread_that_comes_while_a_decision_is_made_waits_for_it(tmp_path: Path) -> None:
    """The state is "refused" while a fact is fetched; whoever comes then is given the answer, not that state."""
    fetching, answer = threading.Event(), threading.Event()

    def row(_: object) -> bool:
        fetching.set()
        return answer.wait(20)

    @policies.lookup("acme.row", key=lambda path: path.end_entity.common_name, identifies=True)
    def enrolled(found: object, _: object) -> bool:
        return found is True

    context = _server(enrolled, options=tls.ServerOptions(resolver=Resolver({"acme.row": row}, deadline=20.0)))
    both = _Both(context, _client(tmp_path, FRODO))
    dial, reader, writer = both.waiting
    dial.start()
    reader.start()
    assert fetching.wait(20)
    assert latch_of(both.socket).refused
    writer.start()
    answer.set()
    for thread in both.waiting:
        thread.join(30)
    assert both.results == {"recv": b"hello", "send": 6}
    both.socket.close()


class _Memory:
    """Both ends of a connection as TLS objects, of which the server's has everything that it waits for but a call."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        self.client = client.wrap_bio(to_client, to_server, server_hostname="localhost")
        for end in (self.client, self.server, self.client):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue

    def at_once(self, *calls: str) -> list[Any]:
        """Call methods of the server's end in threads that start together; return what each gave, or raised."""
        barrier = threading.Barrier(len(calls))
        results: list[Any] = [None] * len(calls)

        def run(place: int, name: str) -> None:
            barrier.wait(20)
            method: Any = getattr(self.server, name)
            try:
                results[place] = method(b"SECRET") if name == "write" else method()
            except OSError as error:
                results[place] = error

        threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return results


@pytest.mark.timeout(300)  # a quarter of a minute on two idle cores
@pytest.mark.parametrize("slow", [False, True])
def test_threads_that_meet_in_one_tls_object_get_one_decision(slow: bool, tmp_path: Path) -> None:
    """Handshakes and a write at once: the policy is asked once, and nobody is ahead of it or crashes OpenSSL."""
    asked: list[str | None] = []

    @policies.predicate("acme.counted", identifies=True)
    def counted(evidence: Any) -> bool:
        asked.append(evidence.path.end_entity.common_name)
        if slow:
            time.sleep(0.01)  # so that the others come while the decision is being made
        return asked[-1] == "frodo"

    context = _server(counted)
    clients = {leaf: _client(tmp_path, leaf) for leaf in (FRODO, SAM)}
    asked.clear()
    for leaf in (FRODO, SAM) * 20:
        memory = _Memory(context, clients[leaf])
        # One that moves data: two of those at once, after the decision, are no safer than with ssl's own objects.
        results = memory.at_once("do_handshake", "write", "getpeercert", "do_handshake", "do_handshake")
        if leaf is FRODO:
            assert [results[place] for place in (0, 1, 3, 4)] == [None, 6, None, None]
            assert results[2]["subject"]
            assert memory.client.read(100) == b"SECRET"
        else:
            assert all(isinstance(result, tls.HandshakeRejected) for result in results)
            assert len({result.code for result in results}) == 1
            with pytest.raises(ssl.SSLWantReadError):
                memory.client.read(100)
    assert asked == ["frodo", "sam"] * 20
