"""What is said of a store beside its content: recorded by decisions, and without any weight in them."""

from __future__ import annotations

import pytest

from mtlspolicy import TrustStore, Verifier, policies
from mtlspolicy._decision import Verdict
from mtlspolicy._path import Refusal
from mtlspolicy._trust_state import TrustRefused, stated
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority

ROOT = CertificateAuthority("root")
OTHER = CertificateAuthority("other")
STORE = TrustStore(anchors=[ROOT.certificate])
CLIENT = ROOT.issue_client("client").chain_pem
POLICY = policies.CommonName("client")


def test_a_stated_store_is_the_same_store() -> None:
    """Equal, with the same digest and the same memory of anchors made ready; the original says nothing."""
    copy = stated(STORE, generation="7", remarks=("read an hour ago",))
    assert copy == STORE
    assert hash(copy) == hash(STORE)
    assert copy.engine_memo is STORE.engine_memo
    assert (copy.generation, copy.remarks) == ("7", ("read an hour ago",))
    assert (STORE.generation, STORE.remarks, STORE.elsewhere) == ("", (), None)
    with pytest.raises(AttributeError, match="immutable"):
        copy.generation = "8"


def test_generation_and_remarks_are_in_the_decision() -> None:
    """In what people read and in what is logged, escaped."""
    verifier = Verifier.for_clients(
        trust=lambda: stated(STORE, generation="7\n", remarks=("an\x1bage",)), policy=POLICY
    )
    for chain in (CLIENT, OTHER.issue_client("client").chain_pem):
        decision = verifier.decide(chain)
        assert decision.as_dict()["generation"] == "7\\n"
        assert "an\\x1bage" in decision.as_dict()["notes"]
        assert "  trust: generation 7\\n" in decision.explain().splitlines()
        assert "  note: an\\x1bage" in decision.explain().splitlines()


def test_a_store_without_a_generation_says_nothing() -> None:
    """Most stores are no part of anything that is reloaded."""
    decision = Verifier.for_clients(trust=STORE, policy=POLICY).decide(CLIENT)
    assert "generation" not in decision.as_dict()
    assert "generation" not in decision.explain()


@pytest.mark.parametrize("verdict", [Verdict.DENY, Verdict.INDETERMINATE])
def test_a_sources_refusal_is_the_decisions(verdict: Verdict) -> None:
    """Code, verdict and generation go into the decision; every other error stays ``trust.unavailable``."""

    def refuse() -> TrustStore:
        raise TrustRefused("nobody is here", code="tenant.unknown", verdict=verdict, generation="7")

    calls: list[int] = []

    def source() -> TrustStore:
        calls.append(1)
        return STORE if len(calls) == 1 else refuse()

    decision = Verifier.for_clients(trust=source, policy=POLICY).decide(CLIENT)
    assert (decision.verdict, decision.code, decision.detail) == (verdict, "tenant.unknown", "nobody is here")
    assert decision.as_dict()["generation"] == "7"
    with pytest.raises(TrustRefused, match="nobody is here"):
        Verifier.for_clients(trust=refuse, policy=POLICY)


def test_a_refusal_never_permits() -> None:
    """Whatever verdict it is given."""
    refused = TrustRefused("no", code="tenant.unknown", verdict=Verdict.PERMIT)
    assert refused.verdict is Verdict.INDETERMINATE
    assert isinstance(refused, ConfigurationError)


def test_elsewhere_may_say_more_and_never_admits() -> None:
    """It is asked after a refusal of the path alone; its answer is a refusal, and an error of its own is one too."""
    asked: list[str] = []

    def elsewhere(refusal: Refusal, presented: object, *, rules: object, at: object) -> Refusal | None:
        asked.append(refusal.code)
        assert presented is not None
        assert rules is not None
        if len(asked) == 3:
            raise RuntimeError(f"at {at}")
        return Refusal("acme.elsewhere", "somebody else's") if len(asked) == 1 else None

    verifier = Verifier.for_clients(trust=stated(STORE, generation="1", elsewhere=elsewhere), policy=POLICY)
    stranger = OTHER.issue_client("client").chain_pem
    decision = verifier.decide(stranger)
    assert (decision.verdict, decision.code, decision.detail) == (Verdict.DENY, "acme.elsewhere", "somebody else's")
    assert verifier.decide(stranger).code == "path.no-issuer"
    assert verifier.decide(stranger).code == "path.error"
    assert verifier.decide(CLIENT)
    assert verifier.decide(ROOT.issue_client("other").chain_pem).code == "name.mismatch"
    assert asked == ["path.no-issuer"] * 3
