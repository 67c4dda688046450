"""A directory of tenants that tests write, and a clock that they set. What they share lies in `layout`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from mtlspolicy.tenants._keeper import Keeper
from tests.tenants.layout import Clock, Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return an empty directory to lay files out in."""
    root = tmp_path / "trust"
    root.mkdir()
    return Layout(root)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that every `Keeper` made in this test reads."""
    made = Clock()
    monkeypatch.setattr(Keeper, "_clock", staticmethod(made))
    return made
