"""SubjectDN and SubjectAttribute: parsed RDNs, compared code point by code point."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence
from mtlspolicy._names import DistinguishedName
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies import SubjectAttribute, SubjectDN
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade, relative_name

ROOT = CertificateAuthority()
AT = datetime(2026, 1, 1, tzinfo=UTC)
PERMIT, DENY, DOUBT = Verdict.PERMIT, Verdict.DENY, Verdict.INDETERMINATE
O, OU = "2.5.4.10", "2.5.4.11"  # noqa: E741 - the attribute's short name


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


def with_subject(*rdns: bytes) -> IssuedCertificate:
    """Return a client's certificate whose subject has the encoded *rdns*."""
    leaf = ROOT.issue_client("client")
    hand = replace(HandMade.of(leaf.certificate), subject=der.sequence(*rdns))
    return replace(leaf, der=hand.signed_by(ROOT.key))


EXAMPLE = ROOT.issue_client("client", organization="Example", attributes={"OU": ["A", "B"]})
"""Subject O=Example, OU=A, OU=B, CN=client."""


@pytest.mark.parametrize(
    "text",
    [
        "CN=client,OU=B,OU=A,O=Example",
        "cn=client, ou=B, ou=A, o=Example",
        "2.5.4.3=client,OID.2.5.4.11=B,OU=A,organizationName=Example",
        "CN=\\63lient,OU=#0c0142,OU=A,O=Example",
    ],
)
def test_the_same_name_in_any_spelling(text: str) -> None:
    """Attribute types in any case or as OIDs, spaces and escapes are spelling; the name is what is compared."""
    decision = asked(SubjectDN(text), EXAMPLE)
    assert (decision.verdict, decision.code) == (PERMIT, "name.match")


@pytest.mark.parametrize(
    "text",
    [
        "CN=client,OU=A,OU=B,O=Example",
        "CN=client,OU=B,O=Example",
        "CN=client,OU=B,OU=A,O=Example,C=DE",
        "CN=client+OU=B,OU=A,O=Example",
        "CN=Client,OU=B,OU=A,O=Example",
        "CN=client,OU=B,OU=A,O=example",
        "CN=client\\ ,OU=B,OU=A,O=Example",
    ],
)
def test_another_name_is_denied(text: str) -> None:
    """Order, number and grouping of RDNs count, and so does case."""
    decision = asked(SubjectDN(text), EXAMPLE)
    assert (decision.verdict, decision.code) == (DENY, "name.mismatch")
    assert "CN=client,OU=B,OU=A,O=Example" in decision.detail


def test_a_reversed_text_is_refused_with_that_hint() -> None:
    """Most general first is the order of other tools: never matched, also not admitted under ``~``."""
    decision = asked(SubjectDN("O=Example,OU=A,OU=B,CN=client"), EXAMPLE)
    assert (decision.verdict, decision.code) == (DOUBT, "name.reversed")
    assert "reverse" in decision.detail


@pytest.mark.parametrize("value", ["\u212a", "\ufb00", "a\u00adb", "a\u00a0b", "a  b"])
def test_kelvin_ligature_soft_hyphen_and_spaces_are_not_folded(value: str) -> None:
    """RFC 4518 would make these equal to K, ff, ab and 'a b'; here they are names of their own."""
    folded = {"\u212a": "K", "\ufb00": "ff", "a\u00adb": "ab", "a\u00a0b": "a b", "a  b": "a b"}[value]
    issued = with_subject(relative_name((O, der.utf8_string(value))))
    assert asked(SubjectDN(f"O={folded}"), issued).verdict is DENY
    assert asked(SubjectAttribute("O", folded), issued).verdict is DENY


def test_multi_valued_rdns_match_in_both_orders() -> None:
    """An RDN is a set."""
    for text in ("CN=client+OU=admin", "OU=admin+CN=client"):
        assert asked(SubjectDN(text), broken("multi-valued-rdn", ROOT)).verdict is PERMIT
    assert asked(SubjectDN("CN=client,OU=admin"), broken("multi-valued-rdn", ROOT)).verdict is DENY


@pytest.mark.parametrize(
    ("defect", "code"),
    [("t61-string-cn", "name.unreadable"), ("invalid-utf8-cn", "name.unreadable"), ("nameless", "name.absent")],
)
def test_an_unreadable_or_empty_subject_is_a_doubt(defect: str, code: str) -> None:
    """T61 strings, broken UTF-8 and an empty name: INDETERMINATE."""
    decision = asked(SubjectDN("CN=client"), broken(defect, ROOT))
    assert (decision.verdict, decision.code) == (DOUBT, code)


