"""A verifier binds trust, profile and policy once, and answers whether a presented chain is the peer that was meant.

Nothing is fetched here and no socket is touched: what is missing comes back as needs, for an edge to resolve.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeAlias

from mtlspolicy._chain import DEFAULT_LIMITS, ChainInput, Limits, Possession, PresentedChain
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import UNKNOWN_CONNECTION, Connection, Facts
from mtlspolicy._judgement import Judgement, Outcome, Settings, Snapshot
from mtlspolicy._observer import Hook, Observer
from mtlspolicy._path import PathProfile, Purpose, Rules, warm_up
from mtlspolicy._path_cache import PathCache
from mtlspolicy._peer import VerifiedPeer, now
from mtlspolicy._policy import Policy
from mtlspolicy._reference import ReferenceIdentifier
from mtlspolicy._trust import TrustSource, TrustStore
from mtlspolicy._verifier_rules import (
    Expected,
    current_policy,
    current_store,
    references_of,
    require_identifying,
    require_policy_source,
    text_of,
)
from mtlspolicy._verifier_sources import State, current_snapshot, state_of
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._server_identity import ServerIdentity

PolicySource: TypeAlias = "Policy | Callable[[], Policy]"
"""A policy, or a callable that returns the current one; it is asked once for each decision."""

CACHE_SIZE: Final = 4096


class Verifier:
    """Verifies peers of one kind. Made by `for_clients` and `for_servers`, named after the peer that is verified.

    Immutable but for the memory of paths that were valid. Safe to share between threads and event loops.
    """

    __slots__ = ("_cache", "_fixed", "_observer", "_policy", "_rules", "_settings", "_trust", "expected")

    def __init__(
        self,
        *,
        trust: TrustSource,
        policy: PolicySource | None,
        rules: Rules,
        expected: tuple[ReferenceIdentifier, ...],
        observer: Observer | None = None,
    ) -> None:
        if not isinstance(rules.profile, PathProfile):
            raise ConfigurationError(f"profile={rules.profile!r}: use PathProfile.PRIVATE_PKI, WEBPKI or DIRECT")
        self._trust = trust
        self._policy = policy
        self._rules = rules
        self._settings = Settings(rules, rules.path_engine, ServerIdentity(expected) if expected else None)
        self.expected: tuple[ReferenceIdentifier, ...] = expected
        """Whom a verifier for servers expects; empty for clients."""
        self._cache = PathCache(CACHE_SIZE)
        self._observer = observer
        self._fixed: Snapshot | None = None
        if isinstance(trust, TrustStore) and (policy is None or isinstance(policy, Policy)):
            self._fixed = Snapshot(trust, policy)  # judged when the verifier was made, and never asked for again

    @classmethod
    def for_clients(
        cls,
        *,
        trust: TrustSource,
        policy: PolicySource,
        profile: PathProfile = PathProfile.PRIVATE_PKI,
        path_engine: str = "cryptography",
        limits: Limits = DEFAULT_LIMITS,
    ) -> Verifier:
        """Return a verifier of clients.

        Args:
            trust: A `TrustStore`, or a callable that returns the current one.
            policy: A policy that identifies the client, or a callable that returns the current one. "Any client of this
                private CA" is said with ``policies.Anyone()``.
            profile: Named set of validation rules.
            path_engine: Who validates paths: ``"cryptography"``, or ``"openssl"`` with the extra ``pyopenssl``.
            limits: Bounds on what a peer may present.

        Raises:
            ConfigurationError: No policy, or one that admits without saying who; a public store without identification;
                a store that the profile cannot use.
        """
        require_policy_source(policy, "Verifier.for_clients(policy=...)")
        verifier = cls(
            trust=trust,
            policy=policy,
            rules=Rules(profile, Purpose.CLIENT, limits, path_engine),
            expected=(),
        )
        store = verifier.trust_now()
        require_identifying(current_policy(policy), store)
        verifier._require_usable(store)
        return verifier

    @classmethod
    def for_servers(
        cls,
        *,
        trust: TrustSource,
        expected: Expected,
        policy: PolicySource | None = None,
        profile: PathProfile = PathProfile.PRIVATE_PKI,
        path_engine: str = "cryptography",
        limits: Limits = DEFAULT_LIMITS,
    ) -> Verifier:
        """Return a verifier of servers. The identity is never optional; a policy may ask for more.

        Args:
            trust: A `TrustStore`, or a callable that returns the current one.
            expected: DNS name, IP address or URI, a `ReferenceIdentifier`, or several of which one must match
                (RFC 9525).
            policy: Asked in addition.
            profile: Named set of validation rules.
            path_engine: Who validates paths: ``"cryptography"``, or ``"openssl"`` with the extra ``pyopenssl``.
            limits: Bounds on what a peer may present.

        Raises:
            ConfigurationError: Nothing expected, or a name that is none.
        """
        if policy is not None:
            require_policy_source(policy, "Verifier.for_servers(policy=...)")
            current_policy(policy)
        verifier = cls(
            trust=trust, policy=policy, rules=Rules(profile, Purpose.SERVER, limits, path_engine),
            expected=references_of(expected, profile),
        )  # fmt: skip
        verifier._require_usable(verifier.trust_now())
        return verifier

    def _require_usable(self, store: TrustStore) -> None:
        if self._rules.profile is PathProfile.DIRECT:
            if store.direct_problem is not None:
                raise ConfigurationError(store.direct_problem)
        elif store.peers:
            raise ConfigurationError(
                f"a store of registered peers needs profile=PathProfile.DIRECT, not {self._rules.profile.value}"
            )

    @property
    def peer_role(self) -> str:
        """``client`` or ``server``: what is verified."""
        return self._rules.purpose.value

    @property
    def profile(self) -> PathProfile:
        """The validation rules."""
        return self._rules.profile

    @property
    def limits(self) -> Limits:
        """Bounds on what a peer may present."""
        return self._rules.limits

    def __repr__(self) -> str:
        return f"<Verifier for {self.peer_role}s, {self.profile.value}>"

    def observed_by(self, hook: Hook) -> Verifier:
        """Return a copy whose every decision also goes to *hook*, whose failure or slowness changes nothing.

        The hook is called on a thread of its own with the `Decision`, in order; while it lags far behind, decisions are
        dropped for it. It sees no key.
        """
        return Verifier(
            trust=self._trust, policy=self._policy, rules=self._rules, expected=self.expected,
            observer=Observer(hook),
        )  # fmt: skip

    def trust_now(self) -> TrustStore:
        """Return the current trust store.

        Raises:
            ConfigurationError: The source failed, or returned something else.
        """
        return current_store(self._trust)

    def warm_up(self) -> None:
        """Do now what the first decision would do besides deciding, a few milliseconds; it changes no answer."""
        store = self.trust_now()
        warm_up(store, self._rules, now())
        for certificate in (store.anchors or store.peers)[:1]:
            self.judgement(PresentedChain((certificate.der,))).outcome()

    def judgement(
        self,
        presented: PresentedChain | None,
        *,
        at: datetime | None = None,
        connection: Connection = UNKNOWN_CONNECTION,
        dialed: str | None = None,
    ) -> Judgement:
        """Return the judgement of one presented chain: trust, policy and time are taken here, once. For edges.

        Args:
            presented: What the peer sent; ``None`` where it sent no certificate.
            at: Aware time; ``None`` reads the clock. An edge never passes one.
            connection: What is known of the connection.
            dialed: The name that the connection was opened to.

        Raises:
            ConfigurationError: *at* is naive.
        """
        if at is not None and at.utcoffset() is None:
            raise ConfigurationError("at= is a naive datetime: give one with a time zone, such as datetime.now(UTC)")
        snapshot = self._fixed or self._current()
        judgement = Judgement(
            self._settings, self._cache, self._observer, snapshot, presented, now() if at is None else at
        )
        judgement.connection = connection
        judgement.dialed = dialed
        judgement.historical = at is not None
        return judgement

    @property
    def live(self) -> bool:
        """Whether trust, policy or a list in it is a source, which may return something else for the next decision."""
        return self._fixed is None or (self._fixed.policy is not None and self._fixed.policy._is_live)

    def state(self) -> State | None:
        """Return what sources return now; equal states decide alike. ``None``: they cannot be had, so decide anew."""
        return state_of(self._fixed or self._current())

    def _current(self) -> Snapshot:
        return current_snapshot(self._trust, self._policy, self._rules.purpose)

    def verify(
        self,
        chain: ChainInput,
        *,
        at: datetime | None = None,
        connection: Connection = UNKNOWN_CONNECTION,
        facts: Facts = Facts.NONE,
        dialed: str | None = None,
    ) -> VerifiedPeer:
        """Return the peer that *chain* admits.

        Args:
            chain: PEM or DER bytes, `cryptography` certificates, or a `PresentedChain`; the end entity first.
            at: Aware time of the decision; ``None`` is now.
            connection: What is known of the connection.
            facts: What was looked up.
            dialed: The name that the connection was opened to, for `ReferenceIdentifier.DIALED`.

        Raises:
            VerificationError: The peer is not admitted; ``.decision`` says why.
            ConfigurationError: *at* is naive.
        """
        outcome = self._decide(chain, at, connection, facts, dialed)
        if outcome.peer is None:
            raise outcome.error()
        return outcome.peer

    def decide(
        self,
        chain: ChainInput,
        *,
        at: datetime | None = None,
        connection: Connection = UNKNOWN_CONNECTION,
        facts: Facts = Facts.NONE,
        dialed: str | None = None,
    ) -> Decision:
        """Return the decision on *chain*; arguments as for `verify`. Never raises an `Exception`."""
        try:
            return self._decide(chain, at, connection, facts, dialed).decision
        except Exception as error:  # noqa: BLE001 - total: whatever went wrong, the answer is "not known"
            return Decision(Verdict.INDETERMINATE, "policy.error", text_of(error), clause="verifier")

    def _decide(
        self, chain: ChainInput, at: datetime | None, connection: Connection, facts: Facts, dialed: str | None
    ) -> Outcome:
        try:
            presented = PresentedChain.parse(chain, possession=Possession.NONE, limits=self._rules.limits)
        except MalformedEvidence as error:
            judgement = self.judgement(None, at=at, connection=connection, dialed=dialed)
            return judgement.conclude(judgement.malformed(error))
        judgement = self.judgement(presented, at=at, connection=connection, dialed=dialed)
        return judgement.conclude(judgement.outcome(facts))


__all__ = ["Expected", "Judgement", "Outcome", "PolicySource", "Verifier"]
