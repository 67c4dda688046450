"""The middleware of one application of aiohttp: asks who sent each request, before any handler, and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from mtlspolicy.errors import MalformedEvidence, MTLSPolicyError, VerificationError
from mtlspolicy.integrations._admission import ADMISSION, Admission
from mtlspolicy.integrations._aiohttp_runner import INSTALLED, response
from mtlspolicy.integrations._answers import Refusal
from mtlspolicy.integrations._course import Asked, admission_of
from mtlspolicy.integrations._immediate import Accepted, accepted
from mtlspolicy.integrations._log import log_refused
from mtlspolicy.integrations._request import without
from mtlspolicy.integrations._stand_in import StandIn

if TYPE_CHECKING:
    from mtlspolicy.forwarded._source import ForwardedSource
    from mtlspolicy.integrations._options import Settings

__all__ = ["KEY", "STAND_IN", "guard"]

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _key(name: str, kind: type) -> Any:
    made: Any = getattr(web, "RequestKey", None)  # from aiohttp 3.14, which warns of names that are text
    return name if made is None else made(name, kind)


KEY: Final[Any] = _key(ADMISSION, Admission)
"""Where a request has its admission."""
STAND_IN: Final[Any] = _key("mtlspolicy.stand_in", StandIn)
"""Where a request of a test has its peer. The type counts and not the key."""


def guard(app: web.Application, settings: Settings) -> None:
    """Make what asks by *settings* the first middleware of *app*, which does not run yet."""
    asking = _Guard(settings)

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        return await asking.serve(request, handler)

    app[INSTALLED] = settings.source is None
    app.middlewares.insert(0, middleware)
    app.on_response_prepare.append(asking.keep_apart)


class _Guard:
    """What one application asks of each request.

    Args:
        settings: Options that go together.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def serve(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Return the answer of the application, or the refusal."""
        if request.transport is None:  # gone while its request waited for its turn: nobody is there to answer
            return web.Response(status=400)
        stand_in = request.get(STAND_IN)
        end = stand_in if type(stand_in) is StandIn else accepted(request.transport)
        address = str(end.address)
        inner = request
        try:
            if self._settings.source is not None:
                inner = _cleaned(request, self._settings.source)
            admission = await self._admission(request, inner, end)
        except (VerificationError, MalformedEvidence) as error:
            return self._refused(error, address)
        inner[KEY] = admission
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
        version = f"{request.version.major}.{request.version.minor}"
        asked = Asked(inner, headers=request.raw_headers, http_version=version, hosts=_hosts(request))
        return await admission_of(end, asked, self._settings)

    def _refused(self, error: Refusal, address: str) -> web.Response:
        log_refused(error, address)
        return response(error, absent=self._settings.absent)


def _hosts(request: web.Request) -> Iterator[tuple[bytes, bytes]]:
    yield from request.raw_headers
    if not request.raw_path.startswith("/"):
        # the request line names a host itself, and aiohttp takes that one (RFC 9112, 3.2.2)
        yield b"host", request.host.encode("latin-1", "replace")


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
