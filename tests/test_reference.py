"""Reference identifiers: which presented name of a server is the one that was meant (RFC 9525)."""

from __future__ import annotations

import ipaddress

import pytest

from mtlspolicy._decision import Verdict
from mtlspolicy._identifiers import DNS, IP, URI, PresentedIdentifiers
from mtlspolicy._reference import (
    ReferenceIdentifier,
    common_name_doubt,
    covers,
    is_dns_name,
    loose_address,
    match_texts,
    normal_dns,
    parse_dns,
    presented_list,
)
from mtlspolicy.errors import ConfigurationError

PERMIT, DENY, DOUBT = Verdict.PERMIT, Verdict.DENY, Verdict.INDETERMINATE


def answer(reference: str, **names: object) -> tuple[Verdict, str]:
    """Return verdict and code for the reference in text form against the presented *names*."""
    presented = PresentedIdentifiers(has_san=True, **names)  # type: ignore[arg-type]  # each test names its fields
    return ReferenceIdentifier.parse(reference).match(presented)[:2]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("A.Test", "dns", "a.test"),
        ("localhost", "dns", "localhost"),
        ("_tcp.a.test", "dns", "_tcp.a.test"),
        ("xn--mnchen-3ya.test", "dns", "xn--mnchen-3ya.test"),
        ("192.0.2.1", "ip", "192.0.2.1"),
        ("::1", "ip", "::1"),
        ("[2001:DB8::1]", "ip", "2001:db8::1"),
        ("spiffe://a.test/x", "uri", "spiffe://a.test/x"),
    ],
)
def test_text_is_told_apart_by_its_form(text: str, kind: str, value: str) -> None:
    """An IP address, a URI and a DNS name are told apart strictly."""
    reference = ReferenceIdentifier.parse(text)
    assert (reference.kind, reference.value) == (kind, value)
    assert str(reference) == f"'{value}'"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a DNS name"),
        ("*.a.test", "under('a.test')"),
        ("a.*.test", "not a DNS name"),
        ("a.test.", "no final dot"),
        ("a..test", "not a DNS name"),
        ("-a.test", "not a DNS name"),
        ("a-.test", "not a DNS name"),
        ("a.test:443", "no port"),
        ("m\u00fcnchen.test", "A-label"),
        ("1.2.3", "not a DNS name"),
        ("1.2.3.0x7f", "not a DNS name"),
        ("0x7f.1", "not a DNS name"),
        ("1.2.3.4.", "not a DNS name"),
        ("256.1.1.1", "not a DNS name"),
        ("[192.0.2.1]", "not a DNS name"),
        ("[::1", "not a DNS name"),
        ("fe80::1%eth0", "zone"),
        ("a" * 64 + ".test", "not a DNS name"),
        ("a." * 127 + "test", "not a DNS name"),
        ("a.test\0", "not a DNS name"),
        ("https://a.test/ x", "printable ASCII"),
        ("https://\u00e4.test/", "printable ASCII"),
        ("https://a.test/\n", "printable ASCII"),
    ],
)
def test_an_expectation_that_is_no_name_is_refused(text: str, why: str) -> None:
    """A wildcard, a final dot, a port, digits that read as an address, a zone: an error that says why."""
    with pytest.raises(ConfigurationError) as caught:
        ReferenceIdentifier.parse(text)
    assert why in str(caught.value)


def test_ascii_letters_alone_are_folded() -> None:
    """The Kelvin sign and other letters that fold into ASCII elsewhere stay what they are."""
    assert normal_dns("A.TEST") == "a.test"
    assert normal_dns("\u212aA.test") == "\u212aa.test"
    assert parse_dns("A.test") == "a.test"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*.a.test", "b.a.test", True),
        ("*.a.test", "xn--b-1.a.test", True),
        ("*.a.test", "a.test", False),
        ("*.a.test", "c.b.a.test", False),
        ("*.test", "a.test", False),
        ("*", "a", False),
        ("*.", "a.", False),
        ("b*.a.test", "bc.a.test", False),
        ("a.test", "a.test", False),
        ("*.*.test", "b.*.test", False),
        ("*.1.2", "b.1.2", False),
    ],
)
def test_a_wildcard_is_the_whole_left_most_label(pattern: str, name: str, *, expected: bool) -> None:
    """RFC 9525, section 6.3: '*' alone, left-most, for exactly one label, with two labels after it at least."""
    assert covers(pattern, name) is expected


