"""Gets the revocation lists for ``mtlspolicy explain --crl``, from files or by HTTP: what they say, and of whom.

What an entry comes to for the peer is the policy's to say. Nothing is kept, and nothing is fetched twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from mtlspolicy._evidence import Fact, Facts, Need, RevocationStatus
from mtlspolicy._names import DistinguishedName
from mtlspolicy._revocation import CRL_MAX_AGE, CRLQuestion, RevocationAnswer, shown
from mtlspolicy._revocation_pointers import crl_urls
from mtlspolicy._text import escape, quoted
from mtlspolicy.cli._ask import PRIVATE, destinations_for
from mtlspolicy.cli._input import read_bytes
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, MTLSPolicyError
from mtlspolicy.revocation._crl_layout import MOST_BYTES, crl_blocks
from mtlspolicy.revocation._crl_list import RevocationList
from mtlspolicy.revocation._crl_set import Held, crl_answer
from mtlspolicy.revocation._destinations import FetchFailed
from mtlspolicy.revocation._http import Exchange, HTTPTransport

SECONDS: Final = 30.0
"""For one list, from the look-up of the host's name to the last byte."""
_DELTA: Final = "2.5.29.27"
_NO_POINT: Final = "the certificate names no CRL that can be fetched; say --crl FILE or --crl URL"


class Told(NamedTuple):
    """One certificate that was looked for, and what the lists say of it."""

    question: CRLQuestion
    answer: RevocationAnswer

    def row(self) -> dict[str, str]:
        """Return what there is to tell, by name, as text that any terminal can show."""
        answer = self.answer
        said = {
            RevocationStatus.UNAVAILABLE: "cannot be said",
            RevocationStatus.GOOD: "not on the list",
            RevocationStatus.REVOKED: "on the list",
        }
        told: dict[str, str | datetime | None] = {
            "certificate": str(self.question.certificate),
            "answer": said.get(answer.status, answer.status.value),
            "code": answer.code,
            "detail": answer.detail,
            "revoked": answer.revoked_at,
            "reason": answer.reason,
        }
        return {name: shown(one) if isinstance(one, datetime) else one for name, one in told.items() if one}


class Lists:
    """The lists of one command.

    Args:
        named: A file or a URL; empty: those that the certificates name.
        allow_private: Whether a server may have an address that is not public, and any port.

    Raises:
        ConfigurationError: A file cannot be read, or holds no list.
    """

    def __init__(self, named: str, *, allow_private: bool) -> None:
        self._named = named
        self._allow_private = allow_private
        self._by_place: dict[str, Held] = {}
        if named and not is_url(named):
            self._by_place[named] = Held(tuple((crl, "") for crl in _of_file(named)))

    def told(self, needs: Iterable[Need], at: datetime) -> tuple[Told, ...]:
        """Return what the lists say of each certificate that *needs* are about; others are left out."""
        questions = [need.key for need in needs if isinstance(need.key, CRLQuestion)]
        return tuple(Told(one, self._answer(one, at)) for one in questions)

    def rows(self, at: datetime) -> tuple[dict[str, str], ...]:
        """Return what each list says of itself, or why there is none."""
        if self._named:
            self._held(self._named)
        return tuple(row for place, held in self._by_place.items() for row in _rows(place, held, at))

    def _answer(self, question: CRLQuestion, at: datetime) -> RevocationAnswer:
        try:
            places = (self._named,) if self._named else crl_urls(question.certificate)
        except MTLSPolicyError as error:
            return RevocationAnswer(RevocationStatus.UNAVAILABLE, "crl.no-distribution-point", str(error))
        last = RevocationAnswer(RevocationStatus.UNAVAILABLE, "crl.no-distribution-point", _NO_POINT)
        for place in places:
            last = crl_answer(question, self._held(place), at=at)
            if last.status is not RevocationStatus.UNAVAILABLE:
                break
        return last

    def _held(self, place: str) -> Held:
        if place not in self._by_place:
            self._by_place[place] = self._fetched(place)
        return self._by_place[place]

    def _fetched(self, url: str) -> Held:
        where = destinations_for(url, named=bool(self._named), allow_private=self._allow_private)
        exchange = Exchange(url, accept="application/pkix-crl", most_bytes=MOST_BYTES)
        try:
            body = HTTPTransport(destinations=where).fetch(exchange, until=time.monotonic() + SECONDS)
            return Held(tuple((RevocationList(block), "") for block in crl_blocks(body)))
        except FetchFailed as error:
            remedy = "; where this server is meant, say --allow-private" if error.code in PRIVATE else ""
            return Held(problems=((error.code, f"{error}{remedy}"),))
        except MalformedEvidence as error:
            return Held(problems=(("crl.malformed", escape(str(error), 200)),))


