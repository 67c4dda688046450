"""New connections on threads, asyncio, uvloop and uvicorn: CPU time of a server process of ours against a bare one.

Each server runs in a process of its own; this one is the client. A connection is one handshake, a question, an answer.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from bench._harness import Comparison, Row, Scale, Side, at_most, compare, interleave, ratio_row
from bench._material import HOST, P256, Pki
from bench.handshakes import bare_client

KINDS = {
    "threads": None,
    "threads with time-outs": None,
    "asyncio": None,
    "uvloop": "uvloop",
    "uvicorn": "uvicorn",
}
"""How connections are served, and the package that it needs."""
_PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
_NGINX = """daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {server}; ssl_certificate_key {server_key}; ssl_client_certificate {root};
    ssl_verify_client on; ssl_verify_depth 3; ssl_session_tickets off; ssl_session_cache off;
    location / {{ return 200 "ok"; }}
  }}
}}
"""
GREETING = b"GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n"


class Visited(ABC):
    """A server that is visited over connections of their own.

    Attributes:
        port: Where it listens.
        client: The context of its client.
    """

    port: int
    client: ssl.SSLContext

    @abstractmethod
    def cpu(self) -> float:
        """Return the CPU time that the server has used, in seconds."""

    def connect(self) -> None:
        """Open one connection, be answered, and close it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            # As HTTP clients do. Else the request waits 40 ms behind the client's Finished, which no ticket answers.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ask(plain)

    def _ask(self, plain: socket.socket) -> None:
        with self.client.wrap_socket(plain, server_hostname=HOST) as secure:
            secure.sendall(GREETING)
            if not secure.recv(65536):
                raise AssertionError("the server refused")

    def side(self, connections: int) -> Side:
        """Return the side that opens *connections* one after the other."""

        def run() -> float:
            before = self.cpu()
            for _ in range(connections):
                self.connect()
            return (self.cpu() - before) / connections

        return run


class Server(Visited):
    """A server in a process of its own, and the client that talks to it."""

    def __init__(self, kind: str, which: str, files: dict[str, str], client: ssl.SSLContext) -> None:
        command = [sys.executable, "-m", "bench._server", kind, which]
        command += [files[name] for name in ("server", "server_key", "root", "issuing")]
        self.process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.client = client
        self.ports = [int(port) for port in self._line().split()]
        self.port = self.ports[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def _line(self) -> str:
        if self.process.stdout is None:
            raise AssertionError("no pipe")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the server ended")
        return line

    def cpu(self) -> float:
        """Return the CPU time that the server has used, in seconds."""
        if self.process.stdin is None:
            raise AssertionError("no pipe")
        self.process.stdin.write("cpu\n")
        self.process.stdin.flush()
        return float(self._line())


class Nginx(Visited):
    """nginx as one process, which verifies clients against the same root and keeps no sessions."""

    def __init__(self, files: dict[str, str], client: ssl.SSLContext) -> None:
        self.client = client
        self._folder = TemporaryDirectory(prefix="mtlspolicy-bench-nginx-")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]  # nginx takes no port 0
        configuration = Path(self._folder.name, "nginx.conf")
        configuration.write_text(_NGINX.format(port=self.port, folder=self._folder.name, **files), encoding="utf-8")
        self._process = subprocess.Popen(  # noqa: S603 - found on the path of this machine
            [str(shutil.which("nginx", path=_PLACES)), "-p", self._folder.name, "-c", str(configuration)],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def answers(self) -> bool:
        """Return whether it has started, once that is known."""
        until = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=10).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                return True
        return False

    @staticmethod
    def missing() -> str:
        """Return why nginx cannot be measured here, or nothing."""
        if not sys.platform.startswith("linux"):
            return "the CPU time of another process is read as Linux gives it"
        return "" if shutil.which("nginx", path=_PLACES) else "nginx is not installed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def cpu(self) -> float:
        """Return the CPU time that nginx has used, in seconds."""
        return time.clock_gettime((~self._process.pid << 3) | 2)  # what clock_getcpuclockid(3) computes


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    pki = Pki.new(P256, 1)
    client = bare_client(pki)
    with pki.files() as files:
        for kind, package in KINDS.items():
            for which, tickets, budget in (("bare", "same", at_most(1.02)), ("bare-tickets", "default", None)):
                name = f"new connections, {kind}: server CPU / bare, {tickets} tickets"
                if package is not None and find_spec(package) is None:
                    yield Row(name, None, note=f"{package} is not installed (dependency group bench)")
                    continue
                with ExitStack() as stack:
                    servers = [stack.enter_context(Server(kind, one, files, client)) for one in ("ours", which, which)]
                    ours, bare, again = (server.side(scale.size(40, 3)) for server in servers)
                    found = compare(ours, bare, rounds=scale.rounds(40), again=again)
                    yield ratio_row(name, found, budget)
                    if (kind, which) == ("uvicorn", "bare"):
                        yield from against_nginx(ours, bare, files, client, scale)


def against_nginx(ours: Side, bare: Side, files: dict[str, str], client: ssl.SSLContext, scale: Scale) -> Iterator[Row]:
    """Yield the rows that compare uvicorn, ours and bare, with nginx that verifies the same clients, in one run."""
    names = [f"new connections, uvicorn: server CPU / nginx, {which}" for which in ("ours", "bare")]
    missing = Nginx.missing()
    with ExitStack() as stack:
        nginx = None if missing else stack.enter_context(Nginx(files, client))
        if nginx is None or not nginx.answers():
            yield from (Row(name, None, note=missing or "nginx did not start") for name in names)
            return
        baseline = nginx.side(scale.size(40, 3))
        rounds = scale.rounds(40)
        *judged, first, second = interleave((ours, bare, baseline, baseline), rounds=rounds)
    control = statistics.median(second) / statistics.median(first)
    for name, costs in zip(names, judged, strict=True):
        found = Comparison(statistics.median(costs), statistics.median(first + second), control, rounds)
        yield ratio_row(name, found, None)
