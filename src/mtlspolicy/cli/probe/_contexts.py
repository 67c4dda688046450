"""Builds the contexts of a probe's connections: those that only look, and those that show a certificate.

The ones that look take every server and every version, and hold nothing of ours. The ones with a certificate refuse a
server that our verifier would refuse, before the certificate is sent.
"""

from __future__ import annotations

import ssl
import warnings
from typing import Final

from mtlspolicy._verifier import Verifier
from mtlspolicy.tls import enforce
from mtlspolicy.tls._credential import Credential

EVERYTHING: Final = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
VERSIONS: Final = (
    ("TLSv1.3", ssl.TLSVersion.TLSv1_3),
    ("TLSv1.2", ssl.TLSVersion.TLSv1_2),
    ("TLSv1.1", ssl.TLSVersion.TLSv1_1),
    ("TLSv1.0", ssl.TLSVersion.TLSv1),
)
SUITES: Final = (
    ("ECDHE, AEAD", "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM"),
    ("DHE, AEAD", "DHE+AESGCM:DHE+CHACHA20:DHE+AESCCM"),
    ("forward secrecy, CBC", "ECDHE+AES:DHE+AES:ECDHE+CAMELLIA:DHE+CAMELLIA:!AESGCM:!AESCCM:!AEAD"),
    ("no forward secrecy", "kRSA+AES:kRSA+CAMELLIA"),
    ("broken", "aNULL:eNULL:3DES:RC4:DES:IDEA:SEED:EXPORT"),
)
"""Groups of TLS 1.2 suites, in OpenSSL's language. The suites of TLS 1.3 cannot be chosen with ``ssl`` before 3.15."""


def looking() -> ssl.SSLContext:
    """Return a context that takes any server that speaks TLS 1.2 or newer, and shows nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it holds no secret: what the server sends is looked at, and not relied on
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(EVERYTHING)
    return context


def offering(version: ssl.TLSVersion, suites: str = EVERYTHING) -> ssl.SSLContext | None:
    """Return a context that takes any server and offers one version alone; ``None``: this OpenSSL cannot offer that.

    Args:
        version: The only one that is offered.
        suites: OpenSSL's list of the suites up to TLS 1.2.
    """
    context = looking()
    try:
        context.set_ciphers(f"{suites}:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # offering old versions is the purpose
            context.minimum_version = version
            context.maximum_version = version
    except (ssl.SSLError, ValueError):
        return None
    return context


def showing(verifier: Verifier, credential: Credential | None) -> ssl.SSLContext:
    """Return a context that *verifier* decides with, for showing *credential*, which may be as bad as is wanted.

    `tls.client_context` refuses a credential that no server would take, and this one is to be refused by the server.
    """
    context = _verifying(credential)
    enforce(context, verifier)
    return context


def resuming(verifier: Verifier, credential: Credential) -> ssl.SSLContext:
    """Return a context that keeps tickets, which ours switch off, for a server that `showing` has verified already.

    OpenSSL verifies chain and name by the same anchors before the certificate is sent.
    """
    context = _verifying(credential)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an issuing CA alone may be the anchor
    context.load_verify_locations(cadata=b"".join(one.der for one in verifier.trust_now().anchors))
    return context


def _verifying(credential: Credential | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # CERT_REQUIRED, and the host name is verified
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525, section 2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the profile judges what it would refuse
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if credential is not None:
        credential.load_into(context)
    return context
