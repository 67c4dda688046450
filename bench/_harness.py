"""Measures by turns and compares medians. It decides whether a figure is within its budget, never a test.

A side is a callable that runs one round and returns what that round cost. The rounds of all sides are interleaved, and
one side always runs twice, under two names: the ratio of these two (A/A) shows how much of a difference is noise.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

Side: TypeAlias = Callable[[], float]
"""Runs one round; returns its cost for one piece of work, in seconds unless said otherwise."""
Work: TypeAlias = Callable[[], object]


def timed(work: Work, *, number: int = 1, clock: Callable[[], float] = time.thread_time) -> Side:
    """Return the side that does *work* *number* times a round.

    Args:
        work: What is measured.
        number: How often it is done in one round; a round should last a few hundred microseconds at least.
        clock: Seconds; by default the CPU time of this thread, which other programs on the machine disturb least.
    """

    def side() -> float:
        turns = range(number)
        start = clock()
        for _ in turns:
            work()
        return (clock() - start) / number

    return side


def timed_each(prepare: Callable[[], Sequence[Work]], *, clock: Callable[[], float] = time.thread_time) -> Side:
    """Return the side that makes its pieces of work anew each round, outside the time, and does each of them once."""

    def side() -> float:
        works = prepare()
        start = clock()
        for work in works:
            work()
        return (clock() - start) / len(works)

    return side


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector from running in the middle of somebody's round."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def interleave(sides: Sequence[Side], *, rounds: int) -> list[list[float]]:
    """Return the costs of each side, in the order of *sides*: one for each round.

    The order rotates from round to round, so that no side always follows the same other one. One round before these is
    run and thrown away.
    """
    costs: list[list[float]] = [[] for _ in sides]
    with without_collector():
        for side in sides:
            side()
        for turn in range(rounds):
            for place in range(len(sides)):
                at = (turn + place) % len(sides)
                costs[at].append(sides[at]())
            gc.collect()
    return costs


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of a run.

    Attributes:
        subject: Median cost of what is judged.
        baseline: Median cost of what it is compared with, both runs of it together.
        control: Median of the second run of the baseline over that of the first: 1.00 on a quiet machine.
        rounds: Rounds that the medians are over.
    """

    subject: float
    baseline: float
    control: float
    rounds: int

    @property
    def ratio(self) -> float:
        """Cost of the subject over cost of the baseline."""
        return self.subject / self.baseline

    @property
    def speed(self) -> float:
        """How many pieces of work the subject does in the time in which the baseline does one."""
        return self.baseline / self.subject


def compare(subject: Side, baseline: Side, *, rounds: int, again: Side | None = None) -> Comparison:
    """Return how *subject* compares with *baseline*, both in one run.

    Args:
        subject: What is judged.
        baseline: What it is compared with.
        rounds: Rounds of each.
        again: The baseline's second run, where it is another object (a second server of the same kind).
    """
    judged, first, second = interleave((subject, baseline, again or baseline), rounds=rounds)
    control = statistics.median(second) / statistics.median(first)
    return Comparison(statistics.median(judged), statistics.median(first + second), control, rounds)


def cost(subject: Side, *, rounds: int) -> Comparison:
    """Return the cost of *subject*, for a budget in seconds; it runs under both names."""
    first, second = interleave((subject, subject), rounds=rounds)
    median = statistics.median(first + second)
    return Comparison(median, median, statistics.median(second) / statistics.median(first), rounds)


@dataclass(frozen=True, slots=True)
class Budget:
    """A bound of the design's speed table, in the unit of the row."""

    sense: Literal["<=", ">="]
    limit: float

    def holds(self, value: float) -> bool:
        """Return whether *value* is within the bound."""
        return value <= self.limit if self.sense == "<=" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.sense} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: What was measured, against what.
        value: The figure.
        unit: ``x`` for a ratio, else ``us``, ``ms`` or ``MB``.
        control: The A/A ratio of the same run; ``None`` where there is none to be had.
        budget: The bound, or ``None`` for a figure that is only shown.
        note: Both medians, the number of rounds, or why there is no figure.
    """

    name: str
    value: float | None
    unit: str = "x"
    control: float | None = None
    budget: Budget | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``ok``, ``over``, ``skipped``, or nothing where there is no budget."""
        if self.value is None:
            return "skipped"
        if self.budget is None:
            return ""
        return "ok" if self.budget.holds(self.value) else "over"

    def line(self) -> str:
        """Return the row as text, in columns."""
        value = (
            "-"
            if self.value is None
            else f"{self.value:.3g} {self.unit}"
            if self.unit != "x"
            else f"{self.value:.3f} x"
        )
        control = "" if self.control is None else f"{self.control:.3f}"
        budget = "" if self.budget is None else str(self.budget)
        return f"{self.name:<74} {value:>12} {control:>7} {budget:>8} {self.verdict:<7} {self.note}".rstrip()

    def as_dict(self) -> dict[str, object]:
        """Return the row as plain values."""
        return {
            "name": self.name, "value": self.value, "unit": self.unit, "control": self.control,
            "budget": None if self.budget is None else str(self.budget), "verdict": self.verdict, "note": self.note,
        }  # fmt: skip


HEADER = f"{'work':<74} {'figure':>12} {'A/A':>7} {'budget':>8}"


def at_most(limit: float) -> Budget:
    """Return the bound ``<= limit``."""
    return Budget("<=", limit)


def at_least(limit: float) -> Budget:
    """Return the bound ``>= limit``."""
    return Budget(">=", limit)


def ratio_row(name: str, found: Comparison, budget: Budget | None) -> Row:
    """Return the row for a cost against another cost: smaller is better."""
    note = f"{_time(found.subject)} against {_time(found.baseline)}, {found.rounds} rounds"
    return Row(name, found.ratio, "x", found.control, budget, note)


def speed_row(name: str, found: Comparison, budget: Budget | None) -> Row:
    """Return the row for a throughput against another: larger is better."""
    note = f"{_time(found.subject)} against {_time(found.baseline)}, {found.rounds} rounds"
    return Row(name, found.speed, "x", found.control, budget, note)


def cost_row(name: str, found: Comparison, unit: Literal["us", "ms"], budget: Budget | None) -> Row:
    """Return the row for a cost in seconds, shown in *unit*."""
    scale = {"us": 1e6, "ms": 1e3}[unit]
    return Row(name, found.subject * scale, unit, found.control, budget, f"{found.rounds} rounds")


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.4g} us" if seconds < 1e-3 else f"{seconds * 1e3:.4g} ms"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: everything, or as little as shows that it runs."""

    quick: bool = False

    def rounds(self, full: int) -> int:
        """Return the number of rounds where a full run has *full*."""
        return 1 if self.quick else full

    def size(self, full: int, quick: int) -> int:
        """Return the size of a list, a pool or a batch."""
        return quick if self.quick else full
