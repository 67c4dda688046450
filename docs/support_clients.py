"""The rows of clients in Python and of programs with a TLS of their own: what shows each of their cells."""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

from typing import Final

from support_row import CLIENT_TESTS, INTEROP, NEVER, REAL_GRPC, TESTS, Row

_EXPECTED: Final = f"{CLIENT_TESTS}test_identities.py::test_the_server_that_is_expected_is_asked_and_another_is_not"
_KEPT: Final = f"{CLIENT_TESTS}test_pools.py::test_a_kept_connection_ends_with_the_trust_in_its_ca"
_GRPC: Final = f"{TESTS}test_grpc_clients.py::test_with_real_servers"
_CALLED: Final = "test_the_server_that_is_expected_is_called_and_another_is_told_nothing"
_AIOHTTP: Final = f"{TESTS}test_aiohttp_client.py::test_the_server_is_who_was_expected"
_APPLICATIONS: Final = f"{INTEROP}test_application_servers.py::"
_ALONE: Final = "test_the_right_client_alone_is_served"
_AGES: Final = (
    "tests/tls/connections/test_ageing.py::"
    "test_a_kept_connection_ends_when_its_decision_is_too_old_and_no_longer_true[blocking]"
)
_KEEPS: Final = "a changed trust or policy ends it; for facts and the clock set `ClientOptions(max_age=)`"


def _asked(name: str, package: str, key: str, *, kept: str) -> Row:
    """Return the row of a client that ``tests/clients/test_identities.py`` knows as *key*."""
    names = {"dns": "DNS", "ip": "IP", "uri": "URI", "cn": "CN"}
    cells = {one: f"{_EXPECTED}[{kind}-{key}]" for one, kind in names.items()}
    dialed = f"{CLIENT_TESTS}test_identities.py::test_dialed_is_the_name_in_the_url[{key}]"
    return Row(name, package, {**cells, "dialed": dialed, "kept": kept})


def _spoken(name: str, package: str, key: str, *, kept: str = "") -> Row:
    """Return the row of a client that ``tests/clients/test_identities_of_protocols.py`` knows as *key*."""
    file = f"{CLIENT_TESTS}test_identities_of_protocols.py::"
    expected = f"{file}test_the_server_that_is_expected_is_asked_and_another_is_not"
    cells = {one: f"{expected}[{one.upper()}-{key}]" for one in ("dns", "ip", "uri", "cn")}
    dialed = f"{file}test_dialed_is_the_host_that_the_client_was_given[{key}]"
    again = f"{file}test_a_kept_connection_is_worth_no_more_than_the_policy_of_now[{key}]"
    return Row(name, package, {**cells, "dialed": dialed, "kept": kept or again})


def _program(name: str, plain: str, served: str) -> Row:
    """Return the row of a program that asks our servers with its own TLS."""
    return Row(name, "", {"plain": f"{INTEROP}{plain}", "served": served})


CLIENTS: Final[tuple[Row, ...]] = (
    _asked("urllib.request", "", "urllib", kept=NEVER),
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
            "cn": f"{TESTS}test_aiohttp_client.py::test_a_server_known_by_its_common_name_alone_is_expected_by_name",
            "dialed": f"{_AIOHTTP}[dialed-ours]",
            "kept": f"{TESTS}test_aiohttp_client.py::"
            "test_a_kept_connection_after_its_ca_was_taken_out_of_the_trust[ours]",
        },
    ),
    _spoken("Tornado", "tornado", "tornado", kept=NEVER),
    _spoken("websockets", "websockets", "websockets-async"),
    _spoken("websockets, threads", "websockets", "websockets"),
    _spoken("redis", "redis", "redis"),
    _spoken("redis.asyncio", "redis", "redis.asyncio"),
    _spoken("asyncpg", "asyncpg", "asyncpg"),
    _spoken("pg8000", "pg8000", "pg8000"),
    _spoken("psycopg, through a tunnel of ours", "psycopg", "psycopg"),
    _spoken("pymongo, through a tunnel of ours, to a server that only greets as MongoDB does", "pymongo", "pymongo"),
    _spoken("smtplib, STARTTLS", "", "smtplib"),
    Row(
        "gRPC, our channels",
        "grpcio",
        {
            **dict.fromkeys(("dns", "ip", "uri", "cn"), f"{_GRPC}[{_CALLED}]"),
            "dialed": f"{_GRPC}[test_dialed_is_the_host_of_the_target]",
            "kept": f"{_GRPC}[test_an_old_decision_is_made_anew_before_a_call]",
        },
    ),
    Row(
        "gRPC, its own TLS",
        "grpcio",
        {
            "dns": f"{REAL_GRPC}[test_a_client_leaves_an_impostor]",
            **dict.fromkeys(("ip", "uri", "cn", "dialed", "kept"), "gRPC's own TLS asks no policy about servers"),
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
        f"{INTEROP}test_browser.py::test_a_browser_is_answered_by_an_application_server[frodo]",
    ),
)
