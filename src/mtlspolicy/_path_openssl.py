"""Asks OpenSSL's X509_verify_cert, through pyOpenSSL, whether one candidate path is valid: the path engine ``openssl``.

It judges one path at a time, with that path's anchor alone in OpenSSL's store, and repeats what OpenSSL leaves out when
nobody tells it a purpose or a security level: extKeyUsage, keyUsage, signature algorithms, critical extensions. Key
strength, policies, names that were expected and revocation are not its business.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._identifiers import SUBJECT_ALT_NAME
from mtlspolicy._path_diagnosis import UNDERSTOOD, validity_refusal
from mtlspolicy._path_search import Candidate
from mtlspolicy._profile import PathProfile, Purpose
from mtlspolicy._text import escape, quoted
from mtlspolicy._trust_roles import ca_problem
from mtlspolicy.errors import ConfigurationError

_PURPOSES: Final = {
    Purpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
    Purpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
}
_BASIC_CONSTRAINTS, _EXTENDED_KEY_USAGE, _NAME_CONSTRAINTS = "2.5.29.19", "2.5.29.37", "2.5.29.30"
_EMPTY_NAME: Final = b"\x30\x00"
_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
_PSS: Final = SignatureAlgorithmOID.RSASSA_PSS
_PUBLIC_CAS: Final = frozenset(
    {
        *(SignatureAlgorithmOID.RSA_WITH_SHA256, SignatureAlgorithmOID.RSA_WITH_SHA384),
        *(SignatureAlgorithmOID.RSA_WITH_SHA512, SignatureAlgorithmOID.ECDSA_WITH_SHA256),
        *(SignatureAlgorithmOID.ECDSA_WITH_SHA384, SignatureAlgorithmOID.ECDSA_WITH_SHA512),
    }
)
"""CA/Browser Forum BR 7.1.3.2, but for RSASSA-PSS, whose hash is a parameter."""
_PRIVATE_CAS: Final = _PUBLIC_CAS | {
    SignatureAlgorithmOID.ED25519,
    SignatureAlgorithmOID.ED448,
    # ML-DSA-44, -65 and -87 (RFC 9881)
    *(x509.ObjectIdentifier(f"2.16.840.1.101.3.4.3.{last}") for last in (17, 18, 19)),
}
"""What a private CA may sign with: what OpenSSL verifies and nobody can forge. No SHA-1 and no MD5."""


@cache
def crypto() -> Any:
    """Return ``OpenSSL.crypto``.

    Raises:
        ConfigurationError: pyOpenSSL is not installed.
    """
    try:
        return import_module("OpenSSL.crypto")
    except ImportError as error:
        raise ConfigurationError(
            f"path_engine=\"openssl\" needs pyOpenSSL ({error}): pip install 'mtlspolicy[pyopenssl]'",
            code="path.engine-unavailable",
        ) from None


def failure(
    candidate: Candidate, *, profile: PathProfile, purpose: Purpose, at: datetime, memo: dict[bytes, Any]
) -> str | None:
    """Return why *candidate* is not a valid path at the aware time *at*, or ``None`` where it is.

    Args:
        candidate: End entity first, anchor last, two certificates at least.
        profile: `PathProfile.PRIVATE_PKI` or `PathProfile.WEBPKI`.
        purpose: What the end entity must be allowed to be.
        at: Aware time of the validation.
        memo: Where the store keeps the engine's form of its anchors.
    """
    library = crypto()
    try:
        return _rule(candidate, profile, purpose, at) or _verified(library, candidate, profile, at, memo)
    except library.X509StoreContextError as error:
        return escape(f"OpenSSL: {error} (certificate {error.errors[1]} of the path)", 300)
    except Exception as error:  # noqa: BLE001 - whatever keeps it from being verified, it was not verified
        return escape(f"{type(error).__name__}: {error}", 300)


def _verified(
    library: Any, candidate: Candidate, profile: PathProfile, at: datetime, memo: dict[bytes, Any]
) -> str | None:
    """Return that OpenSSL found another path, or ``None``; it raises where it found none."""
    key = b"openssl" + candidate[-1].der  # other engines keep theirs under other keys
    anchor = memo.get(key)
    if anchor is None:
        anchor = memo[key] = library.load_certificate(library.FILETYPE_ASN1, candidate[-1].der)
    below = [library.load_certificate(library.FILETYPE_ASN1, one.der) for one in candidate[:-1]]
    store = library.X509Store()  # its time is a part of it, so it is never kept
    flags = library.X509StoreFlags
    # An issuing CA alone may be the anchor. Strict asks for key identifiers and keyUsage, which private CAs may leave
    # out.
    store.set_flags(flags.PARTIAL_CHAIN | (flags.X509_STRICT if profile is PathProfile.WEBPKI else 0))
    store.set_time(_time(candidate, at))
    store.add_cert(anchor)
    found = library.X509StoreContext(store, below[0], below[1:]).get_verified_chain()
    ders = [library.dump_certificate(library.FILETYPE_ASN1, one) for one in found]
    if ders == [one.der for one in candidate]:
        return None
    return "OpenSSL found another path than the one it was asked about"


def _time(candidate: Candidate, at: datetime) -> datetime:
    """Return the time for OpenSSL, to which the second of notAfter is too late; RFC 5280, section 4.1.2.5, has it in.

    That no certificate is outside its validity at *at* itself is known here already.
    """
    latest = min(at, min(one.not_after for one in candidate) - timedelta(seconds=1))
    return latest.astimezone(UTC)  # pyOpenSSL reads the wall clock of whatever zone a time is in


def _rule(candidate: Candidate, profile: PathProfile, purpose: Purpose, at: datetime) -> str | None:
    """Return which rule of the profile *candidate* breaks that OpenSSL is not asked about, or ``None``."""
    for position, certificate in enumerate(candidate):
        outside = validity_refusal(certificate, at)
        if outside is not None:
            return outside.detail
        problem = _any(certificate) or (_end_entity(certificate) if position == 0 else _ca(certificate))
        problem = problem or _usage(certificate, _PURPOSES[purpose], ca=position > 0)
        if problem is None and position < len(candidate) - 1:  # nobody verifies the anchor's signature
            problem = _signature(certificate, profile)
        if problem is None and profile is PathProfile.WEBPKI:
            problem = _public(certificate, ca=position > 0)
        if problem is not None:
            return f"{certificate}: {problem}"
    return _excluded_by_wildcard(candidate)


def _any(certificate: ParsedCertificate) -> str | None:
    if certificate.version != 3:
        return f"it is X.509 v{certificate.version}"
    if certificate.layout.issuer == _EMPTY_NAME:
        return "its issuer has no name"  # RFC 5280, section 4.1.2.4
    unknown = certificate.critical - UNDERSTOOD
    return f"it has the critical extension {min(unknown)}" if unknown else None


def _end_entity(certificate: ParsedCertificate) -> str | None:
    constraints = certificate.extension(x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        return "it is a CA certificate"
    if certificate.extension_value(_NAME_CONSTRAINTS) is not None:
        return "it has nameConstraints, which are for CAs"  # RFC 5280, section 4.2.1.10
    usage = certificate.extension(x509.KeyUsage)
    return "its keyUsage has keyCertSign" if usage is not None and usage.key_cert_sign else None


def _ca(certificate: ParsedCertificate) -> str | None:
    problem = ca_problem(certificate)
    if problem is None and _BASIC_CONSTRAINTS not in certificate.critical:
        return "its basicConstraints are not critical"  # RFC 5280, section 4.2.1.9
    return problem


def _usage(certificate: ParsedCertificate, required: x509.ObjectIdentifier, *, ca: bool) -> str | None:
    """RFC 5280, section 4.2.1.12; anyExtendedKeyUsage counts in a CA alone (CA/Browser Forum BR 7.1.2.10.6)."""
    usage = certificate.extension(x509.ExtendedKeyUsage)
    if usage is None or required in usage or (ca and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage):
        return None
    return "its extKeyUsage lacks the purpose"


def _signature(certificate: ParsedCertificate, profile: PathProfile) -> str | None:
    parsed = certificate.certificate
    oid = parsed.signature_algorithm_oid
    if oid == _PSS:
        algorithm = parsed.signature_hash_algorithm
        accepted = algorithm is not None and algorithm.name in _HASHES
    else:
        accepted = oid in (_PUBLIC_CAS if profile is PathProfile.WEBPKI else _PRIVATE_CAS)
    return None if accepted else f"its signature algorithm {oid.dotted_string} is not accepted"


def _public(certificate: ParsedCertificate, *, ca: bool) -> str | None:
    """Say what the CA/Browser Forum asks besides (BR 6.1.5, 7.1.2.7.12): RSA and ECDSA keys, names in their place."""
    if not isinstance(certificate.public_key, RSAPublicKey | EllipticCurvePublicKey):
        return "its key is neither RSA nor EC"
    if ca:
        return None
    if certificate.extension_value(SUBJECT_ALT_NAME) is None:
        return "it has no subjectAltName"
    if (SUBJECT_ALT_NAME in certificate.critical) is not (certificate.layout.subject == _EMPTY_NAME):
        return "its subjectAltName must be critical where the subject is empty, and there alone"
    return "its extKeyUsage is critical" if _EXTENDED_KEY_USAGE in certificate.critical else None


def _excluded_by_wildcard(candidate: Candidate) -> str | None:
    """Return which wildcard of the end entity covers a name that a CA excludes; OpenSSL compares it as it stands."""
    for name in candidate[0].names.dns_names:
        below = name.removeprefix("*").lower()
        if below == name.lower():
            continue
        for certificate in candidate[1:]:
            found = certificate.name_constraints
            for subtree in () if found is None else found.excluded_subtrees or ():
                excluded = "." + subtree.value.lower().removeprefix(".") if isinstance(subtree, x509.DNSName) else ""
                if excluded and (below.endswith(excluded) or excluded.endswith(below)):
                    return f"{candidate[0]}: the name {quoted(name)} covers what nameConstraints exclude"
    return None
