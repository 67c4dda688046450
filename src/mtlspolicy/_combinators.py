"""AllOf, AnyOf, AtLeast, Not and Named: how verdicts combine, and what may not be combined.

Every child is evaluated, so that an explanation shows every reason. Emptiness, and negations that a peer could walk
around, are refused at construction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

from mtlspolicy._codes import outcome_of
from mtlspolicy._decision import Decision, Verdict, decision_of, name_of
from mtlspolicy._evidence import Evidence, Need
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, decide_each, require_policy
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError

__all__ = ["AllOf", "AnyOf", "AtLeast", "Named", "Not"]

_PERMIT: Final = Verdict.PERMIT
_DENY: Final = Verdict.DENY
MAX_DEPTH = 32
MAX_CLAUSES = 1000


class _Combination(Policy):
    """Shared by the combinations: children, and the attributes that follow from them. Immutable."""

    __slots__ = ("_binds_issuer", "_depth", "_hash", "_key", "_path_only", "_size", "clauses", "identifies")  # pyright: ignore[reportIncompatibleVariableOverride]

    _hash: int
    _key: tuple[Any, ...]
    clauses: tuple[Policy, ...]
    identifies: bool  # type: ignore[misc]  # a class attribute of leaves, computed for combinations
    _binds_issuer: bool  # type: ignore[misc]
    _path_only: bool

    def _build(self, clauses: Iterable[Policy], *, needed: float, key: tuple[Any, ...] = ()) -> None:
        """Write the slots; what a PERMIT says of the peer holds where *needed* clauses or more say it."""
        name = type(self).__name__
        children = tuple(require_policy(clause, name) for clause in clauses)
        if not children:
            raise ConfigurationError(
                f"{name} without a clause: it asks nothing; say policies.Anyone() if that is meant"
            )
        depth = 1 + max(getattr(child, "_depth", 1) for child in children)
        size = 1 + sum(getattr(child, "_size", 1) for child in children)
        if depth > MAX_DEPTH or size > MAX_CLAUSES:
            raise ConfigurationError(
                f"{name} is {depth} levels deep with {size} clauses; at most {MAX_DEPTH} and {MAX_CLAUSES}: "
                "use one clause with a list of values"
            )
        try:
            digest = hash((type(self), children, *key))
        except TypeError as error:
            raise ConfigurationError(
                f"{name}: a clause cannot be hashed ({error}): make it a frozen dataclass"
            ) from None
        write = object.__setattr__
        write(self, "clauses", children)
        write(self, "identifies", sum(1 for child in children if getattr(child, "identifies", False)) >= needed)
        write(self, "_binds_issuer", sum(1 for child in children if child._binds_issuer) >= needed)
        write(self, "_path_only", all(child._reads_path_only for child in children))
        write(self, "_depth", depth)
        write(self, "_size", size)
        write(self, "_key", (type(self), children, *key))
        write(self, "_hash", digest)

    @property
    def _reads_path_only(self) -> bool:  # type: ignore[override]  # not a slot: a subclass of a user's must shadow it
        return self._path_only

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a policy is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a policy is immutable: cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, _Combination) else NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.clauses

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.clauses))})"

    def requires(self, path: CertificationPath) -> tuple[Need, ...]:
        """Return what the clauses need, in their order."""
        return tuple(dict.fromkeys(need for clause in self.clauses for need in clause.requires(path)))

    @property
    def _children(self) -> tuple[Policy, ...]:
        return self.clauses

    def _answer(self, verdict: Verdict, code: str, detail: str, children: tuple[Decision, ...]) -> Decision:
        return decision_of(verdict, code, detail, self, children)


class AllOf(_Combination):
    """Permits where every clause permits; denies where one denies; else INDETERMINATE."""

    __slots__ = ()

    def __init__(self, *clauses: Policy) -> None:
        self._build(clauses, needed=1)

    @classmethod
    def joining(cls, left: Policy, right: Policy) -> Self:
        """Return both as one, without a level for a side that is an `AllOf` already."""
        return cls(*_flat(cls, left), *_flat(cls, right))

    @property
    def _headline(self) -> str:
        return f"all of {len(self.clauses)}"

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return the conjunction of the clauses' answers."""
        answers = decide_each(self.clauses, evidence, keep=not self._path_only)
        verdict = _PERMIT
        for answer in answers:
            if answer.verdict is not _PERMIT and verdict is not _DENY:
                verdict = answer.verdict
        if verdict is _PERMIT:
            return decision_of(_PERMIT, "policy.all", "", self, answers)
        # an obstacle that no fact can clear decides whether trying again is worth it
        return self._answer(verdict, _code(answers, verdict, prefer_retryable=False), "", answers)


class AnyOf(_Combination):
    """Permits where one clause permits; denies where all deny; else INDETERMINATE."""

    __slots__ = ()

    def __init__(self, *clauses: Policy) -> None:
        self._build(clauses, needed=len(clauses))

    @classmethod
    def joining(cls, left: Policy, right: Policy) -> Self:
        """Return both as one, without a level for a side that is an `AnyOf` already."""
        return cls(*_flat(cls, left), *_flat(cls, right))

    @property
    def _headline(self) -> str:
        return f"any of {len(self.clauses)}"

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return the disjunction of the clauses' answers."""
        answers = decide_each(self.clauses, evidence, keep=not self._path_only)
        verdicts = [answer.verdict for answer in answers]
        if Verdict.PERMIT in verdicts:
            return self._answer(Verdict.PERMIT, "policy.any", "", answers)
        if Verdict.INDETERMINATE in verdicts:
            code = _code(answers, Verdict.INDETERMINATE, prefer_retryable=True)
            return self._answer(Verdict.INDETERMINATE, code, "", answers)
        codes = {answer.code for answer in answers}
        code = codes.pop() if len(codes) == 1 else "policy.no-alternative"
        return self._answer(Verdict.DENY, code, "no alternative permits", answers)


