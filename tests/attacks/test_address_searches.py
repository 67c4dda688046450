"""Attacks by strangers who are refused under uvloop: for each line of the log all objects would be gone through."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls import _cpython, _log

CA: Final = CertificateAuthority("Address Root")
SECONDS: Final = 2.0
"""What a search through all objects takes in a process of 700 MB."""


class Aged:
    """A garbage collector that has moved everything to its last generation, and a clock that searches move alone."""

    def __init__(self) -> None:
        self.now, self.searches = 1000.0, 0
        self.get_referents = gc.get_referents
        self.isenabled = gc.isenabled

    def get_objects(self, _generation: int) -> list[Any]:
        """Return the young objects: none."""
        return []

    def get_referrers(self, part: object) -> list[Any]:
        """Go through all objects."""
        self.searches += 1
        self.now += SECONDS
        return gc.get_referrers(part)


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> Aged:
    """Return the collector and clock, put in place, and full buckets of lines."""
    made = Aged()
    monkeypatch.setattr(_cpython, "gc", made)
    monkeypatch.setattr(_log, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(_log, "LIMITER", _log.Buckets())
    return made


def refused_by_uvloop(folder: Path, times: list[float], aged: Aged) -> None:
    """Have a server refuse a stranger at each of *times*, seconds after the one before."""
    uvloop = pytest.importorskip("uvloop")
    leaf = CA.issue_server("localhost")
    context = tls.server_context(
        credential=tls.Credential.of(leaf.chain, leaf.key),
        verifier=Verifier.for_clients(trust=TrustStore(anchors=[CA.certificate]), policy=policies.CommonName("frodo")),
    )
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=CA.pem.decode("ascii"))
    client.load_cert_chain(*CA.issue_client("gollum").files(folder))

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            for after in times:
                aged.now += after
                try:
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", port, ssl=client, server_hostname="localhost"
                    )
                    assert await reader.read() == b""
                    writer.close()
                except OSError:
                    continue  # refused

    uvloop.run(main())


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the lines about connections."""
    return [record for record in caplog.records if record.name == "mtlspolicy.connection"]


def test_strangers_who_are_refused_hold_the_loop_up(
    tmp_path: Path, aged: Aged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All objects are gone through for one line, and for another a hundred times as long after; each has its line."""
    monkeypatch.setattr(_log, "SEARCHES", _log.Searches(most_blocks=sys.maxsize))
    with caplog.at_level(logging.WARNING, logger="mtlspolicy.connection"):
        refused_by_uvloop(tmp_path, [1.0] * 10 + [188.0, 4.0], aged)
    records = lines(caplog)
    found = [vars(record)["mtlspolicy_address"] is not None for record in records]
    assert found == [True] + [False] * 10 + [True]
    assert aged.searches == 2
    assert {vars(record)["mtlspolicy_code"] for record in records} == {"name.mismatch"}


def test_one_stranger_stops_a_large_program_for_seconds(
    tmp_path: Path, aged: Aged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing ends a search before its time, so a program with many objects is not gone through for a line at all."""
    monkeypatch.setattr(_log, "SEARCHES", _log.Searches(most_blocks=sys.getallocatedblocks() // 2))
    with caplog.at_level(logging.WARNING, logger="mtlspolicy.connection"):
        refused_by_uvloop(tmp_path, [1.0] * 3, aged)
    assert [record.getMessage().split(": ")[0] for record in lines(caplog)] == ["refused address unknown"] * 3
    assert aged.searches == 0
