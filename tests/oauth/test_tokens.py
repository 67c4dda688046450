"""Real tokens: what is bound when a JWT is made is held when it is read, and a stolen one is refused."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from mtlspolicy import oauth
from mtlspolicy import testing as mtls_testing
from tests.oauth.pki import FRODO, ISSUING, SAM, jwk_of, shown

joserfc = pytest.importorskip("joserfc", reason="joserfc is not installed")
jwt: Any = pytest.importorskip("joserfc.jwt")
jwk: Any = pytest.importorskip("joserfc.jwk")

KEY: Final[Any] = jwk.ECKey.generate_key("P-256")


def issued(presented: Any) -> str:
    """Return an access token that is bound to whom *presented* shows."""
    claims = {"iss": "https://as.test", "sub": "frodo", "cnf": oauth.cnf(presented)}
    token: str = jwt.encode({"alg": "ES256", "typ": "at+jwt"}, claims, KEY)
    return token


def read(token: str) -> dict[str, Any]:
    """Return the claims of *token*, whose signature is verified."""
    claims: dict[str, Any] = jwt.decode(token, KEY, algorithms=["ES256"]).claims
    return claims


def test_a_bound_token_survives_the_round_trip() -> None:
    """The member is written and read as RFC 8705, section 3.1, shows it."""
    token = issued(shown(FRODO))
    assert read(token)["cnf"] == {"x5t#S256": oauth.thumbprint(FRODO.der)}
    assert oauth.confirm(read(token), shown(FRODO)).thumbprint == oauth.thumbprint(FRODO.der)


def test_a_stolen_token_with_another_certificate_is_refused() -> None:
    """And with none, and with a verified peer that is somebody else."""
    token = issued(shown(FRODO))
    for thief in (None, shown(SAM), mtls_testing.peer("frodo")):
        with pytest.raises(oauth.TokenBindingError) as raised:
            oauth.confirm(read(token), thief)
        assert raised.value.http_status == 401


def test_a_rotated_certificate_needs_a_new_token() -> None:
    """The old token goes with the old certificate."""
    token, renewed = issued(shown(FRODO)), ISSUING.issue_client("frodo", key=FRODO.key)
    with pytest.raises(oauth.TokenBindingError):
        oauth.confirm(read(token), shown(renewed))
    assert oauth.confirm(read(issued(shown(renewed))), shown(renewed)).thumbprint


def test_an_introspection_response_is_confirmed_alike() -> None:
    """Section 3.2: ``cnf`` is a member of the response."""
    response = json.loads(json.dumps({"active": True, "cnf": oauth.cnf(shown(FRODO))}))
    assert oauth.confirm(response, shown(FRODO)).thumbprint
    with pytest.raises(oauth.TokenBindingError):
        oauth.confirm(response, shown(SAM))


def test_python_parsers_take_the_last_of_two_members() -> None:
    """Duplicate keys are gone before the claims get here: a caller who minds refuses them in the parser."""
    ours, theirs = (json.dumps(oauth.cnf(shown(leaf))) for leaf in (FRODO, SAM))
    claims = json.loads(f'{{"cnf": {theirs}, "cnf": {ours}}}')
    assert oauth.confirm(claims, shown(FRODO)).thumbprint


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048"])
def test_a_jwk_written_by_another_library_registers_the_certificate(kind: str) -> None:
    """The parameters that joserfc writes for a key are those that are expected here."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = mtls_testing.pooled_key("rsa-2048", 0) if kind == "rsa-2048" else kind
    leaf = ISSUING.issue_client("frodo", key=key)
    pem = leaf.certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    family = {"e": jwk.ECKey, "r": jwk.RSAKey, "o": jwk.OKPKey}["o" if kind == "ed25519" else kind[0]]
    written = family.import_key(pem).as_dict(private=False)
    written["x5c"] = jwk_of(leaf.certificate)["x5c"]
    metadata = {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": {"keys": [written]}}
    verifier = oauth.client_verifier(metadata)
    peer = oauth.authenticate_client("frodo", shown(leaf), find={"frodo": verifier}.get)
    assert peer.certificate == leaf.certificate
