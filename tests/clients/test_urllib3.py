"""`integrations.urllib3`, and what urllib3's own pools do to a context: each change is seen, or does nothing."""

from __future__ import annotations

import ssl
from typing import Any, Final

import pytest
import urllib3

from mtlspolicy import ReferenceIdentifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import urllib3 as ours
from tests.clients.serving import Proxy, Site, running


def test_a_pool_sends_over_the_context(site: Site) -> None:
    """The server sees our certificate, and one connection serves two requests."""
    with ours.pool(site.context(), timeout=20) as pool:
        told = [pool.request("GET", site.server.url()).json() for _ in range(2)]
    assert [row["peer"] for row in told] == ["frodo", "frodo"]
    assert told[0]["connection"] == told[1]["connection"]


@pytest.mark.parametrize(
    "name", ["assert_fingerprint", "assert_hostname", "ca_certs", "cert_file", "cert_reqs", "proxy_ssl_context",
             "server_hostname", "ssl_context", "use_forwarding_for_https"],
)  # fmt: skip
def test_options_about_tls_are_refused_by_name(name: str, site: Site) -> None:
    """The context says all about TLS."""
    with pytest.raises(ConfigurationError, match=f"{name}=.*the context"):
        ours.pool(site.context(), **{name: None})


def test_a_request_without_tls_is_refused(site: Site) -> None:
    """Nothing goes out in the clear, redirects included."""
    with ours.pool(site.context(), timeout=20) as pool:
        with pytest.raises(ConfigurationError, match=r"http://localhost"):
            pool.request("GET", site.server.url().replace("https", "http"))
        with pytest.raises(ConfigurationError, match=r"http://localhost"):
            pool.request("GET", site.server.url(path=f"/to?http://localhost:{site.server.server_port}/"))


def test_a_context_without_a_verifier_is_refused() -> None:
    """An ordinary context asks no policy."""
    with pytest.raises(ConfigurationError, match=r"tls\.client_context"):
        ours.pool(ssl.create_default_context())


CHANGED: Final = (urllib3.exceptions.SSLError, r"tls\.context-changed")


@pytest.mark.parametrize(
    ("expected", "override", "error"),
    [
        ("localhost", {"cert_reqs": "CERT_NONE"}, (ValueError, "CERT_NONE")),  # ssl itself: host names are verified
        ("spiffe://example.org/db", {"cert_reqs": "CERT_NONE"}, CHANGED),
        ("localhost", {"assert_hostname": False}, CHANGED),
        ("localhost", {"assert_fingerprint": "00" * 32}, CHANGED),
    ],
)
def test_what_urllib3_itself_overrides_is_refused(expected: str, override: Any, error: Any, site: Site) -> None:
    """urllib3 writes such options on the context it is given; the handshake notices, before a byte is sent."""
    pool = urllib3.PoolManager(ssl_context=site.context(expected), retries=False, timeout=20, **override)
    with pool, pytest.raises(error[0], match=error[1]):
        pool.request("GET", site.server.url())


def test_an_override_of_one_host_is_refused(site: Site) -> None:
    """The same for what is said of one host in a pool of ours, and the context is spoiled for good: it fails closed."""
    with ours.pool(site.context("spiffe://example.org/db"), retries=False, timeout=20) as pool:
        host = pool.connection_from_url(site.server.url(), pool_kwargs={"cert_reqs": "CERT_NONE"})
        with pytest.raises(CHANGED[0], match=CHANGED[1]):
            host.request("GET", "/")
        host.close()
    assert pool.connection_pool_kw["ssl_context"].verify_mode is ssl.CERT_NONE


def test_a_fingerprint_of_urllib3_does_not_replace_ours(site: Site) -> None:
    """The right fingerprint does not admit a server that the verifier refuses."""
    options: dict[str, Any] = {"assert_fingerprint": site.leaf.certificate.fingerprint(_sha256()).hex()}
    pool = urllib3.PoolManager(ssl_context=site.context("other.test"), retries=False, timeout=20, **options)
    with pool, pytest.raises(urllib3.exceptions.SSLError, match=r"tls\.context-changed|tls\.name-mismatch"):
        pool.request("GET", site.server.url())


def _sha256() -> Any:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


@pytest.mark.parametrize("expected", ["spiffe://example.org/db", ReferenceIdentifier.common_name("db-1")])
def test_urllib3_alone_looks_for_the_name_dialed(expected: Any, site: Site) -> None:
    """Without `pool`, a URI or common name needs ``assert_hostname=False``: urllib3 would look for the host's name."""
    leaf = site.ca.issue_client("db-1", uris=["spiffe://example.org/db"], eku=_server_auth())
    if not isinstance(expected, str):
        leaf = site.ca.issue_client("db-1", eku=_server_auth())
    from tests.clients.serving import Secure

    server = Secure(site.server_context(leaf))
    with running(server):
        plain = urllib3.PoolManager(ssl_context=site.context(expected), retries=False, timeout=20)
        with plain, pytest.raises(urllib3.exceptions.SSLError, match="hostname|match|subjectAltName"):
            plain.request("GET", server.url())
        told = urllib3.PoolManager(ssl_context=site.context(expected), assert_hostname=False, timeout=20)
        for pool in (told, ours.pool(site.context(expected), timeout=20)):
            with pool:
                assert pool.request("GET", server.url()).json()["peer"] == "frodo"


def _server_auth() -> Any:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    return [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_pool_behind_a_proxy_sends_through_a_tunnel(site: Site) -> None:
    """The proxy sees the name of the server and nothing else; the server sees our certificate."""
    with running(proxy := Proxy()), ours.pool(site.context(), proxy=proxy.url, timeout=20) as pool:
        told = [pool.request("GET", site.server.url()).json() for _ in range(2)]
        assert told[0] == told[1]
        assert told[0]["peer"] == "frodo"
    assert proxy.asked == [f"CONNECT localhost:{site.server.server_port}"]


def test_a_request_without_tls_is_refused_behind_a_proxy_too(site: Site) -> None:
    """A proxy, over TLS or not, would send it on in the clear; it is asked for nothing."""
    inner, outer = site.proxy_contexts()
    for proxy, proxy_context in ((Proxy(), None), (Proxy(inner), outer)):
        with running(proxy), ours.pool(site.context(), proxy=proxy.url, proxy_context=proxy_context) as pool:
            with pytest.raises(ConfigurationError, match=r"http://plain\.test"):
                pool.request("GET", "http://plain.test/")
            assert proxy.asked == []


@pytest.mark.parametrize(
    ("proxy", "context", "said"),
    [
        ("https://localhost:1", None, "proxy_context="),
        ("socks5://localhost:1", None, "socks5"),
        (None, "other", "without proxy"),
        ("https://localhost:1", "same", "server's context"),
    ],
)
def test_a_proxy_that_cannot_be_verified_is_refused(proxy: Any, context: Any, said: str, site: Site) -> None:
    """A proxy over TLS has a context of its own; other kinds of proxy are refused."""
    mine = site.context()
    options = {None: None, "other": ssl.create_default_context(), "same": mine}
    with pytest.raises(ConfigurationError, match=said):
        ours.pool(mine, proxy=proxy, proxy_context=options[context])
