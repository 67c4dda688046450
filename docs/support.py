"""Writes the table of servers and clients in ``reference/support.md`` from tests that it runs.

``python docs/support.py`` runs the tests that the rows name, and notes in ``reference/support.json`` which passed, and
with which versions, and ``docs/generate.py`` makes the table of that. A test holds page, notes and tests against each
other: every "yes" is a test of the suite, which fails when it becomes a "no".
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
NOTES: Final = Path(__file__).parent / "reference" / "support.json"
FEATURES: Final = {
    "before": "refused before the first byte",
    "peer": "peer in the application",
    "route": "policy of a route",
    "resumption": "resumption safe",
    "waits": "async resolver",
    "websocket": "WebSocket",
    "http2": "HTTP/2",
}
OF_CLIENTS: Final = {
    "dns": "DNS name",
    "ip": "IP address",
    "uri": "URI, SPIFFE ID",
    "cn": "CN by name",
    "dialed": "as dialed",
    "kept": "a kept connection is judged again",
}
OF_PROGRAMS: Final = {
    "plain": "asks a server of the standard library",
    "served": "asks an application server",
}
_EACH: Final = "tests/integrations/test_each_server.py::"
_NEVER: Final = "-"
_SERVER: Final = "as its server"


class Row(NamedTuple):
    """One server or client.

    Attributes:
        name: As printed.
        package: Distribution whose version is noted; "": the standard library.
        cells: By feature, the test that shows it, or why not: a text that does not begin with ``tests/``.
    """

    name: str
    package: str
    cells: dict[str, str]


def _served(name: str, package: str, key: str, **further: str) -> Row:
    """Return the row of a server that ``test_each_server.py`` knows as *key*."""
    cells = {
        "before": f"{_EACH}test_nobody_else_has_any_of_the_application_run[{key}-another name]",
        "peer": f"{_EACH}test_the_one_who_is_meant_is_known_to_the_application[{key}]",
        "route": f"{_EACH}test_a_route_may_ask_further[{key}]",
        "resumption": f"{_EACH}test_a_resumed_session_is_judged_as_a_new_one_is[{key}]",
        "waits": "blocks its thread",
        "websocket": _NEVER,
        "http2": _NEVER,
    }
    return Row(name, package, {**cells, **further})


def _waits(key: str) -> str:
    return f"{_EACH}test_the_one_who_is_meant_is_known_to_the_application[{key}]"


_TESTS: Final = "tests/integrations/"
_TLS: Final = f"{_TESTS}test_tls.py::"
_REAL_GRPC: Final = f"{_TESTS}test_grpc.py::test_with_real_servers"
_SESSION: Final = "::test_a_session_does_not_outlive_the_trust_in_its_ca"
_HELD: Final = "::test_a_held_connection_waits_for_its_fact_and_then_is_served[asyncio]"
_STREAMS: Final = (
    "tests/tls/gate/test_start_server.py::test_streams_are_given_for_admitted_peers_alone[tls1.3-asyncio-def]"
)
_UVICORN_WS: Final = f"{_TESTS}test_edges.py::test_uvicorn_admits_and_refuses_websockets_before_they_are_accepted"
_KNOWN: Final = f"{_TESTS}test_websockets.py::test_the_peer_is_known_in_the_handler_and_the_refused_run_no_code"
_REQUIRE: Final = "tests/test_peer.py::test_require_is_asked_now_and_on_the_same_evidence"
_RESUMED: Final = (
    "tests/tls/connections/test_resumption.py::test_removal_from_the_policy_is_seen_by_a_resumed_session[tls13-ticket]"
)
_SOCKETS: Final = "tests/interop/test_socketserver.py::"
_MAIL: Final = "tests/interop/test_mail.py::"
_CLIENTS: Final = "tests/clients/"
_EXPECTED: Final = f"{_CLIENTS}test_identities.py::test_the_server_that_is_expected_is_asked_and_another_is_not"
_KEPT: Final = f"{_CLIENTS}test_pools.py::test_a_kept_connection_ends_with_the_trust_in_its_ca"
_AIOHTTP: Final = f"{_TESTS}test_aiohttp_client.py::test_the_server_is_who_was_expected"
_TORNADO: Final = f"{_TESTS}test_tornado_client.py::test_the_server_is_who_was_expected"
_WEBSOCKETS: Final = f"{_TESTS}test_websockets.py::test_a_client_verifies_the_server_by_policy_and_says_who_it_is"
_TWISTED: Final = "tests/tls/pyopenssl/test_twisted.py::test_twisted_serves_whom_the_policy_admits[ours]"
_POSTGRES: Final = f"{_CLIENTS}test_postgresql.py::test_the_user_is_who_the_certificate_says"
_PROGRAMS: Final = "tests/interop/"
_APPLICATIONS: Final = f"{_PROGRAMS}test_application_servers.py::"
_ALONE: Final = "test_the_right_client_alone_is_served"
_NO_TICKETS: Final = "tests/tls/pyopenssl/test_attacks.py::test_rule_12_our_servers_resume_no_session"
_IN_HANDLER: Final = "test_the_peer_of_the_connection_is_in_the_handler_and_headers_claim_nothing"
_GREEN: Final = "tests/tls/connections/test_green.py::test_rule_8_a_library_that_replaced_ssl_is_refused_by_name"
_NO_ZTTP: Final = 'h11 and httptools speak HTTP/1.1; `http="zttp"` is refused by name'
_AGES: Final = (
    "tests/tls/connections/test_ageing.py::"
    "test_a_kept_connection_ends_when_its_decision_is_too_old_and_no_longer_true[blocking]"
)
_KEEPS: Final = "keep no connection longer than your policy may be old"

SERVERS: Final = (
    Row(
        "asyncio streams, protocols",
        "",
        {
            "before": _STREAMS,
            "peer": _STREAMS,
            "route": _REQUIRE,
            "waits": _STREAMS,
            "resumption": _RESUMED,
            "websocket": _NEVER,
            "http2": _NEVER,
        },
    ),
    Row(
        "socketserver, http.server",
        "",
        {
            "before": f"{_SOCKETS}test_who_is_not_meant_gets_no_answer[ThreadingTCPServer]",
            "peer": f"{_SOCKETS}test_the_handler_knows_its_peer[ThreadingTCPServer]",
            "route": _REQUIRE,
            "resumption": _RESUMED,
            "waits": "blocks its thread",
            "websocket": _NEVER,
            "http2": _NEVER,
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
        websocket=f"{_TESTS}test_edges.py::test_hypercorn_admits_and_refuses_websockets_before_they_are_accepted",
    ),
    _served("gunicorn, sync", "gunicorn", "gunicorn-sync"),
    _served("gunicorn, gthread", "gunicorn", "gunicorn-gthread"),
    _served(
        "gunicorn, our UvicornWorker",
        "uvicorn-worker",
        "gunicorn-uvicorn",
        waits=_waits("gunicorn-uvicorn"),
        websocket=f"{_TESTS}test_gunicorn.py::test_the_worker_for_asgi_serves_websockets",
        http2=_NO_ZTTP,
    ),
    Row(
        "gunicorn, gevent",
        "gevent",
        {
            "before": f"{_TESTS}test_gunicorn.py::test_a_worker_that_replaces_ssl_ends_gunicorn",
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
    Row(
        "aiohttp",
        "aiohttp",
        {
            "before": f"{_TESTS}test_aiohttp.py::test_no_application_code_runs_for_who_is_refused[wrong name]",
            "peer": f"{_TESTS}test_aiohttp.py::"
            "test_the_peer_of_the_connection_is_in_the_application_and_headers_claim_nothing[/]",
            "route": f"{_TESTS}test_aiohttp.py::test_the_route_asks_further",
            "resumption": f"{_TESTS}test_aiohttp.py{_SESSION}",
            "waits": f"{_TESTS}test_aiohttp.py{_HELD}",
            "websocket": f"{_TESTS}test_aiohttp.py::test_a_websocket_has_the_peer_and_ends_when_it_is_refused[/echo]",
            "http2": "aiohttp speaks HTTP/1.1",
        },
    ),
    Row(
        "Tornado",
        "tornado",
        {
            "before": f"{_TESTS}test_tornado.py::test_no_application_code_runs_for_who_is_refused[wrong name]",
            "peer": f"{_TESTS}test_tornado.py::{_IN_HANDLER}",
            "route": f"{_TESTS}test_tornado.py::test_the_handler_asks_further",
            "resumption": f"{_TESTS}test_tornado.py{_SESSION}",
            "waits": "Tornado shakes hands itself: no gate; a peer that tries again finds the fact",
            "websocket": f"{_TESTS}test_tornado.py::test_a_websocket_has_the_peer_and_is_closed_when_it_is_refused",
            "http2": "Tornado speaks HTTP/1.1",
        },
    ),
    Row(
        "websockets",
        "websockets",
        {
            "before": f"{_KNOWN}[ours]",
            "peer": f"{_KNOWN}[theirs]",
            "route": f"{_TESTS}test_websockets.py::test_a_question_in_the_handler_ends_the_connection",
            "resumption": f"{_TESTS}test_websockets.py{_SESSION}",
            "waits": f"{_TESTS}test_websockets.py{_HELD}",
            "websocket": f"{_KNOWN}[ours]",
            "http2": _NEVER,
        },
    ),
    Row(
        "gRPC",
        "grpcio",
        {
            "before": "gRPC closes strangers in the handshake; a policy is asked for each call, before its handler",
            "peer": f"{_REAL_GRPC}[test_the_caller_is_known_in_every_kind_of_method]",
            "route": f"{_REAL_GRPC}[test_the_name_must_equal_the_one_in_the_message]",
            "resumption": f"{_REAL_GRPC}[test_a_resumed_session_is_decided_on_anew]",
            "waits": f"{_REAL_GRPC}[test_a_look_up_that_waits_holds_nobody_else_up]",
            "websocket": _NEVER,
            "http2": f"{_REAL_GRPC}[test_the_caller_is_known_in_every_kind_of_method]",
        },
    ),
    Row(
        "aiosmtpd, STARTTLS",
        "aiosmtpd",
        {
            "before": f"{_MAIL}test_who_is_not_meant_delivers_nothing[gollum]",
            "peer": f"{_MAIL}test_a_relay_with_its_certificate_delivers",
            "route": _REQUIRE,
            "resumption": _RESUMED,
            "waits": "aiosmtpd has no place for a gate",
            "websocket": _NEVER,
            "http2": _NEVER,
        },
    ),
    Row(
        "Twisted, through pyOpenSSL",
        "twisted",
        {
            "before": _TWISTED,
            "peer": _TWISTED,
            "route": _REQUIRE,
            "resumption": f"{_NO_TICKETS}[TLSv1.3-required]",
            "waits": "its reactor cannot wait in a handshake; facts at hand count",
            "websocket": "not tested",
            "http2": "not tested",
        },
    ),
    Row(
        "FastAPI",
        "fastapi",
        {
            **dict.fromkeys(("before", "resumption", "waits", "http2"), _SERVER),
            "peer": f"{_TESTS}test_fastapi.py::test_the_banks_case_and_its_neighbours[around-]",
            "route": f"{_TESTS}test_fastapi.py::test_the_banks_case_and_its_neighbours[installed-]",
            "websocket": f"{_TESTS}test_fastapi.py::test_websockets[around]",
        },
    ),
    Row(
        "Flask",
        "flask",
        {
            **dict.fromkeys(("before", "resumption", "waits", "http2"), _SERVER),
            "peer": f"{_TESTS}test_flask.py::test_werkzeugs_server_over_tls",
            "route": f"{_TESTS}test_flask.py::test_gunicorn_over_tls[sync]",
            "websocket": _NEVER,
        },
    ),
    Row(
        "Django, ASGI and WSGI",
        "django",
        {
            **dict.fromkeys(("before", "resumption", "waits", "http2"), _SERVER),
            "peer": f"{_TESTS}test_django.py::test_the_site_over_tls[asgi-True]",
            "route": f"{_TESTS}test_django.py::test_the_site_over_tls[wsgi-True]",
            "websocket": "Channels was not tested",
        },
    ),
    Row(
        "Granian",
        "granian",
        {
            "before": "TLS in Rust, with files of CAs and no policy",
            "peer": "the certificate is hidden; our middleware refuses every request and says so",
            **dict.fromkeys(("route", "resumption", "waits", "websocket", "http2"), _NEVER),
        },
    ),
    Row(
        "HTTP/3, QUIC",
        "",
        {
            "before": "no server of HTTP/3 takes a context of ssl",
            **dict.fromkeys(tuple(FEATURES)[1:], _NEVER),
        },
    ),
)


def _asked(name: str, package: str, key: str, *, kept: str) -> Row:
    """Return the row of a client that ``tests/clients/test_identities.py`` knows as *key*."""
    names = {"dns": "DNS", "ip": "IP", "uri": "URI", "cn": "CN"}
    cells = {one: f"{_EXPECTED}[{kind}-{key}]" for one, kind in names.items()}
    dialed = f"{_CLIENTS}test_identities.py::test_dialed_is_the_name_in_the_url[{key}]"
    return Row(name, package, {**cells, "dialed": dialed, "kept": kept})


def _by_name(name: str, package: str, test: str) -> Row:
    """Return the row of a client that was tested with a server's DNS name alone."""
    others = dict.fromkeys(("ip", "uri", "cn", "dialed"), "not tested")
    return Row(name, package, {"dns": test, **others, "kept": _KEEPS})


