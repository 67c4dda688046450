"""Attacks on bound tokens and on clients that authenticate by certificate, each carried out as its name says."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import pytest

from mtlspolicy import (
    ConfigurationError,
    Possession,
    PresentedChain,
    TrustStore,
    VerificationError,
    Verifier,
    forwarded,
    oauth,
    policies,
)
from mtlspolicy import testing as mtls_testing
from mtlspolicy.oauth._binding import THUMBPRINT
from mtlspolicy.testing import CertificateAuthority
from tests.oauth.pki import (
    FRODO,
    ISSUING,
    SAM,
    TRUST,
    jwk_of,
    jwks_of,
    pki_client,
    self_signed,
    self_signed_client,
    shown,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*TEST CA.*")

STOLEN: Final = {"sub": "frodo", "cnf": oauth.cnf(shown(FRODO))}
"""Claims of a token that was issued to frodo."""


def refused(claims: Any, presented: Any, code: str, *, required: bool = True) -> None:
    """Hold that the resource answers 401 for the reason *code*."""
    with pytest.raises(oauth.TokenBindingError) as raised:
        oauth.confirm(claims, presented, required=required)
    assert (raised.value.code, raised.value.http_status) == (code, 401)


def test_bound_token_without_a_certificate() -> None:
    """A thief without any certificate."""
    refused(STOLEN, None, "oauth.no-certificate")
    refused(STOLEN, None, "oauth.no-certificate", required=False)


def test_bound_token_with_another_certificate() -> None:
    """A thief who is a client of the same CA, and one whose certificate has the same names."""
    refused(STOLEN, shown(SAM), "oauth.other-certificate")
    refused(STOLEN, shown(ISSUING.issue_client("frodo")), "oauth.other-certificate", required=False)


def test_bound_token_with_the_certificate_further_down_the_chain() -> None:
    """Only the end entity counts: the thief appends the victim's certificate to its own."""
    refused(STOLEN, PresentedChain((SAM.der, FRODO.der), Possession.TLS), "oauth.other-certificate")


def test_unbound_token_at_a_resource_that_requires_binding() -> None:
    """The other direction: a token of a client that never asked for binding."""
    refused({"sub": "frodo"}, shown(FRODO), "oauth.unbound")
    refused({"sub": "frodo"}, None, "oauth.unbound")


def test_token_bound_by_dpop_is_not_taken_for_unbound() -> None:
    """``cnf: {"jkt": ...}`` at a resource that takes bearer tokens as well."""
    refused({"cnf": {"jkt": "x"}}, None, "oauth.other-confirmation", required=False)


def test_inactive_token_with_the_right_thumbprint() -> None:
    """Introspection says that it was revoked."""
    refused({"active": False, **STOLEN}, shown(FRODO), "oauth.inactive", required=False)


def test_non_ascii_thumbprint_is_401_and_no_crash() -> None:
    """`hmac.compare_digest` raises TypeError for such text, which would be a 500."""
    refused({"cnf": {THUMBPRINT: "\u00e9" * 43}}, shown(FRODO), "oauth.malformed-cnf")


@pytest.mark.parametrize("wrong", [None, {}, [], "x", {THUMBPRINT: None}, {THUMBPRINT: "short"}])
def test_malformed_confirmation_is_not_taken_for_none(wrong: Any) -> None:
    """``cnf: null`` and the like do not make a bearer token."""
    with pytest.raises(oauth.TokenBindingError):
        oauth.confirm({"cnf": wrong}, None, required=False)


def test_offline_peer_is_nobody() -> None:
    """A certificate out of a request body, verified by a verifier: nobody saw the sender hold its key."""
    offline = Verifier.for_clients(trust=TRUST, policy=policies.CommonName("frodo")).verify(FRODO.chain_pem)
    assert offline.possession is Possession.NONE
    refused(STOLEN, offline, "peer.no-possession")
    with pytest.raises(VerificationError, match=r"peer\.no-possession"):
        oauth.cnf(offline)
    verifier = oauth.client_verifier(pki_client(tls_client_auth_subject_dn="CN=frodo"), trust=TRUST)
    with pytest.raises(oauth.InvalidClient, match=r"peer\.no-possession"):
        oauth.authenticate_client("frodo", offline, find={"frodo": verifier}.get)


