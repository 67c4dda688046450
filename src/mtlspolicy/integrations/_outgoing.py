"""What an ASGI application answers, on its way out: kept apart from caches, and replaced where it hides a refusal.

Frameworks make an error page of an exception that they do not know, and raise it again afterwards. Such a page is held
until the application has ended, so that the refusal is answered from the table. It decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from mtlspolicy.integrations._admission import Admission
from mtlspolicy.integrations._answers import Refusal, answer
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted
from mtlspolicy.integrations._log import LIMITER, LOGGER, log_refused

__all__ = ["Outgoing", "log_hidden", "refuse", "serve"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

_OPEN: Final = frozenset({"websocket.accept", "websocket.send"})
"""What an application has sent last on a WebSocket that is open."""
_MOST: Final = 1 << 20
"""Octets of an error page that are held. Starlette's with a traceback has some ten thousand."""
_POLICY_VIOLATION: Final = 1008
"""RFC 6455, 7.4.1. A server that is told to close before it has accepted answers 403."""


class Outgoing:
    """The ``send`` of one request's application, `send`, and what is said where the application raises.

    Args:
        send: The server's.
        admission: Who was admitted with the request, in its scope already.
        kept_apart: What becomes of the headers of a response; ``None``: they are sent as they are.

    Attributes:
        last: Type of the last message that was sent.
        held: An error page that may hide a refusal, to be released when the application has ended.
    """

    __slots__ = ("_admission", "_kept_apart", "_octets", "_send", "held", "last")

    def __init__(self, send: Send, admission: Admission, kept_apart: Callable[[Any], Headers] | None) -> None:
        self.last: str = ""
        self.held: list[Message] | None = None
        self._octets: int = 0
        self._send: Send = send
        self._admission: Admission = admission
        self._kept_apart: Callable[[Any], Headers] | None = kept_apart

    def send(self, message: Message) -> Awaitable[None]:
        """Send *message*, or hold it: an error page may hide a refusal, which is raised when the page is written.

        No coroutine of its own, since it runs for each message: what is returned is the server's, to be awaited.
        """
        kind = message["type"]
        if kind == "http.response.start":
            if self._kept_apart is not None:
                message = {**message, "headers": self._kept_apart(message.get("headers", ()))}
            if message["status"] >= (500 if self._admission.raised is None else 400):
                return self._hold(message)
        elif self.held is not None:
            return self._hold(message)
        self.last = kind
        return self._send(message)

    def _hold(self, message: Message) -> Awaitable[None]:
        """Hold *message* now, in the order of the calls; what is returned releases a page that is too long."""
        if self.held is None:
            self.held = []
        self.held.append(message)
        self._octets += len(message.get("body", b""))
        return self._bound()

    async def _bound(self) -> None:
        if self._octets > _MOST:
            await self.release()

    async def release(self) -> None:
        """Send what was held: it is the answer."""
        held, self.held = self.held or (), None
        if held and self._admission.raised is not None:
            log_hidden(self._admission.raised, held[0]["status"])
        for message in held:
            self.last = message["type"]
            await self._send(message)

    async def answered(self, error: Exception, ends: tuple[Any, Receive, Send]) -> bool:
        """Answer *error*, which the application raised, if it is for the middleware; else release what was held.

        Args:
            error: What the application raised.
            ends: Scope, receive and send of the request.

        Returns:
            Whether it was answered. If not, it is the server's to see.
        """
        refusal = self._admission.answers(error)
        if refusal is None or (self.last and self.last not in _OPEN):
            await self.release()
            return False
        if self.last:
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.code})
        else:
            await refuse(refusal, ends, absent=self._admission.absent, connected=True)
        return True


def log_hidden(error: Refusal, status: int) -> None:
    """Write, where an application made an error of its own, 5xx, of a refusal, that it did, and the remedy."""
    if status < 500 or error.http_status >= 500 or LIMITER.take("request.hidden", time.monotonic()) is None:
        return
    LOGGER.error(
        "the refusal %s was answered with %d, because something in the application catches all exceptions before the "
        "middleware sees them: let VerificationError pass there, or register the answer with the framework: "
        "fastapi.answer, wsgi.answer for Flask, django.Refusals",
        error.code, status,
        extra={"mtlspolicy_code": error.code},
    )  # fmt: skip


async def serve(
    app: Callable[[Any, Any, Any], Awaitable[Any]], ends: tuple[Any, Receive, Send], admission: Admission, *,
    kept_apart: Callable[[Any], Headers] | None,
) -> None:  # fmt: skip
    """Run *app*; answer what it was told by `peer` or `require` where it lets that pass.

    Args:
        app: The application.
        ends: Scope, receive and send of the request.
        admission: Who was admitted with it, in the scope already.
        kept_apart: What becomes of the headers of a response; ``None``: they are sent as they are.
    """
    scope, receive, send = ends
    outgoing = Outgoing(send, admission, kept_apart)
    try:
        await app(scope, receive, outgoing.send)
    except Exception as error:
        if not await outgoing.answered(error, ends):
            raise
    else:
        if outgoing.held is not None:
            await outgoing.release()


async def refuse(error: Refusal, ends: tuple[Any, Receive, Send], *, absent: int, connected: bool = False) -> None:
    """Answer *error*; a WebSocket is refused before it is accepted.

    Args:
        error: The refusal.
        ends: Scope, receive and send of the request.
        absent: Status where no certificate came.
        connected: Whether the application was called, which reads ``websocket.connect`` or not.
    """
    scope, receive, send = ends
    accepted = scope.get(ACCEPTED)
    log_refused(error, str(accepted.address) if type(accepted) is Accepted else "a connection")
    prefix = "http"
    if scope["type"] == "websocket":
        if not connected:
            await receive()
        if "websocket.http.response" not in scope.get("extensions", ()):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.code})
            return
        prefix = "websocket.http"
    what = answer(error, absent=absent)
    fields = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in what.headers]
    await send({"type": f"{prefix}.response.start", "status": what.status, "headers": fields})
    await send({"type": f"{prefix}.response.body", "body": what.body})