def _program(name: str, plain: str, served: str) -> Row:
    """Return the row of a program that asks our servers with its own TLS."""
    return Row(name, "", {"plain": f"{_PROGRAMS}{plain}", "served": served})


CLIENTS: Final[tuple[Row, ...]] = (
    _asked("urllib.request", "", "urllib", kept=_NEVER),
    _asked("http.client", "", "http.client", kept=_KEEPS),
    _asked("httpx", "httpx", "httpx", kept=_KEEPS),
    _asked("httpx, `ClientOptions(max_age=)`", "httpx", "httpx", kept=_AGES),
    _asked("requests, our Adapter", "requests", "requests", kept=f"{_KEPT}[requests]"),
    _asked("urllib3, our pool", "urllib3", "urllib3", kept=f"{_KEPT}[urllib3]"),
    Row(
        "aiohttp, our TCPConnector",
        "aiohttp",
        {
            "dns": f"{_AIOHTTP}[dns-ours]",
            "ip": f"{_AIOHTTP}[ip-ours]",
            "uri": f"{_AIOHTTP}[spiffe-ours]",
            "cn": f"{_TESTS}test_aiohttp_client.py::test_a_server_known_by_its_common_name_alone_is_expected_by_name",
            "dialed": f"{_AIOHTTP}[dialed-ours]",
            "kept": f"{_TESTS}test_aiohttp_client.py::"
            "test_a_kept_connection_after_its_ca_was_taken_out_of_the_trust[ours]",
        },
    ),
    Row(
        "Tornado",
        "tornado",
        {
            "dns": f"{_TORNADO}[dns]",
            "ip": f"{_TORNADO}[ip]",
            "uri": "not tested",
            "cn": "not tested",
            "dialed": f"{_TORNADO}[dialed]",
            "kept": _NEVER,
        },
    ),
    Row(
        "websockets",
        "websockets",
        {
            "dns": f"{_WEBSOCKETS}[localhost]",
            "ip": f"{_WEBSOCKETS}[127.0.0.1]",
            "uri": "not tested",
            "cn": "not tested",
            "dialed": f"{_WEBSOCKETS}[dialed]",
            "kept": _NEVER,
        },
    ),
    _by_name("redis", "redis", f"{_CLIENTS}test_redis.py::test_redis_is_asked_over_the_context[by_redis]"),
    _by_name(
        "redis.asyncio", "redis", f"{_CLIENTS}test_redis.py::test_redis_is_asked_over_the_context[by_redis_async]"
    ),
    _by_name("asyncpg", "asyncpg", f"{_POSTGRES}[by_asyncpg]"),
    _by_name("pg8000", "pg8000", f"{_POSTGRES}[by_pg8000]"),
    _by_name("psycopg, through a tunnel of ours", "psycopg", f"{_POSTGRES}[by_psycopg]"),
    _by_name("smtplib, STARTTLS", "", f"{_MAIL}test_a_client_refuses_a_server_by_another_name"),
    Row(
        "gRPC",
        "grpcio",
        {
            "dns": f"{_REAL_GRPC}[test_a_client_leaves_an_impostor]",
            **dict.fromkeys(("ip", "uri", "cn", "dialed", "kept"), "gRPC asks no policy about servers"),
        },
    ),
)


