"""What is in ``examples/`` is run by a test, and is as short as it claims to be."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
RUN: Final = {
    "aiohttp": ("tests/examples/test_aiohttp_example.py",),
    "django": ("tests/examples/test_frameworks.py",),
    "fastapi": ("tests/examples/test_frameworks.py",),
    "flask": ("tests/examples/test_frameworks.py",),
    "grpc": ("tests/examples/test_grpc_example.py",),
    "lorawan": ("tests/examples/test_lorawan.py", "tests/examples/test_eui.py", "tests/interop/test_lorawan.py"),
    "oauth": ("tests/interop/test_oauth.py",),
}
"""The tests that run the programs of each folder, alone or behind a real proxy."""
LONG: Final = frozenset({"oauth"})
"""Folders with whole servers, whose lines are those of any OAuth server."""
MOST: Final = 15


def test_every_folder_is_run() -> None:
    """No folder is there that no test runs, and no test is named that is not there."""
    folders = {path.name for path in EXAMPLES.iterdir() if any(path.glob("*.py"))}
    assert folders == set(RUN)
    for name, tests in RUN.items():
        for test in tests:
            assert (ROOT / test).is_file(), f"{name}: {test}"


@pytest.mark.parametrize("name", sorted(set(RUN) - LONG))
def test_the_application_is_short(name: str) -> None:
    """Besides imports, the docstring, comments and blank lines the application has at most fifteen lines."""
    text = (EXAMPLES / name / "app.py").read_text(encoding="utf-8")
    body = ast.parse(text).body
    left_out = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)] + body[:1]
    numbers = {line for node in left_out for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = [line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in numbers]
    assert 0 < len([line for line in lines if line and not line.startswith("#")]) <= MOST
