"""The latch: one per connection object, kept on the object itself, and the only thing that says whether it may be used.

It holds the state and makes its transitions. Which outcome leads to which state the hook and the gate decide.
"""

from __future__ import annotations

import enum
import ssl
import weakref
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from mtlspolicy._decision import Verdict
from mtlspolicy._judgement import Outcome
from mtlspolicy._peer import locate
from mtlspolicy.tls._address import ip_address_of, printable_address
from mtlspolicy.tls._errors import HandshakeRejected, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._decision import Decision
    from mtlspolicy._evidence import Connection
    from mtlspolicy._judgement import Judgement
    from mtlspolicy._peer import VerifiedPeer
    from mtlspolicy.tls._enforcement import Enforcement
    from mtlspolicy.tls._options import ServerOptions

__all__ = ["ADMITTED", "ANSWERING", "HELD", "REFUSED", "UNDECIDED", "Latch", "LatchState"]


class LatchState(enum.Enum):
    """Where a connection stands. Only ``ADMITTED`` lets application data through to the application."""

    UNDECIDED = "undecided"
    """The handshake is not over."""
    HELD = "held"
    """The handshake is over and a gate has to decide; nothing flows in either direction."""
    ADMITTED = "admitted"
    """The decision is PERMIT, or there was no certificate where one is optional."""
    ANSWERING = "answering"
    """Refused for good, has no peer, and never gets one; a gate of ours tells the client so before it is shut."""
    REFUSED = "refused"
    """Shut, and without its TLS object. Also the state while a decision is being made, so that no exception admits."""


UNDECIDED: Final = LatchState.UNDECIDED
HELD: Final = LatchState.HELD
ADMITTED: Final = LatchState.ADMITTED
ANSWERING: Final = LatchState.ANSWERING
REFUSED: Final = LatchState.REFUSED

_GATE_MISSING: Final = (
    'the context was built with pending="hold", and the connection reached no gate: serve with tls.start_server or '
    'what mtlspolicy.integrations has for your server, wrap the protocol factory in tls.gate, or use pending="refuse"'
)


class Latched(Protocol):
    """A connection object of ours, as the latch sees it."""

    def _end(self) -> None:
        """Drop the TLS object and shut what is below it, where that is ours."""


