"""The cache in a SQLite file among processes: races, kills, forks, a file that is busy, full or gone."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import CachedStatement, CacheFailed, SQLiteCache
from mtlspolicy.revocation import _cache_connection as connections

NOW: Final = datetime.now(UTC)
HOUR: Final = timedelta(hours=1)
GOOD: Final = CachedStatement(b"good", NOW - HOUR, NOW + 24 * HOUR)
NEWER: Final = replace(GOOD, data=b"newer", this_update=NOW)
REVOKED: Final = replace(GOOD, data=b"revoked", final=True)
PATIENT: Final = 10.0

Open = Callable[..., SQLiteCache]

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""Forking with threads is what is tried here."""

WORKER: Final = """
import random, sys
from datetime import UTC, datetime, timedelta
from mtlspolicy.revocation import CachedStatement, CacheFailed, SQLiteCache
path, seed, times, start = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), datetime.fromisoformat(sys.argv[4])
cache, chance = SQLiteCache(path, timeout=10), random.Random(seed)
order = list(range(times))
chance.shuffle(order)
print("ready", flush=True)
sys.stdin.readline()
for n in order:
    statement = CachedStatement(b"%d" % n * 300, start + timedelta(microseconds=n), start + timedelta(days=1))
    cache.put("shared", statement)
    cache.put(f"own{seed}-{n % 50}", statement)
    cache.get("shared")
cache.close()
print("done", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file of a test lies."""
    return tmp_path / "cache.db"


@pytest.fixture
def open_cache(path: Path) -> Generator[Open, None, None]:
    """Return a function that opens the file, patiently; what it opened is closed with the test."""
    opened: list[SQLiteCache] = []

    def make(**bounds: Any) -> SQLiteCache:
        given: dict[str, Any] = {"timeout": PATIENT, **bounds}
        opened.append(SQLiteCache(path, **given))
        return opened[-1]

    yield make
    for cache in opened:
        cache.close()


def worker(path: Path, seed: int, times: int) -> subprocess.Popen[str]:
    """Start a process that puts *times* statements under a key that all share, in an order of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(seed), str(times), NOW.isoformat()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def noise(size: int) -> bytes:
    """Return bytes that are no others."""
    return os.urandom(size)


def release(*workers: subprocess.Popen[str]) -> None:
    """Wait until all are ready, and let them go."""
    for one in workers:
        assert one.stdout is not None
        assert one.stdin is not None
        assert one.stdout.readline() == "ready\n"
    for one in workers:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()


def in_threads(*works: Callable[[], None]) -> None:
    """Run each in a thread of its own, and wait."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_child(work: Callable[[], bool], fork: Callable[[], int]) -> bool:
    """Return what *work* returns in a forked process; an exception there is False."""
    child = fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def fails(work: Callable[[], object], told: str = "") -> bool:
    """Return whether *work* raises `CacheFailed` with *told* in it."""
    try:
        work()
    except CacheFailed as error:
        return told in str(error)
    return False


