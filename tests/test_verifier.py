"""The verifier: a presented chain, or rubbish, becomes a peer or a refusal with its reason; nothing else happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, ClassVar, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import _judgement, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import Limits, Possession, PresentedChain
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Connection, Evidence, Fact, Facts, Need
from mtlspolicy._judgement import NOTES
from mtlspolicy._path import PathProfile, Purpose, Rules
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy
from mtlspolicy._reference import ReferenceIdentifier
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import (
    ConfigurationError,
    NoPeerCertificate,
    PathValidationError,
    PolicyDenied,
    PolicyIndeterminate,
    VerificationError,
)
from mtlspolicy.testing import BROKEN, CertificateAuthority, IssuedCertificate, broken, malleated_twin

NOW = datetime.now(UTC)
ROOT = CertificateAuthority("root", organization=None)
ISSUING = ROOT.intermediate("issuing", organization=None)
LEAF = ISSUING.issue_client("frodo", dns=["frodo.test"])
SERVER = ISSUING.issue_server("api.test", "192.0.2.7", "spiffe://a.test/api")
OTHER = CertificateAuthority("other root", organization=None)
STORE = TrustStore(anchors=[ROOT.der])
FRODO = policies.CommonName("frodo")


@dataclass(frozen=True)
class Asking(Policy):
    """A policy of a user's that asks a function, given by the test."""

    answer: Callable[[Policy, Evidence], Any]
    identifies: ClassVar[bool] = True

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whatever the function returns."""
        result: Decision = self.answer(self, evidence)
        return result


@dataclass(frozen=True)
class Enrolled(Policy):
    """A policy that needs a fact."""

    need: ClassVar[Need] = Need("test.enrolled", "frodo")
    identifies: ClassVar[bool] = True

    def requires(self, path: CertificationPath) -> tuple[Need, ...]:
        """Return the one need."""
        del path
        return (self.need,)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Permit where the fact says so."""
        fact = evidence.fact(self.need)
        if fact is None:
            return self.indeterminate("fact.missing", needs=(self.need,))
        return self.permit("test.enrolled") if fact.value else self.deny("test.not-enrolled")


def _clients(policy: Any = FRODO, trust: Any = STORE, **given: Any) -> Verifier:
    return Verifier.for_clients(trust=trust, policy=policy, **given)


def test_a_good_chain_is_admitted() -> None:
    """The peer has the path, the evidence and the decision, with what it was made under."""
    peer = _clients().verify(LEAF.chain_pem, at=NOW)
    assert str(peer.path) == "CN=frodo < CN=issuing < CN=root"
    assert peer.evidence.at == NOW
    assert peer.decision.verdict is Verdict.PERMIT
    context = peer.decision.context
    assert context is not None
    assert (context.at, context.profile, context.path_engine) == (NOW, "PRIVATE_PKI", "cryptography")
    assert context.trust == STORE.digest
    assert context.path == str(peer.path)


@pytest.mark.parametrize(
    "chain", [LEAF.chain_pem, list(LEAF.chain), (LEAF.der, ISSUING.der), PresentedChain((LEAF.der, ISSUING.der))]
)
def test_every_form_of_a_chain_is_taken(chain: Any) -> None:
    """PEM, certificates, DERs and a presented chain are the same peer."""
    assert _clients().verify(chain).common_name == "frodo"


def test_the_time_is_read_once_and_recorded() -> None:
    """Without ``at`` the clock is read, once, and the decision says what it read."""
    before = datetime.now(UTC)
    decision = _clients().decide(LEAF.chain_pem)
    assert decision.context is not None
    assert before <= decision.context.at <= datetime.now(UTC)


@pytest.mark.parametrize("naive", [NOW.replace(tzinfo=None), datetime.fromisoformat("9999-12-31T23:59:59")])
def test_a_naive_time_is_refused(naive: datetime) -> None:
    """A time without a zone is our caller's mistake, and never an admission."""
    with pytest.raises(ConfigurationError, match="naive datetime"):
        _clients().verify(LEAF.chain_pem, at=naive)
    with pytest.raises(ConfigurationError, match="naive datetime"):
        _clients().judgement(None, at=naive)
    assert _clients().decide(LEAF.chain_pem, at=naive).verdict is Verdict.INDETERMINATE


@pytest.mark.parametrize(
    ("policy", "chain", "error", "code"),
    [
        (policies.CommonName("sam"), LEAF.chain_pem, PolicyDenied, "name.mismatch"),
        (policies.EmailName("a@a.test"), LEAF.chain_pem, PolicyIndeterminate, "name.absent"),
        (FRODO, OTHER.issue_client("frodo").chain_pem, PathValidationError, "path.no-issuer"),
        (FRODO, b"rubbish", PathValidationError, "chain.malformed"),
        (FRODO, b"-----BEGIN X-----", PathValidationError, "chain.malformed"),
        (FRODO, [bytes([number]) for number in range(7)], PathValidationError, "chain.too-large"),
    ],
)
def test_a_refusal_is_an_error_of_the_class_that_fits(
    policy: Policy, chain: Any, error: type[VerificationError], code: str
) -> None:
    """What the peer presented, the path, a denial and a doubt are four errors with their codes."""
    verifier = _clients(policy)
    with pytest.raises(error) as caught:
        verifier.verify(chain, at=NOW)
    assert type(caught.value) is error
    assert caught.value.code == code == verifier.decide(chain, at=NOW).code
    assert caught.value.decision.context is not None


