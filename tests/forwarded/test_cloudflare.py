"""Cloudflare: fields that are filled whatever it thinks of a certificate, so that three verdicts stand beside."""

from __future__ import annotations

from typing import Any

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
from tests.forwarded.certificate_forms import der_base64, rfc9440
from tests.forwarded.dialects import SECRET
from tests.forwarded.writing import FRODO, PROXY, TRUSTED

PRESENTED, VERIFIED, REVOKED = "Cf-Cert-Presented", "Cf-Cert-Verified", "Cf-Cert-Revoked"
SOURCE = forwarded.cloudflare(trusted=TRUSTED, secret=SECRET)


@pytest.mark.parametrize(("verified", "revoked"), [("false", "false"), ("true", "true"), ("false", "true")])
def test_attack_populated_regardless(verified: str, revoked: str) -> None:
    """A certificate that Cloudflare forwards and did not verify, or knows to be revoked, is refused."""
    headers = [
        ("Client-Cert", rfc9440(FRODO.der)),
        (PRESENTED, "true"),
        (VERIFIED, verified),
        (REVOKED, revoked),
        SECRET,
    ]
    with pytest.raises(VerificationError) as caught:
        SOURCE.read(headers, peer=PROXY)
    assert caught.value.code == "forwarded.not-verified"


def test_a_certificate_that_is_too_large_for_the_field() -> None:
    """Presented, verified, and the field empty because of its size: that is no anonymous client."""
    for leaf in ([], [("client-cert", "")]):
        with pytest.raises(MalformedEvidence) as caught:
            SOURCE.read([*leaf, (PRESENTED, "true"), (VERIFIED, "true"), (REVOKED, "false"), SECRET], peer=PROXY)
        assert caught.value.code == "forwarded.companion"


def test_without_the_managed_transform_our_own_validation_alone_counts() -> None:
    """Said by the caller; the verdicts are then not read."""
    source = forwarded.cloudflare(trusted=TRUSTED, secret=SECRET, managed_headers=False)
    assert source.read([("client-cert", rfc9440(FRODO.der)), (VERIFIED, "false"), SECRET], peer=PROXY) is not None
    assert PRESENTED.lower() not in source.names


def test_access_writes_der() -> None:
    """The header of Cloudflare Access has base64 of DER, and the verdicts are required there too."""
    source = forwarded.cloudflare(trusted=TRUSTED, secret=SECRET, encoding="der-base64")
    leaf = ("Cf-Client-Cert-Der-Base64", der_base64(FRODO.der))
    verdicts = [(PRESENTED, "true"), (VERIFIED, "true"), (REVOKED, "false")]
    assert source.read([leaf, *verdicts, SECRET], peer=PROXY) is not None
    with pytest.raises(MalformedEvidence):
        source.read([leaf, SECRET], peer=PROXY)


@pytest.mark.parametrize(
    "wrong",
    [{"encoding": "pem-percent"}, {"managed_headers": 1}, {"encoding": "der-base64", "chain_header": "x-chain"}],
)
def test_construction(wrong: dict[str, Any]) -> None:
    """An encoding that Cloudflare does not have, a chain that Access does not forward, what is no truth value."""
    with pytest.raises(ConfigurationError):
        forwarded.cloudflare(trusted=TRUSTED, secret=SECRET, **wrong)
