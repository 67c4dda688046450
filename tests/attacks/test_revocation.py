"""Attacks on revocation, each carried out against the whole of it: a certificate, a refresher, a responder, a decision.

What each part does by itself is tested beside the part; here nobody gets in, whichever part it is that stops him.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509

from mtlspolicy import RevocationStatus, Verdict, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._resolver import settle
from mtlspolicy.revocation import Cache, MemoryCache, RedisCache, Refresher, SQLiteCache
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.revocation.made import Entry, Made, revoked
from tests.revocation.refreshing import MINUTE, Site, ask, key_of, response, running, statement

GOOD, REVOKED = RevocationStatus.GOOD, RevocationStatus.REVOKED
UNAVAILABLE = RevocationStatus.UNAVAILABLE
HARD: Final = policies.NotRevoked()
SOFT: Final = policies.NotRevoked(soft=True)
HOUR: Final = timedelta(hours=1)


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


def decided(site: Site, refresher: Refresher, leaf: IssuedCertificate, policy: policies.NotRevoked) -> str:
    """Return the decision on *leaf*, as text."""
    return settle(site.judgement(leaf, policy), refresher.resolver()).decision.explain()


# an older answer put back, in each cache


class _Attacked:
    """A cache, and how somebody who can write to where it lies takes everything out of it."""

    def __init__(self, cache: Cache, empty: Callable[[], Any]) -> None:
        self.cache = cache
        self.empty = empty


@pytest.fixture(params=["memory", "sqlite", "redis"])
def attacked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Attacked]:
    """Give a cache of each kind."""
    with contextlib.ExitStack() as stack:
        if request.param == "memory":
            memory = MemoryCache()
            yield _Attacked(memory, lambda: setattr(memory, "_memory", MemoryCache()._memory))
        elif request.param == "sqlite":
            yield _sqlite(stack, tmp_path / "cache.sqlite")
        else:
            if shutil.which("redis-server") is None:
                pytest.skip("redis-server is not installed: on Debian, apt-get install redis-server")
            from tests.interop.redis_server import Server as Redis

            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # names of sockets are short
            server = Redis(folder)
            stack.callback(server.stop)
            server.start()
            client = stack.enter_context(contextlib.closing(server.client()))
            yield _Attacked(stack.enter_context(contextlib.closing(RedisCache(server.url))), client.flushall)


def _sqlite(stack: contextlib.ExitStack, path: Path) -> _Attacked:
    cache = stack.enter_context(contextlib.closing(SQLiteCache(path)))

    def empty() -> None:
        with contextlib.closing(sqlite3.connect(path)) as writer, writer:
            writer.execute("DELETE FROM statements")

    return _Attacked(cache, empty)


@pytest.mark.parametrize("policy", [HARD, SOFT], ids=["hard", "soft"])
def test_attack_an_older_good_put_back_after_revoked(
    site: Site, attacked: _Attacked, policy: policies.NotRevoked
) -> None:
    """RULES 49: who saw REVOKED is not told otherwise by a genuine older GOOD, in the cache or on its way."""
    frodo = site.client()
    older = response(site, frodo, HOUR)
    site.authority.revoke(frodo)
    with site.refresher(cache=attacked.cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is REVOKED
        attacked.cache.put(key_of(site, frodo), statement(older, HOUR))
        with site.refresher(cache=attacked.cache) as restarted:  # what is final is not replaced
            assert ask(restarted, site.ocsp(frodo)).status is REVOKED
        attacked.empty()
        attacked.cache.put(key_of(site, frodo), statement(older, HOUR))
        site.responder.answer(body=older)
        for age in (24, 5):
            told = ask(refresher, site.ocsp(frodo, max_age=timedelta(hours=age)))
            assert (told.status, told.code) == (REVOKED, "ocsp.revoked")
        assert "ocsp.revoked" in decided(site, refresher, frodo, policy)


def test_attack_an_older_good_put_back_after_a_newer_one(site: Site, attacked: _Attacked) -> None:
    """RULES 49: what is older than an answer seen here is `ocsp.rollback`, from the cache and from the network."""
    frodo = site.client()
    with site.refresher(cache=attacked.cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is GOOD
        attacked.empty()
        attacked.cache.put(key_of(site, frodo), statement(response(site, frodo, HOUR), HOUR))
        site.responder.answer(body=response(site, frodo, HOUR))
        told = ask(refresher, site.ocsp(frodo, max_age=timedelta(hours=5)))
        assert (told.status, told.code) == (UNAVAILABLE, "ocsp.rollback")


@pytest.mark.parametrize(("old", "new"), [("sha1", "sha256"), ("sha256", "sha1")])
@pytest.mark.parametrize("first", ["old", "new"])
def test_attack_the_digest_of_the_cert_id_splits_no_cache(
    site: Site, attacked: _Attacked, old: str, new: str, first: str
) -> None:
    """RULES 50: GOOD under one digest and REVOKED under the other are one entry, in whichever order they are stored."""
    frodo = site.client()
    good = statement(response(site, frodo, HOUR, digest=old), HOUR)
    newer = statement(response(site, frodo, MINUTE, digest=new, status=revoked()), MINUTE)
    for one in (good, newer) if first == "old" else (newer, good):
        attacked.cache.put(key_of(site, frodo), one)
    for digest in (old, new):
        with site.refresher(cache=attacked.cache, digest=digest) as refresher:
            assert ask(refresher, site.ocsp(frodo)).status is REVOKED
    assert site.responder.requests == 0


# times


@pytest.mark.parametrize("policy", [HARD, SOFT], ids=["hard", "soft"])
def test_attack_a_clock_that_was_set_back(site: Site, policy: policies.NotRevoked) -> None:
    """RULES 51: REVOKED with every date an hour ahead of us is revoked; GOOD with such dates is no answer."""
    frodo, sam = site.client(), site.client("sam")
    site.responder.answer(frodo, body=response(site, frodo, -HOUR, status=revoked()))
    site.responder.answer(sam, body=response(site, sam, -HOUR))
    with site.refresher() as refresher:
        assert "ocsp.revoked" in decided(site, refresher, frodo, policy)
        assert ask(refresher, site.ocsp(sam)).code in {"ocsp.not-yet-valid", "ocsp.produced-in-future"}


# answers that are none

HOSTILE: Final[tuple[dict[str, Any], ...]] = (
    *({"status": one} for one in ("malformed-request", "internal-error", "try-later", "unauthorized")),
    *({"signer": f"delegate-{one}"} for one in ("without-purpose", "expired", "of-another")),
    {"signer": "stranger"},
    *({"dates": one} for one in ("expired", "not-yet-valid", "old")),
    {"about": "another"},
    {"nonce": "another"},
    *({"http_status": one} for one in (204, 301, 400, 404, 429, 500, 503)),
    *({"body": one} for one in (b"", b"\x30\x03\x0a\x01\x00", b"<html>", b"\x30" * 1000, b"x" * 70_000)),
    {"never": True},
    {"pause": 0.2},
)


@pytest.mark.parametrize("script", HOSTILE, ids=str)
def test_attack_soft_never_reads_as_good(site: Site, script: dict[str, Any]) -> None:
    """Whatever a responder does short of a good answer: hard rules refuse, and soft ones say that they were soft."""
    frodo = site.client()
    site.responder.answer(**script)
    with site.refresher(deadline=0.3, nonce="nonce" in script) as refresher:
        resolver = refresher.resolver()
        hard, soft = (settle(site.judgement(frodo, policy), resolver) for policy in (HARD, SOFT))
    assert (hard.decision.verdict, hard.decision.code) == (Verdict.INDETERMINATE, "ocsp.unavailable")
    assert hard.error().http_status == 503
    assert soft.decision.verdict is Verdict.PERMIT
    assert "ocsp.soft" in soft.decision.explain()
    assert not any("ocsp.good" in one.decision.explain() for one in (hard, soft))


@pytest.mark.parametrize(
    ("part", "value", "code"),
    [
        ("name", b"\x30\x00", "ocsp.other-certificate"),
        ("spki", ParsedCertificate(CertificateAuthority("Root").der).layout.spki, "ocsp.other-certificate"),
        ("serial", 5, "ocsp.other-certificate"),
        ("digest", "sha256", "ocsp.cert-id-algorithm"),
    ],
)
def test_attack_a_response_about_another_certificate(site: Site, part: str, value: Any, code: str) -> None:
    """A genuine GOOD whose CertID differs in one part from what was asked is no answer; the same with none is one."""
    frodo = site.client()
    given = {"name": site.authority.certificate.subject.public_bytes(), part: value}
    site.responder.answer(body=_with(site, frodo, given))
    with site.refresher() as refresher:
        told = ask(refresher, site.ocsp(frodo))
        assert (told.status, told.code) == (UNAVAILABLE, code)
    site.responder.answer(body=_with(site, frodo, {}))
    with site.refresher() as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is GOOD


def _with(site: Site, leaf: IssuedCertificate, parts: dict[str, Any]) -> bytes:
    """Return a response about *leaf* of whose CertID some parts are others, really signed."""
    at = datetime.now(UTC).replace(microsecond=0)
    entry = Entry(
        name=site.authority.certificate.subject.public_bytes(),
        spki=ParsedCertificate(site.authority.der).layout.spki,
        serial=leaf.certificate.serial_number,
        this_update=at - MINUTE,
        next_update=at + HOUR,
    )
    return Made((replace(entry, **parts),), signer=site.authority, produced_at=at - MINUTE).encoded()


def test_attack_no_rev_avail_beside_a_responder(site: Site) -> None:
    """RFC 9608, section 3: who says "ask nobody" and names a responder is a doubt, for soft rules too."""
    no_rev_avail = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.56"), b"\x05\x00")
    frodo = site.client(extensions=[no_rev_avail])
    site.authority.revoke(frodo)
    with site.refresher() as refresher:
        for policy in (HARD, SOFT):
            decision = settle(site.judgement(frodo, policy), refresher.resolver()).decision
            assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "revocation.no-rev-avail-misused")
    assert site.responder.requests == 0


def test_attack_nobody_is_asked_about_a_stranger(site: Site) -> None:
    """RULES 53: a client whom another clause refuses causes no question: strangers wear no responder out."""
    strangers = [site.client(f"stranger {number}") for number in range(3)]
    with site.refresher() as refresher:
        for stranger in strangers:
            judgement = site.judgement(stranger, policies.NotRevoked() & policies.CommonName("frodo"))
            assert settle(judgement, refresher.resolver()).decision.verdict is Verdict.DENY
    assert site.responder.requests == 0
