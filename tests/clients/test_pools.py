"""A connection that was kept open and what is true now: trust and lists that changed, expiry, facts (RULES 60)."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias

import httpx
import pytest
import requests
import urllib3

from mtlspolicy import Resolver, TrustStore, policies, tls
from mtlspolicy._resolver import Answer
from mtlspolicy.integrations import urllib3 as ours
from mtlspolicy.integrations.requests import mount
from mtlspolicy.tls._again import still_admitted
from mtlspolicy.tls._log import LIMITER
from mtlspolicy.tls._peer_of import latch_of
from tests.clients.serving import HOST, PATIENCE, Proxy, Secure, Site, running

Ask: TypeAlias = "Callable[[str], Any]"


@contextmanager
def by_requests(context: ssl.SSLContext) -> Generator[Ask, None, None]:
    """Lend what asks by one session."""
    with requests.Session() as session:
        mount(session, context)
        yield lambda url: session.get(url, timeout=PATIENCE).json()


@contextmanager
def by_urllib3(context: ssl.SSLContext) -> Generator[Ask, None, None]:
    """Lend what asks by one pool."""
    with ours.pool(context, timeout=PATIENCE, retries=False) as pool:
        yield lambda url: pool.request("GET", url).json()


DECIDING: Final = {"requests": by_requests, "urllib3": by_urllib3}
REFUSED: Final = (requests.exceptions.SSLError, urllib3.exceptions.SSLError)
EVERY: Final = pytest.mark.parametrize("ask", DECIDING.values(), ids=DECIDING)


@EVERY
def test_a_kept_connection_ends_with_the_trust_in_its_ca(ask: Any, site: Site) -> None:
    """The CA is taken out of a live store: the next request is refused, on a connection that was open."""
    store = [site.trust]
    with ask(site.context(trust=lambda: store[0])) as get:
        first, second = get(site.server.url()), get(site.server.url())
        assert first == second
        store[0] = TrustStore(anchors=[site.other.certificate])
        with pytest.raises(REFUSED, match=r"path\.no-issuer"):
            get(site.server.url())
        store[0] = site.trust | store[0]
        assert get(site.server.url())["connection"] > first["connection"]


@EVERY
def test_a_kept_connection_ends_with_the_policy_that_admitted_it(ask: Any, site: Site) -> None:
    """A live pin is taken off: the connection that it admitted serves no other request."""
    pins = [policies.SPKIPin.of(site.leaf.certificate), policies.SPKIPin.of(site.frodo.certificate)]
    with ask(site.context(policy=lambda: pins[0])) as get:
        assert get(site.server.url()) == get(site.server.url())
        pins.reverse()
        with pytest.raises(REFUSED, match=r"pin\.mismatch"):
            get(site.server.url())


@EVERY
def test_a_kept_connection_that_is_still_admitted_stays(ask: Any, site: Site) -> None:
    """A new generation that admits the server as well costs no new connection."""
    store = [site.trust]
    with ask(site.context(trust=lambda: store[0])) as get:
        before = get(site.server.url())
        store[0] = TrustStore(anchors=[site.ca.certificate, site.other.certificate])
        assert get(site.server.url()) == before


@policies.lookup("clients.enrolled", key=lambda path: path.end_entity.spki_sha256)
def enrolled(row: object, _evidence: object) -> bool:
    """Permit who is in the row of now."""
    return row is True


def resolver_of(rows: list[bool]) -> Resolver:
    """Return a resolver that looks each time."""
    return Resolver({"clients.enrolled": lambda _key: Answer(rows[0], keep=0.0)})


def looking(site: Site, resolver: Resolver) -> ssl.SSLContext:
    """Return a context whose servers have to be enrolled."""
    return site.context(policy=enrolled, options=tls.ClientOptions(resolver=resolver))


@EVERY
def test_a_kept_connection_ends_with_its_fact(ask: Any, site: Site) -> None:
    """A look-up that says no later on ends a connection that it admitted; facts are waited for as in a handshake."""
    rows = [True]
    with resolver_of(rows) as resolver, ask(looking(site, resolver)) as get:
        assert get(site.server.url()) == get(site.server.url())
        rows[0] = False
        with pytest.raises(REFUSED, match=r"clients\.enrolled"):
            get(site.server.url())


def test_a_kept_connection_through_a_proxy_ends_too(site: Site) -> None:
    """The same behind a proxy, also where its own TLS is around ours and urllib3 keeps the TLS object elsewhere."""
    store = [site.trust]
    inner, outer = site.proxy_contexts()
    for proxy, proxy_context in ((Proxy(), None), (Proxy(inner), outer)):
        store[0] = site.trust
        with running(proxy):
            pool = ours.pool(
                site.context(trust=lambda: store[0]), proxy=proxy.url, proxy_context=proxy_context, retries=False
            )
            with pool:
                assert len({pool.request("GET", site.server.url()).json()["connection"] for _ in range(2)}) == 1
                store[0] = TrustStore(anchors=[site.other.certificate])
                with pytest.raises(REFUSED, match=r"path\.no-issuer"):
                    pool.request("GET", site.server.url())
        assert len(proxy.asked) == 2


def test_a_kept_connection_that_ends_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """No refusal is silent: the connection that is closed for what is true now has its line."""
    store = [site.trust]
    context = site.context(trust=lambda: store[0])
    with connected(site, context) as sock:
        assert still_admitted(sock)
        store[0] = TrustStore(anchors=[site.other.certificate])
        LIMITER.clear()
        assert not still_admitted(sock)
        assert [line for line in caplog.messages if "path.no-issuer" in line]
        assert latch_of(sock).refused
        with pytest.raises(tls.HandshakeRejected):
            sock.send(b"GET / HTTP/1.0\r\n\r\n")
        assert not still_admitted(sock)  # and it stays so


@EVERY
def test_a_kept_connection_that_the_server_ended_is_replaced(ask: Any, site: Site) -> None:
    """A connection that is gone is nobody's to decide on: a new one is made, and decided on by its handshake."""
    server = Secure(site.server_context(site.leaf))
    with running(server), ask(site.context()) as get:
        first = get(server.url())
        server.end_connections()
        assert get(server.url())["connection"] == first["connection"] + 1


