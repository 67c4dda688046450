"""gRPC: who calls, asked for each call before its handler runs, for ``grpc.server`` and ``grpc.aio.server``.

The handshake is gRPC's own (BoringSSL), which validates the chain and can ask no policy. So the interceptor decides, on
the certificates that the connection shows, under the current trust, policy, facts and time. Metadata never counts.
For clients there are channels through a tunnel of ours, whose server a verifier judges.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mtlspolicy._peer import VerifiedPeer
from mtlspolicy._policy import Policy
from mtlspolicy._resolver import Resolver, settle, settle_async
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import _admission
from mtlspolicy.integrations._admission import Admission, Choice, Requirement
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._grpc_calls import carrier_of, guarded, guarded_async
from mtlspolicy.integrations._grpc_channels import AioChannel, Channel, aio_channel, channel
from mtlspolicy.integrations._grpc_credentials import CredentialSource, channel_credentials, credentials
from mtlspolicy.integrations._grpc_evidence import judgement_of
from mtlspolicy.integrations._options import require_for_clients

if TYPE_CHECKING:
    from grpc import ServerInterceptor  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
    from grpc.aio import (  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
        ServerInterceptor as AioServerInterceptor,
    )

    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._judgement import Judgement, Outcome
else:
    with Extra("grpc"):
        ServerInterceptor = import_module("grpc").ServerInterceptor
        AioServerInterceptor = import_module("grpc.aio").ServerInterceptor

_grpc: Any = import_module("grpc")
_aio: Any = import_module("grpc.aio")

__all__ = [
    "AioChannel",
    "AioInterceptor",
    "Channel",
    "Interceptor",
    "aio_channel",
    "aio_server",
    "channel",
    "channel_credentials",
    "credentials",
    "peer",
    "peer_or_none",
    "presented",
    "require",
    "server",
]


class _Guard:
    """Decides on each call."""

    def __init__(self, verifier: Verifier, *, resolver: Resolver | None = None) -> None:
        self._verifier = require_for_clients(verifier)
        if resolver is not None and not isinstance(resolver, Resolver):
            raise ConfigurationError(f"resolver={type(resolver).__name__}: give a Resolver")
        self._resolver = resolver

    def admit(self, context: Any) -> Admission:
        """Return who calls; blocks while facts are looked up.

        Raises:
            VerificationError: Nobody who is admitted.
            MalformedEvidence: What came in place of a certificate.
        """
        judgement = judgement_of(self._verifier, context)
        return _concluded(judgement, settle(judgement, self._resolver))

    async def admit_async(self, context: Any) -> Admission:
        """Return the same while the event loop goes on."""
        judgement = judgement_of(self._verifier, context)
        return _concluded(judgement, await settle_async(judgement, self._resolver))


def _concluded(judgement: Judgement, outcome: Outcome) -> Admission:
    judgement.conclude(outcome)
    if outcome.peer is None:
        raise outcome.error()
    return Admission(outcome.peer, judgement.presented)


class Interceptor(_Guard, ServerInterceptor):  # type: ignore[misc]  # a package without types
    """For ``grpc.server(..., interceptors=[Interceptor(verifier)])``: admits the caller of each call, or answers it.

    It has to be the **first** of the interceptors: one before it runs for everybody. It covers every service of the
    server, health and reflection included; whoever is refused is not even told which methods there are.

    Args:
        verifier: `Verifier.for_clients`, the same that `credentials` were made for.
        resolver: Turns the needs of its policy into facts; the thread of the call waits for them.

    Raises:
        ConfigurationError: One of them is something else.
    """

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Return the handler of a method behind the decision; called by gRPC."""
        return guarded(self, continuation(handler_call_details))


