"""Keeps signed statements on revocation, OCSP responses and CRLs, until they are of no use; here in memory.

A cache decides nothing and is not trusted: who reads from it verifies the signature again, under its own rule.
"""

from __future__ import annotations

import hashlib
import os
import threading
from abc import abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from mtlspolicy._peer import now
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError, MTLSPolicyError

__all__ = ["Cache", "CacheFailed", "CachedStatement", "MemoryCache", "crl_key", "ocsp_key"]

MOST_ENTRIES: Final = 20_000
"""Statements in memory: as many as two OCSP responses for each connection that a gate holds."""
MOST_BYTES: Final = 128 << 20
"""Bytes in memory: room for a CRL of the largest size that is fetched, and responses beside it."""
LONGEST_KEY: Final = 512
"""Characters; a serial number of the 20 octets that RFC 5280, section 4.1.2.2 allows makes a key of 175."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class CacheFailed(MTLSPolicyError):
    """The cache is down, or what lies in it cannot be read. Who asked goes on as if nothing were there.

    Args:
        message: Sentence for people; hostile characters in it are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(escape(message, 1024))


@dataclass(frozen=True, slots=True)
class CachedStatement:
    """What was received and verified once: the signed bytes themselves, never an answer. Times become UTC.

    Attributes:
        data: OCSPResponse (RFC 6960, section 4.2.1) or CertificateList (RFC 5280, section 5.1), DER; not empty.
        this_update: The thisUpdate that it states; aware.
        keep_until: When it is of no use to anybody any more; aware. nextUpdate, the end of the greatest age, or for a
            revocation the certificate's notAfter.
        final: A revocation that is not a hold: never replaced by a statement that is not final.
    """

    data: bytes
    this_update: datetime
    keep_until: datetime
    final: bool = False

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for what is no statement, or a time that is naive or that UTC has no date for."""
        if not isinstance(self.data, bytes) or not self.data:
            raise ConfigurationError("data: give the DER of an OCSP response or CRL, as bytes that are not empty")
        for name in ("this_update", "keep_until"):
            moment = getattr(self, name)
            if not isinstance(moment, datetime) or moment.utcoffset() is None:
                raise ConfigurationError(f"{name}={moment!r}: give an aware datetime, as with tzinfo=datetime.UTC")
            try:
                # Python compares two times of one zone by their wall clocks, which go back once a year
                object.__setattr__(self, name, moment.astimezone(UTC))
            except OverflowError:
                raise ConfigurationError(f"{name}={moment!r}: outside the years 1 to 9999 in UTC") from None
        if not isinstance(self.final, bool):
            raise ConfigurationError(f"final={self.final!r}: give True or False")


@runtime_checkable
class Cache(Protocol):
    """Where statements are kept. Implementations are thread-safe, and raise nothing but `CacheFailed`."""

    @abstractmethod
    def get(self, key: str) -> CachedStatement | None:
        """Return what is kept under *key*, unless its time is over; the reader verifies it like any stranger's.

        Raises:
            CacheFailed: The cache is down; take it for ``None``.
        """

    @abstractmethod
    def put(self, key: str, statement: CachedStatement) -> None:
        """Keep *statement*, unless what is kept under *key* stands against it: compare and set, in one step.

        Final beats not final; else the strictly newer thisUpdate is kept. What went to make room, or because its time
        was over, stands against nothing.

        Raises:
            CacheFailed: The cache is down; *statement* is not kept.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what is held open. From then on `get` and `put` raise `CacheFailed`. May be called twice."""


def ocsp_key(issuer_spki: bytes, issuer_name: bytes, serial: int) -> str:
    """Return the key of one certificate's OCSP responses, whichever digest their CertID uses.

    Keyed by the CertID itself, a certificate would have an entry for each digest, one GOOD and one REVOKED.

    Args:
        issuer_spki: SubjectPublicKeyInfo of the issuer, DER.
        issuer_name: Name of the issuer, DER.
        serial: Serial number of the certificate.
    """
    return f"ocsp:{_digest(issuer_spki)}:{_digest(issuer_name)}:{serial:x}"


def crl_key(issuer_spki: bytes, issuer_name: bytes, url: str) -> str:
    """Return the key of the CRLs that an issuer publishes at one URL.

    Args:
        issuer_spki: SubjectPublicKeyInfo of the issuer, DER.
        issuer_name: Name of the issuer, DER.
        url: Where the CRL is published; any text.
    """
    return f"crl:{_digest(issuer_spki)}:{_digest(issuer_name)}:{_digest(url.encode('utf-8', 'surrogatepass'))}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def replaces(statement: CachedStatement, kept: CachedStatement) -> bool:
    """Return whether *statement* takes the place of *kept*: final first, else strictly newer."""
    if statement.final is not kept.final:
        return statement.final
    return statement.this_update > kept.this_update


def sound_key(key: str) -> str:
    """Return *key*, or raise `CacheFailed` for what no store should be asked: too long, or not printable ASCII."""
    if not (isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise CacheFailed(f"a key is 1 to {LONGEST_KEY} printable ASCII characters, as ocsp_key and crl_key make it")
    return key


def positive(name: str, value: float) -> None:
    """Raise `ConfigurationError` unless *value*, the argument *name*, is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name}={value!r}: give a number of more than zero")