def test_no_certificate_is_its_own_error() -> None:
    """A peer that presents nothing is refused with the code for it, and the remedy."""
    outcome = _clients().judgement(None, at=NOW).outcome()
    assert outcome.refused
    assert (outcome.peer, outcome.needs, outcome.path_valid) == (None, (), False)
    error = outcome.error()
    assert type(error) is NoPeerCertificate
    assert error.code == "path.no-certificate"
    assert "--cert" in str(error)


@pytest.mark.parametrize("name", sorted(BROKEN))
@pytest.mark.parametrize("profile", PathProfile)
def test_decide_is_total_on_the_whole_catalogue(name: str, profile: PathProfile) -> None:
    """Every broken certificate gets a decision with a code and an explanation, under every profile."""
    issued = broken(name, ROOT)
    decision = _clients(policies.Anyone(), profile=profile).decide(issued.chain_pem, at=NOW)
    assert decision.explain()
    assert decision.code not in {"path.error", "policy.error"}
    assert (decision.verdict is Verdict.PERMIT) == (decision.code == "policy.anyone")


@given(st.one_of(st.binary(max_size=300), st.lists(st.binary(max_size=40), max_size=8), st.text(max_size=9), st.none()))
def test_decide_is_total_on_any_input(chain: Any) -> None:
    """Garbage of any type is a refusal, never an exception and never an admission."""
    decision = _clients(policies.Anyone()).decide(chain)
    assert decision.verdict is not Verdict.PERMIT


@given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
def test_no_changed_byte_of_the_leaf_is_admitted(at: int, mask: int) -> None:
    """One changed byte anywhere in the leaf: refused, and decided."""
    changed = LEAF.der[:at] + bytes((LEAF.der[at] ^ mask,)) + LEAF.der[at + 1 :]
    assert _clients(policies.Anyone()).decide([changed, ISSUING.der]).verdict is not Verdict.PERMIT


def _raise(error: BaseException) -> Callable[[Policy, Evidence], NoReturn]:
    def answer(_policy: Policy, _evidence: Evidence) -> NoReturn:
        raise error

    return answer


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even its text can be had")


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError(1), RecursionError(), StopIteration(), MemoryError(), _Unspeakable()]
)
@pytest.mark.parametrize(
    "wrap", [lambda policy: policy, lambda policy: ~policy & FRODO, lambda policy: policy | policy]
)
def test_a_policy_that_raises_is_indeterminate(error: Exception, wrap: Callable[[Policy], Policy]) -> None:
    """Whatever a policy raises, the answer is "not known", under ``~`` as well: an exception is never an admission."""
    decision = _clients(wrap(Asking(_raise(error)))).decide(LEAF.chain_pem)
    assert decision.verdict is Verdict.INDETERMINATE
    assert decision.code == "policy.error"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_a_base_exception_passes_through(error: BaseException) -> None:
    """An interrupt is not swallowed; no peer comes of it."""
    verifier = _clients(Asking(_raise(error)))
    with pytest.raises(type(error)):
        verifier.verify(LEAF.chain_pem)
    with pytest.raises(type(error)):
        verifier.decide(LEAF.chain_pem)


@pytest.mark.parametrize("result", [True, None, 1, Verdict.PERMIT, Decision(Verdict.PERMIT, "test.forged")])
def test_what_is_no_decision_of_the_policy_admits_nobody(result: Any) -> None:
    """A bare True, a verdict, or a decision that the policy did not make is INDETERMINATE."""
    decision = _clients(Asking(lambda _policy, _evidence: result)).decide(LEAF.chain_pem)
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "policy.bad-result")


