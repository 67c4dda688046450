"""Tells a stranger from the peer of another tenant, after a refusal. It admits nobody and names no tenant.

Only who holds a certificate that is valid under another tenant's anchors is told apart: somebody who merely writes that
CA's name into a certificate of his own learns nothing about who else is served here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from mtlspolicy._certificate import ParsedCertificate, issued_by
from mtlspolicy._path import CertificationPath, Refusal, Rules, validate_paths
from mtlspolicy._path_diagnosis import _top
from mtlspolicy._trust import TrustStore

_MOST: Final = 4
"""Tenants with a CA of one name that are asked: each costs one signature verification."""
_CODES: Final = frozenset({"path.no-issuer", "path.signature"})
FOREIGN: Final = Refusal(
    "tenant.foreign",
    "the certificate belongs to another tenant: its path is valid under that tenant's anchors, and not under these",
)


class Neighbours:
    """Whose anchors have a name: the first few tenants by subject (DER)."""

    __slots__ = ("_stores", "_tenants")

    def __init__(self, own: Mapping[str, TrustStore | None]) -> None:
        self._stores = own
        found: dict[bytes, tuple[str, ...]] = {}
        for tenant, store in own.items():
            for name in () if store is None else store._anchors_by_name:
                known = found.get(name, ())
                if len(known) <= _MOST:  # one more, since the tenant that asks is left out
                    found[name] = (*known, tenant)
        self._tenants = found

    def of(self, name: bytes, tenant: str) -> list[TrustStore]:
        """Return the stores of tenants but *tenant* with an anchor whose subject is *name* (DER)."""
        others = [self._stores[one] for one in self._tenants.get(name, ()) if one != tenant]
        return [store for store in others[:_MOST] if store is not None]


def elsewhere(
    neighbours: Neighbours,
    tenant: str,
    refusal: Refusal,
    presented: tuple[ParsedCertificate, ...],
    *,
    rules: Rules,
    at: datetime,
) -> Refusal | None:
    """Return the refusal of another tenant's peer, or ``None`` where *refusal* stands.

    Args:
        neighbours: All tenants of the generation.
        tenant: The one whose trust the decision was made under.
        refusal: What the decision says otherwise.
        presented: End entity first.
        rules: Profile, purpose and limits.
        at: Aware time of the decision.
    """
    if refusal.code not in _CODES:
        return None
    top = _top(presented)  # what could not be read at all has another code
    for store in neighbours.of(top.layout.issuer, tenant):
        if any(issued_by(top, anchor) for anchor in store.anchors_named(top.layout.issuer)):
            found = validate_paths(presented, store, rules, at)
            return FOREIGN if any(isinstance(one, CertificationPath) for one in found) else None
    return None
