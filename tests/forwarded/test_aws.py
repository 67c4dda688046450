"""Amazon's load balancer and API Gateway: PEM in percent-encoding, without a verdict."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from tests.forwarded.certificate_forms import pem_safe
from tests.forwarded.dialects import SECRET
from tests.forwarded.writing import FRODO, ISSUING, PROXY, ROOT, TRUSTED, pem

LEAF, ALL = "X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert"


def test_verify_mode_has_the_leaf_alone() -> None:
    """A second certificate is not what a load balancer in verify mode writes."""
    source = forwarded.aws_alb(trusted=TRUSTED)
    chain = source.read([(LEAF, pem_safe(FRODO.der))], peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der,)
    with pytest.raises(MalformedEvidence, match="2 certificates"):
        source.read([(LEAF, pem_safe(FRODO.der, ISSUING.der))], peer=PROXY)


def test_one_mode_does_not_read_the_header_of_the_other() -> None:
    """There is no fallback: what passthrough mode forwards unverified is not read in verify mode, nor the reverse."""
    assert forwarded.aws_alb(trusted=TRUSTED).read([(ALL, pem_safe(FRODO.der))], peer=PROXY) is None
    source = forwarded.aws_alb(trusted=TRUSTED, mode="passthrough")
    assert source.read([(LEAF, pem_safe(FRODO.der))], peer=PROXY) is None


def test_passthrough_mode_has_all_that_was_presented() -> None:
    """Leaf first, up to the root."""
    source = forwarded.aws_alb(trusted=TRUSTED, mode="passthrough", header="X-Renamed")
    chain = source.read([("x-renamed", pem_safe(FRODO.der, ISSUING.der, ROOT.der))], peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der, ISSUING.der, ROOT.der)


def test_attack_form_encoding_is_not_percent_encoding() -> None:
    """``$util.urlEncode`` writes a plus for a space, which reads as a plus and is refused."""
    source = forwarded.aws_api_gateway(trusted=TRUSTED, secret=SECRET)
    with pytest.raises(MalformedEvidence):
        source.read([("x-client-cert", quote_plus(pem(FRODO.der))), SECRET], peer=PROXY)


@pytest.mark.parametrize("wrong", [{"mode": "off"}, {"mode": ""}, {"mode": None}])
def test_modes(wrong: dict[str, Any]) -> None:
    """A mode that the listener does not have is refused."""
    with pytest.raises(ConfigurationError, match="'verify' or 'passthrough'"):
        forwarded.aws_alb(trusted=TRUSTED, **wrong)


def test_encodings_of_a_mapping() -> None:
    """The gateway knows PEM alone."""
    wrong: Any = "der-base64"
    with pytest.raises(ConfigurationError, match="encoding='der-base64'"):
        forwarded.aws_api_gateway(trusted=TRUSTED, secret=SECRET, encoding=wrong)
