"""CherryPy with a context of ours, in a process of its own: where the adapter belongs, and who comes past it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.integrations import battery
from tests.integrations.battery import GOOD, REFUSED, Running, ask, client_context
from tests.integrations.serving import HOST, PATIENCE, REPOSITORY

pytestmark = pytest.mark.skipif(find_spec("cherrypy") is None, reason="CherryPy is not installed")
ANSWERED: Final = {
    "another issuing CA": "403 issuer.not-pinned",
    "another name": "403 name.mismatch",
    "revoked": "403 crl.revoked",
    "none": "403 path.no-certificate",
}
"""What the refused are told by ``refuse="respond"``; whom OpenSSL refuses is told nothing."""


@contextmanager
def _serving(folder: Path, mode: str) -> Generator[Running, None, None]:
    battery.gunicorn_files(folder)
    paths = [str(REPOSITORY), str(REPOSITORY / "src"), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integrations.cherrypy_program", mode],
        cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Running(int(process.stdout.readline()), lambda: [process.pid], folder / "runs")
            process.stdin.close()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


class Served(NamedTuple):
    """A site that runs, and what it does with whom it refuses."""

    running: Running
    refuse: str


@pytest.fixture(scope="module", params=["handshake", "respond"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served, None, None]:
    """Lend the site."""
    with _serving(tmp_path_factory.mktemp("cherrypy"), request.param) as running:
        yield Served(running, request.param)


def test_the_site_knows_who_is_asking(served: Served, tmp_path: Path) -> None:
    """By the peer and by the name in the environ, on one connection as often as it is asked."""
    before = served.running.ran
    context = client_context(tmp_path, GOOD)
    connection = http.client.HTTPSConnection("localhost", served.running.port, context=context, timeout=PATIENCE)
    for _ in range(2):
        connection.request("GET", "/")
        assert json.loads(connection.getresponse().read()) == {"peer": "frodo", "subject": "CN=frodo"}
    connection.close()
    assert served.running.ran == before + 2


def test_what_a_page_refuses_the_middleware_answers(served: Served, tmp_path: Path) -> None:
    """Where CherryPy is told to let a refusal pass; its own errors stay its own."""
    before = served.running.ran
    context = client_context(tmp_path, GOOD)
    assert ask(served.running, context, "/sam") == "403 name.mismatch"
    connection = http.client.HTTPSConnection("localhost", served.running.port, context=context, timeout=PATIENCE)
    connection.request("GET", "/broken")
    assert connection.getresponse().status == 500
    connection.close()
    assert served.running.ran == before


@pytest.mark.parametrize("who", REFUSED)
def test_nothing_of_the_site_runs_for_the_refused(served: Served, tmp_path: Path, who: str) -> None:
    """They are closed, or answered by the adapter, before CherryPy hears of them."""
    before = served.running.ran
    told = ANSWERED.get(who) if served.refuse == "respond" else None
    assert ask(served.running, client_context(tmp_path, REFUSED[who])) == told
    assert ask(served.running, client_context(tmp_path, GOOD)) == "frodo"
    assert served.running.ran == before + 1


def _plain(port: int) -> bytes:
    """Return what comes back to a request without TLS, until the connection ends."""
    with socket.create_connection((HOST, port), PATIENCE) as sock, sock.makefile("rb") as file:
        sock.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        try:
            return file.read()
        except ConnectionError:
            return b""


def test_it_does_not_speak_plain_http(served: Served, tmp_path: Path) -> None:
    """Such a client has at most an alert of TLS, and nobody else is the worse for it."""
    before = served.running.ran
    assert b"HTTP" not in _plain(served.running.port)
    assert served.running.ran == before
    assert ask(served.running, client_context(tmp_path, GOOD)) == "frodo"


def test_silent_clients_keep_nobody_waiting(served: Served, tmp_path: Path) -> None:
    """The handshake is a worker's, and not of the thread that accepts."""
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection((HOST, served.running.port), PATIENCE))
        assert ask(served.running, client_context(tmp_path, GOOD), patience=5.0) == "frodo"


def test_an_adapter_in_the_wrong_place_opens_nothing(tmp_path: Path) -> None:
    """On ``cherrypy.server`` itself it is ignored, and plain HTTP is spoken: the middleware refuses each request."""
    with _serving(tmp_path, "misplaced") as running:
        assert _plain(running.port).startswith(b"HTTP/1.1 500 ")
        assert ask(running, client_context(tmp_path, GOOD)) is None
        assert running.ran == 0
