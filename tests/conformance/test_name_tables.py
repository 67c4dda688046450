"""Name tables of service-identity and go-spiffe, held against our matching. Each divergence has its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._evidence import Evidence
from mtlspolicy._identifiers import PresentedIdentifiers
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import ReferenceIdentifier, parse_dns
from mtlspolicy._spiffe_id import SpiffeIdentifier
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies import DNSName, SpiffeID
from mtlspolicy.testing import CertificateAuthority

if TYPE_CHECKING:
    from tests.conformance.conftest import Case, Ledger, LoadCases

PARTIAL: Final = (
    "a wildcard inside a label is no DNS name here; the table calls it valid and never lets it match either"
)
NAME_DIVERGENCES: Final = {f"service-identity::{number}": PARTIAL for number in (29, 30, 31)}
ROOT = CertificateAuthority()


def dns_name_matches(pattern: str, name: str) -> bool:
    """Return whether a server that presents the dNSName *pattern* is *name*."""
    presented = PresentedIdentifiers(dns_names=(pattern,), has_san=True)
    return bool(ReferenceIdentifier("dns", parse_dns(name)).match(presented)[0])


def is_reference(name: str) -> bool:
    """Return whether *name* may be expected, as a DNS name by a server's caller and by a policy on clients alike."""
    try:
        parse_dns(name)
    except ConfigurationError:
        return False
    return DNSName(name) == DNSName.parse(name)


def can_match(pattern: str) -> bool:
    """Return whether a server that presents the dNSName *pattern* is anybody at all."""
    name = f"x.{pattern[2:]}" if pattern.startswith("*.") else pattern
    return is_reference(name) and dns_name_matches(pattern, name)


def agrees_on_name(case: Case) -> bool | str:
    """Return whether we answer a case of the name table as it does."""
    pattern, name, expected = case["pattern"], case["name"], case["expected"]
    match case["kind"]:
        case "dns":
            return dns_name_matches(pattern, name) is expected
        case "pattern-valid":
            return can_match(pattern) is expected
        case "reference-id-valid":
            return is_reference(name) is expected
        case "uri":
            presented = PresentedIdentifiers(uris=(pattern,), has_san=True)
            return bool(ReferenceIdentifier("uri", name).match(presented)[0]) is expected
        case kind:
            return f"{kind} names are not compared"


def test_name_table_of_service_identity(load_cases: LoadCases, ledger: Ledger) -> None:
    """Forty cases agree, three partial wildcards diverge for a reason, and SRV names are not compared."""
    outcomes = ledger(load_cases("names.json.gz"), agrees_on_name, NAME_DIVERGENCES)
    assert outcomes == {"pass": 40, "known divergence": 3, "skipped": 3}


def agrees_on_spiffe_id(case: Case) -> bool | str:
    """Return whether we answer a case of the SPIFFE table as it does, with the same parts."""
    given = case["input"]
    try:
        if case["op"] == "segments":
            return SpiffeIdentifier.of("trustdomain", *given).path == case.get("path")
        identifier = SpiffeIdentifier.parse(given)
    except MalformedEvidence:
        return not case["valid"]
    if case["op"] == "member_of":
        return is_member(given, case["trust_domain"]) is case["valid"]
    return bool(case["valid"]) and identifier == (case["trust_domain"], case["path"])


def is_member(uri: str, trust_domain: str) -> bool:
    """Return whether a peer with that SPIFFE ID is admitted as a member of the trust domain."""
    issued = ROOT.issue_client("workload", uris=[uri])
    path = CertificationPath((ParsedCertificate(issued.der), ParsedCertificate(issued.root_der)), "PRIVATE_PKI")
    policy = SpiffeID.member_of(trust_domain, bundle=ROOT.certificate)
    return bool(policy.evaluate(Evidence(path, at=datetime(2026, 1, 1, tzinfo=UTC))))


def test_spiffe_table_of_go_spiffe(load_cases: LoadCases, ledger: Ledger) -> None:
    """All thirty cases agree: what is an ID, its parts, and who is a member of a trust domain."""
    assert ledger(load_cases("spiffe.json.gz"), agrees_on_spiffe_id, {}) == {"pass": 30}
