"""Policy and decide (RULES 2, 7, 23): no truth value, total decisions, and what is kept with a path."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import pytest

from mtlspolicy import policies
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence, Need
from mtlspolicy._policy import Policy, decide, leaves, require_policy
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import evidence


@dataclass(frozen=True)
class Does(Policy):
    """Returns, or raises, what a test wants."""

    act: Callable[[Policy, Evidence], Any]

    def evaluate(self, evidence: Evidence) -> Decision:
        """Do it."""
        answer: Decision = self.act(self, evidence)
        return answer


def raising(error: BaseException) -> Does:
    """Return a policy that raises."""

    def act(_: Policy, __: Evidence) -> Any:
        raise error

    return Does(act)


class Silent(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError("no text")


def no_class(_: object) -> Any:
    """Fail."""
    raise RuntimeError("no class")


ELUSIVE: Any = type("Elusive", (), {"__class__": property(no_class)})()
"""A result that does not say what it is."""


TRUE: Any = True


def recursing(policy: Policy, evidence: Evidence) -> Any:
    """Call itself without end."""
    return recursing(policy, evidence)


def test_a_policy_has_no_truth_value() -> None:
    """``and``, ``or``, ``not`` and ``if`` would drop clauses, so they raise and name the operators."""
    policy: Any = policies.Anyone()
    uses: list[Callable[[], object]] = [
        lambda: bool(policy),
        lambda: policy and policies.CommonName("x"),
        lambda: policy or policies.CommonName("x"),
        lambda: not policy,
        lambda: bool(policy & policy),
    ]
    for use in uses:
        with pytest.raises(TypeError, match="& | ~"):
            use()


@pytest.mark.parametrize("other", [True, None, "x", lambda _: True, policies.Anyone])
def test_only_policies_combine(other: Any) -> None:
    """Anything else beside an operator is a TypeError, on either side."""
    for combine in (operator.and_, operator.or_):
        for pair in ((policies.Anyone(), other), (other, policies.Anyone())):
            with pytest.raises(TypeError):
                combine(*pair)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad\n\x1b[2J"),
        RecursionError(),
        Silent(),
        StopIteration(),
        MemoryError(),
        ExceptionGroup("g", [OSError()]),
    ],
)
def test_an_exception_is_a_doubt(error: Exception) -> None:
    """Whatever a policy raises, the answer is INDETERMINATE ``policy.error``, also under every combination."""
    policy = raising(error)
    presented = evidence("a")
    for asked in (
        policy,
        ~policy,
        policy.named("x"),
        policies.AllOf(policy, policies.Anyone()),
        policies.AtLeast(1, policy),
    ):
        decision = decide(asked, presented)
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "policy.error")
        assert decision.decisive.detail.isprintable()
        assert type(error).__name__ in decision.decisive.detail


def test_endless_recursion_is_a_doubt() -> None:
    """Running out of stack inside a policy is an exception like others."""
    decision = decide(Does(recursing) | policies.CommonName("b"), evidence("a"))
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "policy.error")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_is_no_exception_goes_through(error: type[BaseException]) -> None:
    """A `BaseException` is no answer: it reaches the edge, which refuses."""
    with pytest.raises(error):
        decide(policies.Anyone() & raising(error()), evidence("a"))


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (lambda _: True, "evaluate returned bool; return self.permit"),
        (lambda _: None, "evaluate returned NoneType"),
        (lambda _: Verdict.PERMIT, "evaluate returned Verdict"),
        (lambda _: policies.Anyone().evaluate(evidence("a")), "a decision of another policy"),
        (lambda _: Decision(Verdict.PERMIT, "acme.forged"), "a decision of another policy"),
        (lambda policy: Decision(TRUE, "acme.forged", clause=policy), "a decision of another policy"),
        (
            lambda policy: type("Sub", (Decision,), {"__slots__": ()})(Verdict.PERMIT, "acme.forged", clause=policy),
            "evaluate returned Sub",
        ),
        (lambda _: ELUSIVE, "evaluate returned Elusive"),
    ],
)
def test_only_a_policys_own_decision_counts(result: Any, said: str) -> None:
    """What `evaluate` returns otherwise is INDETERMINATE ``policy.bad-result``, also under ``~``."""
    policy = Does(lambda policy, _: result(policy))
    for asked in (policy, ~policy):
        decision = decide(asked, evidence("a"))
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "policy.bad-result")
    assert said in decide(policy, evidence("a")).detail


def test_an_own_code_that_is_none_is_a_doubt() -> None:
    """A misspelt reason code refuses instead of admitting."""
    assert decide(Does(lambda policy, _: policy.permit("Open")), evidence("a")).code == "policy.error"
    assert decide(Does(lambda policy, _: policy.permit("acme.open", None)), evidence("a")).code == "policy.error"  # type: ignore[arg-type]


def test_the_three_answers() -> None:
    """`permit`, `deny` and `indeterminate` make decisions of this policy, with code, detail and needs."""
    need = Need("acme.row", 1)
    for made, verdict in (
        (lambda policy, _: policy.permit("acme.x", "d"), Verdict.PERMIT),
        (lambda policy, _: policy.deny("acme.x", "d"), Verdict.DENY),
        (lambda policy, _: policy.indeterminate("acme.x", "d", needs=(need,)), Verdict.INDETERMINATE),
    ):
        policy = Does(made)
        decision = decide(policy, evidence("a"))
        assert (decision.verdict, decision.code, decision.detail, decision.clause) == (verdict, "acme.x", "d", policy)
        assert decision.missing == ((need,) if verdict is Verdict.INDETERMINATE else ())
        assert policy.requires(evidence("a").path) == ()


def test_built_in_decisions_are_kept_with_the_path() -> None:
    """A policy that reads the path alone is asked once; keeping ends at a limit, and the answer stays the same."""
    presented = evidence("frodo")
    presented.kept = {}
    policy = policies.CommonName("frodo") & policies.KeyStrength()
    first = decide(policy, presented)
    assert decide(policy, presented) is first
    assert {id(entry[0]) for entry in presented.kept.values()} == {id(policy)}, "nobody asks for its clauses again"
    presented.kept = {}
    mixed = policy & policies.predicate("acme.live")(lambda _: True)
    assert decide(mixed, presented) is not decide(mixed, presented)
    assert {id(entry[0]) for entry in presented.kept.values()} == set(map(id, policy.clauses)), "all but the live one"
    full = evidence("frodo")
    full.kept = dict.fromkeys(range(-256, 0), (None, None))
    assert decide(policy, full) is not decide(policy, full)
    assert decide(policy, full).verdict is first.verdict


def test_a_kept_decision_belongs_to_one_policy_object() -> None:
    """An entry of another object under the same number is not taken."""
    presented = evidence("frodo")
    policy = policies.CommonName("frodo")
    presented.kept = {id(policy): (policies.CommonName("sam"), Decision(Verdict.DENY, "acme.stale"))}
    assert decide(policy, presented)


def test_own_policies_are_never_kept() -> None:
    """A class outside the library cannot promise that it reads the path alone, not by inheritance either."""

    class Claiming(Does):
        _reads_path_only: ClassVar[bool] = True

    class Narrow(policies.CommonName):
        def evaluate(self, evidence: Evidence) -> Decision:
            return self.permit("acme.x") if evidence.at.hour < 12 else self.deny("acme.x")

    class Both(policies.AllOf):
        def evaluate(self, evidence: Evidence) -> Decision:
            return self.permit("acme.x") if evidence.at.hour < 12 else self.deny("acme.x")

    class Slotted(policies.AllOf):
        __slots__ = ()

    path_only = policies.CommonName("frodo")
    for policy in (Claiming(lambda p, _: p.permit("acme.x")), Narrow("frodo"), Both(path_only), Slotted(path_only)):
        assert not policy._reads_path_only
        assert not (policy & path_only)._reads_path_only
    noon = evidence("frodo", at=datetime.fromisoformat("2026-01-01T13:00:00+00:00"))
    morning = evidence("frodo", at=datetime.fromisoformat("2026-01-01T09:00:00+00:00"))
    noon.kept = morning.kept = {}
    both = Both(path_only)
    assert [bool(decide(both, one)) for one in (morning, noon)] == [True, False]


def test_the_clauses_at_the_bottom() -> None:
    """`leaves` gives the clauses without clauses, in order."""
    a, b, c = policies.CommonName("a"), policies.CommonName("b"), policies.CommonName("c")
    assert list(leaves((a | ~b).named("x") & policies.AtLeast(1, c))) == [a, b, c]
    assert list(leaves(a)) == [a]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (policies.CommonName, r"AllOf takes policies, not CommonName: write CommonName\(...\)"),
        (lambda _: True, r"not function: lift a function with @policies.predicate\('area.fact'\)"),
        (True, "not bool"),
        (None, "needs a policy that says which peers are meant"),
    ],
)
def test_what_is_no_policy_is_refused(value: Any, message: str) -> None:
    """A class, a function or a value in place of a policy is refused by name, with the remedy."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        require_policy(value, "AllOf")
    assert caught.value.code == "config.no-policy"
    assert require_policy(policies.Anyone(), "AllOf") == policies.Anyone()


def test_a_policy_without_an_answer_cannot_be_made() -> None:
    """`evaluate` has to be written."""
    with pytest.raises(TypeError, match="evaluate"):
        type("Empty", (Policy,), {})()
