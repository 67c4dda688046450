"""A certificate that a server asks for after the handshake (RFC 8446, section 4.6.2), decided on like any other.

Only on blocking sockets: no data may flow between the question and the decision, and an event loop offers no place to
wait in. Nothing of the connection is left open by a failure but where the client cannot be asked at all.
"""

from __future__ import annotations

import selectors
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from mtlspolicy._decision import Verdict
from mtlspolicy.errors import ConfigurationError, NoPeerCertificate
from mtlspolicy.tls._cpython import presented_ders, tls_object
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._guards import before_data, before_identity, fail
from mtlspolicy.tls._hook import decide_connection
from mtlspolicy.tls._latch import REFUSED, Latch
from mtlspolicy.tls._object import LatchedObject
from mtlspolicy.tls._socket import LatchedSocket

if TYPE_CHECKING:
    import socket

    from mtlspolicy._peer import VerifiedPeer
    from mtlspolicy.tls._cpython import TLSObject
    from mtlspolicy.tls._enforcement import Enforcement

__all__ = ["NOT_ON_LOOPS", "AskingSocket", "UnaskableObject", "request_certificate"]

NOT_ON_LOOPS: Final = (
    'client_certificate="on-request" on an event loop, where nobody can be asked later and everybody would come in '
    'without a name: ask in the handshake, client_certificate="optional", or serve with blocking sockets'
)
_CANNOT: Final = (
    "the client does not offer authentication after the handshake (the extension post_handshake_auth of TLS 1.3): say "
    "ssl.SSLContext.post_handshake_auth = True, ClientOptions(post_handshake_auth=True), or --enable_pha"
)
_DATA: Final = (
    "the client sent data between the request for its certificate and the certificate: nobody has decided who sent it, "
    "so read a request to its end before you ask"
)
_CLOSED: Final = "the client closed the connection in place of showing a certificate"


class AskingSocket(LatchedSocket):
    """The socket of contexts that ask later: it knows how many calls are inside of its TLS object.

    One that reads while another asks would be given what comes after the certificate before anybody has decided on it,
    and two handshakes at once corrupt OpenSSL's memory.
    """

    _inside = 0

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - the parameter of ssl.SSLSocket.read
        """Read application data; see `ssl.SSLSocket.read`."""
        return self._in_turn(super().read, len, buffer)

    def write(self, data: Any) -> int:
        """Write application data; see `ssl.SSLSocket.write`."""
        return cast("int", self._in_turn(super().write, data))

    def send(self, data: Any, flags: int = 0) -> int:
        """Write application data; see `ssl.SSLSocket.send`."""
        return cast("int", self._in_turn(super().send, data, flags))

    def unwrap(self) -> socket.socket:
        """End TLS; see `ssl.SSLSocket.unwrap`."""
        return cast("socket.socket", self._in_turn(super().unwrap))

    def _in_turn(self, method: Callable[..., Any], *arguments: Any) -> Any:
        with self._deciding:  # a question and its decision are over before anything else begins
            before_data(self)
            self._inside += 1
        try:
            return method(*arguments)
        finally:
            with self._deciding:
                self._inside -= 1


class UnaskableObject(LatchedObject):
    """In place of the TLS object of an event loop: nobody could ever be asked there, and all would come in unnamed."""

    @classmethod
    def _create(cls, *_: object, **__: object) -> NoReturn:
        latch = Latch()
        latch.mark_refused(refusal("tls.no-post-handshake", NOT_ON_LOOPS))
        latch.log(None)  # asyncio says nothing of what is raised here
        raise ConfigurationError(NOT_ON_LOOPS)


def request_certificate(connection: ssl.SSLSocket) -> VerifiedPeer:
    """Ask the client of *connection* for its certificate now, and return the peer that the context's verifier admits.

    For contexts of ``server_context(client_certificate="on-request")`` and blocking sockets, in the thread that serves
    the connection, within its ``handshake_timeout``. A connection that has a peer already is not asked again. Read a
    request to its end before: what the client sends before its certificate ends the connection.

    Args:
        connection: The socket of the server's side.

    Raises:
        NoPeerCertificate: The client cannot be asked (``tls.no-post-handshake``); the connection goes on without.
        HandshakeRejected: It has no certificate, or the wrong one; the connection is shut.
        ConfigurationError: Another kind of connection or context, or another thread reads or writes it now.
        TimeoutError: Out of time; the connection is shut.
    """
    if not isinstance(connection, AskingSocket):
        raise ConfigurationError(
            f"request_certificate({type(connection).__name__}): only a blocking socket that a context with "
            'client_certificate="on-request" has wrapped can wait for a certificate'
        )
    with connection._deciding:
        before_identity(connection)
        enforcement = enforcement_of(connection.context)
        if enforcement is None or not enforcement.later or connection.gettimeout() == 0.0:
            raise ConfigurationError(
                'request_certificate needs a blocking socket of a context with client_certificate="on-request"'
            )
        if connection._inside:
            raise ConfigurationError(
                "another thread reads or writes this connection now, and what it is given would be nobody's: ask when "
                "its calls have returned"
            )
        if connection._latch.peer is None:
            _ask(connection, cast("TLSObject", tls_object(connection)), enforcement)
        return cast("VerifiedPeer", connection._latch.peer)


def _ask(connection: AskingSocket, tls: TLSObject, enforcement: Enforcement) -> None:
    latch = connection._latch
    try:
        tls.verify_client_post_handshake()
    except ssl.SSLError as error:
        decision = refusal("tls.no-post-handshake", _CANNOT, verdict=Verdict.DENY)
        raise NoPeerCertificate(decision) from error
    # Refused, and not undecided: whoever comes in between, a signal's function say, gets no handshake of his own.
    latch.state, latch.decision, latch.outcome = REFUSED, None, None
    timeout, until = connection.gettimeout(), time.monotonic() + enforcement.handshake_timeout
    try:
        connection.settimeout(0.0)
        try:
            _await(connection, tls, until)
        finally:
            connection.settimeout(timeout)
        if latch.decision is None:
            decide_connection(latch, tls, connection, enforcement, until)
    except BaseException as error:
        rejected = fail(connection, tls, error)
        if rejected is not None:
            raise rejected from error
        raise
    if latch.refused:
        connection._end()
        latch.log(connection)
        raise latch.rejection()


def _await(connection: LatchedSocket, tls: TLSObject, until: float) -> None:
    """Return when the client has shown a certificate and has proved that it holds the key, or is refused for data."""
    while True:
        waits_for = _step(connection, tls)
        if not waits_for or not _step(connection, tls, reading=False):
            return
        with selectors.DefaultSelector() as selector:
            selector.register(connection, waits_for)
            left = until - time.monotonic()
            if left <= 0.0 or not selector.select(left):
                raise TimeoutError("the client's certificate did not come in time")


def _step(connection: LatchedSocket, tls: TLSObject, *, reading: bool = True) -> int:
    """Go as far as the bytes at hand allow; return what is waited for, 0: nothing.

    OpenSSL shows the certificate before it has seen the proof, and it is in a handshake until it has: so a handshake
    that is over, with a certificate, has both. The client's answer is read only together with data.
    """
    try:
        tls.do_handshake()
        if presented_ders(tls):
            return 0
        if reading:
            if not tls.read(1):
                raise ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, _CLOSED)
            connection._latch.mark_refused(refusal("tls.data-before-certificate", _DATA))
            return 0
    except ssl.SSLWantWriteError:
        return selectors.EVENT_WRITE
    except ssl.SSLWantReadError:
        pass
    return selectors.EVENT_READ
