"""Answers that a source brings of its own accord: they take the place of older ones, and never of newer ones."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from mtlspolicy import Need, Resolver, Verdict
from mtlspolicy._resolver import Answer, settle, settle_at_hand

NEED = Need("partner.enrolled", "frodo")


YES = Answer(value=True)
NO = Answer(value=False)


def ago(seconds: float) -> datetime:
    """Return a time in the past."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


def resolver_with(seconds: float, keep: float | None = None, *, value: bool) -> Resolver:
    """Return a resolver whose source read its answer so long ago."""
    return Resolver({"partner.enrolled": lambda _key: Answer(value=value, obtained_at=ago(seconds), keep=keep)})


def test_a_pushed_answer_counts_at_once(judge: Any, asks: Any) -> None:
    """What a source pushes is at hand for the next decision, without a question."""
    with resolver_with(5, value=True) as resolver:
        assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
        assert resolver.renew(NEED, NO)
        assert settle_at_hand(judge(asks()), resolver).decision.verdict is Verdict.DENY


def test_an_older_answer_is_not_taken(judge: Any, asks: Any) -> None:
    """What is older than the fact at hand changes nothing; where that one has ended it does."""
    with resolver_with(5, value=False) as resolver:
        assert settle(judge(asks()), resolver).decision.verdict is Verdict.DENY
        assert not resolver.renew(NEED, Answer(value=True, obtained_at=ago(10)))
        assert settle_at_hand(judge(asks()), resolver).decision.verdict is Verdict.DENY
    with resolver_with(5, keep=0.0, value=False) as resolver:
        assert settle(judge(asks()), resolver).decision.verdict is Verdict.DENY
        assert resolver.renew(NEED, Answer(value=True, obtained_at=ago(10)))
        assert settle_at_hand(judge(asks()), resolver).decision.verdict is Verdict.PERMIT


def test_only_what_was_asked_for_is_taken(judge: Any, asks: Any) -> None:
    """What nobody asked for takes no room, and after the end nothing does."""
    resolver = resolver_with(0, value=True)
    assert not resolver.renew(NEED, NO)
    assert resolver.last_asked(NEED) == -math.inf
    assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
    resolver.close()
    assert not resolver.renew(NEED, NO)


def test_when_it_was_last_asked_for(judge: Any, asks: Any) -> None:
    """A use counts as a question; a push does not."""
    with resolver_with(0, value=True) as resolver:
        before = time.monotonic()
        settle(judge(asks()), resolver)
        first = resolver.last_asked(NEED)
        assert first >= before
        assert resolver.renew(NEED, YES)
        assert resolver.last_asked(NEED) == first
        assert settle_at_hand(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
        assert resolver.last_asked(NEED) > first


def test_attack_a_first_answer_under_way_does_not_outlive_a_newer_one(judge: Any, asks: Any) -> None:
    """The same where nothing was at hand before: what is pushed while the first question is under way stands."""
    asked, going_on = threading.Event(), threading.Event()

    def fetch(_key: str) -> Answer:
        asked.set()
        going_on.wait(30)
        return Answer(value=True, obtained_at=ago(10))

    with Resolver({"partner.enrolled": fetch}, deadline=30) as resolver, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(settle, judge(asks()), resolver)
        assert asked.wait(20)
        assert not resolver.renew(Need("partner.enrolled", "sam"), NO)
        assert resolver.renew(NEED, NO)
        going_on.set()
        assert waiting.result(20).decision.verdict is Verdict.DENY
        assert settle_at_hand(judge(asks()), resolver).decision.verdict is Verdict.DENY


def test_attack_an_answer_under_way_does_not_outlive_a_newer_one(judge: Any, asks: Any) -> None:
    """Who waits for a question asked before a revocation was pushed is told of the revocation, and so is the next."""
    asked, going_on = threading.Event(), threading.Event()
    answers = [Answer(value=True, keep=0.0)]

    def fetch(_key: str) -> Answer:
        if answers:
            return answers.pop()
        asked.set()
        going_on.wait(30)
        return Answer(value=True, obtained_at=ago(10))

    with Resolver({"partner.enrolled": fetch}, deadline=30) as resolver, ThreadPoolExecutor(1) as pool:
        assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
        waiting = pool.submit(settle, judge(asks()), resolver)
        assert asked.wait(20)
        assert resolver.renew(NEED, NO)
        going_on.set()
        assert waiting.result(20).decision.verdict is Verdict.DENY
        assert settle_at_hand(judge(asks()), resolver).decision.verdict is Verdict.DENY
