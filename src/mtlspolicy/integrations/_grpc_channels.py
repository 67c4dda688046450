"""Channels of gRPC whose server is judged by a verifier: gRPC speaks to a tunnel, and the tunnel speaks TLS.

gRPC's own TLS asks no policy about servers. Metadata, streams, deadlines and retries are gRPC's and are not read here.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from mtlspolicy import tls
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._contexts import require_client_context
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._tunnel import Course, Way, endpoint

if TYPE_CHECKING:
    from grpc import Channel as SyncChannel  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
    from grpc.aio import (  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
        Channel as AsyncChannel,
    )
else:
    with Extra("grpc"):
        SyncChannel = import_module("grpc").Channel
        AsyncChannel = import_module("grpc.aio").Channel

_grpc: Any = import_module("grpc")
_aio: Any = import_module("grpc.aio")

__all__ = ["AioChannel", "Channel", "aio_channel", "channel"]

_OURS: Final = frozenset({"grpc.default_authority", "grpc.http2_scheme", "grpc.ssl_target_name_override"})
_CLIENT_OPTIONS: Final = tls.ClientOptions()


class _Led:
    """What both kinds of channel are: a tunnel of their own, and the channel of gRPC that goes into it."""

    _inner: Any
    _course: Course

    def _lead(self, make: Any, way: Way, target: str, options: dict[str, Any]) -> None:
        given: Any = options.pop("options", None)
        settings: list[tuple[str, Any]] = list(given or ())
        named = sorted(key for key, _ in settings if key in _OURS)
        if named:
            raise ConfigurationError(
                f"options: leave {', '.join(named)} out; the target is the authority, and whom the server has to be "
                "says the verifier, Verifier.for_servers(expected=...)"
            )
        settings += [("grpc.default_authority", target), ("grpc.http2_scheme", "https"), ("grpc.enable_http_proxy", 0)]
        course = Course(way, "socket")
        # Connections of local credentials may carry call credentials: below them there is TLS.
        local = _grpc.local_channel_credentials(_grpc.LocalConnectionType.UDS)
        try:
            self._inner = make(f"unix:{quote(str(course.path))}", local, options=settings, **options)
        except BaseException:
            course.close()
            raise
        self._course = course

    @property
    def refusal(self) -> Exception | None:
        """Why the last connection came to nothing, such as a `HandshakeRejected`; ``None``: it was admitted.

        To a call that is ``UNAVAILABLE``: gRPC says no more of its connection than that it was closed.
        """
        return self._course.refusal

    def unary_unary(self, *args: Any, **options: Any) -> Any:
        """See ``grpc.Channel.unary_unary``."""
        return self._inner.unary_unary(*args, **options)

    def unary_stream(self, *args: Any, **options: Any) -> Any:
        """See ``grpc.Channel.unary_stream``."""
        return self._inner.unary_stream(*args, **options)

    def stream_unary(self, *args: Any, **options: Any) -> Any:
        """See ``grpc.Channel.stream_unary``."""
        return self._inner.stream_unary(*args, **options)

    def stream_stream(self, *args: Any, **options: Any) -> Any:
        """See ``grpc.Channel.stream_stream``."""
        return self._inner.stream_stream(*args, **options)


class Channel(_Led, SyncChannel):  # type: ignore[misc]  # a package without types
    """A ``grpc.Channel``, for stubs and ``grpc.intercept_channel``; made by `channel`."""

    def __init__(self, target: str, way: Way, options: dict[str, Any]) -> None:
        self._lead(_grpc.secure_channel, way, target, options)

    def subscribe(self, *args: Any, **options: Any) -> None:
        """See ``grpc.Channel.subscribe``."""
        self._inner.subscribe(*args, **options)

    def unsubscribe(self, callback: Any) -> None:
        """See ``grpc.Channel.unsubscribe``."""
        self._inner.unsubscribe(callback)

    def close(self) -> None:
        """End all calls, the connections and the tunnel."""
        self._inner.close()
        self._course.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AioChannel(_Led, AsyncChannel):  # type: ignore[misc]  # the same
    """A ``grpc.aio.Channel``; made by `aio_channel`."""

    def __init__(self, target: str, way: Way, options: dict[str, Any]) -> None:
        self._lead(_aio.secure_channel, way, target, options)

    def get_state(self, try_to_connect: bool = False) -> Any:  # noqa: FBT001, FBT002 - the signature is gRPC's
        """See ``grpc.aio.Channel.get_state``."""
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: Any) -> None:
        """See ``grpc.aio.Channel.wait_for_state_change``."""
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See ``grpc.aio.Channel.channel_ready``."""
        await self._inner.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """End all calls, after at most *grace* seconds, the connections and the tunnel."""
        await self._inner.close(grace)
        await asyncio.to_thread(self._course.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _way(target: str, verifier: Verifier, credential: tls.Credential | None, tls_options: tls.ClientOptions) -> Way:
    host, port = endpoint(target)
    context = tls.client_context(credential=credential, verifier=verifier, alpn=("h2",), options=tls_options)
    return Way(host, port, require_client_context(context, "a channel"), None, "h2")


def channel(
    target: str, *, verifier: Verifier, credential: tls.Credential | None = None,
    tls_options: tls.ClientOptions = _CLIENT_OPTIONS, **options: Any,
) -> Channel:  # fmt: skip
    """Return a ``grpc.Channel`` to a server on which *verifier* decides, before a byte of a call is sent.

    TLS is that of the standard library: gRPC speaks to a Unix socket that this process alone can use (see
    `integrations.tunnel`), and each connection that gRPC opens is one over TLS to *target*. gRPC sees a server that is
    refused as one that closes connections, ``UNAVAILABLE``; why is in `Channel.refusal` and in the log.

    Args:
        target: ``"server.example.org:50051"`` or ``"[2001:db8::1]:50051"``: what is dialed, and the authority of calls.
        verifier: From `Verifier.for_servers`.
        credential: The client's own chain and key, where it has one.
        tls_options: Of the context, such as a resolver or ``max_age``; its engine is ``"ssl"``.
        **options: Of ``grpc.secure_channel``: ``options`` and ``compression``.

    Raises:
        ConfigurationError: A part that does not fit, or a system other than Linux and macOS.
    """
    return Channel(target, _way(target, verifier, credential, tls_options), options)


def aio_channel(
    target: str, *, verifier: Verifier, credential: tls.Credential | None = None,
    tls_options: tls.ClientOptions = _CLIENT_OPTIONS, **options: Any,
) -> AioChannel:  # fmt: skip
    """Return the same for ``grpc.aio``, to be called where an event loop runs; it takes ``interceptors`` as well."""
    return AioChannel(target, _way(target, verifier, credential, tls_options), options)
