"""Each server that speaks TLS with a context of ours: who gets in, who does not, and what is left behind."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from tornado import web

from mtlspolicy import policies
from mtlspolicy.integrations import tornado as our_tornado
from tests.integrations import battery, battery_more
from tests.integrations.battery import (
    ALLOWED,
    GOOD,
    REFUSED,
    SAM,
    Running,
    Start,
    ask,
    ask_again,
    client_context,
    server_context,
)
from tests.integrations.serving import HOST, PATIENCE, hypercorn_serving, uvicorn_serving, werkzeug_serving
from tests.integrations.tornado_serving import tornado_serving

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors and threads are counted here")

_UVICORN_WORKER: Final = "mtlspolicy.integrations.gunicorn.UvicornWorker"
_AT_ONCE: Final = 100


@contextmanager
def _uvicorn(folder: Path, **options: Any) -> Generator[Running, None, None]:
    runs = folder / "runs"
    runs.touch()
    with uvicorn_serving(battery.counted(runs), context=server_context(folder, pending="hold"), **options) as server:
        port = server.address[1]
        yield Running(port, battery.own_process, runs, battery.tasks_told(folder, port))


@contextmanager
def _hypercorn(folder: Path) -> Generator[Running, None, None]:
    runs = folder / "runs"
    runs.touch()
    with hypercorn_serving(battery.counted(runs), context=server_context(folder, pending="hold")) as server:
        port = server.address[1]
        yield Running(port, battery.own_process, runs, battery.tasks_told(folder, port))


@contextmanager
def _tornado(folder: Path) -> Generator[Running, None, None]:
    runs = folder / "runs"
    runs.touch()

    class Tell(web.RequestHandler):
        async def get(self) -> None:
            if self.request.path == "/sam":
                await our_tornado.require(policies.CommonName("sam"))(self)
            if self.request.path == "/tasks":
                self.write({"peer": len(asyncio.all_tasks())})
                return
            battery.count_run(runs)
            self.write({"peer": our_tornado.peer(self).common_name})

    app = our_tornado.Middleware(web.Application([("/.*", Tell)], log_function=lambda _: None), source="connection")
    context = server_context(folder, pending="hold")
    with tornado_serving(app, context=context, server_class=our_tornado.HTTPServer) as server:
        port = server.address[1]
        yield Running(port, battery.own_process, runs, battery.tasks_told(folder, port))


@contextmanager
def _werkzeug(folder: Path) -> Generator[Running, None, None]:
    runs = folder / "runs"
    runs.touch()
    with werkzeug_serving(battery.counted_wsgi(runs), context=server_context(folder)) as server:
        yield Running(server.address[1], battery.own_process, runs)


SERVERS: Final[dict[str, Start]] = {
    "asyncio.start_server": partial(battery_more.streams_serving, gate=False),
    "tls.start_server": partial(battery_more.streams_serving, gate=True),
    "uvicorn-h11-asyncio": partial(_uvicorn, http="h11", loop="asyncio"),
    "uvicorn-httptools-uvloop": partial(_uvicorn, http="httptools", loop="uvloop"),
    "hypercorn": _hypercorn,
    "aiohttp": battery_more.aiohttp_serving,
    "tornado": _tornado,
    "werkzeug": _werkzeug,
    "wsgiref": battery.wsgiref_serving,
    "cheroot": battery.cheroot_serving,
    "http.server": battery_more.http_server_serving,
    "twisted": battery_more.twisted_serving,
    "gunicorn-sync": partial(battery.gunicorn_serving),
    "gunicorn-gthread": lambda folder: battery.gunicorn_serving(folder, "--worker-class", "gthread", "--threads", "4"),
    "gunicorn-uvicorn": lambda folder: battery.gunicorn_serving(
        folder, "--worker-class", _UVICORN_WORKER, application="asgi_app", settings=battery.HOLDING, in_loop=True
    ),
}
ONE_AT_A_TIME: Final = frozenset({"gunicorn-sync"})
"""Serve one connection at a time, so that a client who says nothing keeps the next waiting until a time-out."""
FORGETS: Final = frozenset({"tornado", "werkzeug", "wsgiref", "gunicorn-sync", "gunicorn-gthread", "twisted"})
"""Close the socket without an end of TLS, and OpenSSL then forgets the session; pyOpenSSL is told to keep none."""


@pytest.fixture(scope="module", params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Running, None, None]:
    """A server that runs for all tests here; the first request is its warm-up."""
    if request.param.startswith("gunicorn") and sys.platform == "win32":
        pytest.skip("gunicorn is for Unix")
    folder = tmp_path_factory.mktemp("server")
    with SERVERS[request.param](folder) as server:
        assert battery.until(lambda: ask(server, client_context(folder, GOOD)) == "frodo")
        yield server


def test_the_one_who_is_meant_is_known_to_the_application(running: Running, tmp_path: Path) -> None:
    """The application is told the name in the certificate, and runs once."""
    before = running.ran
    assert ask_again(running, client_context(tmp_path, GOOD)) == "frodo"
    assert running.ran == before + 1


def test_a_route_may_ask_further(running: Running, tmp_path: Path) -> None:
    """Whoever was admitted is refused where the route is for somebody else, who is served there."""
    before = running.ran
    assert ask_again(running, client_context(tmp_path, GOOD), "/sam") == "403 name.mismatch"
    assert running.ran == before
    assert ask_again(running, client_context(tmp_path, SAM), "/sam") == "sam"
    assert running.ran == before + 1


@pytest.mark.parametrize("who", REFUSED)
def test_nobody_else_has_any_of_the_application_run(running: Running, tmp_path: Path, who: str) -> None:
    """The connection ends without an answer; the one who is revoked comes until the CRL was read."""
    before, context = (running.ran, running.begun), client_context(tmp_path, REFUSED[who])

    def refused() -> bool:
        assert ask(running, context) is None
        return who != "revoked" or running.decided("crl.revoked") > 0

    assert battery.until(refused)
    assert (running.ran, running.begun) == before


def test_a_resumed_session_is_judged_as_a_new_one_is(
    running: Running, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A session of TLS 1.2 is taken up where it is kept, and is worth nothing once the name is no longer allowed."""
    name = request.node.callspec.params["running"]
    context = client_context(tmp_path, GOOD)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session, first = _visit(running, context, None)
    assert first == b"frodo"
    _, again = _visit(running, context, session)
    assert again == (b"frodo" if name in FORGETS else b"frodo resumed")
    try:
        running.names.write_text("sam", encoding="ascii")
        before, denied = (running.ran, running.begun), running.decided("name.mismatch")
        assert _visit_once(running, context, session)[1] == b""
        assert (running.ran, running.begun) == before
        assert battery.until(lambda: running.decided("name.mismatch") == denied + 1)
    finally:
        running.names.write_text(ALLOWED, encoding="ascii")


