"""A Redis of our own: a real server on a socket in a folder and on a port of loopback, gone with the test."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import redis

from .programs import environment, require  # noqa: TID252 - tests are no package that could be named

_SECONDS: Final = 20.0
"""How long the server may take to start or to end; it takes some tens of milliseconds."""


class Server:
    """A redis-server that can be stopped, held and started again; it keeps nothing on disk.

    Attributes:
        folder: Where its socket is. Names of sockets are short, so it is not pytest's folder.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._arguments = arguments
        self._program: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its socket."""
        return f"unix://{self.folder}/redis.sock"

    def client(self) -> redis.Redis:
        """Return a client that looks at what is stored, with no part in what is tested. Close it."""
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._program = subprocess.Popen(
            [
                require("redis-server"), "--port", "0", "--unixsocket", str(self.folder / "redis.sock"),
                "--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--dir", str(self.folder),
                "--logfile", str(self.folder / "log"), "--daemonize", "no", *self._arguments,
            ],
            env=environment(),
        )  # fmt: skip
        end = time.monotonic() + _SECONDS
        with self.client() as client:
            while not self._answers(client):
                assert self._program.poll() is None, (self.folder / "log").read_text(encoding="utf-8")
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.01)

    def hold(self) -> None:
        """Stop it in the middle of what it does: it accepts, and answers nothing."""
        self._send(signal.SIGSTOP)

    def release(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        """End it at once; what it held is gone. Nothing happens where it does not run."""
        if self._program is not None:
            self._program.kill()
            self._program.wait(_SECONDS)
            self._program = None

    def _send(self, number: int) -> None:
        assert self._program is not None
        self._program.send_signal(number)

    @staticmethod
    def _answers(client: redis.Redis) -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def running_redis(*arguments: str) -> Generator[Server, None, None]:
    """Run a server for the time of a test; skip where it is not installed."""
    require("redis-server")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = Server(Path(folder), *arguments)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
