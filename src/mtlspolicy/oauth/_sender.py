"""Whose certificate it is: a peer or chain whose sender was seen to hold the key, and nothing less.

It decides nothing about the certificate itself; a resource server need not (RFC 8705, section 6.2).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, TypeAlias

from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy.errors import ConfigurationError

__all__ = ["NO_POSSESSION", "Sender", "chain_of", "thumbprint_of"]

Sender: TypeAlias = "VerifiedPeer | PresentedChain"
"""Who sent a request: verified, or as it presented itself to TLS or to a trusted proxy."""

NO_POSSESSION: Final = "nobody saw the sender prove that it holds the key: a certificate by itself is public"


def chain_of(presented: object, where: str) -> tuple[PresentedChain, bool]:
    """Return the certificates of *presented*, and whether its sender was seen to hold the key.

    Raises:
        ConfigurationError: It is neither a `VerifiedPeer` nor a `PresentedChain`, or an empty one; *where* begins the
            message.
    """
    if isinstance(presented, VerifiedPeer):
        chain, possession = presented.presented, presented.possession
    elif isinstance(presented, PresentedChain):
        chain, possession = presented, presented.possession
    else:
        raise ConfigurationError(
            f"{where} takes a VerifiedPeer or a PresentedChain, not {type(presented).__name__}: a certificate alone "
            "says nothing about who sent it; tls.peer_of, tls.presented_by and ForwardedSource.read give one that does"
        )
    if not chain.ders:
        raise ConfigurationError(f"{where}: a PresentedChain without a certificate; pass None where there is none")
    return chain, possession is Possession.TLS or possession is Possession.PROXY


def thumbprint_of(der: bytes) -> str:
    """Return ``x5t#S256`` of the certificate *der*: base64url of its SHA-256, 43 characters, without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")
