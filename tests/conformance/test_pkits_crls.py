"""The CRLs of NIST's PKITS: each is read, agrees with `cryptography`, and answers for the certificate below its issuer.

The sections at hand are not those on revocation: their CRLs are good ones beside chains that may not be.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from cryptography import x509

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import CRLQuestion, CRLRule, RevocationAnswer
from mtlspolicy.revocation import RevocationList, read_crl
from tests.conformance.support import load

CASES = load("pkits", "cases")
FOR_EVER = CRLRule(max_age=timedelta.max)
"""The suite's CRLs are of 2010, and of no age that a rule would accept."""


def _crls(case: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    return zip(case["crl_names"], (base64.b64decode(one) for one in case["crls"]), strict=True)


def _answers(case: Mapping[str, Any]) -> Iterator[tuple[str, list[RevocationAnswer]]]:
    """Return, for each certificate of a case but the anchor, what each CRL says of it."""
    chain = [ParsedCertificate(base64.b64decode(one)) for one in case["chain"]]
    at = datetime.fromisoformat(case["time"])
    for certificate, issuer in pairwise(chain):
        question = CRLQuestion(certificate, issuer, FOR_EVER)
        yield str(certificate), [read_crl(data, question, at=at, source=name) for name, data in _crls(case)]


def test_every_list_is_read_and_says_what_cryptography_says() -> None:
    """Issuer, dates, number of entries, and every serial number."""
    seen = dict(pair for case in CASES for pair in _crls(case))
    for name, data in seen.items():
        ours, theirs = RevocationList.parse(data), x509.load_der_x509_crl(data)
        assert ours.issuer == theirs.issuer.public_bytes(), name
        assert (ours.this_update, ours.next_update) == (theirs.last_update_utc, theirs.next_update_utc), name
        assert len(ours) == len(theirs), name
        assert all(ours.entries_of(entry.serial_number) for entry in theirs), name
    assert len(seen) >= 25


WITHOUT = {
    # DSA, which is accepted nowhere in this library
    "4.1.4": ["crl.signature-algorithm"],
    "4.1.5": ["crl.signature-algorithm", "crl.signature-algorithm"],
    # certificates whose signature has unused bits, which is how the suite makes it invalid: they cannot be read
    "4.1.2": ["crl.issuer-key-usage", "crl.malformed"],
    "4.1.6": ["crl.malformed"],
    # the issuer's name in the certificate is not the CA's, or spelt in another way, which no path is valid with either
    "4.3.1": ["crl.other-issuer"],
    "4.3.2": ["crl.other-issuer"],
    "4.3.3": ["crl.other-issuer"],
    "4.3.4": ["crl.other-issuer"],
    "4.3.5": ["crl.other-issuer"],
    "4.3.11": ["crl.other-issuer"],
    # issued with a CA's new key, while its list is signed with the old one: RFC 5280 would find another path to that
    "4.6.15": ["crl.signature"],
    "4.6.16": ["crl.signature"],
    "4.6.17": ["crl.signature", "crl.signature"],
    # what these two are about: keyUsage without cRLSign
    "4.7.4": ["crl.issuer-key-usage"],
    "4.7.5": ["crl.issuer-key-usage"],
}
"""By case: what the list of its issuer is refused for, for each certificate that no list calls good."""


def test_every_certificate_is_good_by_the_list_of_its_issuer_or_the_refusal_has_its_reason() -> None:
    """No list of the suite at hand revokes; those that may not be used are refused for what the case is about."""
    without: dict[str, list[str]] = {}
    good = 0
    for case in CASES:
        for _, answers in _answers(case):
            assert all(one.status is not RevocationStatus.REVOKED for one in answers), case["id"]
            if any(one.status is RevocationStatus.GOOD for one in answers):
                good += 1
                continue
            codes = {one.code for one in answers}
            told = sorted(codes - {"crl.other-issuer"}) or ["crl.other-issuer"]
            without.setdefault(case["number"], []).extend(told)
    assert without == WITHOUT
    assert good == 101


def test_every_refusal_has_a_name() -> None:
    """No list of the suite is refused for a reason that would be a failure of the reader."""
    codes = Counter(one.code for case in CASES for _, answers in _answers(case) for one in answers)
    assert codes["crl.malformed"] == 4, "of certificates whose own signature cannot be read"
    assert codes["crl.good"] > codes["crl.signature"]
    assert sum(codes.values()) > 200
