"""A CRL with a million entries: load and index against `cryptography`, memory, look-up, and a peer that is revoked."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench._harness import Comparison, Row, Scale, at_most, compare, cost, cost_row, ratio_row, timed
from bench.lists import PAGE
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.revocation import RevocationList, crl_question, read_crl
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.testing import _der_writer as der

SHA256 = der.sequence(der.object_identifier("1.2.840.10045.4.3.2"))
REASON = bytes.fromhex("300c300a0603551d1504030a0101")
DATE, UNTIL = der.time(datetime(2026, 1, 1, tzinfo=UTC)), der.time(datetime(2026, 1, 8, tzinfo=UTC))
AT = datetime(2026, 1, 2, tzinfo=UTC)


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    entries = scale.size(1_000_000, 2_000)
    authority = CertificateAuthority("bench CA")
    serials = _serials(entries)
    data = _crl(authority, serials)
    name = f"CRL with {entries:,} entries"
    found = compare(timed(_ours(data, authority)), timed(_theirs(data, authority)), rounds=scale.rounds(7))
    yield ratio_row(f"{name}: load, verify and index / cryptography and a set", found, at_most(0.6))
    yield _memory(name, data, authority)
    yield from _look_ups(name, data, serials, scale)
    yield _revoked(name, data, authority, serials, scale)


def _serials(entries: int) -> list[int]:
    number = random.Random(7)  # noqa: S311 - the same in every run
    return [number.getrandbits(127) | 1 << 126 for _ in range(entries)]


def _crl(authority: CertificateAuthority, serials: list[int]) -> bytes:
    """Return a CRL of these serial numbers, every second with a reason; random in length like those of public CAs."""
    listed = b"".join(
        [der.sequence(der.integer(serial), DATE, REASON if place % 2 else b"") for place, serial in enumerate(serials)]
    )
    name = authority.certificate.subject.public_bytes()
    number = der.sequence(der.sequence(der.object_identifier("2.5.29.20"), der.octet_string(der.integer(1))))
    tbs = der.sequence(der.integer(1), SHA256, name, DATE, UNTIL, der.sequence(listed), der.explicit(0, number))
    key = authority.key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the CA of the bench has a P-256 key")
    return der.sequence(tbs, SHA256, der.bit_string(key.sign(tbs, ec.ECDSA(hashes.SHA256()))))


def _ours(data: bytes, authority: CertificateAuthority) -> Callable[[], object]:
    issuer = ParsedCertificate.of(authority.certificate)

    def load() -> None:
        crl = RevocationList.parse(data)
        if not crl.signed_by(issuer) or crl.entries_of(1):
            raise ValueError("the CRL of the bench does not verify")

    return load


def _theirs(data: bytes, authority: CertificateAuthority) -> Callable[[], object]:
    key = authority.key.public_key()

    def load() -> None:
        crl = x509.load_der_x509_crl(data)
        if not crl.is_signature_valid(key) or 1 in {entry.serial_number for entry in crl}:
            raise ValueError("the CRL of the bench does not verify")

    return load


def _look_ups(name: str, data: bytes, serials: list[int], scale: Scale) -> Iterator[Row]:
    crl = RevocationList.parse(data)
    number = random.Random(8)  # noqa: S311 - the same in every run
    strangers = [number.getrandbits(127) for _ in range(1000)]
    listed = cycle(number.sample(serials, min(4000, len(serials))))

    def strange() -> None:
        for one in strangers:
            crl.entries_of(one)

    found = cost(timed(strange, number=5), rounds=scale.rounds(100))
    yield cost_row(f"{name}: look-up of one not listed", _each(found, len(strangers)), "us", at_most(1))

    found = cost(timed(lambda: crl.entries_of(next(listed)), number=50), rounds=scale.rounds(30))
    yield cost_row(f"{name}: look-up of one listed, first time", found, "ms", at_most(5))


def _each(found: Comparison, number: int) -> Comparison:
    return Comparison(found.subject / number, found.baseline / number, found.control, found.rounds)


def _revoked(name: str, data: bytes, authority: CertificateAuthority, serials: list[int], scale: Scale) -> Row:
    """Return what the whole question costs for a peer that is revoked and comes again."""
    crl = RevocationList.parse(data)
    leaf = authority.issue_client("frodo", serial=serials[len(serials) // 2])
    question = crl_question(leaf.certificate, authority.certificate)
    if not read_crl(crl, question, at=AT).final:
        raise ValueError("the peer of the bench is not revoked")
    found = cost(timed(lambda: read_crl(crl, question, at=AT), number=20), rounds=scale.rounds(100))
    return cost_row(f"{name}: read_crl for a revoked peer, again", found, "us", None)


def _memory(name: str, data: bytes, authority: CertificateAuthority) -> Row:
    """Return by how many MB a process of its own grows that holds the CRL, its bytes included."""
    row = f"{name}: memory, with its own {len(data) / 1e6:.0f} MB"
    if not Path("/proc/self/statm").exists():
        return Row(row, None, "MB", None, at_most(100), "only Linux tells without another package")
    with TemporaryDirectory(prefix="mtlspolicy-bench-") as directory:
        (Path(directory) / "issuer").write_bytes(ParsedCertificate.of(authority.certificate).der)
        (Path(directory) / "crl").write_bytes(data)
        command = [sys.executable, "-m", "bench.crls", directory]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
    return Row(row, float(output[0]), "MB", None, at_most(100), f"at its highest {float(output[1]):.0f} MB")


def _status(field: str) -> float:
    """Return a figure of this process in MB, as Linux tells it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(field))) / 1000


def _measure(directory: str) -> str:
    """Say by how many MB the process has grown with the CRL, and by how many at the highest."""
    issuer = ParsedCertificate((Path(directory) / "issuer").read_bytes())
    small = RevocationList.parse(_crl(CertificateAuthority("small"), [1, 2]))
    small.entries_of(1)
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE / 1e6
    crl = RevocationList.parse((Path(directory) / "crl").read_bytes())
    crl.signed_by(issuer)
    entries = len(crl)
    gc.collect()
    grown = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE / 1e6 - resident
    return f"{grown} {_status('VmHWM') - resident} {entries}"


if __name__ == "__main__":
    print(_measure(sys.argv[1]))
