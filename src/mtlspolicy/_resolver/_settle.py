"""Asking a judgement again until nothing that can be had would change it: blocking, on a loop, or from the cache.

The judgement decides; here is only which needs are asked for, when, and for how long.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from mtlspolicy._evidence import Fact, Facts, Need
from mtlspolicy._resolver._flight import Flight

if TYPE_CHECKING:
    from mtlspolicy._judgement import Judgement, Outcome
    from mtlspolicy._resolver._resolver import Resolver

__all__ = ["settle", "settle_async", "settle_at_hand"]

ROUNDS: Final = 8
"""How often facts may open new needs; a policy that asks for ever is left with what it has."""

_Ask: TypeAlias = Callable[[Sequence[Need]], tuple[dict[Need, Fact], dict[Need, Flight]]]
_Course: TypeAlias = "Generator[list[Flight], bool, Outcome]"


def settle(judgement: Judgement, resolver: Resolver | None, *, deadline: float | None = None) -> Outcome:
    """Return the outcome with every fact that could be had in time. Blocks; for code that is not on an event loop.

    Args:
        judgement: Who is judged, under what, at what time: one snapshot.
        resolver: Where facts come from; ``None``: the outcome is that without facts.
        deadline: Seconds for all of it; ``None``: the resolver's.

    Raises:
        BaseException: Only what is no `Exception`, for example an interrupt; the caller refuses then.
    """
    if resolver is None:
        return judgement.outcome(Facts.NONE)
    until = time.monotonic() + (resolver.deadline if deadline is None else deadline)
    course = _course(judgement, resolver, lambda needs: resolver.ask(needs, None))
    try:
        flights = next(course)
        while True:
            left = max(0.0, _wake_at(flights, until) - time.monotonic())
            concurrent.futures.wait(
                [flight.landed for flight in flights], left, return_when=concurrent.futures.FIRST_COMPLETED
            )
            resolver.sweep()
            flights = course.send(time.monotonic() < until)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome


def settle_at_hand(judgement: Judgement, resolver: Resolver | None) -> Outcome:
    """Return the outcome with the facts in the cache. No I/O, no waiting: for a hook that runs on an event loop."""
    if resolver is None:
        return judgement.outcome(Facts.NONE)
    outcome = judgement.outcome(Facts.NONE)
    facts: dict[Need, Fact] = {}
    for _ in range(ROUNDS if outcome.needs else 0):
        found = resolver.at_hand(need for need in outcome.needs if need not in facts)
        if not found:
            break
        facts.update(found)
        outcome = judgement.outcome(Facts(facts))
    return outcome


async def settle_async(judgement: Judgement, resolver: Resolver | None, *, deadline: float | None = None) -> Outcome:
    """Return the outcome with every fact that could be had in time; like `settle`, while the event loop goes on.

    Being cancelled harms nobody else who waits for the same facts.
    """
    if resolver is None:
        return judgement.outcome(Facts.NONE)
    import asyncio

    from mtlspolicy._resolver._loops import first_landed

    loop = asyncio.get_running_loop()
    until = time.monotonic() + (resolver.deadline if deadline is None else deadline)
    course = _course(judgement, resolver, lambda needs: resolver.ask(needs, loop))
    try:
        flights = next(course)
        while True:
            await first_landed(flights, _wake_at(flights, until))
            resolver.sweep()
            flights = course.send(time.monotonic() < until)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome


def _wake_at(flights: Sequence[Flight], until: float) -> float:
    return min(until, *(flight.due for flight in flights))


def _course(judgement: Judgement, resolver: Resolver, ask: _Ask) -> _Course:
    """Evaluate, ask, yield the flights to wait for, and evaluate again as soon as one fact more is there.

    The driver sends whether there is still time. What is at hand is used before anything is asked, since it may decide;
    then all that is open is asked for at once, and what nobody needs any more is not waited for.
    """
    outcome = judgement.outcome(Facts.NONE)
    facts: dict[Need, Fact] = {}
    flying: dict[Need, Flight] = {}
    seen: set[Need] = set()
    asked: set[Need] = set()
    rounds = 0
    more_time = True
    while outcome.needs:
        rounds += not seen.issuperset(outcome.needs)
        if rounds > ROUNDS:
            break
        seen.update(outcome.needs)
        found = resolver.at_hand(need for need in outcome.needs if need not in facts)
        if not found and more_time:
            found, started = ask([need for need in outcome.needs if need not in asked])
            flying.update(started)
            asked.update(outcome.needs)
        if not found:
            waiting = [flying[need] for need in outcome.needs if need in flying]
            if not waiting or not more_time:
                break
            more_time = yield waiting
            found = _landed(flying)
        if found:
            facts.update(found)
            outcome = judgement.outcome(Facts(facts))
    return outcome


def _landed(flying: dict[Need, Flight]) -> dict[Need, Fact]:
    """Take the flights that are over out of *flying* and return what they brought."""
    found: dict[Need, Fact] = {}
    for need, flight in list(flying.items()):
        if flight.landed.done():
            del flying[need]
            if flight.error is not None:
                raise flight.error
            if flight.fact is not None:
                found[need] = flight.fact
    return found
