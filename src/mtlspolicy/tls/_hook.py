"""What runs between the last byte of the handshake and the first of the application: evidence, decision, latch.

It finds the verifier through the context that the handshake ended on, and leaves the latch refused in every case but
two: a PERMIT, and the absence of a certificate where that is allowed. What a gate is to settle, or to answer, is held.
It deliberately ignores what OpenSSL thinks of the chain.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, cast

from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy._decision import Verdict
from mtlspolicy._evidence import Connection
from mtlspolicy._resolver import settle, settle_at_hand
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.tls._address import ip_address_of
from mtlspolicy.tls._cpython import presented_ders
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._latch import REFUSED

if TYPE_CHECKING:
    import asyncio

    from mtlspolicy._decision import Decision
    from mtlspolicy._judgement import Judgement, Outcome
    from mtlspolicy.tls._cpython import TLSObject
    from mtlspolicy.tls._enforcement import Enforcement
    from mtlspolicy.tls._latch import Latch, Latched
    from mtlspolicy.tls._options import ServerOptions

__all__ = ["decide_connection", "prepare", "running_loop"]

_PERMIT: Final = Verdict.PERMIT
_UNENFORCED: Final = (
    "the handshake ended on a context without a verifier, which a callback for server names set: build every context "
    "behind one listener with tls.server_context, or tls.enforce it"
)


def prepare(latch: Latch, tls: TLSObject, enforcement: Enforcement) -> bool:
    """Refuse before the first byte what can be refused then: the wrong side, or a name that is not expected.

    So that a client shows its certificate to nobody who was not meant.

    Returns:
        Whether nothing is to be said against going on.
    """
    if tls.server_side is not enforcement.server_side:
        side, other = ("server", "client") if tls.server_side else ("client", "server")
        latch.mark_refused(
            refusal(
                "tls.wrong-side",
                f"the context verifies {enforcement.verifier.peer_role}s and was used on the {side}'s side: build one "
                f"with tls.{side}_context and Verifier.for_{other}s",
            )
        )
        return False
    name, names = tls.server_hostname, enforcement.names
    if names is not None and name is not None and not tls.server_side and name.lower().rstrip(".") not in names:
        latch.mark_refused(
            refusal(
                "tls.name-mismatch",
                f"the connection was opened to {name!r} and the verifier expects {', '.join(sorted(names))}: use one "
                "context for each server, or expected=ReferenceIdentifier.DIALED for the name dialed",
                verdict=Verdict.DENY,
            )
        )
        return False
    return True


def decide_connection(
    latch: Latch, tls: TLSObject, owner: Latched, prepared: Enforcement | None, until: float | None
) -> None:
    """Decide on the peer of a finished handshake and set *latch*.

    Args:
        latch: Undecided before; admitted, held or refused after, and refused after any exception.
        tls: The C object below the connection.
        owner: The connection object.
        prepared: The binding of the context that the handshake began on, for which `prepare` was called.
        until: When a blocking connection has to be decided, on the monotonic clock, in seconds; ``None``: nothing may
            block.
    """
    latch.state = REFUSED  # before anything can fail; only what is written below changes it
    if latch.first_bytes:
        latch.first_bytes = b""
    context = tls.context
    same = prepared is not None and prepared.context is context
    enforcement = prepared if same else enforcement_of(context)
    if enforcement is None:
        latch.mark_refused(refusal("tls.unenforced-context", _UNENFORCED))
        return
    changed = enforcement.change()
    if changed is None and prepared is not None and not same:
        changed = prepared.change()  # its callback led here, and its verify_mode is the one that counted
    if changed is not None:
        latch.mark_refused(
            refusal(
                "tls.context-changed",
                f"{changed} of the context is not what it was when the verifier was bound: set it before tls.enforce, "
                "and give a context to one library only",
            )
        )
        return
    if not same and not prepare(latch, tls, enforcement):
        return
    judgement = _judgement(latch, tls, enforcement, owner)
    if judgement is not None:
        _conclude(latch, judgement, enforcement, owner, until)


def _judgement(latch: Latch, tls: TLSObject, enforcement: Enforcement, owner: Latched) -> Judgement | None:
    """Gather the evidence and return the judgement on it; ``None``: it is outside the limits, and refused."""
    verifier, dialed = enforcement.verifier, None if enforcement.server_side else tls.server_hostname
    cipher = tls.cipher()
    # Filled in by hand: right after a handshake nothing is in the processor's caches, and a call costs a microsecond.
    connection = Connection.__new__(Connection)
    connection.transport_address = None if latch.peername is None else ip_address_of(latch.peername)
    connection.client_address = None
    connection.server_name = latch.server_name if enforcement.server_side else dialed
    connection.tls_version = tls.version()
    connection.cipher = None if cipher is None else cipher[0]
    connection.resumed = tls.session_reused
    latch.connection = connection
    ders = presented_ders(tls)
    if not ders:
        return verifier.judgement(None, connection=connection, dialed=dialed)
    chain = PresentedChain(ders, Possession.TLS)
    latch.presented = chain
    limits = verifier.limits
    if not limits.surely_hold(ders):
        try:
            PresentedChain.parse(chain, limits=limits)  # says which limit, if any
        except MalformedEvidence as error:
            judgement = verifier.judgement(None, connection=connection, dialed=dialed)
            _refuse(latch, judgement.conclude(judgement.malformed(error)), enforcement, owner)
            return None
    return verifier.judgement(chain, connection=connection, dialed=dialed)


def _conclude(
    latch: Latch, judgement: Judgement, enforcement: Enforcement, owner: Latched, until: float | None
) -> None:
    absent = latch.presented is None and enforcement.optional
    if until is None:
        resolver = enforcement.resolver
        outcome = judgement.outcome() if resolver is None else settle_at_hand(judgement, resolver)
        if enforcement.hold is not None and _may_be_held(outcome, absent=absent):
            latch.absent = absent
            latch.hold(owner, judgement, outcome, enforcement.hold)
            return
        if latch.peername is None and _lacks_address(outcome.decision):
            outcome = _located(latch, judgement, enforcement, owner, outcome)
        if resolver is not None and outcome.needs:
            # Nobody waits here; whoever is refused for lack of a fact and tries again is to find it at hand.
            resolver.ask(outcome.needs, running_loop())
    else:
        outcome = _settle_in_time(judgement, enforcement, until)
    if absent:
        latch.admit(outcome)
        return
    judgement.conclude(outcome)
    if outcome.decision.verdict is _PERMIT:
        latch.admit(outcome)
    else:
        _refuse(latch, outcome, enforcement, owner)


def _refuse(latch: Latch, outcome: Outcome, enforcement: Enforcement, owner: Latched) -> None:
    """Refuse for *outcome*; only a connection whose listener answers is kept, shut, for the gate that does."""
    if latch.answerable:
        latch.decline(owner, outcome, cast("ServerOptions", enforcement.options))  # listeners are servers
    else:
        latch.outcome = outcome
        latch.mark_refused(outcome.decision)


def _lacks_address(decision: Decision) -> bool:
    return decision.code == "address.unknown" or any(map(_lacks_address, decision.children))


def _located(latch: Latch, judgement: Judgement, enforcement: Enforcement, owner: Latched, outcome: Outcome) -> Outcome:
    """Judge again with the address that uvloop has not told; from now on it is looked for as each connection begins.

    Returns:
        The new outcome; *outcome* where the address cannot be had.
    """
    from mtlspolicy.tls._log import SEARCHES

    latch.locate(SEARCHES.for_decision(owner))
    if latch.peername is None:
        return outcome
    enforcement.uses_address = True
    return settle_at_hand(judgement, enforcement.resolver)


def _may_be_held(outcome: Outcome, *, absent: bool) -> bool:
    """Return whether a gate is to have the last word; never about a DENY."""
    verdict = outcome.decision.verdict
    return absent or verdict is _PERMIT or (verdict is Verdict.INDETERMINATE and outcome.path_valid)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of this thread; ``None``: there is none."""
    if "asyncio" not in sys.modules:
        return None
    from asyncio import get_running_loop

    try:
        return get_running_loop()
    except RuntimeError:
        return None  # a socket that does not block, in a loop of somebody's own


def _settle_in_time(judgement: Judgement, enforcement: Enforcement, until: float) -> Outcome:
    resolver = enforcement.resolver
    if resolver is None:
        return judgement.outcome()
    return settle(judgement, resolver, deadline=min(resolver.deadline, max(0.0, until - time.monotonic())))
