"""Bundles of SPIFFE trust domains: which anchors may vouch for the IDs of which domain. Nothing is fetched here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._spiffe_id import SCHEME, SpiffeIdentifier
from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._input import CertificateInput, certificates_of

Anchors: TypeAlias = "TrustStore | CertificateInput | Iterable[CertificateInput]"
"""Anchors of one trust domain; of a store, its anchors."""
BundleInput: TypeAlias = "Anchors | Mapping[str, Anchors]"

_WHAT = "the bundle of SpiffeID"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Anchors by trust domain.

    Attributes:
        domains: Pairs of trust domain and digests of its anchors: SHA-256 of the public key in its canonical encoding,
            lower-case hex.
    """

    domains: frozenset[tuple[str, frozenset[str]]]

    def vouches(self, anchor: ParsedCertificate, trust_domain: str) -> bool:
        """Return whether *anchor* is one of *trust_domain*, by its public key.

        Raises:
            MalformedEvidence: The key of *anchor* cannot be read.
        """
        return any(domain == trust_domain and anchor.key_sha256 in keys for domain, keys in self.domains)


@dataclass(frozen=True, slots=True)
class LiveBundle:
    """A source of the current bundle, and the trust domains that are asked for (``None``: a source says them)."""

    source: Callable[[], object]
    domains: frozenset[str] | None

    def vouches(self, anchor: ParsedCertificate, trust_domain: str) -> bool:
        """Return whether *anchor* is now one of *trust_domain*.

        Raises:
            MalformedEvidence: The key of *anchor* cannot be read.
            ConfigurationError: The source returned no bundle; what it raises goes through.
        """
        return self.current().vouches(anchor, trust_domain)

    def current(self) -> Bundle:
        """Return the bundle as it is now.

        Raises:
            ConfigurationError: The source returned none; what it raises goes through.
        """
        return read_bundle(self.source(), self.domains)


def bundle_of(value: object, domains: frozenset[str] | None) -> Bundle | LiveBundle:
    """Return the bundle that a constructor was given, or the live one where that was a callable.

    Args:
        value: A `BundleInput` or such a callable.
        domains: The trust domains that are asked for; ``None`` where a source says them later.

    Raises:
        ConfigurationError: Anchors for nobody in particular, a domain without anchors, or no certificate.
    """
    if callable(value) and not isinstance(value, type):
        return LiveBundle(value, domains)
    return read_bundle(value, domains)


def read_bundle(value: object, domains: frozenset[str] | None) -> Bundle:
    """Return *value*, a `BundleInput`, as a bundle for *domains*; without them it must be a mapping."""
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        pairs = frozenset((_trust_domain(name), _keys(anchors)) for name, anchors in mapping.items())
        missing = (domains or frozenset()) - {name for name, _ in pairs}
        if missing or not pairs:
            raise ConfigurationError(
                f"{_WHAT} has no anchors for {', '.join(sorted(missing)) or 'any trust domain'}: add them"
            )
        return Bundle(pairs)
    if domains is None or len(domains) > 1:
        raise ConfigurationError(
            f"{_WHAT} is for several trust domains, each with its own anchors: give a mapping {{trust domain: anchors}}"
        )
    return Bundle(frozenset({(next(iter(domains)), _keys(value))}))


def _trust_domain(name: object) -> str:
    try:
        return SpiffeIdentifier.of(str(name)).trust_domain
    except MalformedEvidence as error:
        raise ConfigurationError(
            f"{_WHAT}: a key of the mapping is a trust domain without {SCHEME!r}: {error}"
        ) from None


def _keys(value: object) -> frozenset[str]:
    if isinstance(value, TrustStore):
        found: Iterable[object] = value.anchors
    elif isinstance(value, Iterable) and not isinstance(value, bytes | str):
        found = cast("Iterable[object]", value)
    else:
        found = (value,)
    keys = frozenset(certificate.key_sha256 for one in found for certificate in certificates_of(one, _WHAT))
    if not keys:
        raise ConfigurationError(f"{_WHAT} has no anchor: give the CA certificates of the trust domain")
    return keys
