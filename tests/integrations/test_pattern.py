"""Every integration of a framework is asked in the same words."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FRAMEWORKS: Final = ("aiohttp", "aiosmtpd", "asgi", "django", "fastapi", "grpc", "tornado", "websockets", "wsgi")
OTHERS: Final = {
    "cheroot", "gunicorn", "hypercorn", "requests", "testing", "tunnel", "urllib3", "uvicorn", "werkzeug", "wsgiref",
}  # fmt: skip
"""Servers below ASGI and WSGI, clients, and what tests of applications need."""
WORDS: Final = {"peer", "peer_or_none", "presented", "require"}


def test_every_module_is_one_of_these() -> None:
    """A module that comes is an integration of a framework, and has the words, or is named here."""
    found = {path.stem for path in (ROOT / "src" / "mtlspolicy" / "integrations").glob("[a-z]*.py")}
    assert found == OTHERS.union(FRAMEWORKS)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_words_are_the_same(name: str) -> None:
    """``peer``, ``peer_or_none``, ``presented`` and ``require`` are there, and the reference has each."""
    module = import_module(f"mtlspolicy.integrations.{name}")
    assert set(module.__all__) >= WORDS
    assert all(hasattr(module, word) for word in WORDS)
    page = (ROOT / "docs" / "reference" / "integrations.md").read_text(encoding="utf-8")
    for word in WORDS:
        assert f"mtlspolicy.integrations.{name}.{word}\n" in page
