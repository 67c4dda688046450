"""The refresher and its cache: what is stored, that nothing in it is trusted, and that a broken one is a miss."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.revocation import Cache, CachedStatement, MemoryCache, RedisCache, SQLiteCache, crl_key
from mtlspolicy.revocation._shelf import PAUSE
from tests.interop.redis_server import running_redis
from tests.revocation.made import Entry, Made, revoked
from tests.revocation.refreshing import Site, ask, key_of, response, running, statement

GOOD, REVOKED = RevocationStatus.GOOD, RevocationStatus.REVOKED


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """Run one Redis for the tests of this file; each has keys of its own."""
    with running_redis() as running:
        yield running.url


@pytest.fixture(params=["memory", "sqlite", "redis"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    """Give a cache of each kind."""
    one: Cache
    if request.param == "redis":
        one = RedisCache(request.getfixturevalue("redis_url"), prefix=f"{tmp_path.name}:", timeout=10.0)
    else:
        one = MemoryCache() if request.param == "memory" else SQLiteCache(tmp_path / "cache.sqlite")
    yield one
    one.close()


def test_another_process_is_not_asked_again(site: Site, cache: Cache) -> None:
    """What one refresher fetched another takes from the cache, for OCSP and CRLs; each verifies it."""
    frodo = site.client()
    for _ in range(2):
        with site.refresher(cache=cache) as refresher:
            assert ask(refresher, site.ocsp(frodo)).status is GOOD
            assert ask(refresher, site.crl(frodo)).status is GOOD
    assert (site.responder.requests, site.responder.crl_requests) == (1, 1)


def test_attack_restart_and_an_older_good_put_back(site: Site, cache: Cache) -> None:
    """RULES 49: after REVOKED was stored no older GOOD is stored over it, and a new process sees REVOKED."""
    frodo = site.client()
    site.authority.revoke(frodo)
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is REVOKED
    cache.put(key_of(site, frodo), statement(response(site, frodo)))
    site.responder.answer(body=response(site, frodo, timedelta(hours=2)))
    with site.refresher(cache=cache) as restarted:
        assert ask(restarted, site.ocsp(frodo)).status is REVOKED


def test_attack_a_cache_that_is_overwritten_while_we_run(site: Site, tmp_path: Path) -> None:
    """RULES 49: the file replaced by one with the older GOOD does not bring back who was seen revoked here."""
    frodo = site.client()
    with contextlib.closing(SQLiteCache(tmp_path / "c.sqlite")) as cache, site.refresher(cache=cache) as refresher:
        site.authority.revoke(frodo)
        assert ask(refresher, site.ocsp(frodo)).status is REVOKED
        with sqlite3.connect(tmp_path / "c.sqlite") as writer:
            writer.execute("UPDATE statements SET final = 0, data = ?", (response(site, frodo, timedelta(hours=2)),))
        writer.close()
        site.responder.answer(http_status=500)
        for rule in ({}, {"max_age": timedelta(hours=5)}):
            assert ask(refresher, site.ocsp(frodo, **rule)).status is REVOKED


def test_attack_an_older_answer_in_the_cache_is_a_miss(site: Site) -> None:
    """RULES 49: a rollback in the cache of a process that knows better is passed over and the responder asked."""
    frodo, cache = site.client(), MemoryCache()
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is GOOD
        cache._own().shelves[False].entries[key_of(site, frodo)] = statement(response(site, frodo, timedelta(hours=2)))
        assert ask(refresher, site.ocsp(frodo, max_age=timedelta(hours=5))).status is GOOD
    assert site.responder.requests == 2


@pytest.mark.parametrize(
    "forged",
    [
        lambda _site, _leaf: b"garbage",
        lambda site, _leaf: response(site, site.client("sam")),
        lambda site, _leaf: Made(signer=site.client("sam")).encoded(),
        lambda site, leaf: response(site, leaf, timedelta(hours=30)),
    ],
)
def test_attack_a_poisoned_cache_admits_nobody(site: Site, cache: Cache, forged: Callable[..., bytes]) -> None:
    """Whatever lies in the cache is verified under the asker's rule: what is not accepted is not there."""
    frodo = site.client()
    site.authority.revoke(frodo)
    cache.put(key_of(site, frodo), statement(forged(site, frodo)))
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is REVOKED


