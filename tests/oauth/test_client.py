"""Authenticating clients (RFC 8705, section 2): the registration is found first, then the certificate is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from mtlspolicy import (
    ConfigurationError,
    Decision,
    Evidence,
    Facts,
    Need,
    PathProfile,
    PathValidationError,
    Policy,
    PolicyIndeterminate,
    Possession,
    PresentedChain,
    TrustStore,
    VerificationError,
    Verifier,
    oauth,
    policies,
)
from mtlspolicy import testing as mtls_testing
from mtlspolicy.testing import CertificateAuthority
from tests.oauth.pki import (
    FRODO,
    ISSUING,
    ROOT,
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

BY_NAME: Final = pki_client(tls_client_auth_subject_dn="cn=FRODO")
BY_CERTIFICATE: Final = self_signed_client(jwks=jwks_of(FRODO))


def found(verifier: Verifier | None) -> Callable[[str], Verifier | None]:
    """Return a registry with one client, ``frodo``."""
    return {"frodo": verifier}.get


def invalid(client_id: Any, presented: Any, verifier: Verifier | None, code: str) -> oauth.InvalidClient:
    """Hold that the client is refused for the reason *code*, and that the answer does not say why."""
    with pytest.raises(oauth.InvalidClient) as raised:
        oauth.authenticate_client(client_id, presented, find=found(verifier))
    error = raised.value
    assert error.code == code
    assert error.answer() == (400, {"Cache-Control": "no-store", "Pragma": "no-cache"}, {"error": "invalid_client"})
    return error


@pytest.mark.parametrize("possession", [Possession.TLS, Possession.PROXY])
def test_pki_client_is_authenticated_by_its_name(possession: Possession) -> None:
    """The path is validated, and the subject is the registered one; the peer carries the reasons."""
    verifier = oauth.client_verifier(BY_NAME, trust=TRUST)
    peer = oauth.authenticate_client("frodo", shown(FRODO, possession), find=found(verifier))
    assert (peer.common_name, peer.possession) == ("frodo", possession)
    assert verifier.profile is PathProfile.PRIVATE_PKI
    invalid("frodo", shown(SAM), verifier, "name.mismatch")


def test_self_signed_client_is_authenticated_by_its_certificate() -> None:
    """The certificate alone counts: whatever is presented with it, no signature is followed."""
    verifier = oauth.client_verifier(BY_CERTIFICATE)
    assert verifier.profile is PathProfile.DIRECT
    peer = oauth.authenticate_client("frodo", shown(FRODO), find=found(verifier))
    assert peer.decision.admitted_by == ("certificate registered by the client",)
    error = invalid("frodo", shown(SAM), verifier, "path.not-registered")
    assert isinstance(error.__cause__, PathValidationError)


def test_a_peer_that_tls_verified_is_judged_anew() -> None:
    """The context's verifier let it in as somebody; whether it is this client is another question."""
    leaf = ISSUING.issue_client("frodo")
    peer = mtls_testing.peer(certificate=(leaf.der, *leaf.issuers_der, ROOT.der), transport_address="192.0.2.1")
    verifier = oauth.client_verifier(BY_NAME, trust=TRUST, policy=policies.PeerAddress("192.0.2.0/24"))
    again = oauth.authenticate_client("frodo", peer, find=found(verifier))
    assert (again.common_name, again.connection.transport_address) == ("frodo", "192.0.2.1")
    other = mtls_testing.peer(certificate=(SAM.der, *SAM.issuers_der, ROOT.der))
    invalid("frodo", other, oauth.client_verifier(BY_NAME, trust=TRUST), "name.mismatch")


@pytest.mark.parametrize("client_id", ["gollum", "", None, 3, ["frodo"], b"frodo"])
def test_unknown_clients_are_refused_before_any_certificate_is_looked_at(client_id: Any) -> None:
    """No client_id, several, or one that nobody has: a good certificate changes nothing."""
    verifier = oauth.client_verifier(BY_NAME, trust=TRUST)
    for presented in (None, shown(FRODO), shown(FRODO, Possession.NONE)):
        invalid(client_id, presented, verifier, "oauth.unknown-client")
    invalid("frodo", shown(FRODO), None, "oauth.unknown-client")


def test_no_certificate_and_none_that_was_proved() -> None:
    """Both are ordinary OAuth errors."""
    verifier = oauth.client_verifier(BY_NAME, trust=TRUST)
    invalid("frodo", None, verifier, "path.no-certificate")
    invalid("frodo", shown(FRODO, Possession.NONE), verifier, "peer.no-possession")
    with pytest.raises(ConfigurationError, match="authenticate_client takes"):
        oauth.authenticate_client("frodo", FRODO.der, find=found(verifier))  # type: ignore[arg-type]


