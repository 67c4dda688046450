"""What is trusted (RFC 5280, section 6.1.1): anchors, known intermediates, registered peers, and distrusted keys.

A store is a value: it reads files while it is built and never again. No clock is read here, so an expired anchor is no
error; paths to it are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NoReturn, TypeAlias, cast

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._lazy import lazy
from mtlspolicy._pem import certificate_blocks, looks_like_pem
from mtlspolicy._trust_roles import require_anchor, require_intermediate, require_peer
from mtlspolicy.errors import ConfigurationError, MalformedEvidence

CertificateInput: TypeAlias = "x509.Certificate | ParsedCertificate | bytes"
"""A `cryptography` certificate, or the PEM or DER bytes of one."""

Elsewhere: TypeAlias = "Callable[..., Any]"
"""``elsewhere(refusal, presented, rules=, at=)`` returns a better refusal, or ``None``; a refusal it always remains."""

PUBLIC_SIZE: Final = 20
"""A store of more anchors than this counts as public: nobody knows by heart whom so many CAs vouch for."""


class TrustStore:
    """Trust anchors and what goes with them. Immutable; equal when the content is.

    Args:
        anchors: CA certificates that paths may end in; an issuing CA alone may be one.
        intermediates: Other CA certificates, known in advance, for peers that do not send theirs.
        peers: End entities that are trusted themselves, byte for byte, under `PathProfile.DIRECT` alone; no signature
            is followed, so none of them can vouch for another. Never together with *anchors*.
        distrusted: Certificates whose public key no path may contain.

    Raises:
        ConfigurationError: Nothing to trust, both roles at once, or a certificate that cannot have its role.
    """

    anchors: tuple[ParsedCertificate, ...]
    intermediates: tuple[ParsedCertificate, ...]
    peers: tuple[ParsedCertificate, ...]
    distrusted: tuple[ParsedCertificate, ...]
    notes_memo: dict[Any, Any]
    """Notes on policies over this store, by policy; bounded by the verifier."""
    engine_memo: dict[bytes, Any]
    """The path engine's form of each anchor, by DER; filled on demand, as long as the store lives."""
    generation: str = ""
    """Which state of a source that is reloaded this is, for decisions to record; no part of the content."""
    remarks: tuple[str, ...] = ()
    """Sentences about how the store was come by, for decisions to state; no part of the content."""
    elsewhere: Elsewhere | None = None
    """Asked about a peer without a path here: whether it belongs to somebody else's trust; no part of the content."""
    _distrusted_keys: frozenset[str]
    _anchors_by_name: dict[bytes, tuple[ParsedCertificate, ...]]
    _intermediates_by_name: dict[bytes, tuple[ParsedCertificate, ...]]

    def __init__(
        self,
        *,
        anchors: Iterable[CertificateInput] = (),
        intermediates: Iterable[CertificateInput] = (),
        peers: Iterable[CertificateInput] = (),
        distrusted: Iterable[CertificateInput] = (),
    ) -> None:
        write = self.__dict__.__setitem__
        write("anchors", _unique(anchors, "anchors"))
        write("intermediates", _unique(intermediates, "intermediates"))
        write("peers", _unique(peers, "peers"))
        write("distrusted", _unique(distrusted, "distrusted"))
        if not self.anchors and not self.peers:
            raise ConfigurationError(
                "the trust store is empty: give at least one anchor, or peers for registered certificates"
            )
        if self.peers and (self.anchors or self.intermediates):
            raise ConfigurationError(
                "a trust store has anchors or peers, not both: a registered peer never issues, a CA is no peer; use "
                "two verifiers"
            )
        for certificate in self.anchors:
            require_anchor(certificate)
        for certificate in self.intermediates:
            require_intermediate(certificate)
        for certificate in self.peers:
            require_peer(certificate)
        write("_distrusted_keys", frozenset(_key(certificate) for certificate in self.distrusted))
        write("_anchors_by_name", _by_name(self.anchors))
        write("_intermediates_by_name", _by_name(self.intermediates))
        write("notes_memo", {})
        write("engine_memo", {})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: what is trusted does not change in place; caches know a store by its content."""
        raise AttributeError(f"a TrustStore is immutable: cannot set {name!r}; join stores with |")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: what is trusted does not change in place."""
        raise AttributeError(f"a TrustStore is immutable: cannot delete {name!r}")

    @classmethod
    def from_pem(
        cls, data: bytes, *, anchors: Literal["self-signed", "all"] = "self-signed", source: str = "the PEM data"
    ) -> TrustStore:
        """Return the store in the PEM *data*: self-signed CA certificates are anchors, other ones intermediates.

        Args:
            data: PEM, certificates only.
            anchors: ``"all"`` makes every certificate an anchor: for an issuing CA without its root.
            source: What error messages call the data.

        Raises:
            ConfigurationError: No certificate, no anchor, a key, a certificate that is no CA; the message names it.
        """
        from mtlspolicy._trust_files import parse_pem

        return parse_pem(data, anchors=anchors, source=source)

    @classmethod
    def from_file(cls, path: Any, *, anchors: Literal["self-signed", "all"] = "self-signed") -> TrustStore:
        """Return the store in the PEM file *path*; see `from_pem`."""
        from mtlspolicy._trust_files import load_files

        return load_files((path,), anchors=anchors)

    @classmethod
    def from_files(cls, *paths: Any, anchors: Literal["self-signed", "all"] = "self-signed") -> TrustStore:
        """Return the store in the PEM files *paths*, each as with `from_file`, joined."""
        from mtlspolicy._trust_files import load_files

        return load_files(paths, anchors=anchors)

    @classmethod
    def from_directory(cls, path: Any, *, anchors: Literal["self-signed", "all"] = "self-signed") -> TrustStore:
        """Return the store in the files ``*.pem``, ``*.crt`` and ``*.cer`` of the directory *path*, all of them PEM."""
        from mtlspolicy._trust_files import directory_files, load_files

        return load_files(directory_files(path), anchors=anchors)

    @classmethod
    def public(cls) -> TrustStore:
        """Return certifi's store of public CAs, for verifying servers on the Web PKI."""
        from mtlspolicy._trust_files import public_store

        return public_store()

    def __or__(self, other: object) -> TrustStore:
        if not isinstance(other, TrustStore):
            return NotImplemented
        return TrustStore(
            anchors=self.anchors + other.anchors,
            intermediates=self.intermediates + other.intermediates,
            peers=self.peers + other.peers,
            distrusted=self.distrusted + other.distrusted,
        )

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, TrustStore) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        roles = (("anchors", self.anchors), ("intermediates", self.intermediates), ("peers", self.peers),
                 ("distrusted", self.distrusted))  # fmt: skip
        return f"<TrustStore {', '.join(f'{len(held)} {role}' for role, held in roles if held)}>"

    @lazy
    def digest(self) -> str:
        """SHA-256 over all certificates and their roles, lower-case hex: equal for equal content in any order."""
        whole = hashlib.sha256()
        for role in (self.anchors, self.intermediates, self.peers, self.distrusted):
            digests = sorted(certificate.sha256 for certificate in role)
            whole.update(f"{len(digests)}:{','.join(digests)};".encode())
        return whole.hexdigest()

    @lazy
    def registered(self) -> frozenset[bytes]:
        """DER of the registered peers."""
        return frozenset(certificate.der for certificate in self.peers)

    @lazy
    def is_public(self) -> bool:
        """Whether the store counts as public: many anchors, or one that certifi has too."""
        from mtlspolicy._trust_files import certifi_ders

        if len(self.anchors) > PUBLIC_SIZE:
            return True
        public = certifi_ders()
        return any(certificate.der in public for certificate in self.anchors)

    @lazy
    def direct_problem(self) -> str | None:
        """Why the anchors cannot be used under `PathProfile.DIRECT`, or ``None``."""
        for certificate in self.anchors:
            if certificate.extension(x509.NameConstraints) is not None:
                return f"the anchor {certificate} has nameConstraints, which PathProfile.DIRECT does not evaluate"
        return None

    def anchors_named(self, name: bytes) -> tuple[ParsedCertificate, ...]:
        """Return the anchors whose subject is *name* (DER)."""
        return self._anchors_by_name.get(name, ())

    def intermediates_named(self, name: bytes) -> tuple[ParsedCertificate, ...]:
        """Return the known intermediates whose subject is *name* (DER)."""
        return self._intermediates_by_name.get(name, ())

    def distrusts(self, certificate: ParsedCertificate) -> bool:
        """Return whether the public key of *certificate* is one that no path may contain."""
        return bool(self._distrusted_keys) and certificate.key_sha256 in self._distrusted_keys


