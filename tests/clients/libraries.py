"""Each client library, asked for one URL over one context: its own way of being told of proxies and redirects."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import httpx
import requests
import urllib3

from mtlspolicy import tls
from mtlspolicy.integrations import urllib3 as ours
from mtlspolicy.integrations.requests import Adapter, mount
from tests.clients.serving import PATIENCE


class Proxies(NamedTuple):
    """A proxy, and what verifies it where it speaks TLS itself."""

    url: str
    context: ssl.SSLContext | None = None


def by_urllib(url: str, context: ssl.SSLContext, proxies: Proxies | None = None) -> Any:
    """Ask with urllib.request."""
    handlers: list[Any] = [urllib.request.HTTPSHandler(context=context)]
    handlers.append(urllib.request.ProxyHandler({"https": proxies.url} if proxies else {}))
    with urllib.request.build_opener(*handlers).open(url, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


def by_http_client(url: str, context: ssl.SSLContext, proxies: Proxies | None = None) -> Any:
    """Ask with http.client, which follows no redirects and is told of a tunnel by ``set_tunnel``."""
    host = url.split("/")[2]
    connection = http.client.HTTPSConnection(
        proxies.url.partition("://")[2] if proxies else host, context=context, timeout=PATIENCE
    )
    try:
        if proxies:
            connection.set_tunnel(host)
        connection.request("GET", url.partition(host)[2])
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _httpx_proxy(proxies: Proxies | None) -> httpx.Proxy | None:
    return httpx.Proxy(proxies.url, ssl_context=proxies.context) if proxies else None


def by_httpx(url: str, context: ssl.SSLContext, proxies: Proxies | None = None) -> Any:
    """Ask with httpx."""
    options: dict[str, Any] = {"follow_redirects": True, "timeout": PATIENCE, "proxy": _httpx_proxy(proxies)}
    with httpx.Client(verify=context, **options) as client:
        return client.get(url).json()


def by_httpx_async(url: str, context: ssl.SSLContext, proxies: Proxies | None = None) -> Any:
    """Ask with httpx on an event loop."""
    options: dict[str, Any] = {"follow_redirects": True, "timeout": PATIENCE, "proxy": _httpx_proxy(proxies)}

    async def main() -> Any:
        async with httpx.AsyncClient(verify=context, **options) as client:
            return (await client.get(url)).json()

    return asyncio.run(main())


def by_requests(url: str, context: ssl.SSLContext, proxies: Proxies | None = None) -> Any:
    """Ask with requests."""
    with requests.Session() as session:
        mount(session, context, adapter=Adapter(context, proxy_context=proxies.context if proxies else None))
        if proxies:
            session.proxies = {"https": proxies.url}
        return session.get(url, timeout=PATIENCE).json()


def by_urllib3(url: str, context: ssl.SSLContext, proxies: Proxies | None = None) -> Any:
    """Ask with urllib3."""
    options: dict[str, Any] = {"proxy": proxies.url, "proxy_context": proxies.context} if proxies else {}
    retries = urllib3.Retry(3, connect=0, read=0, other=0)
    with ours.pool(context, retries=retries, timeout=PATIENCE, **options) as pool:
        return pool.request("GET", url).json()


class Library(NamedTuple):
    """How to ask, and what a server that we refuse raises."""

    ask: Callable[..., Any]
    error: type[Exception]


LIBRARIES: Final = {
    "urllib": Library(by_urllib, urllib.error.URLError),
    "http.client": Library(by_http_client, tls.HandshakeRejected),
    "httpx": Library(by_httpx, httpx.ConnectError),
    "httpx-async": Library(by_httpx_async, httpx.ConnectError),
    "requests": Library(by_requests, requests.exceptions.SSLError),
    "urllib3": Library(by_urllib3, urllib3.exceptions.MaxRetryError),
}