def facts_of(told: Iterable[Told], at: datetime) -> Facts:
    """Return the answers as facts of the time *at*."""
    return Facts({one.question.need: Fact(one.answer, at) for one in told})


def is_url(text: str) -> bool:
    """Return whether *text* is a URL and no name of a file; which one may be fetched is decided elsewhere."""
    return "://" in text


def _of_file(name: str) -> list[RevocationList]:
    data = read_bytes(name, wanted="a revocation list", largest=MOST_BYTES)
    try:
        return [RevocationList(block) for block in crl_blocks(data)]
    except MalformedEvidence as error:
        raise ConfigurationError(
            f"--crl {quoted(name)} is no revocation list: {escape(str(error), 200)}; give the CA's list, PEM or DER, "
            "or the URL to fetch it from",
            code="config.file",
        ) from None


def _rows(place: str, held: Held, at: datetime) -> Iterator[dict[str, str]]:
    where = escape(place, 2048)
    for code, detail in held.problems:
        yield {"list": where, "code": code, "detail": detail}
    for crl, _ in held.crls:
        yield {
            "list": where,
            "issuer": _issuer(crl),
            "number": _number(crl.crl_number),
            "thisUpdate": shown(crl.this_update),
            "nextUpdate": "none" if crl.next_update is None else shown(crl.next_update),
            "fresh": _freshness(crl, at),
            "entries": _entries(crl),
            "scope": _scope(crl),
        }


def _number(number: int | None) -> str:
    if number is None:
        return "none"
    # RFC 5280, section 5.2.3: of 20 octets at most. Python refuses to print one of thousands.
    return str(number) if number.bit_length() <= 160 else f"of {number.bit_length()} bits, where 160 are allowed"


def _issuer(crl: RevocationList) -> str:
    try:
        return str(DistinguishedName.from_der(crl.issuer))
    except MalformedEvidence as error:
        return f"cannot be read: {escape(str(error), 200)}"


def _freshness(crl: RevocationList, at: datetime) -> str:
    if crl.this_update > at:
        return "no: it is of a time to come"
    if crl.next_update is None:
        return "no: it does not say until when it is current"
    if crl.next_update < at:
        return "no: nextUpdate is over; have the CA sign a new one"
    if at - crl.this_update > CRL_MAX_AGE:
        return f"no: older than {CRL_MAX_AGE.days} days, the default of NotRevoked(crl_max_age=...)"
    return "yes"


def _entries(crl: RevocationList) -> str:
    try:
        return str(len(crl))
    except MalformedEvidence as error:
        return f"cannot be read: {escape(str(error), 200)}"


def _scope(crl: RevocationList) -> str:
    scope = crl.scope
    parts = (
        (_DELTA in crl.extensions, "changes only (a delta CRL)"),
        (scope.indirect, "certificates of several issuers (indirect)"),
        (scope.users, "certificates that are no CA's"),
        (scope.authorities, "certificates of CAs"),
        (scope.attributes, "attribute certificates"),
        (scope.partial, "some reasons of revocation"),
        (scope.point is not None, "one distribution point"),
    )
    return ", ".join(text for there, text in parts if there) or "all certificates of its issuer"
