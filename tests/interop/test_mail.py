"""STARTTLS with real programs of both sides: smtplib and aiosmtpd, and an attacker who writes before TLS begins.

RULES 61; the attacks are those of CVE-2011-0411: plain bytes behind ``STARTTLS``, or behind the answer to it, that are
read as if they had come over TLS.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Generator
from typing import Any, Final

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
CA: Final = CertificateAuthority("Mail Root")
OTHER: Final = CertificateAuthority("Other Root")
TRUST: Final = TrustStore(anchors=[CA.certificate])
CLIENTS: Final = {
    "relay": CA.issue_client("relay"),
    "gollum": CA.issue_client("gollum"),
    "stranger": OTHER.issue_client("relay"),
}
LETTER: Final = "Subject: hello\r\n\r\nhello\r\n"


def credential_of(leaf: IssuedCertificate) -> tls.Credential:
    """Return the credential of *leaf*."""
    return tls.Credential.of(leaf.chain, leaf.key)


def server_context(**options: Any) -> ssl.SSLContext:
    """Return the context of a mail server that admits the relay; *options* are those of `tls.ServerOptions`."""
    verifier = Verifier.for_clients(trust=TRUST, policy=policies.CommonName("relay"))
    credential = credential_of(CA.issue_server("localhost"))
    return tls.server_context(credential=credential, verifier=verifier, options=tls.ServerOptions(**options))


def client_context(who: str | None = "relay", expected: str = "localhost") -> ssl.SSLContext:
    """Return the context of a client with the certificate of *who*, or with none."""
    verifier = Verifier.for_servers(trust=TRUST, expected=expected)
    return tls.client_context(credential=credential_of(CLIENTS[who]) if who else None, verifier=verifier)


class _Box:
    """What aiosmtpd calls: keeps each letter with the common name of its peer."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, str]] = []
        self.said: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Keep a letter."""
        del session
        peer = tls.peer_of(server.transport)  # type: ignore[arg-type]  # typed as any transport
        self.letters.append((str(peer and peer.common_name), str(envelope.mail_from)))
        return "250 kept"


class Office:
    """A mail server on a thread of its own, in which STARTTLS comes first.

    Attributes:
        box: Its letters.
        port: On loopback.

    Args:
        context: Of the server.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.box = _Box()
        self._context = context
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    def _session(self) -> SMTP:
        return SMTP(self.box, hostname="localhost", tls_context=self._context, require_starttls=True)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(self._session, HOST, 0)
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def office() -> Generator[Office, None, None]:
    """Run the mail server."""
    made = Office(server_context())
    yield made
    made.close()


def send(office: Office, context: ssl.SSLContext, sender: str) -> Any:
    """Send a letter of *sender* over STARTTLS."""
    with smtplib.SMTP("localhost", office.port, timeout=PATIENCE) as client:
        return _send_by(client, sender, context)


def _send_by(client: smtplib.SMTP, sender: str, context: ssl.SSLContext | None = None) -> Any:
    client.starttls(context=context or client_context())
    return client.sendmail(sender, ["you@example.com"], LETTER)


def test_a_relay_with_its_certificate_delivers(office: Office) -> None:
    """Both sides verify each other after STARTTLS, and the server knows who sent the letter."""
    assert send(office, client_context(), "good@example.com") == {}
    assert ("relay", "good@example.com") in office.box.letters


@pytest.mark.parametrize("who", ["gollum", "stranger", None])
def test_who_is_not_meant_delivers_nothing(who: str | None, office: Office) -> None:
    """Another name, another CA, no certificate: no command is read after the handshake."""
    sender = f"{who}@example.com"
    with pytest.raises((smtplib.SMTPException, OSError)):
        send(office, client_context(who), sender)
    assert sender not in {row[1] for row in office.box.letters}


def test_a_context_that_holds_connections_meets_no_gate() -> None:
    """aiosmtpd makes its TLS connection itself: with ``pending="hold"`` the mistake shows with the first letter."""
    office = Office(server_context(pending="hold"))
    try:
        with pytest.raises((smtplib.SMTPException, OSError)):
            send(office, client_context(), "held@example.com")
    finally:
        office.close()
    assert office.box.letters == []


def test_a_letter_without_starttls_is_not_taken(office: Office) -> None:
    """``require_starttls`` of aiosmtpd: in the clear nothing but STARTTLS is done."""
    with smtplib.SMTP("localhost", office.port, timeout=PATIENCE) as client, pytest.raises(smtplib.SMTPException):
        client.sendmail("plain@example.com", ["you@example.com"], LETTER)
    assert "plain@example.com" not in {row[1] for row in office.box.letters}


