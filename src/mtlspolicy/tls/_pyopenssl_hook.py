"""The verification callback: what OpenSSL found and what the verifier says, inside the handshake. Both must accept.

A PERMIT is only recorded here: the peer has yet to prove that it holds the key, and the connection admits at the end of
the handshake. Everything else refuses at once, so that OpenSSL sends an alert and a client never shows its certificate.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from OpenSSL import SSL, crypto

from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy._decision import Verdict
from mtlspolicy._evidence import Connection
from mtlspolicy._resolver import settle, settle_at_hand
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.tls._address import ip_address_of
from mtlspolicy.tls._hook import running_loop
from mtlspolicy.tls._latch import REFUSED, UNDECIDED
from mtlspolicy.tls._pyopenssl_errors import certificate_refused, send_alert_for

if TYPE_CHECKING:
    from mtlspolicy._judgement import Judgement, Outcome
    from mtlspolicy.tls._pyopenssl_connection import LatchedConnection

__all__ = ["absence", "server_name_of", "verify_peer"]


def verify_peer(connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, ok: int) -> bool:
    """Answer OpenSSL's question about one certificate of the path that it has built; asked from the anchor down.

    Args are pyOpenSSL's: *number* is OpenSSL's ``X509_V_ERR_...`` where it refuses, *depth* 0 for the end entity, *ok*
    whether OpenSSL has nothing against it.

    Returns:
        Whether the handshake may go on. pyOpenSSL would keep an exception for whichever connection of the context
        asks next, and lose one that is no `Exception`: so none leaves, and `do_handshake` raises it where it belongs.
    """
    from mtlspolicy.tls._pyopenssl_connection import LatchedConnection

    if not isinstance(connection, LatchedConnection):
        return False
    latch, handshake = connection._latch, connection._handshake
    if latch.state is not UNDECIDED or not handshake.running or handshake.outcome is not None:
        return False  # a second peer on one connection
    try:
        if not ok:
            latch.state = REFUSED
            handshake.verify_code = number
            latch.mark_refused(certificate_refused(number, server_side=connection._binding.server_side))
            return False
        handshake.built[depth] = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        if depth:
            return True
        latch.state = REFUSED  # before anything can fail; only a PERMIT takes it back
        _decide(connection)
    except BaseException as error:  # noqa: BLE001 - kept for do_handshake, see above
        latch.state = REFUSED
        handshake.raised = error
        return False
    if handshake.outcome is not None:
        latch.state = UNDECIDED
        return True
    send_alert_for(latch.reason)
    return False


def _decide(connection: LatchedConnection) -> None:
    """Record a PERMIT in the handshake of *connection*, or the refusal in its latch."""
    latch, handshake, binding = connection._latch, connection._handshake, connection._binding
    built = [handshake.built[depth] for depth in sorted(handshake.built)]
    # OpenSSL shows the path that it has built and not what was sent: what our store added to it was not presented.
    chain = PresentedChain((built[0], *[der for der in built[1:] if der not in binding.known]), Possession.TLS)
    latch.presented = chain
    judgement = _judgement(connection, chain)
    try:
        PresentedChain.parse(chain, limits=binding.verifier.limits)
    except MalformedEvidence as error:
        latch.mark_refused(judgement.conclude(judgement.malformed(error)).decision)
        return
    outcome = _settled(connection, judgement)
    if outcome.decision.verdict is Verdict.PERMIT:
        handshake.judgement, handshake.outcome = judgement, outcome
    else:
        latch.mark_refused(judgement.conclude(outcome).decision)


def absence(connection: LatchedConnection) -> Outcome:
    """Return the outcome for a peer that presented no certificate."""
    return _judgement(connection, None).outcome()


def server_name_of(connection: SSL.Connection) -> str | None:
    """Return the server name that the client asks for (SNI), hostile text; ``None``: none."""
    name = connection.get_servername()
    return None if name is None else name.decode("ascii", "backslashreplace")


def _judgement(connection: LatchedConnection, chain: PresentedChain | None) -> Judgement:
    binding, latch = connection._binding, connection._latch
    dialed = None if binding.server_side else connection._dialed_name()
    latch.connection = Connection(
        transport_address=ip_address_of(latch.peername),
        server_name=server_name_of(connection) if binding.server_side else dialed,
        tls_version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name(),
        resumed=False,
    )
    return binding.verifier.judgement(chain, connection=latch.connection, dialed=dialed)


def _settled(connection: LatchedConnection, judgement: Judgement) -> Outcome:
    """Return the outcome with the facts at hand, or with all that can be had in time where the thread may wait."""
    resolver, handshake = connection._binding.resolver, connection._handshake
    if resolver is None:
        return judgement.outcome()
    if not handshake.may_wait:
        outcome = settle_at_hand(judgement, resolver)
        if outcome.needs:  # nobody waits; whoever is refused for lack of a fact and tries again is to find it at hand
            resolver.ask(outcome.needs, running_loop())
        return outcome
    return settle(judgement, resolver, deadline=min(resolver.deadline, max(0.0, handshake.until - time.monotonic())))
