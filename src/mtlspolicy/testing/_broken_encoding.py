"""Broken certificates, the encoding: versions, serial numbers, keys and signatures that a strict reader refuses.

Some of them do not parse with every library; that is the point. See ``testing.BROKEN``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._authority import CertificateAuthority
from mtlspolicy.testing._catalogue import Defect, below_remade, good_leaf, remade, under_remade_root
from mtlspolicy.testing._hand_made import V1, HandMade, assemble, signature_algorithm
from mtlspolicy.testing._issued import IssuedCertificate
from mtlspolicy.testing._keys import PrivateKey, sign_bytes, signature_hash

# NIST P-256 as numbers (SEC 2, version 2, section 2.4.2), for the certificate that spells its curve out.
_P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G: Final = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececb"
    "b6406837bf51f5"
)
_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"
_PRIME_FIELD: Final = "1.2.840.10045.1.1"
_P256: Final = "1.2.840.10045.3.1.7"


def malleated_twin(issued: IssuedCertificate) -> IssuedCertificate:
    """Return the same certificate with another, equally valid ECDSA signature: (r, n - s) for (r, s).

    Anybody can make it without the issuer's key. Names, serial number and key are the same; only the SHA-256 of the
    DER differs.

    Raises:
        ConfigurationError: The issuer's key is no EC key.
    """
    certificate = issued.certificate
    issuer = x509.load_der_x509_certificate(issued.issuers_der[0] if issued.issuers_der else issued.root_der)
    key = issuer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ConfigurationError(
            f"only ECDSA signatures have a twin; the issuer has a {type(key).__name__}: use an authority with an EC key"
        )
    r, s = decode_dss_signature(certificate.signature)
    twin = encode_dss_signature(r, key.curve.group_order - s)
    algorithm = der.sequence(der.object_identifier(certificate.signature_algorithm_oid.dotted_string))
    return replace(issued, der=assemble(certificate.tbs_certificate_bytes, algorithm, twin))


def _v1(hand: HandMade) -> HandMade:
    return replace(hand, version=V1, extensions=())


def _v1_root(authority: CertificateAuthority) -> IssuedCertificate:
    return under_remade_root(authority, remade(authority, _v1), _v1)


def _serial(number: int) -> Defect:
    texts = {0: "zero", -82: "negative, -0x52"}
    return Defect(
        f"the serial number is {texts.get(number, 'positive and 21 octets long')} (RFC 5280, section 4.1.2.2)",
        lambda authority: remade(authority, lambda hand: replace(hand, serial=der.integer(number))),
    )


def _with_point(authority: CertificateAuthority, parameters: bytes, form: PublicFormat) -> IssuedCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, form)
    algorithm = der.sequence(der.object_identifier(_EC_PUBLIC_KEY), parameters)
    public_key = der.sequence(algorithm, der.bit_string(point))
    leaf = good_leaf(authority, key=key)
    hand = replace(HandMade.of(leaf.certificate), public_key=public_key)
    return replace(leaf, der=hand.signed_by(authority.key))


def _compressed_point(authority: CertificateAuthority) -> IssuedCertificate:
    return _with_point(authority, der.object_identifier(_P256), PublicFormat.CompressedPoint)


def _explicit_parameters(authority: CertificateAuthority) -> IssuedCertificate:
    # SpecifiedECDomain of X9.62, which RFC 5480, section 2.1.1, forbids in certificates.
    domain = der.sequence(
        der.integer(1),
        der.sequence(der.object_identifier(_PRIME_FIELD), der.integer(_P)),
        der.sequence(der.octet_string((_P - 3).to_bytes(32, "big")), der.octet_string(_B.to_bytes(32, "big"))),
        der.octet_string(_G),
        der.integer(_N),
        der.integer(1),
    )
    return _with_point(authority, domain, PublicFormat.UncompressedPoint)


def _weak_key(description: str, make: type[ec.SECP256K1 | ec.SECP224R1] | int) -> Defect:
    def issue(authority: CertificateAuthority) -> IssuedCertificate:
        key: PrivateKey = (
            rsa.generate_private_key(65537, make) if isinstance(make, int) else ec.generate_private_key(make())
        )
        return good_leaf(authority, key=key)

    return Defect(description, issue)


def _bad_signature(authority: CertificateAuthority) -> IssuedCertificate:
    # A right signature, of something else: well-formed in every part.
    leaf, other = good_leaf(authority), good_leaf(authority)
    algorithm = signature_algorithm(authority.key, signature_hash(authority.key))
    tbs, signature = leaf.certificate.tbs_certificate_bytes, other.certificate.signature
    return replace(leaf, der=assemble(tbs, algorithm, signature))


def _two_algorithms(authority: CertificateAuthority) -> IssuedCertificate:
    leaf, digest = good_leaf(authority), signature_hash(authority.key)
    # Ed448 inside: a reader knows the identifier, and no EC or RSA authority puts it outside.
    tbs = HandMade.of(leaf.certificate).to_be_signed(der.sequence(der.object_identifier("1.3.101.113")))
    signed = assemble(tbs, signature_algorithm(authority.key, digest), sign_bytes(authority.key, tbs, digest))
    return replace(leaf, der=signed)


def _trailing_data(authority: CertificateAuthority) -> IssuedCertificate:
    leaf = good_leaf(authority)
    return replace(leaf, der=leaf.der + b"\0")


def _truncated(authority: CertificateAuthority) -> IssuedCertificate:
    leaf = good_leaf(authority)
    return replace(leaf, der=leaf.der[:-1])


ENCODINGS: Final[dict[str, Defect]] = {
    "v1": Defect(
        "the certificate is X.509 version 1, without extensions, as `openssl x509 -req` made it before OpenSSL 3.2",
        lambda authority: remade(authority, _v1),
    ),
    "v1-with-extensions": Defect(
        "the certificate says version 1 and has extensions, which came with version 3",
        lambda authority: remade(authority, lambda hand: replace(hand, version=V1)),
    ),
    "v1-root": Defect(
        "root, which is made for it (.root), and certificate are X.509 version 1, as in many tutorials", _v1_root
    ),
    "v1-intermediate": Defect(
        "the intermediate CA is X.509 version 1, so that nothing says it is a CA",
        lambda authority: below_remade(authority, _v1),
    ),
    "zero-serial": _serial(0),
    "negative-serial": _serial(-0x52),
    "serial-21-octets": _serial(1 << 160),
    "rsa-1024": _weak_key("the key is RSA with 1024 bits", 1024),
    "secp256k1": _weak_key("the key is on secp256k1, a curve that TLS does not use", ec.SECP256K1),
    "p-224": _weak_key("the key is on P-224, a curve that TLS 1.3 does not use", ec.SECP224R1),
    "compressed-point": Defect(
        "the EC key is written as a compressed point: the same key, another SPKI hash", _compressed_point
    ),
    "explicit-ec-parameters": Defect(
        "the EC key spells its curve out instead of naming it (RFC 5480, section 2.1.1)", _explicit_parameters
    ),
    "sha1-signature": Defect(
        "the certificate is signed over SHA-1",
        lambda authority: remade(authority, lambda hand: hand, digest=hashes.SHA1()),  # noqa: S303 - weak on purpose
    ),
    "malleated-ecdsa": Defect(
        "the signature is the twin (r, n - s) of an ECDSA signature, made without the CA's key: valid, another hash",
        lambda authority: malleated_twin(good_leaf(authority)),
    ),
    "bad-signature": Defect("the signature is by the right key, of another certificate", _bad_signature),
    "two-signature-algorithms": Defect(
        "the signature algorithm inside the signed part (Ed448) is not the one outside (RFC 5280, section 4.1.1.2)",
        _two_algorithms,
    ),
    "trailing-data": Defect("one octet follows the certificate", _trailing_data),
    "truncated": Defect("the last octet of the certificate is missing", _truncated),
}
"""Name to defect."""
