"""x509-limbo, the core set: servers and clients of the Web PKI and its corner cases, against both chained profiles."""

from __future__ import annotations

import pytest

from mtlspolicy import Decision, MTLSPolicyError, PathProfile, Verdict
from tests.conformance.limbo import decide, path_accepts, raw_accepts
from tests.conformance.support import Ledger, Run, judge, load

SUITE = "limbo_core"
CASES = load(SUITE, "testcases")
LEDGER = Ledger("limbo.toml")
JUDGED = [case for case in CASES if case["validation_kind"] == "CLIENT" or case["expected_peer_name"] is not None]
"""Of the cases for servers one names no server."""


def _valid(case: dict[str, object]) -> bool:
    return case["expected_result"] == "SUCCESS"


def _run(profile: PathProfile) -> Run:
    answers = []
    for case in CASES:
        answer = decide(case, profile) if case in JUDGED else None
        accepted = isinstance(answer, Decision) and answer.verdict is Verdict.PERMIT
        answers.append((case["id"], _valid(case), accepted))
    return judge(answers, LEDGER.of(SUITE, profile.value))


def test_the_suite_is_whole() -> None:
    """208 cases, each once; a ledger over half a suite would prove little."""
    assert len({case["id"] for case in CASES}) == len(CASES) == 208


@pytest.mark.parametrize(("profile", "accepted", "rejected"), [("WEBPKI", 49, 117), ("PRIVATE_PKI", 49, 111)])
def test_every_answer_is_the_expected_one_or_in_the_ledger(profile: str, accepted: int, rejected: int) -> None:
    """Every difference has its reason in the ledger; valid accepted and invalid rejected are counted apart."""
    run = _run(PathProfile(profile))
    assert not run.broken, f"{run}: {run.broken}"
    assert (run.valid_accepted, run.invalid_rejected) == (accepted, rejected), str(run)


def test_webpki_is_no_worse_than_the_raw_verifier() -> None:
    """Where `cryptography`'s own verifier answers as expected, so does `WEBPKI`: both kinds of answer counted apart.

    Paths and names alone, within limits that no case meets: what limits and policies refuse on top is in the ledger.
    """
    worse, counts = [], {True: [0, 0], False: [0, 0]}
    for case in JUDGED:
        valid = _valid(case)
        raw, ours = raw_accepts(case) is valid, path_accepts(case, PathProfile.WEBPKI) is valid
        counts[valid][0] += raw
        counts[valid][1] += ours
        if raw and not ours:
            worse.append(case["id"])
    assert worse == []
    assert counts[True][0] == counts[True][1] == 57, "valid accepted, of 62"
    assert counts[False][0] == 110, "invalid rejected by the raw verifier, of 145"
    assert counts[False][1] >= 110, "and by ours"


def test_private_pki_accepts_more_than_webpki_for_listed_reasons_alone() -> None:
    """The acceptances that the private profile adds are these and no others."""
    added = []
    for case in JUDGED:
        private, web = (path_accepts(case, profile) for profile in (PathProfile.PRIVATE_PKI, PathProfile.WEBPKI))
        assert private or not web, f"{case['id']}: the stricter profile accepts and the other does not"
        if private and not web:
            added.append(case["id"])
    assert sorted(added) == [
        "crl::issuer-no-keyusage-extension",  # valid, by the way: the CA has no keyUsage
        "rfc5280::aki::leaf-missing-aki",
        "rfc5280::san::noncritical-with-empty-subject",
        "rfc5280::san::underscore-dns",
        "webpki::aki::root-with-aki-missing-keyidentifier",
        "webpki::eku::ee-critical-eku",
        "webpki::san::san-critical-with-nonempty-subject",
    ]


@pytest.mark.parametrize("profile", PathProfile)
def test_nothing_crashes(profile: PathProfile) -> None:
    """Under every profile each case ends in a decision with a code and an explanation, or in an error of ours."""
    for case in JUDGED:
        answer = decide(case, profile)
        if isinstance(answer, MTLSPolicyError):
            continue
        assert answer.explain()
        assert answer.as_dict()["code"] == answer.code
        assert answer.code not in {"path.error", "policy.error"}, case["id"]


@pytest.mark.parametrize("case", [case for case in CASES if "pathological" in case["id"]], ids=lambda case: case["id"])
def test_pathological_cases_are_refused(case: dict[str, object]) -> None:
    """Name constraints times names, and chains that branch: refused within the limits."""
    answer = decide(case, PathProfile.PRIVATE_PKI)
    assert isinstance(answer, Decision)
    assert (answer.verdict is Verdict.PERMIT) is _valid(case)
