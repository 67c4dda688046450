"""Further servers for the battery: asyncio's streams, aiohttp, the standard library's pages, Twisted over pyOpenSSL."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from mtlspolicy import VerificationError, policies, tls
from mtlspolicy.integrations import aiohttp as our_aiohttp
from tests.integrations import battery
from tests.integrations.aiohttp_serving import aiohttp_serving as aiohttp_serving_of
from tests.integrations.battery import Running
from tests.integrations.loop_serving import in_a_loop
from tests.integrations.serving import HOST, PATIENCE, REPOSITORY, on_thread

_PROGRAM: Final = Path(__file__).with_name("twisted_program.py")


class _Streams:
    """What is called with the streams of a connection: a page that tells a caller who he is; ``/sam`` is for sam."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._begun = runs.with_name("begun")
        self._begun.touch()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request."""
        battery.count_run(self._begun)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            status, told = self._told(head.split()[1], writer)
            body = json.dumps(told).encode("ascii")
            writer.write(f"HTTP/1.1 {status} told\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _told(self, page: bytes, writer: asyncio.StreamWriter) -> tuple[int, dict[str, object]]:
        if page == b"/tasks":
            return 200, {"peer": len(asyncio.all_tasks())}
        peer: Any = tls.peer_of(writer)
        try:
            if page == b"/sam":
                peer.require(policies.CommonName("sam"))
        except VerificationError as error:
            return error.http_status, {"error": error.code}
        battery.count_run(self._runs)
        return 200, {"peer": peer.common_name}


@contextmanager
def streams_serving(folder: Path, *, gate: bool) -> Generator[Running, None, None]:
    """Serve by ``asyncio.start_server``, or by `tls.start_server`, which has the gate in it."""
    runs = folder / "runs"
    runs.touch()
    context = battery.server_context(folder, **({"pending": "hold"} if gate else {}))

    @asynccontextmanager
    async def begin(listener: socket.socket) -> AsyncGenerator[None, None]:
        own = listener.dup()
        streams = _Streams(runs)
        server = await (
            tls.start_server(streams, sock=own, ssl=context)
            if gate
            else asyncio.start_server(streams, sock=own, ssl=context)
        )
        yield
        server.close()

    with in_a_loop(begin) as server:
        port = server.address[1]
        yield Running(port, battery.own_process, runs, battery.tasks_told(folder, port, waits=gate), gate)


@contextmanager
def aiohttp_serving(folder: Path) -> Generator[Running, None, None]:
    """Serve by aiohttp, with the runner that has the gate."""
    runs = folder / "runs"
    runs.touch()

    async def tell(request: web.Request) -> web.Response:
        if request.path == "/sam":
            await our_aiohttp.require(policies.CommonName("sam"))(request)
        if request.path == "/tasks":
            return web.json_response({"peer": len(asyncio.all_tasks())})
        battery.count_run(runs)
        return web.json_response({"peer": our_aiohttp.peer(request).common_name})

    app = web.Application()
    app.router.add_get("/{page:.*}", tell)
    our_aiohttp.install(app, source="connection")
    context = battery.server_context(folder, pending="hold")
    with aiohttp_serving_of(app, context=context, runner=our_aiohttp.AppRunner) as server:
        port = server.address[1]
        yield Running(port, battery.own_process, runs, battery.tasks_told(folder, port))


@contextmanager
def http_server_serving(folder: Path) -> Generator[Running, None, None]:
    """Serve by ``http.server``, which is ``socketserver`` with a thread for each connection."""
    runs = folder / "runs"
    runs.touch()

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # so that it is the client who ends the connection

        def do_GET(self) -> None:
            """Tell a caller who he is; ``/sam`` is for sam."""
            peer: Any = tls.peer_of(self.connection)
            status, told = 200, {"peer": peer.common_name}
            try:
                if self.path == "/sam":
                    peer.require(policies.CommonName("sam"))
                battery.count_run(runs)
            except VerificationError as error:
                status, told = error.http_status, {"error": error.code}
            body = json.dumps(told).encode("ascii")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    class Threaded(http.server.ThreadingHTTPServer):
        block_on_close = False

        def shutdown_request(self, request: Any) -> None:
            """End TLS as well, so that OpenSSL keeps the session."""
            with suppress(OSError):
                request.unwrap()
            super().shutdown_request(request)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Print nothing."""

    server = Threaded((HOST, 0), Page)
    server.socket = battery.server_context(folder).wrap_socket(server.socket, server_side=True)
    with server, on_thread(lambda: server.serve_forever(0.02), server.shutdown):
        yield Running(server.server_port, battery.own_process, runs)


@contextmanager
def twisted_serving(folder: Path) -> Generator[Running, None, None]:
    """Serve by ``twisted.web``, in a process of its own, because a reactor runs once."""
    battery.gunicorn_files(folder)
    search = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, str(_PROGRAM)], cwd=folder, env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield Running(int(process.stdout.readline()), lambda: [process.pid], folder / "runs", waits=False)
        finally:
            process.terminate()
            process.wait(PATIENCE)
