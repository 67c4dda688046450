"""DNSName, IPAddressName, EmailName, URIName: names of the peer's subjectAltName, each type by itself."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies import DNSName, EmailName, IPAddressName, URIName
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade
from mtlspolicy.testing._template import LeafOptions

ROOT = CertificateAuthority()
LEAF = ROOT.issue_client("client")
AT = datetime(2026, 1, 1, tzinfo=UTC)
PERMIT, DENY, DOUBT = Verdict.PERMIT, Verdict.DENY, Verdict.INDETERMINATE

NamePolicies = type[DNSName] | type[IPAddressName] | type[EmailName] | type[URIName]
EVERY: list[tuple[NamePolicies, str]] = [
    (DNSName, "a.test"),
    (IPAddressName, "192.0.2.1"),
    (EmailName, "boss@a.test"),
    (URIName, "https://a.test/x"),
]
"""Each policy with a name of its kind."""


def evidence_of(issued: IssuedCertificate) -> Evidence:
    """Return evidence of the path that *issued* presents, without validating it."""
    ders = (issued.der, *issued.issuers_der, issued.root_der)
    return Evidence(CertificationPath(tuple(map(ParsedCertificate, ders)), "PRIVATE_PKI"), at=AT)


def asked(policy: Policy, issued: IssuedCertificate) -> Decision:
    """Return the decision of *policy*, after making sure that ``~`` answers the opposite and a doubt stays one."""
    decision = decide(policy, evidence_of(issued))
    opposite = {PERMIT: DENY, DENY: PERMIT, DOUBT: DOUBT}[decision.verdict]
    assert decide(~policy, evidence_of(issued)).verdict is opposite
    return decision


def presenting(*names: str | bytes) -> IssuedCertificate:
    """Return a client's certificate with a subjectAltName of ``kind:value`` texts, or of encoded names."""
    tags = {"email": 1, "dns": 2, "uri": 6}
    encoded: list[bytes] = []
    for name in names:
        if isinstance(name, bytes):
            encoded.append(name)
            continue
        kind, _, value = name.partition(":")
        if kind == "ip":
            encoded.append(der.implicit(7, ipaddress.ip_address(value).packed))
        else:
            encoded.append(der.implicit(tags[kind], value.encode()))
    hand = HandMade.of(LEAF.certificate).setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.sequence(*encoded))
    return replace(LEAF, der=hand.signed_by(ROOT.key))


def answer(policy: Policy, *names: str | bytes) -> tuple[Verdict, str]:
    """Return verdict and code for a peer that presents *names*."""
    decision = asked(policy, presenting(*names))
    return decision.verdict, decision.code


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["dns:a.test"], (PERMIT, "name.match")),
        (["dns:x.test", "dns:A.TEST"], (PERMIT, "name.match")),
        (["dns:b.test"], (PERMIT, "name.match")),
        (["dns:x.test"], (DENY, "name.mismatch")),
        (["dns:x.a.test"], (DENY, "name.mismatch")),
        (["dns:a.test.evil.test"], (DENY, "name.mismatch")),
        (["dns:a.test."], (DOUBT, "name.unreadable")),
        (["dns:a.test\0.evil.test"], (DOUBT, "name.unreadable")),
        (["dns:192.0.2.1"], (DOUBT, "name.unreadable")),
        (["dns:1.2.3"], (DOUBT, "name.unreadable")),
        (["dns:0x7f.1"], (DOUBT, "name.unreadable")),
        (["dns:x.test", "dns:1.2.3"], (DOUBT, "name.unreadable")),
        (["dns:a.test", "dns:1.2.3"], (PERMIT, "name.match")),
        ([b"\x82\x01\xff", "dns:a.test"], (PERMIT, "name.match")),
        ([b"\x82\x01\xff", "dns:x.test"], (DOUBT, "name.unreadable")),
        ([b"\x82\x01\xff"], (DOUBT, "name.unreadable")),
        ([b"\x82\x05a"], (DOUBT, "name.unreadable")),
        ([], (DOUBT, "name.absent")),
        (["uri:a.test", "email:a.test"], (DOUBT, "name.absent")),
    ],
)
def test_dns_names(names: list[str | bytes], expected: tuple[Verdict, str]) -> None:
    """A dNSName is one of the expected in ASCII lower case; what is no DNS name leaves a doubt where none matches."""
    assert answer(DNSName("a.test", "B.test"), *names) == expected


