"""The gate: a protocol that keeps a connection shut until its peer is decided on, and then makes the application's.

It decides when, and that nothing flows before; who is admitted, and under what, the judgement of the connection says.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from mtlspolicy._resolver import settle_async, settle_at_hand
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._answering import Answering
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._gate_register import Register, origin_of
from mtlspolicy.tls._latch import ANSWERING, HELD, Latch
from mtlspolicy.tls._openssl import GONE

if TYPE_CHECKING:
    from mtlspolicy._decision import Decision
    from mtlspolicy._judgement import Judgement, Outcome
    from mtlspolicy.tls._answering import Answers
    from mtlspolicy.tls._options import ServerOptions

    class TLSTransport(asyncio.Transport):
        """The TLS transports of asyncio and uvloop, which bound what they buffer for reading."""

        def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            """Set the bytes at which reading stops and goes on; the defaults without arguments."""


__all__ = ["gate"]

HELD_BYTES: Final = 64 * 1024
"""Bytes of TLS records that may pile up while held; the read that goes over it, of at most 256 KiB, is the last."""

_NOT_OURS: Final = (
    "the connection that reached the gate has no TLS of ours: pass ssl=context with a context of tls.server_context, "
    "or one that tls.enforce was called on"
)
_LOST: Final = "the connection was lost while it was held"


def gate(protocol_factory: Callable[[], asyncio.BaseProtocol]) -> Callable[[], asyncio.BaseProtocol]:
    """Return a protocol factory for ``loop.create_server`` that decides on a peer first.

    For contexts with ``ServerOptions(pending="hold")``: until every fact that the policy needs has been looked up, at
    most ``hold_timeout`` seconds, no application byte flows in either direction and the application's protocol does not
    exist. Connections of contexts with ``pending="refuse"`` are decided already and pass. After the handover nothing of
    the gate is left on the connection. The bounds ``max_held`` and ``max_held_per_address`` count for one gate.

    Args:
        protocol_factory: Makes the application's protocol, `asyncio.Protocol` or `asyncio.BufferedProtocol`, for an
            admitted connection. A ``get_buffer`` has to return a ``memoryview``: with a ``bytearray`` asyncio's own TLS
            corrupts data, with or without a gate.

    Raises:
        ConfigurationError: *protocol_factory* cannot be called.
    """
    if not callable(protocol_factory):
        raise ConfigurationError(
            f"tls.gate takes a protocol factory, such as a protocol's class, not {type(protocol_factory).__name__}"
        )
    return functools.partial(Gatekeeper, protocol_factory, Register())


def answering_gate(
    protocol_factory: Callable[[], asyncio.BaseProtocol], answers: Answers
) -> Callable[[], asyncio.BaseProtocol]:
    """Return a gate that has *answers* tell refused clients so, on connections of an `answering_listener`; not public.

    The connections that answer count for ``max_held`` and ``max_held_per_address``, apart from the held ones, whose
    places the refused could take otherwise; they last ``handshake_timeout`` seconds at most.
    """
    return functools.partial(Gatekeeper, protocol_factory, Register(), answers, Register())


class Gatekeeper(asyncio.Protocol):
    """Stands in for the application's protocol while one connection is undecided. No application byte reaches it.

    It does not pause reading: the latch keeps the bytes back, and a paused asyncio would hide that the client has gone.

    Args:
        factory: Makes the application's protocol.
        register: Counts the held connections.
        answers: Makes what answers a refusal; ``None``: nothing does.
        answering: Counts the connections that it has; there with *answers*.
    """

    __slots__ = ("_answering", "_answers", "_factory", "_latch", "_left", "_origin", "_register", "_task", "_transport")

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        register: Register,
        answers: Answers | None = None,
        answering: Register | None = None,
    ) -> None:
        self._factory = factory
        self._register = register
        self._answers = answers
        self._answering = answering
        self._latch: Latch | None = None
        self._left: str | None = None
        self._task: asyncio.Task[Outcome] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Claim the connection; hand it over at once where the answer is known, otherwise decide in a task."""
        self._transport = cast("TLSTransport", transport)
        peername = transport.get_extra_info("peername")
        latch = self._latch = latch_of(transport.get_extra_info("ssl_object"))
        if latch is None:
            latch = Latch()
            latch.locate(peername)
            latch.refuse(refusal("tls.not-ours", _NOT_OURS))
        self._origin = origin_of(peername)
        latch.answers = self._answers is not None
        try:
            admitted = latch.claim(peername) or (latch.state is HELD and self._settled_at_once(latch))
        except BaseException as error:
            self._shut(latch, refusal("gate.interrupted", f"the decision ended with {type(error).__name__}"))
            raise
        if admitted:
            self._hand_over(self._factory, held=False)
        elif latch.state is ANSWERING:
            self._answer(latch, held=False)
        elif latch.state is not HELD:
            self._transport.abort()

    def eof_received(self) -> bool:
        """End the hold: asyncio's TLS knows no half-open connection, so nobody is left to answer."""
        self._leave("the client ended the connection while it was held")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the hold."""
        del exc
        self._leave(_LOST)

    def _settled_at_once(self, latch: Latch) -> bool:
        """Judge again, now that the address is known; where facts are to be had, go on in a task."""
        outcome = outcome_at_once(latch)
        if outcome is not None:
            return latch.settle(outcome)
        options, judgement = cast("ServerOptions", latch.options), cast("Judgement", latch.judgement)
        full = self._register.enter(self._origin, options)
        if full is not None:
            latch.refuse(refusal("gate.full", f"{full}: look at the source of the facts, or raise the bound"))
            return False
        self._transport.set_read_buffer_limits(HELD_BYTES)
        decision = settle_async(judgement, options.resolver, deadline=options.hold_timeout)
        try:
            self._task = asyncio.get_running_loop().create_task(decision)
        except BaseException:
            self._register.leave(self._origin)
            raise
        self._task.add_done_callback(self._decided)
        return False

    def _leave(self, reason: str) -> None:
        self._left = self._left or reason
        if self._task is not None:
            self._task.cancel()

    def _decided(self, task: asyncio.Task[Outcome]) -> None:
        """End the hold, however it came about: a decision, the deadline, a lost connection, a cancelled task, an error.

        A callback of the task and no code inside it, because a task that is cancelled before its first step runs none.
        """
        self._register.leave(self._origin)
        latch = cast("Latch", self._latch)
        failure = None if task.cancelled() else task.exception()
        if self._left is not None or self._transport.is_closing():
            self._shut(latch, refusal(GONE, self._left or _LOST))
        elif task.cancelled():
            self._shut(latch, refusal("gate.interrupted", "the decision was cancelled while the connection was held"))
        elif failure is not None:
            self._shut(latch, refusal("gate.interrupted", f"the decision ended with {type(failure).__name__}"))
        else:
            self._conclude(latch, task.result())

    def _conclude(self, latch: Latch, outcome: Outcome) -> None:
        admitted = False
        try:
            admitted = latch.settle(outcome)
        finally:
            if not admitted and latch.state is not ANSWERING:
                self._transport.abort()
        if admitted:
            self._hand_over(self._factory, held=True)
        elif latch.state is ANSWERING:
            self._answer(latch, held=True)

    def _shut(self, latch: Latch, decision: Decision) -> None:
        try:
            latch.refuse(decision)
        finally:
            self._transport.abort()

    def _answer(self, latch: Latch, *, held: bool) -> None:
        """Give the transport to what tells the client that it is refused, where that does not make too many."""
        options, register = cast("ServerOptions", latch.options), cast("Register", self._answering)
        full = register.enter(self._origin, options)
        if full is not None:
            self._shut(latch, refusal("gate.full", full))
            return
        leave = functools.partial(register.leave, self._origin)
        answers = cast("Answers", self._answers)
        self._hand_over(functools.partial(Answering, latch, answers, leave, options.handshake_timeout), held=held)

    def _hand_over(self, factory: Callable[[], asyncio.BaseProtocol], *, held: bool) -> None:
        """Make the protocol of the application, or of the answer, give it the transport, and step aside."""
        transport = self._transport
        try:
            protocol = factory()
            transport.set_protocol(protocol)
            if held:
                transport.set_read_buffer_limits()
                # Wakes the loop's TLS for what has piled up; the bytes come after connection_made, which may pause.
                transport.pause_reading()
                transport.resume_reading()
            protocol.connection_made(transport)
        except Exception as error:  # noqa: BLE001 - the application's; told to the loop, as for any protocol
            transport.abort()
            context = {"message": "the protocol behind tls.gate failed", "exception": error, "transport": transport}
            asyncio.get_running_loop().call_exception_handler(context)
        except BaseException:
            transport.abort()
            raise


def outcome_at_once(latch: Latch) -> Outcome | None:
    """Judge a claimed connection again, now that its address is known; ``None``: there are facts to be waited for.

    One that was refused in the handshake already, and is here to be told so, keeps its outcome.
    """
    options, judgement = cast("ServerOptions", latch.options), latch.judgement
    if judgement is None:
        return cast("Outcome", latch.outcome)
    outcome = settle_at_hand(judgement, options.resolver)
    return outcome if options.resolver is None or not outcome.needs else None


def latch_of(connection: object) -> Latch | None:
    """Return the latch of a TLS object of ours; ``None``: plain TCP, or somebody else's TLS."""
    latch = getattr(connection, "_latch", None)
    return latch if isinstance(latch, Latch) else None
