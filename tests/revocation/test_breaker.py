"""Breakers: who is left alone after what, for how long, and that nobody's certificate stops questions about others."""

from __future__ import annotations

import pytest

from mtlspolicy.revocation._breaker import CERTIFICATES, FIRST_PAUSE, LONGEST_PAUSE, TRIAL, Blame, Breaker, Visit

ORIGIN = "http://ocsp.example.com"
FRODO, SAM, MERRY, PIPPIN = (Visit(ORIGIN, name, name) for name in ("frodo", "sam", "merry", "pippin"))


def breaker(chance: float = 0.5, **bounds: int) -> Breaker:
    """Return a breaker whose pauses are as long as they are on average."""
    return Breaker(lambda: chance, **bounds)


def fail(breaker: Breaker, visit: Visit, now: float, blame: Blame = "responder") -> None:
    """Note one failure."""
    breaker.failed(visit, blame, now, f"{blame} of {visit.certificate}")


def is_open(breaker: Breaker, visit: Visit, now: float) -> bool:
    """Return whether a visit is not let in."""
    return breaker.admits(visit, now) is not None


def test_a_failure_pauses_the_question_alone() -> None:
    """After one failure, of whatever kind, the same question waits a second, and no other does."""
    for blame in ("responder", "certificate", "answer"):
        one = breaker()
        fail(one, FRODO, 0.0, blame)
        assert one.admits(FRODO, 0.25) == (0.75, f"{blame} of frodo")
        assert not is_open(one, SAM, 0.25)
        assert not is_open(one, FRODO, FIRST_PAUSE)


def test_a_responder_that_fails_for_several_is_left_alone() -> None:
    """Trouble with several certificates in a row opens the responder's own breaker, also for those not asked about."""
    one = breaker()
    for visit in (FRODO, SAM):
        fail(one, visit, 0.0)
        assert not is_open(one, PIPPIN, 0.0)
    fail(one, MERRY, 0.0)
    assert one.admits(PIPPIN, 0.5) == (0.5, "responder of merry")
    assert not is_open(one, PIPPIN._replace(origin="http://other.example.com"), 0.5)


def test_attack_a_certificate_that_the_responder_fails_for_opens_nothing_for_others() -> None:
    """RULES 53: failing again and again for one certificate, under whatever rule, leaves all others their answers."""
    one = breaker()
    for attempt in range(50):
        fail(one, FRODO._replace(subject=("frodo", attempt)), float(attempt))
    assert not is_open(one, SAM, 50.0)


@pytest.mark.parametrize("blame", ["certificate", "answer"])
def test_attack_strangers_that_nobody_knows_open_nothing_for_others(blame: Blame) -> None:
    """RULES 53: unknown serial numbers and 4xx, of however many certificates, never stop the questions about others."""
    one = breaker()
    for stranger in range(100):
        fail(one, Visit(ORIGIN, stranger, stranger), 0.0, blame)
    assert not is_open(one, FRODO, 0.0)
    assert is_open(one, Visit(ORIGIN, 7, 7), 0.5)


def test_a_success_in_between_counts() -> None:
    """Failures have to come in a row: an answer about somebody else begins the count anew, and so does UNKNOWN."""
    for blame in (None, "answer"):
        one = breaker()
        for visit in (FRODO, SAM):
            fail(one, visit, 0.0)
        if blame is None:
            one.answered(PIPPIN)
        else:
            fail(one, PIPPIN, 0.0, "answer")
        fail(one, MERRY, 0.0)
        assert not is_open(one, Visit(ORIGIN, "other", "other"), 0.1)


def test_pauses_grow_and_end_somewhere() -> None:
    """Each trial that fails doubles the pause, up to half a minute."""
    one, now, pauses = breaker(), 0.0, []
    for _ in range(8):
        fail(one, FRODO, now)
        left = one.admits(FRODO, now)
        assert left is not None
        pauses.append(left[0])
        now += left[0]
        assert not is_open(one, FRODO, now)
    assert pauses == [FIRST_PAUSE * 2**n for n in range(5)] + [LONGEST_PAUSE] * 3


def test_pauses_are_spread() -> None:
    """Jitter moves a pause by a quarter to either side."""
    for chance, pause in ((0.0, 0.75), (1.0, 1.25)):
        one = breaker(chance)
        fail(one, FRODO, 0.0)
        assert one.admits(FRODO, 0.0) == (pause, "responder of frodo")


def opened() -> Breaker:
    """Return a breaker that is open for the responder from 0 to 1."""
    one = breaker()
    for visit in (FRODO, SAM, MERRY):
        fail(one, visit, 0.0)
    return one


def test_one_trial_at_a_time() -> None:
    """After the pause one visitor goes, and the rest wait for what comes of it; silence makes room for the next."""
    one = opened()
    assert not is_open(one, PIPPIN, 1.0)
    assert is_open(one, SAM, 1.0)
    assert is_open(one, PIPPIN, 1.0 + TRIAL / 2)
    assert not is_open(one, SAM, 1.0 + TRIAL)


def test_a_trial_that_succeeds_closes_the_breaker() -> None:
    """One answer to rely on, and everybody may ask; certificates that failed for themselves still wait."""
    one = opened()
    assert not is_open(one, PIPPIN, 1.0)
    one.answered(PIPPIN)
    assert not is_open(one, PIPPIN, 1.0)
    fail(one, SAM, 1.0, "certificate")
    assert is_open(one, SAM, 1.5)
    assert not is_open(one, PIPPIN, 1.5)


def test_a_trial_that_fails_opens_it_for_longer() -> None:
    """One failure is enough while the responder is on trial."""
    one = opened()
    assert not is_open(one, PIPPIN, 1.0)
    fail(one, PIPPIN, 1.5)
    left = one.admits(Visit(ORIGIN, "other", "other"), 1.5)
    assert left == (2.0, "responder of pippin")


def test_attack_a_trial_with_a_bad_certificate_says_nothing_of_the_responder() -> None:
    """RULES 53: a trial that is used up by a certificate's own failure lets the next visitor try at once."""
    one = opened()
    assert not is_open(one, PIPPIN, 1.0)
    fail(one, PIPPIN, 1.0, "certificate")
    assert not is_open(one, Visit(ORIGIN, "other", "other"), 1.0)


def test_those_who_were_under_way_count_once() -> None:
    """Many who ask at the moment of an outage make one failure of it, not the longest pause."""
    one = breaker()
    for number in range(10 * CERTIFICATES):
        fail(one, Visit(ORIGIN, number, number), 0.0)
    for _ in range(10):
        fail(one, FRODO, 0.0)
    assert one.admits(PIPPIN, 0.0) == (1.0, f"responder of {CERTIFICATES - 1}")
    one.answered(PIPPIN)
    assert one.admits(FRODO, 0.0) == (1.0, "responder of frodo")


def test_breakers_are_bounded() -> None:
    """Of more breakers than are remembered, the one untouched for longest is closed."""
    one = breaker(most=2)
    for visit in (FRODO, SAM, MERRY):
        fail(one, visit, 0.0, "answer")
    assert [is_open(one, visit, 0.5) for visit in (FRODO, SAM, MERRY)] == [False, True, True]
