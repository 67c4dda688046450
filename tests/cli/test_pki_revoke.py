"""``mtlspolicy pki revoke``: the revocation list grows by what is named, and by nothing of another CA."""

from __future__ import annotations

import shlex
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy import Resolver, policies, revocation, tls
from mtlspolicy.cli._ca_files import load_issuing

from .conftest import Answer, Call  # noqa: TID252 - tests are no package that could be named


def leaf(path: Path) -> x509.Certificate:
    """Return the first certificate of a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_revoked_files_and_numbers(call: Call, pki: Path) -> None:
    """A certificate is revoked by its file or its serial number, in hexadecimal or decimal; the list grows."""
    assert call("pki", "client", pki, "frodo").status == 0
    by_file: Answer = call("pki", "revoke", pki, pki / "frodo.pem")
    assert by_file.status == 0
    assert by_file.out.startswith("revoked: 0x")
    assert ", CN=frodo" in by_file.out
    by_number = call("pki", "revoke", pki, "0x51", "--days", "7")
    assert "note: no certificate in" in by_number.out
    assert call("pki", "revoke", pki, "82").status == 0
    crl = x509.load_pem_x509_crl((pki / "crl.pem").read_bytes())
    assert {one.serial_number for one in crl} == {leaf(pki / "frodo.pem").serial_number, 0x51, 82}
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 4
    assert crl.issuer == leaf(pki / "issuing.pem").subject
    assert crl.is_signature_valid(leaf(pki / "issuing.pem").public_key())  # type: ignore[arg-type]


def test_revoked_again_keeps_its_date(call: Call, pki: Path) -> None:
    """A certificate that is on the list stays there once, with its first date, and the list is renewed."""
    assert call("pki", "revoke", pki, "7").out.startswith("revoked: 0x7")
    first = x509.load_pem_x509_crl((pki / "crl.pem").read_bytes())
    assert call("pki", "revoke", pki, "7").out.startswith("was revoked before: 0x7")
    second = x509.load_pem_x509_crl((pki / "crl.pem").read_bytes())
    assert [(one.serial_number, one.revocation_date_utc) for one in second] == [
        (one.serial_number, one.revocation_date_utc) for one in first
    ]
    assert second.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3


def test_a_list_that_is_not_there_begins_anew(call: Call, pki: Path) -> None:
    """Without a list the first one is made."""
    (pki / "crl.pem").unlink()
    assert call("pki", "revoke", pki, "7").status == 0
    assert len(x509.load_pem_x509_crl((pki / "crl.pem").read_bytes())) == 1


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("51f", "neither a file nor a serial number"),
        ("-1", "neither a file nor a serial number"),
        ("0", "not positive"),
        ("0x" + "f" * 40, "exceeds 20 octets"),
        ("absent.pem", "neither a file nor a serial number"),
    ],
)
def test_serial_numbers_that_are_none(call: Call, pki: Path, which: str, said: str) -> None:
    """What is no serial number is refused, and the list stays as it is."""
    before = (pki / "crl.pem").read_bytes()
    answer = call("pki", "revoke", pki, which)
    assert answer.status == 2
    assert said in answer.err
    assert (pki / "crl.pem").read_bytes() == before


def test_a_certificate_of_another_ca(call: Call, pki: Path, frodo: Path) -> None:
    """A certificate that another CA issued is not put on this CA's list."""
    answer = call("pki", "revoke", pki, frodo)
    assert answer.status == 2
    assert "was not issued by CN=Development Issuing CA" in answer.err


def test_a_list_that_was_changed(call: Call, pki: Path, tmp_path: Path) -> None:
    """A list with another signature, or that cannot be read, is not carried on."""
    assert call("pki", "new", tmp_path / "other").status == 0
    (pki / "crl.pem").write_bytes((tmp_path / "other" / "crl.pem").read_bytes())
    assert "is not signed by CN=Development Issuing CA" in call("pki", "revoke", pki, "7").err
    (pki / "crl.pem").write_bytes(b"junk")
    assert "cannot be read" in call("pki", "revoke", pki, "7").err


def test_a_list_without_a_number_is_carried_on(call: Call, pki: Path) -> None:
    """A list of the same CA that another program made, without cRLNumber, is carried on from the number 1."""
    authority = load_issuing(pki)
    now = datetime.now(UTC)
    entry = x509.RevokedCertificateBuilder(5, now).build()
    builder = x509.CertificateRevocationListBuilder(authority.certificate.subject, now, now + timedelta(days=1))
    crl = builder.add_revoked_certificate(entry).sign(authority.key, hashes.SHA256())
    (pki / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    assert call("pki", "revoke", pki, "7").status == 0
    made = x509.load_pem_x509_crl((pki / "crl.pem").read_bytes())
    assert [one.serial_number for one in made] == [5, 7]
    assert made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 1


def test_what_to_do_next(call: Call, pki: Path) -> None:
    """What a server needs to refuse who is on the list is printed, and a command that shows it; it works."""
    assert call("pki", "client", pki, "frodo").status == 0
    out = call("pki", "revoke", pki, pki / "frodo.pem").out
    program = textwrap.dedent("".join(line + "\n" for line in out.splitlines() if line.startswith("  ")))
    start, end = program.index("policy = "), program.index("mtlspolicy explain")
    found: dict[str, Any] = {"policies": policies, "revocation": revocation, "tls": tls, "Resolver": Resolver}
    exec(program[start:end], found)  # noqa: S102 - what is printed is to be copied into a program
    assert found["options"].resolver is not None
    line = next(line for line in out.splitlines() if "mtlspolicy explain" in line)
    answer = call(*shlex.split(line)[1:])
    assert (answer.status, "crl.revoked" in answer.out) == (1, True)
    assert "mtlspolicy explain" not in call("pki", "revoke", pki, "0x51").out
