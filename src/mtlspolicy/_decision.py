"""The answer and its reasons: a verdict of three values, and a tree that people, logs and exceptions read alike.

Nothing here decides; clauses make decisions, and only `Verdict.PERMIT` admits.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, final

from mtlspolicy._codes import outcome_of
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Context", "Decision", "Verdict"]


class Verdict(enum.Enum):
    """Kleene's three truth values. ``bool()`` is true for `PERMIT` alone.

    Absent, unreadable or ambiguous evidence, and an exception inside a policy, are `INDETERMINATE`, never `DENY`: so
    they fail closed under ``~`` as well.
    """

    PERMIT = "PERMIT"
    DENY = "DENY"
    INDETERMINATE = "INDETERMINATE"

    def __bool__(self) -> bool:
        """Return true for PERMIT alone."""
        return self is Verdict.PERMIT

    @property
    def sign(self) -> str:
        """One character for a tree: ``+``, ``-`` or ``?``."""
        return _SIGNS[self]


_SIGNS: Final = {Verdict.PERMIT: "+", Verdict.DENY: "-", Verdict.INDETERMINATE: "?"}
_CODE: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*(?:\.[a-z0-9]+(?:[-_][a-z0-9]+)*)+", re.ASCII)
_known_codes: set[str] = set()
_KNOWN_LIMIT: Final = 2048


def require_code(code: str) -> None:
    """Raise `ConfigurationError` unless *code* is of the form ``area.fact`` in lower-case ASCII."""
    if code in _known_codes:
        return
    if not isinstance(code, str) or len(code) > 100 or not _CODE.fullmatch(code):
        raise ConfigurationError(f"reason code {str(code)!r}: write area.fact in lower case, like 'acme.closed'")
    if len(_known_codes) < _KNOWN_LIMIT:
        _known_codes.add(code)


class Context:
    """What the whole decision was made under: written once, on the root of the tree.

    Attributes:
        at: The time of the decision, aware.
        path: The certification path as text, end entity first; ``None`` where none was validated.
        profile: Name of the `PathProfile`.
        path_engine: Who validated the path.
        trust: SHA-256 of the trust store's content, lower-case hex; empty where it could not be had.
        generation: Of a source that is reloaded: number, time and content of the state it was in; otherwise empty.
        notes: Sentences about the set-up that a person should read.
    """

    __slots__ = ("_path", "at", "generation", "notes", "path_engine", "profile", "trust")

    def __init__(
        self, *, at: datetime, path: object, profile: str, path_engine: str, trust: str, notes: tuple[str, ...] = ()
    ) -> None:
        self.at: datetime = at
        self._path = path
        self.profile: str = profile
        self.path_engine: str = path_engine
        self.trust: str = trust
        self.generation: str = ""
        self.notes: tuple[str, ...] = notes

    @property
    def path(self) -> str | None:
        """The path as text, escaped, made when it is asked for."""
        return None if self._path is None else str(self._path)


class _Fields:
    """The slots of a `Decision`, still writable: a decision is filled as one of these and then becomes immutable.

    Decisions are made by the dozen inside a handshake, and writing around the guard costs five times as much.
    """

    __slots__ = ("children", "clause", "code", "context", "detail", "label", "needs", "verdict")

    verdict: Verdict
    code: str
    detail: str
    clause: object
    children: tuple[Decision, ...]
    label: str | None
    needs: tuple[Any, ...]
    context: Context | None


@final
class Decision(_Fields):
    """One clause's answer, with the answers of the clauses below it. Immutable; true for PERMIT alone.

    Made by `Policy.permit`, `Policy.deny` and `Policy.indeterminate`, not by its constructor.

    Attributes:
        verdict: The `Verdict`.
        code: Stable reason code, ``area.fact``.
        detail: What was expected, what was presented and what to do, escaped for printing.
        clause: The policy that answered (or a word for what comes before policies, such as ``path``).
        children: Decisions of the clauses below, in the order of the policy.
        label: The label that the policy was given by ``.named(...)``.
        needs: Needs whose facts were missing for this clause itself (see `missing` for the tree).
        context: Time, path, profile and trust; on the root only.
    """

    __slots__ = ()

    def __new__(  # noqa: PLR0913 - one slot each; users go through Policy.permit, deny and indeterminate
        cls,
        verdict: Verdict,
        code: str,
        detail: str = "",
        *,
        clause: object = None,
        children: tuple[Decision, ...] = (),
        label: str | None = None,
        needs: tuple[Any, ...] = (),
        context: Context | None = None,
    ) -> Self:
        """Return the decision; raise `ConfigurationError` for a code that is not of the form ``area.fact``."""
        made = decision_of(verdict, code, detail, clause, children, needs)
        if label is not None or context is not None:
            made = made.relabelled(clause, label, context)
        if cls is not Decision:  # final, but who makes a subclass all the same gets one, and no policy may return it
            object.__setattr__(made, "__class__", cls)
        return made  # pyright: ignore[reportReturnType]  # it is one now

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: a decision does not change."""
        raise AttributeError(f"a Decision is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: a decision does not change."""
        raise AttributeError(f"a Decision is immutable: cannot delete {name!r}")

    def __bool__(self) -> bool:
        """Return true for PERMIT alone."""
        return self.verdict is Verdict.PERMIT

    def __repr__(self) -> str:
        return f"<Decision {self.verdict.name} {self.code}>"

    def within(self, context: Context) -> Decision:
        """Return the same decision as the root of a tree, carrying *context*."""
        return self.relabelled(self.clause, self.label, context)

    def relabelled(self, clause: object, label: str | None, context: Context | None = None) -> Decision:
        """Return the same decision as one of *clause*, under *label*, and in *context* where one is given."""
        copy = _Fields()  # what the constructor holds was held when this decision was made
        copy.verdict = self.verdict
        copy.code = self.code
        copy.detail = self.detail
        copy.clause = clause
        copy.children = self.children
        copy.label = label
        copy.needs = self.needs
        copy.context = self.context if context is None else context
        copy.__class__ = Decision
        return copy  # type: ignore[return-value]  # it is one now

    @property
    def summary(self) -> str:
        """One line: the detail of the clause that decided, or its name where it gave none."""
        decisive = self.decisive
        return decisive.detail or escape(name_of(decisive.clause))

    @property
    def decisive(self) -> Decision:
        """The deepest decision from which this verdict and code come."""
        for child in self.children:
            if child.verdict is self.verdict and child.code == self.code:
                return child.decisive
        return self

    @property
    def retryable(self) -> bool:
        """True where a fact could not be had, so that the same peer may be admitted a moment later."""
        return outcome_of(self.code, self.verdict.name).retryable

    @property
    def missing(self) -> tuple[Any, ...]:
        """The needs whose facts can still change this verdict, without duplicates, in the order of the policy.

        Under a decided clause nothing can: its verdict stays whatever the open clauses below would say.
        """
        return tuple(dict.fromkeys(self._open_needs()))

    def _open_needs(self) -> Iterator[Any]:
        if self.verdict is Verdict.INDETERMINATE:
            yield from self.needs
            for child in self.children:
                yield from child._open_needs()

    @property
    def admitted_by(self) -> tuple[str, ...]:
        """The labels, and clauses without one, that made this a PERMIT; empty for every other verdict."""
        return tuple(dict.fromkeys(self._admitting())) if self else ()

    def _admitting(self) -> Iterator[str]:
        if self.label is not None:
            yield self.label
        permitting = [child for child in self.children if child]
        for child in permitting:
            yield from child._admitting()
        if not permitting and self.label is None:
            yield escape(name_of(self.clause))

    def explain(self) -> str:
        """Return the tree as text: one line a clause, with sign, clause, code and detail; safe to print."""
        from mtlspolicy._explain import explain  # the renderer is loaded when somebody reads, not at import

        return explain(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the tree as plain values for a log: strings, lists and dictionaries only, all escaped."""
        from mtlspolicy._explain import as_dict

        return as_dict(self)


def decision_of(
    verdict: Verdict,
    code: str,
    detail: str,
    clause: object,
    children: tuple[Decision, ...] = (),
    needs: tuple[Any, ...] = (),
) -> Decision:
    """Return the decision, as the constructor does, which begins here: a plain call costs half as much as a class's."""
    if code not in _known_codes:
        require_code(code)
    fields = _Fields()
    fields.verdict = verdict
    fields.code = code
    fields.detail = detail if detail.isprintable() and len(detail) <= 1024 else escape(detail, 1024)
    fields.clause = clause
    fields.children = children
    fields.label = None
    fields.needs = needs
    fields.context = None
    fields.__class__ = Decision
    return fields  # type: ignore[return-value]  # it is one now


def name_of(clause: object) -> str:
    """Return what *clause* is called: its ``repr``, or its type where the ``repr`` fails. Not escaped."""
    try:
        return clause if isinstance(clause, str) else repr(clause)
    except Exception:  # noqa: BLE001 - a policy of the user's whose repr fails must not hide the answer
        return type(clause).__name__
