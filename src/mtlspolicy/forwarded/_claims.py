"""What a proxy states about a certificate in words, where it forwards none.

Words are no certificate: nothing verifies them, and no `VerifiedPeer` is ever made of them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TextClaims"]


@dataclass(frozen=True, slots=True)
class TextClaims:
    """The proxy's words about a certificate that it did not forward; hostile text, except where the proxy quotes it.

    Attributes:
        sha256: Of the certificate's DER, lower-case hex; ``None``: not stated.
        subject: The subject as the proxy printed it; ``None``: not stated.
        uris: URI names. Envoy does not quote them, so that a name with a delimiter in it reads as several.
        dns_names: DNS names; likewise.
    """

    sha256: str | None = None
    subject: str | None = None
    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
