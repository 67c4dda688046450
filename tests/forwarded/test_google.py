"""Google Cloud: RFC 9440 in headers of the operator's names, beside two verdicts in ``true`` and ``false``."""

from __future__ import annotations

from typing import Any

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
from tests.forwarded.certificate_forms import rfc9440
from tests.forwarded.dialects import SECRET
from tests.forwarded.writing import FRODO, ISSUING, PROXY, TRUSTED

LEAF, CHAIN = "x-client-cert-leaf", "x-client-cert-chain"
PRESENT, VERIFIED = "x-client-cert-present", "x-client-cert-chain-verified"
SOURCE = forwarded.google_cloud(trusted=TRUSTED, secret=SECRET)


def test_a_certificate_that_did_not_verify_has_no_leaf() -> None:
    """The load balancer fills the leaf only when it has verified: what failed is refused, and is not anonymous."""
    headers = [(PRESENT, "true"), (VERIFIED, "false"), (LEAF, ""), (CHAIN, ""), SECRET]
    with pytest.raises(VerificationError) as caught:
        SOURCE.read(headers, peer=PROXY)
    assert caught.value.code == "forwarded.not-verified"


def test_a_certificate_that_is_too_large_has_no_leaf_either() -> None:
    """Verified, and left out because of its size: that is no anonymous client."""
    with pytest.raises(MalformedEvidence) as caught:
        SOURCE.read([(PRESENT, "true"), (VERIFIED, "true"), (LEAF, ""), SECRET], peer=PROXY)
    assert caught.value.code == "forwarded.companion"


def test_chain_by_choice() -> None:
    """Without a header for the chain none is read."""
    headers = [(PRESENT, "true"), (VERIFIED, "true"), (LEAF, rfc9440(FRODO.der)), (CHAIN, rfc9440(ISSUING.der)), SECRET]
    alone = forwarded.google_cloud(trusted=TRUSTED, secret=SECRET, chain_header=None)
    for source, ders in ((SOURCE, (FRODO.der, ISSUING.der)), (alone, (FRODO.der,))):
        chain = source.read(headers, peer=PROXY)
        assert chain is not None
        assert chain.ders == ders


@pytest.mark.parametrize("names", ["ab", ("a",), ["a", "b"], None])
def test_both_verdicts_have_a_name(names: Any) -> None:
    """Neither can be left out."""
    with pytest.raises(ConfigurationError, match="give both names"):
        forwarded.google_cloud(trusted=TRUSTED, secret=SECRET, verdict_headers=names)
