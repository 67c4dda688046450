"""The resolver for callers without an event loop: answers, failures, deadline, single flight."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mtlspolicy import Decision, Evidence, Fact, Need, Policy, Resolver, Verdict, policies
from mtlspolicy._resolver import settle, settle_at_hand

FAILURES = [ValueError("no"), OSError(), TimeoutError("slow"), LookupError("\x9b"), asyncio.CancelledError()]


class Unprintable(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


def test_a_true_fact_permits_and_a_missing_row_is_a_fact_too(judge: Any, asks: Any) -> None:
    """What the source returns is the fact's value, and None means looked up and not there."""
    with Resolver({"partner.enrolled": {"frodo": True}.get}) as resolver:
        assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
        outcome = settle(judge(asks(key="gollum")), resolver)
        assert (outcome.decision.verdict, outcome.decision.code) == (Verdict.DENY, "fact.refused")


@pytest.mark.parametrize("failure", [*FAILURES, Unprintable()], ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_source_that_fails_gives_no_fact(judge: Any, asks: Any, failure: BaseException, kind: str) -> None:
    """A resolver that is down leaves the decision INDETERMINATE, also under ~ and beside |: never admitted."""

    def fail(_key: str) -> bool:
        raise failure

    async def fail_async(_key: str) -> bool:
        raise failure

    with Resolver({"partner.enrolled": fail if kind == "def" else fail_async}, negative_max_age=0) as resolver:
        for policy in (asks(), ~asks() & asks(key="sam"), asks() | asks(key="sam")):
            outcome = settle(judge(policy), resolver)
            assert outcome.refused
            assert (outcome.decision.verdict, outcome.decision.code) == (Verdict.INDETERMINATE, "fact.missing")


def test_without_a_source_nothing_is_asked(judge: Any, asks: Any) -> None:
    """No resolver, or none for this kind: the decision is the one without facts."""
    assert settle(judge(asks()), None).decision.code == "fact.missing"
    assert settle_at_hand(judge(asks()), None).decision.code == "fact.missing"
    with Resolver({"other": lambda _key: True}) as resolver:
        assert settle(judge(asks()), resolver).decision.code == "fact.missing"


def test_only_needs_that_can_change_the_verdict_are_resolved(judge: Any, asks: Any) -> None:
    """Where a fact at hand denies, the source of another clause is not called; nor for a clause that denied before."""
    called: list[str] = []

    def fetch(key: str) -> bool:
        called.append(key)
        return False

    with Resolver({"partner.enrolled": fetch}) as resolver:
        assert settle(judge(asks(key="a")), resolver).decision.verdict is Verdict.DENY
        assert settle(judge(asks(key="a") & asks(key="b")), resolver).decision.verdict is Verdict.DENY
        assert settle(judge(policies.SPKIPin("sha256/" + "A" * 43 + "=") & asks(key="c")), resolver).refused
    assert called == ["a"]


def test_a_fact_that_lands_while_asking_is_taken(judge: Any, asks: Any) -> None:
    """A fact that comes between the look into the cache and the question is used as it is, and not asked for again."""
    called: list[str] = []

    def fetch(key: str) -> bool:
        called.append(key)
        return True

    class Late(Resolver):
        def at_hand(self, needs: Iterable[Need]) -> dict[Need, Fact]:
            wanted = list(needs)
            for flight in super().ask(wanted, None)[1].values():
                flight.landed.result(20)
            return {}

    with Late({"partner.enrolled": fetch}) as resolver:
        assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
    assert called == ["frodo"]


def test_all_open_needs_are_asked_at_once(judge: Any, asks: Any) -> None:
    """Two sources that each wait for the other's call both answer."""
    both = threading.Barrier(2)

    def fetch(_key: str) -> bool:
        both.wait(timeout=20)
        return True

    with Resolver({"a": fetch, "b": fetch}, deadline=30) as resolver:
        outcome = settle(judge(asks(kind="a") & asks(kind="b")), resolver)
    assert outcome.decision.verdict is Verdict.PERMIT


def test_nobody_waits_for_a_fact_that_no_longer_matters(judge: Any, asks: Any, opened: threading.Event) -> None:
    """Where one alternative permits, the answer does not wait for the other's source."""

    def hang(_key: str) -> bool:
        opened.wait()
        return True

    with Resolver({"fast": lambda _key: True, "slow": hang}, deadline=40) as resolver:
        assert settle(judge(asks(kind="fast") | asks(kind="slow")), resolver).decision.verdict is Verdict.PERMIT
        assert not opened.is_set()


def test_a_source_that_blocks_does_not_hold_the_caller(judge: Any, asks: Any, opened: threading.Event) -> None:
    """The caller goes on at the deadline, the resolver's or its own, while the source still blocks."""

    def hang(_key: str) -> bool:
        opened.wait()
        return True

    with Resolver({"partner.enrolled": hang}, deadline=0.05) as resolver:
        assert settle(judge(asks()), resolver).decision.code == "fact.missing"
    with Resolver({"partner.enrolled": hang}, deadline=40) as resolver:
        assert settle(judge(asks()), resolver, deadline=0.05).decision.code == "fact.missing"
        assert settle(judge(asks()), resolver, deadline=0).decision.code == "fact.missing"
    assert not opened.is_set()


def test_a_failure_beside_a_success_leaves_the_success(judge: Any, asks: Any) -> None:
    """One failed source does not keep another's fact from deciding."""

    def fail(_key: str) -> bool:
        raise OSError("down")

    with Resolver({"good": lambda _key: True, "bad": fail}) as resolver:
        assert settle(judge(asks(kind="bad") | asks(kind="good")), resolver).decision.verdict is Verdict.PERMIT
        assert settle(judge(asks(kind="bad") & asks(kind="good")), resolver).decision.code == "fact.missing"


def test_threads_share_one_question(judge: Any, asks: Any) -> None:
    """However many threads ask for a key at once, its source is called once."""
    called: list[str] = []
    together = threading.Barrier(20)

    def fetch(key: str) -> bool:
        called.append(key)
        return True

    def ask() -> Verdict:
        together.wait(timeout=20)
        verdict: Verdict = settle(judge(asks()), resolver, deadline=20).decision.verdict
        return verdict

    with Resolver({"partner.enrolled": fetch}) as resolver, ThreadPoolExecutor(20) as pool:
        verdicts = [future.result() for future in [pool.submit(ask) for _ in range(20)]]
    assert set(verdicts) == {Verdict.PERMIT}
    assert called == ["frodo"]


def test_new_facts_can_open_new_needs(judge: Any, asks: Any) -> None:
    """A policy that asks a second question about the first answer gets both, and one that asks for ever is stopped."""

    class Chain(asks):  # type: ignore[misc]  # the base comes from a fixture
        last = 3

        def evaluate(self, evidence: Evidence) -> Decision:
            for step in range(self.last):
                fact = evidence.fact(Need("step", step))
                if fact is None:
                    return Policy.indeterminate(self, "fact.missing", needs=(Need("step", step),))
            return Policy.permit(self, "fact.found")

    class Endless(Chain):
        last = 10**9

    asked: list[int] = []
    with Resolver({"step": asked.append}, deadline=30) as resolver:
        assert settle(judge(Chain()), resolver).decision.verdict is Verdict.PERMIT
        assert asked == [0, 1, 2]
        assert settle(judge(Endless()), resolver).decision.code == "fact.missing"
        assert asked == list(range(8))
        assert settle_at_hand(judge(Endless()), resolver).decision.code == "fact.missing"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_an_interrupt_reaches_the_caller(judge: Any, asks: Any, interrupt: type[BaseException], kind: str) -> None:
    """What ends a program is raised in those who wait, and the resolver goes on answering others."""

    def fetch(key: str) -> bool:
        if key == "frodo":
            raise interrupt
        return True

    async def fetch_async(key: str) -> bool:
        return fetch(key)

    with Resolver({"partner.enrolled": fetch if kind == "def" else fetch_async}) as resolver:
        with pytest.raises(interrupt):
            settle(judge(asks()), resolver)
        assert settle(judge(asks(key="sam")), resolver).decision.verdict is Verdict.PERMIT


def test_a_plain_function_that_returns_a_coroutine_gives_no_fact(
    judge: Any, asks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A coroutine is true by accident; it never becomes a fact, and the log says how to write the source."""

    async def fetch(_key: str) -> bool:
        raise AssertionError

    future: asyncio.Future[bool] = asyncio.Future(loop=asyncio.new_event_loop())
    for made in (fetch, lambda _key: future):
        caplog.clear()
        with Resolver({"partner.enrolled": lambda key, made=made: made(key)}) as resolver:  # type: ignore[misc]
            assert settle(judge(asks()), resolver).decision.code == "fact.missing"
        assert "write it as async def" in caplog.text
    future.get_loop().close()


def test_failures_are_logged_once_in_a_while(
    judge: Any, asks: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing source says so once a second for its kind, with hostile text escaped."""

    def fail(_key: str) -> Callable[[], bool]:
        raise ValueError("\x1b[31m")

    moment = [time.monotonic()]
    clock = __import__("mtlspolicy._resolver._board", fromlist=["clocks"])
    real = clock.clocks
    monkeypatch.setattr(clock, "clocks", lambda: (moment[0], real()[1]))
    with caplog.at_level(logging.WARNING, "mtlspolicy.resolver"), Resolver({"partner.enrolled": fail}) as resolver:
        for key in "abc":
            settle(judge(asks(key=key)), resolver, deadline=20)
        assert [record.getMessage() for record in caplog.records] == [
            "no fact from the source for 'partner.enrolled': ValueError: \\x1b[31m"
        ]
        moment[0] += 1.5
        settle(judge(asks(key="d")), resolver, deadline=20)
        assert len(caplog.records) == 2


def test_policies_are_real(asks: Any) -> None:
    """The policy of these tests is one like any user's."""
    assert issubclass(asks, Policy)
