"""HAProxy: base64 of DER, the chain as concatenated DER, OpenSSL's verdict as a number."""

from __future__ import annotations

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import MalformedEvidence, VerificationError
from tests.forwarded.certificate_forms import der_base64
from tests.forwarded.writing import FRODO, ISSUING, PROXY, ROOT, TRUSTED

CERT, VERIFY, CHAIN = "x-ssl-client-cert", "x-ssl-client-verify", "x-ssl-client-chain"
SOURCE = forwarded.haproxy(trusted=TRUSTED, chain_header=CHAIN)
GOOD = [(CERT, der_base64(FRODO.der)), (VERIFY, "0")]


@pytest.mark.parametrize("ders", [(), (ISSUING.der,), (ISSUING.der, ROOT.der)], ids=["none", "one", "two"])
def test_chain_as_concatenated_der(ders: tuple[bytes, ...]) -> None:
    """Any number of intermediates in one value; none is an empty header."""
    chain = SOURCE.read([*GOOD, (CHAIN, der_base64(*ders))], peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der, *ders)


@pytest.mark.parametrize("text", [der_base64(ISSUING.der)[:-4], "junk", f"{der_base64(ISSUING.der)},", '""'])
def test_attack_spoilt_chain(text: str) -> None:
    """A chain that cannot be read whole makes all malformed: nothing is dropped."""
    with pytest.raises(MalformedEvidence) as caught:
        SOURCE.read([*GOOD, (CHAIN, text)], peer=PROXY)
    assert caught.value.code == "forwarded.malformed"


def test_verdict_in_words_of_openssl() -> None:
    """The converter x509_v_err_str writes names for the numbers."""
    assert SOURCE.read([GOOD[0], (VERIFY, "X509_V_OK")], peer=PROXY) is not None
    with pytest.raises(VerificationError, match="X509_V_ERR_CERT_HAS_EXPIRED"):
        SOURCE.read([GOOD[0], (VERIFY, "X509_V_ERR_CERT_HAS_EXPIRED")], peer=PROXY)


@pytest.mark.parametrize("word", ["00", "-1", "+0", " 0x0", "0 0", '"0"', "1e3", "123456", "X509_V_ERR_", "SUCCESS"])
def test_attack_numbers_that_are_none(word: str) -> None:
    """A verdict that HAProxy does not write is malformed: neither fine nor a failure."""
    with pytest.raises(MalformedEvidence) as caught:
        SOURCE.read([GOOD[0], (VERIFY, word)], peer=PROXY)
    assert caught.value.code == "forwarded.malformed"


def test_attack_zero_without_the_header_of_the_certificate() -> None:
    """Zero beside an empty certificate is an anonymous client; beside none at all, a hop removed it."""
    assert SOURCE.read([(CERT, ""), (VERIFY, "0"), (CHAIN, "")], peer=PROXY) is None
    with pytest.raises(MalformedEvidence) as caught:
        SOURCE.read([(VERIFY, "0")], peer=PROXY)
    assert caught.value.code == "forwarded.companion"


def test_errors_that_the_configuration_ignores() -> None:
    """With ca-ignore-err our own validation alone counts, and the verdict must be there all the same."""
    source = forwarded.haproxy(trusted=TRUSTED, proxy_verifies=False)
    assert source.read([GOOD[0], (VERIFY, "20")], peer=PROXY) is not None
    with pytest.raises(MalformedEvidence):
        source.read([GOOD[0]], peer=PROXY)