class AioInterceptor(_Guard, AioServerInterceptor):  # type: ignore[misc]  # the same
    """For ``grpc.aio.server(interceptors=[AioInterceptor(verifier)])``; otherwise as `Interceptor`.

    While facts are looked up the event loop goes on.
    """

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Return the handler of a method behind the decision; called by gRPC."""
        return guarded_async(self, await continuation(handler_call_details))


def server(
    executor: Any, *, address: str, credential: CredentialSource, verifier: Verifier,
    resolver: Resolver | None = None, **options: Any,
) -> tuple[Any, int]:  # fmt: skip
    """Return a server of ``grpc.server`` with the interceptor in it, before all others, and its port, opened with TLS.

    The verifier is named once, and the interceptor can be neither forgotten nor put in the wrong place. Services are
    added to the server, which is then started.

    Args:
        executor: Threads for the calls.
        address: To listen on, ``"[::]:50051"``; port 0 is any.
        credential: See `credentials`.
        verifier: See `Interceptor`.
        resolver: See `Interceptor`.
        **options: Of ``grpc.server``; ``interceptors`` come after ours.

    Raises:
        ConfigurationError: See `credentials` and `Interceptor`.
        RuntimeError: gRPC cannot open the port, or does not take the key.
    """
    keys = credentials(credential=credential, verifier=verifier)
    after = options.pop("interceptors", None) or ()
    made = _grpc.server(executor, interceptors=(Interceptor(verifier, resolver=resolver), *after), **options)
    return made, int(made.add_secure_port(address, keys))


def aio_server(
    *, address: str, credential: CredentialSource, verifier: Verifier, resolver: Resolver | None = None, **options: Any
) -> tuple[Any, int]:
    """Return the same for ``grpc.aio.server``; to be called where an event loop runs."""
    keys = credentials(credential=credential, verifier=verifier)
    after = options.pop("interceptors", None) or ()
    made = _aio.server(interceptors=(AioInterceptor(verifier, resolver=resolver), *after), **options)
    return made, int(made.add_secure_port(address, keys))


def peer(context: object) -> VerifiedPeer:
    """Return who makes the call with *context*, the second argument of its handler.

    Raises:
        ConfigurationError: No interceptor of ours has seen the call.
    """
    return _admission.peer(carrier_of(context))


def peer_or_none(context: object) -> VerifiedPeer | None:
    """Return the same. It is never ``None``: gRPC for Python demands a certificate of all clients or of none.

    Raises:
        ConfigurationError: No interceptor of ours has seen the call.
    """
    return _admission.peer_or_none(carrier_of(context))


def presented(context: object) -> PresentedChain | None:
    """Return the certificates that the connection of the call shows, end entity first.

    Raises:
        ConfigurationError: No interceptor of ours has seen the call.
    """
    return _admission.presented(carrier_of(context))


class Question:
    """A further policy of whoever makes a call; made by `require`."""

    def __init__(self, policy: Choice) -> None:
        Requirement(policy)  # says what is wrong with it now, and not at the first call
        self._policy = policy

    def __call__(self, context: object, request: Any = None) -> VerifiedPeer:
        """Return the peer of the call if the policy permits it.

        Args:
            context: Of the call.
            request: The message that the question is about; a stream may be asked about each of its messages.

        Raises:
            VerificationError: It does not, or the callable failed; the interceptor answers that.
            ConfigurationError: No interceptor of ours has seen the call.
        """
        policy = self._policy
        chosen: Choice = policy if isinstance(policy, Policy) else lambda _: policy(request)
        return Requirement(chosen)(carrier_of(context))


def require(policy: Choice) -> Question:
    """Return a question to ask in a handler: is the caller permitted by *policy* as well?

    ``require(policies.CommonName("sam"))(context)`` returns the peer, or raises what the interceptor answers.
    ``require(lambda request: policies.CommonName(request.user))(context, request)`` compares with the message. The same
    in handlers that are coroutines: nothing is waited for.

    Args:
        policy: A policy, or a callable that returns one for a message. Whatever it raises is a refusal,
            ``policy.error``.

    Raises:
        ConfigurationError: It is neither.
    """
    return Question(policy)
