"""Breakers: when a responder, or the question about one certificate, is left alone for a while after it failed.

It asks nobody and reads no clock. Trouble with one certificate never stops the questions about others: a responder's
own breaker opens only when it fails for several certificates in a row.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["Blame", "Breaker", "Visit"]

Blame: TypeAlias = Literal["responder", "certificate", "answer"]

FIRST_PAUSE: Final = 1.0
"""Seconds that the first failure is waited for; each further one doubles them."""
LONGEST_PAUSE: Final = 30.0
"""Seconds that are waited at most, so that a responder that has come back is soon asked again."""
CERTIFICATES: Final = 3
"""Different certificates that a responder must fail for in a row: whoever holds one bad certificate opens nothing."""
TRIAL: Final = 5.0
"""Seconds after which a trial of which nothing was heard makes room for another."""
MOST: Final = 100_000
"""Breakers remembered; the one untouched for longest goes first."""


class Visit(NamedTuple):
    """Who is asked what.

    Attributes:
        origin: The responder: scheme, host and port.
        subject: The question, with the rule under which an answer would be accepted.
        certificate: What the question is about, whatever the rule.
    """

    origin: str
    subject: Hashable
    certificate: Hashable


class _Circuit:
    """One breaker. Closed until ``failures`` counts; open until ``until``; then one trial at a time."""

    __slots__ = ("certificates", "detail", "failures", "on_trial", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0
        self.detail = ""
        self.on_trial = False
        self.certificates: set[Hashable] = set()


class Breaker:
    """The breakers of one process: per responder, and per question at a responder. Bounded; safe between threads.

    Args:
        chance: Returns numbers from 0 up to 1; pauses are spread by it, so that not everybody comes back at once.
        most: Breakers remembered.
    """

    def __init__(self, chance: Callable[[], float] = random.random, most: int = MOST) -> None:
        self._chance = chance
        self._most = most
        self._circuits: OrderedDict[Hashable, _Circuit] = OrderedDict()
        self._lock = threading.Lock()

    def admits(self, visit: Visit, now: float) -> tuple[float, str] | None:
        """Return ``None`` where the responder may be asked, else for how many seconds not, and what failed last.

        After a pause one visitor is let in as a trial; the others wait for what comes of it.

        Args:
            visit: Who would be asked what.
            now: Seconds on a clock that does not go back.
        """
        with self._lock:
            found = [self._circuits.get(key) for key in (visit.origin, (visit.origin, visit.subject))]
            opened = [circuit for circuit in found if circuit is not None and circuit.failures]
            longest = max(opened, key=lambda circuit: circuit.until, default=None)
            if longest is not None and longest.until > now:
                return longest.until - now, longest.detail
            for circuit in opened:
                circuit.until = now + TRIAL
                circuit.on_trial = True
            return None

    def answered(self, visit: Visit) -> None:
        """Note an answer to rely on: both breakers close."""
        with self._lock:
            self._circuits.pop(visit.origin, None)
            self._circuits.pop((visit.origin, visit.subject), None)

    def failed(self, visit: Visit, blame: Blame, now: float, detail: str) -> None:
        """Note that there was no answer to rely on.

        Args:
            visit: Who was asked what.
            blame: ``responder``: it could not be reached or is in trouble; ``certificate``: it refuses this question;
                ``answer``: it is well, as its signature says, and knows nothing of the certificate.
            now: Seconds on the clock of `admits`.
            detail: What failed, for people.
        """
        with self._lock:
            self._open(self._circuit((visit.origin, visit.subject)), now, detail)
            if blame == "answer":
                self._circuits.pop(visit.origin, None)
            elif blame == "responder":
                circuit = self._circuit(visit.origin)
                circuit.certificates.add(visit.certificate)
                if circuit.failures or len(circuit.certificates) >= CERTIFICATES:
                    circuit.certificates.clear()
                    self._open(circuit, now, detail)
            elif (tried := self._circuits.get(visit.origin)) is not None and tried.failures:
                tried.until = now  # the trial said nothing of the responder: the next visitor is one

    def _open(self, circuit: _Circuit, now: float, detail: str) -> None:
        if circuit.until > now and not circuit.on_trial:
            return  # several were asking when it opened, and theirs is the same failure
        circuit.on_trial = False
        circuit.failures += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(circuit.failures - 1, 16))
        circuit.until = now + pause * (0.75 + 0.5 * self._chance())
        circuit.detail = detail

    def _circuit(self, key: Hashable) -> _Circuit:
        circuit = self._circuits.setdefault(key, _Circuit())
        self._circuits.move_to_end(key)
        if len(self._circuits) > self._most:
            self._circuits.popitem(last=False)
        return circuit
