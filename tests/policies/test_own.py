"""predicate and lookup (RULES 23): exactly True permits, exactly False denies, and all else is INDETERMINATE."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlspolicy import policies
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence, Fact, Facts, Need
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import evidence

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@policies.predicate("acme.hours")
def office_hours(evidence: Evidence) -> bool:
    """Open from 8 to 18 UTC.

    Not part of an explanation.
    """
    return 8 <= evidence.at.hour < 18


@policies.lookup("partner.enrolled", key=lambda path: path.end_entity.spki_sha256, identifies=True)
def enrolled(row: Any, _: Evidence) -> Any:  # noqa: D103 - the name explains it then
    return row is not None and row["active"] == 1


def lift(result: Any, *, raises: bool = False) -> tuple[Policy, Policy]:
    """Return a predicate and a look-up whose function returns, or raises, *result*."""

    def answer(*_: object) -> Any:
        if raises:
            raise result
        return result

    return policies.predicate("acme.answer")(answer), policies.lookup("acme.answer", key=lambda _: 1)(answer)


def test_a_predicate_permits_on_true_and_denies_on_false() -> None:
    """The name is the code, and the first line of the docstring explains it."""
    for hour, verdict in ((12, Verdict.PERMIT), (20, Verdict.DENY)):
        decision = office_hours.evaluate(evidence("a", at=NOON.replace(hour=hour)))
        assert (decision.verdict, decision.code, decision.clause) == (verdict, "acme.hours", office_hours)
        assert decision.detail == "Open from 8 to 18 UTC."
    assert repr(office_hours) == "office_hours"
    assert not office_hours.identifies
    assert office_hours.requires(evidence("a").path) == ()


@pytest.mark.parametrize("row", [{"active": 1}, {"active": True}])
def test_a_lookup_permits_on_true(row: dict[str, Any]) -> None:
    """The function sees the fact's value."""
    decision = enrolled.evaluate(evidence("a", facts={"partner.enrolled": row}))
    assert (decision.verdict, decision.code) == (Verdict.PERMIT, "fact.found")
    assert decision.detail == "partner.enrolled: enrolled"
    assert enrolled.identifies


@pytest.mark.parametrize("row", [{"active": 0}, None])
def test_a_lookup_denies_on_false(row: dict[str, Any] | None) -> None:
    """``None`` is a fact too: looked up, and not there."""
    decision = enrolled.evaluate(evidence("a", facts={"partner.enrolled": row}))
    assert (decision.verdict, decision.code) == (Verdict.DENY, "fact.refused")
    assert ("not there" in decision.detail) is (row is None)


def test_an_absent_fact_is_a_doubt_that_says_what_is_missing() -> None:
    """Without a fact the function is not called, also under ``~``; the need is what a resolver is asked for."""
    presented = evidence("a")
    need = Need("partner.enrolled", presented.path.end_entity.spki_sha256)
    for policy in (enrolled, ~enrolled):
        decision = decide(policy, presented)
        assert (decision.verdict, decision.code, decision.missing) == (Verdict.INDETERMINATE, "fact.missing", (need,))
        assert policy.requires(presented.path) == (need,)


def test_a_fact_that_is_too_old_is_absent() -> None:
    """``max_age`` bounds the age of an answer at the time of the decision."""
    recent = policies.lookup("acme.row", key=lambda _: "k", max_age=timedelta(seconds=30))(lambda row, _: row)
    for age, verdict in ((30, Verdict.PERMIT), (31, Verdict.INDETERMINATE)):
        facts = Facts({Need("acme.row", "k", timedelta(seconds=30)): Fact(True, NOON - timedelta(seconds=age))})  # noqa: FBT003
        assert decide(recent, evidence("a", at=NOON, facts=facts)).verdict is verdict


