"""IssuerPin and IssuerDN: which CA issued the peer's certificate, by its key or by its name.

The issuer is read from the validated path, never from what the peer presents besides. A name alone is as good as the
trust
store: any of its anchors may name a CA below it so. The end entity is never counted as an issuer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, Self, TypeAlias, get_args

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict, decision_of
from mtlspolicy._evidence import Evidence
from mtlspolicy._names import DistinguishedName
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._digest import digest_text, parse_digest
from mtlspolicy.policies._input import (
    CertificateInput,
    PathInput,
    certificates_in_file,
    certificates_of,
    read_list,
    refuse_chain,
    require_issuer,
)
from mtlspolicy.policies._lists import SHOWN, ListPolicy, Source, TextListPolicy

__all__ = ["IssuerDN", "IssuerPin"]

_PERMIT: Final = Verdict.PERMIT
Where: TypeAlias = Literal["issuer", "path", "anchor"]
_PLACES: Final = {"issuer": "direct issuer is", "path": "issuers are", "anchor": "trust anchor is"}
ADVICE: Final = "leave the one that issues the peers' certificates"
_NO_ISSUER: Final = "the path has one certificate, a registered peer, which no CA issued"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class IssuerPin(ListPolicy[str]):
    """The key of the CA that issued the peer's certificate is one of the pinned.

    Keys are compared, not certificates, in their one canonical encoding: a renewed or cross-signed certificate of the
    same CA matches, a CA of the same name with another key does not. By default only the direct issuer counts, so that
    a CA below the pinned one does not pass; ``where="path"`` takes any CA above the end entity, ``where="anchor"`` the
    trust anchor alone, and neither of these says who the peer is.

    Args:
        issuers: CA certificates (PEM or DER bytes, or parsed), or ``sha256/BASE64=`` of a CA's SubjectPublicKeyInfo; or
            one source, a callable that returns the current ones.
        where: Which CA of the path is compared.

    Raises:
        ConfigurationError: No issuer, a certificate that is no CA's, or PEM that holds a chain instead of one CA.
    """

    entries: frozenset[str] | Source
    where: str
    names: tuple[str, ...] = field(compare=False)
    """What the pinned CAs are called, escaped; for messages."""
    _negatable: ClassVar[bool] = False
    _binds_issuer: ClassVar[bool] = True

    def __init__(self, *issuers: CertificateInput | str | Source, where: Where = "issuer") -> None:
        entries = self._gathered(issuers)
        names = (
            ()
            if callable(entries)
            else tuple(dict.fromkeys(_label(one) for value in issuers for one in _issuers(value)))
        )
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "where", _place(where))
        object.__setattr__(self, "names", names)

    @property
    def identifies(self) -> bool:  # type: ignore[override]  # depends on which CA of the path is compared
        """Whether the direct issuer is compared: a CA further up says nothing about who the peer is."""
        return self.where == "issuer"

    @classmethod
    def of(cls, *certificates: CertificateInput, where: Where = "issuer") -> Self:
        """Return a policy that pins the key of each of the CA *certificates*; the same as the constructor."""
        return cls(*certificates, where=where)

    @classmethod
    def parse(cls, text: str, *, where: Where = "issuer") -> Self:
        """Return a policy that pins the CA key whose SHA-256 *text* writes: ``sha256/BASE64=`` or 64 hex digits."""
        return cls(text, where=where)

    @classmethod
    def from_file(cls, path: PathInput, *, where: Where = "issuer") -> Self:
        """Return a policy that pins the CA, or each of several unrelated CAs, in the PEM or DER file *path*.

        Raises:
            ConfigurationError: The file cannot be read, or holds a chain: pinning the CA above as well would admit what
                that one issues.
        """
        found = certificates_in_file(path, cls.__name__)
        refuse_chain(found, f"{cls.__name__}, file {str(path)!r}", ADVICE)
        return cls(*found, where=where)

    @classmethod
    def from_list_file(cls, path: PathInput, *, where: Where = "issuer") -> Self:
        """Return a policy of the key digests in the file *path*, one a line; ``#`` begins a comment."""
        entries = read_list(path, cls.__name__, cls._entry)
        names = tuple(cls._shown(entry) for entry in sorted(entries)) if len(entries) <= SHOWN else ()
        return cls._holding(entries, where=_place(where), names=names)

    @classmethod
    def _entry(cls, value: object) -> str:
        keys = {_key(one) for one in _issuers(value)}
        if len(keys) > 1:
            raise ConfigurationError(
                "IssuerPin: PEM with several keys where one CA is listed: give each as an entry of its own"
            )
        return keys.pop()

    @classmethod
    def _shown(cls, entry: str) -> str:
        return digest_text(bytes.fromhex(entry))

    def _arguments(self) -> str:
        listed = ", ".join(self.names) if 0 < len(self.names) <= SHOWN else self._listed()
        return listed if self.where == "issuer" else f"{listed}, where={self.where!r}"

    def _alike(self, other: Self) -> bool:
        return self.where == other.where

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the CA in the place that is compared has a pinned key."""
        held = self.entries
        pinned = self._current() if callable(held) else held
        certificates = evidence.path.certificates
        candidates = certificates[1:2] if self.where == "issuer" else _candidates(evidence.path, self.where)
        if not candidates:
            return self.deny("issuer.none", _NO_ISSUER)
        for certificate in candidates:
            if certificate.key_sha256 in pinned:
                return decision_of(_PERMIT, "issuer.match", certificate._text, self)
        found = ", ".join(f"{one} {digest_text(bytes.fromhex(one.key_sha256))}" for one in candidates)
        return self.deny("issuer.not-pinned", f"{_PLACES[self.where]} {found}")


def _place(where: str) -> str:
    if where not in get_args(Where):
        raise ConfigurationError(f"IssuerPin(where={where!r}): one of 'issuer' (the direct one), 'path' and 'anchor'")
    return where


def _candidates(path: CertificationPath, where: str) -> tuple[ParsedCertificate, ...]:
    above = path.certificates[1:]
    return above[-1:] if where == "anchor" else above


def _issuers(value: object) -> tuple[ParsedCertificate | str, ...]:
    """Return the CA certificates in *value*, or the digest in lower-case hex where it is the text of one."""
    if isinstance(value, str):
        if "-----BEGIN " in value:
            raise ConfigurationError("IssuerPin takes PEM as bytes: encode the text, or use IssuerPin.from_file(path)")
        return (parse_digest(value, "IssuerPin", colons=False).hex(),)
    found = certificates_of(value, "IssuerPin")
    refuse_chain(found, "IssuerPin", ADVICE)
    return tuple(require_issuer(certificate, "IssuerPin") for certificate in found)


def _key(issuer: ParsedCertificate | str) -> str:
    return issuer if isinstance(issuer, str) else issuer.key_sha256


def _label(issuer: ParsedCertificate | str) -> str:
    return repr(digest_text(bytes.fromhex(issuer))) if isinstance(issuer, str) else str(issuer)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class IssuerDN(TextListPolicy[DistinguishedName]):
    """The subject of the CA that issued the peer's certificate is one of these names, compared as parsed RDNs.

    It does not identify: a name is what the CA above chose to write. `IssuerPin` compares the key.

    Args:
        names: RFC 4514 text, most specific RDN first (``"CN=Issuing CA,O=Example"``), compared exactly; or one source,
            a callable that returns the current ones.

    Raises:
        ConfigurationError: No name, or text that is not RFC 4514.
    """

    entries: frozenset[DistinguishedName] | Source
    _negatable: ClassVar[bool] = False
    _binds_issuer: ClassVar[bool] = True

    def __init__(self, *names: str | Source) -> None:
        object.__setattr__(self, "entries", self._gathered(names))

    @classmethod
    def of(cls, *certificates: CertificateInput) -> Self:
        """Return a policy of the subjects of the CA *certificates*.

        Raises:
            ConfigurationError: One is no CA's, or its subject is empty or has a value that cannot be read.
        """
        found = [one for value in certificates for one in certificates_of(value, f"{cls.__name__}.of")]
        return cls._holding(cls._parsed(require_issuer(one, f"{cls.__name__}.of").subject for one in found))

    @classmethod
    def from_file(cls, path: PathInput) -> Self:
        """Return a policy of the subjects of the CA certificates in the PEM or DER file *path*."""
        found = certificates_in_file(path, cls.__name__)
        refuse_chain(found, f"{cls.__name__}, file {str(path)!r}", ADVICE)
        return cls.of(*found)

    @classmethod
    def from_list_file(cls, path: PathInput) -> Self:
        """Return a policy of the names in the file *path*, one a line; a line that begins with ``#`` is a comment."""
        return cls._holding(read_list(path, cls.__name__, cls._entry, inline_comments=False))

    @classmethod
    def _entry(cls, value: object) -> DistinguishedName:
        if isinstance(value, str):
            return DistinguishedName.parse(value)
        if not isinstance(value, DistinguishedName):
            raise ConfigurationError(
                f"IssuerDN takes RFC 4514 text, not {type(value).__name__}; IssuerDN.of(certificate) takes a CA's"
            )
        if not value.rdns or not value.readable:
            raise ConfigurationError(
                f"IssuerDN: the subject {value} is empty or has a value that cannot be read: use IssuerPin"
            )
        return value

    @classmethod
    def _shown(cls, entry: DistinguishedName) -> str:
        return quoted(str(entry))

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the direct issuer has one of the names."""
        wanted = self._current()
        issuer = evidence.path.issuer
        if issuer is None:
            return self.deny("issuer.none", _NO_ISSUER)
        presented = issuer.subject
        if not presented.readable:
            return self.indeterminate(
                "name.unreadable", f"the issuer's name {presented} has a value that cannot be read"
            )
        if presented in wanted:
            return self.permit("issuer.match", str(presented))
        hint = (
            "; the order of the RDNs is reversed: RFC 4514 begins with the most specific"
            if presented.reversed() in wanted
            else ""
        )
        return self.deny("issuer.not-pinned", f"direct issuer is {presented}{hint}")
