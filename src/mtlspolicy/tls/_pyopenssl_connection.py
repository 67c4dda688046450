"""`LatchedConnection`: what every `OpenSSL.SSL.Connection` of our pyOpenSSL contexts becomes while it is made.

No application byte passes and no peer is shown before the handshake has ended with a recorded PERMIT, or without a
certificate where one is optional. What is decided is in `_pyopenssl_hook`.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL, crypto

from mtlspolicy._decision import Verdict
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._latch import ADMITTED, REFUSED, UNDECIDED, Latch
from mtlspolicy.tls._log import log_alert
from mtlspolicy.tls._openssl import NO_CERTIFICATE
from mtlspolicy.tls._pyopenssl_errors import WANTS, Rejected, TimedOut, alert_of, handshake_failed
from mtlspolicy.tls._pyopenssl_hook import absence, server_name_of
from mtlspolicy.tls._pyopenssl_surface import CONNECTION_ACCESS, ConnectionAccess

if TYPE_CHECKING:
    from mtlspolicy._judgement import Judgement, Outcome
    from mtlspolicy.tls._pyopenssl_binding import Binding

__all__ = ["Handshake", "LatchedConnection"]

_MODULE: Final[Any] = SSL  # whose constants are no numbers to every type checker
_SHUT: Final[int] = _MODULE.SENT_SHUTDOWN | _MODULE.RECEIVED_SHUTDOWN
_NO_DECISION: Final = (
    "the handshake ended without a decision on the peer that it ended with: a resumed session, a pre-shared key, or "
    "another verification callback; connect anew, and leave verification to the context"
)
_SEALED: Final = (
    "{name}() would take the connection from its verifier: build a context for each policy with tls.server_context or "
    "tls.client_context, and leave its connections as they are"
)


class Handshake:
    """What is known while a handshake goes on; dropped when it is over.

    Attributes:
        until: When it has to be over, on the monotonic clock, in seconds.
        may_wait: Whether the thread may wait for facts: it drives a socket that is not set to non-blocking.
        running: Whether OpenSSL is at work on it now.
        built: The path that OpenSSL has built, DER by depth, 0 being the end entity.
        judgement: Whom the recorded PERMIT was asked of.
        outcome: The recorded PERMIT.
        raised: What interrupted the decision.
        verify_code: OpenSSL's ``X509_V_ERR_...`` where OpenSSL refused; ``None``: it did not.
    """

    def __init__(self) -> None:
        self.until = 0.0
        self.may_wait = False
        self.running = False
        self.built: dict[int, bytes] = {}
        self.judgement: Judgement | None = None
        self.outcome: Outcome | None = None
        self.raised: BaseException | None = None
        self.verify_code: int | None = None


class LatchedConnection(SSL.Connection):
    """An ``OpenSSL.SSL.Connection`` that lets nothing through before the policy has admitted its peer."""

    _latch: Latch
    _binding: Binding
    _handshake: Handshake
    _dialed: str | None = None
    _peername: Callable[[], object] | None = None

    def do_handshake(self) -> None:
        """Take the handshake further; the peer is decided on inside it.

        Raises:
            OpenSSL.SSL.WantReadError: More bytes are needed.
            HandshakeRejected: The peer is refused; an ``OpenSSL.SSL.Error`` too.
        """
        latch, handshake = self._latch, self._handshake
        if latch.state is ADMITTED:
            super().do_handshake()
            return
        if latch.state is REFUSED:
            raise Rejected(latch.reason)
        if handshake.running:
            raise ConfigurationError("the handshake is going on already, in a callback or thread", code="tls.undecided")
        handshake.running = True
        try:
            self._shake_hands(handshake)
        except BaseException as error:
            if isinstance(error, WANTS) and latch.state is UNDECIDED:
                raise
            rejected = self._failed(error)
            if rejected is error:
                raise
            raise rejected from error
        finally:
            handshake.running = False
        if not latch.admitted:
            raise self._refuse(None)
        self._handshake = Handshake()

    def _shake_hands(self, handshake: Handshake) -> None:
        binding, latch = self._binding, self._latch
        if not handshake.until:
            self._begin(handshake)
        if latch.state is REFUSED:
            return
        if time.monotonic() > handshake.until:
            raise TimedOut
        if handshake.may_wait and self._socket is not None and self._socket.gettimeout() is None:
            self._shake_in_time(self._socket, handshake)
        else:
            super().do_handshake()
        latch.state = REFUSED  # before anything can fail
        leaf = self._leaf()
        outcome, judgement = handshake.outcome, handshake.judgement
        presented = None if latch.presented is None else latch.presented.ders[0]
        if outcome is not None and judgement is not None and leaf is not None and leaf == presented:
            latch.admit(judgement.conclude(outcome))
        elif leaf is None and outcome is None and binding.optional and not handshake.built:
            latch.admit(absence(self))

    def _begin(self, handshake: Handshake) -> None:
        """Refuse before the first byte what can be refused then, and take note of the time and the other end."""
        binding, latch, plain = self._binding, self._latch, self._socket
        handshake.until = time.monotonic() + binding.handshake_timeout
        if plain is not None and hasattr(plain, "gettimeout"):
            handshake.may_wait = plain.gettimeout() != 0
            with suppress(OSError):
                latch.locate(plain.getpeername())
        if self._peername is not None:
            latch.locate(self._peername())
        binding.refresh_trust()
        name = None if binding.server_side else self._dialed_name()
        if binding.names is not None and name is not None and name.lower().rstrip(".") not in binding.names:
            latch.mark_refused(
                refusal(
                    "tls.name-mismatch",
                    f"the connection is to {name!r} and the verifier expects {', '.join(sorted(binding.names))}: use "
                    "one context for each server, or expected=ReferenceIdentifier.DIALED for the name dialed",
                    verdict=Verdict.DENY,
                )
            )

    def _shake_in_time(self, plain: socket.socket, handshake: Handshake) -> None:
        """Shake hands over a blocking socket, which OpenSSL by itself would wait on for ever."""
        plain.settimeout(0.0)
        try:
            while True:
                try:
                    super().do_handshake()
                except SSL.WantReadError:
                    _wait(plain, selectors.EVENT_READ, handshake.until)
                except SSL.WantWriteError:
                    _wait(plain, selectors.EVENT_WRITE, handshake.until)
                else:
                    return
        finally:
            plain.settimeout(None)

    def _failed(self, error: BaseException) -> BaseException:
        """Refuse for *error*, which ended the handshake, and return what to raise."""
        latch, handshake = self._latch, self._handshake
        latch.state = REFUSED
        raised = handshake.raised
        error = error if raised is None else raised
        decision = latch.decision  # the callback may have refused already, and OpenSSL only says that one did
        if decision is None:
            decision = handshake_failed(error, server_side=self._binding.server_side)
        ours = latch.decision is not None or decision.code == NO_CERTIFICATE or isinstance(raised, Exception)
        latch.mark_refused(decision)
        rejected = self._refuse(handshake.verify_code)
        return rejected if ours else error

    def _refuse(self, verify_code: int | None) -> Rejected:
        """Shut the connection, log it once, and return the refusal."""
        latch = self._latch
        if latch.decision is None:
            latch.mark_refused(refusal("tls.no-decision", _NO_DECISION))
        decision = latch.reason
        try:
            self._end()
        finally:
            latch.log(self)
        return Rejected(decision, verify_code=verify_code)

    def _end(self) -> None:
        """Have OpenSSL move nothing more in either direction, and end the socket after what was sent: the alert."""
        self._handshake = Handshake()
        self.set_shutdown(_SHUT)
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _leaf(self) -> bytes | None:
        """Return the peer's certificate, DER; ``None``: it presented none."""
        certificate = super().get_peer_certificate()
        return None if certificate is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)

    def _dialed_name(self) -> str | None:
        """Return the name that a client's connection was opened to: as it was said, or else its SNI."""
        return self._dialed or server_name_of(self)

    def _before(self, name: str, access: ConnectionAccess) -> None:
        """Raise unless the method *name* may be used now."""
        latch = self._latch
        if access is ConnectionAccess.SEALED:
            raise ConfigurationError(_SEALED.format(name=name), code="tls.sealed")
        if latch.state is REFUSED:
            raise Rejected(latch.reason)
        if access is ConnectionAccess.START:
            if latch.state is not UNDECIDED or self._handshake.until:
                raise ConfigurationError(f"{name}() would begin another handshake: make a new connection")
        elif access is ConnectionAccess.DATA:
            self.do_handshake()
        else:
            raise ConfigurationError(
                f"{name}(): the connection is undecided: call do_handshake() to its end first", code="tls.undecided"
            )

    def _noted(self, error: SSL.Error) -> None:
        """Log an alert after the handshake: with TLS 1.3 a client learns only then that its certificate is refused."""
        decision = None if isinstance(error, WANTS) else alert_of(error, server_side=self._binding.server_side)
        if decision is not None:
            log_alert(self._latch, decision, self)


def _wait(plain: socket.socket, event: int, until: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(plain, event)
        if not selector.select(max(0.0, until - time.monotonic())):
            raise TimedOut


def _guarded(name: str, access: ConnectionAccess) -> Callable[..., Any]:
    def call(self: LatchedConnection, *args: Any, **kwargs: Any) -> Any:
        if self._latch.state is not ADMITTED or access in {ConnectionAccess.SEALED, ConnectionAccess.START}:
            self._before(name, access)
        try:
            return getattr(super(LatchedConnection, self), name)(*args, **kwargs)
        except SSL.Error as error:
            self._noted(error)
            raise

    call.__name__ = name
    call.__doc__ = f"See ``OpenSSL.SSL.Connection.{name}``; guarded by the latch."
    return call


def _guard() -> None:
    free = {ConnectionAccess.OPEN, ConnectionAccess.OWN}
    for name in dir(SSL.Connection):
        # A name that a newer pyOpenSSL has added is taken for the worst until somebody has classified it.
        access = CONNECTION_ACCESS.get(name, ConnectionAccess.DATA)
        if not name.startswith("_") and access not in free:
            setattr(LatchedConnection, name, _guarded(name, access))


_guard()
