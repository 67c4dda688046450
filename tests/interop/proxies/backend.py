"""The program behind the proxies: asyncio and h11, one connection a task. It tells each caller who it thinks he is."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import h11

from mtlspolicy import Verifier
from mtlspolicy.errors import MalformedEvidence, VerificationError
from mtlspolicy.forwarded import ForwardedSource, ImmediatePeer

from .programs import HOST  # noqa: TID252 - tests are no package that could be named

_JOIN: Final = 20.0
_SIZE: Final = 256 * 1024

Fields = list[tuple[bytes, bytes]]


class Backend:
    """A server of its own on a thread of its own.

    Attributes:
        source: Reads the forwarded certificate.
        verifier: Judges it.
        port: Of loopback.
        requests: The header fields of every request, as they came, names in the case in which they came.
    """

    def __init__(self, source: ForwardedSource, verifier: Verifier) -> None:
        self.source, self.verifier = source, verifier
        self.requests: list[Fields] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        assert self._ready.wait(_JOIN), "the server did not start"

    def end(self) -> None:
        """End the connections and the thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_JOIN)
        assert not self._thread.is_alive(), "the server did not end"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_SIZE)
        # the one address that counts: the socket's
        peer = ImmediatePeer(address=writer.get_extra_info("peername")[0])
        try:
            while await self._one(connection, reader, writer, peer):
                connection.start_next_cycle()
        except (h11.RemoteProtocolError, OSError):
            pass  # what h11 does not read gets no answer
        finally:
            writer.close()

    async def _one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        peer: ImmediatePeer,
    ) -> bool:  # fmt: skip
        """Answer one request, and return whether another may follow."""
        request: h11.Request | None = None
        while True:
            event: Any = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(_SIZE))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.ConnectionClosed):
                return False
            elif isinstance(event, h11.EndOfMessage):
                break
        assert request is not None
        status, told = self.answer(request, list(event.headers), peer)
        body = json.dumps(told).encode("ascii")
        head = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        for part in (h11.Response(status_code=status, headers=head), h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(part) or b"")
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    def answer(self, request: h11.Request, trailers: Fields, peer: ImmediatePeer) -> tuple[int, dict[str, Any]]:
        """Return status and body: the identity, ``None`` for a request without certificate, or the refusal's code."""
        self.requests.append(list(request.headers.raw_items()))
        try:
            self.source.require_no_trailers(trailers)
            version = request.http_version.decode("ascii")
            chain = self.source.read(request.headers.raw_items(), peer=peer, http_version=version)
            identity = None if chain is None else self.verifier.verify(chain).common_name
        except (MalformedEvidence, VerificationError) as error:
            return error.http_status or 500, {"code": error.code, "detail": str(error)}
        return 200, {"identity": identity}


@contextmanager
def serving(source: ForwardedSource, verifier: Verifier) -> Generator[Backend, None, None]:
    """Run the program behind a proxy."""
    backend = Backend(source, verifier)
    backend.start()
    try:
        yield backend
    finally:
        backend.end()
