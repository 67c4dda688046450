"""``mtlspolicy demo``: seven real clients, each with the outcome that must be, told in 100 columns of plain text."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from mtlspolicy.cli import _demo
from mtlspolicy.cli._demo_clients import Visit
from mtlspolicy.cli._demo_pki import DemoPKI

from .conftest import Call  # noqa: TID252 - tests are no package that could be named


def test_the_demo(program: Call) -> None:
    """The demo ends by itself with status 0: one client admitted, six refused, each refusal with its code and tree."""
    answer = program("demo")
    assert (answer.status, answer.err) == (0, "")
    table = [line for line in answer.out.splitlines() if line[:1].isdigit() and "TLSv1." in line]
    rows = [line.split() for line in table]
    outcomes = [next(word for word in row if word in ("admitted", "refused")) for row in rows]
    assert outcomes == ["admitted", *["refused"] * 6]
    codes = [row[row.index(outcome) + 1] for row, outcome in zip(rows, outcomes, strict=True)]
    assert codes == [
        "policy.all", "issuer.not-pinned", "name.mismatch", "tls.openssl-expired", "tls.openssl-self-signed",
        "tls.openssl-no-certificate", "name.mismatch",
    ]  # fmt: skip
    for text in (
        "- IssuerPin(CN=Demo Issuing CA 1)",
        "direct issuer is CN=Demo Issuing CA 2",
        "expected 'sam', presented 'frodo'",
        "expected 'frodo', 'sam', presented 'gollum'",
        "CN=sam expired at",
        "path.untrusted-self-signed",
        "the client presented no certificate",
        "all 7 outcomes are as expected",
    ):
        assert text in answer.out


def test_the_session_is_really_resumed(call: Call) -> None:
    """The last client resumes its session, and is refused by the policy as it is then."""
    last = next(line for line in call("demo").out.splitlines() if line.startswith("7  "))
    assert "TLSv1.2 resumed, closed" in last


def test_it_fits_a_terminal(call: Call) -> None:
    """The output is ASCII in at most 100 columns, without colour where there is no terminal."""
    out = call("demo").out
    assert out.isascii()
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_logger_is_left_as_it_was(call: Call) -> None:
    """The demo takes its handler away again."""
    logger = logging.getLogger("mtlspolicy.connection")
    before = (list(logger.handlers), logger.propagate)
    assert call("demo").status == 0
    assert (list(logger.handlers), logger.propagate) == before


def test_another_outcome_is_status_1(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outcome that is not the expected one is said, and the status is 1."""
    right = _demo.callers_of

    def wrong(pki: DemoPKI) -> tuple[_demo.Caller, ...]:
        first, second, *others = right(pki)
        return (first, dataclasses.replace(second, code="name.mismatch"), *others)

    monkeypatch.setattr(_demo, "callers_of", wrong)
    answer = call("demo")
    assert answer.status == 1
    assert "NOT AS EXPECTED: client 2" in answer.out


def test_a_refusal_that_nobody_logged_is_not_as_expected() -> None:
    """A client without an answer and without a log line of its own is no expected refusal."""
    caller = _demo.Caller("x", None, "name.mismatch")
    silent = _demo.Result(caller, Visit("127.0.0.1:1"), None)
    assert (silent.admitted, silent.code, silent.expected) == (False, "no log line", False)


@pytest.mark.parametrize(
    ("visit", "said"),
    [
        (Visit("127.0.0.1:1"), "handshake failed"),
        (Visit("127.0.0.1:1", None, "TLSv1.2"), "TLSv1.2 not resumed, closed"),
        (Visit("127.0.0.1:1", None, "TLSv1.2", resumed=True), "TLSv1.2 resumed, closed"),
        (Visit("127.0.0.1:1", {"common_name": "sam"}, "TLSv1.3"), "TLSv1.3 not resumed, 200, sam"),
    ],
)
def test_the_row_says_whether_the_session_was_resumed(visit: Visit, said: str) -> None:
    """Where a session that was offered is not resumed, the row says so."""
    caller = _demo.Caller("again", None, "name.mismatch", resumes=True)
    assert _demo._seen(_demo.Result(caller, visit, None)) == said
