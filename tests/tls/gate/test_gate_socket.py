"""The gate of servers that drive sockets themselves: what it holds, what ends a hold, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import ssl
import struct
import sys
import warnings
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from mtlspolicy import policies, tls
from mtlspolicy.tls import _gate_socket
from mtlspolicy.tls._answering import let_in_to_answer
from mtlspolicy.tls._gate_socket import Passed, SocketGate

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its default loop watches no sockets")


class Door:
    """A listening socket whose connections go to a gate, one task for each; and its clients."""

    def __init__(self, site: Any, context: ssl.SSLContext, *, answers: bool = False) -> None:
        self._site = site
        self.gate = SocketGate(context, answers=answers)
        self.tasks: list[asyncio.Task[Passed | None]] = []
        self.port = 0

    @property
    def held(self) -> int:
        """How many connections the gate holds."""
        return self.gate._held.held

    async def result(self, number: int = 0) -> Passed | None:
        """Return what became of a connection, by the order of their arrival."""
        await self._site.until(lambda: len(self.tasks) > number)
        return await asyncio.wait_for(asyncio.shield(self.tasks[number]), 30)

    @contextlib.asynccontextmanager
    async def client(self, name: str | None = "frodo") -> AsyncIterator[Any]:
        """Connect with a certificate for *name*, and go away in the end without a word."""
        context = self._site.client_context(name)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="localhost")
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            plain, _ = await loop.sock_accept(listener)
            self.tasks.append(loop.create_task(self.gate.pass_through(plain)))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Accept, until the block ends."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # what it accepts has it as well
            self.port = listener.getsockname()[1]
            accepting = asyncio.create_task(self._accept(listener))
            try:
                yield
            finally:
                accepting.cancel()
                for task in self.tasks:
                    task.cancel()
                for found in await asyncio.gather(*self.tasks, return_exceptions=True):
                    if isinstance(found, Passed):
                        found.ended()
                        found.connection.close()


class Client(NamedTuple):
    """One client connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ended(self) -> bytes:
        """Return what was received before the server ended the connection, in whatever way it shows."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            return await asyncio.wait_for(self.reader.read(), 30)
        return b""


def codes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the codes of the refusals that were logged."""
    lines = [record.getMessage() for record in caplog.records if record.name == "mtlspolicy.connection"]
    return [line.split(": ")[1] for line in lines]


async def read(passed: Passed) -> bytes:
    """Return what the client has sent already, or sends next."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(passed.connection.fileno(), ready.set)
    try:
        while True:
            try:
                return passed.connection.recv(100)
            except ssl.SSLWantReadError:
                ready.clear()
                await asyncio.wait_for(ready.wait(), 30)
    finally:
        loop.remove_reader(passed.connection.fileno())


def test_a_held_connection_is_read_after_its_decision_and_not_before(site: Any, run: Any) -> None:
    """The loop goes on while the source is asked; what came too early is there when the peer is admitted."""

    async def main() -> None:
        door = Door(site, site.context())
        async with door.open(), door.client() as client:
            client.writer.write(b"early")
            await site.source.began.wait()
            assert (door.held, door.tasks[0].done()) == (1, False)
            site.source.released.set()
            passed = await door.result()
            assert passed is not None
            assert (door.held, passed.refused, passed.connection.getsockname()[1]) == (0, None, door.port)
            assert await read(passed) == b"early"
            passed.connection.send(b"hello")
            assert await client.reader.readexactly(5) == b"hello"
            async with door.client():  # its fact is at hand, so nobody holds it
                again = await door.result(1)
                assert again is not None
                assert again.refused is None
            assert len(site.source.asked) == 1

    run(main())


def test_nothing_can_be_read_or_written_while_held(site13: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the socket gets WANT_READ in both directions, and the hold goes on."""

    async def main() -> None:
        door, made = Door(site13, site13.context()), list[Any]()
        monkeypatch.setattr(door.gate, "_context", _Taken(door.gate._context.wrap_socket, made))
        async with door.open(), door.client() as client:
            client.writer.write(b"early")
            await site13.source.began.wait()
            held: Any = made[0]
            for use in (held.recv, held.read, lambda: held.send(b"x")):
                with pytest.raises(ssl.SSLWantReadError):
                    use()
            site13.source.released.set()
            assert await door.result() is not None

    run(main())


