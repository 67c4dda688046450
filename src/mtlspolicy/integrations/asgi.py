"""ASGI middleware: who sent this request, by what a proxy forwards or by the connection itself, before the application.

It answers refusals itself and lets the application see neither them nor the headers. Nothing about a client is kept
beyond its request, since one connection of a proxy carries the requests of many.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack, cast

from mtlspolicy._resolver import settle_async
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
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
from mtlspolicy.integrations._authority import require_authority
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted
from mtlspolicy.integrations._options import MiddlewareOptions, Source, settings_of
from mtlspolicy.integrations._outgoing import refuse, serve
from mtlspolicy.integrations._request import (
    admission_on_connection,
    admitted,
    judgement_of,
    read,
    require_no_doubt,
    selected,
    stated_peer,
    without,
    without_certificate,
)
from mtlspolicy.integrations._stand_in import StandIn, accepted_of
from mtlspolicy.integrations._tls_extension import tls_extension

if TYPE_CHECKING:
    import ssl

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
        source: Where the certificate comes from: a `ForwardedSource`, or ``"connection"`` where the server itself
            speaks TLS with a context of ours.
        verifier: `Verifier.for_clients`, for a `ForwardedSource`.
        **options: `MiddlewareOptions`.

    Raises:
        ConfigurationError: What was given does not go together.
    """

    def __init__(
        self, app: App, *, source: Source, verifier: Verifier | None = None, **options: Unpack[MiddlewareOptions]
    ) -> None:
        self._app: App = app
        self._settings = settings_of(source, verifier, options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope: ``lifespan`` goes on as it is, ``http`` and ``websocket`` when their sender is admitted."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind not in {"http", "websocket"}:
            raise ConfigurationError(f"a scope of type {kind!r}: nobody can be admitted by what is not HTTP")
        accepted = accepted_of(scope.get(ACCEPTED))
        # read once: the specification allows any iterable, and servers may go on filling a list of theirs
        scope = {**scope, "headers": list(scope["headers"])}
        try:
            inner = self._cleaned(scope, accepted)
            admission = await self._admission(scope, inner, accepted)
        except (VerificationError, MalformedEvidence) as error:
            await refuse(error, (scope, receive, send), absent=self._settings.absent)
            return
        inner[ADMISSION] = admission
        admission.absent = self._settings.absent
        await serve(self._app, (inner, receive, send), admission, kept_apart=self._kept_apart)

    def _cleaned(self, scope: Scope, accepted: Accepted | None) -> dict[str, Any]:
        """Return a copy of *scope* without what an application could take for a peer."""
        inner = {key: value for key, value in scope.items() if not key.startswith(_OURS)}
        if accepted is not None:
            inner[ACCEPTED] = accepted
        if "tls" in inner.get("extensions", ()):
            inner["extensions"] = {key: value for key, value in inner["extensions"].items() if key != "tls"}
        source = self._settings.source
        if source is not None:
            inner["headers"] = without(source.own, scope["headers"])
        return inner

    async def _admission(self, scope: Scope, inner: dict[str, Any], accepted: Accepted | None) -> Admission:
        settings = self._settings
        if isinstance(accepted, StandIn):
            return accepted.admission(settings)
        if settings.source is None:
            admission = admission_on_connection(accepted, settings)
            found = cast("Accepted", accepted)  # or nobody was admitted
            require_authority(found, scope["headers"])
            connection = cast("ssl.SSLObject", found.ssl_object)
            inner["extensions"] = {**inner.get("extensions", {}), "tls": tls_extension(connection, admission)}
            return admission
        return await self._forwarded(settings.source, scope, inner, accepted)

    async def _forwarded(
        self, source: ForwardedSource, scope: Scope, inner: dict[str, Any], accepted: Accepted | None
    ) -> Admission:
        end = self._stated(source, scope) if accepted is None else accepted.peer()
        found = read(source, scope["headers"], end, scope.get("http_version"))
        anonymous = without_certificate(found.chain, self._settings)
        if anonymous is not None:
            return anonymous
        verifier = self._settings.verifier or selected(await self._select(inner))
        judgement = judgement_of(verifier, end, found)
        return admitted(judgement, await settle_async(judgement, self._settings.resolver), self._settings)

    def _stated(self, source: ForwardedSource, scope: Scope) -> ImmediatePeer:
        address, port = scope.get("client") or (None, None)
        end = stated_peer(address, port, scope["headers"], believed=self._settings.address_is_transport)
        require_no_doubt(source, scope["headers"], scope.get("http_version"))
        return end

    async def _select(self, inner: dict[str, Any]) -> Any:
        select = self._settings.select
        try:
            found = select(inner)  # type: ignore[misc]  # there where there is no verifier
            return await found if inspect.isawaitable(found) else found
        except Exception as error:  # noqa: BLE001 - whatever it raises is a refusal
            return error

    def _kept_apart(self, headers: Any) -> list[tuple[bytes, bytes]]:
        """Return the headers of a response, fit for shared caches, and without a certificate (RFC 9440, 2.4)."""
        settings = self._settings
        fields: list[tuple[bytes, bytes]] = [(bytes(name), bytes(value)) for name, value in headers]
        if settings.source is not None:
            fields = without(settings.source.own, fields)
        if settings.cache == "no-store":
            fields = [field for field in fields if field[0].lower() != b"cache-control"]
            fields.append((b"cache-control", b"no-store"))
        elif settings.cache == "vary":
            fields.append((b"vary", settings.vary.encode("ascii")))
        return fields