@pytest.mark.parametrize(
    ("policy", "wildcard", "expected"),
    [
        (DNSName("x.a.test"), "*.a.test", (DOUBT, "name.wildcard")),
        (DNSName("x.a.test"), "*.A.test", (DOUBT, "name.wildcard")),
        (DNSName("a.test"), "*.test", (DOUBT, "name.wildcard")),
        (DNSName("a.test"), "*.a.test", (DENY, "name.mismatch")),
        (DNSName("y.x.a.test"), "*.a.test", (DENY, "name.mismatch")),
        (DNSName("x.a.test"), "x*.a.test", (DOUBT, "name.unreadable")),
        (DNSName("x.a.test"), "*.*.test", (DOUBT, "name.unreadable")),
        (DNSName("x.a.test"), "*", (DOUBT, "name.unreadable")),
        (DNSName.under("a.test"), "*.a.test", (DOUBT, "name.wildcard")),
        (DNSName.under("a.test"), "*.x.a.test", (DOUBT, "name.wildcard")),
        (DNSName.under("a.test"), "*.b.test", (DENY, "name.mismatch")),
        (DNSName.under("a.test"), "*.test", (DENY, "name.mismatch")),
        (DNSName.under("a.test", apex=True), "*.test", (DOUBT, "name.wildcard")),
        (DNSName([f"h{number}.a.test" for number in range(1001)]), "*.b.test", (DOUBT, "name.wildcard")),
    ],
)
def test_wildcards_of_a_client_match_nothing(policy: DNSName, wildcard: str, expected: tuple[Verdict, str]) -> None:
    """A client's ``*.a.test`` is INDETERMINATE where it would cover an expected name, never a match."""
    assert answer(policy, f"dns:{wildcard}") == expected
    assert answer(policy, f"dns:{wildcard}", "dns:other.example")[0] is not PERMIT


def test_a_name_beside_a_wildcard_still_matches() -> None:
    """What is readable and matches permits, whatever stands beside it."""
    assert answer(DNSName("x.a.test"), "dns:*.a.test", "dns:x.a.test") == (PERMIT, "name.match")


