"""A held connection is bounded in number, in time and in bytes, whatever its client does."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import sys
import threading
from typing import Any

import pytest

from mtlspolicy.tls import ServerOptions
from mtlspolicy.tls._gate_register import Register, origin_of


def many() -> int:
    """Return how many connections to hold: 1000, or what the limit of open files allows for both ends together."""
    try:
        import resource
    except ImportError:
        return 200
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1000 if soft == resource.RLIM_INFINITY else max(10, min(1000, (soft - 200) // 2))


def test_all_that_are_held_are_closed_by_the_deadline(site13: Any, run: Any) -> None:
    """A thousand connections (see `many`) whose source never answers are all closed, and nothing of them is left."""
    number = many()
    peak = 0

    async def main() -> None:
        nonlocal peak
        client_context = site13.client_context()
        turn = asyncio.Semaphore(50)

        async def one() -> bytes:
            nonlocal peak
            async with turn:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
                )
            peak = max(peak, site13.held)
            received = b""
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                received = await reader.read()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return received

        async with site13.serving(site13.context(hold_timeout=3.0)) as port:
            assert set(await asyncio.gather(*(one() for _ in range(number)))) == {b""}
            assert site13.held == 0
            assert site13.made == []
            assert len(site13.keepers) == number
            assert {keeper._latch.decision.code for keeper in site13.keepers} == {"fact.missing"}
            assert not site13.gate.args[1]._by_origin

    run(main())
    assert peak > number // 10


def flood(port: int, context: ssl.SSLContext, sent: list[int]) -> None:
    """Send without end, and count, until the server has had enough."""
    chunk = bytes(64 * 1024)
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        while True:
            connection.sendall(chunk)
            sent[0] += len(chunk)


def test_a_flood_while_held_fills_no_memory(site: Any, run: Any) -> None:
    """A client that sends without end while held is stopped by TCP after a bounded number of bytes, and then closed."""
    sent = [0]

    async def main() -> None:
        async with site.serving(site.context(hold_timeout=0.5)) as port:
            thread = threading.Thread(target=flood, args=(port, site.client_context(), sent))
            thread.start()
            await site.source.began.wait()
            buffered = 0
            while site.held:
                buffered = max(buffered, site.keepers[0]._transport.get_read_buffer_size())
                await asyncio.sleep(0.005)
            await asyncio.to_thread(thread.join, 20)
            assert not thread.is_alive()
            assert 0 < buffered <= 64 * 1024 + 256 * 1024
            assert site.made == []

    run(main())
    assert sent[0] < 64 * 1024 * 1024


def test_a_full_gate_refuses(site13: Any, run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Over max_held a connection that would have to wait is refused; those that need not wait are served."""

    async def main() -> None:
        async with site13.serving(site13.context(max_held=2)) as port:
            site13.source.released.set()
            async with site13.client(port, "sam") as known:
                assert await known.ask(b"x", 7) == b"hello x"
            site13.source.released.clear()
            async with site13.client(port) as one, site13.client(port) as two:
                await site13.until(lambda: site13.held == 2)
                assert await site13.turned_away(port) == b""
                assert site13.keepers[-1]._latch.decision.code == "gate.full"
                async with site13.client(port, "sam") as known:
                    assert await known.ask(b"x", 7) == b"hello x"
                site13.source.released.set()
                assert await one.ask(b"1", 7) == b"hello 1"
                assert await two.ask(b"2", 7) == b"hello 2"

    run(main())
    assert "max_held=2" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback")
def test_one_address_does_not_fill_the_gate(site13: Any, run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Over max_held_per_address one address is refused, and another is still held and served."""

    async def main() -> None:
        async with site13.serving(site13.context(max_held_per_address=1)) as port, site13.client(port) as first:
            await site13.until(lambda: site13.held == 1)
            assert await site13.turned_away(port) == b""
            assert site13.keepers[-1]._latch.decision.code == "gate.full"
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                port,
                ssl=site13.client_context(),
                server_hostname="localhost",
                local_addr=("127.0.0.2", 0),
            )
            await site13.until(lambda: site13.held == 2)
            site13.source.released.set()
            assert await reader.readexactly(6) == b"hello "
            assert await first.ask(b"1", 7) == b"hello 1"
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    run(main())
    assert "max_held_per_address=1" in caplog.text


@pytest.mark.parametrize(
    ("peername", "origin"),
    [
        (("192.0.2.7", 1), ipaddress.ip_address("192.0.2.7")),
        (("::ffff:192.0.2.7", 1, 0, 0), ipaddress.ip_address("192.0.2.7")),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), ipaddress.ip_network("2001:db8:1:2::/64")),
        (("fe80::1%eth0", 1, 0, 2), ipaddress.ip_network("fe80::/64")),
        ("", None),
        (None, None),
        ("/run/socket", None),
        (("not an address", 1), None),
    ],
)
def test_an_address_is_counted_by_what_one_host_has(peername: object, origin: object) -> None:
    """IPv4 counts by address, also when it is mapped; IPv6 by /64; what is no IP address is not counted."""
    assert origin_of(peername) == origin


def test_the_register_forgets_who_has_left() -> None:
    """Counts go up and down, bounds hold, and an address that has left leaves no entry behind."""
    register, options = Register(), ServerOptions(max_held=3, max_held_per_address=2)
    assert [register.enter(origin, options) is None for origin in ("a", "a", "a", "b", "c")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert register.held == 3
    register.leave("a")
    assert register.enter("a", options) is None
    for origin in ("a", "a", "b"):
        register.leave(origin)
    assert (register.held, dict(register._by_origin)) == (0, {})
    assert [register.enter(None, options) for _ in range(3)] == [None, None, None]
