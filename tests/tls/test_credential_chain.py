"""The chain of a credential: found by the key, put in order, roots and duplicates dropped, and each of that noted."""

from __future__ import annotations

import itertools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, broken
from mtlspolicy.tls._credential import Credential
from mtlspolicy.tls._credential_chain import is_ca, issued, name_of

ROOT = CertificateAuthority("Chain Root")
MIDDLE = ROOT.intermediate("Chain Middle CA")
ISSUING = MIDDLE.intermediate("Chain Issuing CA")
SERVER = ISSUING.issue_server("server.test")


def test_any_order_gives_the_same_chain() -> None:
    """Every permutation of the file is sent in the one right order, and all but the right one draw a note."""
    for order in itertools.permutations(SERVER.chain):
        credential = Credential.of(order, SERVER.key)
        assert credential.chain == SERVER.chain
        assert ("out of order" in " ".join(credential.notes)) is (order != SERVER.chain)


def test_the_note_on_order_names_the_right_one() -> None:
    """The note says in which order the certificates are sent and what to change in the file."""
    note = Credential.of(reversed(SERVER.chain), SERVER.key).notes[0]
    names = [name_of(one) for one in SERVER.chain]
    assert " < ".join(names) in note
    assert "put the end entity's certificate first" in note


def test_the_root_is_not_sent() -> None:
    """A root in the file is dropped and noted: the peer trusts the one it has."""
    credential = Credential.of((*SERVER.chain, ROOT.certificate), SERVER.key)
    assert credential.chain == SERVER.chain
    assert len(credential.notes) == 1
    assert "Chain Root" in credential.notes[0]
    assert "is not sent" in credential.notes[0]


def test_a_root_that_issued_the_end_entity_leaves_no_doubt() -> None:
    """Where the root in the file is the issuer itself, no intermediate is missing."""
    direct = ROOT.issue_server("direct.test")
    credential = Credential.of((direct.certificate, ROOT.certificate), direct.key)
    assert credential.chain == (direct.certificate,)
    assert "append" not in " ".join(credential.notes)


def test_duplicates_are_sent_once() -> None:
    """A certificate that stands in the file twice is sent once, and noted."""
    credential = Credential.of((*SERVER.chain, *SERVER.chain), SERVER.key)
    assert credential.chain == SERVER.chain
    assert "more than once" in credential.notes[0]


def test_a_missing_intermediate_is_noted() -> None:
    """An end entity alone draws a note that names its issuer and the command that appends it."""
    credential = Credential.from_pem(SERVER.certificate_pem, SERVER.key_pem)
    assert "Chain Issuing CA" in credential.notes[0]
    assert "cat issuer.pem >> chain.pem" in credential.notes[0]


def test_a_self_signed_certificate_misses_nothing() -> None:
    """A self-signed certificate of one's own is complete."""
    alone = broken("self-signed", ROOT)
    assert Credential.of(alone.certificate, alone.key).notes == ()


def test_a_lone_self_signed_ca_certificate_is_taken() -> None:
    """What "openssl req -x509" makes, cA=TRUE and self-signed, is taken; `findings` says what is wrong with it."""
    credential = Credential.of(ROOT.certificate, ROOT.key)
    assert credential.chain == (ROOT.certificate,)
    assert "credential.is-ca" in {finding.code for finding in credential.findings("server")}


@pytest.mark.parametrize(
    "certificates", [(ISSUING.certificate,), (ISSUING.certificate, MIDDLE.certificate, ROOT.certificate)]
)
def test_the_certificate_of_an_issuing_ca_is_refused(certificates: tuple[x509.Certificate, ...]) -> None:
    """A CA's own certificate and key are not a server's or a client's."""
    with pytest.raises(
        ConfigurationError, match="the chain given holds only CA certificates .*Chain Issuing CA.*cat server.pem"
    ):
        Credential.of(certificates, ISSUING.key)


def test_both_cross_certificates_are_sent() -> None:
    """Two certificates of one issuing CA, by an old and a new root, both belong to the chain."""
    new = CertificateAuthority("Chain New Root")
    cross = new.cross_sign(MIDDLE)
    credential = Credential.of((*SERVER.chain, cross.certificate, new.certificate), SERVER.key)
    assert set(credential.chain) == {*SERVER.chain, cross.certificate}
    assert credential.chain[:2] == SERVER.chain[:2]


def test_a_namesake_of_the_issuer_is_unrelated() -> None:
    """A CA of the same name and another key issued nothing here: names alone do not make a chain."""
    namesake = MIDDLE.intermediate("Chain Issuing CA")
    assert not issued(namesake.certificate, SERVER.certificate)
    with pytest.raises(
        ConfigurationError,
        match=r"Chain Issuing CA.*, which issued none of the certificates that belong to the key: take it out",
    ):
        Credential.of((*SERVER.chain, namesake.certificate), SERVER.key)


def test_a_key_in_the_chains_file_is_noted() -> None:
    """A second key, in the file with the certificates, is not used, and that is said."""
    credential = Credential.from_pem(SERVER.chain_pem + ROOT.issue_client("x").key_pem, SERVER.key_pem)
    assert credential.chain == SERVER.chain
    assert "the chain given holds a private key too" in credential.notes[0]


@pytest.mark.parametrize(
    "name",
    ["invalid-utf8-cn", "t61-string-cn", "duplicate-extension", "unsupported-general-name", "sha1-signature", "v1"],
)
def test_certificates_that_read_badly_make_a_credential(name: str) -> None:
    """What only a peer can judge is not refused here, and no error of another library comes out."""
    strange = broken(name, ROOT)
    credential = Credential.of(strange.certificate, strange.key)
    assert credential.certificate.public_bytes(Encoding.DER) == strange.der
    assert credential.subject.isprintable()
    assert isinstance(credential.findings("client"), tuple)


def test_an_issuer_of_unknown_algorithm_counts_by_name() -> None:
    """A signature that cannot be verified here (SHA-1) does not tear the chain apart: nothing is trusted for it."""
    strange = broken("sha1-signature", ROOT)
    credential = Credential.of((strange.certificate, *strange.chain[1:], strange.root), strange.key)
    assert credential.certificate.public_bytes(Encoding.DER) == strange.der
    assert not is_ca(credential.certificate)
