"""The websockets library: its servers with and without the gate, refusals before the upgrade, and its clients."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.sync.server
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mtlspolicy import Policy, ReferenceIdentifier, Resolver, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError, NoPeerCertificate
from mtlspolicy.integrations import websockets as ours
from tests.integrations.direct import websockets_serving
from tests.integrations.loop_serving import (
    CLIENTS,
    POLICY,
    REFUSED,
    SERVER,
    TRUST,
    Row,
    client_context,
    enrolled,
    server_context,
)
from tests.integrations.serving import HOST, PATIENCE, Server, on_thread

FRODO: Any = CLIENTS["frodo"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there")


async def greet(connection: Any) -> None:
    """Greet by name; what it is sent is a name that it asks further for."""
    peer = ours.peer_or_none(connection)
    await connection.send(peer.common_name if peer is not None else "nobody")
    async for name in connection:
        await ours.require(policies.CommonName(name))(connection)
        chain = ours.presented(connection)
        await connection.send(f"{ours.peer(connection).common_name} {chain is not None}")


@contextmanager
def serving(context: ssl.SSLContext, *, handler: Any = greet, **options: Any) -> Generator[Server, None, None]:
    """Serve by ``websockets.asyncio``."""
    with websockets_serving(context, handler=handler, **options) as server:
        yield server


@pytest.fixture(scope="module")
def direct() -> Generator[Server, None, None]:
    """Lend a server."""
    with serving(server_context()) as server:
        yield server


def greeted(server: Server, who: Any, path: str = "/") -> str:
    """Return what *who* is greeted with; empty: refused."""
    context = who if isinstance(who, ssl.SSLContext) else client_context(who)
    try:
        with connect(f"wss://localhost:{server.address[1]}{path}", ssl=context, open_timeout=PATIENCE) as connection:
            return str(connection.recv(PATIENCE))
    except (OSError, EOFError, websockets.exceptions.WebSocketException) as error:
        if isinstance(error, InvalidStatus):
            return str(error.response.status_code)
        return ""


@pytest.mark.parametrize("begin", [ours.serve, websockets.asyncio.server.serve], ids=["ours", "theirs"])
def test_the_peer_is_known_in_the_handler_and_the_refused_run_no_code(begin: Any) -> None:
    """Passing the context to the library's own server suffices where nothing is held."""
    runs: list[str | None] = []

    async def counted(connection: Any) -> None:
        runs.append(ours.peer(connection).common_name)
        await greet(connection)

    with serving(server_context(), begin=begin, handler=counted) as server:
        assert greeted(server, "frodo") == "frodo"
        assert greeted(server, "sam") == "sam"
        assert [greeted(server, who) for who in REFUSED] == [""] * len(REFUSED)
        assert runs == ["frodo", "sam"]


def test_a_question_in_the_handler_ends_the_connection(direct: Server) -> None:
    """The peer may go on under its own name, and under no other."""
    with connect(f"wss://localhost:{direct.address[1]}", ssl=client_context("frodo")) as connection:
        assert connection.recv(PATIENCE) == "frodo"
        connection.send("frodo")
        assert connection.recv(PATIENCE) == "frodo True"
        connection.send("sam")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


async def _later(connection: Any) -> Policy:
    await asyncio.sleep(0)
    return policies.CommonName(connection.request.path.removeprefix("/"))


@pytest.mark.parametrize(
    "policy",
    [_later, lambda connection: policies.CommonName(connection.request.path[1:]), policies.CommonName("frodo")],
    ids=["later", "callable", "policy"],
)
def test_who_is_not_permitted_is_answered_before_the_upgrade(policy: Any) -> None:
    """With the code, as JSON, and the connection object never opens."""
    with serving(server_context(), process_request=ours.refuse_unless(policy)) as server:
        assert greeted(server, "frodo", "/frodo") == "frodo"
        with (
            pytest.raises(InvalidStatus) as caught,
            connect(f"wss://localhost:{server.address[1]}/frodo", ssl=client_context("sam")),
        ):
            pass
        response = caught.value.response
        assert (response.status_code, json.loads(response.body or b"")) == (403, {"error": "name.mismatch"})
        assert response.headers.get_all("Content-Type") == ["application/json"]
        assert response.headers.get_all("Content-Length") == [str(len(response.body or b""))]


