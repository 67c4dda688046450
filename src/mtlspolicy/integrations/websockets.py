"""The websockets library behind the gate, who is at the other end of a connection, and refusals before the upgrade.

It decides nothing itself. The identity is that of the connection: certificates that a proxy forwards are not read here.
"""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from mtlspolicy import tls
from mtlspolicy._policy import Policy
from mtlspolicy.errors import NoPeerCertificate, VerificationError
from mtlspolicy.integrations import _admission
from mtlspolicy.integrations._admission import Admission, Choice
from mtlspolicy.integrations._answers import answer, responds
from mtlspolicy.integrations._authority import require_authority
from mtlspolicy.integrations._carried import Carried, CarriedRequirement
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import accepted
from mtlspolicy.integrations._log import log_refused
from mtlspolicy.tls._answering import answering_listener
from mtlspolicy.tls._gate import Gatekeeper
from mtlspolicy.tls._gate_register import Register
from mtlspolicy.tls._serving import require_for_loop

with Extra("websockets"):
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as _serve
    from websockets.http11 import Response

if TYPE_CHECKING:
    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._peer import VerifiedPeer
    from mtlspolicy.integrations._refusing import Refuse

__all__ = ["peer", "peer_or_none", "presented", "refuse_unless", "require", "serve"]

Hook: TypeAlias = "Callable[[ServerConnection, Any], Response | Awaitable[Response | None] | None]"


def peer(connection: Any) -> VerifiedPeer:
    """Return the peer of *connection*, of ``websockets.asyncio`` or ``websockets.sync``, a server's or a client's.

    Raises:
        NoPeerCertificate: It has none.
        ConfigurationError: Its TLS is not ours, or it is closed.
    """
    found = peer_or_none(connection)
    if found is None:
        raise NoPeerCertificate(tls.decision_of(_below(connection)))
    return found


def peer_or_none(connection: Any) -> VerifiedPeer | None:
    """Return the peer of *connection*; ``None``: a certificate is optional there, and none was presented.

    Raises:
        ConfigurationError: Its TLS is not ours, or it is closed.
    """
    return tls.peer_of(_below(connection))


def presented(connection: Any) -> PresentedChain | None:
    """Return the certificates of the peer, end entity first; ``None`` as with `peer_or_none`.

    Raises:
        ConfigurationError: Its TLS is not ours, or it is closed.
    """
    return tls.presented_by(_below(connection))


def require(policy: Choice) -> Callable[[Any], Awaitable[VerifiedPeer]]:
    """Return a question to ask with ``await`` in a handler: is the peer of a connection permitted by *policy* as well?

    The connection is open by then; what the question raises ends it with 1011. `refuse_unless` asks before.

    Args:
        policy: A policy, or a callable, coroutine functions included, that returns one for a connection. Whatever it
            raises is a refusal, ``policy.error``.

    Raises:
        ConfigurationError: It is neither.
    """
    return CarriedRequirement(policy, _carried)


def refuse_unless(policy: Choice) -> Hook:
    """Return a ``process_request`` that answers with the refusal, before the upgrade, unless *policy* permits the peer.

    For the servers of ``websockets.asyncio`` and, with a policy or a plain function, ``websockets.sync``.

    Args:
        policy: As for `require`, such as ``lambda connection: policies.CommonName(connection.request.path[1:])``.

    Raises:
        ConfigurationError: It is neither.
    """
    if inspect.iscoroutinefunction(policy):
        later = require(policy)

        async def asking(connection: Any, _request: Any) -> Response | None:
            try:
                await later(connection)
            except VerificationError as error:
                return _refused(connection, error)
            return None

        return asking
    now = _admission.Requirement(_unwrapped(policy))

    def ask(connection: Any, _request: Any) -> Response | None:
        try:
            now(_carried(connection))
        except VerificationError as error:
            return _refused(connection, error)
        return None

    return ask


