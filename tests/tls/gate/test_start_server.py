"""`tls.start_server`: the streams server of asyncio, whose callback sees admitted peers alone."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl
from typing import Any

import pytest

from mtlspolicy import ConfigurationError, TrustStore, Verifier, policies, tls


async def fetch_name(site: Any, port: int, name: str) -> bytes:
    """Connect and return what the server says of the client."""
    async with site.client(port, name) as client:
        client.writer.write(b"who am I?\n")
        answer: bytes = await client.ended()
        return answer


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_streams_are_given_for_admitted_peers_alone(site: Any, run: Any, kind: str) -> None:
    """The callback, of either kind, runs with reader and writer once the facts are there, and knows the peer."""
    tasks: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        writer.write(line + tls.peer_of(writer).common_name.encode())  # type: ignore[union-attr]
        await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(answer(reader, writer)))

    async def main() -> None:
        server = await tls.start_server(
            answer if kind == "async def" else connected, "127.0.0.1", 0, ssl=site.context()
        )
        port = server.sockets[0].getsockname()[1]
        asking = asyncio.create_task(fetch_name(site, port, "frodo"))
        await site.source.began.wait()
        await asyncio.sleep(0.02)
        assert not asking.done()
        site.source.released.set()
        assert await asking == b"who am I?\nfrodo"
        site.source.answer = False
        assert await fetch_name(site, port, "gollum") == b""
        server.close()
        await server.wait_closed()
        site.resolver.close()
        await asyncio.gather(*tasks)

    run(main())


def test_the_options_of_asyncio_are_passed_on(site13: Any, run: Any) -> None:
    """A socket of one's own, a limit and a server that starts later work as with asyncio.start_server."""
    limits: list[int] = []
    done = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limits.append(reader._limit)  # type: ignore[attr-defined]
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        done.set()

    async def main() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        context = site13.context(policies.CommonName("frodo"))
        server = await tls.start_server(connected, ssl=context, sock=listening, limit=1234, start_serving=False)
        assert not server.is_serving()
        await server.start_serving()
        assert await site13.turned_away(listening.getsockname()[1]) == b""
        await done.wait()
        assert limits == [1234]
        server.close()
        await server.wait_closed()
        site13.resolver.close()

    run(main())


def test_the_parameters_are_those_of_asyncio() -> None:
    """Names, order and defaults are those of asyncio.start_server; only ssl is required, and named."""
    ours, theirs = inspect.signature(tls.start_server).parameters, inspect.signature(asyncio.start_server).parameters
    assert list(ours)[:3] == list(theirs)[:3]
    assert [ours[name].default for name in list(ours)[1:3]] == [theirs[name].default for name in list(theirs)[1:3]]
    assert ours["limit"].default == theirs["limit"].default
    assert ours["ssl"].default is inspect.Parameter.empty


@pytest.mark.parametrize("kind", ["none", "true", "plain", "client"])
def test_a_context_that_verifies_no_client_is_refused(site13: Any, run: Any, kind: str) -> None:
    """Without a context of ours for clients every connection would be refused: an error when the server is started."""
    trust = TrustStore(anchors=[site13.authority.certificate])
    given: dict[str, Any] = {
        "none": None,
        "true": True,
        "plain": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        "client": tls.client_context(verifier=Verifier.for_servers(trust=trust, expected="localhost")),
    }

    async def main() -> None:
        await tls.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=given[kind])

    with pytest.raises(ConfigurationError, match="tls.server_context") as caught:
        run(main())
    assert caught.value.code == "tls.not-ours"
