"""Puts the latch in front of the methods and properties of a connection class, by the table in `_surface`."""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._cpython import TLSObject, tls_object
from mtlspolicy.tls._errors import HandshakeRejected
from mtlspolicy.tls._latch import ADMITTED, ANSWERING, HELD, REFUSED, UNDECIDED, Latch
from mtlspolicy.tls._log import log_alert
from mtlspolicy.tls._openssl import NO_CERTIFICATE, diagnose, diagnose_alert
from mtlspolicy.tls._surface import Access

__all__ = [
    "Guarded",
    "before_data",
    "before_identity",
    "end_admitted",
    "fail",
    "guard",
    "note_alert",
    "refuse_late_question",
]

_Class = TypeVar("_Class", bound=type)


class Guarded(Protocol):
    """A connection object with a latch."""

    _latch: Latch

    def _decide_now(self) -> None:
        """Shake hands and decide while undecided; return only where nothing is to be said against going on."""

    def _end(self) -> None:
        """Drop the TLS object."""

    def _without_tls(self) -> None:
        """Raise where an admitted connection has no TLS object any more, unless TLS was ended in agreement."""


def guard(access: Mapping[str, Access]) -> Callable[[_Class], _Class]:
    """Return a class decorator that guards each name of *access* that the class inherits."""

    def decorate(cls: _Class) -> _Class:
        for name in dir(cls):
            # A name that a newer Python has added is taken for the worst until somebody has classified it.
            kind = access.get(name, Access.DATA)
            if name.startswith("_") or name in vars(cls) or kind in {Access.OPEN, Access.OWN}:
                continue
            inherited = getattr(cls, name)
            if isinstance(inherited, property):
                setattr(cls, name, property(_guarded(inherited.fget, kind), inherited.fset, doc=inherited.__doc__))
            else:
                setattr(cls, name, _guarded(inherited, kind))
        return cls

    return decorate


def _guarded(method: Any, kind: Access) -> Callable[..., Any]:
    pause = {Access.DATA: before_identity, Access.ANSWER: _before_answer, Access.FACT: _before_fact}[kind]

    @functools.wraps(method)
    def call(self: Guarded, *args: Any, **kwargs: Any) -> Any:
        if self._latch.state is not ADMITTED or self.__dict__.get("_sslobj") is None:
            pause(self)
        return method(self, *args, **kwargs)

    return call


def before_data(connection: Guarded) -> None:
    """Decide while undecided, and raise unless the connection is admitted or answers; for reading and writing."""
    latch = connection._latch
    if _is_open(latch):
        connection._decide_now()
    if latch.state is HELD or latch.state is REFUSED:
        raise latch.no_data()
    if (latch.state is ADMITTED or latch.state is ANSWERING) and tls_object(connection) is None:
        connection._without_tls()


def before_identity(connection: Guarded) -> None:
    """Do the same for what tells of the peer, which a connection that only answers a refusal does not have."""
    before_data(connection)
    if connection._latch.state is ANSWERING:
        raise connection._latch.rejection()


def end_admitted(connection: Any) -> None:
    """Have nothing more move on a connection that was admitted, and leave what is below to its owner.

    A socket is shut before its TLS object goes, or another thread, about to send, would send in the clear. It is not
    closed: a read in another thread would go on with the next connection that is given its number.
    """
    if not isinstance(connection, ssl.SSLSocket):
        connection._end()
        return
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    connection.__dict__["_sslobj"] = None


def refuse_late_question(connection: Guarded) -> None:
    """Raise for a question to the client whose answer nobody would decide on.

    Raises:
        ConfigurationError: Always, unless the connection is refused already.
    """
    before_identity(connection)
    raise ConfigurationError(
        "a certificate that comes after the decision changes it: ask with tls.request_certificate(connection), on a "
        'context of tls.server_context(client_certificate="on-request")'
    )


def _is_open(latch: Latch) -> bool:
    """Return whether there is no decision yet; another thread may be making it, and then the state is REFUSED."""
    return latch.state is UNDECIDED or (latch.state is REFUSED and latch.decision is None)


def _before_answer(connection: Guarded) -> None:
    if _is_open(connection._latch):
        connection._decide_now()
    _before_fact(connection)


def _before_fact(connection: Guarded) -> None:
    latch = connection._latch
    if latch.state is REFUSED:
        raise latch.rejection()


def fail(connection: Guarded, tls: TLSObject, error: BaseException) -> HandshakeRejected | None:
    """Refuse *connection* for what ended its handshake or its decision.

    Returns:
        What to raise in place of *error*; ``None``: *error* itself, so that time-outs, resets and interrupts stay what
        they are.
    """
    latch = connection._latch
    latch.state = REFUSED  # before anything else can fail
    decision = latch.decision  # a callback may have refused already, and OpenSSL only says that one did
    if decision is None:
        decision = diagnose(error, server_side=tls.server_side)
    try:
        connection._end()
    finally:
        latch.mark_refused(decision)
        latch.log(connection)
    if isinstance(error, ssl.SSLCertVerificationError):
        return HandshakeRejected(decision, verify_code=error.verify_code)
    if decision.code in (NO_CERTIFICATE, "resumption.other-host"):
        return HandshakeRejected(decision)
    return None


def note_alert(connection: Guarded, tls: TLSObject | None, error: ssl.SSLError) -> None:
    """Log an alert after the handshake: in TLS 1.3 a client learns only then that its certificate is refused."""
    decision = diagnose_alert(error, server_side=tls is not None and tls.server_side)
    if decision is not None:
        log_alert(connection._latch, decision, connection)
