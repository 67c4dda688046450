"""What a verifier decides under, taken once for a decision: the store and policy that its sources return now."""

from __future__ import annotations

from typing import TypeAlias

from mtlspolicy._judgement import Snapshot
from mtlspolicy._path import Purpose
from mtlspolicy._policy import Policy
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier_rules import current_policy, current_store, require_identifying, text_of
from mtlspolicy.errors import ConfigurationError, MTLSPolicyError

__all__ = ["State", "current_snapshot", "state_of"]

State: TypeAlias = "tuple[str, Policy | None, tuple[object, ...]]"
"""Content of the store, the policy, and what the sources of lists in it return."""


def state_of(snapshot: Snapshot) -> State | None:
    """Return the state of what a decision would be made under; ``None``: a source fails, or has."""
    if snapshot.failure is not None or snapshot.store is None:
        return None
    policy = snapshot.policy
    try:
        return snapshot.store.digest, policy, () if policy is None else policy._sources_now()
    except Exception:  # noqa: BLE001 - whatever a source of a list raises: the decision says which one
        return None


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