@pytest.mark.parametrize(
    ("name", "below", "domain"),
    [
        ("x.a.test", PERMIT, PERMIT),
        ("y.x.A.test", PERMIT, PERMIT),
        ("a.test", DENY, PERMIT),
        ("xa.test", DENY, DENY),
        ("a.test.evil", DENY, DENY),
        ("test", DENY, DENY),
    ],
)
def test_under_a_domain(name: str, below: Verdict, domain: Verdict) -> None:
    """A whole domain: subdomains at any depth, label by label; its own name only where that is said."""
    assert answer(DNSName.under("a.test", "other.test"), f"dns:{name}")[0] is below
    assert answer(DNSName.under("a.test", "other.test", apex=True), f"dns:{name}")[0] is domain


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("*.a.test", "under('a.test')"),
        ("", "empty name"),
        ("a.test.", "no final dot"),
        ("192.0.2.1", "not a DNS name"),
        ("1.2.3", "not a DNS name"),
        ("0x7f.1", "not a DNS name"),
        ("m\u00fcnchen.test", "A-label"),
        ("a.test:443", "no port"),
        ("https://a.test", "not a DNS name"),
        ("host,name", "not a DNS name"),
    ],
)
def test_an_expected_dns_name_that_is_none_is_refused(name: str, why: str) -> None:
    """A wildcard as an expectation, an address, a port, a final dot: errors that say what to write."""
    for build in (DNSName, DNSName.under, DNSName.parse):
        with pytest.raises(ConfigurationError) as caught:
            build(name)
        assert why in str(caught.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["ip:192.0.2.1"], (PERMIT, "name.match")),
        (["ip:10.200.3.4"], (PERMIT, "name.match")),
        (["ip:::ffff:10.200.3.4"], (PERMIT, "name.match")),
        (["ip:2001:db8::7"], (PERMIT, "name.match")),
        (["ip:192.0.2.2"], (DENY, "name.mismatch")),
        (["ip:2001:db9::7"], (DENY, "name.mismatch")),
        (["dns:192.0.2.1"], (DOUBT, "name.unreadable")),
        (["dns:192.0.2.1", "ip:192.0.2.2"], (DOUBT, "name.unreadable")),
        (["dns:0xa.1", "ip:192.0.2.2"], (DOUBT, "name.unreadable")),
        (["dns:192.0.2.9", "ip:192.0.2.2"], (DENY, "name.mismatch")),
        ([b"\x87\x05abcde"], (DOUBT, "name.unreadable")),
        ([b"\x87\x05abcde", "ip:192.0.2.1"], (PERMIT, "name.match")),
        ([b"\x87\x05abcde", "ip:192.0.2.2"], (DOUBT, "name.unreadable")),
        (["uri:192.0.2.1"], (DOUBT, "name.absent")),
    ],
)
def test_ip_addresses(names: list[str | bytes], expected: tuple[Verdict, str]) -> None:
    """An iPAddress is compared in binary; IPv4-mapped against IPv4 CIDR; one in a dNSName is a doubt."""
    assert answer(IPAddressName("192.0.2.1", "10.0.0.0/8", "2001:db8::/32"), *names) == expected
    many = [f"198.51.{number >> 8}.{number & 255}" for number in range(200)]
    assert answer(IPAddressName(["192.0.2.1", "10.0.0.0/8", "2001:db8::/32", *many]), *names) == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("10.0.0.256", "is no network"),
        ("a.test", "is no network"),
        ("fe80::1%eth0", "zone"),
        (ipaddress.ip_address("fe80::1%eth0"), "zone"),
        (7, "not int"),
        ("", "empty name"),
    ],
)
def test_an_expected_address_that_is_none_is_refused(value: object, why: str) -> None:
    """Host bits, zones and text that is no address: errors that say what to write."""
    with pytest.raises(ConfigurationError) as caught:
        IPAddressName(value)  # type: ignore[arg-type]  # the mistakes
    assert why in str(caught.value)


def test_addresses_are_taken_as_objects_too() -> None:
    """`ipaddress` objects, text and IPv4-mapped forms mean the same."""
    assert IPAddressName(ipaddress.ip_address("192.0.2.1")) == IPAddressName("192.0.2.1", "::ffff:192.0.2.1")
    assert IPAddressName(ipaddress.ip_network("10.0.0.0/8")) == IPAddressName("10.0.0.0/8")
    assert repr(IPAddressName("10.0.0.0/8", "::1")) == "IPAddressName('10.0.0.0/8', '::1')"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["email:boss@a.test"], (PERMIT, "name.match")),
        (["email:boss@A.Test"], (PERMIT, "name.match")),
        (["email:Boss@a.test"], (DENY, "name.mismatch")),
        (["email:boss@x.a.test"], (DENY, "name.mismatch")),
        (["email:boss@a.test@evil.test"], (DOUBT, "name.unreadable")),
        (["email:Boss <boss@a.test>"], (DOUBT, "name.unreadable")),
        (["email:boss"], (DOUBT, "name.unreadable")),
        (["email:@a.test"], (DOUBT, "name.unreadable")),
        (["email:boss", "email:boss@a.test"], (PERMIT, "name.match")),
        (["email:x@a.test", b"\x81\x01\xff"], (DOUBT, "name.unreadable")),
        (["dns:boss@a.test", "uri:boss@a.test"], (DOUBT, "name.absent")),
    ],
)
def test_mailboxes(names: list[str | bytes], expected: tuple[Verdict, str]) -> None:
    """The local part is compared exactly, the domain in ASCII lower case; what is no mailbox leaves a doubt."""
    assert answer(EmailName("boss@A.test"), *names) == expected


