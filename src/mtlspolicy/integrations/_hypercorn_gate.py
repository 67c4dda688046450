"""Hypercorn's connections behind the gate: held ones wait for their decision, refused ones are answered where asked.

Hypercorn itself goes on doing everything else: start-up, shutdown and what it serves without TLS. It has no place for a
protocol of ours, so the servers of its sockets with TLS are begun here, while it waits for its shutdown trigger.
"""

from __future__ import annotations

import asyncio
import copy
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from random import randint
from typing import TYPE_CHECKING, Any, Final

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext

from mtlspolicy.tls._gate import answering_gate, gate

if TYPE_CHECKING:
    from hypercorn.config import Config

    from mtlspolicy.errors import VerificationError
    from mtlspolicy.integrations._refusing import Direct

__all__ = ["GatedSockets"]

Trigger = Callable[..., Awaitable[Any]]
_utils: Final[Any] = import_module("hypercorn.utils")  # its annotations name types without arguments
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGBREAK")


class GatedSockets:
    """The sockets with TLS of one call of `hypercorn.serve`.

    Args:
        app: The outermost application.
        config: Of Hypercorn.
        direct: What the connections are treated by.
    """

    def __init__(self, app: Any, config: Config, direct: Direct) -> None:
        self._app: Any = app
        self._config = config
        self._direct = direct
        self._state: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        own = copy.copy(config)
        own.insecure_bind, own.quic_bind = [], []
        self._sockets: list[socket.socket] = own.create_sockets().secure_sockets

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Be the application that Hypercorn starts, and take note of the state that start-up fills."""
        if scope["type"] == "lifespan":
            self._state = scope["state"]
        await self._app(scope, receive, send)

    @property
    def rest(self) -> Config:
        """The configuration without the sockets that are served here."""
        left = copy.copy(self._config)
        left.bind = []
        return left

    def close(self) -> None:
        """Close the sockets, which a start-up that failed leaves open."""
        for sock in self._sockets:
            sock.close()

    def serving(self, trigger: Trigger | None) -> Trigger:
        """Return the shutdown trigger for Hypercorn, which serves until *trigger* says that it is time."""

        async def serve() -> None:
            await self._serve(trigger or _signalled())

        return serve

    async def _serve(self, trigger: Trigger) -> None:
        config, loop = self._config, asyncio.get_running_loop()
        most = config.max_requests
        context = WorkerContext(None if most is None else most + randint(0, config.max_requests_jitter))  # noqa: S311 - no secret
        refused = WorkerContext(None)  # whoever is refused ends no server by the number of his requests
        servers: list[asyncio.Server] = []
        ends = [asyncio.ensure_future(trigger()), asyncio.ensure_future(context.terminate.wait())]
        try:
            for sock in self._sockets:
                servers.append(
                    await loop.create_server(
                        self._gate(context, refused), sock=sock, ssl=self._direct.listener, backlog=config.backlog,
                        ssl_handshake_timeout=config.ssl_handshake_timeout,
                    )
                )  # fmt: skip
                bind = _utils.repr_socket_addr(sock.family, sock.getsockname())
                await config.log.info("Running on https://%s (CTRL + C to quit)", bind)
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()  # a trigger that fails ends the server with its error
        finally:
            for end in ends:
                end.cancel()
            await context.terminated.set()
            await refused.terminated.set()
            for server in servers:
                server.close()
            await self._finish()

    async def _finish(self) -> None:
        """Let the connections end for the time that the configuration gives them, and end them then."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._config.graceful_timeout)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _gate(self, context: WorkerContext, refused: WorkerContext) -> Callable[[], asyncio.BaseProtocol]:
        def answers(error: VerificationError) -> asyncio.Protocol:
            return self._protocol(self._direct.refusing(error), refused)

        def serves() -> asyncio.Protocol:
            return self._protocol(self._app, context)

        return answering_gate(serves, answers) if self._direct.responds else gate(serves)

    def _protocol(self, app: Any, context: WorkerContext) -> asyncio.Protocol:
        """Return the protocol of one connection, which Hypercorn's own server reads and writes."""
        loop = asyncio.get_running_loop()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task: Any = asyncio.current_task()
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            wrapped = _utils.wrap_app(app, self._config.wsgi_max_body_size, "asgi")
            await TCPServer(wrapped, loop, self._config, context, self._state, reader, writer)

        return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), connected, loop=loop)


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event, *_: object) -> None:
    loop.call_soon_threadsafe(event.set)


def _signalled() -> Trigger:
    """Return what waits for a signal to end, as Hypercorn does where nobody gives it a trigger."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is None:
            continue
        try:
            loop.add_signal_handler(number, ended.set)
        except NotImplementedError:  # Windows
            signal.signal(number, partial(_set, loop, ended))
    return ended.wait
