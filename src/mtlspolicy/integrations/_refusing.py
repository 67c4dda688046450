"""What a server that speaks TLS with a context of ours puts around an application, and in place of it for the refused.

One object for each server, made of what its user says once: whether a refusal is answered or the connection closed. Who
is refused the context has decided.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import asgi
from mtlspolicy.integrations._answers import Refusal, answer, responds
from mtlspolicy.integrations._options import CONNECTION
from mtlspolicy.tls._answering import answering_listener
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._serving import require_for_loop

if TYPE_CHECKING:
    from mtlspolicy._policy import Policy

__all__ = ["Direct", "Refuse", "Refusing"]

Refuse: TypeAlias = Literal["handshake", "respond"]


class Direct:
    """How one server treats those who connect to it directly, over TLS of ours.

    Attributes:
        listener: What the server speaks TLS with; ``None``: without.
        gated: Whether its connections have to go through a gate.
        responds: Whether refusals are answered.

    Args:
        context: Of `tls.server_context`; ``None``: no TLS.
        refuse: ``"handshake"`` or ``"respond"``.
        policy: A further policy of every request.
        absent: Status where no certificate came: 403, 400 or 401.

    Raises:
        ConfigurationError: What was given does not go together.
    """

    __slots__ = ("_absent", "_optional", "_ours", "_policy", "gated", "listener", "responds")

    def __init__(
        self,
        context: ssl.SSLContext | None,
        *,
        refuse: Refuse = "handshake",
        policy: Policy | None = None,
        absent: int = 403,
    ) -> None:
        self.responds: bool = responds(refuse, absent)
        enforcement = enforcement_of(context) if isinstance(context, ssl.SSLContext) else None
        self._ours: bool = enforcement is not None
        self._optional: bool = enforcement is not None and enforcement.optional
        self.gated: bool = self.responds or (enforcement is not None and enforcement.hold is not None)
        self._policy: Policy | None = policy
        self._absent: int = absent
        if not self._ours and policy is not None:
            raise ConfigurationError(
                "policy=... is asked about the peer of the connection, and there is no context of ours: give context= "
                "of tls.server_context, or wrap the application in integrations.asgi.Middleware"
            )
        if context is None and self.responds:
            raise ConfigurationError(
                'refuse="respond" without context=: this server speaks no TLS; behind a proxy '
                "integrations.asgi.Middleware(app, source=...) answers by itself"
            )
        self.listener: ssl.SSLContext | None = None
        if context is not None:
            self.listener = answering_listener(context) if self.responds else require_for_loop(context, "context=")
        self.around(None)  # so that a policy that is none shows now

    def around(self, app: Any) -> Any:
        """Return *app* behind the middleware for the peer of the connection, unless it has one of ours around it."""
        if not self._ours or (isinstance(app, asgi.Middleware) and self._policy is None):
            return app
        return asgi.Middleware(
            app, source=CONNECTION, policy=self._policy, required=not self._optional, absent=self._absent
        )

    def refusing(self, error: Refusal) -> Refusing:
        """Return the application for one connection that is refused with *error*."""
        return Refusing(error, absent=self._absent)


class Refusing:
    """An ASGI application that answers each request with one refusal, and never looks at what was asked.

    Args:
        error: The refusal.
        absent: Status where no certificate came.
    """

    __slots__ = ("_answer",)

    def __init__(self, error: Refusal, *, absent: int) -> None:
        self._answer = answer(error, absent=absent)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request or WebSocket; throw away its body, for a client that is still sending hears no answer."""
        said = self._answer
        fields = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in said.headers]
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.http.response.start", "status": said.status, "headers": fields})
            await send({"type": "websocket.http.response.body", "body": said.body})
            return
        if scope["http_version"] in {"1.0", "1.1"}:  # RFC 9113, 8.2.2: there is no such field in HTTP/2
            fields.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": said.status, "headers": fields})
        await send({"type": "http.response.body", "body": said.body, "more_body": True})
        while (await receive()).get("more_body", False):  # how much and how long, the connection bounds
            continue
        await send({"type": "http.response.body", "body": b""})