class Latch:
    """State of one connection. Every other attribute explains it and decides nothing.

    Attributes:
        state: The `LatchState`.
        peername: Address of the other end as ``getpeername`` gives it, or ``None``: not known.
        server_name: The name that the client asked for (SNI), hostile text; only where a callback of ours has seen it.
        connection: What policies are told of the connection; its ``transport_address`` is filled in by `claim`.
        began: The context that the handshake began on, where a callback of ours has seen the server name; or ``None``.
        hosts: By normal name, the contexts of the hosts that share the listener, and what is enforced on them.
        first_bytes: What the client sent first, where several hosts share a listener; dropped after the handshake.
        answerable: The listener of this connection has a gate that answers refusals; see `_answering`.
        answers: That gate has taken the connection.
        options: The options of the context that was reached; only where the connection was held.
        judgement: The snapshot to go on with; only where the connection was held.
        outcome: The latest outcome of that judgement, or of the whole decision.
        absent: No certificate was presented, and the context allows that.
        claimed: A gate has taken the held connection.
        decision: What admitted or refused; ``None`` before.
        peer: The verified peer; only where admitted, and ``None`` where no certificate was presented.
        presented: The certificates that were decided on; ``None``: none was presented, or nothing is decided.
    """

    # Defaults of the class: a connection that is simply admitted writes only what differs.
    state: LatchState = UNDECIDED
    peername: object = None
    server_name: str | None = None
    began: ssl.SSLContext | None = None
    hosts: Mapping[str, tuple[ssl.SSLContext, Enforcement]] = MappingProxyType({})
    first_bytes = b""
    connection: Connection | None = None
    answerable = False
    answers = False
    options: ServerOptions | None = None
    judgement: Judgement | None = None
    outcome: Outcome | None = None
    absent = False
    claimed = False
    decision: Decision | None = None
    peer: VerifiedPeer | None = None
    presented: PresentedChain | None = None
    logged = False
    _object: weakref.ref[Latched] | None = None

    @property
    def admitted(self) -> bool:
        """Whether application data may flow."""
        return self.state is ADMITTED

    @property
    def refused(self) -> bool:
        """Whether the connection is shut for good."""
        return self.state is REFUSED

    @property
    def reason(self) -> Decision:
        """What admitted or refused; while a decision is being made, that it was interrupted."""
        if self.decision is None:
            return refusal("tls.interrupted", "the decision was interrupted before it was made")
        return self.decision

    @property
    def address(self) -> str | None:
        """Address of the other end for logs, escaped (``127.0.0.1:54321``); ``None``: not known."""
        return printable_address(self.peername)

    def admit(self, outcome: Outcome) -> None:
        """Admit for *outcome*, which the caller has found to be a PERMIT or the absence that the context allows."""
        self.outcome = outcome
        self.decision = outcome.decision
        self.peer = outcome.peer
        self.state = ADMITTED

    def hold(self, owner: Latched, judgement: Judgement, outcome: Outcome, options: ServerOptions) -> None:
        """Hold the connection object *owner* until a gate has claimed and settled it.

        Args:
            owner: The connection object, kept weakly.
            judgement: The snapshot that a gate goes on with.
            outcome: Its outcome with the facts at hand.
            options: The options of the context that was reached.
        """
        self._object = weakref.ref(owner)
        self.judgement = judgement
        self.outcome = outcome
        self.options = options
        self.state = HELD

    def decline(self, owner: Latched, outcome: Outcome, options: ServerOptions) -> None:
        """Hold the refused connection object *owner* for the gate that answers; without one its first byte ends it.

        Args:
            owner: The connection object, kept weakly.
            outcome: The refusal, which is final and has been reported.
            options: The options of the context that was reached.
        """
        self._object = weakref.ref(owner)
        self.outcome = outcome
        self.decision = outcome.decision
        self.options = options
        self.state = HELD

    def claim(self, peername: object = None) -> bool:
        """Take a held connection for a gate; admit it at once where the answer is known already.

        Args:
            peername: What the transport says of the other end (``get_extra_info("peername")``), for policies and logs.

        Returns:
            Whether the connection is admitted. If not and `state` is HELD, the gate goes on with `judgement` and ends
            with `settle` or `refuse`, within ``options.hold_timeout`` seconds.
        """
        if self.state is not HELD:
            return self.admitted
        self.claimed = True
        self.locate(peername)
        outcome = self.outcome
        if outcome is not None and (self.absent or outcome.decision.verdict is Verdict.PERMIT):
            self._conclude(outcome)
            self.admit(outcome)
        return self.admitted

    def settle(self, outcome: Outcome) -> bool:
        """Admit a held and claimed connection for a PERMIT; refuse it otherwise, with an answer where a gate gives one.

        Returns:
            Whether it is admitted now. False also where it was refused or dropped meanwhile.
        """
        if self.state is HELD and self.claimed:
            self._conclude(outcome)
            if outcome.decision.verdict is Verdict.PERMIT and self.decision is None:  # nothing undoes a refusal
                self.admit(outcome)
            elif self.answers:
                self._answer(outcome)
            else:
                self.refuse(outcome.decision)
        return self.admitted

    def _answer(self, outcome: Outcome) -> None:
        """Refuse for *outcome* and log it, and leave the TLS object for the answer."""
        if self.decision is None:
            self.outcome = outcome
            self.decision = outcome.decision
        self.peer = None
        self.state = ANSWERING
        self.log(self._object() if self._object is not None else None)

    def refuse(self, decision: Decision) -> None:
        """Refuse for *decision*, drop the TLS object, and log the refusal once. The first reason stays.

        A gate gives ``refusal("gate.timeout", "...")`` of `_errors` and closes the transport itself.
        """
        self.mark_refused(decision)
        owner = self._object() if self._object is not None else None
        self._object = None
        try:
            if owner is not None:
                owner._end()
        finally:
            self.log(owner)

    def mark_refused(self, decision: Decision) -> None:
        """Set the state and the reason; whoever calls ends the connection and logs. The first reason stays."""
        self.state = REFUSED
        self.peer = None
        if self.judgement is not None:
            self._conclude(Outcome(decision, None, (), path_valid=True))
        if self.decision is None or self.decision.verdict is Verdict.PERMIT:
            self.decision = decision

    def log(self, owner: object) -> None:
        """Log the refusal, once.

        Args:
            owner: The connection object, from which the address may still be learnt.
        """
        if not self.logged:
            self.logged = True
            from mtlspolicy.tls._log import log_refusal

            log_refusal(self, owner)

    def locate(self, peername: object) -> None:
        """Take note of the other end's address; one that is known stays."""
        if self.peername is None and peername:
            self.peername = peername
            if self.connection is not None:
                locate(self.connection, ip_address_of(peername))

    def no_data(self) -> HandshakeRejected | ssl.SSLWantReadError:
        """Return what a read or write raises while the connection is held or refused.

        Held without a gate is a mistake of the set-up, and is refused here and now so that it shows on the first day.
        """
        if self.state is HELD:
            if self.claimed:
                return ssl.SSLWantReadError(
                    ssl.SSL_ERROR_WANT_READ, "the connection is held until its peer is decided on"
                )
            self.refuse(refusal("gate.missing", _GATE_MISSING))
        return self.rejection()

    def rejection(self) -> HandshakeRejected:
        """Return the refusal as an exception, a new one each time."""
        return HandshakeRejected(self.reason)

    def _conclude(self, outcome: Outcome) -> None:
        """Report the answer that counts to the verifier's observer, once."""
        if self.judgement is not None and not self.absent:
            self.judgement.conclude(outcome)
        self.judgement = None

    def __repr__(self) -> str:
        return f"<Latch {self.state.value}>"
