"""OpenSSL's own OCSP cases: every response gives the status that its tests expect, under a rule that allows SHA-1.

The data lie beside the repository and are not part of it; without them these tests are skipped.
"""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.x509 import ocsp

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.revocation import OCSPRule, ocsp_question, read_ocsp

DATA: Final = Path(__file__).parents[2].parent / "shared" / "conformance" / "ocsp_openssl.json.gz"
CASES: Final[list[dict[str, Any]]] = json.loads(gzip.decompress(DATA.read_bytes()))["cases"] if DATA.exists() else []
LONG: Final = timedelta(days=120)
"""These responses of 2012 were made for days; none is as young as a day at its case's time."""
CACERT: Final = "D3::D3_"
"""The one responder without id-pkix-ocsp-nocheck: OpenSSL does not ask about it, we take it where it is named."""

pytestmark = [
    pytest.mark.skipif(not CASES, reason=f"{DATA} is not there"),
    pytest.mark.filterwarnings("ignore:Parsed a serial number"),
]


def read(case: dict[str, Any], *, named: bool = False, **rule: Any) -> tuple[RevocationStatus, str]:
    """Return status and code of a case; with *named*, the certificates in the response are explicit responders."""
    response = base64.b64decode(case["response_der"])
    carried = ocsp.load_der_ocsp_response(response).certificates if named else []
    asked = OCSPRule(max_age=LONG, responders=tuple(map(ParsedCertificate.of, carried)), **rule)
    question = ocsp_question(base64.b64decode(case["cert_der"]), base64.b64decode(case["direct_issuer_der"]), asked)
    answer = read_ocsp(response, question, at=datetime.fromisoformat(case["time"]))
    return answer.status, answer.code


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_every_case_is_as_expected(case: dict[str, Any]) -> None:
    """Good where OpenSSL says good; else an invalid signature or a responder that is not named, each with its code."""
    cacert = CACERT in case["id"]
    status, code = read(case, allow_sha1=True, named=cacert)
    if case["expected_status"] == "good":
        assert (status, code) == (RevocationStatus.GOOD, "ocsp.good")
    else:
        assert status is RevocationStatus.UNAVAILABLE
        assert code == ("ocsp.signature" if "ISOP" in case["id"] else "ocsp.responder-unknown")
    if cacert and "WRID" not in case["id"]:
        forged = case["expected_status"] != "good"
        assert read(case, allow_sha1=True)[1] == ("ocsp.signature" if forged else "ocsp.delegate-revocation")


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_sha1_is_refused_without_the_option(case: dict[str, Any]) -> None:
    """All of them are signed with SHA-1, which is accepted by explicit option alone."""
    assert read(case) == (RevocationStatus.UNAVAILABLE, "ocsp.sha1")


def test_the_suite_is_whole() -> None:
    """Nineteen cases, seven of them good."""
    assert len(CASES) == 19
    assert sum(case["expected_status"] == "good" for case in CASES) == 7
