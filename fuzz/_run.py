"""Runs one target on inputs that grow out of its seeds, and stops at the first that breaks its sentence.

It follows no coverage. An input with an outcome that was not seen before becomes a seed itself, which leads about as
deep as the messages of the errors tell things apart.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fuzz._material import VALUE, Target
from fuzz._mutator import Mutator

_MOST_FOUND: Final = 1000


class Broken(Exception):
    """The target's sentence does not hold for ``data``; the cause says why."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"an input of {len(data)} bytes")
        self.data = data


@dataclass
class Report:
    """What a run has shown.

    Attributes:
        inputs: How many inputs were run.
        values: How many of them were read as a value; none would mean that the target was never really reached.
        found: Inputs with an outcome that no seed had, by outcome.
        slowest: CPU seconds of the slowest input.
        slow_input: That input.
    """

    inputs: int = 0
    values: int = 0
    found: dict[str, bytes] = field(default_factory=dict)
    slowest: float = 0.0
    slow_input: bytes = b""

    def __str__(self) -> str:
        return (
            f"{self.inputs} inputs, {self.values} read, {len(self.found)} outcomes; slowest "
            f"{self.slowest * 1000:.1f} ms for {len(self.slow_input)} bytes"
        )


def run(
    target: Target, *, seed: int, inputs: int | None = None, seconds: float | None = None, corpus: Path | None = None
) -> Report:
    """Run *target* on its seeds and then on mutated inputs, and return what came of it.

    Args:
        target: What is run.
        seed: Of the mutations. The PKI of the targets is new in each process all the same.
        inputs: How many inputs at most; ``None``: as many as fit.
        seconds: How long at most, by the clock on the wall; ``None``: as long as it takes.
        corpus: A folder whose files are seeds besides, and which gets the inputs with new outcomes.

    Raises:
        Broken: The target raised something.
    """
    seeds = list(target.seeds)
    if corpus is not None:
        corpus.mkdir(parents=True, exist_ok=True)
        seeds += [path.read_bytes() for path in sorted(corpus.iterdir()) if path.is_file()]
    report, mutator = Report(), Mutator(seed, target.tokens)
    end = None if seconds is None else time.monotonic() + seconds
    waiting = list(seeds)
    while (inputs is None or report.inputs < inputs) and (end is None or time.monotonic() < end):
        data = waiting.pop(0) if waiting else mutator.mutated(seeds)
        outcome = _one(target, data, report)
        if outcome not in report.found and len(report.found) < _MOST_FOUND:
            report.found[outcome] = data
            seeds.append(data)
            if corpus is not None:
                (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return report


def _one(target: Target, data: bytes, report: Report) -> str:
    start = time.thread_time()
    try:
        outcome = target.run(data)
    except BaseException as error:  # RecursionError, MemoryError and pyo3's panic are findings as well
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Broken(data) from error
    took = time.thread_time() - start
    report.inputs += 1
    report.values += outcome == VALUE
    if took > report.slowest:
        report.slowest, report.slow_input = took, data
    return outcome
