"""Finds the entries of a serial number in a CRL's revokedCertificates (RFC 5280, section 5.1.2.6), fast in long ones.

Every entry is held against DER and its critical extensions once; of an entry only a hash stays, eight bytes long. What
an entry says is read again from the CRL's own bytes when its serial number is asked for.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from bisect import bisect_left
from functools import cache
from typing import Final, NamedTuple

from mtlspolicy._der import INTEGER, SEQUENCE, element, elements
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.revocation._crl_layout import Extensions, extensions_of, is_time
from mtlspolicy.revocation._unusable import Unusable

REASON, INVALIDITY_DATE, CERTIFICATE_ISSUER = "2.5.29.21", "2.5.29.24", "2.5.29.29"

_CHUNK: Final = 32 * 1024
"""Bytes after which a new chunk begins: what is walked through for a serial number that is listed. With CRLs of at most
64 MiB the number of a chunk has two bytes."""
_RUN: Final = 16 * 1024
"""Keys that are sorted in one go, so that no other thread waits for long."""
_BUCKET_BITS: Final = 5
"""Binary digits of the number of keys in a bucket, about."""
_HASH: Final = 0x00FFFFFFFFFF0000
_CHUNK_NUMBER: Final = 0xFFFF
_NEXT_HASH: Final = 0x10000
_TOP: Final = 0x3F << 56
"""The first byte of every key: read as a float it is then positive and finite, and floats are sorted fastest."""
_LOW, _HIGH, _FIRST = (0, 1, 7) if sys.byteorder == "little" else (7, 6, 0)
_LAST: Final = 0x7F << 56
"""Greater than every key, so that there is one behind each."""
_REMEMBERED: Final = 4096
"""Listed serial numbers whose entries are remembered, so that a revoked peer that comes again costs nothing."""
_SIZES: Final = tuple(bytes((size,)) for size in range(0x80))
_LONG: Final = 1 << 8 * 0x7F - 1
"""Less than this, and not negative, a serial number has a length of one byte."""
_EDGES: Final = tuple(struct.unpack(">256d", b"".join(bytes((0x3F, top, 0, 0, 0, 0, 0, 0)) for top in range(256))))

_LENGTHS: Final = (16, 17, 20, 19, 18, 15, *range(14, 0, -1), 21)
"""Bytes of the serial numbers that are read in bulk, the usual ones first (RFC 5280, section 4.1.2.2: at most 20)."""


class Entry(NamedTuple):
    """One entry: its serial number as DER without the tag, its date as tag and content, and its extensions."""

    number: bytes
    date: tuple[int, bytes]
    extensions: Extensions
    end: int


def entry_at(data: bytes, at: int, end: int) -> Entry:
    """Return the entry that begins at *at* and must end before *end*.

    Raises:
        MalformedEvidence: It is of another shape, or its serial number has more bytes than it needs.
    """
    tag, start, stop = element(data, at, end)
    fields = elements(data, start, stop)
    kinds = [kind for kind, _, _ in fields]
    if tag != SEQUENCE or kinds[:1] != [INTEGER] or kinds[2:] not in ([], [SEQUENCE]) or len(kinds) == 1:
        raise MalformedEvidence(f"not DER: a CRL's entry of another shape at byte {at}")
    (_, first, last), (kind, begin, until) = fields[:2]
    content = data[first:last]
    if not content or (len(content) > 1 and content[0] == (0xFF if content[1] >= 0x80 else 0)):
        raise MalformedEvidence(f"not DER: a serial number in more bytes than it needs at byte {first}")
    if not is_time(kind, data[begin:until]):
        raise MalformedEvidence(f"not DER: a date in a form that RFC 5280 does not allow at byte {begin}")
    extensions = extensions_of(data, until, stop) if len(fields) == 3 else {}
    return Entry(data[start + 1 : last], (kind, data[begin:until]), extensions, stop)


def _require_understood(entry: Entry, version: int) -> None:
    """Return if an entry, of whatever certificate, keeps the CRL from nothing."""
    if _negative(entry.number):
        # RFC 5280, section 4.1.2.2: positive. A CA that leaves out the leading zero octet here, and not in its
        # certificates, lists them under other numbers, so that each of them would read as good.
        raise Unusable("crl.serial-number", "an entry has a negative serial number")
    if version == 1 and entry.extensions:
        raise Unusable("crl.version", "a CRL of version 1 with extensions of an entry")
    if CERTIFICATE_ISSUER in entry.extensions:
        raise Unusable("crl.indirect", "the CRL has entries of other issuers (certificateIssuer)")
    for oid, (critical, _) in entry.extensions.items():
        if critical and oid not in {REASON, INVALIDITY_DATE}:
            # RFC 5280, section 5.3: "If a CRL contains a critical CRL entry extension that the application cannot
            # process, then the application MUST NOT use that CRL to determine the status of certificates."
            raise Unusable("crl.critical-entry-extension", f"an entry has the critical extension {oid}")


def _negative(number: bytes) -> bool:
    first = 1 if number[0] < len(_SIZES) else 1 + (number[0] & 0x7F)
    return number[first] >= 0x80


class SerialIndex:
    """Which serial numbers a CRL lists, and where. It holds the CRL's bytes and eight bytes an entry.

    A key is a hash of the serial number (40 bits, another one in each process, so that nobody can provoke equal ones)
    and the number of the chunk that the entry stands in; the entries of the chunk are then compared with the number.

    Args:
        data: The CRL, DER.
        start: Where the content of revokedCertificates begins.
        end: Where it ends.
        version: Of the CRL; entries of version 1 have no extensions.

    Raises:
        MalformedEvidence: An entry is not well-formed.
        Unusable: An entry has a critical extension that is not understood, or is of another issuer.
    """

    __slots__ = ("_chunks", "_data", "_end", "_keys", "_known", "_shift", "_starts")

    def __init__(self, data: bytes, start: int, end: int, version: int) -> None:
        self._data, self._end = data, end
        self._chunks: array[int] = array("Q")
        runs = self._runs(start, version)
        self._keys: array[int] = array("q")
        self._keys.frombytes(_merged(runs))
        self._keys.append(_LAST)
        self._known: dict[int, list[Entry]] = {}
        bits = max(0, len(self).bit_length() - _BUCKET_BITS)
        self._shift = 56 - bits
        edges = [_TOP + (bucket << self._shift) for bucket in range((1 << bits) + 1)]
        self._starts = array("I", [bisect_left(self._keys, edge) for edge in edges])

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._keys) - 1

    def _runs(self, start: int, version: int) -> list[array[float]]:
        """Return the keys of all entries, in sorted runs."""
        data, end, at = self._data, self._end, start
        regular, serials = _patterns(version)
        runs: list[array[float]] = []
        packed = bytearray()
        while at < end:
            self._chunks.append(at)
            stop = min(at + _CHUNK, end)
            numbers: list[bytes] = []
            while at < stop:
                found = regular.match(data, at, end)
                until = at if found is None else found.end()
                if until == at:
                    entry = entry_at(data, at, end)
                    _require_understood(entry, version)
                    numbers.append(entry.number)
                    until = entry.end
                else:
                    numbers += serials.findall(data, at, until)
                at = until
            packed += _packed(numbers, len(self._chunks) - 1)
            if len(packed) >= 8 * _RUN or at == end:
                runs.append(_sorted(packed))
                packed = bytearray()
        return runs

    def entries_of(self, serial: int) -> list[Entry]:
        """Return the entries with this serial number, in order; almost always none."""
        size = serial.bit_length() // 8 + 1
        number = _SIZES[size] + serial.to_bytes(size, "big") if 0 <= serial < _LONG else _number(serial)
        key = hash(number) & _HASH
        bucket = key >> self._shift
        key |= _TOP
        keys = self._keys
        at = bisect_left(keys, key, self._starts[bucket], self._starts[bucket + 1])
        if keys[at] - key >= _NEXT_HASH:
            return []
        known = self._known.get(serial)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[serial] = known = self._listed(number, key, at)
        return known

    def _listed(self, number: bytes, key: int, at: int) -> list[Entry]:
        """Return the entries with *number* in the chunks that the keys from *at* name, as long as they are *key*."""
        until = bisect_left(self._keys, key + _NEXT_HASH, at)
        chunks = dict.fromkeys(one & _CHUNK_NUMBER for one in self._keys[at:until])
        return [entry for chunk in chunks for entry in self._in_chunk(chunk, number)]

    def _in_chunk(self, chunk: int, number: bytes) -> list[Entry]:
        at = self._chunks[chunk]
        end = self._chunks[chunk + 1] if chunk + 1 < len(self._chunks) else self._end
        wanted = b"\x02" + number
        found: list[Entry] = []
        while at < end:
            _, start, stop = element(self._data, at, end)
            if self._data.startswith(wanted, start):
                found.append(entry_at(self._data, at, end))
            at = stop
        return found


def _number(serial: int) -> bytes:
    """Return any INTEGER as DER without the tag: a negative one, or one with a length of several bytes."""
    size = (serial if serial >= 0 else ~serial).bit_length() // 8 + 1
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = octets if size < len(_SIZES) else bytes((len(_SIZES) | len(octets),)) + octets
    return length + serial.to_bytes(size, "big", signed=True)


def _packed(numbers: list[bytes], chunk: int) -> bytearray:
    """Return the keys of *numbers* as they lie in memory: 3F, five bytes of hash, two of the chunk's number."""
    packed = bytearray(array("q", map(hash, numbers)))
    count = len(numbers)
    packed[_LOW::8] = bytes((chunk & 0xFF,)) * count
    packed[_HIGH::8] = bytes((chunk >> 8,)) * count
    packed[_FIRST::8] = b"\x3f" * count
    return packed


