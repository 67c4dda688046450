"""What the resolver remembers: ages, failures, bounds, answers that know their age; and what it refuses to be."""

from __future__ import annotations

import functools
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlspolicy import ConfigurationError, Fact, Need, Resolver, Verdict
from mtlspolicy._resolver import Answer, _board, settle, settle_at_hand
from mtlspolicy._resolver._flight import Flight


class Clock:
    """Both clocks of the resolver, to be moved by hand."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.wall = datetime.now(UTC)

    def __call__(self) -> tuple[float, datetime]:
        """Return this moment."""
        return self.monotonic, self.wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both."""
        self.monotonic += seconds
        self.wall += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put both clocks of the resolver into the test's hand."""
    made = Clock()
    monkeypatch.setattr(_board, "clocks", made)
    return made


class Counted:
    """A source that counts its calls and returns what it is told to."""

    def __init__(self, answer: Any = "row") -> None:
        self.answer = answer
        self.keys: list[Any] = []

    def __call__(self, key: Any) -> Any:
        """Return the answer, or raise it."""
        self.keys.append(key)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def lookup(resolver: Resolver, need: Need) -> Fact | None:
    """Return the fact for a need, asked for if it has to be."""
    found, flights = resolver.ask([need], None)
    if need in flights:
        flights[need].landed.result(20)
        return flights[need].fact
    return found.get(need)


@pytest.mark.parametrize("max_age", [timedelta(seconds=30), None])
def test_a_fact_is_used_until_it_is_too_old(judge: Any, asks: Any, clock: Clock, max_age: timedelta | None) -> None:
    """Within its need's max_age, or the resolver's default, a fact is not asked for again; after it, it is."""
    source = Counted(answer=True)
    policy = asks(max_age=max_age)
    with Resolver({"partner.enrolled": source}, deadline=40, default_max_age=30) as resolver:
        assert settle(judge(policy), resolver).decision.verdict is Verdict.PERMIT
        clock.advance(29)
        assert settle(judge(policy), resolver).decision.verdict is Verdict.PERMIT
        assert settle_at_hand(judge(policy), resolver).decision.verdict is Verdict.PERMIT
        assert len(source.keys) == 1
        clock.advance(2)
        assert settle_at_hand(judge(policy), resolver).decision.code == "fact.missing"
        assert settle(judge(policy), resolver).decision.verdict is Verdict.PERMIT
        assert len(source.keys) == 2


def test_needs_of_different_ages_share_an_answer(clock: Clock) -> None:
    """The cache holds one answer for a key, and each need judges its age."""
    source = Counted()
    with Resolver({"k": source}) as resolver:
        assert lookup(resolver, Need("k", 1, timedelta(seconds=5))) is not None
        clock.advance(6)
        assert lookup(resolver, Need("k", 1, timedelta(seconds=10))) is not None
        assert len(source.keys) == 1
        assert lookup(resolver, Need("k", 1, timedelta(seconds=5))) is not None
        assert len(source.keys) == 2


@pytest.mark.parametrize("clocks", [(31, -3600), (0, 31)], ids=["set back", "suspended"])
def test_neither_clock_alone_makes_a_fact_young(clock: Clock, clocks: tuple[int, int]) -> None:
    """A wall clock that was set back, or a monotonic one that stood still, does not keep an old fact in use."""
    source = Counted()
    need = Need("k", 1, timedelta(seconds=30))
    with Resolver({"k": source}) as resolver:
        lookup(resolver, need)
        clock.monotonic += clocks[0]
        clock.wall += timedelta(seconds=clocks[1])
        lookup(resolver, need)
    assert len(source.keys) == 2


def test_an_age_counts_from_the_question(clock: Clock, opened: threading.Event) -> None:
    """What a slow source brings is as old as the question, since it may have read it at once."""

    def slow(_key: int) -> str:
        opened.wait(20)
        return "row"

    need = Need("k", 1, timedelta(seconds=1))
    with Resolver({"k": slow}, deadline=30) as resolver:
        flight = resolver.ask([need], None)[1][need]
        asked_at = clock.wall
        clock.advance(2)
        opened.set()
        flight.landed.result(20)
        assert flight.fact == Fact("row", asked_at)
        assert resolver.at_hand([need]) == {}


