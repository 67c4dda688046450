"""Attacks by a certificate that says where to ask, and by whoever answers there, on a whole refresher (RULES 52)."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any, Final

import pytest

from mtlspolicy import RevocationStatus, policies
from mtlspolicy._resolver import settle
from mtlspolicy.revocation import Destinations, Refresher
from mtlspolicy.revocation._http import HTTPTransport
from mtlspolicy.testing import IssuedCertificate
from tests.revocation.loopback import Server, answering, endless, names
from tests.revocation.refreshing import Site, ask, running

GOOD, UNAVAILABLE = RevocationStatus.GOOD, RevocationStatus.UNAVAILABLE


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


def decided(site: Site, refresher: Refresher, leaf: IssuedCertificate, policy: policies.NotRevoked) -> str:
    """Return the decision on *leaf*, as text."""
    return settle(site.judgement(leaf, policy), refresher.resolver()).decision.explain()


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", "fetch.address"),
        ("localhost", "fetch.address"),
        ("[::1]", "fetch.address"),
        ("[::ffff:127.0.0.1]", "fetch.address"),
        ("[64:ff9b::7f00:1]", "fetch.address"),
        ("[64:ff9b:1::7f00:1]", "fetch.address"),
        ("[2002:7f00:1::]", "fetch.address"),
        ("[2001:0:7f00:1::]", "fetch.address"),
        ("[::127.0.0.1]", "fetch.address"),
        ("[fec0::1]", "fetch.address"),
        ("[fe80::1]", "fetch.address"),
        ("169.254.169.254", "fetch.address"),
        ("100.64.0.1", "fetch.address"),
        ("10.0.0.1", "fetch.address"),
        ("224.0.0.1", "fetch.address"),
        ("0.0.0.0", "fetch.address"),  # noqa: S104 - nothing listens
        ("127.1", "fetch.url"),
        ("2130706433", "fetch.url"),
        ("0x7f.1", "fetch.url"),
    ],
)
@pytest.mark.parametrize("rule", ["ocsp", "crl"])
def test_attack_ssrf_by_a_certificate(site: Site, host: str, code: str, rule: str) -> None:
    """RULES 52: no address that is not public is connected to, in whatever form a certificate names it."""
    where = f"http://{host}:{site.port}"
    frodo = site.client(ocsp_url=f"{where}/ocsp", crl_url=f"{where}/crl")
    with Refresher(destinations=Destinations(ports=[site.port])) as refresher:
        told = ask(refresher, site.ocsp(frodo) if rule == "ocsp" else site.crl(frodo))
    assert (told.status, told.code) == (UNAVAILABLE, code)
    assert site.responder.requests + site.responder.crl_requests == 0


def test_attack_rebinding(site: Site) -> None:
    """RULES 52: a name is resolved once; one private address in the answer refuses them all, so that none is tried."""
    frodo = site.client(ocsp_url=f"http://rebind.example:{site.port}/ocsp")
    resolve: Any = names("127.0.0.1", "10.0.0.1")
    with site.refresher() as refresher:
        refresher._office._threads._transport = HTTPTransport(destinations=site.destinations(), resolve=resolve)
        assert ask(refresher, site.ocsp(frodo)).code == "fetch.address"
    assert resolve.asked == [("rebind.example", site.port)]
    assert site.responder.requests == 0


def test_attack_a_proxy_of_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES 52: whoever can set HTTP_PROXY sees no question and gives no answer."""
    with Server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        with site.refresher() as refresher:
            assert ask(refresher, site.ocsp(site.client())).status is GOOD
        assert not proxy.met.is_set()


BOMB: Final = gzip.compress(b"\0" * 10_000_000)
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (answering(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB), "fetch.encoding"),
        (endless(b"", b"H"), "fetch.timeout"),
        (endless(OK, b"X-Drip: 1\r\n"), "fetch.timeout"),
        (endless(OK + b"Content-Length: 4000\r\n\r\n", b"x"), "fetch.timeout"),
        (endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"), "fetch.timeout"),
        (
            answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"),
            "fetch.redirect",
        ),
    ],
    ids=["gzip bomb", "drip of a status", "of headers", "of a body", "of a chunk's size", "redirect"],
)
def test_attack_drip_and_bombs(site: Site, script: Any, code: str) -> None:
    """RULES 52: one deadline from look-up to last byte, no decoding, no redirect; then each rule has its say."""
    deadline = 0.4 if code == "fetch.timeout" else 1.5
    with Server(script) as server, site.refresher(server.port, deadline=deadline) as refresher:
        frodo = site.client(ocsp_url=server.url("/ocsp"))
        assert ask(refresher, site.ocsp(frodo)).code == code
        assert "ocsp.unavailable" in decided(site, refresher, frodo, policies.NotRevoked())
        assert "ocsp.soft" in decided(site, refresher, frodo, policies.NotRevoked(soft=True))