def test_processes_that_put_at_once_leave_the_newest(path: Path, open_cache: Open) -> None:
    """Four processes, each with all statements in an order of its own: the newest is what is left."""
    workers = [worker(path, seed, 150) for seed in range(4)]
    release(*workers)
    assert [one.communicate(timeout=50)[0] for one in workers] == ["done\n"] * 4
    kept = open_cache().get("shared")
    assert kept is not None
    assert kept.this_update == NOW + 149 * timedelta(microseconds=1)
    assert path.stat().st_mode & 0o777 == (0o600 if os.name == "posix" else path.stat().st_mode & 0o777)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_processes_killed_at_any_moment_leave_a_sound_file(path: Path, open_cache: Open) -> None:
    """Killed in the middle of whatever they do, four processes leave a file that is whole, and never an older entry."""
    chance = random.Random()  # noqa: S311 - moments, no secrets
    cache = open_cache()
    cache.put("shared", GOOD)
    newest = GOOD.this_update
    for round_ in range(3):
        workers = [worker(path, 4 * round_ + n, 50_000) for n in range(4)]
        release(*workers)
        for one in workers:
            time.sleep(chance.uniform(0.01, 0.1))
            one.kill()
            one.communicate(timeout=50)
        kept = cache.get("shared")
        assert kept is not None
        assert kept.this_update >= newest
        newest = kept.this_update
        raw = sqlite3.connect(path)
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        raw.close()
    assert newest > GOOD.this_update
    cache.put("shared", REVOKED)
    assert cache.get("shared") == REVOKED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_closes_what_is_open_and_both_go_on(open_cache: Open) -> None:
    """SQLite's connections do not survive a fork: they are closed before, in all threads, and opened anew."""
    cache = open_cache()
    cache.put("key", GOOD)
    going, done = threading.Event(), threading.Event()
    held: list[bool] = []

    def beside() -> None:
        cache.get("key")
        going.set()
        done.wait()
        held.append(cache.get("key") == NEWER)

    thread = threading.Thread(target=beside)
    thread.start()
    going.wait()

    def child() -> bool:
        assert not [one for one in connections._CONNECTIONS if one.raw is not None]
        before = cache.get("key")
        cache.put("key", NEWER)
        return (before, cache.get("key")) == (GOOD, NEWER)

    good = in_child(child, os.fork)
    done.set()
    thread.join()
    assert good
    assert held == [True]
    assert cache.get("key") == NEWER


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forks_in_the_middle_of_work_block_nobody(open_cache: Open) -> None:
    """Threads that use the file while others fork, two at a time: all come to an end, and each child can use it."""
    cache = open_cache()
    failures: list[str] = []

    def work() -> None:
        for n in range(60):
            cache.put("key", replace(GOOD, this_update=NOW - HOUR + timedelta(seconds=n)))
            if cache.get("key") is None:
                failures.append("lost")

    def fork() -> None:
        for _ in range(5):
            in_threads(lambda: None)  # threads come and go beside
            if not in_child(lambda: cache.get("key") is not None, os.fork):
                failures.append("child")

    cache.put("key", GOOD)
    in_threads(work, work, fork, fork)
    assert failures == []


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is asked to fork by its name on Linux")
def test_a_fork_that_python_does_not_see_is_noticed(open_cache: Open) -> None:
    """A server in C that forks with the file open gets `CacheFailed`, instead of a file that loses its log."""
    cache, idle = open_cache(), open_cache()
    cache.put("key", GOOD)
    library = ctypes.PyDLL(None)

    def child() -> bool:
        told = "forked, unseen by Python"
        in_own_thread: list[bool] = []
        in_threads(lambda: in_own_thread.append(fails(lambda: cache.get("key"), told)))
        first = fails(lambda: idle.get("key"), told)
        return [first, fails(lambda: cache.get("key"), told), fails(lambda: idle.get("key"), told)] == [True] * 3 and (
            in_own_thread == [True]
        )

    assert in_child(child, library.fork)
    assert cache.get("key") == GOOD


