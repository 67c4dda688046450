"""What MongoDB says first, over TLS: a greeting and an answer to ``ping``. It is not MongoDB, and stores nothing."""

from __future__ import annotations

import socketserver
import ssl
import struct
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import pytest

from mtlspolicy import tls
from mtlspolicy.integrations.tunnel import Tunnel
from tests.clients.twice import Between, twice

HOST: Final = "127.0.0.1"
_MESSAGE: Final = 2013
_TRIES: Final = 60
_GREETING: Final[dict[str, Any]] = {
    "ok": 1.0, "helloOk": True, "isWritablePrimary": True, "ismaster": True, "minWireVersion": 0, "maxWireVersion": 21,
    "maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "readOnly": False,
}  # fmt: skip


class _Session(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        with suppress(OSError):
            self.connection.do_handshake()
            peer = tls.peer_of(self.connection)
            while head := self.rfile.read(16):
                length, number, _, kind = struct.unpack("<iiii", head)
                self.server.heard.append(self.rfile.read(length - 16))
                self.wfile.write(_answer(number, kind, {**_GREETING, "you": str(peer and peer.common_name)}))


def _answer(number: int, kind: int, document: dict[str, Any]) -> bytes:
    """Return the answer to the message *number*: OP_MSG to one, OP_REPLY to the older OP_QUERY of a first greeting."""
    bson: Any = pytest.importorskip("bson")
    body = bson.encode(document)
    if kind == _MESSAGE:
        said, body = _MESSAGE, struct.pack("<iB", 0, 0) + body
    else:
        said, body = 1, struct.pack("<iqii", 0, 0, 0, 1) + body
    return struct.pack("<iiii", 16 + len(body), 0, number, said) + bytes(body)


class Greeter(socketserver.ThreadingTCPServer):
    """A server that greets as MongoDB does.

    Attributes:
        heard: What was said to it.

    Args:
        context: Of the server.
    """

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((HOST, 0), _Session)
        self.heard: list[bytes] = []
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


def by_pymongo(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> Any:
    """Ask with pymongo, which takes no context, through a tunnel; return who the server says is asking."""
    pymongo: Any = pytest.importorskip("pymongo", reason="pymongo is not installed")
    with Tunnel(f"{host}:{port}", context=context) as local:
        url = f"mongodb://{quote(str(local.path), safe='')}/?directConnection=true"
        with pymongo.MongoClient(url, serverSelectionTimeoutMS=300) as client:

            def once() -> Any:
                for _ in range(_TRIES):  # it tries until its time is out, and a refusal is known at once
                    with suppress(pymongo.errors.ConnectionFailure):
                        return client.admin.command("ping")["you"]
                    if local.refusal is not None:
                        break
                raise ConnectionError(str(local.refusal))

            return twice(once, between)
