"""Tornado and websockets over TLS, with the gate and without: who gets in, who waits, and what is left behind."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

from mtlspolicy import Resolver, Verifier, policies, tls
from tests.integrations.direct import BARE, GATED, SUBJECTS, Seen, Subject
from tests.integrations.loop_serving import (
    CREDENTIAL,
    POLICY,
    REFUSED,
    TRUST,
    UNREVOKED,
    Row,
    ask_at_once,
    crl_resolver,
    holding,
    left_in_the_middle,
    outlives_trust,
    server_context,
    silent,
    until,
)
from tests.integrations.serving import PATIENCE, Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there, and Tornado needs another")


@pytest.fixture(scope="module")
def running() -> Generator[Any, None, None]:
    """Start each server when it is first asked for; they hold nobody."""
    servers: dict[str, Server] = {}
    with ExitStack() as stack:

        def lend(name: str) -> tuple[Subject, Server]:
            if name not in servers:
                servers[name] = stack.enter_context(SUBJECTS[name].serve(server_context()))
            return SUBJECTS[name], servers[name]

        yield lend


@pytest.mark.parametrize("who", REFUSED)
@pytest.mark.parametrize("name", SUBJECTS)
def test_who_is_refused_sees_the_connection_end(name: str, who: str) -> None:
    """A name, an issuing CA or a root that is not meant, an expired certificate and none; the others are served."""
    subject, seen = SUBJECTS[name], Seen()
    with subject.serve(server_context(), seen=seen) as server:
        assert subject.ask(server, who).status == 0
        assert subject.ask(server, "frodo").status == subject.good
        until(lambda: len(seen.names) > 0)
        assert seen.names == ["frodo"]


@pytest.mark.parametrize("name", SUBJECTS)
def test_one_hundred_at_once_half_of_them_refused_leave_nothing_behind(name: str) -> None:
    """Every good client is served, no bad one is, and descriptors, threads and tasks are as before."""
    subject, seen = SUBJECTS[name], Seen()
    with subject.serve(server_context(), seen=seen) as server:
        assert subject.ask(server, "frodo").status == subject.good
        until(lambda: len(seen.names) > 0)
        before = seen.settled()
        assert asyncio.run(ask_at_once(server, request=subject.request)) == [subject.good, 0] * 50
        seen.settles(before)
        assert set(seen.names) == {"frodo"}


@pytest.mark.parametrize("name", SUBJECTS)
def test_who_leaves_in_the_handshake_or_says_nothing_holds_nobody_up(running: Any, name: str) -> None:
    """A client that is gone and clients that are silent change nothing for the next."""
    subject, server = running(name)
    for octets in (1, 50, 10_000):
        left_in_the_middle(server, octets)
    with silent(server):
        assert subject.ask(server, "frodo").status == subject.good


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_session_does_not_outlive_the_trust_in_its_ca(name: str) -> None:
    """Rule 48: a resumed connection is judged as any other, and one whose CA was taken out is closed."""
    subject = SUBJECTS[name]
    good = f"HTTP/1.1 {subject.good}".encode("ascii")
    told = outlives_trust(subject.serve, subject.request)
    assert told[0] == (False, good)
    assert told[1][1] == good
    assert told[2][1] == b""


def _again(subject: Subject, server: Server) -> int:
    """Return the status once the client was admitted; 0: it never was."""
    last = time.monotonic() + PATIENCE
    status = 0
    while not status and time.monotonic() < last:
        status = subject.ask(server, "frodo").status
    return status


@pytest.mark.parametrize("name", SUBJECTS)
def test_revoked(name: str) -> None:
    """A certificate on the CRL of its CA is refused, and the others are not, once the CRL was looked at."""
    subject = SUBJECTS[name]
    with crl_resolver() as resolver:
        options: Any = {"pending": "hold"} if subject.gated else {}
        context = server_context(UNREVOKED, options=tls.ServerOptions(resolver=resolver, **options))
        with subject.serve(context) as server:
            first = subject.ask(server, "frodo").status
            assert _again(subject, server) == subject.good
            assert first == subject.good or not subject.gated
            assert [subject.ask(server, "revoked").status for _ in range(3)] == [0] * 3


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("name", GATED)
def test_a_held_connection_waits_for_its_fact_and_then_is_served(name: str, loop: str) -> None:
    """An async resolver has the last word, and is asked about nobody whom the certificate alone refuses."""
    subject, row = SUBJECTS[name], Row()
    factory = None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with subject.serve(holding(row), loop=factory) as server:
        assert subject.ask(server, "frodo").status == subject.good
        assert subject.ask(server, "wrong name").status == 0
        assert row.asked == 1
        row.names.clear()
        assert subject.ask(server, "frodo").status == 0


@pytest.mark.parametrize("name", BARE)
def test_without_the_gate_a_context_that_holds_refuses_on_the_first_day(name: str) -> None:
    """The framework's own server has no gate, and nobody is admitted on half a decision."""
    subject = SUBJECTS[name]
    with subject.serve(server_context(options=tls.ServerOptions(pending="hold"))) as server:
        assert subject.ask(server, "frodo").status == 0


@pytest.mark.parametrize("name", BARE)
def test_without_the_gate_a_fact_is_there_when_the_client_comes_again(name: str) -> None:
    """The first connection is refused, and its fact is asked for in the loop meanwhile."""
    kept = policies.lookup("loops.kept", key=lambda path: str(path.end_entity.subject))(lambda found, _: found is True)
    options = tls.ServerOptions(resolver=Resolver({"loops.kept": Row()}))
    subject = SUBJECTS[name]
    with subject.serve(server_context(POLICY & kept, options=options)) as server:
        assert _again(subject, server) == subject.good
        assert subject.ask(server, "wrong name").status == 0


@pytest.mark.parametrize("name", ["tornado", "tornado-bare", "websockets"])
@pytest.mark.parametrize(("host", "admitted"), [("localhost", True), ("staff.example", False)])
def test_a_request_for_another_host_than_the_handshake_was_for_is_misdirected(
    name: str, host: str, *, admitted: bool
) -> None:
    """The Host header has to be the one whose verifier judged."""
    staff = tls.server_context(
        credential=CREDENTIAL, verifier=Verifier.for_clients(trust=TRUST, policy=policies.CommonName("sam"))
    )
    subject = SUBJECTS[name]
    context = server_context(options=tls.ServerOptions(virtual_hosts={"staff.example": staff}))
    with subject.serve(context) as server:
        assert subject.ask(server, "frodo", host).status == (subject.good if admitted else 421)
