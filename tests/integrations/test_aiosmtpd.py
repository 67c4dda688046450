"""aiosmtpd behind the gate: nothing after STARTTLS is read before the decision, and hooks know and ask who is there."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Self

import pytest
from aiosmtpd import smtp

from mtlspolicy import policies, tls
from mtlspolicy.errors import ConfigurationError, NoPeerCertificate
from mtlspolicy.integrations import aiosmtpd as ours
from tests.integrations.loop_serving import (
    REFUSED,
    Row,
    Slow,
    client_context,
    enrolled,
    holding,
    in_a_loop,
    open_files,
    server_context,
    until,
)
from tests.integrations.serving import PATIENCE, Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there")


class Box:
    """What aiosmtpd calls: takes note of each command, and of who gave it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str | None]] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    def _note(self, server: Any, text: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        peer = ours.peer_or_none(server)
        self.heard.append((text, None if peer is None else peer.common_name))

    async def handle_EHLO(self, server: Any, session: Any, _envelope: Any, hostname: str, answers: Any) -> Any:  # noqa: N802
        """Greet; in the clear nobody has an identity."""
        if session.ssl is None and server.tls_context is not None:
            with pytest.raises(ConfigurationError):
                ours.peer_or_none(server)
        else:
            self._note(server, f"EHLO {hostname}")
        session.host_name = hostname
        return answers

    async def handle_MAIL(self, server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        """Ask who sends; the address says what."""
        if address.startswith("asks-"):
            name = address.removeprefix("asks-").partition("@")[0]
            found = await ours.require(policies.CommonName(name))(server)
            assert found is ours.peer(server)
            chain = ours.presented(server)
            assert chain is not None
        if address.startswith("later"):
            await ours.require(enrolled)(server)
        if address.startswith("anybody"):
            ours.peer(server)
        if address.startswith("relay"):
            raise NoPeerCertificate(tls.decision_of(server.transport))  # as of a connection that the hook made itself
        self._note(server, f"MAIL {address}")
        envelope.mail_from = address
        return "250 kept"


@contextmanager
def serving(
    context: ssl.SSLContext, box: Box, *, implicit: bool = False, kind: type[smtp.SMTP] = ours.SMTP, **options: Any
) -> Generator[Server, None, None]:
    """Serve mail, with STARTTLS or with TLS from the beginning."""

    def session() -> smtp.SMTP:
        given: Any = options if implicit else {"tls_context": context, **options}
        return kind(box, hostname="localhost", **given)

    @asynccontextmanager
    async def begin(listener: socket.socket) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(session, sock=listener.dup(), ssl=context if implicit else None)
        yield
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)

    with in_a_loop(begin) as server:
        yield server


class Talk:
    """One connection of a client, line by line."""

    def __init__(self, server: Server, context: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(server.address, PATIENCE)
        self.sock: socket.socket = plain
        if context is not None:
            self.sock = context.wrap_socket(plain, server_hostname="localhost")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def line(self) -> bytes:
        """Return the next line of the server's; empty: it has ended the connection."""
        got = b""
        with suppress(OSError):
            while not got.endswith(b"\n") and (more := self.sock.recv(1)):
                got += more
        return got

    def say(self, text: str) -> bytes:
        """Send a command, and return the last line of the answer."""
        self.sock.sendall(f"{text}\r\n".encode("ascii"))
        line = self.line()
        while line[3:4] == b"-":
            line = self.line()
        return line.rstrip()

    def starttls(self, who: str, behind: str = "") -> None:
        """Take the connection to TLS, with *behind* sent in the clear together with the command."""
        assert self.line().startswith(b"220")
        assert self.say("EHLO test").startswith(b"250")
        self.sock.sendall(f"STARTTLS\r\n{behind}".encode("ascii"))
        assert self.line().startswith(b"220")
        self.sock = client_context(who).wrap_socket(self.sock, server_hostname="localhost")


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
def test_no_command_after_starttls_is_read_before_the_decision(*, implicit: bool) -> None:
    """What a held client sends is there for the session that it gets, and for nobody before."""
    row, box = Slow(), Box()
    context = holding(row)
    with serving(context, box, implicit=implicit) as server, ExitStack() as stack:
        talk = stack.enter_context(Talk(server, client_context("frodo") if implicit else None))
        if not implicit:
            talk.starttls("frodo")
        talk.sock.sendall(b"EHLO early\r\nMAIL FROM:<early@example.com>\r\n")
        until(lambda: row.asked == 1)
        other = stack.enter_context(Talk(server))  # the loop goes on meanwhile
        assert implicit or other.line().startswith(b"220")
        assert box.heard == []
        row.released.set()
        last = b""
        while not last.startswith(b"250 kept"):
            last = talk.line()
            assert last
        assert box.heard == [("EHLO early", "frodo"), ("MAIL early@example.com", "frodo")]


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
@pytest.mark.parametrize("who", [*REFUSED, "sam"])
def test_whoever_is_refused_is_closed_and_no_command_is_read(who: str, *, implicit: bool) -> None:
    """By the certificate alone, or after the data base was asked."""
    row, box = Row(), Box()
    row.names = {"CN=frodo"}
    with serving(holding(row), box, implicit=implicit) as server:
        with suppress(OSError), Talk(server, client_context(who) if implicit else None) as talk:
            if not implicit:
                talk.starttls(who)
            talk.sock.sendall(b"EHLO early\r\nMAIL FROM:<early@example.com>\r\n")
            assert talk.line() == b""
        assert box.heard == []
        assert row.asked == (who == "sam")


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
def test_a_client_that_leaves_while_held_ends_its_session(*, implicit: bool) -> None:
    """Nothing of it is left: neither a place at the gate, nor a task, nor a descriptor."""
    row, box = Slow(), Box()
    with serving(holding(row, max_held=1), box, implicit=implicit) as server:
        files = open_files()
        for number in range(3):
            with Talk(server, client_context("frodo") if implicit else None) as talk:
                if not implicit:
                    talk.starttls("frodo")
                talk.sock.sendall(b"EHLO early\r\n")
                until(lambda: ours.SMTP._held.held == 1)
                with Talk(server, client_context("frodo") if implicit else None) as other:  # has no place
                    if not implicit:
                        other.starttls("frodo")
                    assert other.line() == b""
            until(lambda: ours.SMTP._held.held == 0)
            assert (box.heard, number) == ([], number)
        until(lambda: open_files() <= files)


def test_a_hold_ends_at_its_deadline_and_the_session_with_it() -> None:
    """No command of the client is read afterwards."""
    row, box = Slow(), Box()
    with serving(holding(row, hold_timeout=0.2), box) as server, Talk(server) as talk:
        talk.starttls("frodo")
        talk.sock.sendall(b"EHLO early\r\n")
        assert talk.line() == b""
        assert box.heard == []


def test_commands_injected_behind_starttls_are_heard_by_nobody() -> None:
    """CVE-2011-0411, also while the connection is held: plain bytes are no commands of the peer's."""
    row, box = Slow(), Box()
    with serving(holding(row), box) as server, Talk(server) as talk:
        with suppress(OSError):
            talk.starttls("frodo", "EHLO evil\r\nMAIL FROM:<injected@example.com>\r\n")
            row.released.set()
            if talk.say("EHLO test"):
                assert not talk.say("RCPT TO:<you@example.com>").startswith(b"250")
        assert {heard for heard, _ in box.heard} <= {"EHLO test"}


def test_a_context_that_decides_at_once_needs_no_wait() -> None:
    """``pending="refuse"``, and hold with every fact at hand: the gate passes on what is decided."""
    for context in (server_context(), server_context(options=tls.ServerOptions(pending="hold"))):
        box = Box()
        with serving(context, box) as server, smtplib.SMTP("localhost", server.address[1], timeout=PATIENCE) as client:
            client.starttls(context=client_context("frodo"))
            assert client.ehlo("test")[0] == 250
            assert client.mail("a@example.com")[0] == 250
        assert box.heard == [("EHLO test", "frodo"), ("MAIL a@example.com", "frodo")]


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("asks-frodo@example.com", b"250 kept"),
        ("asks-sam@example.com", b"550 5.7.1 name.mismatch"),
        ("later@example.com", b"451 4.7.0 fact.missing"),
        ("relay@example.com", b"500 Error: (NoPeerCertificate)"),
        ("anybody@example.com", b"250 kept"),
    ],
)
def test_a_hook_asks_further(address: str, answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal of ours is answered with the code alone and the session goes on; what else is raised is aiosmtpd's."""
    box = Box()
    with serving(server_context(), box) as server, Talk(server) as talk:
        talk.starttls("frodo")
        talk.say("EHLO test")
        assert talk.say(f"MAIL FROM:<{address}>").startswith(answer)
        assert talk.say("NOOP").startswith(b"250")
    assert ("refused a request over 127.0.0.1" in caplog.text) is answer.startswith((b"550", b"451"))


def test_without_the_gate_a_hook_knows_and_asks_as_well() -> None:
    """aiosmtpd's own class with a context of ours: the question raises, and aiosmtpd answers as it does for errors."""
    box = Box()
    with serving(server_context(), box, kind=smtp.SMTP) as server, Talk(server) as talk:
        talk.starttls("frodo")
        talk.say("EHLO test")
        assert talk.say("MAIL FROM:<asks-sam@example.com>").startswith(b"500 Error")
        assert talk.say("MAIL FROM:<asks-frodo@example.com>").startswith(b"250")
    holds = server_context(options=tls.ServerOptions(pending="hold"))
    with serving(holds, box, kind=smtp.SMTP) as server, Talk(server) as talk:
        talk.starttls("frodo")
        assert talk.say("EHLO held") == b""
    assert box.heard == [("EHLO test", "frodo"), ("MAIL asks-frodo@example.com", "frodo")]


def test_a_certificate_may_be_optional() -> None:
    """``None`` has one meaning, and `peer` answers for it."""
    box = Box()
    with serving(server_context(client_certificate="optional"), box) as server, Talk(server) as talk:
        talk.starttls("none")
        talk.say("EHLO test")
        assert talk.say("MAIL FROM:<a@example.com>").startswith(b"250")
        assert talk.say("RSET").startswith(b"250")
        assert talk.say("MAIL FROM:<anybody@example.com>") == b"550 5.7.1 path.no-certificate"
    assert box.heard == [("EHLO test", None), ("MAIL a@example.com", None)]


def test_the_upgrade_is_a_rule() -> None:
    """Nothing is taken in the clear unless that was said; HELP knows the command, and an argument is none."""
    context = server_context()
    with serving(context, Box()) as server, Talk(server) as talk:
        talk.line()
        assert talk.say("EHLO test").startswith(b"250")
        assert talk.say("MAIL FROM:<a@example.com>").startswith(b"530")
        assert talk.say("STARTTLS now") == b"501 Syntax: STARTTLS"
        assert talk.say("HELP STARTTLS").startswith(b"530")
    with serving(context, Box(), require_starttls=False) as server, Talk(server) as talk:
        talk.line()
        assert talk.say("EHLO test").startswith(b"250")
        assert talk.say("HELP STARTTLS") == b"250 Syntax: STARTTLS"
        assert talk.say("MAIL FROM:<asks-frodo@example.com>").startswith(b"500")  # nobody has an identity there


def test_forty_at_once_half_of_them_refused_leave_nothing() -> None:
    """Each good client delivers, no bad one does, and descriptors and tasks are as before."""
    row, box = Row(), Box()

    def visit(server: Server, number: int) -> bool:
        with smtplib.SMTP("localhost", server.address[1], timeout=PATIENCE) as client, suppress(OSError, EOFError):
            client.starttls(context=client_context("wrong name" if number % 2 else "frodo"))
            client.ehlo("test")
            return client.mail("a@example.com")[0] == 250
        return False

    with serving(holding(row), box) as server:
        assert visit(server, 0)
        until(lambda: all(task.done() for task in box.tasks))
        files = open_files()
        found: dict[int, bool] = {}
        threads = [
            threading.Thread(target=lambda number: found.update({number: visit(server, number)}), args=(number,))
            for number in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert found == {number: number % 2 == 0 for number in range(40)}
        until(lambda: open_files() <= files and all(task.done() for task in box.tasks))


def test_what_does_not_go_together_is_said_when_the_session_is_made() -> None:
    """A context without a verifier of clients, and what has no TLS of ours."""
    with pytest.raises(ConfigurationError, match="tls.server_context"):
        ours.SMTP(Box(), tls_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    for what in (object(), smtp.SMTP):
        with pytest.raises(ConfigurationError, match="TLS"):
            ours.peer(what)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="callable"):
        ours.require("frodo")  # type: ignore[arg-type]