def test_an_error_of_ours_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should path validation itself fail, also with an error that has no text, the answer is INDETERMINATE."""

    def fail(*_: Any) -> NoReturn:
        raise _Unspeakable

    verifier = _clients()
    monkeypatch.setattr(_judgement, "validate_paths", fail)
    decision = verifier.decide(LEAF.chain_pem)
    assert (decision.verdict, decision.code, decision.detail) == (Verdict.INDETERMINATE, "path.error", "_Unspeakable")


def test_a_chain_that_raises_while_it_is_read_is_decided() -> None:
    """`decide` is total for its arguments too: an iterator that fails gives no exception."""

    def chain() -> Iterator[bytes]:
        yield LEAF.der
        raise _Unspeakable

    given: Any = chain()
    decision = _clients().decide(given)
    assert (decision.verdict, decision.code, decision.detail) == (Verdict.INDETERMINATE, "policy.error", "_Unspeakable")


# Several paths


def test_order_of_presentation_never_changes_the_answer() -> None:
    """Cross-signed issuer: under each policy every order of what the peer sends gives the same decision."""
    cross = OTHER.cross_sign(ISSUING)
    store = TrustStore(anchors=[ROOT.der, OTHER.der])
    extras = (ISSUING.der, cross.der, ROOT.der, OTHER.der)
    for policy in (
        FRODO & policies.IssuerPin(ISSUING.certificate),
        FRODO & policies.IssuerPin(ROOT.certificate, where="anchor"),
        FRODO & policies.IssuerPin(OTHER.certificate, where="anchor"),
        FRODO & policies.IssuerPin(CertificateAuthority().certificate),
    ):
        seen = set()
        for order in permutations(extras):
            decision = _clients(policy, store).decide([LEAF.der, *order], at=NOW)
            assert decision.context is not None
            seen.add((decision.verdict, decision.code, decision.context.path, decision.explain()))
        assert len(seen) == 1


def test_a_permit_needs_one_path_that_permits_the_whole_policy() -> None:
    """Path by path: either root may be pinned, and both at once never, though each is in some path."""
    cross = OTHER.cross_sign(ISSUING)
    chain = [LEAF.der, ISSUING.der, cross.der]
    store = TrustStore(anchors=[ROOT.der, OTHER.der])
    via_root = FRODO & policies.IssuerPin(ROOT.certificate, where="anchor")
    via_other = FRODO & policies.IssuerPin(OTHER.certificate, where="anchor")
    for policy, anchor in ((via_root, ROOT), (via_other, OTHER)):
        verifier = _clients(policy, store)
        for _ in range(3):
            assert verifier.verify(chain, at=NOW).path.anchor.der == anchor.der
    assert _clients(via_root & via_other, store).decide(chain, at=NOW).verdict is Verdict.DENY


def test_a_doubt_on_one_path_outweighs_a_denial_on_another() -> None:
    """A path that denies does not hide one whose answer is open: what could still admit is asked for."""
    cross = OTHER.cross_sign(ISSUING)
    store = TrustStore(anchors=[ROOT.der, OTHER.der])
    for anchor in (ROOT, OTHER):
        policy = policies.IssuerPin(anchor.certificate, where="anchor") & Enrolled()
        outcome = (
            _clients(policy, store).judgement(PresentedChain((LEAF.der, ISSUING.der, cross.der)), at=NOW).outcome()
        )
        assert (outcome.decision.verdict, outcome.decision.code) == (Verdict.INDETERMINATE, "fact.missing")
        assert outcome.needs == (Enrolled.need,)


def test_cross_signed_leaf_with_distrusted_old_root() -> None:
    """Distrust is said in the store: the peer sends both certificates of its issuer and the old root is in no path."""
    cross = OTHER.cross_sign(ISSUING)
    store = TrustStore(anchors=[ROOT.der, OTHER.der], distrusted=[ROOT.der])
    for order in permutations((ISSUING.der, cross.der)):
        assert _clients(FRODO, store).verify([LEAF.der, *order]).path.anchor.der == OTHER.der
    gone = TrustStore(anchors=[ROOT.der, OTHER.der], distrusted=[ISSUING.der])
    assert _clients(FRODO, gone).decide([LEAF.der, ISSUING.der, cross.der]).code == "path.distrusted"


def test_distrusted_key_is_refused_in_every_certificate_of_it() -> None:
    """A malleated twin, a renewed and a re-encoded certificate of a distrusted key are refused alike."""
    stolen = ISSUING.issue_client("frodo")
    store = TrustStore(anchors=[ROOT.der], distrusted=[stolen.der])
    renewed = ISSUING.issue_client("frodo", key=stolen.key)
    for one in (stolen, malleated_twin(stolen), renewed):
        assert _clients(FRODO, store).decide(one.chain_pem).code == "path.distrusted"
    compressed = broken("compressed-point", ISSUING)
    plain = ISSUING.issue_client("x", key=compressed.key)
    store = TrustStore(anchors=[ROOT.der], distrusted=[plain.der])
    assert _clients(policies.Anyone(), store).decide(compressed.chain_pem).code == "path.distrusted"


def test_malleated_twin_through_every_way_to_deny() -> None:
    """The ECDSA twin of a stolen certificate has another digest; serial numbers and distrust see through it."""
    stolen = ISSUING.issue_client("frodo")
    twin = malleated_twin(stolen)
    serial = stolen.certificate.serial_number
    anyone = policies.Anyone()
    blocked = _clients(anyone & policies.Blocked(ISSUING.certificate, [serial]))
    excluded = _clients(anyone & ~policies.SerialNumbers(issuer=ISSUING.certificate, serials={serial}))
    for verifier in (blocked, excluded):
        for one in (stolen, twin, twin, stolen):
            assert verifier.decide(one.chain_pem).verdict is Verdict.DENY
    pinned = _clients(policies.CertificatePin.of(stolen.certificate))
    assert pinned.decide(stolen.chain_pem).verdict is Verdict.PERMIT
    assert pinned.decide(twin.chain_pem).verdict is Verdict.DENY, "nor does the twin take the place of the original"
    with pytest.raises(ConfigurationError, match="distrusted"):
        _ = ~policies.CertificatePin.of(stolen.certificate)


def test_a_pinned_certificate_that_is_only_sent_along_pins_nothing() -> None:
    """SPKI pin against presented chain: a pinned certificate appended by the attacker is not in the path."""
    attacker = ISSUING.issue_client("mallory")
    for policy in (
        policies.SPKIPin.of(LEAF.certificate),
        policies.CertificatePin.of(LEAF.certificate),
        policies.IssuerPin(OTHER.certificate),
    ):
        chain = [attacker.der, ISSUING.der, LEAF.der, OTHER.der]
        assert _clients(policy).decide(chain).verdict is Verdict.DENY


def test_a_certificate_of_one_tenant_is_refused_by_another() -> None:
    """Cross-tenant: two verifiers of two stores, the same names; neither knows the other's peers."""
    verifiers = {authority: _clients(FRODO, TrustStore(anchors=[authority.der])) for authority in (ROOT, OTHER)}
    peers = {authority: authority.issue_client("frodo") for authority in (ROOT, OTHER)}
    for _ in range(2):
        for authority, verifier in verifiers.items():
            for issuer, peer in peers.items():
                assert (verifier.decide(peer.chain_pem).verdict is Verdict.PERMIT) is (authority is issuer)


