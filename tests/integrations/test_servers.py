"""A forwarded certificate behind each real server: who is admitted, and who never is, whatever the headers say."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.integrations.serving import (
    FOREIGN,
    FRODO,
    GOLLUM,
    SAM,
    STRANGER,
    Server,
    asgi_app,
    gunicorn_serving,
    hypercorn_serving,
    item,
    uvicorn_serving,
    werkzeug_serving,
    wsgi_app,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a stranger comes from 127.0.0.2, which Linux has")

_STAR = {"proxy_headers": True, "forwarded_allow_ips": "*"}
_UVICORN: dict[str, dict[str, Any]] = {
    "uvicorn-h11-asyncio": {"http": "h11", "loop": "asyncio", **_STAR},
    "uvicorn-httptools-uvloop": {"http": "httptools", "loop": "uvloop", **_STAR},
    "uvicorn-h11-uvloop": {"http": "h11", "loop": "uvloop"},
    "uvicorn-httptools-asyncio": {"http": "httptools", "loop": "asyncio", "proxy_headers": False},
}
_GUNICORN = {
    "gunicorn-sync": ("wsgi_app", "--worker-class", "sync"),
    "gunicorn-gthread-fixed": ("wsgi_fixed", "--worker-class", "gthread", "--threads", "4"),
    "gunicorn-uvicorn": (
        *("asgi_app", "--worker-class", "mtlspolicy.integrations.gunicorn.UvicornWorker"),
        *("--forwarded-allow-ips", "*"),
    ),
}
_HYPERCORN = {"hypercorn": False, "hypercorn-fixed": True}
_WERKZEUG = {"werkzeug": False, "werkzeug-fixed": True}
ALL = [*_UVICORN, *_HYPERCORN, *_WERKZEUG, *_GUNICORN]
KEPT_ALIVE = [name for name in ALL if name != "gunicorn-sync" and name not in _WERKZEUG]
"""Werkzeug and the synchronous worker of gunicorn close after each request."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Any, None, None]:
    """Start each server when it is first asked for, and all of them once."""
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def server(name: str) -> Server:
            if name not in running:
                if name in _UVICORN:
                    serving: Any = uvicorn_serving(asgi_app(), **_UVICORN[name])
                elif name in _HYPERCORN:
                    serving = hypercorn_serving(asgi_app(fixed=_HYPERCORN[name]))
                elif name in _WERKZEUG:
                    serving = werkzeug_serving(wsgi_app(fixed=_WERKZEUG[name]))
                else:
                    app, *arguments = _GUNICORN[name]
                    serving = gunicorn_serving(app, tmp_path_factory.mktemp(name), *arguments)
                running[name] = stack.enter_context(serving)
            return running[name]

        yield server


@pytest.mark.parametrize("name", ALL)
def test_a_good_client_is_admitted_and_its_header_removed(servers: Any, name: str) -> None:
    """The application has the peer, no header of the certificate, and no shared cache may keep the answer."""
    reply = servers(name).ask(f"Client-Cert: {item(FRODO)}", "X-Forwarded-For: 203.0.113.9")
    assert reply.status == 200, reply
    assert reply.told["peer"] == "frodo"
    assert not [
        field
        for field in reply.told["headers"]
        if field.lower().replace("_", "-").endswith("client-cert") and not field.startswith("SSL")
    ]
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ((), 403, "path.no-certificate"),
        ((f"Client-Cert: {item(FOREIGN)}",), 403, "path.no-issuer"),
        ((f"Client-Cert: {item(GOLLUM)}",), 403, "name.mismatch"),
        (("Client-Cert: :AAAA:",), 400, "forwarded.malformed"),
        ((f"Client-Cert: {item(FRODO)}", f"Client-Cert: {item(SAM)}"), 400, None),
        ((f"Client-Cert: {item(FRODO)}", "Early-Data: 1"), 425, "forwarded.early-data"),
    ],
    ids=["none", "wrong-ca", "wrong-name", "malformed", "twice", "early"],
)
def test_each_refusal_has_its_status_and_code(
    servers: Any, name: str, headers: tuple[str, ...], status: int, code: str | None
) -> None:
    """Absent, malformed, refused: the table's status and the code alone, in place of the application's answer."""
    reply = servers(name).ask(*headers)
    assert reply.status == status, reply
    assert code is None or reply.told == {"error": code}


_CLAIMS = [
    (),
    ("X-Forwarded-For: 127.0.0.1",),
    ("X-Forwarded-For: 127.0.0.1:5000",),
    ("X-Forwarded-For: 127.0.0.1, 127.0.0.1",),
    ("X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 127.0.0.1"),
    ("Forwarded: for=127.0.0.1",),
    ("X-Real-IP: 127.0.0.1", "X-Client-IP: 127.0.0.1"),
    ("X-Forwarded-For: unix:", "X-Forwarded-Proto: https"),
]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("claim", _CLAIMS, ids=range(len(_CLAIMS)))
def test_a_stranger_who_writes_himself_the_address_of_the_proxy_is_not_the_proxy(
    servers: Any, name: str, claim: tuple[str, ...]
) -> None:
    """The address of the accepted socket counts, and nothing that a server or middleware has made of a header."""
    reply = servers(name).ask(f"Client-Cert: {item(FRODO)}", *claim, origin=STRANGER)
    assert (reply.status, reply.told) == (403, {"error": "forwarded.untrusted-proxy"})


