"""ExtendedKeyUsage, PolicyOID, KeyStrength and MaxLifetime: what the peer's certificate says about itself.

None of them says who the peer is. Path validation has its own rules for purposes and keys; these are further questions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import ClassVar, Final, Self, TypeAlias

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict, decision_of
from mtlspolicy._der import OID, SEQUENCE, element, elements, object_identifier
from mtlspolicy._evidence import Evidence
from mtlspolicy._keys import CURVES, RSA_MAXIMUM, RSA_MINIMUM, weakness
from mtlspolicy._policy import Policy
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._input import CertificateInput, certificates_of, require_duration
from mtlspolicy.policies._lists import Source, TextListPolicy

__all__ = ["ExtendedKeyUsage", "KeyStrength", "MaxLifetime", "PolicyOID"]

_OIDs: TypeAlias = tuple[str, ...] | None
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38}))+", re.ASCII)
_PURPOSES: Final = {
    "serverAuth": "1.3.6.1.5.5.7.3.1", "clientAuth": "1.3.6.1.5.5.7.3.2", "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4", "timeStamping": "1.3.6.1.5.5.7.3.8", "OCSPSigning": "1.3.6.1.5.5.7.3.9",
    "ipsecIKE": "1.3.6.1.5.5.7.3.17", "documentSigning": "1.3.6.1.5.5.7.3.36",
    "smartcardLogon": "1.3.6.1.4.1.311.20.2.2", "anyExtendedKeyUsage": "2.5.29.37.0",
}  # fmt: skip
"""Names of purposes as RFC 5280, section 4.2.1.12, and its successors write them."""
_PURPOSE_BY_NAME: Final = {name.lower(): oid for name, oid in _PURPOSES.items()}
_PURPOSE_NAMES: Final = {oid: name for name, oid in _PURPOSES.items()}
_SERVER, _CLIENT = "06082b06010505070301", "06082b06010505070302"
_USUAL_PURPOSES: Final = {
    bytes.fromhex("300a" + _CLIENT): (_PURPOSES["clientAuth"],),
    bytes.fromhex("300a" + _SERVER): (_PURPOSES["serverAuth"],),
    bytes.fromhex("3014" + _SERVER + _CLIENT): (_PURPOSES["serverAuth"], _PURPOSES["clientAuth"]),
    bytes.fromhex("3014" + _CLIENT + _SERVER): (_PURPOSES["clientAuth"], _PURPOSES["serverAuth"]),
}
"""What nearly every certificate for TLS says, by the DER of its extKeyUsage; every other one is read."""
_PERMIT: Final = Verdict.PERMIT
_EXTENDED_KEY_USAGE: Final = "2.5.29.37"
_ANY_PURPOSE: Final = _PURPOSES["anyExtendedKeyUsage"]
_ANY_POLICY: Final = "2.5.29.32.0"
_CURVE_NAMES: Final = {
    "p-256": "secp256r1", "p-384": "secp384r1", "p-521": "secp521r1", "prime256v1": "secp256r1",
} | {name: name for name in CURVES}  # fmt: skip


def _dotted(value: object, what: str, remedy: str) -> str:
    text = value.dotted_string if isinstance(value, x509.ObjectIdentifier) else value
    if isinstance(text, str) and _OID.fullmatch(text):
        return text
    raise ConfigurationError(f"{what} {text!r} is not known: {remedy}")


@dataclass(frozen=True, slots=True, init=False, repr=False)
class ExtendedKeyUsage(TextListPolicy[str]):
    """The certificate's extKeyUsage holds one of these purposes (RFC 5280, section 4.2.1.12); for all use ``&``.

    Without the extension, and where only anyExtendedKeyUsage would cover a purpose, the answer is INDETERMINATE.

    Args:
        purposes: ``clientAuth``, ``serverAuth`` and so on in any case, dotted OIDs or `x509.ObjectIdentifier`; or one
            source, a callable that returns the current ones.

    Raises:
        ConfigurationError: No purpose, or one that is not known.
    """

    entries: frozenset[str] | Source

    def __init__(self, *purposes: str | x509.ObjectIdentifier | Source) -> None:
        object.__setattr__(self, "entries", self._gathered(purposes))

    @classmethod
    def of(cls, *certificates: CertificateInput) -> Self:
        """Return a policy of the purposes that *certificates* have."""
        return cls(*_oids_of(certificates, _purposes, cls.__name__))

    @classmethod
    def _entry(cls, value: object) -> str:
        named = _PURPOSE_BY_NAME.get(value.lower()) if isinstance(value, str) else None
        return named or _dotted(value, "purpose", f"write one of {', '.join(_PURPOSES)}, or its dotted OID")

    @classmethod
    def _shown(cls, entry: str) -> str:
        return repr(_PURPOSE_NAMES.get(entry, entry))

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether one of the purposes is there."""
        held = self.entries
        wanted = self._current() if callable(held) else held
        presented = _purposes(evidence.path.certificates[0])
        if presented is None:
            return self.indeterminate(
                "eku.absent", "the certificate has no extKeyUsage; issue it with the purpose that is meant"
            )
        found = ", ".join([_PURPOSE_NAMES.get(oid, oid) for oid in presented])
        if not wanted.isdisjoint(presented):
            return decision_of(_PERMIT, "eku.match", found, self)
        if _ANY_PURPOSE in presented:
            return self.indeterminate(
                "eku.any", f"only anyExtendedKeyUsage would cover the purpose; the certificate has {found}"
            )
        return self.deny("eku.mismatch", f"the certificate is for {found}")


