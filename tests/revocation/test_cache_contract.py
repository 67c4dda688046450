"""What every cache of signed statements promises: compare and set, bounds in time, no other exception than its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import pytest

from mtlspolicy.revocation import Cache, CachedStatement, CacheFailed, MemoryCache, RedisCache, SQLiteCache
from tests.interop.redis_server import Server, running_redis

NOW: Final = datetime.now(UTC)
HOUR: Final = timedelta(hours=1)
MICROSECOND: Final = timedelta(microseconds=1)
GOOD: Final = CachedStatement(b"good", NOW - HOUR, NOW + 24 * HOUR)
OLDER: Final = CachedStatement(b"older", NOW - 2 * HOUR, NOW + 24 * HOUR)
NEWER: Final = CachedStatement(b"newer", NOW - HOUR + MICROSECOND, NOW + 24 * HOUR)
REVOKED: Final = CachedStatement(b"revoked", NOW - 3 * HOUR, NOW + 1000 * HOUR, final=True)
PATIENT: Final = 10.0
"""Seconds; a busy machine fails no test of what is kept."""

Caches = Callable[[], Cache]


@pytest.fixture(scope="module")
def server() -> Generator[Server, None, None]:
    """Return one Redis for the tests of this file; each has keys of its own."""
    with running_redis() as running:
        yield running


@pytest.fixture(params=["memory", "sqlite", "redis"])
def caches(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Caches, None, None]:
    """Return what makes caches, and closes them. Those in SQLite and Redis share what they keep."""
    with ExitStack() as stack:
        kind = request.param
        url = request.getfixturevalue("server").url if kind == "redis" else ""

        def make() -> Cache:
            cache: Cache
            if kind == "memory":
                cache = MemoryCache()
            elif kind == "sqlite":
                cache = SQLiteCache(tmp_path / "cache.db", timeout=PATIENT)
            else:
                cache = RedisCache(url, prefix=f"{tmp_path.name}:", timeout=PATIENT)
            stack.callback(cache.close)
            return cache

        yield make


@pytest.fixture
def cache(caches: Caches) -> Cache:
    """Return one cache."""
    return caches()


def kept(cache: Cache, *statements: CachedStatement) -> CachedStatement | None:
    """Return what is kept after *statements* were put one after the other."""
    for statement in statements:
        cache.put("key", statement)
    return cache.get("key")


def test_what_is_put_is_got(cache: Cache) -> None:
    """Bytes, both times to the microsecond, and finality come back as they were; of another key there is nothing."""
    assert isinstance(cache, Cache)
    assert cache.get("key") is None
    for statement in (
        GOOD,
        CachedStatement(bytes(range(256)) * 40, NOW - HOUR + 7 * MICROSECOND, NOW + HOUR + MICROSECOND, final=True),
    ):
        assert kept(cache, statement) == statement
    assert cache.get("other") is None


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [
        (GOOD, NEWER, NEWER),
        (GOOD, OLDER, GOOD),
        (GOOD, replace(GOOD, data=b"as old"), GOOD),
        (GOOD, REVOKED, REVOKED),
        (REVOKED, GOOD, REVOKED),
        (REVOKED, replace(REVOKED, data=b"x", this_update=NOW), replace(REVOKED, data=b"x", this_update=NOW)),
        (REVOKED, replace(REVOKED, data=b"x"), REVOKED),
        (REVOKED, replace(REVOKED, data=b"x", this_update=NOW - 9 * HOUR), REVOKED),
    ],
)
def test_compare_and_set(
    cache: Cache, first: CachedStatement, second: CachedStatement, stands: CachedStatement
) -> None:
    """Final beats not final, whatever the times; else the strictly newer one is kept."""
    assert kept(cache, first, second) == stands
    assert kept(cache, first, second, first) == stands


def test_an_older_good_put_back_after_a_newer_changes_nothing(caches: Caches) -> None:
    """Rollback by another process that still has this morning's answer: the newer one stays for everybody."""
    cache = caches()
    other = cache if isinstance(cache, MemoryCache) else caches()
    cache.put("key", NEWER)
    other.put("key", OLDER)
    assert (cache.get("key"), other.get("key")) == (NEWER, NEWER)


