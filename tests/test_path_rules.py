"""Rules of ours on single certificates, held before any signature is verified; they can only refuse."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtensionOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import DEFAULT_LIMITS, Limits
from mtlspolicy._path_rules import (
    Refusal,
    comparisons_refusal,
    end_entity_refusal,
    issuer_refusal,
    key_usage_refusal,
    malformed,
    serial_refusal,
)
from mtlspolicy._profile import Purpose
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.testing import CertificateAuthority, broken
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade

ROOT = CertificateAuthority("root")
LEAF = ROOT.issue_client("client", dns=["client.test"])


def _parsed(data: bytes) -> ParsedCertificate:
    return ParsedCertificate(data)


def test_a_good_certificate_is_refused_by_no_rule() -> None:
    """The rules say nothing about a correct certificate and its issuer."""
    leaf = _parsed(LEAF.der)
    assert serial_refusal(leaf) is None
    assert end_entity_refusal(leaf, DEFAULT_LIMITS) is None
    assert issuer_refusal(_parsed(ROOT.der)) is None
    assert key_usage_refusal(leaf, Purpose.CLIENT) is None


@pytest.mark.parametrize(
    ("serial", "refused"), [(1, False), (2**159 - 1, False), (2**159, True), (2**168, True), (0, True), (-1, True)]
)
def test_serial_numbers_are_positive_and_below_two_to_159(serial: int, refused: bool) -> None:
    """RFC 5280, section 4.1.2.2: the refusal names the certificate by its digest, since nothing else was read."""
    from dataclasses import replace

    data = replace(HandMade.of(LEAF.certificate), serial=der.integer(serial)).signed_by(ROOT.key)
    found = serial_refusal(_parsed(data))
    assert (found is not None) is refused
    if found is not None:
        assert found.code == "serial.out-of-range"
        assert _parsed(data).sha256[:16] in found.detail


def test_names_of_every_kind_are_counted() -> None:
    """The limit is on entries: kinds that nobody reads and entries that cannot be read count too."""
    hand = HandMade.of(LEAF.certificate)
    entries = (der.implicit(2, b"a.test"), der.implicit(7, b"bad"), der.implicit(8, b"\x2a\x03"))
    data = hand.setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.sequence(*entries)).signed_by(ROOT.key)
    assert end_entity_refusal(_parsed(data), Limits(names=3)) is None
    assert end_entity_refusal(_parsed(data), Limits(names=2)) == Refusal(
        "chain.too-large", "3 names in the subjectAltName; at most 2"
    )


def test_rsa_keys_beyond_the_limits_are_refused_as_issuers() -> None:
    """More than 8192 bits, or an exponent over 2^32, would let a peer choose what a verification costs."""
    numbers = rsa.RSAPublicNumbers(2**32 + 1, rsa.generate_private_key(65537, 2048).public_key().public_numbers().n)
    from dataclasses import replace

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    hand = HandMade.of(ROOT.intermediate("ca").certificate)
    for key, says in (
        (numbers, "exponent exceeds 2^32"),
        (rsa.RSAPublicNumbers(65537, (1 << 8200) + 1), "8201 bits; at most 8192"),
    ):
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        found = issuer_refusal(_parsed(replace(hand, public_key=spki).signed_by(ROOT.key)))
        assert found is not None
        assert found.code == "path.weak-key"
        assert says in found.detail


@pytest.mark.parametrize("name", ["nul-in-cn", "bidi-in-cn", "nul-in-dns"])
def test_hostile_names_are_shown_escaped(name: str) -> None:
    """The refusal quotes the name so that it can be printed."""
    found = end_entity_refusal(_parsed(broken(name, ROOT).der), DEFAULT_LIMITS)
    assert found is not None
    assert found.code == "name.hostile"
    assert found.detail.isprintable()


def test_a_subject_alternative_name_of_another_shape_is_malformed() -> None:
    """What is no sequence of names cannot be counted, and is refused."""
    hand = HandMade.of(LEAF.certificate).setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x05\x82")
    with pytest.raises(MalformedEvidence):
        end_entity_refusal(_parsed(hand.signed_by(ROOT.key)), DEFAULT_LIMITS)


def test_an_unreadable_attribute_is_not_hostile() -> None:
    """A value of a type that is not read is no text; policies on it are INDETERMINATE."""
    assert end_entity_refusal(_parsed(broken("t61-string-cn", ROOT).der), DEFAULT_LIMITS) is None


def test_key_usage_that_is_no_bit_string_is_malformed() -> None:
    """A keyUsage of another shape allows nothing, and says why."""
    for value in (b"\x05\x00", b"\x03\x00"):
        hand = HandMade.of(LEAF.certificate).setting(ExtensionOID.KEY_USAGE, value)
        with pytest.raises(MalformedEvidence, match="keyUsage of CN=client cannot be read"):
            key_usage_refusal(_parsed(hand.signed_by(ROOT.key)), Purpose.CLIENT)
    empty = HandMade.of(LEAF.certificate).setting(ExtensionOID.KEY_USAGE, b"\x03\x01\x00")
    refusal = key_usage_refusal(_parsed(empty.signed_by(ROOT.key)), Purpose.SERVER)
    assert refusal is not None
    assert "nor keyEncipherment" in refusal.detail


def test_malformed_evidence_becomes_a_refusal() -> None:
    """Code and text of the error are kept."""
    assert malformed(MalformedEvidence("why", code="chain.too-large")) == Refusal("chain.too-large", "why")


@pytest.mark.parametrize(("names", "subtrees", "refused"), [(64, 128, False), (65, 127, True), (1, 600, False)])
def test_comparisons_with_name_constraints_are_bounded(names: int, subtrees: int, *, refused: bool) -> None:
    """A hostile CA with long constraints and many names below it is refused before anything is compared."""
    bases = [x509.DNSName(f"n{number}.test") for number in range(subtrees)]
    constraints = x509.NameConstraints(permitted_subtrees=bases[1:], excluded_subtrees=bases[:1])
    hostile = ROOT.intermediate("hostile", name_constraints=constraints)
    leaf = hostile.issue_client("client", dns=[f"a{number}.n1.test" for number in range(names)])
    found = comparisons_refusal([_parsed(leaf.der), _parsed(hostile.der), _parsed(ROOT.der)])
    assert (found is not None) is refused
    if found is not None:
        assert found.code == "chain.too-large"
        assert "65 names to be compared with 127 name constraints" in found.detail
    assert comparisons_refusal([_parsed(LEAF.der), _parsed(ROOT.der)]) is None