def test_the_answer_to_a_client_that_sent_an_authorization_header() -> None:
    """Then it must be 401 with a challenge of that scheme (RFC 6749, section 5.2), whatever the header holds."""
    error = invalid("gollum", None, None, "oauth.unknown-client")
    for value, scheme in (
        ("Basic Z29sbHVtOng=", "Basic"),
        ("Bearer", "Bearer"),
        ("bad\r\nSet-Cookie: a=b", "Basic"),
        ('x" y="z', "Basic"),
        ("", "Basic"),
        ("A" * 40, "Basic"),
    ):
        answer = error.answer(value)
        assert (answer.status, answer.body) == (401, {"error": "invalid_client"})
        assert answer.headers["WWW-Authenticate"] == f'{scheme} realm="token endpoint"'
        assert answer.headers["Cache-Control"] == "no-store"


@dataclass(frozen=True)
class Enrolled(Policy):
    """Permits where a fact is there."""

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return PERMIT where the fact is there."""
        need = Need("test.enrolled", "frodo")
        if evidence.fact(need) is None:
            return self.indeterminate("fact.missing", "no answer", needs=(need,))
        return self.permit("fact.found")


def test_what_could_not_be_had_is_no_invalid_client() -> None:
    """503 with Retry-After: a client that is told invalid_client would give up."""
    verifier = oauth.client_verifier(BY_NAME, trust=TRUST, policy=Enrolled())
    with pytest.raises(PolicyIndeterminate) as raised:
        oauth.authenticate_client("frodo", shown(FRODO), find=found(verifier))
    assert (raised.value.code, raised.value.http_status, raised.value.retryable) == ("fact.missing", 503, True)
    facts = Facts(by_kind={"test.enrolled": True})
    oauth.authenticate_client("frodo", shown(FRODO), find=found(verifier), facts=facts)
    peer = mtls_testing.peer(certificate=(FRODO.der, *FRODO.issuers_der, ROOT.der), facts=facts)
    oauth.authenticate_client("frodo", peer, find=found(verifier))
    with pytest.raises(PolicyIndeterminate):
        oauth.authenticate_client("frodo", peer, find=found(verifier), facts=Facts(by_kind={"test.other": True}))


def test_find_must_return_a_verifier_of_clients() -> None:
    """A look-up that answers later, or with something else, is the caller's mistake and admits nobody."""

    async def later(client_id: str) -> Verifier | None:
        del client_id
        await asyncio.sleep(0)
        return None

    class Later:
        def __await__(self) -> Any:
            yield

    servers = Verifier.for_servers(trust=TRUST, expected="a.test")
    for find in (later, lambda _: Later(), lambda _: True, lambda _: BY_NAME, lambda _: servers):
        with pytest.raises(ConfigurationError, match="find"):
            oauth.authenticate_client("frodo", shown(FRODO), find=find)  # type: ignore[arg-type]


def test_pki_needs_the_cas_of_this_server() -> None:
    """Section 7.4: no store, or a public one whose issuer nothing pins, is refused when it is set up."""
    with pytest.raises(ConfigurationError, match=r"7\.4") as raised:
        oauth.client_verifier(BY_NAME)
    assert raised.value.code == "oauth.trust"
    public = TrustStore.public()
    by_dns = pki_client(tls_client_auth_san_dns="client.example.com")
    for trust in (public, lambda: public):
        with pytest.raises(ConfigurationError, match="public trust store") as raised:
            oauth.client_verifier(by_dns, trust=trust)
        assert raised.value.code == "oauth.trust"
    pinned = oauth.client_verifier(by_dns, trust=public, policy=policies.IssuerPin(public.anchors[0].der))
    assert pinned.peer_role == "client"