@pytest.mark.parametrize(
    ("reference", "names", "expected"),
    [
        ("a.test", {"dns_names": ("x.test", "A.test")}, (PERMIT, "name.match")),
        ("b.a.test", {"dns_names": ("*.a.test",)}, (PERMIT, "name.match")),
        ("a.test", {"dns_names": ("x.test",)}, (DENY, "name.mismatch")),
        ("a.test", {"dns_names": ("x.test",), "unreadable": frozenset({DNS})}, (DOUBT, "name.unreadable")),
        ("a.test", {"dns_names": ("a.test.",)}, (DOUBT, "name.unreadable")),
        ("a.test", {"dns_names": ("a.test\0.evil.test",)}, (DOUBT, "name.unreadable")),
        ("a.test", {"dns_names": (), "unreadable": frozenset({DNS})}, (DOUBT, "name.unreadable")),
        ("a.test", {"dns_names": ()}, (DOUBT, "name.absent")),
        ("a.test", {"uris": ("a.test",), "emails": ("a.test",)}, (DOUBT, "name.absent")),
        ("a.test", {"common_names": ("a.test",)}, (DOUBT, "name.absent")),
        ("192.0.2.1", {"ip_addresses": (ipaddress.ip_address("192.0.2.1"),)}, (PERMIT, "name.match")),
        ("192.0.2.1", {"ip_addresses": (ipaddress.ip_address("192.0.2.2"),)}, (DENY, "name.mismatch")),
        ("192.0.2.1", {"dns_names": ("192.0.2.1",)}, (DOUBT, "name.unreadable")),
        (
            "127.0.0.1",
            {"dns_names": ("0x7f.1",), "ip_addresses": (ipaddress.ip_address("::2"),)},
            (DOUBT, "name.unreadable"),
        ),
        ("192.0.2.1", {"unreadable": frozenset({IP})}, (DOUBT, "name.unreadable")),
        ("192.0.2.1", {}, (DOUBT, "name.absent")),
        ("https://a.test/", {"uris": ("https://a.test/",)}, (PERMIT, "name.match")),
        ("https://a.test/", {"uris": ("https://A.test/",)}, (DENY, "name.mismatch")),
        ("https://a.test/", {"uris": (), "unreadable": frozenset({URI})}, (DOUBT, "name.unreadable")),
        ("https://a.test/", {"dns_names": ("https://a.test/",)}, (DOUBT, "name.absent")),
    ],
)
def test_the_answers(reference: str, names: dict[str, object], expected: tuple[Verdict, str]) -> None:
    """PERMIT where a readable name matches, DENY where all were read and none does, else a doubt."""
    assert answer(reference, **names) == expected


def test_the_common_name_counts_only_without_any_san() -> None:
    """RULES 29: an unreadable or DNS-less subjectAltName never makes the CN count."""
    reference = ReferenceIdentifier.common_name("db-1")
    assert reference.match(PresentedIdentifiers(common_names=("db-1",)))[0] is PERMIT
    assert reference.match(PresentedIdentifiers(common_names=("db-2",)))[0] is DENY
    for unreadable in (frozenset[str](), frozenset({DNS})):
        names = PresentedIdentifiers(common_names=("db-1",), has_san=True, unreadable=unreadable)
        assert reference.match(names)[:2] == (DENY, "name.mismatch")


def test_an_expected_common_name_is_not_empty() -> None:
    """An empty expectation is refused."""
    with pytest.raises(ConfigurationError, match="empty"):
        ReferenceIdentifier.common_name("")


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (PresentedIdentifiers(), "name.absent"),
        (PresentedIdentifiers(common_names=("a", "b")), "name.ambiguous"),
        (PresentedIdentifiers(common_names=("a",), unreadable=frozenset({"common-name"})), "name.unreadable"),
    ],
)
def test_no_one_common_name_is_a_doubt(names: PresentedIdentifiers, code: str) -> None:
    """None, several, and one that cannot be read: nobody says which is meant."""
    doubt = common_name_doubt(names)
    assert doubt is not None
    assert doubt[:2] == (DOUBT, code)


def test_the_dialed_name_is_unknown_until_it_is_filled_in() -> None:
    """The placeholder itself matches nothing."""
    assert ReferenceIdentifier.DIALED.match(PresentedIdentifiers(dns_names=("a.test",)))[:2] == (
        DOUBT,
        "identity.unknown",
    )
    assert str(ReferenceIdentifier.DIALED) == "the name that was dialed"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("1.2.3", "1.2.0.3"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
    ],
)
def test_addresses_as_resolvers_read_them(text: str, address: str) -> None:
    """inet_aton reads one to four parts, decimal, octal and hexadecimal."""
    assert loose_address(text) == ipaddress.ip_address(address)


@pytest.mark.parametrize(
    "text", ["a.test", "1.2.3.4.5", "256.1", "1.2.3.256", "4294967296", "08.1", "", "1..2", "0x", "1" * 65]
)
def test_what_is_no_address_in_any_reading(text: str) -> None:
    """Too many parts, parts that are too large, and other text are none."""
    assert loose_address(text) is None


def test_a_label_of_digits_is_no_last_label() -> None:
    """A last label that is a number would be read as an address by some resolvers."""
    assert is_dns_name("1.a")
    assert not is_dns_name("a.1")
    assert not is_dns_name("a.0x1F")


def test_a_long_list_is_counted_and_not_sorted() -> None:
    """A refusal repeats four expected names at most, and four presented ones."""
    wanted = frozenset(map(str, range(1000)))
    assert "one of 1000" in match_texts("URI", wanted, ("x",), unreadable=False)[2]
    assert presented_list(["a"] * 6) == "'a', 'a', 'a', 'a' and 2 more"
    assert presented_list([]) == "none"
