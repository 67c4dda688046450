"""Caddy: base64 of DER, and a placeholder that stays where there is no certificate."""

from __future__ import annotations

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import MalformedEvidence
from tests.forwarded.certificate_forms import der_base64
from tests.forwarded.dialects import hex_digest
from tests.forwarded.writing import FRODO, PROXY, TRUSTED, VERIFIER

PLACEHOLDER = "{http.request.tls.client.certificate_der_base64}"


def test_a_placeholder_that_stayed_is_no_certificate() -> None:
    """Caddy leaves what it has no value for as it is written in the configuration, letter by letter."""
    source = forwarded.caddy(trusted=TRUSTED)
    assert source.read([("X-Client-Cert", PLACEHOLDER)], peer=PROXY) is None
    for value in (PLACEHOLDER.upper(), PLACEHOLDER * 2, PLACEHOLDER[:-1], "{http.request.tls.client.certificate_pem}"):
        with pytest.raises(MalformedEvidence):
            source.read([("X-Client-Cert", value)], peer=PROXY)


def test_fingerprint_by_choice() -> None:
    """Without the option a fingerprint is not read; with it, it must be there."""
    headers = [("x-cert", der_base64(FRODO.der)), ("x-print", hex_digest(FRODO.der))]
    plain = forwarded.caddy(trusted=TRUSTED, header="x-cert")
    assert plain.names == {"x-cert"}
    held = forwarded.caddy(trusted=TRUSTED, header="x-cert", fingerprint_header="x-print")
    for source in (plain, held):
        chain = source.read(headers, peer=PROXY)
        assert chain is not None
        assert chain.ders == (FRODO.der,)
    with pytest.raises(MalformedEvidence, match="without the header 'x-print'"):
        held.read(headers[:1], peer=PROXY)


def test_without_intermediate_and_trust_in_it_the_path_is_refused() -> None:
    """Caddy forwards no chain: a trust store that knows only the root does not admit the leaf."""
    chain = forwarded.caddy(trusted=TRUSTED).read([("x-client-cert", der_base64(FRODO.der))], peer=PROXY)
    assert chain is not None
    assert not VERIFIER.decide(chain)
