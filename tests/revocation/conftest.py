"""What the tests of this folder share is in ``made`` and ``refreshing``: a CA, responses made by hand, a responder."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

# so that tests.revocation.made is found however pytest was started
sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture(autouse=True)
def _threads_of_former_tests_do_not_count() -> None:
    """Take note of what runs before a test."""
    from tests.revocation.refreshing import FORMER

    FORMER.clear()
    FORMER.update(threading.enumerate())
