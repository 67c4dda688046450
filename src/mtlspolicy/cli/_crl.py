"""The revocation list of the small CA (RFC 5280, section 5): signs the next one, one entry longer than the last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy.cli._ca import Authority
from mtlspolicy.testing._keys import signature_hash

CRL_DAYS: Final = 30
"""Until a list must be renewed."""


def sign_crl(
    authority: Authority, *, previous: x509.CertificateRevocationList | None, revoked: int | None, days: int
) -> bytes:
    """Return the list, PEM: the entries of the *previous* one and *revoked*, its own number one higher.

    Args:
        authority: Who signs.
        previous: The current list, or ``None``: there was none.
        revoked: Serial number to add, positive and of at most 20 octets; ``None``: none. One that is
            listed already keeps its date.
        days: Until nextUpdate.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(days=days))
        .add_extension(x509.CRLNumber(_number(previous) + 1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    entries = [] if previous is None else list(previous)
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    if revoked is not None and revoked not in {entry.serial_number for entry in entries}:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(revoked, now).build())
    return builder.sign(authority.key, signature_hash(authority.key)).public_bytes(Encoding.PEM)


def _number(previous: x509.CertificateRevocationList | None) -> int:
    if previous is None:
        return 0
    try:
        return previous.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0
