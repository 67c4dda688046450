"""The index of a CRL's serial numbers: it finds what `cryptography` finds, and is right where entries are unusual."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.revocation._crl_index import Entry, SerialIndex, entry_at
from mtlspolicy.revocation._unusable import Unusable
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension
from tests.revocation.made import AT
from tests.revocation.made_crls import MadeCRL, Revoked, invalidity, reason

LATE = datetime(2051, 1, 1, tzinfo=UTC)
BEFORE, AFTER = b"before", b"after!"


def indexed(entries: Iterable[Revoked | bytes], version: int = 2) -> SerialIndex:
    """Return the index of these entries, which stand between other bytes."""
    content = b"".join(one if isinstance(one, bytes) else one.encoded() for one in entries)
    return SerialIndex(BEFORE + content + AFTER, len(BEFORE), len(BEFORE) + len(content), version)


def of(entry: Entry) -> int:
    """Return the serial number of an entry."""
    start = 1 if entry.number[0] < 0x80 else 1 + (entry.number[0] & 0x7F)
    return int.from_bytes(entry.number[start:], "big", signed=True)


EXTENSIONS = [
    (), (reason(1),), (invalidity(AT),), (reason(4), invalidity(AT)), (invalidity(AT), reason(4)),
    (reason(1, critical=True),), (Extension("2.5.29.23", der.object_identifier("1.2.840.10040.2.2")),),
    (Extension("1.2.3.4", bytes(200)),),
]  # fmt: skip
_SERIALS = st.one_of(
    st.integers(0, 2**159),
    st.integers(0, 2**8),
    st.builds(lambda size, low: (1 << 8 * size - 1) + low, st.integers(1, 24), st.integers(-2, 1)),
    st.integers(0, 2**2000),
)
_ENTRIES = st.builds(Revoked, _SERIALS, st.sampled_from([AT, LATE]), st.sampled_from(EXTENSIONS))


@given(st.lists(_ENTRIES, max_size=60), _SERIALS)
def test_every_number_is_found_and_no_other(entries: list[Revoked], stranger: int) -> None:
    """Whatever the lengths of numbers, dates and extensions are, regular or not, and in whatever order."""
    index = indexed(entries)
    listed = [entry.serial for entry in entries]
    assert len(index) == len(entries)
    for serial in {*listed, stranger}:
        assert isinstance(serial, int)
        assert [of(one) for one in index.entries_of(serial)] == [serial] * listed.count(serial)


@pytest.mark.parametrize("size", range(1, 25))
@pytest.mark.parametrize("extensions", EXTENSIONS)
def test_every_length_is_told_from_its_neighbours(size: int, extensions: tuple[Extension, ...]) -> None:
    """A number whose first bit is set has a zero in front; one with a bit less or more is another number."""
    edge = 1 << 8 * size - 1
    index = indexed([Revoked(edge, extensions=extensions)] * 2)
    assert len(index.entries_of(edge)) == 2
    for other in (edge - 1, edge + 1, -edge, edge >> 8, edge << 8, edge - (1 << 8 * size), edge | 1 << 8 * size):
        assert index.entries_of(other) == [], other


def test_numbers_are_compared_whole() -> None:
    """1 is not 257, and -1 is not 255: what is cut off, or read without its sign, revokes strangers."""
    index = indexed([Revoked(255), Revoked(257), Revoked(2**160 + 5)])
    assert [len(index.entries_of(one)) for one in (-1, 255, 257, 1, 2**160 + 5, 5, 2**8, 2**16 - 1)] == [
        0, 1, 1, 0, 1, 0, 0, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("serial", [-1, -128, -(1 << 63), -(1 << 1023), -(1 << 1030)])
def test_a_negative_number_may_stand_for_another(serial: int) -> None:
    """A CA that leaves out a leading zero lists other numbers than it issued: such a list tells nothing of anybody."""
    with pytest.raises(Unusable, match="negative serial number") as caught:
        indexed([Revoked(257), Revoked(serial)])
    assert caught.value.code == "crl.serial-number"


@pytest.mark.parametrize("size", [126, 127, 128, 129, 255, 256, 257])
def test_numbers_of_absurd_length_are_found_as_well(size: int) -> None:
    """Where the length itself takes one byte, two or three; none is cut to match a shorter one."""
    edge = 1 << 8 * size - 1
    listed = [edge, edge - 1]
    index = indexed([Revoked(one) for one in listed])
    assert [len(index.entries_of(one)) for one in listed] == [1, 1]
    assert [index.entries_of(one) for one in (edge + 1, -edge, 1 - edge, edge & 0xFF, 0)] == [[], [], [], [], []]


def test_a_number_inside_another_entry_is_not_listed() -> None:
    """Bytes that look like an entry, within the extension of another one, revoke nobody."""
    inside = Revoked(0x51).encoded()
    index = indexed([Revoked(1, extensions=(Extension("1.2.3.4", inside),)), Revoked(2**152 + int.from_bytes(inside))])
    assert index.entries_of(0x51) == []
    assert len(index) == 2


def test_an_entry_says_what_it_says() -> None:
    """Date and extensions as they stand in the bytes."""
    (found,) = indexed([Revoked(1), Revoked(7, AT, (reason(1), invalidity(LATE)))]).entries_of(7)
    assert found.date == (0x17, b"260101120000Z")
    assert found.extensions == {
        "2.5.29.21": (False, b"\x0a\x01\x01"), "2.5.29.24": (False, b"\x18\x0f20510101000000Z"),
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1023, 1024, 1025, 40_000])
def test_long_lists_are_as_right_as_short_ones(count: int) -> None:
    """Across the edges of chunks, runs and buckets: every number is found once, and none beside them."""
    numbers = random.Random(count)  # noqa: S311 - the same in every run
    serials = [numbers.getrandbits(120) << 8 for _ in range(count)]
    entries = [Revoked(serial, extensions=EXTENSIONS[place % 5]) for place, serial in enumerate(serials)]
    index = indexed(entries)
    assert len(index) == count
    for place in range(0, count, max(1, count // 300)):
        assert [of(one) for one in index.entries_of(serials[place])] == [serials[place]]
        assert index.entries_of(serials[place] + 1) == []


def test_one_number_many_times_is_found_as_often() -> None:
    """Equal keys, in many chunks: each entry is shown once."""
    assert len(indexed([Revoked(5)] * 5000).entries_of(5)) == 5000


def test_equal_hashes_are_not_equal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hash is the same the numbers themselves are compared."""
    monkeypatch.setattr("mtlspolicy.revocation._crl_index._HASH", 0)
    monkeypatch.setattr("mtlspolicy.revocation._crl_index.hash", lambda _: 0, raising=False)
    index = indexed([Revoked(5), Revoked(6)])
    assert [len(index.entries_of(one)) for one in (5, 6, 7)] == [1, 1, 0]


