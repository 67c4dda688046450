"""Blocking servers with a context of ours: what their functions take, and how a refused client is answered by each."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from mtlspolicy import ConfigurationError, TrustStore, Verifier, tls
from mtlspolicy.integrations import cheroot, gunicorn, werkzeug, wsgi, wsgiref
from mtlspolicy.integrations._blocking import Refuse, behind_middleware
from tests.integrations import applications, battery, blocking
from tests.integrations.blocking import ALL_SERVERS, CLIENTS, GOLLUM, GOOD, client_context, told
from tests.integrations.serving import PATIENCE, listening

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn is for Unix")


@pytest.fixture(scope="module", params=ALL_SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Any, None, None]:
    """A server that answers whom it refuses, for all tests here."""
    with blocking.serving(request.param, tmp_path_factory.mktemp("server")) as server:
        yield server


VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
BODY: Final = b'{"error": "name.mismatch"}\n'


def _gollum(folder: Path, version: str = "1.3") -> ssl.SSLContext:
    context = client_context(folder, GOLLUM)
    context.maximum_version = VERSIONS[version]
    return context


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("request_head", "body"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", BODY),
        (b"GET / HTTP/1.0\r\n\r\n", BODY),
        (b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nping", BODY),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", BODY),
    ],
)
def test_a_refused_client_is_answered(
    running: battery.Running, tmp_path: Path, request_head: bytes, body: bytes, version: str
) -> None:
    """403 with the code, once, whatever it asks for, and the application has not run."""
    before = running.ran
    answer = told(running, _gollum(tmp_path, version), request_head)
    head, _, said = answer.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == b"403"
    assert (said, answer.count(b"HTTP/1.")) == (body, 1)
    assert f"content-length: {len(BODY)}".encode("ascii") in head.lower()
    assert running.ran == before


def test_the_others_are_served_as_ever(running: battery.Running, tmp_path: Path) -> None:
    """The good client's peer is known to the application, and whom OpenSSL refuses is closed."""
    before = running.ran
    assert battery.ask(running, client_context(tmp_path, GOOD)) == "frodo"
    assert battery.ask(running, client_context(tmp_path, None)) == "403 path.no-certificate"
    assert battery.ask(running, client_context(tmp_path, battery.GOOD)) is None  # of a CA that is not known here
    assert running.ran == before + 1


def test_fifty_refused_clients_leave_nothing(running: battery.Running, tmp_path: Path) -> None:
    """Descriptors and threads are as many as after the first fifty."""
    contexts = [client_context(tmp_path, one) for one in (GOLLUM, None)]
    with ThreadPoolExecutor(10) as pool:  # whose threads are there before anything is counted, and after

        def rush() -> list[str | None]:
            return list(pool.map(lambda number: battery.ask(running, contexts[number % 2]), range(50)))

        codes = ["403 name.mismatch", "403 path.no-certificate"] * 25
        assert rush() == codes
        before, ran = running.belongings(), running.ran
        assert rush() == codes
        assert running.ran == ran
        assert battery.until(lambda: all(now <= then for now, then in zip(running.belongings(), before, strict=True)))


@pytest.mark.parametrize("name", ["werkzeug", "cheroot", "gunicorn-sync", "gunicorn-uvicorn"])
def test_the_status_without_a_certificate_is_chosen(tmp_path: Path, name: str) -> None:
    """401 for who has none, where the server is told so."""
    with blocking.serving(name, tmp_path, absent=401) as running:
        assert battery.ask(running, client_context(tmp_path, None)) == "401 path.no-certificate"
        assert battery.ask(running, client_context(tmp_path, GOLLUM)) == "403 name.mismatch"


@pytest.mark.parametrize("name", ["werkzeug", "wsgiref"])
def test_without_the_word_the_refused_are_closed(tmp_path: Path, name: str) -> None:
    """refuse="handshake" is the default."""
    with blocking.serving(name, tmp_path, refuse="handshake") as running:
        assert battery.ask(running, client_context(tmp_path, GOLLUM)) is None
        assert battery.ask(running, client_context(tmp_path, GOOD)) == "frodo"


