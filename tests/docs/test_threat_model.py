"""The threat model lists every attack with the tests that show the defence, and these tests exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = TESTS.parent / "docs" / "explanation" / "threat-model.md"
REFERENCE: Final = re.compile(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`")
LISTED: Final = (
    "Attacks on the connection",
    "Attacks on the path",
    "Attacks on names and pins",
    "Attacks on forwarded certificates",
    "Attacks between tenants",
    "Attacks on revocation",
    "Attacks on tokens and OAuth clients",
    "Mistakes that would admit",
)


def _sections() -> dict[str, str]:
    """Return the text below each heading of the second level."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    return {heading: text for heading, _, text in (part.partition("\n") for part in parts)}


def _entries() -> list[str]:
    """Return every entry of the list, as one line each."""
    sections = _sections()
    return [" ".join(entry.split()) for name in LISTED for entry in re.split(r"\n\* ", sections[name])[1:]]


@cache
def _tests_in(path: str) -> frozenset[str]:
    """Return the names of the test functions in the file *path* below the folder of the tests."""
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


def test_every_entry_names_a_test() -> None:
    """An attack without a test that shows the defence is not listed."""
    assert [entry[:80] for entry in _entries() if not REFERENCE.search(entry)] == []


def test_every_named_test_exists() -> None:
    """A test that is renamed or removed takes its entry with it."""
    named = {match for entry in _entries() for match in REFERENCE.findall(entry)}
    missing = {f"{path}::{name}" for path, name in named if not (TESTS / path).is_file() or name not in _tests_in(path)}
    assert missing == set()


def test_every_attack_that_was_carried_out_is_listed() -> None:
    """Each test below ``tests/attacks`` is named in the list, so that no defence is lost out of sight."""
    named = {match for entry in _entries() for match in REFERENCE.findall(entry)}
    paths = [path.relative_to(TESTS).as_posix() for path in (TESTS / "attacks").glob("test_*.py")]
    assert paths
    assert {(path, name) for path in paths for name in _tests_in(path)} - named == set()


def test_nothing_else_looks_like_a_test() -> None:
    """What is written like the name of a test is read as one, so that no typing error goes unnoticed."""
    text = " ".join(_entries())
    assert len(re.findall(r"::", text)) == len(REFERENCE.findall(text))


def test_the_list_is_read_whole() -> None:
    """Every entry begins with the attack in bold type, each once, and the list is as long as it was."""
    attacks = [re.match(r"\*\*(.+?)\*\*", entry) for entry in _entries()]
    assert all(attacks)
    titles = [attack[1] for attack in attacks if attack is not None]
    assert len(set(titles)) == len(titles)
    assert len(titles) >= 190
