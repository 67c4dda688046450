"""The verified peer: one identity object, a proof that a decision was made in this process, and nothing weaker."""

from __future__ import annotations

import base64
import copy
import hashlib
import ipaddress
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlspolicy import policies
from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Connection, Evidence, Fact, Facts, Need
from mtlspolicy._peer import VerifiedPeer, admit, locate
from mtlspolicy._policy import Policy
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError, PathValidationError, PolicyDenied, PolicyIndeterminate
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken

ROOT = CertificateAuthority("root", organization=None)
ISSUING = ROOT.intermediate("issuing", organization=None)
LEAF = ISSUING.issue_client(
    "frodo",
    dns=["frodo.test"],
    uris=["spiffe://shire.test/frodo"],
    emails=["frodo@shire.test"],
    ips=["192.0.2.1"],
)
CONNECTION = Connection(transport_address="192.0.2.9", resumed=False)
TRUST = TrustStore(anchors=[ROOT.der])


def _peer(
    leaf: IssuedCertificate = LEAF, *, possession: Possession = Possession.TLS, at: datetime | None = None, **given: Any
) -> VerifiedPeer:
    verifier = Verifier.for_clients(trust=given.pop("trust", TRUST), policy=policies.Anyone())
    chain = PresentedChain((leaf.der, *leaf.issuers_der), possession)
    given.setdefault("connection", CONNECTION)
    return verifier.verify(chain, at=at, **given)


class Recording(Policy):
    """Keeps the evidence that it was asked on."""

    def __init__(self, verdict: Verdict = Verdict.PERMIT) -> None:
        self.verdict = verdict
        self.seen: list[Evidence] = []

    def evaluate(self, evidence: Evidence) -> Decision:
        """Remember and answer."""
        self.seen.append(evidence)
        return Decision(self.verdict, "test.answer", clause=self)


def test_the_peer_says_what_the_certificate_says() -> None:
    """Names, digests and serial number are those of the end entity of the validated path."""
    peer = _peer()
    assert peer.certificate == LEAF.certificate
    assert (str(peer.subject), str(peer.issuer), peer.common_name) == ("CN=frodo", "CN=issuing", "frodo")
    assert (peer.dns_names, peer.uris) == (("frodo.test",), ("spiffe://shire.test/frodo",))
    assert (peer.emails, peer.ip_addresses) == (("frodo@shire.test",), (ipaddress.ip_address("192.0.2.1"),))
    assert peer.spiffe_id == "spiffe://shire.test/frodo"
    assert peer.serial_number == LEAF.certificate.serial_number
    assert peer.certificate_sha256 == hashlib.sha256(LEAF.der).hexdigest()
    assert peer.spki_sha256 == peer.path.end_entity.spki_sha256
    expected = base64.urlsafe_b64encode(hashlib.sha256(LEAF.der).digest()).decode().rstrip("=")
    assert peer.thumbprint == expected
    assert len(peer.thumbprint) == 43
    assert peer.connection is CONNECTION
    assert peer.presented.ders == (LEAF.der, ISSUING.der)
    assert peer.path.anchor.der == ROOT.der
    assert peer.decision.admitted_by == ("Anyone()",)
    assert repr(peer) == "<VerifiedPeer CN=frodo possession=TLS>"


def test_common_name_is_none_where_there_are_several() -> None:
    """Never "the first"."""
    assert _peer(broken("two-common-names", ISSUING)).common_name is None
    assert _peer(broken("nameless", ISSUING)).common_name is None


@pytest.mark.parametrize(
    ("uris", "expected"),
    [
        (["spiffe://a.test"], "spiffe://a.test"),
        (["spiffe://a.test/x/y"], "spiffe://a.test/x/y"),
        ([], None),
        (["https://a.test/"], None),
        (["spiffe://a.test/x", "spiffe://a.test/y"], None),
        (["spiffe://A.test/x"], None),
        (["spiffe://a.test/x/"], None),
        (["spiffe://a.test/%41"], None),
    ],
)
def test_spiffe_id_is_the_one_uri_that_is_one(uris: list[str], expected: str | None) -> None:
    """Exactly one URI, and a SPIFFE ID by the letter; anything else is none."""
    assert _peer(ISSUING.issue_client("x", uris=uris)).spiffe_id == expected


def test_hostile_names_are_escaped_where_the_peer_prints_itself() -> None:
    """A name that reads as two is shown as one."""
    assert "\\," in repr(_peer(broken("comma-in-cn", ISSUING)))


