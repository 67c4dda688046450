"""Tornado and websockets behind the gate: the refused are told so, the held are bounded, and nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import websockets.asyncio.server
from tornado import web

from mtlspolicy import Resolver, TrustStore, Verifier, policies, revocation, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import tornado as our_tornado
from mtlspolicy.integrations import websockets as our_websockets
from mtlspolicy.testing import CertificateAuthority
from tests.integrations.direct import GATED, SUBJECTS, UPGRADE, Seen, Subject
from tests.integrations.loop_serving import (
    CREDENTIAL,
    POLICY,
    UNKNOWN,
    Row,
    ask_at_once,
    client_context,
    dialed,
    enrolled,
    holding,
    server_context,
    until,
)
from tests.integrations.serving import PATIENCE, Reply, Server
from tests.integrations.tornado_serving import application, behind_a_proxy, guarded, tornado_serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there, and Tornado needs another")
REFUSED = [("wrong name", "name.mismatch"), ("wrong issuing CA", "issuer.not-pinned"), ("none", "path.no-certificate")]


@pytest.fixture(scope="module")
def answering() -> Generator[Any, None, None]:
    """Start each server when it is first asked for, with ``refuse="respond"``."""
    running: dict[str, tuple[Subject, Server, Seen]] = {}
    with ExitStack() as stack:

        def lend(name: str) -> tuple[Subject, Server, Seen]:
            if name not in running:
                seen, subject = Seen(), SUBJECTS[name]
                server = stack.enter_context(subject.serve(server_context(), seen=seen, refuse="respond"))
                running[name] = subject, server, seen
            return running[name]

        yield lend


@pytest.mark.parametrize("name", GATED)
def test_the_endpoint_of_scenario_1(name: str) -> None:
    """No certificate 403, wrong policy and revoked 403, responder down 503, good one served, unknown CA closed."""
    subject, seen, processor = SUBJECTS[name], Seen(), CertificateAuthority("Processor")
    with processor.ocsp_responder() as responder:
        known, revoked, later, wrong = (
            processor.issue_client(who, ocsp_url=responder.url) for who in ("hooks", "hooks", "hooks", "shop")
        )
        processor.revoke(revoked)
        open_to = revocation.Destinations(ports={urlsplit(responder.url).port or 0}, addresses={"127.0.0.1/32"})
        with revocation.Refresher(destinations=open_to) as refresher:
            verifier = Verifier.for_clients(
                trust=TrustStore(anchors=[processor.certificate]),
                policy=policies.CommonName("hooks") & policies.IssuerPin(processor.certificate) & policies.NotRevoked(),
            )
            options = tls.ServerOptions(resolver=refresher.resolver(), pending="hold")
            context = tls.server_context(credential=CREDENTIAL, verifier=verifier, options=options)
            with subject.serve(context, seen=seen, refuse="respond") as server:
                assert subject.ask(server, "none").status == 403
                for issued, code in ((wrong, "name.mismatch"), (revoked, "ocsp.revoked")):
                    reply = subject.ask(server, client_context(issued))
                    assert (reply.status, reply.told) == (403, {"error": code})
                assert seen.names == []
                assert subject.ask(server, client_context(known)).status == subject.good
                responder.__exit__(None, None, None)
                reply = subject.ask(server, client_context(later))
                assert (reply.status, reply.told) == (503, {"error": "ocsp.unavailable"})
                assert int(reply.headers["retry-after"]) > 0
                assert subject.ask(server, client_context(known)).status == subject.good  # whose answer is at hand
                assert subject.ask(server, client_context(UNKNOWN.issue_client("hooks"))).status == 0
    assert seen.names == ["hooks", "hooks"]


@pytest.mark.parametrize(("who", "code"), REFUSED)
@pytest.mark.parametrize("name", GATED)
def test_who_is_refused_is_told_so_and_the_application_hears_nothing(
    answering: Any, name: str, who: str, code: str
) -> None:
    """403 with the code alone, kept out of caches, and the end of the connection."""
    subject, server, seen = answering(name)
    before = list(seen.names)
    with dialed(server, client_context(who)) as client:
        reply = client.raw(subject.request)
        assert (reply.status, reply.told) == (403, {"error": code})
        assert (reply.headers["connection"].lower(), reply.headers["cache-control"]) == ("close", "no-store")
        assert client.raw(subject.request).status == 0
    assert seen.names == before
    assert subject.ask(server, "frodo").status == subject.good
    until(lambda: seen.names == [*before, "frodo"])


@pytest.mark.parametrize(
    "request_",
    [
        UPGRADE.replace(b"GET /", b"GET /echo"),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["upgrade", "body", "continue", "chunked", "http/1.0", "brew"],
)
def test_whatever_is_asked_of_tornado_has_the_same_answer(answering: Any, request_: bytes) -> None:
    """Once, and then the connection ends."""
    _, server, seen = answering("tornado")
    before = list(seen.names)
    with dialed(server, client_context("wrong name")) as client:
        reply = client.raw(request_)
        assert (reply.status, reply.told) == (403, {"error": "name.mismatch"})
        assert client.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 0
    assert seen.names == before


def test_head_has_no_body(answering: Any) -> None:
    """The length is that of the body that it would have."""
    _, server, _ = answering("tornado")
    with dialed(server, client_context("none")) as client:
        client._sock.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, _, body = client._file.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403")
    assert body == b""


def test_a_refused_client_of_websockets_need_not_ask_for_one(answering: Any) -> None:
    """A plain request, as curl makes it, has the same answer; what is no request has none."""
    _, server, seen = answering("websockets")
    before = list(seen.names)
    with dialed(server, client_context("wrong name")) as client:
        assert client.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").told == {"error": "name.mismatch"}
    with dialed(server, client_context("wrong name")) as client:
        assert client.raw(b"hello\r\n\r\n").status == 0
    assert seen.names == before


def test_the_status_without_a_certificate_is_the_middlewares() -> None:
    """``absent=401`` with its challenge, where nobody has shown anything, and 403 as ever for who has."""
    server_class = our_tornado.HTTPServer
    with tornado_serving(
        guarded(absent=401), context=server_context(), server_class=server_class, refuse="respond"
    ) as server:
        subject = SUBJECTS["tornado"]
        reply = subject.ask(server, "none")
        assert (reply.status, "www-authenticate" in reply.headers) == (401, True)
        assert subject.ask(server, "wrong name").status == 403


def test_hooks_of_websockets_are_not_asked_about_the_refused() -> None:
    """Neither the connection class of the user nor a hook sees a refused client; all of them see the admitted."""
    seen, asked = Seen(), list[str]()

    class Own(websockets.asyncio.server.ServerConnection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            asked.append("class")
            super().__init__(*arguments, **options)

    def hook(_connection: Any, _request: Any, *response: Any) -> None:
        asked.append("process_response" if response else "process_request")

    subject, context = SUBJECTS["websockets"], server_context()
    with subject.serve(
        context, seen=seen, refuse="respond", create_connection=Own, process_request=hook, process_response=hook
    ) as server:
        for who, code in REFUSED:
            assert subject.ask(server, who).told == {"error": code}
        assert asked == []
        assert subject.ask(server, "frodo").status == 101
        until(lambda: seen.names == ["frodo"])
    assert asked == ["class", "process_request", "process_response"]


@pytest.mark.parametrize("refuse", ["handshake", "respond"])
@pytest.mark.parametrize("name", GATED)
def test_a_hundred_clients_half_of_them_refused_leave_nothing(name: str, refuse: str) -> None:
    """Descriptors, threads and tasks are what they were, and each client has got the answer that is its own."""
    subject, seen = SUBJECTS[name], Seen()
    with subject.serve(holding(Row()), seen=seen, refuse=refuse) as server:
        told = [subject.good, 403 if refuse == "respond" else 0] * 50
        assert asyncio.run(ask_at_once(server, request=subject.request)) == told  # so that what is made once is there
        before = seen.settled()
        assert asyncio.run(ask_at_once(server, request=subject.request)) == told
        seen.settles(before)
    assert set(seen.names) == {"frodo"}


@pytest.mark.parametrize("name", GATED)
def test_refused_clients_that_go_away_leave_nothing(name: str) -> None:
    """In the middle of the handshake, after it, and in the middle of a request; and the others are served meanwhile."""
    subject, seen = SUBJECTS[name], Seen()
    with subject.serve(server_context(), seen=seen, refuse="respond") as server:
        assert subject.ask(server, "frodo").status == subject.good
        before = seen.settled()
        for sent in (None, b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"):
            for _ in range(5):
                _leave(server, client_context("wrong name"), sent)
        assert subject.ask(server, "frodo").status == subject.good
        seen.settles(before)
    assert seen.names == ["frodo", "frodo"]


def _leave(server: Server, context: ssl.SSLContext, sent: bytes | None) -> None:
    """Connect and go, without a word: with ``None`` in the middle of the handshake."""
    with socket.create_connection(server.address, PATIENCE) as plain:
        if sent is None:
            plain.sendall(b"\x16\x03\x01\x02\x00\x01")
            return
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(sent)


class _Silent:
    """A source that never answers, and says when it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, _: str) -> object:
        """Wait for ever."""
        self.asked += 1
        await asyncio.Event().wait()
        return None


