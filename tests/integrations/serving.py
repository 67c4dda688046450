"""Real servers on loopback, each started by a test, and a client that writes its requests octet by octet."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvicorn
from hypercorn.middleware import ProxyFixMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server

from mtlspolicy.integrations import asgi, wsgi
from mtlspolicy.integrations import hypercorn as our_hypercorn
from mtlspolicy.integrations import uvicorn as our_uvicorn
from mtlspolicy.integrations import werkzeug as our_werkzeug
from mtlspolicy.testing import CertificateAuthority
from tests.integrations import applications

HOST: Final = "127.0.0.1"
STRANGER: Final = "127.0.0.2"
PATIENCE: Final = 20.0
ROOT: Final = CertificateAuthority("Root")
FRODO: Final = ROOT.issue_client("frodo").der
SAM: Final = ROOT.issue_client("sam").der
GOLLUM: Final = ROOT.issue_client("gollum").der
FOREIGN: Final = CertificateAuthority("Foreign").issue_client("frodo").der
VERIFIER: Final = applications.verifier_for(ROOT.pem)
REPOSITORY: Final = Path(__file__).parents[2]


def item(der: bytes) -> str:
    """Return the value of ``Client-Cert``: a byte sequence of RFC 8941."""
    return f":{base64.b64encode(der).decode('ascii')}:"


class Reply(NamedTuple):
    """A response: status (0: the connection ended without one), headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        """What the application or the refusal says."""
        return json.loads(self.body)


class Server(NamedTuple):
    """A server that runs: a TCP address or the path of a Unix socket."""

    address: Any

    @contextmanager
    def connection(self, origin: str = HOST) -> Generator[Client, None, None]:
        """Open a connection from the address *origin*, a loopback address."""
        if isinstance(self.address, str):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(PATIENCE)
            sock.connect(self.address)
        else:
            sock = socket.create_connection(self.address, PATIENCE, source_address=(origin, 0))
        with sock, sock.makefile("rb") as file:
            yield Client(sock, file)

    def ask(self, *headers: str, origin: str = HOST) -> Reply:
        """Return the reply to one request over a connection of its own."""
        with self.connection(origin) as client:
            return client.ask(*headers, "Connection: close")


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket, file: Any) -> None:
        self._sock = sock
        self._file = file

    def ask(self, *headers: str) -> Reply:
        """Return the reply to a GET with *headers*, each a whole line."""
        lines = ["GET / HTTP/1.1", "Host: localhost", *headers, "", ""]
        return self.raw("\r\n".join(lines).encode("latin-1"))

    def raw(self, octets: bytes) -> Reply:
        """Return the reply to *octets*."""
        try:
            self._sock.sendall(octets)
            return self._reply()
        except OSError:
            return Reply(0, {}, b"")

    def _reply(self) -> Reply:
        first = self._file.readline().split()
        if len(first) < 2 or not first[0].startswith(b"HTTP/1."):  # ended, or an answer in HTTP/0.9
            return Reply(0, {}, b"".join(first) + self._file.read())
        fields: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        if first[1] == b"101":
            return Reply(101, fields, b"")
        length = fields.get("content-length")
        body = self._file.read(int(length)) if length is not None else self._file.read()
        return Reply(int(first[1]), fields, body)


def listening(path: str | None = None) -> socket.socket:
    """Return a socket that listens, so that a client may connect before the server is up."""
    sock = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
    sock.bind((HOST, 0) if path is None else path)
    sock.listen(64)
    return sock


@contextmanager
def on_thread(run: Any, stop: Any) -> Generator[None, None, None]:
    """Run *run* on a thread until the block ends."""
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@contextmanager
def uvicorn_serving(app: Any, *, sock: socket.socket | None = None, **options: Any) -> Generator[Server, None, None]:
    """Serve by uvicorn as `integrations.uvicorn` configures it."""
    with sock or listening() as listener:
        options = {"log_config": None, "timeout_graceful_shutdown": 5, **options}
        server = uvicorn.Server(our_uvicorn.config(app, **options))
        loops = server.config.get_loop_factory()

        def run() -> None:
            with asyncio.Runner(loop_factory=loops) as runner:
                runner.run(server.serve([listener]))

        def stop() -> None:
            server.should_exit = True

        address = listener.getsockname()
        with on_thread(run, stop):
            yield Server(address)


@contextmanager
def hypercorn_serving(
    app: Any, *, path: str | None = None, context: Any = None, introduced: bool = True
) -> Generator[Server, None, None]:
    """Serve by Hypercorn."""
    with listening(path) as listener:
        config = our_hypercorn.config(context=context, bind=[f"fd://{os.dup(listener.fileno())}"], graceful_timeout=2)
        config.accesslog = config.errorlog = None
        ended: list[Any] = []
        ready = threading.Event()

        async def serving() -> None:
            end = asyncio.Event()
            ended.extend((asyncio.get_running_loop(), end))
            ready.set()
            if introduced:
                await our_hypercorn.serve(app, config, shutdown_trigger=end.wait)
            else:
                from hypercorn.asyncio import serve

                await serve(app, config, shutdown_trigger=end.wait)

        def stop() -> None:
            assert ready.wait(PATIENCE)
            ended[0].call_soon_threadsafe(ended[1].set)

        with on_thread(lambda: asyncio.run(serving()), stop):
            yield Server(listener.getsockname())


@contextmanager
def werkzeug_serving(app: Any, *, path: str | None = None, context: Any = None) -> Generator[Server, None, None]:
    """Serve by Werkzeug's server, in HTTP/1.1."""

    class Handler(our_werkzeug.RequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: Any) -> None:
            """Print nothing."""

    host, port = (HOST, 0) if path is None else (f"unix://{path}", 0)
    server = make_server(host, port, app, threaded=True, request_handler=Handler, ssl_context=context)
    server.daemon_threads = True  # type: ignore[attr-defined]
    address: Any = (HOST, server.server_port) if path is None else path
    with on_thread(lambda: server.serve_forever(0.02), server.shutdown):
        yield Server(address)
    server.server_close()


@contextmanager
def gunicorn_serving(
    name: str, folder: Path, *arguments: str, path: str | None = None
) -> Generator[Server, None, None]:
    """Serve the application *name* of `applications` by gunicorn."""
    root = folder / "root.pem"
    root.write_bytes(ROOT.pem)
    with listening(path) as listener:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", *arguments]
        command += ["--log-level", "critical", "--no-control-socket", "--graceful-timeout", "2"]
        environment = {
            **os.environ,
            "MTLSPOLICY_TEST_ROOT": str(root),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)]),
        }
        process = subprocess.Popen(
            [*command, f"tests.integrations.applications:{name}"],
            cwd=folder, env=environment, pass_fds=[listener.fileno()],
        )  # fmt: skip
        try:
            yield Server(listener.getsockname())
        finally:
            process.terminate()
            process.wait(PATIENCE)


def asgi_app(*, fixed: bool = False, **options: Any) -> Any:
    """Return the application behind the middleware, with Hypercorn's ProxyFix around it where *fixed*."""
    options = {"source": applications.source(), "verifier": VERIFIER, **options}
    app: Any = asgi.Middleware(applications.tell, **options)
    return ProxyFixMiddleware(app, mode="legacy") if fixed else app


def wsgi_app(*, fixed: bool = False, **options: Any) -> Any:
    """Return the application behind the middleware, with Werkzeug's ProxyFix around it where *fixed*."""
    options = {"source": applications.source(), "verifier": VERIFIER, **options}
    app: Any = wsgi.Middleware(applications.tell_wsgi, **options)
    return ProxyFix(app) if fixed else app
