"""The rows of servers with a protocol or a framework of their own: what shows each of their cells."""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

from typing import Final

from support_row import EACH, FEATURES, MAIL, NEVER, REAL_GRPC, SERVER, TESTS, Row

_SESSION: Final = "::test_a_session_does_not_outlive_the_trust_in_its_ca"
_HELD: Final = "::test_a_held_connection_waits_for_its_fact_and_then_is_served[asyncio]"
_DIRECT: Final = f"{TESTS}test_direct.py"
_WAITS: Final = "::test_a_held_connection_waits_for_its_fact_and_then_is_served"
_SMTP: Final = f"{TESTS}test_aiosmtpd.py::"
_AT_ONCE: Final = f"{TESTS}test_mail_at_once.py::"
_KNOWN: Final = f"{TESTS}test_websockets.py::test_the_peer_is_known_in_the_handler_and_the_refused_run_no_code"
_IN_HANDLER: Final = "test_the_peer_of_the_connection_is_in_the_handler_and_headers_claim_nothing"

FRAMEWORKS: Final = (
    Row(
        "aiohttp",
        "aiohttp",
        {
            "before": f"{EACH}test_nobody_else_has_any_of_the_application_run[aiohttp-another name]",
            "peer": f"{TESTS}test_aiohttp.py::"
            "test_the_peer_of_the_connection_is_in_the_application_and_headers_claim_nothing[/]",
            "route": f"{TESTS}test_aiohttp.py::test_the_route_asks_further",
            "resumption": f"{TESTS}test_aiohttp.py{_SESSION}",
            "waits": f"{TESTS}test_aiohttp.py{_HELD}",
            "websocket": f"{TESTS}test_aiohttp.py::test_a_websocket_has_the_peer_and_ends_when_it_is_refused[/echo]",
            "http2": "aiohttp speaks HTTP/1.1",
        },
    ),
    Row(
        "Tornado",
        "tornado",
        {
            "before": f"{EACH}test_nobody_else_has_any_of_the_application_run[tornado-another name]",
            "peer": f"{TESTS}test_tornado.py::{_IN_HANDLER}",
            "route": f"{TESTS}test_tornado.py::test_the_handler_asks_further",
            "resumption": f"{_DIRECT}{_SESSION}[tornado]",
            "waits": f"{_DIRECT}{_WAITS}[tornado-asyncio]",
            "websocket": f"{TESTS}test_tornado.py::test_a_websocket_has_the_peer_and_is_closed_when_it_is_refused",
            "http2": "Tornado speaks HTTP/1.1",
        },
    ),
    Row(
        "websockets",
        "websockets",
        {
            "before": f"{_KNOWN}[ours]",
            "peer": f"{_KNOWN}[theirs]",
            "route": f"{TESTS}test_websockets.py::test_a_question_in_the_handler_ends_the_connection",
            "resumption": f"{_DIRECT}{_SESSION}[websockets]",
            "waits": f"{_DIRECT}{_WAITS}[websockets-asyncio]",
            "websocket": f"{_KNOWN}[ours]",
            "http2": NEVER,
        },
    ),
    Row(
        "gRPC",
        "grpcio",
        {
            "before": "gRPC closes strangers in the handshake; a policy is asked for each call, before its handler",
            "peer": f"{REAL_GRPC}[test_the_caller_is_known_in_every_kind_of_method]",
            "route": f"{REAL_GRPC}[test_the_name_must_equal_the_one_in_the_message]",
            "resumption": f"{REAL_GRPC}[test_a_resumed_session_is_decided_on_anew]",
            "waits": f"{REAL_GRPC}[test_a_look_up_that_waits_holds_nobody_else_up]",
            "websocket": NEVER,
            "http2": f"{REAL_GRPC}[test_the_caller_is_known_in_every_kind_of_method]",
        },
    ),
    Row(
        "aiosmtpd, STARTTLS",
        "aiosmtpd",
        {
            "before": f"{_AT_ONCE}test_nobody_else_has_any_command_done[another name]",
            "peer": f"{MAIL}test_a_relay_with_its_certificate_delivers",
            "route": f"{_AT_ONCE}test_a_further_question_is_refused_for_one_and_admits_another",
            "resumption": f"{_AT_ONCE}test_a_resumed_session_is_judged_as_a_new_one_is",
            "waits": f"{_SMTP}test_no_command_after_starttls_is_read_before_the_decision[starttls]",
            "websocket": NEVER,
            "http2": NEVER,
        },
    ),
    Row(
        "Twisted, through pyOpenSSL",
        "twisted",
        {
            "before": f"{EACH}test_nobody_else_has_any_of_the_application_run[twisted-another name]",
            "peer": f"{EACH}test_the_one_who_is_meant_is_known_to_the_application[twisted]",
            "route": f"{EACH}test_a_route_may_ask_further[twisted]",
            "resumption": f"{EACH}test_a_resumed_session_is_judged_as_a_new_one_is[twisted]",
            "waits": "its reactor cannot wait in a handshake; a peer that tries again finds the fact",
            "websocket": "Twisted has none of its own",
            "http2": "in its HTTP/2 a request has no transport to be asked about",
        },
    ),
    Row(
        "FastAPI",
        "fastapi",
        {
            **dict.fromkeys(("before", "resumption", "waits", "http2"), SERVER),
            "peer": f"{TESTS}test_fastapi.py::test_the_banks_case_and_its_neighbours[around-]",
            "route": f"{TESTS}test_fastapi.py::test_the_banks_case_and_its_neighbours[installed-]",
            "websocket": f"{TESTS}test_fastapi.py::test_websockets[around]",
        },
    ),
    Row(
        "Flask",
        "flask",
        {
            **dict.fromkeys(("before", "resumption", "waits", "http2"), SERVER),
            "peer": f"{TESTS}test_flask.py::test_werkzeugs_server_over_tls",
            "route": f"{TESTS}test_flask.py::test_gunicorn_over_tls[sync]",
            "websocket": NEVER,
        },
    ),
    Row(
        "Django, ASGI and WSGI",
        "django",
        {
            **dict.fromkeys(("before", "resumption", "waits", "http2"), SERVER),
            "peer": f"{TESTS}test_django.py::test_the_site_over_tls[asgi-True]",
            "route": f"{TESTS}test_django.py::test_the_site_over_tls[wsgi-True]",
            "websocket": f"{TESTS}test_channels.py::test_a_consumer_knows_its_peer_and_asks_before_it_accepts[room]",
        },
    ),
    Row(
        "Granian",
        "granian",
        {
            "before": "TLS in Rust, with files of CAs and no policy",
            "peer": "the certificate is hidden; our middleware refuses every request and says so",
            **dict.fromkeys(("route", "resumption", "waits", "websocket", "http2"), NEVER),
        },
    ),
    Row(
        "HTTP/3, QUIC",
        "",
        {
            "before": "no server of HTTP/3 takes a context of ssl",
            **dict.fromkeys(tuple(FEATURES)[1:], NEVER),
        },
    ),
)
