"""What to do about a refusal, by its reason code, in words for somebody at a terminal. It decides nothing.

Only for codes whose own sentence says what was found and not yet what to do; path validation says both itself.
"""

from __future__ import annotations

from typing import Final

from mtlspolicy._decision import Decision

_REMEDIES: Final = {
    "name.mismatch": (
        "if this is the peer that is meant, allow the name that it presents; otherwise the peer uses another's "
        "certificate or the wrong one of its own"
    ),
    "name.absent": "issue the certificate with a name of this kind, or identify the peer by one that it has",
    "name.ambiguous": "issue the certificate with one such name, or pin its key",
    "name.unreadable": "have the certificate issued again, with names as UTF8String, or pin its key",
    "name.hostile": "do not trust it: no honest CA writes such characters into a name",
    "policy.no-alternative": "why no alternative applies is said above; allow one of the names that are presented",
    "identity.mismatch": "connect by a name that is in the certificate, or issue it with this one as subjectAltName",
    "issuer.not-pinned": (
        "if this issuing CA is meant as well, pin it too: the last sha256/... above is its pin; otherwise the "
        "peer needs a certificate of the pinned CA"
    ),
    "pin.mismatch": "if the peer has a new key, and says so by another way, add the pin above to the old one",
    "key.weak": "issue the certificate for a new key: EC P-256, or RSA with 2048 bits at least",
    "chain.malformed": "give the certificates alone, PEM or DER, the peer's own first and the CAs above it after it",
    "chain.too-large": "send the end entity and its intermediates alone, without the root and without other chains",
}


def remedy_for(decision: Decision) -> str | None:
    """Return what mends the refusal *decision*, or ``None`` where its own sentence says it."""
    return _REMEDIES.get(decision.decisive.code) or _REMEDIES.get(decision.code)
