"""Telling a refused client so over a socket that blocks, in the thread that shook hands, before its server sees a byte.

For the integrations of blocking servers. What is decided here is how long it may take and how much may be read; the
connection is refused all the while, so that nobody but the code here can read or write it, and it is shut at the end.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self

from mtlspolicy.errors import VerificationError
from mtlspolicy.tls._answering import MOST_BYTES, let_in_to_answer
from mtlspolicy.tls._socket import LatchedSocket

if TYPE_CHECKING:
    from mtlspolicy.tls._cpython import TLSObject

__all__ = ["Respond", "answering_sockets"]

LEAST_SECONDS: Final = 1.0
"""For an answer whose decision has taken the time of the handshake: a responder that is down answers late."""
SILENCE: Final = 2.0
"""Seconds without a byte after which a client that has its answer, and does not close, is left (nginx: 5)."""
_RECORD: Final = 16 * 1024
"""Octets of one TLS record (RFC 8446, 5.1)."""


class Respond(Protocol):
    """What makes an answer."""

    def __call__(self, error: VerificationError, read: Callable[[], bytes], /) -> bytes | None:
        """Return the answer to *error*; ``None``: the client has asked nothing that can be answered.

        Args:
            error: The refusal.
            read: Returns the client's next octets; none: its end.
        """


def answering_sockets(context: ssl.SSLContext, respond: Respond) -> ssl.SSLContext:
    """Return what a blocking server of ours is given in place of *context*, so that refused clients are answered.

    Only the sockets that this listener wraps, and those that they accept, answer. A socket that does not block, and
    what an event loop makes with it, refuses in the handshake. OpenSSL finishes the handshakes of clients without
    certificate from now on, on this context, and the latch refuses them.

    Args:
        context: Of `tls.server_context`.
        respond: Makes the answer, in the thread of the connection. What it raises ends the connection.

    Raises:
        ConfigurationError: As `let_in_to_answer`.
    """
    let_in_to_answer(context)
    return _SocketListener(context, respond)


class _SocketListener(ssl.SSLContext):
    """Has another context make its connections. It has no certificate, so it serves nobody itself."""

    _context: ssl.SSLContext
    _class: type[AnsweringSocket]

    def __new__(cls, context: ssl.SSLContext, respond: Respond) -> Self:
        """Make the listener for *context*, with a class of sockets that know the answer."""
        self = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        self._context = context
        self._class = type("AnsweringSocket", (AnsweringSocket,), {"_respond": staticmethod(respond)})
        return self

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Return a connection object of the context as it is; see `ssl.SSLContext.wrap_bio`."""
        return self._context.wrap_bio(*args, **kwargs)

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the parameters of ssl.SSLContext.wrap_socket
        do_handshake_on_connect: bool = True,  # noqa: FBT001, FBT002
        suppress_ragged_eofs: bool = True,  # noqa: FBT001, FBT002
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Return a socket of the context that answers; see `ssl.SSLContext.wrap_socket`."""
        return self._class._create(
            sock=sock,
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=server_hostname,
            context=self._context,
            session=session,
        )


class AnsweringSocket(LatchedSocket):
    """Answers a client that the verifier has refused before it is closed; for everybody else it is refused already."""

    _respond: ClassVar[Respond]

    def _close_refused(self, tls: TLSObject) -> None:
        latch = self._latch
        # Only what was decided about the peer has an outcome: a context that was changed is nothing to tell a client.
        if latch.outcome is None or self.gettimeout() == 0.0:
            super()._close_refused(tls)
            return
        try:
            latch.log(self)
            with suppress(OSError):  # time-outs included: there is nobody to tell
                self._answer(tls, latch.outcome.error())
        finally:
            self.settimeout(None)  # it blocks, whatever the answer was last waiting for, so that it is closed here
            super()._close_refused(tls)

    def _answer(self, tls: Any, error: VerificationError) -> None:
        patience = _Patience(self.gettimeout(), max(self._until or 0.0, time.monotonic() + LEAST_SECONDS))

        def read() -> bytes:
            self.settimeout(patience.left())
            try:
                got: bytes = tls.read(_RECORD)
            except ssl.SSLEOFError:
                return b""
            return got

        answer = self._respond(error, read)
        if answer is None:
            return
        rest = memoryview(answer)
        while rest:
            self.settimeout(patience.left())
            rest = rest[tls.write(rest) :]
        self._linger(tls, patience)

    def _linger(self, tls: Any, patience: _Patience) -> None:
        """End our side, and throw away what the client still sends: else it gets a reset in place of the answer."""
        self.settimeout(0.0)
        with suppress(ssl.SSLError):
            tls.shutdown()  # says close_notify, and does not wait for the client's
        socket.socket.shutdown(self, socket.SHUT_WR)
        left = MOST_BYTES
        while left > 0:
            self.settimeout(min(SILENCE, patience.left()))
            got = len(socket.socket.recv(self, 64 * 1024))  # of TLS records, that nobody decrypts any more
            if not got:
                return
            left -= got


class _Patience:
    """How long the next step may wait: as the server has said for one call, and in all for what is left of the answer.

    Args:
        one: Time-out of the socket, seconds; ``None``: none.
        until: When the answer is over, on the monotonic clock, seconds.
    """

    __slots__ = ("_one", "_until")

    def __init__(self, one: float | None, until: float) -> None:
        self._one = one
        self._until = until

    def left(self) -> float:
        """Return the seconds for the next step.

        Raises:
            TimeoutError: The answer is over.
        """
        left = self._until - time.monotonic()
        if left <= 0.0:
            raise TimeoutError("the answer to the refusal took too long")
        return left if self._one is None else min(self._one, left)
