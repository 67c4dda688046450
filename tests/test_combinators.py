"""AllOf, AnyOf, AtLeast, Not and Named (RULES 18, 23, 25, 30): what may be combined, and what the combination says."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from mtlspolicy import policies
from mtlspolicy._combinators import MAX_CLAUSES, MAX_DEPTH, Named, contains
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence, Need
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, evidence

CA = CertificateAuthority("Root")
PRESENTED = evidence("a")
NAME, OTHER, ANYONE = policies.CommonName("a"), policies.CommonName("b"), policies.Anyone()
PIN = policies.SPKIPin("00" * 32)


@dataclass(frozen=True)
class Says(Policy):
    """Gives a fixed answer, needs what it names, and counts nothing."""

    verdict: Verdict
    code: str = "acme.said"
    key: int | None = None

    def requires(self, path: CertificationPath) -> tuple[Need, ...]:
        """Return the need, if any."""
        del path
        return () if self.key is None else (Need("acme.row", self.key),)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return the answer."""
        return Decision(self.verdict, self.code, clause=self, needs=self.requires(evidence.path))


class Soft(Says):
    """Admits on doubt."""

    _soft: ClassVar[bool] = True


PERMIT, DENY, DOUBT = (Says(verdict) for verdict in Verdict)
MISSING = Says(Verdict.INDETERMINATE, "fact.missing", 1)
AMBIGUOUS = Says(Verdict.INDETERMINATE, "name.ambiguous")


def told(policy: Policy) -> tuple[str, str]:
    """Return verdict and code."""
    decision = decide(policy, PRESENTED)
    return decision.verdict.name, decision.code


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (policies.AllOf(PERMIT, PERMIT), ("PERMIT", "policy.all")),
        (PERMIT & DENY & MISSING, ("DENY", "acme.said")),
        (PERMIT & MISSING, ("INDETERMINATE", "fact.missing")),
        (MISSING & AMBIGUOUS, ("INDETERMINATE", "name.ambiguous")),
        (PERMIT | DENY, ("PERMIT", "policy.any")),
        (DENY | MISSING, ("INDETERMINATE", "fact.missing")),
        (AMBIGUOUS | MISSING, ("INDETERMINATE", "fact.missing")),
        (AMBIGUOUS | DENY, ("INDETERMINATE", "name.ambiguous")),
        (policies.AnyOf(DENY), ("DENY", "acme.said")),
        (DENY | Says(Verdict.DENY, "pin.mismatch"), ("DENY", "policy.no-alternative")),
        (policies.AtLeast(2, PERMIT, DENY, NAME), ("PERMIT", "policy.enough")),
        (policies.AtLeast(2, PERMIT, DENY, OTHER), ("DENY", "policy.too-few")),
        (policies.AtLeast(2, PERMIT, MISSING, AMBIGUOUS), ("INDETERMINATE", "fact.missing")),
        (~PERMIT, ("DENY", "policy.excluded")),
        (~DENY, ("PERMIT", "policy.not-excluded")),
        (~AMBIGUOUS, ("INDETERMINATE", "name.ambiguous")),
        (DENY.named("x"), ("DENY", "acme.said")),
    ],
)
def test_verdicts_and_codes(policy: Policy, wanted: tuple[str, str]) -> None:
    """The code is that of the clause that decided; among doubts the one that says whether to try again."""
    assert told(policy) == wanted


def test_every_clause_is_asked_and_shown() -> None:
    """An explanation shows every reason, also after the verdict is clear; labels and needs are kept."""
    decision = decide((DENY & MISSING).named("x") | (PERMIT & MISSING).named("y"), PRESENTED)
    assert [child.label for child in decision.children] == ["x", "y"]
    assert [[one.verdict.name for one in child.children] for child in decision.children] == [
        ["DENY", "INDETERMINATE"],
        ["PERMIT", "INDETERMINATE"],
    ]
    assert decision.missing == (Need("acme.row", 1),)
    assert decide(MISSING.named("z"), PRESENTED).missing == (Need("acme.row", 1),)


def test_needs_are_collected_in_order_without_duplicates() -> None:
    """`requires` of a combination is that of its clauses."""
    policy = (Says(Verdict.PERMIT, key=2) | MISSING) & ~Says(Verdict.DENY, key=2) & Says(Verdict.DENY, key=3).named("x")
    assert [need.key for need in policy.requires(PRESENTED.path)] == [2, 1, 3]


