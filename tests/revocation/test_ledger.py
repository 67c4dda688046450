"""The ledger of answers: how long each holds, when it is due again, and what is forgotten."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mtlspolicy import RevocationStatus
from mtlspolicy._revocation import OCSPQuestion, RevocationAnswer
from mtlspolicy.revocation._ledger import RETRY, UNUSED, Ledger, Moment, terms_of
from tests.revocation.made import AT, FRODO, HOUR, SAM, question

GOOD = RevocationAnswer(
    RevocationStatus.GOOD, this_update=AT - HOUR, next_update=AT + HOUR, source="http://ocsp.example.com"
)
REVOKED = RevocationAnswer(RevocationStatus.REVOKED, this_update=AT - HOUR, next_update=AT + HOUR)
HOLD = replace(REVOKED, reason="certificateHold")
UNKNOWN = replace(GOOD, status=RevocationStatus.UNKNOWN)
CONTRADICTORY = RevocationAnswer(RevocationStatus.UNKNOWN, "ocsp.contradictory")
ABOUT = question()
OTHER = question(SAM)


def ledger(chance: float = 0.5, **bounds: int) -> Ledger:
    """Return an empty ledger whose chances are all the same."""
    return Ledger(lambda: chance, **bounds)


def later(seconds: float) -> Moment:
    """Return the moment so many seconds after the time of all questions."""
    return Moment(1000.0 + seconds, AT + timedelta(seconds=seconds))


NOW = later(0)


def never(_question: object) -> float:
    """Say that nobody asks elsewhere."""
    return -math.inf


@pytest.mark.parametrize(
    ("answer", "rule", "seconds", "holds"),
    [
        (GOOD, {}, 3600 + 299, True),
        (GOOD, {}, 3600 + 301, False),
        (GOOD, {"max_age": 2 * HOUR}, 3599, True),
        (GOOD, {"max_age": 1.5 * HOUR}, 3599, False),
        (HOLD, {}, 3600 + 301, False),
        (REVOKED, {}, 10**9, True),
        (UNKNOWN, {}, 3599, True),
        (CONTRADICTORY, {}, 86399, True),
        (CONTRADICTORY, {}, 86401, False),
    ],
)
def test_how_long_an_answer_holds(answer: RevocationAnswer, rule: Any, seconds: float, *, holds: bool) -> None:
    """As long as the rule lets it; a revocation for ever; a contradiction, which has no date, for the greatest age."""
    one, about = ledger(), question(**rule)
    one.learn(about, answer, NOW)
    assert (one.recall(about, later(seconds)) == answer) is holds
    assert one.recall(OTHER, NOW) is None


@pytest.mark.parametrize(("chance", "part"), [(0.0, 0.6), (1.0, 0.9)])
def test_an_answer_is_due_before_it_lapses(chance: float, part: float) -> None:
    """At a random moment between 60 % and 90 % of what is left until nextUpdate."""
    one = ledger(chance)
    one.learn(ABOUT, GOOD, NOW)
    assert one.next_due() == NOW.seconds + part * 3600
    assert one.take(NOW.seconds + part * 3600 - 1, never) is None
    assert one.take(NOW.seconds + part * 3600, never) == ABOUT
    assert one.due_in(ABOUT, NOW.seconds + part * 3600) == RETRY
    assert one.next_due() is None


def test_the_greatest_age_makes_it_due_too() -> None:
    """Without nextUpdate, or with one far away, the rule's max_age is what is left."""
    one, about = ledger(0.0), question(max_age=2 * HOUR)
    one.learn(about, replace(GOOD, next_update=None), NOW)
    assert one.next_due() == NOW.seconds + 0.6 * 3600
    one.learn(about, replace(GOOD, next_update=AT + 1000 * HOUR), NOW)
    assert one.next_due() == NOW.seconds + 0.6 * 3600


@pytest.mark.parametrize("answer", [REVOKED, UNKNOWN, CONTRADICTORY])
def test_some_answers_are_never_due(answer: RevocationAnswer) -> None:
    """There is no way back from a revocation; what was not known is asked for by whoever wants to know."""
    one = ledger()
    one.learn(ABOUT, answer, NOW)
    assert one.next_due() is None
    assert one.due_in(ABOUT, NOW.seconds) is None
    one.postpone(ABOUT, NOW)
    assert one.next_due() is None
    assert one.recall(ABOUT, NOW) == answer


