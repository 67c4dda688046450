"""Authenticating the client of an authorization server (RFC 8705, section 2): found by its client_id, then judged.

No registration is stored here. What a client may do is for the server to decide.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from mtlspolicy._chain import PresentedChain
from mtlspolicy._evidence import UNKNOWN_CONNECTION, Facts
from mtlspolicy._judgement import Judgement, Outcome
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy._resolver import Resolver, settle, settle_async
from mtlspolicy._text import quoted
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.oauth._errors import InvalidClient, refused
from mtlspolicy.oauth._sender import NO_POSSESSION, Sender, chain_of

__all__ = ["authenticate_client", "authenticate_client_async"]

Found: TypeAlias = "Verifier | None"


def authenticate_client(
    client_id: object,
    presented: Sender | None,
    *,
    find: Callable[[str], Found],
    resolver: Resolver | None = None,
    facts: Facts = Facts.NONE,
) -> VerifiedPeer:
    """Return the peer that is the client *client_id*: first the registration is found, then the certificate is judged.

    The other way round, with one store for all clients, whoever is one client can say that it is another.

    Args:
        client_id: Parameter of the request (RFC 8705, section 2), hostile text; ``None``: it has none.
        presented: The sender: a `PresentedChain` with possession, or a `VerifiedPeer`, who is judged anew; ``None``: no
            certificate.
        find: Returns the `client_verifier` of a client_id, ``None`` where there is no client that authenticates by
            certificate.
        resolver: Brings what the verifier asks for: revocation, an own policy's facts, the set at a ``jwks_uri`` (kind
            ``oauth.jwks``). Blocks, so on an event loop use `authenticate_client_async`.
        facts: What was looked up already; those of a `VerifiedPeer` count where there are none. Not with *resolver*.

    Raises:
        InvalidClient: It is not that client.
        VerificationError: A fact could not be had, and the same request may succeed a moment later: 503.
        ConfigurationError: *presented* is something else, or *find* returned it; facts and a resolver.
    """
    found: object = find(_named(client_id))
    if inspect.isawaitable(found):
        if inspect.iscoroutine(found):
            found.close()
        raise ConfigurationError("find is asynchronous: await authenticate_client_async, which takes such a one")
    judgement = _judgement(client_id, presented, _verifier(found, client_id))
    if resolver is None:
        known = presented.evidence.facts if isinstance(presented, VerifiedPeer) and not len(facts) else facts
        return _client(judgement, judgement.outcome(known))
    if len(facts):
        raise ConfigurationError("facts= and resolver=: give what was looked up, or who looks it up")
    return _client(judgement, settle(judgement, resolver))


async def authenticate_client_async(
    client_id: object,
    presented: Sender | None,
    *,
    find: Callable[[str], Found | Awaitable[Found]],
    resolver: Resolver | None = None,
) -> VerifiedPeer:
    """Return the peer that is the client *client_id*, as `authenticate_client` does, while the event loop goes on.

    Args:
        client_id: As there.
        presented: As there.
        find: As there, or asynchronous.
        resolver: As there.

    Raises:
        InvalidClient: It is not that client.
        VerificationError: A fact could not be had: 503.
        ConfigurationError: *presented* is something else, or *find* returned it.
    """
    found: object = find(_named(client_id))
    if inspect.isawaitable(found):
        found = await found
    judgement = _judgement(client_id, presented, _verifier(found, client_id))
    return _client(judgement, await settle_async(judgement, resolver))


def _named(client_id: object) -> str:
    if not isinstance(client_id, str) or not client_id:
        raise _unknown("the request names no client_id, which RFC 8705, section 2, requires")
    return client_id


def _verifier(found: object, client_id: object) -> Verifier:
    if found is None:
        raise _unknown(f"no client {quoted(str(client_id), 80)} authenticates by certificate")
    if not isinstance(found, Verifier) or found.peer_role != "client":
        raise ConfigurationError(f"find returned {found!r}: it returns a client_verifier(...), or None")
    return found


def _judgement(client_id: object, presented: Sender | None, verifier: Verifier) -> Judgement:
    if presented is None:
        detail = f"the client {quoted(str(client_id), 80)} presented no certificate"
        raise InvalidClient(refused("path.no-certificate", detail, clause="client"))
    chain, seen = chain_of(presented, "authenticate_client")
    if not seen:
        raise InvalidClient(refused("peer.no-possession", NO_POSSESSION, clause="possession"))
    connection = presented.connection if isinstance(presented, VerifiedPeer) else UNKNOWN_CONNECTION
    judgement = verifier.judgement(chain, connection=connection)
    try:
        PresentedChain.parse(chain, limits=verifier.limits)
    except MalformedEvidence as error:
        _client(judgement, judgement.malformed(error))
    return judgement


def _client(judgement: Judgement, outcome: Outcome) -> VerifiedPeer:
    judgement.conclude(outcome)
    if outcome.peer is not None:
        return outcome.peer
    error = outcome.error()
    if error.retryable:
        raise error
    raise InvalidClient(outcome.decision) from error


def _unknown(detail: str) -> InvalidClient:
    return InvalidClient(refused("oauth.unknown-client", detail, clause="client"))