def test_more_paths_than_are_tried_are_indeterminate() -> None:
    """Over 8 candidates without a PERMIT the answer is `path.too-many`, whatever the first 8 said."""
    anchors = [CertificateAuthority("same").der for _ in range(9)]
    leaf = CertificateAuthority("same").issue_client("frodo")
    decision = _clients(FRODO, TrustStore(anchors=anchors)).decide(leaf.chain_pem)
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "path.too-many")
    signer = CertificateAuthority("same")
    store = TrustStore(anchors=[*anchors, signer.der])
    good = signer.issue_client("frodo")
    assert _clients(FRODO, store).verify(good.chain_pem).common_name == "frodo", "key identifiers put it first"
    denied = _clients(policies.CommonName("sam"), store).decide(good.chain_pem)
    assert (denied.verdict, denied.code) == (Verdict.INDETERMINATE, "path.too-many")


def test_needs_of_a_path_are_asked_although_there_were_too_many() -> None:
    """Junk that makes too many candidates does not keep the good path from getting its facts."""
    signer = CertificateAuthority("same")
    store = TrustStore(anchors=[*(CertificateAuthority("same").der for _ in range(9)), signer.der])
    judgement = _clients(Enrolled(), store).judgement(PresentedChain((signer.issue_client("frodo").der,)), at=NOW)
    outcome = judgement.outcome()
    assert outcome.needs == (Enrolled.need,)
    assert outcome.path_valid
    assert judgement.outcome(Facts({Enrolled.need: Fact(value=True)})).peer is not None


# Facts


def test_a_missing_fact_is_indeterminate_and_asked_for() -> None:
    """The same judgement is asked again with the fact: permit, deny, and still nothing without it."""
    verifier = _clients(Enrolled())
    judgement = verifier.judgement(PresentedChain.parse(LEAF.chain_pem), at=NOW)
    first = judgement.outcome()
    assert (first.decision.code, first.needs, first.refused) == ("fact.missing", (Enrolled.need,), True)
    assert first.error().retryable
    assert judgement.outcome(Facts({Enrolled.need: Fact(value=True)})).peer is not None
    denied = judgement.outcome(Facts({Enrolled.need: Fact(value=False)}))
    assert (denied.decision.verdict, denied.needs) == (Verdict.DENY, ())
    assert judgement.outcome().decision.code == "fact.missing", "facts are not remembered"


def test_facts_are_given_to_verify_and_decide() -> None:
    """Offline, facts come with the call."""
    facts = Facts(by_kind={"test.enrolled": True})
    assert _clients(Enrolled()).verify(LEAF.chain_pem, facts=facts).evidence.facts is facts
    assert not _clients(Enrolled()).decide(LEAF.chain_pem)


def test_a_denied_peer_asks_for_nothing() -> None:
    """Where another clause denies already, no fact can change the answer."""
    outcome = (
        _clients(policies.CommonName("sam") & Enrolled()).judgement(PresentedChain.parse(LEAF.chain_pem)).outcome()
    )
    assert (outcome.decision.verdict, outcome.needs) == (Verdict.DENY, ())


# Servers


def test_a_server_is_one_of_those_expected() -> None:
    """DNS name, IP address, URI, or one of several; the identity is never optional."""
    for expected in ("api.test", "API.TEST", "192.0.2.7", "spiffe://a.test/api", ["other.test", "api.test"]):
        verifier = Verifier.for_servers(trust=STORE, expected=expected)
        assert verifier.verify(SERVER.chain_pem).decision.code == "identity.match"
    for expected in ("other.test", "192.0.2.8", "spiffe://a.test/other"):
        with pytest.raises(PolicyDenied) as caught:
            Verifier.for_servers(trust=STORE, expected=expected).verify(SERVER.chain_pem)
        assert caught.value.code == "identity.mismatch"


def test_a_policy_on_a_server_is_asked_in_addition() -> None:
    """Identity and policy must both permit; neither stands in for the other."""
    good, bad = policies.IssuerPin(ISSUING.certificate), policies.IssuerPin(OTHER.certificate)
    for expected, policy, verdict, code in (
        ("api.test", good, Verdict.PERMIT, "issuer.match"),
        ("api.test", bad, Verdict.DENY, "issuer.not-pinned"),
        ("other.test", good, Verdict.DENY, "identity.mismatch"),
        ("other.test", bad, Verdict.DENY, "identity.mismatch"),
        (ReferenceIdentifier.DIALED, good, Verdict.INDETERMINATE, "identity.unknown"),
        (ReferenceIdentifier.DIALED, bad, Verdict.DENY, "issuer.not-pinned"),
        ("api.test", Enrolled(), Verdict.INDETERMINATE, "fact.missing"),
    ):
        decision = Verifier.for_servers(trust=STORE, expected=expected, policy=policy).decide(SERVER.chain_pem)
        assert (decision.verdict, decision.code) == (verdict, code)
        assert len(decision.children) == 2


