"""Envoy as its how-to page sets it up: in front of a program of ours, verifying clients or leaving that to us."""

from __future__ import annotations

from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from .conftest import Site  # noqa: TID252 - tests are no package that could be named
from .envoy import PAGE, behind_envoy  # noqa: TID252 - the same
from .front import Setup  # noqa: TID252 - the same
from .rules import HTTP2Rules, Proxied, ProxyRules, UnverifiedRules, require_nobody_else  # noqa: TID252 - the same


def unverified(text: str) -> str:
    """Return the configuration in which it verifies nothing."""
    return PAGE.changed(text, 0)


SANITISE: Final = "SANITIZE_SET"
CERTIFICATES: Final = "{cert: true, chain: true}"


def _set(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


class TestEnvoy(ProxyRules, HTTP2Rules):
    """As the page begins."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Envoy as the page begins."""
        return behind_envoy(Setup(certificates, folder))


class TestEnvoyUnverified(UnverifiedRules):
    """With the change that leaves it to the program."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run Envoy with the change, and the program as the page then has it."""
        return behind_envoy(Setup(certificates, folder, unverified))


def test_an_edge_that_appends_is_refused_when_a_client_writes_an_element(site: Site, tmp_path: Path) -> None:
    """APPEND_FORWARD at the edge leaves the client's own element in front: two are not one, and nobody is believed."""
    with behind_envoy(Setup(site.folder, tmp_path, lambda text: _set(text, SANITISE, "APPEND_FORWARD"))) as proxied:
        ((name, value),) = proxied.written_for("frodo")
        assert proxied.ask("sam").identity == "sam"
        assert proxied.ask("sam", f"{name}: {value}").code == "forwarded.hops"


def test_words_alone_are_refused(site: Site, tmp_path: Path) -> None:
    """An Envoy that forwards names and no certificate is no source of identities."""
    words = "{subject: true, uri: true, dns: true}"
    with behind_envoy(Setup(site.folder, tmp_path, lambda text: _set(text, CERTIFICATES, words))) as proxied:
        answer = proxied.ask("frodo")
        assert (answer.status, answer.code) == (400, "forwarded.text-only")


@pytest.mark.parametrize("delimiter", [";", ","])
@pytest.mark.parametrize("details", ["{cert: true, chain: true, uri: true, dns: true}", "{uri: true, dns: true}"])
def test_a_name_that_envoy_does_not_quote_is_no_identity(
    site: Site, tmp_path: Path, details: str, delimiter: str
) -> None:
    """A URI name with delimiters reads like Envoy's own keys: its owner is who the certificate says, or is refused."""
    with behind_envoy(Setup(site.folder, tmp_path, lambda text: _set(text, CERTIFICATES, details))) as proxied:
        der = site.clients["frodo"].der
        pem = quote(site.clients["frodo"].certificate_pem, safe="")
        uri = f'urn:x{delimiter}Hash={sha256(der).hexdigest()};Cert="{pem}"'
        site.issuing.issue_client("sam", uris=[uri]).files(site.folder, name="forger")
        answer = proxied.ask("forger")
        header = dict(proxied.backend.requests[-1])[b"x-forwarded-client-cert"].decode("ascii")
        assert uri in header
        require_nobody_else(answer, "sam", header)


def test_without_sanitising_a_client_is_whoever_it_likes(site: Site, tmp_path: Path) -> None:
    """What the page warns of is so, and the attacks here are real: an Envoy that forwards what it gets is no proof."""
    with behind_envoy(
        Setup(site.folder, tmp_path, lambda text: _set(text, SANITISE, "ALWAYS_FORWARD_ONLY"))
    ) as proxied:
        der, pem = site.clients["frodo"].der, quote(site.clients["frodo"].chain_pem, safe="")
        forged = f'x-forwarded-client-cert: Hash={sha256(der).hexdigest()};Chain="{pem}"'
        assert proxied.ask(None, forged).identity == "frodo"
