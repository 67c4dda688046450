"""The handover: what the application's protocol may do, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Any, cast

import pytest

from mtlspolicy import ConfigurationError, policies, tls


class Broken(asyncio.Protocol):
    """A protocol that fails when it is given its connection."""

    error: BaseException = ValueError("application")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Fail."""
        del transport
        raise self.error


@pytest.mark.parametrize("where", ["factory", "connection_made"])
@pytest.mark.parametrize("held", [True, False])
def test_an_application_that_fails_is_told_to_the_loop(site13: Any, run: Any, where: str, *, held: bool) -> None:
    """An exception of the application closes the connection and reaches the loop's exception handler."""
    told: list[dict[str, Any]] = []

    def fail() -> asyncio.BaseProtocol:
        raise ValueError("application")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        site13.factory = fail if where == "factory" else Broken
        context = site13.context(site13.policy if held else policies.CommonName("frodo"))
        async with site13.serving(context) as port, site13.client(port) as client:
            site13.source.released.set()
            assert await client.ended() == b""

    run(main())
    assert [str(context["exception"]) for context in told] == ["application"]


def test_an_interrupt_in_the_application_is_not_swallowed(site13: Any, run: Any) -> None:
    """What ends a program goes through the gate, and the connection is closed."""

    def fail() -> asyncio.BaseProtocol:
        raise SystemExit(7)

    async def main() -> None:
        site13.factory = fail
        async with site13.serving(site13.context()) as port, site13.client(port) as client:
            site13.source.released.set()
            await client.ended()

    with pytest.raises(SystemExit):
        run(main())
    assert site13.keepers[0]._transport.is_closing()


class Pausing(asyncio.Protocol):
    """Pauses reading as soon as it has its connection."""

    def __init__(self, made: list[Any]) -> None:
        self.received = bytearray()
        made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pause."""
        self.transport: Any = cast("Any", transport)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Take note."""
        self.received += data
        self.transport.write(data)


def test_an_application_that_pauses_stays_paused(site: Any, run: Any) -> None:
    """The wake-up of the gate does not undo what the application says in connection_made."""

    async def main() -> None:
        site.factory = lambda: Pausing(site.made)
        async with site.serving(site.context()) as port, site.client(port) as client:
            client.writer.write(b"request")
            await site.source.began.wait()
            site.source.released.set()
            await site.until(lambda: bool(site.made))
            await asyncio.sleep(0.02)
            assert site.made[0].received == b""
            site.made[0].transport.resume_reading()
            assert await client.reader.readexactly(7) == b"request"

    run(main())


class Buffered(asyncio.BufferedProtocol):
    """Echoes through a buffer of its own, a memoryview as asyncio's TLS needs it."""

    def __init__(self, made: list[Any]) -> None:
        self.buffer = memoryview(bytearray(10_000))
        made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport: Any = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the buffer."""
        del sizehint
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Echo."""
        self.transport.write(bytes(self.buffer[:nbytes]))


def test_a_buffered_protocol_gets_what_was_held(site: Any, run: Any) -> None:
    """A BufferedProtocol whose buffer is a memoryview is handed over like any other."""
    data = hashlib.shake_256(b"buffered").digest(300_000)

    async def main() -> None:
        site.factory = lambda: Buffered(site.made)
        async with site.serving(site.context()) as port, site.client(port) as client:
            client.writer.write(data)
            await site.source.began.wait()
            site.source.released.set()
            assert await client.reader.readexactly(len(data)) == data

    run(main())


def test_a_gate_in_a_gate_opens(site13: Any, run: Any) -> None:
    """Wrapping a factory twice is harmless: the second gate finds the connection admitted."""

    async def main() -> None:
        site13.factory = tls.gate(site13.factory)
        async with site13.serving(site13.context()) as port, site13.client(port) as client:
            site13.source.released.set()
            assert await client.ask(b"x", 7) == b"hello x"

    run(main())


@pytest.mark.parametrize("given", [None, "protocol", 5])
def test_a_gate_takes_a_factory(given: Any) -> None:
    """What cannot be called is an error when the gate is made."""
    with pytest.raises(ConfigurationError, match="protocol factory"):
        tls.gate(given)


def test_a_unix_socket_is_held_too(site: Any, run: Any) -> None:
    """On a Unix socket there is no address to count by, and the gate works the same."""

    async def main() -> None:
        path = str(Path(site.folder) / "s")
        site.gate = tls.gate(site.factory)
        context = site.context(max_held_per_address=1)
        server = await asyncio.get_running_loop().create_unix_server(site.make, path, ssl=context)
        pairs = [
            await asyncio.open_unix_connection(path, ssl=site.client_context(), server_hostname="localhost")
            for _ in "ab"
        ]
        await site.until(lambda: site.held == 2)
        site.source.released.set()
        for reader, writer in pairs:
            assert await reader.readexactly(6) == b"hello "
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        server.close()
        site.resolver.close()

    run(main())
