"""x509-limbo, the core set turned to client authentication: the purpose is the other one, the rules are the same."""

from __future__ import annotations

import pytest

from mtlspolicy import Decision, MTLSPolicyError, PathProfile, Verdict
from tests.conformance.limbo import decide, path_accepts, raw_accepts
from tests.conformance.support import Ledger, judge, load

SUITE = "limbo_client_core"
CASES = load(SUITE, "testcases")
LEDGER = Ledger("limbo.toml")


def test_the_suite_is_whole() -> None:
    """184 cases, each once, all of them clients."""
    assert len({case["id"] for case in CASES}) == len(CASES) == 184
    assert {case["validation_kind"] for case in CASES} == {"CLIENT"}


@pytest.mark.parametrize(("profile", "accepted", "rejected"), [("WEBPKI", 30, 113), ("PRIVATE_PKI", 30, 108)])
def test_every_answer_is_the_expected_one_or_in_the_ledger(profile: str, accepted: int, rejected: int) -> None:
    """Every difference has its reason in the ledger; valid accepted and invalid rejected are counted apart."""
    answers = []
    for case in CASES:
        answer = decide(case, PathProfile(profile))
        permitted = isinstance(answer, Decision) and answer.verdict is Verdict.PERMIT
        answers.append((case["id"], case["expected_result"] == "SUCCESS", permitted))
    run = judge(answers, LEDGER.of(SUITE, profile))
    assert not run.broken, f"{run}: {run.broken}"
    assert (run.valid_accepted, run.invalid_rejected) == (accepted, rejected), str(run)


def test_webpki_is_no_worse_than_the_raw_verifier() -> None:
    """Where the raw verifier answers as expected on a client, so does `WEBPKI`; names are not compared here."""
    worse = []
    for case in CASES:
        valid = case["expected_result"] == "SUCCESS"
        if raw_accepts(case) is valid and path_accepts(case, PathProfile.WEBPKI) is not valid:
            worse.append(case["id"])
    assert worse == []


@pytest.mark.parametrize("profile", PathProfile)
def test_nothing_crashes(profile: PathProfile) -> None:
    """Under every profile each case ends in a decision with a code, or in an error of ours."""
    answers = [decide(case, profile) for case in CASES]
    decided = [answer for answer in answers if not isinstance(answer, MTLSPolicyError)]
    assert len(decided) >= 150, "the others have anchors that DIRECT does not take, or names that cannot be expected"
    assert not {answer.code for answer in decided} & {"path.error", "policy.error"}
