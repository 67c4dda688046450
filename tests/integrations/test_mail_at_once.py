"""aiosmtpd with a context of ours: many clients at once, clients that go away, and clients that say nothing."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy import TrustStore, Verifier, policies, tls
from tests.clients.mail_serving import mail_serving
from tests.integrations import battery
from tests.integrations.battery import GOOD, ISSUING, REFUSED, ROOT, SERVER, Running, client_context
from tests.integrations.serving import HOST, PATIENCE

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors and threads are counted here")

_AT_ONCE: Final = 100


@policies.predicate("mail.not-listed")
def not_listed(evidence: Any) -> bool:
    """Permit what is not revoked; a CRL would be a fact, and nobody waits for facts in a handshake of aiosmtpd's."""
    revoked = REFUSED["revoked"]
    assert revoked is not None
    return bool(evidence.path.end_entity.serial_number != revoked.certificate.serial_number)


def server_context() -> ssl.SSLContext:
    """Return the context of a mail server that admits frodo of the issuing CA."""
    policy = policies.CommonName("frodo") & policies.IssuerPin(ISSUING.certificate) & not_listed
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=policy)
    return tls.server_context(credential=tls.Credential.of(SERVER.chain, SERVER.key), verifier=verifier)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running, None, None]:
    """A mail server that runs for all tests here; the first client is its warm-up."""
    folder = tmp_path_factory.mktemp("mail")
    runs = folder / "runs"
    runs.touch()
    with mail_serving(server_context(), lambda: battery.count_run(runs)) as port:
        server = Running(port, battery.own_process, runs)
        assert said(server, client_context(folder, GOOD)) == "frodo"
        yield server


def said(server: Running, context: ssl.SSLContext) -> str | None:
    """Return who the server says is asking; ``None``: it closed the connection."""
    with suppress(smtplib.SMTPException, OSError), smtplib.SMTP("localhost", server.port, timeout=PATIENCE) as client:
        client.starttls(context=context)
        return client.noop()[1].decode()
    return None


@contextmanager
def begun(server: Running) -> Generator[socket.socket, None, None]:
    """Lend a connection on which the server waits for the first byte of TLS."""
    with socket.create_connection((HOST, server.port), PATIENCE) as plain, plain.makefile("rb") as file:
        for answer, words in ((b"220 ", b"EHLO test\r\n"), (b"250 ", b"STARTTLS\r\n"), (b"220 ", b"")):
            while file.readline()[:4] != answer:  # the lines before the last one have a hyphen there
                pass
            plain.sendall(words)
        yield plain


@pytest.mark.parametrize("who", REFUSED)
def test_nobody_else_has_any_command_done(running: Running, tmp_path: Path, who: str) -> None:
    """The connection ends in or after the handshake, and no command is read."""
    before = running.ran
    assert said(running, client_context(tmp_path, REFUSED[who])) is None
    assert running.ran == before


def test_a_hundred_at_once_leave_nothing_behind(running: Running, tmp_path: Path) -> None:
    """Half of them are refused; descriptors and threads are as many as after a first hundred."""
    good, bad = (client_context(tmp_path, one) for one in (GOOD, REFUSED["another name"]))
    with ThreadPoolExecutor(20) as pool:  # whose threads are there before anything is counted, and after

        def rush() -> list[str | None]:
            return list(pool.map(lambda number: said(running, bad if number % 2 else good), range(_AT_ONCE)))

        rush()
        before, ran = running.belongings(), running.ran
        assert rush() == ["frodo", None] * (_AT_ONCE // 2)
        assert running.ran == ran + _AT_ONCE // 2
        assert battery.until(lambda: all(now <= then for now, then in zip(running.belongings(), before, strict=True)))


def test_clients_that_go_away_in_the_middle_of_the_handshake(running: Running, tmp_path: Path) -> None:
    """Neither half a message nor a whole one without an end costs anybody else anything."""
    before = running.ran
    for part in (0, 1, 60, None):
        outgoing = ssl.MemoryBIO()
        client = client_context(tmp_path, GOOD).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        for _ in range(5):
            with begun(running) as plain:
                plain.sendall(hello[:part])
    assert said(running, client_context(tmp_path, GOOD)) == "frodo"
    assert running.ran == before + 1


def test_silent_clients_do_not_hold_others_up(running: Running, tmp_path: Path) -> None:
    """One says nothing at all, one nothing after STARTTLS, one sends a single octet of TLS; the next is served."""
    with (
        socket.create_connection((HOST, running.port), PATIENCE),
        begun(running),
        begun(running) as slow,
    ):
        slow.sendall(b"\x16")
        assert said(running, client_context(tmp_path, GOOD)) == "frodo"
