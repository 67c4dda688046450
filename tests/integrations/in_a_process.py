"""Runs the tests of a file in a process of its own, for what does not survive the forks of other tests."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]


def names_of(cases: Path) -> list[str]:
    """Return the names of the tests in the file *cases*."""
    body = ast.parse(cases.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def results_of(cases: Path, folder: Path) -> dict[str, list[str]]:
    """Run all tests of *cases*, and return what is wrong with each variant of each.

    Args:
        cases: The file.
        folder: For the report.
    """
    report = folder / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--junit-xml={report}"]
    path = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(cases)], cwd=REPOSITORY, check=False,
        env={**environment, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280,
    )  # fmt: skip
    assert report.is_file(), done.stdout.decode(errors="replace")
    found: dict[str, list[str]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest's own
        name = str(case.get("name")).partition("[")[0]
        wrong = [f"{case.get('name')}: {node.text}" for node in case if node.tag in {"failure", "error"}]
        found.setdefault(name, []).extend(wrong)
    return found