PROGRAMS: Final[tuple[Row, ...]] = (
    _program("curl", f"test_curl.py::{_ALONE}[TLSv1.3-flags0-asyncio]", f"{_APPLICATIONS}test_curl[frodo]"),
    _program("openssl s_client", f"test_s_client.py::{_ALONE}[asyncio-tls1_3]", f"{_APPLICATIONS}test_s_client[frodo]"),
    _program("Node, https", f"test_node.py::{_ALONE}[https]", f"{_APPLICATIONS}test_node[https]"),
    _program("Node, fetch", f"test_node.py::{_ALONE}[fetch]", f"{_APPLICATIONS}test_node[fetch]"),
    _program("Java, HttpClient", f"test_java.py::{_ALONE}", f"{_APPLICATIONS}test_java"),
    _program(
        "Chromium",
        "test_browser.py::test_a_browser_with_its_certificate_is_admitted",
        f"{_PROGRAMS}test_browser.py::test_a_browser_is_answered_by_an_application_server[frodo]",
    ),
)
_ASKED: Final = {row.name: "version" if row.name.startswith("openssl") else "--version" for row in PROGRAMS}
TABLES: Final = (("server", SERVERS, FEATURES), ("client", CLIENTS, OF_CLIENTS), ("program", PROGRAMS, OF_PROGRAMS))


