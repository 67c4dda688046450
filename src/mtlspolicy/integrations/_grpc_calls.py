"""Puts a guard before the handler of a method: nothing of the handler, its reader of messages included, runs before it.

It decides nothing: it asks the guard, tells the handler who was admitted, and answers refusals from the table of codes.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib import import_module
from typing import Any, Final, NoReturn, Protocol

from mtlspolicy.errors import ConfigurationError, MalformedEvidence, MTLSPolicyError, VerificationError
from mtlspolicy.integrations._admission import ADMISSION, Admission
from mtlspolicy.integrations._answers import Refusal
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._grpc_evidence import address_of
from mtlspolicy.integrations._log import log_refused

with Extra("grpc"):
    _grpc: Any = import_module("grpc")

__all__ = ["Guard", "carrier_of", "guarded", "guarded_async"]

_UNREADABLE: Final = "Exception deserializing request!"
"""As gRPC itself answers a message that its handler cannot read."""


class Guard(Protocol):
    """Who decides on a call."""

    @abstractmethod
    def admit(self, context: Any) -> Admission:
        """Return who is admitted, or raise; may block."""

    @abstractmethod
    def admit_async(self, context: Any) -> Awaitable[Admission]:
        """Return who is admitted, or raise."""


class _Authentication(dict[str, Any]):
    """gRPC's authentication context of a call, and who was admitted with it: what wrappers of contexts pass on."""

    def __init__(self, found: Any, admission: Admission) -> None:
        super().__init__(found)
        self.scope = {ADMISSION: admission}


class _Admitted:
    """The context of an admitted call: gRPC's own, but for the authentication context."""

    def __init__(self, context: Any, admission: Admission) -> None:
        self._context = context
        self._authentication = _Authentication(context.auth_context(), admission)

    def auth_context(self) -> Any:
        """Return what gRPC returns, and the admission."""
        return self._authentication

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


_grpc.ServicerContext.register(_Admitted)
_grpc.aio.ServicerContext.register(_Admitted)


def carrier_of(context: object) -> Any:
    """Return what carries the admission of a call.

    Raises:
        ConfigurationError: No interceptor of ours has seen it.
    """
    ask = getattr(context, "auth_context", None)
    found = ask() if callable(ask) else None
    if isinstance(found, _Authentication):
        return found
    raise ConfigurationError(
        f"no interceptor of mtlspolicy has seen this {type(context).__name__}: give the server integrations.grpc."
        "Interceptor (grpc.server) or AioInterceptor (grpc.aio.server), as the first of its interceptors, and pass the "
        "context of the call"
    )


def guarded(guard: Guard, handler: Any) -> Any:
    """Return *handler* behind *guard*, for ``grpc.server``; ``None``, an unknown method, is told who is admitted."""
    if handler is None:
        handler = _grpc.stream_stream_rpc_method_handler(_unknown)
    return _like(handler, _blocking(guard, handler))


def guarded_async(guard: Guard, handler: Any) -> Any:
    """Return the same for ``grpc.aio.server``; handlers that are no coroutines stay on the server's own threads."""
    if handler is None:
        handler = _grpc.stream_stream_rpc_method_handler(_unknown_async)
    inner = _behaviour(handler)
    if not inspect.iscoroutinefunction(inner) and not inspect.isasyncgenfunction(inner):
        return _like(handler, _blocking(guard, handler))
    return _like(handler, (_streaming if handler.response_streaming else _awaiting)(guard, handler))


