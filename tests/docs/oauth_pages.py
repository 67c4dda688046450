"""What the pages about OAuth need before their blocks run, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

import httpx
import pytest

from mtlspolicy import Possession, PresentedChain, Resolver, VerificationError, oauth
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.oauth.pki import jwks_of, self_signed

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

Steps: TypeAlias = Iterator[None]
SUBJECT: Final = {"C": "DE", "O": "Fintech AG", "organizationIdentifier": "PSDDE-BAFIN-123456"}


def _seen(leaf: IssuedCertificate) -> PresentedChain:
    return PresentedChain((leaf.der, *leaf.issuers_der), Possession.TLS)


def _resource_server(lab: Lab) -> Steps:
    root, servers = CertificateAuthority("Clients"), CertificateAuthority("Servers")
    Path("clients-ca.pem").write_bytes(root.pem)
    servers.issue_server("localhost").files(".", name="server")
    frodo, sam = root.issue_client("frodo"), root.issue_client("sam")
    tokens = {
        "bound": {"sub": "frodo", "cnf": oauth.cnf(_seen(frodo))},
        "bearer": {"sub": "frodo"},
        "dpop": {"sub": "frodo", "cnf": {"jkt": "x"}},
    }
    proofs: list[str] = []
    lab.namespace |= {
        "verified_claims": lambda token: tokens.get(token, {}),
        "verify_dpop_proof": proofs.append,
        "token": "bound",
        "presented": _seen(frodo),
        "registered_certificates": lambda: [self_signed("shop").certificate_pem],
        "headers": [("x-ssl-client-cert", quote(frodo.certificate_pem.decode())),
                    ("x-ssl-client-verify", "FAILED:unable to get issuer certificate")],
        "address": "127.0.0.1",
    }  # fmt: skip
    yield
    assert proofs == []

    def ask(client: IssuedCertificate | None, token: str) -> tuple[int, str]:
        return lab.get(client, servers, headers={"Authorization": f"Bearer {token}"})

    assert ask(frodo, "bound") == (200, '{"accounts of": "frodo"}')
    for client, token in ((sam, "bound"), (None, "bound"), (frodo, "bearer"), (frodo, "dpop"), (frodo, "")):
        assert ask(client, token) == (401, "")
    stranger = self_signed("frodo")
    assert oauth.confirm({"cnf": oauth.cnf(_seen(stranger))}, _asked_by_pyopenssl(lab, stranger)).thumbprint
    assert _asked_by_pyopenssl(lab, None) is None


def _asked_by_pyopenssl(lab: Lab, client: IssuedCertificate | None) -> Any:
    """Return what the page's pyOpenSSL context makes of *client*, whose issuer it does not know."""
    from OpenSSL import SSL

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if client is not None:
        with client.tempfiles() as (chain, key):
            context.use_certificate_chain_file(str(chain))
            context.use_privatekey_file(str(key))
    near, far = socket.socketpair()
    with contextlib.closing(near), contextlib.closing(far):
        here, there = SSL.Connection(lab.namespace["asking"], near), SSL.Connection(context, far)
        here.set_accept_state()
        there.set_connect_state()
        other = threading.Thread(target=there.do_handshake)
        other.start()
        here.do_handshake()
        other.join()
        return lab.namespace["presented_by"](here)


def _authorization_server(lab: Lab) -> Steps:
    root, other = CertificateAuthority("Clients"), CertificateAuthority("Other")
    Path("clients-ca.pem").write_bytes(root.pem)
    other.issue_server("localhost").files(".", name="server")
    names: Any = {"organization": None, "attributes": SUBJECT}
    bank, shop, next_shop = root.issue_client("tpp.fintech.example", **names), self_signed("shop"), self_signed("shop")
    served: list[Any] = [jwks_of(shop)]
    asked: list[str] = []
    signed: list[dict[str, Any]] = []

    def sign(claims: dict[str, Any]) -> dict[str, Any]:
        signed.append(claims)
        return claims

    lab.namespace |= {
        "shop_jwks": jwks_of(shop, next_shop),
        "allowed_hosts": {"shop.example"},
        "registered_certificates": lambda: [shop.der, next_shop.der],
        "sign_token": sign,
        "presented": _seen(bank),
    }
    yield

    def published(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json=served[0])

    lab.namespace["http"] = httpx.AsyncClient(transport=httpx.MockTransport(published))

    def token(client_id: str, presented: Any) -> Any:
        return asyncio.run(lab.namespace["token"](client_id, presented))

    assert token("bank", _seen(bank)) == {"client_id": "bank", "cnf": oauth.cnf(_seen(bank))}
    assert token("shop", _seen(shop)) == {"client_id": "shop", "cnf": oauth.cnf(_seen(shop))}
    impostor = other.issue_client("tpp.fintech.example", **names)
    for client_id, leaf in (("bank", shop), ("shop", bank), ("bank", impostor), ("shop", next_shop), ("x", bank)):
        assert token(client_id, _seen(leaf))[0] == 400
    assert asked == ["https://shop.example/jwks"]
    served[0] = jwks_of(next_shop)
    lab.namespace["resolver"].close()
    lab.namespace["resolver"] = Resolver({"oauth.jwks": lab.namespace["registered_jwks"]})
    assert token("shop", _seen(next_shop))["client_id"] == "shop"
    assert token("shop", None).body == {"error": "invalid_client"}
    assert len(signed) == 3
    lab.namespace["allowed_hosts"].clear()
    lab.namespace["resolver"].close()
    lab.namespace["resolver"] = Resolver({"oauth.jwks": lab.namespace["registered_jwks"]})
    with pytest.raises(VerificationError) as refused:
        token("shop", _seen(next_shop))
    assert refused.value.http_status == 503
    lab.namespace["resolver"].close()
    for name in ("pki_context", "self_signed_context"):
        assert lab.namespace[name].verify_mode.name == "CERT_OPTIONAL"


OAUTH_SETUPS: Final[dict[str, Callable[[Lab], Steps]]] = {
    "docs/howto/oauth-resource-server.md": _resource_server,
    "docs/howto/oauth-authorization-server.md": _authorization_server,
}
