"""NIST's PKITS: signatures, validity, name chaining, basic constraints and key usage, against both chained profiles."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from mtlspolicy import Decision, Limits, PathProfile, TrustStore, Verdict, Verifier, policies
from tests.conformance.support import Ledger, judge, load

CASES = load("pkits", "cases")
LEDGER = Ledger("pkits.toml")
LIMITS = Limits(path=6)
"""The longest path of the suite has six certificates."""


def _decide(case: Mapping[str, Any], profile: PathProfile) -> Decision:
    """Return the decision on a case: its chain is given from the end entity to the trust anchor."""
    *presented, anchor = [base64.b64decode(one) for one in case["chain"]]
    trust = TrustStore(anchors=[anchor])
    verifier = Verifier.for_clients(trust=trust, policy=policies.Anyone(), profile=profile, limits=LIMITS)
    return verifier.decide(presented, at=datetime.fromisoformat(case["time"]))


def _name(case: Mapping[str, Any]) -> str:
    return str(case["id"]).removeprefix("pkits::")


def test_the_suite_is_whole() -> None:
    """47 cases of five sections, each once."""
    assert len({_name(case) for case in CASES}) == len(CASES) == 47
    assert {case["section"] for case in CASES} == {"4.1", "4.2", "4.3", "4.6", "4.7"}


@pytest.mark.parametrize(("profile", "accepted", "rejected"), [("PRIVATE_PKI", 10, 22), ("WEBPKI", 0, 24)])
def test_every_answer_is_the_expected_one_or_in_the_ledger(profile: str, accepted: int, rejected: int) -> None:
    """Every difference has its reason in the ledger; valid accepted and invalid rejected are counted apart."""
    answers = [
        (_name(case), bool(case["expected_valid"]), _decide(case, PathProfile(profile)).verdict is Verdict.PERMIT)
        for case in CASES
    ]
    run = judge(answers, LEDGER.of("pkits", profile))
    assert not run.broken, f"{run}: {run.broken}"
    assert (run.valid_accepted, run.invalid_rejected) == (accepted, rejected), str(run)


def test_refusals_have_the_reason_of_their_section() -> None:
    """An invalid case is refused for what it is about, not by accident."""
    allowed = {
        "4.1": {"path.signature", "path.weak-key", "chain.malformed"},  # the last: a signature with unused bits
        "4.2": {"path.not-yet-valid", "path.expired"},
        "4.3": {"path.no-issuer"},
        "4.6": {"path.basic-constraints", "path.end-entity-is-ca"},
        "4.7": {"path.key-usage"},
    }
    for case in CASES:
        decision = _decide(case, PathProfile.PRIVATE_PKI)
        if not case["expected_valid"] and decision.verdict is not Verdict.PERMIT:
            assert decision.code in allowed[case["section"]], f"{_name(case)}: {decision.code}"


@pytest.mark.parametrize("profile", [PathProfile.PRIVATE_PKI, PathProfile.WEBPKI])
def test_nothing_crashes(profile: PathProfile) -> None:
    """Every case ends in a decision that explains itself."""
    for case in CASES:
        decision = _decide(case, profile)
        assert decision.explain()
        assert decision.code not in {"path.error", "policy.error"}