def test_a_certificate_may_be_optional_and_is_asked_for_where_it_is_needed() -> None:
    """``None`` has one meaning; ``peer`` raises, and what `refuse_unless` answers is 403."""
    context = server_context(client_certificate="optional")
    found: list[Any] = []

    async def asks(connection: Any) -> None:
        found.append(ours.presented(connection))
        with pytest.raises(NoPeerCertificate):
            ours.peer(connection)
        await connection.send("told")

    with serving(context, handler=asks) as server:
        assert greeted(server, "none") == "told"
    assert found == [None]
    with serving(context, process_request=ours.refuse_unless(policies.CommonName("frodo"))) as server:
        assert greeted(server, "none") == "403"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_held_connection_waits_for_its_fact_and_then_is_served(loop: str) -> None:
    """An async resolver has the last word; ``select_subprotocol`` gets the connection, and not the gate."""
    row = Row()
    options = tls.ServerOptions(resolver=Resolver({"loops.enrolled": row}), pending="hold", hold_timeout=PATIENCE)
    seen: list[Any] = []

    def select(connection: Any, offered: Any) -> Any:
        seen.append(connection)
        return offered[0] if offered else None

    class Own(websockets.asyncio.server.ServerConnection):
        """A connection of one's own."""

    factory = None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with serving(
        server_context(POLICY & enrolled, options=options), loop=factory,
        select_subprotocol=select, create_connection=Own,
    ) as server:  # fmt: skip
        assert greeted(server, "frodo") == "frodo"
        assert greeted(server, "wrong name") == ""
        assert row.asked == 1
        row.names.clear()
        assert greeted(server, "frodo") == ""
    assert [type(connection) for connection in seen] == [Own]


def test_the_server_of_threads_needs_the_context_alone() -> None:
    """``websockets.sync``: the peer in the handler, the answer before the upgrade, nothing for the refused."""

    def handler(connection: Any) -> None:
        connection.send(ours.peer(connection).common_name)

    hook: Any = ours.refuse_unless(lambda connection: policies.CommonName(connection.request.path[1:]))
    with websockets.sync.server.serve(handler, HOST, 0, ssl=server_context(), process_request=hook) as server:
        reached = Server(server.socket.getsockname())
        with on_thread(server.serve_forever, server.shutdown):
            assert greeted(reached, "frodo", "/frodo") == "frodo"
            assert greeted(reached, "frodo", "/sam") == "403"
            assert [greeted(reached, who) for who in REFUSED] == [""] * len(REFUSED)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("localhost", "localhost"), (HOST, HOST), ("localhost", ReferenceIdentifier.DIALED)],
    ids=["localhost", HOST, "dialed"],
)
def test_a_client_verifies_the_server_by_policy_and_says_who_it_is(direct: Server, name: str, expected: Any) -> None:
    """Sync and async: the server's identity and pin; a server with another key gets no WebSocket."""
    pinned = policies.SPKIPin.of(SERVER.certificate)
    other = policies.SPKIPin.of(FRODO.certificate)
    uri = f"wss://{name}:{direct.address[1]}"

    async def later(context: ssl.SSLContext) -> str | None:
        async with websockets.asyncio.client.connect(uri, ssl=context) as connection:
            return ours.peer(connection).common_name

    for policy, admitted in ((pinned, True), (other, False)):
        verifier = Verifier.for_servers(trust=TRUST, expected=expected, policy=policy)
        context = tls.client_context(credential=tls.Credential.of(
            FRODO.chain, FRODO.key), verifier=verifier)  # fmt: skip
        if admitted:
            with connect(uri, ssl=context) as connection:
                assert ours.peer(connection).common_name == "localhost"
                assert connection.recv(PATIENCE) == "frodo"
            assert asyncio.run(later(context)) == "localhost"
            continue
        with pytest.raises(tls.HandshakeRejected, match="pin"), connect(uri, ssl=context):
            pass
        with pytest.raises(tls.HandshakeRejected, match="pin"):
            asyncio.run(later(context))


def test_what_is_not_ours_has_no_peer() -> None:
    """A context without a verifier is refused when the server starts, and a foreign object is no connection."""
    with pytest.raises(ConfigurationError, match="verifies clients"):
        ours.serve(greet, HOST, 0, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with pytest.raises(ConfigurationError, match="TLS"):
        ours.peer(object())
    questions: list[Any] = [ours.require, ours.refuse_unless]
    for question in questions:
        with pytest.raises(ConfigurationError, match="callable"):
            question("frodo")