def _purposes(certificate: ParsedCertificate) -> _OIDs:
    value = certificate._extension_values.get(_EXTENDED_KEY_USAGE)
    if value is None:
        return None
    known = _USUAL_PURPOSES.get(value)
    if known is not None:
        return known
    tag, start, end = element(value, 0, len(value))
    parts = elements(value, start, end)
    if tag != SEQUENCE or end != len(value) or not parts or any(kind != OID for kind, _, _ in parts):
        raise MalformedEvidence(f"the extKeyUsage of {certificate} is no list of object identifiers")
    return tuple([object_identifier(value[at:stop]) for _, at, stop in parts])


def _asserted(certificate: ParsedCertificate) -> _OIDs:
    extension = certificate.extension(x509.CertificatePolicies)
    return None if extension is None else tuple(one.policy_identifier.dotted_string for one in extension)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class PolicyOID(TextListPolicy[str]):
    """The certificate, and every CA below the trust anchor, asserts one of these certificate policies.

    A policy holds for a path only where each certificate asserts it (RFC 5280, section 6.1.3, d); a CA may assert
    anyPolicy. Where the extension is absent, or only anyPolicy would cover the end entity, the answer is INDETERMINATE.
    Policy mappings are not followed.

    Args:
        oids: Dotted OIDs or `x509.ObjectIdentifier`; or one source, a callable that returns the current ones.

    Raises:
        ConfigurationError: No OID, or text that is none.
    """

    entries: frozenset[str] | Source

    def __init__(self, *oids: str | x509.ObjectIdentifier | Source) -> None:
        object.__setattr__(self, "entries", self._gathered(oids))

    @classmethod
    def of(cls, *certificates: CertificateInput) -> Self:
        """Return a policy of the policy OIDs that *certificates* assert."""
        return cls(*_oids_of(certificates, _asserted, cls.__name__))

    @classmethod
    def _entry(cls, value: object) -> str:
        return _dotted(value, "certificate policy", "write a dotted OID like '2.23.140.1.2.2'")

    @classmethod
    def _shown(cls, entry: str) -> str:
        return repr(entry)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether one of the policies holds for the whole path."""
        open_ = self._current()
        for place, certificate in enumerate(evidence.path.certificates[:-1] or evidence.path.certificates):
            presented = _asserted(certificate)
            if presented is None:
                return self.indeterminate("policy-oid.absent", f"{certificate} has no certificatePolicies")
            found = open_.intersection(presented)
            if not found and _ANY_POLICY in presented:
                if place == 0:
                    return self.indeterminate(
                        "policy-oid.any", f"{certificate} asserts anyPolicy, which names no policy"
                    )
                continue
            if not found:
                answer = self.indeterminate if place else self.deny  # which CAs are in the path the peer may choose
                return answer("policy-oid.mismatch", f"{certificate} asserts {', '.join(presented)}")
            open_ = open_ if _ANY_POLICY in presented else found
        return self.permit("policy-oid.match", ", ".join(sorted(open_)))


def _oids_of(
    certificates: tuple[CertificateInput, ...], read: Callable[[ParsedCertificate], _OIDs], name: str
) -> Iterable[str]:
    found = [one for value in certificates for one in certificates_of(value, f"{name}.of")]
    try:
        return tuple(oid for certificate in found for oid in read(certificate) or ())
    except MalformedEvidence as error:
        raise ConfigurationError(f"{name}.of: {error}") from None


@dataclass(frozen=True, slots=True, init=False, repr=False)
class KeyStrength(Policy):
    """The peer's key is at least this strong, and encoded in the one canonical way.

    Path validation refuses RSA under 2048 bits and other curves than P-256, P-384 and P-521 by itself; this asks for
    more. Ed25519, Ed448 and ML-DSA keys are strong. A key in another encoding (compressed or explicit EC parameters)
    has another digest than the same key as others write it, so that pins and deny lists miss it: INDETERMINATE.

    Args:
        rsa_minimum: Bits of an RSA modulus, 2048 to 8192.
        curves: Accepted elliptic curves: ``P-256``, ``P-384``, ``P-521``, or their SEC names.

    Raises:
        ConfigurationError: A minimum that path validation asks for anyway or no key has, or an unknown curve.
    """

    rsa_minimum: int
    curves: frozenset[str]
    _reads_path_only: ClassVar[bool] = True

    def __init__(self, *, rsa_minimum: int = RSA_MINIMUM, curves: Iterable[str] = CURVES) -> None:
        if type(rsa_minimum) is not int or not RSA_MINIMUM <= rsa_minimum <= RSA_MAXIMUM:
            raise ConfigurationError(
                f"KeyStrength(rsa_minimum={rsa_minimum!r}): from {RSA_MINIMUM} to {RSA_MAXIMUM} bits, "
                "the bounds of path validation"
            )
        object.__setattr__(self, "rsa_minimum", rsa_minimum)
        object.__setattr__(self, "curves", frozenset(map(_curve, (curves,) if isinstance(curves, str) else curves)))
        if not self.curves:
            raise ConfigurationError("KeyStrength(curves=()): name at least one of P-256, P-384 and P-521")

    def __repr__(self) -> str:
        return f"KeyStrength(rsa_minimum={self.rsa_minimum}, curves={sorted(self.curves)})"

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the end entity's key is strong enough."""
        certificate = evidence.path.certificates[0]
        canonical = certificate.key_canonical  # raises where the key cannot be read, which is a doubt and no weakness
        reason = weakness(certificate, rsa_minimum=self.rsa_minimum, curves=self.curves)
        if reason is not None:
            return self.deny("key.weak", f"the peer has {reason}")
        if not canonical:
            return self.indeterminate("key.not-canonical", "the peer's key is not encoded in the canonical way")
        return decision_of(_PERMIT, "key.strong", "", self)


