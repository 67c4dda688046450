"""A hundred clients at once, half of them refused, and those that go away: nothing of them is left in the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.answering import Clients, Counted, context_for, serving
from tests.integrations.serving import HOST, PATIENCE, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
_SERVERS = ["uvicorn-h11-asyncio", "uvicorn-httptools-uvloop", "hypercorn"]
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class _Watched(Counted):
    """Knows the loop that it runs on, so that its tasks can be counted from outside."""

    loop: asyncio.AbstractEventLoop

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope."""
        self.loop = asyncio.get_running_loop()
        await super().__call__(scope, receive, send)

    def held(self) -> tuple[int, int, int]:
        """Return the open descriptors, the threads and the tasks of the server."""
        gc.collect()

        async def tasks() -> int:
            await asyncio.sleep(0)
            return len(asyncio.all_tasks())

        running = asyncio.run_coroutine_threadsafe(tasks(), self.loop).result(PATIENCE)
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), running

    def settled(self) -> tuple[int, int, int]:
        """Return what is held once the connections of the clients before are gone: no less is held a moment later."""
        held, stable = self.held(), 0
        end = time.monotonic() + PATIENCE
        while stable < 5 and time.monotonic() < end:
            time.sleep(0.02)
            now = self.held()
            held, stable = now, stable + 1 if now == held else 0
        return held

    def settles_at(self, before: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return what is held once it is no more than *before*, or after some patience what it is then."""
        end = time.monotonic() + PATIENCE
        while any(now > then for now, then in zip(self.held(), before, strict=True)) and time.monotonic() < end:
            time.sleep(0.02)
        return self.held()


async def _one(port: int, context: ssl.SSLContext) -> bytes:
    try:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost")
    except (ConnectionError, ssl.SSLError):
        return b""
    answer = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        writer.write(_REQUEST)
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer[9:12]


def _crowd(server: Server, clients: Clients) -> list[bytes]:
    contexts = [clients["frodo"], clients["gollum"], clients["frodo"], clients[None]] * 25

    async def main() -> list[bytes]:
        return await asyncio.gather(*(_one(server.address[1], context) for context in contexts))

    return asyncio.run(main())


@pytest.mark.parametrize("refuse", ["handshake", "respond"])
@pytest.mark.parametrize("name", _SERVERS)
def test_a_hundred_clients_half_of_them_refused_leave_nothing(tmp_path: Path, name: str, refuse: str) -> None:
    """Descriptors, threads and tasks are what they were, and each client has got the answer that is its own."""
    clients, app = Clients(tmp_path), _Watched()
    told = b"403" if refuse == "respond" else b""
    with serving(name)(app, context=context_for(), refuse=refuse) as server:
        assert set(_crowd(server, clients)[::2]) == {b"200"}  # once, so that what is made once is there
        before = app.settled()
        answers = _crowd(server, clients)
        assert answers == [b"200", told] * 50
        after = app.settles_at(before)
        assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)
    assert app.calls == 100


@pytest.mark.parametrize("name", _SERVERS)
def test_refused_clients_that_go_away_leave_nothing(tmp_path: Path, name: str) -> None:
    """In the middle of the handshake, after it, and in the middle of a request; and the others are served meanwhile."""
    clients, app = Clients(tmp_path), _Watched()
    with serving(name)(app, context=context_for(), refuse="respond") as server:
        assert clients.get(server, "frodo").status_code == 200
        before = app.settled()
        for sent in (None, b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"):
            for _ in range(5):
                _leave(server, clients["gollum"], sent)
        assert clients.get(server, "frodo").status_code == 200
        after = app.settles_at(before)
        assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)
    assert app.calls == 2


def _leave(server: Server, context: ssl.SSLContext, sent: bytes | None) -> None:
    """Connect and go, without a word: with ``None`` in the middle of the handshake."""
    with socket.create_connection(server.address, PATIENCE) as plain:
        if sent is None:
            plain.sendall(b"\x16\x03\x01\x02\x00\x01")
            return
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(sent)
