"""One responder asked one question: ways to ask, retries with growing pauses, and what a failure counts for.

It decides neither which responder is asked nor what an answer means; it ends by a time on the monotonic clock.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final, NamedTuple

from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._revocation import RevocationAnswer
from mtlspolicy._text import escape
from mtlspolicy.errors import MTLSPolicyError
from mtlspolicy.revocation._breaker import Blame, Visit
from mtlspolicy.revocation._destinations import FetchFailed, target_of
from mtlspolicy.revocation._http import Exchange
from mtlspolicy.revocation._steps import Course, Pause, Send, Work

if TYPE_CHECKING:
    from mtlspolicy.revocation._desk import Desk

__all__ = ["Inquiry", "answers", "cannot_be_asked", "newer", "unavailable", "visited"]

ATTEMPTS: Final = 4
"""Exchanges with one responder for one question."""
BACKOFF: Final = 0.1
"""Seconds before the second attempt, before jitter; each further pause is twice as long."""
_PASSING: Final = frozenset({"ocsp.try-later", "ocsp.internal-error"})
"""What a responder says unsigned, with a status of 200, and means as another means a 503."""
_UNREACHED: Final = frozenset(
    {"fetch.url", "fetch.host", "fetch.address", "fetch.resolve", "fetch.connect", "fetch.timeout", "fetch.tls"}
)
"""Failures that have nothing to do with the method of the request."""


class Inquiry(NamedTuple):
    """What is sent, and how what comes back is read.

    Attributes:
        area: ``ocsp`` or ``crl``.
        url: Of the responder, for people.
        subject: The question, with the rule under which an answer would be accepted.
        certificate: What the question is about, whatever the rule.
        ways: The requests that may be sent, in order; the next one is tried where one is refused or gives rubbish.
        read: Makes an answer of a body; pure.
        accepted: Whether that answer, by the word of who may give it, ends the visit.
        takes_long: Whether reading takes so long that it may not be done on an event loop.
    """

    area: str
    url: str
    subject: Hashable
    certificate: Hashable
    ways: tuple[Exchange, ...]
    read: Callable[[bytes], RevocationAnswer]
    accepted: Callable[[RevocationAnswer], bool]
    takes_long: bool = False


def unavailable(code: str, detail: str, source: str = "") -> RevocationAnswer:
    """Return the answer that says why there is none to rely on."""
    return RevocationAnswer(RevocationStatus.UNAVAILABLE, code, detail, source)


def answers(answer: RevocationAnswer) -> bool:
    """Return whether *answer* is one, whatever it says, a delegate's claim included."""
    return answer.told is not RevocationStatus.UNAVAILABLE


def cannot_be_asked(error: MTLSPolicyError) -> RevocationAnswer:
    """Return the answer about a certificate that cannot be asked about: a doubt, which no outage explains."""
    return RevocationAnswer(RevocationStatus.UNKNOWN, "revocation.pointers", str(error))


def newer(answer: RevocationAnswer, known: RevocationAnswer | None) -> bool:
    """Return whether *answer* says more than what is known: anything, where nothing is."""
    if known is None or answer.final:
        return True
    return answer.this_update is not None and known.this_update is not None and answer.this_update > known.this_update


def visited(desk: Desk, inquiry: Inquiry, *, until: float) -> Course[tuple[RevocationAnswer, bytes]]:
    """Ask the responder that *inquiry* names, unless its breaker is open.

    Args:
        desk: Whose breaker says whether it may be asked, and is told what came of it.
        inquiry: What is asked.
        until: When there has to be an answer, on the monotonic clock, in seconds.

    Returns:
        The answer and the body that it was read from; UNAVAILABLE and an empty body where there is none.
    """
    url = inquiry.url
    try:
        origin = target_of(url, desk.terms.destinations).origin
    except FetchFailed as problem:  # nothing was asked, so that no breaker has to know
        return unavailable(problem.code, str(problem), url), b""
    if time.monotonic() >= until:  # used up by a slow cache: no responder is to blame
        return unavailable("fetch.timeout", "no time was left to ask", url), b""
    visit = Visit(origin, inquiry.subject, inquiry.certificate)
    left_alone = desk.breaker.admits(visit, time.monotonic())
    if left_alone is not None:
        seconds, detail = left_alone
        return unavailable(f"{inquiry.area}.breaker", f"not asked for {seconds:.1f} s after: {detail}", url), b""
    answer, body, blame = yield from _asked(inquiry, until)
    if blame is None:
        desk.breaker.answered(visit)
    else:
        desk.breaker.failed(visit, blame, time.monotonic(), f"{answer.code}: {answer.detail}")
        desk.notes.say(origin, escape(f"no answer from {url}: {answer.code}: {answer.detail}", 1024))
    return answer, body


def _asked(inquiry: Inquiry, until: float) -> Course[tuple[RevocationAnswer, bytes, Blame | None]]:
    """Return the answer, its body, and whom a failure counts for."""
    ways = list(inquiry.ways)
    attempt = 0
    while True:
        attempt += 1
        try:
            body = yield Send(ways[0], until)
        except FetchFailed as problem:
            answer, again, blame = (
                unavailable(problem.code, str(problem), inquiry.url),
                problem.retryable,
                problem.counts_for,
            )
        else:
            answer = (yield Work(functools.partial(inquiry.read, body))) if inquiry.takes_long else inquiry.read(body)
            if inquiry.accepted(answer):
                return answer, body, "answer" if answer.told is RevocationStatus.UNKNOWN else None
            again = answer.code in _PASSING
            blame = "responder" if again else "certificate"
        if len(ways) > 1 and answer.code not in _UNREACHED:
            del ways[0]
            continue
        pause = BACKOFF * 2.0 ** (attempt - 1) * (0.5 + random.random())  # noqa: S311 - spreads the load, hides nothing
        if not again or attempt >= ATTEMPTS or time.monotonic() + pause >= until:
            return answer, b"", blame
        yield Pause(pause)