def microseconds(moment: datetime) -> int:
    """Return an aware time as microseconds since 1970, which no time zone or rounding changes."""
    return (moment - _EPOCH) // _MICROSECOND


def statement_of(data: object, this_update: object, keep_until: object, final: object) -> CachedStatement | None:
    """Return the statement that a store's values make, times in microseconds since 1970; ``None`` for anything odd."""
    if not (isinstance(data, bytes) and isinstance(this_update, int) and isinstance(keep_until, int)):
        return None
    try:
        moments = [_EPOCH + timedelta(microseconds=number) for number in (this_update, keep_until)]
        return CachedStatement(data, moments[0], moments[1], final=final == 1)
    except (OverflowError, ConfigurationError):
        return None


class _Shelf:
    """Statements in the order of their last use, bounded in number and bytes."""

    def __init__(self, most_entries: int, most_bytes: int) -> None:
        self.entries: OrderedDict[str, CachedStatement] = OrderedDict()
        self.size = 0
        self._most_entries, self._most_bytes = most_entries, most_bytes

    def add(self, key: str, statement: CachedStatement) -> None:
        self.entries[key] = statement
        self.size += len(key) + len(statement.data)
        while len(self.entries) > self._most_entries or self.size > self._most_bytes:
            self.remove(next(iter(self.entries)))

    def remove(self, key: str) -> None:
        self.size -= len(key) + len(self.entries.pop(key).data)


class _Memory:
    """What belongs to one process. Two shelves, so that good answers cannot push a revocation out."""

    def __init__(self, most_entries: int, most_bytes: int) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.shelves = {final: _Shelf(most_entries, most_bytes) for final in (True, False)}

    def find(self, key: str) -> CachedStatement | None:
        """Return what is kept, as used just now; remove it where its time is over."""
        for shelf in self.shelves.values():
            kept = shelf.entries.get(key)
            if kept is not None and kept.keep_until <= now():
                shelf.remove(key)
            elif kept is not None:
                shelf.entries.move_to_end(key)
                return kept
        return None


class MemoryCache:
    """A cache in this process. Bounded: what was used least recently goes first. A forked process starts empty.

    Args:
        most_entries: Statements kept, and as many final ones besides, in places that others cannot take.
        most_bytes: Bytes of keys and data, and as many of final ones besides. What is larger by itself is not kept.

    Raises:
        ConfigurationError: A bound is not a number above zero.
    """

    def __init__(self, *, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        positive("most_entries", most_entries)
        positive("most_bytes", most_bytes)
        self._bounds = most_entries, most_bytes
        self._memory: _Memory | None = _Memory(most_entries, most_bytes)

    def get(self, key: str) -> CachedStatement | None:
        """Return what is kept under *key*, unless its time is over."""
        sound_key(key)
        memory = self._own()
        with memory.lock:
            return memory.find(key)

    def put(self, key: str, statement: CachedStatement) -> None:
        """Keep *statement*, unless what is kept under *key* stands against it."""
        sound_key(key)
        memory = self._own()
        if statement.keep_until <= now() or len(key) + len(statement.data) > self._bounds[1]:
            return
        with memory.lock:
            kept = memory.find(key)
            if kept is None or replaces(statement, kept):
                if kept is not None:
                    memory.shelves[kept.final].remove(key)
                memory.shelves[statement.final].add(key, statement)

    def close(self) -> None:
        """Forget everything; `get` and `put` raise `CacheFailed` from then on."""
        self._memory = None

    def _own(self) -> _Memory:
        memory = self._memory
        if memory is None:
            raise CacheFailed("the cache was closed")
        if memory.pid != os.getpid():  # forked: a thread that stayed behind may have held the lock
            memory = self._memory = _Memory(*self._bounds)
        return memory
