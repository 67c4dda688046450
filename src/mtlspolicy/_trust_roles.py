"""Which certificate can have which role in a trust store, and the remedy where it cannot. No clock is read."""

from __future__ import annotations

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.errors import ConfigurationError, MalformedEvidence

TEST_CA_TEXT = "mtlspolicy TEST CA"
"""In the subject of the CAs that `mtlspolicy.testing` makes, unless it was replaced."""
TEST_CA_OID = x509.ObjectIdentifier("2.999.20267.1")
"""Private extension of each of these CAs, not critical, below the arc for examples (X.660). An OID made of a UUID has
an arc of 128 bits, and programs in Go refuse a certificate with an arc of more than 31."""
CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE and keyUsage=critical,keyCertSign,cRLSign"


def ca_problem(certificate: ParsedCertificate) -> str | None:
    """Return why *certificate* cannot be a CA, or ``None``. A v1 certificate says nothing, which is no problem here.

    Raises:
        MalformedEvidence: Its extensions cannot be read.
    """
    if certificate.version == 1:
        return None
    constraints = certificate.extension(x509.BasicConstraints)
    if constraints is None:
        return f"it has no basicConstraints; make it with {CA_EXTENSIONS}"
    if not constraints.ca:
        return "its basicConstraints say CA:FALSE"
    usage = certificate.extension(x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return "its keyUsage lacks keyCertSign"
    return None


def require_anchor(certificate: ParsedCertificate) -> None:
    """Raise `ConfigurationError` unless *certificate* can be a trust anchor."""
    problem = _read(certificate, "anchor")
    if problem is not None:
        remedy = "register it with TrustStore(peers=[certificate]) if it is the peer's own certificate"
        raise ConfigurationError(f"{certificate} cannot be a trust anchor: {problem}; {remedy}", code="trust.not-a-ca")


def require_intermediate(certificate: ParsedCertificate) -> None:
    """Raise `ConfigurationError` unless *certificate* can be a known intermediate: v3 and a CA."""
    problem = _read(certificate, "intermediate")
    if certificate.version != 3:
        problem = f"it is X.509 v{certificate.version}, and an intermediate is v3 with {CA_EXTENSIONS}"
    if problem is not None:
        raise ConfigurationError(f"{certificate} cannot be an intermediate: {problem}", code="trust.not-a-ca")


def require_peer(certificate: ParsedCertificate) -> None:
    """Raise `ConfigurationError` unless *certificate* can be registered as a peer: anything but a CA."""
    try:
        constraints = certificate.extension(x509.BasicConstraints) if certificate.version == 3 else None
        certificate.public_key  # noqa: B018 - read now, so that what cannot be read is refused now
    except MalformedEvidence as error:
        raise ConfigurationError(f"peer: {error}") from None
    if constraints is not None and constraints.ca:
        raise ConfigurationError(
            f"{certificate} cannot be a registered peer: its basicConstraints say CA:TRUE; make it again with "
            "'openssl req -x509 ... -addext basicConstraints=critical,CA:FALSE'",
            code="trust.peer-is-ca",
        )


def _read(certificate: ParsedCertificate, role: str) -> str | None:
    try:
        certificate.public_key  # noqa: B018 - read now, so that what cannot be read is refused now
        return ca_problem(certificate)
    except MalformedEvidence as error:
        raise ConfigurationError(f"{role}: {error}") from None