@pytest.mark.parametrize("name", ALL)
def test_a_stranger_without_the_header_is_a_client_without_certificate(servers: Any, name: str) -> None:
    """That somebody is not the proxy matters where he claims something."""
    assert servers(name).ask(origin=STRANGER).told == {"error": "path.no-certificate"}


@pytest.mark.parametrize("name", KEPT_ALIVE)
def test_clients_interleaved_on_one_connection_of_the_proxy_stay_apart(servers: Any, name: str) -> None:
    """A forwarded certificate belongs to one request: nothing is left for the next one, nor for one without."""
    with servers(name).connection() as client:
        seen = [client.ask(f"Client-Cert: {item(der)}").told["peer"] for der in (FRODO, SAM, FRODO)]
        assert seen == ["frodo", "sam", "frodo"]
        assert client.ask().told == {"error": "path.no-certificate"}
        assert client.ask(f"Client-Cert: {item(GOLLUM)}").told == {"error": "name.mismatch"}
        assert client.ask(f"Client-Cert: {item(SAM)}").told["peer"] == "sam"


def _request(*lines: str, version: str = "1.1", tail: str = "") -> bytes:
    return "\r\n".join([f"GET / HTTP/{version}", "Host: a", "Connection: close", *lines, "", tail]).encode("latin-1")


_CERT = f"Client-Cert: {item(SAM)}"
_CHUNKED = "Transfer-Encoding: chunked"
CORPUS = {
    "alias": _request(f"Client_Cert: {item(SAM)}"),
    "alias-dot": _request(f"Client.Cert: {item(SAM)}"),
    "alias-case": _request(f"CLIENT_CERT: {item(SAM)}", f"client-cert: {item(FRODO)}"),
    "alias-first": _request(f"Client_Cert: {item(SAM)}", f"Client-Cert: {item(FRODO)}"),
    "alias-last": _request(f"Client-Cert: {item(FRODO)}", f"Client_Cert: {item(SAM)}"),
    "duplicate": _request(f"Client-Cert: {item(FRODO)}", _CERT),
    "duplicate-first": _request(_CERT, f"Client-Cert: {item(FRODO)}"),
    "duplicate-empty": _request("Client-Cert:", _CERT),
    "joined": _request(f"Client-Cert: {item(FRODO)}, {item(SAM)}"),
    "folded": _request("X-Other: a", f" Client-Cert: {item(SAM)}"),
    "folded-tab": _request("X-Other: a", f"\tClient-Cert: {item(SAM)}"),
    "space-before-colon": _request(f"Client-Cert : {item(SAM)}"),
    "tab-before-colon": _request(f"Client-Cert\t: {item(SAM)}"),
    "space-before-name": _request(f" Client-Cert: {item(SAM)}"),
    "trailer": _request(_CHUNKED, "Trailer: Client-Cert", tail=f"0\r\n{_CERT}\r\n\r\n"),
    "trailer-unannounced": _request(_CHUNKED, tail=f"1\r\na\r\n0\r\n{_CERT}\r\n\r\n"),
    "http-1.0": _request(_CERT, version="1.0"),
    "http-0.9": b"GET /\r\n" + _CERT.encode("ascii") + b"\r\n\r\n",
    "connection": _request(_CERT, "Connection: client-cert"),
    "bare-cr": _request(f"X-Other: a\r{_CERT}"),
    "bare-cr-inside": _request(f"Client-Cert: {item(SAM)}\rX: 1"),
    "nul": _request(f"Client-Cert: {item(SAM)}\0"),
    "nul-in-name": _request(f"Client-Cert\0: {item(SAM)}"),
    "not-ascii": _request(f"Client-Cert: {item(SAM)}\xa0"),
    "after-a-malformed-line": _request("nonsense", _CERT),
    "second-in-the-body": _request("Content-Length: 0", tail=_CERT + "\r\n\r\n"),
    "parameters": _request(f"Client-Cert: {item(SAM)};a=1"),
    "chain-only": _request(f"Client-Cert-Chain: {item(SAM)}"),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("case", CORPUS)
def test_a_smuggled_header_never_gives_an_identity(servers: Any, name: str, case: str) -> None:
    """Whatever a server makes of a header that is not plainly the proxy's own, sam is not admitted by it."""
    with servers(name).connection() as client:
        reply = client.raw(CORPUS[case])
    assert reply.status != 200 or reply.told["peer"] == "frodo", (case, reply)
    assert b'"sam"' not in reply.body


@pytest.mark.parametrize("name", [*_UVICORN, "hypercorn", "hypercorn-fixed"])
@pytest.mark.parametrize("case", [case for case in CORPUS if "trailer" not in case])  # no Upgrade with a body
def test_a_smuggled_header_never_opens_a_websocket(servers: Any, name: str, case: str) -> None:
    """uvicorn writes the request anew for its WebSocket protocol: what is smuggled must not become a header there."""
    lines = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    upgrade = "\r\n".join(["Connection: Upgrade", *lines]).encode("ascii")
    with servers(name).connection() as client:
        reply = client.raw(CORPUS[case].replace(b"Connection: close", upgrade))
    assert reply.status not in {101, 200}, (case, reply)


@pytest.mark.parametrize("name", ALL)
def test_a_bare_line_feed_ends_a_line_as_it_does_for_the_proxy(servers: Any, name: str) -> None:
    """A line that ends in LF alone is either refused or one header; the connection's sender counts either way."""
    octets = _request(f"X-Other: a\nClient-Cert: {item(FRODO)}")
    with servers(name).connection(STRANGER) as client:
        assert client.raw(octets).status in {0, 400, 403}
