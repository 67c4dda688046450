"""Verdict, Decision and Context: three truth values, immutable trees, and what they say of themselves."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from mtlspolicy import _decision
from mtlspolicy._codes import CODES
from mtlspolicy._decision import Context, Decision, Verdict
from mtlspolicy._evidence import Need
from mtlspolicy.errors import ConfigurationError

PERMIT, DENY, INDETERMINATE = Verdict.PERMIT, Verdict.DENY, Verdict.INDETERMINATE
NEED, OTHER = Need("acme.row", 1), Need("acme.row", 2)


class Unprintable:
    """A clause whose ``repr`` fails."""

    def __repr__(self) -> str:
        """Fail."""
        raise RuntimeError("no repr")


def made(verdict: Verdict, code: str = "acme.x", *children: Decision, **others: Any) -> Decision:
    """Return a decision with children."""
    return Decision(verdict, code, children=children, **others)


def test_only_permit_is_true() -> None:
    """``if decision:`` and ``if verdict:`` admit on PERMIT alone."""
    assert [bool(verdict) for verdict in Verdict] == [True, False, False]
    assert [bool(made(verdict)) for verdict in Verdict] == [True, False, False]
    assert [verdict.sign for verdict in Verdict] == ["+", "-", "?"]


def test_a_decision_does_not_change() -> None:
    """No attribute can be set, added or deleted."""
    decision = made(DENY)
    for name in ("verdict", "code", "fresh"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(decision, name, PERMIT)
        with pytest.raises(AttributeError, match="immutable"):
            delattr(decision, name)
    assert decision.verdict is DENY
    assert repr(decision) == "<Decision DENY acme.x>"


@pytest.mark.parametrize("code", ["acme.closed", "a.b", "acme.closed-today", "a1.b_2.c-3"])
def test_codes_of_ones_own(code: str) -> None:
    """Lower-case words, joined by dots, hyphens and underscores, two parts at least."""
    assert made(DENY, code).code == code


@pytest.mark.parametrize(
    "code",
    [
        "",
        "closed",
        "Acme.closed",
        ".closed",
        "acme.",
        "acme..x",
        "acme.x\n",
        "acme.ä",
        "a." + "x" * 99,
        None,
        7,
        "a. b",
        "-a.b",
    ],
)
def test_what_is_no_code_is_refused(code: Any) -> None:
    """A code is stable text that a log can be searched for, so other text is an error of whoever wrote it."""
    with pytest.raises(ConfigurationError, match="write area.fact in lower case"):
        made(DENY, code)


def test_the_memory_of_codes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes are remembered up to a limit; beyond it they are only read each time."""
    monkeypatch.setattr(_decision, "_known_codes", set())
    monkeypatch.setattr(_decision, "_KNOWN_LIMIT", 2)
    for number in range(4):
        assert made(DENY, f"acme.n{number}").code == f"acme.n{number}"
    assert _decision._known_codes == {"acme.n0", "acme.n1"}
    _decision.require_code("acme.n0")
    assert len(_decision._known_codes) == 2


def test_every_code_of_the_table_is_one() -> None:
    """The library's own codes have the form that it asks of others."""
    assert [made(DENY, code).code for code in CODES] == list(CODES)


@pytest.mark.parametrize("detail", ["a\nb\x1b[2J", "\u202e" * 2000, "x" * 1025])
def test_details_are_escaped_once(detail: str) -> None:
    """A detail is hostile text: escaped and cut when made, and unchanged by every copy of the decision."""
    decision = Decision(DENY, "acme.x", detail)
    context = Context(at=datetime(2026, 1, 1, tzinfo=UTC), path=None, profile="X", path_engine="e", trust="")
    copied = decision.within(context).relabelled("clause", "label").within(context)
    assert decision.detail.isprintable()
    assert copied.detail == decision.detail
    assert decision.detail.endswith(f"... ({len(detail)} characters)") is (len(detail) > 1024)


