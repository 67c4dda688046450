"""The endpoint test of a company that receives webhooks, on servers whose sockets block."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mtlspolicy.testing import CertificateAuthority
from tests.integrations import battery, blocking
from tests.integrations.blocking import ALL_SERVERS, client_context, endpoint_context, holding_endpoint_context
from tests.integrations.serving import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn is for Unix")


def _ask(running: battery.Running, context: ssl.SSLContext, **request: Any) -> httpx.Response:
    request = {"method": "POST", "content": b"ping", **request}
    with httpx.Client(verify=context, timeout=PATIENCE, trust_env=False) as client:
        return client.request(url=f"https://localhost:{running.port}/", **request)


@pytest.mark.parametrize("name", ALL_SERVERS)
def test_the_endpoint_of_scenario_1(tmp_path: Path, name: str) -> None:
    """No certificate 403, wrong policy and revoked 403, responder down 503, good 200, unknown CA closed."""
    processor = CertificateAuthority("Processor")
    with processor.ocsp_responder() as responder:
        known, revoked, later, wrong = (
            processor.issue_client(who, ocsp_url=responder.url) for who in ("hooks", "hooks", "hooks", "shop")
        )
        processor.revoke(revoked)
        (tmp_path / "port").write_text(str(urlsplit(responder.url).port), encoding="ascii")
        contexts = holding_endpoint_context if name == "gunicorn-uvicorn" else endpoint_context
        with blocking.serving(name, tmp_path, contexts, clients=processor) as running:
            none, good = client_context(tmp_path, None), client_context(tmp_path, known)
            assert _ask(running, none).json() == {"error": "path.no-certificate"}
            for issued, code in ((wrong, "name.mismatch"), (revoked, "ocsp.revoked")):
                reply = _ask(running, client_context(tmp_path, issued))
                assert (reply.status_code, reply.json()) == (403, {"error": code})
            assert running.ran == 0
            assert _ask(running, good).status_code == 200
            responder.__exit__(None, None, None)
            reply = _ask(running, client_context(tmp_path, later))
            assert (reply.status_code, reply.json()) == (503, {"error": "ocsp.unavailable"})
            assert int(reply.headers["retry-after"]) > 0
            assert _ask(running, good).status_code == 200  # whose answer is at hand
            with pytest.raises(httpx.TransportError):
                _ask(running, client_context(tmp_path, CertificateAuthority("Strangers").issue_client("hooks")))
            assert running.ran == 2
