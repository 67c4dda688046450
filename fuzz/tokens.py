"""Targets for OAuth 2.0 mutual TLS: claims of tokens, JWK Sets and other metadata that clients register."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from fuzz._material import FRODO, ISSUING, SAM, VALUE, Target, outcome, require, told
from mtlspolicy import ConfigurationError, Possession, PresentedChain, TrustStore, oauth

_SENDER: Final = PresentedChain((FRODO.der,), Possession.TLS)
_OURS: Final = oauth.thumbprint(FRODO.certificate)
_TRUST: Final = TrustStore(anchors=[ISSUING.certificate])


def _parsed(data: bytes) -> Any:
    """Return the JSON in *data*, or the text: what a parser refuses is none of our business."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace")


def claims(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else.

    A token is confirmed for a sender only where it says so, and one that has a confirmation is never taken for unbound.
    """
    found = _parsed(data)
    for presented in (_SENDER, None):
        try:
            loose = oauth.confirm(found, presented, required=False)
        except oauth.TokenBindingError:
            continue
        require("active" not in found or found["active"] is True, "a token that is not active")
        require(loose.thumbprint is not None or "cnf" not in found, "a bound token that counts as unbound")
        require(loose.thumbprint is None or presented is not None, "a bound token without a certificate")
    try:
        confirmed = oauth.confirm(found, _SENDER)
    except oauth.TokenBindingError as error:
        require(error.http_status == 401, "another answer than 401")
        return told(error)
    require(confirmed.thumbprint == _OURS == found["cnf"]["x5t#S256"], "a token that is bound to somebody else")
    return VALUE


def client_metadata(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else.

    What is registered stands in the first place of a chain, and has the key of its JWK.
    """
    found = _parsed(data)
    for trust in (None, _TRUST):
        made = outcome(lambda trust=trust: oauth.client_verifier(found, trust=trust), ConfigurationError)  # type: ignore[misc]
        if made == VALUE:
            verifier = oauth.client_verifier(found, trust=trust)
            if trust is None and found.get("jwks_uri") is not None:
                code = verifier.decide(_SENDER).code
                require(code == "fact.missing", "a decision before the set is there")
            elif trust is None:
                first = [key["x5c"][0] for key in found["jwks"]["keys"] if isinstance(key.get("x5c"), list)]
                peers = [base64.b64encode(peer.der).decode() for peer in verifier.trust_now().peers]
                require(set(peers) <= set(first), "what stands in no x5c[0]")
            else:
                require(oauth.registered_subject(found), "a name that is empty")
            return VALUE
    return made


def _jwk() -> dict[str, Any]:
    key = FRODO.certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the material has other keys than it had")
    point = key.public_numbers()
    x, y = (base64.urlsafe_b64encode(value.to_bytes(32, "big")).decode().rstrip("=") for value in (point.x, point.y))
    chain = [base64.b64encode(leaf.der).decode() for leaf in (FRODO, SAM)]
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "x5c": chain}


def _json(**members: Any) -> bytes:
    return json.dumps(members).encode()


def _registered(**members: Any) -> bytes:
    return _json(token_endpoint_auth_method="tls_client_auth", **members)  # noqa: S106 - the name of a method


TARGETS: Final[Mapping[str, Target]] = {
    "oauth_claims": Target(
        claims,
        (
            _json(active=True, cnf={"x5t#S256": _OURS}),
            _json(cnf={"x5t#S256": oauth.thumbprint(SAM.certificate), "jkt": _OURS}),
            _json(sub="frodo", cnf={"jkt": _OURS}),
            _json(sub="frodo"),
        ),
        (b"null", b"true", b"[]", b"{}", b'"cnf":', b'"active":', b'"x5t#S256":', _OURS.encode(), b"\\ud800", b"="),
    ),
    "oauth_metadata": Target(
        client_metadata,
        (
            _json(token_endpoint_auth_method="self_signed_tls_client_auth", jwks={"keys": [_jwk()]}),  # noqa: S106 - as above
            _json(token_endpoint_auth_method="self_signed_tls_client_auth", jwks_uri="https://a.test:1/b?c"),  # noqa: S106
            _registered(tls_client_auth_subject_dn="CN=frodo,O=a\\, b"),
            _registered(tls_client_auth_san_dns="frodo.test"),
            _registered(tls_client_auth_san_uri="spiffe://a/frodo"),
            _registered(tls_client_auth_san_ip="192.0.2.1"),
            _registered(tls_client_auth_san_email="frodo@a.test"),
        ),
        (b"null", b"[]", b"{}", b'"keys":', b'"x5c":', b'"use":"enc"', b"/24", b"::", b"*.", b"\\ud800", b"+", b"=#0c"),
    ),
}
