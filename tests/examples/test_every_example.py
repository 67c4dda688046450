"""What is in ``examples/`` is run by a test, and is as short as it claims to be."""

from __future__ import annotations

import ast
from typing import Final

from tests.examples.lorawan import EXAMPLE

EXAMPLES: Final = EXAMPLE.parent
RUN: Final = {
    # as a program of its own, alone in test_lorawan.py here, behind Envoy in tests/interop
    "lorawan/app.py",
    # imported by app.py, and eui.py by test_eui.py
    "lorawan/eui.py",
    "lorawan/lns.py",
    # by a real Envoy in tests/interop
    "lorawan/envoy.yaml",
}
MOST: Final = 15


def test_every_file_is_run() -> None:
    """No file is in the folder that no test runs."""
    found = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*") if path.is_file()}
    assert {name for name in found if "__pycache__" not in name} == RUN


def test_the_application_is_short() -> None:
    """Besides imports, the docstring, comments and blank lines the application has at most fifteen lines."""
    text = (EXAMPLE / "app.py").read_text(encoding="utf-8")
    body = ast.parse(text).body
    left_out = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)] + body[:1]
    numbers = {line for node in left_out for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = [line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in numbers]
    assert 0 < len([line for line in lines if line and not line.startswith("#")]) <= MOST
