"""ASGI middleware: who sent this request, by what a proxy forwards or by the connection itself, before the application.

It answers refusals itself and lets the application see neither them nor the headers. Nothing that is forwarded is kept
beyond its request, since one connection of a proxy carries the requests of many.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias, Unpack

from mtlspolicy._evidence import UNKNOWN_CONNECTION
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import MalformedEvidence, VerificationError
from mtlspolicy.forwarded._gate import ImmediatePeer
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.integrations._admission import (
    ADMISSION,
    Admission,
    AsyncRequirement,
    Choice,
    peer,
    peer_or_none,
    presented,
)
from mtlspolicy.integrations._course import Asked, admission_by_chain, admission_of
from mtlspolicy.integrations._extension_source import chain_in
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted
from mtlspolicy.integrations._on_connection import OnConnection, require_request
from mtlspolicy.integrations._options import ASGISource, MiddlewareOptions, Settings, settings_of
from mtlspolicy.integrations._outgoing import Headers, refuse, serve
from mtlspolicy.integrations._request import require_no_doubt, stated_peer, without
from mtlspolicy.integrations._stand_in import StandIn, accepted_of
from mtlspolicy.integrations._tls_extension import write_extension

__all__ = ["Middleware", "MiddlewareOptions", "peer", "peer_or_none", "presented", "require"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[Any]]

_OURS: Final = "mtlspolicy."


def require(policy: Choice) -> AsyncRequirement:
    """Return a question to ask with ``await`` about a request: is its sender permitted by *policy* as well?

    ``await require(policies.CommonName("sam"))(request)`` returns the peer, or raises what the middleware answers.

    Args:
        policy: A policy, or a callable, coroutine functions included, that returns one for a request:
            ``require(lambda request: policies.CommonName(request.path_params["eui"]))``. Whatever it raises is a
            refusal, ``policy.error``.

    Raises:
        ConfigurationError: It is neither.
    """
    return AsyncRequirement(policy)


class Middleware:
    """Admits the sender of each HTTP request and WebSocket, or answers in place of *app*.

    The socket's own address comes from `integrations.uvicorn`, `integrations.hypercorn` or
    `integrations.gunicorn.UvicornWorker`; never from ``scope["client"]``, which servers and middlewares write anew.

    Args:
        app: The ASGI application.
        source: Where the certificate comes from: a `ForwardedSource`; ``"connection"`` where the server itself speaks
            TLS with a context of ours; or ``"extension"`` where it does so with one of its own, and states certificates
            in the TLS extension of ASGI. Of that its word for possession counts, and a refusal. Policies are told no
            address then, and a resumed session may have no certificate.
        verifier: `Verifier.for_clients`, unless *source* is ``"connection"``.
        **options: `MiddlewareOptions`.

    Raises:
        ConfigurationError: What was given does not go together; from a request: its server states no such extension.
    """

    def __init__(
        self, app: App, *, source: ASGISource, verifier: Verifier | None = None, **options: Unpack[MiddlewareOptions]
    ) -> None:
        self._app: App = app
        self._settings = settings_of(source, verifier, options, asgi=True)
        self._kept_apart = _keeping_apart(self._settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope: ``lifespan`` goes on as it is, ``http`` and ``websocket`` when their sender is admitted."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        require_request(scope)
        # read once: the specification allows any iterable, and servers may go on filling a list of theirs
        headers = list(scope["headers"])
        inner = self._inner(scope, headers)
        try:
            admission = await self._admission(scope, headers, inner)
        except (VerificationError, MalformedEvidence) as error:
            await refuse(error, (scope, receive, send), absent=self._settings.absent)
            return
        admission.absent = self._settings.absent
        inner[ADMISSION] = admission
        await serve(self._app, (inner, receive, send), admission, kept_apart=self._kept_apart)

    def _served_on(self, accepted: Accepted) -> App | None:
        """Return the application for the requests of one connection, see `OnConnection`; ``None``: there is none.

        For servers of ours which call it themselves, so that nobody has written into its scopes.
        """
        settings = self._settings
        itself = settings.source is None and not settings.extension
        return OnConnection(self._app, accepted, settings).serve if itself else None

    def _inner(self, scope: Scope, headers: Headers) -> dict[str, Any]:
        """Return a copy of *scope* without what an application could take for our word, whoever wrote it."""
        source = self._settings.source
        inner = {name: value for name, value in scope.items() if not name.startswith(_OURS)}
        inner["headers"] = headers if source is None else without(source.own, headers)
        extensions: dict[str, Any] = inner.get("extensions") or {}
        if "tls" in extensions:  # of a TLS whose client is another one, or that is not ours
            inner["extensions"] = {name: value for name, value in extensions.items() if name != "tls"}
        return inner

    async def _admission(self, scope: Scope, headers: Headers, inner: dict[str, Any]) -> Admission:
        """Return who was admitted with one request; *inner* is what the application sees of *scope*."""
        settings = self._settings
        accepted = accepted_of(scope.get(ACCEPTED))
        if settings.extension and type(accepted) is not StandIn:
            return await self._stated_in_extension(scope, inner)
        end: Accepted | ImmediatePeer | None = accepted
        if accepted is not None:
            inner[ACCEPTED] = accepted
        elif settings.source is not None:
            end = self._stated(settings.source, scope, headers)
        asked = Asked(inner, headers=headers, http_version=scope.get("http_version"), hosts=headers)
        admission = await admission_of(end, asked, settings)
        if settings.source is None and type(accepted) is Accepted:
            write_extension(inner, accepted, accepted.shown())
        return admission

    async def _stated_in_extension(self, scope: Scope, inner: dict[str, Any]) -> Admission:
        chain, extension = chain_in(scope)
        inner["extensions"] = {**inner["extensions"], "tls": extension}
        return await admission_by_chain(chain, UNKNOWN_CONNECTION, inner, self._settings)

    def _stated(self, source: ForwardedSource, scope: Scope, headers: Headers) -> ImmediatePeer:
        address, port = scope.get("client") or (None, None)
        end = stated_peer(address, port, headers, believed=self._settings.address_is_transport)
        require_no_doubt(source, headers, scope.get("http_version"))
        return end


def _keeping_apart(settings: Settings) -> Callable[[Any], Headers] | None:
    """Return what becomes of the headers of a response; ``None``: nothing, where the connection says who it is.

    They are made fit for shared caches, and free of a certificate (RFC 9440, 2.4).
    """
    source = settings.source
    if source is None:
        return None
    own, cache = source.own, settings.cache
    more = {"no-store": [(b"cache-control", b"no-store")], "vary": [(b"vary", settings.vary.encode("ascii"))]}

    def kept_apart(headers: Any) -> Headers:
        fields = without(own, [(bytes(name), bytes(value)) for name, value in headers])
        if cache == "no-store":
            fields = [field for field in fields if field[0].lower() != b"cache-control"]
        return fields if cache is None else fields + more[cache]

    return kept_apart
