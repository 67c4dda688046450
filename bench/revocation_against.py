"""A chain with an OCSP response or a CRL, from bytes to the answer, against pyhanko-certvalidator and openssl."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from bench._harness import Row, Scale, Work, compare, speed_row, timed
from bench._material import P256, RSA, Pki
from mtlspolicy import TrustStore, Verifier, policies, revocation

HOUR = timedelta(hours=1)
ENTRIES = 10_000
"""Of the CRL: pyhanko-certvalidator takes seconds for it."""


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    for kind in (P256, RSA):
        with TemporaryDirectory(prefix="mtlspolicy-bench-") as directory:
            yield from _rows(Pki.new(kind, 1), Path(directory), scale)


def _rows(pki: Pki, folder: Path, scale: Scale) -> Iterator[Row]:
    # without pointers pyhanko looks at no response
    leaf = pki.root.issue_client("client", ocsp_url="http://ocsp.test/", crl_url="http://crl.test/")
    response, crl = _response(pki, leaf.certificate), _crl(pki, scale.size(ENTRIES, 20))
    for name, data in (("ca.pem", pki.root.pem), ("leaf.pem", leaf.certificate_pem), ("response.der", response)):
        (folder / name).write_bytes(data)
    (folder / "crl.pem").write_bytes(x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM))
    ocsp_work = _ours(pki, leaf.der, "ocsp", responses=[response])
    crl_work = _ours(pki, leaf.der, "crl", crls=[crl])
    size = f"CRL of {scale.size(ENTRIES, 20):,} entries"
    yield _pyhanko(f"chain and OCSP response, {pki.label}", ocsp_work, pki, leaf.der, scale, {"ocsps": [response]})
    yield _pyhanko(f"chain and {size}, {pki.label}", crl_work, pki, leaf.der, scale, {"crls": [crl]})
    asking = "ocsp -issuer ca.pem -cert leaf.pem -CAfile ca.pem -respin response.der -no_nonce"
    yield _openssl(
        f"openssl ocsp -respin, a process / chain and response, {pki.label}", asking, folder, ocsp_work, scale
    )
    looking = "verify -crl_check -CAfile ca.pem -CRLfile crl.pem leaf.pem"
    yield _openssl(
        f"openssl verify -crl_check, a process / chain and {size}, {pki.label}", looking, folder, crl_work, scale
    )


def _response(pki: Pki, leaf: x509.Certificate) -> bytes:
    at = datetime.now(UTC).replace(microsecond=0)
    digest = hashes.SHA1()  # noqa: S303 - a CertID, as responders write it
    good = ocsp.OCSPCertStatus.GOOD
    builder = ocsp.OCSPResponseBuilder().responder_id(ocsp.OCSPResponderEncoding.HASH, pki.root.certificate)
    builder = builder.add_response(leaf, pki.root.certificate, digest, good, at, at + HOUR, None, None)
    return builder.sign(pki.root.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _crl(pki: Pki, entries: int) -> bytes:
    at = datetime.now(UTC)
    listed = [x509.RevokedCertificateBuilder(1 << 100 | number, at - HOUR).build() for number in range(entries)]
    builder = x509.CertificateRevocationListBuilder(
        pki.root.certificate.subject, at - HOUR, at + HOUR, revoked_certificates=listed
    )
    signed = builder.sign(pki.root.key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def _ours(pki: Pki, leaf: bytes, rule: str, **at_hand: Any) -> Work:
    """Return the work of a verifier that has seen nobody: path, answer and decision."""
    trust = TrustStore(anchors=[pki.root.certificate])
    policy = policies.CommonName("client") & policies.NotRevoked(rule)

    def work() -> None:
        verifier = Verifier.for_clients(trust=trust, policy=policy)
        verifier.verify(leaf, facts=revocation.facts(verifier, leaf, **at_hand))

    return work


def _pyhanko(name: str, ours: Work, pki: Pki, leaf: bytes, scale: Scale, at_hand: dict[str, Any]) -> Row:
    name = f"pyhanko-certvalidator / ours, {name}"
    if find_spec("pyhanko_certvalidator") is None:
        return Row(name, None, note="pyhanko-certvalidator is not installed (dependency group bench)")
    from asn1crypto.x509 import Certificate
    from pyhanko_certvalidator import CertificateValidator, ValidationContext

    root = Certificate.load(pki.root.der)

    async def validate() -> None:
        context = ValidationContext(
            trust_roots=[root], allow_fetching=False, revocation_mode="require", weak_hash_algos=set(), **at_hand
        )
        validator = CertificateValidator(Certificate.load(leaf), validation_context=context)
        await validator.async_validate_usage({"digital_signature"}, extended_key_usage={"client_auth"})

    loop = asyncio.new_event_loop()
    try:
        found = compare(timed(ours, number=3), timed(partial(_run, loop, validate)), rounds=scale.rounds(20))
    finally:
        loop.close()
    return speed_row(name, found, None)


def _run(loop: asyncio.AbstractEventLoop, function: Callable[[], Any]) -> None:
    loop.run_until_complete(function())


def _openssl(name: str, command: str, folder: Path, ours: Work, scale: Scale) -> Row:
    program = shutil.which("openssl")
    if program is None:
        return Row(name, None, note="openssl is not installed")

    def work() -> None:
        subprocess.run([program, *command.split()], cwd=folder, capture_output=True, check=True)  # noqa: S603

    clock = time.perf_counter
    found = compare(timed(ours, clock=clock), timed(work, clock=clock), rounds=scale.rounds(20))
    return speed_row(name, found, None)
