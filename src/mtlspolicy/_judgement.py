"""One decision on one peer: a snapshot of trust, policy and time, asked as often as facts arrive. Pure, and total.

Every step that can fail ends in a decision that is no PERMIT.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from mtlspolicy._chain import PresentedChain
from mtlspolicy._decision import Context, Decision, Verdict
from mtlspolicy._evidence import UNKNOWN_CONNECTION, Connection, Evidence, Facts, Need
from mtlspolicy._observer import Observer
from mtlspolicy._path import TOO_MANY, CertificationPath, Refusal, Rules, validate_paths
from mtlspolicy._path_cache import Entry, PathCache
from mtlspolicy._peer import VerifiedPeer, admit
from mtlspolicy._policy import Policy, decide, decide_each
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier_rules import no_trust, notes_on, text_of
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
_PERMIT: Final = Verdict.PERMIT
_new: Final = object.__new__
_ASKED: Final = 0
"""Where the policy stands among the decisions that are kept with a path: no object has this identity."""
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


class Snapshot:
    """What a decision is made under, taken once: the current store and policy, or why they could not be had.

    Where both are fixed one snapshot serves all decisions of a verifier.
    """

    __slots__ = ("failure", "generation", "notes", "policy", "store")

    def __init__(self, store: TrustStore | None, policy: Policy | None, failure: MTLSPolicyError | None = None) -> None:
        self.store: TrustStore | None = store
        self.policy: Policy | None = policy
        self.failure: MTLSPolicyError | None = failure
        self.generation: str = getattr(store or failure, "generation", "")
        self.notes: tuple[str, ...] | None = None
        """Sentences about the set-up, written when they are first asked for."""


class Judgement:
    """One peer under one snapshot. `outcome` may be asked again with more facts; `conclude` reports the last answer."""

    __slots__ = (
        "_cache",
        "_observer",
        "_settings",
        "_snapshot",
        "at",
        "connection",
        "dialed",
        "historical",
        "presented",
    )

    def __init__(
        self,
        settings: Settings,
        cache: PathCache,
        observer: Observer | None,
        snapshot: Snapshot,
        presented: PresentedChain | None,
        at: datetime,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._observer = observer
        self._snapshot = snapshot
        self.presented: PresentedChain | None = presented
        self.at: datetime = at
        self.connection: Connection = UNKNOWN_CONNECTION
        self.dialed: str | None = None
        self.historical: bool = False

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
        snapshot = self._snapshot
        if snapshot.failure is not None or snapshot.store is None:
            return self._refuse(*no_trust(snapshot.failure))
        presented, cache = self.presented, self._cache
        if presented is None:
            return self._refuse(NO_CERTIFICATE)
        try:
            key = cache.key(snapshot.store.digest, presented.ders)
            entry = cache.get(key)
            if entry is not None and entry.valid_at(self.at):
                outcome: Outcome | None = None
                for path, kept in zip(entry.paths, entry.kept, strict=True):
                    found = self._on_path(path, kept, presented, facts)
                    if found.peer is not None:
                        return found
                    outcome = found if outcome is None else _better(outcome, found)
                if outcome is not None and entry.complete:
                    return outcome
            return self._cold(presented, snapshot.store, facts)
        except Exception as error:  # noqa: BLE001 - total: an error of ours is not an admission either
            return self._refuse(Refusal("path.error", text_of(error)), Verdict.INDETERMINATE)

    def _cold(self, presented: PresentedChain, store: TrustStore, facts: Facts) -> Outcome:
        refusals: list[Refusal] = []
        paths: list[CertificationPath] = []
        decisions: list[dict[int, Any]] = []
        outcome: Outcome | None = None
        certificates = self._cache.parsed(presented.ders)
        for found in validate_paths(certificates, store, self._settings.rules, self.at):
            if isinstance(found, Refusal):
                refusals.append(found)
                continue
            paths.append(found)
            decisions.append({})
            answer = self._on_path(found, decisions[-1], presented, facts)
            outcome = answer if outcome is None or answer.peer is not None else _better(outcome, answer)
            if outcome.peer is not None:
                break
        if outcome is None:
            return self._refuse_path(refusals, presented)
        self._cache.learn(certificates)
        # anew, since something may have been learned, and with the bytes of those that are held parsed anyway
        key = self._cache.key(store.digest, tuple([certificate.der for certificate in certificates]))
        codes = {refusal.code for refusal in refusals} if refusals else ()
        if "path.not-yet-valid" not in codes:  # of such a candidate nobody knows here when it becomes a path
            since = self.at if "path.expired" in codes else None
            complete = paths[0].alone or (outcome.peer is None and not refusals)
            self._cache.put(key, Entry(tuple(paths), complete, tuple(decisions), since))
        if TOO_MANY in refusals and outcome.peer is None and not outcome.needs:
            return self._refuse_path(refusals, presented)
        return outcome

    def _on_path(
        self, path: CertificationPath, kept: dict[int, Any], presented: PresentedChain, facts: Facts
    ) -> Outcome:
        """Return the outcome of the whole policy on *path*, which is valid; *kept* are decisions kept with it."""
        # Runs inside every handshake, where a call of a class costs a microsecond: objects are filled in by hand.
        evidence = _new(Evidence)
        evidence.path = path
        evidence.at = self.at
        evidence.facts = facts
        evidence.connection = self.connection
        evidence.possession = presented.possession
        evidence.dialed = self.dialed
        evidence.historical = self.historical
        evidence.kept = kept
        policy = self._snapshot.policy
        if kept.setdefault(_ASKED, policy) is not policy:  # a live policy has changed: nobody asks for the others again
            kept.clear()
            kept[_ASKED] = policy
        known = kept.get(id(policy)) if self._settings.identity is None else None
        decision = known[1] if known is not None and known[0] is policy else self._evaluate(evidence)
        decision = decision.relabelled(decision.clause, decision.label, self._context(path))
        if decision.verdict is _PERMIT:
            outcome = _new(Outcome)
            outcome.decision = decision
            outcome.peer = admit(presented, evidence, decision)
            outcome.needs = ()
            outcome.path_valid = True
            return outcome
        return Outcome(decision, None, decision.missing, path_valid=True)

    def _evaluate(self, evidence: Evidence) -> Decision:
        identity, policy = self._settings.identity, self._snapshot.policy
        if identity is None:
            if policy is None:
                return Decision(Verdict.INDETERMINATE, "policy.error", "no policy", clause="verifier")
            return decide_each((policy,), evidence)[0]
        first = decide(identity, evidence)
        if policy is None:
            return first
        second = decide(policy, evidence)
        decisive = first if first.verdict is not Verdict.PERMIT else second
        if first.verdict is Verdict.INDETERMINATE and second.verdict is Verdict.DENY:
            decisive = second
        return Decision(decisive.verdict, decisive.code, "", clause="identity and policy", children=(first, second))

    def _context(self, path: CertificationPath | None) -> Context:
        store, notes = self._snapshot.store, self._snapshot.notes
        context = _new(Context)  # by hand, as above
        context.at = self.at
        context._path = path
        context.profile = self._settings.rules.profile_name if path is None else path.profile
        context.path_engine = self._settings.path_engine
        context.trust = "" if store is None else store.digest
        context.generation = self._snapshot.generation
        context.notes = self._notes(store) if notes is None else notes
        return context

    def _notes(self, store: TrustStore | None) -> tuple[str, ...]:
        policy = self._snapshot.policy
        if store is None:
            return ()
        known = store.notes_memo.get(id(policy))
        if known is None or known[0] is not policy:
            if len(store.notes_memo) >= NOTES:
                store.notes_memo.clear()  # one operation, whatever other threads do
            known = store.notes_memo[id(policy)] = (policy, notes_on(policy, store))
        self._snapshot.notes = known[1]
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
        elsewhere = getattr(self._snapshot.store, "elsewhere", None)
        if elsewhere is not None:
            known = self._cache.parsed(presented.ders)
            first = elsewhere(first, known, rules=self._settings.rules, at=self.at) or first
        return self._refuse(first)


def _better(first: Outcome, second: Outcome) -> Outcome:
    """Return the outcome on two paths, neither of which permits: doubt rather than denial, and what both need."""
    doubt = second.decision.verdict is Verdict.INDETERMINATE and first.decision.verdict is Verdict.DENY
    better = second if doubt else first
    better.needs = tuple(dict.fromkeys((*first.needs, *second.needs)))
    return better