@pytest.mark.parametrize(
    "value", ["boss", "@a.test", "boss@", "a b@c.test", "b\u00f6ss@a.test", "a@b@c.test", "boss@1.2"]
)
def test_an_expected_mailbox_that_is_none_is_refused(value: str) -> None:
    """local@domain in ASCII, or an error."""
    with pytest.raises(ConfigurationError, match="is no mailbox"):
        EmailName(value)


def test_email_address_of_the_subject_is_no_rfc822_name() -> None:
    """The legacy attribute does not count as a mailbox of the subjectAltName."""
    assert asked(EmailName("client@client.test"), broken("email-in-subject", ROOT)).verdict is DOUBT


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["uri:https://a.test/x"], (PERMIT, "name.match")),
        (["uri:https://b.test", "uri:https://a.test/x"], (PERMIT, "name.match")),
        (["uri:https://A.test/x"], (DENY, "name.mismatch")),
        (["uri:https://a.test/%78"], (DENY, "name.mismatch")),
        (["uri:https://a.test/x/"], (DENY, "name.mismatch")),
        (["uri:https://b.test", b"\x86\x01\xff"], (DOUBT, "name.unreadable")),
        (["dns:https://a.test/x"], (DOUBT, "name.absent")),
    ],
)
def test_uris(names: list[str | bytes], expected: tuple[Verdict, str]) -> None:
    """A URI is compared character by character."""
    assert answer(URIName("https://a.test/x", "urn:x:y"), *names) == expected


@pytest.mark.parametrize("value", ["a.test/x", "https://a.test/a b", "https://\u00e4.test", "1a:b", "urn:"])
def test_an_expected_uri_that_is_none_is_refused(value: str) -> None:
    """scheme:rest in ASCII, or an error."""
    with pytest.raises(ConfigurationError, match="is no URI"):
        URIName(value)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_san_type_confusion(kind: NamePolicies, name: str) -> None:
    """A value in an entry of another type never matches (Envoy CVE-2022-21656)."""
    own = {DNSName: "dns", IPAddressName: "ip", EmailName: "email", URIName: "uri"}[kind]
    for other in {"dns", "email", "uri"} - {own}:
        assert answer(kind(name), f"{other}:{name}")[0] is DOUBT


@pytest.mark.parametrize(("kind", "name"), EVERY)
@pytest.mark.parametrize("defect", ["duplicate-extension", "no-san"])
def test_names_that_cannot_be_had_are_a_doubt(kind: NamePolicies, name: str, defect: str) -> None:
    """Two subjectAltNames, or none: INDETERMINATE, also under ``~``; the CN never stands in."""
    assert asked(kind(name), broken(defect, ROOT)).verdict is DOUBT


def test_an_unsupported_general_name_hides_no_readable_one() -> None:
    """ediPartyName and x400Address beside a dNSName are passed over."""
    issued = broken("unsupported-general-name", ROOT)
    assert asked(DNSName("client.test"), issued).verdict is PERMIT
    assert asked(DNSName("other.test"), issued).verdict is DENY
    assert asked(DNSName("client.test"), broken("ip-san-bad-length", ROOT)).verdict is PERMIT
    assert asked(IPAddressName("192.0.2.1"), broken("ip-san-bad-length", ROOT)).code == "name.unreadable"


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_an_empty_allow_set_is_refused(kind: NamePolicies, name: str) -> None:
    """Empty sets are errors, also as a collection; text is asked for."""
    given = cast("tuple[tuple[Any, ...], ...]", ((), ([],), ([name, ""],), (None,)))
    for arguments in given:
        with pytest.raises(ConfigurationError):
            kind(*arguments)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_ways_to_build(kind: NamePolicies, name: str, tmp_path: Path) -> None:
    """Text, a collection, a certificate, a file and a source build the same expectation, alike everywhere."""
    own = {DNSName: "dns", IPAddressName: "ip", EmailName: "email", URIName: "uri"}[kind]
    issued = presenting(f"{own}:{name}")
    listed = tmp_path / "names"
    listed.write_text(f"\ufeff# names\n{name}\t# the one\n", encoding="utf-8")
    wanted = kind(name)
    assert wanted == kind([name]) == kind.parse(name) == kind.from_list_file(listed)
    assert wanted == kind.of(ParsedCertificate(issued.der))
    assert hash(wanted) == hash(kind(name))
    assert wanted.identifies
    assert wanted._reads_path_only
    assert repr(kind(name, allow_unconstrained=True)) == f"{kind.__name__}({name!r}, allow_unconstrained=True)"
    live = kind(lambda: {name})
    assert not live._reads_path_only
    assert asked(live, issued).verdict is PERMIT
    assert asked(kind(lambda: ()), issued).verdict is DOUBT
    with pytest.raises(ConfigurationError, match="no such name"):
        kind.of(ParsedCertificate(presenting().der))


