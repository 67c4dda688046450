"""SPKIPin and CertificatePin: the peer's own key or certificate is one of those listed.

Only the end entity of the validated path counts; whatever else a peer appends to its chain is never compared. Both
identify, and neither can be negated: the same key has several encodings, and anyone can change the digest of an ECDSA
certificate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from cryptography import x509

from mtlspolicy._certificate import PARSER_ERRORS, ParsedCertificate
from mtlspolicy._decision import Decision
from mtlspolicy._evidence import Evidence
from mtlspolicy._pem import PemBlock, looks_like_pem, read_pem
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._digest import digest_text, parse_digest
from mtlspolicy.policies._input import (
    CertificateInput,
    PathInput,
    certificate_of,
    certificates_in_file,
    certificates_of,
    read_file,
    refuse_chain,
)
from mtlspolicy.policies._lists import Source, TextListPolicy

__all__ = ["CertificatePin", "SPKIPin"]

_ADVICE: Final = "pin the peer's own certificate (openssl x509 -in chain.pem -out peer.pem writes the first one alone)"


class _Pin(TextListPolicy[bytes]):
    """Shared by both: digests of 32 bytes, which take a third less memory than their hex."""

    __slots__ = ()

    identifies: ClassVar[bool] = True
    _negatable: ClassVar[bool] = False
    _binds_issuer: ClassVar[bool] = True
    _colons: ClassVar[bool]

    @classmethod
    def _entry(cls, value: object) -> bytes:
        if isinstance(value, str):
            return parse_digest(value, cls.__name__, colons=cls._colons)
        raise ConfigurationError(
            f"{cls.__name__} takes digests, not {type(value).__name__}; for certificates there is {cls.__name__}.of"
        )

    @classmethod
    def _shown(cls, entry: bytes) -> str:
        return repr(digest_text(entry))

    def _compare(self, presented: str, whose: str) -> Decision:
        digest = bytes.fromhex(presented)
        if digest in self._current():
            return self.permit("pin.match", digest_text(digest))
        return self.deny("pin.mismatch", f"{whose} is {digest_text(digest)}")


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SPKIPin(_Pin):
    """The peer's key is one of the pinned: SHA-256 of its SubjectPublicKeyInfo (RFC 7469, section 2.4).

    The bytes are hashed as they stand in the certificate. List the next key beside the current one to rotate without
    downtime.

    Args:
        pins: ``sha256/BASE64=`` or 64 hex digits each; or one source, a callable that returns the current ones.

    Raises:
        ConfigurationError: No pin, or one that is no SHA-256 digest.
    """

    entries: frozenset[bytes] | Source
    _colons: ClassVar[bool] = False

    def __init__(self, *pins: str | Source) -> None:
        object.__setattr__(self, "entries", self._gathered(pins))

    @classmethod
    def of(cls, *certificates: CertificateInput) -> Self:
        """Return a policy that pins the key of each of *certificates* (PEM or DER bytes, or parsed)."""
        return cls(*(certificate.spki_sha256 for certificate in _peers_of(certificates, f"{cls.__name__}.of")))

    @classmethod
    def from_file(cls, path: PathInput) -> Self:
        """Return a policy that pins every key in a file: PEM certificates and public keys, or one DER certificate.

        Raises:
            ConfigurationError: The file cannot be read, holds neither, or something else as well, such as a private
                key.
        """
        what = f"{cls.__name__}, file {str(path)!r}"
        data = read_file(path, cls.__name__)
        if not looks_like_pem(data):
            certificate = certificate_of(data, what)
            _require_peers([certificate], what)
            return cls(certificate.spki_sha256)
        try:
            blocks = read_pem(data)
        except MalformedEvidence as error:
            raise ConfigurationError(f"{what}: {error}") from None
        digests = [_spki_sha256(block, what) for block in blocks]
        _require_peers([ParsedCertificate(block.der) for block in blocks if block.label == "CERTIFICATE"], what)
        return cls(*digests)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the end entity's key is pinned."""
        return self._compare(evidence.path.end_entity.spki_sha256, "the peer's key")


def _peers_of(values: Sequence[CertificateInput], what: str) -> list[ParsedCertificate]:
    """Return the certificates in *values*, which must all be peers' own."""
    found = [one for value in values for one in certificates_of(value, what)]
    _require_peers(found, what)
    return found


def _require_peers(certificates: Sequence[ParsedCertificate], what: str) -> None:
    """Raise `ConfigurationError` where *certificates* hold a CA's: its key could be certified anew.

    A chain file has the keys of its CAs besides the peer's, and whoever holds one of them could have it in a
    certificate of an end entity.
    """
    refuse_chain(tuple(certificates), what, _ADVICE)
    for certificate in certificates:
        try:
            constraints = certificate.extension(x509.BasicConstraints)
        except MalformedEvidence as error:
            raise ConfigurationError(f"{what}: {error}") from None
        if constraints is not None and constraints.ca:
            raise ConfigurationError(f"{what}: {certificate} is a CA certificate; {_ADVICE}, and a CA with IssuerPin")


def _spki_sha256(block: PemBlock, what: str) -> str:
    if block.label == "PUBLIC KEY":
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        try:
            load_der_public_key(block.der)
        except PARSER_ERRORS as error:
            raise ConfigurationError(f"{what}: a public key that cannot be read: {escape(str(error), 200)}") from None
        return hashlib.sha256(block.der).hexdigest()
    if block.label == "CERTIFICATE":
        return certificate_of(block.der, what).spki_sha256
    raise ConfigurationError(f"{what}: a PEM block {block.label!r} where only certificates and public keys belong")


@dataclass(frozen=True, slots=True, init=False, repr=False)
class CertificatePin(_Pin):
    """The peer's certificate is one of the pinned: SHA-256 of its DER. It ends with each renewal; `SPKIPin` need not.

    Args:
        pins: 64 hex digits, hex pairs with colons as ``openssl x509 -fingerprint -sha256`` prints them, or
            ``sha256/BASE64=`` each; or one source, a callable that returns the current ones.

    Raises:
        ConfigurationError: No pin, or one that is no SHA-256 digest.
    """

    entries: frozenset[bytes] | Source
    _colons: ClassVar[bool] = True

    def __init__(self, *pins: str | Source) -> None:
        object.__setattr__(self, "entries", self._gathered(pins))

    @classmethod
    def of(cls, *certificates: CertificateInput) -> Self:
        """Return a policy that pins each of *certificates* (PEM or DER bytes, or parsed)."""
        return cls(*(certificate.sha256 for certificate in _peers_of(certificates, f"{cls.__name__}.of")))

    @classmethod
    def from_file(cls, path: PathInput) -> Self:
        """Return a policy that pins every certificate in the PEM or DER file *path*.

        Raises:
            ConfigurationError: The file cannot be read or holds no certificate, or something else as well.
        """
        return cls.of(*certificates_in_file(path, cls.__name__))

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the end entity's certificate is pinned."""
        return self._compare(evidence.path.end_entity.sha256, "the peer's certificate")
