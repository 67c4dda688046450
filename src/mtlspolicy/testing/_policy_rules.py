"""`check_policy`: whether a policy keeps the rules that every policy must keep, over a catalogue of evidence.

It finds what breaks on these pieces of evidence; it does not prove that a policy says what its author meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from mtlspolicy._chain import Possession
from mtlspolicy._combinators import Not
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import UNKNOWN_CONNECTION, Evidence, Facts, Need
from mtlspolicy._policy import Policy, decide, leaves, require_policy
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.testing._broken import BROKEN, broken
from mtlspolicy.testing._evidence import evidence, issuing_authority

CATALOGUE_TIME: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
_OWN_FAULT: Final = "policy.bad-result"
_OPPOSITE: Final = {
    Verdict.PERMIT: Verdict.DENY,
    Verdict.DENY: Verdict.PERMIT,
    Verdict.INDETERMINATE: Verdict.INDETERMINATE,
}


@dataclass(frozen=True, slots=True)
class _Case:
    """One piece of evidence, what it is called, and whether its certificates can be read in full."""

    name: str
    evidence: Evidence
    sound: bool


def check_policy(policy: Policy, *, evidences: Iterable[Evidence] = ()) -> None:
    """Raise `AssertionError`, with a sentence that says what is wrong, unless *policy* keeps the rules of policies.

    Over a catalogue of evidence, broken certificates among it, and over *evidences*: it is hashable and equal to
    itself; it always gives a decision of its own, the same one for the same evidence, without an exception where all
    can be read; it is INDETERMINATE while a fact that it needs is missing, and names that need; and taking the facts or
    the connection away turns neither it nor its negation, where that may be built, into a PERMIT.

    Args:
        policy: The policy to hold against the rules.
        evidences: Further evidence, best one for each answer that is meant; made by `evidence`, also with facts.
    """
    try:
        require_policy(policy, "check_policy")
    except ConfigurationError as error:
        raise AssertionError(str(error)) from None
    _hold_value(policy)
    given = [_Case(f"evidence number {place}", one, sound=True) for place, one in enumerate(evidences)]
    negation = _negation(policy)
    for case in [*given, *_catalogue()]:
        _hold_decision(policy, case)
        for leaf in leaves(policy):
            _hold_needs(leaf, case)
        for asked in (policy, negation):
            if asked is not None:
                _hold_removal(asked, case)


def _say(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise AssertionError(escape(otherwise, 1024))


def _hold_value(policy: Policy) -> None:
    try:
        same_hash = hash(policy) == hash(policy)
    except TypeError as error:
        raise AssertionError(
            f"{policy!r} cannot be hashed ({error}): make it a frozen dataclass with hashable fields"
        ) from None
    _say(same_hash, f"{policy!r} has another hash each time: a policy is a value that does not change")
    _say(
        policy.__eq__(policy) is True,
        f"{policy!r} is not equal to itself: compare by fields, as a frozen dataclass does",
    )
    _say(policy != object(), f"{policy!r} is equal to things that are no policy: compare by type and fields")


def _negation(policy: Policy) -> Policy | None:
    try:
        return Not(policy)
    except ConfigurationError:
        return None


def _hold_decision(policy: Policy, case: _Case) -> None:
    decision = decide(policy, case.evidence)
    where = f"{policy!r} on {case.name}"
    for part in _parts(decision):
        _say(part.code != _OWN_FAULT, f"{where}: {part.detail}")
        _say(
            part.code != "policy.error" or not case.sound,
            f"{where}: {part.detail}; say indeterminate(...) instead of raising",
        )
    _say(
        _same(decision, decide(policy, case.evidence)),
        f"{where}: two answers for the same evidence; it depends on something else",
    )
    negation = _negation(policy)
    if negation is not None:
        opposite = decide(negation, case.evidence).verdict
        _say(opposite is _OPPOSITE[decision.verdict], f"{where} and its negation do not disagree: {opposite.name}")
    decision.explain()
    decision.as_dict()


def _parts(decision: Decision) -> Iterator[Decision]:
    yield decision
    for child in decision.children:
        yield from _parts(child)


def _same(one: Decision, other: Decision) -> bool:
    if (one.verdict, one.code, one.detail, one.needs) != (other.verdict, other.code, other.detail, other.needs):
        return False
    return len(one.children) == len(other.children) and all(map(_same, one.children, other.children))


def _hold_needs(leaf: Policy, case: _Case) -> None:
    """Hold that a clause without the facts it needs is INDETERMINATE and says what it misses."""
    where = f"{leaf!r} on {case.name}"
    try:
        needs = leaf.requires(case.evidence.path)
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is reported
        if case.sound:
            raise AssertionError(
                escape(f"{where}: requires(path) raised {type(error).__name__}: {error}", 1024)
            ) from None
        return
    _say(
        type(needs) is tuple and all(type(need) is Need for need in needs),
        f"{where}: requires(path) returns a tuple of Need, not {needs!r}",
    )
    if not needs or getattr(leaf, "_soft", False):
        return
    decision = decide(leaf, _without(case.evidence, facts=True))
    _say(
        decision.verdict is Verdict.INDETERMINATE,
        f"{where}: {decision.verdict.name} although a fact that it requires is missing: answer indeterminate(...)",
    )
    _say(
        bool(set(decision.needs) & set(needs)) or decision.code == "policy.error",
        f"{where}: INDETERMINATE without saying which fact is missing, so that nobody fetches it: pass needs=(need,)",
    )


def _hold_removal(policy: Policy, case: _Case) -> None:
    """Hold that taking evidence away gives no PERMIT (the rule that makes ``~`` safe)."""
    if decide(policy, case.evidence):
        return
    for what in ("facts", "connection"):
        reduced = decide(policy, _without(case.evidence, **{what: True}))
        _say(
            not reduced,
            f"{policy!r} on {case.name}: does not permit, but permits when {what} cannot be seen; what is absent is "
            "indeterminate(...), never deny(...) or permit(...)",
        )


def _without(known: Evidence, *, facts: bool = False, connection: bool = False) -> Evidence:
    return Evidence(
        known.path,
        at=known.at,
        facts=Facts.NONE if facts else known.facts,
        connection=UNKNOWN_CONNECTION if connection else known.connection,
        possession=known.possession,
        dialed=known.dialed,
    )


@cache
def _catalogue() -> tuple[_Case, ...]:
    """Return usual and broken evidence, made once a process."""
    authority = issuing_authority()
    cases = [_Case(name, one, sound=True) for name, one in _usual().items()]
    for name in BROKEN:
        one = evidence(certificate=broken(name, authority), at=CATALOGUE_TIME, transport_address="192.0.2.7")
        if _parses(one):
            cases.append(_Case(f"the broken certificate {name!r}", one, sound=False))
    return tuple(cases)


def _usual() -> dict[str, Evidence]:
    client = evidence("client", at=CATALOGUE_TIME, transport_address="192.0.2.7", resumed=False)
    return {
        "a client with a common name": client,
        "a client with every kind of name": evidence(
            "frodo",
            at=CATALOGUE_TIME,
            dns=["client.test"],
            uris=["spiffe://example.test/client"],
            emails=["client@example.test"],
            ips=["192.0.2.7", "2001:db8::7"],
            organization="Example",
            transport_address="::ffff:192.0.2.7",
            server_name="server.test",
            tls_version="TLSv1.3",
        ),
        "a client behind a proxy": evidence(
            "client",
            at=CATALOGUE_TIME,
            possession=Possession.PROXY,
            transport_address="10.0.0.1",
            client_address="198.51.100.9",
        ),
        "a certificate from a file": evidence("client", at=CATALOGUE_TIME, possession=Possession.NONE),
        "a registered peer without an issuer": evidence(certificate=client.path.end_entity.der, at=CATALOGUE_TIME),
        "an address that is none": evidence("client", at=CATALOGUE_TIME, transport_address="not an address"),
    }


def _parses(one: Evidence) -> bool:
    """Return whether the end entity is a certificate at all: what is none never reaches a policy."""
    try:
        return bool(one.path.end_entity.certificate)
    except MalformedEvidence:
        return False
