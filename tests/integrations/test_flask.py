"""Flask, which needs no module of its own: `wsgi.require` in its routes, and its error handler that answers."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import flask
import pytest
from werkzeug.test import Client

from mtlspolicy import policies, testing
from mtlspolicy.integrations import wsgi
from mtlspolicy.integrations._log import LIMITER
from mtlspolicy.integrations.testing import as_peer
from tests.integrations import flask_site
from tests.integrations.frameworks import ROWS, judge, server_context
from tests.integrations.serving import HOST, PATIENCE, REPOSITORY, ROOT, listening, werkzeug_serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")

_ROWS = [
    *ROWS,
    ("GET", "/staff/", None, "sam", 200, "at your desk"),
    ("GET", "/staff/", None, "frodo", 403, "name.mismatch"),
    ("GET", "/staff/", None, None, 403, "path.no-certificate"),
    ("GET", "/nothing", None, "sam", 500, "own page: NotFound"),
]


def test_werkzeugs_server_over_tls() -> None:
    """The bank's case and its neighbours, a blueprint that asks before each request, and a page for other errors."""
    with werkzeug_serving(flask_site.application, context=server_context()) as server:
        judge(server.address[1], direct=True, rows=_ROWS)


@contextmanager
def _gunicorn(folder: Path, worker: str) -> Generator[int, None, None]:
    ROOT.issue_server("localhost", HOST).files(folder, name="server")
    (folder / "root.pem").write_bytes(ROOT.pem)
    (folder / "settings.py").write_text(
        "from mtlspolicy import TrustStore, Verifier, policies, tls\nfrom mtlspolicy.integrations import gunicorn\n"
        'certfile, keyfile = "server.pem", "server.key"\n'
        'verifier = Verifier.for_clients(trust=TrustStore.from_file("root.pem"), policy=policies.Anyone())\n'
        "credential = tls.Credential.from_files(certfile, keyfile)\n"
        'given = {"credential": credential, "verifier": verifier, "client_certificate": "optional"}\n'
        "ssl_context = gunicorn.ssl_context(tls.server_context(**given))\n",
        encoding="utf-8",
    )
    with listening() as listener:
        bound = ["--bind", f"fd://{listener.fileno()}", "--config", "settings.py", "--log-level", "critical"]
        arguments = [*bound, "--no-control-socket", "--worker-class", worker, "--threads", "2"]
        paths = [str(REPOSITORY), str(REPOSITORY / "src"), *filter(None, sys.path)]
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments, "tests.integrations.flask_site:application"],
            cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, pass_fds=[listener.fileno()],
        )  # fmt: skip
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_gunicorn_over_tls(tmp_path: Path, worker: str) -> None:
    """The same behind gunicorn, whose context is ours."""
    with _gunicorn(tmp_path, worker) as port:
        judge(port, direct=True, rows=_ROWS)


def test_flasks_error_handler_when_forgotten_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Flask makes a page of every exception: who forgot to tell it how sees a 500 for it, and the remedy in the log."""
    app = flask.Flask(__name__)

    @app.get("/")
    def act() -> str:
        return str(wsgi.require(policies.CommonName("sam"))(flask.request))

    assert callable(act)
    app.wsgi_app = wsgi.Middleware(app.wsgi_app, source="connection")  # type: ignore[method-assign]
    app.wsgi_app = as_peer(app.wsgi_app, testing.peer("frodo"))  # type: ignore[method-assign]
    LIMITER.clear()
    with caplog.at_level(logging.ERROR, "mtlspolicy.request"):
        assert app.test_client().get("/").status_code == 500
        assert app.test_client().get("/").status_code == 500
    messages = [record.getMessage() for record in caplog.records if record.name == "mtlspolicy.request"]
    assert len(messages) >= 1
    assert "the refusal name.mismatch was answered with 500" in messages[0]
    assert "wsgi.answer for Flask" in messages[0]


def test_a_form_in_several_parts_and_a_name_twice() -> None:
    """What is asked about is what the route reads: the first of two, for Flask."""
    client = _client("frodo")
    twice = client.post("/pay", data="user=frodo&user=sam", content_type=_FORM)
    assert (twice.status_code, twice.text) == (200, "frodo")
    assert client.post("/pay", data="user=sam&user=frodo", content_type=_FORM).status_code == 403
    assert client.post("/pay", data={"user": "frodo"}, content_type="multipart/form-data").text == "frodo"
    posted = client.post("/pay", data={"user": (io.BytesIO(b"frodo"), "user.txt")})
    assert posted.json == {"error": "policy.error"}
    assert client.post("/pay?user=frodo").json == {"error": "policy.error"}


_FORM = "application/x-www-form-urlencoded"


def _client(name: str) -> Client:
    return Client(as_peer(flask_site.application, testing.peer(name)))
