"""Decides again on the server of a connection that a client has kept: trust, policy, facts and the clock move on.

`AgeingSocket` and `AgeingObject` do so by themselves before something is written, for contexts whose trust or policy is
a source, or has one, and for those that say how old a decision may be. Whoever is not admitted now is shut out, and the
next connection is decided on by its own handshake.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from mtlspolicy._decision import Verdict
from mtlspolicy._resolver import settle, settle_at_hand
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._guards import end_admitted
from mtlspolicy.tls._hook import running_loop
from mtlspolicy.tls._latch import ADMITTED, Latch
from mtlspolicy.tls._object import LatchedObject
from mtlspolicy.tls._options import ClientOptions
from mtlspolicy.tls._peer_of import latch_of
from mtlspolicy.tls._socket import LatchedSocket

if TYPE_CHECKING:
    from mtlspolicy._decision import Decision
    from mtlspolicy._judgement import Judgement
    from mtlspolicy._verifier_sources import State

__all__ = ["AgeingObject", "AgeingSocket", "judgement_now", "shut_out", "still_admitted"]


class _Connection(Protocol):
    """A socket or TLS object of ours."""

    _latch: Latch
    context: Any
    server_hostname: Any


def judgement_now(connection: Any) -> Judgement | None:
    """Return a judgement on the server of a decided *connection*, of a client, as of now; ``None``: it may not go on.

    It may not where it is not admitted, or where somebody has changed its context: the handshake of the connection that
    takes its place refuses then, and says which setting it is.
    """
    latch = latch_of(connection)
    enforcement = enforcement_of(connection.context)
    if latch.state is not ADMITTED or latch.connection is None or enforcement is None:
        return None
    if enforcement.change() is not None:
        return None
    return enforcement.verifier.judgement(
        latch.presented, connection=latch.connection, dialed=connection.server_hostname
    )


def shut_out(connection: Any, decision: Decision) -> None:
    """Refuse a *connection* that was admitted, end it, and log why."""
    latch = latch_of(connection)
    latch.mark_refused(decision)
    end_admitted(connection)
    latch.log(connection)


def still_admitted(connection: Any, *, waits: bool = True) -> bool:
    """Return whether the server would be admitted now, facts included; if not, the connection is shut and logged.

    Args:
        connection: A socket or TLS object of a client context of ours, decided.
        waits: Whether facts are waited for. If not, facts at hand are all that is used, and one that is missing is
            asked for, so that it is there for the connection that takes this one's place.
    """
    judgement = judgement_now(connection)
    enforcement = enforcement_of(connection.context)
    if judgement is None or enforcement is None:
        return False
    resolver = enforcement.resolver
    outcome = settle(judgement, resolver) if waits else settle_at_hand(judgement, resolver)
    if not waits and resolver is not None and outcome.needs:
        resolver.ask(outcome.needs, running_loop())
    decision = judgement.conclude(outcome).decision
    if decision.verdict is Verdict.PERMIT:
        return True
    shut_out(connection, decision)
    return False


class _Ageing:
    """Mixed into a connection class: knows when its peer was last decided on, and under what."""

    _latch: Latch
    _decided_at: float
    _state: State | None

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Self:
        """Take time and state before there is a decision: what changes meanwhile has changed."""
        enforcement = enforcement_of(kwargs["context"])
        began, state = time.monotonic(), None if enforcement is None else enforcement.verifier.state()
        below: Any = super()
        self: Self = below._create(*args, **kwargs)
        self._decided_at, self._state = began, state
        return self

    def _renew_decision(self) -> None:
        """Decide again where the decision is too old, or was made under another trust or policy.

        Raises:
            HandshakeRejected: The server is not admitted any more.
        """
        now, here = time.monotonic(), cast("_Connection", self)
        enforcement = enforcement_of(here.context) if self._latch.state is ADMITTED else None
        options = None if enforcement is None else enforcement.options
        if enforcement is None or not isinstance(options, ClientOptions):
            return
        state = enforcement.verifier.state()
        young = options.max_age is None or now < self._decided_at + options.max_age
        if young and _alike(state, self._state):
            return
        waits = isinstance(self, ssl.SSLSocket) and self.gettimeout() != 0.0
        if not still_admitted(self, waits=waits):
            raise self._latch.rejection()
        self._decided_at, self._state = now, state


def _alike(one: State | None, other: State | None) -> bool:
    """Return whether two states are equal; those that cannot be had, or compared, are not."""
    try:
        return one is not None and one == other
    except Exception:  # noqa: BLE001 - a policy of somebody's own whose comparison fails
        return False


class AgeingSocket(_Ageing, LatchedSocket):
    """The socket of contexts for clients with live trust or policy, or with ``ClientOptions(max_age=...)``."""

    def write(self, data: Any) -> int:
        """Write application data; see `ssl.SSLSocket.write`."""
        self._renew_decision()
        return super().write(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Write application data; see `ssl.SSLSocket.send`."""
        self._renew_decision()
        return super().send(data, flags)


class AgeingObject(_Ageing, LatchedObject):
    """The object of the same contexts under event loops."""

    def write(self, data: Any) -> int:
        """Write application data; see `ssl.SSLObject.write`."""
        self._renew_decision()
        return super().write(data)
