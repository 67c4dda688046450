"""nginx: percent-encoded PEM beside a verdict in words."""

from __future__ import annotations

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
from tests.forwarded.writing import FRODO, ISSUING, PROXY, STRANGER, TRUSTED, VERIFIER, escaped, pem

CERT, VERIFY = "X-SSL-Client-Cert", "X-SSL-Client-Verify"
SOURCE = forwarded.nginx(trusted=TRUSTED)
LENIENT = forwarded.nginx(trusted=TRUSTED, proxy_verifies=False)


@pytest.mark.parametrize("verdict", ["SUCCESS", "FAILED:self signed certificate"])
def test_optional_no_ca_leaves_the_decision_to_our_own_validation(verdict: str) -> None:
    """With proxy_verifies=False whatever nginx makes of it is read, and our verifier refuses the stranger."""
    chain = LENIENT.read([(CERT, escaped(STRANGER.der)), (VERIFY, verdict)], peer=PROXY)
    assert chain is not None
    assert not VERIFIER.decide(chain)


def test_optional_no_ca_still_needs_the_verdict() -> None:
    """A verdict that is gone is a hop's work, whether or not it would have counted."""
    for headers in ([(CERT, escaped(FRODO.der))], [(VERIFY, "FAILED:x")], [(VERIFY, "SUCCESS")]):
        with pytest.raises(MalformedEvidence) as caught:
            LENIENT.read(headers, peer=PROXY)
        assert caught.value.code == "forwarded.companion"
    assert LENIENT.read([(VERIFY, "NONE")], peer=PROXY) is None


def test_failure_without_certificate_is_a_failure() -> None:
    """FAILED alone is a refusal by the proxy and not an anonymous client."""
    with pytest.raises(VerificationError, match="FAILED:certificate has expired"):
        SOURCE.read([(VERIFY, "FAILED:certificate has expired")], peer=PROXY)


@pytest.mark.parametrize("text", [pem(FRODO.der).replace("\n", "\n\t").strip(), pem(FRODO.der).replace("\n", "\t")])
def test_attack_folded_pem(text: str) -> None:
    """The deprecated variable with folded lines is refused, as is what servers make of folding."""
    with pytest.raises(MalformedEvidence) as caught:
        SOURCE.read([(CERT, text), (VERIFY, "SUCCESS")], peer=PROXY)
    assert caught.value.code == "forwarded.malformed"


def test_two_certificates_are_not_what_nginx_writes() -> None:
    """nginx has no variable for the chain: a second certificate was put there by somebody else."""
    with pytest.raises(MalformedEvidence, match="2 certificates, where the proxy writes one"):
        SOURCE.read([(CERT, escaped(FRODO.der, ISSUING.der)), (VERIFY, "SUCCESS")], peer=PROXY)


def test_names_of_the_ingress() -> None:
    """Header names are arguments, in any case."""
    source = forwarded.nginx(trusted=TRUSTED, header="SSL-Client-Cert", verify_header="ssl-client-verify")
    assert source.names == {"ssl-client-cert", "ssl-client-verify"}
    assert source.read([("ssl-client-cert", escaped(FRODO.der)), ("ssl-client-verify", "SUCCESS")], peer=PROXY)
    with pytest.raises(ConfigurationError):
        forwarded.nginx(trusted=TRUSTED, header="x-verify", verify_header="x-verify")
