"""Asks about requests of frameworks whose request objects hold no scope and no environ. It decides nothing itself."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from mtlspolicy._policy import Policy
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._admission import ADMISSION, Admission, AsyncRequirement, Choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from mtlspolicy._peer import VerifiedPeer

__all__ = ["Carried", "CarriedRequirement", "require_seen"]


class Carried:
    """A request together with its admission, in the form that `_admission` reads.

    Attributes:
        request: The framework's object.
        environ: Holds the admission.
    """

    __slots__ = ("environ", "request")

    def __init__(self, request: Any, admission: Admission) -> None:
        self.request: Any = request
        self.environ: dict[str, Admission] = {ADMISSION: admission}


class CarriedRequirement:
    """The question of `require` about requests that *carry* finds the admission of.

    Args:
        policy: A policy, or a callable, coroutine functions included, that returns one for a request.
        carry: Returns the request with its admission, or raises `ConfigurationError`.
    """

    def __init__(self, policy: Choice, carry: Callable[[Any], Carried]) -> None:
        self._carry = carry
        choose: Any = policy
        chosen = isinstance(policy, Policy) or not callable(policy)
        self._ask = AsyncRequirement(policy if chosen else lambda carried: choose(carried.request))

    async def __call__(self, request: Any) -> VerifiedPeer:
        """Return the peer of *request* if the policy permits it.

        Raises:
            VerificationError: It does not, there is no peer, or the callable failed.
        """
        return await self._ask(self._carry(request))


def require_seen(found: object, request: object, remedy: str) -> Admission:
    """Return *found* if it is an admission that something of ours has made.

    Raises:
        ConfigurationError: It is none.
    """
    if type(found) is Admission:
        return found
    what = "a class" if inspect.isclass(request) else f"this {type(request).__name__}"
    raise ConfigurationError(f"nothing of mtlspolicy has seen {what}: {remedy}")
