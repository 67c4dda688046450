"""Distinguished names: DER to parsed RDNs, printing, and equality that folds nothing."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._names import (
    COMMON_NAME,
    EMAIL_ADDRESS,
    SHORT_NAMES,
    DistinguishedName,
    attribute_oid,
    decode_string,
)
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import relative_name

O = "2.5.4.10"  # noqa: E741 - the attribute's short name
OU = "2.5.4.11"


def cn(value: bytes) -> DistinguishedName:
    """Return the name whose only attribute is a CN with the encoded *value*."""
    return DistinguishedName.from_der(der.sequence(relative_name((COMMON_NAME, value))))


@pytest.mark.parametrize(
    ("name", "oid"),
    [
        ("CN", COMMON_NAME),
        ("cn", COMMON_NAME),
        ("commonName", COMMON_NAME),
        ("E", EMAIL_ADDRESS),
        ("organizationIdentifier", "2.5.4.97"),
        ("BUSINESSCATEGORY", "2.5.4.15"),
        ("jurisdictionCountryName", "1.3.6.1.4.1.311.60.2.1.3"),
        ("2.5.4.3", COMMON_NAME),
        ("OID.2.5.4.3", COMMON_NAME),
        ("oid.1.2.3", "1.2.3"),
        ("2.25.295132901630977320445488459803380072982", "2.25.295132901630977320445488459803380072982"),
    ],
)
def test_attribute_types_are_known_by_name_alias_and_oid(name: str, oid: str) -> None:
    """Attribute types are read by name, alias or OID, without regard to case, those of open banking included."""
    assert attribute_oid(name) == oid


@pytest.mark.parametrize("name", ["", "nickname", "3.1", "2.5.4.03", "2", "2.5.", "2.5.4.3 ", "\u0421N", "CN\0"])
def test_an_unknown_attribute_type_is_refused_with_the_known_ones(name: str) -> None:
    """An attribute type that is not known is an error that lists those that are."""
    with pytest.raises(ConfigurationError, match="organizationIdentifier"):
        attribute_oid(name)


@pytest.mark.parametrize("oid", SHORT_NAMES)
def test_every_short_name_leads_back_to_its_oid(oid: str) -> None:
    """What is printed can be read again."""
    assert attribute_oid(SHORT_NAMES[oid]) == oid


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (der.utf8_string("fr\u00f6do"), "fr\u00f6do"),
        (der.printable_string("frodo"), "frodo"),
        (der.ia5_string("frodo"), "frodo"),
        (der.bmp_string("fr\u00f6do"), "fr\u00f6do"),
        (der.t61_string("frodo"), None),
        (der.tlv(0x1C, b"\0\0\0f"), None),  # UniversalString
        (der.tlv(0x12, b"17"), None),  # NumericString
        (der.tlv(0x0C, b"fr\xff"), None),
        (der.tlv(0x13, b"fr\xff"), None),
        (der.tlv(0x1E, b"\0f\0"), None),
        (der.tlv(0x1E, b"\xd8\x00"), None),  # half of a surrogate pair
    ],
)
def test_four_string_types_are_read_and_no_other(value: bytes, text: str | None) -> None:
    """UTF8String, PrintableString, IA5String and BMPString are read; other types and wrong bytes are unreadable."""
    name = cn(value)
    assert name.values(COMMON_NAME) == (text,)
    assert name.readable is (text is not None)


def test_the_string_type_does_not_matter_for_equality() -> None:
    """The same characters in another string type are the same value."""
    assert cn(der.utf8_string("frodo")) == cn(der.printable_string("frodo")) == cn(der.bmp_string("frodo"))


@pytest.mark.parametrize(
    "other", ["Frodo", "frodo ", " frodo", "fro\u00addo", "\ufb00rodo", "frodo\u00a0", "frod\u03bf"]
)
def test_nothing_is_folded(other: str) -> None:
    """Case, spaces, soft hyphens, ligatures and confusables keep names apart (RFC 4518 would fold most of them)."""
    assert cn(der.utf8_string("frodo")) != cn(der.utf8_string(other))


def test_kelvin_sign_is_no_k() -> None:
    """U+212A is not the letter K."""
    assert cn(der.utf8_string("K")) != cn(der.utf8_string("\u212a"))


def test_order_of_rdns_counts_and_order_inside_one_does_not() -> None:
    """RDNs are a sequence, each of them a set (RFC 5280, section 4.1.2.4)."""
    c, o = (COMMON_NAME, der.utf8_string("a")), (O, der.utf8_string("b"))
    assert DistinguishedName.from_der(der.sequence(relative_name(c, o))) == DistinguishedName.from_der(
        der.sequence(relative_name(o, c))
    )
    first = DistinguishedName.from_der(der.sequence(relative_name(c), relative_name(o)))
    second = DistinguishedName.from_der(der.sequence(relative_name(o), relative_name(c)))
    assert first != second
    assert first.reversed() == second


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        der.set_of(),
        der.sequence() + b"\0",
        der.sequence(der.sequence()),
        der.sequence(der.set_of()),
        der.sequence(der.set_of(der.utf8_string("a"))),
        der.sequence(der.set_of(der.sequence(der.object_identifier(COMMON_NAME)))),
        der.sequence(der.set_of(der.sequence(der.utf8_string("a"), der.utf8_string("a")))),
        der.sequence(relative_name((COMMON_NAME, der.utf8_string("a")), (COMMON_NAME, der.utf8_string("a")))),
        der.sequence(der.set_of(der.sequence(der.tlv(0x06, b"\x80"), der.utf8_string("a")))),
    ],
)
def test_another_shape_is_malformed(bad: bytes) -> None:
    """Bytes that are no Name are one error of ours and nothing else."""
    with pytest.raises(MalformedEvidence):
        DistinguishedName.from_der(bad)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_name_or_our_error(data: bytes) -> None:
    """Any bytes give a value or one of our errors, nothing else."""
    try:
        name = DistinguishedName.from_der(data)
    except MalformedEvidence:
        return
    assert str(name).isprintable()


values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
names = st.lists(
    st.dictionaries(st.sampled_from([COMMON_NAME, O, OU, "1.2.3.4"]), values, min_size=1, max_size=2),
    min_size=1,
    max_size=4,
)


@given(names)
def test_what_is_printed_parses_to_the_same_name(rdns: list[dict[str, str]]) -> None:
    """Printing and parsing RFC 4514 text are inverse to each other, whatever the values hold."""
    name = DistinguishedName(tuple(frozenset(rdn.items()) for rdn in rdns))
    assert DistinguishedName.parse(name.rfc4514()) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" ", "\\ "),
        ("  ", "\\ \\ "),
        (" a ", "\\ a\\ "),
        ("#a", "\\#a"),
        ("a#", "a#"),
        ("\0", "\\00"),
        ("a;b=c", "a\\;b\\=c"),
    ],
)
def test_spaces_at_the_ends_and_special_characters_are_escaped(value: str, text: str) -> None:
    """RFC 4514, section 2.4: leading space and '#', trailing space, NUL and the specials."""
    name = DistinguishedName((frozenset({(COMMON_NAME, value)}),))
    assert name.rfc4514() == f"CN={text}"
    assert DistinguishedName.parse(name.rfc4514()) == name


@given(names)
def test_der_and_back(rdns: list[dict[str, str]]) -> None:
    """A name survives its DER."""
    encoded = der.sequence(
        *(relative_name(*((oid, der.utf8_string(text)) for oid, text in rdn.items())) for rdn in rdns)
    )
    assert DistinguishedName.from_der(encoded).rdns == tuple(frozenset(rdn.items()) for rdn in rdns)


def test_printing_is_most_specific_first_and_escaped() -> None:
    """RFC 4514 begins with the last RDN; hostile characters are escaped for printing and kept in the text itself."""
    name = DistinguishedName.from_der(x509.Name.from_rfc4514_string("CN=a\\,b\\+c,O=x").public_bytes())
    assert name.rfc4514() == "CN=a\\,b\\+c,O=x"
    hostile = cn(der.utf8_string("a\x1b[2J"))
    assert hostile.rfc4514() == "CN=a\x1b[2J"
    assert str(hostile) == "CN=a\\x1b[2J"
    assert str(cn(der.t61_string("a"))) == "CN=#?"
    assert str(DistinguishedName(())) == "(empty name)"


def test_an_unknown_tag_is_unreadable() -> None:
    """A tag that is no directory string gives no text."""
    assert decode_string(0x04, b"a") is None
