"""Tornado's HTTP server: who sent a request, by the connection itself or by what a proxy forwards, before any handler.

It stands between ``HTTPServer`` and the application, answers refusals itself, and lets the application see neither them
nor the headers of the proxy. What ``xheaders=True`` makes of the address has no part in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mtlspolicy.errors import VerificationError
from mtlspolicy.integrations import _admission
from mtlspolicy.integrations._answers import answer
from mtlspolicy.integrations._carried import Carried, CarriedRequirement, require_seen
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._log import log_refused
from mtlspolicy.integrations._options import MiddlewareOptions

with Extra("tornado"):
    from tornado import httputil, web, websocket

    from mtlspolicy.integrations._tornado_gate import HTTPServer
    from mtlspolicy.integrations._tornado_middleware import Middleware
    from mtlspolicy.integrations._tornado_request import SeenConnection

if TYPE_CHECKING:
    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._peer import VerifiedPeer
    from mtlspolicy.integrations._admission import Choice

__all__ = ["HTTPServer", "Middleware", "MiddlewareOptions", "peer", "peer_or_none", "presented", "require"]

Asked = web.RequestHandler | httputil.HTTPServerRequest
_POLICY_VIOLATION: Final = 1008
"""RFC 6455, 7.4.1."""
_REMEDY: Final = (
    "serve HTTPServer(integrations.tornado.Middleware(app, ...), ...) in place of HTTPServer(app, ...) or app.listen, "
    "and pass the handler or its request"
)


def peer(asked: Asked) -> VerifiedPeer:
    """Return the peer of a request.

    Args:
        asked: The handler, or its request.

    Raises:
        tornado.web.Finish: It has none, and that is answered; of a request: `NoPeerCertificate`.
        ConfigurationError: The middleware has not seen it.
    """
    try:
        return _admission.peer(_carried(asked))
    except VerificationError as error:
        raise _ended(asked, error) from error


def peer_or_none(asked: Asked) -> VerifiedPeer | None:
    """Return the peer of a request; ``None``: a certificate is optional there, and none was presented.

    Raises:
        ConfigurationError: The middleware has not seen it.
    """
    return _admission.peer_or_none(_carried(asked))


def presented(asked: Asked) -> PresentedChain | None:
    """Return the certificates that came with a request, end entity first; ``None`` as with `peer_or_none`.

    Raises:
        ConfigurationError: The middleware has not seen it.
    """
    return _admission.presented(_carried(asked))


class require:  # noqa: N801 - called as the functions of this name in the other integrations are
    """A question to ask with ``await`` in a handler: is the sender permitted by *policy* as well?

    ``await require(policies.CommonName("sam"))(self)`` returns the peer, or answers and raises ``tornado.web.Finish``,
    which ends the request without an error; in ``prepare`` it comes before the method. Where the answer has begun the
    connection is closed, on a WebSocket with 1008, and the refusal itself is raised. Of a request, without a handler,
    it always is.

    Args:
        policy: A policy, or a callable, coroutine functions included, that returns one for what the question is asked
            about: ``require(lambda handler: policies.CommonName(handler.path_kwargs["eui"]))``. Whatever it raises is a
            refusal, ``policy.error``.

    Raises:
        ConfigurationError: It is neither.
    """

    def __init__(self, policy: Choice) -> None:
        self._ask = CarriedRequirement(policy, _carried)

    async def __call__(self, asked: Asked) -> VerifiedPeer:
        """Return the peer of *asked*, a handler or its request, if the policy permits it."""
        try:
            return await self._ask(asked)
        except VerificationError as error:
            raise _ended(asked, error) from error


def _connection_of(asked: Asked) -> Any:
    request = getattr(asked, "request", asked)
    return getattr(request, "connection", None)


def _carried(asked: Any) -> Carried:
    connection = _connection_of(asked)
    found = connection.admission if type(connection) is SeenConnection else None
    return Carried(asked, require_seen(found, asked, _REMEDY))


def _ended(asked: Asked, error: VerificationError) -> Exception:
    """Answer *error* in the handler that *asked*, where that can be done; return what is to be raised."""
    connection: SeenConnection = _connection_of(asked)
    if not isinstance(asked, web.RequestHandler):
        return error
    log_refused(error, connection.address)
    if connection.begun:
        if isinstance(asked, websocket.WebSocketHandler):
            asked.close(_POLICY_VIOLATION, error.code)
        else:
            connection.below.close()
        return error
    what = answer(error, absent=connection.settings.absent)
    asked.clear()
    asked.set_status(what.status)
    for name, value in what.headers:
        asked.set_header(name, value)
    return web.Finish(what.body)
