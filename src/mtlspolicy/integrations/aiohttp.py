"""aiohttp's server: who sent a request, by the connection itself or by what a proxy forwards, before any handler.

A middleware of the application answers refusals itself, and handlers see neither them nor the headers of the proxy.
Which address the framework gives to a request, and what other middlewares make of it, has no part in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Unpack

from mtlspolicy._resolver import settle_async
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, MTLSPolicyError, VerificationError
from mtlspolicy.integrations import _admission
from mtlspolicy.integrations._admission import ADMISSION, Admission, Choice
from mtlspolicy.integrations._answers import Refusal
from mtlspolicy.integrations._authority import require_authority
from mtlspolicy.integrations._carried import Carried, CarriedRequirement, require_seen
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import Accepted, accepted
from mtlspolicy.integrations._log import log_refused
from mtlspolicy.integrations._options import MiddlewareOptions, Settings, Source, settings_of
from mtlspolicy.integrations._request import (
    admission_on_connection,
    admitted,
    judgement_of,
    read,
    selected,
    without,
    without_certificate,
)

with Extra("aiohttp"):
    from aiohttp import web

    from mtlspolicy.integrations._aiohttp_client import TCPConnector
    from mtlspolicy.integrations._aiohttp_runner import INSTALLED, AppRunner, response

if TYPE_CHECKING:
    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._peer import VerifiedPeer
    from mtlspolicy._verifier import Verifier
    from mtlspolicy.forwarded._source import ForwardedSource

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

_NEW_KEY: Final[Any] = getattr(web, "RequestKey", None)  # from aiohttp 3.14, which warns of names that are text
_KEY: Final[Any] = ADMISSION if _NEW_KEY is None else _NEW_KEY(ADMISSION, Admission)
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
    settings = settings_of(source, verifier, options)
    guard = _Guard(settings)

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        return await guard.serve(request, handler)

    app[INSTALLED] = settings.source is None
    app.middlewares.insert(0, middleware)
    app.on_response_prepare.append(guard.keep_apart)


def _carried(request: Any) -> Carried:
    found = request.get(_KEY) if isinstance(request, web.BaseRequest) else None
    return Carried(request, require_seen(found, request, _REMEDY))


class _Guard:
    """What one application asks of each request.

    Args:
        settings: Options that go together.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def serve(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Return the answer of the application, or the refusal."""
        if request.transport is None:  # gone while its request waited for its turn: nobody is there to answer
            return web.Response(status=400)
        end = accepted(request.transport)
        address = str(end.address)
        inner = request
        try:
            if self._settings.source is not None:
                inner = _cleaned(request, self._settings.source)
            admission = await self._admission(request, inner, end)
        except (VerificationError, MalformedEvidence) as error:
            return self._refused(error, address)
        inner[_KEY] = admission
        try:
            return await handler(inner)
        except MTLSPolicyError as error:
            raised = admission.raised
            if raised is None or error is not raised or request.writer.output_size:
                raise
            return self._refused(raised, address)
        finally:
            if inner is not request:  # aiohttp closes the files that a form brought for the request that it made
                getattr(inner, "_finish", _nothing)()

    async def keep_apart(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Make *response* fit for shared caches, and take out of it what only a proxy writes (RFC 9440, 2.4)."""
        settings, headers = self._settings, response.headers
        if settings.source is None:
            return
        kept = without(settings.source.own, list(headers.items()))
        if len(kept) != len(headers):
            headers.clear()
            headers.extend(kept)
        if settings.cache == "no-store":
            headers["Cache-Control"] = "no-store"
        elif settings.cache == "vary":
            headers.add("Vary", settings.vary)

    async def _admission(self, request: web.Request, inner: web.Request, end: Accepted) -> Admission:
        settings = self._settings
        if settings.source is not None:
            return await self._forwarded(settings.source, request, inner, end)
        admission = admission_on_connection(end, settings)
        hosts = [(name, value) for name, value in request.raw_headers if name.lower() == b"host"]
        if not request.raw_path.startswith("/"):
            # the request line names a host itself, and aiohttp takes that one (RFC 9112, 3.2.2)
            hosts.append((b"host", request.host.encode("latin-1", "replace")))
        require_authority(end, hosts)
        return admission

    async def _forwarded(
        self, source: ForwardedSource, request: web.Request, inner: web.Request, end: Accepted
    ) -> Admission:
        there, version = end.peer(), f"{request.version.major}.{request.version.minor}"
        found = read(source, request.raw_headers, there, version)
        anonymous = without_certificate(found.chain, self._settings)
        if anonymous is not None:
            return anonymous
        verifier = self._settings.verifier or selected(await self._select(inner))
        judgement = judgement_of(verifier, there, found)
        return admitted(judgement, await settle_async(judgement, self._settings.resolver), self._settings)

    async def _select(self, inner: web.Request) -> Any:
        select: Any = self._settings.select  # there where there is no verifier
        try:
            found = select(inner)
            return await found if inspect.isawaitable(found) else found
        except Exception as error:  # noqa: BLE001 - whatever it raises is a refusal
            return error

    def _refused(self, error: Refusal, address: str) -> web.Response:
        log_refused(error, address)
        return response(error, absent=self._settings.absent)


def _cleaned(request: web.Request, source: ForwardedSource) -> web.Request:
    """Return a copy of *request* without what the proxy alone may write, whoever wrote it."""
    # aiohttp keeps octets that are no UTF-8 as lone surrogates, and cannot write them back in a copy
    kept = without(source.own, list(request.headers.items()))
    return request.clone(headers=[(name, _text(value)) for name, value in kept])


def _text(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("latin-1")
    return value


def _nothing() -> None:
    """Do nothing, where aiohttp has nothing to close."""
