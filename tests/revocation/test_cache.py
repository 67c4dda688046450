"""Statements, their keys, and the cache in memory: what it refuses, what it forgets, and what nothing pushes out."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.errors import ConfigurationError, MTLSPolicyError
from mtlspolicy.revocation import CachedStatement, CacheFailed, MemoryCache, crl_key, ocsp_key
from mtlspolicy.revocation._cache import microseconds, sound_key, statement_of

NOW: Final = datetime.now(UTC)
HOUR: Final = timedelta(hours=1)
GOOD: Final = CachedStatement(b"x" * 90, NOW - HOUR, NOW + HOUR)
REVOKED: Final = replace(GOOD, final=True)

serials = st.integers(min_value=-(2**200), max_value=2**200)
parts = st.tuples(st.binary(max_size=40), st.binary(max_size=40), serials)
locations = st.tuples(st.binary(max_size=40), st.binary(max_size=40), st.text())


class Autumn(tzinfo):
    """A zone whose clocks go back by an hour, as ``fold`` tells."""

    def utcoffset(self, moment: datetime | None, /) -> timedelta:
        """Return the offset before or after."""
        return HOUR if moment is not None and moment.fold else 2 * HOUR

    def dst(self, moment: datetime | None, /) -> timedelta:
        """Return the part of it that is summer's."""
        return self.utcoffset(moment) - HOUR

    def tzname(self, _moment: datetime | None, /) -> str:
        """Return a name."""
        return "autumn"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data": b""}, "not empty"),
        ({"data": bytearray(b"x")}, "as bytes"),
        ({"data": "x"}, "as bytes"),
        ({"this_update": datetime(2026, 1, 1)}, "this_update=.*aware"),  # noqa: DTZ001 - naive, on purpose
        ({"keep_until": datetime(2026, 1, 1)}, "keep_until=.*aware"),  # noqa: DTZ001 - the same
        ({"keep_until": 1767225600}, "keep_until=.*aware"),
        ({"this_update": datetime.min.replace(tzinfo=timezone(HOUR))}, "years 1 to 9999"),
        ({"keep_until": datetime.max.replace(tzinfo=timezone(-HOUR))}, "years 1 to 9999"),
        ({"final": 1}, "True or False"),
    ],
)
def test_a_statement_is_refused_when_it_is_made(change: dict[str, Any], told: str) -> None:
    """What no store could keep or compare is our caller's mistake, at construction; naive times above all."""
    with pytest.raises(ConfigurationError, match=told):
        replace(GOOD, **change)


@given(st.datetimes(timezones=st.integers(-839, 839).map(lambda minutes: timezone(timedelta(minutes=minutes)))))
def test_times_survive_being_numbers(moment: datetime) -> None:
    """Every aware time comes back as the same moment, to the microsecond."""
    try:
        statement = CachedStatement(b"x", moment, moment)
    except ConfigurationError:
        return
    number = microseconds(statement.this_update)
    assert statement_of(b"x", number, number, 0) == statement
    assert statement.keep_until == moment.astimezone(UTC)


@given(st.tuples(*[st.one_of(st.none(), st.integers(), st.binary(), st.text(), st.floats())] * 4))
def test_any_values_of_a_store_make_a_statement_or_nothing(values: tuple[object, object, object, object]) -> None:
    """Any values that a store hands out give a statement or ``None``, and no exception."""
    made = statement_of(*values)
    assert made is None or (made.data == values[0] and made.final is (values[3] == 1))


@given(parts, parts)
def test_keys_of_different_certificates_differ(one: tuple[bytes, bytes, int], other: tuple[bytes, bytes, int]) -> None:
    """Two certificates share a key only when issuer's key, issuer's name and serial number are the same."""
    assert (ocsp_key(*one) == ocsp_key(*other)) is (one == other)
    moved = (one[1], one[0], one[2])
    assert (ocsp_key(*one) == ocsp_key(*moved)) is (one[0] == one[1])
    assert sound_key(ocsp_key(*one))


@given(locations, locations)
def test_keys_of_different_crls_differ(one: tuple[bytes, bytes, str], other: tuple[bytes, bytes, str]) -> None:
    """The same for CRLs and their URLs, hostile ones included; and no CRL has the key of a certificate."""
    assert (crl_key(*one) == crl_key(*other)) is (one == other)
    assert sound_key(crl_key(*one)) != ocsp_key(one[0], one[1], 1)
    assert sound_key(crl_key(b"", b"", "http://\ud800/"))


