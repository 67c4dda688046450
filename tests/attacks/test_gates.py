"""Attacks on the servers that drive their connections themselves, behind the gate: Tornado and websockets."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytest

from mtlspolicy import tls
from mtlspolicy.integrations import tornado as our_tornado
from tests.integrations.direct import GATED, SUBJECTS, UPGRADE, Seen
from tests.integrations.loop_serving import Row, Slow, client_context, dialed, holding, server_context, until
from tests.integrations.serving import Server
from tests.integrations.tornado_serving import guarded, tornado_serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there, and Tornado needs another")


def _everything(server: Server, who: Any, sent: bytes) -> bytes:
    """Send, and return all that comes back before the server ends the connection, however it does."""
    got = b""
    with contextlib.suppress(OSError), dialed(server, client_context(who)) as client:
        with contextlib.suppress(OSError):
            client._sock.sendall(sent)
        while chunk := client._sock.recv(65536):
            got += chunk
    return got


@pytest.mark.parametrize("refuse", ["handshake", "respond"])
@pytest.mark.parametrize("name", GATED)
def test_requests_are_sent_before_the_decision(name: str, refuse: str) -> None:
    """What a held client has sent reaches no application, and none of it is left when the answer is no."""
    subject, seen, row = SUBJECTS[name], Seen(), Slow()
    row.names.clear()
    with subject.serve(holding(row), seen=seen, refuse=refuse) as server:
        with dialed(server, client_context("frodo")) as client:
            client._sock.sendall(subject.request * 100)
            until(lambda: row.asked == 1)
            assert seen.names == []
            row.released.set()
            got = b""
            with contextlib.suppress(OSError):
                got = client._file.read()
        assert got.count(b"HTTP/1.1 ") <= (refuse == "respond")
        assert got == b"" or got.startswith(b"HTTP/1.1 403")
        row.names.add("CN=sam")
        assert subject.ask(server, "sam").status == subject.good
        until(lambda: seen.names == ["sam"])


@pytest.mark.parametrize("name", GATED)
def test_a_refused_client_pipelines_into_the_gate(name: str) -> None:
    """One answer, then the end; the application hears of none of them, whatever the headers claim."""
    subject, seen = SUBJECTS[name], Seen()
    claims = b"Client-Cert: :AAAA:\r\nX-SSL-Client-Verify: SUCCESS\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
    request = subject.request.removesuffix(b"\r\n") + claims
    with subject.serve(server_context(), seen=seen, refuse="respond") as server:
        for who in ("wrong name", "none"):
            got = _everything(server, who, request * 100)
            assert got.count(b"HTTP/1.1 ") <= 1
            assert got.startswith(b"HTTP/1.1 403") or got == b""
            assert subject.ask(server, who).status == 403
    assert seen.names == []


def test_a_refused_client_of_tornado_begins_with_an_upgrade() -> None:
    """It gets the refusal in place of the WebSocket, and frames behind it are read by nobody."""
    seen = Seen()
    with SUBJECTS["tornado"].serve(server_context(), seen=seen, refuse="respond") as server:
        got = _everything(server, "wrong name", UPGRADE.replace(b"GET /", b"GET /echo") + b"\x81\x80\x00\x00\x00\x00")
        assert got.startswith(b"HTTP/1.1 403")
        assert b"101" not in got.split(b"\r\n")[0]
    assert seen.names == []


@pytest.mark.parametrize("name", GATED)
def test_refused_clients_that_are_slow_do_not_stay_at_the_gate(name: str) -> None:
    """Ten that send a byte and wait are closed at their deadline; a good one is served meanwhile."""
    subject, seen = SUBJECTS[name], Seen()
    context = server_context(options=tls.ServerOptions(handshake_timeout=0.5))
    with subject.serve(context, seen=seen, refuse="respond") as server, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(dialed(server, client_context("wrong name"))) for _ in range(10)]
        for client in slow:
            client._sock.sendall(b"G")
        assert subject.ask(server, "frodo").status == subject.good
        for client in slow:
            with contextlib.suppress(OSError):
                assert client._sock.recv(1) == b""
    assert seen.names == ["frodo"]


@pytest.mark.parametrize("head", [
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ",
], ids=["body", "header"])  # fmt: skip
@pytest.mark.parametrize("name", GATED)
def test_a_refused_client_sends_without_end_into_the_gate(name: str, head: bytes) -> None:
    """It has its answer or none, and is shut when it goes on."""
    subject, seen = SUBJECTS[name], Seen()
    with subject.serve(server_context(), seen=seen, refuse="respond") as server:
        with dialed(server, client_context("wrong name")) as client, contextlib.suppress(OSError):
            client._sock.sendall(head)
            for _ in range(10_000):
                client._sock.sendall(b"x" * 0x10000)
            pytest.fail("it was listened to for 650 MB")
        assert subject.ask(server, "frodo").status == subject.good
        until(lambda: seen.names == ["frodo"])


@pytest.mark.parametrize("refuse", ["handshake", "respond", None])
def test_the_descriptor_of_a_refused_client_poisons_the_next(refuse: str | None) -> None:
    """A closed socket that an event loop still watches would make the next one with its number deaf, or get its bytes.

    Refused in the handshake, after its facts, or gone: whoever comes next has the same number, and is served.
    """
    row, subject = Row(), SUBJECTS["tornado"]
    row.names = {"CN=frodo"}
    options: dict[str, Any] = {} if refuse is None else {"server_class": our_tornado.HTTPServer, "refuse": refuse}
    context = server_context() if refuse is None else holding(row)
    with tornado_serving(guarded(), context=context, **options) as server:
        for _ in range(5):
            for who in ("wrong name", "none", "unknown CA", "sam"):
                if refuse is not None or who != "sam":
                    _everything(server, who, subject.request)
                assert subject.ask(server, "frodo").told["peer"] == "frodo"


def test_another_server_has_the_context_that_a_gate_answers_with() -> None:
    """Tornado's own server with the same context refuses in the handshake, also who has no certificate."""
    context, subject, seen = server_context(), SUBJECTS["tornado"], Seen()
    with subject.serve(context, refuse="respond") as server, SUBJECTS["tornado-bare"].serve(context, seen=seen) as bare:
        assert subject.ask(server, "none").status == 403
        for who in ("none", "wrong name"):
            assert _everything(bare, who, subject.request) == b""
        assert seen.names == []
        assert subject.ask(bare, "frodo").status == 200
