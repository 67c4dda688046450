"""The gate of servers that drive sockets themselves on asyncio's loop, outside of its transports, as Tornado does.

It decides when, and that nothing flows before; who is admitted, and under what, the judgement of the connection says.
It reads nothing from a held connection: what a client sends too early waits in the system's buffer, which is bounded.
"""

from __future__ import annotations

import asyncio
import functools
import select
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

from mtlspolicy._resolver import settle_async
from mtlspolicy.tls._cpython import tls_object
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._gate import outcome_at_once
from mtlspolicy.tls._gate_register import Register, origin_of
from mtlspolicy.tls._guards import fail
from mtlspolicy.tls._latch import ANSWERING, HELD
from mtlspolicy.tls._openssl import GONE
from mtlspolicy.tls._socket import LatchedSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mtlspolicy._judgement import Judgement, Outcome
    from mtlspolicy.errors import VerificationError
    from mtlspolicy.tls._cpython import TLSObject
    from mtlspolicy.tls._enforcement import Enforcement
    from mtlspolicy.tls._latch import Latch
    from mtlspolicy.tls._options import ServerOptions

__all__ = ["Passed", "SocketGate"]

LOOK: Final = 0.25
"""Seconds between two looks at whether the client of a held connection has gone: nobody reads, so nobody is told."""
_HUNG_UP: Final[int] = getattr(select, "POLLRDHUP", 0)
"""On Linux: the other end has ended the connection, also where bytes of it are unread. Elsewhere that is POLLHUP."""


class Passed:
    """A connection that is through the gate: its peer is admitted, or is refused and only to be told so.

    Attributes:
        connection: The socket, which does not block; whoever takes it closes it.
        refused: The refusal that is to be answered; ``None``: the peer is admitted.
        seconds: How long the answer may take.
    """

    __slots__ = ("_latch", "_leave", "connection", "refused", "seconds")

    def __init__(self, connection: LatchedSocket, latch: Latch, leave: Callable[[], None] | None = None) -> None:
        self.connection: LatchedSocket = connection
        self.refused: VerificationError | None = None
        self.seconds: float = 0.0
        self._latch = latch
        self._leave = leave
        if leave is not None:
            self.refused = cast("Outcome", latch.outcome).error()
            self.seconds = cast("ServerOptions", latch.options).handshake_timeout

    def ended(self) -> None:
        """Shut a connection that was answered, for good; before it is closed."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
            self._latch.refuse(refusal("gate.interrupted", "the answer to the refusal ended"))  # the first reason stays


class SocketGate:
    """The gate of one server: shakes hands on accepted sockets, and keeps each shut until its peer is decided on.

    The bounds ``max_held`` and ``max_held_per_address`` count for one gate, and once more for connections that answer.

    Args:
        context: Of ours, for servers.
        answers: Whether refused clients are answered. `let_in_to_answer` was called with the context then.
    """

    def __init__(self, context: ssl.SSLContext, *, answers: bool) -> None:
        self._context = context
        self._seconds: float = cast("Enforcement", enforcement_of(context)).handshake_timeout
        self._answers = answers
        self._held = Register()
        self._told = Register()

    async def pass_through(self, plain: socket.socket) -> Passed | None:
        """Shake hands on an accepted socket that does not block, and decide on its peer.

        Args:
            plain: The socket; it is the gate's from now on.

        Returns:
            The connection, which can be read and written now; ``None``: it was closed, and why is logged.
        """
        connection: ssl.SSLSocket | None = None
        passed: Passed | None = None
        try:
            plain.getpeername()  # raises where the client has reset it; ssl would leave a socket of its own open then
            connection = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            passed = await self._passed(cast("LatchedSocket", connection))
        except OSError:
            return None  # the client has gone or was refused, and the latch has logged which
        finally:
            plain.close()  # empty by now, unless it was reset before there was TLS on it
            if passed is None and connection is not None:
                connection.close()
        return passed

    async def _passed(self, connection: LatchedSocket) -> Passed | None:
        latch = connection._latch  # our contexts make no other connections
        latch.answerable = latch.answers = self._answers
        try:
            await self._shake_hands(connection)
            if not latch.claim(latch.peername) and latch.state is HELD:
                await self._settle(connection, latch)
        except OSError:
            raise
        except BaseException as error:
            latch.refuse(refusal("gate.interrupted", f"the decision ended with {type(error).__name__}"))
            if not isinstance(error, Exception):
                raise
        if latch.admitted:
            return Passed(connection, latch)
        return self._to_be_told(connection, latch) if latch.state is ANSWERING else None

    async def _shake_hands(self, connection: LatchedSocket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    try:
                        connection.do_handshake()
                    except ssl.SSLWantReadError:
                        await _ready(connection, loop.add_reader, loop.remove_reader)
                    except ssl.SSLWantWriteError:
                        await _ready(connection, loop.add_writer, loop.remove_writer)
                    else:
                        return
        except TimeoutError as error:
            fail(connection, cast("TLSObject", tls_object(connection)), error)
            raise

    async def _settle(self, connection: LatchedSocket, latch: Latch) -> None:
        """Judge again, now that the address is known, and wait for the facts that are to be had."""
        outcome = outcome_at_once(latch)
        if outcome is None:
            options, origin = cast("ServerOptions", latch.options), origin_of(latch.peername)
            full = self._held.enter(origin, options)
            if full is not None:
                latch.refuse(refusal("gate.full", f"{full}: look at the source of the facts, or raise the bound"))
                return
            try:
                outcome = await _decided(connection, cast("Judgement", latch.judgement), options)
            finally:
                self._held.leave(origin)
        if outcome is None:
            latch.refuse(refusal(GONE, "the client ended the connection while it was held"))
        else:
            latch.settle(outcome)

    def _to_be_told(self, connection: LatchedSocket, latch: Latch) -> Passed | None:
        origin = origin_of(latch.peername)
        full = self._told.enter(origin, cast("ServerOptions", latch.options))
        if full is None:
            return Passed(connection, latch, functools.partial(self._told.leave, origin))
        latch.refuse(refusal("gate.full", full))
        return None


async def _ready(connection: LatchedSocket, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
    """Wait until bytes can be read from the socket, or written."""
    number, ready = connection.fileno(), asyncio.Event()
    add(number, ready.set)
    try:
        await ready.wait()
    finally:
        remove(number)


async def _decided(connection: LatchedSocket, judgement: Judgement, options: ServerOptions) -> Outcome | None:
    """Return the outcome with every fact that could be had in time; ``None``: the client has gone meanwhile."""
    deciding = asyncio.ensure_future(settle_async(judgement, options.resolver, deadline=options.hold_timeout))
    watch = _watch(connection)
    try:
        while not deciding.done():
            await asyncio.wait((deciding,), timeout=LOOK)
            if watch():
                return None
        return deciding.result()
    finally:
        deciding.cancel()


def _watch(connection: LatchedSocket) -> Callable[[], bool]:
    """Return what says whether the other end has ended the connection; where the system cannot tell, it says no."""
    if not hasattr(select, "poll"):
        return bool
    polling = select.poll()
    polling.register(connection.fileno(), _HUNG_UP)
    return lambda: bool(polling.poll(0))
