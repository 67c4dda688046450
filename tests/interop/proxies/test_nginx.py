"""nginx as its how-to page sets it up: in front of a program of ours, verifying clients or leaving that to us."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from .conftest import Site  # noqa: TID252 - tests are no package that could be named
from .front import Setup  # noqa: TID252 - the same
from .nginx import PAGE, behind_nginx  # noqa: TID252 - the same
from .rules import Proxied, ProxyRules, UnverifiedRules  # noqa: TID252 - the same


def unverified(text: str) -> str:
    """Return the configuration in which it verifies nothing."""
    return PAGE.changed(text, 0)


class TestNginx(ProxyRules):
    """As the page begins."""

    forwarded = 1

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run nginx as the page begins."""
        return behind_nginx(Setup(certificates, folder))


class TestNginxUnverified(UnverifiedRules):
    """With the change that leaves it to the program."""

    forwarded = 1

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run nginx with the change, and the program as the page then has it."""
        return behind_nginx(Setup(certificates, folder, unverified, blocks=2))


def test_the_proxys_refusal_counts_unless_the_program_says_otherwise(site: Site, tmp_path: Path) -> None:
    """Where the proxy says that a certificate did not verify, and nobody said to expect that, it is refused as such."""
    with behind_nginx(Setup(site.folder, tmp_path, unverified)) as proxied:
        answer = proxied.ask("stranger")
        assert (answer.status, answer.code) == (403, "forwarded.not-verified")
        assert proxied.ask("frodo").identity == "frodo"
        assert proxied.ask(None).identity is None