def test_attack_a_responder_of_another_tenant(site: Site) -> None:
    """RULES 50: an answer that tenant A accepts from a responder it named serves no tenant who did not name it."""
    frodo, cache = site.client(), MemoryCache()
    named = site.authority.issue_client("responder without purpose")
    forged = Made(
        (
            Entry(
                name=site.authority.certificate.subject.public_bytes(),
                spki=ParsedCertificate(site.authority.der).layout.spki,
                serial=frodo.certificate.serial_number,
                this_update=datetime.now(UTC).replace(microsecond=0),
                next_update=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1),
            ),
        ),
        signer=named,
        certificates=(named.der,),
        produced_at=datetime.now(UTC).replace(microsecond=0),
    ).encoded()
    site.authority.revoke(frodo)
    site.responder.answer(body=forged)
    with site.refresher(cache=cache) as refresher:
        trusting = site.ocsp(frodo, responders=(ParsedCertificate(named.der),))
        assert ask(refresher, trusting).status is GOOD
        site.responder.answer()
        assert ask(refresher, site.ocsp(frodo)).status is REVOKED


def test_only_what_was_verified_is_stored(site: Site, cache: Cache) -> None:
    """A response that is not accepted, or an error, leaves the cache empty; REVOKED is final."""
    frodo = site.client()
    with site.refresher(cache=cache) as refresher:
        for script in ({"signer": "stranger"}, {"status": "unauthorized"}, {"dates": "expired"}):
            site.responder.answer(**script)
            ask(refresher, site.ocsp(frodo, max_age=timedelta(seconds=3600 + len(str(script)))))
            assert cache.get(key_of(site, frodo)) is None
        site.responder.answer(status="unknown")
        ask(refresher, site.ocsp(frodo))
        site.responder.answer(status="revoked")
        assert ask(refresher, site.ocsp(frodo, max_age=timedelta(hours=2))).status is REVOKED
        kept = cache.get(key_of(site, frodo))
    assert kept is not None
    assert kept.final


def test_unknown_from_the_cache_is_asked_again(site: Site) -> None:
    """What the responder did not know is asked for again, and stands where nobody answers."""
    frodo, cache = site.client(), MemoryCache()
    site.responder.answer(status="unknown")
    with site.refresher(cache=cache) as refresher:
        ask(refresher, site.ocsp(frodo))
    site.responder.answer(http_status=404)
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is RevocationStatus.UNKNOWN
    site.responder.answer()
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is GOOD


class Down:
    """A cache whose every call fails."""

    def __init__(self) -> None:
        self.calls = 0

    def get(self, key: str) -> CachedStatement | None:
        """Fail."""
        self.calls += 1
        raise ConnectionError(f"no cache at \x1b[31m for {key}")

    def put(self, key: str, statement: CachedStatement) -> None:
        """Fail."""
        self.calls += 1
        raise ConnectionError(f"no cache for {key} and {statement}")

    def close(self) -> None:
        """Close nothing."""


