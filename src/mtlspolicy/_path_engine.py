"""Asks `cryptography`'s verifier whether one candidate path is valid. The only file that knows its unstable interface.

It judges one path at a time, with that path's anchor alone in the verifier's store, and holds the result against the
candidate. Policies, names that were expected and revocation are not its business.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    ClientVerifier,
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._path_search import Candidate
from mtlspolicy._profile import PathProfile, Purpose
from mtlspolicy._text import escape

_PURPOSES: Final = {
    Purpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
    Purpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
}
_CLIENT: Final = Purpose.CLIENT
_certificate: Final[Callable[[ParsedCertificate], x509.Certificate]] = attrgetter("certificate")
_KEY_USAGE, _EXTENDED_KEY_USAGE = "2.5.29.15", "2.5.29.37"


def failure(
    candidate: Candidate, *, profile: PathProfile, purpose: Purpose, at: datetime, memo: dict[bytes, Any]
) -> str | None:
    """Return why *candidate* is not a valid path at the aware time *at*, or ``None`` where it is.

    Args:
        candidate: End entity first, anchor last, two certificates at least.
        profile: `PathProfile.PRIVATE_PKI` or `PathProfile.WEBPKI`.
        purpose: What the end entity must be allowed to be.
        at: Aware time of the validation.
        memo: Where the store keeps the verifier's form of its anchors.
    """
    try:
        verifier = _verifier(candidate, profile=profile, purpose=purpose, at=at, memo=memo)
        certificates = list(map(_certificate, candidate))
        chain = verifier.verify(certificates[0], certificates[1:-1]).chain
    except VerificationError as error:
        return escape(str(error), 300)
    except Exception as error:  # noqa: BLE001 - for some inputs it raises what it does not document, e.g. ValueError
        return escape(f"{type(error).__name__}: {error}", 300)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a bug in its Rust code; every other one is not ours to stop
            raise
        return "the verifier failed internally"
    return None if chain == certificates else "the verifier found another path than the one it was asked about"


def _verifier(
    candidate: Candidate, *, profile: PathProfile, purpose: Purpose, at: datetime, memo: dict[bytes, Any]
) -> ClientVerifier:
    """Return a verifier for one call: it freezes its clock when it is built, so a kept one would accept the expired."""
    usual = _is_usual(candidate, purpose)
    der = candidate[-1].der
    kept: tuple[tuple[PathProfile, Purpose, bool, PolicyBuilder], ...] = memo.get(der, ())
    for known in kept:  # a handful at most, compared by identity: the hash of an enum is a function of Python's
        if known[0] is profile and known[1] is purpose and known[2] is usual:
            builder = known[3]
            break
    else:
        builder = _builder(profile, purpose, usual=usual).store(Store([candidate[-1].certificate]))
        memo[der] = (*kept, (profile, purpose, usual, builder))
    time = at if at.tzinfo is UTC else at.astimezone(UTC)
    return builder.time(time.replace(tzinfo=None)).build_client_verifier()


def _is_usual(candidate: Candidate, purpose: Purpose) -> bool:
    """Return whether the library's own rules on keyUsage and extKeyUsage say the same of *candidate* as ours do.

    They are for clients here, let no extKeyUsage be critical and want keyUsage in every CA. Where it is so anyway they
    are left in place: they run without calling back, and a call back costs as much as parsing a certificate.
    """
    if purpose is not _CLIENT:
        return False
    if _EXTENDED_KEY_USAGE in candidate[0].critical:
        return False
    for certificate in candidate[1:]:
        if _EXTENDED_KEY_USAGE in certificate.critical or _KEY_USAGE not in certificate._extension_values:
            return False
    return True


def _builder(profile: PathProfile, purpose: Purpose, *, usual: bool) -> PolicyBuilder:
    """Return the rules. A client verifier serves for servers too: its extKeyUsage rule is replaced for both purposes.

    *usual* leaves the library's rules on keyUsage and extKeyUsage as they come; see `_is_usual`.

    The server verifier of the library would insist on a DNS or IP name, which a SPIFFE identity is not; the name is
    decided by our own policy (RFC 9525).
    """
    end_entity, ca = ExtensionPolicy.webpki_defaults_ee(), ExtensionPolicy.webpki_defaults_ca()
    required = _PURPOSES[purpose]
    agnostic, plain = Criticality.AGNOSTIC, Criticality.NON_CRITICAL
    if profile is PathProfile.WEBPKI:
        if purpose is Purpose.SERVER:
            usage = Criticality.NON_CRITICAL  # as the default rule has it
            end_entity = end_entity.may_be_present(x509.ExtendedKeyUsage, usage, _end_entity_usage(required))
            ca = ca.may_be_present(x509.ExtendedKeyUsage, usage, _ca_usage(required))
        return PolicyBuilder().extension_policies(ca_policy=ca, ee_policy=end_entity)
    end_entity = end_entity.may_be_present(x509.SubjectAlternativeName, agnostic, None).may_be_present(
        x509.AuthorityKeyIdentifier, plain, None
    )
    ca = ca.may_be_present(x509.AuthorityKeyIdentifier, plain, None).may_be_present(
        x509.SubjectKeyIdentifier, plain, None
    )
    if not usual:
        end_entity = end_entity.may_be_present(x509.ExtendedKeyUsage, agnostic, _end_entity_usage(required))
        ca = ca.may_be_present(x509.KeyUsage, agnostic, _may_sign_certificates).may_be_present(
            x509.ExtendedKeyUsage, agnostic, _ca_usage(required)
        )
    return PolicyBuilder().extension_policies(ca_policy=ca, ee_policy=end_entity)


def _end_entity_usage(
    required: x509.ObjectIdentifier,
) -> Callable[[Policy, x509.Certificate, x509.ExtendedKeyUsage | None], None]:
    """RFC 5280, section 4.2.1.12: where present, it must hold the purpose; anyExtendedKeyUsage does not count."""

    def rule(_policy: Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
        if usage is not None and required not in usage:
            raise ValueError("extKeyUsage of the end entity lacks the purpose")

    return rule


def _ca_usage(
    required: x509.ObjectIdentifier,
) -> Callable[[Policy, x509.Certificate, x509.ExtendedKeyUsage | None], None]:
    """Let a CA with extKeyUsage issue for these purposes alone (CA/Browser Forum BR 7.1.2.10.6; as OpenSSL)."""

    def rule(_policy: Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
        if usage is not None and required not in usage and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usage:
            raise ValueError("extKeyUsage of a CA lacks the purpose")

    return rule


def _may_sign_certificates(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    """RFC 5280, section 4.2.1.3: where a CA has keyUsage, it must allow certificate signing."""
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("keyUsage of a CA lacks keyCertSign")
