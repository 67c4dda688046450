"""Renewals before answers lapse: pushed to resolvers, ended with their refresher, and afresh after a fork."""

from __future__ import annotations

import gc
import os
import threading
import warnings
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mtlspolicy import Resolver, RevocationStatus, Verdict, policies
from mtlspolicy._resolver import settle, settle_at_hand
from mtlspolicy.revocation import CachedStatement, MemoryCache
from mtlspolicy.revocation._background import RenewingThread
from mtlspolicy.revocation._ledger import Ledger
from tests.revocation.made import revoked
from tests.revocation.refreshing import Site, ask, facts_of, key_of, response, running, threads, until

GOOD, REVOKED = RevocationStatus.GOOD, RevocationStatus.REVOKED


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every renewal due a twentieth of a second after the last."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("rule", ["ocsp", "crl"])
def test_a_revocation_is_pushed(site: Site, rule: str) -> None:
    """Who is revoked while a server runs is refused from then on, though the good answer would hold for an hour."""
    frodo, policy = site.client(), policies.NotRevoked(rule)
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(frodo, policy), resolver).decision.verdict is Verdict.PERMIT
        site.authority.revoke(frodo)
        until(lambda: settle_at_hand(site.judgement(frodo, policy), resolver).decision.verdict is Verdict.DENY)
        assert settle(site.judgement(frodo, policy), resolver).decision.code == f"{rule}.revoked"


@pytest.mark.usefixtures("hurried")
def test_a_new_list_renews_every_answer(site: Site) -> None:
    """One fetch of a new list renews what all who share it were told, and a revocation among them is pushed."""
    leaves = [site.client(name) for name in ("frodo", "sam", "merry")]
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        policy = policies.NotRevoked("crl")
        for leaf in leaves:
            assert settle(site.judgement(leaf, policy), resolver).decision.verdict is Verdict.PERMIT
        before = [facts_of(resolver, site.crl(leaf)) for leaf in leaves]
        site.authority.revoke(leaves[1])
        until(lambda: facts_of(resolver, site.crl(leaves[1])) != before[1])
        until(lambda: _newer(resolver, site, leaves[2], before[2]))
        assert [settle(site.judgement(leaf, policy), resolver).decision.verdict for leaf in leaves] == [
            Verdict.PERMIT,
            Verdict.DENY,
            Verdict.PERMIT,
        ]


def _newer(resolver: Resolver, site: Site, leaf: object, before: object) -> bool:
    return facts_of(resolver, site.crl(leaf)) != before  # type: ignore[arg-type]


@pytest.mark.usefixtures("hurried")
def test_the_plain_form_comes_back_for_renewals(site: Site) -> None:
    """A resolver that nothing is pushed to asks again when a renewal is due, and gets what was found."""
    frodo = site.client()
    with site.refresher() as refresher, Resolver(refresher.sources) as resolver:
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        site.authority.revoke(frodo)
        until(lambda: settle(site.judgement(frodo), resolver).decision.verdict is Verdict.DENY)


@pytest.mark.usefixtures("hurried")
def test_an_outage_changes_nothing_until_the_answer_lapses(site: Site) -> None:
    """While the responder is down renewals fail, the good answer holds, and when it is back it is asked again."""
    frodo = site.client()
    with site.refresher(deadline=0.3) as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        site.responder.answer(http_status=500)
        asked = site.responder.requests
        until(lambda: site.responder.requests > asked + 1)
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        site.authority.revoke(frodo)
        site.responder.answer()
        until(lambda: settle_at_hand(site.judgement(frodo), resolver).decision.verdict is Verdict.DENY)


@pytest.mark.usefixtures("hurried")
def test_attack_an_older_answer_is_not_pushed(site: Site) -> None:
    """RULES 49: replayed answers that a renewal finds change nothing, and the next one is tried."""
    frodo = site.client()
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        site.authority.revoke(frodo)
        site.responder.answer(dates="old", status="good")
        asked = site.responder.requests
        until(lambda: site.responder.requests > asked + 1)
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        site.responder.answer()
        until(lambda: settle_at_hand(site.judgement(frodo), resolver).decision.verdict is Verdict.DENY)


