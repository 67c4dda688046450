"""The table of servers and clients says what tests have shown, and each of these tests is in the suite."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def support() -> types.ModuleType:
    """The script of the documentation, which is no part of the package."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT / "docs")  # where a script finds those beside it
        return importlib.import_module("support")


def test_every_yes_has_passed(support: types.ModuleType) -> None:
    """What a row names was run when the notes were written; if not, run ``python docs/support.py``."""
    assert set(support.tests()) == set(support.read()["passed"])


def test_the_page_has_the_table_of_the_notes(support: types.ModuleType) -> None:
    """The page says what rows and notes say now; if not, run ``python docs/generate.py``."""
    page = (ROOT / "docs" / "reference" / "support.md").read_text(encoding="utf-8")
    assert support.table(support.read()) in page


def test_every_row_has_every_cell(support: types.ModuleType) -> None:
    """What is not there is said with its reason, and not left out."""
    for _, rows, words in support.TABLES:
        for row in rows:
            assert set(row.cells) == set(words), row.name
        assert len({row.name for row in rows}) == len(rows)


@pytest.mark.timeout(180)  # other files are read by a Python of their own
@pytest.mark.skipif(sys.platform == "win32", reason="some of the servers are for Unix")
def test_every_test_of_the_table_is_in_the_suite(support: types.ModuleType) -> None:
    """A test that is renamed, or whose server is no longer a parameter, would leave a yes without anything below."""
    files = sorted({name.partition("::")[0] for name in support.tests()})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert set(support.tests()) - set(done.stdout.splitlines()) == set()
