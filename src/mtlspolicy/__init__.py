"""Mutual TLS with an answer to "is this the peer I meant?": trust, paths, composable policies, explained decisions.

A table of contents and nothing else; every name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._version import __version__

if TYPE_CHECKING:
    from mtlspolicy import forwarded, oauth, policies, revocation, tenants, testing, tls
    from mtlspolicy._chain import Limits, Possession, PresentedChain
    from mtlspolicy._decision import Decision, Verdict
    from mtlspolicy._evidence import Connection, Evidence, Fact, Facts, Need, RevocationStatus
    from mtlspolicy._identifiers import PresentedIdentifiers
    from mtlspolicy._names import DistinguishedName
    from mtlspolicy._path_value import CertificationPath
    from mtlspolicy._peer import VerifiedPeer
    from mtlspolicy._policy import Policy
    from mtlspolicy._profile import PathProfile
    from mtlspolicy._reference import ReferenceIdentifier
    from mtlspolicy._resolver import Resolver
    from mtlspolicy._trust import TrustStore
    from mtlspolicy._verifier import Verifier
    from mtlspolicy.errors import (
        ConfigurationError,
        MalformedEvidence,
        MTLSPolicyError,
        NoPeerCertificate,
        PathValidationError,
        PolicyDenied,
        PolicyIndeterminate,
        VerificationError,
    )

__all__ = [
    "CertificationPath",
    "ConfigurationError",
    "Connection",
    "Decision",
    "DistinguishedName",
    "Evidence",
    "Fact",
    "Facts",
    "Limits",
    "MTLSPolicyError",
    "MalformedEvidence",
    "Need",
    "NoPeerCertificate",
    "PathProfile",
    "PathValidationError",
    "Policy",
    "PolicyDenied",
    "PolicyIndeterminate",
    "Possession",
    "PresentedChain",
    "PresentedIdentifiers",
    "ReferenceIdentifier",
    "Resolver",
    "RevocationStatus",
    "TrustStore",
    "Verdict",
    "VerificationError",
    "VerifiedPeer",
    "Verifier",
    "__version__",
    "forwarded",
    "oauth",
    "policies",
    "revocation",
    "tenants",
    "testing",
    "tls",
]

_ERRORS: Final = (
    "ConfigurationError",
    "MTLSPolicyError",
    "MalformedEvidence",
    "NoPeerCertificate",
    "PathValidationError",
    "PolicyDenied",
    "PolicyIndeterminate",
    "VerificationError",
)
_HOMES: Final = dict.fromkeys(_ERRORS, "errors") | {
    "CertificationPath": "_path_value",
    "Connection": "_evidence",
    "Decision": "_decision",
    "DistinguishedName": "_names",
    "Evidence": "_evidence",
    "Fact": "_evidence",
    "Facts": "_evidence",
    "Limits": "_chain",
    "Need": "_evidence",
    "PathProfile": "_profile",
    "Policy": "_policy",
    "Possession": "_chain",
    "PresentedChain": "_chain",
    "PresentedIdentifiers": "_identifiers",
    "ReferenceIdentifier": "_reference",
    "Resolver": "_resolver",
    "RevocationStatus": "_evidence",
    "TrustStore": "_trust",
    "Verdict": "_decision",
    "VerifiedPeer": "_peer",
    "Verifier": "_verifier",
}
_PACKAGES: Final = frozenset({"forwarded", "oauth", "policies", "revocation", "tenants", "testing", "tls"})


def __getattr__(name: str) -> Any:
    """Load *name* from its home when it is first used."""
    if name in _PACKAGES:
        return import_module(f"mtlspolicy.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mtlspolicy' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"mtlspolicy.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