@pytest.mark.parametrize("version", [1, 2])
def test_an_empty_list_has_no_entry(version: int) -> None:
    """Nothing is found in nothing."""
    index = indexed([], version)
    assert (len(index), index.entries_of(1)) == (0, [])


@settings(max_examples=200)
@given(st.lists(_ENTRIES, min_size=1, max_size=20), st.data())
def test_no_changed_byte_is_read_otherwise_than_entry_by_entry(entries: list[Revoked], data: st.DataObject) -> None:
    """The fast way accepts exactly what the slow one accepts, and finds the same numbers."""
    content = bytearray(b"".join(one.encoded() for one in entries))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    plain = bytes(content)
    slow: list[int] = []
    try:
        at = 0
        while at < len(plain):
            entry = entry_at(plain, at, len(plain))
            slow.append(of(entry))
            at = entry.end
    except MalformedEvidence:
        slow = [-1]
    try:
        fast = indexed([plain])
    except Exception:  # noqa: BLE001 - malformed, or an extension that became critical
        return
    assert slow != [-1]
    assert len(fast) == len(slow)
    for serial in slow:
        assert len(fast.entries_of(serial)) == slow.count(serial)


def test_cryptography_finds_the_same() -> None:
    """Both readers agree on a list of all shapes that `cryptography` reads."""
    numbers = random.Random(3)  # noqa: S311 - the same in every run
    entries = [
        Revoked(numbers.getrandbits(8 * size) | 1, date, extensions)
        for size in range(1, 21)
        for date in (AT, LATE)
        for extensions in EXTENSIONS
    ]
    theirs = x509.load_der_x509_crl(MadeCRL(entries).encoded())
    index = indexed(entries)
    assert len(theirs) == len(index)
    assert all(index.entries_of(one.serial_number) for one in theirs)
