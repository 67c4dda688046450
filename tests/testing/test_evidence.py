"""testing.evidence, testing.peer and testing.check_policy: real certificates without TLS, and rules for policies."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from mtlspolicy import policies
from mtlspolicy._chain import Possession
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence, Fact, Facts, Need
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError, PathValidationError, PolicyDenied
from mtlspolicy.testing import CertificateAuthority, broken, check_policy, evidence, peer

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
CA = CertificateAuthority("Root")


@policies.lookup("partner.enrolled", key=lambda path: path.end_entity.spki_sha256, identifies=True)
def enrolled(row: Any, _: Evidence) -> bool:
    """Enrolled partners are active."""
    return row is not None and row["active"] == 1


def test_the_example_of_the_documentation() -> None:
    """A policy is asked with a name, a time and facts in one line."""
    presented = evidence(common_name="frodo", at=AT, facts={"partner.enrolled": {"active": True}})
    assert enrolled.evaluate(presented)
    assert not enrolled.evaluate(evidence(common_name="frodo", at=AT))
    check_policy(enrolled, evidences=[presented])


def test_evidence_has_a_whole_path_that_is_valid_at_its_time() -> None:
    """End entity, issuing CA and root, each of its validity around the time, whenever that is."""
    for at in (AT, AT.replace(year=1999), AT.replace(year=2060)):
        presented = evidence("frodo", at=at)
        assert [str(one).split(",")[0] for one in presented.path.certificates] == [
            "CN=frodo",
            "CN=mtlspolicy TEST CA issuing",
            "CN=mtlspolicy TEST CA root",
        ]
        assert presented.path.valid_at(at)
        assert presented.at == at
    assert abs(evidence("frodo").at - datetime.now(UTC)) < timedelta(minutes=1)


def test_evidence_has_the_names_asked_for() -> None:
    """Names of every kind are in the certificate; without any it is ``client``, with a SAN there need be no CN."""
    names = evidence(
        "frodo",
        dns=["a.test"],
        uris=["spiffe://a.test/x"],
        emails=["a@a.test"],
        ips=["192.0.2.7"],
        organization="Shire",
    ).path.end_entity.names
    assert (names.common_names, names.dns_names, names.uris, names.emails) == (
        ("frodo",),
        ("a.test",),
        ("spiffe://a.test/x",),
        ("a@a.test",),
    )
    assert evidence().path.end_entity.common_name == "client"
    assert evidence(dns=["a.test"]).path.end_entity.common_name is None
    assert evidence(attributes={"OU": "x"}, serial=0x51).path.end_entity.serial_number == 0x51
    assert decide(policies.ExtendedKeyUsage("clientAuth"), evidence("a", eku=None)).code == "eku.absent"


def test_evidence_has_the_connection_asked_for() -> None:
    """What is not given is not known; possession is by TLS unless said otherwise."""
    presented = evidence("a", transport_address="192.0.2.7", server_name="s.test", resumed=True, dialed="d.test")
    assert (presented.connection.transport_address, presented.connection.server_name) == ("192.0.2.7", "s.test")
    assert (presented.connection.client_address, presented.connection.resumed) == (None, True)
    assert (presented.dialed, presented.possession) == ("d.test", Possession.TLS)
    assert evidence("a", possession=Possession.NONE).possession is Possession.NONE


def test_facts_are_given_by_kind_or_by_need() -> None:
    """A mapping answers every need of a kind; `Facts` are taken as they are."""
    need = Need("acme.row", 1)
    assert evidence("a", facts={"acme.row": None}).fact(need) == Fact(None)
    assert evidence("a", facts=Facts({need: Fact(7)})).fact(need) == Fact(7)
    assert evidence("a").fact(need) is None


def test_a_certificate_of_ones_own() -> None:
    """An issued or broken certificate brings its chain; bytes and objects are the path as they stand."""
    leaf = CA.intermediate("Below").issue_client("frodo")
    assert [str(one).split(",")[0] for one in evidence(certificate=leaf).path.certificates] == [
        "CN=frodo",
        "CN=Below",
        "CN=Root",
    ]
    assert len(evidence(certificate=leaf.der).path.certificates) == 1
    assert len(evidence(certificate=leaf.chain_pem + leaf.root_pem).path.certificates) == 3
    assert len(evidence(certificate=[leaf.certificate, CA.certificate]).path.certificates) == 2
    assert len(evidence(certificate=broken("oversized", CA)).path.certificates) == 2
    assert str(evidence("a", issuer=CA).path.anchor).startswith("CN=Root")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: evidence("a", at=AT.replace(tzinfo=None)), "has no time zone"),
        (lambda: evidence("a", dns_names=["x"]), "unknown option 'dns_names': there are dns, uris"),  # type: ignore[call-arg]
        (lambda: evidence("a", certificate=CA.der), "certificate= is a certificate already: leave out common_name"),
        (lambda: evidence(dns=["a.test"], issuer=CA, certificate=CA.der), "leave out dns, issuer"),
        (lambda: evidence("a", ips=["x"]), "'x' is not an IP address"),
        (lambda: peer("a", at=AT.replace(tzinfo=None)), "has no time zone"),
    ],
)
def test_what_makes_no_evidence_is_refused(build: Any, message: str) -> None:
    """Naive times, unknown options and contradictions are named."""
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_a_peer_went_through_a_verifier() -> None:
    """The identity object is a real one: it answers further policies and knows how possession was proved."""
    known = peer("frodo", dns=["a.test"], transport_address="192.0.2.7")
    assert (known.common_name, known.dns_names, known.possession) == ("frodo", ("a.test",), Possession.TLS)
    assert known.connection.transport_address == "192.0.2.7"
    known.require(policies.CommonName("frodo"))
    with pytest.raises(PolicyDenied):
        known.require(policies.CommonName("sam"))
    assert peer("frodo", policy=enrolled, facts={"partner.enrolled": {"active": 1}}).decision.code == "fact.found"
    assert peer("frodo", possession=Possession.PROXY).possession is Possession.PROXY


def test_a_peer_that_is_refused_is_none() -> None:
    """A policy that denies and a path that is not valid raise what a verifier raises."""
    with pytest.raises(PolicyDenied):
        peer("frodo", policy=policies.CommonName("sam"))
    with pytest.raises(PathValidationError):
        peer(certificate=broken("expired", CA))


@dataclass(frozen=True)
class Acts(Policy):
    """Answers as a test wants."""

    act: Callable[[Policy, Evidence], Any]
    needs: Any = ()

    def requires(self, path: CertificationPath) -> Any:
        """Return the needs."""
        return self.needs(path) if callable(self.needs) else self.needs

    def evaluate(self, evidence: Evidence) -> Any:
        """Answer."""
        return self.act(self, evidence)


class Soft(Acts):
    """Admits on doubt."""

    _soft: ClassVar[bool] = True


@dataclass
class Unhashable(Policy):
    """A policy that somebody forgot to freeze."""

    def evaluate(self, evidence: Evidence) -> Decision:
        """Answer."""
        del evidence
        return self.permit("acme.x")


class Shifting(Acts):
    """A policy with another hash each time."""

    counter = itertools.count()

    def __hash__(self) -> int:
        """Return another number."""
        return next(self.counter)


class Unequal(Acts):
    """A policy that is not equal to itself."""

    def __eq__(self, other: object) -> bool:
        """Deny it."""
        return False

    __hash__ = Acts.__hash__


class Agreeable(Acts):
    """A policy that is equal to everything."""

    def __eq__(self, other: object) -> bool:
        """Confirm it."""
        return True

    __hash__ = Acts.__hash__


NEED = Need("acme.row", 1)


def missing(policy: Policy, evidence: Evidence) -> Decision:
    """Answer by the fact, as one should."""
    fact = evidence.fact(NEED)
    if fact is None:
        return policy.indeterminate("fact.missing", needs=(NEED,))
    return policy.permit("acme.x") if fact.value else policy.deny("acme.x")


def raising(_: Any, __: Any = None) -> Any:
    """Fail."""
    raise LookupError("not\nthere")


def of_name(policy: Policy, evidence: Evidence) -> Decision:
    """Read the names, which raises for some broken certificates."""
    return policy.permit("acme.x") if evidence.path.end_entity.names.common_names else policy.deny("acme.x")


COUNT, THIRD = itertools.count(), itertools.count()
GOOD = {
    "answers by a fact": Acts(missing, (NEED,)),
    "answers by names that may be unreadable": Acts(of_name),
    "admits on doubt": Soft(lambda policy, _: policy.permit("acme.x"), (NEED,)),
    "is a combination": Acts(missing, (NEED,)) & ~policies.CommonName("x") | policies.SPKIPin("00" * 32).named("pin"),
    "needs nothing where its key cannot be read": Acts(
        missing, lambda path: (NEED,) if path.end_entity.names.common_names else ()
    ),
}
BAD = {
    "raised": (Acts(raising), "client with a common name: the policy raised LookupError: not"),
    "say indeterminate": (Acts(raising), "say indeterminate"),
    "returned bool": (Acts(lambda *_: True), "evaluate returned bool"),
    "returned none": (Acts(lambda *_: None), "evaluate returned NoneType"),
    "a truthy predicate": (policies.predicate("acme.x")(lambda _: 1), "returned int, neither True nor False"),
    "two verdicts": (
        Acts(lambda policy, _: policy.permit("acme.x") if next(COUNT) % 2 else policy.deny("acme.x")),
        "two answers for the same evidence",
    ),
    "two details": (
        Acts(lambda policy, _: policy.permit("acme.x", str(next(COUNT)))) & policies.Anyone(),
        "two answers for the same evidence",
    ),
    "not disagreeing": (
        Acts(lambda policy, _: policy.deny("acme.x") if next(THIRD) % 3 == 2 else policy.permit("acme.x")),
        "its negation do not disagree",
    ),
    "permits without its fact": (
        Acts(lambda policy, _: policy.permit("acme.x"), (NEED,)),
        "PERMIT although a fact that it requires is missing",
    ),
    "denies without its fact": (
        Acts(lambda policy, _: policy.deny("acme.x"), (NEED,)) | policies.CommonName("x"),
        "DENY although a fact that it requires is missing",
    ),
    "does not say what is missing": (
        Acts(lambda policy, _: policy.indeterminate("fact.missing"), (NEED,)),
        "without saying which fact is missing",
    ),
    "needs that are none": (Acts(missing, lambda _: [NEED]), "requires.path. returns a tuple of Need"),
    "kinds for needs": (Acts(missing, ("acme.row",)), "requires.path. returns a tuple of Need"),
    "needs that raise": (Acts(missing, raising), "requires.path. raised LookupError"),
    "an absent address denied": (
        Acts(
            lambda policy, seen: (
                policy.permit("acme.x") if seen.connection.transport_address is None else policy.deny("acme.x")
            )
        ),
        "permits when connection cannot be seen",
    ),
    "an absent address under the negation": (
        Acts(
            lambda policy, seen: (
                policy.deny("acme.x") if seen.connection.transport_address is None else policy.permit("acme.x")
            )
        ),
        "permits when connection cannot be seen",
    ),
    "unhashable": (Unhashable(), "cannot be hashed .*: make it a frozen dataclass"),
    "another hash": (Shifting(missing), "another hash each time"),
    "not itself": (Unequal(missing), "not equal to itself"),
    "equal to all": (Agreeable(missing), "equal to things that are no policy"),
    "no policy": (lambda _: True, "check_policy takes policies, not function"),
    "a class": (policies.CommonName, "write CommonName"),
}


@pytest.mark.parametrize("name", GOOD)
def test_policies_that_keep_the_rules(name: str) -> None:
    """Good policies pass, soft and combined ones too, also with evidence of one's own."""
    check_policy(
        GOOD[name], evidences=[evidence("x", facts={"acme.row": True}), evidence("x", facts={"acme.row": False})]
    )


