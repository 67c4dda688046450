"""``integrations.grpc`` with real servers: the cases of `grpc_cases`, which run in a process of their own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import pytest

CASES: Final = Path(__file__).with_name("grpc_cases.py")
NAMES: Final = [
    node.name
    for node in ast.parse(CASES.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]
REPOSITORY: Final = CASES.parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run all cases, and return what is wrong with each variant of each."""
    report = tmp_path_factory.mktemp("grpc") / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"--junit-xml={report}",
    ]
    path = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, str(CASES)], cwd=REPOSITORY, env={**environment, "PYTHONPATH": path}, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280,
    )  # fmt: skip
    assert report.is_file(), done.stdout.decode(errors="replace")
    found: dict[str, list[str]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest's own
        name = str(case.get("name")).partition("[")[0]
        wrong = [f"{case.get('name')}: {node.text}" for node in case if node.tag in {"failure", "error"}]
        found.setdefault(name, []).extend(wrong)
    return found


@pytest.mark.timeout(300)  # all cases together take six seconds on two idle cores
@pytest.mark.parametrize("name", NAMES)
def test_with_real_servers(results: dict[str, list[str]], name: str) -> None:
    """Each case of `grpc_cases` has run, in all its variants, and found nothing wrong."""
    assert results[name] == []
