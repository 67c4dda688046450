"""Has everything that a first connection would wait for happen while a context is built: parsers, engines, algorithms.

It decides nothing and changes nothing: what it makes is thrown away, and no policy is asked.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy.errors import MTLSPolicyError
from mtlspolicy.tls._cpython import creator_of

if TYPE_CHECKING:
    from mtlspolicy._verifier import Verifier

__all__ = ["warm_up"]


def warm_up(context: ssl.SSLContext, verifier: Verifier, *, server_side: bool) -> None:
    """Validate a worthless certificate with *verifier*, and begin a handshake with a server's *context*.

    A cold verifier costs milliseconds, and so does the first handshake of a process.
    """
    # A name of an anchor that cannot be written again is no reason not to build the context.
    with suppress(MTLSPolicyError, ValueError, TypeError):
        verifier.judgement(PresentedChain((_worthless(verifier),), Possession.NONE)).outcome()
    if server_side:
        _begin_handshake(context)


def _worthless(verifier: Verifier) -> bytes:
    """Return a certificate, DER, that names an anchor as its issuer and was signed by somebody else."""
    store = verifier.trust_now()
    issuer = (store.anchors or store.peers)[0].certificate.subject
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "worthless")])
    usage = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}[verifier.peer_role]
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("worthless.invalid")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _begin_handshake(context: ssl.SSLContext) -> None:
    """Shake hands in memory, below the latch, with a client that presents nothing and is let in nowhere."""
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.check_hostname = False
    plain.verify_mode = ssl.CERT_NONE  # the server is ours, in this process, and gets no byte of anybody's
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = plain.wrap_bio(to_client, to_server)
    # No object of ours, so that nothing is logged.
    server = creator_of(context, "_wrap_bio")(to_server, to_client, server_side=True)
    for _ in range(3):
        with suppress(ssl.SSLError):
            client.do_handshake()
        with suppress(ssl.SSLError):
            server.do_handshake()