def tests() -> list[str]:
    """Return the ids of all tests that the rows name."""
    cells = [cell for _, rows, _ in TABLES for row in rows for cell in row.cells.values()]
    return sorted({cell for cell in cells if cell.startswith("tests/")})


class _Passed:
    """Takes note of the tests that pass."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take note of one step of a test."""
        if report.when == "call" and report.passed:
            self.ids.add(report.nodeid)


def table(notes: dict[str, Any]) -> str:
    """Return the Markdown tables that *notes* allow: a test that did not pass shows nothing."""
    parts = [f"With Python {notes['python']} on {notes['system']}.\n"]
    for title, rows, words in TABLES:
        parts.append(f"| {title} | " + " | ".join(words.values()) + " | version |")
        parts.append("|---" * (len(words) + 2) + "|")
        for row in rows:
            cells = [_cell(row.cells.get(name, _NEVER), notes) for name in words]
            of_python = "" if rows is PROGRAMS else "of Python"
            tested = notes["versions"].get(row.package or row.name, of_python)
            parts.append(f"| {row.name} | {' | '.join(cells)} | {tested} |")
        parts.append("")
    return "\n".join(parts)


def _cell(cell: str, notes: dict[str, Any]) -> str:
    if not cell.startswith("tests/"):
        return cell if cell in {_NEVER, _SERVER} else f"no: {cell}"
    return "yes" if cell in notes["passed"] else "not shown"


def _version_of(*command: str) -> str:
    """Return the first number with dots that a program prints when it is asked for its version."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - those of `PROGRAMS`
    return re.findall(r"\d+(?:\.\d+)+", done.stdout + done.stderr)[0]


def read() -> dict[str, Any]:
    """Return the notes of the last run."""
    notes: dict[str, Any] = json.loads(NOTES.read_text(encoding="utf-8"))
    return notes


def main() -> int:
    """Run the tests and write the notes; return the exit status."""
    import pytest

    passed = _Passed()
    status = pytest.main(["-q", "-p", "no:cacheprovider", *tests()], plugins=[passed])
    packages = sorted({row.package for _, rows, _ in TABLES for row in rows if row.package})
    programs = {name: _version_of(name.split()[0].partition(",")[0].lower(), asked) for name, asked in _ASKED.items()}
    notes = {
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": {name: version(name) for name in packages} | programs,
        "passed": sorted(passed.ids),
    }
    NOTES.write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
