"""The benchmark's harness computes the ratios it claims, and `python -m bench --quick` runs. No figure is asserted."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    """The harness, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("bench_harness", ROOT / "bench" / "_harness.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_medians_and_ratios(harness: ModuleType) -> None:
    """The ratio is of medians, the warm-up round does not count, and the control compares the two baselines."""
    subject = iter([1000.0, 6.0, 9.0, 6.0])
    first = iter([1000.0, 2.0, 2.0, 50.0])
    second = iter([1000.0, 3.0, 3.0, 3.0])
    found = harness.compare(lambda: next(subject), lambda: next(first), rounds=3, again=lambda: next(second))
    assert (found.subject, found.baseline, found.control, found.rounds) == (6.0, 3.0, 1.5, 3)
    assert (found.ratio, found.speed) == (2.0, 0.5)


def test_sides_take_turns(harness: ModuleType) -> None:
    """Every side runs once a round, none always after the same other, and each keeps its own costs."""
    calls: list[str] = []

    def side(name: str, cost: float) -> float:
        calls.append(name)
        return cost

    costs = harness.interleave([lambda: side("a", 1.0), lambda: side("b", 2.0)], rounds=2)
    assert costs == [[1.0, 1.0], [2.0, 2.0]]
    assert calls == ["a", "b", "a", "b", "b", "a"]


def test_cost_of_one_side(harness: ModuleType) -> None:
    """A cost without a baseline runs the same side under both names."""
    values = itertools.cycle([4.0])
    found = harness.cost(lambda: next(values), rounds=5)
    assert (found.subject, found.control, found.ratio) == (4.0, 1.0, 1.0)


def test_time_is_for_one_piece_of_work(harness: ModuleType) -> None:
    """A round's time is divided by the pieces of work in it; what prepares them is outside the time."""
    moments = iter([10.0, 14.0])
    done: list[int] = []
    side = harness.timed(lambda: done.append(1), number=2, clock=lambda: next(moments))
    assert (side(), len(done)) == (2.0, 2)

    def clock() -> Iterator[float]:
        assert prepared == [True]
        yield 0.0
        assert len(done) == 6
        yield 8.0

    prepared: list[bool] = []

    def prepare() -> list[object]:
        prepared.append(True)
        return [lambda: done.append(1)] * 4

    ticks = clock()
    each = harness.timed_each(prepare, clock=lambda: next(ticks))
    assert each() == 2.0


def test_the_collector_rests_and_comes_back(harness: ModuleType) -> None:
    """While sides are timed nothing is collected, and afterwards the collector is as it was."""
    seen: list[bool] = []

    def side() -> float:
        seen.append(gc.isenabled())
        return 1.0

    harness.interleave([side], rounds=1)
    assert seen == [False, False]
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("sense", "value", "verdict"), [("<=", 1.5, "ok"), ("<=", 1.6, "over"), (">=", 1.5, "ok"), (">=", 1.4, "over")]
)
def test_budgets(harness: ModuleType, sense: str, value: float, verdict: str) -> None:
    """A figure on the bound is within it."""
    assert harness.Row("", value, budget=harness.Budget(sense, 1.5)).verdict == verdict


def test_rows_in_text(harness: ModuleType) -> None:
    """A row shows figure, control, budget and verdict; one without a figure says why."""
    row = harness.Row("work", 1.25, "x", 0.99, harness.at_most(1.5), "3 rounds")
    assert row.line().split() == ["work", "1.250", "x", "0.990", "<=", "1.5", "ok", "3", "rounds"]
    assert harness.Row("work", None, note="not installed").line().split() == [
        "work",
        "-",
        "skipped",
        "not",
        "installed",
    ]
    assert harness.Row("work", 1.25).verdict == ""


@pytest.mark.timeout(300)  # a quarter of a minute on two idle cores
def test_a_quick_run_prints_every_row(tmp_path: Path) -> None:
    """`python -m bench --quick` ends with status 0 and a line for each row, whatever the figures are."""
    written = tmp_path / "rows.json"
    command = [sys.executable, "-m", "bench", "--quick", "--json", str(written)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(written.read_text(encoding="utf-8"))
    assert len(rows) == len(done.stdout.splitlines()) - 2
    assert all(row["verdict"] in {"", "ok", "over", "skipped"} for row in rows)
    assert all(row["value"] is not None or row["note"] for row in rows)


def test_an_unknown_group_is_named() -> None:
    """A misspelt group is an error that names the groups there are."""
    command = [sys.executable, "-m", "bench", "verfy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 2
    assert "unknown: verfy; there are verify, " in done.stderr
