"""Refused clients that are answered take no place from the good ones, and end with the server."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from uvicorn.server import ServerState

from mtlspolicy.integrations._uvicorn_refusals import Refusals
from tests.integrations.answering import Clients, Counted, context_for, serving
from tests.integrations.loop_serving import until
from tests.integrations.serving import PATIENCE, Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")
_SLOW = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"
_WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_IDLE = b"GET / HT"
_UVICORN = ["uvicorn-h11-asyncio", "uvicorn-httptools-uvloop"]


def _stays(stack: ExitStack, server: Server, clients: Clients, name: str | None, sent: bytes) -> socket.socket:
    """Open a connection that stays, and return it once it has said something."""
    plain = stack.enter_context(socket.create_connection(server.address, PATIENCE))
    connection = stack.enter_context(clients[name].wrap_socket(plain, server_hostname="localhost"))
    connection.sendall(sent)
    return connection


@pytest.mark.parametrize("sent", [_SLOW, _IDLE], ids=["slow", "idle"])
@pytest.mark.parametrize("name", _UVICORN)
def test_attack_refused_clients_use_up_the_limit_of_the_good_ones(tmp_path: Path, name: str, sent: bytes) -> None:
    """However many are being answered, they count as one for `limit_concurrency`, which holds for the good ones."""
    clients, app = Clients(tmp_path), Counted()
    with ExitStack() as stack:
        server = stack.enter_context(serving(name)(app, context=context_for(), refuse="respond", limit_concurrency=6))
        crowd = [_stays(stack, server, clients, "gollum" if at % 2 else None, sent) for at in range(12)]
        if sent is _SLOW:
            assert all(one.recv(12) == b"HTTP/1.1 403" for one in crowd)
        assert clients.get(server, "gollum").status_code == 403
        assert [clients.get(server, "frodo").status_code for _ in range(3)] == [200] * 3
        good = [_stays(stack, server, clients, "frodo", _WHOLE) for _ in range(6)]
        assert b"HTTP/1.1 503" in [one.recv(12) for one in good]
        for one in (*good, *crowd):
            one.close()
        until(lambda: clients.get(server, "frodo").status_code == 200)


@pytest.mark.parametrize("name", _UVICORN)
def test_refused_clients_that_stay_are_ended_with_the_server(tmp_path: Path, name: str) -> None:
    """One that has said nothing is closed at once; for one in the middle of its request the server waits."""
    clients, told = Clients(tmp_path), []
    with ExitStack() as stack:
        with serving(name)(Counted(), context=context_for(), refuse="respond", timeout_graceful_shutdown=60) as server:
            slow = _stays(stack, server, clients, None, _SLOW)
            assert slow.recv(12) == b"HTTP/1.1 403"
            idle = _stays(stack, server, clients, "gollum", _IDLE)

            def leave() -> None:
                told.append(idle.recv(1))
                idle.close()
                slow.close()

            leaving = threading.Thread(target=leave)
            leaving.start()
        leaving.join(PATIENCE)
    assert told == [b""]


def test_answers_that_are_not_complete_are_cancelled_with_the_servers_tasks() -> None:
    """What the server does with its tasks when the time is over, it does with these."""

    async def main() -> tuple[int, bool, int]:
        state = ServerState()
        refusals = Refusals(state)
        apart = refusals.state()
        apart.connections.add("a connection")
        waiting = asyncio.create_task(asyncio.Event().wait())
        apart.tasks.add(waiting)
        (one,) = state.tasks
        one.cancel(msg="over")
        with pytest.raises(asyncio.CancelledError):
            await waiting
        before = len(state.connections)
        apart.connections.discard("a connection")
        return before, waiting.cancelled(), len(state.connections | state.tasks)

    assert asyncio.run(main()) == (1, True, 0)
