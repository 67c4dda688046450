"""Every published case of forwarded headers: what the sources read of it, and what they take for no certificate.

The cases lie beside the repository and are not part of it; without them this module is skipped.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import pytest
from cryptography import x509

from mtlspolicy import PathProfile, Possession, PresentedChain, TrustStore, Verifier, forwarded, policies
from mtlspolicy._rfc4514 import parse_rdns
from mtlspolicy.errors import MalformedEvidence, PathValidationError
from mtlspolicy.forwarded._xfcc import read_elements
from mtlspolicy.policies._serials import parse_serial
from tests.conformance.support import load
from tests.forwarded.writing import PROXY, TRUSTED, item

CASES: Final[Mapping[str, Mapping[str, Any]]] = {case["id"]: case for case in load("headers", "cases")}
SECRET: Final = ("x-origin-secret", "an0ther-Very_secret.value")
READ: Final[Mapping[str, Callable[[], forwarded.ForwardedSource]]] = {
    "rfc9440::leaf": lambda: forwarded.rfc9440(trusted=TRUSTED),
    "rfc9440::leaf+chain": lambda: forwarded.rfc9440(trusted=TRUSTED),
    "alb::leaf": lambda: forwarded.aws_alb(trusted=TRUSTED),
    "alb::passthrough-chain": lambda: forwarded.aws_alb(mode="passthrough", trusted=TRUSTED),
}
WORDS: Final = ("xfcc::docs.example1", "xfcc::docs.example2", "xfcc::docs.example3")
FIELDS: Final = ("alb::docs.verify-fields", "cloudfront::docs")
BINDING: Final = ("rfc8705::appendix-a", "rfc8705::section-3.1-sample")


def read(case: str) -> PresentedChain:
    """Return what the source of the case's dialect reads."""
    chain = READ[case]().read(list(CASES[case]["headers"].items()), peer=PROXY)
    assert chain is not None
    return chain


def test_every_case_is_judged_here() -> None:
    """No case is left out, and a new one is noticed."""
    assert CASES.keys() == {*READ, *WORDS, *FIELDS, *BINDING}


@pytest.mark.parametrize("case", READ)
def test_certificates(case: str) -> None:
    """The end entity and the chain are those of the case, and the proxy has seen the proof of possession."""
    chain, expected = read(case), CASES[case]["expected"]
    assert [sha256(der).hexdigest() for der in chain.ders] == [
        expected["leaf_sha256"],
        *expected.get("chain_sha256", ()),
    ]
    assert chain.possession is Possession.PROXY


def test_names_of_the_example_of_rfc_9440() -> None:
    """The example's certificate says what the RFC says that it does."""
    expected = CASES["rfc9440::leaf"]["expected"]
    certificate = read("rfc9440::leaf").end_entity
    assert certificate.subject.rfc4514() == expected["subject"]
    assert list(certificate.names.emails) == expected["san_rfc822"]


def test_the_example_of_rfc_9440_is_verified() -> None:
    """Its subjectAltName is critical beside a subject: the private profile accepts that, the one of the Web not."""
    chain = read("rfc9440::leaf+chain")
    root = x509.load_der_x509_certificate(chain.ders[-1])
    at = datetime(2020, 6, 1, tzinfo=UTC)
    trust, bc = TrustStore(anchors=[root]), policies.CommonName("BC")
    peer = Verifier.for_clients(trust=trust, policy=bc).verify(chain, at=at)
    assert (peer.possession, len(peer.path.certificates)) == (Possession.PROXY, 3)
    with pytest.raises(PathValidationError):
        Verifier.for_clients(trust=trust, policy=bc, profile=PathProfile.WEBPKI).verify(chain, at=at)
    with pytest.raises(PathValidationError):
        Verifier.for_clients(trust=trust, policy=bc).verify(chain, at=datetime(2022, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("case", WORDS)
def test_elements_of_xfcc(case: str) -> None:
    """Elements, keys and values are those of the documentation."""
    (value,) = CASES[case]["headers"].values()
    elements = read_elements(value)
    expected = CASES[case]["expected"]["elements"]
    assert [{key.lower(): list(element.every(key.lower())) for key in one} for one, element in zip(
        expected, elements, strict=True
    )] == [{key.lower(): values for key, values in one.items()} for one in expected]  # fmt: skip
    assert [sum(map(len, one.values())) for one in expected] == [len(element.pairs) for element in elements]


@pytest.mark.parametrize("case", WORDS)
def test_words_of_xfcc_are_no_certificate(case: str) -> None:
    """The documentation's examples have neither Cert nor Chain: refused, or by choice words of the outermost proxy."""
    headers = list(CASES[case]["headers"].items())
    expected = CASES[case]["expected"]["elements"]
    hops = len(expected)
    with pytest.raises(MalformedEvidence) as caught:
        forwarded.envoy(hops=hops, trusted=TRUSTED).read(headers, peer=PROXY)
    assert caught.value.code == "forwarded.text-only"
    with pytest.raises(MalformedEvidence) as caught:
        forwarded.envoy(hops=3 - hops, text_claims=True, trusted=TRUSTED).request(headers, peer=PROXY)
    assert caught.value.code == "forwarded.hops"
    claims = forwarded.envoy(hops=hops, text_claims=True, trusted=TRUSTED).request(headers, peer=PROXY).claims
    (digest,), (subject,) = expected[0]["Hash"], expected[0].get("Subject", [None])
    assert claims == forwarded.TextClaims(
        sha256=digest, subject=subject, uris=tuple(expected[0]["URI"]), dns_names=tuple(expected[0].get("DNS", ()))
    )


def test_fields_of_the_load_balancer_are_words() -> None:
    """Serial number and subject in headers of their own read as they are meant, and make no client."""
    case = CASES["alb::docs.verify-fields"]
    headers, expected = case["headers"], case["expected"]
    assert parse_serial(f"serial={headers['x-amzn-mtls-clientcert-serial-number']}") == expected["serial"]
    written = ",".join(f"{key}={value}" for key, value in expected["subject_rdns"])
    assert parse_rdns(headers["x-amzn-mtls-clientcert-subject"]) == parse_rdns(written)
    assert forwarded.aws_alb(trusted=TRUSTED).read(list(headers.items()), peer=PROXY) is None


def test_fields_of_the_content_network_are_words() -> None:
    """Without the certificate itself the statement that there is one is malformed."""
    case = CASES["cloudfront::docs"]
    headers = case["headers"]
    assert parse_serial(headers["cloudfront-viewer-cert-serial-number"]) == case["expected"]["serial"]
    source = forwarded.cloudfront(trusted=TRUSTED, secret=SECRET)
    with pytest.raises(MalformedEvidence) as caught:
        source.read([*headers.items(), SECRET], peer=PROXY)
    assert caught.value.code == "forwarded.companion"


@pytest.mark.parametrize("case", BINDING)
def test_thumbprints_of_a_forwarded_certificate(case: str) -> None:
    """The certificate of RFC 8705, forwarded and registered, has the thumbprint that the case says, or has not."""
    expected = CASES[case]["expected"]
    der = base64.b64decode(expected["cert_der"])
    trust = TrustStore(peers=[x509.load_der_x509_certificate(der)])
    verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("mtls"), profile=PathProfile.DIRECT)
    chain = forwarded.rfc9440(trusted=TRUSTED).read([("client-cert", item(der))], peer=PROXY)
    assert chain is not None
    peer = verifier.verify(chain, at=datetime(2020, 1, 1, tzinfo=UTC))
    assert (peer.thumbprint == expected["cnf"]["x5t#S256"]) is expected["binding_ok"]