def test_cn_regex_and_dn_string_parsing() -> None:
    """CN='client,CN=admin' is one attribute with a comma in it, which matches only when written so."""
    issued = broken("comma-in-cn", ROOT)
    assert asked(SubjectDN("CN=admin"), issued).verdict is DENY
    assert asked(SubjectDN("CN=admin,CN=client"), issued).verdict is DENY
    assert asked(SubjectDN("CN=client\\,CN\\=admin"), issued).verdict is PERMIT


def test_bytes_that_are_no_name_are_a_doubt() -> None:
    """A subject of another shape is INDETERMINATE, not an exception."""
    leaf = ROOT.issue_client("client")
    hand = replace(HandMade.of(leaf.certificate), subject=der.sequence(der.set_of()))
    issued = replace(leaf, der=hand.signed_by(ROOT.key))
    for policy in (SubjectDN("CN=client"), SubjectAttribute("O", "Example")):
        assert asked(policy, issued).code == "name.unreadable"


@pytest.mark.parametrize(
    ("attribute", "values", "verdict", "code"),
    [
        ("O", ("Example",), PERMIT, "name.match"),
        ("organizationName", ("Other", "Example"), PERMIT, "name.match"),
        ("2.5.4.11", ("B",), PERMIT, "name.match"),
        ("OU", ("A",), PERMIT, "name.match"),
        ("OU", ("C", "Example"), DENY, "name.mismatch"),
        ("O", ("example",), DENY, "name.mismatch"),
        ("C", ("DE",), DOUBT, "name.absent"),
        ("organizationIdentifier", ("PSDDE-1",), DOUBT, "name.absent"),
    ],
)
def test_one_attribute(attribute: str, values: tuple[str, ...], verdict: Verdict, code: str) -> None:
    """One value of the type that is expected permits, several of one type are usual, absence is a doubt."""
    decision = asked(SubjectAttribute(attribute, *values), EXAMPLE)
    assert (decision.verdict, decision.code) == (verdict, code)


def test_an_unreadable_value_beside_readable_ones() -> None:
    """A readable match permits; without one the unreadable value leaves a doubt."""
    issued = with_subject(relative_name((OU, der.t61_string("A"))), relative_name((OU, der.utf8_string("B"))))
    assert asked(SubjectAttribute("OU", "B"), issued).verdict is PERMIT
    assert asked(SubjectAttribute("OU", "A"), issued).code == "name.unreadable"


def test_cn_in_o_is_no_cn_and_cn_is_asked_elsewhere() -> None:
    """Attributes do not stand in for each other, and CN has a policy of its own, which refuses several."""
    assert asked(SubjectAttribute("O", "client"), EXAMPLE).verdict is DENY
    for name in ("CN", "commonname", "2.5.4.3"):
        with pytest.raises(ConfigurationError, match="CommonName"):
            SubjectAttribute(name, "client")


def test_under_name_constraints() -> None:
    """Subjects escape dNSName and iPAddress constraints, so they are a doubt unless allow_unconstrained is said."""
    constraints = x509.NameConstraints([x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))], None)
    issued = ROOT.intermediate(name_constraints=constraints).issue_client("client", organization="Example")
    for policy in (SubjectDN("CN=client,O=Example"), SubjectAttribute("O", "Example"), SubjectAttribute("O", "x")):
        decision = asked(policy, issued)
        assert (decision.verdict, decision.code) == (DOUBT, "name.constrained")
    assert asked(SubjectDN("CN=client,O=Example", allow_unconstrained=True), issued).verdict is PERMIT
    assert asked(SubjectAttribute("O", "Example", allow_unconstrained=True), issued).verdict is PERMIT