class _Taken:
    """A context that shows what connections it makes."""

    def __init__(self, wrap: Any, made: list[Any]) -> None:
        self._wrap = wrap
        self._made = made

    def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        """Make one."""
        self._made.append(self._wrap(*args, **kwargs))
        return self._made[-1]


@pytest.mark.parametrize("answer", [False, OSError("data base down"), asyncio.CancelledError()], ids=repr)
def test_whoever_is_not_permitted_is_closed(
    site13: Any, run: Any, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A denial, and a source that is down: the connection ends, and one line says why."""
    site13.source.answer = answer
    site13.source.released.set()

    async def main() -> None:
        door = Door(site13, site13.context())
        async with door.open():
            async with door.client() as client:
                client.writer.write(b"request")
                assert await client.ended() == b""
            assert await door.result() is None
            assert door.held == 0

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    assert codes(caplog) == ["fact.refused" if answer is False else "fact.missing"]


@pytest.mark.parametrize("way", ["reset", "end", "half-close"])
def test_a_client_that_leaves_while_held_is_forgotten(
    site: Any, run: Any, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Reset, end and half-close end the hold long before its deadline, also behind bytes that nobody has read."""

    async def main() -> None:
        door = Door(site, site.context(hold_timeout=300.0))
        async with door.open(), door.client() as client:
            client.writer.write(b"request")
            await site.source.began.wait()
            plain = client.writer.get_extra_info("socket")
            if way == "reset":
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if way == "half-close":
                with socket.socket(fileno=socket.dup(plain.fileno())) as same:
                    same.shutdown(socket.SHUT_WR)
            else:
                client.writer.transport.abort()
            assert await door.result() is None
            assert door.held == 0

    with caplog.at_level(logging.DEBUG, "mtlspolicy.connection"):
        run(main())
    assert "tls.peer-gone" in caplog.text


def test_where_the_system_does_not_tell_a_hold_ends_at_its_deadline(
    site13: Any, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without poll nobody sees that the client has gone; the deadline ends the hold, and it is no admission."""
    monkeypatch.delattr(select, "poll")
    monkeypatch.setattr(_gate_socket, "LOOK", 0.01)

    async def main() -> None:
        door = Door(site13, site13.context(hold_timeout=0.1))
        async with door.open():
            async with door.client():
                await site13.source.began.wait()
            assert await door.result() is None
            assert door.held == 0

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    assert codes(caplog) == ["fact.missing"]


@pytest.mark.parametrize("bound", ["max_held", "max_held_per_address"])
def test_one_more_than_may_be_held_is_closed(
    site13: Any, run: Any, bound: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The first goes on waiting and is admitted."""

    async def main() -> None:
        door = Door(site13, site13.context(**{bound: 1}))
        async with door.open(), door.client():
            await site13.source.began.wait()
            async with door.client("sam") as other:
                assert await other.ended() == b""
            assert await door.result(1) is None
            site13.source.released.set()
            assert await door.result() is not None

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    assert codes(caplog) == ["gate.full"]


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
def test_a_client_that_says_nothing_is_closed_in_time(
    site13: Any, run: Any, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """``handshake_timeout`` bounds the handshake, which nobody else does there."""

    async def main() -> None:
        door = Door(site13, site13.context(handshake_timeout=0.1))
        async with door.open():
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(sent)
            assert await reader.read() == b""
            writer.close()
            assert await door.result() is None

    with caplog.at_level(logging.DEBUG, "mtlspolicy.connection"):
        run(main())
    assert "tls.handshake-timeout" in caplog.text


def test_a_client_that_reads_slowly_gets_its_handshake(site13: Any, run: Any) -> None:
    """A flight that fills the buffers of the system is written when there is room, and waits without a busy loop."""
    site13.source.released.set()
    context = site13.context()
    issued = site13.authority.issue_server("localhost", *(f"{'n' * 60}.{number}.example" for number in range(400)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with issued.tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)

    async def main() -> None:
        door = Door(site13, context)
        async with door.open():
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
            plain.settimeout(30)
            plain.connect(("127.0.0.1", door.port))
            client = await asyncio.to_thread(site13.client_context().wrap_socket, plain, server_hostname="localhost")
            with client:
                assert await door.result() is not None

    run(main())


@pytest.mark.parametrize("moment", ["held", "handshake"])
def test_a_cancelled_task_leaves_nothing(site13: Any, run: Any, moment: str, caplog: pytest.LogCaptureFixture) -> None:
    """A server that shuts down cancels what is at its gate: closed, refused and no longer counted."""

    async def main() -> None:
        door = Door(site13, site13.context())
        async with door.open():
            if moment == "held":
                async with door.client() as client:
                    await site13.source.began.wait()
                    door.tasks[0].cancel()
                    assert await client.ended() == b""
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
                await site13.until(lambda: bool(door.tasks))
                await asyncio.sleep(0)
                door.tasks[0].cancel()
                assert await reader.read() == b""
                writer.close()
            with pytest.raises(asyncio.CancelledError):
                await door.tasks[0]
            assert door.held == 0

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    assert codes(caplog) == ["gate.interrupted"]


def test_a_loop_that_takes_no_task_admits_nobody(site13: Any, run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Where the decision's task cannot be made the connection is refused, and does not count as held."""

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Any = None, **_: Any) -> asyncio.Task[Any]:
        if coroutine.__name__ == "settle_async":
            coroutine.close()
            raise TypeError("no task")
        return asyncio.Task(coroutine, loop=loop, context=context)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        door = Door(site13, site13.context())
        async with door.open(), door.client() as client:
            assert await client.ended() == b""
            assert await door.result() is None
            assert door.held == 0

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    assert codes(caplog) == ["gate.interrupted"]


def test_an_interrupt_in_a_policy_admits_nobody(site13: Any, run: Any) -> None:
    """A policy that ends the program while it decides on a held connection leaves that connection refused."""

    @policies.lookup("partner.enrolled", key=lambda path: str(path), identifies=True)  # noqa: PLW0108 - a class is no function
    def deadly(_row: object, _evidence: object) -> bool:
        raise SystemExit(7)

    doors: list[Door] = []

    async def main() -> None:
        door = Door(site13, site13.context(deadly))
        doors.append(door)
        async with door.open(), door.client() as client:
            site13.source.released.set()
            await client.ended()

    with pytest.raises(SystemExit):
        run(main())
    assert doors[0].held == 0
    assert all(task.done() for task in doors[0].tasks)


def test_a_context_with_another_class_of_connections_admits_nobody(site13: Any, run: Any) -> None:
    """Somebody has given the context back ssl's own class: there is no latch, and no connection."""
    context = site13.context()
    context.sslsocket_class = ssl.SSLSocket

    async def main() -> None:
        door = Door(site13, context)
        async with door.open():
            assert await site13.turned_away(door.port) == b""
            assert await door.result() is None

    run(main())


def test_a_connection_that_was_reset_before_it_is_served(site13: Any, run: Any) -> None:
    """It costs nobody anything."""

    async def main() -> None:
        gate = SocketGate(site13.context(), answers=False)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            plain, _ = listener.accept()
            plain.settimeout(0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            assert await gate.pass_through(plain) is None
            assert plain.fileno() == -1

    run(main())


def test_who_is_to_be_told_is_passed_on_as_refused(site13: Any, run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Refused in the handshake or while held: the connection has no peer, can be written, and counts until it ends."""
    site13.source.answer = False
    site13.source.released.set()
    context = site13.context(site13.policy & policies.CommonName("frodo"), max_held_per_address=2)
    let_in_to_answer(context)

    async def main() -> None:
        door = Door(site13, context, answers=True)
        async with door.open(), contextlib.AsyncExitStack() as stack:
            told = []
            for number, (who, code) in enumerate((("frodo", "fact.refused"), ("sam", "name.mismatch"))):
                client = await stack.enter_async_context(door.client(who))
                passed = await door.result(number)
                assert passed is not None
                assert passed.refused is not None
                assert (passed.refused.code, passed.seconds) == (code, 10.0)
                with pytest.raises(tls.HandshakeRejected, match=code):
                    tls.peer_of(passed.connection)
                told.append(passed)
                passed.connection.send(b"refused")
                assert await client.reader.readexactly(7) == b"refused"
            async with door.client(None) as full:
                assert await full.ended() == b""
            assert await door.result(2) is None
            for passed in told:
                for _ in range(2):
                    passed.ended()
                with pytest.raises(ssl.SSLError):
                    passed.connection.send(b"more")
            async with door.client(None):
                again = await door.result(3)
                assert again is not None
                assert again.refused is not None
                assert again.refused.code == "path.no-certificate"

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    assert codes(caplog) == ["fact.refused", "name.mismatch", "path.no-certificate", "path.no-certificate"]
