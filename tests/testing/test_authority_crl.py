"""The test authority's list of revoked certificates: what it names, who signs it, what openssl makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority

if TYPE_CHECKING:
    from tests.testing.conftest import RunOpenSSL

SPAN = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def test_crl_lists_what_was_revoked(authority: CertificateAuthority) -> None:
    """The list names revoked serials with reason and time, is signed by the authority and numbered upwards."""
    issuing = authority.intermediate("Revoking")
    plain, stolen, kept = (issuing.issue_client(name) for name in ("plain", "stolen", "kept"))
    issuing.revoke(plain)
    issuing.revoke(stolen.certificate, reason=x509.ReasonFlags.key_compromise, at=SPAN[0])
    first, second = issuing.crl(this_update=SPAN[0], next_update=SPAN[1]), issuing.crl()
    entry = first.get_revoked_certificate_by_serial_number(stolen.certificate.serial_number)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    assert entry.revocation_date_utc == SPAN[0]
    unexplained = first.get_revoked_certificate_by_serial_number(plain.certificate.serial_number)
    assert unexplained is not None
    assert len(unexplained.extensions) == 0
    assert first.get_revoked_certificate_by_serial_number(kept.certificate.serial_number) is None
    assert first.is_signature_valid(issuing.certificate.public_key())  # type: ignore[arg-type]
    assert (first.last_update_utc, first.next_update_utc) == SPAN
    numbers = [crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (first, second)]
    assert numbers == [1, 2]


def test_revoking_twice_replaces_the_entry(authority: CertificateAuthority) -> None:
    """A certificate is listed once, with the reason that was given last."""
    issuing = authority.intermediate("Revoking")
    leaf = issuing.issue_client("client")
    issuing.revoke(leaf)
    issuing.revoke(leaf, reason=x509.ReasonFlags.superseded)
    (entry,) = list(issuing.crl())
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.superseded


def test_revoking_a_strangers_certificate_is_refused(authority: CertificateAuthority) -> None:
    """An authority lists its own certificates alone; the message names both issuers."""
    stranger = CertificateAuthority("Stranger").issue_client("client")
    with pytest.raises(
        ConfigurationError, match=r"CN=Stranger.* issued this certificate, not CN=mtlspolicy TEST CA root"
    ):
        authority.revoke(stranger)


def test_openssl_reads_the_crl(run_openssl: RunOpenSSL, tmp_path: Path) -> None:
    """``openssl verify -crl_check`` refuses a revoked leaf by the list and takes another."""
    issuing = CertificateAuthority()
    revoked, good = issuing.issue_client("revoked"), issuing.issue_client("good")
    issuing.revoke(revoked)
    trusted, listed = tmp_path / "ca.pem", tmp_path / "crl.pem"
    trusted.write_bytes(issuing.pem)
    listed.write_bytes(issuing.crl().public_bytes(Encoding.PEM))
    outcome = [
        run_openssl("verify", "-crl_check", "-CAfile", trusted, "-CRLfile", listed, leaf.files(tmp_path)[0])
        for leaf in (good, revoked)
    ]
    assert outcome[0].returncode == 0, outcome[0].stderr
    assert "certificate revoked" in outcome[1].stderr
