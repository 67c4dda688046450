"""`openssl ca -gencrl` as the other side: what it writes we read, version 1 and 2, reasons, holds and dates."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlspolicy import RevocationStatus
from mtlspolicy.revocation import CRLRule, RevocationAnswer, RevocationList, crl_question, read_crl
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")

CA: Final = CertificateAuthority("Root")
REVOKED: Final = {
    "plain": "", "stolen": "keyCompromise", "held": "certificateHold", "replaced": "superseded",
    "unsafe": "CAkeyTime,20260101000000Z", "known": "keyTime,20260102030405Z",
    "instructed": "holdInstruction,holdInstructionReject",
}  # fmt: skip
LEAVES: Final = {name: CA.issue_client(name) for name in ("good", *REVOKED)}
LIST: Final = "crlnumber = number\ncrl_extensions = list"
PARTS: Final = "crlnumber = number\ncrl_extensions = parts"
CONFIG: Final = """
[ca]
default_ca = here
[here]
database = index.txt
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_crl_days = 7
{extensions}
[list]
authorityKeyIdentifier = keyid
[parts]
issuingDistributionPoint = critical, @point
[point]
onlyuser = TRUE
fullname = URI:http://crl.example.com/1.crl
"""


def row(name: str, leaf: IssuedCertificate) -> str:
    """Return a line of the database of `openssl ca`."""
    until = leaf.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    serial = f"{leaf.certificate.serial_number:X}"
    why = REVOKED.get(name)
    status = "V" if why is None else "R"
    when = "" if why is None else f"260101120000Z,{why}".rstrip(",")
    return f"{status}\t{until}\t{when}\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN={name}\n"


def made(folder: Path, extensions: str = "", *options: str, only: tuple[str, ...] = tuple(LEAVES)) -> bytes:
    """Return the CRL that `openssl ca -gencrl` makes, as PEM."""
    (folder / "ca.pem").write_bytes(CA.pem)
    (folder / "ca.key").write_bytes(CA.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "index.txt").write_text("".join(row(name, LEAVES[name]) for name in only), encoding="ascii")
    (folder / "number").write_text("1000\n", encoding="ascii")
    (folder / "config").write_text(CONFIG.format(extensions=extensions), encoding="ascii")
    command = ["openssl", "ca", "-config", "config", "-gencrl", "-out", "made.pem", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return (folder / "made.pem").read_bytes()


def answers(data: bytes, **rule: object) -> dict[str, RevocationAnswer]:
    """Return what a list says of each client."""
    crl = RevocationList.parse(data)
    at = datetime.now(UTC)
    return {
        name: read_crl(crl, crl_question(leaf.certificate, CA.certificate, CRLRule(**rule)), at=at)  # type: ignore[arg-type]
        for name, leaf in LEAVES.items()
    }


def test_version_2_says_who_and_why(tmp_path: Path) -> None:
    """Reasons, holds, dates since when a key is unsafe; an instruction for a hold is passed over."""
    found = answers(made(tmp_path, LIST))
    assert found["good"].status is RevocationStatus.GOOD
    assert {name for name, one in found.items() if one.status is RevocationStatus.REVOKED} == set(REVOKED)
    assert {name: one.reason for name, one in found.items()} == {
        "good": None, "plain": None, "stolen": "keyCompromise", "held": "certificateHold", "replaced": "superseded",
        "unsafe": "cACompromise", "known": "keyCompromise", "instructed": "certificateHold",
    }  # fmt: skip
    assert found["known"].invalidity_date == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found["stolen"].revoked_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert not found["held"].final


def test_version_1_is_what_comes_without_extensions(tmp_path: Path) -> None:
    """No crlnumber, no crl_extensions, no reason: version 1, which counts."""
    data = made(tmp_path, "", only=("good", "plain")).replace(b"\n", b"\r\n")
    found = answers(data)
    assert RevocationList.parse(data).version == 1
    assert (found["good"].status, found["plain"].status) == (RevocationStatus.GOOD, RevocationStatus.REVOKED)


def test_a_list_of_nobody_is_one(tmp_path: Path) -> None:
    """Without revoked certificates the list of them is left out."""
    data = made(tmp_path, LIST, only=("good",))
    assert len(RevocationList.parse(data)) == 0
    assert answers(data)["good"].status is RevocationStatus.GOOD


def test_a_list_of_a_part_is_about_that_part(tmp_path: Path) -> None:
    """The clients have no such pointer: who is listed is revoked, of the others it says nothing."""
    found = answers(made(tmp_path, PARTS))
    assert found["good"].code == "crl.distribution-point"
    assert found["stolen"].status is RevocationStatus.REVOKED


def test_sha1_is_read_as_what_it_is(tmp_path: Path) -> None:
    """The digest is a matter of the rule."""
    data = made(tmp_path, LIST, "-md", "sha1")
    assert answers(data)["good"].code == "crl.sha1"
    assert answers(data, allow_sha1=True)["good"].status is RevocationStatus.GOOD


def test_a_list_that_is_over_is_over(tmp_path: Path) -> None:
    """Dates are those that OpenSSL shows."""
    data = made(tmp_path, LIST, "-crlhours", "1")
    crl = RevocationList.parse(data)
    shown = subprocess.run(
        ["openssl", "crl", "-noout", "-nextupdate", "-lastupdate", "-crlnumber"],
        input=data, capture_output=True, check=True, timeout=30,
    ).stdout.decode()  # fmt: skip
    assert crl.next_update is not None
    dates = re.findall(r"Update=(.*) GMT", shown)
    assert [datetime.strptime(one, "%b %d %H:%M:%S %Y").replace(tzinfo=UTC) for one in dates] == [
        crl.next_update,
        crl.this_update,
    ]
    assert crl.crl_number == 0x1000
    question = crl_question(LEAVES["good"].certificate, CA.certificate)
    assert read_crl(crl, question, at=crl.next_update + timedelta(minutes=6)).code == "crl.expired"


def test_cryptography_reads_the_same(tmp_path: Path) -> None:
    """Entry by entry: number, date and reason."""
    data = made(tmp_path, LIST)
    crl = RevocationList.parse(data)
    theirs = x509.load_pem_x509_crl(data)
    assert len(theirs) == len(crl) == len(REVOKED)
    for entry in theirs:
        (found,) = crl.entries_of(entry.serial_number)
        assert found.date[1].decode() == entry.revocation_date_utc.strftime("%y%m%d%H%M%SZ")
