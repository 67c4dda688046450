"""A probe's report as one self-contained HTML page to show to a partner: no script, nothing loaded from anywhere.

Every text is escaped twice over: for printing where it was seen, and for HTML here. The page's own policy forbids
scripts, images, fonts, forms and frames, should an escape ever be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Final

from mtlspolicy._version import __version__
from mtlspolicy.cli.probe._findings import GRADES
from mtlspolicy.cli.probe._judge import Finding, Report
from mtlspolicy.cli.probe._rows import BAD, GOOD, PLAIN, UNSEEN, Row, sections
from mtlspolicy.cli.probe._style import STYLE

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_HYPHENATED: Final = re.compile(r"(?<![^ (])(?=[A-Za-z0-9-]{3,24}(?![^ ),;:.]))[A-Za-z0-9]*+-[A-Za-z0-9-]++")
"""A word of up to 24 characters between spaces: what browsers break at a hyphen, in the middle of a flag."""
_MARKS: Final = {
    GOOD: ("✓", "as it should be"),
    BAD: ("✕", "not as it should be"),
    PLAIN: ("·", "for information"),
    UNSEEN: ("?", "not observed"),
}


def as_html(report: Report) -> str:
    """Return the page, UTF-8."""
    place = report.seen.place
    title = f"{place.host} port {place.port}: grade {report.grade}"
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            *_body(report),
            "</main>",
            "</body>",
            "</html>",
            "",
        )
    )


def _body(report: Report) -> Iterator[str]:
    seen, place = report.seen, report.seen.place
    yield "<header>"
    yield f'<div class="grade {report.grade}" aria-hidden="true">{report.grade}</div>'
    yield "<div>"
    yield '<p class="kind">Mutual TLS endpoint test</p>'
    yield f"<h1>{escape(place.host)}<span>:{place.port}</span></h1>"
    yield f'<p class="verdict">Grade {report.grade}: {escape(GRADES[report.grade])}.</p>'
    yield f'<p class="facts">{escape(_facts(report))}</p>'
    yield "</div>"
    yield "</header>"
    yield from _findings("Why this grade", report.reasons, "Nothing was found that keeps it from the best grade.")
    for name, rows in sections(report):
        yield from _section(name, rows)
    remarks = tuple(finding for finding in report.findings if finding not in report.reasons)
    if remarks:
        yield from _findings("Remarks", remarks, "")
    made = f"mtlspolicy {__version__}, {seen.connections} connections"
    yield f"<footer><p>{escape(_legend())}</p><p>{escape(made)}</p></footer>"


def _facts(report: Report) -> str:
    seen, place = report.seen, report.seen.place
    named = "" if place.server_name == place.host else f" as {place.server_name}"
    return f"{place.address}{named} · {seen.at:%d %B %Y, %H:%M:%S} UTC"


def _legend() -> str:
    return "   ".join(f"{sign} {meaning}" for sign, meaning in _MARKS.values())


def _findings(title: str, findings: tuple[Finding, ...], nothing: str) -> Iterator[str]:
    yield f"<section><h2>{escape(title)}</h2>"
    if not findings:
        yield f'<p class="nothing">{escape(nothing)}</p></section>'
        return
    yield '<ul class="findings">'
    for finding in findings:
        kind = finding.kind
        yield f'<li><span class="badge {kind.grade}">{kind.grade}</span><div>'
        yield f"<h3>{escape(kind.title)} <code>{escape(finding.code)}</code></h3>"
        yield f"<p>{_text(finding.text)}</p>"
        if kind.remedy:
            yield f'<p class="remedy">{_text(kind.remedy)}</p>'
        yield "</div></li>"
    yield "</ul></section>"


def _section(title: str, rows: tuple[Row, ...]) -> Iterator[str]:
    yield f"<section><h2>{escape(title)}</h2><table><tbody>"
    for row in rows:
        sign, meaning = _MARKS[row.mark]
        yield (
            f'<tr class="{row.mark}"><td class="mark" title="{meaning}">{sign}</td>'
            f'<th scope="row">{escape(row.name)}</th><td>{_text(row.text)}</td></tr>'
        )
    yield "</tbody></table></section>"


def _text(text: str) -> str:
    """Return *text* for HTML, where short words with hyphens, such as flags, dates and curves, stay on one line."""
    return _HYPHENATED.sub(r"<span>\g<0></span>", escape(text))
