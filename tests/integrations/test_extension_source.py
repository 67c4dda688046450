"""``source="extension"``: a server with TLS of its own that states certificates in the TLS extension of ASGI."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

from mtlspolicy import ConfigurationError, MalformedEvidence, Possession, Resolver, TrustStore, Verifier, policies
from mtlspolicy._pem import write_pem
from mtlspolicy.integrations import asgi, wsgi
from mtlspolicy.integrations._extension_source import chain_in
from mtlspolicy.testing import CertificateAuthority
from tests.integrations.frameworks import TRUST, asking, server_context
from tests.integrations.serving import uvicorn_serving

ROOT: Final = CertificateAuthority("Root")
FRODO, SAM = ROOT.issue_client("frodo"), ROOT.issue_client("sam")
STRANGER: Final = CertificateAuthority("Root").issue_client("frodo")
VERIFIER: Final = Verifier.for_clients(
    trust=TrustStore(anchors=[ROOT.certificate]), policy=policies.CommonName("frodo", "sam")
)


def pem(*leaves: Any) -> list[str]:
    """Return the certificates of *leaves* as the extension has them."""
    return [write_pem(leaf.der) for leaf in leaves]


def scope(**stated: Any) -> dict[str, Any]:
    """Return the scope of a request to a server that states *stated*."""
    headers = [(b"host", b"localhost")]
    return {
        "type": "http", "method": "GET", "path": "/", "http_version": "1.1", "headers": headers,
        "client": ("192.0.2.1", 1234), "extensions": {"tls": stated, "http.response.push": {}},
    }  # fmt: skip


class Application:
    """Takes note of the scopes that it is called with."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        del receive
        if scope["type"] == "lifespan":
            return
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def ask(asked: Any, **options: Any) -> tuple[int, Application]:
    """Return the status of the answer to one request, and the application."""
    inner, sent = Application(), []
    options = {"verifier": VERIFIER, **options}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asgi.Middleware(inner, source="extension", **options)(asked, receive, send))
    return sent[0]["status"], inner


@pytest.mark.parametrize("kind", [list, tuple, iter, "generator"])
def test_the_application_has_the_peer_and_the_chain(kind: Any) -> None:
    """Any iterable, which is read once: what the application finds is a list. The address is the server's to know."""
    given = pem(FRODO)

    def generator() -> Iterator[str]:
        yield from given

    status, app = ask(scope(client_cert_chain=generator() if kind == "generator" else kind(given)))
    assert status == 200
    (seen,) = app.scopes
    who = asgi.peer(seen)
    assert (who.common_name, who.possession) == ("frodo", Possession.TLS)
    assert who.connection.transport_address is None
    assert seen["extensions"] == {"tls": {"client_cert_chain": given}, "http.response.push": {}}


def test_bytes_and_missing_keys_are_read_as_well() -> None:
    """Version 0.2 says text, some servers give bytes; the draft of 0.3 has the chain alone."""
    chain, stated = chain_in(scope(client_cert_chain=[write_pem(FRODO.der).encode()], spec_version="0.3"))
    assert chain is not None
    assert (chain.ders, chain.possession) == ((FRODO.der,), Possession.TLS)
    assert stated["spec_version"] == "0.3"
    assert chain_in(scope()) == (None, {"client_cert_chain": []})


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ({}, "path.no-certificate"),
        ({"client_cert_chain": ()}, "path.no-certificate"),
        ({"client_cert_chain": pem(STRANGER)}, "path.signature"),
        ({"client_cert_chain": pem(ROOT.issue_client("gollum"))}, "name.mismatch"),
        ({"client_cert_chain": pem(STRANGER), "client_cert_name": "CN=frodo"}, "path.signature"),
        ({"client_cert_chain": pem(FRODO), "client_cert_error": "expired\x1b"}, "path.refused-by-server"),
        ({"client_cert_chain": pem(FRODO), "client_cert_error": ""}, "path.refused-by-server"),
        ({"client_cert_error": 3}, "path.refused-by-server"),
        ({"client_cert_chain": [*pem(STRANGER), *pem(FRODO)]}, "path.signature"),
        ({"client_cert_chain": write_pem(FRODO.der)}, "chain.malformed"),
        ({"client_cert_chain": [FRODO.der]}, "chain.malformed"),
        ({"client_cert_chain": [write_pem(FRODO.der) + write_pem(SAM.der)]}, "chain.malformed"),
        ({"client_cert_chain": ["\u20ac"]}, "chain.malformed"),
        ({"client_cert_chain": [None]}, "chain.malformed"),
        ({"client_cert_chain": 3}, "chain.malformed"),
        ({"client_cert_chain": pem(FRODO) * 20}, None),
        ({"client_cert_chain": pem(*[ROOT.issue_client(f"c{number}") for number in range(8)])}, "chain.too-large"),
    ],
    ids=range(17),
)
def test_whom_the_certificates_do_not_admit_is_refused(stated: Any, code: str | None) -> None:
    """The server's word counts for the proof of possession and for its refusals, and for nothing else."""
    status, app = ask(scope(**stated))
    assert (status, len(app.scopes)) == ((200, 1) if code is None else (403, 0))


