"""Attacks on what was added for revocation, speed and other engines: rollback, BER, costs, memory, and time zones."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import OCSPQuestion
from mtlspolicy.revocation import _crl_course as crl_course
from mtlspolicy.revocation import crl_question, read_crl
from mtlspolicy.revocation._destinations import FetchFailed
from mtlspolicy.revocation._http import Exchange, HTTPTransport
from mtlspolicy.revocation._ocsp_layout import layout_of
from mtlspolicy.revocation._ocsp_signer import require_signature
from mtlspolicy.revocation._unusable import Unusable
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls import _cpython
from mtlspolicy.tls._enforcement import enforcement_of
from tests.revocation.loopback import Server, answering, soon
from tests.revocation.made import AT, FRODO, ROOT, Made
from tests.revocation.made_crls import NUMBER, MadeCRL, Revoked, flag, full_name, scope, uri
from tests.revocation.refreshing import ask, running

CA = CertificateAuthority("attacked again")
LEAF = CA.issue_client("frodo")
TRUST = TrustStore(anchors=[CA.certificate])
HOUR = timedelta(hours=1)


def test_an_older_list_of_another_scope_hides_a_revocation(monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES 49: a list that was of use is not given up for an older one, of whatever scope, put at its URL on the way.

    Its own older versions were refused, and one from before the CA split its lists was not: who was revoked, and had
    not yet been asked about, was good again.
    """
    monkeypatch.setattr(crl_course, "RECENT", 0.0)
    now = datetime.now(UTC).replace(microsecond=0)
    with running() as site, site.refresher(deadline=5, background=False) as refresher:
        frodo, sam = site.client("frodo"), site.client("sam")
        dates: dict[str, Any] = {"signer": site.authority, "next_update": now + 100 * HOUR}
        older = MadeCRL(this_update=now - 5 * HOUR, **dates)
        part = (NUMBER, scope(full_name(uri(site.responder.crl_url))))
        entry = Revoked(sam.certificate.serial_number, at=now - 2 * HOUR)
        newer = MadeCRL((entry,), this_update=now - HOUR, extensions=part, **dates)
        site.responder.answer_crl(body=newer.encoded())
        assert ask(refresher, site.crl(frodo)).code == "crl.good"
        site.responder.answer_crl(body=older.encoded())
        refresher._office._threads.drive(refresher._office.desk.renew(site.crl(frodo)))
        assert site.responder.crl_requests == 2
        assert ask(refresher, site.crl(sam)).code == "crl.revoked"


def test_a_part_that_was_of_no_use_stays_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the newer list of another part, put there first, keep the right one out that is older."""
    monkeypatch.setattr(crl_course, "RECENT", 0.0)
    now = datetime.now(UTC).replace(microsecond=0)
    with running() as site, site.refresher(deadline=5, background=False) as refresher:
        frodo = site.client("frodo")
        dates: dict[str, Any] = {"signer": site.authority, "next_update": now + 100 * HOUR}
        part = (NUMBER, scope(full_name(uri("http://crl.example/other.crl"))))
        site.responder.answer_crl(body=MadeCRL(this_update=now - HOUR, extensions=part, **dates).encoded())
        for _ in range(2):  # the same again makes it no better
            assert ask(refresher, site.crl(frodo)).code == "crl.distribution-point"
        site.responder.answer_crl(body=MadeCRL(this_update=now - 2 * HOUR, **dates).encoded())
        assert ask(refresher, site.crl(frodo)).code == "crl.good"


@pytest.mark.parametrize("number", [1, 2, 4, 5])
def test_a_scope_says_true_in_another_way(number: int) -> None:
    """BER has 255 ways to say TRUE; read as FALSE, a list of CAs alone, or of other issuers, called everybody good."""
    question = crl_question(FRODO.certificate, ROOT.certificate)
    hostile = MadeCRL(extensions=(NUMBER, scope(flag(number, b"\x01"))))
    assert read_crl(hostile.encoded(), question, at=AT).code == "crl.malformed"


class _Counted:
    """A response whose certificates nobody may ask for."""

    @property
    def certificates(self) -> list[Any]:
        """Fail: to show 600 of them takes a tenth of a second, on an event loop."""
        raise AssertionError("they were parsed before they were counted")


def test_hundreds_of_certificates_in_an_unsigned_response() -> None:
    """They are counted in the bytes, which takes no time: `cryptography` parses the whole response for each of them."""
    data = Made(spoilt=True, certificates=(FRODO.der,) * 60).encoded()
    question = OCSPQuestion(ParsedCertificate(FRODO.der), ParsedCertificate(ROOT.der))
    response: Any = _Counted()
    layout = layout_of(data)
    assert layout.certificates == 60
    with pytest.raises(Unusable, match="60 certificates"):
        require_signature(response, layout, question, AT)


def _chunked(chunk: bytes, count: int) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + (b"%x\r\n%s\r\n" % (len(chunk), chunk)) * count + b"0\r\n\r\n"


def _fetched_on_a_loop(data: bytes) -> bytes:
    httpx = pytest.importorskip("httpx")
    from mtlspolicy.revocation._httpx import HTTPXTransport

    async def run(server: Server) -> bytes:
        async with httpx.AsyncClient(trust_env=False) as client:
            transport = HTTPXTransport(client, destinations=server.destinations)
            return await transport.fetch(Exchange(server.url()), until=soon(20))

    with Server(answering(data)) as server:
        return asyncio.run(run(server))


def _fetched_in_a_thread(data: bytes) -> bytes:
    with Server(answering(data)) as server:
        transport = HTTPTransport(destinations=server.destinations)
        return transport.fetch(Exchange(server.url(), most_bytes=1 << 20), until=soon(20))


@pytest.mark.parametrize(
    ("fetched", "sensible", "told"),
    [
        (_fetched_on_a_loop, 600, "pieces of a few bytes"),
        (_fetched_in_a_thread, 6000, "longer than"),
    ],
)
def test_a_body_in_chunks_of_one_byte(fetched: Callable[[bytes], bytes], sensible: int, told: str) -> None:
    """Each takes time: 64 KiB of them held an event loop for 0.2 s, and a list of them a processor for its 30 s."""
    assert fetched(_chunked(b"x" * 100, sensible)) == b"x" * 100 * sensible
    with pytest.raises(FetchFailed, match=told) as raised:
        fetched(_chunked(b"x", 50_000))
    assert raised.value.code == "fetch.too-large"


def test_strangers_have_the_whole_program_searched_for_their_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only opens a connection under uvloop is looked for among young objects; all took 50 ms of the loop."""
    uvloop = pytest.importorskip("uvloop")
    seen: Counter[int] = Counter()

    class Aged:
        """A garbage collector that has moved everything to the last generation already."""

        get_referents = staticmethod(gc.get_referents)
        isenabled = staticmethod(gc.isenabled)

        @staticmethod
        def get_objects(generation: int) -> list[Any]:
            seen[generation] += 1
            return []

        @staticmethod
        def get_referrers(part: object) -> list[Any]:
            seen[2] += 1
            return gc.get_referrers(part)

    server_leaf = CA.issue_server("localhost")
    context = tls.server_context(
        credential=tls.Credential.of(server_leaf.chain, server_leaf.key),
        verifier=Verifier.for_clients(
            trust=TRUST, policy=policies.CommonName("frodo") & policies.PeerAddress("127.0.0.1")
        ),
    )
    enforcement: Any = enforcement_of(context)
    enforcement.uses_address = True
    monkeypatch.setattr(_cpython, "gc", Aged)
    client = tls.client_context(
        credential=tls.Credential.from_files(*LEAF.files(tmp_path)),
        verifier=Verifier.for_servers(trust=TRUST, expected="localhost"),
    )

    async def main() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        host, port = server.sockets[0].getsockname()[:2]
        strangers = [socket.create_connection((host, port)) for _ in range(10)]
        # served in the order of their arrival, so that after this one the strangers were looked for
        reader, writer = await asyncio.open_connection(host, port, ssl=client, server_hostname="localhost")
        assert await reader.read() == b"hello"
        writer.close()
        for stranger in strangers:
            stranger.close()
        server.close()

    uvloop.run(main())
    assert seen[0] >= 11
    assert seen[2] == 1  # for the peer that was decided on, which is admitted all the same


