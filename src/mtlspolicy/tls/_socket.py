"""`LatchedSocket`: the `ssl.SSLSocket` of our contexts. Its handshake has a deadline, and facts are resolved within it.

What it decides is in `_hook`; here is only that no way leads around it, and that a listening socket shakes hands in
nobody's `accept`.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from mtlspolicy.tls._cpython import SOCKET_CONTEXT, SOCKET_SESSION, tls_object
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._guards import before_data, fail, guard, note_alert, refuse_late_question
from mtlspolicy.tls._hook import decide_connection, prepare
from mtlspolicy.tls._latch import ADMITTED, REFUSED, UNDECIDED, Latch
from mtlspolicy.tls._surface import SOCKET_ACCESS

if TYPE_CHECKING:
    from mtlspolicy.tls._cpython import TLSObject
    from mtlspolicy.tls._enforcement import Enforcement

__all__ = ["LatchedSocket"]

_WANTS: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
_UNBOUND_TIMEOUT: Final = 10.0
"""Seconds for a handshake on a context without a binding, which is refused at its end."""
_DRAINED: Final = 256 * 1024
"""Bytes that are read and thrown away at most when a refused connection is closed."""


@guard(SOCKET_ACCESS)
class LatchedSocket(ssl.SSLSocket):
    """An `ssl.SSLSocket` that lets nothing through before the policy has admitted its peer."""

    _latch: Latch
    _enforcement: Enforcement | None = None
    _until: float | None = None
    _keep_first = False
    _unwrapped = False
    _deciding: threading.RLock

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the object with its latch, before anything can use it."""
        self = super().__new__(cls, *args, **kwargs)
        self._latch = Latch()
        # accept leaves the handshake to whoever uses the socket first, and that may be two threads, a reader and a
        # writer: both inside one handshake corrupt OpenSSL's memory.
        self._deciding = threading.RLock()
        return self

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Self:
        enforcement = enforcement_of(kwargs["context"])
        if enforcement is not None:
            enforcement.refresh_trust()
        base: Any = super()  # wrap_socket calls _create; typeshed hides it
        made: Self = base._create(*args, **kwargs)
        return made

    def accept(self) -> tuple[Self, Any]:
        """Accept a connection, undecided: it shakes hands at its first use, in the thread of whoever serves it.

        So one client that sends nothing stops nobody else. Of the class of this socket, whatever the context says now.
        """
        while True:
            accepted, address = socket.socket.accept(self)
            try:
                made = type(self)._create(
                    sock=accepted,
                    server_side=True,
                    do_handshake_on_connect=False,
                    suppress_ragged_eofs=self.suppress_ragged_eofs,  # type: ignore[attr-defined]  # typeshed hides it
                    context=self.context,
                )
            except OSError:
                accepted.close()  # it was reset before it was served: no reason to stop accepting others
            else:
                return made, address

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the parameter of ssl.SSLSocket.do_handshake
        """Shake hands and decide, within the time-out of the context.

        The socket's own time-out holds for one call, the context's for all of them. With a socket that does not block,
        facts at hand are all that is used.

        Raises:
            SSLWantReadError: The socket does not block and more bytes are needed.
            TimeoutError: Out of time; where the context's is over, the connection is shut.
            HandshakeRejected: The peer is refused, and the connection shut.
        """
        with self._deciding:
            self._decide(block=block)

    def _decide(self, *, block: bool) -> None:
        latch = self._latch
        if latch.state is not UNDECIDED:
            if latch.state is REFUSED:
                raise latch.rejection()
            return
        tls = tls_object(self)
        if tls is None:
            self.getpeername()  # raises what is wrong where it is not connected
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        try:
            self._shake_hands(latch, tls, block=block)
        except BaseException as error:
            if latch.state is UNDECIDED and self._may_go_on(error):
                raise
            rejected = fail(self, tls, error)
            if rejected is not None:
                raise rejected from error
            raise
        if latch.refused:
            self._close_refused(tls)
            raise latch.rejection()

    def _close_refused(self, _tls: TLSObject) -> None:
        """Shut the connection of a peer who was refused after the handshake, and log it."""
        self._end()
        self._latch.log(self)

    def _shake_hands(self, latch: Latch, tls: TLSObject, *, block: bool) -> None:
        if self._until is None:
            enforcement = self._enforcement = enforcement_of(tls.context)
            patience = _UNBOUND_TIMEOUT if enforcement is None else enforcement.handshake_timeout
            self._until = time.monotonic() + patience
            latch.peername = self.getpeername()
            if enforcement is not None:
                self._keep_first = enforcement.many_hosts and tls.server_side
                if not prepare(latch, tls, enforcement):
                    return
        timeout = self.gettimeout()
        if timeout == 0.0 and not block:
            if self._keep_first:
                self._keep_first_bytes(latch)
            super().do_handshake()
            decide_connection(latch, tls, self, self._enforcement, None)
            return
        # ssl counts a socket's time-out over the whole of do_handshake, so dripping bytes do not stretch it.
        try:
            if self._keep_first:
                self.settimeout(self._patience(timeout))
                self._keep_first_bytes(latch)
            self.settimeout(self._patience(timeout))
            super().do_handshake()
        finally:
            self.settimeout(timeout)
        decide_connection(latch, tls, self, self._enforcement, self._until)

    def _patience(self, timeout: float | None) -> float:
        """Return how many seconds the next step may wait: the socket's time-out, or what is left of the context's."""
        left = (self._until or 0.0) - time.monotonic()
        if left <= 0.0:
            raise TimeoutError("the handshake took too long")
        return min(timeout, left) if timeout else left

    def _keep_first_bytes(self, latch: Latch) -> None:
        """Wait for the first bytes and take note of them; they stay in the socket, for OpenSSL to read."""
        with suppress(BlockingIOError):
            latch.first_bytes = socket.socket.recv(self, 16 * 1024 + 5, socket.MSG_PEEK)  # one record at most
            self._keep_first = False

    def _may_go_on(self, error: BaseException) -> bool:
        """Return whether the handshake may be taken up again: the time of the context is not over."""
        return isinstance(error, (*_WANTS, TimeoutError)) and self._until is not None and time.monotonic() < self._until

    def _decide_now(self) -> None:
        if tls_object(self) is None:
            if "_connected" not in self.__dict__:
                return  # ssl itself, in _create, looks whether bytes came before the connection
            self._refuse_plain()
        self.do_handshake()

    def _refuse_plain(self) -> NoReturn:
        number = errno.EBADF if self.fileno() == -1 else errno.ENOTCONN
        raise OSError(number, "there is no TLS connection on this socket")

    def _end(self) -> None:
        """Shut the connection and close the socket, also where files made of it are still open.

        A socket that does not block is shut, and closed by whoever drives it: an event loop could not take a closed
        one out of its table, and the next connection with that number would be taken for it (Tornado does).
        """
        self.__dict__["_sslobj"] = None
        driven = self.gettimeout() == 0.0
        with suppress(OSError):
            socket.socket.shutdown(self, socket.SHUT_WR)
            self.settimeout(0.0)
            # Bytes that stay unread would turn the close into a reset, and the peer might not see the end, or an alert.
            left = _DRAINED
            while left > 0 and (read := len(socket.socket.recv(self, 65536))):
                left -= read
        if driven:
            return
        with suppress(OSError):
            self.close()
        with suppress(OSError):
            self._real_close()  # type: ignore[attr-defined]  # close() waits for files made of the socket; a refusal does not

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - the parameter of ssl.SSLSocket.read
        """Read application data; see `ssl.SSLSocket.read`."""
        if self._latch.state is not ADMITTED:
            before_data(self)
        try:
            return super().read(len, buffer)
        except _WANTS:
            raise
        except ssl.SSLError as error:
            note_alert(self, tls_object(self), error)
            raise

    def write(self, data: Any) -> int:
        """Write application data; see `ssl.SSLSocket.write`."""
        if self._latch.state is not ADMITTED:
            before_data(self)
        return super().write(data)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read application data; see `ssl.SSLSocket.recv`."""
        if self._latch.state is not ADMITTED or self._sslobj is None:  # type: ignore[attr-defined]  # ssl's own attribute
            before_data(self)
        return super().recv(buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read application data into *buffer*; see `ssl.SSLSocket.recv_into`."""
        if self._latch.state is not ADMITTED or self._sslobj is None:  # type: ignore[attr-defined]  # ssl's own attribute
            before_data(self)
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        """Write application data; see `ssl.SSLSocket.send`."""
        if self._latch.state is not ADMITTED or self._sslobj is None:  # type: ignore[attr-defined]  # ssl's own attribute
            before_data(self)
        return super().send(data, flags)

    def _without_tls(self) -> None:
        """Keep `ssl` from falling back to the plain socket: after shutdown it would read and send unprotected bytes.

        After `unwrap`, which ends TLS in agreement, the plain socket is what the caller asked for.
        """
        if not self._unwrapped:
            self._refuse_plain()

    def shutdown(self, how: int) -> None:
        """Shut the connection down; see `ssl.SSLSocket.shutdown`.

        One that was refused has been, and says so as one whose peer has gone: any other error ends some servers.
        """
        if self._latch.state is REFUSED and self.fileno() == -1:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        super().shutdown(how)

    def unwrap(self) -> socket.socket:
        """End TLS; see `ssl.SSLSocket.unwrap`."""
        if self._latch.state is UNDECIDED:
            self._decide_now()
        if self._latch.state is REFUSED:
            raise self._latch.rejection()
        plain = super().unwrap()
        self._unwrapped = True
        return plain

    def verify_client_post_handshake(self) -> None:
        """Refuse: `request_certificate` asks, and decides on what comes."""
        refuse_late_question(self)

    @property
    def context(self) -> ssl.SSLContext:
        """The context in use; a callback for server names sets another one during the handshake."""
        return super().context

    @context.setter
    def context(  # pyright: ignore[reportIncompatibleVariableOverride]  # a property in ssl too
        self, context: ssl.SSLContext
    ) -> None:
        if self._latch.state is REFUSED:
            raise self._latch.rejection()
        SOCKET_CONTEXT.__set__(self, context)

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session; see `ssl.SSLSocket.session`."""
        if self._latch.state is not ADMITTED:
            before_data(self)
        return super().session

    @session.setter
    def session(  # pyright: ignore[reportIncompatibleVariableOverride]  # a property in ssl too
        self, session: ssl.SSLSession | None
    ) -> None:
        if self._latch.state is REFUSED:
            raise self._latch.rejection()
        SOCKET_SESSION.__set__(self, session)