def _curve(name: object) -> str:
    known = _CURVE_NAMES.get(name.lower()) if isinstance(name, str) else None
    if known is None:
        raise ConfigurationError(f"KeyStrength: unknown curve {name!r}: P-256, P-384 and P-521 are accepted, no other")
    return known


@dataclass(frozen=True, slots=True, repr=False)
class MaxLifetime(Policy):
    """The certificate was issued for at most this long: its notAfter less its notBefore.

    Short-lived certificates limit what a stolen key is worth. That the certificate is inside its validity is for path
    validation.

    Args:
        lifetime: Longest lifetime, more than zero.
    """

    lifetime: timedelta
    _reads_path_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what is no length of time."""
        require_duration(self.lifetime, "MaxLifetime")

    def __repr__(self) -> str:
        return f"MaxLifetime({self.lifetime})"

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the end entity's lifetime is within the maximum."""
        certificate = evidence.path.certificates[0]
        lifetime = certificate.not_after - certificate.not_before
        if lifetime <= self.lifetime:
            return decision_of(_PERMIT, "lifetime.short", _issued_for(lifetime), self)
        return self.deny("lifetime.long", f"{_issued_for(lifetime)}, at most {self.lifetime}")


@lru_cache(64)  # a CA issues for one length of time, or a few
def _issued_for(lifetime: timedelta) -> str:
    return f"issued for {lifetime}"