# No public constructor, no copy, no pickle


def test_a_peer_cannot_be_made_by_hand() -> None:
    """The class makes none, with or without arguments."""
    peer = _peer()
    made: Any = VerifiedPeer
    for arguments in ((), (object(),), (None,)):
        with pytest.raises(TypeError, match="comes from Verifier.verify"):
            made(*arguments, presented=peer.presented, evidence=peer.evidence, decision=peer.decision)
    with pytest.raises(TypeError, match="comes from Verifier.verify"):
        made.__new__(made)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_peer_is_neither_pickled_nor_unpickled(protocol: int) -> None:
    """No peer comes out of bytes, with any protocol."""
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        pickle.dumps(_peer(), protocol)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02cmtlspolicy._peer\nVerifiedPeer\n)\x81.",
        b"\x80\x02cmtlspolicy._peer\nVerifiedPeer\n)\x81}b.",
        b"\x80\x02cmtlspolicy._peer\nVerifiedPeer\n)R.",
        b"\x80\x02ccopyreg\n__newobj__\ncmtlspolicy._peer\nVerifiedPeer\n\x85R.",
    ],
)
def test_a_forged_pickle_makes_no_peer(data: bytes) -> None:
    """Opcodes that make an object without its constructor end in an error."""
    with pytest.raises(TypeError, match="comes from Verifier.verify"):
        pickle.loads(data)  # noqa: S301 - that is the attack


def test_a_peer_is_not_copied() -> None:
    """Neither shallow nor deep."""
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            duplicate(_peer())


def test_a_peer_does_not_change() -> None:
    """Who was admitted, and by what, cannot be written over."""
    peer = _peer()
    for name in ("decision", "evidence", "presented", "path", "extra"):
        with pytest.raises(AttributeError, match=f"cannot set '{name}'"):
            setattr(peer, name, None)
        with pytest.raises(AttributeError, match=f"cannot delete '{name}'"):
            delattr(peer, name)
    assert peer.decision


@pytest.mark.parametrize("first", ["evidence", "connection"])
def test_an_admitted_peer_is_given_no_other_address_or_facts(first: str) -> None:
    """What the peer was admitted on is read only, in whatever order one gets at it: require() asks about it again."""
    peer = _peer()
    inner: Any = getattr(peer, first)
    connection: Any = inner.connection if first == "evidence" else inner
    before = repr(connection)
    for target, names in ((peer.evidence, Evidence.__slots__), (connection, Connection.__slots__)):
        for name in (*names, "extra", "__class__"):
            with pytest.raises(AttributeError, match=f"cannot set '{name}'"):
                setattr(target, name, None)
            with pytest.raises(AttributeError, match=f"cannot delete '{name}'"):
                delattr(target, name)
    assert repr(connection) == before
    assert peer.connection is connection
    assert isinstance(peer.evidence, Evidence)
    assert isinstance(connection, Connection)


def test_an_address_that_is_learnt_later_is_written_once() -> None:
    """An edge may fill in an address that was not known, and not change one."""
    peer = _peer(connection=Connection(tls_version="TLSv1.3"))
    locate(peer.connection, "192.0.2.7")
    locate(peer.connection, "198.51.100.1")
    assert repr(peer.connection) == "Connection(tls_version='TLSv1.3', transport_address='192.0.2.7')"


@pytest.mark.parametrize("verdict", [Verdict.DENY, Verdict.INDETERMINATE])
def test_only_a_permit_admits(verdict: Verdict) -> None:
    """The verifier's own function makes no peer of another verdict."""
    peer = _peer()
    with pytest.raises(TypeError, match="only a PERMIT admits"):
        admit(peer.presented, peer.evidence, Decision(verdict, "test.no"))


# require and decide


def test_possession_none_is_refused_in_require() -> None:
    """Certificates are public: one that was verified offline authenticates nobody, whatever the policy says."""
    offline = _peer(possession=Possession.NONE)
    assert offline.possession is Possession.NONE
    recording = Recording()
    for policy in (policies.Anyone(), policies.CommonName("frodo"), recording):
        with pytest.raises(PolicyDenied) as caught:
            offline.require(policy)
        assert caught.value.code == "peer.no-possession"
        assert not offline.decide(policy)
    assert recording.seen == [], "nor is the policy asked"


