"""Finds the candidate paths from an end entity to the anchors, by name, in an order that the peer cannot choose.

It verifies no signature: a candidate is only a question for the path engine. Keys that the store distrusts end a
branch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._der import element, elements
from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import MalformedEvidence

Candidate = tuple[ParsedCertificate, ...]
"""End entity first, anchor last."""

_AUTHORITY_KEY, _SUBJECT_KEY = "2.5.29.35", "2.5.29.14"
_KEY_IDENTIFIER = 0x80
"""Tag of the keyIdentifier in an authorityKeyIdentifier (RFC 5280, section 4.2.1.1)."""

_FOUND_AT_MOST = 64
"""Candidates that are looked for before they are put in order; a peer who causes more gets no further."""


class Search(NamedTuple):
    """What was found.

    Attributes:
        candidates: In the order in which they are tried.
        truncated: Whether there were more than are tried.
        distrusted: A certificate whose key the store distrusts and that ended a branch, or ``None``.
        too_long: Whether a branch ended because the path would have been too long.
    """

    candidates: tuple[Candidate, ...]
    truncated: bool
    distrusted: ParsedCertificate | None
    too_long: bool


class _Finder:
    """One search: depth first over certificates whose subject is the issuer that the one before names."""

    def __init__(self, extra: tuple[ParsedCertificate, ...], store: TrustStore, longest: int) -> None:
        self.store = store
        self.distrusting = bool(store.distrusted)
        self.longest = longest
        self.distrusted: ParsedCertificate | None = None
        self.too_long = False
        self.found: list[Candidate] = []
        self.extra: dict[bytes, list[ParsedCertificate]] = {}
        # in the order of their digests: where the search ends early, what it found is not the peer's choice either
        for certificate in sorted(extra, key=lambda one: one.sha256) if len(extra) > 1 else extra:
            self.extra.setdefault(certificate.layout.subject, []).append(certificate)

    def look(self, start: Candidate) -> None:
        """Write what leads from *start* to an anchor to `found`, until that is full."""
        name, store = start[-1].layout.issuer, self.store
        for anchor in store.anchors_named(name):
            if not _met(anchor, start) and self.allowed(anchor):
                if len(start) + 1 > self.longest:
                    self.too_long = True
                else:
                    self.found.append((*start, anchor))
                    if len(self.found) > _FOUND_AT_MOST:
                        return
        issuers = (*store.intermediates_named(name), *self.extra.get(name, ()))
        for issuer in dict.fromkeys(issuers) if len(issuers) > 1 else issuers:
            if _met(issuer, start) or not self.allowed(issuer):
                continue
            if len(start) + 2 > self.longest:
                self.too_long = True
                continue
            self.look((*start, issuer))
            if len(self.found) > _FOUND_AT_MOST:
                return

    def allowed(self, certificate: ParsedCertificate) -> bool:
        if self.distrusting and self.store.distrusts(certificate):
            self.distrusted = certificate
            return False
        return True


def _met(certificate: ParsedCertificate, start: Candidate) -> bool:
    """Return whether the entity of *certificate*, name and key, is in *start* already (loops: RFC 4158, section 5.2).

    So a root that the peer sent along stands below no anchor, and no other certificate of an anchor is its end entity.
    """
    _, _, _, name, key, _ = certificate.layout
    for one in start:  # noqa: SIM110 - a generator costs more than the comparison that it usually makes
        if name == one.layout.subject and key == one.layout.spki:
            return True
    return False


def search(presented: tuple[ParsedCertificate, ...], store: TrustStore, *, longest: int, most: int) -> Search:
    """Return the candidate paths of the first certificate of *presented*.

    Args:
        presented: End entity first, then whatever the peer sent, in any order.
        store: Anchors and known intermediates.
        longest: Certificates in a path, end entity and anchor included.
        most: Candidates that are returned.

    Raises:
        MalformedEvidence: A certificate cannot be read.
    """
    usual = _usual(presented, store) if len(presented) == 2 and longest > 2 else None
    if usual is not None:
        return usual
    end_entity, *extra = presented
    finder = _Finder(tuple(extra), store, longest)
    if not finder.allowed(end_entity):
        return Search((), truncated=False, distrusted=end_entity, too_long=False)
    finder.look((end_entity,))
    found = finder.found
    if len(found) > 1:
        found.sort(key=_order)
    return Search(tuple(found[:most]), len(found) > most, finder.distrusted, finder.too_long)


def _usual(presented: tuple[ParsedCertificate, ...], store: TrustStore) -> Search | None:
    """Return what `_Finder` finds where the peer sent one issuing CA, which one anchor issued; else ``None``.

    The three names differ, so that none of them is met twice, and the store knows and distrusts nothing else.
    """
    if store._intermediates_by_name or store.distrusted:
        return None
    end_entity, issuing = presented
    _, _, issuer, subject, _, _ = end_entity.layout
    _, _, above, name, _, _ = issuing.layout
    anchors = store._anchors_by_name.get(above, ())
    if name != issuer or above in (name, subject) or name == subject or len(anchors) != 1:
        return None
    if name in store._anchors_by_name:
        return None
    return Search(((end_entity, issuing, anchors[0]),), truncated=False, distrusted=None, too_long=False)


def _order(candidate: Candidate) -> tuple[int, int, tuple[str, ...]]:
    """Key identifiers that fit first, then shorter, then by digest: the same whatever order the peer chose."""
    misfits = sum(1 for below, above in pairwise(candidate) if not _key_fits(below, above))
    return misfits, len(candidate), tuple(certificate.sha256 for certificate in candidate[1:])


def _key_fits(below: ParsedCertificate, above: ParsedCertificate) -> bool:
    """Return whether the key identifiers do not speak against *above* as issuer (RFC 5280, section 4.2.1.1)."""
    # Read from the bytes: junk that a stranger sends is put in order too, and parsing all of its extensions is slow.
    try:
        authority, subject = below.extension_value(_AUTHORITY_KEY), above.extension_value(_SUBJECT_KEY)
        if authority is None or subject is None:
            return True
        _, start, end = element(authority, 0, len(authority))
        wanted = [authority[at:stop] for tag, at, stop in elements(authority, start, end) if tag == _KEY_IDENTIFIER]
        _, start, end = element(subject, 0, len(subject))
    except MalformedEvidence:
        return False
    return not wanted or wanted[0] == subject[start:end]
