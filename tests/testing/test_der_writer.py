"""The DER writer: what it writes is what X.690 says, and what cryptography and Python read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.testing import _der_writer as der


@pytest.mark.parametrize(
    ("length", "octets"),
    [(0, "00"), (127, "7f"), (128, "8180"), (255, "81ff"), (256, "820100"), (65536, "83010000")],
)
def test_length_takes_the_fewest_octets(length: int, octets: str) -> None:
    """Lengths below 128 take one octet, others a count and the number (X.690, 10.1)."""
    assert der.length_octets(length).hex() == octets


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        *((0, "020100"), (1, "020101"), (127, "02017f"), (128, "02020080"), (255, "020200ff"), (256, "02020100")),
        *((-1, "0201ff"), (-128, "020180"), (-129, "0202ff7f"), (-0x52, "0201ae")),
    ],
)
def test_integer_known_values(value: int, octets: str) -> None:
    """Integers are two's complement with the fewest octets (X.690, 8.3)."""
    assert der.integer(value).hex() == octets


@given(st.integers(-(2**200), 2**200))
def test_integer_is_minimal_and_reversible(value: int) -> None:
    """Any integer reads back as itself, and its first nine bits are not all alike."""
    content = der.integer(value)[2:]
    assert int.from_bytes(content, "big", signed=True) == value
    assert len(content) == 1 or (content[0], content[1] >> 7) not in ((0, 0), (0xFF, 1))


@pytest.mark.parametrize(
    ("dotted", "octets"),
    [
        ("2.5.4.3", "0603550403"),
        ("1.2.840.10045.2.1", "06072a8648ce3d0201"),
        ("2.999.3", "0603883703"),
        ("0.9.2342.19200300.100.1.25", "060a0992268993f22c640119"),
    ],
)
def test_object_identifier_known_values(dotted: str, octets: str) -> None:
    """Object identifiers are base 128, the first two arcs joined (X.690, 8.19)."""
    assert der.object_identifier(dotted).hex() == octets


@given(
    st.lists(st.tuples(st.sampled_from(["CN", "O"]), st.text(st.characters(codec="ascii"), min_size=1, max_size=64)))
)
def test_names_are_written_as_cryptography_writes_them(attributes: list[tuple[str, str]]) -> None:
    """A Name assembled by hand is octet for octet what cryptography writes."""
    oids = {"CN": x509.NameOID.COMMON_NAME, "O": x509.NameOID.ORGANIZATION_NAME}
    by_hand = der.sequence(
        *(
            der.set_of(der.sequence(der.object_identifier(oids[kind].dotted_string), der.utf8_string(text)))
            for kind, text in attributes
        )
    )
    assert by_hand == x509.Name([x509.NameAttribute(oids[kind], text) for kind, text in attributes]).public_bytes()


def test_set_of_is_sorted() -> None:
    """DER sorts the members of a SET OF by their encoding (X.690, 11.6)."""
    assert der.set_of(der.integer(2), der.integer(1)) == der.set_of(der.integer(1), der.integer(2))
    assert der.set_of(der.integer(2), der.integer(1)).hex() == "3106020101020102"


@pytest.mark.parametrize(
    ("encoded", "octets"),
    [
        (der.TRUE, "0101ff"),
        (der.null(), "0500"),
        (der.octet_string(b"\x01\x02"), "04020102"),
        (der.bit_string(b"\xf0", unused=4), "030204f0"),
        (der.explicit(3, der.null()), "a3020500"),
        (der.implicit(2, b"a"), "820161"),
        (der.implicit(5, der.null(), constructed=True), "a5020500"),
        (der.printable_string("A"), "130141"),
        (der.ia5_string("a@b"), "1603614062"),
        (der.utf8_string("\u00e9"), "0c02c3a9"),
        (der.t61_string("\u00e9"), "1401e9"),
        (der.bmp_string("A"), "1e020041"),
    ],
)
def test_other_types_known_values(encoded: bytes, octets: str) -> None:
    """Each type has its tag of X.680 and its content as it stands."""
    assert encoded.hex() == octets


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(1950, 1, 1, tzinfo=UTC), b"\x17\x0d500101000000Z"),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(1949, 12, 31, tzinfo=UTC), b"\x18\x0f19491231000000Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), b"\x17\x0d251231230000Z"),
    ],
)
def test_time_changes_its_type_in_2050(moment: datetime, text: bytes) -> None:
    """Times until 2049 are UTCTime, later ones GeneralizedTime, always in UTC (RFC 5280, 4.1.2.5)."""
    assert der.time(moment) == text
