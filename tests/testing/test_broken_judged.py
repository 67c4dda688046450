"""The catalogue of broken certificates before verifiers: nothing but the stated defect is wrong, and who notices it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import BROKEN, CertificateAuthority, IssuedCertificate, broken, malleated_twin
from mtlspolicy.testing._hand_made import HandMade, signature_algorithm

if TYPE_CHECKING:
    from tests.testing.conftest import Handshake, VerifyWithOpenSSL

UNREADABLE: Final = frozenset({"trailing-data", "truncated"})
"""Names of those that cryptography does not load."""
DEPRECATED: Final = frozenset({"zero-serial", "negative-serial"})
"""Names of those that it loads with a warning, and some day will not."""
NOT_SIGNED_BY_ISSUER: Final = frozenset(
    {"unknown-issuer", "impostor-issuer", "bad-signature", "two-signature-algorithms"}
)


def _signed_by(issued: IssuedCertificate, issuer: x509.Certificate) -> bool:
    try:
        issued.certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return False
    return True


def _issuer(issued: IssuedCertificate) -> x509.Certificate:
    return issued.chain[1] if issued.issuers_der else issued.root


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - UNREADABLE - DEPRECATED))
def test_signature_is_right_unless_it_is_the_defect(name: str, authority: CertificateAuthority) -> None:
    """Every certificate is signed by its issuer's key, but for those whose defect is the signature."""
    issued = broken(name, authority)
    issuer = issued.certificate if name == "self-signed" else _issuer(issued)
    # SHA-1 is refused by name, the signature itself is not looked at.
    assert _signed_by(issued, issuer) is (name not in NOT_SIGNED_BY_ISSUER | {"sha1-signature"})


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - UNREADABLE - DEPRECATED))
def test_key_is_the_certificates(name: str, authority: CertificateAuthority) -> None:
    """The private key belongs to the certificate, so that it can be presented in a handshake."""
    issued = broken(name, authority)
    assert issued.certificate.public_key() == issued.key.public_key()


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - {"unknown-issuer", "self-signed", "expired-root", "v1-root"}))
def test_root_is_the_authoritys(name: str, authority: CertificateAuthority) -> None:
    """All but those that are about the root lead to the root of the authority that they were asked from."""
    assert broken(name, authority).root == authority.certificate


def test_good_leaf_passes_the_web_profile(authority: CertificateAuthority) -> None:
    """The certificate that the broken ones start from passes the web profile."""
    leaf = authority.issue_client("client", dns=["client.test"])
    verifier = PolicyBuilder().store(Store([authority.certificate])).build_client_verifier()
    assert verifier.verify(leaf.certificate, []).chain == [leaf.certificate, authority.certificate]


REFUSED_BY_WEB_PROFILE: Final = (
    *("expired", "not-yet-valid", "wrong-eku-server-only", "is-ca", "no-aki", "unknown-critical-extension"),
    *("impostor-issuer", "leaf-signing-leaf", "path-length-exceeded", "outside-name-constraints", "bad-signature"),
    *("expired-intermediate", "expired-root", "intermediate-with-server-eku", "issuer-without-keycertsign"),
    *("issuer-without-key-usage", "issuer-without-basic-constraints", "issuer-with-unknown-critical-extension"),
    *("issuer-rsa-1024", "no-san", "cn-only", "nameless", "critical-san", "v1", "v1-with-extensions", "v1-root"),
    *("v1-intermediate", "sha1-signature", "two-signature-algorithms", "unknown-issuer", "duplicate-extension"),
)