APP: Final = applications.tell_wsgi
TAKES: Final[dict[str, Callable[..., Any]]] = {
    "werkzeug": lambda context, **options: werkzeug.make_server(APP, context=context, port=0, **options),
    "werkzeug.run": lambda context, **options: werkzeug.run(APP, context=context, port=0, **options),
    "wsgiref": lambda context, **options: wsgiref.make_server(APP, context=context, port=0, **options),
    "cheroot": cheroot.SSLAdapter,
    "gunicorn": gunicorn.ssl_context,
}


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    battery.gunicorn_files(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", TAKES)
def test_a_word_that_is_none_of_the_two_is_refused(tmp_path: Path, name: str) -> None:
    """A misspelt refuse= or absent= is an error when the server is made."""
    context = blocking.plain_context(_folder(tmp_path))
    with pytest.raises(ConfigurationError, match="refuse='answer'"):
        TAKES[name](context, refuse="answer")
    with pytest.raises(ConfigurationError, match="absent=404"):
        TAKES[name](context, refuse="respond", absent=404)


@pytest.mark.parametrize("refuse", ["handshake", "respond"])
@pytest.mark.parametrize("name", TAKES)
def test_a_context_for_clients_is_refused(name: str, refuse: str) -> None:
    """No connection would work with it: it is an error when the server is made, with the remedy."""
    verifier = Verifier.for_servers(trust=TrustStore(anchors=[CLIENTS.certificate]), expected="api.example.com")
    with pytest.raises(ConfigurationError, match="tls.server_context") as raised:
        TAKES[name](tls.client_context(verifier=verifier), refuse=refuse)
    assert raised.value.code in {"tls.wrong-side", "tls.not-ours"}


@pytest.mark.parametrize("name", TAKES)
def test_a_context_that_cannot_answer_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """One without a verifier, one that asks for certificates later, one of another engine."""
    with pytest.raises(ConfigurationError, match="tls.server_context"):
        TAKES[name](ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), refuse="respond")
    later = blocking.plain_context(_folder(tmp_path), client_certificate="on-request")
    with pytest.raises(ConfigurationError, match="on-request"):
        TAKES[name](later, refuse="respond")


def test_werkzeug_takes_one_context_and_a_handler_of_ours(tmp_path: Path) -> None:
    """Another one beside it, or a handler that does not know the socket, is an error."""
    context = blocking.plain_context(_folder(tmp_path))
    with pytest.raises(ConfigurationError, match="leave ssl_context out"):
        werkzeug.make_server(APP, context=context, ssl_context="adhoc")
    handler = import_module("werkzeug.serving").WSGIRequestHandler
    with pytest.raises(ConfigurationError, match=r"integrations\.werkzeug\.RequestHandler"):
        werkzeug.make_server(APP, context=context, request_handler=handler)


