"""The package's table of contents: what it lists is there, comes from one home, and is loaded when it is first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mtlspolicy


def test_at_most_forty_names() -> None:
    """The vocabulary fits on a page; families live in sub-packages."""
    assert len(mtlspolicy.__all__) <= 40
    assert sorted(set(mtlspolicy.__all__)) == sorted(mtlspolicy.__all__)
    assert dir(mtlspolicy) == sorted(mtlspolicy.__all__)


@pytest.mark.parametrize("name", mtlspolicy.__all__)
def test_every_listed_name_is_there(name: str) -> None:
    """Each name can be had, and the second time it is the same object."""
    value = getattr(mtlspolicy, name)
    assert value is not None
    assert getattr(mtlspolicy, name) is value
    if not isinstance(value, ModuleType | str):
        assert value.__name__ == name
        assert value.__module__.startswith("mtlspolicy.")


def test_the_names_of_the_documentation_are_listed() -> None:
    """What the documented examples import from the package is in the list."""
    documented = {"Decision", "Evidence", "Need", "PathProfile", "Policy", "Resolver", "TrustStore", "Verifier"}
    assert documented | {"policies", "testing", "tls", "VerifiedPeer", "Verdict"} <= set(mtlspolicy.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers, the list and the homes name the same things."""
    tree = ast.parse(Path(mtlspolicy.__file__).read_text(encoding="utf-8"))
    (guard,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.asname or alias.name for node in guard.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert typed | {"__version__"} == set(mtlspolicy.__all__)


def test_other_names_are_not_there() -> None:
    """A name that is not listed is an AttributeError, as with any module."""
    name = "Verifyer"
    with pytest.raises(AttributeError, match="module 'mtlspolicy' has no attribute 'Verifyer'"):
        getattr(mtlspolicy, name)


def test_importing_the_package_loads_nothing_else() -> None:
    """Neither `cryptography` nor `ssl` is loaded before a name is used; the core loads no network module either."""
    script = (
        "import sys, mtlspolicy; "
        "print([name for name in ('ssl', 'cryptography', 'asyncio', 'mtlspolicy._verifier') if name in sys.modules]); "
        "mtlspolicy.Verifier, mtlspolicy.TrustStore; "
        "print([name for name in ('ssl', 'asyncio', 'http.client', 'subprocess') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    first, second = done.stdout.splitlines()
    assert first == "[]"
    assert second == "[]", "with the verifier and the store at hand"