def test_the_key_is_what_is_documented() -> None:
    """Other programs that share the cache can compute it: digests in lower-case hex, and the serial number in hex."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert ocsp_key(b"", b"", 0x51AB) == f"ocsp:{empty}:{empty}:51ab"
    assert crl_key(b"", b"", "") == f"crl:{empty}:{empty}:{empty}"
    assert len(sound_key(ocsp_key(b"", b"", 2**160 - 1))) == 175


def test_a_failure_is_ours_and_its_text_is_escaped() -> None:
    """It belongs to the tree of errors, and what a server said cannot write to a terminal."""
    error = CacheFailed("down \x1b[31m")
    assert isinstance(error, MTLSPolicyError)
    assert str(error) == "down \\x1b[31m"


def test_the_hour_that_comes_twice_is_no_reason_to_keep_the_older() -> None:
    """Two times in one zone are compared as moments: half past two after the clocks went back is the newer one."""
    night = datetime(2026, 10, 25, 2, 50, tzinfo=Autumn())
    cache = MemoryCache()
    later = night.replace(minute=30, fold=1)
    for moment in (night, later):
        cache.put("a", CachedStatement(b"x", moment, datetime.max.replace(tzinfo=UTC)))
    kept = cache.get("a")
    assert kept is not None
    assert kept.this_update == later.astimezone(UTC)


@pytest.mark.parametrize("bound", ["most_entries", "most_bytes"])
@pytest.mark.parametrize("value", [0, -1, True, "9", None, float("nan"), float("inf")])
def test_bounds_that_can_never_be_right(bound: str, value: Any) -> None:
    """A cache without bounds, or with none above zero, is refused."""
    with pytest.raises(ConfigurationError, match=bound):
        MemoryCache(**{bound: value})


def test_what_was_used_least_recently_goes_first() -> None:
    """Bounded in number; reading is using."""
    cache = MemoryCache(most_entries=2)
    for key in "ab":
        cache.put(key, GOOD)
    assert cache.get("a") == GOOD
    cache.put("c", GOOD)
    assert [cache.get(key) for key in "abc"] == [GOOD, None, GOOD]


def test_bytes_are_bounded_and_given_back() -> None:
    """Bounded in bytes, keys included: what is replaced, removed or over is no longer counted."""
    cache = MemoryCache(most_bytes=200)
    for n in range(50):
        cache.put("a", replace(GOOD, this_update=NOW + n * HOUR))
        cache.put("b", GOOD)
    assert (cache.get("a"), cache.get("b")) == (replace(GOOD, this_update=NOW + 49 * HOUR), GOOD)
    cache.put("c", replace(GOOD, data=b"y" * 150))
    assert [cache.get(key) is None for key in "abc"] == [True, True, False]
    cache.put("a", GOOD)
    cache.put("a", REVOKED)
    cache.put("d", replace(GOOD, data=b"y" * 199))
    assert [cache.get(key) is None for key in "acd"] == [False, True, False]


def test_what_is_larger_than_the_cache_pushes_nothing_out() -> None:
    """One hostile CRL does not empty the cache: it is not kept, and all else stays."""
    cache = MemoryCache(most_bytes=1000)
    cache.put("a", GOOD)
    cache.put("b", replace(GOOD, data=b"y" * 1000))
    assert (cache.get("a"), cache.get("b")) == (GOOD, None)


def test_attack_flooding_with_good_answers_pushes_no_revocation_out() -> None:
    """Strangers with good certificates cannot make the cache forget who was revoked, nor the other way round."""
    cache = MemoryCache(most_entries=10, most_bytes=5000)
    cache.put("revoked", REVOKED)
    for n in range(1000):
        cache.put(f"good{n}", GOOD)
    assert cache.get("revoked") == REVOKED
    for n in range(1000):
        cache.put(f"revoked{n}", REVOKED)
    assert (cache.get("good999"), cache.get("good990"), cache.get("revoked")) == (GOOD, GOOD, None)


def test_a_process_that_was_forked_starts_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process is known by its number; the real fork is in the next test."""
    cache = MemoryCache()
    cache.put("a", GOOD)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert cache.get("a") is None
    cache.put("a", GOOD)
    assert cache.get("a") == GOOD


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_the_lock_is_held_blocks_no_child() -> None:
    """A child has none of the threads of its parent, one of which may hold the lock: it starts with an empty cache."""
    cache = MemoryCache()
    cache.put("a", GOOD)
    memory = cache._memory
    assert memory is not None
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with memory.lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        cache.put("b", GOOD)
        os._exit(0 if (cache.get("a"), cache.get("b")) == (None, GOOD) else 1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache.get("a") == GOOD
