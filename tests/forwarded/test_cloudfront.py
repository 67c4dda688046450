"""CloudFront: percent-encoded PEM or RFC 9440, beside a header that says whether there is a certificate at all."""

from __future__ import annotations

from typing import Any

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from tests.forwarded.certificate_forms import rfc9440
from tests.forwarded.dialects import SECRET
from tests.forwarded.writing import FRODO, ISSUING, PROXY, TRUSTED, escaped

PEM, PRESENT = "CloudFront-Viewer-Cert-Pem", "CloudFront-Viewer-Cert-Present"


def test_present_is_required_and_believed_in_both_directions() -> None:
    """One without a certificate, zero with one, and a certificate without either are malformed."""
    source = forwarded.cloudfront(trusted=TRUSTED, secret=SECRET)
    for headers in ([(PRESENT, "1")], [(PEM, escaped(FRODO.der)), (PRESENT, "0")], [(PEM, escaped(FRODO.der))]):
        with pytest.raises(MalformedEvidence) as caught:
            source.read([*headers, SECRET], peer=PROXY)
        assert caught.value.code == "forwarded.companion"
    assert source.read([(PRESENT, "0"), SECRET], peer=PROXY) is None


def test_the_headers_of_rfc_9440() -> None:
    """In passthrough mode the chain can be had, in headers that may be renamed."""
    source = forwarded.cloudfront(
        trusted=TRUSTED,
        secret=SECRET,
        encoding="rfc9440",
        header="x-leaf",
        chain_header="x-chain",
        present_header="x-is",
    )
    headers = [("x-leaf", rfc9440(FRODO.der)), ("x-chain", rfc9440(ISSUING.der)), ("x-is", "1"), SECRET]
    chain = source.read(headers, peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der, ISSUING.der)


@pytest.mark.parametrize("wrong", [{"encoding": "pem"}, {"chain_header": "client-cert-chain"}])
def test_construction(wrong: dict[str, Any]) -> None:
    """An encoding that CloudFront does not have, and a chain where there is none."""
    with pytest.raises(ConfigurationError):
        forwarded.cloudfront(trusted=TRUSTED, secret=SECRET, **wrong)
