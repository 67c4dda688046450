"""Attacks that a fourth review carried out: on answers to the refused, delegates of responders, probes, and tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from mtlspolicy import RevocationStatus, TrustStore, Verdict, Verifier, policies, tls
from mtlspolicy._resolver import Resolver, settle
from mtlspolicy.cli.probe._contexts import looking
from mtlspolicy.cli.probe._seen import End, Place
from mtlspolicy.cli.probe._wire import Clock, visit
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import aiohttp as our_aiohttp
from mtlspolicy.integrations import hypercorn
from mtlspolicy.revocation import MemoryCache, Refresher, facts
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.tls._answering import answering_listener
from tests.integrations.answering import FRODO, Clients, Counted, context_for, serving
from tests.integrations.serving import HOST, PATIENCE, Server, listening, on_thread
from tests.revocation.made import Made, about, revoked
from tests.revocation.refreshing import MINUTE, Site, ask, response, running

_BOTH: Final = pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "hypercorn"])
_POSIX: Final = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")
_HOUR: Final = timedelta(hours=1)
_HOLD: Final = 6  # certificateHold (RFC 5280, section 5.3.1)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """The clients of all tests here."""
    return Clients(tmp_path_factory.mktemp("clients"))


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


@policies.lookup(
    "fourth.enrolled", key=lambda path: path.end_entity.spki_sha256, max_age=timedelta(seconds=30), identifies=True
)
def _enrolled(row: object, _evidence: object) -> bool:
    return row == "enrolled"


async def _row(_key: object) -> str:
    return "enrolled"


@_POSIX
@_BOTH
def test_refused_clients_take_the_places_of_those_who_wait_for_a_decision(clients: Clients, name: str) -> None:
    """Anybody can be refused: however many stay for their answer, a good client is held, and then served."""
    options = tls.ServerOptions(
        resolver=Resolver({"fourth.enrolled": _row}), pending="hold", max_held=3, max_held_per_address=3
    )
    app = Counted()
    context = context_for(FRODO & _enrolled, options=options)
    with serving(name)(app, context=context, refuse="respond") as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            plain = stack.enter_context(socket.create_connection(server.address, PATIENCE))
            stack.enter_context(clients[None].wrap_socket(plain, server_hostname="localhost")).sendall(b"G")
        assert clients.get(server, "frodo").status_code == 200
    assert app.calls == 1


@_POSIX
@_BOTH
def test_refused_clients_end_the_server_by_the_number_of_their_requests(clients: Clients, name: str) -> None:
    """A server that ends after so many requests counts those of admitted clients: nobody else can end it."""
    app = Counted()
    context = context_for()
    if name == "hypercorn":
        with _hypercorn_of_one_request(app, context) as server:
            _refused_then_served(clients, server)
    else:
        with serving(name)(app, context=context, refuse="respond", limit_max_requests=2) as server:
            _refused_then_served(clients, server)
    assert app.calls == 1


@contextlib.contextmanager
def _hypercorn_of_one_request(app: Any, context: ssl.SSLContext) -> Iterator[Any]:
    with listening() as listener:
        config = hypercorn.config(
            context=context, bind=[f"fd://{os.dup(listener.fileno())}"], max_requests=2, graceful_timeout=1
        )
        config.accesslog = config.errorlog = None
        loop = asyncio.new_event_loop()
        end = asyncio.Event()

        def run() -> None:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(hypercorn.serve(app, config, refuse="respond", shutdown_trigger=end.wait))
            loop.close()

        with on_thread(run, lambda: loop.call_soon_threadsafe(end.set)):
            yield Server(listener.getsockname())


def _refused_then_served(clients: Clients, server: Any) -> None:
    for _ in range(4):
        assert clients.get(server, None).status_code == 403
    assert clients.get(server, "frodo").status_code == 200


def test_refused_clients_outlive_the_server_that_answers_them(clients: Clients) -> None:
    """aiohttp's runner ends their connections with all others, and does not leave them to their own time."""

    async def main() -> bytes:
        app = web.Application()
        our_aiohttp.install(app, source="connection")
        runner = our_aiohttp.AppRunner(app, context=context_for(), refuse="respond")
        await runner.setup()
        with listening() as listener:
            await web.SockSite(runner, listener, ssl_context=runner.ssl_context).start()
            reader, writer = await asyncio.open_connection(
                *listener.getsockname(), ssl=clients[None], server_hostname="localhost"
            )
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
            assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 403 Forbidden\r\n"
            writer.write(b"G")
            await runner.cleanup()
            assert len(asyncio.all_tasks()) == 1
            try:
                async with asyncio.timeout(PATIENCE):
                    return await reader.read()
            finally:
                writer.transport.abort()

    assert b"path.no-certificate" in asyncio.run(main())


def test_clients_without_certificate_hold_the_threads_of_a_server_that_asks_later() -> None:
    """A context that asks later cannot answer refusals: OpenSSL would no longer refuse who shows nothing then."""
    context = context_for(client_certificate="on-request")
    with pytest.raises(ConfigurationError, match="on-request"):
        answering_listener(context)
    assert context.verify_mode is ssl.CERT_REQUIRED


def _signed(site: Site, helper: IssuedCertificate, leaf: IssuedCertificate, age: timedelta = MINUTE) -> bytes:
    """Return GOOD about *leaf*, which whoever has the delegate's key has signed."""
    at = datetime.now(UTC).replace(microsecond=0)
    entry = about(leaf, site.authority, this_update=at - age, next_update=at + _HOUR)
    return Made((entry,), signer=helper, certificates=(helper.der,), produced_at=at - age).encoded()