@pytest.mark.parametrize("name", REFUSED_BY_WEB_PROFILE)
def test_web_profile_refuses(name: str, authority: CertificateAuthority) -> None:
    """Where a strict verifier knows the rule, it refuses the certificate."""
    issued = broken(name, authority)
    verifier = PolicyBuilder().store(Store([issued.root])).build_client_verifier()
    with pytest.raises(VerificationError):
        verifier.verify(issued.certificate, list(issued.chain[1:]))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("expired", "certificate has expired"),
        ("not-yet-valid", "certificate is not yet valid"),
        ("wrong-eku-server-only", "unsuitable certificate purpose"),
        ("unknown-critical-extension", "unhandled critical extension"),
        ("impostor-issuer", "certificate signature failure"),
        ("bad-signature", "certificate signature failure"),
        ("unknown-issuer", "unable to get local issuer certificate"),
        ("leaf-signing-leaf", "invalid CA certificate"),
        ("issuer-without-basic-constraints", "invalid CA certificate"),
        ("v1-intermediate", "invalid CA certificate"),
        ("path-length-exceeded", "path length constraint exceeded"),
        ("outside-name-constraints", "permitted subtree violation"),
        ("expired-intermediate", "certificate has expired"),
        ("expired-root", "certificate has expired"),
        ("explicit-ec-parameters", "explicit ECC parameters"),
    ],
)
def test_openssl_names_the_defect(
    name: str, says: str, authority: CertificateAuthority, verify_with_openssl: VerifyWithOpenSSL
) -> None:
    """``openssl verify -x509_strict`` refuses for the reason that the catalogue states."""
    result = verify_with_openssl(broken(name, authority), "sslclient")
    assert result.returncode != 0
    assert says in result.stderr


@pytest.mark.parametrize(
    "name", ["v1", "compressed-point", "malleated-ecdsa", "two-common-names", "nul-in-dns", "huge-san"]
)
def test_openssl_completes_a_handshake_with_it(
    name: str, authority: CertificateAuthority, handshake: Handshake
) -> None:
    """These pass a TLS server of CPython, so that only a policy stands between them and the application."""
    client = broken(name, authority)
    _, far = handshake(authority.issue_server("localhost"), client, "localhost")
    assert far.getpeercert(binary_form=True) == client.der


def test_twin_differs_in_its_hash_alone(authority: CertificateAuthority) -> None:
    """The twin of a leaf has the same signed part and key, a valid signature and another SHA-256."""
    leaf = authority.intermediate("Issuing").issue_client("client")
    twin = malleated_twin(leaf)
    assert twin.certificate.tbs_certificate_bytes == leaf.certificate.tbs_certificate_bytes
    assert hashlib.sha256(twin.der).digest() != hashlib.sha256(leaf.der).digest()
    assert twin.key is leaf.key
    assert _signed_by(twin, twin.chain[1])
    assert malleated_twin(twin).der == leaf.der


@pytest.mark.parametrize("kind", ["ed25519", "ed448"])
def test_edwards_authority_signs_by_hand(kind: str) -> None:
    """Hand-made certificates of EdDSA authorities are signed as RFC 8410 says."""
    issued = broken("two-common-names", CertificateAuthority(key=kind))
    assert _signed_by(issued, issued.root)


def test_digest_that_an_authority_cannot_sign_over_is_refused() -> None:
    """SHA-1 with an EdDSA authority is an error that names the remedy."""
    with pytest.raises(ConfigurationError, match="over sha1 here: use an authority with an EC or RSA key"):
        broken("sha1-signature", CertificateAuthority(key="ed25519"))
    with pytest.raises(ConfigurationError, match="over nothing here"):
        signature_algorithm(ec.generate_private_key(ec.SECP256R1()), None)


def test_unknown_name_is_refused(authority: CertificateAuthority) -> None:
    """A name that the catalogue does not have is an error that lists those it has."""
    with pytest.raises(ConfigurationError, match=r"no broken certificate is called 'expird': the names are expired, "):
        broken("expird", authority)


def test_catalogue_cannot_be_changed() -> None:
    """The mapping is read-only, and every description is one line without a full stop."""
    with pytest.raises(TypeError):
        BROKEN["mine"] = "x"  # type: ignore[index]
    assert all(text and "\n" not in text and not text.endswith(".") for text in BROKEN.values())


def test_taking_apart_and_putting_together_changes_nothing(authority: CertificateAuthority) -> None:
    """A good certificate taken apart and signed again without a change has the same signed part, octet for octet."""
    leaf = authority.issue_client("client", dns=["client.test"], organization="Shire")
    again = x509.load_der_x509_certificate(HandMade.of(leaf.certificate).signed_by(authority.key))
    assert again.tbs_certificate_bytes == leaf.certificate.tbs_certificate_bytes
