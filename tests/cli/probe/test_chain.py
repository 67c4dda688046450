"""What a probe says of a chain as sent: order, what is missing or too much, what is old or weak."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from mtlspolicy import TrustStore, Verifier
from mtlspolicy.cli.probe._chain import read_chain
from mtlspolicy.cli.probe._seen import Chain
from mtlspolicy.testing import BROKEN, CertificateAuthority, IssuedCertificate, broken
from mtlspolicy.testing._der_writer import object_identifier, sequence
from mtlspolicy.testing._hand_made import HandMade, assemble

NOW: Final = datetime.now(UTC)
LATER: Final = NOW + timedelta(days=300)


class Tree:
    """A root, an issuing CA and a server."""

    def __init__(self) -> None:
        self.root = CertificateAuthority("Root", not_after=LATER)
        self.issuing = self.root.intermediate(
            "Issuing CA", not_after=LATER, extensions=[_issuer_at("http://example.com/root.crt")]
        )
        self.leaf = self.issuing.issue_server("localhost", not_after=LATER)
        self.ders = (self.leaf.certificate, self.issuing.certificate)

    def said(self, *ders: bytes, trust: TrustStore | None = None) -> Chain:
        """Return what is said of a chain."""
        store = TrustStore(anchors=[self.root.certificate]) if trust is None else trust
        return read_chain(ders, Verifier.for_servers(trust=store, expected="localhost"), NOW)


def _issuer_at(url: str) -> x509.AuthorityInformationAccess:
    place = x509.UniformResourceIdentifier(url)
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, place)]
    )


@pytest.fixture(scope="module")
def tree() -> Tree:
    """Return the tree."""
    return Tree()


def _der(issued: IssuedCertificate) -> bytes:
    return issued.der


def _codes(chain: Chain) -> list[str]:
    return [code for code, _ in chain.problems]


def _text(chain: Chain, code: str) -> str:
    return next(text for one, text in chain.problems if one == code)


def test_a_good_chain(tree: Tree) -> None:
    """A chain in order, complete and without the root, has nothing to be said against it; its issuer is known."""
    chain = tree.said(_der(tree.leaf), tree.issuing.der)
    assert chain.problems == ()
    assert chain.verified
    assert chain.issuer is not None
    assert chain.issuer.der == tree.issuing.der
    assert [row["subject"] for row in chain.reports] == ["CN=localhost", "CN=Issuing CA,O=mtlspolicy TEST CA"]


def test_nothing_was_sent(tree: Tree) -> None:
    """No certificate and one that cannot be read are two findings, and neither is verified."""
    assert (_codes(tree.said()), tree.said().verified) == (["probe.chain-none"], None)
    assert _codes(tree.said(_der(tree.leaf), b"\x30\x03abc")) == ["probe.chain-unreadable"]


def test_an_intermediate_that_is_missing(tree: Tree) -> None:
    """The issuer that was not sent is named."""
    chain = tree.said(_der(tree.leaf))
    assert _codes(chain) == ["probe.unverified", "probe.chain-incomplete"]
    assert "CN=Issuing CA" in _text(chain, "probe.chain-incomplete")


def test_an_intermediate_that_only_we_know(tree: Tree) -> None:
    """Where our own file has the intermediate, the chain is verified here and still called incomplete."""
    store = TrustStore(anchors=[tree.root.certificate], intermediates=[tree.issuing.certificate])
    chain = tree.said(_der(tree.leaf), trust=store)
    assert chain.verified
    assert _codes(chain) == ["probe.chain-incomplete"]
    assert "only clients have that know it already" in _text(chain, "probe.chain-incomplete")


def test_where_the_issuer_is_said_to_be(tree: Tree) -> None:
    """An address of the issuer in the last certificate is repeated, and not fetched."""
    stranger = TrustStore(anchors=[CertificateAuthority("Else").certificate])
    chain = tree.said(_der(tree.leaf), tree.issuing.der, trust=stranger)
    assert "http://example.com/root.crt" in _text(chain, "probe.chain-incomplete")


def test_a_root_that_is_not_trusted(tree: Tree) -> None:
    """A whole chain to a strange root is not called incomplete: it is not verified, and the root was sent."""
    stranger = TrustStore(anchors=[CertificateAuthority("Else").certificate])
    chain = tree.said(_der(tree.leaf), tree.issuing.der, tree.root.der, trust=stranger)
    assert _codes(chain) == ["probe.unverified", "probe.root-sent"]


def test_an_issuing_ca_as_the_anchor(tree: Tree) -> None:
    """A leaf alone is complete for whoever trusts its issuer, and so is a chain that holds the anchor."""
    store = TrustStore(anchors=[tree.issuing.certificate])
    assert tree.said(_der(tree.leaf), trust=store).problems == ()
    assert tree.said(_der(tree.leaf), tree.issuing.der, trust=store).problems == ()


def test_order_duplicates_and_strangers(tree: Tree) -> None:
    """A wrong order, a certificate sent twice, and one that does not belong there are told apart."""
    other = CertificateAuthority("Else")
    chain = tree.said(_der(tree.leaf), other.der, tree.root.der, tree.issuing.der, tree.issuing.der)
    assert chain.verified
    assert _codes(chain) == ["probe.chain-duplicate", "probe.chain-extra", "probe.chain-order", "probe.root-sent"]
    assert _text(chain, "probe.chain-order").endswith("the right order is 1, 4, 3")
    assert (
        _text(chain, "probe.chain-extra")
        == f"certificate 2 is not part of the chain: {other.certificate.subject.rfc4514_string()}"
    )
    two = tree.said(_der(tree.leaf), tree.issuing.der, other.der, CertificateAuthority("More").der)
    assert _text(two, "probe.chain-extra").startswith("certificates 3, 4 are not part")


def test_dates(tree: Tree) -> None:
    """Expired, not yet valid, and soon to expire, where a short life counts for what it is."""
    past = tree.issuing.issue_server("localhost", not_before=NOW - timedelta(9), not_after=NOW - timedelta(1))
    future = tree.issuing.issue_server("localhost", not_before=NOW + timedelta(1), not_after=LATER)
    soon = tree.issuing.issue_server("localhost", not_before=NOW - timedelta(80), not_after=NOW + timedelta(9, 60))
    short = tree.issuing.issue_server("localhost", not_before=NOW - timedelta(1), not_after=NOW + timedelta(5))
    assert _codes(tree.said(_der(past), tree.issuing.der)) == ["probe.unverified", "probe.expired"]
    assert _codes(tree.said(_der(future), tree.issuing.der)) == ["probe.unverified", "probe.not-yet-valid"]
    assert "expires in 9 days" in _text(tree.said(_der(soon), tree.issuing.der), "probe.expires-soon")
    assert tree.said(_der(short), tree.issuing.der).problems == ()


def test_weak_keys_and_digests(tree: Tree) -> None:
    """A small RSA key and a SHA-1 signature are found, each with its words; a root's own signature proves nothing."""
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the fault
    weak = tree.issuing.issue_server("localhost", key=small, not_after=LATER)
    chain = tree.said(_der(weak), tree.issuing.der)
    assert _codes(chain) == ["probe.unverified", "probe.weak-certificate"]
    assert "RSA key of 1024 bits" in _text(chain, "probe.weak-certificate")
    sha1 = HandMade.of(tree.leaf.certificate).signed_by(tree.issuing.key, digest=hashes.SHA1())  # noqa: S303 - the fault
    assert "signed with SHA1" in _text(tree.said(sha1, tree.issuing.der), "probe.weak-certificate")
    old_root = HandMade.of(tree.root.certificate).signed_by(tree.root.key, digest=hashes.SHA1())  # noqa: S303 - the same
    assert _codes(tree.said(_der(tree.leaf), tree.issuing.der, old_root)) == ["probe.root-sent"]