def serve(
    handler: Callable[[ServerConnection], Awaitable[None]],
    host: str | None = None,
    port: int | None = None,
    *,
    ssl: ssl.SSLContext,
    refuse: Refuse = "handshake",
    **options: Any,
) -> Any:
    """Serve as ``websockets.asyncio.server.serve`` does, with the gate in front of each connection.

    So that a context with ``pending="hold"`` and a resolver work: the connection object is made for admitted peers
    alone. A request for another host than its connection was judged for is answered with 421.

    Args:
        handler: Called for each connection; ``peer(connection)`` is who it is.
        host: As for websockets.
        port: As for websockets.
        ssl: A context of `tls.server_context`, or one that `tls.enforce` was called on. Required.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an HTTP answer of the table of codes, in place of the upgrade. Handler and hooks see neither.
            Whom OpenSSL refuses, a certificate of an unknown CA for example, gets no answer either way.
        options: Whatever else ``serve`` of websockets takes.

    Raises:
        ConfigurationError: The context has no verifier of ours for clients, so that every connection would be refused.
    """
    answers = responds(refuse)
    listener = answering_listener(ssl) if answers else require_for_loop(ssl, "serve(ssl=...)")
    options["create_connection"] = _gated(options.pop("create_connection", None) or ServerConnection, answers=answers)
    options["process_request"] = _judged_here(options.pop("process_request", None))
    select: Any = options.get("select_subprotocol")
    if select is not None:

        def selected(waiting: _Waiting, offered: Any) -> Any:
            return select(waiting.made, offered)

        options["select_subprotocol"] = selected
    return _serve(handler, host, port, ssl=listener, **options)


class _Waiting(Gatekeeper):
    """The gatekeeper of one connection, which knows the connection that it made."""

    __slots__ = ("_make", "made")

    def __init__(
        self,
        make: Callable[[], ServerConnection],
        register: Register,
        refusing: Callable[[VerificationError], ServerConnection],
        answering: Register | None,
    ) -> None:
        super().__init__(self._now, register, None if answering is None else refusing, answering)
        self._make = make
        self.made: ServerConnection | None = None

    @property
    def protocol(self) -> Any:
        """What websockets looks at on a connection; there for an admitted one."""
        return None if self.made is None else self.made.protocol

    def _now(self) -> ServerConnection:
        made = self.made = self._make()
        return made


class _Refused(ServerConnection):
    """The connection of a refused client, which is answered in place of the upgrade, whatever else was said.

    Args:
        error: The refusal.
    """

    def __init__(self, error: VerificationError, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._error = error

    async def handshake(
        self, process_request: object = None, process_response: object = None, server_header: str | None = None
    ) -> None:
        """Read the request and answer it; the hooks are the application's, and are not asked."""
        del process_request, process_response
        await super().handshake(lambda _connection, _request: _response(self, self._error), None, server_header)


def _gated(make: Callable[..., ServerConnection], *, answers: bool) -> Callable[..., Any]:
    register, answering = Register(), Register() if answers else None

    def create_connection(*arguments: Any, **options: Any) -> _Waiting:
        return _Waiting(
            lambda: make(*arguments, **options),
            register,
            lambda error: _Refused(error, *arguments, **options),
            answering,
        )

    return create_connection


def _judged_here(hook: Hook | None) -> Hook:
    """Return a hook that answers 421 where the verifier of another host has judged, and then asks *hook*."""

    async def judged(connection: ServerConnection, request: Any) -> Response | None:
        hosts = [(b"host", host.encode("utf-8", "replace")) for host in request.headers.get_all("Host")]
        try:
            require_authority(accepted(connection.transport), hosts)
        except VerificationError as error:
            return _refused(connection, error)
        found: Any = None if hook is None else hook(connection, request)
        response: Response | None = await found if inspect.isawaitable(found) else found
        return response

    return judged


def _below(connection: Any) -> Any:
    return getattr(connection, "transport", None) or getattr(connection, "socket", connection)


def _carried(connection: Any) -> Carried:
    below = _below(connection)
    return Carried(connection, Admission(tls.peer_of(below), tls.presented_by(below)))


def _unwrapped(policy: Any) -> Any:
    choose: Any = policy

    def chosen(carried: Carried) -> Any:
        return choose(carried.request)

    return chosen if callable(policy) and not isinstance(policy, Policy) else policy


def _refused(connection: Any, error: VerificationError) -> Response:
    log_refused(error, str(accepted(_below(connection)).address))
    return _response(connection, error)


def _response(connection: Any, error: VerificationError) -> Response:
    what = answer(error)
    response: Response = connection.respond(what.status, what.body.decode("ascii"))
    for name, value in what.headers:
        if name in response.headers:
            del response.headers[name]
        response.headers[name] = value
    return response