@pytest.mark.parametrize("result", [None, 1, 0, "yes", [], {}, (True,), Verdict.PERMIT, NotImplemented, object()])
def test_what_is_neither_true_nor_false_is_a_doubt(result: Any) -> None:
    """A forgotten return and truthy or falsy values admit nobody, also under ``~`` and ``AtLeast``."""
    presented = evidence("a", facts={"acme.answer": 1})
    for policy in lift(result):
        for asked in (policy, ~policy, policies.AtLeast(1, policy), ~policies.AtLeast(1, policy)):
            decision = decide(asked, presented)
            assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "policy.bad-result")


def test_a_decision_is_no_answer_of_a_function() -> None:
    """A function that returns a decision, its own policy's or another's, is not believed."""
    presented = evidence("a", facts={"acme.answer": 1})
    for policy in lift(Decision(Verdict.PERMIT, "acme.forged")):
        assert decide(policy, presented).code == "policy.bad-result"


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("active"), RecursionError(), AssertionError(), StopIteration()]
)
def test_what_a_function_raises_is_a_doubt(error: Exception) -> None:
    """An exception is INDETERMINATE without `decide` as well, and its text is escaped."""
    presented = evidence("a", facts={"acme.answer": 1})
    for policy in lift(error, raises=True):
        decision = policy.evaluate(presented)
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "policy.error")
        assert type(error).__name__ in decision.detail
        assert decide(~policy, presented).verdict is Verdict.INDETERMINATE


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_no_exception_goes_through(error: type[BaseException]) -> None:
    """A `BaseException` is not an answer; whoever asked refuses."""
    for policy in lift(error, raises=True):
        with pytest.raises(error):
            decide(policy, evidence("a", facts={"acme.answer": 1}))


def test_a_key_that_fails_is_a_doubt() -> None:
    """A key function that raises or returns what cannot be hashed leaves no need and an INDETERMINATE answer."""

    def failing(_: Any) -> Any:
        raise LookupError("no key")

    keys: list[Any] = [failing, lambda _: []]
    for key in keys:
        policy = policies.lookup("acme.answer", key=key)(lambda _, __: True)
        presented = evidence("a", facts={"acme.answer": 1})
        assert policy.requires(presented.path) == ()
        decision = policy.evaluate(presented)
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "policy.error")


async def late(_: Any, __: Any = None) -> bool:
    """Answer too late."""
    return True


def generating(_: Any, __: Any = None) -> Iterator[bool]:
    """Yield instead of answering."""
    yield True


async def generating_late(_: Any, __: Any = None) -> AsyncIterator[bool]:
    """Yield too late."""
    yield True


class Callable:
    """An object that is called, at once or later."""

    def now(self, _: Any, __: Any = None) -> bool:
        """Answer."""
        return True

    async def late(self, _: Any, __: Any = None) -> bool:
        """Answer too late."""
        return True


class LateObject(Callable):
    """An object that answers too late."""

    async def __call__(self, _: Any, __: Any = None) -> bool:
        """Answer too late."""
        return True


class PromptObject(Callable):
    """An object that answers at once."""

    def __call__(self, _: Any, __: Any = None) -> bool:
        """Answer."""
        return True


LATE = [
    late,
    generating,
    generating_late,
    functools.partial(late),
    functools.partial(functools.partial(generating), 1),
    LateObject(),
    functools.partial(LateObject()),
    LateObject().late,
    LateObject().__call__,
]


@pytest.mark.parametrize("function", LATE)
def test_what_answers_later_is_refused_when_decorated(function: Any) -> None:
    """Coroutine and generator functions, also as methods, partials and callable objects; also as the key."""
    for decorate in (
        policies.predicate("acme.late"),
        policies.lookup("acme.late", key=lambda _: 1),
        lambda key: policies.lookup("acme.late", key=key),
    ):
        with pytest.raises(ConfigurationError, match="acme.late.* is a coroutine or generator function"):
            decorate(function)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (PromptObject(), "PromptObject"),
        (PromptObject().now, "now"),
        (functools.partial(PromptObject().now), "now"),
        (lambda *_: True, "<lambda>"),
    ],
)
def test_every_plain_callable_is_taken(function: Any, name: str) -> None:
    """Methods, partials and callable objects work and are shown by their names."""
    policy = policies.predicate("acme.plain")(function)
    assert decide(policy, evidence("a"))
    assert repr(policy) == name


