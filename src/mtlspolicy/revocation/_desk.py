"""What one process knows and does about revocation: answers, breakers, what was seen, CRLs, and what is due.

It says which course a question takes; it neither reads a response nor opens a socket itself.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
import weakref
from typing import TYPE_CHECKING, NamedTuple

from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._peer import now
from mtlspolicy._revocation import OCSPQuestion, RevocationAnswer, RevocationQuestion
from mtlspolicy.revocation._breaker import Breaker
from mtlspolicy.revocation._crl_course import crl_course
from mtlspolicy.revocation._crls import CRLs
from mtlspolicy.revocation._delegates import Delegates
from mtlspolicy.revocation._ledger import Ledger, Moment, terms_of
from mtlspolicy.revocation._ocsp_course import ocsp_course
from mtlspolicy.revocation._seen import Seen
from mtlspolicy.revocation._shelf import Notes, Shelf
from mtlspolicy.revocation._visit import answers, newer, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from mtlspolicy._certificate import ParsedCertificate
    from mtlspolicy._resolver import Answer, Resolver
    from mtlspolicy._revocation import OCSPRule
    from mtlspolicy.revocation._cache import Cache, CachedStatement
    from mtlspolicy.revocation._destinations import Destinations
    from mtlspolicy.revocation._steps import Course

__all__ = ["Desk", "Terms", "moment"]


class Terms(NamedTuple):
    """What a refresher was told; ``deadline`` in seconds."""

    cache: Cache
    destinations: Destinations
    deadline: float
    nonce: bool
    digest: str
    background: bool


def moment() -> Moment:
    """Return this moment."""
    return Moment(time.monotonic(), now())


class Desk:
    """The state of one process; made anew after a fork, since its locks may be held by threads that stayed behind.

    Args:
        terms: What the refresher was told.
        resolvers: Those that renewed answers are pushed to.
    """

    def __init__(self, terms: Terms, resolvers: weakref.WeakSet[Resolver]) -> None:
        self.pid = os.getpid()
        self.terms = terms
        self.breaker = Breaker()
        self.seen = Seen()
        self.crls = CRLs()
        self._delegates = Delegates()
        self.shelf = Shelf(terms.cache)
        self.notes = Notes()
        self.changed: Callable[[], None] = _nobody
        """Called, from any thread, when what is due has changed, or everything ends."""
        self.closed = False
        self._resolvers = resolvers
        self._ledger = Ledger(random.random)
        self._lock = threading.RLock()  # a desk that the garbage collector finds is closed wherever that is

    def recalled(self, question: RevocationQuestion) -> RevocationAnswer | None:
        """Return the answer in memory that still holds."""
        with self._lock:
            return self._unless_revoked(question, self._ledger.recall(question, moment()))

    def answer(self, question: RevocationQuestion) -> Course[RevocationAnswer]:
        """Look *question* up: memory, then the shared cache, then the network.

        What the responder did not know stays so until it says something else: its silence afterwards mends nothing.
        """
        known = self.recalled(question)
        if known is not None and known.told is not RevocationStatus.UNKNOWN:
            return known
        if isinstance(question, OCSPQuestion):
            found = yield from ocsp_course(self, question, None)
            pointer = _pointer(found.delegate)
        else:
            found, pointer = yield from crl_course(self, question)
        answer = yield from self._kept(question, self._learnt(question, found, pointer))
        return answer if known is None or answers(answer) else known

    def renew(self, question: RevocationQuestion) -> Course[None]:
        """Look for something newer than is known, and tell the resolvers."""
        with self._lock:
            held = self._ledger.recall(question, moment(), asked=False)
            known = self._unless_revoked(question, held)
            learnt = self._ledger.learnt(question)
        if isinstance(question, OCSPQuestion):
            found = yield from ocsp_course(self, question, known)
            pointer = _pointer(found.delegate)
        else:
            found, pointer = yield from crl_course(self, question, learnt)
        if not answers(found) or not newer(found, known):
            return self.postpone(question)
        answer = yield from self._kept(question, self._learnt(question, found, pointer))
        told = terms_of(question, answer, now())
        if known is not held:  # what a revoked delegate said is not the newer of the two, whatever its date
            told.obtained_at = now()
        for resolver in list(self._resolvers):
            resolver.renew(question.need, told)

    def postpone(self, question: RevocationQuestion) -> None:
        """Plan another renewal after one that brought nothing."""
        with self._lock:
            self._ledger.postpone(question, moment())

    def given(self, question: RevocationQuestion, answer: RevocationAnswer, *, pushed: bool) -> Answer:
        """Return *answer* with its age and life; where renewals are not pushed, it ends when the next one is due.

        What was learnt since it was found stands in its place: nothing older is told after something newer.
        """
        with self._lock:
            at = moment()
            held = self._ledger.recall(question, at, asked=False)
            answer = held if held is not None and answers(answer) else answer
            due_in = self._ledger.due_in(question, at.seconds) if self.terms.background and not pushed else None
            return terms_of(question, answer, at.at, due_in)

    def due(self) -> tuple[RevocationQuestion | None, float | None]:
        """Return the question to renew now, or for how many seconds there is none; ``None``: none is planned."""
        with self._lock:
            at = time.monotonic()
            question = self._ledger.take(at, self._used)
            next_due = self._ledger.next_due()
        return question, None if next_due is None else max(0.0, next_due - at)

    def renewed(self, pointer: str) -> None:
        """Make due what was read from an older CRL, or told by a delegate that is revoked."""
        with self._lock:
            self._ledger.expedite(pointer, moment())
        self.changed()

    def has_renewals(self) -> bool:
        """Return whether something is to be renewed."""
        with self._lock:
            return self.terms.background and not self.closed and self._ledger.next_due() is not None

    def close(self) -> bool:
        """End the renewals, and return whether there were any: in a forked child there are none of the parent's."""
        if self.pid != os.getpid():
            return False
        self.closed = True
        self.changed()
        return True

    def _learnt(self, question: RevocationQuestion, found: RevocationAnswer, pointer: str) -> RevocationAnswer:
        """Keep what was found; judged in one step with keeping it, so that nothing older comes in between."""
        with self._lock:
            before = self._ledger.next_due()
            answer = self.seen.judged(question, found)
            if answers(answer):
                self._ledger.learn(question, answer, moment(), pointer)
            earlier = self._ledger.next_due() != before
        if earlier:
            self.changed()
        return answer

    def without_revoked(self, question: RevocationQuestion, answer: RevocationAnswer) -> RevocationAnswer:
        """Return *answer*, or that there is none: a claim of a delegate that is known to be revoked."""
        if (
            answer.delegate is None
            or not isinstance(question, OCSPQuestion)
            or self.standing(answer.delegate, question.rule) is not RevocationStatus.REVOKED
        ):
            return answer
        detail = f"signed by {answer.delegate}, whose own certificate is revoked"
        return unavailable("ocsp.delegate-revoked", detail, answer.source)

    def _unless_revoked(self, question: RevocationQuestion, known: RevocationAnswer | None) -> RevocationAnswer | None:
        return None if known is None or not answers(self.without_revoked(question, known)) else known

    def standing(self, delegate: ParsedCertificate, rule: OCSPRule) -> RevocationStatus:
        """Return what was learnt of a delegate that counts under *rule*; UNAVAILABLE: nothing."""
        with self._lock:
            return self._delegates.status(delegate, rule)

    def put_aside(self, key: str, delegate: ParsedCertificate, rule: OCSPRule, statement: CachedStatement) -> None:
        """Keep *statement* out of the shared cache until its delegate is known to be good."""
        with self._lock:
            self._delegates.wait(key, delegate, rule, statement)

    def _kept(self, question: RevocationQuestion, answer: RevocationAnswer) -> Course[RevocationAnswer]:
        """Return *answer*; if it is about a delegate, keep what that one has signed, or make due what it has told."""
        if question.delegate and answer.status is RevocationStatus.REVOKED:
            self.renewed(_pointer(question.certificate))
        with self._lock:
            released = self._delegates.learn(question, answer)
        for key, statement in released:
            yield from self.shelf.store(key, statement)
        return answer

    def _used(self, question: RevocationQuestion) -> float:
        return max((one.last_asked(question.need) for one in list(self._resolvers)), default=-math.inf)


def _pointer(delegate: ParsedCertificate | None) -> str:
    """Return what marks the claims of one delegate in the ledger."""
    return "" if delegate is None else f"delegate {delegate.sha256}"


def _nobody() -> None:
    """Tell nobody: there are no renewals yet."""
