"""Writes the table of servers and clients in ``reference/support.md`` from tests that it runs.

``python docs/support.py`` runs the tests that the rows name, and notes in ``reference/support.json`` which passed, and
with which versions, and ``docs/generate.py`` makes the table of that. A test holds page, notes and tests against each
other: every "yes" is a test of the suite, which fails when it becomes a "no".
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from support_clients import CLIENTS, PROGRAMS
from support_frameworks import FRAMEWORKS
from support_row import FEATURES, NEVER, OF_CLIENTS, OF_PROGRAMS, SERVER
from support_servers import SERVERS

ROOT: Final = Path(__file__).parents[1]
NOTES: Final = Path(__file__).parent / "reference" / "support.json"
_ASKED: Final = {row.name: "version" if row.name.startswith("openssl") else "--version" for row in PROGRAMS}
TABLES: Final = (
    ("server", SERVERS + FRAMEWORKS, FEATURES),
    ("client", CLIENTS, OF_CLIENTS),
    ("program", PROGRAMS, OF_PROGRAMS),
)


def tests() -> list[str]:
    """Return the ids of all tests that the rows name."""
    cells = [cell for _, rows, _ in TABLES for row in rows for cell in row.cells.values()]
    return sorted({cell for cell in cells if cell.startswith("tests/")})


class _Passed:
    """Takes note of the tests that pass."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take note of one step of a test."""
        if report.when == "call" and report.passed:
            self.ids.add(report.nodeid)


def table(notes: dict[str, Any]) -> str:
    """Return the Markdown tables that *notes* allow: a test that did not pass shows nothing."""
    parts = [f"With Python {notes['python']} on {notes['system']}.\n"]
    for title, rows, words in TABLES:
        parts.append(f"| {title} | " + " | ".join(words.values()) + " | version |")
        parts.append("|---" * (len(words) + 2) + "|")
        for row in rows:
            cells = [_cell(row.cells.get(name, NEVER), notes) for name in words]
            of_python = "" if rows is PROGRAMS else "of Python"
            tested = notes["versions"].get(row.package or row.name, of_python)
            parts.append(f"| {row.name} | {' | '.join(cells)} | {tested} |")
        parts.append("")
    return "\n".join(parts)


def _cell(cell: str, notes: dict[str, Any]) -> str:
    if not cell.startswith("tests/"):
        return cell if cell in {NEVER, SERVER} else f"no: {cell}"
    return "yes" if cell in notes["passed"] else "not shown"


def _version_of(*command: str) -> str:
    """Return the first number with dots that a program prints when it is asked for its version."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - those of `PROGRAMS`
    return re.findall(r"\d+(?:\.\d+)+", done.stdout + done.stderr)[0]


def read() -> dict[str, Any]:
    """Return the notes of the last run."""
    notes: dict[str, Any] = json.loads(NOTES.read_text(encoding="utf-8"))
    return notes


def main() -> int:
    """Run the tests and write the notes; return the exit status."""
    import pytest

    passed = _Passed()
    status = pytest.main(["-q", "-p", "no:cacheprovider", *tests()], plugins=[passed])
    packages = sorted({row.package for _, rows, _ in TABLES for row in rows if row.package})
    programs = {name: _version_of(name.split()[0].partition(",")[0].lower(), asked) for name, asked in _ASKED.items()}
    notes = {
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": {name: version(name) for name in packages} | programs,
        "passed": sorted(passed.ids),
    }
    NOTES.write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
