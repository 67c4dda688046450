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

__all__ = ["log_hidden", "refuse", "serve"]

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


class _Outgoing:
    """The ``send`` of one request's application.

    Attributes:
        last: Type of the last message that was sent.
    """

    def __init__(self, send: Send, admission: Admission, kept_apart: Callable[[Any], Headers]) -> None:
        self.last: str = ""
        self._send: Send = send
        self._admission: Admission = admission
        self._kept_apart: Callable[[Any], Headers] = kept_apart
        self._held: list[Message] = []
        self._octets: int = 0

    async def __call__(self, message: Message) -> None:
        """Send *message*, or hold it: an error page may hide a refusal, which is raised when the page is written."""
        if message["type"] == "http.response.start":
            message = {**message, "headers": self._kept_apart(message.get("headers", ()))}
            told = self._admission.raised is not None
            if message["status"] >= (400 if told else 500):
                self._held.append(message)
                return
        elif self._held:
            self._held.append(message)
            self._octets += len(message.get("body", b""))
            if self._octets > _MOST:
                await self.release()
            return
        await self._pass(message)

    async def _pass(self, message: Message) -> None:
        self.last = message["type"]
        await self._send(message)

    async def release(self) -> None:
        """Send what was held: it is the answer."""
        held, self._held = self._held, []
        if held and self._admission.raised is not None:
            log_hidden(self._admission.raised, held[0]["status"])
        for message in held:
            await self._pass(message)


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
    kept_apart: Callable[[Any], Headers],
) -> None:  # fmt: skip
    """Run *app*; answer what it was told by `peer` or `require` where it lets that pass.

    Args:
        app: The application.
        ends: Scope, receive and send of the request.
        admission: Who was admitted with it, in the scope already.
        kept_apart: What becomes of the headers of a response.
    """
    scope, receive, send = ends
    outgoing = _Outgoing(send, admission, kept_apart)
    try:
        await app(scope, receive, outgoing)
    except Exception as error:
        refusal = admission.answers(error)
        if refusal is None or (outgoing.last and outgoing.last not in _OPEN):
            await outgoing.release()
            raise
    else:
        await outgoing.release()
        return
    if outgoing.last:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.code})
        return
    await refuse(refusal, ends, absent=admission.absent, connected=True)


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
