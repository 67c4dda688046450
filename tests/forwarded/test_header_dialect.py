"""What is refused when a dialect of certificate headers is put together, and what does not belong together."""

from __future__ import annotations

from typing import Any

import pytest

from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._verdict import Companion, Digest
from tests.forwarded.certificate_forms import der_base64
from tests.forwarded.writing import FRODO, ISSUING, ROOT

VERIFY = Companion("x-verify", open=frozenset({"0"}), failed="1")


def dialect(**more: Any) -> CertificateHeaders:
    """Return a dialect with two headers for a chain."""
    return CertificateHeaders(name="test", leaf="X-Cert", form="der-base64", **more)


@pytest.mark.parametrize(
    "more",
    [
        {"chain": ("x-cert",)},
        {"chain": ("x-a", "X-A")},
        {"companions": (Companion("x-cert"),)},
        {"companions": (VERIFY,), "digest": Digest("X-Verify")},
    ],
)
def test_one_header_is_not_two_things(more: dict[str, Any]) -> None:
    """Names that are the same, in any case, are refused at construction."""
    with pytest.raises(ConfigurationError, match="cannot be two things"):
        dialect(**more)


@pytest.mark.parametrize("more", [{"chain": ("x_chain",)}, {"proxy_verifies": 0}, {"proxy_verifies": "no"}])
def test_values_that_are_none(more: dict[str, Any]) -> None:
    """Names of no header, and what is not exactly true or false."""
    with pytest.raises(ConfigurationError):
        dialect(**more)


def test_names() -> None:
    """All headers are named, in lower case."""
    made = dialect(chain=("X-Chain",), companions=(VERIFY,), digest=Digest("X-Hash"))
    assert made.names == {"x-cert", "x-chain", "x-verify", "x-hash"}
    assert made.lists == frozenset()


def test_a_chain_with_a_gap_is_malformed() -> None:
    """Where one header of the chain is empty, none may follow: an intermediate was removed, or added."""
    values = {"x-cert": der_base64(FRODO.der), "x-a": "", "x-b": der_base64(ROOT.der)}
    made = dialect(chain=("x-a", "x-b"))
    with pytest.raises(MalformedEvidence, match="'x-b' has a certificate, and 'x-a' before it has none"):
        made.parse(values, joined=False)
    full = values | {"x-a": der_base64(ISSUING.der)}
    assert made.parse(full, joined=False) == (FRODO.der, ISSUING.der, ROOT.der)
    assert made.parse(full | {"x-b": ""}, joined=False) == (FRODO.der, ISSUING.der)


def test_an_empty_header_is_no_certificate_unless_something_speaks_of_one() -> None:
    """Empty beside an open verdict: none. Missing beside it: a hop removed it. Missing without companions: none."""
    assert dialect(companions=(VERIFY,)).parse({"x-cert": "", "x-verify": "0"}, joined=False) is None
    with pytest.raises(MalformedEvidence) as caught:
        dialect(companions=(VERIFY,)).parse({"x-verify": "0"}, joined=False)
    assert caught.value.code == "forwarded.companion"
    assert dialect(chain=("x-a",)).parse({"x-a": ""}, joined=False) is None


def test_a_failure_that_is_let_through_needs_its_certificate() -> None:
    """Our own validation decides what the proxy did not verify, so there must be something to validate."""
    lenient = dialect(companions=(VERIFY,), proxy_verifies=False)
    assert lenient.parse({"x-cert": der_base64(FRODO.der), "x-verify": "1"}, joined=False) == (FRODO.der,)
    with pytest.raises(MalformedEvidence) as caught:
        lenient.parse({"x-cert": "", "x-verify": "1"}, joined=False)
    assert caught.value.code == "forwarded.companion"
