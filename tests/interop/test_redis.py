"""The cache in a real Redis: races of many clients, a Redis that is stopped, held or full, and hostile values in it."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import redis
import redis.asyncio

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import CachedStatement, CacheFailed, RedisCache
from mtlspolicy.revocation._cache_redis import PAUSE

from .redis_server import Server, free_port, running_redis  # noqa: TID252 - tests are no package that could be named

NOW: Final = datetime.now(UTC)
HOUR: Final = timedelta(hours=1)
GOOD: Final = CachedStatement(b"good", NOW - HOUR, NOW + 24 * HOUR)
NEWER: Final = replace(GOOD, data=b"newer", this_update=NOW)
REVOKED: Final = replace(GOOD, data=b"revoked", final=True)
PATIENT: Final = 10.0
SHORT: Final = 1.0
"""Seconds that a test waits for a Redis that does not answer; one that does answers in a thousandth."""
NAME: Final = "mtlspolicy:key"


@pytest.fixture(scope="module")
def shared() -> Generator[Server, None, None]:
    """Return one server for the tests that do it no harm."""
    with running_redis() as running:
        yield running


@pytest.fixture
def server(shared: Server) -> Server:
    """Return that server, empty."""
    with shared.client() as client:
        client.flushall()
        client.script_flush()
    return shared


@pytest.fixture
def own() -> Generator[Server, None, None]:
    """Return a server that the test may stop, hold and start again."""
    with running_redis() as running:
        yield running


def stored(server: Server) -> bytes:
    """Return the value as it is stored."""
    with server.client() as client:
        value = client.get(NAME)
    assert isinstance(value, bytes)
    return value


def answer(cache: RedisCache) -> CachedStatement | str | None:
    """Return what is kept, or how the cache says that it is down."""
    try:
        return cache.get("key")
    except CacheFailed as error:
        return str(error)


def test_values_have_a_prefix_an_end_and_no_code(server: Server) -> None:
    """What is stored is one string with a header in ASCII and the DER; Redis removes it when its time is over."""
    with closing(RedisCache(server.url, timeout=PATIENT)) as cache:
        cache.put("key", REVOKED)
        value = stored(server)
        assert value.startswith(b"mtls1:1:")
        assert value.endswith(b":revoked")
        with server.client() as client:
            assert client.keys() == [NAME.encode()]
            assert client.pexpiretime(NAME) == int(REVOKED.keep_until.timestamp() * 1000)
    with closing(RedisCache(server.url, prefix="another:", timeout=PATIENT)) as other:
        assert other.get("key") is None


def test_many_clients_that_put_at_once_leave_the_newest(server: Server) -> None:
    """Twelve clients with connections of their own, each with all statements in random order: the newest stays."""
    statements = [replace(GOOD, this_update=NOW + n * timedelta(microseconds=1)) for n in range(60)]

    def work(seed: int) -> None:
        order = random.Random(seed).sample(statements, len(statements))  # noqa: S311 - an order, no secret
        with closing(RedisCache(server.url, timeout=PATIENT)) as cache:
            for statement in order:
                cache.put("key", statement)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(RedisCache(server.url, timeout=PATIENT)) as cache:
        assert cache.get("key") == statements[-1]


def test_a_redis_that_forgot_the_script_is_told_it_again(server: Server) -> None:
    """Scripts are gone after a restart or a SCRIPT FLUSH, and come back without anybody's help."""
    with closing(RedisCache(server.url, timeout=PATIENT)) as cache, server.client() as client:
        cache.put("key", GOOD)
        client.script_flush()
        assert cache.get("key") == GOOD
        client.script_flush()
        cache.put("key", NEWER)
        assert cache.get("key") == NEWER