@pytest.mark.filterwarnings("error")
def test_a_coroutine_that_is_returned_after_all_is_a_doubt() -> None:
    """A plain function that returns a coroutine is found out when it answers, and leaves no warning behind."""
    policy = policies.predicate("acme.hidden")(lambda evidence: late(evidence, 1))
    assert decide(policy, evidence("a")).code == "policy.bad-result"
    assert decide(~policy, evidence("a")).verdict is Verdict.INDETERMINATE


def test_a_builtin_without_a_signature_is_taken() -> None:
    """Where Python knows no signature the call itself shows what comes of it."""
    builtins: dict[Any, str] = {dict.fromkeys(["x"]).get: "policy.bad-result", iter: "policy.error"}
    for function, code in builtins.items():
        assert decide(policies.predicate("acme.builtin")(function), evidence("a")).code == code


NONE: Any = lambda: True  # noqa: E731 - a function without a name
ONE: Any = lambda _: True  # noqa: E731
TWO: Any = lambda _, __: True  # noqa: E731


class Unhashable(PromptObject):
    """An object that cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Compare."""
        return True


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: policies.predicate(late), r"write @policies.predicate\('area.fact', ...\)"),  # type: ignore[arg-type]
        (lambda: policies.predicate("hours"), "write area.fact in lower case"),
        (lambda: policies.predicate("Acme.Hours"), "write area.fact in lower case"),
        (lambda: policies.predicate(7), "write area.fact"),  # type: ignore[arg-type]
        (lambda: policies.predicate("fact.missing"), "the library's own"),
        (lambda: policies.lookup("policy.all", key=lambda _: 1), "the library's own"),
        (lambda: policies.predicate("acme.x")(7), "takes a function, not '7'"),  # type: ignore[arg-type]
        (lambda: policies.predicate("acme.x")(PromptObject), "takes a function, not"),  # type: ignore[arg-type]
        (lambda: policies.predicate("acme.x")(NONE), r"<lambda> must be hashable and take one argument: too many"),
        (lambda: policies.predicate("acme.x")(TWO), "one argument: missing"),
        (lambda: policies.predicate("acme.x")(Unhashable()), "must be hashable"),
        (lambda: policies.lookup("acme.x", key=lambda _: 1)(ONE), "2 arguments"),
        (lambda: policies.lookup("acme.x", key=NONE), "the key of policies.lookup.* one argument"),
        (lambda: policies.lookup("acme.x", key="spki"), "the key of .* takes a function"),  # type: ignore[arg-type]
        (lambda: policies.lookup("acme.x", key=lambda _: 1, max_age=timedelta(0)), "max_age: .* no timedelta of more"),
        (lambda: policies.lookup("acme.x", key=lambda _: 1, max_age=30), "max_age: 30 is no timedelta"),  # type: ignore[arg-type]
    ],
)
def test_what_can_never_be_right_is_refused(build: Any, message: str) -> None:
    """Names, functions, keys and ages that can never work are refused at decoration."""
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_policies_of_functions_are_values() -> None:
    """The same function under the same name is the same policy; another name, function or flag is another."""

    def question(_: Evidence) -> bool:
        return True

    def reading(_: Any, __: Evidence) -> bool:
        return True

    def key(_: Any) -> int:
        return 1

    made = policies.predicate("acme.x")(question)
    assert made == policies.predicate("acme.x")(question)
    assert (
        len({made, policies.predicate("acme.y")(question), policies.predicate("acme.x", identifies=True)(question)})
        == 3
    )
    looked = policies.lookup("acme.x", key=key)(reading)
    assert {looked, policies.lookup("acme.x", key=key)(reading)} == {looked}
    assert looked != policies.lookup("acme.x", key=key, max_age=timedelta(1))(reading)
    assert not made._reads_path_only
    assert not looked._reads_path_only
    assert made.__class__.__doc__ is not None
