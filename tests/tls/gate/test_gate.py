"""The gate: nothing flows before PERMIT and everything arrives after it; who needs no hold passes; strangers do not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import ssl
from typing import Any

import pytest

from mtlspolicy import policies, tls


def test_a_held_client_is_served_once_its_fact_is_there(site: Any, run: Any) -> None:
    """While held there is no application and no byte; after PERMIT there is one, with a peer, and no gate any more."""

    async def main() -> None:
        async with site.serving(site.context()) as port, site.client(port) as client:
            client.writer.write(b"request")
            await site.source.began.wait()
            greeting = asyncio.create_task(client.reader.readexactly(13))
            await asyncio.sleep(0.02)
            assert (site.made, greeting.done(), site.held) == ([], False, 1)
            site.source.released.set()
            assert await greeting == b"hello request"
            transport = site.made[0].transport
            assert transport.get_protocol() is site.made[0]
            peer = tls.peer_of(transport)
            assert peer is not None
            assert peer.common_name == "frodo"
            assert site.held == 0
            assert await client.ask(b"again", 5) == b"again"

    run(main())


@pytest.mark.parametrize("size", [3_000_000, 5_000_000])
def test_megabytes_sent_while_held_arrive_whole(site: Any, run: Any, size: int) -> None:
    """What the client sends while held waits in bounded buffers and reaches the application complete, in order."""
    data = hashlib.shake_256(b"seed").digest(size)

    async def main() -> None:
        async with site.serving(site.context()) as port, site.client(port) as client:
            client.writer.write(data)
            await site.source.began.wait()
            await asyncio.sleep(0.05)
            assert site.keepers[0]._transport.get_read_buffer_size() <= 64 * 1024 + 256 * 1024
            assert site.made == []
            site.source.released.set()
            echoed = await client.reader.readexactly(6 + size)
            assert echoed[6:] == data
            assert site.made[0].received == data

    run(main())


def test_the_loop_goes_on_serving_others(site: Any, run: Any) -> None:
    """While one client is held another, whose fact is at hand, is served from its first to its last byte."""

    async def main() -> None:
        context = site.context()
        async with site.serving(context) as port:
            site.source.released.set()
            async with site.client(port, "sam") as client:
                assert await client.ask(b"1", 7) == b"hello 1"
            site.source.released.clear()
            site.source.began.clear()
            async with site.client(port, "frodo") as held:
                await site.source.began.wait()
                async with site.client(port, "sam") as client:
                    assert await client.ask(b"2", 7) == b"hello 2"
                assert site.held == 1
                site.source.released.set()
                assert await held.ask(b"3", 7) == b"hello 3"
            assert len(site.source.asked) == 2

    run(main())


def test_two_hundred_at_once(site: Any, run: Any) -> None:
    """Two hundred held clients, each with data of its own under way, are all answered with their own."""

    async def main() -> None:
        context = site.client_context()

        async def one(number: int) -> None:
            data = hashlib.shake_256(str(number).encode()).digest(20_000)
            async with site.client(port, context=context) as client:
                assert (await client.ask(data, 20_006))[6:] == data

        async with site.serving(site.context()) as port:
            clients = [asyncio.create_task(one(number)) for number in range(200)]
            await site.until(lambda: site.held == 200)
            assert site.made == []
            site.source.released.set()
            await asyncio.gather(*clients)
            assert len(site.made) == 200
            assert len(site.source.asked) == 1

    run(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with Python 3.12")
def test_eager_tasks_change_nothing(site13: Any) -> None:
    """With asyncio's eager task factory decisions and sources begin inside connection_made, and end the same."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        async with site13.serving(site13.context()) as port:
            async with site13.client(port) as client:
                await site13.source.began.wait()
                site13.source.released.set()
                assert await client.ask(b"x", 7) == b"hello x"
            async with site13.client(port, "sam") as client:
                assert await client.ask(b"y", 7) == b"hello y"

    asyncio.run(main())


