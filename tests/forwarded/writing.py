"""A PKI, and the headers that proxies write of it; written here by the standard library, by no code of the package."""

from __future__ import annotations

import base64
import hashlib
import ssl
from typing import Final
from urllib.parse import quote

from mtlspolicy import TrustStore, Verifier, policies
from mtlspolicy.forwarded import ImmediatePeer
from mtlspolicy.testing import CertificateAuthority

ROOT: Final = CertificateAuthority("Root")
ISSUING: Final = ROOT.intermediate("Issuing CA")
FRODO: Final = ISSUING.issue_client("frodo")
SAM: Final = ISSUING.issue_client("sam")
STRANGER: Final = CertificateAuthority("Stranger").issue_client("frodo")
VERIFIER: Final = Verifier.for_clients(
    trust=TrustStore(anchors=[ROOT.certificate]), policy=policies.CommonName("frodo", "sam")
)

TRUSTED: Final = ["10.0.0.1/32"]
PROXY: Final = ImmediatePeer("10.0.0.1")
OTHER: Final = ImmediatePeer("10.0.0.2")


def pem(*ders: bytes) -> str:
    """Return certificates as PEM."""
    return "".join(map(ssl.DER_cert_to_PEM_cert, ders))


def escaped(*ders: bytes) -> str:
    """Return certificates as percent-encoded PEM, with everything escaped that is not unreserved."""
    return quote(pem(*ders), safe="")


def digest(der: bytes) -> str:
    """Return the SHA-256 of a certificate, lower-case hex."""
    return hashlib.sha256(der).hexdigest()


def element(*ders: bytes, more: str = "") -> str:
    """Return what Envoy writes of a certificate and its chain, with cert and chain switched on."""
    return f'By=spiffe://a/proxy;Hash={digest(ders[0])};Cert="{escaped(ders[0])}";Chain="{escaped(*ders)}"{more}'


def item(der: bytes) -> str:
    """Return a byte sequence of RFC 8941."""
    return f":{base64.b64encode(der).decode('ascii')}:"