class AtLeast(_Combination):
    """Permits where *count* clauses permit; denies where so many no longer can; else INDETERMINATE."""

    __slots__ = ("count",)

    count: int

    def __init__(self, count: int, *clauses: Policy) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= len(clauses):
            raise ConfigurationError(f"AtLeast({count!r}, ...) of {len(clauses)} clauses: the count is from 1 to that")
        asked = [bare(require_policy(clause, "AtLeast")) for clause in clauses]
        if any(clause in asked[:place] for place, clause in enumerate(asked)):
            raise ConfigurationError("AtLeast with equal clauses: each would count twice; leave one out")
        if any(_contains(clause, "_soft") for clause in clauses):
            raise ConfigurationError("AtLeast with a soft clause: it admits on doubt and could decide the count; use &")
        self._build(clauses, needed=len(clauses) - count + 1, key=(count,))
        object.__setattr__(self, "count", count)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.count, *self.clauses)

    def __repr__(self) -> str:
        return f"AtLeast({self.count}, {', '.join(map(repr, self.clauses))})"

    @property
    def _headline(self) -> str:
        return f"at least {self.count} of {len(self.clauses)}"

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether enough clauses permit, or still can."""
        answers = decide_each(self.clauses, evidence, keep=not self._path_only)
        permits = sum(1 for answer in answers if answer)
        open_ = sum(1 for answer in answers if answer.verdict is Verdict.INDETERMINATE)
        if permits >= self.count:
            return self._answer(Verdict.PERMIT, "policy.enough", f"{permits} permit", answers)
        if permits + open_ < self.count:
            return self._answer(Verdict.DENY, "policy.too-few", f"{permits} permit, {self.count} are needed", answers)
        return self._answer(
            Verdict.INDETERMINATE, _code(answers, Verdict.INDETERMINATE, prefer_retryable=True), "", answers
        )


class Not(_Combination):
    """Permits where the clause denies, denies where it permits; INDETERMINATE stays so."""

    __slots__ = ()

    def __init__(self, clause: Policy) -> None:
        require_policy(clause, "Not")
        if _contains(clause, "_negatable", value=False):
            raise ConfigurationError(
                f"Not({type(clause).__name__}): a peer walks around a negated pin or issuer with a cross certificate, "
                "another signature or another encoding of the key; say TrustStore(..., distrusted=[certificate]) or "
                "policies.Blocked"
            )
        if _contains(clause, "_soft"):
            raise ConfigurationError("Not over a soft clause: doubt must not be inverted; take soft=True out of Not")
        self._build((clause,), needed=math.inf)

    @property
    def _headline(self) -> str:
        return f"not {name_of(self.clauses[0])}"

    def __repr__(self) -> str:
        return f"~{self.clauses[0]!r}"

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return the opposite of the clause's answer."""
        (answer,) = decide_each(self.clauses, evidence, keep=not self._path_only)
        if answer.verdict is Verdict.INDETERMINATE:
            return self._answer(Verdict.INDETERMINATE, answer.code, "", (answer,))
        if answer:
            return self._answer(Verdict.DENY, "policy.excluded", f"excluded: {answer.detail}", (answer,))
        return self._answer(Verdict.PERMIT, "policy.not-excluded", "", (answer,))


class Named(_Combination):
    """A policy under a label of its user's, which decisions and explanations show."""

    __slots__ = ("label",)

    label: str

    def __init__(self, clause: Policy, label: str) -> None:
        require_policy(clause, "Named")
        if not isinstance(label, str) or not label.strip() or len(label) > 200 or not label.isprintable():
            raise ConfigurationError(f"the label {label!r} of a policy: up to 200 printable characters")
        self._build((clause,), needed=1, key=(label,))
        object.__setattr__(self, "label", label)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.clauses[0], self.label)

    def __repr__(self) -> str:
        return f"{self.clauses[0]!r}.named({quoted(self.label)})"

    @property
    def _headline(self) -> str:
        clause = self.clauses[0]
        return getattr(clause, "_headline", None) or name_of(clause)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return the clause's answer, labelled."""
        (answer,) = decide_each(self.clauses, evidence, keep=not self._path_only)
        return answer.relabelled(self, self.label)


def _flat(kind: type[_Combination], policy: Policy) -> Sequence[Policy]:
    return policy.clauses if type(policy) is kind else (policy,)


def _contains(policy: Policy, attribute: str, *, value: bool = True) -> bool:
    """Return whether *policy* or a clause below it has *attribute* equal to *value*."""
    if getattr(policy, attribute, not value) is value:
        return True
    return any(_contains(child, attribute, value=value) for child in policy._children)


def contains(policy: Policy, kind: type[Policy]) -> bool:
    """Return whether *policy* or a clause below it is a *kind*."""
    return isinstance(policy, kind) or any(contains(child, kind) for child in policy._children)


def bare(policy: Policy) -> Policy:
    """Return *policy* without labels and combinations of one clause, none of which changes an answer."""
    while isinstance(policy, Named | AllOf | AnyOf) and len(policy.clauses) == 1:
        policy = policy.clauses[0]
    return policy


def _code(answers: tuple[Decision, ...], verdict: Verdict, *, prefer_retryable: bool) -> str:
    """Return the code of the first answer with *verdict*, one whose retryability is as preferred if there is one."""
    codes = [answer.code for answer in answers if answer.verdict is verdict]
    return next((code for code in codes if outcome_of(code, verdict.name).retryable is prefer_retryable), codes[0])
