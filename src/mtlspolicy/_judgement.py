"""One decision on one peer: a snapshot of trust, policy and time, asked as often as facts arrive. Pure, and total.

Every step that can fail ends in a decision that is no PERMIT.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from mtlspolicy._chain import PresentedChain
from mtlspolicy._decision import Context, Decision, Verdict
from mtlspolicy._evidence import UNKNOWN_CONNECTION, Connection, Evidence, Facts, Need
from mtlspolicy._observer import Observer
from mtlspolicy._path import TOO_MANY, CertificationPath, Refusal, Rules, validate_paths
from mtlspolicy._path_cache import Entry, Key, PathCache
from mtlspolicy._peer import VerifiedPeer, admit
from mtlspolicy._policy import Policy, decide
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier_rules import notes_on, text_of
from mtlspolicy.errors import (
    MalformedEvidence,
    MTLSPolicyError,
    NoPeerCertificate,
    PathValidationError,
    PolicyDenied,
    PolicyIndeterminate,
    VerificationError,
)
from mtlspolicy.policies._server_identity import ServerIdentity

NO_CERTIFICATE = Refusal(
    "path.no-certificate",
    "the peer presented no certificate: configure its client certificate and key (curl: --cert, --key)",
)
NOTES = 64
"""Policies whose notes one store remembers."""


class Settings(NamedTuple):
    """What a verifier holds fixed."""

    rules: Rules
    path_engine: str
    identity: ServerIdentity | None


class Outcome:
    """The answer to one judgement so far.

    Attributes:
        decision: The tree of reasons, with its context.
        peer: The admitted peer; ``None`` unless the verdict is PERMIT.
        needs: What could still change the verdict.
        path_valid: Whether some path was valid.
    """

    __slots__ = ("decision", "needs", "path_valid", "peer")

    def __init__(
        self, decision: Decision, peer: VerifiedPeer | None, needs: tuple[Need, ...], *, path_valid: bool
    ) -> None:
        self.decision: Decision = decision
        self.peer: VerifiedPeer | None = peer
        self.needs: tuple[Need, ...] = needs
        self.path_valid: bool = path_valid

    @property
    def refused(self) -> bool:
        """Whether the peer is not admitted."""
        return self.peer is None

    def error(self) -> VerificationError:
        """Return the error for a refusal, of the class that fits."""
        decision = self.decision
        if decision.code == NO_CERTIFICATE.code:
            return NoPeerCertificate(decision)
        if not self.path_valid:
            return PathValidationError(decision)
        return (PolicyDenied if decision.verdict is Verdict.DENY else PolicyIndeterminate)(decision)


class Judgement:
    """One peer under one snapshot. `outcome` may be asked again with more facts; `conclude` reports the last answer."""

    __slots__ = (
        "_cache",
        "_failure",
        "_observer",
        "_policy",
        "_settings",
        "_store",
        "at",
        "connection",
        "dialed",
        "presented",
    )

    def __init__(
        self,
        settings: Settings,
        cache: PathCache,
        observer: Observer | None,
        presented: PresentedChain | None,
        at: datetime,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._observer = observer
        self.presented: PresentedChain | None = presented
        self.at: datetime = at
        self.connection: Connection = UNKNOWN_CONNECTION
        self.dialed: str | None = None
        self._store: TrustStore | None = None
        self._policy: Policy | None = None
        self._failure: MTLSPolicyError | None = None

    def snapshot(self, store: TrustStore | None, policy: Policy | None, failure: MTLSPolicyError | None) -> None:
        """Write what the decision is made under: the current store and policy, or why they could not be had."""
        self._store = store
        self._policy = policy
        self._failure = failure

    def conclude(self, outcome: Outcome) -> Outcome:
        """Report *outcome* as the answer that counts, to the observer if there is one; called once by an edge."""
        if self._observer is not None:
            self._observer.put(outcome.decision)
        return outcome

    def malformed(self, error: MalformedEvidence) -> Outcome:
        """Return the outcome for bytes that are no certificate chain."""
        return self._refuse(Refusal(error.code, str(error)))

    def outcome(self, facts: Facts = Facts.NONE) -> Outcome:
        """Return the answer with *facts*. Never raises an `Exception`."""
        if self._failure is not None or self._store is None:
            detail = "no trust store" if self._failure is None else str(self._failure)
            return self._refuse(Refusal("trust.unavailable", detail), Verdict.INDETERMINATE)
        if self.presented is None:
            return self._refuse(NO_CERTIFICATE)
        try:
            return self._answer(self.presented, self._store, facts)
        except Exception as error:  # noqa: BLE001 - total: an error of ours is not an admission either
            return self._refuse(Refusal("path.error", text_of(error)), Verdict.INDETERMINATE)

    def _answer(self, presented: PresentedChain, store: TrustStore, facts: Facts) -> Outcome:
        key = self._cache.key(store.digest, presented.ders)
        entry = self._cache.get(key)
        if entry is not None and entry.valid_at(self.at):
            outcome = self._from_paths(zip(entry.paths, entry.kept, strict=True), presented, facts)
            if outcome is not None and (entry.complete or outcome.peer is not None):
                return outcome
        return self._cold(presented, store, facts, key)

    def _cold(self, presented: PresentedChain, store: TrustStore, facts: Facts, key: Key) -> Outcome:
        refusals: list[Refusal] = []
        seen: list[tuple[CertificationPath, dict[int, object]]] = []

        def valid_paths() -> Iterator[tuple[CertificationPath, dict[int, object]]]:
            for found in validate_paths(certificates, store, self._settings.rules, self.at):
                if isinstance(found, Refusal):
                    refusals.append(found)
                else:
                    seen.append((found, {}))
                    yield seen[-1]
            exhausted.append(True)

        exhausted: list[bool] = []
        certificates = self._cache.parsed(presented.ders)
        outcome = self._from_paths(valid_paths(), presented, facts)
        if seen:
            if self._cache.learn(certificates):
                key = self._cache.key(store.digest, presented.ders)
            codes = {refusal.code for refusal in refusals}
            if "path.not-yet-valid" not in codes:  # of such a candidate nobody knows here when it becomes a path
                since = self.at if "path.expired" in codes else None
                complete = seen[0][0].alone or (bool(exhausted) and not refusals)
                paths, decisions = zip(*seen, strict=True)
                self._cache.put(key, Entry(paths, complete, decisions, since))
        if outcome is None or (TOO_MANY in refusals and outcome.peer is None and not outcome.needs):
            return self._refuse_path(refusals, presented)
        return outcome

    def _from_paths(
        self, paths: Iterator[tuple[CertificationPath, dict[int, object]]], presented: PresentedChain, facts: Facts
    ) -> Outcome | None:
        """Return the outcome of the whole policy on one path at a time: a PERMIT needs one path that permits."""
        best: Outcome | None = None
        needs: tuple[Need, ...] = ()
        for path, kept in paths:
            evidence = Evidence(
                path, at=self.at, facts=facts, connection=self.connection, possession=presented.possession,
                dialed=self.dialed, kept=kept,
            )  # fmt: skip
            decision = self._evaluate(evidence).within(self._context(path))
            if decision.verdict is Verdict.PERMIT:
                return Outcome(decision, admit(presented, evidence, decision), (), path_valid=True)
            needs += decision.missing
            if best is None or (best.decision.verdict is Verdict.DENY and decision.verdict is Verdict.INDETERMINATE):
                best = Outcome(decision, None, (), path_valid=True)
        if best is not None and needs:
            best.needs = tuple(dict.fromkeys(needs))
        return best

    def _evaluate(self, evidence: Evidence) -> Decision:
        identity, policy = self._settings.identity, self._policy
        if identity is None:
            if policy is None:
                return Decision(Verdict.INDETERMINATE, "policy.error", "no policy", clause="verifier")
            return decide(policy, evidence)
        first = decide(identity, evidence)
        if policy is None:
            return first
        second = decide(policy, evidence)
        decisive = first if first.verdict is not Verdict.PERMIT else second
        if first.verdict is Verdict.INDETERMINATE and second.verdict is Verdict.DENY:
            decisive = second
        return Decision(decisive.verdict, decisive.code, "", clause="identity and policy", children=(first, second))

    def _context(self, path: CertificationPath | None) -> Context:
        store = self._store
        return Context(
            at=self.at,
            path=path,
            profile=self._settings.rules.profile.value if path is None else path.profile,
            path_engine=self._settings.path_engine,
            trust="" if store is None else store.digest,
            notes=() if store is None else self._notes(store),
        )

    def _notes(self, store: TrustStore) -> tuple[str, ...]:
        key = id(self._policy)
        known = store.notes_memo.get(key)
        if known is None or known[0] is not self._policy:
            if len(store.notes_memo) >= NOTES:
                store.notes_memo.clear()  # one operation, whatever other threads do
            known = store.notes_memo[key] = (self._policy, notes_on(self._policy, store))
        return known[1]

    def _refuse(self, refusal: Refusal, verdict: Verdict = Verdict.DENY) -> Outcome:
        decision = Decision(verdict, refusal.code, refusal.detail, clause="path", context=self._context(None))
        return Outcome(decision, None, (), path_valid=False)

    def _refuse_path(self, refusals: list[Refusal], presented: PresentedChain) -> Outcome:
        if TOO_MANY in refusals:
            return self._refuse(TOO_MANY, Verdict.INDETERMINATE)
        first = refusals[0]
        if first.code == "path.no-issuer" and self.connection.resumed and len(presented.ders) == 1:
            first = Refusal(
                "resumption.no-path",
                "the session was resumed and only the peer's own certificate is left of its chain: add the issuing CA "
                "to the trust store as an intermediate, or make sessions that are not resumed",
            )
        elif len(refusals) > 1:
            first = Refusal(first.code, f"{first.detail} (and {len(refusals) - 1} other candidate paths)")
        return self._refuse(first)
