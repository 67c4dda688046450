"""aiosmtpd behind the gate: after STARTTLS no command is read before its client is decided on. Handlers know who it is.

It decides nothing itself. In the clear nobody has an identity, and the upgrade is a rule here and not an offer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy import tls
from mtlspolicy.errors import NoPeerCertificate, VerificationError
from mtlspolicy.integrations._admission import Admission, Choice
from mtlspolicy.integrations._carried import Carried, CarriedRequirement
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._log import log_refused
from mtlspolicy.tls._address import ip_address_of
from mtlspolicy.tls._gate import Gatekeeper, latch_of
from mtlspolicy.tls._gate_register import Register
from mtlspolicy.tls._latch import HELD
from mtlspolicy.tls._serving import require_for_loop

with Extra("aiosmtpd"):
    from aiosmtpd import smtp

if TYPE_CHECKING:
    import ssl

    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._peer import VerifiedPeer

__all__ = ["SMTP", "peer", "peer_or_none", "presented", "require"]

_TRY_AGAIN: Final = 503
"""HTTP's status of a refusal that may be another answer later."""


def peer(server: smtp.SMTP) -> VerifiedPeer:
    """Return the peer of a session.

    Args:
        server: What aiosmtpd calls so in the hooks of a handler.

    Raises:
        NoPeerCertificate: It has none. With `SMTP` the client is told ``550 5.7.1``, as by `require`.
        ConfigurationError: There is no TLS of ours on it, or it is closed.
    """
    found = peer_or_none(server)
    if found is None:
        raise _raised(server, NoPeerCertificate(tls.decision_of(_below(server))))
    return found


def peer_or_none(server: smtp.SMTP) -> VerifiedPeer | None:
    """Return the peer of a session; ``None``: a certificate is optional there, and none was presented.

    Raises:
        ConfigurationError: There is no TLS of ours on it, or it is closed.
    """
    return tls.peer_of(_below(server))


def presented(server: smtp.SMTP) -> PresentedChain | None:
    """Return the certificates of the peer, end entity first; ``None`` as with `peer_or_none`.

    Raises:
        ConfigurationError: There is no TLS of ours on it, or it is closed.
    """
    return tls.presented_by(_below(server))


class require:  # noqa: N801 - called as the functions of this name in the other integrations are
    """A question to ask with ``await`` in a hook of a handler: is the peer of a session permitted by *policy* as well?

    ``await require(policies.DNSName("relay.example"))(server)`` returns the peer, or raises; with `SMTP` the client is
    told ``550 5.7.1`` with the code alone, or ``451 4.7.0`` where a fact cannot be had now, and the session goes on.

    Args:
        policy: A policy, or a callable, coroutine functions included, that returns one for what the question is asked
            about. Whatever it raises is a refusal, ``policy.error``.

    Raises:
        ConfigurationError: It is neither.
    """

    def __init__(self, policy: Choice) -> None:
        self._ask = CarriedRequirement(policy, _carried)

    async def __call__(self, server: smtp.SMTP) -> VerifiedPeer:
        """Return the peer of *server* if the policy permits it."""
        try:
            return await self._ask(server)
        except VerificationError as error:
            raise _raised(server, error) from error


class SMTP(smtp.SMTP):
    """``aiosmtpd.smtp.SMTP`` with the gate in front of what comes over TLS, after ``STARTTLS`` and from the beginning.

    For ``loop.create_server(lambda: SMTP(handler, tls_context=context), ...)`` and for the ``factory`` of a controller.
    With ``pending="hold"`` a session waits for its decision, at most ``hold_timeout`` seconds, before a byte of it is
    read; refused, it ends. The bounds ``max_held`` and ``max_held_per_address`` count for all of them in a process.

    Args:
        handler: Of aiosmtpd.
        tls_context: Context of `tls.server_context` for ``STARTTLS``. With one, nothing but ``STARTTLS`` and the
            greeting is done in the clear (RFC 3207, section 4), unless ``require_starttls=False`` says otherwise.
        **options: Of ``aiosmtpd.smtp.SMTP``.

    Raises:
        ConfigurationError: The context has no verifier of clients.
    """

    _held: Final = Register()

    def __init__(self, handler: Any, *, tls_context: ssl.SSLContext | None = None, **options: Any) -> None:
        if tls_context is not None:
            require_for_loop(tls_context, "SMTP(tls_context=...)")
            options.setdefault("require_starttls", True)
        super().__init__(handler, tls_context=tls_context, **options)
        self._decided = asyncio.Event()
        self._refused: VerificationError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session, or go on with it over TLS; where its peer is not decided on, after that."""
        latch = latch_of(transport.get_extra_info("ssl_object"))
        if latch is not None and latch.state is HELD:
            keeper, over_tls = _Waiting(self, self._held), transport
            over_tls.set_protocol(keeper)
            keeper.connection_made(transport)
            return
        super().connection_made(transport)
        if latch is not None:
            self._decided.set()

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's
        """Begin TLS, and go on with the next command when the client is admitted: no earlier one is left to be read."""
        before = self._tls_protocol
        self._decided.clear()
        await super().smtp_STARTTLS(arg)
        if self._tls_protocol is not before:
            await self._decided.wait()

    async def handle_exception(self, error: Exception) -> str:
        """Return the answer to a refusal of ours; to all else what aiosmtpd answers."""
        refused, self._refused = self._refused, None
        if refused is None or error is not refused:
            return str(await super().handle_exception(error))
        session: Any = self.session
        log_refused(refused, str(ip_address_of(session.peer)))
        return f"451 4.7.0 {refused.code}" if refused.http_status == _TRY_AGAIN else f"550 5.7.1 {refused.code}"


vars(SMTP.smtp_STARTTLS).update(vars(smtp.SMTP.smtp_STARTTLS))  # what HELP says of it, and when


class _Waiting(Gatekeeper):
    """Keeps the connection of one session until it is decided on, and tells the session of its end."""

    __slots__ = ("_session",)

    def __init__(self, session: SMTP, register: Register) -> None:
        super().__init__(lambda: session, register)
        self._session = session

    def connection_lost(self, exc: Exception | None) -> None:
        """End the hold, and the session that had begun in the clear."""
        super().connection_lost(exc)
        if self._session.session is not None:
            self._session.connection_lost(exc)


def _below(server: smtp.SMTP) -> Any:
    return getattr(server, "transport", None) or server


def _carried(server: smtp.SMTP) -> Carried:
    below = _below(server)
    return Carried(server, Admission(tls.peer_of(below), tls.presented_by(below)))


def _raised(server: smtp.SMTP, error: VerificationError) -> VerificationError:
    """Take note of *error*, so that it is known from what another connection of the handler raises."""
    if isinstance(server, SMTP):
        server._refused = error
    return error
