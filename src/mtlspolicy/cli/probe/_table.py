"""A probe's report as a table for people: the grade and its reasons first, then what was seen, row by row."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from mtlspolicy.cli._output import WIDTH, paint
from mtlspolicy.cli.probe._findings import GRADES
from mtlspolicy.cli.probe._judge import Finding, Report
from mtlspolicy.cli.probe._rows import BAD, GOOD, PLAIN, UNSEEN, Row, sections

_MARKS: Final = {GOOD: "+", BAD: "!", PLAIN: " ", UNSEEN: "?"}
_COLOURS: Final = {"A": "green", "B": "yellow", "C": "red", "D": "red", "F": "red"}
_NAME: Final = 33


def as_lines(report: Report) -> Iterator[str]:
    """Return the lines of *report*, in 100 columns, for any terminal."""
    seen = report.seen
    place = seen.place
    named = "" if place.server_name == place.host else f" as {place.server_name}"
    yield f"{place.host} port {place.port}{named} ({place.address}), {seen.at:%Y-%m-%dT%H:%M:%SZ}"
    yield ""
    yield paint(f"Grade {report.grade}: {GRADES[report.grade]}", _COLOURS[report.grade])
    for finding in report.reasons:
        yield from _finding(finding)
    for title, rows in sections(report):
        yield ""
        yield paint(title, "bold")
        for row in rows:
            yield _row(row)
    remarks = [finding for finding in report.findings if finding not in report.reasons]
    if remarks:
        yield ""
        yield paint("Remarks", "bold")
        for finding in remarks:
            yield from _finding(finding)
    yield ""
    yield f"+ as it should be   ! not so   ? not observed   ({seen.connections} connections)"


def _finding(finding: Finding) -> Iterator[str]:
    kind = finding.kind
    yield _wrapped(f"{kind.grade}  {kind.title} ({finding.code}): {finding.text}", first="  ", rest="     ")
    if kind.remedy:
        yield _wrapped(kind.remedy, first="     -> ", rest="        ")


def _row(row: Row) -> str:
    head = f"  {_MARKS[row.mark]} {row.name:<{_NAME}} "
    text = _wrapped(row.text, first=head, rest=" " * len(head))
    return paint(text, "red") if row.mark == BAD else text


def _wrapped(text: str, *, first: str, rest: str) -> str:
    """Return *text* in lines; a word that fits none is broken, since a server may send words as long as it likes."""
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
