"""aiosmtpd with a context of ours: many clients at once, clients that go away, and clients that say nothing."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from aiosmtpd.smtp import SMTP

from mtlspolicy import VerificationError, policies, tls
from tests.integrations import battery
from tests.integrations.battery import ALLOWED, GOOD, REFUSED, SAM, Running, client_context
from tests.integrations.loop_serving import in_a_loop
from tests.integrations.serving import HOST, PATIENCE

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors and threads are counted here"),
    pytest.mark.skipif(sys.platform == "win32", reason="one loop there"),
]

_AT_ONCE: Final = 100


class _Box:
    """What aiosmtpd calls: ``NOOP`` is answered with who asks, and one may send in one's own name alone."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs

    async def handle_NOOP(self, server: SMTP, *_: Any) -> str:  # noqa: N802 - its name
        """Answer."""
        peer: Any = tls.peer_of(server.transport)  # type: ignore[arg-type]  # typed as any transport
        battery.count_run(self._runs)
        return f"250 {peer.common_name}"

    async def handle_MAIL(self, server: SMTP, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        """Ask whether it is the one whom the address names."""
        peer: Any = tls.peer_of(server.transport)  # type: ignore[arg-type]
        try:
            peer.require(policies.CommonName(address.partition("@")[0]))
        except VerificationError as error:
            return f"550 {error.code}"
        battery.count_run(self._runs)
        envelope.mail_from = address
        return "250 kept"

    async def handle_VRFY(self, *_: Any) -> str:  # noqa: N802
        """Tell how many tasks there are."""
        return f"252 {len(asyncio.all_tasks())}"


@contextmanager
def _serving(context: ssl.SSLContext, runs: Path) -> Generator[int, None, None]:
    """Serve mail by aiosmtpd's own class, STARTTLS first, and lend the port."""

    def session() -> SMTP:
        return SMTP(_Box(runs), hostname="localhost", tls_context=context, require_starttls=True)

    @asynccontextmanager
    async def begin(listener: socket.socket) -> AsyncGenerator[None, None]:
        server = await asyncio.get_running_loop().create_server(session, sock=listener.dup(), backlog=200)
        yield
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    with in_a_loop(begin) as server:
        yield server.address[1]


def said(server: Running, context: ssl.SSLContext, asking: Any = smtplib.SMTP.noop) -> str | None:
    """Return who the server says is asking, or its answer to *asking*; ``None``: it closed the connection."""
    with suppress(smtplib.SMTPException, OSError), smtplib.SMTP("localhost", server.port, timeout=PATIENCE) as client:
        client.starttls(context=context)
        answer: bytes = asking(client)[1]
        return answer.decode()
    return None


def said_again(server: Running, context: ssl.SSLContext) -> str | None:
    """Return the same as soon as there is an answer: whoever comes before the CRL was read has to come again."""
    return battery.repeated(lambda: said(server, context))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running, None, None]:
    """A mail server that runs for all tests here; the first client is its warm-up."""
    folder = tmp_path_factory.mktemp("mail")
    runs = folder / "runs"
    runs.touch()
    good = client_context(folder, GOOD)
    with _serving(battery.server_context(folder), runs) as port:

        def tasks() -> int:
            told = battery.repeated(lambda: said(server, good, lambda client: client.verify("tasks")))
            return int(told or "")

        server = Running(port, battery.own_process, runs, tasks, waits=False)
        assert said_again(server, good) == "frodo"
        yield server


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
    """The connection ends in or after the handshake; the one who is revoked comes until the CRL was read."""
    before, context = running.ran, client_context(tmp_path, REFUSED[who])

    def refused() -> bool:
        assert said(running, context) is None
        return who != "revoked" or running.decided("crl.revoked") > 0

    assert battery.until(refused)
    assert running.ran == before


def test_a_further_question_is_refused_for_one_and_admits_another(running: Running, tmp_path: Path) -> None:
    """Both were admitted to the server; in the hook sam may send as sam, and frodo may not."""
    before = running.ran
    assert _sent_as_sam(running, client_context(tmp_path, GOOD)) == "name.mismatch"
    assert running.ran == before
    assert _sent_as_sam(running, client_context(tmp_path, SAM)) == "kept"
    assert running.ran == before + 1


def _sent_as_sam(running: Running, context: ssl.SSLContext) -> str | None:
    def sending(client: smtplib.SMTP) -> tuple[int, bytes]:
        client.ehlo("test")
        return client.mail("sam@example.com")

    return battery.repeated(lambda: said(running, context, sending))


def test_a_resumed_session_is_judged_as_a_new_one_is(running: Running, tmp_path: Path) -> None:
    """A session of TLS 1.2 is taken up after STARTTLS, and is worth nothing once the name is no longer allowed."""
    context = client_context(tmp_path, GOOD)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session, first = _visit(running, context, None)
    assert first == b"250 frodo\r\n"
    assert _visit(running, context, session)[1] == b"resumed 250 frodo\r\n"
    try:
        running.names.write_text("sam", encoding="ascii")
        before, denied = running.ran, running.decided("name.mismatch")
        assert _visit_once(running, context, session)[1] == b""
        assert running.ran == before
        assert battery.until(lambda: running.decided("name.mismatch") == denied + 1)
    finally:
        running.names.write_text(ALLOWED, encoding="ascii")


def _visit(running: Running, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[Any, bytes]:
    """Return the session of a visit, and what the server says, as soon as it says something."""
    return battery.repeated(lambda: _visit_once(running, context, session), lambda visit: visit[1])


def _visit_once(running: Running, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[Any, bytes]:
    """Return the session of a visit, and what the server says; nothing: it closed the connection."""
    told = b""
    with (
        begun(running) as plain,
        suppress(OSError),
        context.wrap_socket(plain, server_hostname="localhost", session=session) as secured,
    ):
        secured.sendall(b"EHLO test\r\nNOOP\r\nQUIT\r\n")
        lines = b"".join(iter(lambda: secured.recv(4096), b"")).splitlines(keepends=True)
        told = b"".join(line for line in lines if line.endswith(b" frodo\r\n"))
        if told and secured.session_reused:
            told = b"resumed " + told
        session = secured.session
    return session, told


def test_a_hundred_at_once_leave_nothing_behind(running: Running, tmp_path: Path) -> None:
    """Half of them are refused; descriptors, threads and tasks are as many as after a first hundred."""
    good, bad = (client_context(tmp_path, one) for one in (GOOD, REFUSED["another name"]))
    with ThreadPoolExecutor(20) as pool:  # whose threads are there before anything is counted, and after

        def visit(number: int) -> str | None:
            return said(running, bad) if number % 2 else said_again(running, good)

        def rush() -> list[str | None]:
            return list(pool.map(visit, range(_AT_ONCE)))

        rush()
        before, ran = running.settled(), running.ran
        assert rush() == ["frodo", None] * (_AT_ONCE // 2)
        assert running.ran == ran + _AT_ONCE // 2
        assert running.settles(before), (before, running.belongings())


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
    assert said_again(running, client_context(tmp_path, GOOD)) == "frodo"
    assert running.ran == before + 1


def test_silent_clients_do_not_hold_others_up(running: Running, tmp_path: Path) -> None:
    """One says nothing at all, one nothing after STARTTLS, one sends a single octet of TLS; the next is served."""
    with (
        socket.create_connection((HOST, running.port), PATIENCE),
        begun(running),
        begun(running) as slow,
    ):
        slow.sendall(b"\x16")
        assert said_again(running, client_context(tmp_path, GOOD)) == "frodo"
