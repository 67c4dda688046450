"""A server whose revocation cache is a Redis that is killed, hangs and starts again while clients come."""

from __future__ import annotations

import contextlib
import itertools
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtlspolicy import policies
from mtlspolicy.revocation import RedisCache, Refresher, _cache_redis, _shelf
from mtlspolicy.testing import CertificateAuthority

from .redis_server import running_redis  # noqa: TID252 - tests are no package that could be named
from .test_revocation_live import Site, Visitor, blocking_server  # noqa: TID252 - the same


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give a CA with its responder."""
    authority = CertificateAuthority("Root")
    with authority.ocsp_responder() as responder:
        yield Site(tmp_path, authority, responder)


def test_redis_stops_and_starts_in_the_middle_of_load(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that were never seen keep coming: whoever is revoked is refused as revoked, all others are admitted."""
    for module in (_shelf, _cache_redis):  # so that a Redis that is back is asked again while clients still come
        monkeypatch.setattr(module, "PAUSE", 0.05)
    caplog.set_level(logging.WARNING, logger="mtlspolicy.connection")
    numbers, names = itertools.count(), threading.Lock()
    over = threading.Event()
    answers: list[tuple[str, bytes]] = []

    def come(port: int) -> None:
        while not over.is_set():
            for kind in ("good", "bad"):
                name = f"{kind}-{next(numbers)}"
                with names:
                    leaf = site.leaf(name)
                    if kind == "bad":
                        site.authority.revoke(leaf)
                answers.append((kind, Visitor(site, port, name, ssl.TLSVersion.TLSv1_3).get()))

    with running_redis() as redis, contextlib.closing(RedisCache(redis.url)) as cache:
        with Refresher(destinations=site.destinations, cache=cache, deadline=20.0) as refresher:
            context = site.server(refresher.resolver(deadline=25.0), policies.NotRevoked(), handshake_timeout=30.0)
            with blocking_server(context) as port:
                clients = [threading.Thread(target=come, args=(port,)) for _ in range(3)]
                for client in clients:
                    client.start()
                for change in (redis.stop, redis.start, redis.hold, redis.release, redis.stop, redis.start):
                    time.sleep(0.3)
                    change()
                time.sleep(0.3)
                over.set()
                for client in clients:
                    client.join(60)
        assert {answer for kind, answer in answers if kind == "bad"} == {b""}
        assert {answer[:12] for kind, answer in answers if kind == "good"} == {b"HTTP/1.1 200"}
        refusals = [record.getMessage() for record in caplog.records if record.name == "mtlspolicy.connection"]
        assert refusals
        assert [line for line in refusals if "ocsp.revoked" not in line] == []
        with redis.client() as client:
            assert client.dbsize() > 0  # what came after the last start is in the cache again