def test_malleated_certificate_is_another_certificate() -> None:
    """Anybody can write its ECDSA signature another way: no token is bound to that, and nobody registered it."""
    twin = mtls_testing.malleated_twin(FRODO)
    assert twin.der != FRODO.der
    refused(STOLEN, shown(twin), "oauth.other-certificate")
    verifier = oauth.client_verifier(self_signed_client(jwks=jwks_of(FRODO)))
    with pytest.raises(oauth.InvalidClient, match=r"path\.not-registered"):
        oauth.authenticate_client("frodo", shown(twin), find={"frodo": verifier}.get)


def test_certificate_in_a_header_from_an_untrusted_peer() -> None:
    """The thief writes the victim's certificate into the proxy's header, past the proxy."""
    source = forwarded.nginx(trusted=["10.1.2.0/24"])
    headers = [("x-ssl-client-cert", quote(FRODO.certificate_pem.decode())), ("x-ssl-client-verify", "SUCCESS")]
    through = source.read(headers, peer=forwarded.ImmediatePeer("10.1.2.3"))
    assert oauth.confirm(STOLEN, through).thumbprint == oauth.thumbprint(FRODO.der)
    with pytest.raises(VerificationError, match=r"forwarded\.untrusted-proxy"):
        source.read(headers, peer=forwarded.ImmediatePeer("203.0.113.9"))


def test_self_signed_client_with_the_same_key_in_another_certificate() -> None:
    """Registered is the certificate, byte for byte: not its key, and not what its key signs."""
    registered = self_signed("frodo")
    verifier = oauth.client_verifier(self_signed_client(jwks=jwks_of(registered)))
    again = self_signed("frodo", key=registered.key)
    assert again.certificate.public_key() == registered.certificate.public_key()
    for other in (again, self_signed("gollum", key=registered.key)):
        with pytest.raises(oauth.InvalidClient, match=r"path\.not-registered"):
            oauth.authenticate_client("frodo", shown(other), find={"frodo": verifier}.get)
    peer = oauth.authenticate_client("frodo", shown(registered), find={"frodo": verifier}.get)
    assert peer.certificate == registered.certificate


def test_registered_client_issues_a_certificate_for_another() -> None:
    """A client's certificate is a peer and no anchor: what it signs is not followed, in ``x5c`` neither."""
    issuing = CertificateAuthority("gollum")
    forged = issuing.issue_client("frodo")
    own = issuing.issue_client("gollum")
    jwk = jwk_of(own.certificate)
    jwk["x5c"] += jwk_of(issuing.certificate)["x5c"]
    verifier = oauth.client_verifier(self_signed_client(jwks={"keys": [jwk]}))
    assert [one.der for one in verifier.trust_now().peers] == [own.der]
    assert verifier.trust_now().anchors == ()
    for chain in (shown(forged), PresentedChain((forged.der, own.der, issuing.der), Possession.TLS)):
        with pytest.raises(oauth.InvalidClient, match=r"path\.not-registered"):
            oauth.authenticate_client("frodo", chain, find={"frodo": verifier}.get)


def test_client_says_that_it_is_another_client() -> None:
    """The registration is found by client_id before the certificate: whoever is registered is not thereby everybody."""
    registry = {
        name: oauth.client_verifier(self_signed_client(jwks=jwks_of(leaf)))
        for name, leaf in (("frodo", FRODO), ("sam", SAM))
    }
    assert oauth.authenticate_client("sam", shown(SAM), find=registry.get).common_name == "sam"
    with pytest.raises(oauth.InvalidClient):
        oauth.authenticate_client("frodo", shown(SAM), find=registry.get)
    everybody = Verifier.for_clients(trust=TRUST, policy=policies.CommonName("frodo", "sam"))
    assert everybody.decide(shown(SAM)), "the mistake: one verifier for all clients admits sam for whatever he says"


