"""For tests: an authority that issues correct certificates, its OCSP responder, and a catalogue of broken certificates.

Everything is made in memory, with no program besides Python, and no network but the responder's loopback. It is no
authority for production: its CA certificates say ``mtlspolicy TEST CA`` and bear a marker extension.
"""

from mtlspolicy.testing._authority import CertificateAuthority
from mtlspolicy.testing._broken import BROKEN, broken
from mtlspolicy.testing._broken_encoding import malleated_twin
from mtlspolicy.testing._evidence import evidence, peer
from mtlspolicy.testing._issued import IssuedCertificate
from mtlspolicy.testing._keys import pooled_key
from mtlspolicy.testing._policy_rules import check_policy
from mtlspolicy.testing._request import MARKER_OID, MARKER_TEXT
from mtlspolicy.testing._responder import OCSPResponder

__all__ = [
    "BROKEN",
    "MARKER_OID",
    "MARKER_TEXT",
    "CertificateAuthority",
    "IssuedCertificate",
    "OCSPResponder",
    "broken",
    "check_policy",
    "evidence",
    "malleated_twin",
    "peer",
    "pooled_key",
]
