"""Apache: PEM with spaces for line ends, ``(null)`` for what is not there, GENEROUS for what it did not verify."""

from __future__ import annotations

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
from tests.forwarded.certificate_forms import pem_spaces
from tests.forwarded.writing import FRODO, ISSUING, PROXY, ROOT, TRUSTED

CERT, VERIFY, CHAIN = "x-ssl-client-cert", "x-ssl-client-verify", "x-chain"
SOURCE = forwarded.apache(trusted=TRUSTED, chain_headers=[f"{CHAIN}-0", f"{CHAIN}-1"])
GOOD = [(CERT, pem_spaces(FRODO.der)), (VERIFY, "SUCCESS")]


@pytest.mark.parametrize("null", ["(null)", ""])
def test_null_is_absence_everywhere(null: str) -> None:
    """Without TLS, or without a certificate, each variable reads ``(null)``: that is no error."""
    headers = [(CERT, null), (VERIFY, null), (f"{CHAIN}-0", null), (f"{CHAIN}-1", null)]
    assert SOURCE.read(headers, peer=PROXY) is None


def test_attack_null_beside_a_verdict() -> None:
    """A verdict on a certificate that is not there is malformed, and so is a certificate with the verdict null."""
    for headers in (
        [(CERT, "(null)"), (VERIFY, "SUCCESS")],
        [GOOD[0], (VERIFY, "(null)")],
        [GOOD[0], (VERIFY, "NONE")],
    ):
        with pytest.raises(MalformedEvidence) as caught:
            SOURCE.read(headers, peer=PROXY)
        assert caught.value.code == "forwarded.companion"


@pytest.mark.parametrize("word", ["GENEROUS", "FAILED:certificate verify failed"])
def test_attack_generous_is_not_verified(word: str) -> None:
    """Apache's word for a certificate that it let pass is a failure, unless our own validation is to count alone."""
    with pytest.raises(VerificationError) as caught:
        SOURCE.read([GOOD[0], (VERIFY, word)], peer=PROXY)
    assert caught.value.code == "forwarded.not-verified"
    source = forwarded.apache(trusted=TRUSTED, proxy_verifies=False)
    assert source.read([GOOD[0], (VERIFY, word)], peer=PROXY) is not None


def test_chain_in_a_header_each() -> None:
    """The chain begins at the issuer; what Apache has no more of is null."""
    fields = [(f"{CHAIN}-0", pem_spaces(ISSUING.der)), (f"{CHAIN}-1", "(null)")]
    chain = SOURCE.read([*GOOD, *fields], peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der, ISSUING.der)
    with pytest.raises(MalformedEvidence, match="before it has none"):
        SOURCE.read([*GOOD, (f"{CHAIN}-0", "(null)"), (f"{CHAIN}-1", pem_spaces(ROOT.der))], peer=PROXY)


def test_chain_headers_are_a_list() -> None:
    """One name is not a list of letters."""
    with pytest.raises(ConfigurationError, match="give a list of names"):
        forwarded.apache(trusted=TRUSTED, chain_headers="x-chain-0")
