"""What the pages about FastAPI, Flask and Django need before their blocks run, and what must be true afterwards."""

from __future__ import annotations

import ssl
import sys
import unittest
import warnings
from collections.abc import Callable, Iterator
from http.server import HTTPServer
from importlib import import_module
from pathlib import Path
from socketserver import BaseServer
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from starlette.websockets import WebSocketDisconnect

from mtlspolicy import testing
from mtlspolicy.integrations.testing import as_peer
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

_URLS: Final = "mtlspolicy_page_urls"


def _files() -> CertificateAuthority:
    root = CertificateAuthority("Clients")
    root.issue_server("localhost").files(".", name="server")
    Path("clients-ca.pem").write_bytes(root.pem)
    return root


def _pays(port: int, root: CertificateAuthority, leaf: IssuedCertificate | None) -> tuple[int, str]:
    context = ssl.create_default_context(cadata=root.pem.decode("ascii"))
    if leaf is not None:
        with leaf.tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)
    with httpx.Client(verify=context, timeout=20) as client:
        reply = client.post(f"https://localhost:{port}/pay", data={"user": "frodo", "amount": "7"})
    return reply.status_code, reply.text


def _judge(port: int, root: CertificateAuthority) -> None:
    for leaf, status, words in (
        (root.issue_client("frodo"), 200, "frodo paid 7"),
        (root.issue_client("sam"), 403, "name.mismatch"),
        (None, 403, "path.no-certificate"),
    ):
        found = _pays(port, root, leaf)
        assert (found[0], words in found[1]) == (status, True), found


def _fastapi(lab: Lab) -> Iterator[None]:
    from tests.integrations.serving import uvicorn_serving

    root = _files()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Starlette 1.0 prefers another HTTP client, which need not be there
        client: Any = import_module("fastapi.testclient").TestClient
    yield
    app = lab.namespace["app"]
    lab.namespace["test_pay"]()
    lab.namespace["test_nobody_pays"]()
    for name, path, status in (("frodo", "/accounts/frodo", 200), ("frodo", "/audit", 403), ("auditor", "/me", 200)):
        assert client(as_peer(app, testing.peer(name))).get(path).status_code == status, path
    with uvicorn_serving(app, context=lab.namespace["context"], refuse="respond") as server:
        _judge(server.address[1], root)


def _flask(lab: Lab) -> Iterator[None]:
    from tests.integrations.serving import werkzeug_serving

    root = _files()
    yield
    with pytest.MonkeyPatch.context() as monkeypatch:
        lab.namespace["test_pay"](monkeypatch)
    with pytest.MonkeyPatch.context() as monkeypatch:
        # not the one that is there for pages with a server of the standard library in a block
        monkeypatch.setattr(HTTPServer, "serve_forever", BaseServer.serve_forever)
        with werkzeug_serving(lab.namespace["app"], context=lab.namespace["context"]) as server:
            _judge(server.address[1], root)


def _django(lab: Lab) -> Iterator[None]:
    pytest.importorskip("channels", reason="Channels is not installed")
    settings: Any = import_module("django.conf").settings
    if not settings.configured:  # once a process
        settings.configure(LOGGING_CONFIG=None, ALLOWED_HOSTS=["testserver"])
    yield
    path: Any = import_module("django.urls").path
    override: Any = import_module("django.test").override_settings
    urls: Any = ModuleType(_URLS)
    views = lab.namespace
    urls.urlpatterns = [
        path("pay", views["pay"]),
        path("report", views["report"]),
        path("accounts/<name>", views["Account"].as_view()),
    ]
    sys.modules[_URLS] = urls
    try:
        with override(ROOT_URLCONF=_URLS, MIDDLEWARE=views["MIDDLEWARE"]):
            _judge_django(views)
            _judge_channels(views["with_rooms"])
    finally:
        del sys.modules[_URLS]


def _judge_django(views: dict[str, Any]) -> None:
    result = unittest.TestResult()
    views["PayTest"]("test_pay").run(result)
    assert (result.testsRun, result.failures, result.errors) == (1, [], [])
    for name, path, status in (
        ("frodo", "/accounts/frodo", 200),
        ("frodo", "/accounts/sam", 403),
        ("frodo", "/report", 403),
        ("auditor", "/report", 200),
    ):
        assert as_peer(views["Client"](), testing.peer(name)).get(path).status_code == status, path


def _judge_channels(app: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of Starlette wish for another httpx
        client: Any = import_module("starlette.testclient").TestClient(as_peer(app, testing.peer("frodo")))
    origin = {"origin": "http://testserver"}
    with client.websocket_connect("/room/frodo", headers=origin) as room:
        assert room.receive_text() == "hello frodo"
        room.send_text("frodo")
        assert room.receive_text() == "frodo"
        room.send_text("sam")
        with pytest.raises(WebSocketDisconnect) as caught:
            room.receive_text()
    assert (caught.value.code, caught.value.reason) == (1008, "name.mismatch")
    for path, headers in (("/room/sam", origin), ("/room/frodo", {"origin": "http://elsewhere.test"})):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path, headers=headers):
            pass


FRAMEWORK_SETUPS: Final[dict[str, Callable[[Lab], Iterator[None]]]] = {
    "docs/howto/fastapi.md": _fastapi,
    "docs/howto/flask.md": _flask,
    "docs/howto/django.md": _django,
}
