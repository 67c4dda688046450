"""Binds a verifier to an `ssl.SSLContext`, and says at each handshake whether the context is still as it was bound.

The binding is an attribute of the context itself, so it lives as long as the context and belongs to no other.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import ConfigurationError, MTLSPolicyError
from mtlspolicy.tls._cpython import settings_of
from mtlspolicy.tls._options import ServerOptions

if TYPE_CHECKING:
    from typing import Any

    from mtlspolicy._resolver import Resolver
    from mtlspolicy._verifier import Verifier
    from mtlspolicy.tls._options import ClientOptions

__all__ = ["Enforcement", "enforcement_of", "load_trust"]

_ATTRIBUTE: Final = "_mtlspolicy_enforcement"
_SETTINGS: Final = (
    "verify_mode",
    "verify_flags",
    "OP_NO_RENEGOTIATION or OP_NO_TICKET",
    "num_tickets",
    "post_handshake_auth",
    "check_hostname",
    "sni_callback",
    "sslsocket_class",
    "sslobject_class",
)
"""Names of what `settings_of` returns, in its order."""


class Enforcement:
    """What a context was told: verifier, options, side, and its settings at that time.

    Attributes:
        context: What it is bound to.
        verifier: Who decides.
        options: `ServerOptions` or `ClientOptions`.
        hold: The options, where undecided connections are held for a gate; else ``None``.
        many_hosts: Whether a callback for server names may lead to other contexts.
        server_side: Whether the context is for servers.
        optional: Whether a client may present no certificate.
        later: Whether a client is asked for it after the handshake, when the application says so.
        uses_address: Whether a policy has asked for the other end's address where nobody had told it (uvloop).
        names: DNS names and IP addresses that a client may dial, lower-case; ``None``: any.
    """

    __slots__ = (
        "_accepted",
        "_fixed",
        "_loaded",
        "_settings",
        "context",
        "handshake_timeout",
        "hold",
        "later",
        "many_hosts",
        "names",
        "optional",
        "options",
        "resolver",
        "server_side",
        "uses_address",
        "verifier",
    )

    def __init__(
        self, context: ssl.SSLContext, verifier: Verifier, options: ServerOptions | ClientOptions, *, optional: bool
    ) -> None:
        self.context = context
        self._loaded: TrustStore | None = None
        self._fixed = False
        self._settings: tuple[Any, ...] = ()
        self._accepted: tuple[tuple[Any, ...], ...] = ()
        self.many_hosts = False
        self.verifier = verifier
        self.options = options
        self.resolver: Resolver | None = options.resolver
        self.handshake_timeout: float = options.handshake_timeout
        self.hold = options if isinstance(options, ServerOptions) and options.pending == "hold" else None
        self.server_side = verifier.peer_role == "client"
        self.optional = optional
        self.later = False
        self.uses_address = False
        kinds = {reference.kind for reference in verifier.expected}
        by_name = bool(kinds) and kinds <= {"dns", "ip"}
        self.names = frozenset(reference.value for reference in verifier.expected) if by_name else None

    def bind(self) -> None:
        """Write the binding on the context, and take note of its settings as they are now."""
        self.many_hosts = self.server_side and self.context.sni_callback is not None
        self._settings = settings_of(self.context)
        self.context.__dict__[_ATTRIBUTE] = self

    def change(self) -> str | None:
        """Return which setting of the context is not what it was when it was bound; ``None``: none."""
        now = settings_of(self.context)
        if now == self._settings or now in self._accepted:
            return None
        return next(name for name, then, value in zip(_SETTINGS, self._settings, now, strict=True) if then != value)

    def let_certless_in(self) -> None:
        """Have OpenSSL finish the handshakes of clients without certificate, which the latch then refuses.

        `optional` stays what it is. Whoever serves the same context without a gate that answers still refuses them.

        Raises:
            ConfigurationError: Somebody has changed the context.
        """
        changed = self.change()
        if changed is not None:
            raise ConfigurationError(
                f"{changed} of the context was changed after its verifier was bound: build it anew"
            )
        settings = (ssl.CERT_OPTIONAL.value, *settings_of(self.context)[1:])
        # Written before the change, so that a handshake on another thread does not take it for somebody else's.
        self._accepted = (*self._accepted, settings)
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self._settings = settings

    def refresh_trust(self) -> None:
        """Give OpenSSL the anchors that the source of the trust store has gained; nothing can be taken from it.

        So that a new CA is not refused by OpenSSL before the verifier sees the chain. Where the source fails nothing
        changes here: the decision says so.
        """
        if self._fixed:
            return
        with suppress(MTLSPolicyError, ssl.SSLError):
            self.load_trust()

    def load_trust(self) -> TrustStore:
        """Load what the current store trusts, where that was not done yet, and return the store.

        Raises:
            ConfigurationError: The source of the store failed.
            SSLError: OpenSSL cannot read one of the certificates.
        """
        store = self.verifier.trust_now()
        if store is not self._loaded:
            if self._loaded is None or store.digest != self._loaded.digest:
                self._allow_partial(store)
                load_trust(self.context, store)
            self._loaded = store
            self._fixed = isinstance(self.verifier._trust, TrustStore)
        return store

    def _allow_partial(self, store: TrustStore) -> None:
        """Let OpenSSL end paths in issuing CAs and registered peers, where *store* trusts some."""
        flags = self.context.verify_flags
        if flags & ssl.VERIFY_X509_PARTIAL_CHAIN or not needs_partial_chain(store):
            return
        if self._settings:
            # Written before the change, so that a handshake on another thread does not take it for somebody else's.
            raw = int(flags | ssl.VERIFY_X509_PARTIAL_CHAIN)
            self._accepted = (*self._accepted, (self._settings[0], raw, *self._settings[2:]))
        self.context.verify_flags = flags | ssl.VERIFY_X509_PARTIAL_CHAIN


def enforcement_of(context: ssl.SSLContext) -> Enforcement | None:
    """Return the binding of exactly this *context*; ``None``: it has none, or a copy of another's."""
    found = context.__dict__.get(_ATTRIBUTE)
    return found if isinstance(found, Enforcement) and found.context is context else None


def needs_partial_chain(store: TrustStore) -> bool:
    """Return whether *store* has an anchor in which OpenSSL would end no path by itself: not self-signed."""
    return bool(store.peers) or not all(anchor.self_issued for anchor in store.anchors)


def load_trust(context: ssl.SSLContext, store: TrustStore) -> None:
    """Load what *store* trusts into *context*, so that OpenSSL refuses nothing first that we would admit.

    Known intermediates are loaded too, for peers that send their own certificate alone. What OpenSSL makes of any of
    them never admits: the verifier decides on its own store.
    """
    ders = [certificate.der for role in (store.anchors, store.intermediates, store.peers) for certificate in role]
    context.load_verify_locations(cadata=b"".join(ders))
