"""How text is laid out: columns, folded explanations, quoted commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mtlspolicy.cli._output import fold, program, shell, table

LONG = "detail " * 20


def test_a_table_is_as_wide_as_its_cells() -> None:
    """Columns are aligned, and lines have no blanks at their end."""
    assert table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "---  --", "ccc  d"]


def test_what_fits_is_left_as_it_is() -> None:
    """A line that fits is not touched."""
    assert (
        fold("DENY  x.y      path: none\n  - clause   x.y   short")
        == "DENY  x.y      path: none\n  - clause   x.y   short"
    )


def test_what_does_not_fit_goes_below() -> None:
    """The detail of a line that is too long goes below its reason code, the path below the verdict."""
    folded = fold(
        f"DENY  all of 2      path: {'CN=x < ' * 12}\n    - Clause('a.b')     area.fact      {LONG}", indent=" "
    )
    lines = folded.splitlines()
    assert lines[0] == " DENY  all of 2"
    assert lines[1].startswith("       path: CN=x")
    assert lines[2] == "     - Clause('a.b')     area.fact"
    assert lines[3].startswith("           detail detail")
    assert max(map(len, lines[2:])) <= 100


def test_a_line_of_another_shape_is_wrapped() -> None:
    """A note that is too long is wrapped."""
    lines = fold(f"  note: {LONG}").splitlines()
    assert lines[0].startswith("  note: detail")
    assert lines[1].startswith("        detail")
    assert max(map(len, lines)) <= 100


def test_commands_are_quoted_and_printable() -> None:
    """A word that a shell would read otherwise is quoted, and none can control a terminal."""
    assert shell("a", "it's b", "$(c)") == "a 'it'\"'\"'s b' '$(c)'"
    assert shell("\x1b[31m") == "'\\x1b[31m'"


@pytest.mark.parametrize(
    ("called", "said"),
    [
        ("/site/mtlspolicy/__main__.py", " -m mtlspolicy"),
        ("/venv/bin/mtlspolicy", "mtlspolicy"),
        ("/site/pytest/__main__.py", "mtlspolicy"),
        ("", "mtlspolicy"),
    ],
)
def test_commands_to_copy_are_called_as_this_one(monkeypatch: pytest.MonkeyPatch, called: str, said: str) -> None:
    """Where the program is not on the search path it was called as a module, and so is the next command."""
    monkeypatch.setattr(sys, "argv", [called])
    assert program() == (f"{Path(sys.executable).name}{said}" if said.startswith(" ") else said)
