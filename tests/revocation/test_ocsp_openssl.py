"""`openssl ocsp` as the other side: it reads our request, and we read its response, good, revoked and unknown."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from mtlspolicy import RevocationStatus, TrustStore, Verifier, policies
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import OCSPRule, RevocationAnswer, facts, ocsp_question, ocsp_request, read_ocsp
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade
from tests.revocation.made import delegate

CA: Final = CertificateAuthority("Root")
HELPER: Final = delegate(CA, not_before=None, not_after=None)
ASKED_ABOUT, GONE = (delegate(CA, not_before=None, not_after=None, extensions=[]) for _ in range(2))
"""Responders without id-pkix-ocsp-nocheck; openssl's index has the second as revoked."""
LEAVES: Final = {name: CA.issue_client(name) for name in ("frodo", "gollum", "nobody")}
STATUSES: Final = {
    "frodo": RevocationStatus.GOOD, "gollum": RevocationStatus.REVOKED, "nobody": RevocationStatus.UNKNOWN,
}  # fmt: skip

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def question(leaf: IssuedCertificate, **rule: Any) -> Any:
    """Return the question about *leaf*."""
    return ocsp_question(leaf.certificate, CA.certificate, OCSPRule(**rule))


def answer_of(folder: Path, request: bytes, *options: str, by: IssuedCertificate = HELPER) -> bytes:
    """Return what `openssl ocsp` answers to *request*, signed by the responder *by*, without a network."""
    (folder / "ca.pem").write_bytes(CA.pem)
    by.files(folder, name="responder")
    (folder / "request.der").write_bytes(request)
    rows = [
        row("V", "", LEAVES["frodo"]), row("V", "", ASKED_ABOUT),
        row("R", "260101120000Z,keyCompromise", LEAVES["gollum"]), row("R", "260101120000Z,keyCompromise", GONE),
    ]  # fmt: skip
    (folder / "index.txt").write_text("".join(rows), encoding="ascii")
    command = [
        "openssl", "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "responder.pem",
        "-rkey", "responder.key", "-reqin", "request.der", "-respout", "response.der", "-ndays", "1", *options,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=30)
    assert (folder / "response.der").exists(), done.stderr
    return (folder / "response.der").read_bytes()


def row(status: str, revoked: str, leaf: IssuedCertificate) -> str:
    """Return a line of the index of `openssl ca`."""
    until = leaf.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    serial = f"{leaf.certificate.serial_number:X}"
    return f"{status}\t{until}\t{revoked}\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN={serial}\n"


@needs_openssl
@pytest.mark.parametrize("name", LEAVES)
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_openssl_answers_our_request(name: str, digest: str, tmp_path: Path) -> None:
    """Request and response agree in CertID and nonce, and the status is the one of the index."""
    leaf, nonce = LEAVES[name], bytes(range(32))
    asked = question(leaf, require_nonce=True)
    response = answer_of(tmp_path, ocsp_request(asked, digest=digest, nonce=nonce))
    told = read_ocsp(response, asked, at=datetime.now(UTC), nonce=nonce, digest=digest)
    assert told.status is STATUSES[name], told
    if name == "gollum":
        assert told.reason == "keyCompromise"
        assert told.revoked_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    other = "sha256" if digest == "sha1" else "sha1"
    assert read_ocsp(response, asked, at=datetime.now(UTC), nonce=nonce, digest=other).code == "ocsp.cert-id-algorithm"
    assert read_ocsp(response, asked, at=datetime.now(UTC), nonce=bytes(32)).code == "ocsp.nonce-differs"


