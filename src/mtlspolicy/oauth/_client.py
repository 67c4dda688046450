"""Authenticating the client of an authorization server (RFC 8705, section 2): found by its client_id, then judged.

Nothing is fetched and no registration is stored. What a client may do is for the server to decide.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from mtlspolicy._chain import PresentedChain
from mtlspolicy._decision import Verdict
from mtlspolicy._evidence import UNKNOWN_CONNECTION, Facts
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy._policy import Policy, require_policy
from mtlspolicy._profile import PathProfile
from mtlspolicy._text import quoted
from mtlspolicy._trust import TrustSource, TrustStore
from mtlspolicy._trust_state import TrustRefused
from mtlspolicy._verifier import Verifier
from mtlspolicy._verifier_rules import text_of
from mtlspolicy.errors import ConfigurationError, VerificationError
from mtlspolicy.oauth._errors import InvalidClient, refused
from mtlspolicy.oauth._jwks import certificates_in
from mtlspolicy.oauth._metadata import PKI, SELF_SIGNED, client_policy, method_of, object_of, subjects_in, wrong
from mtlspolicy.oauth._sender import NO_POSSESSION, Sender, chain_of
from mtlspolicy.policies._anyone import Anyone

__all__ = ["JWKSource", "authenticate_client", "client_verifier"]

JWKSource: TypeAlias = "Mapping[str, Any] | Callable[[], Mapping[str, Any]]"
"""A JWK Set as parsed JSON, or a callable that returns the current one; it is asked once for each decision."""

_LABEL: Final = "certificate registered by the client"


def client_verifier(
    metadata: Mapping[str, Any],
    *,
    trust: TrustSource | None = None,
    jwks: JWKSource | None = None,
    policy: Policy | None = None,
) -> Verifier:
    """Return the verifier of one client's certificates. Keep it while the registration stays the same.

    With ``self_signed_tls_client_auth`` a certificate is the client's if it is registered byte for byte; no signature
    is followed. It must be valid now and may not be a CA's (`PathProfile.DIRECT`).

    Args:
        metadata: As registered (RFC 7591).
        trust: For ``tls_client_auth``: the CAs that issue for clients of this server, and no other (section 7.4).
        jwks: For ``self_signed_tls_client_auth``: the JWK Set, where it is not in *metadata*; what is at a ``jwks_uri``
            is fetched by the caller. Certificates of which some key is in ``x5c[0]`` are registered, several for
            rotation.
        policy: Asked in addition, such as ``policies.IssuerPin`` or ``policies.NotRevoked``.

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
        return _self_signed(known, jwks, policy)
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


def _self_signed(metadata: Mapping[str, Any], jwks: JWKSource | None, policy: Policy | None) -> Verifier:
    superfluous = subjects_in(metadata)
    if superfluous:
        raise wrong(f"{superfluous[0]} is for {PKI}: with {SELF_SIGNED} certificates are registered, and no name")
    if "jwks" in metadata and ("jwks_uri" in metadata or jwks is not None):
        raise wrong("two JWK Sets: a client registers jwks or jwks_uri, not both (RFC 7591, section 2)")
    source: object = metadata.get("jwks") if jwks is None else jwks
    if source is None:
        hint = "fetch what is at the client's jwks_uri" if "jwks_uri" in metadata else "the client registers none"
        raise wrong(f"{SELF_SIGNED} needs the JWK Set; nothing is fetched here: {hint}, and pass jwks=", "oauth.jwks")
    registered: Policy = Anyone().named(_LABEL)
    return Verifier.for_clients(
        trust=_store_source(source) if callable(source) else TrustStore(peers=certificates_in(source)),
        policy=registered if policy is None else registered & policy,
        profile=PathProfile.DIRECT,
    )


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
        return TrustStore(peers=certificates_in(jwks))

    return current


def authenticate_client(
    client_id: object,
    presented: Sender | None,
    *,
    find: Callable[[str], Verifier | None],
    facts: Facts = Facts.NONE,
) -> VerifiedPeer:
    """Return the peer that is the client *client_id*: first the registration is found, then the certificate is judged.

    The other way round, with one store for all clients, whoever is one client can say that it is another.

    Args:
        client_id: Parameter of the request (RFC 8705, section 2), hostile text; ``None``: it has none.
        presented: The sender: a `PresentedChain` with possession, or a `VerifiedPeer`, who is judged anew; ``None``: no
            certificate.
        find: Returns the `client_verifier` of a client_id, ``None`` where there is no client that authenticates by
            certificate. Where looking it up is asynchronous, do that first and pass ``{client_id: verifier}.get``.
        facts: What was looked up for the verifier's policy; those of a `VerifiedPeer` count where there are none.

    Raises:
        InvalidClient: It is not that client.
        VerificationError: A fact could not be had, and the same request may succeed a moment later: 503.
        ConfigurationError: *presented* is something else, or *find* returned it.
    """
    if not isinstance(client_id, str) or not client_id:
        raise _unknown("the request names no client_id, which RFC 8705, section 2, requires")
    verifier = _found(find(client_id))
    if verifier is None:
        raise _unknown(f"no client {quoted(client_id, 80)} authenticates by certificate")
    chain, connection = _proved(client_id, presented), UNKNOWN_CONNECTION
    if isinstance(presented, VerifiedPeer):
        connection, facts = presented.connection, facts if len(facts) else presented.evidence.facts
    try:
        return verifier.verify(chain, connection=connection, facts=facts)
    except VerificationError as error:
        if error.retryable:
            raise
        raise InvalidClient(error.decision) from error


def _proved(client_id: str, presented: Sender | None) -> PresentedChain:
    if presented is None:
        detail = f"the client {quoted(client_id, 80)} presented no certificate"
        raise InvalidClient(refused("path.no-certificate", detail, clause="client"))
    chain, seen = chain_of(presented, "authenticate_client")
    if not seen:
        raise InvalidClient(refused("peer.no-possession", NO_POSSESSION, clause="possession"))
    return chain


def _unknown(detail: str) -> InvalidClient:
    return InvalidClient(refused("oauth.unknown-client", detail, clause="client"))


def _found(verifier: object) -> Verifier | None:
    if verifier is None:
        return None
    if inspect.isawaitable(verifier):
        if inspect.iscoroutine(verifier):
            verifier.close()
        raise ConfigurationError(
            "find is asynchronous: await it first, then authenticate_client(..., find={client_id: verifier}.get)"
        )
    if not isinstance(verifier, Verifier) or verifier.peer_role != "client":
        raise ConfigurationError(f"find returned {verifier!r}: it returns a client_verifier(...), or None")
    return verifier
