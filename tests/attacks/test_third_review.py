"""Attacks on asking for a certificate later, on servers that meet garbage, and on what the command line prints."""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy import ConfigurationError, TrustStore, Verifier, tls
from mtlspolicy.cli._ask_crl import Lists
from mtlspolicy.testing import IssuedCertificate
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension
from tests.attacks.asking_later import FRODO, HOST, PATIENCE, SAM, Cutting, Thread, answer, pair
from tests.integrations import battery
from tests.integrations.battery import GOOD, REFUSED, Start, ask
from tests.revocation.made import AT
from tests.revocation.made_crls import MadeCRL

unix = pytest.mark.skipif(sys.platform == "win32", reason="the descriptor of a socket is written to from below")


def test_another_thread_reads_while_a_certificate_is_asked_for(tmp_path: Path) -> None:
    """Two threads inside of one TLS object corrupted OpenSSL's memory, or the reader was given what was undecided.

    So nobody is asked while a call has not returned; the connection stays, and can be asked when it has.
    """
    with pair(tmp_path) as (server, client):
        reader = Thread(lambda: server.recv(100))
        assert battery.until(lambda: server._inside == 1)  # type: ignore[attr-defined]
        with pytest.raises(ConfigurationError, match="another thread reads or writes"):
            tls.request_certificate(server)
        client.sendall(b"anonymous")
        assert reader.result() == b"anonymous"
        answering = Thread(lambda: client.recv(100))
        assert tls.request_certificate(server).common_name == "frodo"
        server.write(b"bye")
        assert answering.result() == b"bye"
        answering = Thread(client.unwrap)
        server.unwrap().sendall(b"in the clear, as both have agreed")
        assert answering.result().recv(12) == b"in the clear"


@pytest.mark.parametrize("who", [FRODO, SAM], ids=["who is meant", "who is not"])
def test_a_thread_reads_between_the_question_and_the_decision(who: IssuedCertificate, tmp_path: Path) -> None:
    """It is given what the admitted peer says, or the refusal, and nothing before that."""
    with pair(tmp_path, who) as (server, client):
        asking = Thread(lambda: tls.request_certificate(server).common_name)
        assert battery.until(lambda: not server._latch.admitted)  # type: ignore[attr-defined]
        reader = Thread(lambda: (server.recv(100), getattr(tls.peer_of(server), "common_name", None)))
        answer(client)
        if who is FRODO:
            assert asking.result() == "frodo"
            client.sendall(b"mine")
            assert reader.result() == (b"mine", "frodo")
        else:
            for call in (asking, reader):
                with pytest.raises(tls.HandshakeRejected, match=r"name\.mismatch"):
                    call.result()


