"""From a question to an answer by CRL: in memory, in the shared cache, or fetched, once for all who ask about one URL.

It opens no socket and no file itself; a CRL from either is verified under the question's own rule.
"""

from __future__ import annotations

import functools
import hashlib
import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from mtlspolicy._peer import now
from mtlspolicy._revocation import CRLQuestion, RevocationAnswer, shown
from mtlspolicy._revocation_pointers import crl_urls
from mtlspolicy._text import escape
from mtlspolicy.errors import MalformedEvidence, MTLSPolicyError
from mtlspolicy.revocation._cache import CachedStatement, crl_key
from mtlspolicy.revocation._crl import read_crl
from mtlspolicy.revocation._crl_layout import MOST_BYTES
from mtlspolicy.revocation._crl_list import RevocationList
from mtlspolicy.revocation._crls import Flight, Held
from mtlspolicy.revocation._http import Exchange
from mtlspolicy.revocation._shelf import LOGGER, useful
from mtlspolicy.revocation._steps import Launch, Wait, Work
from mtlspolicy.revocation._visit import Inquiry, answers, cannot_be_asked, unavailable, visited

if TYPE_CHECKING:
    from mtlspolicy.revocation._desk import Desk
    from mtlspolicy.revocation._steps import Course

__all__ = ["crl_course"]

SECONDS: Final = 30.0
"""For which a CRL is fetched and parsed, whether or not those who asked still wait: a large one takes long."""
RECENT: Final = 30.0
"""Seconds for which a CRL that is of no use to a question is not fetched again."""
MOST_POINTS: Final = 4
"""URLs of one certificate that are tried, each with its share of the time."""


class _Place(NamedTuple):
    """Where a CRL is published, the key that it is kept under, and since when it must have been received."""

    url: str
    key: str
    since: float


def crl_course(desk: Desk, question: CRLQuestion, since: float = -math.inf) -> Course[tuple[RevocationAnswer, str]]:
    """Look *question* up.

    Args:
        desk: What belongs to the process.
        question: Which certificate, by which issuer, under which rule.
        since: A CRL that was received before, in seconds of the monotonic clock, is not enough.

    Returns:
        The answer, what was seen before taken into account, and the key of the CRL it was read from; UNAVAILABLE says
        why there is none.
    """
    until = time.monotonic() + desk.terms.deadline
    rule, issuer = question.rule, question.issuer.layout.spki
    try:
        urls = (rule.distribution_point,) if rule.distribution_point else crl_urls(question.certificate)[:MOST_POINTS]
    except MTLSPolicyError as error:
        return cannot_be_asked(error), ""
    problem = unavailable("crl.no-distribution-point", "the certificate names no CRL that can be fetched")
    for place, url in enumerate(urls):
        place_of = _Place(url, crl_key(issuer, question.certificate.layout.issuer, url), since)
        share = (until - time.monotonic()) / (len(urls) - place)
        found = yield from _looked_up(desk, question, place_of, time.monotonic() + share)
        answer = desk.seen.judged(question, found)
        if answers(answer):
            return answer, place_of.key
        problem = problem if place else answer
    return desk.seen.judged(question, problem), ""


def _looked_up(desk: Desk, question: CRLQuestion, place: _Place, until: float) -> Course[RevocationAnswer]:
    """Return what the CRL at one place says: that in memory, or the one that is fetched, by whoever asked first."""
    began = time.monotonic()
    while True:
        held = desk.crls.held(place.key)
        if held is not None and held.fetched > place.since:
            answer = read_crl(held.crl, question, at=now(), source=place.url)
            if answers(answer) or held.fetched >= began - RECENT:
                return answer
        if time.monotonic() >= until:
            detail = "the CRL is being fetched and did not arrive within the time allowed"
            return unavailable("crl.pending", detail, place.url)
        flight, begins = desk.crls.join(place.key)
        if begins:
            ended = functools.partial(desk.crls.leave, place.key, flight)
            try:
                yield Launch(_fetch(desk, question, place, flight), ended)
            except Exception:
                ended()
                raise
        # a fetch that takes long is waited for once, so that it does not keep threads from the questions about others
        until = min(until, flight.began + desk.terms.deadline)
        yield Wait(flight.landed, until)
        if flight.failure is not None:
            return flight.failure


