"""Name constraints as policies need them: what a constrained CA may vouch for, and what escapes it."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._constraints import (
    Standing,
    both_forms,
    common_name_objection,
    name_objection,
    standing,
    subject_email_violation,
    subject_objection,
)
from mtlspolicy._identifiers import DNS, EMAIL, IP, URI
from mtlspolicy._path_value import CertificationPath
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade, relative_name

FREE, INSIDE, OUTSIDE = Standing.FREE, Standing.INSIDE, Standing.OUTSIDE
ROOT = CertificateAuthority()


def general_name(text: str) -> x509.GeneralName:
    """Return the subtree that ``kind:value`` writes."""
    kind, _, value = text.partition(":")
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_network(value))
    if kind == "dn":
        return x509.DirectoryName(x509.Name.from_rfc4514_string(value))
    if kind == "dns":
        return x509.DNSName(value)
    return x509.RFC822Name(value) if kind == "email" else x509.UniformResourceIdentifier(value)


def constraints(*subtrees: str) -> x509.NameConstraints:
    """Return nameConstraints of ``kind:value`` texts; ``!`` before one excludes."""
    permitted = [general_name(text) for text in subtrees if not text.startswith("!")]
    excluded = [general_name(text[1:]) for text in subtrees if text.startswith("!")]
    return x509.NameConstraints(permitted or None, excluded or None)


def path_of(issued: IssuedCertificate) -> CertificationPath:
    """Return the path that *issued* presents, without validating it."""
    ders = (issued.der, *issued.issuers_der, issued.root_der)
    return CertificationPath(tuple(map(ParsedCertificate, ders)), "PRIVATE_PKI")


def below(*subtrees: str) -> CertificateAuthority:
    """Return an issuing CA with these constraints, below a root without."""
    return ROOT.intermediate(name_constraints=constraints(*subtrees))


def unreadable_ca() -> CertificateAuthority:
    """Return an issuing CA whose nameConstraints cannot be read."""
    authority = ROOT.intermediate()
    hand = HandMade.of(authority.certificate).adding(ExtensionOID.NAME_CONSTRAINTS, b"\x30\x03\x02\x01\x00")
    return ROOT.adopt(hand.signed_by(ROOT.key), authority.key)


@pytest.mark.parametrize(
    ("subtrees", "kind", "value", "expected"),
    [
        (["dns:a.test"], DNS, "a.test", INSIDE),
        (["dns:a.test"], DNS, "x.y.A.test", INSIDE),
        (["dns:a.test"], DNS, "*.a.test", INSIDE),
        (["dns:a.test"], DNS, "xa.test", OUTSIDE),
        (["dns:a.test"], DNS, "a.test.evil", OUTSIDE),
        (["dns:.a.test"], DNS, "x.a.test", INSIDE),
        (["dns:.a.test"], DNS, "a.test", OUTSIDE),
        (["!dns:.a.test"], DNS, "a.test", OUTSIDE),
        (["!dns:a.test"], DNS, "x.a.test", OUTSIDE),
        (["!dns:a.test"], DNS, "b.test", INSIDE),
        (["dns:"], DNS, "b.test", INSIDE),
        (["!dns:"], DNS, "b.test", OUTSIDE),
        (["dns:a.test", "!dns:x.a.test"], DNS, "y.x.a.test", OUTSIDE),
        (["dns:a.test", "dns:b.test"], DNS, "b.test", INSIDE),
        (["ip:10.0.0.0/8"], DNS, "b.test", FREE),
        (["ip:10.0.0.0/8"], IP, "10.1.2.3", INSIDE),
        (["ip:10.0.0.0/8"], IP, "11.1.2.3", OUTSIDE),
        (["ip:10.0.0.0/8"], IP, "2001:db8::1", OUTSIDE),
        (["!ip:10.0.0.0/8"], IP, "::ffff:10.1.2.3", OUTSIDE),
        (["!ip:10.0.0.0/8"], IP, "::ffff:11.1.2.3", INSIDE),
        (["dns:a.test"], IP, "10.1.2.3", FREE),
        (["email:boss@a.test"], EMAIL, "boss@A.test", INSIDE),
        (["email:boss@a.test"], EMAIL, "Boss@a.test", OUTSIDE),
        (["!email:boss@a.test"], EMAIL, "BOSS@a.test", OUTSIDE),
        (["!email:boss@a.test"], EMAIL, "frodo@a.test", INSIDE),
        (["email:a.test"], EMAIL, "boss@a.test", INSIDE),
        (["email:a.test"], EMAIL, "boss@x.a.test", OUTSIDE),
        (["email:.a.test"], EMAIL, "boss@x.a.test", INSIDE),
        (["email:.a.test"], EMAIL, "boss@a.test", OUTSIDE),
        (["email:a.test"], EMAIL, '"x@b.test"@a.test', INSIDE),
        (["email:a.test"], EMAIL, "a.test@b.test", OUTSIDE),
        (["uri:a.test"], URI, "https://a.test/x", INSIDE),
        (["uri:a.test"], URI, "https://user@A.test:443?x", INSIDE),
        (["uri:a.test"], URI, "https://x.a.test/", OUTSIDE),
        (["uri:.a.test"], URI, "https://x.a.test/", INSIDE),
        (["uri:a.test"], URI, "https://b.test/a.test", OUTSIDE),
        (["uri:a.test"], URI, "https://a.test@b.test/", OUTSIDE),
        (["uri:a.test"], URI, "mailto:boss@a.test", OUTSIDE),
        (["uri:a.test"], URI, "https://[2001:db8::1]/", OUTSIDE),
        (["!uri:a.test"], URI, "mailto:boss@a.test", OUTSIDE),
        (["!uri:a.test"], URI, "https://b.test", INSIDE),
        (["!uri:"], URI, "https://b.test", OUTSIDE),
        (["uri:"], URI, "https://b.test", OUTSIDE),
    ],
)
def test_how_a_name_stands(subtrees: list[str], kind: str, value: str, expected: Standing) -> None:
    """RFC 5280, section 4.2.1.10, for each type of name; where it is silent fewer names pass."""
    name = ipaddress.ip_address(value) if kind == IP else value
    assert standing((constraints(*subtrees),), kind, name) is expected


def test_every_extension_of_a_path_is_held() -> None:
    """A name must be permitted by each CA that permits anything of its type."""
    both = (constraints("dns:a.test"), constraints("dns:b.test"))
    assert standing(both, DNS, "a.test") is OUTSIDE
    assert standing((constraints("dns:a.test"), constraints("ip:10.0.0.0/8")), DNS, "a.test") is INSIDE
    assert standing((), DNS, "a.test") is FREE


def test_mapped_addresses_have_two_forms() -> None:
    """An IPv4-mapped address is held to the constraints of both families."""
    four, mapped = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("::ffff:10.0.0.1")
    assert both_forms(mapped) == (mapped, four)
    assert both_forms(four) == (four,)


@pytest.mark.parametrize(
    ("subtrees", "kind", "value", "allow", "objects"),
    [
        (["dns:a.test"], DNS, "x.a.test", False, False),
        (["dns:a.test"], DNS, "x.b.test", False, True),
        (["dns:a.test"], DNS, "x.b.test", True, True),
        (["dns:a.test"], URI, "spiffe://b.test/x", False, True),
        (["dns:a.test"], URI, "spiffe://b.test/x", True, False),
        (["ip:10.0.0.0/8"], EMAIL, "x@a.test", False, True),
        (["ip:10.0.0.0/8"], IP, "10.0.0.1", False, False),
    ],
)
def test_a_type_that_no_constraint_speaks_of(
    subtrees: list[str], kind: str, value: str, *, allow: bool, objects: bool
) -> None:
    """RULES 20: a constrained CA does not vouch for names of a type that it is not constrained in, unless allowed."""
    name = ipaddress.ip_address(value) if kind == IP else value
    path = path_of(below(*subtrees).issue_client("frodo"))
    assert (name_objection(path, kind, (name,), allow_unconstrained=allow) is not None) is objects


def test_without_constraints_nothing_is_objected() -> None:
    """A path without nameConstraints leaves names to the policy."""
    path = path_of(ROOT.issue_client("frodo"))
    assert name_objection(path, DNS, ("a.test",), allow_unconstrained=False) is None
    assert common_name_objection(path, "frodo", allow_unconstrained=False) is None
    assert subject_objection(path, whole=True, allow_unconstrained=False) is None
    assert subject_email_violation(path) is None


def test_constraints_that_cannot_be_read_object_to_everything() -> None:
    """Nobody knows what an unreadable extension permits, so it permits nothing, whatever is allowed."""
    path = path_of(unreadable_ca().issue_client("frodo", attributes={"emailAddress": "x@a.test"}))
    assert name_objection(path, DNS, ("a.test",), allow_unconstrained=True)
    assert common_name_objection(path, "frodo", allow_unconstrained=True)
    assert subject_objection(path, whole=True, allow_unconstrained=True)
    assert subject_email_violation(path)


@pytest.mark.parametrize(
    ("subtrees", "name", "objects", "objects_if_allowed"),
    [
        (["dns:a.test"], "x.a.test", False, False),
        (["dns:a.test"], "admin.b.test", True, True),
        (["dns:a.test", "!dns:x.a.test"], "x.a.test", True, True),
        (["!dns:b.test"], "x.a.test", False, False),
        (["!dns:b.test"], "x.b.test", True, True),
        (["dns:a.test"], "frodo", True, False),
        (["dns:a.test"], "Frodo Inc. of a.test", True, False),
        (["dns:a.test"], "*.a.test", True, False),
        (["dns:a.test"], "x.a.test.", True, True),
        (["dns:a.test"], "10.0.0.1", True, False),
        (["ip:10.0.0.0/8"], "x.a.test", True, False),
        (["ip:10.0.0.0/8"], "10.0.0.1", True, False),
        (["ip:10.0.0.0/8"], "11.0.0.1", True, True),
        (["email:a.test"], "boss@a.test", True, False),
        (["email:a.test"], "boss@b.test", True, True),
        (["uri:a.test"], "https://b.test/", True, True),
        (["uri:a.test"], "https://a.test/", True, False),
    ],
)
def test_cn_evades_dns_name_constraints(
    subtrees: list[str], name: str, *, objects: bool, objects_if_allowed: bool
) -> None:
    """RULES 20: under constraints a CN counts only as a DNS name inside them; one that breaks them never does."""
    path = path_of(below(*subtrees).issue_client(name, dns=["y.a.test"]))
    assert (common_name_objection(path, name, allow_unconstrained=False) is not None) is objects
    assert (common_name_objection(path, name, allow_unconstrained=True) is not None) is objects_if_allowed


@pytest.mark.parametrize(
    ("subtrees", "whole", "objects", "objects_if_allowed"),
    [
        (["ip:10.0.0.0/8"], True, True, False),
        (["dn:O=Example"], True, False, False),
        (["dn:O=Example"], False, True, False),
        (["dn:O=Other"], True, True, True),
        (["dn:O=Other", "dn:O=Example"], True, False, False),
        (["!dn:O=Other"], True, True, True),
        (["dn:CN=x.b.test,O=Example"], True, False, False),
        (["dn:CN=a,CN=x.b.test,O=Example"], True, True, True),
    ],
)
def test_a_subject_under_constraints(
    subtrees: list[str], *, whole: bool, objects: bool, objects_if_allowed: bool
) -> None:
    """A whole subject inside directoryName constraints counts; one attribute of it, and any other subject, does not."""
    path = path_of(below(*subtrees).issue_client("x.b.test", organization="Example"))
    assert (subject_objection(path, whole=whole, allow_unconstrained=False) is not None) is objects
    assert (subject_objection(path, whole=whole, allow_unconstrained=True) is not None) is objects_if_allowed


def test_a_subject_whose_cn_breaks_dns_constraints() -> None:
    """The CN of a subject is no way around dNSName constraints, not even with allow_unconstrained."""
    inside = path_of(below("dns:a.test").issue_client("x.a.test"))
    outside = path_of(below("dns:a.test").issue_client("x.b.test"))
    assert subject_objection(inside, whole=True, allow_unconstrained=True) is None
    assert subject_objection(outside, whole=True, allow_unconstrained=True) is not None


def test_a_directory_base_that_cannot_be_read_permits_nothing() -> None:
    """Two values that cannot be read are not equal."""
    value = der.t61_string("Example")
    name = der.sequence(relative_name(("2.5.4.10", value)))
    extension = der.sequence(der.explicit(0, der.sequence(der.explicit(4, name))))
    authority = ROOT.intermediate()
    hand = HandMade.of(authority.certificate).adding(ExtensionOID.NAME_CONSTRAINTS, extension)
    issuing = ROOT.adopt(hand.signed_by(ROOT.key), authority.key)
    leaf = issuing.issue_client("frodo")
    subject = HandMade.of(leaf.certificate)
    changed = HandMade(
        serial=subject.serial, issuer=subject.issuer, validity=subject.validity, subject=name,
        public_key=subject.public_key, extensions=subject.extensions,
    ).signed_by(issuing.key)  # fmt: skip
    path = path_of(IssuedCertificate(changed, leaf.key, leaf.root_der, leaf.issuers_der))
    assert subject_objection(path, whole=True, allow_unconstrained=True) is not None


@pytest.mark.parametrize(
    ("subtrees", "address", "violates"),
    [
        (["email:a.test"], "boss@a.test", False),
        (["email:a.test"], "boss@b.test", True),
        (["!email:b.test"], "boss@b.test", True),
        (["!email:b.test"], "boss@a.test", False),
        (["dns:a.test"], "boss@b.test", False),
    ],
)
@pytest.mark.parametrize("san", [[], ["x@a.test"]])
def test_email_address_under_rfc822_constraints(
    subtrees: list[str], address: str, san: list[str], *, violates: bool
) -> None:
    """emailAddress=boss@b.test in the subject is held to rfc822Name constraints, subjectAltName or not."""
    leaf = below(*subtrees).issue_client("frodo", emails=san, attributes={"emailAddress": address})
    assert (subject_email_violation(path_of(leaf)) is not None) is violates


@pytest.mark.parametrize("subtree", ["email:a.test", "!email:b.test"])
def test_an_unreadable_email_address_under_constraints_is_a_violation(subtree: str) -> None:
    """What cannot be read is not shown to keep the constraint."""
    issuing = below(subtree)
    leaf = issuing.issue_client("frodo")
    hand = HandMade.of(leaf.certificate)
    subject = der.sequence(relative_name(("1.2.840.113549.1.9.1", der.t61_string("boss@a.test"))))
    changed = HandMade(
        serial=hand.serial, issuer=hand.issuer, validity=hand.validity, subject=subject,
        public_key=hand.public_key, extensions=hand.extensions,
    ).signed_by(issuing.key)  # fmt: skip
    path = path_of(IssuedCertificate(changed, leaf.key, leaf.root_der, leaf.issuers_der))
    assert subject_email_violation(path) is not None


def test_constraints_reach_every_certificate_below() -> None:
    """A subordinate CA's emailAddress is held as well; a self-issued CA certificate is passed over (section 6.1.3)."""
    constrained = below("email:a.test")
    bad = constrained.intermediate("sub", attributes={"emailAddress": "boss@b.test"})
    assert subject_email_violation(path_of(bad.issue_client("frodo"))) is not None
    good = constrained.intermediate("sub", attributes={"emailAddress": "boss@a.test"})
    assert subject_email_violation(path_of(good.issue_client("frodo"))) is None
    own = CertificateAuthority(
        "own", attributes={"emailAddress": "boss@b.test"}, name_constraints=constraints("email:a.test")
    )
    rolled = own.cross_sign(own)
    assert subject_email_violation(path_of(rolled.issue_client("frodo"))) is None