def test_a_policy_made_anew_for_each_decision_fills_the_memory() -> None:
    """Decisions of policies that nobody asks any more are forgotten; 256 of them stayed with each of 4,096 paths."""
    name = ["frodo"]

    def current() -> Policy:
        return policies.CommonName(name[0]) & policies.IssuerPin(CA.certificate)

    verifier = Verifier.for_clients(trust=TRUST, policy=current)
    for number in range(60):
        name[0] = "sam" if number % 2 else "frodo"
        assert bool(verifier.decide(LEAF.chain_pem)) is (name[0] == "frodo")
    kept = [one for entry in verifier._cache._new.values() for one in entry.kept]
    assert [len(one) for one in kept] == [2]  # the policy, and its decision


@pytest.mark.parametrize("hours", [-11, 0, 13])
def test_a_time_in_another_zone_for_the_path_engine_openssl(hours: int) -> None:
    """A time is the same in every zone; pyOpenSSL reads its wall clock, and refused who was valid."""
    pytest.importorskip("OpenSSL")
    trust = TrustStore(anchors=[CA.certificate])
    there = timezone(timedelta(hours=hours))
    for at in (LEAF.certificate.not_valid_before_utc + HOUR / 2, LEAF.certificate.not_valid_after_utc - HOUR / 2):
        verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"), path_engine="openssl")
        assert verifier.decide(LEAF.chain_pem, at=at.astimezone(there))


def test_threads_that_come_at_once_after_a_fork() -> None:
    """One of them opens what a child needs anew: each kept a memory of its own, and renewed for ever."""
    with running() as site, site.refresher() as refresher:
        resolver = refresher.resolver()
        for owner in (refresher, resolver):
            old: Any = owner._current()
            (old.desk if owner is refresher else old.board).pid = -1  # what a forked child finds
            meeting = threading.Barrier(8)
            found: list[Any] = []

            def come(owner: Any = owner, meeting: threading.Barrier = meeting, found: list[Any] = found) -> None:
                meeting.wait()
                found.append(owner._current())

            threads = [threading.Thread(target=come) for _ in range(8)]
            interval = sys.getswitchinterval()
            sys.setswitchinterval(1e-6)
            try:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            finally:
                sys.setswitchinterval(interval)
            assert len(set(map(id, found))) == 1
            assert found[0] is owner._current() is not old
            # who read the old one a moment before is led to the new one
            setattr(owner, "_office" if owner is refresher else "_desk", old)
            assert owner._current() is found[0]
            assert owner._finalizer.alive
