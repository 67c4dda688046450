"""What the tests of this folder share: the public cases, and a ledger that says of each case what became of it."""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

# so that tests.conformance.support is found however pytest was started
sys.path.insert(0, str(Path(__file__).parents[2]))

DATA: Final = Path(__file__).parents[2].parent / "shared" / "conformance"

Case: TypeAlias = Mapping[str, Any]
LoadCases: TypeAlias = Callable[[str], Sequence[Case]]
Ledger: TypeAlias = Callable[[Sequence[Case], Callable[[Case], bool | str], Mapping[str, str]], dict[str, int]]


@pytest.fixture(scope="session")
def load_cases() -> LoadCases:
    """Return a function that reads the cases of a data file; it skips the test where the data are not there."""

    def load(name: str) -> Sequence[Case]:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"no conformance data: {name} is not in ../shared/conformance")
        content: Any = json.loads(gzip.decompress(path.read_bytes()))
        cases: Sequence[Case] = content["cases"] if isinstance(content, dict) else content
        return cases

    return load


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """Return a function that counts outcomes; a difference without a reason, or a reason without one, fails."""

    def count(
        cases: Sequence[Case], agrees: Callable[[Case], bool | str], divergences: Mapping[str, str]
    ) -> dict[str, int]:
        outcomes = {str(case["id"]): _outcome(agrees(case), known=case["id"] in divergences) for case in cases}
        unknown = divergences.keys() - outcomes.keys()
        assert not unknown, f"the ledger knows cases that the suite does not have: {sorted(unknown)}"
        bad = {case: outcome for case, outcome in outcomes.items() if outcome.startswith("unexpected")}
        assert not bad, bad
        return dict(Counter(outcomes.values()))

    return count


def _outcome(answer: bool | str, *, known: bool) -> str:
    """Return one of the five outcomes; text instead of an answer is the reason why a case is not judged."""
    if isinstance(answer, str):
        return "skipped"
    if answer:
        return "unexpected success" if known else "pass"
    return "known divergence" if known else "unexpected failure"
