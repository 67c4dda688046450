"""The rows of servers that run the applications of somebody else: what shows each of their cells."""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

from typing import Final

from support_row import EACH, NEVER, TESTS, Row

_TLS: Final = f"{TESTS}test_tls.py::"
_STREAMS: Final = (
    "tests/tls/gate/test_start_server.py::test_streams_are_given_for_admitted_peers_alone[tls1.3-asyncio-def]"
)
_UVICORN_WS: Final = f"{TESTS}test_edges.py::test_uvicorn_admits_and_refuses_websockets_before_they_are_accepted"
_GREEN: Final = "tests/tls/connections/test_green.py::test_rule_8_a_library_that_replaced_ssl_is_refused_by_name"
_ONE_AT_A_TIME: Final = (
    "it serves one connection at a time: a client who connects and says nothing holds all others up, for 10 s if not "
    "told otherwise"
)
_NO_ZTTP: Final = 'h11 and httptools speak HTTP/1.1; `http="zttp"` is refused by name'


def _served(name: str, package: str, key: str, **further: str) -> Row:
    """Return the row of a server that ``test_each_server.py`` knows as *key*."""
    cells = {
        "before": f"{EACH}test_nobody_else_has_any_of_the_application_run[{key}-another name]",
        "peer": f"{EACH}test_the_one_who_is_meant_is_known_to_the_application[{key}]",
        "route": f"{EACH}test_a_route_may_ask_further[{key}]",
        "resumption": f"{EACH}test_a_resumed_session_is_judged_as_a_new_one_is[{key}]",
        "waits": "blocks its thread",
        "websocket": NEVER,
        "http2": NEVER,
    }
    return Row(name, package, {**cells, **further})


def _waits(key: str) -> str:
    return f"{EACH}test_the_one_who_is_meant_is_known_to_the_application[{key}]"


SERVERS: Final = (
    Row(
        "asyncio streams, protocols",
        "",
        {
            "before": f"{EACH}test_nobody_else_has_any_of_the_application_run[asyncio.start_server-another name]",
            "peer": f"{EACH}test_the_one_who_is_meant_is_known_to_the_application[asyncio.start_server]",
            "route": f"{EACH}test_a_route_may_ask_further[asyncio.start_server]",
            "waits": _STREAMS,
            "resumption": f"{EACH}test_a_resumed_session_is_judged_as_a_new_one_is[asyncio.start_server]",
            "websocket": NEVER,
            "http2": NEVER,
        },
    ),
    Row(
        "socketserver, http.server",
        "",
        {
            "before": f"{EACH}test_nobody_else_has_any_of_the_application_run[http.server-another name]",
            "peer": f"{EACH}test_the_one_who_is_meant_is_known_to_the_application[http.server]",
            "route": f"{EACH}test_a_route_may_ask_further[http.server]",
            "resumption": f"{EACH}test_a_resumed_session_is_judged_as_a_new_one_is[http.server]",
            "waits": "blocks its thread",
            "websocket": NEVER,
            "http2": NEVER,
        },
    ),
    _served(
        "uvicorn, h11",
        "uvicorn",
        "uvicorn-h11-asyncio",
        waits=_waits("uvicorn-h11-asyncio"),
        websocket=f"{_UVICORN_WS}[auto-h11]",
        http2=_NO_ZTTP,
    ),
    _served(
        "uvicorn, httptools, uvloop",
        "uvicorn",
        "uvicorn-httptools-uvloop",
        waits=_waits("uvicorn-httptools-uvloop"),
        websocket=f"{_TLS}test_websockets_have_the_peer_of_the_connection",
        http2=_NO_ZTTP,
    ),
    _served(
        "Hypercorn",
        "hypercorn",
        "hypercorn",
        waits=_waits("hypercorn"),
        http2=f"{_TLS}test_hypercorn_tells_the_application_the_peer_of_the_connection[True]",
        websocket=f"{TESTS}test_edges.py::test_hypercorn_admits_and_refuses_websockets_before_they_are_accepted",
    ),
    _served("gunicorn, sync", "gunicorn", "gunicorn-sync", waits=_ONE_AT_A_TIME),
    _served("gunicorn, gthread", "gunicorn", "gunicorn-gthread"),
    _served(
        "gunicorn, our UvicornWorker",
        "uvicorn-worker",
        "gunicorn-uvicorn",
        waits=_waits("gunicorn-uvicorn"),
        websocket=f"{TESTS}test_gunicorn.py::test_the_worker_for_asgi_serves_websockets",
        http2=_NO_ZTTP,
    ),
    Row(
        "gunicorn, gevent",
        "gevent",
        {
            "before": f"{TESTS}test_gunicorn.py::test_a_worker_that_replaces_ssl_ends_gunicorn",
            **dict.fromkeys(("peer", "route", "resumption", "waits", "websocket", "http2"), "refused at the start"),
        },
    ),
    Row(
        "eventlet, any server",
        "eventlet",
        {
            "before": f"{_GREEN}[eventlet]",
            **dict.fromkeys(("peer", "route", "resumption", "waits", "websocket", "http2"), "no context is built"),
        },
    ),
    _served("Werkzeug", "werkzeug", "werkzeug"),
    _served("wsgiref", "", "wsgiref"),
    _served("cheroot, CherryPy", "cheroot", "cheroot"),
)