def test_the_dialed_name_is_the_connections() -> None:
    """With `ReferenceIdentifier.DIALED` one verifier serves many names, and remembers none of them."""
    verifier = Verifier.for_servers(trust=STORE, expected=ReferenceIdentifier.DIALED)
    for dialed, verdict in (
        ("api.test", Verdict.PERMIT),
        ("evil.test", Verdict.DENY),
        (None, Verdict.INDETERMINATE),
        ("api.test", Verdict.PERMIT),
        ("not a name", Verdict.INDETERMINATE),
        ("192.0.2.7", Verdict.PERMIT),
    ):
        assert verifier.decide(SERVER.chain_pem, dialed=dialed).verdict is verdict


@pytest.mark.parametrize("expected", [[], (), None, 7, b"api.test", ["api.test", 7], "", "*.api.test", "a b"])
def test_nothing_or_nonsense_expected_is_refused_at_construction(expected: Any) -> None:
    """A verifier for servers without a name would admit every server of the CA."""
    with pytest.raises(ConfigurationError):
        Verifier.for_servers(trust=STORE, expected=expected)


def test_a_client_is_no_server_and_a_server_no_client() -> None:
    """The purpose belongs to the verifier."""
    both = Verifier.for_servers(trust=STORE, expected="frodo.test")
    assert both.decide(LEAF.chain_pem).code == "path.extended-key-usage"
    assert _clients(policies.Anyone()).decide(SERVER.chain_pem).code == "path.extended-key-usage"


# Trust and policy from a source


def test_a_source_is_asked_exactly_once_for_each_decision() -> None:
    """A source that returns another store at each call: one call per decision, and the decision holds together."""
    stores = [TrustStore(anchors=[ROOT.der]), TrustStore(anchors=[OTHER.der])]
    calls: list[TrustStore] = []

    def source() -> TrustStore:
        calls.append(stores[len(calls) % 2])
        return calls[-1]

    verifier = _clients(FRODO, source)
    for _ in range(6):
        before = len(calls)
        decision = verifier.decide(LEAF.chain_pem, at=NOW)
        assert len(calls) == before + 1
        assert decision.context is not None
        assert decision.context.trust == calls[-1].digest
        assert (decision.verdict is Verdict.PERMIT) is (calls[-1] is stores[0])


def test_a_policy_source_is_asked_exactly_once_for_each_decision() -> None:
    """The same for policies; a change counts at once, for peers seen before too."""
    allowed: list[Policy] = [FRODO]
    calls: list[Policy] = []

    def source() -> Policy:
        calls.append(allowed[0])
        return allowed[0]

    verifier = _clients(source)
    assert verifier.decide(LEAF.chain_pem).verdict is Verdict.PERMIT
    allowed[0] = policies.CommonName("sam")
    before = len(calls)
    assert verifier.decide(LEAF.chain_pem).verdict is Verdict.DENY
    assert len(calls) == before + 1


@pytest.mark.parametrize("later", ["raise", "unspeakable", "none", "store"])
@pytest.mark.parametrize("which", ["trust", "policy"])
def test_a_source_that_fails_later_is_a_refusal(which: str, later: str) -> None:
    """A source that raises or returns something else: INDETERMINATE `trust.unavailable`, nobody is admitted."""
    good: Any = STORE if which == "trust" else FRODO
    broken_: list[bool] = []

    def source() -> Any:
        if not broken_:
            return good
        if later == "raise":
            raise OSError("disk on fire")
        if later == "unspeakable":
            raise _Unspeakable
        return None if later == "none" else (FRODO if which == "trust" else STORE)

    verifier = _clients(**{which: source})
    assert verifier.decide(LEAF.chain_pem).verdict is Verdict.PERMIT
    broken_.append(True)
    decision = verifier.decide(LEAF.chain_pem)
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "trust.unavailable")
    with pytest.raises(PathValidationError):
        verifier.verify(LEAF.chain_pem)
    broken_.clear()
    assert verifier.decide(LEAF.chain_pem).verdict is Verdict.PERMIT


def test_a_source_cannot_hand_over_later_what_construction_refuses() -> None:
    """A policy that does not identify, or a public store under `Anyone`, is refused when it comes later."""
    current: dict[str, Any] = {"policy": FRODO, "trust": STORE}
    verifier = _clients(lambda: current["policy"], lambda: current["trust"])
    assert verifier.decide(LEAF.chain_pem)
    current["policy"] = policies.KeyStrength()
    assert verifier.decide(LEAF.chain_pem).code == "trust.unavailable"
    current["policy"] = policies.Anyone()
    assert verifier.decide(LEAF.chain_pem)
    current["trust"] = TrustStore.public() | STORE
    assert verifier.decide(LEAF.chain_pem).code == "trust.unavailable"


def test_a_policy_whose_attributes_raise_is_not_to_be_had() -> None:
    """A property of the user's policy that fails while the snapshot is taken refuses, and does not escape."""

    class Odd(Asking):
        @property
        def identifies(self) -> bool:  # type: ignore[override]
            raise _Unspeakable

    current: list[Policy] = [FRODO]
    verifier = _clients(lambda: current[0])
    current[0] = Odd(lambda policy, _: policy.permit("test.ok"))
    assert verifier.decide(LEAF.chain_pem).code == "trust.unavailable"


# Memory of valid paths


