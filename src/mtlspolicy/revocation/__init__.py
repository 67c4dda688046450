"""Revocation: OCSP responses (RFC 6960) interpreted purely, and made into facts for `policies.NotRevoked`.

This version fetches nothing and reads no CRL.
"""

from __future__ import annotations

from mtlspolicy._revocation import OCSP, OCSPRule, RevocationAnswer, RevocationQuestion
from mtlspolicy.revocation._ocsp_request import ocsp_question, ocsp_request
from mtlspolicy.revocation._ocsp_response import read_ocsp
from mtlspolicy.revocation._offline import best_answer, facts, responses_source
from mtlspolicy.revocation._seen import Seen

__all__ = [
    "OCSP",
    "OCSPRule",
    "RevocationAnswer",
    "RevocationQuestion",
    "Seen",
    "best_answer",
    "facts",
    "ocsp_question",
    "ocsp_request",
    "read_ocsp",
    "responses_source",
]
