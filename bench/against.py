"""`verify` from bytes against pyhanko-certvalidator, the other pure-Python validator of paths."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

from bench._harness import Row, Scale, Side, at_least, compare, speed_row, timed
from bench._material import P256, RSA, Pki
from bench.verify import cold

BUDGETS = {P256: 7.0, RSA: 13.0}


def _other(pki: Pki) -> Side:
    """Return the side that validates one client with pyhanko-certvalidator: nothing fetched, for a TLS client."""
    from asn1crypto.x509 import Certificate
    from pyhanko_certvalidator import CertificateValidator, ValidationContext

    root = Certificate.load(pki.root.der)
    leaf, issuing = pki.chain(pki.clients[0])

    async def validate() -> None:
        context = ValidationContext(trust_roots=[root], allow_fetching=False)
        validator = CertificateValidator(
            Certificate.load(leaf), intermediate_certs=[Certificate.load(issuing)], validation_context=context
        )
        await validator.async_validate_usage({"digital_signature"}, extended_key_usage={"client_auth"})

    loop = asyncio.new_event_loop()
    return timed(partial(_run, loop, validate), number=3)


def _run(loop: asyncio.AbstractEventLoop, function: object) -> None:
    loop.run_until_complete(function())  # type: ignore[operator]


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    for kind in (P256, RSA):
        pki = Pki.new(kind, scale.size(24, 2))
        name = f"pyhanko-certvalidator / verify, from bytes, {pki.label}"
        if find_spec("pyhanko_certvalidator") is None:
            yield Row(name, None, note="pyhanko-certvalidator is not installed (dependency group bench)")
            continue
        found = compare(cold(pki, pki.six_policies()), _other(pki), rounds=scale.rounds(40))
        yield speed_row(name, found, at_least(BUDGETS[kind]))
