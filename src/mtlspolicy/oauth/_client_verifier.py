"""The verifier of one registered client (RFC 8705, section 2): by a name that CAs vouch for, or by its certificates.

Nothing is fetched: the JWK Set at a ``jwks_uri`` is a need, which a resolver brings. Nothing is stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias

from mtlspolicy._decision import Verdict
from mtlspolicy._evidence import Need
from mtlspolicy._policy import Policy, require_policy
from mtlspolicy._profile import PathProfile
from mtlspolicy._text import quoted
from mtlspolicy._trust import TrustSource, TrustStore
from mtlspolicy._trust_state import TrustRefused
from mtlspolicy._verifier import Verifier
from mtlspolicy._verifier_awaiting import Awaited, AwaitingVerifier
from mtlspolicy._verifier_rules import text_of
from mtlspolicy.oauth._jwks import certificates_in
from mtlspolicy.oauth._metadata import PKI, SELF_SIGNED, client_policy, method_of, object_of, subjects_in, wrong
from mtlspolicy.policies._anyone import Anyone

__all__ = ["JWKSource", "client_verifier"]

JWKSource: TypeAlias = "Mapping[str, Any] | Callable[[], Mapping[str, Any]]"
"""A JWK Set as parsed JSON, or a callable that returns the current one; it is asked once for each decision."""

JWKS: Final = "oauth.jwks"
"""The kind of the need for a client's JWK Set; its key is the ``jwks_uri``, its value the set as parsed JSON."""
JWKS_MAX_AGE: Final = timedelta(minutes=5)
"""Oldest JWK Set that is used, unless told otherwise: so long a certificate that was taken out still authenticates."""
_LABEL: Final = "certificate registered by the client"
_LONGEST: Final = 2048
_MOST_PORTS: Final = 65535
_URI: Final = re.compile(
    r"https://(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?(?:[/?][!\"$-\[\]-~]*)?"
)
"""RFC 3986 as far as no two readers differ on the host: no user name, no backslash, no fragment, nothing encoded."""
_SHOWN: Final = 80


def client_verifier(
    metadata: Mapping[str, Any],
    *,
    trust: TrustSource | None = None,
    jwks: JWKSource | None = None,
    policy: Policy | None = None,
    jwks_max_age: timedelta = JWKS_MAX_AGE,
) -> Verifier:
    """Return the verifier of one client's certificates. Keep it while the registration stays the same.

    With ``self_signed_tls_client_auth`` a certificate is the client's if it is registered byte for byte; no signature
    is followed. It must be valid now and may not be a CA's (`PathProfile.DIRECT`).

    Args:
        metadata: As registered (RFC 7591).
        trust: For ``tls_client_auth``: the CAs that issue for clients of this server, and no other (section 7.4).
        jwks: For ``self_signed_tls_client_auth``: the JWK Set, where it is not in *metadata*. The certificates in
            ``x5c[0]`` of its keys are registered, several for rotation. Where there is only a ``jwks_uri``, the set at
            it is the need ``oauth.jwks`` of each decision, and its fact is the set as parsed JSON: give
            `authenticate_client` a resolver with a source of this kind.
        policy: Asked in addition, such as ``policies.IssuerPin`` or ``policies.NotRevoked``.
        jwks_max_age: Oldest set from a ``jwks_uri`` that is used, more than nothing.

    Raises:
        ConfigurationError: Metadata that is not right (``oauth.metadata``), no certificate in the JWK Set or one that
            cannot be registered (``oauth.jwks``), no trust store or a public one whose issuer nothing pins
            (``oauth.trust``); a registration endpoint answers ``invalid_client_metadata``.
    """
    known = object_of(metadata)
    if policy is not None:
        require_policy(policy, "client_verifier(policy=...)")
    if method_of(known) == SELF_SIGNED:
        if trust is not None:
            raise wrong(f"trust= is for {PKI}: with {SELF_SIGNED} the registered certificates are all that is trusted")
        return _self_signed(known, jwks, policy, jwks_max_age)
    if jwks is not None:
        raise wrong(f"jwks= is for {SELF_SIGNED}: with {PKI} the keys of a client are not looked at")
    return _pki(known, trust, policy)