def test_a_process_that_was_forked_unseen_leaves_what_it_inherited(
    open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came along is not even closed, and no thread opens the file beside it; the parent's process goes on."""
    cache = open_cache()
    cache.put("key", GOOD)
    inherited: list[sqlite3.Connection] = []
    with monkeypatch.context() as patch:
        patch.setattr(connections, "_INHERITED", inherited)
        patch.setattr(os, "getpid", lambda: -1)  # as in the child; the real fork is in the test above
        assert fails(lambda: cache.get("key"), "forked, unseen by Python")
        assert fails(lambda: cache.get("key"), "forked, unseen by Python")
    (raw,) = inherited
    assert raw.execute("SELECT data FROM statements").fetchall() == [(b"good",)]
    raw.close()
    assert cache.get("key") == GOOD


def test_a_fork_waits_for_a_thread_that_has_just_come(open_cache: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is opened while those known before are being closed is closed as well."""
    cache = open_cache()
    cache.put("key", GOOD)
    real, late = connections._known, [True]

    def known() -> list[connections._Connection]:
        if late:
            late.clear()
            return []
        return real()

    monkeypatch.setattr(connections, "_known", known)
    connections._before_fork()
    still_open = [one for one in connections._CONNECTIONS if one.raw is not None]
    connections._after_fork()
    assert (late, still_open) == ([], [])
    assert cache.get("key") == GOOD


def test_a_thread_that_ends_leaves_nothing_open(open_cache: Open) -> None:
    """Connections belong to threads and end with them; a cache that nobody closed goes without a warning as well."""
    cache = open_cache()
    in_threads(*[lambda: cache.put("key", GOOD)] * 3)
    assert not [one for one in connections._CONNECTIONS if one.database() is cache._database]
    forgotten = SQLiteCache(cache._database.path, timeout=PATIENT)
    assert forgotten.get("key") == GOOD
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del forgotten
        gc.collect()
    assert [str(one.message) for one in caught] == []


def test_a_program_that_never_closes_ends_without_a_word(path: Path) -> None:
    """At the end of a program the interpreter takes everything apart in any order, and nothing is printed."""
    script = (
        "import sys; from mtlspolicy.revocation import SQLiteCache; "
        "cache = SQLiteCache(sys.argv[1], timeout=10); print(cache.get('key'))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


def test_close_ends_the_connections_of_other_threads(open_cache: Open) -> None:
    """A thread whose cache is closed by another one gets `CacheFailed`, and no error of SQLite's."""
    cache = open_cache()
    ready, closed = threading.Event(), threading.Event()
    told: list[bool] = []

    def beside() -> None:
        cache.put("key", GOOD)
        ready.set()
        closed.wait()
        told.append(fails(lambda: cache.get("key"), "closed"))

    thread = threading.Thread(target=beside)
    thread.start()
    ready.wait()
    cache.close()
    closed.set()
    thread.join()
    assert told == [True]


def test_a_file_that_another_writes_is_busy_and_readable(path: Path, open_cache: Open) -> None:
    """While another process holds the lock a put fails within its time, and reading goes on."""
    open_cache().put("key", GOOD)
    cache = open_cache(timeout=0.5)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    with pytest.raises(CacheFailed, match="locked"):
        cache.put("key", NEWER)
    assert time.monotonic() - start < PATIENT
    assert cache.get("key") == GOOD
    other.execute("ROLLBACK")
    other.close()
    cache.put("key", NEWER)
    assert cache.get("key") == NEWER


def test_the_first_use_waits_until_another_has_written(
    path: Path, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of processes that open a new file at once none fails for the others, unless one stays for the whole timeout.

    SQLite does not wait by itself when it changes to the write-ahead log.
    """
    cache, hasty = open_cache(), open_cache(timeout=0.5)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    told = fails(lambda: hasty.get("key"), "locked")
    turns: list[float] = []

    def leave(seconds: float) -> None:
        if not turns:
            other.execute("ROLLBACK")
        turns.append(seconds)

    monkeypatch.setattr(connections, "sleep", leave)
    try:
        cache.put("key", GOOD)
    finally:
        other.close()
    assert told
    assert len(turns) == 1
    assert hasty.get("key") == cache.get("key") == GOOD


def test_threads_do_not_wait_for_ever_for_one_that_opens(open_cache: Open) -> None:
    """Where a slow disk keeps one thread opening the file, others fail in time."""
    cache = open_cache(timeout=0.5)
    told: list[bool] = []
    with connections._OPENING:
        known = connections._Connection(cache._database)

        def beside() -> None:
            cache._database._local.connection = known
            told.append(fails(lambda: cache.get("key"), "other threads are opening it"))

        in_threads(beside)
    assert told == [True]
    assert cache.get("key") is None


def test_what_runs_too_long_is_ended(path: Path, open_cache: Open) -> None:
    """A trigger that somebody planted and that never ends costs its time, and nothing more."""
    cache = open_cache(timeout=1)
    cache.put("key", GOOD)
    other = sqlite3.connect(path)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    other.execute(f"CREATE TRIGGER trap BEFORE INSERT ON statements BEGIN {endless}; END")
    other.commit()
    start = time.monotonic()
    with pytest.raises(CacheFailed, match="interrupted"):
        cache.put("key", NEWER)
    assert time.monotonic() - start < PATIENT
    with pytest.raises(CacheFailed, match="no cache of this version"):
        cache.get("key")
    other.execute("DROP TRIGGER trap")
    other.commit()
    other.close()
    assert cache.get("key") == GOOD


@pytest.mark.skipif(os.name != "posix", reason="no other system removes a file that is open")
def test_a_file_that_is_removed_is_begun_again(path: Path, open_cache: Open) -> None:
    """The remedy for every damage, removing the file, works while programs run, and they share the new one."""
    one, other = open_cache(), open_cache()
    one.put("key", GOOD)
    assert other.get("key") == GOOD
    for name in ("cache.db", "cache.db-wal", "cache.db-shm"):
        path.with_name(name).unlink()
    assert one.get("key") is None
    one.put("key", NEWER)
    assert other.get("key") == NEWER


def test_a_full_file_makes_room_of_what_ends_soonest(path: Path, open_cache: Open) -> None:
    """The file stays within its size however much is put; the latest to be put is there, and it still reads well."""
    cache = open_cache(most_bytes=256 << 10)
    for n in range(300):
        cache.put(f"key{n}", CachedStatement(noise(3000), NOW, NOW + HOUR + timedelta(seconds=n)))
        assert cache.get(f"key{n}") is not None
    assert cache.get("key0") is None
    cache.close()
    assert path.stat().st_size <= 256 << 10
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()


def test_attack_flooding_a_full_file_pushes_no_revocation_out(open_cache: Open) -> None:
    """Good answers make no room by removing a revocation, not even where nothing else is left; revocations may."""
    cache = open_cache(most_bytes=128 << 10)
    soon = replace(REVOKED, keep_until=NOW + HOUR)
    cache.put("revoked", soon)
    for n in range(200):
        cache.put(f"good{n}", replace(GOOD, data=noise(3000)))
    assert cache.get("revoked") == soon
    for n in range(100):
        cache.put(f"revoked{n}", replace(REVOKED, data=noise(3000)))
    assert cache.get("revoked99") is not None
    assert cache.get("revoked") is None
    failed = [fails(lambda: cache.put("good", replace(GOOD, data=noise(30_000))), "full")]
    assert failed == [True]
    assert cache.get("revoked99") is not None


def test_what_is_larger_than_a_quarter_is_not_kept(open_cache: Open) -> None:
    """One large CRL does not push everything else out."""
    cache = open_cache(most_bytes=128 << 10)
    cache.put("large", replace(GOOD, data=bytes((32 << 10) + 1)))
    cache.put("fits", replace(GOOD, data=bytes(32 << 10)))
    assert cache.get("large") is None
    assert cache.get("fits") is not None


def test_what_is_over_is_removed_now_and_then(path: Path, open_cache: Open) -> None:
    """Rows whose time is over do not stay until the file is full."""
    cache = open_cache()
    brief = replace(GOOD, keep_until=datetime.now(UTC) + timedelta(seconds=0.2))
    for n in range(20):
        cache.put(f"brief{n}", replace(brief, final=n % 2 == 0))
    end = time.monotonic() + PATIENT
    while cache.get("brief19") is not None:
        assert time.monotonic() < end
        time.sleep(0.01)
    for n in range(70):
        cache.put(f"key{n}", GOOD)
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT count(*) FROM statements").fetchone() == (70,)
    raw.close()


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files is limited as POSIX does it")
def test_a_disk_that_is_full_is_a_failure_of_the_cache(path: Path) -> None:
    """Where the system lets no file grow, a put fails with `CacheFailed`, and what was kept is still read."""
    script = """
import resource, sys
from datetime import UTC, datetime, timedelta
from mtlspolicy.revocation import CachedStatement, CacheFailed, SQLiteCache
now = datetime.now(UTC)
cache = SQLiteCache(sys.argv[1], timeout=10)
cache.put("first", CachedStatement(b"first", now, now + timedelta(days=1), final=True))
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
failed = 0
for n in range(200):
    try:
        cache.put(f"key{n}", CachedStatement(bytes(3000), now, now + timedelta(days=1)))
    except CacheFailed:
        failed += 1
print(failed > 0, cache.get("first").data)
cache.close()
resource.setrlimit(resource.RLIMIT_FSIZE, before)  # others write when the program ends: coverage measures it
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True b'first'\n", "", 0)


@pytest.mark.parametrize(
    ("bounds", "told"),
    [({"timeout": 0}, "timeout"), ({"most_bytes": -1}, "most_bytes"), ({"most_bytes": 1000}, "at least 65536")],
)
def test_bounds_that_can_never_be_right(open_cache: Open, bounds: dict[str, Any], told: str) -> None:
    """No bound, or one under which nothing fits, is refused."""
    with pytest.raises(ConfigurationError, match=told):
        open_cache(**bounds)
