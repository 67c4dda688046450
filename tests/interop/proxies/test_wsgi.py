"""Real WSGI servers behind real proxies that let other spellings pass: WSGI cannot tell who wrote a header."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from werkzeug.serving import make_server

from mtlspolicy.integrations.werkzeug import RequestHandler

from . import envoy, haproxy, nginx  # noqa: TID252 - tests are no package that could be named
from .clients import Answer, raw  # noqa: TID252 - the same
from .conftest import Site  # noqa: TID252 - the same
from .front import Run  # noqa: TID252 - the same
from .pages import Page, filled, without_sanitising  # noqa: TID252 - the same
from .programs import HOST, free_port  # noqa: TID252 - the same
from .rules import require_nobody_else  # noqa: TID252 - the same
from .smuggling import Fields, attacks  # noqa: TID252 - the same
from .wsgi_program import FOLDER, PAGE, program  # noqa: TID252 - the same

_REPOSITORY: Final = Path(__file__).parents[3]
_SECONDS: Final = 20.0
Served = Callable[[Page, Path], AbstractContextManager[int]]


class _Quiet(RequestHandler):
    """Writes no log, and speaks the version of HTTP in which a proxy may forward."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def by_werkzeug(page: Page, folder: Path) -> Generator[int, None, None]:
    """Serve the program by Werkzeug's server, and lend its port."""
    server = make_server(HOST, 0, program(page, folder), threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(_SECONDS)
        server.server_close()


@contextmanager
def by_gunicorn(page: Page, folder: Path) -> Generator[int, None, None]:
    """Serve the program by gunicorn's synchronous worker, and lend its port."""
    with socket.create_server((HOST, 0)) as listener:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--worker-class", "sync"]
        command += ["--log-level", "critical", "--no-control-socket", "--graceful-timeout", "2"]
        paths = os.pathsep.join([str(_REPOSITORY), *filter(None, sys.path)])
        environment = {**os.environ, PAGE: page.name, FOLDER: str(folder), "PYTHONPATH": paths}
        with subprocess.Popen(
            [*command, "tests.interop.proxies.wsgi_program:application"],
            cwd=folder, env=environment, pass_fds=[listener.fileno()],
        ) as process:  # fmt: skip
            try:
                yield int(listener.getsockname()[1])
            finally:
                process.terminate()
                process.wait(_SECONDS)


def _letting_underscores_pass(text: str) -> str:
    """Return Envoy's configuration with its default for names with an underscore."""
    line = "headers_with_underscores_action: REJECT_REQUEST"
    assert text.count(line) == 1
    return text.replace(line, "headers_with_underscores_action: ALLOW")


PROXIES: Final[dict[str, tuple[Page, str, Run, Callable[[str], str]]]] = {
    "envoy": (envoy.PAGE, "/etc/envoy/envoy.yaml", envoy.envoy, _letting_underscores_pass),
    "haproxy": (haproxy.PAGE, "/etc/haproxy/haproxy.cfg", haproxy.haproxy, without_sanitising),
    "nginx": (nginx.PAGE, "/etc/nginx/conf.d/clients.conf", nginx.nginx, str),
}
SERVERS: Final[dict[str, Served]] = {"gunicorn": by_gunicorn, "werkzeug": by_werkzeug}


def _request(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode("ascii")


def _written_for_frodo(ask: Callable[[bytes], Answer]) -> Fields:
    """Return what the proxy writes for frodo, as soon as a request reaches the program."""
    end = time.monotonic() + _SECONDS
    while (answer := ask(_request("/written"))).told is None:
        assert time.monotonic() < end, f"the proxy forwards nothing: {answer}"
        time.sleep(0.05)
    return [(name, value) for name, value in answer.told["written"]]


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("server", SERVERS)
def test_an_alias_or_a_second_copy_is_never_believed_under_wsgi(
    site: Site, tmp_path: Path, proxy: str, server: str
) -> None:
    """Alias alone, alias and the real one, two copies, ``Connection``: a client is who it is, or refused."""
    page, path, run, change = PROXIES[proxy]
    port = free_port()
    with SERVERS[server](page, site.folder) as behind:
        text = filled(change(page.configuration(path)), site.folder, {8443: port, 8000: behind})
        with run(text, tmp_path, port):
            genuine = _written_for_frodo(lambda request: raw(port, site.folder, "frodo", request))
            assert genuine
            for client in ("frodo", "sam", None):
                assert raw(port, site.folder, client, _request("/")).identity == client
            answers: list[Answer] = []
            for client in ("sam", None):
                for attack, fields in attacks(genuine):
                    lines = (f"{name}: {value}" for name, value in fields)
                    answers.append(raw(port, site.folder, client, _request("/", *lines)))
                    require_nobody_else(answers[-1], client, attack)
            assert any(answer.admitted for answer in answers), "no attack came as far as the program"
