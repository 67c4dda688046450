"""The algebra: policies are values that combine by ``&``, ``|`` and ``~`` in Kleene's three-valued logic.

A policy can only reject a path that already validated, so no combination admits an unvalidated chain. Nothing here does
I/O, reads a clock, or raises for what a peer sent: `decide` is total.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from mtlspolicy._decision import Decision, Verdict, decision_of
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError

if TYPE_CHECKING:
    from mtlspolicy._combinators import AllOf, AnyOf, Named, Not
    from mtlspolicy._evidence import Evidence, Need
    from mtlspolicy._path_value import CertificationPath

__all__ = ["Policy", "decide", "decide_each"]

_KEPT_LIMIT = 256
_PERMIT: Final = Verdict.PERMIT  # an attribute of an enum is looked up by a function, before Python 3.12
_DENY: Final = Verdict.DENY


class Policy(abc.ABC):
    """One question about a peer whose path is valid. Subclass it, best as a frozen dataclass, and write `evaluate`.

    Class attributes:
        identifies: Whether a PERMIT of this policy says *who* the peer is, not only something about it. A verifier for
            clients needs a policy that identifies.
    """

    __slots__ = ()

    identifies: ClassVar[bool] = False
    _reads_path_only: ClassVar[bool] = False
    """Whether the answer depends on the path alone, so that it may be kept with it. The library's own clauses only."""
    _negatable: ClassVar[bool] = True
    """Whether ``~`` means anything: a pin can be walked around by presenting another path or encoding."""
    _binds_issuer: ClassVar[bool] = False
    """Whether a PERMIT depends on which CA issued, or on the very key or certificate, and not on names alone."""
    _soft: ClassVar[bool] = False
    """Whether the clause admits on doubt, which must not be inverted."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Let no subclass outside the library inherit the promise that an answer depends on the path alone."""
        super().__init_subclass__(**arguments)
        if not cls.__module__.startswith("mtlspolicy."):
            cls._reads_path_only = False

    @abc.abstractmethod
    def evaluate(self, evidence: Evidence) -> Decision:
        """Return this policy's decision, made by `permit`, `deny` or `indeterminate` of this very policy.

        Args:
            evidence: Path, connection, facts and time. Absent or unreadable evidence is `indeterminate`, never `deny`.
        """

    def requires(self, path: CertificationPath) -> tuple[Need, ...]:
        """Return what this policy needs from outside for *path*; most need nothing."""
        del path
        return ()

    def permit(self, code: str, detail: str = "") -> Decision:
        """Return a PERMIT of this policy, with a reason code ``area.fact`` and what was seen."""
        return decision_of(_PERMIT, code, detail, self)

    def deny(self, code: str, detail: str = "") -> Decision:
        """Return a DENY of this policy: all of the evidence was read and it speaks against the peer."""
        return decision_of(_DENY, code, detail, self)

    def indeterminate(self, code: str, detail: str = "", *, needs: tuple[Need, ...] = ()) -> Decision:
        """Return an INDETERMINATE of this policy: evidence is absent or ambiguous, and *needs* could mend it."""
        return Decision(Verdict.INDETERMINATE, code, detail, clause=self, needs=needs)

    def named(self, label: str) -> Named:
        """Return this policy under a *label* that decisions and explanations show."""
        from mtlspolicy._combinators import Named

        return Named(self, label)

    def __and__(self, other: object) -> AllOf:
        if not isinstance(other, Policy):
            return NotImplemented
        from mtlspolicy._combinators import AllOf

        return AllOf.joining(self, other)

    def __or__(self, other: object) -> AnyOf:
        if not isinstance(other, Policy):
            return NotImplemented
        from mtlspolicy._combinators import AnyOf

        return AnyOf.joining(self, other)

    def __invert__(self) -> Not:
        from mtlspolicy._combinators import Not

        return Not(self)

    def __bool__(self) -> NoReturn:
        """Refuse: ``and``, ``or``, ``not`` and ``if`` would silently drop clauses."""
        raise TypeError("a policy has no truth value: combine policies with & | ~, and test the decision's verdict")

    @property
    def _children(self) -> tuple[Policy, ...]:
        return ()

    @property
    def _is_live(self) -> bool:
        """Whether it holds sources of lists, which may return something else from one decision to the next."""
        return any(child._is_live for child in self._children)

    def _sources_now(self) -> tuple[object, ...]:
        """Return what those sources return now, parsed; whatever one raises goes through."""
        return tuple([found for child in self._children for found in child._sources_now()])


