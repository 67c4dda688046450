"""``mtlspolicy demo``: a real mTLS server and real clients on loopback, and why each client was admitted or refused.

Everything is decided by the library in real handshakes; this compares the outcomes with those that must be, and prints.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mtlspolicy.cli._demo_clients import Visit, client_context, visit
from mtlspolicy.cli._demo_pki import ALLOWED, DemoPKI, Desk, Identity, verifier_for
from mtlspolicy.cli._output import fold, paint, program, say, table
from mtlspolicy.cli._refusals import Refusal, Refusals
from mtlspolicy.cli._server import HOST, listen, port_of
from mtlspolicy.tls import server_context

_WAIT: Final = 3.0
"""Seconds until the server has logged a refusal."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One client of the demo.

    Attributes:
        title: Who it is, for the table.
        identity: What it presents; ``None``: nothing.
        code: The reason code that it must get.
        admitted: Whether it must be admitted.
        resumes: Whether it offers a session that it had before.
    """

    title: str
    identity: Identity | None
    code: str
    admitted: bool = False
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a caller: what it saw, and what the server logged if it refused."""

    caller: Caller
    visit: Visit
    refusal: Refusal | None

    @property
    def admitted(self) -> bool:
        """Whether the client got an answer."""
        return self.visit.answer is not None

    @property
    def code(self) -> str:
        """The reason code that the server gave."""
        if self.visit.answer is not None:
            return str(self.visit.answer["code"])
        return "no log line" if self.refusal is None else self.refusal.code

    @property
    def expected(self) -> bool:
        """Whether this is the outcome that must be."""
        return (self.admitted, self.code) == (self.caller.admitted, self.caller.code)


def callers_of(pki: DemoPKI) -> tuple[Caller, ...]:
    """Return the clients; the first is the one that comes back at the end with its session."""
    return (
        Caller("frodo, of the right issuing CA", pki.client("frodo"), "policy.all", admitted=True),
        Caller("frodo, of another issuing CA", pki.client("frodo", pki.other), "issuer.not-pinned"),
        Caller("gollum, a name that is not allowed", pki.client("gollum"), "name.mismatch"),
        Caller("sam, expired yesterday", pki.expired_client("sam"), "tls.openssl-expired"),
        Caller("frodo, self-signed", pki.self_signed_client("frodo"), "tls.openssl-self-signed"),
        Caller("without a certificate", None, "tls.openssl-no-certificate"),
    )


def run(_arguments: argparse.Namespace) -> int:
    """Run the demo and print it; 0 where every outcome is the expected one, else 1."""
    pki = DemoPKI()
    results = asyncio.run(_visits(pki))
    _print_table(results)
    for number, result in enumerate(results, 1):
        if result.refusal is not None:
            _print_refusal(number, result, result.refusal, pki)
    wrong = [number for number, result in enumerate(results, 1) if not result.expected]
    say()
    if wrong:
        say(paint(f"NOT AS EXPECTED: client {', '.join(map(str, wrong))}", "red"))
        return 1
    say(
        paint(f"all {len(results)} outcomes are as expected", "green")
        + f"; next: {program()} serve, and {program()} pki new"
    )
    return 0


async def _visits(pki: DemoPKI) -> list[Result]:
    desk, refusals = Desk(pki.policy(*ALLOWED)), Refusals()
    verifier = verifier_for(pki, desk)
    context = server_context(credential=pki.server.credential, verifier=verifier)
    with refusals.listening():
        server = await listen(context, 0, lambda _peer, _address: None)
        say(f"an mTLS server on {HOST}:{port_of(server)}, under asyncio, and clients; all their CAs and keys in memory")
        say(f"it admits {desk.policy!r}")
        try:
            return await asyncio.to_thread(lambda: list(_results(pki, desk, refusals, port_of(server))))
        finally:
            server.close()


def _results(pki: DemoPKI, desk: Desk, refusals: Refusals, port: int) -> Iterator[Result]:
    """Let one client after the other connect; then take the first one's name out of the policy and let it resume."""
    callers = callers_of(pki)
    contexts = [client_context(pki.trust_pem, caller.identity) for caller in callers]
    # The server sends no tickets, so that a session can be resumed by its id alone, which TLS 1.3 does not have.
    contexts[0].maximum_version = ssl.TLSVersion.TLSv1_2
    first: Result | None = None
    for caller, context in zip(callers, contexts, strict=True):
        result = _result(caller, visit(port, context), refusals)
        first = first or result
        yield result
    desk.policy = pki.policy(*ALLOWED[1:])
    again = Caller("the first again, no longer allowed", callers[0].identity, "name.mismatch", resumes=True)
    session = None if first is None else first.visit.session
    yield _result(again, visit(port, contexts[0], session), refusals)


def _result(caller: Caller, seen: Visit, refusals: Refusals) -> Result:
    if seen.answer is not None:
        return Result(caller, seen, None)
    found = refusals.next(_WAIT)
    return Result(caller, seen, found if found is not None and found.address == seen.address else None)


def _print_table(results: Sequence[Result]) -> None:
    rows = [("", "client", "outcome", "reason code", "seen by the client")]
    rows += [
        (
            str(number),
            result.caller.title,
            "admitted" if result.admitted else "refused",
            result.code,
            _seen(result),
        )
        for number, result in enumerate(results, 1)
    ]
    head, line, *lines = table(rows)
    say()
    say(paint(head, "bold"))
    say(line)
    for text, result in zip(lines, results, strict=True):
        say(paint(text, "green" if result.admitted else "yellow"))


def _seen(result: Result) -> str:
    seen = result.visit
    if seen.tls is None:
        return "handshake failed"
    said = "closed" if seen.answer is None else f"200, {seen.answer['common_name']}"
    # Where a library does not resume by session id, the row says so; that the client is refused holds either way.
    session = " resumed" if seen.resumed else " not resumed" if result.caller.resumes else ""
    return f"{seen.tls}{session}, {said}"


def _print_refusal(number: int, result: Result, refusal: Refusal, pki: DemoPKI) -> None:
    say()
    say(paint(f"{number}  {result.caller.title}", "bold"))
    say(fold(refusal.decision.explain(), indent="   "))
    if refusal.code.startswith("tls.openssl-") and result.caller.identity is not None:
        decision = verifier_for(pki, Desk(pki.policy(*ALLOWED))).decide(result.caller.identity.chain_pem)
        say("   the same chain, shown to the verifier without TLS:")
        say(fold(decision.explain(), indent="   "))
