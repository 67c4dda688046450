"""Presented identifiers: each name of a certificate is read or counted as unreadable; one bad entry hides no other."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._identifiers import DNS, EMAIL, IP, URI, PresentedIdentifiers, is_hostile
from mtlspolicy._names import COMMON_NAME, EMAIL_ADDRESS, DistinguishedName
from mtlspolicy.testing import _der_writer as der

NOBODY = DistinguishedName(())
EVERY_KIND = frozenset({DNS, EMAIL, URI, IP})


def read(*names: bytes) -> PresentedIdentifiers:
    """Return the identifiers of an empty subject and a subjectAltName of the encoded *names*."""
    return PresentedIdentifiers.read(NOBODY, der.sequence(*names))


def test_every_type_is_read() -> None:
    """dNSName, rfc822Name, uniformResourceIdentifier and iPAddress are read in the order of the certificate."""
    found = read(
        der.implicit(2, b"b.test"),
        der.implicit(2, b"A.test"),
        der.implicit(1, b"boss@a.test"),
        der.implicit(6, b"spiffe://a.test/x"),
        der.implicit(7, bytes([192, 0, 2, 1])),
        der.implicit(7, ipaddress.IPv6Address("2001:db8::1").packed),
    )
    assert found.dns_names == ("b.test", "A.test")
    assert found.emails == ("boss@a.test",)
    assert found.uris == ("spiffe://a.test/x",)
    assert found.ip_addresses == (ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1"))
    assert found.has_san
    assert found.unreadable == frozenset()
    assert found.hostile is None


def test_no_extension_is_not_an_empty_one() -> None:
    """Absent and empty subjectAltName are told apart."""
    assert not PresentedIdentifiers.read(NOBODY, None).has_san
    assert read().has_san


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (der.implicit(2, b""), DNS),
        (der.implicit(2, b"caf\xe9.test"), DNS),
        (der.implicit(1, "b\u00f6ss@a.test".encode()), EMAIL),
        (der.implicit(6, b"\xff"), URI),
        (der.implicit(7, b"\x01\x02\x03\x04\x05"), IP),
        (der.implicit(7, b""), IP),
    ],
)
def test_one_unreadable_entry_hides_no_readable_one(entry: bytes, kind: str) -> None:
    """An entry that cannot be read is counted under its type, and the others stay."""
    found = read(entry, der.implicit(2, b"a.test"))
    assert found.unreadable == {kind}
    assert found.dns_names == ("a.test",)


@pytest.mark.parametrize(
    "extension",
    [b"", b"\x30", der.set_of(), der.sequence() + b"\0", der.sequence(b"\x82\x05ab"), der.sequence(b"\x1f\x01\x00")],
)
def test_an_unreadable_extension_is_a_doubt_about_every_type(extension: bytes) -> None:
    """A subjectAltName that is no sequence of names may have held anything."""
    found = PresentedIdentifiers.read(NOBODY, extension)
    assert found.unreadable == EVERY_KIND
    assert found.has_san


def test_types_that_are_not_compared_are_passed_over() -> None:
    """otherName, directoryName, ediPartyName and registeredID hide nothing and are no names of ours."""
    found = read(
        der.implicit(0, b"", constructed=True),
        der.explicit(4, der.sequence()),
        der.implicit(8, b"\x2a"),
        der.implicit(2, b"a.test"),
    )
    assert found.dns_names == ("a.test",)
    assert found.unreadable == frozenset()


def test_a_value_counts_for_its_own_type_alone() -> None:
    """SAN type confusion: a URI, a mailbox or an address in a dNSName is a dNSName."""
    found = read(der.implicit(2, b"spiffe://a.test/x"), der.implicit(2, b"192.0.2.1"), der.implicit(6, b"a.test"))
    assert found.dns_names == ("spiffe://a.test/x", "192.0.2.1")
    assert found.uris == ("a.test",)
    assert found.ip_addresses == ()


def test_common_names_and_subject_emails() -> None:
    """Every readable CN and emailAddress is there; one that cannot be read is counted."""
    subject = DistinguishedName(
        (
            frozenset({(COMMON_NAME, "a")}),
            frozenset({(COMMON_NAME, None), (EMAIL_ADDRESS, "x@a.test")}),
            frozenset({(EMAIL_ADDRESS, None)}),
        )
    )
    found = PresentedIdentifiers.read(subject, None)
    assert found.common_names == ("a",)
    assert found.subject_emails == ("x@a.test",)
    assert found.unreadable == {"common-name"}


@pytest.mark.parametrize(
    "char", ["\0", "\n", "\x1b", "\x7f", "\x9b", "\u202e", "\u200b", "\u2028", "\u2029", "\ue000", "\u00ad", "\ufdd0"]
)
def test_nul_in_san_or_cn_and_other_control_characters_are_hostile(char: str) -> None:
    """Control, format, separator, private and unassigned characters make a name hostile, wherever it stands."""
    assert is_hostile(f"good.test{char}.evil.test")
    subject = DistinguishedName((frozenset({("2.5.4.10", f"a{char}")}),))
    assert PresentedIdentifiers.read(subject, None).hostile == f"a{char}"


def test_nul_in_a_dns_name_is_hostile() -> None:
    """The certificate of CVE-2013-4238: a NUL ends the name for C programs."""
    assert read(der.implicit(2, b"good.test\0.evil.test")).hostile == "good.test\0.evil.test"


@pytest.mark.parametrize("text", ["frodo", "Fr\u00f6do Beutlin", "\u4e2d\u6587", "a\u00a0b", ""])
def test_letters_of_any_script_are_not_hostile(text: str) -> None:
    """Only characters that no name may hold are hostile; a no-break space is merely unusual."""
    assert not is_hostile(text)


@given(st.binary(max_size=80))
def test_any_bytes_give_identifiers(data: bytes) -> None:
    """Any bytes as subjectAltName give a value."""
    found = PresentedIdentifiers.read(NOBODY, data)
    assert found.has_san
    assert all(name.isascii() for name in found.dns_names + found.emails + found.uris)
