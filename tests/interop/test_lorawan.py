"""The network server of ``examples/lorawan`` behind a real Envoy, both as the example has them; curl and WebSockets."""

from __future__ import annotations

import json
import ssl
from collections.abc import Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.sync.client import ClientConnection

from mtlspolicy.testing import CertificateAuthority

from ..examples.lorawan import (  # noqa: TID252 - tests are no package that could be named
    ACME,
    CLAIM,
    EUI,
    EXAMPLE,
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
from ..examples.programs import HOST, free_port  # noqa: TID252 - the same
from .programs import require_curl_with_openssl, run  # noqa: TID252 - the same
from .proxies.envoy import envoy  # noqa: TID252 - the same
from .proxies.programs import require  # noqa: TID252 - the same

HEADER = "x-forwarded-client-cert"


class Behind(NamedTuple):
    """A network server behind Envoy.

    Attributes:
        port: Of Envoy.
        folder: Of the gateways' files.
        server: The network server.
    """

    port: int
    folder: Path
    server: Server

    def ask(self, host: str, gateway: str | None, body: str = "", *options: str) -> Answer:
        """Post update-info with curl, in HTTP/1.1, which is what a Station speaks."""
        require_curl_with_openssl()
        answer = self.folder / "answer"
        answer.write_bytes(b"")
        arguments = [
            "--silent",
            "--http1.1",
            "--max-time",
            "20",
            "--write-out",
            "%{http_code}",
            "--output",
            str(answer),
        ]
        arguments += ["--cacert", str(self.folder / "web.pem"), "--connect-to", f"::{HOST}:{self.port}"]
        if gateway is not None:
            arguments += ["--cert", str(self.folder / f"{gateway}.pem"), "--key", str(self.folder / f"{gateway}.key")]
        data = body or json.dumps({"router": CLAIM, "station": "2.0.6"})
        arguments += ["--header", "Content-Type: application/json", "--data-binary", data, *options]
        status = run("curl", *arguments, f"https://{host}:8443/update-info").stdout
        return Answer(int(status), answer.read_bytes())

    def websocket(
        self, host: str, gateway: str | None, path: str, headers: dict[str, str] | None = None
    ) -> AbstractContextManager[ClientConnection | Answer]:
        """Open a WebSocket."""
        context = ssl.create_default_context(cafile=str(self.folder / "web.pem"))
        if gateway is not None:
            context.load_cert_chain(self.folder / f"{gateway}.pem", self.folder / f"{gateway}.key")
        return websocket(self.port, host, path, context=context, headers=headers)


@pytest.fixture(scope="module")
def pki() -> Pki:
    """Return the CAs and gateways of this file."""
    return Pki()


@pytest.fixture(scope="module")
def behind(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Generator[Behind, None, None]:
    """Lend the example and Envoy, which run with the files of the example; ports and folders are changed."""
    require("envoy")
    files, program = tmp_path_factory.mktemp("gateways"), tmp_path_factory.mktemp("lns")
    web = CertificateAuthority("Web Root")
    (files / "web.pem").write_bytes(web.pem)
    web.issue_server("*.lns.example.com").files(files, name="server")
    for name, leaf in pki.gateways.items():
        leaf.files(files, name=name)
    text = (EXAMPLE / "envoy.yaml").read_text(encoding="utf-8")
    with serving(pki, program) as server:
        port = free_port()
        changes = (("0.0.0.0", HOST), ("8443", str(port)), ("8000", str(server.port)), ("/etc/mtls/", f"{files}/"))  # noqa: S104 - what the example says, and a test never binds
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        with envoy(text, program, port):
            yield Behind(port, files, server)


def test_a_gateway_updates_and_opens_its_websocket(behind: Behind) -> None:
    """Update-info, discovery and traffic, each with the one certificate, whose chain ends at the tenant's root."""
    assert behind.ask(ACME, "acme") == (200, NOTHING_NEW)
    assert behind.ask(ACME, "acme", "", "--http2") == (200, NOTHING_NEW)
    with behind.websocket(ACME, "acme", "/router-info") as connection:
        told = discovered(connection, CLAIM)
    assert told == {"router": EUI, "uri": f"wss://{ACME}/traffic/{EUI}"}
    with behind.websocket(ACME, "acme", told["uri"].removeprefix(f"wss://{ACME}")) as connection:
        assert echoed(connection) == '{"msgtype": "version"}'
        assert echoed(connection) == '{"msgtype": "version"}'


@pytest.mark.parametrize("claim", ["11-11-11-11-11-11-11-11", "11:11:11:11:11:11:11:11", EUI, f"router-{CLAIM}"])
def test_the_eui_may_be_written_in_each_form(behind: Behind, claim: str) -> None:
    """What the request claims is compared with the certificate as 64 bits, however it is written."""
    assert behind.ask(ACME, "acme", json.dumps({"router": claim})) == (200, NOTHING_NEW)


@pytest.mark.parametrize(
    ("host", "gateway", "body", "refusal"),
    [
        (ZOO, "acme", "", (403, "tenant.foreign")),
        (ACME, "zoo", "", (403, "tenant.foreign")),
        (ACME, "stranger", "", (403, "path.no-issuer")),
        (ACME, "impostor", "", (403, "path.signature")),
        (ACME, "other", "", (403, "name.mismatch")),
        (ACME, "acme", '{"router": "::1"}', (403, "name.mismatch")),
        (ACME, None, "", (403, "path.no-certificate")),
        (ACME, "acme", '{"router": "1111:1111"}', (403, "policy.error")),
        (ACME, "acme", '{"router": 1}', (403, "policy.error")),
        (ACME, "acme", "[", (403, "policy.error")),
        ("nobody.lns.example.com", "acme", "", (403, "tenant.unknown")),
    ],
)
def test_everybody_else_is_refused(
    behind: Behind, host: str, gateway: str | None, body: str, refusal: tuple[int, str]
) -> None:
    """Another tenant's gateway, an unknown CA's, another EUI, none that can be read, nobody, an unknown tenant: 403."""
    assert behind.ask(host, gateway, body).refusal == refusal


@pytest.mark.parametrize(
    ("host", "gateway", "path"),
    [
        (ZOO, "acme", f"/traffic/{EUI}"),
        (ACME, "zoo", f"/traffic/{EUI}"),
        (ACME, "acme", f"/traffic/{OTHER}"),
        (ACME, "acme", "/traffic/nobody"),
        (ACME, None, f"/traffic/{EUI}"),
        (ZOO, "acme", "/router-info"),
        (ACME, None, "/router-info"),
        ("nobody.lns.example.com", "acme", "/router-info"),
    ],
)
def test_nobody_else_opens_a_websocket(behind: Behind, host: str, gateway: str | None, path: str) -> None:
    """A WebSocket is refused before it opens, with 403."""
    with behind.websocket(host, gateway, path) as answer:
        assert isinstance(answer, Answer), "it was opened"
        assert answer.status == 403


def test_the_tenant_is_the_one_of_the_request_and_not_of_the_handshake(behind: Behind) -> None:
    """A client that names acme in its handshake and zoo in its request is judged as a client of zoo."""
    assert behind.ask(ACME, "acme", "", "--header", f"Host: {ZOO}").refusal == (403, "tenant.foreign")
    assert behind.ask(ACME, "zoo", "", "--header", f"Host: {ZOO}").status == 200


def test_a_header_smuggled_by_a_client_is_never_believed(behind: Behind, pki: Pki) -> None:
    """Somebody without a certificate, or with another one, cannot write himself the true header of a gateway."""
    forged = xfcc(pki, "acme")[HEADER]
    for name in (HEADER, "X_Forwarded_Client_Cert", "x-forwarded.client-cert"):
        assert behind.ask(ACME, None, "", "--header", f"{name}: {forged}").status in {400, 403}
    assert behind.ask(ACME, "other", "", "--header", f"{HEADER}: {forged}").refusal == (403, "name.mismatch")
    with behind.websocket(ACME, None, f"/traffic/{EUI}", {HEADER: forged}) as answer:
        assert isinstance(answer, Answer)
        assert answer.status == 403


def test_gateways_share_envoys_connections_and_nothing_else(behind: Behind) -> None:
    """Envoy sends the requests of many gateways over one connection, and each is who its own certificate says."""
    for _ in range(3):
        assert behind.ask(ACME, "acme").status == 200
        assert behind.ask(ACME, None).refusal == (403, "path.no-certificate")
        assert behind.ask(ZOO, "zoo").status == 200
        assert behind.ask(ZOO, "acme").refusal == (403, "tenant.foreign")


def test_a_ca_that_is_added_admits_its_gateways_while_all_runs(behind: Behind, pki: Pki) -> None:
    """Gateways of a CA are refused until it is in the tenant's folder and index; nothing is started anew."""
    assert behind.ask(ACME, "later").refusal == (403, "path.no-issuer")
    pki.add_later(behind.server.trust)
    assert admitted_in_time(lambda: behind.ask(ACME, "later").status)
    with behind.websocket(ACME, "later", f"/traffic/{EUI}") as connection:
        assert echoed(connection) == '{"msgtype": "version"}'
    assert behind.ask(ZOO, "later").refusal == (403, "tenant.foreign")
    assert behind.ask(ACME, "acme").status == 200
    assert behind.server.process.poll() is None
    assert "Traceback" not in behind.server.said