def test_a_further_policy_is_asked_in_addition() -> None:
    """It narrows, for both methods, and a thing that is no policy is refused."""
    nobody = policies.CommonName("nobody")
    for verifier in (
        oauth.client_verifier(BY_NAME, trust=TRUST, policy=nobody),
        oauth.client_verifier(BY_CERTIFICATE, policy=nobody),
    ):
        invalid("frodo", shown(FRODO), verifier, "name.mismatch")
    with pytest.raises(ConfigurationError, match="policies"):
        oauth.client_verifier(BY_NAME, trust=TRUST, policy=lambda: nobody)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metadata", "options", "match"),
    [
        (BY_NAME, {"trust": TRUST, "jwks": jwks_of(FRODO)}, "jwks= is for"),
        (BY_CERTIFICATE, {"trust": TRUST}, "trust= is for"),
        (BY_CERTIFICATE, {"jwks": jwks_of(FRODO)}, "two JWK Sets"),
        ({**BY_CERTIFICATE, "jwks_uri": "https://a.test/"}, {}, "two JWK Sets"),
        ({**BY_CERTIFICATE, "tls_client_auth_san_dns": "a.test"}, {}, "tls_client_auth_san_dns is for"),
        (self_signed_client(), {}, "registers none"),
        (self_signed_client(jwks={"keys": []}), {}, "no key of the JWK Set"),
        ({"token_endpoint_auth_method": "none", "jwks": jwks_of(FRODO)}, {}, "token_endpoint_auth_method"),
        ([], {}, "JSON object"),
    ],
)
def test_what_can_never_be_right_is_refused_when_it_is_set_up(metadata: Any, options: Any, match: str) -> None:
    """What would be passed over in silence is refused by name."""
    with pytest.raises(ConfigurationError, match=match) as raised:
        oauth.client_verifier(metadata, **options)
    assert raised.value.code in {"oauth.metadata", "oauth.jwks"}


def test_keys_of_a_pki_client_are_for_something_else() -> None:
    """A client of ``tls_client_auth`` may register keys for signed requests."""
    metadata = {**BY_NAME, "jwks": {"keys": "whatever"}, "jwks_uri": "https://a.test/"}
    assert oauth.client_verifier(metadata, trust=TRUST).decide(shown(FRODO))


def test_a_certificate_that_signs_itself_is_registered_and_rotated() -> None:
    """Two certificates during rotation, each good by itself; the CA's of ``openssl req -x509`` needs CA:FALSE."""
    old, new, other = self_signed("frodo"), self_signed("frodo"), self_signed("frodo")
    verifier = oauth.client_verifier(self_signed_client(jwks=jwks_of(old, new)))
    for leaf in (old, new):
        assert oauth.authenticate_client("frodo", shown(leaf), find=found(verifier)).certificate == leaf.certificate
    invalid("frodo", shown(other), verifier, "path.not-registered")
    with pytest.raises(ConfigurationError, match="CA:TRUE"):
        oauth.client_verifier(self_signed_client(jwks=jwks_of(self_signed("frodo", ca=True))))


def test_an_expired_registered_certificate_is_refused() -> None:
    """That no chain is validated does not make a certificate live for ever (section 6.3)."""
    verifier = oauth.client_verifier(self_signed_client(jwks=jwks_of(self_signed("frodo", days=(-3, -1)))))
    expired = PresentedChain((verifier.trust_now().peers[0].der,), Possession.TLS)
    invalid("frodo", expired, verifier, "path.expired")


def test_a_source_of_registered_certificates_is_asked_for_each_decision() -> None:
    """What the caller has fetched last counts; an outage is 503 and a bad set refuses, neither admits."""
    current: list[Any] = [jwks_of(FRODO)]

    def fetched() -> Any:
        if isinstance(current[0], Exception):
            raise current[0]
        return current[0]

    metadata = self_signed_client(jwks_uri="https://frodo.test/jwks")
    verifier = oauth.client_verifier(metadata, jwks=fetched)
    oauth.authenticate_client("frodo", shown(FRODO), find=found(verifier))
    current[0] = jwks_of(SAM)
    invalid("frodo", shown(FRODO), verifier, "path.not-registered")
    assert oauth.authenticate_client("frodo", shown(SAM), find=found(verifier)).common_name == "sam"
    unusable: tuple[Any, ...] = ({"keys": []}, None, {"keys": [jwk_of(ROOT.certificate)]})
    for current[0] in unusable:
        invalid("frodo", shown(SAM), verifier, "trust.unavailable")
    current[0] = TimeoutError("https://frodo.test/jwks\x1b[2J")
    with pytest.raises(VerificationError) as raised:
        oauth.authenticate_client("frodo", shown(SAM), find=found(verifier))
    assert (raised.value.code, raised.value.http_status) == ("oauth.jwks-unavailable", 503)
    assert "\x1b" not in str(raised.value)
    with pytest.raises(ConfigurationError) as failed:
        oauth.client_verifier(metadata, jwks=fetched)
    assert failed.value.code == "oauth.jwks-unavailable"


def test_an_authority_of_its_own_changes_nothing() -> None:
    """A CA of the same name, which the client runs itself, issues nobody."""
    impostor = CertificateAuthority("Root").intermediate("Issuing CA").issue_client("frodo")
    invalid("frodo", shown(impostor), oauth.client_verifier(BY_NAME, trust=TRUST), "path.signature")