@pytest.mark.usefixtures("hurried")
def test_what_nobody_uses_is_renewed_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody asked for is dropped; one that a resolver uses from its own cache is in use."""
    monkeypatch.setattr("mtlspolicy.revocation._ledger.UNUSED", 0.0)
    monkeypatch.setattr(
        "mtlspolicy.revocation._ledger._Entry.life", property(lambda _self: 0.3, lambda *_: None), raising=True
    )
    frodo, sam = site.client(), site.client("sam")
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        for leaf in (frodo, sam):
            assert settle(site.judgement(leaf), resolver).decision.verdict is Verdict.PERMIT
        ledger = refresher._office.desk._ledger

        def only_frodo() -> bool:
            assert settle_at_hand(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
            return set(ledger._entries) == {site.ocsp(frodo)}

        until(only_frodo)


@pytest.mark.usefixtures("hurried")
def test_a_renewal_that_nobody_foresaw_keeps_no_other_from_it(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is said on the log, and the thread goes on."""
    frodo = site.client()
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        with monkeypatch.context() as patch:
            patch.setattr(Resolver, "renew", _fail)
            until(lambda: "LookupError: \\x1b" in caplog.text)
        site.authority.revoke(frodo)
        until(lambda: settle_at_hand(site.judgement(frodo), resolver).decision.verdict is Verdict.DENY)


def _fail(*_args: object) -> None:
    raise LookupError("\x1b[31m")


@pytest.mark.usefixtures("hurried")
def test_a_newer_answer_in_the_shared_cache_is_enough(site: Site) -> None:
    """Of several processes one renews; the others find its answer in the cache and do not ask the responder."""
    frodo, cache = site.client(), MemoryCache()
    with site.refresher(cache=cache) as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        site.responder.answer(http_status=500)
        at = datetime.now(UTC).replace(microsecond=0)
        found = CachedStatement(response(site, frodo, status=revoked(at)), at, at + timedelta(hours=1), final=True)
        cache.put(key_of(site, frodo), found)
        until(lambda: settle_at_hand(site.judgement(frodo), resolver).decision.verdict is Verdict.DENY)


def test_without_renewals_there_is_no_thread(site: Site) -> None:
    """background=False asks when an answer has lapsed, and never by itself."""
    before = set(threads())
    with site.refresher(background=False) as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(site.client()), resolver).decision.verdict is Verdict.PERMIT
        assert set(threads()) == before


