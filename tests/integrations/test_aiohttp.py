"""aiohttp's server with TLS of its own: identity of the connection, per route, and nothing before it."""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import threading
from collections.abc import Generator
from typing import Any

import pytest
from aiohttp import web
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mtlspolicy import Resolver, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import aiohttp as ours
from tests.integrations.aiohttp_serving import aiohttp_serving, application, behind_a_proxy
from tests.integrations.loop_serving import (
    CREDENTIAL,
    POLICY,
    REFUSED,
    TRUST,
    UNREVOKED,
    Row,
    ask,
    ask_at_once,
    client_context,
    crl_resolver,
    dialed,
    enrolled,
    left_in_the_middle,
    open_files,
    outlives_trust,
    server_context,
    silent,
    until,
)
from tests.integrations.serving import FRODO, PATIENCE, SAM, VERIFIER, Server, item

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there, and no Unix sockets")


@pytest.fixture(scope="module")
def direct() -> Generator[Server, None, None]:
    """Lend a server that speaks TLS itself."""
    with aiohttp_serving(application(), context=server_context()) as server:
        yield server


@pytest.mark.parametrize("path", ["/", "/below/tell"])
def test_the_peer_of_the_connection_is_in_the_application_and_headers_claim_nothing(direct: Server, path: str) -> None:
    """The handler sees the peer of the handshake, below a prefix as well."""
    reply = ask(direct, "frodo", f"Client-Cert: {item(SAM)}", "X-Forwarded-For: 10.0.0.1", path=path)
    assert (reply.status, reply.told["peer"]) == (200, "frodo")


@pytest.mark.parametrize("who", REFUSED)
def test_no_application_code_runs_for_who_is_refused(who: str) -> None:
    """A name, an issuing CA or a root that is not meant, an expired certificate and none see the connection end."""
    app, ran = application(), list[str]()

    @web.middleware
    async def count(request: web.Request, handler: Any) -> Any:
        ran.append(request.path)
        return await handler(request)

    app.middlewares.append(count)
    with aiohttp_serving(app, context=server_context()) as server:
        assert (ask(server, who).status, ran) == (0, [])
        assert (ask(server, "frodo").status, ran) == (200, ["/"])


def test_the_route_asks_further(direct: Server) -> None:
    """The path and the form say who it must be; another is 403 with the code, and so is a form without the name."""
    assert ask(direct, "frodo", path="/act/frodo").body == b"frodo"
    refused = ask(direct, "frodo", path="/act/sam")
    assert (refused.status, refused.told) == (403, {"error": "name.mismatch"})
    assert refused.headers["content-type"] == "application/json"
    assert ask(direct, "sam", path="/bank", form="user=sam").body == b"sam"
    for form, code in (("user=frodo", "name.mismatch"), ("other=frodo", "policy.error"), ("", "policy.error")):
        reply = ask(direct, "sam", path="/bank", form=form)
        assert (reply.status, reply.told) == (403, {"error": code})


def test_a_refusal_after_the_answer_has_begun_ends_the_connection(direct: Server) -> None:
    """No second answer is written into the first."""
    context = client_context("frodo")
    connection = http.client.HTTPSConnection("localhost", direct.address[1], context=context, timeout=20)
    connection.request("GET", "/begun/sam")
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    connection.close()
    assert caught.value.partial == b"begun"


def test_a_path_that_does_not_exist_asks_for_the_certificate_first() -> None:
    """A middleware of aiohttp runs for 404 as well: strangers do not learn which paths there are."""
    context = server_context(client_certificate="optional")
    with aiohttp_serving(application(absent=401), context=context) as server:
        reply = ask(server, "none", path="/nowhere")
        assert (reply.status, reply.told) == (401, {"error": "path.no-certificate"})
        assert ask(server, "frodo", path="/nowhere").status == 404
    with aiohttp_serving(application(required=False), context=context) as server:
        assert ask(server, "none").told["peer"] is None
        assert ask(server, "none", path="/act/frodo").told == {"error": "path.no-certificate"}
        assert ask(server, "none", path="/nowhere").status == 404


def test_a_further_policy_of_every_request_is_answered() -> None:
    """``policy=`` narrows what the context admits, with an answer."""
    app = application(policy=policies.CommonName("sam"))
    with aiohttp_serving(app, context=server_context()) as server:
        assert ask(server, "sam").status == 200
        assert ask(server, "frodo").told == {"error": "name.mismatch"}


def test_plain_http_has_no_identity_of_its_own() -> None:
    """``source="connection"`` without TLS of ours is an error of the server, whatever a header says."""
    with aiohttp_serving(application()) as server:
        assert server.ask(f"Client-Cert: {item(FRODO)}").status == 500


