"""RULES 12: the two path engines over x509-limbo. Each verifier has one, and where the two differ is written down."""

from __future__ import annotations

import tomllib
from typing import Any

import cryptography
import pytest

from mtlspolicy import Decision, MTLSPolicyError, PathProfile, PresentedChain, Verdict, Verifier
from mtlspolicy._path import CertificationPath, Purpose, Rules, validate_paths
from mtlspolicy._path_engines import PATH_ENGINES
from tests.conformance.limbo import WIDE, chain, limits, moment, policy, store
from tests.conformance.support import LEDGERS, load

pytest.importorskip("OpenSSL", reason="the extra pyopenssl is not installed")

SUITES = {name: load(name, "testcases") for name in ("limbo_core", "limbo_client_core")}
CRYPTOGRAPHY = int(cryptography.__version__.partition(".")[0])
CHAINED = (PathProfile.WEBPKI, PathProfile.PRIVATE_PKI)


def _accepts(case: dict[str, Any], profile: PathProfile, engine: str) -> bool:
    """Return whether the engine finds a valid path, within limits that no case meets, and without any policy."""
    purpose = Purpose.SERVER if case["validation_kind"] == "SERVER" else Purpose.CLIENT
    try:
        presented = PresentedChain.parse(chain(case), limits=WIDE).certificates
        found = validate_paths(
            presented, store(case), Rules(profile, purpose, limits(case, WIDE), engine), moment(case)
        )
        return any(isinstance(one, CertificationPath) for one in found)
    except MTLSPolicyError:
        return False


def _ledger(suite: str, profile: PathProfile) -> dict[str, str]:
    rows = tomllib.loads((LEDGERS / "engines.toml").read_text(encoding="utf-8"))["difference"]
    assert all(row["why"] and row["accepted_by"] in PATH_ENGINES for row in rows)
    rows = [row for row in rows if row.get("since", 0) <= CRYPTOGRAPHY < row.get("before", CRYPTOGRAPHY + 1)]
    meant = [row for row in rows if suite in row["suites"] and profile.value in row["profiles"]]
    return {case: row["accepted_by"] for row in meant for case in row["cases"]}


@pytest.mark.parametrize("profile", CHAINED)
@pytest.mark.parametrize("suite", SUITES)
def test_rule_12_the_engines_differ_where_the_ledger_says_so(suite: str, profile: PathProfile) -> None:
    """Every case on which one engine accepts and the other refuses is in the ledger, with the one that accepts."""
    differences = {}
    for case in SUITES[suite]:
        accepted = [engine for engine in PATH_ENGINES if _accepts(case, profile, engine)]
        if len(accepted) == 1:
            differences[case["id"]] = accepted[0]
    assert differences == _ledger(suite, profile)


@pytest.mark.parametrize("profile", CHAINED)
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("engine", PATH_ENGINES)
def test_rule_12_no_chain_that_the_selected_engine_refuses_is_admitted(
    engine: str, suite: str, profile: PathProfile
) -> None:
    """A PERMIT of a verifier needs a path that its own engine accepts, whatever the other one says, cold and warm."""
    permits = 0
    for case in SUITES[suite]:
        try:
            if case["validation_kind"] == "SERVER":
                expected = case["expected_peer_name"]["value"] if case["expected_peer_name"] else "unnamed.test"
                ours = Verifier.for_servers(
                    trust=store(case), expected=expected, profile=profile, path_engine=engine, limits=limits(case, WIDE)
                )
            else:
                ours = Verifier.for_clients(
                    trust=store(case), policy=policy(case), profile=profile, path_engine=engine,
                    limits=limits(case, WIDE),
                )  # fmt: skip
        except MTLSPolicyError:
            continue
        answers = [ours.decide(chain(case), at=moment(case)) for _ in range(2)]
        assert answers[0].verdict is answers[1].verdict, case["id"]
        if answers[0].verdict is Verdict.PERMIT:
            permits += 1
            assert _accepts(case, profile, engine), case["id"]
            assert _engine_of(answers[0]) == _engine_of(answers[1]) == engine
    assert permits >= 30, "an engine that refuses everything would pass"


def _engine_of(decision: Decision) -> str | None:
    return None if decision.context is None else decision.context.path_engine
