"""Further servers for the battery: the standard library's pages without a framework, and Twisted over pyOpenSSL."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mtlspolicy import VerificationError, policies, tls
from tests.integrations import battery
from tests.integrations.battery import Running
from tests.integrations.serving import HOST, PATIENCE, REPOSITORY, on_thread

_PROGRAM: Final = Path(__file__).with_name("twisted_program.py")


@contextmanager
def http_server_serving(folder: Path) -> Generator[Running, None, None]:
    """Serve by ``http.server``, which is ``socketserver`` with a thread for each connection."""
    runs = folder / "runs"
    runs.touch()

    class Page(http.server.BaseHTTPRequestHandler):
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
    revoked = battery.REFUSED["revoked"]
    assert revoked is not None
    (folder / "revoked").write_text(f"{revoked.certificate.serial_number:x}", encoding="ascii")
    search = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, str(_PROGRAM)], cwd=folder, env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield Running(int(process.stdout.readline()), lambda: [process.pid], folder / "runs")
        finally:
            process.terminate()
            process.wait(PATIENCE)