def test_half_a_microsecond_of_thisupdate_is_not_lost(cache: Cache) -> None:
    """Times of the far future, whose microseconds no floating point number tells apart, are still compared exactly."""
    late = datetime(9998, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC)
    first = CachedStatement(b"first", late, datetime(9999, 12, 31, tzinfo=UTC))
    assert kept(cache, first, replace(first, data=b"second", this_update=late + MICROSECOND)) != first
    assert kept(cache, first) != first


def test_times_of_any_zone_are_compared_as_moments(cache: Cache) -> None:
    """An offset changes nothing about which statement is newer."""
    east = timezone(timedelta(hours=14))
    same = replace(GOOD, data=b"same", this_update=GOOD.this_update.astimezone(east))
    assert kept(cache, GOOD, same) == GOOD
    assert kept(cache, replace(same, this_update=same.this_update + MICROSECOND)) != GOOD


def test_what_is_over_is_neither_kept_nor_returned(cache: Cache) -> None:
    """A statement whose time is over is not stored, and one whose time comes is a miss from then on."""
    assert kept(cache, replace(GOOD, keep_until=NOW - HOUR)) is None
    brief = replace(NEWER, keep_until=datetime.now(UTC) + timedelta(milliseconds=100), final=True)
    cache.put("key", brief)
    end = time.monotonic() + PATIENT
    while cache.get("key") is not None:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert datetime.now(UTC) >= brief.keep_until
    assert kept(cache, OLDER) == OLDER, "what is over stands against nothing"


@pytest.mark.parametrize("key", ["", "k" * 513, "ocsp:\ud800", "a\nb", "é", 7])
def test_an_odd_key_is_a_failure_of_the_cache(cache: Cache, key: str) -> None:
    """No key makes a store raise an error of its own; a serial number of 300 octets is not cached, and that is all."""
    with pytest.raises(CacheFailed, match="printable ASCII"):
        cache.get(key)
    with pytest.raises(CacheFailed, match="printable ASCII"):
        cache.put(key, GOOD)


def test_a_closed_cache_is_down(cache: Cache) -> None:
    """After `close`, which may come twice, every use raises `CacheFailed`; also of what would not be kept."""
    cache.put("key", GOOD)
    cache.close()
    cache.close()
    with pytest.raises(CacheFailed, match="closed"):
        cache.get("key")
    for statement in (GOOD, replace(GOOD, keep_until=NOW - HOUR)):
        with pytest.raises(CacheFailed, match="closed"):
            cache.put("key", statement)


def test_threads_that_put_at_once_leave_the_newest(caches: Caches) -> None:
    """Whatever the order of eight threads with statements in random order: the newest stays, and nobody sees it go."""
    cache = caches()
    statements = [replace(GOOD, data=b"%d" % n, this_update=NOW - HOUR + n * MICROSECOND) for n in range(160)]
    stepped_back: list[tuple[CachedStatement | None, CachedStatement | None]] = []

    def put(start: int) -> None:
        seen = None
        for n in range(20):
            cache.put("key", statements[(start * 37 + n * 61) % 160])
            now = cache.get("key")
            if seen is not None and (now is None or now.this_update < seen.this_update):
                stepped_back.append((seen, now))
            seen = now

    threads = [threading.Thread(target=put, args=(start,)) for start in range(8)]
    cache.put("key", statements[158])
    for thread in threads:
        thread.start()
    cache.put("key", statements[159])
    for thread in threads:
        thread.join()
    assert stepped_back == []
    assert cache.get("key") == statements[159]


def test_a_revocation_put_in_the_middle_of_good_answers_stays(caches: Caches) -> None:
    """However many newer GOOD answers others put at the same time, the revocation is what is left."""
    cache = caches()
    barrier = threading.Barrier(5)

    def good(start: int) -> None:
        barrier.wait()
        for n in range(30):
            cache.put("key", replace(GOOD, this_update=NOW + (start + n) * MICROSECOND))

    threads = [threading.Thread(target=good, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    barrier.wait()
    cache.put("key", REVOKED)
    for thread in threads:
        thread.join()
    assert cache.get("key") == REVOKED
