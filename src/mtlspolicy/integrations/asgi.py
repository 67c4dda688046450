"""ASGI middleware: who sent this request, by what a proxy forwards or by the connection itself, before the application.

It answers refusals itself and lets the application see neither them nor the headers. Nothing that is forwarded is kept
beyond its request, since one connection of a proxy carries the requests of many.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias, Unpack

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
from mtlspolicy.integrations._options import MiddlewareOptions, Settings, Source, settings_of
from mtlspolicy.integrations._outgoing import Headers, Outgoing, refuse
from mtlspolicy.integrations._request import (
    admission_by,
    admitted,
    judgement_of,
    read,
    require_accepted,
    require_no_doubt,
    selected,
    stated_peer,
    without,
    without_certificate,
)
from mtlspolicy.integrations._stand_in import StandIn, accepted_of
from mtlspolicy.integrations._tls_extension import extension_of

__all__ = ["Middleware", "MiddlewareOptions", "peer", "peer_or_none", "presented", "require"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[Any]]

_OURS: Final = "mtlspolicy."
_REQUESTS: Final = frozenset({"http", "websocket"})


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
        self._kept_apart = _keeping_apart(self._settings)
        self._harmless: tuple[str, ...] = ()
        """Names of the last scope in which there was nothing to be removed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope: ``lifespan`` goes on as it is, ``http`` and ``websocket`` when their sender is admitted."""
        if scope["type"] not in _REQUESTS:
            await self._beside(scope, receive, send)
            return
        # read once: the specification allows any iterable, and servers may go on filling a list of theirs
        headers = list(scope["headers"])
        inner = dict(scope)
        inner["headers"] = headers
        names = tuple(inner)
        if names != self._harmless:  # a server's names, the same with each request
            inner = self._cleaned(inner, names)
        accepted = inner.get(ACCEPTED)
        try:
            if self._settings.source is None and type(accepted) is Accepted:
                admission = self._on_connection(inner, accepted)
            else:
                admission = await self._admission(scope, headers, inner)
        except (VerificationError, MalformedEvidence) as error:
            await refuse(error, (scope, receive, send), absent=self._settings.absent)
            return
        admission.absent = self._settings.absent
        inner[ADMISSION] = admission
        outgoing = Outgoing(send, admission, self._kept_apart)
        try:
            await self._app(inner, receive, outgoing.send)
        except Exception as error:
            if not await outgoing.answered(error, (inner, receive, send)):
                raise
        else:
            if outgoing.held is not None:
                await outgoing.release()

    async def _beside(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "lifespan":
            raise ConfigurationError(f"a scope of type {kind!r}: nobody can be admitted by what is not HTTP")
        await self._app(scope, receive, send)

    def _cleaned(self, inner: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        """Return *inner* without what an application could take for our word, whoever wrote it."""
        if any(name.startswith(_OURS) and name != ACCEPTED for name in names):
            return {name: inner[name] for name in names if not name.startswith(_OURS) or name == ACCEPTED}
        self._harmless = names
        return inner

    def _on_connection(self, inner: dict[str, Any], accepted: Accepted) -> Admission:
        """Return who was admitted in the handshake, and write the TLS extension into *inner*."""
        shown = accepted.shown()
        admission = admission_by(accepted, shown, self._settings)
        if shown.several_hosts:
            require_authority(accepted, inner["headers"])
        stated = {"tls": extension_of(accepted, shown)}
        others = inner.get("extensions")
        inner["extensions"] = {**others, **stated} if others else stated
        return admission

    async def _admission(self, scope: Scope, headers: Headers, inner: dict[str, Any]) -> Admission:
        """Return who was admitted by the proxy's word, or by a test's; *inner* is what the application sees."""
        accepted = accepted_of(inner.pop(ACCEPTED, None))
        if accepted is not None:
            inner[ACCEPTED] = accepted
        extensions = inner.get("extensions", ())
        if "tls" in extensions:  # of a TLS whose client is another one, or that is not ours
            inner["extensions"] = {name: value for name, value in extensions.items() if name != "tls"}
        source = self._settings.source
        if source is not None:
            inner["headers"] = without(source.own, headers)
        if isinstance(accepted, StandIn):
            return accepted.admission(self._settings)
        if source is None:
            return self._on_connection(inner, require_accepted(accepted))
        return await self._forwarded(source, scope, headers, inner)

    async def _forwarded(
        self, source: ForwardedSource, scope: Scope, headers: Headers, inner: dict[str, Any]
    ) -> Admission:
        """Return who was admitted by what the proxy forwards; *inner* is what the application will see of *scope*."""
        accepted: Accepted | None = inner.get(ACCEPTED)
        version = scope.get("http_version")
        end = self._stated(source, scope, headers) if accepted is None else accepted.peer()
        found = read(source, headers, end, version)
        anonymous = without_certificate(found.chain, self._settings)
        if anonymous is not None:
            return anonymous
        verifier = self._settings.verifier or selected(await self._select(inner))
        judgement = judgement_of(verifier, end, found)
        return admitted(judgement, await settle_async(judgement, self._settings.resolver), self._settings)

    def _stated(self, source: ForwardedSource, scope: Scope, headers: Headers) -> ImmediatePeer:
        address, port = scope.get("client") or (None, None)
        end = stated_peer(address, port, headers, believed=self._settings.address_is_transport)
        require_no_doubt(source, headers, scope.get("http_version"))
        return end

    async def _select(self, inner: dict[str, Any]) -> Any:
        select = self._settings.select
        try:
            found = select(inner)  # type: ignore[misc]  # there where there is no verifier
            return await found if inspect.isawaitable(found) else found
        except Exception as error:  # noqa: BLE001 - whatever it raises is a refusal
            return error


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