@needs_openssl
@pytest.mark.parametrize(
    ("signer", "about_it", "codes"),
    [
        (ASKED_ABOUT, HELPER, {"frodo": "ocsp.good", "gollum": "ocsp.revoked", "nobody": "ocsp.unknown"}),
        (ASKED_ABOUT, ASKED_ABOUT, dict.fromkeys(LEAVES, "ocsp.delegate-unavailable")),
        (GONE, HELPER, dict.fromkeys(LEAVES, "ocsp.delegate-revoked")),
        (GONE, ASKED_ABOUT, dict.fromkeys(LEAVES, "ocsp.delegate-unavailable")),
    ],
    ids=["good", "vouches for itself", "revoked", "vouched for by another such"],
)
def test_openssl_signs_as_a_delegate_that_is_asked_about(
    signer: IssuedCertificate, about_it: IssuedCertificate, codes: dict[str, str], tmp_path: Path
) -> None:
    """Without nocheck what openssl signs counts for as much as openssl's own word on the signer, by one that may."""
    standing = answer_of(tmp_path, ocsp_request(question(signer)), by=about_it)
    for name, code in codes.items():
        leaf = LEAVES[name]
        told = answer_of(tmp_path, ocsp_request(question(leaf)), by=signer)
        answer = read_ocsp(told, question(leaf), at=datetime.now(UTC))
        assert (answer.status, answer.told) == (RevocationStatus.UNAVAILABLE, STATUSES[name])
        verifier = Verifier.for_clients(
            trust=TrustStore(anchors=[CA.certificate]), policy=policies.CommonName(name) & policies.NotRevoked()
        )
        given = facts(verifier, leaf.chain_pem, responses=[told, standing])
        assert code in verifier.decide(leaf.chain_pem, facts=given).explain()


@needs_openssl
def test_openssl_without_a_nonce_and_by_key(tmp_path: Path) -> None:
    """A responder that names itself by its key, to a request without nonce."""
    asked = question(LEAVES["frodo"])
    response = answer_of(tmp_path, ocsp_request(asked), "-resp_key_id")
    assert read_ocsp(response, asked, at=datetime.now(UTC)).status is RevocationStatus.GOOD
    strict = question(LEAVES["frodo"], require_nonce=True)
    assert read_ocsp(response, strict, at=datetime.now(UTC), nonce=b"n").code == "ocsp.nonce-missing"


@needs_openssl
def test_openssl_refuses_a_request_that_is_none(tmp_path: Path) -> None:
    """A response of openssl about one certificate answers no question about another."""
    response = answer_of(tmp_path, ocsp_request(question(LEAVES["frodo"])))
    told = read_ocsp(response, question(LEAVES["gollum"]), at=datetime.now(UTC))
    assert (told.status, told.code) == (RevocationStatus.UNAVAILABLE, "ocsp.other-certificate")


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_the_request_is_that_of_another_builder(digest: str) -> None:
    """The CertID is the one that `cryptography` makes of both certificates; without a nonce there is no extension."""
    leaf = LEAVES["frodo"]
    algorithm = hashes.SHA1() if digest == "sha1" else hashes.SHA256()  # noqa: S303 - a CertID
    built = ocsp.OCSPRequestBuilder().add_certificate(leaf.certificate, CA.certificate, algorithm).build()
    ours = ocsp.load_der_ocsp_request(ocsp_request(question(leaf), digest=digest))
    for part in ("issuer_name_hash", "issuer_key_hash", "serial_number"):
        assert getattr(ours, part) == getattr(built, part)
    assert ours.hash_algorithm.name == digest
    assert len(ours.extensions) == 0
    with_nonce = ocsp.load_der_ocsp_request(ocsp_request(question(leaf), digest=digest, nonce=b"n"))
    assert with_nonce.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n"


def test_requests_that_are_refused() -> None:
    """Another digest, a nonce of another length, and a serial number that no CA may have."""
    asked = question(LEAVES["frodo"])
    with pytest.raises(ConfigurationError, match="sha1 or sha256"):
        ocsp_request(asked, digest="md5")
    for nonce in (b"", bytes(129), "text"):
        with pytest.raises(ConfigurationError, match="from 1 to 128 bytes"):
            ocsp_request(asked, nonce=nonce)  # type: ignore[arg-type]  # what is refused
    hand = replace(HandMade.of(LEAVES["frodo"].certificate), serial=der.integer(-5))
    with pytest.raises(ConfigurationError, match="negative serial number"):
        ocsp_request(ocsp_question(hand.signed_by(CA.key), CA.certificate))


def test_what_a_question_takes() -> None:
    """PEM, DER and parsed certificates alike; anything else is refused."""
    leaf = LEAVES["frodo"]
    assert ocsp_question(leaf.certificate_pem, CA.pem) == question(leaf)
    with pytest.raises(ConfigurationError, match="ocsp_question takes a certificate"):
        ocsp_question("frodo.pem", CA.pem)  # type: ignore[arg-type]  # what is refused
    assert RevocationAnswer(RevocationStatus.UNAVAILABLE).final is False
