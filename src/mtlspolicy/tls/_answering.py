"""Telling a refused client so: the listener and the protocol of a server that answers where others close.

For the integrations that put an answer in place of the application; a context alone never does it. What is decided here
is how long an answer may take; who is refused, and that a refusal stays one, is decided in `_hook` and `_latch`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

from mtlspolicy.errors import ConfigurationError, VerificationError
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._errors import refusal

if TYPE_CHECKING:
    from mtlspolicy._judgement import Outcome
    from mtlspolicy.tls._latch import Latch
    from mtlspolicy.tls._object import LatchedObject

__all__ = ["MOST_BYTES", "Answering", "Answers", "answering_listener", "let_in_to_answer"]

Answers: TypeAlias = Callable[[VerificationError], asyncio.Protocol]
"""Makes the protocol that answers a refusal: the server's own, with an application that knows only the refusal."""

MOST_BYTES: Final = 1024 * 1024
"""Bytes that a refused client may send before and after its answer: a body of usual size, so that it reads the answer
instead of a reset connection. They are thrown away."""


def answering_listener(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return what a server of ours is given in place of *context*, so that its refused connections can be answered.

    Only the connections that this listener makes wait for a gate that answers; those that meet none are shut at their
    first byte. Other servers of the same context refuse in the handshake, as ever. OpenSSL finishes the handshakes of
    clients without certificate from now on, on this context, and the latch refuses them.

    Raises:
        ConfigurationError: As `let_in_to_answer`.
    """
    let_in_to_answer(context)
    return _Listener(context)


def let_in_to_answer(context: object) -> None:
    """Have OpenSSL finish the handshakes of clients without certificate on *context*, so that they can be answered.

    Raises:
        ConfigurationError: It is no context of ours for servers (``tls.not-ours``), it is one of pyOpenSSL
            (``tls.wrong-engine``) or asks for certificates later, or somebody has changed it.
    """
    if not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(
            f'refuse="respond" with a context of {type(context).__module__}: the engine "pyopenssl" refuses inside the '
            'handshake, by an alert; use engine="ssl", or refuse="handshake"',
            code="tls.wrong-engine",
        )
    enforcement = enforcement_of(context)
    if enforcement is None or not enforcement.server_side:
        raise ConfigurationError(
            'refuse="respond" takes a context that verifies clients: build it with tls.server_context, or call '
            "tls.enforce(context, Verifier.for_clients(...)) on it",
            code="tls.not-ours",
        )
    if enforcement.later:
        raise ConfigurationError(
            'refuse="respond" with client_certificate="on-request": only blocking sockets can ask later, and those '
            'would wait for clients that have no certificate; use client_certificate="optional"'
        )
    enforcement.let_certless_in()


class _Listener(ssl.SSLContext):
    """Has another context make its connections, and marks them. It has no certificate, so it serves nobody itself."""

    _context: ssl.SSLContext

    def __new__(cls, context: ssl.SSLContext) -> Self:
        """Make the listener for *context*."""
        self = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        self._context = context
        return self

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Return a connection object of the context, marked; see `ssl.SSLContext.wrap_bio`."""
        made = self._context.wrap_bio(*args, **kwargs)
        cast("LatchedObject", made)._latch.answerable = True
        return made

    def wrap_socket(self, *_: Any, **__: Any) -> ssl.SSLSocket:
        """Raise: there is no gate for a socket that blocks."""
        raise ConfigurationError("a listener that answers refusals is for event loops", code="tls.wrong-side")


class Answering(asyncio.Protocol):
    """One refused connection until it is shut: the server's protocol answers it, within bounds of time and bytes.

    Args:
        latch: Of the connection.
        answers: Makes the server's protocol.
        leave: Called once, when the connection is lost.
        seconds: How long the connection may last.
    """

    __slots__ = ("_inner", "_latch", "_leave", "_left", "_received", "_seconds", "_timer", "_transport")

    def __init__(self, latch: Latch, answers: Answers, leave: Callable[[], None], seconds: float) -> None:
        self._latch = latch
        self._leave = leave
        self._left = False
        self._received = 0
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._inner: asyncio.Protocol = answers(cast("Outcome", latch.outcome).error())
        except BaseException:
            self._ended()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the server's protocol begin, and the time run."""
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, unless the answer is complete or it is too much."""
        self._received += len(data)
        if self._received > MOST_BYTES:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Shut the latch for good, and pass it on."""
        self._ended()
        self._inner.connection_lost(exc)

    def _ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._left:
            self._left = True
            self._leave()
            self._latch.refuse(refusal("gate.interrupted", "the answer to the refusal ended"))  # the first reason stays
