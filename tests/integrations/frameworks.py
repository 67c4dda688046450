"""What the tests of frameworks share: who asks, over TLS of ours or by a proxy's header, and the rows for all."""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import httpx

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from tests.integrations.serving import FRODO, HOST, PATIENCE, ROOT, SAM, item

EITHER: Final = policies.CommonName("frodo", "sam")
TRUST: Final = TrustStore(anchors=[ROOT.certificate])
_SERVER: Final = ROOT.issue_server("localhost", HOST)
_HEADERS: Final = {"frodo": item(FRODO), "sam": item(SAM)}

ROWS: Final = [
    ("GET", "/users/frodo", None, "frodo", 200, "frodo"),
    ("GET", "/users/sam", None, "frodo", 403, "name.mismatch"),
    ("POST", "/pay", {"user": "frodo"}, "frodo", 200, "frodo"),
    ("POST", "/pay", {"user": "frodo"}, "sam", 403, "name.mismatch"),
    ("POST", "/pay", {"amount": "1"}, "frodo", 403, "policy.error"),
    ("POST", "/pay", {"user": ""}, "frodo", 403, "policy.error"),
    ("POST", "/pay", {"user": "frodo"}, None, 403, "path.no-certificate"),
    ("GET", "/me", None, "sam", 200, "sam"),
    ("GET", "/me", None, None, 403, "path.no-certificate"),
    ("GET", "/anyone", None, "sam", 200, "sam"),
    ("GET", "/anyone", None, None, 200, "nobody"),
    ("GET", "/further", None, "sam", 200, "sam"),
    ("GET", "/further", None, "frodo", 403, "name.mismatch"),
    ("GET", "/broken", None, "frodo", 500, ""),
]
"""Method, path, form, who asks, and what comes back: the bank's case among them, whose CN is the user in the form."""


def server_context(policy: Policy | None = None, **options: Any) -> ssl.SSLContext:
    """Return a context of ours for a server to which a client may come without a certificate."""
    verifier = Verifier.for_clients(trust=TRUST, policy=EITHER if policy is None else policy)
    credential = tls.Credential.of(_SERVER.chain, _SERVER.key)
    options = {"client_certificate": "optional", **options}
    return tls.server_context(credential=credential, verifier=verifier, **options)


@cache
def client_context(name: str | None) -> ssl.SSLContext:
    """Return a context with the certificate of *name*."""
    context = ssl.create_default_context(cadata=ROOT.pem.decode("ascii"))
    if name is not None:
        with ROOT.issue_client(name).tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)
    return context


@contextmanager
def asking(port: int, name: str | None, *, direct: bool) -> Generator[httpx.Client, None, None]:
    """Lend a client that is *name*: over TLS to the server itself, or by what a proxy writes."""
    if direct:
        with httpx.Client(
            base_url=f"https://localhost:{port}", verify=client_context(name), timeout=PATIENCE
        ) as client:
            yield client
        return
    headers = {} if name is None else {"Client-Cert": _HEADERS[name]}
    with httpx.Client(base_url=f"http://{HOST}:{port}", headers=headers, timeout=PATIENCE) as client:
        yield client


def judge(port: int, *, direct: bool, rows: Any = ROWS) -> None:
    """Ask all *rows* of the application on *port*."""
    for method, path, form, name, status, words in rows:
        with asking(port, name, direct=direct) as client:
            reply = client.request(method, path, data=form)
        assert (reply.status_code, words in reply.text) == (status, True), (method, path, form, name, reply.text)
        if status == 403:
            assert reply.json() == {"error": words}
            assert reply.headers["content-type"] == "application/json"
