"""Properties of paths and of their memory: what was seen before, and in which order, never changes an answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from mtlspolicy import (
    Limits,
    PathProfile,
    ReferenceIdentifier,
    TrustStore,
    Verdict,
    Verifier,
    policies,
)
from mtlspolicy.testing import BROKEN, CertificateAuthority, broken, malleated_twin

NOW: Final = datetime.now(UTC).replace(microsecond=0)
HOUR: Final = timedelta(hours=1)
ROOT: Final = CertificateAuthority("root", not_before=NOW - 9 * HOUR, not_after=NOW + 9 * HOUR)
OTHER: Final = CertificateAuthority("other root", not_before=NOW - 1.5 * HOUR, not_after=NOW + 1.5 * HOUR)
SAME: Final = CertificateAuthority("root", not_before=NOW - 9 * HOUR, not_after=NOW + 9 * HOUR)
ISSUING: Final = ROOT.intermediate("issuing", not_before=NOW - 3 * HOUR, not_after=NOW + 3 * HOUR)
CROSS: Final = OTHER.cross_sign(ISSUING)
LEAF: Final = ISSUING.issue_client(
    "frodo", dns=["frodo.test"], eku=None, not_before=NOW - 2 * HOUR, not_after=NOW + 2 * HOUR
)
SAM: Final = ISSUING.issue_client("sam", dns=["sam.test"])
DIRECT: Final = ROOT.issue_client("frodo", dns=["frodo.test"])
SERVER: Final = ISSUING.issue_server("frodo.test", "192.0.2.7")
IMPOSTOR: Final = SAME.issue_client("frodo", dns=["frodo.test"])

LEAVES: Final = {
    "leaf": LEAF.der,
    "sam": SAM.der,
    "direct": DIRECT.der,
    "server": SERVER.der,
    "impostor": IMPOSTOR.der,
    "twin": malleated_twin(LEAF).der,
    **{name: broken(name, ROOT).der for name in ("expired", "v1", "nul-in-cn", "negative-serial", "truncated")},
}
EXTRAS: Final = {
    "issuing": ISSUING.der,
    "cross": CROSS.der,
    "root": ROOT.der,
    "other": OTHER.der,
    "same": SAME.der,
}
CERTIFICATES: Final = LEAVES | EXTRAS

FRODO: Final = policies.CommonName("frodo")
BASE: Final[dict[str, Any]] = {"trust": TrustStore(anchors=[ROOT.der, OTHER.der]), "policy": FRODO}
DIFFERENT: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"trust": TrustStore(anchors=[ROOT.der])},
    {"trust": TrustStore(anchors=[OTHER.der])},
    {"trust": TrustStore(anchors=[SAME.der])},
    {"trust": TrustStore(anchors=[ISSUING.der])},
    {"trust": TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der])},
    {"trust": TrustStore(anchors=[ROOT.der, OTHER.der], distrusted=[ROOT.der])},
    {"trust": TrustStore(anchors=[ROOT.der, OTHER.der], distrusted=[ISSUING.der])},
    {"trust": TrustStore(peers=[LEAF.der]), "profile": PathProfile.DIRECT},
    {"profile": PathProfile.DIRECT},
    {"profile": PathProfile.WEBPKI},
    {"policy": policies.CommonName("sam")},
    {"policy": FRODO & policies.IssuerPin(OTHER.certificate, where="anchor")},
    {"policy": FRODO & policies.IssuerPin(ROOT.certificate, where="anchor")},
    {"policy": policies.IssuerPin(ISSUING.certificate)},
    {"policy": policies.CertificatePin.of(LEAF.certificate)},
    {"limits": Limits(path=2)},
    {"limits": Limits(certificates=2)},
    {"limits": Limits(paths=1)},
    {"expected": "frodo.test"},
    {"expected": "192.0.2.7"},
    {"expected": "sam.test", "policy": None},
    {"expected": ReferenceIdentifier.DIALED},
)
"""Verifiers that differ from the first in one component each."""

Question = tuple[list[str], datetime, str | None]
"""Names of the presented certificates, the time, and the name that was dialed."""


def _verifier(changed: dict[str, Any]) -> Verifier:
    given_ = BASE | changed
    make: Callable[..., Verifier] = Verifier.for_servers if "expected" in changed else Verifier.for_clients
    return make(**given_)


def _ask(verifier: Verifier, question: Question) -> dict[str, Any]:
    chain, at, dialed = question
    return verifier.decide([CERTIFICATES[name] for name in chain], at=at, dialed=dialed).as_dict()


hours = st.sampled_from([0, 0, 0, -1, 1, -2, 2, -2.5, 2.5, -4, 4, 6, -20, 20])
moments = hours.map(lambda number: NOW + number * HOUR)
leaves, extra = st.sampled_from(sorted(LEAVES)), st.sampled_from(sorted(EXTRAS))
chains = st.tuples(leaves, st.lists(extra, max_size=4)).map(lambda parts: [parts[0], *parts[1]])
questions = st.tuples(chains, moments, st.sampled_from([None, "frodo.test", "192.0.2.7", "evil.test"]))


class WarmEqualsCold(RuleBasedStateMachine):
    """Verifiers that live, each differing in one component, asked in any order; a new one gives the same answer.

    Path cache hit across stores, profiles, purposes, expected names, limits, and before notBefore.
    """

    def __init__(self) -> None:
        super().__init__()
        self.warm = [_verifier(changed) for changed in DIFFERENT]

    @rule(which=st.integers(0, len(DIFFERENT) - 1), question=questions, times=st.integers(1, 3))
    def one_verifier(self, which: int, question: Question, times: int) -> None:
        """One verifier, asked again and again, says what a new one says."""
        cold = _ask(_verifier(DIFFERENT[which]), question)
        for _ in range(times):
            assert _ask(self.warm[which], question) == cold

    @rule(question=questions)
    def every_verifier(self, question: Question) -> None:
        """The same chain through all of them: no answer of one is that of another."""
        for warm, changed in zip(self.warm, DIFFERENT, strict=True):
            assert _ask(warm, question) == _ask(_verifier(changed), question)


TestWarmEqualsCold = WarmEqualsCold.TestCase
TestWarmEqualsCold.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)


@given(leaves, st.permutations(sorted(EXTRAS)), st.integers(0, 5), st.sampled_from(DIFFERENT), moments)
def test_order_of_presentation_does_not_matter(
    leaf: str, extras: list[str], count: int, changed: dict[str, Any], at: datetime
) -> None:
    """What the peer sends after its own certificate gives the same decision in every order."""
    chain = sorted(extras[:count])
    expected = _ask(_verifier(changed), ([leaf, *chain], at, None))
    assert _ask(_verifier(changed), ([leaf, *extras[:count]], at, None)) == expected
    assert _ask(_verifier(changed), ([leaf, *chain[::-1], *chain], at, None)) == expected, "nor do duplicates"


@given(chains, st.lists(hours, min_size=2, max_size=6), st.sampled_from(DIFFERENT))
def test_at_before_inside_and_after(chain: list[str], when: list[float], changed: dict[str, Any]) -> None:
    """A peer that was admitted once is judged by the time of each question, before, inside and after its validity."""
    warm = _verifier(changed)
    for number in when:
        at = NOW + number * HOUR
        assert _ask(warm, (chain, at, "frodo.test")) == _ask(_verifier(changed), (chain, at, "frodo.test"))


@given(st.lists(chains, min_size=1, max_size=4), st.lists(st.sampled_from(DIFFERENT), min_size=1, max_size=6), moments)
def test_a_source_that_changes_its_store_is_as_a_new_verifier(
    asked: list[list[str]], stores: list[dict[str, Any]], at: datetime
) -> None:
    """One verifier whose source hands over one store after the other: no memory of one store answers for another."""
    stores_in_turn = [store for store in (changed.get("trust", BASE["trust"]) for changed in stores) if store.anchors]
    current = [BASE["trust"]]
    warm = Verifier.for_clients(trust=lambda: current[0], policy=FRODO)
    for store in stores_in_turn:
        current[0] = store
        for chain in asked:
            cold = Verifier.for_clients(trust=store, policy=FRODO)
            assert _ask(warm, (chain, at, None)) == _ask(cold, (chain, at, None))


@given(chains, moments, st.sampled_from(DIFFERENT))
def test_distrust_only_takes_away(chain: list[str], at: datetime, changed: dict[str, Any]) -> None:
    """Distrusting one more key never turns a refusal into a PERMIT."""
    store: TrustStore = (BASE | changed)["trust"]
    before = _ask(_verifier(changed), (chain, at, None))["verdict"]
    for certificate in (ROOT, OTHER, ISSUING, LEAF):
        less = TrustStore(
            anchors=store.anchors, intermediates=store.intermediates, peers=store.peers,
            distrusted=[*store.distrusted, certificate.der],
        )  # fmt: skip
        after = _ask(_verifier(changed | {"trust": less}), (chain, at, None))["verdict"]
        assert before == "PERMIT" or after != "PERMIT"


@given(chains, moments)
def test_a_permit_of_a_stricter_profile_is_one_of_the_laxer(chain: list[str], at: datetime) -> None:
    """Whom `WEBPKI` admits, `PRIVATE_PKI` admits."""
    web, private = (
        _ask(_verifier({"profile": profile}), (chain, at, None))["verdict"]
        for profile in (PathProfile.WEBPKI, PathProfile.PRIVATE_PKI)
    )
    assert web != "PERMIT" or private == "PERMIT"


@given(st.sampled_from(sorted(BROKEN)), st.lists(extra, max_size=2), st.sampled_from(DIFFERENT))
def test_what_is_sent_along_never_mends_a_broken_certificate(
    name: str, extras: list[str], changed: dict[str, Any]
) -> None:
    """A leaf that no path makes valid stays refused, whatever certificates of good CAs come with it."""
    issued = broken(name, OTHER.intermediate("lost"))
    decision = _verifier(changed).decide([issued.der, *(EXTRAS[one] for one in extras)], at=NOW)
    assert decision.verdict is not Verdict.PERMIT
