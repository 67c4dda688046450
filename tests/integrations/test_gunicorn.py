"""gunicorn's own part: the hook for its configuration, workers that replace `ssl`, and the worker for ASGI."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from mtlspolicy import ConfigurationError
from mtlspolicy.integrations import gunicorn
from tests.integrations import battery
from tests.integrations.serving import PATIENCE, listening

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn is for Unix")

_WORKER: Final = "mtlspolicy.integrations.gunicorn.UvicornWorker"


def test_the_hook_takes_a_context_with_a_verifier() -> None:
    """Anything else would be TLS that asks nobody."""
    with pytest.raises(ConfigurationError, match=r"ssl_context\(SSLContext\): give a context of tls.server_context"):
        gunicorn.ssl_context(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with pytest.raises(ConfigurationError, match=r"ssl_context\(str\)"):
        gunicorn.ssl_context("server.pem")  # type: ignore[arg-type]


def test_the_worker_asks_gunicorn_for_the_context(tmp_path: Path) -> None:
    """Which asks the hook: here in this process, and otherwise in one that gunicorn ends."""
    context = battery.server_context(tmp_path)
    worker = gunicorn.UvicornWorker.__new__(gunicorn.UvicornWorker)
    worker.cfg = import_module("gunicorn.config").Config()
    worker.cfg.set("ssl_context", gunicorn.ssl_context(context))
    assert worker._context(None, None) is context


def test_there_is_nothing_else_in_the_module() -> None:
    """A misspelt worker is an error with its name."""
    with pytest.raises(AttributeError, match="UvicornWorkers"):
        _ = gunicorn.UvicornWorkers


def test_a_worker_that_replaces_ssl_ends_gunicorn(tmp_path: Path) -> None:
    """gevent's sockets would never ask a policy: nothing is served, and the reason is on the terminal."""
    battery.gunicorn_files(tmp_path)
    with listening() as listener:
        done = subprocess.run(
            battery.gunicorn_command("wsgi_app", listener.fileno(), "--worker-class", "gevent"),
            cwd=tmp_path, env=battery.gunicorn_environment(tmp_path), pass_fds=[listener.fileno()],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert "gunicorn cannot serve with this worker: ssl is monkey-patched" in done.stderr


def test_the_worker_for_asgi_takes_the_context_of_any_hook(tmp_path: Path) -> None:
    """The worker below it knows files alone: a hook that somebody wrote himself is not left out either."""
    battery.gunicorn_files(tmp_path)
    own = battery.HOLDING.replace("ssl_context = gunicorn.ssl_context(", "ours = (")
    own += "def ssl_context(config, default):\n    return ours\n"
    with battery.gunicorn_serving(tmp_path, "--worker-class", _WORKER, application="asgi_app", settings=own) as server:
        assert battery.ask(server, battery.client_context(tmp_path, battery.GOOD)) == "frodo"
        for who in battery.REFUSED.values():
            assert battery.ask(server, battery.client_context(tmp_path, who)) is None
        assert server.ran == 1


def test_the_worker_for_asgi_serves_websockets(tmp_path: Path) -> None:
    """The peer is known to the application; of whom the context refuses no WebSocket begins."""
    with battery.gunicorn_serving(
        tmp_path, "--worker-class", _WORKER, application="asgi_app", settings=battery.HOLDING
    ) as server:
        place = f"wss://localhost:{server.port}/"
        assert battery.ask(server, battery.client_context(tmp_path, battery.GOOD)) == "frodo"  # it has begun
        with connect(place, ssl=battery.client_context(tmp_path, battery.GOOD), open_timeout=PATIENCE) as socket:
            assert json.loads(socket.recv(PATIENCE))["peer"] == "frodo"
        for who in battery.REFUSED.values():
            with pytest.raises((OSError, EOFError, WebSocketException)):
                connect(place, ssl=battery.client_context(tmp_path, who), open_timeout=PATIENCE)
        assert server.ran == 2
