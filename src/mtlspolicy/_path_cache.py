"""Remembers valid paths, so that a peer seen before costs no signature verification. It remembers acceptances only.

One cache belongs to one verifier, and the key contains the store's content and every presented byte; what a hit may
answer is further bounded by the validity of the path, on both sides.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._keys import weakness
from mtlspolicy._path_value import REST_OF_SECOND, CertificationPath

PRESENTATIONS: Final = 4
"""Chains that are kept for one end entity, so that a peer who varies what it sends along empties nobody else's
place."""

SELF_SIGNED: Final = 128
"""Self-signed certificates that are known; at most 2 MiB within the default limits."""

ISSUERS: Final = 256
"""CA certificates that are kept parsed; at most 4 MiB of DER within the default limits."""

WHOLE: Final = 4096
"""Bytes of a presented chain that are kept as they are for its key, 16 MiB for a full cache at most; of more, a digest
is."""

Key = tuple[str, tuple[bytes | int, ...]]


class Entry:
    """What is kept for one presented chain.

    Attributes:
        paths: Valid paths in the order in which they are tried.
        complete: Whether these are all candidates, so that a refusal too may be answered from here.
        kept: For each path, decisions of clauses that read nothing but the path.
        since: Earliest time that the entry answers for, where another candidate was past its validity when it was made:
            before, that one may be a path too, and be tried first. ``None`` where there was none.
    """

    __slots__ = ("_first", "_last", "complete", "kept", "paths", "since")

    def __init__(
        self,
        paths: tuple[CertificationPath, ...],
        complete: bool,  # noqa: FBT001 - two sequences beside it
        kept: tuple[dict[int, Any], ...],
        since: datetime | None = None,
    ) -> None:
        self.paths: tuple[CertificationPath, ...] = paths
        self.complete: bool = complete
        self.kept: tuple[dict[int, Any], ...] = kept
        self.since: datetime | None = since
        self._first: datetime | None = None
        self._last: datetime | None = None

    def valid_at(self, at: datetime) -> bool:
        """Return whether every path is inside its validity at the aware time *at*, and no other candidate can be."""
        first, last = self._first, self._last
        if first is None or last is None:  # for the first time: most peers come back, some never do
            first = max([path.not_before for path in self.paths])
            if self.since is not None and self.since > first:
                first = self.since
            last = min([path.not_after for path in self.paths]) + REST_OF_SECOND
            self._last, self._first = last, first  # the one that is looked at first last, for other threads
        return first <= at <= last


class PathCache:
    """A bounded map in two generations: what was not asked for while the newer one filled is forgotten with the older.

    Every step is one operation on a dictionary, so threads need no lock; a lost race costs one validation.
    """

    __slots__ = ("_issuers", "_new", "_new_keys", "_old", "_old_keys", "_self_signed", "_size")

    def __init__(self, size: int = 4096) -> None:
        self._size = max(1, size // 2)
        self._new: dict[Key, Entry] = {}
        self._old: dict[Key, Entry] = {}
        self._new_keys: dict[bytes, tuple[Key, ...]] = {}
        self._old_keys: dict[bytes, tuple[Key, ...]] = {}
        self._self_signed: dict[bytes, None] = {}
        self._issuers: dict[bytes, ParsedCertificate] = {}

    def key(self, store_digest: str, ders: tuple[bytes, ...]) -> Key:
        """Return the key for chain *ders* under a store: every byte of each.

        Where they are many, that is the length of each DER and SHA-256 over them in a row. Certificates known to be
        self-signed are left out but for the end entity: none can stand between two others.
        """
        if self._self_signed and len(ders) > 1:
            ders = (ders[0], *(der for der in ders[1:] if der not in self._self_signed))
        if sum(map(len, ders)) <= WHOLE:
            return store_digest, ders
        return store_digest, (*map(len, ders), hashlib.sha256(b"".join(ders)).digest())

    def parsed(self, ders: tuple[bytes, ...]) -> tuple[ParsedCertificate, ...]:
        """Return *ders* as certificates; a CA that issued in a valid path before is there already, parsed.

        Only the parsing is spared, whose result its bytes determine: signatures and rules of this path are verified.
        """
        end_entity, *others = ders
        known = self._issuers
        return (ParsedCertificate(end_entity), *[known.get(der) or ParsedCertificate(der) for der in others])

    def learn(self, presented: tuple[ParsedCertificate, ...]) -> bool:
        """Remember the last of *presented*, which had a valid path, if it is self-signed: a root that was sent along.

        One for each validation, so that a peer who sends junk costs one more signature verification at most. He may
        vary other certificates as he varies these; what keeps him from the places of others is `PRESENTATIONS`.

        Returns:
            Whether something was learned, after which keys may differ.
        """
        last = presented[-1]
        if len(presented) == 1 or last.der in self._self_signed or last.der in self._issuers:
            return False
        if weakness(last) is not None or not last.self_signed:
            return False
        if len(self._self_signed) >= SELF_SIGNED:
            self._self_signed = {}
        self._self_signed[last.der] = None
        return True

    def get(self, key: Key) -> Entry | None:
        """Return the entry under *key*, or ``None``."""
        entry = self._new.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is not None:
                self.put(key, entry)
        return entry

    def put(self, key: Key, entry: Entry) -> None:
        """Keep *entry* under *key*; an older presentation of the same end entity may be forgotten for it."""
        if len(self._new) >= self._size:
            self._old, self._old_keys, self._new, self._new_keys = self._new, self._new_keys, {}, {}
        for path in entry.paths:
            for issuer in path.certificates[1:-1]:
                self._keep_issuer(issuer)
        end_entity = entry.paths[0].end_entity.der
        keys = self._new_keys.get(end_entity) or self._old_keys.get(end_entity, ())
        if key not in keys:
            keys = (*keys, key)
            for surplus in keys[:-PRESENTATIONS]:
                self._new.pop(surplus, None)
                self._old.pop(surplus, None)
            self._new_keys[end_entity] = keys[-PRESENTATIONS:]
        self._new[key] = entry

    def _keep_issuer(self, issuer: ParsedCertificate) -> None:
        if issuer.der not in self._issuers:
            if len(self._issuers) >= ISSUERS:
                self._issuers = {}
            self._issuers[issuer.der] = issuer

    def __len__(self) -> int:
        return len(self._new.keys() | self._old.keys())
