"""Caddy as its how-to page sets it up: in front of a program of ours, verifying clients or leaving that to us."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from .caddy import PAGE, behind_caddy  # noqa: TID252 - tests are no package that could be named
from .front import Setup  # noqa: TID252 - the same
from .rules import HTTP2Rules, Proxied, ProxyRules, UnverifiedRules  # noqa: TID252 - the same


def unverified(text: str) -> str:
    """Return the configuration in which it verifies nothing."""
    return PAGE.changed(text, 0)


class TestCaddy(ProxyRules, HTTP2Rules):
    """As the page begins."""

    forwarded = 1

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Caddy as the page begins."""
        return behind_caddy(Setup(certificates, folder))


class TestCaddyUnverified(UnverifiedRules):
    """With the change that leaves it to the program."""

    forwarded = 1

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Caddy with the change, and the program as the page then has it."""
        return behind_caddy(Setup(certificates, folder, unverified))
