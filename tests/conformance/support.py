"""What the conformance tests share: public test data, a ledger of what differs and why, and the five outcomes.

The data lie beside the repository and are not part of it; without them these tests are skipped.
"""

from __future__ import annotations

import enum
import gzip
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

DATA: Final = Path(__file__).parents[2].parent / "shared" / "conformance"
LEDGERS: Final = Path(__file__).parent


class Result(enum.Enum):
    """The five outcomes of a case. The last two fail the build."""

    PASS = "the expected answer"
    SKIPPED = "not judged, for a reason that the ledger states"
    DIVERGENCE = "another answer, for a reason that the ledger states"
    UNEXPECTED_FAILURE = "another answer, and the ledger does not know of it"
    UNEXPECTED_SUCCESS = "the expected answer, and the ledger says otherwise"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a ledger says of one case: whether it is judged at all, and why its answer is another one."""

    skipped: bool
    why: str


class Ledger:
    """What differs, by suite, profile and case; each entry has its reason."""

    def __init__(self, name: str) -> None:
        rows = tomllib.loads((LEDGERS / name).read_text(encoding="utf-8"))["entry"]
        self.entries: dict[tuple[str, str, str], Entry] = {}
        for row in rows:
            entry = Entry(skipped={"skipped": True, "divergence": False}[row["kind"]], why=row["why"])
            for suite in row["suites"]:
                for profile in row["profiles"]:
                    for case in row["cases"]:
                        assert (suite, profile, case) not in self.entries, f"{case} is in the ledger twice"
                        self.entries[suite, profile, case] = entry

    def of(self, suite: str, profile: str) -> Mapping[str, Entry]:
        """Return the entries for one run, by case."""
        return {case: entry for (one, other, case), entry in self.entries.items() if (one, other) == (suite, profile)}


@dataclass(frozen=True, slots=True)
class Run:
    """One suite under one profile: for each case its outcome, and what was expected and answered."""

    results: Mapping[str, Result]
    valid_accepted: int
    valid: int
    invalid_rejected: int
    invalid: int

    @property
    def broken(self) -> dict[str, Result]:
        """The cases that fail the build."""
        bad = {Result.UNEXPECTED_FAILURE, Result.UNEXPECTED_SUCCESS}
        return {case: result for case, result in self.results.items() if result in bad}

    def __str__(self) -> str:
        """Report accepted and rejected apart: an engine that refuses everything agrees with most cases."""
        counts = Counter(result.name for result in self.results.values())
        return (
            f"valid accepted {self.valid_accepted} of {self.valid}, invalid rejected {self.invalid_rejected} of "
            f"{self.invalid}; {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}"
        )


def judge(answers: Iterable[tuple[str, bool, bool]], entries: Mapping[str, Entry]) -> Run:
    """Return the run of *answers*: case, whether it is valid, whether it was accepted."""
    results: dict[str, Result] = {}
    counts: Counter[tuple[bool, bool]] = Counter()
    for case, valid, accepted in answers:
        entry = entries.get(case)
        if entry is not None and entry.skipped:
            results[case] = Result.SKIPPED
            continue
        counts[valid, accepted] += 1
        if valid == accepted:
            results[case] = Result.PASS if entry is None else Result.UNEXPECTED_SUCCESS
        else:
            results[case] = Result.UNEXPECTED_FAILURE if entry is None else Result.DIVERGENCE
    unknown = entries.keys() - results.keys()
    assert not unknown, f"the ledger knows cases that the suite does not have: {sorted(unknown)}"
    return Run(
        results,
        valid_accepted=counts[True, True],
        valid=counts[True, True] + counts[True, False],
        invalid_rejected=counts[False, False],
        invalid=counts[False, False] + counts[False, True],
    )


def load(name: str, key: str) -> list[dict[str, Any]]:
    """Return the cases of the data file *name*; skip the module where it is not there."""
    path = DATA / f"{name}.json.gz"
    if not path.exists():
        pytest.skip(f"no conformance data: {path.name} is not in ../shared/conformance", allow_module_level=True)
    cases: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))[key]
    return cases