def _pki(metadata: Mapping[str, Any], trust: TrustSource | None, policy: Policy | None) -> Verifier:
    named = client_policy(metadata)
    whole = named if policy is None else named & policy
    if trust is None:
        raise wrong(
            f"{PKI} needs trust=, the CAs that issue for your clients: whoever gets a certificate of the same name "
            "from another trusted CA is the client (RFC 8705, section 7.4)",
            "oauth.trust",
        )
    verifier = Verifier.for_clients(trust=trust, policy=whole)
    if verifier.trust_now().is_public and not whole._binds_issuer:
        raise wrong(
            "a public trust store: any of its CAs may issue the client's name (RFC 8705, section 7.4); give the store "
            "of the CAs that issue for your clients, or policy=policies.IssuerPin(...)",
            "oauth.trust",
        )
    return verifier


def _self_signed(
    metadata: Mapping[str, Any], jwks: JWKSource | None, policy: Policy | None, max_age: timedelta
) -> Verifier:
    superfluous = subjects_in(metadata)
    if superfluous:
        raise wrong(f"{superfluous[0]} is for {PKI}: with {SELF_SIGNED} certificates are registered, and no name")
    if "jwks" in metadata and ("jwks_uri" in metadata or jwks is not None):
        raise wrong("two JWK Sets: a client registers jwks or jwks_uri, not both (RFC 7591, section 2)")
    registered: Policy = Anyone().named(_LABEL)
    whole = registered if policy is None else registered & policy
    source: object = metadata.get("jwks") if jwks is None else jwks
    if source is not None:
        trust = _store_source(source) if callable(source) else _store_of(source)
        return Verifier.for_clients(trust=trust, policy=whole, profile=PathProfile.DIRECT)
    if "jwks_uri" not in metadata:
        raise wrong(f"{SELF_SIGNED} needs a JWK Set: the client registers none, and no jwks_uri", "oauth.jwks")
    if not isinstance(max_age, timedelta) or max_age <= timedelta(0):
        raise wrong(f"jwks_max_age={max_age!r}: give a timedelta of more than nothing")
    uri = _uri(metadata["jwks_uri"])
    unready = f"the client's certificates are those at {quoted(uri, _SHOWN)}, which is looked up for each decision: "
    unready += "give authenticate_client a resolver; in TLS this verifier cannot be enforced"
    awaited = Awaited(Need(JWKS, uri, max_age), _store_of, unready)
    return AwaitingVerifier.of(awaited, whole, PathProfile.DIRECT)


def _store_of(jwks: object) -> TrustStore:
    return TrustStore(peers=certificates_in(jwks))


def _uri(text: object) -> str:
    """Return the ``jwks_uri``, a stranger's text.

    Raises:
        ConfigurationError: It is no https URL of a host, without user name and fragment (``oauth.metadata``).
    """
    found = _URI.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
    if found is not None and int(found[1] or 443) <= _MOST_PORTS:
        return found[0]
    said = quoted(text, _SHOWN) if isinstance(text, str) else type(text).__name__
    raise wrong(f"jwks_uri is {said}: it is an https URL, without user name and fragment (RFC 7591, section 2)")


def _store_source(source: Callable[[], object]) -> Callable[[], TrustStore]:
    def current() -> TrustStore:
        try:
            jwks = source()
        except Exception as error:  # noqa: BLE001 - whatever a look-up raises, the certificates are not to be had
            raise TrustRefused(
                f"the client's JWK Set: {text_of(error)}",
                code="oauth.jwks-unavailable",
                verdict=Verdict.INDETERMINATE,
            ) from None
        return _store_of(jwks)

    return current
