"""The refresher with a blocking `httpx.Client`: it answers in the thread that asks, as without any client."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mtlspolicy import RevocationStatus, Verdict, policies
from mtlspolicy._resolver import settle, settle_async, settle_at_hand
from mtlspolicy._revocation import OCSP
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import Refresher
from mtlspolicy.revocation._ledger import Ledger
from tests.revocation.loopback import Server, endless
from tests.revocation.refreshing import LIVENESS, Site, ask, running, threads, until


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


@pytest.fixture
def client() -> Iterator[Any]:
    """Give a client."""
    with httpx.Client(trust_env=False) as one:
        yield one


@pytest.mark.parametrize("rule", ["ocsp", "crl"])
def test_a_blocking_client(site: Site, client: httpx.Client, rule: str) -> None:
    """Good is admitted, revoked refused, with one request each; the answer is no coroutine."""
    frodo, sam, policy = site.client(), site.client("sam"), policies.NotRevoked(rule)
    site.authority.revoke(sam)
    with site.refresher(client=client, deadline=20) as refresher, refresher.resolver(deadline=30) as resolver:
        decided = [settle(site.judgement(leaf, policy), resolver).decision for leaf in (frodo, sam, frodo)]
    assert [one.code for one in decided] == ["policy.all", f"{rule}.revoked", "policy.all"]
    assert site.responder.requests + site.responder.crl_requests == (2 if rule == "ocsp" else 1)
    until(lambda: not threads())


def test_a_blocking_client_serves_a_loop(site: Site, client: httpx.Client) -> None:
    """On an event loop the resolver asks it in threads: a hundred who wait lead to one request."""
    frodo = site.client()
    site.responder.answer(delay=0.2)

    async def main() -> set[Verdict]:
        with site.refresher(client=client, deadline=20) as refresher:
            resolver = refresher.resolver(deadline=30)
            decided = await asyncio.gather(*(settle_async(site.judgement(frodo), resolver) for _ in range(100)))
            return {one.decision.verdict for one in decided}

    assert asyncio.run(main()) == {Verdict.PERMIT}
    assert site.responder.requests == 1


@pytest.mark.parametrize("piece", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["bytes", "interim"])
def test_a_responder_that_drips_costs_the_deadline(site: Site, client: httpx.Client, piece: bytes) -> None:
    """The question ends at its one deadline, the connection is closed, and no thread is left with it."""
    with Server(endless(b"", piece)) as server:
        frodo = site.client(ocsp_url=server.url())
        with site.refresher(server.port, client=client, deadline=0.4) as refresher:
            began = time.monotonic()
            answer = ask(refresher, site.ocsp(frodo))
            took = time.monotonic() - began
        assert (answer.status, answer.code) == (RevocationStatus.UNAVAILABLE, "fetch.timeout")
        assert took < LIVENESS
        assert server.left.wait(LIVENESS)
    assert not threads()


def test_renewals_over_a_blocking_client(site: Site, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers in use are renewed by the one thread, and a revocation is pushed."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)
    frodo = site.client()
    with site.refresher(client=client) as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        site.authority.revoke(frodo)
        until(lambda: settle_at_hand(site.judgement(frodo), resolver).decision.verdict is Verdict.DENY)
    until(lambda: not threads())


def test_clients_that_a_refresher_refuses(client: httpx.Client) -> None:
    """A blocking client is looked over like an asynchronous one, when the refresher is built; *trust* is its own."""
    given: dict[str, Any]
    with httpx.Client() as environment:
        for given, message in (
            ({"client": environment}, r"trust_env=True.*httpx.Client\(trust_env=False\)"),
            ({"client": client, "trust": "roots.pem"}, "trust= is for the standard library"),
            ({"client": itertools}, "httpx.Client or an httpx.AsyncClient"),
        ):
            with pytest.raises(ConfigurationError, match=message):
                Refresher(**given)
    with Refresher(client=client) as refresher:
        assert not asyncio.iscoroutinefunction(refresher.sources[OCSP])