def test_a_renewal_that_brought_nothing_is_tried_again() -> None:
    """After a part of what is left, not too soon, and no more once the answer has lapsed."""
    one = ledger(0.0)
    one.learn(ABOUT, GOOD, NOW)
    one.postpone(ABOUT, NOW)
    assert one.take(NOW.seconds + 0.6 * 3600, never) == ABOUT
    assert one.learnt(ABOUT) == NOW.seconds
    one.postpone(ABOUT, later(2160))
    assert one.learnt(ABOUT) == later(2160).seconds
    assert one.next_due() == later(2160).seconds + 0.2 * 1440
    assert one.take(later(3500).seconds, never) == ABOUT
    one.postpone(ABOUT, later(3500))
    assert one.next_due() == later(3500).seconds + 3600 / 50
    assert one.take(later(3571).seconds, never) is None
    assert one.take(later(3573).seconds, never) == ABOUT
    one.postpone(ABOUT, later(3601))
    assert one.recall(ABOUT, later(3601)) is None
    one.postpone(ABOUT, later(3601))
    assert one.learnt(ABOUT) == -math.inf


def test_what_nobody_asks_for_is_dropped() -> None:
    """An answer unused for an hour is not renewed; one asked for here or elsewhere is, and so is a long one."""
    week = replace(GOOD, next_update=AT + 168 * HOUR)
    for used, kept in ((never, False), (lambda _question: later(UNUSED).seconds, True)):
        one = ledger()
        one.learn(ABOUT, GOOD, NOW)
        assert (one.take(later(UNUSED + 1).seconds, used) == ABOUT) is kept
        assert (one.recall(ABOUT, later(0)) == GOOD) is kept
    one = ledger()
    one.learn(ABOUT, GOOD, NOW)
    assert one.recall(ABOUT, later(1000)) == GOOD
    one.learn(ABOUT, GOOD, later(900))
    assert one.take(later(UNUSED + 900).seconds, never) == ABOUT
    one = ledger()
    about = question(max_age=1000 * HOUR)
    one.learn(about, week, NOW)
    assert one.recall(about, NOW, asked=False) == week
    assert one.take(later(150 * 3600).seconds, never) == about


def test_a_new_list_makes_its_answers_due() -> None:
    """What was read from the CRL that changed is due now; what came from elsewhere is not."""
    one = ledger()
    one.learn(ABOUT, GOOD, NOW, "crl:1")
    one.learn(OTHER, GOOD, NOW, "crl:2")
    one.expedite("crl:1", later(10))
    assert one.next_due() == later(10).seconds
    assert one.take(later(10).seconds, never) == ABOUT
    assert one.take(later(10).seconds, never) is None
    one.expedite("crl:1", later(11))
    assert one.take(later(11).seconds, never) is None


def test_the_ledger_is_bounded() -> None:
    """The answer unused for longest goes first, and plans that no longer count take no room."""
    one = ledger(most=2)
    abouts = [OCSPQuestion(ABOUT.certificate, ABOUT.issuer, replace(ABOUT.rule, max_age=n * HOUR)) for n in (2, 3, 4)]
    for about in abouts[:2]:
        one.learn(about, GOOD, NOW)
    assert one.recall(abouts[0], NOW) == GOOD
    one.learn(abouts[2], GOOD, NOW)
    assert [one.recall(about, NOW) is not None for about in abouts] == [True, False, True]
    for second in range(100):
        one.learn(ABOUT, GOOD, later(second))
    assert len(one._order) <= 8
    assert one.recall(ABOUT, later(100)) == GOOD
    assert one.next_due() is not None


@pytest.mark.parametrize(
    ("answer", "due_in", "age", "keep"),
    [
        (GOOD, None, HOUR, 3900.0),
        (GOOD, 100.0, HOUR, 100.0),
        (GOOD, 9000.0, HOUR, 3900.0),
        (HOLD, None, HOUR, 3900.0),
        (REVOKED, 100.0, timedelta(0), None),
        (UNKNOWN, None, timedelta(0), 1.0),
        (CONTRADICTORY, None, timedelta(0), 1.0),
        (RevocationAnswer(RevocationStatus.UNAVAILABLE), 50.0, timedelta(0), 1.0),
        (replace(GOOD, this_update=AT + timedelta(minutes=4)), None, timedelta(0), 3900.0),
        (replace(GOOD, next_update=AT - HOUR), None, HOUR, 0.0),
    ],
)
def test_what_a_resolver_is_told(answer: RevocationAnswer, due_in: float | None, age: timedelta, keep: Any) -> None:
    """How old an answer is counts from thisUpdate where a later one can outdate it, and it ends when it lapses."""
    told = terms_of(question(FRODO), answer, AT, due_in)
    assert told.value == answer
    assert told.obtained_at is not None
    assert AT - told.obtained_at == age
    assert told.keep == keep
