"""CONNECT proxies between a client and its server: the proxy sees a name, never a certificate of ours or a byte."""

from __future__ import annotations

import ssl
import urllib.request
from typing import Any

import httpx
import pytest
import requests

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations.requests import Adapter, mount
from tests.clients.libraries import LIBRARIES, Library, Proxies
from tests.clients.serving import Proxy, Secure, Site, running

EVERY = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
OVER_TLS = {name: LIBRARIES[name] for name in ("httpx", "httpx-async", "requests", "urllib3")}


@EVERY
def test_the_server_is_reached_through_a_tunnel(library: Library, site: Site) -> None:
    """TLS goes through the proxy end to end: the server sees our certificate, and is verified by its own name."""
    with running(proxy := Proxy()):
        assert library.ask(site.server.url(), site.context(), Proxies(proxy.url))["peer"] == "frodo"
        with pytest.raises(library.error, match=r"tls\.name-mismatch"):
            library.ask(site.server.url(), site.context("other.test"), Proxies(proxy.url))
    assert proxy.asked == [f"CONNECT localhost:{site.server.server_port}"] * 2


@EVERY
def test_a_proxy_that_terminates_tls_itself_is_refused(library: Library, site: Site) -> None:
    """A proxy that leads to a server of its own, of another CA, is an impostor like any other."""
    impostor = Secure(site.server_context(site.other.issue_server("localhost")))
    with running(impostor), running(proxy := Proxy()):
        proxy.leads_to = impostor.server_port
        with pytest.raises(library.error, match=r"path\.no-issuer|tls\.openssl"):
            library.ask(site.server.url(), site.context(), Proxies(proxy.url))
    assert next(impostor.connections) <= 2  # it may have come to a connection, and never to a request


@pytest.mark.parametrize("library", OVER_TLS.values(), ids=OVER_TLS)
def test_a_proxy_over_tls_is_verified_by_a_context_of_its_own(library: Library, site: Site) -> None:
    """TLS to the proxy and TLS to the server have a context each; the proxy is not shown our certificate."""
    inner, outer = site.proxy_contexts()
    with running(proxy := Proxy(inner)):
        assert library.ask(site.server.url(), site.context(), Proxies(proxy.url, outer))["peer"] == "frodo"
        assert proxy.shown in ([None], [{}])
        asked = list(proxy.asked)
        with pytest.raises(Exception, match=r"(?i)certificate|unable to connect to proxy"):
            library.ask(site.server.url(), site.context(), Proxies(proxy.url, ssl.create_default_context()))
        assert proxy.asked == asked


def test_requests_keeps_one_tunnel_for_a_session(site: Site) -> None:
    """A second request goes through the tunnel of the first, under the same context."""
    with running(proxy := Proxy()), requests.Session() as session:
        mount(session, site.context())
        session.proxies = {"https": proxy.url}
        told = [session.get(site.server.url(), timeout=20).json() for _ in range(2)]
        assert told[0] == told[1]
    assert len(proxy.asked) == 1


def test_requests_refuses_a_proxy_over_tls_without_a_context(site: Site) -> None:
    """It would verify the proxy by certifi's CAs, or by nothing: the message says what to pass."""
    with requests.Session() as session:
        mount(session, site.context())
        for proxy, said in (("https://localhost:1", "proxy_context="), ("socks5://localhost:1", "socks5")):
            with pytest.raises(ConfigurationError, match=said):
                session.get(site.server.url(), proxies={"https": proxy}, timeout=20)


def _by_urllib(url: str, context: ssl.SSLContext) -> Any:
    with urllib.request.urlopen(url, context=context, timeout=20) as answer:  # noqa: S310 - a server of this test
        return answer.status


def _by_requests(url: str, context: ssl.SSLContext) -> Any:
    with requests.Session() as session:
        mount(session, context, adapter=Adapter(context))
        return session.get(url, timeout=20).status_code


def _by_httpx(url: str, context: ssl.SSLContext) -> Any:
    with httpx.Client(verify=context, timeout=20) as client:
        return client.get(url).status_code


@pytest.mark.parametrize("ask", [_by_urllib, _by_requests, _by_httpx])
def test_a_proxy_of_the_environment_changes_the_way_and_not_the_verifier(
    ask: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``HTTPS_PROXY`` is taken where a library trusts its environment; server and client are verified as without."""
    impostor = Secure(site.server_context(site.other.issue_server("localhost")))
    with running(impostor), running(proxy := Proxy()):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert ask(site.server.url(), site.context()) == 200
        proxy.leads_to = impostor.server_port
        with pytest.raises(Exception, match=r"path\.no-issuer|tls\.openssl"):
            ask(site.server.url(), site.context())
    assert len(proxy.asked) == 2


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_cas_of_the_environment_change_nothing_for_httpx(
    name: str, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A context that is passed is used as it is, with ``trust_env`` too."""
    path = tmp_path / "other.pem"
    path.write_bytes(site.other.pem)
    monkeypatch.setenv(name, str(path if name.endswith("FILE") else tmp_path))
    assert _by_httpx(site.server.url(), site.context()) == 200
    impostor = Secure(site.server_context(site.other.issue_server("localhost")))
    with running(impostor), pytest.raises(httpx.ConnectError, match=r"path\.no-issuer|tls\.openssl"):
        _by_httpx(impostor.url(), site.context())


def test_httpx_mounts_have_a_context_each(site: Site) -> None:
    """A transport that is mounted has its own ``verify``; the client's is not used there."""
    mounts = {"https://127.0.0.1": httpx.HTTPTransport(verify=site.context("other.test"))}
    with httpx.Client(verify=site.context(), mounts=mounts) as client:
        assert client.get(site.server.url()).json()["peer"] == "frodo"
        with pytest.raises(httpx.ConnectError, match=r"tls\.name-mismatch.*other\.test"):
            client.get(site.server.url("127.0.0.1"))
