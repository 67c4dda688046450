"""ServerIdentity: the server is one of those that were meant, also where that is the name that was dialed."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime

import pytest
from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import decide
from mtlspolicy._reference import ReferenceIdentifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._server_identity import ServerIdentity
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken

ROOT = CertificateAuthority()
AT = datetime(2026, 1, 1, tzinfo=UTC)
PERMIT, DENY, DOUBT = Verdict.PERMIT, Verdict.DENY, Verdict.INDETERMINATE
DIALED = ReferenceIdentifier.DIALED
SERVER = ROOT.issue_server("a.test", "*.b.test", "192.0.2.1", "2001:db8::1", "spiffe://c.test/x")


def expecting(*names: str) -> ServerIdentity:
    """Return the policy that expects one of *names*."""
    return ServerIdentity(tuple(map(ReferenceIdentifier.parse, names)))


def asked(policy: ServerIdentity, issued: IssuedCertificate, dialed: str | None = None) -> Decision:
    """Return the decision of *policy*, after making sure that ``~`` answers the opposite and a doubt stays one."""
    ders = (issued.der, *issued.issuers_der, issued.root_der)
    path = CertificationPath(tuple(map(ParsedCertificate, ders)), "PRIVATE_PKI")
    evidence = Evidence(path, at=AT, dialed=dialed)
    decision = decide(policy, evidence)
    opposite = {PERMIT: DENY, DENY: PERMIT, DOUBT: DOUBT}[decision.verdict]
    assert decide(~policy, evidence).verdict is opposite
    return decision


@pytest.mark.parametrize(
    ("name", "verdict", "code"),
    [
        ("A.test", PERMIT, "identity.match"),
        ("x.b.test", PERMIT, "identity.match"),
        ("192.0.2.1", PERMIT, "identity.match"),
        ("2001:DB8::1", PERMIT, "identity.match"),
        ("spiffe://c.test/x", PERMIT, "identity.match"),
        ("b.test", DENY, "identity.mismatch"),
        ("y.x.b.test", DENY, "identity.mismatch"),
        ("192.0.2.2", DENY, "identity.mismatch"),
        ("spiffe://c.test/y", DENY, "identity.mismatch"),
    ],
)
def test_an_expected_name(name: str, verdict: Verdict, code: str) -> None:
    """DNS names with wildcards, addresses in binary, URIs exactly (RFC 9525, section 6)."""
    decision = asked(expecting(name), SERVER)
    assert (decision.verdict, decision.code) == (verdict, code)


def test_one_of_several_is_enough_and_a_doubt_is_no_denial() -> None:
    """Any reference may match; where none does and one is in doubt, so is the answer."""
    assert asked(expecting("z.test", "a.test"), SERVER).verdict is PERMIT
    decision = asked(expecting("z.test", "y.test"), SERVER)
    assert decision.verdict is DENY
    assert "'z.test'" in decision.detail
    assert "'y.test'" in decision.detail
    only_dns = ROOT.issue_server("a.test")
    assert asked(expecting("z.test", "192.0.2.1"), only_dns).code == "name.absent"


@pytest.mark.parametrize(
    ("dialed", "verdict"),
    [
        ("a.test", PERMIT),
        ("a.test.", PERMIT),
        ("A.TEST", PERMIT),
        ("192.0.2.1", PERMIT),
        ("2001:db8::1%eth0", PERMIT),
        ("[2001:db8::1]", PERMIT),
        ("[2001:db8::1%25eth0]", PERMIT),
        ("evil.test", DENY),
        ("a.test..", DOUBT),
        ("a.test:443", DOUBT),
        ("*.b.test", DOUBT),
        ("", DOUBT),
        ("1.2.3", DOUBT),
        (None, DOUBT),
    ],
)
def test_the_name_that_was_dialed(dialed: str | None, verdict: Verdict) -> None:
    """A final dot and a zone are no part of the name; what is unknown or no name is a doubt (``identity.unknown``)."""
    decision = asked(ServerIdentity([DIALED]), SERVER, dialed)
    assert decision.verdict is verdict
    if verdict is DOUBT:
        assert decision.code == "identity.unknown"


def test_common_name_only_by_name_and_only_without_san() -> None:
    """The CN counts where it was asked for by name and the certificate has no subjectAltName."""
    by_name = ServerIdentity([ReferenceIdentifier.common_name("client.test")])
    assert asked(by_name, broken("cn-only", ROOT)).verdict is PERMIT
    assert asked(by_name, ROOT.issue_server("client.test")).verdict is DENY
    assert asked(expecting("client.test"), broken("cn-only", ROOT)).code == "name.absent"
    assert asked(by_name, broken("two-common-names", ROOT)).verdict is not PERMIT


def test_names_that_cannot_be_read_are_a_doubt() -> None:
    """Two subjectAltNames are INDETERMINATE."""
    assert asked(expecting("client.test"), broken("duplicate-extension", ROOT)).code == "name.unreadable"


def test_under_name_constraints() -> None:
    """A CA that is constrained in DNS names vouches for those, not for addresses or common names."""
    issuing = ROOT.intermediate(name_constraints=x509.NameConstraints([x509.DNSName("a.test")], None))
    server = issuing.issue_server("x.a.test", "192.0.2.1")
    assert asked(expecting("x.a.test"), server).verdict is PERMIT
    assert asked(expecting("192.0.2.1"), server).code == "name.constrained"
    allowing = ServerIdentity([ReferenceIdentifier.parse("192.0.2.1")], allow_unconstrained=True)
    assert asked(allowing, server).verdict is PERMIT
    elsewhere = x509.NameConstraints([x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))], None)
    by_cn = broken("cn-only", ROOT.intermediate(name_constraints=elsewhere))
    reference = ReferenceIdentifier.common_name("client.test")
    assert asked(ServerIdentity([reference]), by_cn).code == "name.constrained"
    assert asked(ServerIdentity([reference], allow_unconstrained=True), by_cn).verdict is PERMIT


@pytest.mark.parametrize("references", [(), ["a.test"], [None]])
def test_nothing_expected_is_refused(references: list[object]) -> None:
    """An identity without a reference, or of something else, is an error."""
    with pytest.raises(ConfigurationError, match="at least one ReferenceIdentifier"):
        ServerIdentity(references)  # type: ignore[arg-type]  # the mistakes


def test_it_is_a_value() -> None:
    """It identifies, is equal by content, and depends on the path alone unless the dialed name is meant."""
    assert ServerIdentity.identifies
    assert expecting("a.test", "a.test") == expecting("A.test")
    assert hash(expecting("a.test")) == hash(expecting("a.test"))
    assert expecting("a.test")._reads_path_only
    assert not ServerIdentity([DIALED])._reads_path_only
    assert repr(ServerIdentity([ReferenceIdentifier.parse("a.test"), DIALED])) == "ServerIdentity('a.test', dialed)"
    many = expecting(*(f"h{number}.test" for number in range(6)))
    assert repr(many) == "ServerIdentity('h0.test', 'h1.test', 'h2.test', 'h3.test' and 2 more)"
    assert "allow_unconstrained=True" in repr(ServerIdentity([DIALED], allow_unconstrained=True))