def test_werkzeug_runs_until_it_is_told_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` gives Werkzeug's own function what `make_server` would."""
    given: list[Any] = []
    monkeypatch.setattr(import_module("werkzeug.serving"), "run_simple", lambda *one, **more: given.append((one, more)))
    context = blocking.plain_context(_folder(tmp_path))
    werkzeug.run(APP, context=context, port=1234)
    ((host, port, app), options) = given[0]
    assert (host, port, options["ssl_context"], options["threaded"]) == ("127.0.0.1", 1234, context, True)
    assert isinstance(app, wsgi.Middleware)


def test_the_middleware_is_put_around_an_application_that_has_none(tmp_path: Path) -> None:
    """Who has no certificate is let in where the context says that it is optional; a wrong one is refused as ever."""
    context = blocking.plain_context(_folder(tmp_path), client_certificate="optional")
    with blocking.wsgiref_serving(APP, context, refuse="respond") as port:
        running = battery.Running(port, battery.own_process, tmp_path / "runs")
        assert battery.ask(running, client_context(tmp_path, GOOD)) == "frodo"
        assert battery.ask(running, client_context(tmp_path, None)) == "None"
        assert battery.ask(running, client_context(tmp_path, GOLLUM)) == "403 name.mismatch"


def test_a_middleware_of_ours_stays_the_only_one(tmp_path: Path) -> None:
    """It has options of its own, which another one around it would hide."""
    ours = wsgi.Middleware(APP, source="connection")
    assert behind_middleware(ours, blocking.plain_context(_folder(tmp_path)), absent=403) is ours


def test_wsgiref_prints_what_went_wrong_but_no_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refused client has its line in the log; whatever else happens is told as ever."""
    server: Any = wsgiref.make_server(APP, context=blocking.plain_context(_folder(tmp_path)), port=0)
    with server:
        for error in (ssl.SSLError(1, "refused"), ValueError("a defect")):
            try:
                raise error
            except (ssl.SSLError, ValueError):
                server.handle_error(None, ("127.0.0.1", 1))
    printed = capsys.readouterr().err
    assert "a defect" in printed
    assert "refused" not in printed


def test_gunicorn_asks_once_whether_its_worker_answers(tmp_path: Path) -> None:
    """The hook gives the listener to the two workers that block, each time the same; for any other it ends gunicorn."""
    context = blocking.plain_context(_folder(tmp_path))
    config: Any = import_module("gunicorn.config").Config()
    plain = gunicorn.ssl_context(context)
    assert plain(config, None) is context
    for worker in ("sync", "gthread"):
        hook = gunicorn.ssl_context(context, refuse="respond")
        config.set("worker_class", worker)
        config.set("ssl_context", hook)
        assert hook(config, None) is hook(config, None)
        assert hook(config, None) is not context
    config.set("worker_class", import_module("gunicorn.workers.base").Worker)
    with pytest.raises(SystemExit) as raised:
        gunicorn.ssl_context(context, refuse="respond")(config, None)
    assert raised.value.code == 3


def test_the_worker_for_asgi_answers_by_its_own_protocol(tmp_path: Path) -> None:
    """It takes the context from the hook, and marks its connections for the gate that answers."""
    config: Any = import_module("gunicorn.config").Config()
    config.set("certfile", str(_folder(tmp_path) / "server.pem"))
    log = import_module("gunicorn.glogging").Logger(config)
    choices: tuple[Refuse, ...] = ("handshake", "respond")
    for refuse in choices:
        context = blocking.plain_context(tmp_path)
        config.set("ssl_context", gunicorn.ssl_context(context, refuse=refuse))
        worker: Any = gunicorn.UvicornWorker(0, 0, [], None, 1, config, log)
        worker.tmp.close()
        given = worker.config.ssl_context_factory(None, None)
        assert (given is context) == (refuse == "handshake")


@pytest.mark.parametrize("worker", ["gunicorn.workers.gasgi.ASGIWorker", "tornado"])
def test_a_worker_that_answers_nobody_ends_gunicorn(tmp_path: Path, worker: str) -> None:
    """It is said by name, on the terminal, before anything is served."""
    battery.gunicorn_files(_folder(tmp_path))
    (tmp_path / "settings.py").write_text(blocking.settings(blocking.plain_context, refuse="respond"), encoding="utf-8")
    with listening() as listener:
        done = subprocess.run(
            battery.gunicorn_command("wsgi_app", listener.fileno(), "--worker-class", worker),
            cwd=tmp_path, env=battery.gunicorn_environment(tmp_path), pass_fds=[listener.fileno()],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert 'gunicorn cannot serve with this worker: refuse="respond" with' in done.stderr


def test_django_behind_it_needs_nothing_more(tmp_path: Path) -> None:
    """Its middleware and its pages have no part in an answer to a refused client."""
    battery.gunicorn_files(_folder(tmp_path))
    written = blocking.settings(blocking.plain_context, refuse="respond")
    (tmp_path / "settings.py").write_text(f"{written}\nfrom tests.integrations import django_site\n", encoding="utf-8")
    with listening() as listener:
        command = battery.gunicorn_command("", listener.fileno(), "--worker-class", "gthread")
        process = subprocess.Popen(
            [*command[:-1], "tests.integrations.django_site:wsgi_application"],
            cwd=tmp_path, env=battery.gunicorn_environment(tmp_path), pass_fds=[listener.fileno()],
        )  # fmt: skip
        try:
            url = f"https://localhost:{listener.getsockname()[1]}/whole/frodo"
            for issued, status in ((GOOD, 200), (GOLLUM, 403), (None, 403)):
                context = client_context(tmp_path, issued)
                with httpx.Client(verify=context, timeout=PATIENCE, trust_env=False) as client:
                    reply = client.get(url)
                assert (reply.status_code, "error" in reply.text) == (status, status == 403)
        finally:
            process.terminate()
            process.wait(PATIENCE)