HEADER: Final = b"mtls1:%d:%018d:%018d:"
FUTURE: Final = 300_000_000_000_000_000
PAST: Final = 1


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"\x80\x04\x95pickle",
        b"mtls1:",
        HEADER % (0, FUTURE, FUTURE),
        HEADER % (1, FUTURE, FUTURE),
        HEADER % (7, FUTURE, FUTURE) + b"x",
        HEADER % (1, 10**18, FUTURE) + b"x",
        HEADER.replace(b"mtls1", b"mtls2") % (1, FUTURE, FUTURE) + b"x",
        b"mtls1:1:" + b"9" * 17 + b"x:" + b"9" * 18 + b":x",
        b"mtls1:1:" + "٣".encode() * 9 + b":" + b"9" * 18 + b":x",
        HEADER % (1, FUTURE, PAST) + b"x",
        HEADER % (1, PAST, FUTURE) + bytes(2000),
    ],
)
def test_attack_odd_values_are_not_there_and_stand_against_nothing(server: Server, value: bytes) -> None:
    """What cannot be a value of ours is a miss, and the next put replaces it: truncated, too large, of any version."""
    with closing(RedisCache(server.url, timeout=PATIENT, most_bytes=1000)) as cache, server.client() as client:
        client.set(NAME, value)
        assert cache.get("key") is None
        cache.put("key", GOOD)
        assert cache.get("key") == GOOD


def test_attack_a_time_that_no_date_has(server: Server) -> None:
    """A header that is well formed and names a time after the year 9999 is a miss."""
    with closing(RedisCache(server.url, timeout=PATIENT)) as cache, server.client() as client:
        client.set(NAME, HEADER % (0, 10**18 - 1, 10**18 - 1) + b"x")
        assert cache.get("key") is None


@pytest.mark.parametrize("kind", ["list", "hash", "stream"])
def test_attack_a_key_of_another_type(server: Server, kind: str) -> None:
    """A list, hash or stream under our key is a miss and is replaced; it does not keep Redis from being asked."""
    with closing(RedisCache(server.url, timeout=PATIENT)) as cache, server.client() as client:
        if kind == "list":
            client.rpush(NAME, "x")
        elif kind == "hash":
            client.hset(NAME, "x", "y")
        else:
            client.xadd(NAME, {"x": "y"})
        assert cache.get("key") is None
        cache.put("key", GOOD)
        assert cache.get("key") == GOOD


def test_attack_a_huge_value_stays_where_it_is(server: Server) -> None:
    """A value of 200 MB is not sent: Redis writes a few hundred bytes on the connection."""
    with closing(RedisCache(server.url, timeout=PATIENT)) as cache, server.client() as client:
        client.setrange(NAME, 200_000_000, b"x")
        before = client.info("stats")["total_net_output_bytes"]
        assert cache.get("key") is None
        assert client.info("stats")["total_net_output_bytes"] - before < 100_000
        cache.put("key", GOOD)
        assert cache.get("key") == GOOD
        cache.put("key", replace(NEWER, data=bytes((8 << 20) + 1)))
        assert cache.get("key") == GOOD, "what is too large is not kept"
        cache.put("key", replace(NEWER, data=bytes(8 << 20)))
        kept = cache.get("key")
        assert kept is not None
        assert len(kept.data) == 8 << 20


def test_a_held_redis_costs_one_timeout(own: Server) -> None:
    """A Redis that accepts and never answers costs one timeout; from then on, for a second, nothing at all."""
    with closing(RedisCache(own.url, timeout=SHORT)) as cache:
        cache.put("key", GOOD)
        own.hold()
        try:
            start = time.monotonic()
            first = answer(cache)
            assert isinstance(first, str)
            assert "imed out" in first or "imeout" in first
            assert time.monotonic() - start < PATIENT
            start = time.monotonic()
            answers = {answer(cache) for _ in range(1000)}
            assert time.monotonic() - start < PAUSE + PATIENT
            assert all(isinstance(told, str) for told in answers)
            with pytest.raises(CacheFailed, match="a moment ago"):
                cache.put("key", NEWER)
        finally:
            own.release()
        assert until(cache, GOOD)


def until(cache: RedisCache, expected: CachedStatement | None) -> bool:
    """Return whether *expected* is what is got, within a patience that nothing comes near."""
    end = time.monotonic() + PATIENT
    while answer(cache) != expected and time.monotonic() < end:
        time.sleep(0.02)
    return answer(cache) == expected