def test_a_kept_connection_of_a_changed_context_ends(site: Site) -> None:
    """What somebody did to the context counts for connections that were open, and another context has no say."""
    context = site.context()
    with connected(site, context) as sock:
        sock.context = ssl.create_default_context()
        assert not still_admitted(sock)
        sock.context = context
        assert still_admitted(sock)
        context.check_hostname = False
        assert not still_admitted(sock)


def connected(site: Site, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection to the server."""
    plain = socket.create_connection((HOST, site.server.server_port), PATIENCE)
    return context.wrap_socket(plain, server_hostname="localhost")


@contextmanager
def by_httpx(context: ssl.SSLContext, **options: Any) -> Generator[Ask, None, None]:
    """Lend what asks by one client of httpx."""
    with httpx.Client(verify=context, timeout=PATIENCE, **options) as client:
        yield lambda url: client.get(url).json()


@contextmanager
def by_http_client(context: ssl.SSLContext) -> Generator[Ask, None, None]:
    """Lend what asks by one connection of http.client, which goes to the host of the first URL."""
    with ExitStack() as stack:
        made: list[http.client.HTTPSConnection] = []

        def ask(url: str) -> Any:
            if not made:
                made.append(http.client.HTTPSConnection(url.split("/")[2], context=context, timeout=PATIENCE))
                stack.callback(made[0].close)
            made[0].request("GET", "/")
            return json.loads(made[0].getresponse().read())

        yield ask


@pytest.mark.parametrize("ask", [by_httpx, by_http_client])
def test_elsewhere_a_kept_connection_ends_with_the_trust_in_its_ca(ask: Any, site: Site) -> None:
    """Where a library does not say that it uses a connection again, the connection itself asks the source."""
    store = [site.trust]
    context = site.context(trust=lambda: store[0])
    with ask(context) as get:
        before = get(site.server.url())
        store[0] = TrustStore(anchors=[site.other.certificate])
        with pytest.raises((httpx.TransportError, tls.HandshakeRejected)):
            get(site.server.url())
        store[0] = site.trust
        with ask(context) as new:
            assert new(site.server.url())["connection"] > before["connection"]


@pytest.mark.parametrize("ask", [by_httpx, by_http_client])
def test_elsewhere_a_kept_connection_stays_with_the_fact_of_its_handshake(ask: Any, site: Site) -> None:
    """Facts and the clock move on by themselves: without ``max_age`` nobody looks again."""
    rows = [True]
    with resolver_of(rows) as resolver, ask(looking(site, resolver)) as get:
        before = get(site.server.url())
        rows[0] = False
        assert get(site.server.url()) == before


def test_httpx_that_keeps_nothing_decides_on_each_request(site: Site) -> None:
    """``max_keepalive_connections=0`` makes a connection for each request, and each is decided on."""
    store = [site.trust]
    with by_httpx(site.context(trust=lambda: store[0]), limits=httpx.Limits(max_keepalive_connections=0)) as get:
        assert get(site.server.url()) != get(site.server.url())
        store[0] = TrustStore(anchors=[site.other.certificate])
        with pytest.raises(httpx.ConnectError, match=r"path\.no-issuer"):
            get(site.server.url())
