"""Remembers valid paths, so that a peer seen before costs no signature verification. It remembers acceptances only.

One cache belongs to one verifier, and the key contains the store's content and every presented byte; what a hit may
answer
is further bounded by the validity of the path, on both sides.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._keys import weakness
from mtlspolicy._path_value import CertificationPath

PRESENTATIONS: Final = 4
"""Chains that are kept for one end entity, so that a peer who varies what it sends along empties nobody else's
place."""

SELF_SIGNED: Final = 128
"""Self-signed certificates that are known; at most 2 MiB within the default limits."""

Key = tuple[str, bytes]


class Entry(NamedTuple):
    """What is kept for one presented chain.

    Attributes:
        paths: Valid paths in the order in which they are tried.
        complete: Whether these are all candidates, so that a refusal too may be answered from here.
        kept: For each path, decisions of clauses that read nothing but the path.
    """

    paths: tuple[CertificationPath, ...]
    complete: bool
    kept: tuple[dict[int, Any], ...]


class PathCache:
    """A bounded map in two generations: what was not asked for while the newer one filled is forgotten with the older.

    Every step is one operation on a dictionary, so threads need no lock; a lost race costs one validation.
    """

    __slots__ = ("_new", "_new_keys", "_old", "_self_signed", "_size")

    def __init__(self, size: int = 4096) -> None:
        self._size = max(1, size // 2)
        self._new: dict[Key, Entry] = {}
        self._old: dict[Key, Entry] = {}
        self._new_keys: dict[bytes, tuple[Key, ...]] = {}
        self._self_signed: dict[bytes, None] = {}

    def key(self, store_digest: str, ders: tuple[bytes, ...]) -> Key:
        """Return the key for chain *ders* under a store: SHA-256 over each DER behind its length.

        Certificates known to be self-signed are left out but for the end entity: none can stand between two others.
        """
        if self._self_signed and len(ders) > 1:
            ders = (ders[0], *(der for der in ders[1:] if der not in self._self_signed))
        parts = [part for der in ders for part in (len(der).to_bytes(4, "big"), der)]
        return store_digest, hashlib.sha256(b"".join(parts)).digest()

    def learn(self, presented: tuple[ParsedCertificate, ...]) -> None:
        """Remember the last of *presented*, which had a valid path, if it is self-signed: a root that was sent along.

        One for each validation, so that a peer who sends junk costs one more signature verification at most. He may
        vary other certificates as he varies these; what keeps him from the places of others is `PRESENTATIONS`.
        """
        last = presented[-1]
        if len(presented) == 1 or last.der in self._self_signed or weakness(last) is not None or not last.self_signed:
            return
        if len(self._self_signed) >= SELF_SIGNED:
            self._self_signed = {}
        self._self_signed[last.der] = None

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
            self._old, self._new, self._new_keys = self._new, {}, {}
        end_entity = entry.paths[0].end_entity.der
        keys = self._new_keys.get(end_entity, ())
        if key not in keys:
            keys = (*keys, key)
            for surplus in keys[:-PRESENTATIONS]:
                self._new.pop(surplus, None)
                self._old.pop(surplus, None)
            self._new_keys[end_entity] = keys[-PRESENTATIONS:]
        self._new[key] = entry

    def __len__(self) -> int:
        return len(self._new.keys() | self._old.keys())
