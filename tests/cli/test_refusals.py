"""Log lines and decisions of a server are brought together, each line with the decision that it tells of."""

from __future__ import annotations

import logging

import pytest

from mtlspolicy import Decision, Verdict
from mtlspolicy.cli import _refusals
from mtlspolicy.cli._refusals import Refusals

LOGGER = logging.getLogger("mtlspolicy.connection")


def log(code: str, summary: str) -> None:
    """Write a line as the library does."""
    extra = {"mtlspolicy_code": code, "mtlspolicy_address": "127.0.0.1:9"}
    LOGGER.warning("refused 127.0.0.1:9: %s: %s; subject: CN=x", code, summary, extra=extra)


def deny(code: str, detail: str) -> Decision:
    """Return a refusal."""
    return Decision(Verdict.DENY, code, detail, clause="clause")


def test_each_line_gets_its_decision() -> None:
    """Decisions without a line are passed over; the one that the line tells of is found; permits are not kept."""
    refusals = Refusals()
    wanted = deny("name.mismatch", "presented 'b'")
    for decision in (deny("name.mismatch", "presented 'a'"), Decision(Verdict.PERMIT, "name.match"), wanted):
        refusals.observe(decision)
    with refusals.listening():
        log("name.mismatch", "presented 'b'")
    found = refusals.next(5)
    assert found is not None
    assert found.decision is wanted
    assert found.address == "127.0.0.1:9"
    assert found.line == "refused 127.0.0.1:9: name.mismatch: presented 'b'; subject: CN=x"


def test_a_line_alone_is_its_own_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no decision comes, or none was made, what the line says is the explanation."""
    monkeypatch.setattr(_refusals, "_DELAY", 0.01)
    refusals = Refusals()
    with refusals.listening():
        log("tls.openssl-expired", "it has expired")
        log("name.mismatch", "presented 'b'")
    for code, summary in (("tls.openssl-expired", "it has expired"), ("name.mismatch", "presented 'b'")):
        found = refusals.next(5)
        assert found is not None
        assert (found.code, found.decision.code, found.decision.summary) == (code, code, summary)
        assert not found.decision


def test_waiting_ends() -> None:
    """Who waits for a refusal goes on after the time given, or when there will be none."""
    refusals = Refusals()
    assert refusals.next(0.01) is None
    refusals.end()
    assert refusals.next() is None
