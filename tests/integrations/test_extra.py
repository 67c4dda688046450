"""A framework that is not installed: the error names the extra and the command, and only where it is the framework."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from mtlspolicy.integrations._extra import Extra

_FRAMEWORKS = {
    "_uvicorn_worker": ("uvicorn_worker", "gunicorn"),
    "aiohttp": ("aiohttp", "aiohttp"),
    "aiosmtpd": ("aiosmtpd", "aiosmtpd"),
    "cheroot": ("cheroot", "cheroot"),
    "django": ("django", "django"),
    "fastapi": ("fastapi", "fastapi"),
    "grpc": ("grpc", "grpc"),
    "hypercorn": ("hypercorn", "hypercorn"),
    "requests": ("requests", "requests"),
    "tornado": ("tornado", "tornado"),
    "urllib3": ("urllib3", "urllib3"),
    "websockets": ("websockets", "websockets"),
    "uvicorn": ("uvicorn", "uvicorn"),
    "werkzeug": ("werkzeug", "werkzeug"),
}

_WITHOUT = """
    import importlib, sys

    class Without:  # a Python in which the framework is not installed
        def find_spec(self, name, path=None, target=None):
            if name == framework:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Without())
    for module, framework in zip(sys.argv[1::2], sys.argv[2::2]):
        for name in list(sys.modules):  # whatever an earlier one has imported
            if f"{name}.".startswith((f"{framework}.", "mtlspolicy.integrations.")):
                del sys.modules[name]
        try:
            importlib.import_module(f"mtlspolicy.integrations.{module}")
        except ModuleNotFoundError as error:
            print(error.name, error, type(error.__cause__).__name__, sep="|")
"""


def test_each_integration_names_its_extra() -> None:
    """Where the framework is not there, the import of the integration says what to install."""
    pairs = [part for module, (framework, _) in _FRAMEWORKS.items() for part in (module, framework)]
    command = [sys.executable, "-c", textwrap.dedent(_WITHOUT), *pairs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.splitlines() == [
        f"{framework}|{framework} is not installed: it comes with the extra {extra}; "
        f'pip install "mtlspolicy[{extra}]"|ModuleNotFoundError'
        for framework, extra in _FRAMEWORKS.values()
    ]


@pytest.mark.parametrize(
    "inside",
    [
        ModuleNotFoundError("No module named 'h11'", name="h11"),
        ModuleNotFoundError("No module named 'framework.part'", name="framework.part"),
        ImportError("cannot import name 'old' from 'framework'", name="framework"),
    ],
)
def test_what_is_missing_inside_a_framework(inside: ImportError) -> None:
    """A dependency of the framework that is missing, or an old version of it, is no missing extra."""
    with pytest.raises(ImportError) as caught, Extra("framework"):
        raise inside
    assert caught.value is inside


def test_a_framework_that_is_there() -> None:
    """Nothing is said about an import that succeeds."""
    with Extra("json"):
        import json
    assert json.loads("1") == 1
