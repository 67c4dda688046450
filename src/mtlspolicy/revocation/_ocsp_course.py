"""From a question to an answer by OCSP: the shared cache first, then each responder that the certificate names.

It opens no socket and no file itself; what comes from either is verified under the question's own rule.
"""

from __future__ import annotations

import base64
import secrets
import time
import urllib.parse
from typing import TYPE_CHECKING, Final, NamedTuple

from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._peer import now
from mtlspolicy._revocation import OCSPQuestion, RevocationAnswer
from mtlspolicy._revocation_pointers import ocsp_urls
from mtlspolicy.errors import MTLSPolicyError
from mtlspolicy.revocation._cache import CachedStatement, ocsp_key
from mtlspolicy.revocation._http import Exchange
from mtlspolicy.revocation._ledger import LONGEST
from mtlspolicy.revocation._ocsp_request import ocsp_request
from mtlspolicy.revocation._ocsp_response import MOST_BYTES, read_ocsp
from mtlspolicy.revocation._shelf import useful
from mtlspolicy.revocation._visit import Inquiry, answers, cannot_be_asked, newer, unavailable, visited

if TYPE_CHECKING:
    from mtlspolicy.revocation._desk import Desk
    from mtlspolicy.revocation._steps import Course

__all__ = ["ocsp_course"]

LONGEST_GET: Final = 255
"""Bytes of a URL with a request in it; longer requests are sent by POST (RFC 5019, section 5)."""
MOST_RESPONDERS: Final = 4
"""Responders of one certificate that are asked, each with its share of the time."""
NONCE_BYTES: Final = 32  # RFC 9654, section 2.1


class _Request(NamedTuple):
    """An OCSPRequest, DER, its nonce, and the digest of its CertID."""

    der: bytes
    nonce: bytes | None
    digest: str


def ocsp_course(desk: Desk, question: OCSPQuestion, known: RevocationAnswer | None) -> Course[RevocationAnswer]:
    """Look *question* up.

    Args:
        desk: What belongs to the process.
        question: Which certificate, by which issuer, under which rule.
        known: The answer at hand, where a newer one is wanted.

    Returns:
        The answer, what was seen before taken into account; UNAVAILABLE says why there is none.
    """
    until = time.monotonic() + desk.terms.deadline
    certificate, rule = question.certificate, question.rule
    key = ocsp_key(question.issuer.layout.spki, certificate.layout.issuer, certificate.serial_number)
    kept = yield from _kept(desk, question, key)
    if kept is not None and kept.told is not RevocationStatus.UNKNOWN and newer(kept, known):
        return kept
    try:
        urls = (rule.responder,) if rule.responder else ocsp_urls(certificate)[:MOST_RESPONDERS]
        request = _request(desk, question)
    except MTLSPolicyError as error:
        return cannot_be_asked(error)
    problem = unavailable("ocsp.no-responder", "the certificate names no OCSP responder; say NotRevoked(responder=...)")
    for place, url in enumerate(urls):
        share = (until - time.monotonic()) / (len(urls) - place)
        inquiry = _inquiry(question, url, key, request)
        found, body = yield from visited(desk, inquiry, until=time.monotonic() + share)
        answer = desk.seen.judged(question, desk.without_revoked(question, found))
        if answers(answer) and answer.vouched() == found.vouched():
            yield from _store(desk, question, key, body, found)
        if answers(answer):
            return answer
        problem = problem if place else answer
    return kept or desk.seen.judged(question, problem)


def _kept(desk: Desk, question: OCSPQuestion, key: str) -> Course[RevocationAnswer | None]:
    """Return what the cache has, verified again, where it is an answer. No cached nonce is one that was sent now."""
    if question.rule.require_nonce:
        return None
    statement = yield from desk.shelf.find(key)
    if statement is None:
        return None
    found = read_ocsp(statement.data, question, at=now(), source="cache")
    answer = desk.seen.judged(question, desk.without_revoked(question, found))
    return answer if answers(answer) else None


def _store(desk: Desk, question: OCSPQuestion, key: str, body: bytes, answer: RevocationAnswer) -> Course[None]:
    """Keep the bytes that *answer* was read from: a revocation for as long as the certificate. Not without a date.

    A claim waits until its delegate is known to be good: what a stolen and revoked key signs would stand in the way of
    everything older, in every process that shares the cache.
    """
    if answer.this_update is not None:
        at = now()
        until = useful(question, answer.this_update, answer.next_update)
        until = max(until, min(question.certificate.not_after, at + LONGEST)) if answer.final else until
        statement = CachedStatement(body, answer.this_update, until, final=answer.final)
        if answer.delegate is None or desk.standing(answer.delegate, question.rule) is RevocationStatus.GOOD:
            yield from desk.shelf.store(key, statement)
        else:
            desk.put_aside(key, answer.delegate, question.rule, statement)


def _request(desk: Desk, question: OCSPQuestion) -> _Request:
    terms = desk.terms
    nonce = secrets.token_bytes(NONCE_BYTES) if terms.nonce or question.rule.require_nonce else None
    return _Request(ocsp_request(question, digest=terms.digest, nonce=nonce), nonce, terms.digest)


def _inquiry(question: OCSPQuestion, url: str, key: str, request: _Request) -> Inquiry:
    def read(body: bytes) -> RevocationAnswer:
        return read_ocsp(body, question, at=now(), nonce=request.nonce, digest=request.digest, source=url)

    accept = "application/ocsp-response"
    ways = [Exchange(url, request.der, "application/ocsp-request", accept, MOST_BYTES)]
    encoded = urllib.parse.quote(base64.b64encode(request.der), safe="")
    short = f"{url.removesuffix('/')}/{encoded}"
    if (
        request.nonce is None and "?" not in url and len(short) <= LONGEST_GET
    ):  # a nonce makes every request another one
        ways.insert(0, Exchange(short, accept=accept, most_bytes=MOST_BYTES))
    return Inquiry("ocsp", url, question, key, tuple(ways), read, answers)