def test_a_signal_reads_between_the_question_and_the_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its function runs in the very thread that waits: it was let in as nobody, and the question returned nobody.

    Whoever took the return of `request_certificate` for an admission would have admitted anyone.
    """
    told: list[BaseException] = []
    answering: list[Thread] = []

    class Interrupted(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            for call in (server.do_handshake, lambda: server.recv(1), lambda: tls.request_certificate(server)):
                with pytest.raises(tls.HandshakeRejected) as caught:
                    call()
                told.append(caught.value)
            if not answering:  # and no earlier, so that there is something to wait for
                answering.append(Thread(lambda: client.recv(100)))
            return super().select(timeout)

    with pair(tmp_path) as (server, client):
        monkeypatch.setattr(selectors, "DefaultSelector", Interrupted)
        peer = tls.request_certificate(server)
        monkeypatch.undo()
        assert peer.common_name == "frodo"
        assert {error.code for error in told if isinstance(error, tls.HandshakeRejected)} == {"tls.interrupted"}
        server.sendall(b"bye")
        assert answering[0].result() == b"bye"


@pytest.mark.parametrize("records", [1, 2])
def test_the_certificate_of_somebody_else_comes_without_its_proof(records: int, tmp_path: Path) -> None:
    """OpenSSL shows a certificate before it has seen the signature by its key, and the end of that handshake."""
    ways: list[Cutting] = []

    def between(end: socket.socket) -> Cutting:
        ways.append(Cutting(end))
        return ways[0]

    with pair(tmp_path, seconds=0.5, between=between) as (server, client):
        ways[0].left = records
        asking = Thread(lambda: tls.request_certificate(server))
        answer(client)
        with pytest.raises(TimeoutError, match="did not come in time"):
            asking.result()
        assert tls.decision_of(server).code == "tls.handshake-timeout"
        with pytest.raises(ConfigurationError, match="has no peer"):
            tls.peer_of(server)


@unix
def test_a_client_that_takes_no_question_holds_the_server(tmp_path: Path) -> None:
    """It reads nothing, so that the question itself cannot be sent; the time for the answer has begun all the same."""
    with pair(tmp_path, seconds=0.5) as (server, _):
        with socket.socket(fileno=os.dup(server.fileno())) as below, suppress(BlockingIOError):
            below.settimeout(0.0)
            while True:
                below.send(bytes(65536))
        server.settimeout(PATIENCE)  # the two are one to the system
        with pytest.raises(TimeoutError, match="did not come in time"):
            tls.request_certificate(server)
        assert tls.decision_of(server).code == "tls.handshake-timeout"


def test_a_client_that_leaves_in_place_of_an_answer_is_taken_for_one_that_sent_data(tmp_path: Path) -> None:
    """The log said that data had come; and nobody is admitted for the end of a connection."""
    with pair(tmp_path) as (server, client):
        # says goodbye, and does not wait for ours
        client.settimeout(0.0)
        with suppress(ssl.SSLWantReadError):
            client.unwrap()
        with pytest.raises(ssl.SSLZeroReturnError, match="in place of showing a certificate"):
            tls.request_certificate(server)
        assert tls.decision_of(server).code == "tls.peer-gone"


def _reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def _garbage(port: int, good: ssl.SSLContext, bad: ssl.SSLContext) -> None:
    """Do each thing once that a client of no good might do."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def connect() -> socket.socket:
        return socket.create_connection((HOST, port), PATIENCE)

    _reset(connect())
    for octets in (b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00" + os.urandom(600), request, os.urandom(99)):
        for leave in (_reset, socket.socket.close):
            plain = connect()
            plain.sendall(octets)
            leave(plain)
    for context in (good, bad):
        for octets in (b"", request, request * 50, b"\0\xff" * 99, b"GET /" + b"A" * 70000, b"POST / HTTP/1.1\r\n"):
            for leave in (_reset, ssl.SSLSocket.close):
                with suppress(OSError), context.wrap_socket(connect(), server_hostname="localhost") as secured:
                    with suppress(OSError):
                        secured.sendall(octets)
                    leave(secured)
        with suppress(OSError), context.wrap_socket(connect(), server_hostname="localhost") as secured:
            with socket.socket(fileno=os.dup(secured.fileno())) as below:
                below.sendall(b"\x17\x03\x03\x00\x20" + os.urandom(32))  # a record that nobody has encrypted
            secured.recv(1)


_SERVERS: Final[dict[str, Start]] = {"cheroot": battery.cheroot_serving, "wsgiref": battery.wsgiref_serving}


def _workers() -> set[int | None]:
    """Return the threads in which cheroot serves; wsgiref makes one for each connection."""
    return {thread.ident for thread in threading.enumerate() if thread.name.startswith("CP Server")}


# ssl leaves it to the garbage collector to close what was reset before it could be wrapped
@pytest.mark.filterwarnings("ignore:Exception ignored in. <mtlspolicy.tls._socket.LatchedSocket")
@unix
@pytest.mark.parametrize("server", _SERVERS)
def test_garbage_ends_a_server(server: str, tmp_path: Path) -> None:
    """Whatever its clients send, and however they leave, it serves the next one, in the threads that it had."""
    good = battery.client_context(tmp_path, GOOD)
    with _SERVERS[server](tmp_path) as running:
        assert battery.until(lambda: ask(running, good) == "frodo")
        before = _workers()
        _garbage(running.port, good, battery.client_context(tmp_path, REFUSED["another name"]))
        assert ask(running, good) == "frodo"
        assert _workers() == before


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "gone"])
def test_clients_of_no_good_fill_the_standard_error(refused: bool, tmp_path: Path) -> None:
    """What cheroot cannot write it tries again when it forgets the file, and Python 3.13 prints that."""
    integration = pytest.importorskip("mtlspolicy.integrations.cheroot")
    with pair(tmp_path, SAM) as (server, client):
        file = integration.SSLAdapter(server.context).makefile(server, "wb", 4096)
        if refused:
            asking = Thread(lambda: tls.request_certificate(server))
            answer(client)
            with pytest.raises(tls.HandshakeRejected):
                asking.result()
        else:
            _reset(client)
            with pytest.raises(Exception, match="EOF|[Pp]ipe|reset"):
                file.writelines(bytes(4096) for _ in range(10_000))
        file.write(b"an answer")
        file.flush()
        file.close()
        assert file.closed


def test_another_context_slips_into_a_pool_of_connections(tmp_path: Path) -> None:
    """urllib3 takes options of one connection before those of its pool: one that verified nobody was used."""
    urllib3 = pytest.importorskip("mtlspolicy.integrations.urllib3")
    verifier = Verifier.for_servers(trust=TrustStore(anchors=[battery.ROOT.certificate]), expected="localhost")
    credential = tls.Credential.of(GOOD.chain, GOOD.key)
    careless = ssl._create_unverified_context()  # noqa: S323 - the attack
    with battery.wsgiref_serving(tmp_path) as running:
        careless.load_cert_chain(*GOOD.files(tmp_path))
        pools = urllib3.pool(tls.client_context(credential=credential, verifier=verifier))
        with pools, pools.connection_from_url(f"https://localhost:{running.port}") as ours:
            assert ours.request("GET", "/", retries=False).status == 200
        other = {"ssl_context": careless, "assert_hostname": False}
        theirs = pools.connection_from_url(f"https://localhost:{running.port}", pool_kwargs=other)
        with theirs, pytest.raises(ConfigurationError, match="no TLS connection of a context that has a verifier"):
            theirs.request("GET", "/", retries=False)
        assert running.ran == 1


def test_a_crl_number_too_long_to_print_ends_the_program(tmp_path: Path) -> None:
    """Python refuses to write a number of more than 4,300 digits; a hostile list has one."""
    number = Extension("2.5.29.20", der.integer(1 << 40_000))
    path = tmp_path / "hostile.crl"
    path.write_bytes(MadeCRL(extensions=(number,)).encoded())
    (row,) = Lists(str(path), allow_private=False).rows(AT)
    assert row["number"] == "of 40001 bits, where 160 are allowed"