def test_operators_join_without_nesting() -> None:
    """``a & b & c`` is one AllOf; mixed operators nest; labels are not joined away."""
    assert (NAME & OTHER & ANYONE).clauses == (NAME, OTHER, ANYONE)
    assert (NAME | (OTHER | ANYONE)).clauses == (NAME, OTHER, ANYONE)
    assert (NAME & (OTHER | ANYONE)).clauses == (NAME, OTHER | ANYONE)
    assert ((NAME & OTHER).named("x") & ANYONE).clauses == ((NAME & OTHER).named("x"), ANYONE)
    assert isinstance((~NAME).clauses[0], policies.CommonName)


def test_combinations_are_values() -> None:
    """Equal clauses in equal order make equal policies, with one hash; kind, order, count and label matter."""
    made: list[Callable[[], Policy]] = [
        lambda: NAME & OTHER,
        lambda: OTHER & NAME,
        lambda: NAME | OTHER,
        lambda: policies.AtLeast(1, NAME, OTHER),
        lambda: policies.AtLeast(2, NAME, OTHER),
        lambda: ~(NAME & OTHER),
        lambda: (NAME & OTHER).named("x"),
        lambda: (NAME & OTHER).named("y"),
    ]
    assert len({build() for build in made} | {build() for build in made}) == len(made)
    assert (NAME & OTHER) != NAME
    assert (NAME & OTHER) != "AllOf"


def test_combinations_are_copied_and_pickled() -> None:
    """A copy is equal to the original, a pickled one too."""
    for policy in (NAME & OTHER, NAME | ~OTHER, policies.AtLeast(1, NAME, OTHER), NAME.named("x"), ~(NAME | OTHER)):
        assert copy.deepcopy(policy) == copy.copy(policy) == pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 - our own bytes


def test_combinations_do_not_change() -> None:
    """No attribute can be set, added or deleted."""
    policy = NAME & OTHER
    for name in ("clauses", "fresh"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(policy, name, ())
        with pytest.raises(AttributeError, match="immutable"):
            delattr(policy, name)
    assert policy.clauses == (NAME, OTHER)


def test_combinations_show_how_they_are_written() -> None:
    """A ``repr`` is the text that makes the policy."""
    assert repr(NAME & OTHER) == "AllOf(CommonName('a'), CommonName('b'))"
    assert repr(~NAME | OTHER) == "AnyOf(~CommonName('a'), CommonName('b'))"
    assert repr(policies.AtLeast(1, NAME)) == "AtLeast(1, CommonName('a'))"
    assert repr(NAME.named("it's")) == "CommonName('a').named('it\\'s')"


@pytest.mark.parametrize(
    ("policy", "identifies"),
    [
        (NAME, True),
        (ANYONE, False),
        (NAME & ANYONE, True),
        (ANYONE & ANYONE, False),
        (NAME | ANYONE, False),
        (NAME | PIN, True),
        (~NAME, False),
        (~~NAME, False),
        (ANYONE.named("x"), False),
        ((NAME | PIN).named("x"), True),
        (policies.AtLeast(1, NAME, PIN, ANYONE), False),
        (policies.AtLeast(2, NAME, PIN, ANYONE), True),
        (policies.AtLeast(3, NAME, ANYONE, DENY), True),
        (policies.AtLeast(2, NAME, ANYONE, DENY), False),
        (policies.IssuerPin(CA.der, where="path") & ANYONE, False),
        (policies.IssuerPin(CA.der) | NAME, True),
    ],
)
def test_a_combination_identifies_where_every_way_to_permit_does(policy: Policy, *, identifies: bool) -> None:
    """AllOf by one child, AnyOf by all, AtLeast by k-n+1 of them, Not never (RULES 18)."""
    assert policy.identifies is identifies


def test_a_combination_reads_the_path_only_where_every_clause_does() -> None:
    """One clause that reads the connection, a fact or a live list keeps the whole from being kept."""
    address = policies.PeerAddress("10.0.0.0/8")
    live = policies.CommonName(lambda: ["a"])
    assert (NAME & OTHER | ~NAME.named("x"))._reads_path_only
    for other in (address, live, DENY):
        assert not (NAME & other)._reads_path_only
        assert not (NAME | (OTHER & ~policies.AtLeast(1, other)))._reads_path_only


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (policies.AllOf, "AllOf without a clause"),
        (policies.AnyOf, "AnyOf without a clause"),
        (lambda: policies.AllOf(policies.CommonName), "AllOf takes policies"),  # type: ignore[arg-type]
        (lambda: policies.AnyOf([NAME]), "AnyOf takes policies, not list"),  # type: ignore[arg-type]
        (lambda: policies.Not(7), "Not takes policies, not int"),  # type: ignore[arg-type]
        (lambda: Named("x", "label"), "Named takes policies"),  # type: ignore[arg-type]
        (lambda: policies.AtLeast(1), "of 0 clauses: the count is from 1"),
        (lambda: policies.AtLeast(0, NAME), r"AtLeast\(0, ...\)"),
        (lambda: policies.AtLeast(2, NAME), "of 1 clauses"),
        (lambda: policies.AtLeast(bool(NAME.identifies), NAME), r"AtLeast\(True, ...\)"),
        (lambda: policies.AtLeast("1", NAME), r"AtLeast\('1', ...\)"),  # type: ignore[arg-type]
        (lambda: policies.AtLeast(NAME, OTHER), "the count is from 1"),  # type: ignore[arg-type]
        (lambda: policies.AtLeast(1, policies.CommonName), "AtLeast takes policies, not CommonName"),  # type: ignore[arg-type]
        (lambda: policies.AtLeast(1, lambda _: True), "AtLeast takes policies, not function"),  # type: ignore[arg-type]
        (lambda: policies.AtLeast(1, NAME, OTHER, policies.CommonName("a")), "equal clauses"),
        (lambda: policies.AtLeast(1, NAME, Soft(Verdict.PERMIT)), "soft clause"),
        (lambda: policies.AtLeast(1, NAME, OTHER & Soft(Verdict.PERMIT)), "soft clause"),
        (lambda: ~Soft(Verdict.PERMIT), "doubt must not be inverted"),
        (lambda: ~(NAME | Soft(Verdict.PERMIT).named("x")), "doubt must not be inverted"),
        (lambda: NAME.named(""), "up to 200 printable characters"),
        (lambda: NAME.named("  "), "printable characters"),
        (lambda: NAME.named("a\nb"), "printable characters"),
        (lambda: NAME.named("x" * 201), "printable characters"),
        (lambda: NAME.named(7), "the label 7"),  # type: ignore[arg-type]
    ],
)
def test_what_can_never_be_right_is_refused(build: Any, message: str) -> None:
    """Emptiness, what is no policy, impossible counts, inverted doubt and unprintable labels."""
    with pytest.raises(ConfigurationError, match=message):
        build()


