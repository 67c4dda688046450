"""Tornado's client: the context that a request is given verifies the server, and refusals leave nothing behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from mtlspolicy import ReferenceIdentifier, Verifier, policies, tls
from tests.integrations.loop_serving import CLIENTS, SERVER, TRUST, UNKNOWN, open_files, server_context, until
from tests.integrations.serving import HOST, Server
from tests.integrations.tornado_serving import guarded, tornado_serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Tornado there needs another loop")

FRODO: Any = CLIENTS["frodo"]


@pytest.fixture(scope="module")
def reached() -> Generator[Server, None, None]:
    """Lend a server named localhost and 127.0.0.1."""
    with tornado_serving(guarded(), context=server_context()) as server:
        yield server


def context_of(expected: Any, policy: Any = None) -> Any:
    """Return the context of frodo for a server."""
    verifier = Verifier.for_servers(trust=TRUST, expected=expected, policy=policy)
    return tls.client_context(credential=tls.Credential.of(FRODO.chain, FRODO.key), verifier=verifier)


async def told(url: str, context: Any) -> bytes:
    """Return what the server tells frodo."""
    client = AsyncHTTPClient(force_instance=True)
    try:
        return bytes((await client.fetch(url, ssl_options=context)).body)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("name", "expected", "policy"),
    [
        ("localhost", "localhost", None),
        (HOST, HOST, None),
        ("localhost", ReferenceIdentifier.DIALED, None),
        ("localhost", "localhost", policies.SPKIPin.of(SERVER.certificate)),
    ],
    ids=["dns", "ip", "dialed", "pin"],
)
def test_the_server_is_who_was_expected(reached: Server, name: str, expected: Any, policy: Any) -> None:
    """By DNS name, IP address, the name dialed, and its key."""
    body = asyncio.run(told(f"https://{name}:{reached.address[1]}/mine", context_of(expected, policy)))
    assert body == b"frodo"


def test_another_server_is_an_error_and_the_client_goes_on(reached: Server) -> None:
    """A hundred refusals by name, pin and dialed name: each an error of its own, and the loop serves the next one."""
    url = f"https://localhost:{reached.address[1]}/mine"
    refusing = [
        context_of("elsewhere.test"),
        context_of("localhost", policies.SPKIPin.of(FRODO.certificate)),
        context_of("localhost", policies.IssuerPin(UNKNOWN.certificate)),
    ]

    async def run() -> bytes:
        for index in range(99):
            with pytest.raises(tls.HandshakeRejected):
                await told(url, refusing[index % 3])
        return await told(url, context_of("localhost"))

    before = open_files()
    assert asyncio.run(run()) == b"frodo"
    until(lambda: open_files() <= before)


def test_a_websocket_of_the_client_has_the_same_context(reached: Server) -> None:
    """``websocket_connect`` takes a request with ``ssl_options``."""

    async def run() -> Any:
        url = f"wss://localhost:{reached.address[1]}/echo"
        connection = await websocket_connect(HTTPRequest(url, ssl_options=context_of("localhost")))
        message = await connection.read_message()
        connection.close()
        return message

    assert asyncio.run(run()) == "frodo"
