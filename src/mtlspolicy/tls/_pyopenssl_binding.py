"""What a pyOpenSSL context was told: verifier, options and side; and the anchors that OpenSSL is given of its store.

It decides nothing. What OpenSSL makes of these anchors never admits: the verifier decides on its own store.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from OpenSSL import SSL, crypto

from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import ConfigurationError, MTLSPolicyError
from mtlspolicy.tls._enforcement import needs_partial_chain

if TYPE_CHECKING:
    from mtlspolicy._resolver import Resolver
    from mtlspolicy._verifier import Verifier
    from mtlspolicy.tls._options import ClientOptions, ServerOptions

__all__ = ["Binding"]


class Binding:
    """What holds for every connection of one context.

    Attributes:
        verifier: Who decides.
        resolver: Where facts come from, or ``None``.
        handshake_timeout: Seconds for the whole handshake, facts included.
        server_side: Whether the context is for servers.
        optional: Whether a client may present no certificate.
        names: DNS names and IP addresses that a client may dial, lower-case; ``None``: any.
        known: DER of every certificate that the store has given OpenSSL; what is in it was not necessarily presented.
    """

    __slots__ = (
        "_fixed",
        "_loaded",
        "_store",
        "handshake_timeout",
        "known",
        "names",
        "optional",
        "resolver",
        "server_side",
        "verifier",
    )

    def __init__(self, verifier: Verifier, options: ServerOptions | ClientOptions, *, optional: bool) -> None:
        self.verifier = verifier
        self.resolver: Resolver | None = options.resolver
        self.handshake_timeout: float = options.handshake_timeout
        self.server_side = verifier.peer_role == "client"
        self.optional = optional
        kinds = {reference.kind for reference in verifier.expected}
        by_name = bool(kinds) and kinds <= {"dns", "ip"}
        self.names = frozenset(reference.value for reference in verifier.expected) if by_name else None
        self.known: frozenset[bytes] = frozenset()
        self._store: crypto.X509Store | None = None
        self._loaded: TrustStore | None = None
        self._fixed = False

    def bind(self, context: SSL.Context) -> TrustStore:
        """Give OpenSSL's store of *context* what the verifier trusts, and return the trust store.

        Raises:
            ConfigurationError: The source of the trust store failed, or OpenSSL cannot read a certificate of it.
        """
        self._store = context.get_cert_store()
        return self._load()

    def refresh_trust(self) -> None:
        """Give OpenSSL the anchors that the source of the trust store has gained; nothing can be taken from it.

        Where the source fails nothing changes here: the decision says so.
        """
        if not self._fixed:
            with suppress(MTLSPolicyError):
                self._load()

    def _load(self) -> TrustStore:
        trust = self.verifier.trust_now()
        if self._loaded is None or trust.digest != self._loaded.digest:
            self._give(trust)
        self._loaded = trust
        self._fixed = isinstance(self.verifier._trust, TrustStore)
        return trust

    def _give(self, trust: TrustStore) -> None:
        store = self._store
        if store is None:
            raise ConfigurationError("the pyOpenSSL context has no certificate store")
        certificates = (*trust.anchors, *trust.intermediates, *trust.peers)
        try:
            if needs_partial_chain(trust):
                store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
            for one in certificates:
                if one.der not in self.known:
                    store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, one.der))
        except (crypto.Error, SSL.Error) as error:
            raise ConfigurationError(f"OpenSSL cannot read a certificate of the trust store: {error}") from None
        self.known |= {one.der for one in certificates}