def test_inside_directory_name_constraints() -> None:
    """A whole subject inside directoryName constraints counts, one attribute of it does not."""
    base = x509.DirectoryName(x509.Name.from_rfc4514_string("O=Example"))
    issuing = ROOT.intermediate(name_constraints=x509.NameConstraints([base], None))
    inside = issuing.issue_client("client", organization="Example")
    assert asked(SubjectDN("CN=client,O=Example"), inside).verdict is PERMIT
    assert asked(SubjectAttribute("O", "Example"), inside).code == "name.constrained"
    outside = issuing.issue_client("client", organization="Other")
    assert asked(SubjectDN("CN=client,O=Other"), outside).code == "name.constrained"


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ((), "empty list is refused"),
        (("",), "is empty"),
        (("frodo",), "character 0"),
        (("/CN=a",), "slash form"),
        (("nick=a",), "dotted OID"),
        ((b"CN=a",), "not bytes"),
        ((DistinguishedName(()),), "names nobody"),
        ((DistinguishedName((frozenset({(O, None)}),)),), "names nobody"),
    ],
)
def test_a_name_that_is_none_is_refused(names: tuple[object, ...], why: str) -> None:
    """Text that is not RFC 4514, and the empty name, are errors."""
    with pytest.raises(ConfigurationError) as caught:
        SubjectDN(*names)  # type: ignore[arg-type]  # the mistakes
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("O",), "empty list is refused"),
        (("O", ""), "empty name"),
        (("nick", "a"), "dotted OID"),
        ((7, "a"), "attribute type"),
        (("O", " a"), "white space"),
    ],
)
def test_an_attribute_that_is_none_is_refused(arguments: tuple[object, ...], why: str) -> None:
    """An unknown type, and no value, are errors."""
    with pytest.raises(ConfigurationError) as caught:
        SubjectAttribute(*arguments)  # type: ignore[arg-type]  # the mistakes
    assert why in str(caught.value)


def test_ways_to_build_a_subject(tmp_path: Path) -> None:
    """Text, a parsed name, a certificate and a file build the same policy."""
    text = "CN=client,OU=B,OU=A,O=Example"
    listed = tmp_path / "names"
    listed.write_text(f"{text}  # the one\n")
    wanted = SubjectDN(text)
    assert wanted == SubjectDN(DistinguishedName.parse(text)) == SubjectDN([text]) == SubjectDN.parse(text)
    assert wanted == SubjectDN.of(EXAMPLE.certificate) == SubjectDN.from_list_file(listed)
    assert repr(wanted) == f"SubjectDN('{text}')"
    for defect in ("nameless", "t61-string-cn"):
        with pytest.raises(ConfigurationError, match="no such name"):
            SubjectDN.of(broken(defect, ROOT).der)


def test_ways_to_build_an_attribute(tmp_path: Path) -> None:
    """Values, a certificate, RFC 4514 text and a file build the same policy."""
    listed = tmp_path / "values"
    listed.write_text("A\nB\n")
    wanted = SubjectAttribute("OU", "A", "B")
    assert wanted == SubjectAttribute("ou", ["B", "A"]) == SubjectAttribute.from_list_file(listed, "OU")
    assert wanted == SubjectAttribute.of(EXAMPLE.certificate, "OU")
    assert SubjectAttribute.parse("O=Example") == SubjectAttribute("O", "Example")
    assert repr(wanted) == "SubjectAttribute('OU', 'A', 'B')"
    assert (
        repr(SubjectAttribute("1.2.3", "a", allow_unconstrained=True))
        == "SubjectAttribute('1.2.3', 'a', allow_unconstrained=True)"
    )
    for text in ("O=a,OU=b", "O=a+OU=b"):
        with pytest.raises(ConfigurationError, match="several attributes"):
            SubjectAttribute.parse(text)
    with pytest.raises(ConfigurationError, match="no such name"):
        SubjectAttribute.of(EXAMPLE.certificate, "C")


def test_live_lists() -> None:
    """A source may return entries or a policy of the same kind; one of another attribute is a doubt."""
    assert asked(SubjectDN(lambda: ["CN=client,OU=B,OU=A,O=Example"]), EXAMPLE).verdict is PERMIT
    assert asked(SubjectAttribute("O", lambda: SubjectAttribute("O", "Example")), EXAMPLE).verdict is PERMIT
    assert asked(SubjectAttribute("O", lambda: SubjectAttribute("OU", "Example")), EXAMPLE).verdict is DOUBT


def test_a_long_list_is_counted_in_a_refusal() -> None:
    """More than four expected names are not repeated."""
    decision = asked(SubjectDN([f"CN={number}" for number in range(9)]), EXAMPLE)
    assert "one of 9" in decision.detail


def test_they_identify() -> None:
    """Both say who the peer is."""
    assert SubjectDN.identifies
    assert SubjectAttribute.identifies
