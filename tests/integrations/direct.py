"""Servers with a protocol of their own that speak TLS themselves, each started and asked in the same words.

What they are asked is a request in the clear of each, over TLS of a client without anything of ours.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple

import websockets.asyncio.server
from tornado import httputil

from mtlspolicy.integrations import tornado as our_tornado
from mtlspolicy.integrations import websockets as our_websockets
from tests.integrations.loop_serving import client_context, dialed, in_a_loop, open_files, until
from tests.integrations.serving import PATIENCE, Reply, Server
from tests.integrations.tornado_serving import application, guarded, tornado_serving

GET: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
UPGRADE: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Seen:
    """Who has reached the application, by common name, and what is open where it runs."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def note(self, peer: Any) -> None:
        """Take note of a peer, in the loop of the server."""
        self._loop = asyncio.get_running_loop()
        self.names.append(None if peer is None else peer.common_name)

    def open(self) -> tuple[int, int, int]:
        """Return the open descriptors, the threads and the tasks of the server, once somebody has reached it."""
        gc.collect()
        assert self._loop is not None

        async def tasks() -> int:
            await asyncio.sleep(0)
            return len(asyncio.all_tasks())

        running = asyncio.run_coroutine_threadsafe(tasks(), self._loop).result(PATIENCE)
        return open_files(), threading.active_count(), running

    def settled(self) -> tuple[int, int, int]:
        """Return what is open when no less is open some moments later."""
        found: list[tuple[int, int, int]] = []

        def stable() -> bool:
            found.append(self.open())
            return len(found) > 4 and len(set(found[-5:])) == 1

        until(stable)
        return found[-1]

    def settles(self, before: tuple[int, int, int]) -> None:
        """Wait until no more is open than *before*."""
        until(lambda: all(now <= then for now, then in zip(self.open(), before, strict=True)))


class Subject(NamedTuple):
    """A server.

    Attributes:
        serve: Takes a context, and `Seen` as ``seen``; ``refuse`` where it has a gate.
        request: What a client asks it.
        good: The status of the answer to whoever is admitted.
        gated: Whether it waits for facts.
    """

    serve: Callable[..., AbstractContextManager[Server]]
    request: bytes
    good: int
    gated: bool = True

    def ask(self, server: Server, who: Any, host: str = "localhost") -> Reply:
        """Return the reply to one request by TLS; status 0: the connection ended without one."""
        context = who if isinstance(who, ssl.SSLContext) else client_context(who)
        try:
            with dialed(server, context) as client:
                return client.raw(self.request.replace(b"localhost", host.encode("ascii")))
        except OSError:
            return Reply(0, {}, b"")


class _Counting(httputil.HTTPServerConnectionDelegate):
    """Stands between the middleware and an application, and takes note of who reaches it."""

    def __init__(self, seen: Seen) -> None:
        self._app = application()
        self._seen = seen

    def start_request(self, server_conn: object, request_conn: Any) -> httputil.HTTPMessageDelegate:
        """Hand a request on."""
        self._seen.note(request_conn.admission.peer)
        return self._app.start_request(server_conn, request_conn)


@contextmanager
def _tornado(context: ssl.SSLContext, *, seen: Seen | None = None, **options: Any) -> Generator[Server, None, None]:
    with tornado_serving(guarded(None if seen is None else _Counting(seen)), context=context, **options) as server:
        yield server


@contextmanager
def websockets_serving(
    context: ssl.SSLContext,
    *,
    begin: Any = our_websockets.serve,
    loop: Any = None,
    handler: Any = None,
    seen: Seen | None = None,
    **options: Any,
) -> Generator[Server, None, None]:
    """Serve by ``websockets.asyncio``; without a *handler* each client is greeted by its name."""

    async def greet(connection: Any) -> None:
        peer = our_websockets.peer_or_none(connection)
        if seen is not None:
            seen.note(peer)
        await connection.send(str(peer and peer.common_name))

    @asynccontextmanager
    async def run(listener: socket.socket) -> AsyncGenerator[None, None]:
        async with begin(handler or greet, sock=listener.dup(), ssl=context, close_timeout=1, **options):
            yield

    with in_a_loop(run, factory=loop) as server:
        yield server


def _gated_tornado(context: ssl.SSLContext, **options: Any) -> AbstractContextManager[Server]:
    return _tornado(context, server_class=our_tornado.HTTPServer, **options)


def _their_websockets(context: ssl.SSLContext, **options: Any) -> AbstractContextManager[Server]:
    return websockets_serving(context, begin=websockets.asyncio.server.serve, **options)


SUBJECTS: Final = {
    "tornado": Subject(_gated_tornado, GET, 200),
    "websockets": Subject(websockets_serving, UPGRADE, 101),
    "tornado-bare": Subject(_tornado, GET, 200, gated=False),
    "websockets-bare": Subject(_their_websockets, UPGRADE, 101, gated=False),
}
GATED: Final = [name for name, subject in SUBJECTS.items() if subject.gated]
BARE: Final = [name for name, subject in SUBJECTS.items() if not subject.gated]
