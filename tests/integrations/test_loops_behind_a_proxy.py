"""aiohttp and Tornado behind a proxy, one set of tests for both: what a header claims, and what the socket says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp.web_protocol
import pytest
from aiohttp.http_parser import HttpRequestParserPy

from mtlspolicy import Resolver, TrustStore, Verifier, policies
from mtlspolicy.forwarded import UNIX_SOCKET
from tests.integrations import aiohttp_serving, applications, tornado_serving
from tests.integrations.loop_serving import Row, enrolled
from tests.integrations.serving import FRODO, GOLLUM, HOST, ROOT, SAM, STRANGER, Server, item

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there, and no Unix sockets")


class Framework(NamedTuple):
    """How a framework is served, and its application behind a proxy at 127.0.0.1."""

    serve: Callable[..., Any]
    app: Callable[..., Any]


FRAMEWORKS: Final = {
    "aiohttp": Framework(aiohttp_serving.aiohttp_serving, aiohttp_serving.behind_a_proxy),
    "tornado": Framework(tornado_serving.tornado_serving, tornado_serving.behind_a_proxy),
}


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Framework:
    """One of them."""
    return FRAMEWORKS[request.param]


@pytest.fixture(scope="module", params=["aiohttp, compiled", "aiohttp, python", "tornado"])
def proxied(request: pytest.FixtureRequest) -> Generator[Server, None, None]:
    """Lend a server: aiohttp with either of its parsers, or Tornado that believes X-Forwarded-For in its own way."""
    name, _, parser = request.param.partition(", ")
    with pytest.MonkeyPatch.context() as patch:
        if parser == "python":
            patch.setattr(aiohttp.web_protocol, "HttpRequestParser", HttpRequestParserPy)
        options: dict[str, Any] = {"xheaders": True} if name == "tornado" else {}
        with FRAMEWORKS[name].serve(FRAMEWORKS[name].app(), **options) as server:
            yield server


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lends the whole network 127.0.0.0/8")
def test_a_stranger_who_says_that_he_is_the_proxy_is_not(proxied: Server) -> None:
    """X-Forwarded-For, Forwarded and X-Real-IP are text: the socket's address counts."""
    for header in (f"X-Forwarded-For: {HOST}", f"Forwarded: for={HOST}", f"X-Real-IP: {HOST}"):
        reply = proxied.ask(f"Client-Cert: {item(FRODO)}", header, origin=STRANGER)
        assert (reply.status, reply.told) == (403, {"error": "forwarded.untrusted-proxy"})


@pytest.mark.parametrize(
    "lines",
    [
        ["Client_Cert: {frodo}"],
        ["Client.Cert: {frodo}"],
        ["Client-Cert: {sam}", "Client_Cert: {frodo}"],
        ["Client-Cert: {sam}", "Client-Cert: {frodo}"],
        ["X-Other: 1", " Client-Cert: {frodo}"],
        ["Client-Cert: {frodo}", "Connection: client-cert"],
        ["Client-Cert : {frodo}"],
        ["X-Other: 1\rClient-Cert: {frodo}"],
        ["X-Other: 1\x00", "Client-Cert\x00: {frodo}"],
        ["Client-Cert:", " {frodo}"],
        ["Client-Cert: {frodo}", "Early-Data: 1"],
        ["Client-Cert: {frodo}\xe9"],
    ],
)
def test_a_smuggled_header_gives_no_identity(proxied: Server, lines: list[str]) -> None:
    """Aliases, copies, folds, bare CR and NUL, octet by octet: refused by the server or by us, and never frodo."""
    filled = [line.format(frodo=item(FRODO), sam=item(SAM)) for line in lines]
    reply = proxied.ask(*filled)
    assert reply.status in {0, 400, 403, 425}
    assert b"frodo" not in reply.body


def test_one_connection_of_the_proxy_carries_many_clients(proxied: Server) -> None:
    """Requests one after the other, and pipelined: each has its own peer, and one without a certificate has none."""
    with proxied.connection() as client:
        assert client.ask(f"Client-Cert: {item(FRODO)}").told["peer"] == "frodo"
        assert client.ask(f"Client-Cert: {item(SAM)}").told["peer"] == "sam"
        assert client.ask().told == {"error": "path.no-certificate"}
        lines = [f"GET / HTTP/1.1\r\nHost: a\r\nClient-Cert: {item(der)}\r\n\r\n" for der in (FRODO, GOLLUM, SAM)]
        first = client.raw("".join(lines).encode("ascii"))
        second, third = client.raw(b""), client.raw(b"")
    assert first.told["peer"] == "frodo"
    assert second.told == {"error": "name.mismatch"}
    assert third.told["peer"] == "sam"


def test_a_unix_socket_is_the_proxy_where_it_is_trusted(framework: Framework, tmp_path: Path) -> None:
    """The listening side says that it is one."""
    with framework.serve(framework.app(source=applications.source(UNIX_SOCKET)), path=str(tmp_path / "s")) as server:
        assert server.ask(f"Client-Cert: {item(FRODO)}").told["peer"] == "frodo"
    with framework.serve(framework.app(source=applications.source(UNIX_SOCKET))) as server:
        assert server.ask(f"Client-Cert: {item(FRODO)}").told == {"error": "forwarded.untrusted-proxy"}


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ("vary", {"cache-control": "public", "vary": "client-cert, client-cert-chain"}),
        (None, {"cache-control": "public"}),
    ],
)
def test_responses_are_kept_apart_as_the_option_says(
    framework: Framework, cache: Any, expected: dict[str, str]
) -> None:
    """RFC 9440, 2.4: Vary names the headers; ``None`` leaves it to the application, but for the certificate itself."""
    with framework.serve(framework.app(cache=cache, required=False)) as server:
        for headers in ((f"Client-Cert: {item(FRODO)}",), ()):
            reply = server.ask(*headers)
            found = {name: reply.headers[name].lower() for name in ("cache-control", "vary") if name in reply.headers}
            assert found == expected
            assert "client-cert" not in reply.headers


@pytest.mark.parametrize(
    ("select", "told"),
    [
        (lambda _: applications.verifier_for(ROOT.pem), {"peer": "frodo"}),
        (lambda request: request.headers["Tenant"], {"error": "policy.error"}),
        (lambda _: None, {"error": "policy.bad-result"}),
    ],
)
def test_the_verifier_of_a_request_may_be_selected(framework: Framework, select: Any, told: dict[str, str]) -> None:
    """A callable of the request, coroutine functions included; what it raises is a refusal."""

    async def later(request: Any) -> Any:
        assert "Client-Cert" not in request.headers
        await asyncio.sleep(0)
        return select(request)

    for choose in (select, later):
        with framework.serve(framework.app(verifier=None, select=choose)) as server:
            reply = server.ask(f"Client-Cert: {item(FRODO)}")
            assert reply.told == {**reply.told, **told}


def test_a_resolver_looks_up_what_the_policy_of_a_forwarded_certificate_needs(framework: Framework) -> None:
    """Async, in the loop of the server; where it fails the answer is 503, to be tried again."""
    row = Row()
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[ROOT.certificate]), policy=policies.CommonName("frodo") & enrolled
    )
    with framework.serve(framework.app(verifier=verifier, resolver=Resolver({"loops.enrolled": row}))) as server:
        assert server.ask(f"Client-Cert: {item(FRODO)}").told["peer"] == "frodo"
        row.failing = True
        reply = server.ask(f"Client-Cert: {item(FRODO)}")
        assert reply.status == 503
        assert "retry-after" in reply.headers
