"""The resolver's own threads, loop and process: started late, shared by nobody's fault, gone when it is closed."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mtlspolicy import Fact, Need, Resolver, Verdict
from mtlspolicy._resolver import settle, settle_at_hand
from mtlspolicy._resolver._flight import WORKERS, Flight, Workers


def test_async_sources_run_on_one_loop_of_the_resolver(judge: Any, asks: Any) -> None:
    """Blocking callers reach async sources on one loop in another thread, so that pools can live there."""
    seen: set[tuple[int, str]] = set()

    async def fetch(_key: str) -> bool:
        seen.add((id(asyncio.get_running_loop()), threading.current_thread().name))
        await asyncio.sleep(0)
        return True

    with Resolver({"partner.enrolled": fetch}) as resolver:
        assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
        assert settle(judge(asks(key="sam")), resolver).decision.verdict is Verdict.PERMIT
    assert [name for _, name in seen] == ["mtlspolicy-loop"]


def test_each_kind_has_threads_of_its_own(judge: Any, asks: Any, opened: threading.Event) -> None:
    """A source that hangs in all of its threads keeps no other kind from its answer."""

    def hang(_key: int) -> bool:
        opened.wait()
        return True

    with Resolver({"hangs": hang, "works": lambda _key: True}, deadline=40) as resolver:
        flights = resolver.ask([Need("hangs", key) for key in range(WORKERS + 5)], None)[1]
        assert len(flights) == WORKERS + 5
        assert settle(judge(asks(kind="works")), resolver).decision.verdict is Verdict.PERMIT
        opened.set()
        for flight in flights.values():
            flight.landed.result(30)
        assert [one.fact for one in flights.values()] == [Fact(True, one.asked_at) for one in flights.values()]  # noqa: FBT003


def test_what_waits_too_long_for_a_thread_is_not_asked_any_more(opened: threading.Event) -> None:
    """A flight that is over leaves the queue: behind a source that hangs the queue does not grow."""
    called: list[Flight] = []
    busy = threading.Semaphore(0)

    def call(flight: Flight) -> None:
        called.append(flight)
        busy.release()
        opened.wait()

    def flight(*, over: bool) -> Flight:
        made = Flight(("k", 0), None, (0.0, None), 0.0)  # type: ignore[arg-type]
        made.over = over
        return made

    workers = Workers(call, "test")
    live = [flight(over=False) for _ in range(WORKERS)]
    for one in live:
        workers.submit(one)
        assert busy.acquire(timeout=20)
    dead = [flight(over=False) for _ in range(3)]
    for one in dead:
        workers.submit(one)
        one.over = True
    last = flight(over=False)
    workers.submit(last)
    assert [one for one in workers._queue if one in dead] == []
    workers.submit(ended := flight(over=False))
    ended.over = True
    done = threading.Event()
    workers._call = lambda one: done.set() if one is last else call(one)
    opened.set()
    assert done.wait(30)
    assert ended not in called


def test_threads_end_when_there_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread without work ends by itself, and the next flight starts another."""
    monkeypatch.setattr("mtlspolicy._resolver._flight.IDLE", 0.01)
    ran: list[threading.Thread] = []
    for _ in range(2):
        done = threading.Event()

        def call(_flight: Flight, done: threading.Event = done) -> None:
            ran.append(threading.current_thread())
            done.set()

        workers = Workers(call, "test")
        workers.submit(Flight(("k", 0), None, (0.0, None), 0.0))  # type: ignore[arg-type]
        assert done.wait(20)
        ran[-1].join(20)
        assert not ran[-1].is_alive()
    assert ran[0] is not ran[1]


