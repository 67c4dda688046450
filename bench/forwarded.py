"""From the headers of a request behind a proxy to the verified peer, against `verify` of the same certificates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import quote

from bench._harness import Comparison, Row, Scale, Side, Work, at_most, compare, cost, cost_row, timed, timed_each
from bench._material import P256, Pki
from bench.verify import cold
from mtlspolicy import Policy, Verifier, forwarded
from mtlspolicy._pem import write_pem
from mtlspolicy.forwarded import ForwardedSource, ImmediatePeer

TRUSTED = ["10.0.0.0/24"]
PROXY = ImmediatePeer("10.0.0.1")
USUAL = [
    *(("host", "api.example.com"), ("user-agent", "curl/8.5.0"), ("accept", "*/*"), ("content-length", "512")),
    *(("content-type", "application/json"), ("x-request-id", "5f0c1b6e-3a44-4a2b-8d6b-6f1f0a9f3b11")),
    *(("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https"), ("traceparent", "00-0af7651916cd43dd8448eb2")),
]
"""What a request has besides, behind a usual proxy."""
Fields = list[tuple[str, str]]
Kind = tuple[str, Callable[[], ForwardedSource], Callable[[list[bytes]], Fields], float]


def rfc9440(ders: list[bytes]) -> Fields:
    """Return what a proxy writes of a chain as RFC 9440 has it."""
    leaf, *others = (f":{base64.b64encode(der).decode('ascii')}:" for der in ders)
    return [*USUAL, ("client-cert", leaf), ("client-cert-chain", ", ".join(others))]


def xfcc(ders: list[bytes]) -> Fields:
    """Return what Envoy writes of a chain, with every field switched on."""
    cert, chain = (quote("".join(map(write_pem, some)), safe="") for some in (ders[:1], ders))
    by, digest = "spiffe://example.com/edge", hashlib.sha256(ders[0]).hexdigest()
    words = 'Subject="CN=client";URI=;DNS=client.test'
    return [*USUAL, ("x-forwarded-client-cert", f'By={by};Hash={digest};Cert="{cert}";Chain="{chain}";{words}')]


KINDS: tuple[Kind, ...] = (
    ("RFC 9440", partial(forwarded.rfc9440, trusted=TRUSTED), rfc9440, 25),
    ("XFCC with chain", partial(forwarded.envoy, trusted=TRUSTED), xfcc, 60),
)


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    pki = Pki.new(P256, scale.size(24, 3))
    six = pki.six_policies()
    for label, make, write, most in KINDS:
        requests = [write(pki.chain(client)) for client in pki.clients]
        found = compare(_new(make, requests, pki, six), cold(pki, six), rounds=scale.rounds(100))
        yield _difference(f"{label} to verified peer, new, over verify from DER, {pki.label}", found, most)
        verifier, source = Verifier.for_clients(trust=pki.store, policy=six), make()
        known = timed(partial(_verified, source, verifier, requests[0]), number=scale.size(200, 20))
        seen = cost(known, rounds=scale.rounds(100))
        yield cost_row(f"{label} to verified peer, seen before", seen, "us", at_most(20))
        read = timed(partial(source.read, requests[0], peer=PROXY), number=scale.size(200, 20))
        yield cost_row(f"{label}, read alone, seen before", cost(read, rounds=scale.rounds(60)), "us", None)
        fresh = cost(_read_new(make, requests), rounds=scale.rounds(60))
        yield cost_row(f"{label}, read alone, new", fresh, "us", None)


def _verified(source: ForwardedSource, verifier: Verifier, request: Fields) -> object:
    chain = source.read(request, peer=PROXY)
    if chain is None:
        raise RuntimeError("the request that is to be measured has no certificate")
    return verifier.verify(chain)


def _new(make: Callable[[], ForwardedSource], requests: list[Fields], pki: Pki, policy: Policy) -> Side:
    """Return the side that reads and verifies every client once, each for the first time."""

    def prepare() -> list[Work]:
        source, verifier = make(), Verifier.for_clients(trust=pki.store, policy=policy)
        return [partial(_verified, source, verifier, request) for request in requests]

    return timed_each(prepare)


def _read_new(make: Callable[[], ForwardedSource], requests: list[Fields]) -> Side:
    def prepare() -> list[Work]:
        source = make()
        return [partial(source.read, request, peer=PROXY) for request in requests]

    return timed_each(prepare)


def _difference(name: str, found: Comparison, most: float) -> Row:
    """Return the row for what reading the headers adds to `verify`."""
    note = f"{found.subject * 1e6:.4g} us against {found.baseline * 1e6:.4g} us, {found.rounds} rounds"
    return Row(name, (found.subject - found.baseline) * 1e6, "us", found.control, at_most(most), note)