TrustSource: TypeAlias = "TrustStore | Callable[[], TrustStore]"
"""A store, or a callable that returns the current one; an edge asks it once for each decision."""


def _unique(given: Iterable[CertificateInput], role: str) -> tuple[ParsedCertificate, ...]:
    if isinstance(given, x509.Certificate | ParsedCertificate | bytes | str) or not isinstance(given, Iterable):
        raise ConfigurationError(f"TrustStore({role}=...) takes a list: write {role}=[certificate]")
    return tuple(dict.fromkeys(certificate_of(one, role) for one in given))


def certificate_of(given: object, what: str) -> ParsedCertificate:
    """Return the one certificate that *given* is.

    Args:
        given: A `cryptography` certificate, a `ParsedCertificate`, or the PEM or DER bytes of one certificate.
        what: What error messages call it.

    Raises:
        ConfigurationError: It is not one certificate, or parts of it cannot be read.
    """
    if isinstance(given, ParsedCertificate):
        return given
    if isinstance(given, x509.Certificate):
        return ParsedCertificate.of(given)
    if not isinstance(given, bytes | bytearray | memoryview):
        raise ConfigurationError(
            f"{what}: {type(given).__name__} is not a certificate; give an x509.Certificate or the bytes of one "
            "(for a file use .from_file)"
        )
    try:
        data = bytes(cast("bytes", given))
        ders = certificate_blocks(data) if looks_like_pem(data) else (data,)
        if len(ders) != 1:
            raise ConfigurationError(
                f"{what}: {len(ders)} certificates where one belongs: give each by itself, or read a file of "
                "several with TrustStore.from_file"
            )
        certificate = ParsedCertificate(ders[0])
        certificate.public_key  # noqa: B018 - read now, so that what cannot be read is refused now
    except MalformedEvidence as error:
        raise ConfigurationError(f"{what}: {error}") from None
    return certificate


def _key(certificate: ParsedCertificate) -> str:
    try:
        return certificate.key_sha256
    except MalformedEvidence as error:
        raise ConfigurationError(f"distrusted: {error}") from None


def _by_name(certificates: tuple[ParsedCertificate, ...]) -> dict[bytes, tuple[ParsedCertificate, ...]]:
    found: dict[bytes, tuple[ParsedCertificate, ...]] = {}
    for certificate in certificates:
        name = certificate.layout.subject
        found[name] = (*found.get(name, ()), certificate)
    # equal stores search alike, whatever the order in which they were written
    return {name: tuple(sorted(alike, key=_sha256)) if alike[1:] else alike for name, alike in found.items()}


def _sha256(certificate: ParsedCertificate) -> str:
    return certificate.sha256