@pytest.mark.parametrize("name", GATED)
def test_held_connections_are_bounded_and_leave_nothing(name: str) -> None:
    """One more than may be held is closed, who goes away frees its place, and the deadline refuses with an answer."""
    subject, seen, source = SUBJECTS[name], Seen(), _Silent()
    options = tls.ServerOptions(
        resolver=Resolver({"loops.enrolled": source}, deadline=2.0), pending="hold", hold_timeout=1.5, max_held=2
    )
    open_to_sam = (POLICY & policies.CommonName("sam")) | (POLICY & enrolled)
    with subject.serve(server_context(open_to_sam, options=options), seen=seen, refuse="respond") as server:
        assert subject.ask(server, "sam").status == subject.good
        before = seen.settled()
        with ExitStack() as stack:
            held = [stack.enter_context(dialed(server, client_context("frodo"))) for _ in range(2)]
            for client in held:
                client._sock.sendall(subject.request)
            _until_full(subject, server)
            assert subject.ask(server, "sam").status == subject.good  # whom nobody has to hold
            held[0]._sock.close()
            held[0]._file.close()
            assert held[1]._reply().told == {"error": "fact.missing"}
        assert subject.ask(server, "frodo").status == 503  # there is room again
        seen.settles(before)
    assert seen.names == ["sam", "sam"]


