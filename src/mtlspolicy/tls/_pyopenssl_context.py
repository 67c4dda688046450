"""`PyOpenSSLContext`: an `OpenSSL.SSL.Context` whose every connection is decided on by a verifier.

It decides nothing. It sees to it that no connection is made from it that is not a `LatchedConnection`, whoever calls
``OpenSSL.SSL.Connection(context, ...)``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from OpenSSL import SSL

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._latch import Latch
from mtlspolicy.tls._pyopenssl_connection import Handshake, LatchedConnection
from mtlspolicy.tls._pyopenssl_surface import SEALED

if TYPE_CHECKING:
    import socket as sockets
    from types import FrameType

    from mtlspolicy.tls._pyopenssl_binding import Binding

__all__ = ["PyOpenSSLContext"]


_LATCHED: Final[dict[Any, type[LatchedConnection]]] = {SSL.Connection: LatchedConnection}
"""By class of a program, the one with the latch in front of it."""


class PyOpenSSLContext(SSL.Context):
    """A context for programs that use pyOpenSSL, built by `server_context` and `client_context`.

    ``OpenSSL.SSL.Connection(context, socket)`` gives a connection with the latch in it, also where a framework calls
    it. What verifies peers cannot be changed any more: such calls raise `ConfigurationError` (``tls.sealed``).
    """

    _binding: Binding | None = None
    _in_use = False

    @property
    def _used(self) -> bool:
        """Whether a connection was made. pyOpenSSL sets it at the beginning of each one, which is our way in."""
        return self._in_use

    @_used.setter
    def _used(  # pyright: ignore[reportIncompatibleVariableOverride]  # an attribute there
        self, used: bool
    ) -> None:
        self._in_use = used
        if used:
            _adopt(self._binding, sys._getframe(1))

    def connection(
        self,
        socket: sockets.socket | None = None,
        *,
        server_hostname: str | None = None,
        peername: Callable[[], object] | None = None,
    ) -> SSL.Connection:
        """Return a connection that knows its side; the same as ``OpenSSL.SSL.Connection`` with a few calls after it.

        Args:
            socket: A connected socket; ``None``: the bytes go through ``bio_read`` and ``bio_write``.
            server_hostname: For clients: the DNS name or IP address that was dialed. A DNS name is sent (SNI).
            peername: Where there is no socket to ask, returns the other end's address as ``getpeername`` of a socket
                would; called when the handshake begins.

        Raises:
            ConfigurationError: A server was given *server_hostname*, or it is not ASCII.
        """
        made = cast("LatchedConnection", SSL.Connection(self, socket))
        made._peername = peername
        if made._binding.server_side:
            if server_hostname is not None:
                raise ConfigurationError("server_hostname= is for clients; a server is told the name by its client")
            made.set_accept_state()
            return made
        made.set_connect_state()
        if server_hostname is not None:
            if not server_hostname.isascii():
                raise ConfigurationError("server_hostname= is not ASCII: give the form with xn-- (RFC 5890)")
            made._dialed = server_hostname
            if not _is_address(server_hostname):
                made.set_tlsext_host_name(server_hostname.encode("ascii"))
        return made


def _is_address(name: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _adopt(binding: Binding | None, frame: FrameType) -> None:
    """Give the connection that pyOpenSSL is making in *frame* its latch; its first statement has led here.

    Raises:
        ConfigurationError: It is not being made, but switched to this context from another one, or not to be found.
    """
    candidate: Any = frame.f_locals.get("self")
    if binding is None or not issubclass(type(candidate), SSL.Connection):
        raise ConfigurationError("this version of pyOpenSSL makes connections in a way that is not known: refused")
    fresh = "_ssl" not in vars(candidate)
    candidate.__class__ = _latched(type(candidate))
    latch = Latch()
    candidate._binding, candidate._latch, candidate._handshake = binding, latch, Handshake()
    if fresh:
        return
    latch.mark_refused(refusal("tls.unenforced-context", "a context with a verifier was set on another's connection"))
    raise ConfigurationError(
        "set_context() to a context with a verifier: the connection would keep how its first context verifies peers; "
        "make the connection from this context",
        code="tls.sealed",
    )


def _latched(kind: Any) -> type[LatchedConnection]:
    """Return the class with the latch in front of *kind*, which a program may have derived."""
    if kind not in _LATCHED:
        latched = issubclass(kind, LatchedConnection)
        _LATCHED[kind] = kind if latched else type(kind.__name__, (LatchedConnection, kind), {})
    return _LATCHED[kind]


def _sealed(name: str) -> Callable[..., Any]:
    def call(self: PyOpenSSLContext, *args: Any, **kwargs: Any) -> Any:
        if self._binding is not None:
            raise ConfigurationError(
                f"{name}() on a context with a verifier: say it when the context is built (hardening=, "
                "client_certificate=)",
                code="tls.sealed",
            )
        return getattr(super(PyOpenSSLContext, self), name)(*args, **kwargs)

    call.__name__ = name
    call.__doc__ = f"See ``OpenSSL.SSL.Context.{name}``; refused once the context has a verifier."
    return call


for _name in SEALED:
    setattr(PyOpenSSLContext, _name, _sealed(_name))
