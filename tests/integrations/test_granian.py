"""Granian speaks TLS in Rust and hides the certificate: our middleware refuses there, with its remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from mtlspolicy.integrations import asgi
from tests.integrations import applications
from tests.integrations.answering import Clients
from tests.integrations.serving import HOST, PATIENCE, REPOSITORY, ROOT, Server

pytest.importorskip("granian")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the port is found as on other systems")
application = asgi.Middleware(applications.tell, source="connection")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def _asked(clients: Clients, server: Server, process: subprocess.Popen[str]) -> httpx.Response:
    """Return the answer to a good client, once the server is up."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return clients.get(server, "frodo")
        except httpx.ConnectError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)


def test_granian_hides_the_connection_and_nobody_is_admitted(tmp_path: Path) -> None:
    """A client whose certificate Granian itself has verified gets 500: its application has no peer to ask for."""
    clients, port = Clients(tmp_path), _free_port()
    certificate, key = ROOT.issue_server("localhost").files(tmp_path, name="server")
    root = tmp_path / "root.pem"
    root.write_bytes(ROOT.pem)
    command: list[Any] = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", HOST, "--port", str(port)]
    command += ["--ssl-certificate", certificate, "--ssl-keyfile", key, "--ssl-ca", root, "--ssl-client-verify"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])}
    with subprocess.Popen(
        [*command, "tests.integrations.test_granian:application"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            reply = _asked(clients, Server((HOST, port)), process)
        finally:
            process.terminate()
            told = process.communicate(timeout=PATIENCE)[0]
    assert reply.status_code == 500
    assert 'source="connection": this server hides the connection' in told