def test_a_client_refuses_a_server_by_another_name(office: Office) -> None:
    """smtplib verifies the name that it was connected to, and not what the server calls itself."""
    with (
        smtplib.SMTP("localhost", office.port, timeout=PATIENCE) as client,
        pytest.raises(tls.HandshakeRejected) as caught,
    ):
        client.starttls(context=client_context(expected="mail.example.com"))
    assert caught.value.code == "tls.name-mismatch"


def _answer(file: Any) -> bytes:
    """Return the last line of an answer of a mail server."""
    while (line := file.readline())[3:4] == b"-":
        pass
    return bytes(line)


def test_injected_commands_behind_starttls_are_never_read_as_the_relays(office: Office) -> None:
    """CVE-2011-0411, to the server: ``MAIL FROM`` sent with STARTTLS in the clear is no command of the peer's."""
    with socket.create_connection((HOST, office.port), PATIENCE) as plain:
        with plain.makefile("rb") as file:
            assert _answer(file).startswith(b"220")
            plain.sendall(b"EHLO test\r\n")
            assert _answer(file).startswith(b"250")
        plain.sendall(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<injected@example.com>\r\n")
        answer = b""
        while not answer.endswith(b"\r\n"):
            answer += plain.recv(1)
        assert answer.startswith(b"220")
        try:
            with client_context().wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"EHLO test\r\n")
                with client.makefile("rb") as file:
                    assert _answer(file).startswith(b"250")
                    client.sendall(b"RCPT TO:<you@example.com>\r\n")
                    answer = _answer(file)
        except OSError:
            answer = b""  # or the connection ends
    assert not answer.startswith(b"250")  # "need MAIL first": the injected one was not heard
    assert "injected@example.com" not in {row[1] for row in office.box.letters}


class _Impostor:
    """Answers a client's STARTTLS, with bytes of the attacker's behind the answer, and goes on over real TLS."""

    def __init__(self, injected: bytes) -> None:
        self._listener = socket.create_server((HOST, 0))
        self._injected = injected
        self.port: int = self._listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with self._listener:
            plain, _ = self._listener.accept()
        plain.settimeout(PATIENCE)
        with plain, plain.makefile("rb") as file:
            for answer in (b"220 hello\r\n", b"250-here\r\n250 STARTTLS\r\n"):
                plain.sendall(answer)
                file.readline()
            plain.sendall(b"220 go\r\n" + self._injected)
            try:
                with server_context().wrap_socket(plain, server_side=True) as connection:
                    connection.recv(1000)
                    connection.sendall(b"250 over TLS\r\n")
            except OSError:
                return  # the client has refused


@pytest.mark.parametrize("injected", [b"", b"250 EVIL\r\n", b"250-EVIL\r\n" * 2000])
def test_an_injected_answer_behind_starttls_is_never_read_as_the_servers(injected: bytes) -> None:
    """CVE-2011-0411, to the client: an answer sent in the clear is not read as an answer of the verified server."""
    impostor = _Impostor(injected)
    client = smtplib.SMTP("localhost", impostor.port, timeout=PATIENCE)
    try:
        client.starttls(context=client_context())
        answer = client.ehlo("test")
    except (OSError, smtplib.SMTPException):
        answer = (0, b"")
    finally:
        client.close()
    impostor.thread.join(PATIENCE)
    assert not impostor.thread.is_alive()
    assert b"EVIL" not in answer[1]
    assert injected or answer == (250, b"over TLS")


@pytest.mark.parametrize("answer", [b"454 not now\r\n", b"250 no such thing\r\n", b""])
def test_a_client_whose_starttls_was_stripped_sends_nothing_more(answer: bytes) -> None:
    """Somebody in between takes STARTTLS out of the conversation: ``starttls`` raises, and the letter is not sent."""
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        plain.settimeout(PATIENCE)
        with plain, plain.makefile("rb") as file:
            plain.sendall(b"220 hello\r\n")
            file.readline()
            plain.sendall(b"250 here\r\n" if not answer else b"250-here\r\n250 STARTTLS\r\n")
            heard.append(file.readline())
            if answer:
                plain.sendall(answer)
            heard.append(file.read())

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        client = smtplib.SMTP("localhost", listener.getsockname()[1], timeout=PATIENCE)
        with pytest.raises(smtplib.SMTPException):
            _send_by(client, "stripped@example.com")
        client.close()
        thread.join(PATIENCE)
    assert b"stripped" not in b"".join(heard)
