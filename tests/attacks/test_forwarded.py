"""Attacks on what brings a peer to applications: one connection and two hosts, and a proxy that somebody made up."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded import ImmediatePeer
from mtlspolicy.integrations import asgi
from tests.integrations import applications
from tests.integrations.serving import (
    FRODO,
    HOST,
    PATIENCE,
    ROOT,
    VERIFIER,
    Server,
    hypercorn_serving,
    item,
    uvicorn_serving,
)

SERVER = ROOT.issue_server("localhost", HOST)
CREDENTIAL = tls.Credential.of(SERVER.chain, SERVER.key)
TRUST = TrustStore(anchors=[ROOT.certificate])


def context_for(policy: Policy, **options: Any) -> ssl.SSLContext:
    """Return a server's context that admits whom *policy* permits."""
    verifier = Verifier.for_clients(trust=TRUST, policy=policy)
    return tls.server_context(credential=CREDENTIAL, verifier=verifier, options=tls.ServerOptions(**options))


@pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")
@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_a_websocket_for_the_strict_host_over_a_connection_to_the_lax_one(tmp_path: Path, name: str) -> None:
    """The handshake names a host to which frodo may come, and the upgrade another one: 421, and no WebSocket."""
    strict = context_for(policies.CommonName("sam"))
    context = context_for(policies.CommonName("frodo"), virtual_hosts={"strict.test": strict})
    app = asgi.Middleware(applications.tell, source="connection")
    serving: AbstractContextManager[Server] = (
        uvicorn_serving(app, context=context) if name == "uvicorn" else hypercorn_serving(app, context=context)
    )
    frodo = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    frodo.load_verify_locations(cadata=ROOT.der)
    frodo.load_cert_chain(*ROOT.issue_client("frodo").files(tmp_path))
    with serving as server:

        def opened(host: str) -> ClientConnection:
            plain = socket.create_connection(server.address, PATIENCE)
            return connect(f"wss://{host}/", sock=plain, ssl=frodo, server_hostname="localhost")

        with opened("localhost") as connection:
            assert json.loads(connection.recv())["peer"] == "frodo"
        with pytest.raises(InvalidStatus) as caught:
            opened("strict.test")
        assert caught.value.response.status_code == 421


class Pretended:
    """What another layer may have left in a scope: it says that the proxy is at the other end, and no socket does."""

    address = HOST

    def peer(self) -> ImmediatePeer:
        """Return the proxy."""
        return ImmediatePeer(HOST)


def test_another_layer_says_that_the_proxy_is_at_the_other_end() -> None:
    """What counts is what an edge of ours has read from the socket, and not the key under which something lies."""
    reached: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        reached.append(scope)

    async def nothing(*_: Any) -> Any:
        raise AssertionError("there is nothing to receive or send")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "client": (HOST, 4711),
        "headers": [(b"client-cert", item(FRODO).encode("ascii"))],
        "mtlspolicy.accepted": Pretended(),
    }
    middleware = asgi.Middleware(app, source=applications.source(), verifier=VERIFIER)
    with pytest.raises(ConfigurationError, match="the address of the socket is not to be had"):
        asyncio.run(middleware(scope, nothing, nothing))
    assert reached == []
