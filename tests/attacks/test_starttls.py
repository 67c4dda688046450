"""Attacks on connections that begin without TLS (RULES 61): plain bytes sent with the command that starts it."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading

import pytest

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority

CA = CertificateAuthority("starttls root")
SERVER, CLIENT = CA.issue_server("localhost", "127.0.0.1"), CA.issue_client("frodo")
TRUST = TrustStore(anchors=[CA.certificate])


def _server() -> ssl.SSLContext:
    verifier = Verifier.for_clients(trust=TRUST, policy=policies.CommonName("frodo"))
    return tls.server_context(credential=tls.Credential.of(SERVER.chain, SERVER.key), verifier=verifier)


def _client() -> ssl.SSLContext:
    verifier = Verifier.for_servers(trust=TRUST, expected="127.0.0.1")
    return tls.client_context(credential=tls.Credential.of(CLIENT.chain, CLIENT.key), verifier=verifier)


async def _upgrade(first: bytes) -> list[bytes | str]:
    """Serve one client that sends *first* in the clear and a line over TLS; return what the server read and of whom."""
    read: list[bytes | str] = []
    ended = asyncio.Event()

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            writer.write(b"go\n")
            await writer.start_tls(_server())
            peer = tls.peer_of(writer)
            read.append(str(peer and peer.common_name))
            read.append(await reader.readline())
        except tls.HandshakeRejected as error:
            read.append(error.code)
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(on_connect, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(first)
    try:
        await reader.readline()
        await writer.start_tls(_client())
        writer.write(b"over TLS\n")
        await writer.drain()
    except OSError:
        pass  # the server has refused, and says why
    await asyncio.wait_for(ended.wait(), 20)
    writer.close()
    server.close()
    return read


def test_a_command_behind_starttls_is_read_as_the_verified_peers() -> None:
    """Bytes from before TLS that wait in asyncio's stream refuse the upgrade: they would be read as the peer's."""
    assert asyncio.run(_upgrade(b"STARTTLS\n")) == ["frodo", b"over TLS\n"]
    assert asyncio.run(_upgrade(b"STARTTLS\nEVIL\n")) == ["tls.plaintext-before"]


class _Mail:
    """A mail server that takes one client to TLS, with an answer of an attacker's behind its own."""

    def __init__(self, injected: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._injected = injected
        self.address: tuple[str, int] = self._listener.getsockname()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        plain, _ = self._listener.accept()
        self._listener.close()
        plain.settimeout(20)
        plain.sendall(b"220 hello\r\n")
        plain.recv(1000)
        plain.sendall(b"250-here\r\n250 STARTTLS\r\n")
        plain.recv(1000)
        plain.sendall(b"220 go\r\n" + self._injected)
        with _server().wrap_socket(plain, server_side=True) as connection:
            connection.recv(1000)
            connection.sendall(b"250 over TLS\r\n")


@pytest.mark.parametrize("injected", [b"", b"250 EVIL\r\n"])
def test_an_answer_behind_starttls_is_read_as_the_verified_servers(injected: bytes) -> None:
    """smtplib over our context forgets what came before TLS, or the handshake fails on it; it never reads it later."""
    mail = _Mail(injected)
    client = smtplib.SMTP(*mail.address, timeout=20)
    client.ehlo("test")
    try:
        client.starttls(context=_client())
        answer = client.ehlo("test")
    except (OSError, smtplib.SMTPException):
        answer = (0, b"")
    client.close()
    mail.thread.join(20)
    assert b"EVIL" not in answer[1]
    assert injected or answer == (250, b"over TLS")