def test_a_server_that_states_nothing_is_named() -> None:
    """It speaks no TLS, or does not know the extension: nobody is admitted, and no status hides it."""
    stated: tuple[Any, ...] = (None, {}, {"tls": None}, {"tls": []})
    for extensions in stated:
        asked = {**scope(), "extensions": extensions}
        with pytest.raises(ConfigurationError, match="states no TLS extension"):
            ask(asked)
        with pytest.raises(ConfigurationError):
            ask(asked, required=False)


def test_where_no_certificate_is_required() -> None:
    """Anonymous is a state of its own; a bad certificate is not anonymous."""
    status, app = ask(scope(), required=False)
    assert status == 200
    assert asgi.peer_or_none(app.scopes[0]) is None
    assert ask(scope(client_cert_chain=pem(STRANGER)), required=False)[0] == 403
    assert ask(scope(client_cert_error="x"), required=False)[0] == 403


def test_select_and_facts() -> None:
    """A verifier of the request's, and a resolver, as with a forwarded certificate."""

    @policies.lookup("acme.row", key=lambda path: path.end_entity.common_name)
    def row(value: object, _evidence: object) -> bool:
        return value == "in"

    verifier = Verifier.for_clients(trust=VERIFIER.trust_now(), policy=policies.CommonName("frodo") & row)

    async def select(asked: Any) -> Verifier:
        assert "tls" in asked["extensions"]
        await asyncio.sleep(0)
        return verifier

    for value, status in (("in", 200), ("out", 403)):
        with Resolver({"acme.row": {"in": lambda _: "in", "out": lambda _: "out"}[value]}) as resolver:
            found, app = ask(scope(client_cert_chain=pem(FRODO)), verifier=None, select=select, resolver=resolver)
        assert (found, len(app.scopes)) == (status, int(status == 200))


def test_it_needs_a_verifier_and_is_for_asgi() -> None:
    """The server's context has none, and a WSGI server states no such thing."""
    with pytest.raises(ConfigurationError, match="either verifier= or select="):
        asgi.Middleware(Application(), source="extension")
    with pytest.raises(ConfigurationError, match="source=str"):
        wsgi.Middleware(lambda *_: [], source="extension", verifier=VERIFIER)  # type: ignore[arg-type]
    with pytest.raises(MalformedEvidence):
        chain_in(scope(client_cert_chain=b"x"))


@pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")
def test_over_tls_what_we_write_is_what_we_read() -> None:
    """The extension as it stands in the scope of a real connection, written by the outer middleware to the letter."""
    inner = Application()
    verifier = Verifier.for_clients(trust=TRUST, policy=policies.CommonName("sam"))
    judged = asgi.Middleware(inner, source="extension", verifier=verifier)
    written = asgi.Middleware(judged, source="connection", required=False)
    with uvicorn_serving(written, context=server_context()) as server:
        for who, status in (("sam", 200), ("frodo", 403), (None, 403)):
            with asking(server.address[1], who, direct=True) as client:
                assert client.get("/").status_code == status
    assert [asgi.peer(one).common_name for one in inner.scopes] == ["sam"]
