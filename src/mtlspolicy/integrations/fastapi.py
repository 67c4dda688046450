"""FastAPI: the peer as a dependency, and `require` as a security scheme of type ``mutualTLS`` in the OpenAPI document.

It admits nobody: `integrations.asgi.Middleware` does, or `integrations.uvicorn.run`, and without one each of these
raises. OpenAPI 3.1 knows ``mutualTLS``; FastAPI's model of the document does not, and is told so here.
"""

# No annotations as text: FastAPI reads those of the dependencies below, which are objects without a module of theirs.
from typing import Any, Final, Literal, cast

from mtlspolicy._chain import PresentedChain
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy.integrations import _admission
from mtlspolicy.integrations._admission import AsyncRequirement, Choice, admission_of
from mtlspolicy.integrations._answers import answer as _answer
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import ACCEPTED
from mtlspolicy.integrations._log import log_refused

with Extra("fastapi"):
    from fastapi.openapi import models
    from fastapi.requests import HTTPConnection
    from fastapi.responses import Response
    from fastapi.security.base import SecurityBase

__all__ = ["MutualTLS", "answer", "peer", "peer_or_none", "presented", "require"]

NAME: Final = "mutualTLS"


class _Scheme(models.BaseModelWithConfig):
    """The Security Scheme Object of OpenAPI 3.1.0, 4.8.27; FastAPI's own has an enumeration of the types it knows."""

    type: Literal["mutualTLS"] = "mutualTLS"
    description: str | None = None


def _is_known() -> bool:
    """Return whether FastAPI's model of a document takes the scheme."""
    try:
        models.Components.model_validate({"securitySchemes": {NAME: {"type": "mutualTLS"}}})
    except ValueError:
        return False
    return True


def _tell() -> None:
    """Have FastAPI's model of a document take the scheme besides those it knows, if it is not one of them."""
    if _is_known():
        return
    known: Any = models.SecurityScheme
    models.Components.model_fields["securitySchemes"].annotation = cast(
        "type[Any]", dict[str, _Scheme | known | models.Reference] | None
    )
    models.Components.model_rebuild(force=True)
    models.OpenAPI.model_rebuild(force=True)


_tell()


class _Documented(SecurityBase):
    """A dependency that the OpenAPI document names, under components and in each operation that depends on it."""

    def __init__(self, scheme_name: str, description: str | None) -> None:
        self.model: models.SecurityBase = cast("models.SecurityBase", _Scheme(description=description))
        self.scheme_name: str = scheme_name


class MutualTLS(_Documented):
    """What `require` returns: give it to ``Security`` or ``Depends``; its value is the `VerifiedPeer`."""

    def __init__(self, policy: Choice, *, scheme_name: str, description: str | None) -> None:
        super().__init__(scheme_name, description)
        self._requirement: AsyncRequirement = AsyncRequirement(policy)

    async def __call__(self, request: HTTPConnection) -> VerifiedPeer:
        """Return the peer of *request*, HTTP or WebSocket, if the policy permits it.

        Raises:
            VerificationError: It does not, there is no peer, or the callable failed; the middleware answers that.
        """
        return await self._requirement(request)


def require(policy: Choice, *, scheme_name: str = NAME, description: str | None = None) -> MutualTLS:
    """Return a security dependency: is the sender of a request permitted by *policy* as well?

    ``Annotated[VerifiedPeer, Security(require(policies.CommonName("sam")))]``. For a policy of the request give a
    callable, coroutine functions included, that returns one: ``lambda request: policies.CommonName(request.path_params
    ["eui"])``. Whatever it raises is a refusal, ``policy.error``. It is asked before FastAPI judges what else came.

    Args:
        policy: A policy, or a callable that returns one for a request (or WebSocket).
        scheme_name: Of the scheme in the OpenAPI document.
        description: Of the scheme there, CommonMark.

    Raises:
        ConfigurationError: *policy* is neither.
    """
    return MutualTLS(policy, scheme_name=scheme_name, description=description)


class _Peer(_Documented):
    """Gives the peer of a request; see `peer`."""

    def __call__(self, request: HTTPConnection) -> VerifiedPeer:
        """Return the peer of *request*.

        Raises:
            NoPeerCertificate: It has none; the middleware answers that.
            ConfigurationError: No middleware of ours has seen it.
        """
        return _admission.peer(request)


peer: Final[_Peer] = _Peer(NAME, None)
"""Gives the peer of a request: ``Annotated[VerifiedPeer, Depends(peer)]``, or ``peer(request)``.

A request without one is refused, `NoPeerCertificate`, where the middleware has ``required=False``. The OpenAPI document
names it as it does `require`.
"""


def peer_or_none(request: HTTPConnection) -> VerifiedPeer | None:
    """Return the peer of *request*; ``None``: a certificate is optional there, and none was presented.

    Raises:
        ConfigurationError: No middleware of ours has seen it.
    """
    return _admission.peer_or_none(request)


def presented(request: HTTPConnection) -> PresentedChain | None:
    """Return the certificates that came with *request*, end entity first; ``None`` as with `peer_or_none`.

    Raises:
        ConfigurationError: No middleware of ours has seen it.
    """
    return _admission.presented(request)


def answer(request: HTTPConnection, error: Exception) -> Response:
    """Return the answer to a refusal, for ``app.add_exception_handler(VerificationError, answer)``.

    The middleware answers without it. With it a refusal never comes to a handler of yours for ``Exception``, which
    Starlette calls before a middleware that stands around the whole application sees the error.

    Args:
        request: Of which the refusal is.
        error: The refusal.

    Raises:
        VerificationError: *error*, where it is not of the peer of this request, or the request is a WebSocket, which
            the middleware closes.
    """
    admission = admission_of(request)
    refusal = admission.answers(error)
    if refusal is None or request.scope["type"] != "http":
        raise error
    accepted: Any = request.scope.get(ACCEPTED)
    log_refused(refusal, "a connection" if accepted is None else str(accepted.address))
    what = _answer(refusal, absent=admission.absent)
    return Response(what.body, what.status, dict(what.headers))
