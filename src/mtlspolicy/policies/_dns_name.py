"""DNSName: a dNSName of the peer's subjectAltName, exactly or below a domain. No wildcard ever matches.

Names are compared in lower-case ASCII. Which server is meant is another question, with other rules: `_server_identity`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, Literal, Self

from mtlspolicy._constraints import name_objection
from mtlspolicy._decision import Verdict
from mtlspolicy._identifiers import DNS
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import (
    Match,
    absent,
    expected_list,
    is_dns_name,
    normal_dns,
    parse_dns,
    presented_list,
    unreadable_dns,
)
from mtlspolicy._text import quoted
from mtlspolicy.policies._input import CertificateInput
from mtlspolicy.policies._lists import Source
from mtlspolicy.policies._names import TextNamePolicy, names_in, require_text

__all__ = ["DNSName"]

_SCANNED: Final = 1000
"""Most expected names that a presented wildcard is held against one by one; beyond, it is a doubt without looking."""


@dataclass(frozen=True, slots=True, init=False, repr=False)
class DNSName(TextNamePolicy[str]):
    """A dNSName is one of the expected names.

    A wildcard that the peer presents and that would cover an expected name is INDETERMINATE (``name.wildcard``): it
    authenticates no single host. So is a dNSName that is no DNS name, such as an IP address, where none
    matches.

    Args:
        names: DNS names in A-label form, without wildcard and final dot; or one collection of them; or one source,
            a callable that returns the current ones.
        allow_unconstrained: Whether a CA that has name constraints, none of them on dNSName, may vouch for a DNS name.

    Raises:
        ConfigurationError: No name, or text that is no DNS name.
    """

    entries: frozenset[str] | Source
    allow_unconstrained: bool
    reach: Literal["host", "below", "domain"]
    """``host``: the names; ``below``: names below them at any depth; ``domain``: both."""
    _defaults: ClassVar[Mapping[str, object]] = MappingProxyType({"reach": "host"})

    def __init__(self, *names: str | Collection[str] | Source, allow_unconstrained: bool = False) -> None:
        object.__setattr__(self, "entries", self._entries_of(names))
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)
        object.__setattr__(self, "reach", "host")

    @classmethod
    def under(
        cls, *domains: str | Collection[str] | Source, apex: bool = False, allow_unconstrained: bool = False
    ) -> Self:
        """Return a policy for every name below one of *domains*, at any depth.

        Args:
            domains: DNS names; or one collection of them; or one source.
            apex: Whether the domain's own name is meant as well.
            allow_unconstrained: As for the constructor.
        """
        made = cls(*domains, allow_unconstrained=allow_unconstrained)
        object.__setattr__(made, "reach", "domain" if apex else "below")
        return made

    @classmethod
    def of(cls, *certificates: CertificateInput, allow_unconstrained: bool = False) -> Self:
        """Return a policy for every dNSName of *certificates* (PEM or DER bytes, or parsed).

        Raises:
            ConfigurationError: A certificate has none, or a wildcard.
        """
        found = [name for one in certificates for name in names_in(one, cls.__name__, lambda own: own.names.dns_names)]
        return cls(found, allow_unconstrained=allow_unconstrained)

    @classmethod
    def _entry(cls, value: object) -> str:
        return parse_dns(require_text(value, cls.__name__), cls.__name__)

    @classmethod
    def _shown(cls, entry: str) -> str:
        return quoted(entry)

    def _alike(self, other: Self) -> bool:
        return other.reach == self.reach

    def _match(self, path: CertificationPath) -> Match:
        names, wanted = path.end_entity.names, self._current()
        wildcard = None
        for presented in names.dns_names:
            name = normal_dns(presented)
            if self._expects(name, wanted) and is_dns_name(name):
                return Verdict.PERMIT, "name.match", quoted(presented)
            if name.startswith("*.") and self._meets(name[2:], wanted):
                wildcard = presented
        if wildcard is not None:
            detail = f"the peer presents {quoted(wildcard)}, which authenticates no single host"
            return Verdict.INDETERMINATE, "name.wildcard", detail
        doubt = unreadable_dns(names)
        if doubt is not None:
            return doubt
        if not names.dns_names:
            return absent("dNSName")
        detail = f"expected {self._place}{expected_list(wanted)}, presented {presented_list(names.dns_names)}"
        return Verdict.DENY, "name.mismatch", detail

    def _expects(self, name: str, wanted: frozenset[str]) -> bool:
        if self.reach != "below" and name in wanted:
            return True
        return self.reach != "host" and _below(name, wanted)

    def _meets(self, parent: str, wanted: frozenset[str]) -> bool:
        """Return whether a wildcard for the names directly below *parent* would cover an expected one, or may."""
        if self.reach != "host" and (parent in wanted or _below(parent, wanted)):
            return True
        if self.reach == "below":
            return False
        return len(wanted) > _SCANNED or any(name.partition(".")[2] == parent for name in wanted)

    @property
    def _place(self) -> str:
        return {"host": "", "below": "a name below ", "domain": "a name at or below "}[self.reach]

    def _objection(self, path: CertificationPath) -> str | None:
        return name_objection(path, DNS, path.end_entity.names.dns_names, allow_unconstrained=self.allow_unconstrained)

    def __repr__(self) -> str:
        name = type(self).__name__ if self.reach == "host" else f"{type(self).__name__}.under"
        return f"{name}({self._listed()}{', apex=True' if self.reach == 'domain' else ''}{self._options})"


def _below(name: str, domains: frozenset[str]) -> bool:
    """Return whether *name* lies below one of *domains*, label by label."""
    _, dot, rest = name.partition(".")
    while dot:
        if rest in domains:
            return True
        _, dot, rest = rest.partition(".")
    return False