def test_copies_keep_everything_else() -> None:
    """``within`` adds the context, ``relabelled`` replaces clause and label, and neither changes the original."""
    child = made(PERMIT)
    decision = made(INDETERMINATE, "fact.missing", child, clause="first", label="old", needs=(NEED,))
    context = Context(at=datetime(2026, 1, 1, tzinfo=UTC), path=None, profile="X", path_engine="e", trust="")
    placed = decision.within(context)
    assert (placed.verdict, placed.code, placed.clause, placed.label) == (INDETERMINATE, "fact.missing", "first", "old")
    assert (placed.children, placed.needs, placed.context) == ((child,), (NEED,), context)
    labelled = placed.relabelled("second", "new")
    assert (labelled.clause, labelled.label, labelled.context, labelled.needs) == ("second", "new", context, (NEED,))
    assert (decision.context, decision.label) == (None, "old")
    assert copy.copy(decision.children) == (child,)


def test_the_decisive_clause() -> None:
    """The deepest decision from which verdict and code come; its detail, or else its name, is the summary."""
    deep = Decision(DENY, "name.mismatch", "expected 'a'", clause="name")
    tree = made(
        DENY,
        "name.mismatch",
        made(PERMIT, "policy.anyone"),
        made(DENY, "pin.mismatch"),
        made(DENY, "name.mismatch", deep),
    )
    assert tree.decisive is deep
    assert tree.summary == "expected 'a'"
    assert made(DENY, "policy.too-few", deep, clause="at\nleast").summary == "at\\nleast"
    assert made(DENY, clause=Unprintable()).summary == "Unprintable"
    assert made(DENY, clause=7).summary == "7"


def test_missing_needs_are_those_that_can_still_change_the_verdict() -> None:
    """Needs below a decided clause are left out, duplicates too; the order is the policy's."""
    one = made(INDETERMINATE, "fact.missing", needs=(NEED,))
    two = made(INDETERMINATE, "fact.missing", needs=(OTHER, NEED))
    decided = made(DENY, "policy.all", made(INDETERMINATE, "fact.missing", needs=(Need("acme.row", 3),)))
    assert made(INDETERMINATE, "fact.missing", two, decided, one).missing == (OTHER, NEED)
    assert decided.missing == ()
    assert made(PERMIT, "policy.any", one).missing == ()


def test_what_can_be_tried_again() -> None:
    """Only a fact that could not be had makes a refusal retryable."""
    assert made(INDETERMINATE, "fact.missing").retryable
    assert not made(INDETERMINATE, "name.ambiguous").retryable
    assert not made(DENY).retryable


def test_who_admitted() -> None:
    """Labels, and clauses without one, that made a PERMIT; what does not permit is left out."""
    leaf = made(PERMIT, "name.match", clause="CommonName")
    refused = made(DENY, "pin.mismatch", clause="SPKIPin")
    assert made(PERMIT, "policy.any", refused, leaf).admitted_by == ("CommonName",)
    assert made(PERMIT, "policy.any", refused, leaf, label="old chain").admitted_by == ("old chain", "CommonName")
    assert made(PERMIT, "policy.not-excluded", refused, clause="~SPKIPin").admitted_by == ("~SPKIPin",)
    assert made(PERMIT, "policy.all", leaf, leaf, made(PERMIT, clause=Unprintable())).admitted_by == (
        "CommonName",
        "Unprintable",
    )
    assert made(DENY, "policy.any", leaf).admitted_by == ()


def test_a_context_makes_the_text_of_its_path_when_asked() -> None:
    """A path is printed only for whoever reads it."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    context = Context(at=at, path=7, profile="WEBPKI", path_engine="cryptography", trust="ab", notes=("n",))
    assert (context.path, context.at, context.profile, context.trust, context.notes) == (
        "7",
        at,
        "WEBPKI",
        "ab",
        ("n",),
    )
    assert Context(at=at, path=None, profile="WEBPKI", path_engine="cryptography", trust="").path is None
