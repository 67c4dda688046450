"""The resolver: sources by kind of need, and the one way to ask them, from threads and from event loops alike."""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mtlspolicy._evidence import Fact
from mtlspolicy._resolver._board import Board
from mtlspolicy._resolver._flight import INTERRUPTS, Flight, Workers
from mtlspolicy._resolver._source import Answer, Source, Terms, instant_of, is_async, readable_sources

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType
    from typing import Self

    from mtlspolicy._evidence import Need
    from mtlspolicy._resolver._loops import PrivateLoop

__all__ = ["Resolver"]


class _Desk:
    """A board with the threads and the loop that serve it, of one process; made anew after a fork."""

    def __init__(self, sources: Mapping[str, Source], terms: Terms) -> None:
        self.board = Board(terms)
        self._sources = sources
        self._workers: dict[str, Workers] = {}
        self._private: PrivateLoop | None = None

    def start(self, flight: Flight) -> None:
        """Have the source called for a new *flight*; a flight that cannot start has failed."""
        kind = flight.slot[0]
        source = self._sources[kind]
        try:
            if flight.loop is not None:
                from mtlspolicy._resolver._loops import fly, launch  # loads asyncio, which blocking programs go without

                launch(flight.loop, flight, fly(flight, source, self.board.land))
            elif is_async(source):
                self._loop().start(flight, source, self.board.land)
            else:
                self._workers_for(kind, source).submit(flight)
        except Exception as failure:  # noqa: BLE001 - no thread or file to be had, a loop that is closed or takes no task
            self.board.land(flight, failure=failure)

    def close(self) -> None:
        """Fail what is under way and end the private loop. In a forked child the parent's threads are not there."""
        if self.board.pid != os.getpid():
            return
        for flight in self.board.close():
            if flight.loop is not None:
                from mtlspolicy._resolver._loops import cancel

                cancel(flight.loop, flight)
        if self._private is not None:
            self._private.stop()

    def _loop(self) -> PrivateLoop:
        from mtlspolicy._resolver._loops import PrivateLoop

        with self.board.lock:
            self._private = self._private or PrivateLoop()
            return self._private

    def _workers_for(self, kind: str, source: Source) -> Workers:
        def call(flight: Flight) -> None:
            _call(flight, source, self.board)

        with self.board.lock:
            workers = self._workers[kind] = self._workers.get(kind) or Workers(call, kind)
            return workers


def _call(flight: Flight, source: Source, board: Board) -> None:
    """Call a blocking source in a worker thread and land the flight, however it ends."""
    try:
        value = source(flight.slot[1])
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise TypeError("the source is a plain function and returned an awaitable: write it as async def")  # noqa: TRY301
    except INTERRUPTS as interrupt:  # raised in those who wait, not lost in this thread
        flight.error = interrupt
        board.land(flight, failure=interrupt)
    except BaseException as failure:  # noqa: BLE001 - whatever a source raises, a stray CancelledError included
        board.land(flight, failure=failure)
    else:
        board.land(flight, value)


class Resolver:
    """Turns needs into facts: each source is asked once for a key however many wait, within a deadline, and remembered.

    A source that raises, takes longer than the deadline or is cancelled gives no fact: the decision that needed it
    stays INDETERMINATE. Async sources run on the event loop that asks (and on a loop of the resolver's own for blocking
    callers); plain functions run in threads of the resolver, so objects that are bound to one thread, such as a default
    SQLite connection, are opened inside the function. One resolver serves any number of contexts, loops and threads; it
    starts no thread before its first question, and after a fork it starts afresh.

    Args:
        sources: A function of the key, ``def`` or ``async def``, for each kind of need.
        deadline: Seconds that one question may take, waiting for a thread included.
        max_entries: Facts kept at most; the one unused for longest goes first.
        default_max_age: Seconds that a fact is used for a need that states no ``max_age`` of its own.
        negative_max_age: Seconds for which a question that failed is not asked again, at most the need's ``max_age``.
        max_pending: Questions under way at most; further ones get no fact.

    Raises:
        ConfigurationError: No source, something that is not a function, or a bound out of range.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        *,
        deadline: float = 2.0,
        max_entries: int = 100_000,
        default_max_age: float = 60.0,
        negative_max_age: float = 1.0,
        max_pending: int = 10_000,
    ) -> None:
        self._terms = Terms(deadline, max_entries, default_max_age, negative_max_age, max_pending).require()
        self._sources = readable_sources(sources)
        found = {kind: instant_of(source) for kind, source in self._sources.items()}
        self._instant = {kind: answers for kind, answers in found.items() if answers is not None}
        self._open_desk(_Desk(self._sources, self._terms))

    @property
    def deadline(self) -> float:
        """Seconds that one question may take."""
        return self._terms.deadline

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of needs that have a source."""
        return frozenset(self._sources)

    def at_hand(self, needs: Iterable[Need]) -> dict[Need, Fact]:
        """Return the facts that are in the cache, young enough for their needs, or had at once. No I/O to speak of."""
        board = self._current().board
        if not self._instant:
            return board.at_hand(needs)
        wanted = tuple(needs)
        found = board.at_hand(wanted)
        for need in wanted:
            answers = self._instant.get(need.kind)
            fact = None if need in found or answers is None else board.at_once(need, answers)
            if fact is not None:
                found[need] = fact
        return found

    def ask(
        self, needs: Iterable[Need], loop: asyncio.AbstractEventLoop | None
    ) -> tuple[dict[Need, Fact], dict[Need, Flight]]:
        """Return the facts at hand, and for other needs the flights that will bring theirs; the rest stays unknown.

        Args:
            needs: What to ask for. A kind without a source is passed over.
            loop: The running event loop, where the caller is on one.
        """
        desk = self._current()
        found: dict[Need, Fact] = {}
        flights: dict[Need, Flight] = {}
        for need in needs:
            source = self._sources.get(need.kind)
            if source is None:
                continue
            answer, new = desk.board.seek(need, loop if is_async(source) else None)
            if isinstance(answer, Fact):
                found[need] = answer
            elif answer is not None:
                flights[need] = answer
                if new:
                    desk.start(answer)
        return found, flights

    def renew(self, need: Need, answer: Answer) -> bool:
        """Take *answer* for *need* from a source that renews what it told, and return whether it is used from now on.

        It is not where nobody has asked for it here, and where the fact at hand is newer. Who waits for the same fact
        gets the newer of the two.
        """
        return self._current().board.renew(need, answer)

    def last_asked(self, need: Need) -> float:
        """Return when the fact for *need* was last asked for, on the monotonic clock; minus infinity: never."""
        return self._current().board.last_asked(need)

    def sweep(self) -> None:
        """Fail what has waited longer than the deadline."""
        self._current().board.sweep()

    def close(self) -> None:
        """Forget all facts, fail what is under way and end the resolver's loop; from any thread, more than once."""
        self._current()
        self._finalizer()

    def _current(self) -> _Desk:
        desk = self._desk
        if desk.board.pid == os.getpid():
            return desk
        # A forked child: threads and loop stayed behind, locks may be held. Of several threads that come first one
        # opens the desk, in one step of the interpreter's.
        made = _Desk(self._sources, self._terms)
        successor: _Desk = vars(desk).setdefault("successor", made)
        if successor is not made:
            return successor
        self._finalizer.detach()
        return self._open_desk(made)

    def _open_desk(self, made: _Desk) -> _Desk:
        self._finalizer = weakref.finalize(self, made.close)
        self._desk = made
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Resolver {', '.join(map(repr, sorted(self._sources)))}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Resolver holds functions and threads: build it in each process instead of pickling it")
