"""Which public keys are of a usual kind and canonically encoded, by their bytes alone: most need no other reading.

A key that has one of these forms is one that `cryptography` reads. Whether it is strong enough is for others.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class KeyForm(NamedTuple):
    """A usual key, encoded in the one canonical way: known by its first and last bytes and its length.

    Attributes:
        head: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) up to the key itself.
        tail: What it ends with.
        rsa_bits: Bits of an RSA modulus whose exponent is 65537; 0 for a point.
        curve: SEC name of the curve on which the point lies, y^2 = x^3 - 3x + b modulo p (SEC 2, 2.4 to 2.6; all
            have the cofactor 1); empty for RSA.
        p: Modulus of the curve.
        b: Constant of the curve.
    """

    head: bytes
    tail: bytes
    rsa_bits: int
    curve: str = ""
    p: int = 0
    b: int = 0


_P256: Final = (
    "secp256r1", 2**256 - 2**224 + 2**192 + 2**96 - 1,
    0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
)  # fmt: skip
_P384: Final = (
    "secp384r1", 2**384 - 2**128 - 2**96 + 2**32 - 1,
    0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
)  # fmt: skip
_P521: Final = (
    "secp521r1", 2**521 - 1,
    0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF1 << 272
    | 0x09E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
)  # fmt: skip
_EXPONENT: Final = bytes.fromhex("0203010001")
_RSA: Final = "300d06092a864886f70d0101010500"
_FORMS: Final = {
    91: KeyForm(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), b"", 0, *_P256),
    120: KeyForm(bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"), b"", 0, *_P384),
    158: KeyForm(bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"), b"", 0, *_P521),
    294: KeyForm(bytes.fromhex(f"30820122{_RSA}0382010f003082010a0282010100"), _EXPONENT, 2048),
    422: KeyForm(bytes.fromhex(f"308201a2{_RSA}0382018f003082018a0282018100"), _EXPONENT, 3072),
    550: KeyForm(bytes.fromhex(f"30820222{_RSA}0382020f003082020a0282020100"), _EXPONENT, 4096),
}
"""By the length of the whole: P-256, P-384 and P-521 by name with an uncompressed point (RFC 5480, section 2), and RSA
(RFC 3279, section 2.3.1). The head fixes every length, so that the tail can be nothing but the exponent."""


def key_form(spki: bytes) -> KeyForm | None:
    """Return the usual form that the SubjectPublicKeyInfo *spki* has, or ``None`` for every other key and encoding."""
    form = _FORMS.get(len(spki))
    if form is None or not spki.startswith(form.head) or not spki.endswith(form.tail):
        return None
    start = len(form.head)
    if not form.curve:
        return form if spki[start] >= 0x80 else None  # else a shorter modulus, padded
    half = start + (len(spki) - start) // 2
    x, y = int.from_bytes(spki[start:half], "big"), int.from_bytes(spki[half:], "big")
    p, b = form.p, form.b
    # SEC 1, section 3.2.2.1: what any parser asks of a point, so that a key that passes here is one it reads
    return form if x < p and y < p and (y * y - (x * x - 3) * x - b) % p == 0 else None
