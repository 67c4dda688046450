"""Explanations (DESIGN 7): one line a clause, the same tree for logs, and always safe to print."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mtlspolicy import policies
from mtlspolicy._decision import Context, Decision, Verdict
from mtlspolicy._evidence import Evidence, Need
from mtlspolicy._policy import Policy, decide
from mtlspolicy.testing import evidence

AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Says(Policy):
    """Gives a fixed answer."""

    word: str
    verdict: Verdict = Verdict.PERMIT
    detail: str = ""

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return the answer."""
        del evidence
        return Decision(self.verdict, "acme.said", self.detail, clause=self)

    def __repr__(self) -> str:
        return self.word


class Unprintable(Says):
    """A policy whose ``repr`` fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def placed(decision: Decision, *, path: object = "CN=frodo < CN=Root", notes: tuple[str, ...] = ()) -> Decision:
    """Return the decision as the root of a tree."""
    return decision.within(
        Context(at=AT, path=path, profile="PRIVATE_PKI", path_engine="cryptography", trust="ab12", notes=notes)
    )


def test_a_tree_is_printed_with_signs_codes_and_details() -> None:
    """The root says verdict and combination, each clause follows below it, deeper ones further in."""
    policy = (
        Says("A") & (Says("B", Verdict.DENY, "is B") | Says("C", Verdict.INDETERMINATE)).named("either") & ~Says("D")
    )
    text = placed(decide(policy, evidence("a")), notes=("mind\nthis",)).explain()
    assert text.splitlines() == [
        "DENY  all of 3                                path: CN=frodo < CN=Root   (PRIVATE_PKI)",
        "  + A                                         acme.said",
        "  ? either: any of 2                          acme.said",
        "    - B                                       acme.said                 is B",
        "    ? C                                       acme.said",
        "  - not D                                     policy.excluded           excluded:",
        "    + D                                       acme.said",
        "  note: mind\\nthis",
    ]


def test_one_clause_is_its_own_line() -> None:
    """A decision without children shows its clause below the verdict and code."""
    text = placed(decide(Says("A", detail="seen").named("only"), evidence("a")), path=None).explain()
    assert text.splitlines() == [
        "PERMIT  only: acme.said                       path: none   (PRIVATE_PKI)",
        "  + only: A                                   acme.said                 seen",
    ]
    assert decide(Says("A"), evidence("a")).explain().splitlines()[0] == "PERMIT  acme.said"
    assert Decision(Verdict.DENY, "path.expired", "x", clause="path").explain().splitlines()[1].startswith("  - path ")


def test_combinations_say_what_they_ask() -> None:
    """Each combination has its own words; a label on one keeps them."""
    a, b = Says("A"), Says("B")
    presented = evidence("a")
    shown = {
        policy: decide(policy, presented).explain().splitlines()[0]
        for policy in (a & b, a | b, policies.AtLeast(2, a, b), ~a, (a & b).named("x"), ~(a & b), (~a).named("y"))
    }
    assert list(shown.values()) == [
        "PERMIT  all of 2",
        "PERMIT  any of 2",
        "PERMIT  at least 2 of 2",
        "DENY  not A",
        "PERMIT  x: all of 2",
        "DENY  not AllOf(A, B)",
        "DENY  y: not A",
    ]


def test_a_log_gets_the_same_tree_as_plain_values() -> None:
    """Strings, lists and dictionaries only: what JSON can hold."""
    need = Need("acme.row", "k\x00", timedelta(seconds=30))
    missing = Decision(Verdict.INDETERMINATE, "fact.missing", "no\nrow", clause="lookup", needs=(need,))
    root = Decision(Verdict.INDETERMINATE, "fact.missing", clause=policies.Anyone(), children=(missing,), label="l")
    row = placed(root, notes=("n\n",)).as_dict()
    assert json.loads(json.dumps(row)) == row
    assert row == {
        "verdict": "INDETERMINATE",
        "code": "fact.missing",
        "clause": "Anyone()",
        "detail": "",
        "label": "l",
        "children": [
            {
                "verdict": "INDETERMINATE",
                "code": "fact.missing",
                "clause": "lookup",
                "detail": "no\\nrow",
                "needs": ["Need(kind='acme.row', key='k\\x00', max_age=datetime.timedelta(seconds=30))"],
            }
        ],
        "at": "2026-01-01T00:00:00+00:00",
        "path": "CN=frodo < CN=Root",
        "profile": "PRIVATE_PKI",
        "path_engine": "cryptography",
        "trust": "ab12",
        "notes": ["n\\n"],
    }


def test_a_policy_that_cannot_be_printed_is_named_by_its_class() -> None:
    """A failing ``repr`` hides neither the answer nor the rest of the tree, under a combination or a label either."""
    broken = Unprintable("x", Verdict.DENY)
    presented = evidence("a")
    for policy in (broken, broken & Says("A"), ~broken, broken.named("label"), (~broken).named("label")):
        decision = decide(policy, presented)
        assert "Unprintable" in decision.explain() or "Not" in decision.explain()
        assert json.dumps(decision.as_dict())


def test_hostile_words_are_escaped() -> None:
    """Whatever a clause is called, each line stays one line of printable text."""
    policy = Says("\x1b[2Jx\ny\u202e", detail="\x9b\n") & Says("z" * 500)
    decision = placed(decide(policy, evidence("a")))
    assert len(decision.explain().splitlines()) == 3
    assert all(line.isprintable() for line in decision.explain().splitlines())
    assert json.dumps(decision.as_dict()).isascii()
