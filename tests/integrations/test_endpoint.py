"""The endpoint test of a company that receives webhooks: what its partner sees with each certificate and without."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mtlspolicy import Policy, Resolver, TrustStore, Verifier, policies, revocation, tls
from mtlspolicy.testing import CertificateAuthority
from tests.integrations.answering import CREDENTIAL, SERVERS, STRANGERS, Counted, serving
from tests.integrations.serving import PATIENCE, ROOT, Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")


def _ask(server: Server, issued: Any, folder: Path) -> httpx.Response:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.der)
    if issued is not None:
        context.load_cert_chain(*issued.files(folder))
    with httpx.Client(verify=context, timeout=PATIENCE, trust_env=False) as client:
        return client.post(f"https://localhost:{server.address[1]}/", content=b"ping")


@pytest.mark.parametrize("name", SERVERS)
def test_the_endpoint_of_scenario_1(tmp_path: Path, name: str) -> None:
    """No certificate 403, wrong policy and revoked 403, responder down 503, good 200, unknown CA closed."""
    processor = CertificateAuthority("Processor")
    app = Counted()
    with processor.ocsp_responder() as responder:
        known, revoked, later, wrong = (
            processor.issue_client(who, ocsp_url=responder.url) for who in ("hooks", "hooks", "hooks", "shop")
        )
        processor.revoke(revoked)
        port = urlsplit(responder.url).port or 0
        open_to = revocation.Destinations(ports={port}, addresses={"127.0.0.1/32"})
        with revocation.Refresher(destinations=open_to) as refresher:
            verifier = Verifier.for_clients(
                trust=TrustStore(anchors=[processor.certificate]),
                policy=policies.CommonName("hooks") & policies.IssuerPin(processor.certificate) & policies.NotRevoked(),
            )
            options = tls.ServerOptions(resolver=refresher.resolver(), pending="hold")
            context = tls.server_context(credential=CREDENTIAL, verifier=verifier, options=options)
            with serving(name)(app, context=context, refuse="respond") as server:
                assert _ask(server, None, tmp_path).status_code == 403
                reply = _ask(server, wrong, tmp_path)
                assert (reply.status_code, reply.json()) == (403, {"error": "name.mismatch"})
                reply = _ask(server, revoked, tmp_path)
                assert (reply.status_code, reply.json()) == (403, {"error": "ocsp.revoked"})
                assert app.calls == 0
                assert _ask(server, known, tmp_path).status_code == 200
                responder.__exit__(None, None, None)
                reply = _ask(server, later, tmp_path)
                assert (reply.status_code, reply.json()) == (503, {"error": "ocsp.unavailable"})
                assert int(reply.headers["retry-after"]) > 0
                assert _ask(server, known, tmp_path).status_code == 200  # whose answer is at hand
                with pytest.raises(httpx.TransportError):
                    _ask(server, STRANGERS.issue_client("hooks"), tmp_path)
    assert app.calls == 2


def _enrolled(rows: Any, *, pending: Any = "hold") -> tuple[Policy, tls.ServerOptions]:
    @policies.lookup("partner.enrolled", key=lambda path: path.end_entity.spki_sha256, max_age=None)
    def is_enrolled(row: Any, _: Any) -> bool:
        return row is True

    options = tls.ServerOptions(resolver=Resolver({"partner.enrolled": rows}), pending=pending)
    return policies.CommonName("frodo") & is_enrolled, options


def _context(policy: Policy, options: tls.ServerOptions) -> ssl.SSLContext:
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=policy)
    return tls.server_context(credential=CREDENTIAL, verifier=verifier, options=options)


@pytest.mark.parametrize("name", SERVERS)
def test_an_async_data_base_decides_before_the_application_exists(tmp_path: Path, name: str) -> None:
    """A row that says yes admits, one that says no is a 403, and a data base that is down is a 503."""
    answers: list[Any] = [True]

    async def row(_: str) -> Any:
        await asyncio.sleep(0)
        if isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[-1]

    app, frodo = Counted(), [ROOT.issue_client("frodo") for _ in range(3)]
    policy, options = _enrolled(row)
    with serving(name)(app, context=_context(policy, options), refuse="respond") as server:
        assert _ask(server, frodo[0], tmp_path).status_code == 200
        answers.append(False)
        assert _ask(server, frodo[1], tmp_path).status_code == 403
        answers.append(OSError("down"))
        reply = _ask(server, frodo[2], tmp_path)
        assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
    assert app.calls == 1


@pytest.mark.parametrize("name", ["uvicorn-httptools-uvloop", "hypercorn"])
def test_who_comes_before_the_fact_is_at_hand_is_told_to_come_again(tmp_path: Path, name: str) -> None:
    """pending="refuse": 503 at first, while the fact is asked for in the background; then 200."""

    async def row(_: str) -> bool:
        await asyncio.sleep(0)
        return True

    policy, options = _enrolled(row, pending="refuse")
    frodo = ROOT.issue_client("frodo")
    with serving(name)(Counted(), context=_context(policy, options), refuse="respond") as server:
        statuses = [_ask(server, frodo, tmp_path).status_code]
        while statuses[-1] != 200 and len(statuses) < 200:
            statuses.append(_ask(server, frodo, tmp_path).status_code)
    assert (statuses[0], statuses[-1], set(statuses)) == (503, 200, {200, 503})


def test_hypercorn_has_a_gate_of_its_own(tmp_path: Path) -> None:
    """pending="hold" with `hypercorn.serve` waits for the fact, also where refusals are not answered."""
    asked: list[str] = []

    async def row(key: str) -> bool:
        asked.append(key)
        await asyncio.sleep(0)
        return True

    policy, options = _enrolled(row)
    with serving("hypercorn")(Counted(), context=_context(policy, options)) as server:
        assert _ask(server, ROOT.issue_client("frodo"), tmp_path).status_code == 200
        with pytest.raises(httpx.TransportError):
            _ask(server, ROOT.issue_client("sam"), tmp_path)
    assert len(asked) == 1
