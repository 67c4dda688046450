"""Offline `verify`: new peers against the raw verifier of `cryptography`, known peers by the microsecond."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from bench._harness import (
    Row,
    Scale,
    Side,
    Work,
    at_most,
    compare,
    cost,
    cost_row,
    ratio_row,
    timed,
    timed_each,
)
from bench._material import P256, RSA, Pki, signature_verification
from mtlspolicy import Policy, Verifier, policies

COLD_BUDGETS = {P256: 1.35, RSA: 1.50}


def raw_verify(ders: list[bytes], *, store: Store) -> object:
    """Parse and validate as a careful user of `cryptography` does: at the present time, with the rules as they come."""
    leaf, *intermediates = map(x509.load_der_x509_certificate, ders)
    now = datetime.now(UTC).replace(tzinfo=None)
    return PolicyBuilder().store(store).time(now).build_client_verifier().verify(leaf, intermediates)


def cold(pki: Pki, policy: Policy) -> Side:
    """Return the side that verifies every client once, each for the first time: a new verifier has an empty cache."""
    store = pki.store
    chains = [pki.chain(client) for client in pki.clients]

    def prepare() -> list[Work]:
        verifier = Verifier.for_clients(trust=store, policy=policy)
        return [partial(verifier.verify, chain) for chain in chains]

    return timed_each(prepare)


def raw(pki: Pki) -> Side:
    """Return the side that parses and validates every client with the raw verifier."""
    store = Store([pki.root.certificate])
    works: list[Work] = [partial(raw_verify, pki.chain(client), store=store) for client in pki.clients]
    return timed_each(lambda: works)


def warm(pki: Pki, policy: Policy) -> Callable[[], object]:
    """Return the work of verifying one client that was seen before."""
    verifier = Verifier.for_clients(trust=pki.store, policy=policy)
    work = partial(verifier.verify, pki.chain(pki.clients[0]))
    work()
    return work


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    for kind in (P256, RSA):
        pki = Pki.new(kind, scale.size(24, 3))
        six = pki.six_policies()
        found = compare(cold(pki, six), raw(pki), rounds=scale.rounds(60))
        name = f"verify, new peer, from DER, six policies / parse + raw verifier, {pki.label}"
        yield ratio_row(name, found, at_most(COLD_BUDGETS[kind]))
    pki = Pki.new(P256, 1)
    six = pki.six_policies()
    known = timed(warm(pki, six), number=scale.size(200, 20))
    yield cost_row("verify, path seen before, six policies", cost(known, rounds=scale.rounds(100)), "us", at_most(8))
    yield from _shown(pki, six, scale)
    for kind in (P256, RSA):
        other = Pki.new(kind, 1)
        known = timed(warm(other, other.six_policies()), number=scale.size(200, 20))
        one = partial(signature_verification, other.issuing.certificate, other.clients[0].certificate)
        found = compare(known, timed(one, number=scale.size(20, 3)), rounds=scale.rounds(60))
        yield ratio_row(f"verify, path seen before / one signature verification, {other.label}", found, None)


def _shown(pki: Pki, six: Policy, scale: Scale) -> Iterator[Row]:
    """Yield figures without a budget: other input, and a clause that is asked each time."""
    rounds, number = scale.rounds(60), scale.size(200, 20)
    verifier = Verifier.for_clients(trust=pki.store, policy=six)
    pem = timed(partial(verifier.verify, pki.clients[0].chain_pem), number=number)
    yield cost_row("verify, path seen before, from PEM", cost(pem, rounds=rounds), "us", None)

    @policies.predicate("bench.always")
    def live(_evidence: object) -> bool:
        return True

    asked = timed(warm(pki, six & live), number=number)
    yield cost_row("verify, path seen before, six policies and a predicate", cost(asked, rounds=rounds), "us", None)