def test_a_failure_is_remembered_for_a_moment(clock: Clock) -> None:
    """A source that is down is not asked again for the same key until negative_max_age is over."""
    source = Counted(OSError("down"))
    with Resolver({"k": source}, negative_max_age=1) as resolver:
        assert lookup(resolver, Need("k", 1)) is None
        assert lookup(resolver, Need("k", 1)) is None
        assert source.keys == [1]
        clock.advance(1.01)
        source.answer = "row"
        assert lookup(resolver, Need("k", 1)) is not None
        assert source.keys == [1, 1]
        clock.advance(100)
        source.answer = OSError("down again")
        assert lookup(resolver, Need("k", 1)) is None


def test_a_failure_is_never_remembered_longer_than_the_rule_allows(clock: Clock) -> None:
    """A need whose max_age is shorter than the memory of failures asks again after its max_age."""
    source = Counted(OSError("down"))
    with Resolver({"k": source}, negative_max_age=60) as resolver:
        assert lookup(resolver, Need("k", 1, timedelta(seconds=2))) is None
        assert lookup(resolver, Need("k", 1, timedelta(0))) is None
        assert len(source.keys) == 2
        clock.advance(3)
        assert lookup(resolver, Need("k", 1, timedelta(seconds=2))) is None
        assert len(source.keys) == 3


def test_what_is_remembered_is_bounded() -> None:
    """Facts and failures are kept up to max_entries; the fact unused for longest goes first."""
    source = Counted()
    with Resolver({"k": source, "bad": Counted(OSError())}, max_entries=2) as resolver:
        for key in (1, 2, 1, 3, 1, 2):
            assert lookup(resolver, Need("k", key)) is not None
        assert source.keys == [1, 2, 3, 2]
        for key in (1, 2, 3):
            assert lookup(resolver, Need("bad", key)) is None
        assert len(resolver._desk.board._failures) == 2
        assert len(resolver._desk.board._facts) == 2


