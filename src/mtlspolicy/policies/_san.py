"""EmailName and URIName: names of the subjectAltName that are compared as text. DNS names and addresses are not here.

Each looks at entries of its own type alone: a mailbox in a dNSName, or in the subject, is none.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from mtlspolicy._constraints import name_objection
from mtlspolicy._decision import Verdict
from mtlspolicy._identifiers import EMAIL, URI
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import Match, absent, expected_list, is_dns_name, match_texts, normal_dns, presented_list
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._input import CertificateInput
from mtlspolicy.policies._lists import Source
from mtlspolicy.policies._names import TextNamePolicy, names_in, require_text

__all__ = ["EmailName", "URIName"]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.", re.ASCII)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class EmailName(TextNamePolicy[str]):
    """An rfc822Name is one of the expected mailboxes: the local part exactly, the domain without regard to ASCII case.

    Mail systems may deliver ``Boss@a.test`` and ``boss@a.test`` alike, RFC 5321 leaves that to them; here they differ.
    The emailAddress attribute of the subject does not count: that is ``SubjectAttribute("emailAddress", ...)``.

    Args:
        mailboxes: ``local@domain``, ASCII; or one collection of them; or one source, a callable that returns the
            current ones.
        allow_unconstrained: Whether a CA that has name constraints, none on rfc822Name, may vouch for a mailbox.

    Raises:
        ConfigurationError: No mailbox, or text that is none.
    """

    entries: frozenset[str] | Source
    allow_unconstrained: bool

    def __init__(self, *mailboxes: str | Collection[str] | Source, allow_unconstrained: bool = False) -> None:
        object.__setattr__(self, "entries", self._entries_of(mailboxes))
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)

    @classmethod
    def of(cls, *certificates: CertificateInput, allow_unconstrained: bool = False) -> Self:
        """Return a policy for every rfc822Name of *certificates* (PEM or DER bytes, or parsed).

        Raises:
            ConfigurationError: A certificate has none.
        """
        found = [name for one in certificates for name in names_in(one, cls.__name__, lambda own: own.names.emails)]
        return cls(found, allow_unconstrained=allow_unconstrained)

    @classmethod
    def _entry(cls, value: object) -> str:
        text = require_text(value, cls.__name__)
        mailbox = _mailbox(text) if text.isascii() else None
        if mailbox is None:
            raise ConfigurationError(
                f"{cls.__name__} {text!r} is no mailbox: write local@domain, the domain in A-labels"
            )
        return mailbox

    @classmethod
    def _shown(cls, entry: str) -> str:
        return quoted(entry)

    def _match(self, path: CertificationPath) -> Match:
        names, wanted = path.end_entity.names, self._current()
        malformed = None
        for presented in names.emails:
            mailbox = _mailbox(presented)
            if mailbox is None:
                malformed = presented
            elif mailbox in wanted:
                return Verdict.PERMIT, "name.match", quoted(presented)
        if malformed is not None:
            return Verdict.INDETERMINATE, "name.unreadable", f"the rfc822Name {quoted(malformed)} is no mailbox"
        if EMAIL in names.unreadable:
            return Verdict.INDETERMINATE, "name.unreadable", "an rfc822Name of the certificate cannot be read"
        if not names.emails:
            return absent("rfc822Name")
        detail = f"expected {expected_list(wanted)}, presented {presented_list(names.emails)}"
        return Verdict.DENY, "name.mismatch", detail

    def _objection(self, path: CertificationPath) -> str | None:
        emails = path.end_entity.names.emails
        return name_objection(path, EMAIL, emails, allow_unconstrained=self.allow_unconstrained)


def _mailbox(text: str) -> str | None:
    """Return *text* with its domain in lower case, or ``None`` where it is no plain ``local@domain``."""
    local, _, domain = text.rpartition("@")
    plain = local and "@" not in local and " " not in local and is_dns_name(domain)
    return f"{local}@{normal_dns(domain)}" if plain else None


@dataclass(frozen=True, slots=True, init=False, repr=False)
class URIName(TextNamePolicy[str]):
    """A uniformResourceIdentifier is one of the expected URIs, character by character: nothing is normalised.

    For SPIFFE IDs there is `SpiffeID`, which also holds the anchor to the trust domain.

    Args:
        uris: The URIs; or one collection of them; or one source, a callable that returns the current ones.
        allow_unconstrained: Whether a CA that has name constraints, none of them on URIs, may vouch for one.

    Raises:
        ConfigurationError: No URI, or text that is none.
    """

    entries: frozenset[str] | Source
    allow_unconstrained: bool

    def __init__(self, *uris: str | Collection[str] | Source, allow_unconstrained: bool = False) -> None:
        object.__setattr__(self, "entries", self._entries_of(uris))
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)

    @classmethod
    def of(cls, *certificates: CertificateInput, allow_unconstrained: bool = False) -> Self:
        """Return a policy for every URI of *certificates* (PEM or DER bytes, or parsed).

        Raises:
            ConfigurationError: A certificate has none.
        """
        found = [name for one in certificates for name in names_in(one, cls.__name__, lambda own: own.names.uris)]
        return cls(found, allow_unconstrained=allow_unconstrained)

    @classmethod
    def _entry(cls, value: object) -> str:
        text = require_text(value, cls.__name__)
        if not text.isascii() or " " in text or _SCHEME.match(text) is None:
            raise ConfigurationError(f"{cls.__name__} {text!r} is no URI: write scheme:rest in ASCII, percent-encoded")
        return text

    @classmethod
    def _shown(cls, entry: str) -> str:
        return quoted(entry)

    def _match(self, path: CertificationPath) -> Match:
        names = path.end_entity.names
        return match_texts("URI", self._current(), names.uris, unreadable=URI in names.unreadable)

    def _objection(self, path: CertificationPath) -> str | None:
        return name_objection(path, URI, path.end_entity.names.uris, allow_unconstrained=self.allow_unconstrained)