def test_a_redis_that_stops_and_starts_under_load(own: Server) -> None:
    """Killed, held and started again while in use: `CacheFailed` or an answer, in bounded time, and nothing else."""
    stop = threading.Event()
    wrong: list[object] = []
    longest: list[float] = []
    cache = RedisCache(own.url)

    def work(number: int) -> None:
        slowest = 0.0
        while not stop.is_set():
            start = time.monotonic()
            try:
                cache.put(f"key{number}", replace(GOOD, this_update=datetime.now(UTC)))
                kept = cache.get(f"key{number}")
                if kept is not None and kept.data != b"good":
                    wrong.append(kept)
            except CacheFailed:
                stop.wait(0.005)
            except Exception as error:  # noqa: BLE001 - this is what must not be
                wrong.append(error)
            slowest = max(slowest, time.monotonic() - start)
        longest.append(slowest)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.1)
        own.stop()
        time.sleep(0.1)
        own.start()
        time.sleep(0.1)
        own.hold()
        time.sleep(0.3)
        own.release()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert max(longest) < PATIENT
    cache.close()
    with closing(RedisCache(own.url, timeout=PATIENT)) as again:
        again.put("key", GOOD)
        assert again.get("key") == GOOD


def test_a_redis_that_is_not_there_is_asked_again(own: Server) -> None:
    """After a second one question goes through, and when Redis is back the cache is; meanwhile others fail at once."""
    own.stop()
    with closing(RedisCache(own.url, timeout=PATIENT)) as cache:
        assert isinstance(answer(cache), str)
        assert "a moment ago" in str(answer(cache))
        cache._asked_again_at = time.monotonic()
        assert "a moment ago" not in str(answer(cache)), "the second is over: one asks"
        own.start()
        assert until(cache, None)
        cache.put("key", GOOD)
        assert cache.get("key") == GOOD


def test_while_one_asks_a_redis_that_failed_the_others_do_not(own: Server) -> None:
    """When the pause is over one thread asks for all: a hundred handshakes do not wait for the same timeout."""
    with closing(RedisCache(own.url, timeout=SHORT)) as cache:
        own.hold()
        try:
            assert isinstance(answer(cache), str)
            cache._asked_again_at = time.monotonic()
            cache._require_up()  # this one asks now
            assert "a moment ago" in str(answer(cache))
        finally:
            own.release()


def test_a_full_redis_fails_and_still_reads() -> None:
    """Out of memory with no eviction: a put fails, and since Redis has answered, reading goes on without a pause."""
    with (
        running_redis("--maxmemory-policy", "noeviction") as full,
        closing(RedisCache(full.url, timeout=PATIENT)) as cache,
    ):
        cache.put("key", GOOD)
        with full.client() as client:
            client.config_set("maxmemory", 1)
        with pytest.raises(CacheFailed, match="maxmemory"):
            cache.put("key", NEWER)
        assert cache.get("key") == GOOD


def test_what_is_over_for_us_is_over(server: Server) -> None:
    """A value whose time is over, left there by a Redis whose clock is slow, is a miss."""
    with closing(RedisCache(server.url, timeout=PATIENT)) as cache, server.client() as client:
        cache.put("key", GOOD)
        past = int((NOW - HOUR).timestamp() * 1_000_000) + 62_135_596_800_000_000
        client.set(NAME, HEADER % (1, past, past) + b"over")
        assert cache.get("key") is None
        cache.put("key", GOOD)
        assert cache.get("key") == GOOD


def test_a_client_is_a_description_of_where_redis_is(server: Server) -> None:
    """The client's own settings, however unsuited, change nothing; it is not closed with the cache."""
    with redis.Redis(
        unix_socket_path=f"{server.folder}/redis.sock", decode_responses=True, socket_timeout=None, max_connections=1,
    ) as client:  # fmt: skip
        with closing(RedisCache(client, timeout=PATIENT)) as cache:
            cache.put("key", GOOD)
            assert cache.get("key") == GOOD
            settings = cache._pool.connection_kwargs
            assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (PATIENT, PATIENT)
            assert settings["decode_responses"] is False
        assert client.ping()
    pool = redis.BlockingConnectionPool.from_url(server.url)
    with redis.Redis(connection_pool=pool) as client, closing(RedisCache(client, timeout=PATIENT)) as cache:
        assert cache.get("key") == GOOD
    pool.disconnect()


