"""The test authority refuses what no certificate can hold, and names the value and the remedy."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import MARKER_TEXT, CertificateAuthority

SPAN = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"not_before": NAIVE}, "not_before=2026-01-01T00:00:00 has no time zone"),
        ({"not_after": NAIVE}, "not_after=2026-01-01T00:00:00 has no time zone"),
        ({"not_before": SPAN[1], "not_after": SPAN[0]}, "is before not_before"),
        ({"not_before": datetime(1940, 1, 1, tzinfo=UTC)}, "cannot be written"),
        ({"key": "rsa-512"}, "key kind 'rsa-512' is not known"),
        ({"attributes": {"XX": "a"}}, "subject attribute 'XX' is not known"),
        ({"attributes": {"C": "GBR"}}, "subject attribute C='GBR' cannot be written"),
        ({"attributes": {"OU": [5]}}, "subject attribute OU=5 cannot be written"),
        ({"dns": ["b\u00fccher.test"]}, "use A-labels"),
        ({"dns": [""]}, "an empty DNSName names nobody"),
        ({"ips": ["a.test"]}, "'a.test' is not an IP address"),
        ({"serial": 0}, "see testing.broken"),
        ({"serial": 1 << 160}, "see testing.broken"),
        ({"subject": x509.Name([])}, "put the common name into the subject"),
    ],
)
def test_what_cannot_be_written_is_refused(
    authority: CertificateAuthority, options: dict[str, Any], message: str
) -> None:
    """A value that no certificate can hold is a ConfigurationError that names it and the remedy."""
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        authority.issue_client("client", **options)


def test_a_certificate_that_names_nobody_is_refused(authority: CertificateAuthority) -> None:
    """Neither a subject nor a SAN: refused for servers and clients alike."""
    with pytest.raises(ConfigurationError, match="would name nobody"):
        authority.issue_client()
    with pytest.raises(ConfigurationError, match="would name nobody"):
        authority.issue_server()


def test_unknown_options_are_refused(authority: CertificateAuthority) -> None:
    """A misspelt keyword is a TypeError that lists the known ones, as for any Python function."""
    misspelt: dict[str, Any] = {"dsn": ["a.test"]}
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'dsn': known are dns, uris"):
        authority.issue_client("client", **misspelt)
    with pytest.raises(TypeError, match="unexpected keyword argument 'dsn': known are key"):
        CertificateAuthority("Root", **misspelt)


def test_naive_revocation_time_is_refused(authority: CertificateAuthority) -> None:
    """A revocation time needs a time zone as well."""
    with pytest.raises(ConfigurationError, match="at=2026-01-01T00:00:00 has no time zone"):
        authority.revoke(authority.issue_client("client"), at=NAIVE)


def test_repr_names_the_authority_and_no_key(authority: CertificateAuthority) -> None:
    """The representation is the subject; it holds nothing of the private key."""
    assert repr(authority) == f"CertificateAuthority('CN=mtlspolicy TEST CA root,O={MARKER_TEXT}')"


def test_extension_given_twice_is_refused(authority: CertificateAuthority) -> None:
    """A further extension of a type that is there already cannot be written."""
    again = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    with pytest.raises(ConfigurationError, match="cannot be written"):
        authority.issue_client("client", extensions=[again])
    leaf = authority.issue_client("client", eku=None, extensions=[again]).certificate
    assert leaf.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE).value == again
