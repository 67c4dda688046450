"""`lazy`: computed once, kept in the instance, documented on the class."""

from __future__ import annotations

import pytest

from mtlspolicy._lazy import lazy


class Counted:
    """Counts how often its attribute is computed."""

    def __init__(self) -> None:
        self.computed = 0

    @lazy
    def value(self) -> int:
        """What is counted."""
        self.computed += 1
        return self.computed

    @lazy
    def broken(self) -> int:
        """What cannot be had."""
        self.computed += 1
        raise ValueError("not to be had")


def test_computed_once() -> None:
    """The first read computes the value, every further one finds it."""
    counted = Counted()
    assert (counted.value, counted.value, counted.computed) == (1, 1, 1)


def test_each_instance_has_its_own() -> None:
    """A value belongs to one instance."""
    first, second = Counted(), Counted()
    assert first.value == 1
    assert second.computed == 0


def test_failure_is_not_kept() -> None:
    """What raises is tried again, and raises again."""
    counted = Counted()
    for _ in range(2):
        with pytest.raises(ValueError, match="not to be had"):
            counted.broken  # noqa: B018 - reading is the test
    assert counted.computed == 2


def test_on_the_class_it_is_itself() -> None:
    """Read on the class it is the attribute with its documentation, for those who document."""
    assert isinstance(Counted.value, lazy)
    assert Counted.value.__doc__ == "What is counted."
