"""aiohttp's server: who sent a request, by the connection itself or by what a proxy forwards, before any handler.

A middleware of the application answers refusals itself, and handlers see neither them nor the headers of the proxy.
Which address the framework gives to a request, and what other middlewares make of it, has no part in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import _admission
from mtlspolicy.integrations._admission import Choice
from mtlspolicy.integrations._carried import Carried, CarriedRequirement, require_seen
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._options import MiddlewareOptions, Source, settings_of

with Extra("aiohttp"):
    from aiohttp import web

    from mtlspolicy.integrations._aiohttp_client import TCPConnector
    from mtlspolicy.integrations._aiohttp_guard import KEY, guard
    from mtlspolicy.integrations._aiohttp_runner import INSTALLED, AppRunner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._peer import VerifiedPeer
    from mtlspolicy._verifier import Verifier

__all__ = [
    "AppRunner",
    "MiddlewareOptions",
    "TCPConnector",
    "install",
    "peer",
    "peer_or_none",
    "presented",
    "require",
]

_REMEDY: Final = "call integrations.aiohttp.install(app, ...), and pass the request of a handler"


def peer(request: web.BaseRequest) -> VerifiedPeer:
    """Return the peer of *request*.

    Raises:
        NoPeerCertificate: It has none; the middleware answers that.
        ConfigurationError: The middleware has not seen it.
    """
    return _admission.peer(_carried(request))


def peer_or_none(request: web.BaseRequest) -> VerifiedPeer | None:
    """Return the peer of *request*; ``None``: a certificate is optional there, and none was presented.

    Raises:
        ConfigurationError: The middleware has not seen it.
    """
    return _admission.peer_or_none(_carried(request))


def presented(request: web.BaseRequest) -> PresentedChain | None:
    """Return the certificates that came with *request*, end entity first; ``None`` as with `peer_or_none`.

    Raises:
        ConfigurationError: The middleware has not seen it.
    """
    return _admission.presented(_carried(request))


def require(policy: Choice) -> Callable[[web.BaseRequest], Awaitable[VerifiedPeer]]:
    """Return a question to ask with ``await`` about a request: is its sender permitted by *policy* as well?

    ``await require(policies.CommonName("sam"))(request)`` returns the peer, or raises what the middleware answers. On
    a WebSocket that is open the connection ends.

    Args:
        policy: A policy, or a callable, coroutine functions included, that returns one for a request:
            ``require(lambda request: policies.CommonName(request.match_info["eui"]))``. Whatever it raises is a
            refusal, ``policy.error``.

    Raises:
        ConfigurationError: It is neither.
    """
    return CarriedRequirement(policy, _carried)


def install(
    app: web.Application, *, source: Source, verifier: Verifier | None = None, **options: Unpack[MiddlewareOptions]
) -> None:
    """Have *app* admit the sender of each request, WebSockets and unknown paths included, or answer in its place.

    The middleware becomes the first one, for sub-applications as well. What runs before any middleware of aiohttp runs
    before it: routing, and the ``expect_handler`` of a route.

    Args:
        app: The application, before it runs.
        source: Where the certificate comes from: ``"connection"`` where aiohttp itself speaks TLS with a context of
            ours, or a `ForwardedSource`.
        verifier: `Verifier.for_clients`, for a `ForwardedSource`.
        **options: `MiddlewareOptions`.

    Raises:
        ConfigurationError: What was given does not go together, or the application runs already, or has it already.
    """
    if not isinstance(app, web.Application):
        raise ConfigurationError(f"install({type(app).__name__}): give the web.Application")
    if app.frozen or INSTALLED in app:
        state = "runs already" if app.frozen else "has its middleware already"
        raise ConfigurationError(f"install(app): the application {state}; call it once, before web.run_app")
    guard(app, settings_of(source, verifier, options))


def _carried(request: Any) -> Carried:
    found = request.get(KEY) if isinstance(request, web.BaseRequest) else None
    return Carried(request, require_seen(found, request, _REMEDY))