def test_names(tree: Tree) -> None:
    """A server without subjectAltName is found, and one of another name is not verified."""
    bare = tree.issuing.issue_client("localhost", eku=[x509.oid.ExtendedKeyUsageOID.SERVER_AUTH], not_after=LATER)
    assert "probe.no-san" in _codes(tree.said(_der(bare), tree.issuing.der))
    other = tree.issuing.issue_server("example.com", not_after=LATER)
    chain = tree.said(_der(other), tree.issuing.der)
    assert _codes(chain) == ["probe.unverified"]
    assert "identity.mismatch" in _text(chain, "probe.unverified")


def test_what_cannot_be_read_is_said(tree: Tree) -> None:
    """An extension that cannot be read is a finding and ends nothing; an unknown digest is no broken one."""
    garbled = HandMade.of(tree.leaf.certificate)
    garbled = garbled.without(x509.oid.ExtensionOID.AUTHORITY_INFORMATION_ACCESS).adding(
        x509.oid.ExtensionOID.AUTHORITY_INFORMATION_ACCESS, b"\x30\x03abc"
    )
    stranger = TrustStore(anchors=[CertificateAuthority("Else").certificate])
    chain = tree.said(garbled.signed_by(tree.issuing.key), trust=stranger)
    assert "probe.chain-incomplete" in _codes(chain)
    unknown = sequence(object_identifier("1.2.3.4"))
    odd = assemble(HandMade.of(tree.leaf.certificate).to_be_signed(unknown), unknown, bytes(64))
    assert _codes(tree.said(odd, tree.issuing.der)) == [
        "probe.unverified",
        "probe.chain-extra",
        "probe.chain-incomplete",
    ]
    ed25519 = tree.issuing.issue_server("localhost", key="ed25519", not_after=LATER)
    assert tree.said(_der(ed25519), tree.issuing.der).problems == ()


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_certificate_gets_an_answer(tree: Tree, name: str) -> None:
    """Whatever a server sends, the answer is findings that can be printed, and never a verified server."""
    issued = broken(name, tree.issuing)
    chain = tree.said(issued.der, *issued.issuers_der)
    assert not chain.verified
    assert all(text.isprintable() for _, text in chain.problems)
