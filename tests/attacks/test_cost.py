"""Attacks on time: what a stranger or a hostile CA makes us read, counted and never measured by a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlspolicy import Decision, TrustStore, Verifier, _constraints, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._path_rules import COMPARISONS
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade

ROOT = CertificateAuthority("R")
STORE = TrustStore(anchors=[ROOT.certificate])
MAILBOX, COMMON_NAME = "1.2.840.113549.1.9.1", "2.5.4.3"


def _excluding(count: int, kind: Callable[[str], x509.GeneralName], form: str = "u{}.t") -> x509.NameConstraints:
    return x509.NameConstraints(None, [kind(form.format(number)) for number in range(count)])


def _with_subject(issuer: CertificateAuthority, oid: str, count: int) -> bytes:
    """Return a leaf of *issuer* whose subject has *count* attributes of the type *oid* and an O."""
    values = [der.sequence(der.object_identifier(oid), der.ia5_string(f"a@b.{number}")) for number in range(count)]
    organization = der.sequence(der.object_identifier("2.5.4.10"), der.utf8_string("Org"))
    subject = der.sequence(*map(der.set_of, [*values, organization]))
    return replace(HandMade.of(issuer.issue_client("c").certificate), subject=subject).signed_by(issuer.key)


def _decide(*ders: bytes) -> Decision:
    policy = policies.SubjectAttribute("O", "Org", allow_unconstrained=True)
    return Verifier.for_clients(trust=STORE, policy=policy).decide(list(ders))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the comparisons of names with subtrees that we make ourselves."""
    found: Counter[str] = Counter()
    plain = _constraints._covers

    def counting(kind: str, *given: Any, **how: Any) -> bool:
        found[kind] += 1
        return plain(kind, *given, **how)

    monkeypatch.setattr(_constraints, "_covers", counting)
    return found


@pytest.mark.parametrize(
    ("oid", "kind"), [(MAILBOX, x509.RFC822Name), (COMMON_NAME, x509.RFC822Name), (COMMON_NAME, x509.DNSName)]
)
def test_hundreds_of_subject_attributes_meet_hundreds_of_constraints(
    oid: str, kind: Callable[[str], x509.GeneralName], compared: Counter[str]
) -> None:
    """Names of the subject count like those of the SAN: 500 under 400 constraints took a second, and are refused."""
    hostile = ROOT.intermediate("hostile", name_constraints=_excluding(400, kind))
    decision = _decide(_with_subject(hostile, oid, 500), hostile.der)
    assert decision.code == "chain.too-large"
    assert not compared
    few = _decide(_with_subject(hostile, oid, 20), hostile.der)
    assert few.code != "chain.too-large"
    assert sum(compared.values()) <= 2 * COMPARISONS


def test_mailboxes_of_a_ca_count_as_well(compared: Counter[str]) -> None:
    """A subordinate CA's emailAddress attributes are held to the constraints above it, and so are bounded with them."""
    upper = ROOT.intermediate("upper", name_constraints=_excluding(400, x509.RFC822Name))
    lower = upper.intermediate("lower")
    values = [der.sequence(der.object_identifier(MAILBOX), der.ia5_string(f"a@b.{number}")) for number in range(300)]
    hand = replace(HandMade.of(lower.certificate), subject=der.sequence(*map(der.set_of, values)))
    leaf = replace(HandMade.of(lower.issue_client("c").certificate), issuer=hand.subject).signed_by(lower.key)
    assert _decide(leaf, hand.signed_by(upper.key), upper.der).code == "chain.too-large"
    assert not compared


def test_thousands_of_constraints_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each subtree is an object that takes microseconds to make: over 8 KiB of them in a path none is made."""
    big = ROOT.intermediate("big", name_constraints=_excluding(900, x509.DNSName))
    upper = ROOT.intermediate("upper", name_constraints=_excluding(450, x509.DNSName))
    lower = upper.intermediate("lower", name_constraints=_excluding(450, x509.DNSName))
    assert _decide(upper.issue_client("c", organization="Org").der, upper.der)
    _forbid_parsing(monkeypatch, big.der, upper.der, lower.der)
    assert _decide(big.issue_client("c", organization="Org").der, big.der).code == "chain.too-large"
    assert _decide(lower.issue_client("c", organization="Org").der, lower.der, upper.der).code == "chain.too-large"


def _forbid_parsing(monkeypatch: pytest.MonkeyPatch, *ders: bytes) -> None:
    plain = ParsedCertificate.extension

    def extension(self: ParsedCertificate, kind: Any) -> Any:
        found = kind.oid.dotted_string in [oid for oid, _, _ in self.layout.extensions]
        assert not found or self.der not in ders, f"the extensions of {self} were parsed"
        return plain(self, kind)

    monkeypatch.setattr(ParsedCertificate, "extension", extension)


@pytest.mark.parametrize("layers", [1, 2])
def test_junk_of_a_stranger_is_not_parsed_to_put_it_in_order(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """CAs of the issuer's name, full of constraints, took 20 ms each before one signature was verified."""
    subtrees = [der.sequence(der.implicit(7, bytes((10, n >> 8, n & 255, 0, 255, 255, 255, 0)))) for n in range(1000)]
    value = der.sequence(der.implicit(1, b"".join(subtrees), constructed=True))
    junk: list[bytes] = []
    for _ in range(3):
        impostor = CertificateAuthority("R")
        hand = HandMade.of(impostor.certificate).setting(ExtensionOID.NAME_CONSTRAINTS, value, critical=True)
        junk.append(hand.signed_by(impostor.key))
    impostor = CertificateAuthority("R")
    owner = ROOT if layers == 1 else impostor
    leaf = HandMade.of(owner.issue_client("c").certificate).without(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    _forbid_parsing(monkeypatch, *junk)
    decision = _decide(leaf.signed_by(owner.key), *junk)
    assert not decision
    assert decision.code in ("path.too-many", "path.signature", "chain.too-large", "name.mismatch", "name.absent")


def test_a_stranger_is_diagnosed_without_reading_all_that_it_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of a big chain names the signature that is wrong, and does not parse the extensions to say more."""
    names = x509.IssuerAlternativeName([x509.DNSName(f"{number}.test") for number in range(1400)])
    impostor = CertificateAuthority("R", extensions=[names])
    leaf = impostor.issue_client("c")
    upper = ROOT.intermediate("upper", extensions=[names])
    spoilt = bytearray(upper.issue_client("c").der)
    spoilt[-1] ^= 1
    _forbid_parsing(monkeypatch, impostor.der, upper.der)
    assert _decide(leaf.der, impostor.der).code in ("path.signature", "path.too-many")
    assert _decide(bytes(spoilt), upper.der).code == "path.signature"


def test_strangers_invent_labels_for_metrics() -> None:
    """Whatever they call themselves and their CAs, a hook is told one code, and no path to take a name of."""
    seen: list[Decision] = []
    verifier = Verifier.for_clients(trust=STORE, policy=policies.CommonName("frodo")).observed_by(seen.append)
    for number in range(20):
        issued = CertificateAuthority(f"Junk {number}").issue_client(f"stranger-{number}")
        verifier.decide(issued.chain_pem)
    observer = verifier._observer
    assert observer is not None
    assert observer.drain(20)
    assert Counter(decision.code for decision in seen) == {"path.no-issuer": 20}
    assert {decision.context and decision.context.path for decision in seen} == {None}