def test_a_known_peer_costs_no_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm: the second decision on the same chain validates no path, a root that was sent along or not."""
    verifier = _clients()
    chains = [[LEAF.der, ISSUING.der], [LEAF.der, ISSUING.der, ROOT.der]]
    for chain in chains:
        verifier.decide(chain)

    def never(*_: Any) -> NoReturn:
        raise AssertionError("validated again")

    monkeypatch.setattr(_judgement, "validate_paths", never)
    for chain in (*chains, [*chains[1], LEAF.der]):
        assert verifier.decide(chain).verdict is Verdict.PERMIT


def test_a_hit_is_bounded_by_validity_on_both_sides() -> None:
    """``at`` before, inside and after the path's validity, warm and cold."""
    issuing = ROOT.intermediate("short", not_before=NOW - timedelta(hours=2), not_after=NOW + timedelta(hours=2))
    leaf = issuing.issue_client("frodo", not_before=NOW - timedelta(hours=5), not_after=NOW + timedelta(hours=5))
    warm = _clients(trust=TrustStore(anchors=[issuing.der]))
    for hours, code in (
        (0, "name.match"),
        (-3, "path.not-yet-valid"),
        (0, "name.match"),
        (3, "path.expired"),
        (1, "name.match"),
    ):
        at = NOW + timedelta(hours=hours)
        cold = _clients(trust=TrustStore(anchors=[issuing.der]))
        assert warm.decide(leaf.chain_pem, at=at).code == cold.decide(leaf.chain_pem, at=at).code == code


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_candidate_outside_its_validity_is_not_forgotten(hours: int) -> None:
    """Where one of two roots was not valid yet, or no longer, the answer at other times is that of a new verifier.

    Cross-signed under a root with a shorter life; which root is tried first a digest decides, so several are made.
    """
    root = CertificateAuthority("long", not_before=NOW - timedelta(hours=9), not_after=NOW + timedelta(hours=9))
    first = set()
    for _ in range(20):
        issuing = root.intermediate("both", not_before=NOW - timedelta(hours=9), not_after=NOW + timedelta(hours=9))
        leaf = issuing.issue_client("frodo", not_before=NOW - timedelta(hours=9), not_after=NOW + timedelta(hours=9))
        short = CertificateAuthority("short", not_before=NOW - timedelta(hours=2), not_after=NOW + timedelta(hours=2))
        store = TrustStore(anchors=[root.der, short.der])
        chain = [leaf.der, issuing.der, short.cross_sign(issuing).der]
        warm = _clients(trust=store)
        for at in (NOW + timedelta(hours=hours), NOW, NOW + timedelta(hours=-hours), NOW + timedelta(hours=hours), NOW):
            assert warm.decide(chain, at=at).as_dict() == _clients(trust=store).decide(chain, at=at).as_dict()
        first.add(warm.verify(chain, at=NOW).path.anchor.der == root.der)
    assert first == {True, False}, "both orders were met"


