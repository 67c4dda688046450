"""Asks OCSP responders for ``mtlspolicy explain --ocsp``: who was reached, what came back, and whose word it is.

What an answer comes to for the peer is the policy's to say. Nothing is kept, and nothing is asked twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from cryptography.x509 import ocsp

from mtlspolicy._evidence import Fact, Facts, Need, RevocationStatus
from mtlspolicy._peer import now
from mtlspolicy._revocation import OCSPQuestion, RevocationAnswer, shown
from mtlspolicy._revocation_pointers import ocsp_urls
from mtlspolicy._text import escape
from mtlspolicy.errors import MTLSPolicyError
from mtlspolicy.revocation._destinations import Destinations, FetchFailed
from mtlspolicy.revocation._http import Exchange, HTTPTransport
from mtlspolicy.revocation._ocsp_layout import layout_of
from mtlspolicy.revocation._ocsp_request import ocsp_request
from mtlspolicy.revocation._ocsp_response import MOST_BYTES, read_ocsp
from mtlspolicy.revocation._ocsp_signer import require_signature

SECONDS: Final = 10.0
"""For one responder, from the look-up of its name to the last byte."""
_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_PORTS: Final = frozenset({80, 443})
PRIVATE: Final = frozenset({"fetch.address", "fetch.host"})
"""Refusals that --allow-private may take back."""


class Asked(NamedTuple):
    """One certificate that was asked about, what was said, and who signed it."""

    question: OCSPQuestion
    answer: RevocationAnswer
    signer: str = ""

    def row(self) -> dict[str, str]:
        """Return what there is to tell, by name, as text that any terminal can show."""
        answer = self.answer
        said = "none" if answer.status is RevocationStatus.UNAVAILABLE else answer.status.value
        told: dict[str, str | datetime | None] = {
            "certificate": str(self.question.certificate),
            "responder": escape(answer.source, 2048),
            "answer": said,
            "claim": "" if answer.claim is None else f"{answer.claim.value}, if its signer is not revoked",
            "code": answer.code,
            "detail": answer.detail,
            "thisUpdate": answer.this_update,
            "nextUpdate": answer.next_update,
            "producedAt": answer.produced_at,
            "revoked": answer.revoked_at,
            "reason": answer.reason,
            "signed by": self.signer,
        }
        return {name: shown(one) if isinstance(one, datetime) else one for name, one in told.items() if one}


def ask(needs: Iterable[Need], *, allow_private: bool) -> tuple[Asked, ...]:
    """Ask the responder of each certificate that *needs* are about: the rule's, or the first that answers of its own.

    Args:
        needs: Those that are no questions to a responder are left out.
        allow_private: Whether a responder may have an address that is not public, and any port.
    """
    questions = (need.key for need in needs if isinstance(need.key, OCSPQuestion))
    return tuple(_ask_one(question, allow_private=allow_private) for question in questions)


def facts_of(asked: Iterable[Asked]) -> Facts:
    """Return the answers as facts of now."""
    return Facts({one.question.need: Fact(one.answer, now()) for one in asked})


def _ask_one(question: OCSPQuestion, *, allow_private: bool) -> Asked:
    named = question.rule.responder
    try:
        urls = (named,) if named else ocsp_urls(question.certificate)
        request = ocsp_request(question)
    except MTLSPolicyError as error:
        return Asked(question, _none("ocsp.no-responder", str(error)))
    last = Asked(question, _none("ocsp.no-responder", "the certificate names no OCSP responder; say --ocsp URL"))
    for url in urls:
        destinations = destinations_for(url, named=named is not None, allow_private=allow_private)
        last = _ask_at(question, url, request, HTTPTransport(destinations=destinations))
        if last.answer.status is not RevocationStatus.UNAVAILABLE:
            break
    return last


def _ask_at(question: OCSPQuestion, url: str, request: bytes, transport: HTTPTransport) -> Asked:
    exchange = Exchange(url, request, "application/ocsp-request", "application/ocsp-response", MOST_BYTES)
    try:
        body = transport.fetch(exchange, until=time.monotonic() + SECONDS)
    except FetchFailed as error:
        remedy = "; where this responder is meant, say --allow-private" if error.code in PRIVATE else ""
        return Asked(question, _none(error.code, f"{error}{remedy}", url))
    at = now()
    answer = read_ocsp(body, question, at=at, digest="sha1", source=url)
    return Asked(question, answer, "" if answer.this_update is None else _signer(body, question, at))


def _signer(body: bytes, question: OCSPQuestion, at: datetime) -> str:
    """Return who signed a response that was accepted."""
    signer = require_signature(ocsp.load_der_ocsp_response(body), layout_of(body), question, at)
    return "the issuer" if signer == question.issuer else f"{signer}, in the issuer's name"


def _none(code: str, detail: str, url: str = "") -> RevocationAnswer:
    return RevocationAnswer(RevocationStatus.UNAVAILABLE, code, detail, url)


def destinations_for(url: str, *, named: bool, allow_private: bool) -> Destinations:
    """Return where a request to *url* may go: its port where somebody *named* it here, and addresses that are public.

    Args:
        url: From the command line or from a certificate.
        named: Whether it is from the command line.
        allow_private: Whether any address and port will do.
    """
    extra = (_port(url),) if named or allow_private else ()
    return Destinations(ports=_PORTS.union(extra), addresses=_EVERYWHERE if allow_private else ())


def _port(url: str) -> int:
    try:
        return urlsplit(url).port or 80
    except ValueError:
        return 80
