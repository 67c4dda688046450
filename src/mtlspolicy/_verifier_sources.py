"""What a verifier decides under, taken once for a decision: the store and policy that its sources return now."""

from __future__ import annotations

from mtlspolicy._judgement import Snapshot
from mtlspolicy._path import Purpose
from mtlspolicy._policy import Policy
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier_rules import current_policy, current_store, require_identifying, text_of
from mtlspolicy.errors import ConfigurationError, MTLSPolicyError

__all__ = ["current_snapshot"]


def current_snapshot(trust: object, policy: object, purpose: Purpose) -> Snapshot:
    """Return what is decided under now, or why it could not be had. Never raises an `Exception`.

    Args:
        trust: A store, or a callable that returns the current one.
        policy: A policy or a callable that returns one; ``None``: none.
        purpose: Of the verifier; a policy for clients is held to identify them each time.
    """
    store: TrustStore | None = None
    try:
        store = current_store(trust)
        return Snapshot(store, _policy_now(policy, store, purpose))
    except MTLSPolicyError as error:
        return Snapshot(store, None, error)
    except Exception as error:  # noqa: BLE001 - a policy whose properties raise is not to be had either
        return Snapshot(store, None, ConfigurationError(text_of(error), code="trust.unavailable"))


def _policy_now(source: object, store: TrustStore, purpose: Purpose) -> Policy | None:
    if source is None:
        return None
    policy = current_policy(source)
    if purpose is Purpose.CLIENT:
        require_identifying(policy, store)
    return policy