def test_a_cache_that_is_down_is_a_miss(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises nothing and admits nobody; that is said once, and it is left alone for a while, then used again."""
    cache = Down()
    with caplog.at_level(logging.WARNING, "mtlspolicy.revocation"), site.refresher(cache=cache) as refresher:
        for name in ("frodo", "sam", "merry"):
            assert ask(refresher, site.ocsp(site.client(name))).status is GOOD
        assert cache.calls == 1
        assert [record.name for record in caplog.records] == ["mtlspolicy.revocation"]
        assert "\x1b" not in caplog.text
        assert f"{PAUSE:g} s" in caplog.text
        monkeypatch.setattr("mtlspolicy.revocation._shelf.PAUSE", -1.0)
        refresher._office.desk.shelf._closed_until = 0.0
        assert ask(refresher, site.ocsp(site.client("pippin"))).status is GOOD
        assert cache.calls == 3


def test_a_cache_that_failed_for_somebody_else_is_not_told_of_twice(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Of several who meet a cache that is down at the same moment one says so."""

    class Both(Down):
        def get(self, key: str) -> CachedStatement | None:
            refresher._office.desk.shelf._closed_until = time.monotonic() + PAUSE  # as the other one does
            return super().get(key)

    with site.refresher(cache=Both()) as refresher:
        assert ask(refresher, site.ocsp(site.client())).status is GOOD
    assert "cache" not in caplog.text


def test_attack_a_slow_cache_makes_no_responder_look_bad(site: Site) -> None:
    """Where a cache uses the time up nobody is asked, and the responder is not the one that is left alone for it."""

    class Slow(Down):
        def get(self, key: str) -> CachedStatement | None:
            del key
            time.sleep(0.2)
            return None

    frodo = site.client()
    with site.refresher(cache=Slow(), deadline=0.1) as refresher:
        for _ in range(2):
            answer = ask(refresher, site.ocsp(frodo))
            assert (answer.code, answer.detail) == ("fetch.timeout", "no time was left to ask")
    assert site.responder.requests == 0


def test_a_cache_that_returns_something_else_is_a_miss(site: Site) -> None:
    """Only a statement is taken from a cache."""

    class Odd(Down):
        def get(self, key: str) -> Any:
            return key

    with site.refresher(cache=Odd()) as refresher:
        assert ask(refresher, site.ocsp(site.client())).status is GOOD


def test_a_list_in_the_cache_is_verified_too(site: Site) -> None:
    """A forged or lapsed CRL in the cache is passed over, and the distribution point asked."""
    from cryptography.hazmat.primitives.serialization import Encoding

    frodo, cache = site.client(), MemoryCache()
    issuer = ParsedCertificate(site.authority.der)
    key = crl_key(issuer.layout.spki, ParsedCertificate(frodo.der).layout.issuer, site.responder.crl_url)
    with running() as stranger:
        forged = stranger.authority.crl().public_bytes(Encoding.DER)
    at = datetime.now(UTC)
    lapsed = site.authority.crl(this_update=at - timedelta(days=3), next_update=at - timedelta(days=2))
    site.authority.revoke(frodo)
    for data in (b"garbage", forged, lapsed.public_bytes(Encoding.DER)):
        cache._own().shelves[False].entries[key] = statement(data)
        with site.refresher(cache=cache) as refresher:
            assert ask(refresher, site.crl(frodo)).status is REVOKED
    assert site.responder.crl_requests == 3


def test_a_list_is_never_final(site: Site) -> None:
    """A CRL that names somebody revoked is replaced by the next one like any other."""
    frodo, cache = site.client(), MemoryCache()
    site.authority.revoke(frodo)
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.crl(frodo)).status is REVOKED
    assert [len(shelf.entries) for _, shelf in sorted(cache._own().shelves.items())] == [1, 0]


def test_a_contradiction_is_not_stored(site: Site, cache: Cache) -> None:
    """An answer without a date of its own is kept by nobody but the process that heard it."""
    frodo = site.client()
    parts: dict[str, Any] = {
        "name": site.authority.certificate.subject.public_bytes(),
        "spki": ParsedCertificate(site.authority.der).layout.spki,
        "serial": frodo.certificate.serial_number,
    }
    at = datetime.now(UTC).replace(microsecond=0)
    dates: dict[str, Any] = {"this_update": at, "next_update": at + timedelta(hours=1)}
    entries = (Entry(**parts, **dates), Entry(**parts, **dates, status=revoked(at)))
    site.responder.answer(body=Made(entries, signer=site.authority, produced_at=at).encoded())
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).code == "ocsp.contradictory"
    assert cache.get(key_of(site, frodo)) is None
