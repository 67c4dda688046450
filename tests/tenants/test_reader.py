"""Files from a caller's function: what it returns or raises is content, missing, or unreadable, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mtlspolicy.tenants._reader import FunctionReader, Missing, Unreadable


def _fetch(read: Callable[[str], Any], known: Any = None) -> Any:
    with FunctionReader(read, "index.json").look() as view:
        assert view.index() == ("index.json",)
        return view.fetch(("tenants", "red", "ca.pem"), known, 10)


def _raising(error: Exception) -> Callable[[str], Any]:
    def read(_name: str) -> bytes:
        raise error

    return read


def test_the_function_is_asked_by_name() -> None:
    """With slashes, from below the root; the same content has the same stamp."""
    asked: list[str] = []

    def read(name: str) -> bytes:
        asked.append(name)
        return b"one"

    data, stamp = _fetch(read)
    assert (asked, data) == (["tenants/red/ca.pem"], b"one")
    assert _fetch(lambda _: bytearray(b"one"), stamp) is None
    assert _fetch(lambda _: memoryview(b"two"), stamp)[0] == b"two"


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), KeyError("gone")])
def test_what_is_gone_is_missing(error: Exception) -> None:
    """Two ways to say that there is no such object."""
    with pytest.raises(Missing):
        _fetch(_raising(error))


@pytest.mark.parametrize("error", [PermissionError("no"), TimeoutError("late"), RuntimeError("x"), RecursionError()])
def test_whatever_else_it_raises_is_unreadable(error: Exception) -> None:
    """An outage is not a deletion."""
    with pytest.raises(Unreadable, match=f"cannot be read: {type(error).__name__}"):
        _fetch(_raising(error))


@pytest.mark.parametrize(
    ("value", "says"),
    [(None, "returned NoneType, not bytes"), ("text", "returned str, not bytes"), (b"x" * 11, "has 11 bytes; at most")],
)
def test_what_is_no_content_is_unreadable(value: Any, says: str) -> None:
    """Only bytes, and not too many."""
    with pytest.raises(Unreadable, match=says):
        _fetch(lambda _: value)
