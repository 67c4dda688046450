"""Two real proxies, one behind the other: the client's element among two, and what the second hop is made to remove."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from .clients import STRANGER, curl  # noqa: TID252 - tests are no package that could be named
from .hops import (  # noqa: TID252 - the same
    TwoHops,
    envoy_before_envoy,
    envoy_before_nginx,
    haproxy_before_apache,
)
from .rules import HTTP2Rules, ProxyRules  # noqa: TID252 - the same


class TestEnvoyBeforeNginx(ProxyRules, HTTP2Rules):
    """nginx passes on what Envoy wrote, and lets nobody else connect."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[TwoHops]:
        """Run both as the page of Envoy says."""
        return envoy_before_nginx(certificates, folder)

    def test_past_envoy_nginx_lets_nobody_in(self, proxied: TwoHops) -> None:
        """A header that a stranger writes for nginx never reaches the program."""
        ((name, value),) = proxied.written_for("frodo")
        before = len(proxied.backend.requests)
        url = f"http://127.0.0.1:{proxied.inner}/"
        answer = curl(url, proxied.folder, None, f"{name}: {value}", options=("--interface", STRANGER))
        assert (answer.status, answer.told) == (403, None)
        assert len(proxied.backend.requests) == before


class TestEnvoyBeforeEnvoy(ProxyRules, HTTP2Rules):
    """The second Envoy appends an element about the first one; the client's is the first of exactly two."""

    anonymous = "forwarded.hops"

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[TwoHops]:
        """Run both as the page says."""
        return envoy_before_envoy(certificates, folder)

    def test_the_edge_is_never_taken_for_the_client(self, proxied: TwoHops) -> None:
        """The header has two elements, the second with the certificate of the edge, and the client is the first."""
        ((_, value),) = proxied.written_for("frodo")
        first, second = value.split(",")  # the certificates have no comma: quotes do not matter here
        assert first.split(";")[0] != second.split(";")[0]
        assert "edge" not in {proxied.ask(client).told["identity"] for client in ("frodo", "sam")}  # type: ignore[index]

    @pytest.mark.parametrize("client", ["intruder", "frodo", None])
    def test_past_the_edge_nobody_gets_to_the_second_envoy(self, proxied: TwoHops, client: str | None) -> None:
        """A forged element and the own one would be two: so the second Envoy lets in the edge alone."""
        ((name, value),) = proxied.written_for("frodo")
        before = len(proxied.backend.requests)
        header = f"{name}: {value.split(',')[0]}"
        answer = curl(f"https://localhost:{proxied.inner}/", proxied.folder, client, header)
        assert (answer.status, answer.told) == (0, None)
        assert len(proxied.backend.requests) == before


class TestHAProxyBeforeApache(ProxyRules, HTTP2Rules):
    """Apache removes what ``Connection`` names; HAProxy lets no client write there."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[TwoHops]:
        """Run HAProxy as its page says, before an Apache that knows nothing of certificates."""
        return haproxy_before_apache(certificates, folder)


class TestConnectionReachesApache(ProxyRules):
    """HAProxy without its lines about ``Connection``: the program notices what Apache removed."""

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[TwoHops]:
        """Run both without what sanitises ``Connection``."""
        return haproxy_before_apache(certificates, folder, sanitise=False)

    @pytest.mark.parametrize(
        ("named", "code"),
        [
            ("X-SSL-Client-Verify", "forwarded.companion"),
            ("X-SSL-Client-Cert", "forwarded.companion"),
            ("X-SSL-Client-Cert, X-SSL-Client-Verify, X-SSL-Client-Chain", "forwarded.companion"),
            ("X-SSL-Client-Cert, X-SSL-Client-Verify, X-SSL-Client-Chain, X-Edge", "forwarded.marker"),
        ],
    )
    def test_connection_strips_what_the_first_proxy_added(self, proxied: TwoHops, named: str, code: str) -> None:
        """A verdict that is gone is malformed and not unknown, a certificate that is gone malformed and not absent."""
        options = ("--http1.1",)
        assert proxied.ask("sam", options=options).identity == "sam"
        answer = proxied.ask("sam", f"Connection: close, {named}", options=options)
        arrived = {name.lower().decode() for name, _ in proxied.backend.requests[-1]}
        assert not {name.strip().lower() for name in named.split(",")} & arrived, "Apache has removed them"
        assert (answer.status, answer.code) == (400, code)
