"""Over real TLS of the standard library: a token is bound to who asks for it, and good for nobody else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any, Final

import pytest

from mtlspolicy import PathProfile, TrustStore, VerifiedPeer, Verifier, oauth, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.oauth.pki import FRODO, SAM, TRUST, jwks_of, pki_client, self_signed, self_signed_client

pytestmark = pytest.mark.filterwarnings("ignore:.*TEST CA.*", "ignore:.*its issuer.*")

SERVERS: Final = CertificateAuthority("Servers")
SERVER: Final = SERVERS.issue_server("localhost")
SHOP: Final = self_signed("shop")
NEXT: Final = self_signed("shop")
REGISTRY: Final = {
    "frodo": oauth.client_verifier(pki_client(tls_client_auth_subject_dn="CN=frodo"), trust=TRUST),
    "shop": oauth.client_verifier(self_signed_client(jwks=jwks_of(SHOP, NEXT))),
}
BY_PKI: Final = Verifier.for_clients(trust=TRUST, policy=policies.Anyone())
BY_ITSELF: Final = Verifier.for_clients(
    trust=TrustStore(peers=[SHOP.der, NEXT.der]), policy=policies.Anyone(), profile=PathProfile.DIRECT
)


def asked(client: IssuedCertificate | None, verifier: Verifier, question: Any) -> Any:
    """Return what *question* makes of the server's connection with *client*, whose certificate is optional."""
    credential = tls.Credential.from_pem(SERVER.chain_pem, SERVER.key_pem)
    server = tls.server_context(credential=credential, verifier=verifier, client_certificate="optional")
    context = ssl.create_default_context(cadata=SERVERS.pem.decode())
    if client is not None:
        with client.tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)
    near, far = socket.socketpair()

    def connect() -> None:
        with contextlib.suppress(OSError), context.wrap_socket(far, server_hostname="localhost") as there:
            there.recv(1)

    other = threading.Thread(target=connect)
    other.start()
    try:
        with server.wrap_socket(near, server_side=True) as here:
            return question(here)
    finally:
        near.close()
        other.join()


@pytest.mark.parametrize(
    ("client_id", "leaf", "verifier"), [("frodo", FRODO, BY_PKI), ("shop", SHOP, BY_ITSELF), ("shop", NEXT, BY_ITSELF)]
)
@pytest.mark.parametrize("read", [tls.peer_of, tls.presented_by])
def test_a_client_is_authenticated_and_its_token_confirmed(
    client_id: str, leaf: IssuedCertificate, verifier: Verifier, read: Any
) -> None:
    """By PKI and by a registered certificate; the token that it gets is good on its next connection."""
    client: VerifiedPeer = asked(
        leaf, verifier, lambda here: oauth.authenticate_client(client_id, read(here), find=REGISTRY.get)
    )
    claims = {"client_id": client_id, "cnf": oauth.cnf(client)}
    confirmed = asked(leaf, verifier, lambda here: oauth.confirm(claims, read(here)))
    assert confirmed.thumbprint == client.thumbprint == oauth.thumbprint(leaf.der)


@pytest.mark.parametrize("thief", [None, SAM])
def test_a_stolen_token_on_a_thiefs_connection(thief: IssuedCertificate | None) -> None:
    """TLS lets the thief in, who has a certificate or comes without; the token does not."""
    stolen = {"cnf": {"x5t#S256": oauth.thumbprint(FRODO.der)}}
    with pytest.raises(oauth.TokenBindingError):
        asked(thief, BY_PKI, lambda here: oauth.confirm(stolen, tls.presented_by(here)))


def test_another_client_on_the_same_context() -> None:
    """TLS admits every client of the CA; who it is, is decided by its client_id's registration."""
    with pytest.raises(oauth.InvalidClient):
        asked(
            SAM,
            BY_PKI,
            lambda here: oauth.authenticate_client("frodo", tls.peer_of(here), find=REGISTRY.get),
        )


def test_an_unregistered_certificate_does_not_get_through_tls() -> None:
    """What the standard library cannot do: ask for a certificate without verifying it."""
    with pytest.raises(tls.HandshakeRejected):
        asked(self_signed("shop"), BY_ITSELF, tls.presented_by)
