"""Our servers, each of a different kind and on a thread of its own; all tell each caller who it is."""

from __future__ import annotations

import asyncio
import http.server
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any, Final

import pytest

from mtlspolicy import tls

HOST: Final = "127.0.0.1"
_JOIN: Final = 20.0
"""Seconds that a server may take to start or to end; none comes near it."""


def answer(connection: Any) -> bytes:
    """Return the answer for the caller at the other end of *connection*: common name, and issuer's common name."""
    peer = tls.peer_of(connection)
    text = "nobody" if peer is None else f"{peer.common_name} of {peer.issuer}, {peer.connection.tls_version}"
    return text.encode("ascii") + b"\n"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = answer(self.connection)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _ThreadingServer(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Print no traceback: what was refused is on the logger."""


@contextmanager
def _blocking(context: ssl.SSLContext) -> Generator[int, None, None]:
    with _ThreadingServer((HOST, 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(_JOIN)


async def _on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        body = answer(writer)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("ascii") + body)
        await writer.drain()
    except (OSError, EOFError):
        return  # who hangs up gets no answer
    finally:
        writer.close()


class _Loop:
    """An event loop on a thread of its own, with a server of streams on it."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop], start: Any, context: ssl.SSLContext) -> None:
        self._factory = factory
        self._start = start
        self._context = context
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(_JOIN), "the server did not start"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._start(_on_connect, HOST, 0, ssl=self._context)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._stop.wait()
        server.close()
        await server.wait_closed()

    def end(self) -> None:
        """Stop listening, wait for the connections that are open, and end the thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_JOIN)
        assert not self._thread.is_alive(), "the server did not end"


@contextmanager
def _looping(
    factory: Callable[[], asyncio.AbstractEventLoop], start: Any, context: ssl.SSLContext
) -> Generator[int, None, None]:
    loop = _Loop(factory, start, context)
    try:
        yield loop.port
    finally:
        loop.end()


KINDS: Final = ("http.server", "asyncio", "uvloop", "gate")
"""Threads; streams of asyncio; the same under uvloop; streams behind the gate, where the context holds connections."""


@contextmanager
def serving_all(context_for: Callable[[str], ssl.SSLContext]) -> Generator[dict[int, str], None, None]:
    """Run a server of every kind that can be had, each with a context of its own, and lend their kinds by port."""
    kinds = [kind for kind in KINDS if kind != "uvloop" or find_spec("uvloop") is not None]
    with ExitStack() as running:
        yield {running.enter_context(serving(kind, context_for(kind))): kind for kind in kinds}


@contextmanager
def serving(kind: str, context: ssl.SSLContext) -> Generator[int, None, None]:
    """Run a server of *kind* with *context* and lend its port; skip where uvloop is missing."""
    if kind == "http.server":
        running = _blocking(context)
    elif kind == "uvloop":
        running = _looping(pytest.importorskip("uvloop").new_event_loop, asyncio.start_server, context)
    else:
        start = tls.start_server if kind == "gate" else asyncio.start_server
        running = _looping(asyncio.new_event_loop, start, context)
    with running as port:
        yield port
