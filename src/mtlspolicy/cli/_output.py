"""Prints: text that any terminal can show, tables, wrapped lines and colour on a terminal alone. Nothing else."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

from mtlspolicy._text import escape

WIDTH: Final = 100
"""Columns that are counted on."""
_TREE_LINE: Final = re.compile(r"((?:[A-Z]+  .*?  |.*? [a-z0-9-]+\.[a-z0-9.-]+  ))\s*((?:path: )?\S.*)")
"""A line of an explanation: what comes up to the verdict's clause or the reason code, and the rest."""
_COLOURS: Final = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}


def say(text: str = "") -> None:
    """Print *text* and a line feed on standard output."""
    _write(sys.stdout, text)


def complain(text: str) -> None:
    """Print *text* and a line feed on standard error."""
    _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    # A name may hold letters that the terminal's encoding has not: they are escaped, never a UnicodeEncodeError.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def program() -> str:
    """Return how this program was called, for lines that are to be called next: by name, or as a module of Python."""
    as_module = Path(sys.argv[0]).parts[-2:] == ("mtlspolicy", "__main__.py")
    return f"{Path(sys.executable).name} -m mtlspolicy" if as_module else "mtlspolicy"


def say_command(*words: object) -> None:
    """Print a command of ours that can be copied, such as ``mtlspolicy pki new DIR``."""
    say(f"  {program()} {shell(*words)}")


def say_json(value: object) -> None:
    """Print *value* as JSON in plain ASCII."""
    say(json.dumps(value, indent=2, ensure_ascii=True))


def has_colour() -> bool:
    """Return whether standard output is a terminal that shows colours and is wanted to (https://no-color.org)."""
    return (
        os.name == "posix"
        and sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def paint(text: str, colour: str) -> str:
    """Return *text* in a colour (``red``, ``green``, ``yellow``, ``bold``) where the output shows colours."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if has_colour() else text


def wrapped(text: str, *, first: str = "", rest: str = "") -> str:
    """Return *text* in lines of at most `WIDTH` columns, the first after *first* and the others after *rest*."""
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def fold(tree: str, *, indent: str = "") -> str:
    """Return an explanation with each line that is too long broken: what follows its reason code goes below it."""
    return "\n".join(piece for line in tree.splitlines() for piece in _folded(line, indent))


def _folded(line: str, indent: str) -> list[str]:
    if len(indent) + len(line) <= WIDTH:
        return [indent + line]
    found = _TREE_LINE.fullmatch(line)
    head, detail = (line.rstrip(), "") if found is None else (found[1].rstrip(), found[2])
    below = indent + " " * (len(line) - len(line.lstrip()) + 6)
    text = wrapped(detail, first=below, rest=below) if detail else ""
    return [*wrapped(head, first=indent, rest=below).splitlines(), *text.splitlines()]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return *rows* as lines whose columns are as wide as their widest cell; the first row is underlined."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def shell(*words: object) -> str:
    """Return *words* as one command for a shell, each quoted where it must be, and safe to print."""
    return escape(" ".join(shlex.quote(str(word)) for word in words), 4096)


def fields(row: Mapping[str, str | int | list[str]], *, indent: str = "") -> list[str]:
    """Return one line for each entry of *row*, names in a column; a list gives a line for each of its values."""
    width = max(map(len, row), default=0)
    lines: list[str] = []
    for name, value in row.items():
        values = value if isinstance(value, list) else [value]
        lines += [f"{indent}{name:<{width}}  {one}" for one in values]
    return lines
