"""Revocation: OCSP responses (RFC 6960) and CRLs (RFC 5280), made into facts for `policies.NotRevoked`.

Nothing is fetched unless a `Refresher` is made.
"""

from __future__ import annotations

from mtlspolicy._revocation import CRL, OCSP, CRLQuestion, CRLRule, OCSPQuestion, OCSPRule, RevocationAnswer
from mtlspolicy.revocation._cache import Cache, CachedStatement, CacheFailed, MemoryCache, crl_key, ocsp_key
from mtlspolicy.revocation._cache_redis import RedisCache
from mtlspolicy.revocation._cache_sqlite import SQLiteCache
from mtlspolicy.revocation._crl import RevocationList, crl_question, read_crl
from mtlspolicy.revocation._crl_files import CRLFiles, crls_source
from mtlspolicy.revocation._destinations import Destinations
from mtlspolicy.revocation._ocsp_request import ocsp_question, ocsp_request
from mtlspolicy.revocation._ocsp_response import read_ocsp
from mtlspolicy.revocation._offline import best_answer, facts, responses_source
from mtlspolicy.revocation._refresher import Refresher
from mtlspolicy.revocation._seen import Seen

__all__ = [
    "CRL",
    "OCSP",
    "CRLFiles",
    "CRLQuestion",
    "CRLRule",
    "Cache",
    "CacheFailed",
    "CachedStatement",
    "Destinations",
    "MemoryCache",
    "OCSPQuestion",
    "OCSPRule",
    "RedisCache",
    "Refresher",
    "RevocationAnswer",
    "RevocationList",
    "SQLiteCache",
    "Seen",
    "best_answer",
    "crl_key",
    "crl_question",
    "crls_source",
    "facts",
    "ocsp_key",
    "ocsp_question",
    "ocsp_request",
    "read_crl",
    "read_ocsp",
    "responses_source",
]