def _fetch(desk: Desk, question: CRLQuestion, place: _Place, flight: Flight) -> Course[None]:
    """Get the CRL, from the shared cache or by the network, and put it into memory; or say in *flight* why not."""
    try:
        held = desk.crls.held(place.key)
        reading = _Reading(question, place.url, held)
        if place.since == -math.inf and (yield from _kept(desk, place, reading)):
            return
        reading.held = None
        request = Exchange(place.url, accept="application/pkix-crl", most_bytes=MOST_BYTES)
        inquiry = Inquiry(
            "crl", place.url, place.key, place.key, (request,), reading.read, reading.accepted, takes_long=True
        )
        answer, body = yield from visited(desk, inquiry, until=time.monotonic() + SECONDS)
        if reading.held is None:
            flight.failure = answer
        elif not desk.crls.keep(place.key, reading.held):
            if answer.final:
                desk.seen.judged(question, answer)  # there is no way back, however old the CRL
            detail = f"thisUpdate {shown(reading.held.crl.this_update)}, after a newer CRL was seen"
            flight.failure = unavailable("crl.rollback", detail, place.url)
        elif held is None or held.digest != reading.held.digest:
            desk.renewed(place.key)
            if answers(answer):
                crl = reading.held.crl
                useful_until = useful(question, crl.this_update, crl.next_update)
                yield from desk.shelf.store(place.key, CachedStatement(body, crl.this_update, useful_until))
    except Exception as error:  # noqa: BLE001 - nobody waits for this look-up itself, so that it is said here
        detail = f"{type(error).__name__}: {escape(str(error), 200)}"
        LOGGER.warning("a CRL could not be looked up: %s", detail)
        flight.failure = unavailable("crl.unavailable", detail, place.url)


def _kept(desk: Desk, place: _Place, reading: _Reading) -> Course[bool]:
    """Put the CRL in the shared cache into memory, if it still answers the question."""
    statement = yield from desk.shelf.find(place.key)
    if statement is None:
        return False
    answer: RevocationAnswer = yield Work(functools.partial(reading.read, statement.data))
    return answers(answer) and reading.held is not None and desk.crls.keep(place.key, reading.held)


class _Reading:
    """Parses what is fetched or cached, unless it is the CRL in memory, and keeps it if the issuer has signed it.

    What the CRL says is read under each question's own rule later. Here the question only vouches that a CRL which
    takes the place of another one is of use: somebody on the way could put another part of the issuer's CRLs there.
    """

    def __init__(self, question: CRLQuestion, url: str, older: Held | None) -> None:
        self._question = question
        self._url = url
        self._older = older
        self.held: Held | None = None

    def read(self, data: bytes) -> RevocationAnswer:
        """Return what the CRL *data* says to the question."""
        self.held = None
        digest = hashlib.sha256(data).digest()
        same = self._older is not None and self._older.digest == digest
        try:
            crl = self._older.crl if self._older is not None and same else RevocationList.parse(data, source=self._url)
            answer = read_crl(crl, self._question, at=now())
            if answers(answer) or ((same or self._older is None) and _is_signed(crl, self._question)):
                answered = answers(answer) or (self._older is not None and same and self._older.answered)
                self.held = Held(crl, digest, time.monotonic(), answered)
        except MalformedEvidence:
            return read_crl(data, self._question, at=now(), source=self._url)
        return answer

    def accepted(self, answer: RevocationAnswer) -> bool:
        """Return whether what was read last is kept, whatever it says to the question."""
        del answer
        return self.held is not None


def _is_signed(crl: RevocationList, question: CRLQuestion) -> bool:
    """Return whether the issuer in question has signed *crl*; then its entries are read, which may take long."""
    return crl.issuer == question.certificate.layout.issuer and crl.signed_by(question.issuer) and len(crl) >= 0