@pytest.mark.parametrize(
    "policy", [PIN, policies.CertificatePin("00" * 32), policies.IssuerPin(CA.der), policies.IssuerDN("CN=x")]
)
def test_pins_and_issuers_are_not_negated(policy: Policy) -> None:
    """Nor at any depth, twice negated, or under a label (RULES 15, 25)."""
    for inner in (policy, NAME & policy, (NAME | policy).named("x"), policies.AtLeast(1, NAME, policy)):
        with pytest.raises(ConfigurationError, match=r"distrusted=\[certificate\]"):
            _ = ~inner


@dataclass
class Unhashable(Policy):
    """A policy that somebody forgot to freeze."""

    verdict: Verdict = Verdict.PERMIT

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return the answer."""
        del evidence
        return Decision(self.verdict, "acme.said", clause=self)


@pytest.mark.parametrize("build", [policies.AllOf, policies.AnyOf, policies.Not, lambda one: policies.AtLeast(1, one)])
def test_a_clause_that_cannot_be_hashed_is_refused(build: Any) -> None:
    """Policies are values; the message says what makes one."""
    with pytest.raises(ConfigurationError, match="cannot be hashed .*: make it a frozen dataclass"):
        build(Unhashable())


def test_depth_and_size_are_bounded() -> None:
    """A tree is at most 32 deep and has at most 1000 clauses, so that explaining it never runs out of stack."""
    deep: Policy = NAME
    for _ in range(MAX_DEPTH - 1):
        deep = policies.Not(deep)
    decision = decide(deep, PRESENTED)
    assert len(decision.explain().splitlines()) == MAX_DEPTH
    with pytest.raises(ConfigurationError, match="33 levels deep"):
        policies.Not(deep)
    wide = policies.AnyOf(*[policies.CommonName(str(number)) for number in range(MAX_CLAUSES - 1)])
    assert decide(wide, PRESENTED).verdict is Verdict.DENY
    with pytest.raises(ConfigurationError, match="1002 clauses"):
        _ = wide & ANYONE


def test_contains() -> None:
    """`contains` finds a kind of clause at any depth."""
    assert contains((NAME & ~ANYONE).named("x"), policies.Anyone)
    assert not contains(NAME & OTHER, policies.Anyone)
