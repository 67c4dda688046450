"""Runs the Python examples of a page: its blocks in order, in one namespace, in a directory of its own."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import re
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.tls._log import LIMITER

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # so that tests.revocation is found however pytest was started
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT = "8443"
_JOIN_SECONDS = 20.0


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of *language* on *page*, a path below the root of the project, in their order."""
    return [code for kind, code in _FENCE.findall((ROOT / page).read_text(encoding="utf-8")) if kind == language]


class Lab:
    """One page's directory, namespace and servers. ``serve_forever`` of a block goes on in a thread of its own.

    Attributes:
        namespace: What the blocks share; what is put in beforehand is theirs too.
        port: Stands in for 8443 in every block.
        stands_in: What else is replaced when a block is run, such as a host name by the address of a server here.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.namespace: dict[str, Any] = {"__name__": "example"}
        self.port = _free_port()
        self.stands_in: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._servers: list[http.server.HTTPServer] = []
        forever = http.server.HTTPServer.serve_forever

        def serve(server: http.server.HTTPServer, *seconds: float) -> None:
            if threading.current_thread() is not threading.main_thread():
                return forever(server, *seconds)  # a server that has a thread of its own, as a test responder
            thread = threading.Thread(target=forever, args=(server, 0.05), daemon=True)
            self._servers.append(server)
            self._threads.append(thread)
            return thread.start()

        monkeypatch.setattr(http.server.HTTPServer, "serve_forever", serve)
        # So that closing a server waits for the threads of its connections, and every line is in the log then.
        monkeypatch.setattr(http.server.ThreadingHTTPServer, "daemon_threads", False)

    def run(self, page: str) -> None:
        """Run the Python blocks of *page*."""
        for number, code in enumerate(blocks(page, "python"), 1):
            exec(compile(self.as_run(code), f"{page}, block {number}", "exec", dont_inherit=True), self.namespace)  # noqa: S102 - ours

    def as_run(self, text: str) -> str:
        """Return *text* of a page with what stands in for its port, names and addresses."""
        for printed, ours in self.stands_in.items():
            text = text.replace(printed, ours)
        return text.replace(_PORT, str(self.port))

    def get(self, client: IssuedCertificate | None, trust: CertificateAuthority, **request: Any) -> tuple[int, str]:
        """Send a request to the page's server and return status and body; a client that is refused sees an error."""
        context = ssl.create_default_context(cadata=trust.pem.decode())
        if client is not None:
            with client.tempfiles() as (chain, key):
                context.load_cert_chain(chain, key)
        host = request.pop("host", "localhost")
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            connection = http.client.HTTPConnection(host)
            with contextlib.closing(context.wrap_socket(plain, server_hostname=host)) as connection.sock:
                connection.request(request.pop("method", "GET"), "/", **request)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()

    @contextlib.contextmanager
    def simple_server(
        self, credential: IssuedCertificate | None = None, *, asks: CertificateAuthority | None = None
    ) -> Iterator[None]:
        """Run a TLS server that answers 200; the blocks know it as ``url``, and its CA as ``server-ca.pem`` by default.

        Args:
            credential: The server's, where the page has a CA of its own for it.
            asks: The CA of the clients that alone are admitted.
        """
        if credential is None:
            authority = CertificateAuthority("Servers")
            Path("server-ca.pem").write_bytes(authority.pem)
            credential = authority.issue_server("localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with credential.tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)
        if asks is not None:
            context.load_verify_locations(cadata=asks.pem.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=socketserver.BaseServer.serve_forever, args=(server, 0.05))
        thread.start()
        self.namespace["url"] = f"https://localhost:{server.server_port}/"
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def close(self) -> None:
        """End the servers and what they are still doing; once more does no harm."""
        while self._servers:
            server = self._servers.pop()
            server.shutdown()
            server.server_close()
        while self._threads:
            thread = self._threads.pop()
            thread.join(_JOIN_SECONDS)
            assert not thread.is_alive()


class _Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer 200 with nothing."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def pages() -> dict[str, str]:
    """Return the text of every page for readers, by its path below the root of the project."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {
        page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
        for page in found
        if "_build" not in page.parts
    }


@pytest.fixture
def fenced() -> Callable[[str, str], list[str]]:
    """Return the function that gives the fenced blocks of a language on a page."""
    return blocks


def plain(text: str) -> str:
    """Return *text* without what differs from run to run: ports, and runs of spaces."""
    return re.sub(r"\s+", " ", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)).strip()


@pytest.fixture(name="plain")
def _plain() -> Callable[[str], str]:
    """Return the function that takes out of a text what differs from run to run."""
    return plain


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Lend an empty directory, which is the current one, with a namespace for the blocks of a page."""
    monkeypatch.chdir(tmp_path)
    LIMITER.clear()  # lines that other tests have used up are not missing here
    made = Lab(monkeypatch)
    yield made
    made.close()
