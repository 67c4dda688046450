"""The policies: values that say which peers are meant, combined by ``&``, ``|`` and ``~``.

Nothing is decided here; each family lives in a module of its own, which is loaded when one of its names is first asked
for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mtlspolicy._combinators import AllOf, AnyOf, AtLeast, Not
    from mtlspolicy.policies._addresses import ClientAddress, PeerAddress
    from mtlspolicy.policies._anyone import Anyone
    from mtlspolicy.policies._attributes import ExtendedKeyUsage, KeyStrength, MaxLifetime, PolicyOID
    from mtlspolicy.policies._common_name import CommonName
    from mtlspolicy.policies._dns_name import DNSName
    from mtlspolicy.policies._ip_name import IPAddressName
    from mtlspolicy.policies._issuer import IssuerDN, IssuerPin
    from mtlspolicy.policies._not_revoked import NotRevoked
    from mtlspolicy.policies._own import lookup, predicate
    from mtlspolicy.policies._pins import CertificatePin, SPKIPin
    from mtlspolicy.policies._san import EmailName, URIName
    from mtlspolicy.policies._serials import Blocked, SerialNumbers
    from mtlspolicy.policies._spiffe import SpiffeID
    from mtlspolicy.policies._subject import SubjectAttribute, SubjectDN

__all__ = [
    "AllOf",
    "AnyOf",
    "Anyone",
    "AtLeast",
    "Blocked",
    "CertificatePin",
    "ClientAddress",
    "CommonName",
    "DNSName",
    "EmailName",
    "ExtendedKeyUsage",
    "IPAddressName",
    "IssuerDN",
    "IssuerPin",
    "KeyStrength",
    "MaxLifetime",
    "Not",
    "NotRevoked",
    "PeerAddress",
    "PolicyOID",
    "SPKIPin",
    "SerialNumbers",
    "SpiffeID",
    "SubjectAttribute",
    "SubjectDN",
    "URIName",
    "lookup",
    "predicate",
]

_HOMES: Final = {
    "mtlspolicy._combinators": ("AllOf", "AnyOf", "AtLeast", "Not"),
    "mtlspolicy.policies._addresses": ("ClientAddress", "PeerAddress"),
    "mtlspolicy.policies._anyone": ("Anyone",),
    "mtlspolicy.policies._attributes": ("ExtendedKeyUsage", "KeyStrength", "MaxLifetime", "PolicyOID"),
    "mtlspolicy.policies._common_name": ("CommonName",),
    "mtlspolicy.policies._dns_name": ("DNSName",),
    "mtlspolicy.policies._ip_name": ("IPAddressName",),
    "mtlspolicy.policies._issuer": ("IssuerDN", "IssuerPin"),
    "mtlspolicy.policies._not_revoked": ("NotRevoked",),
    "mtlspolicy.policies._own": ("lookup", "predicate"),
    "mtlspolicy.policies._pins": ("CertificatePin", "SPKIPin"),
    "mtlspolicy.policies._san": ("EmailName", "URIName"),
    "mtlspolicy.policies._serials": ("Blocked", "SerialNumbers"),
    "mtlspolicy.policies._spiffe": ("SpiffeID",),
    "mtlspolicy.policies._subject": ("SubjectAttribute", "SubjectDN"),
}
_HOME: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load the module in which *name* lives, once."""
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