@pytest.mark.parametrize("possession", [Possession.TLS, Possession.PROXY])
def test_require_asks_a_further_policy(possession: Possession) -> None:
    """A second, narrower question on an admitted peer: returns, or raises with the decision."""
    peer = _peer(possession=possession)
    peer.require(policies.CommonName("frodo"))
    with pytest.raises(PolicyDenied) as denied:
        peer.require(policies.CommonName("sam"))
    assert denied.value.code == "name.mismatch"
    assert denied.value.decision.context is not None
    assert denied.value.decision.context.trust == TRUST.digest
    with pytest.raises(PolicyIndeterminate):
        peer.require(policies.PolicyOID("1.2.3"))


def test_require_is_asked_now_and_on_the_same_evidence() -> None:
    """On a kept-alive connection the time is now, not that of the handshake; all else is as it was."""
    facts = Facts(by_kind={"test.kind": 1})
    then = datetime.now(UTC) - timedelta(minutes=30)
    peer = _peer(at=then, facts=facts, dialed="a.test")
    recording = Recording()
    before = datetime.now(UTC)
    assert peer.decide(recording)
    (seen,) = recording.seen
    assert before <= seen.at <= datetime.now(UTC)
    assert (seen.path, seen.facts, seen.connection) == (peer.path, facts, CONNECTION)
    assert (seen.possession, seen.dialed) == (Possession.TLS, "a.test")
    denying = Recording(Verdict.DENY)
    with pytest.raises(PolicyDenied) as denied:
        peer.require(denying)
    assert denied.value.code == "test.answer"
    peer.require(recording)
    for required in (denying.seen[-1], recording.seen[-1]):
        assert before <= required.at <= datetime.now(UTC)
        assert (required.path, required.facts, required.dialed) == (peer.path, facts, "a.test")
    assert len(recording.seen) == 2


def test_require_holds_the_path_to_its_validity_again() -> None:
    """A peer whose certificate expired since is refused, whichever certificate of the path it was."""
    now = datetime.now(UTC)
    day = timedelta(days=1)
    old = CertificateAuthority("old", not_before=now - 9 * day)
    short = old.intermediate("short", not_before=now - 3 * day, not_after=now - day)
    for leaf in (
        old.issue_client("x", not_before=now - 3 * day, not_after=now - day),
        short.issue_client("x", not_before=now - 3 * day, not_after=now + day),
    ):
        peer = _peer(leaf, at=now - 2 * day, trust=TrustStore(anchors=[old.der]))
        recording = Recording()
        with pytest.raises(PathValidationError) as caught:
            peer.require(recording)
        assert caught.value.code == "path.expired"
        assert recording.seen == []


def test_facts_grow_old() -> None:
    """A fact that was fresh at the handshake is too old for a need of its age on a later question."""
    need = Need("test.kind", "x", timedelta(minutes=5))
    then = datetime.now(UTC) - timedelta(minutes=30)

    class Needing(Policy):
        def evaluate(self, evidence: Evidence) -> Decision:
            return self.indeterminate("fact.missing") if evidence.fact(need) is None else self.permit("test.ok")

    facts = Facts({need: Fact(1, then)})
    peer = _peer(at=then, facts=facts)
    assert Needing().evaluate(peer.evidence)
    assert peer.decide(Needing()).code == "fact.missing"


def test_require_is_total_and_takes_policies_alone() -> None:
    """A policy that raises is INDETERMINATE; what is no policy is our caller's mistake."""

    class Failing(Policy):
        def evaluate(self, evidence: Evidence) -> Decision:
            raise KeyError(evidence.at)

    peer = _peer()
    assert peer.decide(Failing()).code == "policy.error"
    with pytest.raises(PolicyIndeterminate):
        peer.require(~Failing())
    for wrong in (None, "frodo", policies.Anyone, lambda _: True):
        given: Any = wrong
        with pytest.raises(ConfigurationError):
            peer.require(given)


def test_a_policy_that_looks_like_a_path_is_none() -> None:
    """The class of the error follows from who answered, not from what a policy calls itself."""

    class Sly(Recording):
        __hash__ = Recording.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    with pytest.raises(PolicyDenied):
        _peer().require(Sly(Verdict.DENY))


def test_a_peer_without_a_context_still_answers() -> None:
    """Decisions made elsewhere may lack a context; the further decision then names no store."""
    peer = _peer()
    bare = admit(peer.presented, peer.evidence, Decision(Verdict.PERMIT, "test.ok"))
    context = bare.decide(policies.Anyone()).context
    assert context is not None
    assert context.trust == ""
