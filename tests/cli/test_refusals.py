"""Log lines of a server are read with the decision that each tells of."""

from __future__ import annotations

import logging

from mtlspolicy import Decision, Verdict
from mtlspolicy.cli._refusals import Refusals

LOGGER = logging.getLogger("mtlspolicy.connection")


def test_each_line_brings_its_decision() -> None:
    """Address, code, line and decision come from one record; a line that tells of no refusal is passed over."""
    refusals = Refusals()
    decision = Decision(Verdict.DENY, "name.mismatch", "presented 'b'", clause="clause")
    with refusals.listening():
        LOGGER.warning("something else")
        extra = {"mtlspolicy_decision": decision, "mtlspolicy_address": "127.0.0.1:9"}
        LOGGER.warning("refused %s: %s", "127.0.0.1:9", decision.summary, extra=extra)
        LOGGER.warning("refused nobody knows whom", extra={"mtlspolicy_decision": decision})
    found = refusals.next(5)
    assert found is not None
    assert found.decision is decision
    assert (found.address, found.code) == ("127.0.0.1:9", "name.mismatch")
    assert found.line == "refused 127.0.0.1:9: presented 'b'"
    unknown = refusals.next(5)
    assert unknown is not None
    assert (unknown.address, unknown.decision) == (None, decision)


def test_lines_are_kept_from_other_handlers_for_a_while() -> None:
    """Inside the block nobody else prints the lines, and afterwards all is as before."""
    refusals = Refusals()
    before = (LOGGER.propagate, list(LOGGER.handlers))
    with refusals.listening():
        assert not LOGGER.propagate
        assert refusals in LOGGER.handlers
    assert (LOGGER.propagate, list(LOGGER.handlers)) == before


def test_waiting_ends() -> None:
    """Who waits for a refusal goes on after the time given, or when there will be none."""
    refusals = Refusals()
    assert refusals.next(0.01) is None
    refusals.end()
    assert refusals.next() is None