def test_an_application_without_the_middleware_has_no_peers() -> None:
    """A middleware that was forgotten opens nothing: asking is an error, and not the absence of a peer."""
    with aiohttp_serving(application(installed=False), context=server_context()) as server:
        assert ask(server, "frodo").status == 500
    for what in (object(), {}, web.Request):
        with pytest.raises(ConfigurationError, match="install"):
            ours.peer(what)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/echo"])
def test_a_websocket_has_the_peer_and_ends_when_it_is_refused(direct: Server, path: str) -> None:
    """The peer is there while the connection is open; a refusal then ends it."""
    uri = f"wss://localhost:{direct.address[1]}{path}"
    with connect(uri, ssl=client_context("frodo")) as connection:
        assert connection.recv(20) == "frodo"
        connection.send("frodo")
        assert connection.recv(20) == "may"
        connection.send("sam")
        with pytest.raises(ConnectionClosed):
            connection.recv(20)


def test_a_websocket_is_refused_before_it_is_upgraded() -> None:
    """The refusal is an answer of HTTP, and the connection goes on as HTTP."""
    context = server_context(client_certificate="optional")
    with aiohttp_serving(application(), context=context) as server:
        with (
            pytest.raises(InvalidStatus) as caught,
            connect(f"wss://localhost:{server.address[1]}/echo", ssl=client_context("none")),
        ):
            pass
        assert caught.value.response.status_code == 403
        assert json.loads(caught.value.response.body or b"") == {"error": "path.no-certificate"}


def test_one_hundred_at_once_half_of_them_refused_leave_nothing_behind(direct: Server) -> None:
    """Every good client is served, no bad one is, and descriptors and threads are as before."""
    assert ask(direct, "frodo").status == 200
    files, threads = open_files(), threading.active_count()
    assert asyncio.run(ask_at_once(direct)) == [200, 0] * 50
    until(lambda: open_files() <= files and threading.active_count() <= threads)


def test_who_leaves_in_the_handshake_or_says_nothing_holds_nobody_up(direct: Server) -> None:
    """A client that is gone and clients that are silent change nothing for the next."""
    for octets in (1, 50, 10_000):
        left_in_the_middle(direct, octets)
    with silent(direct):
        assert ask(direct, "frodo").status == 200


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_held_connection_waits_for_its_fact_and_then_is_served(loop: str) -> None:
    """With ``AppRunner`` an async resolver has the last word, and a revoked certificate is refused."""
    row = Row()
    resolver = Resolver({"loops.enrolled": row})
    context = server_context(
        POLICY & enrolled, options=tls.ServerOptions(resolver=resolver, pending="hold", hold_timeout=20)
    )
    factory = None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with aiohttp_serving(application(), context=context, runner=ours.AppRunner, loop=factory) as server:
        assert ask(server, "frodo").told["peer"] == "frodo"
        assert ask(server, "wrong name").status == 0
        assert row.asked == 1
        row.names.clear()
        assert ask(server, "frodo").status == 0
        row.failing = True
        assert ask(server, "sam").status == 0
        row.failing, row.names = False, {"CN=frodo"}
        assert asyncio.run(ask_at_once(server, 20)) == [200, 0] * 10
        with connect(f"wss://localhost:{server.address[1]}/echo", ssl=client_context("frodo")) as connection:
            assert connection.recv(20) == "frodo"


