"""The thread that looks: none before the first use, none after the end, none left behind by a fork."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from mtlspolicy.tenants import TenantTrust, _watch
from mtlspolicy.tenants._collection import Collection
from mtlspolicy.tenants._keeper import Keeper
from tests.tenants.layout import GATEWAY, NEW, RED, Clock, Layout, code, look


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mtlspolicy-tenants"]


@pytest.fixture(autouse=True)
def _nothing_is_left_of_earlier_tests() -> None:
    """A thread that was told to end may still be on its way, as may one whose owner waits for the collector."""
    gc.collect()
    for thread in _threads():
        thread.join()


def _until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


def test_no_thread_before_the_first_decision_and_none_after_the_end(layout: Layout) -> None:
    """Neither reading the files nor asking for a verifier starts one."""
    trust = TenantTrust.from_directory(layout.usual().root)
    trust.verifier("red", policy=GATEWAY)
    trust.reload()
    assert _threads() == []
    with trust:
        assert code(trust, "red", RED) == "name.match"
        (thread,) = _threads()
        assert thread.daemon
        assert code(trust, "blue", RED) == "tenant.foreign"
        assert _threads() == [thread]
    thread.join()
    assert code(trust, "red", RED) == "name.match", "the last state counts on"
    assert _threads() == []


def test_closed_before_the_first_use_it_starts_none(layout: Layout) -> None:
    """There is nothing to end."""
    trust = TenantTrust.from_directory(layout.usual().root)
    trust.close()
    assert code(trust, "red", RED) == "name.match"
    assert _threads() == []


def test_the_thread_ends_with_its_owner(layout: Layout) -> None:
    """What nobody holds is looked at by nobody."""
    trust = TenantTrust.from_directory(layout.usual().root)
    code(trust, "red", RED)
    (thread,) = _threads()
    gone = weakref.ref(trust._keeper)
    del trust
    gc.collect()
    assert gone() is None
    thread.join()


def test_an_owner_that_goes_while_the_thread_wakes_is_not_looked_at() -> None:
    """The thread finds nobody and ends."""

    class Owner:
        def look(self) -> float:
            raise AssertionError

        def renew(self) -> None:
            raise AssertionError

    _watch._run(weakref.ref(Owner()), threading.Event(), 0.0)
    assert _threads() == []


def test_a_look_that_fails_is_logged_and_tried_again(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of ours ends neither the thread nor the watch, and what a failed look read is not lost."""
    trust = TenantTrust.from_directory(layout.usual().root, interval=0.05)
    honest = Collection.refresh
    calls: list[float] = []

    def refresh(collection: Collection, clock: float) -> bool:
        changed = honest(collection, clock)
        calls.append(clock)
        if len(calls) == 1:
            raise MemoryError
        return changed

    monkeypatch.setattr(Collection, "refresh", refresh)
    layout.write("tenants/red/ca.pem", NEW.pem)
    with caplog.at_level(logging.ERROR, "mtlspolicy.tenants"), trust:
        verifier = trust.verifier("red", policy=GATEWAY)
        chain = NEW.issue_client("gateway").chain_pem
        _until(lambda: bool(verifier.decide(chain)))
    assert "could not be looked at" in caplog.text
    assert len(calls) >= 2


def test_the_first_decision_after_a_pause_looks_first(layout: Layout, clock: Clock) -> None:
    """What was read when the program started may be of yesterday when the first client comes."""
    trust = TenantTrust.from_directory(layout.usual().root)
    layout.write("tenants/red/ca.pem", NEW.pem)
    clock.now += 2
    with trust:
        assert code(trust, "red", RED) == "path.no-issuer"
        assert code(trust, "red", NEW) == "name.match"


def test_many_threads_start_one_watch(layout: Layout, clock: Clock) -> None:
    """And all of them see what the first of them read."""
    trust = TenantTrust.from_directory(layout.usual().root)
    layout.write("tenants/red/ca.pem", NEW.pem)
    clock.now += 60
    barrier, codes = threading.Barrier(8), list[str]()

    def decide() -> None:
        barrier.wait()
        codes.append(code(trust, "red", RED))

    workers = [threading.Thread(target=decide) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert codes == ["path.no-issuer"] * 8
    assert len(_threads()) == 1
    trust.close()
    _until(lambda: not _threads())


def test_decisions_do_not_wait_for_a_look(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a look hangs, as in a dead file system, everybody goes on under the state before."""
    trust = TenantTrust.from_directory(layout.usual().root, interval=0.05)
    inside, release = threading.Event(), threading.Event()
    honest = Collection.refresh

    def refresh(collection: Collection, clock: float) -> bool:
        inside.set()
        release.wait()
        return honest(collection, clock)

    with trust:
        code(trust, "red", RED)
        monkeypatch.setattr(Collection, "refresh", refresh)
        inside.wait()
        assert code(trust, "red", RED) == "name.match"
        release.set()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_looks_for_itself(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the parent was in the middle of a look, with the lock in its hand and the files already read."""
    trust = TenantTrust.from_directory(layout.usual().root, interval=0.05)
    inside, release = threading.Event(), threading.Event()
    honest = Collection.refresh

    def refresh(collection: Collection, clock: float) -> bool:
        changed = honest(collection, clock)
        if collection._tenants["red"].store is not None and os.getpid() == parent:
            inside.set()
            release.wait()
        return changed

    parent = os.getpid()
    with trust:
        code(trust, "red", RED)
        layout.write("tenants/red/ca.pem", NEW.pem)
        monkeypatch.setattr(Collection, "refresh", refresh)
        inside.wait()
        child = os.fork()
        if child == 0:
            time.sleep(0.1)  # so that a look is due
            answers = code(trust, "red", RED), code(trust, "red", NEW), len(_threads())
            os._exit(0 if answers == ("path.no-issuer", "name.match", 1) else 1)
        _, status = os.waitpid(child, 0)
        release.set()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no fork here")
def test_a_forked_child_of_what_was_closed_stays_closed(layout: Layout) -> None:
    """A fork opens nothing again."""
    trust = TenantTrust.from_directory(layout.usual().root)
    trust.close()
    before = trust.generation
    _watch._renew()
    code(trust, "red", RED)
    assert _threads() == []
    look(trust)
    assert trust.generation is before, "compared, and equal"
    still = TenantTrust.from_directory(layout.root, interval=None)
    _watch._renew()
    code(still, "red", RED)
    assert _threads() == []
    assert isinstance(still._keeper, Keeper)
