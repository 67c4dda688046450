"""Traefik as its how-to page sets it up: in front of a program of ours, verifying clients or leaving that to us."""

from __future__ import annotations

from base64 import b64encode
from contextlib import AbstractContextManager
from pathlib import Path

from .conftest import Site  # noqa: TID252 - tests are no package that could be named
from .front import Setup  # noqa: TID252 - the same
from .pages import without_sanitising  # noqa: TID252 - the same
from .rules import HTTP2Rules, Proxied, ProxyRules, UnverifiedRules  # noqa: TID252 - the same
from .traefik import PAGE, behind_traefik, traefik_that_trusts_headers  # noqa: TID252 - the same


def unverified(text: str) -> str:
    """Return the configuration in which it verifies nothing."""
    return PAGE.changed(text, 0)


class TestTraefik(ProxyRules, HTTP2Rules):
    """As the page begins."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Traefik as the page begins."""
        return behind_traefik(Setup(certificates, folder))


class TestTraefikUnverified(UnverifiedRules):
    """With the change that leaves it to the program."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Traefik with the change, and the program as the page then has it."""
        return behind_traefik(Setup(certificates, folder, unverified))


class TestTraefikThatTrustsHeaders(ProxyRules, HTTP2Rules):
    """With an entry point that keeps what clients send in ``X-Forwarded-*``, as it does behind a balancer."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Traefik as the page begins, but for the entry point."""
        return behind_traefik(Setup(certificates, folder), traefik_that_trusts_headers)


def _without_removal(text: str) -> str:
    assert text.count("[remove-header, client-certificate]") == 1
    return text.replace("[remove-header, client-certificate]", "[client-certificate]")


def test_without_removal_a_client_without_certificate_is_whoever_it_likes(site: Site, tmp_path: Path) -> None:
    """What the page warns of is so, and the attacks here are real: the middleware that writes does not remove."""
    body, issuer = (b64encode(one.der).decode("ascii") for one in (site.clients["frodo"], site.issuing))
    forged = f"X-Forwarded-Tls-Client-Cert: {body},{issuer}"
    with behind_traefik(Setup(site.folder, tmp_path, _without_removal), traefik_that_trusts_headers) as proxied:
        assert proxied.ask("sam", forged).identity == "sam"
        assert proxied.ask(None, forged).identity == "frodo"


def test_the_entry_point_removes_the_header_as_well(site: Site, tmp_path: Path) -> None:
    """A router that lacks both forwards nothing at all, as long as no forwarded headers are trusted."""
    with behind_traefik(Setup(site.folder, tmp_path, without_sanitising)) as proxied:
        assert proxied.ask("frodo", "X-Forwarded-Tls-Client-Cert: AAAA").identity is None
