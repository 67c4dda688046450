"""The demo's server in this process: who hangs up, floods or says nothing harms nobody."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest

from mtlspolicy.cli import _server
from mtlspolicy.cli._demo_clients import Visit, client_context, visit
from mtlspolicy.cli._demo_pki import ALLOWED, DemoPKI, Desk, verifier_for
from mtlspolicy.cli._server import HOST, listen, port_of
from mtlspolicy.tls import server_context


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    pki = DemoPKI()
    verifier = verifier_for(pki, Desk(pki.policy(*ALLOWED)))
    server = server_context(credential=pki.server.credential, verifier=verifier)
    return server, client_context(pki.trust_pem, pki.client("frodo"))


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n", b"x" * (_server.REQUEST_LIMIT + 100)])
def test_who_asks_nothing_gets_nothing(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A client that hangs up before, or in, its request, or floods, gets no answer; the next one is served."""
    near, far = _contexts()

    async def scenario() -> list[str]:
        told: list[str] = []
        server = await listen(near, 0, lambda peer, _address: told.append(str(peer.subject)))
        reader, writer = await asyncio.open_connection(HOST, port_of(server), ssl=far, server_hostname="localhost")
        writer.write(sent)
        if len(sent) < _server.REQUEST_LIMIT:
            writer.close()
        else:
            assert await reader.read() == b""
        good = await asyncio.to_thread(visit, port_of(server), far)
        assert good.answer is not None
        assert good.answer["common_name"] == "frodo"
        writer.close()
        server.close()
        return told

    assert asyncio.run(scenario()) == ["CN=frodo"]
    assert caplog.records == []


def test_who_says_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that connects and is silent is cut at the deadline."""
    near, far = _contexts()
    monkeypatch.setattr(_server, "_DEADLINE", 0.05)

    async def scenario() -> bytes:
        server = await listen(near, 0, lambda _peer, _address: None)
        reader, writer = await asyncio.open_connection(HOST, port_of(server), ssl=far, server_hostname="localhost")
        data = await reader.read()
        writer.close()
        server.close()
        return data

    assert asyncio.run(scenario()) == b""


def test_nobody_without_a_certificate_is_answered() -> None:
    """Even a context that lets clients in without a certificate gets them no answer."""
    pki = DemoPKI()
    verifier = verifier_for(pki, Desk(pki.policy(*ALLOWED)))
    near = server_context(credential=pki.server.credential, verifier=verifier, client_certificate="optional")

    async def scenario() -> Visit:
        server = await listen(near, 0, lambda _peer, _address: None)
        seen = await asyncio.to_thread(visit, port_of(server), client_context(pki.trust_pem, None))
        server.close()
        return seen

    seen = asyncio.run(scenario())
    assert (seen.answer, seen.tls) == (None, "TLSv1.3")


def _hang_up(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    connection.close()


def test_a_server_that_hangs_up() -> None:
    """A client whose server closes the connection before the handshake ends has seen no TLS."""
    with socket.create_server((HOST, 0)) as listening:
        closing = threading.Thread(target=_hang_up, args=(listening,))
        closing.start()
        seen = visit(listening.getsockname()[1], ssl.create_default_context())
        closing.join()
    assert (seen.answer, seen.tls, seen.session) == (None, None, None)