def test_facts_at_hand_pass_without_a_hold(site: Any, run: Any) -> None:
    """Where the answer is known the connection is handed over in connection_made: the source is not asked again."""

    async def main() -> None:
        async with site.serving(site.context()) as port:
            site.source.released.set()
            for _ in range(3):
                async with site.client(port) as client:
                    assert await client.ask(b"x", 7) == b"hello x"
            assert len(site.source.asked) == 1
            assert [keeper._task is None for keeper in site.keepers] == [False, True, True]

    run(main())


def test_an_address_that_only_the_gate_knows_decides(site13: Any, run: Any) -> None:
    """A policy on the socket's address holds where the loop's TLS does not know it, and the gate decides at once."""

    async def main(policy: Any) -> Any:
        async with site13.serving(site13.context(policy, resolver=None)) as port, site13.client(port) as client:
            client.writer.write(b"x")
            return await client.reader.read(7) if policy is near else await client.ended()

    near = policies.CommonName("frodo") & policies.PeerAddress("127.0.0.1/32")
    far = policies.CommonName("frodo") & policies.PeerAddress("192.0.2.0/24")
    assert run(main(near))[:6] == b"hello "
    assert run(main(far)) == b""
    assert len(site13.made) == 1
    assert [keeper._task for keeper in site13.keepers] == [None, None]


def test_contexts_that_refuse_by_themselves_pass_through(site: Any, run: Any) -> None:
    """Behind pending="refuse" a connection is decided before it reaches the gate."""

    async def main() -> None:
        context = site.context(policies.CommonName("frodo"), pending="refuse")
        async with site.serving(context) as port:
            async with site.client(port) as client:
                assert await client.ask(b"x", 7) == b"hello x"
            assert await site.turned_away(port, "gollum") == b""
            assert len(site.made) == 1

    run(main())


def test_a_client_without_certificate_passes_where_it_may(site: Any, run: Any) -> None:
    """With an optional certificate its absence is an answer, known at once; the peer is None."""

    async def main() -> None:
        async with site.serving(site.context(client_certificate="optional")) as port, site.client(port, None) as client:
            assert await client.ask(b"x", 7) == b"hello x"
            assert tls.peer_of(site.made[0].transport) is None
            assert site.source.asked == []

    run(main())


@pytest.mark.parametrize("at_hand", [False, True])
def test_holding_without_a_gate_is_refused(
    site: Any, run: Any, caplog: pytest.LogCaptureFixture, *, at_hand: bool
) -> None:
    """A context that holds, served without a gate, refuses at the first byte, also where the facts were at hand."""

    class Served(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            """Fail: no byte may come here."""
            received.append(data)

    received: list[bytes] = []

    async def main() -> None:
        context = site.context()
        if at_hand:
            site.source.released.set()
            async with site.serving(context) as port, site.client(port) as client:
                assert await client.ask(b"x", 7) == b"hello x"
        server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        assert await site.turned_away(port) == b""
        server.close()

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    assert received == []
    assert "gate.missing" in caplog.text


@pytest.mark.parametrize("kind", ["plain", "foreign"])
def test_what_is_not_ours_is_refused(site13: Any, run: Any, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """A gate on plain TCP, or on a context without a verifier of ours, lets nobody through and says why."""

    async def main() -> None:
        context = None
        if kind == "foreign":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*site13.authority.issue_server("localhost").files(site13.folder))
        async with site13.serving(context) as port:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                port,
                ssl=site13.client_context() if context else None,
                server_hostname="localhost" if context else None,
            )
            with contextlib.suppress(OSError):
                assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    assert site13.made == []
    assert "tls.not-ours" in caplog.text


def test_a_held_connection_is_judged_as_of_its_handshake(site13: Any, run: Any) -> None:
    """The whole decision is made under the one snapshot, time included, that the handshake took."""

    async def main() -> None:
        async with site13.serving(site13.context()) as port, site13.client(port) as client:
            await site13.source.began.wait()
            judged = site13.keepers[0]._latch.judgement
            site13.source.released.set()
            assert await client.ask(b"x", 7) == b"hello x"
            peer = tls.peer_of(site13.made[0].transport)
            assert peer is not None
            assert peer.evidence.at == judged.at

    run(main())
