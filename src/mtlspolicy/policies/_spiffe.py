"""SpiffeID: the peer's SPIFFE ID is one of those expected, or of a trust domain, and an anchor of that domain vouches.

Follows the X.509-SVID standard: exactly one URI, the ID; an end entity that is no CA. IDs are never compared by prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Self

from cryptography import x509

from mtlspolicy._constraints import name_objection
from mtlspolicy._decision import Verdict
from mtlspolicy._identifiers import URI
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import Match, absent, presented_list
from mtlspolicy._spiffe_id import SCHEME, SpiffeIdentifier
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._input import CertificateInput, PathInput, read_list
from mtlspolicy.policies._lists import SHOWN, ListPolicy, Source
from mtlspolicy.policies._names import NamePolicy, names_in, require_text
from mtlspolicy.policies._spiffe_bundle import Bundle, BundleInput, LiveBundle, bundle_of

__all__ = ["SpiffeID"]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SpiffeID(NamePolicy[SpiffeIdentifier]):
    """The peer has one of the expected SPIFFE IDs.

    With *bundle* the path must end in an anchor of the ID's own trust domain (``spiffe.foreign-anchor`` else). Without
    it every anchor of the verifier's store may assert every ID: leave it out only where all anchors are of one trust
    domain.

    Args:
        ids: SPIFFE IDs; or one collection of them; or one source, a callable that returns the current ones.
        bundle: The anchors of the one trust domain of *ids*: a `TrustStore`, a certificate or several; or a mapping
            from trust domains to these; or a callable that returns the current one. Anchors are compared by public key.
        allow_unconstrained: Whether a CA that has name constraints, none of them on URIs, may vouch for an ID.

    Raises:
        ConfigurationError: No ID, text that is none, or a bundle that leaves a trust domain without anchors.
    """

    entries: frozenset[SpiffeIdentifier] | Source
    allow_unconstrained: bool
    bundle: Bundle | LiveBundle | None
    members: bool
    """Whether the entries are trust domains, whose every member is meant."""

    def __init__(
        self,
        *ids: str | SpiffeIdentifier | Collection[str | SpiffeIdentifier] | Source,
        bundle: BundleInput | Callable[[], BundleInput] | None = None,
        allow_unconstrained: bool = False,
    ) -> None:
        entries = self._entries_of(ids)
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "members", False)
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)
        object.__setattr__(self, "bundle", _bundle(bundle, entries))

    @classmethod
    def member_of(
        cls,
        *trust_domains: str,
        bundle: BundleInput | Callable[[], BundleInput] | None = None,
        allow_unconstrained: bool = False,
    ) -> Self:
        """Return a policy for every SPIFFE ID of one of *trust_domains*; the parsed domain is compared, never a prefix.

        Args:
            trust_domains: Names like ``prod.example.org``, without scheme.
            bundle: As for the constructor.
            allow_unconstrained: As for the constructor.
        """
        domains = cls._parsed(SCHEME + require_text(name, f"{cls.__name__}.member_of") for name in trust_domains)
        if any(domain.path for domain in domains):
            raise ConfigurationError(
                f"{cls.__name__}.member_of takes trust domains; an ID with a path is {cls.__name__}(...)"
            )
        return cls._holding(
            domains, members=True, bundle=_bundle(bundle, domains), allow_unconstrained=allow_unconstrained
        )

    @classmethod
    def of(
        cls, *certificates: CertificateInput, bundle: BundleInput | None = None, allow_unconstrained: bool = False
    ) -> Self:
        """Return a policy for the SPIFFE ID of each of *certificates* (PEM or DER bytes, or parsed).

        Raises:
            ConfigurationError: A certificate has a URI that is none, or no URI.
        """
        found = [name for one in certificates for name in names_in(one, cls.__name__, lambda own: own.names.uris)]
        return cls(found, bundle=bundle, allow_unconstrained=allow_unconstrained)

    @classmethod
    def parse(cls, text: str, *, bundle: BundleInput | None = None, allow_unconstrained: bool = False) -> Self:
        """Return a policy for the one SPIFFE ID that *text* writes."""
        return cls(text, bundle=bundle, allow_unconstrained=allow_unconstrained)

    @classmethod
    def from_list_file(
        cls, path: PathInput, *, bundle: BundleInput | None = None, allow_unconstrained: bool = False
    ) -> Self:
        """Return a policy of the IDs in the file *path*: UTF-8, one a line, ``#`` begins a comment.

        Raises:
            ConfigurationError: The file cannot be read, has no entry, or one bad entry, whose line is named.
        """
        entries = read_list(path, cls.__name__, cls._entry)
        return cls(entries, bundle=bundle, allow_unconstrained=allow_unconstrained)

    @classmethod
    def _entry(cls, value: object) -> SpiffeIdentifier:
        if isinstance(value, SpiffeIdentifier):
            value = str(value)
        try:
            return SpiffeIdentifier.parse(require_text(value, cls.__name__))
        except MalformedEvidence as error:
            raise ConfigurationError(f"{cls.__name__}: {error}") from None

    @classmethod
    def _shown(cls, entry: SpiffeIdentifier) -> str:
        return quoted(str(entry))

    def _alike(self, other: Self) -> bool:
        return other.members == self.members

    @property
    def _reads_path_only(self) -> bool:  # type: ignore[override]  # a live list or bundle changes
        return not callable(self.entries) and not isinstance(self.bundle, LiveBundle)

    @property
    def _is_live(self) -> bool:
        return not self._reads_path_only

    def _sources_now(self) -> tuple[object, ...]:
        bundle = self.bundle
        found = ListPolicy[SpiffeIdentifier]._sources_now(self)  # slots: there is no super() before Python 3.14
        return (*found, bundle.current()) if isinstance(bundle, LiveBundle) else found

    @property
    def _binds_issuer(self) -> bool:  # type: ignore[override]  # a bundle says which anchors may assert the ID
        return self.bundle is not None

    def _match(self, path: CertificationPath) -> Match:
        identifier = _svid(path)
        if not isinstance(identifier, SpiffeIdentifier):
            return identifier
        wanted = self._current()
        compared = SpiffeIdentifier(identifier.trust_domain) if self.members else identifier
        if compared not in wanted:
            expected = " or ".join(sorted(map(str, wanted))) if len(wanted) <= SHOWN else f"one of {len(wanted)}"
            kind = "a member of " if self.members else ""
            return Verdict.DENY, "name.mismatch", f"expected {kind}{expected}, presented {identifier}"
        if self.bundle is not None and not self.bundle.vouches(path.anchor, identifier.trust_domain):
            return (
                Verdict.INDETERMINATE,  # a cross certificate leads to another anchor, and must not satisfy ``~``
                "spiffe.foreign-anchor",
                f"{identifier} is vouched for by the anchor {path.anchor}, which is none of its trust domain",
            )
        return Verdict.PERMIT, "name.match", str(identifier)

    def _objection(self, path: CertificationPath) -> str | None:
        return name_objection(path, URI, path.end_entity.names.uris, allow_unconstrained=self.allow_unconstrained)

    def __repr__(self) -> str:
        if not self.members:
            name, entries = type(self).__name__, self._listed()
        else:
            name, entries = f"{type(self).__name__}.member_of", self._listed().replace(SCHEME, "")
        bundle = ", bundle=..." if self.bundle is not None else ""
        return f"{name}({entries}{bundle}{self._options})"


def _bundle(bundle: object, entries: frozenset[SpiffeIdentifier] | Source) -> Bundle | LiveBundle | None:
    domains = None if callable(entries) else frozenset(entry.trust_domain for entry in entries)
    return None if bundle is None else bundle_of(bundle, domains)


def _svid(path: CertificationPath) -> SpiffeIdentifier | Match:
    """Return the SPIFFE ID of the end entity, or why it is no X.509-SVID with one."""
    end_entity = path.end_entity
    names = end_entity.names
    if URI in names.unreadable:
        return Verdict.INDETERMINATE, "name.unreadable", "a URI of the certificate cannot be read"
    if not names.uris:
        return absent("SPIFFE ID")
    uri, *others = names.uris
    if others:
        detail = f"an X.509-SVID has exactly one URI; the certificate has {presented_list(names.uris)}"
        return Verdict.INDETERMINATE, "name.ambiguous", detail
    if not uri.startswith(SCHEME):
        return absent(f"SPIFFE ID: its URI is {quoted(uri, 200)}")
    identifier = SpiffeIdentifier.parse(uri)
    if path.issuer is None:
        return (
            Verdict.INDETERMINATE,
            "spiffe.not-svid",
            "the peer is itself the anchor: nobody vouches for its SPIFFE ID",
        )
    constraints, usage = end_entity.extension(x509.BasicConstraints), end_entity.extension(x509.KeyUsage)
    if (constraints is not None and constraints.ca) or (usage is not None and (usage.key_cert_sign or usage.crl_sign)):
        detail = "the certificate is a CA's (cA, keyCertSign or cRLSign), which is no X.509-SVID of a workload"
        return Verdict.INDETERMINATE, "spiffe.not-svid", detail
    return identifier
