"""``integrations.grpc`` with real servers: the cases of `grpc_cases`, which run in a process of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.integrations.in_a_process import names_of, results_of

CASES: Final = Path(__file__).with_name("grpc_cases.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run all cases, and return what is wrong with each variant of each."""
    return results_of(CASES, tmp_path_factory.mktemp("grpc"))


@pytest.mark.timeout(300)  # all cases together take six seconds on two idle cores
@pytest.mark.parametrize("name", names_of(CASES))
def test_with_real_servers(results: dict[str, list[str]], name: str) -> None:
    """Each case of `grpc_cases` has run, in all its variants, and found nothing wrong."""
    assert results[name] == []
