"""Apache as its how-to page sets it up: in front of a program of ours, verifying clients or leaving that to us."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from .apache import PAGE, behind_apache  # noqa: TID252 - tests are no package that could be named
from .conftest import Site  # noqa: TID252 - the same
from .front import Setup  # noqa: TID252 - the same
from .pages import without_sanitising  # noqa: TID252 - the same
from .rules import Proxied, ProxyRules, UnverifiedRules  # noqa: TID252 - the same


def unverified(text: str) -> str:
    """Return the configuration in which it verifies nothing."""
    return PAGE.changed(text, 0)


class TestApache(ProxyRules):
    """As the page begins."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Apache as the page begins."""
        return behind_apache(Setup(certificates, folder))


class TestApacheUnverified(UnverifiedRules):
    """With the change that leaves it to the program."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Apache with the change, and the program as the page then has it."""
        return behind_apache(Setup(certificates, folder, unverified, blocks=2))


def test_the_proxys_refusal_counts_unless_the_program_says_otherwise(site: Site, tmp_path: Path) -> None:
    """Where the proxy says that a certificate did not verify, and nobody said to expect that, it is refused as such."""
    with behind_apache(Setup(site.folder, tmp_path, unverified)) as proxied:
        answer = proxied.ask("stranger")
        assert (answer.status, answer.code) == (403, "forwarded.not-verified")
        assert proxied.ask("frodo").identity == "frodo"
        assert proxied.ask(None).identity is None


CONNECTION: Final = "Connection: close, X-SSL-Client-Cert, X-SSL-Client-Verify, X-SSL-Client-Chain-0"


class TestApacheUnsanitised(ProxyRules):
    """Without the line that removes ``Connection``: Apache takes back its own headers, and the mark shows it."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Apache without what sanitises ``Connection``."""
        return behind_apache(Setup(certificates, folder, without_sanitising))

    def test_a_client_that_has_apaches_headers_removed_is_refused(self, proxied: Proxied) -> None:
        """With the mark or without it, what is missing of what Apache always writes is no absence of a certificate."""
        assert proxied.ask("sam", f"{CONNECTION}, X-Edge").code == "forwarded.marker"
        assert proxied.ask("sam", CONNECTION).code == "forwarded.companion"

    def test_the_attack_is_real(self, proxied: Proxied) -> None:
        """Apache forwards nothing of what its lines have set, but what the client has not named."""
        proxied.ask("sam", CONNECTION)
        names = {name.lower() for name, _ in proxied.backend.requests[-1]}
        assert not {b"x-ssl-client-cert", b"x-ssl-client-verify", b"x-ssl-client-chain-0"} & names
        assert b"x-edge" in names