def _sorted(packed: bytearray) -> array[float]:
    run = array("d")
    run.frombytes(packed)
    return array("d", sorted(run))


def _merged(runs: list[array[float]]) -> bytes:
    """Return the keys of all *runs* in order, as bytes: range by range, so that no one step takes long."""
    if len(runs) == 1:
        return runs[0].tobytes()
    cuts = [[*(bisect_left(run, edge) for edge in _EDGES), len(run)] for run in runs]
    merged = array("d")
    for place in range(len(_EDGES)):
        piece: list[float] = []
        for run, cut in zip(runs, cuts, strict=True):
            piece += run[cut[place] : cut[place + 1]]
        piece.sort()
        merged.fromlist(piece)
    return merged.tobytes()


@cache
def _patterns(version: int) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what matches a run of up to 1024 regular entries, and what finds the serial numbers in such a run.

    The first is exact: every length fits, the serial number is in as few bytes as it needs, the date has digits. An
    entry that it does not know, which need not be wrong, is for `entry_at`. The second relies on it, and is faster.
    """
    utc, generalized = rb"\x17\x0d[0-9]{12}Z", rb"\x18\x0f[0-9]{14}Z"
    reason = rb"\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01[\x00-\x0a]"
    invalidity = rb"\x30\x18\x06\x03\x55\x1d\x18\x04\x11" + generalized
    extensions = [(0, b"")]
    if version != 1:
        both = rb"\x30\x26(?:" + reason + invalidity + rb"|" + invalidity + reason + rb")"
        extensions += [(14, rb"\x30\x0c" + reason), (28, rb"\x30\x1a" + invalidity), (40, both)]
    tails = [(size + more, time + then) for size, time in ((15, utc), (17, generalized)) for more, then in extensions]
    entries = [
        re.escape(bytes((2 + count + size, INTEGER, count))) + _minimal(count) + tail
        for count in _LENGTHS
        for size, tail in tails
    ]
    numbers = b"|".join(re.escape(bytes((count,))) + b".{%d}" % count for count in _LENGTHS)
    # the third byte of an extensions' SEQUENCE is 30, that of the next entry 02
    then = rb")(?:\x17\x0d.{13}|\x18\x0f.{15})(?:\x30(?:\x0c\x30.{11}|\x1a\x30.{25}|\x26\x30.{37}))?"
    return (
        re.compile(rb"(?:\x30(?:" + b"|".join(entries) + rb")){0,1024}+", re.DOTALL),
        re.compile(rb"\x30.\x02(" + numbers + then, re.DOTALL),
    )


def _minimal(count: int) -> bytes:
    """Return what matches the content of an INTEGER, positive or zero, of *count* bytes (X.690, section 8.3.2)."""
    if count == 1:
        return rb"[\x00-\x7f]"
    return rb"(?:[\x01-\x7f].{%d}|\x00[\x80-\xff].{%d})" % (count - 1, count - 2)