def _visit(running: Running, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[Any, bytes]:
    """Return the session of a visit, and who the server says that it was."""
    return battery.repeated(lambda: _visit_once(running, context, session), lambda visit: running.waits or visit[1])


def _visit_once(running: Running, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[Any, bytes]:
    """Return the session of a visit, and who the server says that it was; nothing: it closed the connection.

    The client says the end of TLS first, and reads no more by TLS: OpenSSL forgets a session, on either side, whose
    connection ended without.
    """
    plain = socket.create_connection((HOST, running.port), PATIENCE)
    name, resumed = b"", b""
    with (
        plain,
        plain.dup() as below,
        suppress(OSError),
        context.wrap_socket(plain, server_hostname="localhost", session=session) as secured,
    ):
        secured.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        while b"}" not in said and (more := secured.recv(4096)):
            said += more
        name = b"frodo" if b'"peer": "frodo"' in said else b""
        session, resumed = secured.session, b" resumed" if name and secured.session_reused else b""
        secured.settimeout(0)
        with suppress(ssl.SSLWantReadError):
            secured.unwrap()
        below.settimeout(PATIENCE)
        while below.recv(4096):
            pass
    return session, name + resumed


def test_a_hundred_at_once_leave_nothing_behind(running: Running, tmp_path: Path) -> None:
    """Half of them are refused; descriptors, threads and tasks are as many as after a first hundred."""
    good, bad = (client_context(tmp_path, one) for one in (GOOD, REFUSED["another name"]))
    with ThreadPoolExecutor(20) as pool:  # whose threads are there before anything is counted, and after

        def visit(number: int) -> str | None:
            return ask(running, bad) if number % 2 else ask_again(running, good)

        def rush() -> list[str | None]:
            return list(pool.map(visit, range(_AT_ONCE)))

        rush()
        before, ran = running.settled(), running.ran
        assert rush() == ["frodo", None] * (_AT_ONCE // 2)
        assert running.ran == ran + _AT_ONCE // 2
        assert running.settles(before), (before, running.belongings())


def test_clients_that_go_away_in_the_middle_of_the_handshake(running: Running, tmp_path: Path) -> None:
    """Neither half a message nor a whole one without an end costs anybody else anything."""
    before = running.ran
    for part in (1, 60, None):
        outgoing = ssl.MemoryBIO()
        client = client_context(tmp_path, GOOD).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        for _ in range(5):
            with socket.create_connection((HOST, running.port), PATIENCE) as sock:
                sock.sendall(hello[:part])
    assert ask_again(running, client_context(tmp_path, GOOD)) == "frodo"
    assert running.ran == before + 1


def test_silent_clients_do_not_hold_others_up(running: Running, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Two say nothing, one sends a single octet; the next is served meanwhile, but by a server for one at a time."""
    context, alone = client_context(tmp_path, GOOD), request.node.callspec.params["running"] in ONE_AT_A_TIME
    silent = [socket.create_connection((HOST, running.port), PATIENCE) for _ in range(3)]
    silent[0].sendall(b"\x16")
    try:
        if alone:
            assert ask(running, context, patience=1) is None
        else:
            assert ask_again(running, context) == "frodo"
    finally:
        for sock in silent:
            sock.close()
    assert ask_again(running, context) == "frodo"
