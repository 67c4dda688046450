"""A verifier of clients whose trust store is made of a fact: what they publish themselves, looked up for the decision.

Until the fact is there a decision is INDETERMINATE, ``fact.missing``, and states the need. Nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, NoReturn, Self

from mtlspolicy._chain import DEFAULT_LIMITS, PresentedChain
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import UNKNOWN_CONNECTION, Connection, Facts, Need
from mtlspolicy._judgement import NO_CERTIFICATE, Judgement, Outcome, Snapshot
from mtlspolicy._observer import Hook, Observer
from mtlspolicy._path import PathProfile, Purpose, Rules
from mtlspolicy._policy import Policy
from mtlspolicy._trust import TrustStore
from mtlspolicy._trust_state import TrustRefused
from mtlspolicy._verifier import Verifier
from mtlspolicy._verifier_rules import current_policy, current_store
from mtlspolicy.errors import MTLSPolicyError

__all__ = ["Awaited", "AwaitingJudgement", "AwaitingVerifier"]


class Awaited(NamedTuple):
    """The need that a trust store is made of.

    ``store`` makes the store of the fact's value, and whatever it raises is a refusal. ``unready`` is the sentence for
    who wants the store without a decision.
    """

    need: Need
    store: Callable[[Any], TrustStore]
    unready: str


class AwaitingVerifier(Verifier):
    """A verifier without a store of its own, made by `of`. No context takes it: it is asked after TLS."""

    __slots__ = ("_awaited",)

    _awaited: Awaited

    @classmethod
    def of(cls, awaited: Awaited, policy: Policy, profile: PathProfile, observer: Observer | None = None) -> Self:
        """Return the verifier.

        Args:
            awaited: What the store is made of.
            policy: One that may be asked over any such store.
            profile: Named set of validation rules.
            observer: As of `Verifier.observed_by`.
        """

        def unready() -> NoReturn:
            raise TrustRefused(awaited.unready, code="trust.unavailable", verdict=Verdict.INDETERMINATE)

        rules = Rules(profile, Purpose.CLIENT, DEFAULT_LIMITS, "cryptography")
        verifier = cls(trust=unready, policy=policy, rules=rules, expected=(), observer=observer)
        verifier._awaited = awaited
        return verifier

    def observed_by(self, hook: Hook) -> Verifier:
        """Return a copy whose every decision also goes to *hook*; see `Verifier.observed_by`."""
        return self.of(self._awaited, current_policy(self._policy), self.profile, Observer(hook))

    def _current(self) -> Snapshot:
        return Snapshot(None, current_policy(self._policy))

    def judgement(
        self,
        presented: PresentedChain | None,
        *,
        at: datetime | None = None,
        connection: Connection = UNKNOWN_CONNECTION,
        dialed: str | None = None,
    ) -> Judgement:
        """Return the judgement of one presented chain; see `Verifier.judgement`."""
        plain = super().judgement(presented, at=at, connection=connection, dialed=dialed)
        return AwaitingJudgement.of(plain, self._awaited)


class AwaitingJudgement(Judgement):
    """Asks for the store first; with it, a judgement like others. The store is made anew for each answer."""

    __slots__ = ("_awaited",)

    _awaited: Awaited

    @classmethod
    def of(cls, plain: Judgement, awaited: Awaited) -> Self:
        """Return *plain*, once the store is there."""
        made = cls(plain._settings, plain._cache, plain._observer, plain._snapshot, plain.presented, plain.at)
        made.connection, made.dialed, made.historical = plain.connection, plain.dialed, plain.historical
        made._awaited = awaited
        return made

    def outcome(self, facts: Facts = Facts.NONE) -> Outcome:
        """Return the answer with *facts*. Never raises an `Exception`."""
        if self.presented is None:
            return self._refuse(NO_CERTIFICATE)  # nobody is asked about a stranger who shows nothing
        need = self._awaited.need
        fact = facts.stated(need)  # by kind alone it would be the trust of every client
        if fact is None or not fact.fresh(need.max_age, self.at):
            return self._open(need)
        policy = self._snapshot.policy
        try:
            self._snapshot = Snapshot(current_store(lambda: self._awaited.store(fact.value)), policy)
        except MTLSPolicyError as error:
            self._snapshot = Snapshot(None, policy, error)
        return super().outcome(facts)

    def _open(self, need: Need) -> Outcome:
        decision = Decision(
            Verdict.INDETERMINATE,
            "fact.missing",
            f"{need.kind} is not known: {need.key}; a resolver with a source of this kind brings it",
            clause="trust",
            needs=(need,),
            context=self._context(None),
        )
        return Outcome(decision, None, (need,), path_valid=False)
