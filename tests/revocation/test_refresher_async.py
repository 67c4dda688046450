"""The refresher on event loops, with an httpx.AsyncClient: one request for all who wait, whoever is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeAlias, TypeVar

import httpx
import pytest

from mtlspolicy import RevocationStatus, Verdict, policies
from mtlspolicy._resolver import settle_async, settle_at_hand
from mtlspolicy._revocation import CRL, OCSP
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import MemoryCache, Refresher, SQLiteCache
from mtlspolicy.revocation._ledger import Ledger
from mtlspolicy.revocation._steps import Tasks
from tests.revocation.loopback import Conversation, Server
from tests.revocation.refreshing import LIVENESS, Site, running

T = TypeVar("T")
Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
GOOD, REVOKED = RevocationStatus.GOOD, RevocationStatus.REVOKED


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end on a new event loop of each kind."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run_coroutine


@contextlib.asynccontextmanager
async def refreshing(site: Site, **options: Any) -> AsyncIterator[Refresher]:
    """Give a refresher with a client of its own."""
    async with httpx.AsyncClient(trust_env=False) as client, site.refresher(client=client, **options) as refresher:
        yield refresher


async def until(condition: Callable[[], Any]) -> None:
    """Return as soon as *condition* holds."""
    async with asyncio.timeout(LIVENESS):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in threads, and says nothing
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("rule", ["ocsp", "crl"])
def test_a_thousand_wait_for_one_request(site: Site, run: Run, rule: str) -> None:
    """With a cold cache and a responder that takes 300 ms, a thousand decisions lead to one request."""
    frodo, policy = site.client(), policies.NotRevoked(rule)
    site.responder.answer(delay=0.3)
    site.responder.answer_crl(delay=0.3)

    async def main() -> set[Verdict]:
        async with refreshing(site, deadline=20) as refresher:
            resolver = refresher.resolver(deadline=30)
            decided = await asyncio.gather(
                *(settle_async(site.judgement(frodo, policy), resolver) for _ in range(1000))
            )
            return {outcome.decision.verdict for outcome in decided}

    assert run(main()) == {Verdict.PERMIT}
    assert site.responder.requests + site.responder.crl_requests == 1


def test_a_thousand_certificates_share_one_list(site: Site, run: Run) -> None:
    """A hundred questions at once about certificates of one list fetch it once, while the loop goes on."""
    leaves = [site.client(f"client {number}") for number in range(100)]
    site.authority.revoke(leaves[42])
    site.responder.answer_crl(delay=0.3)

    async def main() -> list[RevocationStatus]:
        async with refreshing(site, deadline=20) as refresher:
            source = refresher.sources[CRL]
            answers = await asyncio.gather(*(source(site.crl(leaf)) for leaf in leaves))
            return [answer.value.status for answer in answers]

    assert run(main()) == [REVOKED if number == 42 else GOOD for number in range(100)]
    assert site.responder.crl_requests == 1


def test_threads_serve_a_loop_too(site: Site, run: Run) -> None:
    """Without a client of httpx HTTP runs in threads: the loop goes on while the responder takes its time."""
    reached, going_on = threading.Event(), threading.Event()

    def script(talk: Conversation) -> None:
        talk.read_request()
        reached.set()
        going_on.wait(LIVENESS)
        body = site.responder._ocsp(talk.request.partition(b"\r\n\r\n")[2])[0]
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def main(port: int) -> set[Verdict]:
        frodo = site.client(ocsp_url=f"http://127.0.0.1:{port}/")
        with site.refresher(port, deadline=20, nonce=True) as refresher:
            resolver = refresher.resolver(deadline=30)
            judgements = [site.judgement(frodo) for _ in range(100)]
            waiting = asyncio.gather(*(settle_async(one, resolver) for one in judgements))
            await until(reached.is_set)
            assert not waiting.done()
            going_on.set()
            return {outcome.decision.verdict for outcome in await waiting}

    with Server(script) as server:
        assert run(main(server.port)) == {Verdict.PERMIT}
        assert len(server.talks) == 1


@pytest.mark.parametrize("rule", ["ocsp", "crl"])
@pytest.mark.parametrize("steps", [*range(12), 20, 40, 80])
def test_attack_the_leader_is_cancelled(site: Site, rule: str, steps: int) -> None:
    """RULES 11: cancelled at whatever point, the first to ask takes nothing along: the others get the one answer."""
    policy, frodo = policies.NotRevoked(rule), site.client()
    site.responder.answer(delay=0.05)
    site.responder.answer_crl(delay=0.05)

    async def main() -> list[Verdict]:
        async with refreshing(site, deadline=20) as refresher:
            resolver = refresher.resolver(deadline=30)
            judgements = [site.judgement(frodo, policy) for _ in range(6)]
            first, *others = [asyncio.create_task(settle_async(one, resolver)) for one in judgements]
            for _ in range(steps):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            return [outcome.decision.verdict for outcome in await asyncio.gather(*others)]

    assert asyncio.run(main()) == [Verdict.PERMIT] * 5
    assert site.responder.requests + site.responder.crl_requests == 1


@pytest.mark.parametrize("kind", [OCSP, CRL])
@pytest.mark.parametrize("steps", [*range(10), 15, 20, 40])
def test_attack_a_source_is_cancelled(site: Site, kind: str, steps: int) -> None:
    """A resolver that is closed while its question is under way harms no other resolver of the same refresher."""
    frodo = site.client()
    site.responder.answer_crl(delay=0.05)

    async def main() -> RevocationStatus:
        async with refreshing(site, deadline=20) as refresher:
            source = refresher.sources[kind]
            about = site.ocsp(frodo) if kind == OCSP else site.crl(frodo)
            first = asyncio.create_task(source(about))
            for _ in range(steps):
                await asyncio.sleep(0)
            other = asyncio.create_task(source(site.crl(frodo, allow_sha1=True) if kind == CRL else about))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            status = (await other).value.status
            assert isinstance(status, RevocationStatus)
            return status

    assert asyncio.run(main()) is GOOD
    assert site.responder.crl_requests == (kind == CRL)


def test_a_fetch_that_is_cancelled_is_begun_anew(site: Site) -> None:
    """Where the loop cancels the fetch itself, at whatever point, who waits for it begins another one."""
    frodo = site.client()
    site.responder.answer_crl(delay=0.05)

    async def main(steps: int) -> RevocationStatus:
        async with refreshing(site, deadline=20) as refresher:
            waiting = asyncio.create_task(refresher.sources[CRL](site.crl(frodo)))
            tasks: Tasks = refresher._office._tasks
            while not tasks._launched:  # noqa: ASYNC110 - the very next step is wanted
                await asyncio.sleep(0)
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in list(tasks._launched):
                task.cancel()
            status = (await waiting).value.status
            assert isinstance(status, RevocationStatus)
            return status

    for steps in (0, 1, 5, 20):
        assert asyncio.run(main(steps)) is GOOD


@pytest.mark.parametrize("rule", ["ocsp", "crl"])
def test_a_revocation_is_pushed(site: Site, run: Run, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task on the loop renews, and who is revoked while the server runs is refused from then on."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)
    frodo, policy = site.client(), policies.NotRevoked(rule)

    async def main() -> None:
        async with refreshing(site) as refresher:
            resolver = refresher.resolver()
            assert (await settle_async(site.judgement(frodo, policy), resolver)).decision.verdict is Verdict.PERMIT
            site.authority.revoke(frodo)
            await until(
                lambda: settle_at_hand(site.judgement(frodo, policy), resolver).decision.verdict is Verdict.DENY
            )
            assert any("_run" in repr(task) for task in asyncio.all_tasks())
            refresher.close()
            await until(lambda: len(asyncio.all_tasks()) == 1)

    run(main())


def test_an_outage_is_answered_in_time(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and pauses end by the deadline on a loop too, and a renewal that fails is tried again."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)
    frodo, sam = site.client(), site.client("sam")
    site.responder.answer(sam, http_status=503)

    async def main() -> None:
        async with refreshing(site, deadline=1.4) as refresher:
            source = refresher.sources[OCSP]
            assert (await source(site.ocsp(frodo))).value.status is GOOD
            assert (await source(site.ocsp(sam))).value.code == "fetch.status"
            site.responder.answer(http_status=500)
            asked = site.responder.requests
            await until(lambda: site.responder.requests > asked + 1)
            assert (await source(site.ocsp(frodo))).value.status is GOOD

    run(main())


def test_an_error_in_a_renewal_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody foresaw is logged, and the task goes on."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)
    frodo = site.client()

    def fail(*_args: object) -> None:
        raise LookupError("nobody foresaw")

    async def main() -> None:
        async with refreshing(site) as refresher:
            resolver = refresher.resolver()
            await settle_async(site.judgement(frodo), resolver)
            with monkeypatch.context() as patch:
                patch.setattr(type(resolver), "renew", fail)
                await until(lambda: "nobody foresaw" in caplog.text)
            site.authority.revoke(frodo)
            await until(lambda: settle_at_hand(site.judgement(frodo), resolver).decision.verdict is Verdict.DENY)

    asyncio.run(main())


def test_a_cache_that_blocks_is_asked_in_a_thread(site: Site, run: Run, tmp_path: Any) -> None:
    """SQLite is not asked on the loop; another refresher finds what the first has stored."""
    frodo = site.client()

    async def main() -> list[RevocationStatus]:
        found: list[RevocationStatus] = []
        for _ in range(2):
            with contextlib.closing(SQLiteCache(tmp_path / "c.sqlite")) as cache:
                async with refreshing(site, cache=cache) as refresher:
                    for about in (site.ocsp(frodo), site.crl(frodo)):
                        kind = OCSP if about == site.ocsp(frodo) else CRL
                        found.append((await refresher.sources[kind](about)).value.status)
        return found

    assert run(main()) == [GOOD] * 4
    assert (site.responder.requests, site.responder.crl_requests) == (1, 1)


def test_one_refresher_on_one_loop_after_another(site: Site) -> None:
    """When the loop that renewed has ended, the next one that asks renews; closing ends nothing that is gone."""
    frodo, cache = site.client(), MemoryCache()

    async def main(refresher: Refresher, name: str) -> int:
        source = refresher.sources[OCSP]
        for leaf in (frodo, site.client(name)):
            assert (await source(site.ocsp(leaf))).value.status is GOOD
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    client = httpx.AsyncClient(trust_env=False)
    refresher = site.refresher(client=client, cache=cache)
    assert [asyncio.run(main(refresher, name)) for name in ("sam", "merry")] == [2, 2]
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(main(refresher, "pippin")) == 2
    pending = asyncio.all_tasks(loop)
    stopped = refresher._office._tasks
    for task in pending:
        task.cancel()
    stopped._launched[next(iter(pending))] = loop
    loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    stopped._launched.update(dict.fromkeys(pending, loop))
    refresher._office._renewals._task = next(iter(pending))
    loop.close()
    refresher._office._renewals.changed()
    refresher.close()
    refresher._office._renewals.begin()
    asyncio.run(client.aclose())
    with pytest.raises(ConfigurationError, match="closed"):
        asyncio.run(main(refresher, "late"))


def test_a_closed_desk_ends_its_task(site: Site) -> None:
    """A task that was not cancelled sees by itself that it is to end."""

    async def main() -> None:
        async with refreshing(site) as refresher:
            assert (await refresher.sources[OCSP](site.ocsp(site.client()))).value.status is GOOD
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 2
            assert refresher._office.desk.close()
            await until(lambda: len(asyncio.all_tasks()) == 1)

    asyncio.run(main())


def test_a_forgotten_refresher_ends_its_task(site: Site) -> None:
    """A refresher that nobody holds any more leaves no task behind."""

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            refresher = site.refresher(client=client)
            assert (await refresher.sources[OCSP](site.ocsp(site.client()))).value.status is GOOD
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 2
            del refresher
            await until(lambda: gc.collect() is not None and len(asyncio.all_tasks()) == 1)

    asyncio.run(main())
