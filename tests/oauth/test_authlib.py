"""Authlib on both sides: a method of its client authentication, and a validator of its resource protector, ask us."""

from __future__ import annotations

from typing import Any, Final

import pytest

from mtlspolicy import PresentedChain, oauth
from mtlspolicy.testing import CertificateAuthority
from tests.oauth.pki import FRODO, SAM, TRUST, shown

requests: Any = pytest.importorskip("authlib.oauth2.rfc6749.requests", reason="Authlib is not installed")
rfc6749: Any = pytest.importorskip("authlib.oauth2.rfc6749")
rfc6750: Any = pytest.importorskip("authlib.oauth2.rfc6750")
jwk: Any = pytest.importorskip("joserfc.jwk")
jwt: Any = pytest.importorskip("joserfc.jwt")
METHOD: Final = "tls_client_auth"
VERIFIERS: Final = {
    client_id: oauth.client_verifier(
        {"token_endpoint_auth_method": METHOD, "tls_client_auth_subject_dn": f"CN={name}"}, trust=TRUST
    )
    for client_id, name in (("shop", "frodo"), ("bank", "sam"))
}
KEY: Final = jwk.ECKey.generate_key("P-256")
FOREIGN: Final = CertificateAuthority("Foreign").issue_client("frodo")


def request(sender: PresentedChain | None, *, bearer: str = "", **form: str) -> Any:
    """Return a request of Authlib's, with the chain of its sender, which ``integrations.*.presented`` gives."""
    made = rfc6749.OAuth2Request("POST", "https://as.test/token", headers={"Authorization": f"Bearer {bearer}"})
    made.payload, made.sender = requests.BasicOAuth2Payload(form), sender
    return made


class Client(rfc6749.ClientMixin):  # type: ignore[misc]  # a package without types
    """A registered client."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Return whether it authenticates by certificate."""
        return method == METHOD


def by_certificate(_query: Any, asked: Any) -> Client:
    """Authenticate as RFC 8705, section 2.1, says: for ``ClientAuthentication.register``."""
    oauth.authenticate_client(asked.payload.client_id, asked.sender, find=VERIFIERS.get)
    return Client(asked.payload.client_id)


class Token:
    """An access token whose signature was verified."""

    def __init__(self, claims: dict[str, Any]) -> None:
        self.claims = claims

    def is_expired(self) -> bool:
        """Return that it is not."""
        return False

    is_revoked = is_expired

    def get_scope(self) -> str:
        """Return its scope."""
        return str(self.claims["scope"])


class Bound(rfc6750.BearerTokenValidator):  # type: ignore[misc]  # a package without types
    """Tokens are JWTs that are bound to the certificate of whoever asked for them."""

    def authenticate_token(self, token_string: str) -> Token:
        """Verify the signature."""
        return Token(jwt.decode(token_string, KEY, algorithms=["ES256"]).claims)

    def validate_token(self, token: Token, scopes: Any, request: Any) -> None:
        """Ask Authlib first, and then for the certificate."""
        super().validate_token(token, scopes, request)
        oauth.confirm(token.claims, request.sender, required=True)


@pytest.fixture
def clients() -> Any:
    """Return Authlib's client authentication with our method in it."""
    made = rfc6749.ClientAuthentication(Client)
    made.register(METHOD, by_certificate)
    return made


@pytest.fixture
def protector() -> Any:
    """Return Authlib's resource protector with our validator in it."""
    made = rfc6749.ResourceProtector()
    made.register_token_validator(Bound(realm="accounts"))
    return made


def test_a_client_is_authenticated_by_its_certificate(clients: Any) -> None:
    """The method is noted on the request, as Authlib's grants look for it."""
    asked = request(shown(FRODO), client_id="shop")
    assert clients(asked, [METHOD]).client_id == "shop"
    assert asked.auth_method == METHOD


@pytest.mark.parametrize(
    ("sender", "client_id"),
    [(shown(SAM), "shop"), (shown(FOREIGN), "shop"), (None, "shop"), (shown(FRODO), "nobody")],
    ids=["another client", "another CA", "no certificate", "no such client"],
)
def test_nobody_else_is_that_client(clients: Any, sender: PresentedChain | None, client_id: str) -> None:
    """What is raised passes Authlib unchanged, with the answer of the token endpoint, which gives no reason."""
    with pytest.raises(oauth.InvalidClient) as raised:
        clients(request(sender, client_id=client_id), [METHOD])
    assert raised.value.answer()[::2] == (400, {"error": "invalid_client"})


def test_a_token_opens_the_resource_for_its_certificate_alone(protector: Any) -> None:
    """A stolen one is refused behind Authlib's own questions, and a scope that is missing before ours."""
    claims = {"scope": "read", "cnf": oauth.cnf(shown(FRODO))}
    token = jwt.encode({"alg": "ES256"}, claims, KEY)
    assert protector.validate_request(["read"], request(shown(FRODO), bearer=token)).claims["scope"] == "read"
    for thief in (shown(SAM), None):
        with pytest.raises(oauth.TokenBindingError) as raised:
            protector.validate_request(["read"], request(thief, bearer=token))
        assert raised.value.http_status == 401
    with pytest.raises(rfc6750.InsufficientScopeError):
        protector.validate_request(["write"], request(shown(FRODO), bearer=token))
    unbound = jwt.encode({"alg": "ES256"}, {"scope": "read"}, KEY)
    with pytest.raises(oauth.TokenBindingError):
        protector.validate_request(["read"], request(shown(FRODO), bearer=unbound))
