"""HAProxy as its how-to page sets it up: in front of a program of ours, verifying clients or leaving that to us."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from .conftest import Site  # noqa: TID252 - tests are no package that could be named
from .front import Setup  # noqa: TID252 - the same
from .haproxy import PAGE, behind_haproxy  # noqa: TID252 - the same
from .pages import without_sanitising  # noqa: TID252 - the same
from .rules import HTTP2Rules, Proxied, ProxyRules, UnverifiedRules  # noqa: TID252 - the same


def unverified(text: str) -> str:
    """Return the configuration in which it verifies nothing."""
    return PAGE.changed(text, 0)


class TestHAProxy(ProxyRules, HTTP2Rules):
    """As the page begins."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run HAProxy as the page begins."""
        return behind_haproxy(Setup(certificates, folder))


class TestHAProxyUnverified(UnverifiedRules):
    """With the change that leaves it to the program."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run HAProxy with the change, and the program as the page then has it."""
        return behind_haproxy(Setup(certificates, folder, unverified, blocks=2))


def test_the_proxys_refusal_counts_unless_the_program_says_otherwise(site: Site, tmp_path: Path) -> None:
    """Where the proxy says that a certificate did not verify, and nobody said to expect that, it is refused as such."""
    with behind_haproxy(Setup(site.folder, tmp_path, unverified)) as proxied:
        answer = proxied.ask("stranger")
        assert (answer.status, answer.code) == (403, "forwarded.not-verified")
        assert proxied.ask("frodo").identity == "frodo"
        assert proxied.ask(None).identity is None


NAMED: Final = "Connection: close, X-SSL-Client-Cert"


class TestHAProxyUnsanitised(ProxyRules):
    """Without the marked lines: what HAProxy passes on then is refused by the program."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run HAProxy without what sanitises names and ``Connection``."""
        return behind_haproxy(Setup(certificates, folder, without_sanitising))

    def test_what_haproxy_passes_on_is_refused(self, proxied: Proxied) -> None:
        """Aliases and a ``Connection`` that names our headers do arrive, which the marked lines are there for."""
        assert proxied.ask("sam", "X_SSL_Client_Cert: x").code == "forwarded.alias"
        assert proxied.ask("sam", "X.SSL.Client.Cert: x").code == "forwarded.alias"
        assert proxied.ask("sam", NAMED, options=("--http1.1",)).code == "forwarded.connection"


def test_websocket_upgrades_pass_the_sanitised_connection(site: Site, tmp_path: Path) -> None:
    """``Connection`` of a client is removed, and what an upgrade needs is put in its place."""
    request = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade, X-SSL-Client-Cert\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with behind_haproxy(Setup(site.folder, tmp_path)) as proxied:
        assert proxied.raw("sam", request).identity == "sam"
        fields = dict(proxied.backend.requests[-1])
    assert (fields[b"connection"], fields[b"upgrade"]) == (b"upgrade", b"websocket")