def _until_full(subject: Subject, server: Server) -> None:
    """Come again until there is no room, which is an end without an answer; an answer is that of the deadline."""
    while subject.ask(server, "frodo").status:
        pass


def test_tornado_ends_with_clients_at_its_gate() -> None:
    """Held, refused and silent ones are there when it closes its connections, and it does not wait for them."""
    subject, source = SUBJECTS["tornado"], _Silent()
    options = tls.ServerOptions(
        resolver=Resolver({"loops.enrolled": source}, deadline=300.0), pending="hold", hold_timeout=300.0,
        handshake_timeout=300.0,
    )  # fmt: skip
    with ExitStack() as clients, ExitStack() as stack:
        server = stack.enter_context(
            subject.serve(server_context(POLICY & enrolled, options=options), refuse="respond")
        )
        ends = [clients.enter_context(dialed(server, client_context(who)))._sock for who in ("frodo", "wrong name")]
        ends.append(clients.enter_context(socket.create_connection(server.address, PATIENCE)))
        assert subject.ask(server, "wrong name").status == 403
        until(lambda: source.asked == 1)
        stack.close()
        assert [end.recv(1) for end in ends] == [b""] * 3


def test_a_server_that_cannot_serve_leaves_no_connection_open(caplog: pytest.LogCaptureFixture) -> None:
    """Tornado fails to take a connection that was admitted: it is closed as it watches it, and its log says why."""
    with tornado_serving(
        guarded(), context=server_context(), server_class=our_tornado.HTTPServer, trusted_downstream=5
    ) as server:
        for _ in range(2):
            assert SUBJECTS["tornado"].ask(server, "frodo").status == 0
        until(lambda: caplog.text.count("TypeError: ") == 2)


def _tornado(**options: Any) -> Any:
    given: Any = {"app": guarded(), "ssl_options": server_context(), **options}
    return our_tornado.HTTPServer(given.pop("app"), **given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"refuse": "maybe"}, "refuse='maybe'"),
        ({"refuse": "respond", "app": application()}, "without the middleware"),
        ({"refuse": "respond", "app": behind_a_proxy()}, "without the middleware"),
        ({"refuse": "respond", "ssl_options": None}, "pyopenssl"),
        ({"ssl_options": None}, "tls.server_context"),
        ({"ssl_options": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "tls.server_context"),
        ({"ssl_options": {"certfile": "server.pem"}}, "tls.server_context"),
    ],
)
def test_what_does_not_go_together_is_said_when_the_server_is_made(options: dict[str, Any], words: str) -> None:
    """Before a socket is there: the message names what is wrong and the remedy."""
    with pytest.raises(ConfigurationError, match=words):
        _tornado(**options)


@pytest.mark.parametrize("refuse", ["maybe", True, None])
def test_websockets_takes_one_of_two_words(refuse: Any) -> None:
    """What is neither is no quiet default."""
    with pytest.raises(ConfigurationError, match="refuse="):
        our_websockets.serve(print, "127.0.0.1", 0, ssl=server_context(), refuse=refuse)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="verifies clients"):
        our_websockets.serve(
            print,  # type: ignore[arg-type]
            "127.0.0.1", 0, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), refuse="respond",
        )  # fmt: skip


def test_the_server_of_ours_takes_what_tornados_takes() -> None:
    """Its options, and an application without the middleware where refusals are not answered: the gate is the same."""

    class Hello(web.RequestHandler):
        def get(self) -> None:
            self.write(json.dumps(self.request.protocol))

    app = web.Application([("/", Hello)])
    with tornado_serving(
        app, context=server_context(), server_class=our_tornado.HTTPServer, no_keep_alive=True
    ) as server:
        reply: Reply = SUBJECTS["tornado"].ask(server, "frodo")
        assert (reply.status, reply.told) == (200, "https")
        assert SUBJECTS["tornado"].ask(server, "wrong name").status == 0