@pytest.mark.parametrize("name", BAD)
def test_policies_that_break_a_rule(name: str) -> None:
    """Each broken rule is an AssertionError whose sentence says which, safe to print."""
    policy, said = BAD[name]
    with pytest.raises(AssertionError, match=said) as caught:
        check_policy(policy)  # type: ignore[arg-type]
    assert str(caught.value).isprintable()


def test_a_missing_fact_is_found_with_evidence_of_ones_own() -> None:
    """A policy that turns an absent fact into a PERMIT of its negation is found where the fact is given."""

    def backwards(policy: Policy, presented: Evidence) -> Decision:
        fact = presented.fact(NEED)
        return policy.permit("acme.x") if fact is not None and fact.value else policy.deny("acme.x")

    with pytest.raises(AssertionError, match="evidence number 0: .*permits when facts cannot be seen"):
        check_policy(Acts(backwards), evidences=[evidence("a", facts={"acme.row": True})])


@pytest.mark.parametrize(
    "policy",
    [
        policies.Anyone(),
        policies.CommonName("frodo"),
        policies.DNSName("client.test"),
        policies.IssuerPin(CA.certificate),
        policies.IssuerDN("CN=x"),
        policies.SPKIPin("00" * 32),
        policies.CertificatePin("00" * 32),
        policies.SerialNumbers(CA.certificate, [0x51]),
        policies.Blocked(CA.certificate, [0x51]),
        policies.ExtendedKeyUsage("clientAuth"),
        policies.PolicyOID("1.2.3"),
        policies.KeyStrength(),
        policies.MaxLifetime(timedelta(days=3)),
        policies.PeerAddress("192.0.2.0/24"),
        policies.ClientAddress("198.51.100.0/24"),
        policies.SubjectDN("CN=x"),
        policies.SubjectAttribute("O", "x"),
        policies.URIName("spiffe://example.test/client"),
        policies.EmailName("client@example.test"),
        policies.IPAddressName("192.0.2.7"),
        policies.SpiffeID.member_of("example.test"),
    ],
)
def test_the_librarys_own_policies_keep_the_rules(policy: Policy) -> None:
    """Every shipped clause passes what is asked of a user's."""
    check_policy(policy)
    check_policy(policy.named("x") & policies.Anyone())
    assert decide(policy, evidence("x")).verdict in Verdict
