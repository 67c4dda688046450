"""``examples/lorawan`` without a proxy in front: the headers are written here as Envoy writes them."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.examples.lorawan import (
    ACME,
    CLAIM,
    EUI,
    NOTHING_NEW,
    OTHER,
    ZOO,
    Answer,
    Pki,
    Server,
    admitted_in_time,
    discovered,
    echoed,
    serving,
    websocket,
    xfcc,
)
from tests.examples.programs import HOST, PATIENCE

STRANGER = "127.0.0.9"


@pytest.fixture(scope="module")
def pki() -> Pki:
    """Return the CAs and gateways of this file."""
    return Pki()


@pytest.fixture(scope="module")
def server(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    """Lend the example, which runs."""
    with serving(pki, tmp_path_factory.mktemp("lns")) as running:
        yield running


def ask(
    server: Server, host: str, headers: dict[str, str], body: bytes | str = f'{{"router": "{CLAIM}"}}', *,
    origin: str = HOST,
) -> Answer:  # fmt: skip
    """Post update-info from an address."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=PATIENCE, source_address=(origin, 0))
    try:
        connection.request("POST", "/update-info", body, {"Host": host, **headers})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def test_a_gateway_is_admitted_as_the_eui_that_it_claims(server: Server, pki: Pki) -> None:
    """A gateway of the tenant gets the answer of CUPS for its own EUI, in each spelling of it."""
    for claim in (CLAIM, "11-11-11-11-11-11-11-11", "11:11:11:11:11:11:11:11", EUI, f"router-{CLAIM}"):
        body = json.dumps({"router": claim, "station": "2.0.6"})
        assert ask(server, ACME, xfcc(pki, "acme"), body) == (200, NOTHING_NEW)
    assert ask(server, f"{ACME}:8443", xfcc(pki, "acme")).status == 200


@pytest.mark.parametrize("gateway", ["other", "lower", "mixed"])
def test_the_name_is_compared_as_64_bits(server: Server, pki: Pki, gateway: str) -> None:
    """Hex digits of the certificate count in either case, as those of the request do."""
    for claim in ("58a0:cbff:fe80:2b7c", "58-A0-CB-FF-FE-80-2B-7C", OTHER.upper()):
        assert ask(server, ACME, xfcc(pki, gateway), json.dumps({"router": claim})).status == 200


@pytest.mark.parametrize(
    ("host", "gateway", "refusal"),
    [
        (ACME, None, (403, "path.no-certificate")),
        (ACME, "zoo", (403, "tenant.foreign")),
        (ZOO, "acme", (403, "tenant.foreign")),
        (ACME, "stranger", (403, "path.no-issuer")),
        (ACME, "impostor", (403, "path.signature")),
        (ACME, "other", (403, "name.mismatch")),
        (ACME, "ambiguous", (403, "name.ambiguous")),
        (ACME, "person", (403, "name.mismatch")),
        ("nobody.lns.example.com", "acme", (403, "tenant.unknown")),
        ("acme.lns.example.com.evil.example", "acme", (403, "tenant.unknown")),
        ("ACME.lns.example.com.", "acme", (403, "tenant.unknown")),
        ("..%2f..%2fcommon", "acme", (403, "tenant.unknown")),
        ("", "acme", (403, "tenant.unknown")),
    ],
)
def test_everybody_else_is_refused(
    server: Server, pki: Pki, host: str, gateway: str | None, refusal: tuple[int, str]
) -> None:
    """No certificate, another tenant's, an unknown CA's, another EUI and an unknown tenant are 403 with their codes."""
    assert ask(server, host, xfcc(pki, gateway)).refusal == refusal


@pytest.mark.parametrize(
    "body",
    [
        *('{"router": "1111:1111:1111"}', '{"router": ""}', '{"router": "1::1::1"}', '{"router": 1229782938247303441}'),
        *('{"router": null}', '{"router": ["::1"]}', "{}", "[]", "null", "", "{", '"router"', b"\xff\0", "[" * 8000),
        '{"router": "1111:1111:1111:1111"}' + " " * 9000,
    ],
)
def test_a_malformed_eui_is_a_refusal_and_no_error_of_the_server(server: Server, pki: Pki, body: bytes | str) -> None:
    """What cannot be read as a claim is answered with 403, as somebody who claims nothing, and never with 500."""
    assert ask(server, ACME, xfcc(pki, "acme"), body).refusal == (403, "policy.error")
    assert "Traceback" not in server.said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lends the whole network 127.0.0.0/8")
def test_a_forged_header_from_elsewhere_is_nobodys(server: Server, pki: Pki) -> None:
    """The header counts from the proxy's address alone; with X-Forwarded-For somebody only says that he is there."""
    headers = {**xfcc(pki, "acme"), "X-Forwarded-For": HOST}
    assert ask(server, ACME, headers, origin=STRANGER).refusal == (403, "forwarded.untrusted-proxy")


def test_traffic_flows_for_the_gateway_of_the_path(server: Server, pki: Pki) -> None:
    """The WebSocket opens for the EUI of the certificate and for no other, and not under another tenant."""
    for path in (f"/traffic/{EUI}", f"/traffic/{CLAIM}"):
        with websocket(server.port, ACME, path, headers=xfcc(pki, "acme")) as connection:
            assert echoed(connection) == '{"msgtype": "version"}'
    for host, path, gateway in (
        (ACME, f"/traffic/{OTHER}", "acme"),
        (ACME, "/traffic/nobody", "acme"),
        (ZOO, f"/traffic/{EUI}", "acme"),
        (ACME, f"/traffic/{EUI}", None),
        (ACME, "/traffic/", "acme"),
    ):
        with websocket(server.port, host, path, headers=xfcc(pki, gateway)) as answer:
            assert isinstance(answer, Answer)
            assert answer.status in ({403} if path != "/traffic/" else {403, 404})


def test_discovery_answers_the_gateway_that_asks(server: Server, pki: Pki) -> None:
    """A gateway learns where its own traffic goes; who names another, or nobody, is told the code."""
    headers = xfcc(pki, "acme")
    with websocket(server.port, ACME, "/router-info", headers=headers) as connection:
        assert discovered(connection, CLAIM)["uri"] == f"wss://{ACME}/traffic/{EUI}"
    for claim, code in (("::1", "name.mismatch"), ("no EUI", "policy.error"), (None, "policy.error")):
        with websocket(server.port, ACME, "/router-info", headers=headers) as connection:
            assert discovered(connection, claim) == {"error": code}
    with websocket(server.port, ZOO, "/router-info", headers=headers) as answer:
        assert isinstance(answer, Answer)
        assert answer.status == 403
    assert "Traceback" not in server.said


def test_a_ca_that_is_added_admits_its_gateways_while_the_server_runs(pki: Pki, tmp_path: Path) -> None:
    """The same process refuses a gateway before its CA is in the folder, and admits it soon afterwards."""
    with serving(pki, tmp_path) as server:
        assert ask(server, ACME, xfcc(pki, "later")).refusal == (403, "path.no-issuer")
        pki.add_later(server.trust)
        assert admitted_in_time(lambda: ask(server, ACME, xfcc(pki, "later")).status)
        assert ask(server, ZOO, xfcc(pki, "later")).refusal == (403, "tenant.foreign")
        assert ask(server, ACME, xfcc(pki, "acme")).status == 200
        assert server.process.poll() is None
