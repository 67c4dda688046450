"""What a middleware writes for an application about one request, and how the application asks for it.

One pattern for all frameworks: `peer`, `peer_or_none`, `presented`, `require`. An answer that no middleware of ours
wrote is an error and not the absence of a peer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, TypeAlias, TypeVar, cast

from mtlspolicy._chain import PresentedChain
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy._policy import Policy
from mtlspolicy.errors import ConfigurationError, NoPeerCertificate, PolicyIndeterminate, VerificationError

__all__ = [
    "ADMISSION",
    "Admission",
    "AsyncRequirement",
    "Requirement",
    "peer",
    "peer_or_none",
    "presented",
    "undecided",
]

ADMISSION: Final = "mtlspolicy.admission"
Choice: TypeAlias = "Policy | Callable[[Any], Any]"
_Error = TypeVar("_Error", bound=VerificationError)


class Admission:
    """Who was admitted with one request. Only a middleware of ours makes one, for one request.

    Attributes:
        peer: ``None``: the client presented no certificate, and none is required.
        presented: What it presented; ``None`` likewise.
        raised: The error that the application was given by `peer` or `require`, to be answered by the middleware.
        absent: Status where no certificate came, as the middleware was told.
        address: Of the socket, for a log line; where the middleware has written it.
    """

    __slots__ = ("absent", "address", "peer", "presented", "raised")

    def __init__(self, peer: VerifiedPeer | None, presented: PresentedChain | None) -> None:
        self.peer: VerifiedPeer | None = peer
        self.presented: PresentedChain | None = presented
        self.raised: VerificationError | None = None
        self.absent: int = 403
        self.address: str = "a connection"

    def __deepcopy__(self, _: object) -> Self:
        """Return itself: middlewares copy scopes, and a verified peer has no copy."""
        return self

    def objects(self, error: _Error) -> _Error:
        """Return *error*, remembered as one that the middleware answers where the application lets it pass."""
        self.raised = error
        error._admission = self
        return error

    def answers(self, error: Exception) -> VerificationError | None:
        """Return *error* if the middleware answers it: this request was told so, or its own peer is refused by it.

        Any other refusal is somebody else's: of a server that the application itself called, for example.
        """
        if not isinstance(error, VerificationError):
            return None
        context = error.decision.context  # `VerifiedPeer.require` writes the path that it judged
        ours = self.peer is not None and context is not None and context._path is self.peer.path
        return error if ours or error is self.raised else None


def admission_of(request: object) -> Admission:
    """Return what a middleware of ours wrote into *request*: a scope, an environ, or an object that has one.

    Raises:
        ConfigurationError: No middleware of ours has seen it.
    """
    for carrier in (getattr(request, "scope", None), getattr(request, "environ", None), request):
        found = cast("Mapping[str, object]", carrier).get(ADMISSION) if isinstance(carrier, Mapping) else None
        if type(found) is Admission:
            return found
    raise ConfigurationError(
        f"no middleware of mtlspolicy has seen this {type(request).__name__}: wrap the application in "
        "integrations.asgi.Middleware or integrations.wsgi.Middleware, and pass the request, scope or environ"
    )


def peer_or_none(request: object) -> VerifiedPeer | None:
    """Return the peer of *request*; ``None``: a certificate is optional there, and none was presented.

    Args:
        request: A scope, an environ, or a request object of a framework that has one.

    Raises:
        ConfigurationError: No middleware of ours has seen it.
    """
    return admission_of(request).peer


def peer(request: object) -> VerifiedPeer:
    """Return the peer of *request*.

    Raises:
        NoPeerCertificate: It has none; the middleware answers that.
        ConfigurationError: No middleware of ours has seen it.
    """
    admission = admission_of(request)
    if admission.peer is None:
        detail = "this needs a client certificate, and the request came without one"
        raise admission.objects(NoPeerCertificate(Decision(Verdict.DENY, "path.no-certificate", detail, clause="peer")))
    return admission.peer


def presented(request: object) -> PresentedChain | None:
    """Return the certificates that came with *request*, end entity first; ``None`` as with `peer_or_none`.

    Raises:
        ConfigurationError: No middleware of ours has seen it.
    """
    return admission_of(request).presented


def undecided(code: str, detail: str, *, clause: str) -> PolicyIndeterminate:
    """Return the refusal for code of an application that gave no answer that could be used."""
    return PolicyIndeterminate(Decision(Verdict.INDETERMINATE, code, detail, clause=clause))


class _Question:
    """A further policy of whoever sent a request; see `require` of the integrations."""

    def __init__(self, policy: Choice) -> None:
        if not isinstance(policy, Policy) and not callable(policy):
            raise ConfigurationError("require(...): give a policy, or a callable that returns one for a request")
        self._policy: Choice = policy

    def _choice(self, request: Any) -> Any:
        if isinstance(self._policy, Policy):
            return self._policy
        peer(request)  # who has no certificate is told so, whatever the request says
        try:
            return self._policy(request)
        except Exception as error:  # noqa: BLE001 - a form without the field must not be a 500
            return error

    def _judge(self, request: Any, policy: Any) -> VerifiedPeer:
        who, admission = peer(request), admission_of(request)
        if isinstance(policy, VerificationError):
            raise admission.objects(policy)
        if isinstance(policy, Exception):
            detail = f"the policy for this request could not be had: {type(policy).__name__}"
            raise admission.objects(undecided("policy.error", detail, clause="require")) from policy
        if not isinstance(policy, Policy):
            if inspect.iscoroutine(policy):
                policy.close()
            detail = f"require(...) was given a callable that returned {type(policy).__name__} in place of a policy"
            raise admission.objects(undecided("policy.bad-result", detail, clause="require"))
        try:
            who.require(policy)
        except VerificationError as error:
            raise admission.objects(error) from None
        return who


class Requirement(_Question):
    """A question that is answered at once."""

    def __call__(self, request: Any) -> VerifiedPeer:
        """Return the peer of *request* if the policy permits it.

        Raises:
            VerificationError: It does not, there is no peer, or the callable failed; the middleware answers that.
        """
        return self._judge(request, self._choice(request))


class AsyncRequirement(_Question):
    """The same where the callable may be a coroutine function, which reads a form for example."""

    async def __call__(self, request: Any) -> VerifiedPeer:
        """Return the peer of *request* if the policy permits it; see `Requirement`."""
        policy: Any = self._choice(request)
        if inspect.isawaitable(policy):
            try:
                policy = await policy
            except Exception as error:  # noqa: BLE001 - as above
                policy = error
        return self._judge(request, policy)
