"""RFC 4514 text of distinguished names: what is read, and what is refused with a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._names import COMMON_NAME, DistinguishedName
from mtlspolicy.errors import ConfigurationError

O = "2.5.4.10"  # noqa: E741 - the attribute's short name


def rdns(*items: tuple[str, str]) -> tuple[frozenset[tuple[str, str | None]], ...]:
    """Return single-valued RDNs in the order given."""
    return tuple(frozenset({item}) for item in items)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CN=a", rdns((COMMON_NAME, "a"))),
        ("cn=a,o=b", rdns((O, "b"), (COMMON_NAME, "a"))),
        ("CN = a , O = b ", rdns((O, "b"), (COMMON_NAME, "a"))),
        ("OID.2.5.4.3=a", rdns((COMMON_NAME, "a"))),
        ("2.5.4.3=a", rdns((COMMON_NAME, "a"))),
        ("E=a@b.test", rdns(("1.2.840.113549.1.9.1", "a@b.test"))),
        ("CN=a\\,CN\\=admin", rdns((COMMON_NAME, "a,CN=admin"))),
        ("CN=a\\2cb", rdns((COMMON_NAME, "a,b"))),
        ("CN=\\ a\\ ", rdns((COMMON_NAME, " a "))),
        ("CN=a\\20", rdns((COMMON_NAME, "a "))),
        ("CN=fr\\C3\\B6do", rdns((COMMON_NAME, "fr\u00f6do"))),
        ("CN=a\\00b", rdns((COMMON_NAME, "a\0b"))),
        ("CN=a=b#c", rdns((COMMON_NAME, "a=b#c"))),
        ("CN=\\#a", rdns((COMMON_NAME, "#a"))),
        ("CN=#0c0161", rdns((COMMON_NAME, "a"))),
        ("CN=#1E020061 ,O=b", rdns((O, "b"), (COMMON_NAME, "a"))),
        ("organizationIdentifier=PSDDE-1", rdns(("2.5.4.97", "PSDDE-1"))),
    ],
)
def test_what_is_well_formed_is_read(text: str, expected: tuple[frozenset[tuple[str, str | None]], ...]) -> None:
    """RFC 4514 text is read, most specific RDN first, attribute types in any case."""
    assert DistinguishedName.parse(text).rdns == expected


def test_a_multi_valued_rdn_is_a_set() -> None:
    """A '+' joins attributes of one RDN, in either order."""
    assert DistinguishedName.parse("CN=a+O=b").rdns == (frozenset({(COMMON_NAME, "a"), (O, "b")}),)
    assert DistinguishedName.parse("CN=a+O=b") == DistinguishedName.parse("O = b + CN = a")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("/CN=a/O=b", "-nameopt RFC2253"),
        ("frodo", "character 0"),
        ("CN=a,", "character 5"),
        ("CN=a,,O=b", "character 5"),
        ("=a", "character 0"),
        ("nick=a", "dotted OID"),
        ("CN=", "has no value"),
        ("CN=,O=b", "has no value"),
        ("CN=a;O=b", "write it as \\;"),
        ('CN="a"', 'write it as \\"'),
        ("CN=a<b", "write it as \\<"),
        ("CN=a\0", "write it as \\00"),
        ("CN=a\\", "escapes nothing"),
        ("CN=a\\zz", "escapes nothing"),
        ("CN=a\\2", "escapes nothing"),
        ("CN=\\ff", "not UTF-8"),
        ("CN=\ud800", "not UTF-8"),
        ("CN=#", "in hex"),
        ("CN=#0c", "in hex"),
        ("CN=#0c01", "in hex"),
        ("CN=#0c016100", "in hex"),
        ("CN=#140161", "in hex"),
        ("CN=#0c0161x", "in hex"),
        ("CN=#0c0161\n", "character 11"),
        ("CN=a+CN=a", "stands twice"),
    ],
)
def test_what_is_malformed_is_refused_with_its_place(text: str, remedy: str) -> None:
    """Text that is not RFC 4514 is an error that names the place and what mends it."""
    with pytest.raises(ConfigurationError) as caught:
        DistinguishedName.parse(text)
    assert remedy in str(caught.value)


@given(st.text(max_size=30) | st.from_regex(r"([A-Z]{1,2}=[a-z\\,+#;=\x00 ]{0,5},?)+"))
def test_any_text_gives_a_name_or_our_error(text: str) -> None:
    """Any text gives a value or one of our errors, nothing else."""
    try:
        name = DistinguishedName.parse(text)
    except ConfigurationError:
        return
    assert name.rdns
    assert name.readable
