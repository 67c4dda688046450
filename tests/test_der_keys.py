"""Usual forms of public keys: what has one is what a parser reads, in its one encoding; all else has none."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._der_keys import key_form
from mtlspolicy.testing import _der_writer as der


def _spki(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_keys_on_usual_curves_have_a_form(curve: ec.EllipticCurve) -> None:
    """An uncompressed point of a named curve has the form of its curve, and any change of the bytes before it none."""
    spki = _spki(ec.generate_private_key(curve).public_key())
    form = key_form(spki)
    assert form is not None
    assert (form.rsa_bits, form.curve) == (0, curve.name)
    for place in range(len(form.head)):
        assert key_form(spki[:place] + bytes([spki[place] ^ 1]) + spki[place + 1 :]) is None
    assert key_form(spki[:-1]) is None
    assert key_form(_spki(ec.generate_private_key(ec.SECP256K1()).public_key())) is None


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_usual_rsa_keys_have_a_form_and_any_modulus_is_read(bits: int) -> None:
    """The form alone says the size and the exponent, as the parser finds them, whatever the modulus is."""
    numbers = [(1 << bits) - 1, 1 << (bits - 1), (1 << bits) - 2]  # odd, and even ones that no key has
    for modulus in numbers:
        spki = _rsa_spki(modulus, 65537)
        form = key_form(spki)
        assert form is not None
        assert form.rsa_bits == bits
        key = load_der_public_key(spki)
        assert isinstance(key, rsa.RSAPublicKey)
        assert (key.key_size, key.public_numbers().e, _spki(key)) == (bits, 65537, spki)


def test_an_rsa_key_of_another_size_or_exponent_passes_for_no_usual_one() -> None:
    """Attack: a short modulus that is padded to the usual length, another exponent of the same or another length."""
    for modulus, exponent in (
        (1 << 2046, 65537), (1 << 2039, 65537), ((1 << 2048) - 1, 3), ((1 << 2048) - 1, 65539),
        ((1 << 2048) - 1, 0x0203010001), ((1 << 2032) - 1, 0x0203010001), ((1 << 1024) - 1, 65537),
    ):  # fmt: skip
        assert key_form(_rsa_spki(modulus, exponent)) is None
    usual = _rsa_spki((1 << 2048) - 1, 65537)
    padded = usual[:33] + b"\x7f" + usual[34:]
    assert key_form(padded) is None, "2047 bits behind a zero byte that does not belong there"


def _rsa_spki(modulus: int, exponent: int) -> bytes:
    key = der.sequence(der.integer(modulus), der.integer(exponent))
    algorithm = der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), b"\x05\0")
    return der.sequence(algorithm, b"\x03" + der.octet_string(b"\0" + key)[1:])


CURVES = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
POINTS = tuple(_spki(ec.derive_private_key(scalar, curve).public_key()) for curve in CURVES for scalar in (1, 2, 7))


def _is_read(spki: bytes) -> bool:
    try:
        key = load_der_public_key(spki)
    except ValueError:
        return False
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return _spki(key) == spki


@given(st.sampled_from(POINTS), st.integers(1, 60), st.integers(0, 255))
def test_a_point_has_a_form_where_the_parser_reads_it(spki: bytes, place: int, value: int) -> None:
    """Attack, a point beside the curve: it has no form, as it has no key (SEC 1, section 3.2.2.1)."""
    changed = spki[:-place] + bytes((value,)) + spki[len(spki) - place + 1 :]
    assert (key_form(changed) is not None) is _is_read(changed)


@pytest.mark.parametrize("curve", CURVES)
def test_a_coordinate_has_one_encoding(curve: ec.EllipticCurve) -> None:
    """A coordinate of p or more would be the same point in other bytes, with another digest: it has no form."""
    size = (curve.key_size + 7) // 8
    spki = _spki(ec.derive_private_key(1, curve).public_key())
    form = key_form(spki)
    assert form is not None
    head, p = form.head, form.p
    x, y = (int.from_bytes(spki[at : at + size], "big") for at in (len(head), len(head) + size))
    for shifted in ((p, y), (x, p), (x + p, y), (x, y + p), (0, 0)):
        if max(shifted) < 1 << 8 * size:
            twin = head + b"".join(one.to_bytes(size, "big") for one in shifted)
            assert key_form(twin) is None
            assert not _is_read(twin)
