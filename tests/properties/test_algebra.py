"""The laws of the algebra (RULES 30): Kleene's logic of verdicts, AtLeast by truth tables, decide total."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import policies
from mtlspolicy._combinators import bare
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence
from mtlspolicy._policy import Policy, decide
from mtlspolicy.testing import evidence

PRESENTED = evidence("a")
ORDER = (Verdict.DENY, Verdict.INDETERMINATE, Verdict.PERMIT)
"""Kleene's order of truth: conjunction is the least, disjunction the greatest."""


@dataclass(frozen=True)
class Says(Policy):
    """Gives a fixed answer; the number makes clauses of one answer differ."""

    verdict: Verdict
    number: int = 0

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return the answer."""
        del evidence
        return Decision(self.verdict, "acme.said", clause=self)


class Mute(Exception):
    """An error that cannot be printed."""

    def __str__(self) -> str:
        """Fail."""
        raise RecursionError

    def __repr__(self) -> str:
        """Succeed."""
        return "Mute()"


@dataclass(frozen=True)
class Misbehaves(Policy):
    """Raises or returns what no policy should."""

    what: Any

    def evaluate(self, evidence: Evidence) -> Decision:
        """Misbehave."""
        del evidence
        if isinstance(self.what, Exception):
            raise self.what
        answer: Decision = self.what
        return answer


LEAVES = st.builds(Says, st.sampled_from(Verdict), st.integers(0, 3))
FAULTS = st.sampled_from(
    [ValueError("x"), RecursionError(), Mute(), OSError(5, "\x1b"), None, True, "PERMIT", Verdict.PERMIT, 1, ()]
).map(Misbehaves)


def grown(leaves: st.SearchStrategy[Policy]) -> st.SearchStrategy[Policy]:
    """Return a strategy for trees of every combination over *leaves*."""
    return st.recursive(
        leaves,
        lambda below: st.one_of(
            st.builds(lambda a, b: a & b, below, below),
            st.builds(lambda a, b: a | b, below, below),
            st.builds(policies.Not, below),
            st.builds(lambda a: a.named("label"), below),
            st.lists(below, min_size=1, max_size=4, unique_by=bare).flatmap(
                lambda some: st.integers(1, len(some)).map(lambda count: policies.AtLeast(count, *some))
            ),
        ),
        max_leaves=12,
    )


POLICIES = grown(LEAVES)


def verdict(policy: Policy) -> Verdict:
    """Return the verdict on some evidence."""
    return decide(policy, PRESENTED).verdict


LAWS: dict[str, tuple[Callable[[Policy, Policy, Policy], Policy], Callable[[Policy, Policy, Policy], Policy]]] = {
    "and commutes": (lambda a, b, _: a & b, lambda a, b, _: b & a),
    "or commutes": (lambda a, b, _: a | b, lambda a, b, _: b | a),
    "and associates": (lambda a, b, c: (a & b) & c, lambda a, b, c: a & (b & c)),
    "or associates": (lambda a, b, c: (a | b) | c, lambda a, b, c: a | (b | c)),
    "and repeats": (lambda a, _, __: a & a, lambda a, _, __: a),
    "or repeats": (lambda a, _, __: a | a, lambda a, _, __: a),
    "and distributes": (lambda a, b, c: a & (b | c), lambda a, b, c: (a & b) | (a & c)),
    "or distributes": (lambda a, b, c: a | (b & c), lambda a, b, c: (a | b) & (a | c)),
    "and absorbs": (lambda a, b, _: a & (a | b), lambda a, _, __: a),
    "or absorbs": (lambda a, b, _: a | (a & b), lambda a, _, __: a),
    "de morgan of and": (lambda a, b, _: ~(a & b), lambda a, b, _: ~a | ~b),
    "de morgan of or": (lambda a, b, _: ~(a | b), lambda a, b, _: ~a & ~b),
    "not twice": (lambda a, _, __: ~~a, lambda a, _, __: a),
    "one of some": (policies.AnyOf, lambda a, b, c: a | (b | c)),
    "all of some": (policies.AllOf, lambda a, b, c: a & (b & c)),
    "a label changes nothing": (lambda a, _, __: a.named("x"), lambda a, _, __: a),
    "permit is the unit of and": (lambda a, _, __: a & Says(Verdict.PERMIT), lambda a, _, __: a),
    "deny is the unit of or": (lambda a, _, __: a | Says(Verdict.DENY), lambda a, _, __: a),
}


@pytest.mark.parametrize("law", LAWS)
def test_laws_hold_for_every_combination_of_verdicts(law: str) -> None:
    """Each law, exhaustively for three clauses of three verdicts."""
    left, right = LAWS[law]
    for verdicts in product(Verdict, repeat=3):
        clauses = [Says(one, number) for number, one in enumerate(verdicts)]
        assert verdict(left(*clauses)) is verdict(right(*clauses)), verdicts


@pytest.mark.parametrize("law", LAWS)
@given(a=POLICIES, b=POLICIES, c=POLICIES)
def test_laws_hold_for_trees(law: str, a: Policy, b: Policy, c: Policy) -> None:
    """Each law, for trees of every combination."""
    left, right = LAWS[law]
    assert verdict(left(a, b, c)) is verdict(right(a, b, c))


@given(st.lists(LEAVES, min_size=1, max_size=6))
def test_conjunction_is_the_least_and_disjunction_the_greatest(clauses: list[Says]) -> None:
    """Kleene's definition itself, and De Morgan's order of verdicts for the negation."""
    places = [ORDER.index(clause.verdict) for clause in clauses]
    assert verdict(policies.AllOf(*clauses)) is ORDER[min(places)]
    assert verdict(policies.AnyOf(*clauses)) is ORDER[max(places)]
    assert verdict(~clauses[0]) is ORDER[2 - places[0]]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_at_least_by_its_truth_table(size: int) -> None:
    """PERMIT with enough permits; DENY where permits and doubts are too few; else INDETERMINATE: all rows."""
    for verdicts in product(Verdict, repeat=size):
        clauses = [Says(one, number) for number, one in enumerate(verdicts)]
        permits, doubts = verdicts.count(Verdict.PERMIT), verdicts.count(Verdict.INDETERMINATE)
        for count in range(1, size + 1):
            wanted = (
                Verdict.PERMIT
                if permits >= count
                else Verdict.DENY
                if permits + doubts < count
                else Verdict.INDETERMINATE
            )
            assert verdict(policies.AtLeast(count, *clauses)) is wanted, (count, verdicts)


@given(st.lists(LEAVES, min_size=1, max_size=4, unique=True))
def test_at_least_one_and_at_least_all(clauses: list[Says]) -> None:
    """AtLeast of one is AnyOf, of all AllOf."""
    assert verdict(policies.AtLeast(1, *clauses)) is verdict(policies.AnyOf(*clauses))
    assert verdict(policies.AtLeast(len(clauses), *clauses)) is verdict(policies.AllOf(*clauses))


def replaced(policy: Policy, answers: dict[Says, Verdict]) -> Policy:
    """Return *policy* with other answers at the bottom."""
    if isinstance(policy, Says):
        return Says(answers.get(policy, policy.verdict), policy.number)
    below = [replaced(child, answers) for child in policy._children]
    if isinstance(policy, policies.AtLeast):
        return policies.AtLeast(policy.count, *below)
    if isinstance(policy, policies.Not):
        return policies.Not(below[0])
    if isinstance(policy, policies.AllOf | policies.AnyOf):
        return type(policy)(*below)
    return below[0].named("label")


DISTINCT = st.builds(Says, st.just(Verdict.INDETERMINATE), st.integers(0, 5))


@given(grown(DISTINCT), st.lists(st.sampled_from(Verdict), min_size=6, max_size=6), st.sets(st.integers(0, 5)))
def test_knowing_more_never_changes_what_was_decided(policy: Policy, told: list[Verdict], known: set[int]) -> None:
    """A verdict stays when a doubt below it is cleared, whichever way: so missing facts are safe under ``~``."""
    every = {Says(Verdict.INDETERMINATE, number): one for number, one in enumerate(told)}
    some = {clause: one for clause, one in every.items() if clause.number in known}
    before, after = verdict(replaced(policy, some)), verdict(replaced(policy, every))
    assert before in {after, Verdict.INDETERMINATE}


@given(grown(st.one_of(LEAVES, FAULTS)))
def test_decide_is_total(policy: Policy) -> None:
    """Whatever clauses raise or return, there is a decision, it can be printed, and no fault alone makes a PERMIT."""
    decision = decide(policy, PRESENTED)
    assert type(decision) is Decision
    assert decision.clause is policy
    assert all(line.isprintable() for line in decision.explain().split("\n"))
    assert decision.as_dict()["verdict"] == decision.verdict.name
    assert decision.summary.isprintable()


@given(grown(FAULTS))
def test_faults_alone_decide_nothing(policy: Policy) -> None:
    """A tree of nothing but faults is INDETERMINATE, however it is combined."""
    assert verdict(policy) is Verdict.INDETERMINATE


@given(grown(st.one_of(LEAVES, FAULTS)))
def test_a_verdict_has_its_reason(policy: Policy) -> None:
    """The decisive clause has the verdict and the code of the whole, and only a PERMIT names who admitted."""
    decision = decide(policy, PRESENTED)
    assert (decision.decisive.verdict, decision.decisive.code) == (decision.verdict, decision.code)
    assert bool(decision.admitted_by) is bool(decision)