def test_two_clients_register_the_same_subject() -> None:
    """Each would be the other: equal texts, whatever their spelling, are what a unique index refuses."""
    first = pki_client(tls_client_auth_subject_dn="CN=Frodo Baggins,O=Shire")
    second = pki_client(tls_client_auth_subject_dn="2.5.4.3=frodo  baggins, o=SHIRE")
    assert oauth.registered_subject(first) == oauth.registered_subject(second)
    other = pki_client(tls_client_auth_subject_dn="CN=frodo baggins,O=Mordor")
    assert oauth.registered_subject(first) != oauth.registered_subject(other)


@pytest.mark.parametrize(
    "metadata",
    [
        pki_client(),
        pki_client(tls_client_auth_subject_dn="CN=frodo", tls_client_auth_san_dns="frodo.test"),
        pki_client(tls_client_auth_san_ip="0.0.0.0/0"),
    ],
)
def test_registration_with_no_name_or_two_or_a_network(metadata: Any) -> None:
    """None would be anybody, two an attacker's choice, a network everybody in it."""
    with pytest.raises(ConfigurationError):
        oauth.client_verifier(metadata, trust=TRUST)


def test_the_same_name_from_another_trusted_ca() -> None:
    """Section 7.4: with two CAs in the store a name alone is not enough, and a pinned issuer is."""
    other = CertificateAuthority("Other CA")
    impostor = other.issue_client("frodo")
    both = TRUST | TrustStore(anchors=[other.certificate])
    metadata = pki_client(tls_client_auth_subject_dn="CN=frodo")
    pinned = oauth.client_verifier(metadata, trust=both, policy=policies.IssuerPin(ISSUING.certificate))
    with pytest.raises(oauth.InvalidClient, match=r"issuer\.not-pinned"):
        oauth.authenticate_client("frodo", shown(impostor), find={"frodo": pinned}.get)
    own = oauth.client_verifier(metadata, trust=TRUST)
    with pytest.raises(oauth.InvalidClient, match=r"path\.no-issuer"):
        oauth.authenticate_client("frodo", shown(impostor), find={"frodo": own}.get)


def test_stolen_refresh_token_of_a_public_client() -> None:
    """Section 4: it is bound to the certificate it was given to, and confirmed like an access token."""
    kept = {"refresh_token": "opaque", "cnf": oauth.cnf(shown(FRODO))}
    assert oauth.confirm(kept, shown(FRODO)).thumbprint == oauth.thumbprint(FRODO.der)
    refused(kept, shown(SAM), "oauth.other-certificate")
    refused(kept, None, "oauth.no-certificate")


def test_token_of_a_certificate_that_was_rotated() -> None:
    """Section 6.3: a new certificate needs a new token, also where the key is the same."""
    renewed = ISSUING.issue_client("frodo", key=FRODO.key)
    refused(STOLEN, shown(renewed), "oauth.other-certificate")
    assert oauth.confirm({"cnf": oauth.cnf(shown(renewed))}, shown(renewed)).thumbprint


def test_no_answer_names_a_reason_or_a_name() -> None:
    """What the other end is told is the same for every attack; the reason is for the log."""
    errors: list[VerificationError] = []
    for claims, presented in ((STOLEN, None), (STOLEN, shown(SAM)), ({}, None), ({"cnf": "frodo\r\nx: y"}, None)):
        with pytest.raises(oauth.TokenBindingError) as raised:
            oauth.confirm(claims, presented)
        errors.append(raised.value)
    assert {tuple(error.http_headers.items()) for error in errors} == {
        (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
    }