def test_a_refusal_by_policy_is_answered_from_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all paths are known, a denied peer costs no signature verification the second time."""
    verifier = _clients(policies.CommonName("sam"))
    first = verifier.decide(LEAF.chain_pem, at=NOW)
    monkeypatch.setattr(_judgement, "validate_paths", lambda *_: pytest.fail("validated again"))
    assert verifier.decide(LEAF.chain_pem, at=NOW).as_dict() == first.as_dict()


def test_only_acceptances_are_remembered() -> None:
    """A path that was not valid is validated again: what was missing may be there the next time."""
    verifier = _clients()
    assert verifier.decide(LEAF.der).code == "path.no-issuer"
    assert len(verifier._cache) == 0
    assert verifier.decide(LEAF.chain_pem)
    assert verifier.decide(LEAF.der).code == "path.no-issuer"


def test_clauses_that_read_more_than_the_path_are_asked_each_time() -> None:
    """Clock, connection and own policies are evaluated at every decision, for a known peer too."""
    seen: list[datetime] = []

    def answer(policy: Policy, evidence: Evidence) -> Decision:
        seen.append(evidence.at)
        return policy.permit("test.ok")

    verifier = _clients(FRODO & Asking(answer) & policies.PeerAddress("192.0.2.0/24"))
    inside, outside = Connection(transport_address="192.0.2.1"), Connection(transport_address="198.51.100.1")
    for connection, verdict in ((inside, Verdict.PERMIT), (outside, Verdict.DENY), (inside, Verdict.PERMIT)):
        assert verifier.decide(LEAF.chain_pem, connection=connection).verdict is verdict
    assert len(set(seen)) == 3


def test_threads_share_a_verifier() -> None:
    """Four threads with peers of their own, good and bad: every answer is the right one."""
    verifier = _clients(policies.CommonName("frodo", "sam"))
    good = [ISSUING.issue_client(name) for name in ("frodo", "sam")]
    bad = [ISSUING.issue_client("gollum"), OTHER.issue_client("frodo")]
    wrong: list[str] = []

    def work(peers: list[tuple[IssuedCertificate, bool]]) -> None:
        for _ in range(50):
            for peer, admitted in peers:
                if (verifier.decide(peer.chain_pem).verdict is Verdict.PERMIT) is not admitted:
                    wrong.append(str(peer))

    peers = [(peer, peer in good) for peer in (*good, *bad)]
    threads = [threading.Thread(target=work, args=(peers[turn:] + peers[:turn],)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Construction and description


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"policy": None}, "needs a policy that says"),
        ({"policy": "frodo"}, "takes policies, not str"),
        ({"policy": policies.Anyone}, r"write Anyone\(...\)"),
        ({"policy": lambda: None}, "the source of the policy needs a policy that says"),
        ({"policy": lambda: 1 / 0}, "the source of the policy failed: ZeroDivisionError"),
        ({"trust": None}, "trust is NoneType: give a TrustStore"),
        ({"trust": "ca.pem"}, "trust is str: give a TrustStore"),
        ({"trust": lambda: None}, "trust is NoneType"),
        ({"trust": lambda: 1 / 0}, "the source of the trust store failed: ZeroDivisionError"),
        ({"profile": "PRIVATE_PKI"}, "profile='PRIVATE_PKI': use PathProfile.PRIVATE_PKI"),
        ({"path_engine": "boring"}, "path_engine='boring': use one of cryptography, openssl"),
        ({"trust": TrustStore(peers=[LEAF.der])}, "a store of registered peers needs profile=PathProfile.DIRECT"),
    ],
)
def test_a_verifier_that_can_never_be_right_is_refused(given: dict[str, Any], says: str) -> None:
    """Fail closed at construction: the message says what to give instead."""
    with pytest.raises(ConfigurationError, match=says):
        _clients(**given)


def test_a_verifier_for_clients_without_a_policy_admits_nobody() -> None:
    """`for_clients` refuses it; should one be made all the same, its every decision is INDETERMINATE."""
    rules = Rules(PathProfile.PRIVATE_PKI, Purpose.CLIENT, Limits())
    bare = Verifier(trust=STORE, policy=None, rules=rules, expected=())
    decision = bare.decide(LEAF.chain_pem)
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "policy.error")


@pytest.mark.parametrize("profile", PathProfile)
def test_warming_up_changes_no_answer(profile: PathProfile) -> None:
    """What is done in advance admits nobody, is not observed, and leaves no peer behind."""
    seen: list[Decision] = []
    leaf = ROOT.issue_client("frodo", dns=["frodo.test"])
    expired = broken("expired-root", ROOT)
    for trust in (STORE, TrustStore(anchors=[expired.root_der]), TrustStore(anchors=[OTHER.der, ROOT.der])):
        cold, warm = (
            _clients(trust=trust, profile=profile),
            _clients(trust=trust, profile=profile).observed_by(seen.append),
        )
        warm.warm_up()
        assert len(warm._cache) == 0
        for chain in (leaf.der, expired.der, ROOT.der, b"rubbish"):
            assert warm.decide(chain, at=NOW).as_dict() == cold.decide(chain, at=NOW).as_dict()
    assert warm._observer is not None
    assert warm._observer.drain(10.0)
    assert len(seen) == 12


def test_warming_up_a_store_of_registered_peers() -> None:
    """A registered peer has a path; whether it is admitted is still asked of the policy, each time."""
    peer = broken("self-signed", ROOT)
    verifier = _clients(policies.CommonName("sam"), TrustStore(peers=[peer.der]), profile=PathProfile.DIRECT)
    verifier.warm_up()
    assert verifier.decide(peer.der).code == "name.mismatch"


def test_warming_up_needs_a_store() -> None:
    """A source that fails is told to whoever builds the context, and not kept for the first peer."""
    stores = [STORE]
    verifier = _clients(trust=lambda: stores[0])
    stores.clear()
    with pytest.raises(ConfigurationError, match="the source of the trust store failed: IndexError"):
        verifier.warm_up()


def test_servers_are_held_to_the_same() -> None:
    """A policy for servers is optional, and must be one."""
    for policy in ("x", policies.Anyone, lambda: None):
        given: Any = policy
        with pytest.raises(ConfigurationError):
            Verifier.for_servers(trust=STORE, expected="api.test", policy=given)
    strong = policies.KeyStrength()
    source = Verifier.for_servers(trust=lambda: STORE, expected="api.test", policy=lambda: strong)
    assert source.decide(SERVER.chain_pem)


def test_direct_with_constrained_anchors_is_refused_at_construction() -> None:
    """`DIRECT` does not evaluate name constraints, and says so when the verifier is built."""
    from cryptography import x509

    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("a.test")], excluded_subtrees=None)
    store = TrustStore(anchors=[CertificateAuthority(name_constraints=constraints).der])
    with pytest.raises(ConfigurationError, match="has nameConstraints, which PathProfile.DIRECT does not evaluate"):
        _clients(trust=store, profile=PathProfile.DIRECT)
    assert _clients(trust=store).profile is PathProfile.PRIVATE_PKI


def test_a_verifier_describes_itself() -> None:
    """Role, profile, limits, expectation and current trust can be read."""
    verifier = _clients(limits=Limits(path=3))
    assert (verifier.peer_role, verifier.profile, verifier.limits.path) == ("client", PathProfile.PRIVATE_PKI, 3)
    assert verifier.expected == ()
    assert repr(verifier) == "<Verifier for clients, PRIVATE_PKI>"
    assert verifier.trust_now() is STORE
    servers = Verifier.for_servers(trust=lambda: STORE, expected=["api.test", "api.test"], profile=PathProfile.WEBPKI)
    assert (servers.peer_role, len(servers.expected)) == ("server", 1)
    assert repr(servers) == "<Verifier for servers, WEBPKI>"
    assert servers.trust_now() is STORE


def test_limits_are_the_verifiers() -> None:
    """A verifier built with other limits holds these."""
    assert _clients(limits=Limits(certificates=1)).decide(LEAF.chain_pem).code == "chain.too-large"
    assert _clients(limits=Limits(path=2)).decide(LEAF.chain_pem).code == "path.too-long"


# Resumption, notes, possession


def test_a_resumed_session_without_a_path_has_its_own_code() -> None:
    """Where the leaf alone is left of a resumed session, the refusal says so; a store with the issuing CA admits it."""
    resumed = Connection(resumed=True)
    decision = _clients().decide(LEAF.der, connection=resumed)
    assert (decision.code, decision.verdict) == ("resumption.no-path", Verdict.DENY)
    assert "add the issuing CA to the trust store" in decision.detail
    assert _clients().decide(LEAF.der).code == "path.no-issuer"
    known = TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der])
    assert _clients(trust=known).decide(LEAF.der, connection=resumed)


def test_an_issuer_pin_never_passes_on_leaf_only_evidence() -> None:
    """Chain-empty on resumption is not "no issuer constraint": the path is rebuilt or refused."""
    verifier = _clients(policies.IssuerPin(ISSUING.certificate))
    assert verifier.decide(LEAF.chain_pem)
    assert verifier.decide(LEAF.der, connection=Connection(resumed=True)).code == "resumption.no-path"


def test_other_candidates_are_counted_in_the_refusal() -> None:
    """Where several candidates were refused the first is told, and how many there were besides."""
    store = TrustStore(anchors=[CertificateAuthority("same").der for _ in range(3)])
    decision = _clients(trust=store).decide(CertificateAuthority("same").issue_client("frodo").der)
    assert decision.code == "path.signature"
    assert decision.detail.endswith("(and 2 other candidate paths)")


def test_possession_is_what_the_chain_says() -> None:
    """Bytes that are verified offline prove nothing; a chain from a connection says who saw the proof."""
    assert _clients().verify(LEAF.chain_pem).possession is Possession.NONE
    seen = PresentedChain((LEAF.der, ISSUING.der), Possession.TLS)
    assert _clients().verify(seen).possession is Possession.TLS


def test_notes_are_in_every_decision_and_remembered_in_bounds() -> None:
    """Notes on the set-up stand in the decision; how many policies a store remembers them for is bounded."""
    two = TrustStore(anchors=[ROOT.der, OTHER.der])
    keep: list[Verifier] = []
    for number in range(NOTES + 5):
        keep.append(_clients(policies.CommonName(f"peer {number}"), two))
        context = keep[-1].decide(LEAF.chain_pem).context
        assert context is not None
        assert any("any of the 2 anchors may assert the names" in note for note in context.notes)
    assert len(two.notes_memo) <= NOTES
    assert "note: any of the 2 anchors" in keep[0].decide(LEAF.chain_pem).explain()


def test_the_same_path_objects_are_not_shared_between_verifiers() -> None:
    """Each verifier has a memory of its own: nothing that one admitted is known to another."""
    one, other = _clients(), _clients(policies.CommonName("sam"))
    assert one.decide(LEAF.chain_pem)
    assert len(one._cache) == 1
    assert len(other._cache) == 0
    assert not other.decide(LEAF.chain_pem)
    assert ParsedCertificate(LEAF.der) in one.verify(LEAF.chain_pem).path.certificates


def test_a_denial_of_a_peer_seen_before_asks_the_policy_once() -> None:
    """Where no other path is possible, what is kept answers a refusal as well: a policy that counts counts once."""
    root = CertificateAuthority()
    chain = root.issue_client("frodo").chain_pem
    answers = [True, False]
    asked: list[bool] = []

    @policies.predicate("acme.counting", identifies=True)
    def counting(evidence: Evidence) -> bool:
        asked.append(evidence.path.alone)
        return answers[len(asked) - 1]

    verifier = Verifier.for_clients(trust=TrustStore(anchors=[root.certificate]), policy=counting)
    assert [verifier.decide(chain).verdict.name for _ in answers] == ["PERMIT", "DENY"]
    assert asked == [True, True]


def test_a_denial_on_a_path_that_was_kept_first_looks_at_the_other_paths() -> None:
    """A path that was admitted and kept does not speak for others that are possible: a refusal asks them too."""
    old, new = CertificateAuthority("old"), CertificateAuthority("new")
    issuing = old.intermediate("issuing")
    leaf = issuing.issue_client("frodo")
    chain = [leaf.der, issuing.der, new.cross_sign(issuing).der]
    wanted: list[str] = []

    @policies.predicate("acme.anchored", identifies=True)
    def anchored(evidence: Evidence) -> bool:
        wanted.append(evidence.path.anchor.sha256)
        return len(wanted) == 1 or evidence.path.anchor.sha256 != wanted[0]

    store = TrustStore(anchors=[old.certificate, new.certificate])
    verifier = Verifier.for_clients(trust=store, policy=anchored)
    first, second = (verifier.verify(chain).path.anchor.sha256 for _ in range(2))
    assert first == wanted[0] != second


def test_a_server_verifier_without_a_policy_takes_its_store_from_a_source() -> None:
    """The identity alone decides, under the store that the source returns at that moment."""
    current = [TrustStore(anchors=[ROOT.certificate])]
    verifier = Verifier.for_servers(trust=lambda: current[0], expected="server.test")
    server = ISSUING.issue_server("server.test").chain_pem
    assert verifier.decide(server)
    current[0] = TrustStore(anchors=[CertificateAuthority("another root").certificate])
    assert not verifier.decide(server)