def _held(site: Site, leaf: IssuedCertificate) -> bytes:
    """Return what the issuer said ten minutes ago: *leaf* is on hold."""
    at = datetime.now(UTC).replace(microsecond=0)
    return response(site, leaf, 10 * MINUTE, status=revoked(at - _HOUR, _HOLD))


def _decided(site: Site, refresher: Refresher, leaf: IssuedCertificate, policy: policies.NotRevoked) -> Any:
    return settle(site.judgement(leaf, policy), refresher.resolver()).decision


def test_a_stolen_delegate_lifts_a_hold_under_a_soft_rule(site: Site) -> None:
    """Its GOOD, newer than the hold, while its own status is kept from us: the hold stands, as against silence."""
    frodo, sam, cache = site.client(), site.client("sam"), MemoryCache()
    helper = site.responder.delegate("delegate-with-ocsp")
    site.authority.revoke(helper)
    site.responder.answer(frodo, body=_held(site, frodo))
    with site.refresher(cache=cache, deadline=0.3) as refresher:
        assert _decided(site, refresher, frodo, policies.NotRevoked(soft=True)).code == "ocsp.revoked"
        cache._memory = MemoryCache()._memory  # what was kept is gone; what was seen is not
        for leaf in (frodo, sam):
            site.responder.answer(leaf, body=_signed(site, helper, leaf))
        site.responder.answer(helper, http_status=503)
        site.responder.answer_crl(http_status=503)
        soft = policies.NotRevoked(soft=True, max_age=timedelta(hours=5))
        assert _decided(site, refresher, sam, soft).verdict is Verdict.PERMIT
        decision = _decided(site, refresher, frodo, soft)
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-unavailable")


def test_a_stolen_delegate_lifts_a_hold_among_responses_at_hand(site: Site) -> None:
    """The same where the responses are given, and nothing says what becomes of the delegate."""
    frodo, helper = site.client(), site.responder.delegate("delegate-with-ocsp")
    trust = TrustStore(anchors=[site.authority.root])
    verifier = Verifier.for_clients(trust=trust, policy=policies.Anyone() & policies.NotRevoked(soft=True))
    claim = _signed(site, helper, frodo)
    for responses, verdict in (([claim], Verdict.PERMIT), ([claim, _held(site, frodo)], Verdict.INDETERMINATE)):
        known = facts(verifier, frodo.chain_pem, responses=responses)
        assert verifier.decide(frodo.chain_pem, facts=known).verdict is verdict


def test_a_delegate_revoked_today_signs_what_was_good_yesterday(site: Site) -> None:
    """A decision about the past: a stolen key writes any date, so that nothing of a revoked delegate counts."""
    frodo, helper = site.client(), site.responder.delegate("delegate-with-ocsp")
    now = datetime.now(UTC).replace(microsecond=0)
    at = now - timedelta(seconds=30)
    status = response(site, helper, timedelta(seconds=40), status=revoked(now - timedelta(seconds=10)))
    for soft in (False, True):
        policy = policies.Anyone() & policies.NotRevoked(soft=soft)
        verifier = Verifier.for_clients(trust=TrustStore(anchors=[site.authority.root]), policy=policy)
        responses = [_signed(site, helper, frodo, _HOUR), status]
        known = facts(verifier, frodo.chain_pem, responses=responses, at=at)
        decision = verifier.decide(frodo.chain_pem, at=at, facts=known)
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-revoked")


def test_the_responder_of_one_tenant_revokes_the_delegate_of_another(site: Site) -> None:
    """One refresher, two rules: who signs for the one that names him says nothing under the one that does not."""
    frodo, helper = site.client(), site.responder.delegate("delegate-with-ocsp")
    named = CertificateAuthority("Responder of a tenant")
    at = datetime.now(UTC).replace(microsecond=0)
    entry = about(helper, site.authority, this_update=at - MINUTE, next_update=at + _HOUR, status=revoked(at - _HOUR))
    site.responder.answer(frodo, signer="delegate-with-ocsp")
    site.responder.answer(helper, body=Made((entry,), signer=named, produced_at=at - MINUTE).encoded())
    with site.refresher() as refresher:
        theirs = policies.NotRevoked(responders=(named.certificate,))
        assert _decided(site, refresher, frodo, theirs).code == "ocsp.delegate-revoked"
        site.responder.answer(helper, signer="issuer")
        assert ask(refresher, site.ocsp(frodo)).claim is RevocationStatus.GOOD
        assert _decided(site, refresher, frodo, policies.NotRevoked()).verdict is Verdict.PERMIT
        assert _decided(site, refresher, frodo, theirs).code == "ocsp.delegate-revoked"


def test_a_server_sends_sessions_without_end_to_a_probe(tmp_path: Path) -> None:
    """OpenSSL reads one after the other and looks at no clock: the connection ends when there are too many."""
    chain, key = CertificateAuthority("Root").issue_server("localhost").files(tmp_path, name="server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.num_tickets = 20_000
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            plain.settimeout(PATIENCE)
            with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        seen = visit(Place("localhost", port, "localhost", HOST), looking(), Clock(PATIENCE))
        thread.join(PATIENCE)
    assert (seen.end, seen.status) == (End.CLOSED, None)


_MOCKED: Final = """
from unittest import mock
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations.testing import as_peer

async def app(scope, receive, send): ...

@mock.patch("os.getcwd")
def main(_):
    try:
        as_peer(app, None)
    except ConfigurationError:
        print("refused")

main()
"""


def test_a_program_that_uses_mocks_is_taken_for_a_test() -> None:
    """`as_peer` needs a test runner among its callers, and `unittest.mock`, which programs use as well, is none."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", _MOCKED], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr
