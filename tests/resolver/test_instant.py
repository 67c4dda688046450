"""Sources that answer at once where nobody can wait, as in a handshake on an event loop."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlspolicy import Need, Resolver
from mtlspolicy._resolver import Answer, settle, settle_at_hand

from .conftest import Asks, Judge  # noqa: TID252 - tests are no package that could be named

NEED = Need("partner.enrolled", "frodo", timedelta(seconds=30))


class Source:
    """Answers with *there* at once, and with *asked* where there is time."""

    def __init__(self, there: Any, asked: Any = None) -> None:
        self.there, self.asked = there, asked
        self.calls: list[str] = []

    def __call__(self, key: str) -> Any:
        """Answer after a while."""
        self.calls.append(key)
        return self.asked

    def at_hand(self, key: str) -> Any:
        """Answer at once."""
        assert key == "frodo"
        if isinstance(self.there, Exception):
            raise self.there
        return self.there


@pytest.mark.parametrize(("value", "code"), [(True, "fact.found"), (False, "fact.refused")])
def test_a_handshake_that_cannot_wait_has_the_fact(judge: Judge, value: object, code: str) -> None:
    """Nobody is asked, nothing is kept: the next handshake is told what is so then."""
    source = Source(Answer(value))
    with Resolver({"partner.enrolled": source}) as resolver:
        assert settle_at_hand(judge(Asks()), resolver).decision.code == code
        source.there = None
        assert settle_at_hand(judge(Asks()), resolver).decision.code == "fact.missing"
    assert source.calls == []


def test_who_can_wait_asks_where_nothing_is_at_hand(judge: Judge) -> None:
    """The two ways are one source's; what was asked for is kept, and counts before what is at hand."""
    source = Source(None, asked=True)
    with Resolver({"partner.enrolled": source}) as resolver:
        assert settle(judge(Asks()), resolver).decision.code == "fact.found"
        source.there = Answer(value=False)
        assert settle_at_hand(judge(Asks()), resolver).decision.code == "fact.found"
    assert source.calls == ["frodo"]


def test_what_is_older_than_the_need_allows_is_no_fact() -> None:
    """A time to come makes nothing young for ever."""
    now = datetime.now(UTC)
    source = Source(Answer(value=True, obtained_at=now - timedelta(seconds=31)))
    with Resolver({"partner.enrolled": source}) as resolver:
        assert resolver.at_hand([NEED]) == {}
        source.there = Answer(value=True, obtained_at=now + timedelta(days=1))
        fact = resolver.at_hand([NEED])[NEED]
        assert fact.obtained_at is not None
        assert fact.obtained_at < now + timedelta(hours=1)
        assert resolver.at_hand([Need("other", "frodo")]) == {}
    assert resolver.at_hand([NEED]) == {}, "closed"


def test_what_is_no_answer_is_no_fact(judge: Judge) -> None:
    """An object with a method of that name by chance: its value is looked up like any other."""
    source = Source(there=True, asked=True)
    with Resolver({"partner.enrolled": source}) as resolver:
        assert settle_at_hand(judge(Asks()), resolver).decision.code == "fact.missing"
        assert settle(judge(Asks()), resolver).decision.code == "fact.found"


def test_a_source_that_raises_at_once_gives_no_fact(judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
    """And the log says so, as of one that raises later."""
    source = Source(OSError("disk\x1b"))
    with caplog.at_level(logging.WARNING, "mtlspolicy.resolver"), Resolver({"partner.enrolled": source}) as resolver:
        assert settle_at_hand(judge(Asks()), resolver).decision.code == "fact.missing"
    assert ["OSError" in line and "\x1b" not in line for line in caplog.messages] == [True]