def test_too_many_questions_get_no_fact(opened: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    """Over max_pending a question is not asked: no fact now, and none remembered as failed."""

    def hang(_key: int) -> bool:
        opened.wait(30)
        return True

    with Resolver({"k": hang}, max_pending=1, deadline=30) as resolver, caplog.at_level(logging.WARNING):
        flight = resolver.ask([Need("k", 1)], None)[1][Need("k", 1)]
        assert lookup(resolver, Need("k", 2)) is None
        assert "max_pending" in caplog.text
        opened.set()
        flight.landed.result(20)
        assert lookup(resolver, Need("k", 2)) is not None


def test_a_flight_is_joined_only_while_it_is_young_enough(clock: Clock) -> None:
    """A need that wants a fresh answer does not take one that was asked for before; each gets what it asked for."""
    release = {1: threading.Event(), 2: threading.Event()}
    calls: list[int] = []

    def fetch(_key: str) -> int:
        calls.append(len(calls) + 1)
        number = calls[-1]
        release[number].wait(20)
        return number

    old, new = Need("k", "x", timedelta(seconds=10)), Need("k", "x", timedelta(0))
    with Resolver({"k": fetch}, deadline=30) as resolver:
        first = resolver.ask([old], None)[1][old]
        assert resolver.ask([old], None)[1][old] is first
        clock.advance(1)
        second = resolver.ask([new], None)[1][new]
        assert second is not first
        release[2].set()
        second.landed.result(20)
        release[1].set()
        first.landed.result(20)
        assert first.fact is not None
        assert second.fact is not None
        assert {first.fact.value, second.fact.value} == {1, 2}
        kept = resolver.at_hand([old])[old]
        assert kept == second.fact  # the answer to the older question did not replace the newer


def test_what_comes_after_the_deadline_is_dropped(clock: Clock, opened: threading.Event) -> None:
    """A value that comes too late is no fact, whether somebody noticed the deadline before or not."""

    def late(_key: int) -> bool:
        opened.wait(20)
        return True

    with Resolver({"k": late}, deadline=2) as resolver:
        noticed = resolver.ask([Need("k", 1)], None)[1][Need("k", 1)]
        clock.advance(1)
        unnoticed = resolver.ask([Need("k", 2)], None)[1][Need("k", 2)]
        clock.advance(1)
        resolver.sweep()
        assert noticed.landed.done()
        assert not unnoticed.landed.done()
        clock.advance(2)
        opened.set()
        unnoticed.landed.result(20)
        resolver._desk.board.land(noticed, "row")
        assert (noticed.fact, unnoticed.fact) == (None, None)
        assert resolver.at_hand([Need("k", 1), Need("k", 2)]) == {}


def test_an_answer_can_say_its_age(clock: Clock) -> None:
    """A source with a store of its own says when it got its answer; too old for the need is as good as missing."""
    source = Counted(Answer("row", obtained_at=clock.wall - timedelta(hours=1)))
    young, old = Need("k", 1, timedelta(minutes=30)), Need("k", 1, timedelta(hours=2))
    with Resolver({"k": source}) as resolver:
        fact = lookup(resolver, old)
        assert fact == Fact("row", clock.wall - timedelta(hours=1))
        assert resolver.at_hand([young, old]) == {old: fact}
        clock.advance(3601)
        assert resolver.at_hand([old]) == {}


def test_an_answer_that_is_too_old_decides_nothing(judge: Any, asks: Any) -> None:
    """The decision stays INDETERMINATE where the source only has an answer older than the need allows."""
    yes: Any = True
    answer = Answer(yes, obtained_at=datetime.now(UTC) - timedelta(hours=1))
    with Resolver({"partner.enrolled": Counted(answer)}) as resolver:
        outcome = settle(judge(asks(max_age=timedelta(minutes=1))), resolver)
        assert outcome.decision.code == "fact.missing"
        assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT


def test_an_answer_from_the_future_is_from_now(clock: Clock) -> None:
    """A source whose clock is ahead does not make its answer young for longer."""
    source = Counted(Answer("row", obtained_at=clock.wall + timedelta(hours=1)))
    with Resolver({"k": source}) as resolver:
        assert lookup(resolver, Need("k", 1)) == Fact("row", clock.wall)


def test_an_answer_can_say_how_long_to_keep_it(clock: Clock) -> None:
    """An answer such as "the responder is down" is a fact for a moment only."""
    source = Counted(Answer("down", keep=5))
    with Resolver({"k": source}) as resolver:
        assert lookup(resolver, Need("k", 1)) == Fact("down", clock.wall)
        clock.advance(4)
        assert resolver.at_hand([Need("k", 1)]) != {}
        clock.advance(2)
        assert resolver.at_hand([Need("k", 1)]) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"obtained_at": datetime(2026, 1, 1)}, "naive"),  # noqa: DTZ001 - that is the mistake
        ({"keep": -1}, "keep=-1"),
        ({"keep": "5"}, "keep='5'"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(arguments: dict[str, Any], words: str) -> None:
    """A naive time or a bound that is no number is an error that names it."""
    with pytest.raises(ConfigurationError, match=words):
        Answer("row", **arguments)


def generator(key: str) -> Any:
    """Yield, which no source does."""
    yield key


async def async_generator(key: str) -> Any:
    """Yield, which no source does."""
    yield key


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({}, "at least one source"),
        (None, "at least one source"),
        ([len], "at least one source"),
        ({"": len}, "the kind ''"),
        ({3: len}, "the kind 3"),
        ({"k": None}, "'k' is not a function"),
        ({"k\x1b": 5}, r"k\\x1b' is not a function"),
        ({"k": dict}, "is not a function"),
        ({"k": generator}, "is a generator"),
        ({"k": async_generator}, "is a generator"),
        ({"k": functools.wraps(generator)(functools.partial(generator))}, "is a generator"),
    ],
)
def test_sources_that_can_never_answer_are_refused(sources: Any, words: str) -> None:
    """A mapping without sources, and what is no function of a key, is an error at construction that names it."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        Resolver(sources)
    assert caught.value.code == "resolver.sources"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("deadline", 0, "more than 0"),
        ("deadline", float("inf"), "finite"),
        ("deadline", float("nan"), "finite"),
        ("deadline", "2", "finite"),
        ("deadline", True, "finite"),
        ("max_entries", 0, "at least 1"),
        ("default_max_age", -1, "at least 0"),
        ("negative_max_age", -0.1, "at least 0"),
        ("max_pending", 0, "at least 1"),
    ],
)
def test_bounds_out_of_range_are_refused(name: str, value: Any, rule: str) -> None:
    """A bound that is no finite number in its range is an error that names it and the rule."""
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}: .*{rule}") as caught:
        Resolver({"k": len}, **{name: value})
    assert caught.value.code == "resolver.limits"


def test_the_sources_are_fixed_at_construction() -> None:
    """A mapping that changes afterwards changes nothing."""
    sources = {"k": Counted()}
    with Resolver(sources) as resolver:
        sources["other"] = Counted()
        assert resolver.kinds == {"k"}


def test_a_waiter_cannot_cancel_a_flight() -> None:
    """The future that waiters watch does not let itself be cancelled."""
    flight = Flight(("k", 1), None, (0.0, datetime.now(UTC)), 1.0)
    assert not flight.landed.cancel()