def _unknown(_: Any, context: Any) -> NoReturn:
    context.abort(_grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    raise _Failed("Method not found!")


async def _unknown_async(_: Any, context: Any) -> NoReturn:
    await context.abort(_grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    raise _Failed("Method not found!")


def _behaviour(handler: Any) -> Any:
    return getattr(handler, _kind(handler))


def _kind(handler: Any) -> str:
    words = {False: "unary", True: "stream"}
    return f"{words[bool(handler.request_streaming)]}_{words[bool(handler.response_streaming)]}"


def _like(handler: Any, behaviour: Callable[..., Any]) -> Any:
    """Return a handler of the same kind. A single message is read by us, after the decision; streams are read later."""
    read = handler.request_deserializer if handler.request_streaming else None
    make = getattr(_grpc, f"{_kind(handler)}_rpc_method_handler")
    return make(behaviour, read, handler.response_serializer)


def _message(handler: Any, request: Any) -> Any:
    """Return the message in *request*; ``None``: it cannot be read."""
    if handler.request_streaming or handler.request_deserializer is None:
        return request
    try:
        return handler.request_deserializer(request)
    except Exception:  # noqa: BLE001 - hostile bytes; gRPC does the same
        return None


def _blocking(guard: Guard, handler: Any) -> Callable[..., Any]:
    inner = _behaviour(handler)

    def behave(request: Any, context: Any) -> Any:
        try:
            admission = guard.admit(context)
        except (VerificationError, MalformedEvidence) as error:
            _refuse(error, context)
            raise
        message = _message(handler, request)
        if message is None:
            context.abort(_grpc.StatusCode.INTERNAL, _UNREADABLE)
            raise _Failed(_UNREADABLE)
        try:
            answer = inner(message, _Admitted(context, admission))
        except MTLSPolicyError as error:
            _answer(error, admission, context)
        return responses(answer, admission, context) if handler.response_streaming else answer

    def responses(answer: Any, admission: Admission, context: Any) -> Iterator[Any]:
        try:
            yield from answer
        except MTLSPolicyError as error:
            _answer(error, admission, context)

    return behave


def _awaiting(guard: Guard, handler: Any) -> Callable[..., Any]:
    inner = _behaviour(handler)

    async def behave(request: Any, context: Any) -> Any:
        admission, message = await _enter(guard, handler, request, context)
        try:
            return await inner(message, _Admitted(context, admission))
        except MTLSPolicyError as error:
            await _answer_async(error, admission, context)

    return behave


def _streaming(guard: Guard, handler: Any) -> Callable[..., Any]:
    inner = _behaviour(handler)

    async def behave(request: Any, context: Any) -> AsyncIterator[Any]:
        admission, message = await _enter(guard, handler, request, context)
        try:
            answer = inner(message, _Admitted(context, admission))
            if inspect.isawaitable(answer):  # it writes to the context by itself
                await answer
                return
            async for response in answer:
                yield response
        except MTLSPolicyError as error:
            await _answer_async(error, admission, context)

    return behave


async def _enter(guard: Guard, handler: Any, request: Any, context: Any) -> tuple[Admission, Any]:
    try:
        admission = await guard.admit_async(context)
    except (VerificationError, MalformedEvidence) as error:
        await _refuse_async(error, context)
        raise
    message = _message(handler, request)
    if message is None:
        await context.abort(_grpc.StatusCode.INTERNAL, _UNREADABLE)
        raise _Failed(_UNREADABLE)
    return admission, message


def _refuse(error: Refusal, context: Any) -> None:
    code, details, trailing = _status(error)
    log_refused(error, _address(context))
    context.set_trailing_metadata(trailing)
    context.abort(code, details)


async def _refuse_async(error: Refusal, context: Any) -> None:
    code, details, trailing = _status(error)
    log_refused(error, _address(context))
    await context.abort(code, details, trailing)


def _answer(error: MTLSPolicyError, admission: Admission, context: Any) -> NoReturn:
    """Answer what `peer` and `require` told the handler, where it let that pass. It does not return."""
    told = admission.answers(error)
    if told is not None:
        _refuse(told, context)
    raise _Failed(_code(error)) from error


async def _answer_async(error: MTLSPolicyError, admission: Admission, context: Any) -> NoReturn:
    told = admission.answers(error)
    if told is not None:
        await _refuse_async(told, context)
    raise _Failed(_code(error)) from error


class _Failed(Exception):
    """An error of ours that is not the caller's affair. gRPC tells the caller its text, so that is the code alone."""


def _code(error: MTLSPolicyError) -> str:
    return str(getattr(error, "code", "policy.error"))


def _status(error: Refusal) -> tuple[Any, str, tuple[tuple[str, str], ...]]:
    """Return status, details and trailing metadata; the details are the code alone, because names are hostile text."""
    name = error.grpc_status
    # a refusal that somebody made of a decision which admits is a refusal all the same
    code = _grpc.StatusCode.PERMISSION_DENIED if name == "OK" else _grpc.StatusCode[name]
    seconds = error.http_headers.get("Retry-After")
    # gRFC A6: clients that have a retry policy wait as long
    return code, error.code, (("grpc-retry-pushback-ms", f"{seconds}000"),) if seconds else ()


def _address(context: Any) -> str:
    return address_of(context.peer()) or "a connection"
