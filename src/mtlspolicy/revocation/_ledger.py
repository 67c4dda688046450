"""The answers of one process that were verified, and when each is asked for again. It asks nobody and reads no clock.

Bounded; not safe between threads by itself.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._resolver import Answer
from mtlspolicy._revocation import RevocationAnswer, RevocationQuestion

__all__ = ["Ledger", "Moment", "terms_of", "time_left"]

MOST: Final = 100_000
"""Answers kept, and renewed before they lapse; as many as a resolver keeps. The one unused for longest goes first."""
UNUSED: Final = 3600.0
"""Seconds after which an answer that nobody asked for is no longer renewed; more where it lives longer."""
RETRY: Final = 1.0
"""Seconds for which an answer is kept that the next one may mend."""
LONGEST: Final = timedelta(days=3650)
"""No answer is kept longer, whatever it says."""
EARLIEST, LATEST = 0.6, 0.9
"""Part of its remaining life after which an answer is renewed, at random between the two."""


class Moment(NamedTuple):
    """One moment on two clocks: seconds that never go back, and an aware time."""

    seconds: float
    at: datetime


class _Entry:
    """An answer, when it was learnt and last asked for, and when it is due, in seconds of the monotonic clock."""

    __slots__ = ("answer", "due", "learnt", "life", "pointer", "taken", "used")

    def __init__(self, answer: RevocationAnswer, learnt: float, pointer: str) -> None:
        self.answer = answer
        self.learnt = learnt
        self.pointer = pointer
        self.used = learnt
        self.life = 0.0
        self.due = math.inf
        self.taken = False


class Ledger:
    """Answers by question, and the order in which they are to be renewed.

    Args:
        chance: Returns numbers from 0 up to 1, which spread the renewals.
        most: Answers kept.
    """

    def __init__(self, chance: Callable[[], float], most: int = MOST) -> None:
        self._chance = chance
        self._most = most
        self._entries: OrderedDict[RevocationQuestion, _Entry] = OrderedDict()
        self._order: list[tuple[float, int, RevocationQuestion]] = []
        self._count = 0

    def recall(self, question: RevocationQuestion, moment: Moment, *, asked: bool = True) -> RevocationAnswer | None:
        """Return the answer that still holds; ``None``: there is none, or it has lapsed. *asked*: by somebody, now."""
        entry = self._entries.get(question)
        if entry is None or not _holds(entry, question, moment):
            return None
        if asked:
            entry.used = moment.seconds
            self._entries.move_to_end(question)
        return entry.answer

    def learnt(self, question: RevocationQuestion) -> float:
        """Return when the answer was learnt, or looked for again, on the monotonic clock; minus infinity: never."""
        entry = self._entries.get(question)
        return -math.inf if entry is None else entry.learnt

    def learn(self, question: RevocationQuestion, answer: RevocationAnswer, moment: Moment, pointer: str = "") -> None:
        """Keep *answer*, which was verified, and plan its renewal.

        Args:
            question: What was asked.
            answer: GOOD, REVOKED or UNKNOWN.
            moment: When it was accepted.
            pointer: Which CRL it was read from, so that a new one renews every answer.
        """
        entry = _Entry(answer, moment.seconds, pointer)
        older = self._entries.get(question)
        if older is not None:
            entry.used = older.used
        left = time_left(answer, question, moment.at)
        if left is not None and answer.told is not RevocationStatus.UNKNOWN:
            entry.life = left.total_seconds()
            self._plan(question, entry, moment.seconds + self._part(entry.life, EARLIEST, LATEST))
        self._entries[question] = entry
        self._entries.move_to_end(question)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def expedite(self, pointer: str, moment: Moment) -> None:
        """Make every answer due that was read from *pointer* before this moment."""
        for question, entry in self._entries.items():
            if entry.pointer == pointer and entry.learnt < moment.seconds and entry.due < math.inf:
                self._plan(question, entry, moment.seconds)

    def postpone(self, question: RevocationQuestion, moment: Moment) -> None:
        """Plan another renewal after one that brought nothing new; forget an answer that has lapsed."""
        entry = self._entries.get(question)
        if entry is None or not entry.taken:
            return
        left = time_left(entry.answer, question, moment.at)
        if left is None or left <= timedelta(0):
            del self._entries[question]
        else:
            entry.learnt = moment.seconds
            self._plan(question, entry, moment.seconds + self._part(left.total_seconds(), 0.2, 0.5, whole=entry.life))

    def next_due(self) -> float | None:
        """Return when the next renewal is due, in seconds of the monotonic clock; ``None``: none is planned."""
        while self._order:
            due, _, question = self._order[0]
            entry = self._entries.get(question)
            if entry is not None and entry.due == due:
                return due
            heapq.heappop(self._order)
        return None

    def take(self, now: float, used: Callable[[RevocationQuestion], float]) -> RevocationQuestion | None:
        """Return the next question that is due, and forget those that nobody has asked for a while.

        Args:
            now: Seconds of the monotonic clock.
            used: Returns when a question was last asked elsewhere, same clock.
        """
        while (due := self.next_due()) is not None and due <= now:
            _, _, question = heapq.heappop(self._order)
            entry = self._entries[question]
            entry.due, entry.taken = math.inf, True
            if now - max(entry.used, used(question)) <= max(UNUSED, entry.life):
                return question
            del self._entries[question]
        return None

    def due_in(self, question: RevocationQuestion, now: float) -> float | None:
        """Return for how many seconds nothing newer is to be expected; ``None``: no renewal is planned."""
        entry = self._entries.get(question)
        if entry is not None and entry.taken:
            return RETRY
        return None if entry is None or entry.due == math.inf else max(RETRY, entry.due - now)

    def _plan(self, question: RevocationQuestion, entry: _Entry, due: float) -> None:
        entry.due, entry.taken = due, False
        self._count += 1
        heapq.heappush(self._order, (due, self._count, question))
        if len(self._order) > 4 * self._most:  # plans that were made anew; each answer has one that counts
            self._order = [one for one in self._order if _counts(self._entries.get(one[2]), one[0])]
            heapq.heapify(self._order)

    def _part(self, left: float, least: float, most: float, *, whole: float = 0.0) -> float:
        """Return a part of the seconds that are left; not so small that an answer that stays old is asked for often."""
        floor = min(300.0, max(RETRY, (whole or left) / 50.0))
        return max(floor, left * (least + (most - least) * self._chance()))


def _counts(entry: _Entry | None, due: float) -> bool:
    return entry is not None and entry.due == due


def _holds(entry: _Entry, question: RevocationQuestion, moment: Moment) -> bool:
    answer, rule = entry.answer, question.rule
    if answer.final:
        return True
    if answer.this_update is None:  # a contradiction has no date of its own
        return moment.seconds - entry.learnt <= rule.max_age.total_seconds()
    return answer.lapsed(rule, moment.at) is None


def time_left(answer: RevocationAnswer, question: RevocationQuestion, at: datetime) -> timedelta | None:
    """Return how long *answer* still says what holds, clock skew not counted; ``None``: for ever, or it has no date."""
    if answer.final or answer.this_update is None:
        return None
    left = answer.this_update - at + min(question.rule.max_age, LONGEST)
    return left if answer.next_update is None else min(left, answer.next_update - at)


def terms_of(
    question: RevocationQuestion, answer: RevocationAnswer, at: datetime, due_in: float | None = None
) -> Answer:
    """Return *answer* with its age, and for how long a resolver may keep it.

    Args:
        question: What was asked.
        answer: What is answered.
        at: This moment, aware.
        due_in: Seconds until it is renewed, for a resolver that has to come back for the renewed answer.
    """
    if answer.final:
        return Answer(answer, obtained_at=at)
    left = time_left(answer, question, at)
    if left is None or answer.told in {RevocationStatus.UNAVAILABLE, RevocationStatus.UNKNOWN}:
        return Answer(answer, obtained_at=at, keep=RETRY)
    if answer.claim is RevocationStatus.REVOKED:  # whatever its age; it is for the delegate's status to say more
        return Answer(answer, obtained_at=at, keep=max(RETRY, left.total_seconds()) if due_in is None else due_in)
    whole = max(0.0, (left + min(question.rule.clock_skew, LONGEST)).total_seconds())
    obtained_at = at if answer.this_update is None else min(answer.this_update, at)
    return Answer(answer, obtained_at=obtained_at, keep=whole if due_in is None else min(whole, due_in))
