"""Mutual TLS handshakes in memory, both ends counted: a server of ours against the bare server that `ssl` gives.

The client is bare in every row, so that the difference is the server's. Every handshake ends with one byte from the
server to the client, which has read the session tickets then, if there are any.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import partial

from bench._harness import Budget, Row, Scale, Side, Work, at_least, compare, speed_row, timed, timed_each
from bench._material import HOST, P256, RSA, Pki
from mtlspolicy import Verifier, policies, tls

SAME_TICKETS = {P256: at_least(0.98), RSA: at_least(0.98)}
DEFAULT_TICKETS = {P256: at_least(1.15), RSA: at_least(1.12)}
EVERY_PEER_NEW = {P256: at_least(0.77), RSA: at_least(0.83)}


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """Do one handshake and send one byte; return the cipher suite."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=HOST)
    waiting = [theirs, ours]
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    ours.write(b"x")
    if theirs.read(1) != b"x":
        raise AssertionError("the byte did not arrive")
    cipher = theirs.cipher()
    return "" if cipher is None else f"{cipher[1]} {cipher[0]}"


def bare_server(pki: Pki, files: dict[str, str], *, tickets: bool) -> ssl.SSLContext:
    """Return the server context that a careful user of `ssl` builds, with the default tickets or without any."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pki.root.pem.decode())
    context.load_cert_chain(files["server"], files["server_key"])
    context.verify_mode = ssl.CERT_REQUIRED
    if not tickets:
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def bare_clients(pki: Pki) -> list[ssl.SSLContext]:
    """Return a bare context for each client."""
    return [bare_client(pki, number) for number in range(len(pki.clients))]


def bare_client(pki: Pki, number: int = 0) -> ssl.SSLContext:
    """Return a bare context for one client."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=pki.root.pem.decode())
    with pki.clients[number].tempfiles() as (chain, key):
        context.load_cert_chain(chain, key)
    return context


def our_server(pki: Pki, *, live: bool = False) -> ssl.SSLContext:
    """Return a server context of ours with six policies, and with *live* one more that is asked each time."""
    policy = pki.six_policies()
    if live:
        policy &= policies.predicate("bench.always")(lambda _evidence: True)
    verifier = Verifier.for_clients(trust=pki.store, policy=policy)
    credential = tls.Credential.from_pem(pki.server.chain_pem, pki.server.key_pem)
    return tls.server_context(credential=credential, verifier=verifier)


def _known(server: ssl.SSLContext, client: ssl.SSLContext, scale: Scale) -> Side:
    return timed(partial(shake_hands, server, client), number=scale.size(8, 2))


def _new(pki: Pki, clients: list[ssl.SSLContext]) -> Side:
    """Return the side whose every peer is new: a new context of ours each round, warmed up by nobody that counts."""
    first, *others = clients

    def prepare() -> list[Work]:
        server = our_server(pki)
        shake_hands(server, first)
        return [partial(shake_hands, server, client) for client in others]

    return timed_each(prepare)


def _bare_each(server: ssl.SSLContext, clients: list[ssl.SSLContext]) -> Side:
    works: list[Work] = [partial(shake_hands, server, client) for client in clients[1:]]
    return timed_each(lambda: works)


def _row(pki: Pki, what: str, subject: Side, baseline: Side, budget: Budget | None, rounds: int) -> Row:
    return speed_row(f"handshakes, {what}, {pki.label}", compare(subject, baseline, rounds=rounds), budget)


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    for kind in (P256, RSA):
        pki = Pki.new(kind, scale.size(13, 3))
        clients = bare_clients(pki)
        with pki.files() as files:
            bare, default = (bare_server(pki, files, tickets=tickets) for tickets in (False, True))
        ours, client = our_server(pki), clients[0]
        if len({shake_hands(server, client) for server in (bare, default, ours)}) != 1:
            raise AssertionError("the contexts do not agree on version and cipher suite: nothing to compare")
        known = _known(ours, client, scale)
        many = scale.rounds(150)
        yield _row(
            pki,
            "known peer, six policies / bare, same tickets",
            known,
            _known(bare, client, scale),
            SAME_TICKETS[kind],
            many,
        )
        live = _known(our_server(pki, live=True), client, scale)
        yield _row(
            pki, "known peer, and a predicate / bare, same tickets", live, _known(bare, client, scale), None, many
        )
        yield _row(
            pki, "known peer, six policies / bare, default tickets", known, _known(default, client, scale),
            DEFAULT_TICKETS[kind], many,
        )  # fmt: skip
        yield _row(
            pki, "every peer new, six policies / bare, same tickets", _new(pki, clients), _bare_each(bare, clients),
            EVERY_PEER_NEW[kind], scale.rounds(80),
        )  # fmt: skip
