"""Our client contexts against nginx with ``ssl_verify_client on``, by every client library that takes a context.

nginx has a server certificate of one authority and judges clients on another, as a webhook partner's would.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
import pytest
import requests
import requests.adapters
import urllib3

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority

from .conftest import Site  # noqa: TID252 - tests are no package that could be named
from .nginx import running_nginx  # noqa: TID252 - the same

Answer = tuple[int, str]
SECONDS: Final = 20.0


class Adapter(requests.adapters.HTTPAdapter):
    """The way that requests documents for a context of one's own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
        """Hand the context to urllib3."""
        return super().init_poolmanager(*args, ssl_context=self._context, **kwargs)


def by_urllib(url: str, context: ssl.SSLContext) -> Answer:
    """Ask with urllib.request, which raises for a status like 400."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def by_http_client(url: str, context: ssl.SSLContext) -> Answer:
    """Ask with http.client."""
    connection = http.client.HTTPSConnection(url.split("/")[2], context=context, timeout=SECONDS)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def by_httpx(url: str, context: ssl.SSLContext) -> Answer:
    """Ask with httpx, sync."""
    with httpx.Client(verify=context, trust_env=False, timeout=SECONDS) as client:
        answer = client.get(url)
        return answer.status_code, answer.text


def by_httpx_async(url: str, context: ssl.SSLContext) -> Answer:
    """Ask with httpx, async."""

    async def main() -> Answer:
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=SECONDS) as client:
            answer = await client.get(url)
            return answer.status_code, answer.text

    return asyncio.run(main())


def by_requests(url: str, context: ssl.SSLContext) -> Answer:
    """Ask with requests."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", Adapter(context))
        answer = session.get(url, timeout=SECONDS)
        return answer.status_code, answer.text


def by_urllib3(url: str, context: ssl.SSLContext) -> Answer:
    """Ask with urllib3."""
    with urllib3.PoolManager(ssl_context=context, retries=False, timeout=SECONDS) as pool:
        answer = pool.request("GET", url)
        return answer.status, answer.data.decode()


def by_aiohttp(url: str, context: ssl.SSLContext) -> Answer:
    """Ask with aiohttp."""

    async def main() -> Answer:
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
            return answer.status, await answer.text()

    return asyncio.run(main())


def by_asyncio(url: str, context: ssl.SSLContext) -> Answer:
    """Ask with asyncio streams."""

    async def main() -> Answer:
        port = int(url.split(":")[2].rstrip("/"))
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split(b" ")[1]), body.decode()

    return asyncio.run(main())


LIBRARIES: Final[dict[str, tuple[Callable[[str, ssl.SSLContext], Answer], type[Exception]]]] = {
    "urllib": (by_urllib, urllib.error.URLError),
    "http.client": (by_http_client, ssl.SSLCertVerificationError),
    "httpx": (by_httpx, httpx.ConnectError),
    "httpx-async": (by_httpx_async, httpx.ConnectError),
    "requests": (by_requests, requests.exceptions.SSLError),
    "urllib3": (by_urllib3, urllib3.exceptions.SSLError),
    "aiohttp": (by_aiohttp, aiohttp.ClientConnectorCertificateError),
    "asyncio": (by_asyncio, ssl.SSLCertVerificationError),
}
"""How each asks, and what it raises where a server's certificate is refused."""
pytestmark = pytest.mark.parametrize("library", LIBRARIES)


def client(site: Site, name: str | None, policy: Policy | None = None) -> ssl.SSLContext:
    """Return a context for the one server, ``localhost`` of the authority of servers."""
    trust = TrustStore(anchors=[site.server_leaf.root])
    verifier = Verifier.for_servers(trust=trust, expected="localhost", policy=policy)
    return tls.client_context(credential=None if name is None else site.credential(name), verifier=verifier)


def test_nginx_sees_who_we_are(site: Site, tmp_path: Path, library: str) -> None:
    """The right certificate gets the page; one of a CA that nginx does not know, and none, get status 400."""
    ask, _ = LIBRARIES[library]
    pin = policies.SPKIPin.of(site.server_leaf.certificate) & policies.IssuerPin(site.servers.certificate)
    with running_nginx(tmp_path, site.server_leaf, site.root.pem) as nginx:
        status, text = ask(nginx.url, client(site, "frodo", pin))
        assert (status, text) == (200, "CN=frodo of CN=Partner Issuing CA,O=mtlspolicy TEST CA")
        status, text = ask(nginx.url, client(site, "stranger"))
        assert status == 400
        assert "The SSL certificate error" in text
        status, text = ask(nginx.url, client(site, None))
        assert status == 400
        assert "No required SSL certificate was sent" in text
    assert [line.split(" ")[2].partition(":")[0] for line in nginx.requests()] == ["SUCCESS", "FAILED", "NONE"]


@pytest.mark.parametrize(
    ("wrong", "code"), [("pin", "pin.mismatch"), ("ca", "tls.openssl-"), ("name", "tls.openssl-name-mismatch")]
)
def test_a_server_that_is_not_meant_gets_no_request(
    site: Site, tmp_path: Path, library: str, wrong: str, code: str
) -> None:
    """Another key, another CA and another name are what the library calls a certificate error; nothing is sent."""
    ask, error = LIBRARIES[library]
    leaf, policy = site.server_leaf, None
    if wrong == "pin":
        policy = policies.SPKIPin.of(site.clients["gollum"].certificate)
    elif wrong == "ca":
        leaf = CertificateAuthority("Web Root").issue_server("localhost")
    else:
        leaf = site.servers.issue_server("elsewhere.example")
    with running_nginx(tmp_path, leaf, site.root.pem) as nginx:
        with pytest.raises(error) as caught:
            ask(nginx.url, client(site, "frodo", policy))
        assert code in str(caught.value)
    assert nginx.requests() == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls12", "tls13"])
def test_a_context_that_somebody_else_built(site: Site, tmp_path: Path, library: str, version: ssl.TLSVersion) -> None:
    """An ordinary context with our verifier enforced on it reaches nginx as well, and holds a pin, on both versions."""
    ask, error = LIBRARIES[library]
    trust = TrustStore(anchors=[site.server_leaf.root])

    def context(pin: policies.SPKIPin) -> ssl.SSLContext:
        plain = ssl.create_default_context(cadata=site.server_leaf.root_pem.decode())
        plain.load_cert_chain(*site.files("frodo"))
        plain.minimum_version = plain.maximum_version = version
        tls.enforce(plain, Verifier.for_servers(trust=trust, expected="localhost", policy=pin))
        return plain

    with running_nginx(tmp_path, site.server_leaf, site.root.pem) as nginx:
        assert ask(nginx.url, context(policies.SPKIPin.of(site.server_leaf.certificate)))[0] == 200
        with pytest.raises(error) as caught:
            ask(nginx.url, context(policies.SPKIPin.of(site.clients["frodo"].certificate)))
        assert "pin.mismatch" in str(caught.value)
    (line,) = nginx.requests()
    assert line == f"200 {version.name.replace('_', '.')} SUCCESS CN=frodo"
