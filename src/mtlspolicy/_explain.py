"""Renders a decision for people (a tree of lines) and for logs (plain values). Decides nothing, escapes everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mtlspolicy._decision import name_of
from mtlspolicy._text import escape

if TYPE_CHECKING:
    from mtlspolicy._decision import Decision

_WIDTH = 44


def explain(decision: Decision) -> str:
    """Return the tree of *decision* as text, root first, two spaces deeper for each level."""
    context = decision.context
    head = f"{decision.verdict.name}  {_headline(decision)}"
    lines = [head]
    if context is not None:
        where = f"path: {context.path}" if context.path else "path: none"
        lines[0] = f"{head:<{_WIDTH}}  {where}   ({context.profile})"
    if decision.children:
        lines += [line for child in decision.children for line in _lines(child, 1)]
    else:
        lines += _lines(decision, 1)
    if context is not None:
        lines += [f"  trust: generation {escape(context.generation)}"] if context.generation else []
        lines += [f"  note: {escape(note)}" for note in context.notes]
    return "\n".join(lines)


def _headline(decision: Decision) -> str:
    label = f"{escape(decision.label)}: " if decision.label else ""
    return f"{label}{describe(decision)}" if decision.children else f"{label}{decision.code}"


def _lines(decision: Decision, depth: int) -> list[str]:
    label = f"{escape(decision.label)}: " if decision.label else ""
    text = f"{'  ' * depth}{decision.verdict.sign} {label}{describe(decision)}"
    line = f"{text:<{_WIDTH}}  {decision.code:<24}  {decision.detail}".rstrip()
    return [line] + [below for child in decision.children for below in _lines(child, depth + 1)]


def describe(decision: Decision) -> str:
    """Return the clause of *decision* in a few words: ``all of 3`` for a combination, else its ``repr``."""
    clause = decision.clause
    short = getattr(clause, "_headline", None)
    if isinstance(short, str):
        return escape(short, 200)
    return escape(name_of(clause), 200)


def as_dict(decision: Decision) -> dict[str, Any]:
    """Return the tree of *decision* as strings, lists and dictionaries; times as ISO 8601 text."""
    row: dict[str, Any] = {
        "verdict": decision.verdict.name,
        "code": decision.code,
        "clause": describe(decision),
        "detail": decision.detail,
    }
    if decision.label is not None:
        row["label"] = escape(decision.label)
    if decision.needs:
        row["needs"] = [escape(name_of(need), 200) for need in decision.needs]
    if decision.children:
        row["children"] = [as_dict(child) for child in decision.children]
    context = decision.context
    if context is not None:
        row["at"] = context.at.isoformat()
        row["path"] = context.path
        row["profile"] = context.profile
        row["path_engine"] = context.path_engine
        row["trust"] = context.trust
        if context.generation:
            row["generation"] = escape(context.generation)
        row["notes"] = [escape(note) for note in context.notes]
    return row