def test_a_system_without_threads_or_files_gives_no_fact(
    judge: Any, asks: Any, monkeypatch: pytest.MonkeyPatch, opened: threading.Event
) -> None:
    """Where no thread or loop can be had the decision stays INDETERMINATE; one thread that is there is enough."""

    async def fetch(_key: str) -> bool:
        return True

    def hang(_key: str) -> bool:
        opened.wait()
        return True

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def no_loop() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    with Resolver({"partner.enrolled": lambda _key: True, "async": fetch, "hangs": hang}, deadline=30) as resolver:
        with monkeypatch.context() as patch:
            patch.setattr("asyncio.events.new_event_loop", no_loop)
            assert settle(judge(asks(kind="async")), resolver).decision.code == "fact.missing"
        first = resolver.ask([Need("hangs", 1)], None)[1][Need("hangs", 1)]
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            assert settle(judge(asks()), resolver).decision.code == "fact.missing"
            second = resolver.ask([Need("hangs", 2)], None)[1][Need("hangs", 2)]
        opened.set()
        first.landed.result(30)
        second.landed.result(30)
        assert second.fact is not None
        assert settle(judge(asks(key="sam")), resolver).decision.verdict is Verdict.PERMIT


def test_closing_fails_what_is_under_way(judge: Any, asks: Any, opened: threading.Event) -> None:
    """Whoever waits goes on without a fact when the resolver closes, and afterwards there is none."""
    asking = threading.Event()

    def hang(_key: str) -> bool:
        asking.set()
        opened.wait()
        return True

    resolver = Resolver({"partner.enrolled": hang}, deadline=40)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(settle, judge(asks()), resolver)
        assert asking.wait(20)
        resolver.close()
        assert waiting.result(20).decision.code == "fact.missing"
    resolver.close()
    opened.set()
    assert settle(judge(asks()), resolver).decision.code == "fact.missing"
    assert settle(judge(asks(key="sam")), resolver).decision.code == "fact.missing"


def test_a_forgotten_resolver_ends_its_loop(judge: Any, asks: Any) -> None:
    """A resolver that nobody holds any more leaves no thread behind."""

    async def fetch(_key: str) -> bool:
        threads.append(threading.current_thread())
        return True

    threads: list[threading.Thread] = []
    resolver = Resolver({"partner.enrolled": fetch})
    assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
    del resolver
    gc.collect()
    threads[0].join(20)
    assert not threads[0].is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_after_a_fork_the_resolver_starts_afresh(judge: Any, asks: Any, kind: str) -> None:
    """A worker process forked after the first question has no threads of its parent, and is answered all the same."""

    def fetch(_key: str) -> bool:
        return True

    async def fetch_async(_key: str) -> bool:
        return True

    resolver = Resolver({"partner.enrolled": fetch if kind == "def" else fetch_async})
    assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tried here
        child = os.fork()
    if not child:
        status = 3
        try:
            verdict = settle(judge(asks(key="sam")), resolver).decision.verdict
            resolver.close()
            status = 0 if verdict is Verdict.PERMIT else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    resolver.close()


def test_another_process_is_told_by_its_number(judge: Any, asks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """State made under another process number is left alone, not used and not closed."""
    resolver = Resolver({"partner.enrolled": lambda _key: True})
    assert settle_at_hand(judge(asks()), resolver).decision.code == "fact.missing"
    before = resolver._desk
    assert settle(judge(asks()), resolver).decision.verdict is Verdict.PERMIT
    monkeypatch.setattr(os, "getpid", lambda: before.board.pid + 1)
    assert settle_at_hand(judge(asks()), resolver).decision.code == "fact.missing"
    assert resolver._desk is not before
    before.close()
    assert not before.board.closed
    resolver.close()
    assert resolver._desk.board.closed


def test_a_resolver_names_its_kinds_and_does_not_pickle() -> None:
    """It says which kinds it answers, and refuses to travel to another process by value."""
    resolver = Resolver({"b": len, "a": len}, deadline=1.5)
    assert resolver.kinds == {"a", "b"}
    assert (resolver.deadline, repr(resolver)) == (1.5, "<Resolver 'a', 'b'>")
    with pytest.raises(TypeError, match="build it in each process"):
        pickle.dumps(resolver)


def test_no_thread_before_the_first_question() -> None:
    """Building a resolver starts nothing, so that a server may fork afterwards."""

    async def fetch(_key: str) -> bool:
        return True

    before = set(threading.enumerate())
    resolver = Resolver({"a": len, "b": fetch})
    assert set(threading.enumerate()) - before == set()
    resolver.close()