def test_hosts_and_domains_do_not_stand_in_for_each_other() -> None:
    """A source of names that returns a domain, or the other way round, is a doubt; its own kind is not."""
    assert answer(DNSName(lambda: DNSName("a.test")), "dns:a.test")[0] is PERMIT
    assert answer(DNSName.under(lambda: DNSName.under("a.test")), "dns:x.a.test")[0] is PERMIT
    assert answer(DNSName(lambda: DNSName.under("a.test")), "dns:a.test")[0] is DOUBT
    assert DNSName("a.test") != DNSName.under("a.test")


def test_what_an_explanation_shows() -> None:
    """Clause and detail name what was expected and what was presented."""
    assert repr(DNSName("B.test", "a.test")) == "DNSName('a.test', 'b.test')"
    assert repr(DNSName.under("a.test")) == "DNSName.under('a.test')"
    assert repr(DNSName.under("a.test", apex=True)) == "DNSName.under('a.test', apex=True)"
    detail = asked(DNSName.under("a.test"), presenting("dns:b.test")).detail
    assert detail == "expected a name below 'a.test', presented 'b.test'"


SUBTREES: dict[NamePolicies, x509.GeneralName] = {
    DNSName: x509.DNSName("a.test"),
    IPAddressName: x509.IPAddress(ipaddress.ip_network("192.0.2.0/24")),
    EmailName: x509.RFC822Name("a.test"),
    URIName: x509.UniformResourceIdentifier("a.test"),
}


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_type_that_a_constrained_ca_is_not_constrained_in(kind: NamePolicies, name: str) -> None:
    """A URI SAN under DNS-only constraints, and so on: INDETERMINATE name.constrained unless that is allowed."""
    options: dict[NamePolicies, LeafOptions] = {
        DNSName: {"dns": [name]},
        IPAddressName: {"ips": [name]},
        EmailName: {"emails": [name]},
        URIName: {"uris": [name]},
    }
    for constrained, subtree in SUBTREES.items():
        issuing = ROOT.intermediate(name_constraints=x509.NameConstraints([subtree], None))
        issued = issuing.issue_client("client", **options[kind])
        other = {DNSName: "b.test", IPAddressName: "192.0.2.9", EmailName: "x@a.test", URIName: "x:y"}[kind]
        if constrained is kind:
            assert asked(kind(name), issued).verdict is PERMIT
            assert asked(kind(other), issued).verdict is DENY
        else:
            assert asked(kind(name), issued).code == "name.constrained"
            assert asked(kind(other), issued).code == "name.constrained"
            assert asked(kind(name, allow_unconstrained=True), issued).verdict is PERMIT


def test_a_mapped_address_is_no_way_around_an_excluded_network() -> None:
    """The certificate says ::ffff:10.0.0.5, the constraint excludes 10.0.0.0/8, the policy compares 10.0.0.5."""
    excluded = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
    issuing = ROOT.intermediate(name_constraints=x509.NameConstraints(None, [excluded]))
    issued = issuing.issue_client("client", ips=["::ffff:10.0.0.5"])
    for allow in (False, True):
        assert asked(IPAddressName("10.0.0.5", allow_unconstrained=allow), issued).code == "name.constrained"
