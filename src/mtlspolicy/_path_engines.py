"""Which path engines there are, and what each is asked. One is chosen when a verifier is made, and no other is tried.

It decides nothing about a path.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Protocol

from mtlspolicy._path_engine import failure
from mtlspolicy._path_search import Candidate
from mtlspolicy._profile import PathProfile, Purpose
from mtlspolicy.errors import ConfigurationError

__all__ = ["PATH_ENGINES", "PathEngine", "path_engine_named"]

PATH_ENGINES: Final = ("cryptography", "openssl")


class PathEngine(Protocol):
    """A function that says why a candidate path is not valid, or ``None`` where it is."""

    def __call__(
        self, candidate: Candidate, *, profile: PathProfile, purpose: Purpose, at: datetime, memo: dict[bytes, Any]
    ) -> str | None:
        """Return the reason; arguments as for `mtlspolicy._path_engine.failure`."""


def path_engine_named(name: str, profile: PathProfile) -> PathEngine:
    """Return the path engine called *name*.

    Raises:
        ConfigurationError: There is none, it is not installed, or the profile asks no engine.
    """
    if name not in PATH_ENGINES:
        raise ConfigurationError(f"path_engine={name!r}: use one of {', '.join(PATH_ENGINES)}")
    if name == "cryptography":
        return failure
    if profile is PathProfile.DIRECT:
        raise ConfigurationError(
            "PathProfile.DIRECT follows one signature and asks no path engine: leave path_engine out"
        )
    from mtlspolicy import _path_openssl

    _path_openssl.crypto()
    return _path_openssl.failure