def test_a_system_without_threads_answers_all_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread is to be had answers lapse, and are asked for then; the next answer tries again."""
    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if thread.name == "mtlspolicy-renewals":
            raise RuntimeError("can't start new thread")
        start(thread)

    before = set(threads())
    with site.refresher() as refresher:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            assert ask(refresher, site.ocsp(site.client())).status is GOOD
        assert set(threads()) == before
        assert ask(refresher, site.ocsp(site.client("sam"))).status is GOOD
        assert len(set(threads()) - before) == 1


def test_a_closed_desk_starts_no_thread(site: Site) -> None:
    """An answer that comes in after the end does not bring the thread back."""
    refresher = site.refresher()
    refresher.close()
    office = refresher._office
    renewals = RenewingThread(office.desk, office._threads)
    renewals.begin()
    assert renewals._thread is None
    assert not office.desk.has_renewals()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_was_ended_is_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no Exception ends the thread; the next answer starts another."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)
    before = set(threads())

    def leave(*_args: object) -> None:
        raise SystemExit

    with site.refresher() as refresher:
        resolver = refresher.resolver()
        with monkeypatch.context() as patch:
            patch.setattr(Resolver, "renew", leave)
            frodo = site.client()
            assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
            site.authority.revoke(frodo)
            until(lambda: refresher._office._renewals._thread is not None and set(threads()) == before)
        assert ask(refresher, site.ocsp(site.client("sam"))).status is GOOD
        assert len(set(threads()) - before) == 1


def test_attack_what_was_found_since_is_told(site: Site) -> None:
    """An answer that was found before a revocation, and handed over after it, is the revocation."""
    frodo = site.client()
    with site.refresher(background=False) as refresher:
        desk, question = refresher._office.desk, site.ocsp(frodo)
        good = ask(refresher, question)
        assert good.status is GOOD
        site.authority.revoke(frodo)
        refresher._office._threads.drive(desk.renew(question))
        assert desk.given(question, good, pushed=False).value.status is REVOKED


def test_a_forgotten_refresher_ends_its_thread(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresher that nobody holds any more leaves no thread behind; one whose resolver is held goes on."""
    monkeypatch.setattr("mtlspolicy._resolver._flight.IDLE", 0.01)  # the resolver's own threads hold its source
    before = set(threads())
    refresher = site.refresher()
    resolver = refresher.resolver()
    assert settle(site.judgement(site.client()), resolver).decision.verdict is Verdict.PERMIT
    alive = weakref.ref(refresher)
    del refresher
    gc.collect()
    assert alive() is not None
    assert len(set(threads()) - before) == 1
    resolver.close()
    del resolver
    until(lambda: gc.collect() is not None and alive() is None)
    until(lambda: set(threads()) == before)


def test_threads_are_daemons(site: Site) -> None:
    """Neither renewals nor a fetch that hangs keep the interpreter from ending."""
    site.responder.answer_crl(never=True)
    before = set(threads())
    with site.refresher(deadline=0.1) as refresher:
        ask(refresher, site.ocsp(site.client()))
        ask(refresher, site.crl(site.client()))
        mine = set(threads()) - before
        assert {one.name for one in mine} == {"mtlspolicy-renewals", "mtlspolicy-fetch"}
        assert all(one.daemon for one in mine)
        site.responder._stopping.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork_the_refresher_starts_afresh(site: Site) -> None:
    """A worker forked after the first question answers and renews by itself; the parent goes on."""
    refresher = site.refresher()
    resolver = refresher.resolver()
    assert settle(site.judgement(site.client()), resolver).decision.verdict is Verdict.PERMIT
    sam = site.judgement(site.client("sam"))
    parents = refresher._office
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tried here
        child = os.fork()
    if not child:
        status = 3
        try:
            verdict = settle(sam, resolver).decision.verdict
            parents.close()
            fresh = refresher._office is not parents and refresher._office.desk.has_renewals()
            refresher.close()
            status = 0 if verdict is Verdict.PERMIT and fresh and not parents.desk.closed else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert settle(site.judgement(site.client("merry")), resolver).decision.verdict is Verdict.PERMIT
    refresher.close()


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_in_another_process_nothing_of_the_parents_is_touched(site: Site, kind: str) -> None:
    """What is left of the parent in a forked child ends no thread of it, and the child's own is made at once."""
    client = httpx.AsyncClient(trust_env=False) if kind == "tasks" else None
    with site.refresher(client=client) as refresher:
        parents = refresher._office
        parents.desk.pid = -1
        parents.close()
        assert not parents.desk.closed
        if client is None:
            assert ask(refresher, site.ocsp(site.client())).status is GOOD
        assert refresher._current() is not parents


def test_it_is_renewed_before_it_lapses(site: Site) -> None:
    """By default between 60 % and 90 % of what is left: within the hour of a good answer's life."""
    with site.refresher() as refresher:
        before = datetime.now(UTC)
        ask(refresher, site.ocsp(site.client()))
        _, seconds = refresher._office.desk.due()
        assert seconds is not None
        assert timedelta(minutes=35) < timedelta(seconds=seconds) < timedelta(minutes=55)
        assert datetime.now(UTC) - before < timedelta(minutes=1)