def decide(policy: Policy, evidence: Evidence) -> Decision:
    """Return *policy*'s decision on *evidence*. Total: an exception in the policy is INDETERMINATE ``policy.error``.

    A decision that the policy did not make itself is INDETERMINATE ``policy.bad-result``. A `BaseException` that is no
    `Exception` goes through; the edge refuses then.
    """
    return decide_each((policy,), evidence)[0]


def decide_each(policies: tuple[Policy, ...], evidence: Evidence, *, keep: bool = True) -> tuple[Decision, ...]:
    """Return the decision of each of *policies*, as `decide` makes it: in one call, since there are dozens of clauses.

    Args:
        policies: Who is asked.
        evidence: What they are asked about.
        keep: Whether decisions are looked for among those that are kept with the path, and kept there. False saves that
            for the clauses below one whose own decision is kept: nobody will ask for theirs again.
    """
    kept = evidence.kept if keep else None
    answers: list[Decision] = []
    for policy in policies:
        if kept is not None:
            entry = kept.get(id(policy))  # there is one for a policy that reads the path only, and for no other
            if entry is not None and entry[0] is policy:
                answers.append(entry[1])
                continue
        try:
            decision = policy.evaluate(evidence)
            sound = type(decision) is Decision and decision.clause is policy and type(decision.verdict) is Verdict
        except Exception as error:  # noqa: BLE001 - whatever a policy raises, the answer is "not known"
            answers.append(failed(policy, error))
            continue
        if not sound:
            answers.append(_bad_result(policy, decision))
            continue
        if kept is not None and len(kept) < _KEPT_LIMIT and policy._reads_path_only:
            kept[id(policy)] = (policy, decision)
        answers.append(decision)
    return tuple(answers)


def failed(policy: Policy, error: Exception) -> Decision:
    """Return the decision for a policy that raised; the text of the error is hostile, and printing it may fail too."""
    try:
        text = escape(f"{type(error).__name__}: {error}", 200)
    except Exception:  # noqa: BLE001 - an exception whose own text cannot be had
        text = type(error).__name__
    return Decision(Verdict.INDETERMINATE, "policy.error", f"the policy raised {text}", clause=policy)


def _bad_result(policy: Policy, result: Any) -> Decision:
    kind = type(result).__name__
    detail = f"evaluate returned {'a decision of another policy' if type(result) is Decision else kind}"
    hint = "; return self.permit(...), self.deny(...) or self.indeterminate(...)"
    return Decision(Verdict.INDETERMINATE, "policy.bad-result", detail + hint, clause=policy)


def leaves(policy: Policy) -> Iterator[Policy]:
    """Return the clauses of *policy* that have none below them, in their order; *policy* itself where it has none."""
    if not policy._children:
        yield policy
    for child in policy._children:
        yield from leaves(child)


def require_policy(value: object, where: str) -> Policy:
    """Return *value* if it is a policy.

    Raises:
        ConfigurationError: It is something else; the message says what *where* takes.
    """
    if isinstance(value, Policy):
        return value
    if value is None:
        raise ConfigurationError(
            f"{where} needs a policy that says which peers are meant, such as policies.CommonName('frodo'); "
            "policies.Anyone() is for every peer of a private CA",
            code="config.no-policy",
        )
    kind = value.__name__ if isinstance(value, type) else type(value).__name__
    hint = f"write {kind}(...)" if isinstance(value, type) else "lift a function with @policies.predicate('area.fact')"
    raise ConfigurationError(f"{where} takes policies, not {kind}: {hint}", code="config.no-policy")