def test_a_session_does_not_outlive_the_trust_in_its_ca() -> None:
    """Rule 48: a resumed connection is judged as any other, and one whose CA was taken out is closed."""
    told = outlives_trust(
        lambda context: aiohttp_serving(application(), context=context),
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    assert told[0] == (False, b"HTTP/1.1 200")
    assert told[1][1] == b"HTTP/1.1 200"
    assert told[2][1] == b""


def test_revoked() -> None:
    """A certificate on the CRL of its CA is refused, and the others are not."""
    with crl_resolver() as resolver:
        context = server_context(UNREVOKED, options=tls.ServerOptions(resolver=resolver, pending="hold"))
        with aiohttp_serving(application(), context=context, runner=ours.AppRunner) as server:
            assert ask(server, "frodo").told["peer"] == "frodo"
            assert ask(server, "revoked").status == 0


def test_without_the_gate_a_context_that_holds_refuses_on_the_first_day() -> None:
    """``web.AppRunner`` has no gate, so that nobody is admitted on half a decision."""
    context = server_context(options=tls.ServerOptions(pending="hold"))
    with aiohttp_serving(application(), context=context) as server:
        assert ask(server, "frodo").status == 0


@pytest.mark.parametrize("pending", ["refuse", "hold"])
def test_refusals_are_answered_where_the_runner_is_told_to(pending: Any) -> None:
    """No certificate 403, a wrong policy 403, a data base that is down 503, a good one 200, an unknown CA closed."""
    row = Row()
    resolver = Resolver({"loops.kept": row})
    kept = policies.lookup("loops.kept", key=lambda path: str(path.end_entity.subject))(lambda found, _: found is True)
    options = tls.ServerOptions(resolver=resolver, pending=pending, hold_timeout=PATIENCE)
    context, served = server_context(POLICY & kept, options=options), []

    async def seen(_request: web.Request) -> web.Response:
        served.append(1)
        return web.Response()

    app = application()
    app.router.add_get("/seen", seen)
    with aiohttp_serving(app, runner=ours.AppRunner, context=context, refuse="respond") as server:
        for who, code in (("none", "path.no-certificate"), ("wrong name", "name.mismatch"), ("expired", None)):
            for path, form in (("/seen", None), ("/bank", "user=frodo&more=" + "x" * 100_000)):
                reply = ask(server, who, path=path, form=form)
                assert (reply.status, reply.body and reply.told) == (
                    (403, {"error": code}) if code else (0, b"")
                )  # OpenSSL itself refuses the expired one
        assert ask(server, "unknown CA").status == 0
        row.failing = True
        down = ask(server, "frodo", path="/seen")
        assert (down.status, "retry-after" in down.headers) == (503, True)
        assert served == []
        row.failing = False
        until(lambda: ask(server, "sam").status == 200)
        with (
            pytest.raises(InvalidStatus) as caught,
            connect(f"wss://localhost:{server.address[1]}/echo", ssl=client_context("wrong name")),
        ):
            pass
        assert caught.value.response.status_code == 403
        assert asyncio.run(ask_at_once(server, 20)).count(403) == 10


def test_answers_need_the_middleware_and_the_context() -> None:
    """A middleware that was forgotten cannot open the server, and words that do not go together are refused."""
    given: list[tuple[web.Application, Any]] = [
        (application(installed=False), {"context": server_context(), "refuse": "respond"}),
        (behind_a_proxy(), {"context": server_context(), "refuse": "respond"}),
        (application(), {"refuse": "respond"}),
        (application(), {"refuse": "never"}),
        (application(), {"absent": 200}),
    ]
    for app, options in given:
        with pytest.raises(ConfigurationError):
            ours.AppRunner(app, **options)


def test_the_runner_behind_the_gate_is_a_runner_in_all_else() -> None:
    """One gate for all sites, none before setup, and the attributes of aiohttp's server."""

    async def run() -> None:
        runner: Any = ours.AppRunner(application())
        before = runner.server
        await runner.setup()
        assert before is None
        first: Any = runner.server
        assert runner.server is first
        assert first.connections == []
        await runner.cleanup()
        await runner.setup()
        assert runner.server is not first
        await runner.cleanup()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("/", "localhost", 200),
        ("/", "staff.example", 421),
        ("https://staff.example/", "localhost", 421),
        ("https://localhost/", "localhost", 200),
        ("//staff.example/", "localhost", 404),
    ],
)
def test_a_request_for_another_host_than_the_handshake_was_for_is_misdirected(
    target: str, host: str, status: int
) -> None:
    """The Host header and the host of the request line, which aiohttp prefers, both have to be the one judged."""
    staff = tls.server_context(
        credential=CREDENTIAL, verifier=Verifier.for_clients(trust=TRUST, policy=policies.CommonName("sam"))
    )
    context = server_context(options=tls.ServerOptions(virtual_hosts={"staff.example": staff}))
    with (
        aiohttp_serving(application(), context=context) as server,
        dialed(server, client_context("frodo")) as client,
    ):
        text = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert client.raw(text.encode("ascii")).status == status


def test_what_does_not_go_together_is_said_when_it_is_installed() -> None:
    """Twice, too late, no application, no source."""
    app = application()
    for given, message in ((app, "already"), (object(), "web.Application")):
        with pytest.raises(ConfigurationError, match=message):
            ours.install(given, source="connection")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="verifier"):
        ours.install(web.Application(), source="connection", verifier=VERIFIER)
    frozen = web.Application()
    frozen.freeze()
    with pytest.raises(ConfigurationError, match="runs already"):
        ours.install(frozen, source="connection")
    with pytest.raises(ConfigurationError, match="callable"):
        ours.require("frodo")  # type: ignore[arg-type]
