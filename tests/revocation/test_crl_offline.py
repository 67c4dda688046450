"""CRLs given to `facts`, for a decision without any source: alone, and beside OCSP responses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mtlspolicy import TrustStore, Verdict, Verifier, policies
from mtlspolicy._pem import write_pem
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import RevocationList, facts
from tests.revocation.made import AT, FRODO, LIFE, ROOT, SAM, Made
from tests.revocation.made_crls import MadeCRL, Revoked

LISTED = MadeCRL((Revoked(),))
CHAIN = [FRODO.der]


def verifier(rule: str = "crl", **options: Any) -> Verifier:
    """Return a verifier of ROOT's clients by this rule."""
    policy = policies.CommonName("frodo") & policies.NotRevoked(rule, **options)
    return Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=policy)


@pytest.mark.parametrize("form", [bytes, RevocationList.parse, lambda data: write_pem(data, "X509 CRL").encode()])
def test_a_list_at_hand_decides(form: Any) -> None:
    """DER, PEM or parsed: not listed admits, listed is refused as revoked."""
    asked = verifier()
    for made, verdict in ((MadeCRL(), Verdict.PERMIT), (LISTED, Verdict.DENY)):
        found = facts(asked, CHAIN, crls=[form(made.encoded())], at=AT)
        assert asked.decide(CHAIN, at=AT, facts=found).verdict is verdict


def test_without_a_list_there_is_no_answer() -> None:
    """Neither a list of another issuer nor garbage admits."""
    asked = verifier()
    for crls in ([], [b"garbage"], [LISTED.but(spoilt=True).encoded()]):
        found = facts(asked, CHAIN, crls=crls, at=AT)
        assert asked.decide(CHAIN, at=AT, facts=found).code == "crl.unavailable"


def test_each_certificate_of_a_path_has_its_own_list() -> None:
    """The list of the root does not answer for what an issuing CA has issued."""
    issuing = ROOT.intermediate("Issuing", **LIFE)
    leaf = issuing.issue_client("frodo", **LIFE)
    chain = [leaf.der, issuing.der]
    asked = verifier()
    of_root, of_issuing = MadeCRL().encoded(), MadeCRL(signer=issuing).encoded()
    found = facts(asked, chain, crls=[of_root, of_issuing], at=AT)
    assert asked.decide(chain, at=AT, facts=found)
    for one in (of_root, of_issuing):
        assert asked.decide(chain, at=AT, facts=facts(asked, chain, crls=[one], at=AT)).code == "crl.unavailable"
    revoked = MadeCRL((Revoked(issuing.certificate.serial_number),)).encoded()
    found = facts(asked, chain, crls=[revoked, of_issuing], at=AT)
    assert asked.decide(chain, at=AT, facts=found).code == "crl.revoked"


def test_lists_and_responses_answer_their_own_rules() -> None:
    """A good response does not answer the rule for lists, and a list does not answer for the responder."""
    found = facts(verifier("crl"), CHAIN, responses=[Made().encoded()], at=AT)
    assert verifier("crl").decide(CHAIN, at=AT, facts=found).code == "crl.unavailable"
    found = facts(verifier("ocsp"), CHAIN, crls=[MadeCRL().encoded()], at=AT)
    assert verifier("ocsp").decide(CHAIN, at=AT, facts=found).code == "ocsp.unavailable"
    found = facts(verifier("ocsp"), CHAIN, responses=[Made().encoded()], crls=[LISTED.encoded()], at=AT)
    assert verifier("ocsp").decide(CHAIN, at=AT, facts=found)


def test_a_list_that_is_over_does_not_admit_later() -> None:
    """Facts of yesterday are held against the time of the decision."""
    asked = verifier()
    found = facts(asked, CHAIN, crls=[MadeCRL().encoded()], at=AT)
    assert not asked.decide(CHAIN, at=AT + timedelta(hours=2), facts=found)


def test_a_soft_rule_admits_without_a_list_and_never_who_is_listed() -> None:
    """Soft is soft about absent answers alone."""
    asked = verifier(soft=True)
    assert asked.decide(CHAIN, at=AT, facts=facts(asked, CHAIN, at=AT))
    old = LISTED.but(this_update=AT - timedelta(days=99), next_update=AT - timedelta(days=98))
    found = facts(asked, CHAIN, crls=[old.encoded()], at=AT)
    assert asked.decide(CHAIN, at=AT, facts=found).code == "crl.revoked"


def test_a_chain_that_is_not_valid_has_no_facts() -> None:
    """Nothing is asked about bytes."""
    assert len(facts(verifier(), b"garbage", crls=[LISTED.encoded()], at=AT)) == 0
    assert len(facts(verifier(), [b"\x30" * 99], crls=[LISTED.encoded()], at=AT)) == 0


@pytest.mark.parametrize("given", [LISTED.encoded(), "text", [3], RevocationList.parse(LISTED.encoded())])
def test_what_is_no_list_of_lists_is_refused(given: Any) -> None:
    """A mistake of the caller's is said to the caller."""
    with pytest.raises(ConfigurationError, match="crls"):
        facts(verifier(), [SAM.der], crls=given, at=AT)