def test_a_connection_that_loses_its_timeout_is_refused(server: Server) -> None:
    """Old versions of redis-py forget the timeout of UNIX sockets: a Redis that hangs would hang every handshake."""
    module: Any = redis

    class Forgetful(module.UnixDomainSocketConnection):  # type: ignore[misc]  # redis-py's own types leave it out
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.socket_timeout = None

    pool = module.ConnectionPool(connection_class=Forgetful, path=f"{server.folder}/redis.sock")
    with redis.Redis(connection_pool=pool) as client, pytest.raises(ConfigurationError, match="loses the timeout"):
        RedisCache(client)


def test_a_url_cannot_switch_the_timeouts_off(server: Server) -> None:
    """What a URL says after its question mark does not undo the timeout."""
    with closing(RedisCache(f"{server.url}?socket_timeout=900&decode_responses=yes", timeout=PATIENT)) as cache:
        cache.put("key", GOOD)
        assert cache.get("key") == GOOD
        assert cache._pool.connection_kwargs["socket_timeout"] == PATIENT


def test_a_port_on_which_nothing_listens() -> None:
    """A connection that is refused is a cache that is down, over TCP as over a socket in a folder."""
    with closing(RedisCache(f"redis://127.0.0.1:{free_port()}/0")) as cache:
        assert "refused" in str(answer(cache))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_connections_of_its_own(server: Server) -> None:
    """Parent and child do not read each other's answers: both put and get after the fork, and each gets its own."""
    with closing(RedisCache(server.url, timeout=PATIENT)) as cache:
        cache.put("key", GOOD)
        child = os.fork()
        name, statement = ("child", NEWER) if child == 0 else ("parent", REVOKED)
        cache.put(name, statement)
        right = all(cache.get(name) == statement and cache.get("key") == GOOD for _ in range(50))
        if child == 0:
            os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert right


@pytest.mark.parametrize(
    "said", [b":nonsense\r\n", b"*1\r\n" * 5000, b"+OK\r\n" * 20, b"-ERR \x1b[31m\r\n" * 20, b"$5\r\n"]
)
def test_attack_something_else_than_redis_answers(said: bytes) -> None:
    """Whatever a server on that port says, a miss or `CacheFailed` comes of it, in bounded time."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(said)
                connection.settimeout(PATIENT)
                while connection.recv(1000):
                    connection.sendall(said)

        thread = threading.Thread(target=_quietly, args=(serve,))
        thread.start()
        start = time.monotonic()
        with closing(RedisCache(f"redis://127.0.0.1:{port}/0")) as cache:
            found = answer(cache)
        assert time.monotonic() - start < PATIENT
        thread.join()
    assert found is None or (isinstance(found, str) and found.isprintable())


def _quietly(work: Any) -> None:
    try:
        work()
    except OSError:  # the client has gone
        return


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("http://127.0.0.1/", "not a URL"),
        ("redis://:pass/word@127.0.0.1/", "not a URL"),
        (None, "NoneType is no redis.Redis"),
        (redis.Redis, "is no redis.Redis"),
        (redis.asyncio.Redis(), "is no redis.Redis"),
    ],
)
def test_what_is_no_redis_is_refused(given: Any, told: str) -> None:
    """Neither URL nor client: refused at construction, with no password in the message."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        RedisCache(given)
    assert "word" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_clients_with_pools_of_another_kind_are_refused() -> None:
    """A Sentinel's pool asks other servers, with timeouts of their own: refused, and not half used."""
    module: Any = redis
    sentinel = module.Sentinel([("127.0.0.1", free_port())]).master_for("mymaster")
    with pytest.raises(ConfigurationError, match="plain pool"):
        RedisCache(sentinel)


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"most_bytes": 0}, "most_bytes"),
        ({"prefix": "a\n"}, "prefix"),
        ({"prefix": None}, "prefix"),
    ],
)
def test_bounds_that_can_never_be_right(bounds: dict[str, Any], told: str) -> None:
    """A cache without a timeout, or with a prefix that no key should have, is refused."""
    with pytest.raises(ConfigurationError, match=told):
        RedisCache("redis://127.0.0.1:1/", **bounds)


def test_without_the_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named where it is missing."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mtlspolicy\[redis\]'"):
        RedisCache("redis://127.0.0.1/")
