"""RULES 1 and 10, the latch's part: what a gate does with a connection that is held."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from mtlspolicy import Evidence, Resolver, policies, tls
from mtlspolicy._resolver import settle
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._latch import ADMITTED, HELD, REFUSED, Latch


@pytest.fixture
def resolver() -> Any:
    """Return a resolver that knows who is enrolled."""
    with Resolver({"test.row": lambda key: "yes" if key == "frodo" else "no"}) as resolver:
        yield resolver


@policies.lookup("test.row", key=lambda path: path.end_entity.common_name, identifies=True)
def enrolled(value: object, _: Evidence) -> bool:
    """Permit whoever is enrolled."""
    return value == "yes"


def held(pki: Any, pair: Any, policy: Any, *, name: str | None = "frodo", **options: Any) -> Any:
    """Return a pair whose server is held."""
    optional = options.pop("client_certificate", "required")
    context = pki.server(policy, client_certificate=optional, options=tls.ServerOptions(pending="hold", **options))
    ends = pair(context, pki.plain_client(name), "localhost")
    ends.shake()
    assert ends.server._latch.state is HELD
    return ends


@pytest.mark.parametrize(("name", "admitted"), [("frodo", True), ("sam", False)])
def test_a_gate_goes_on_with_the_judgement(name: str, admitted: bool, pki: Any, pair: Any, resolver: Any) -> None:
    """A fact that is missing holds; once a gate has it, the same judgement admits or refuses."""
    ends = held(pki, pair, enrolled, name=name, resolver=resolver)
    latch = ends.server._latch
    assert latch.claim(("192.0.2.7", 4711)) is False
    assert latch.address == "192.0.2.7:4711"
    assert latch.connection.transport_address == "192.0.2.7"
    with pytest.raises(ssl.SSLWantReadError):
        ends.server.read(10)
    outcome = settle(latch.judgement, latch.options.resolver)
    assert latch.settle(outcome) is admitted
    assert latch.state is (ADMITTED if admitted else REFUSED)
    if admitted:
        assert tls.peer_of(ends.server).connection.transport_address == "192.0.2.7"  # type: ignore[union-attr]
        ends.client.write(b"x")
        assert ends.server.read(10) == b"x"
    else:
        with pytest.raises(tls.HandshakeRejected) as caught:
            ends.server.read(10)
        assert caught.value.code == "fact.refused"
        assert ends.server._sslobj is None


def test_what_is_known_already_is_admitted_when_it_is_claimed(pki: Any, pair: Any) -> None:
    """A PERMIT at hand waits for a gate too, so that a missing gate shows; claiming admits at once."""
    ends = held(pki, pair, policies.CommonName("frodo"))
    assert ends.server._latch.claim() is True
    assert ends.server._latch.claim() is True
    assert tls.peer_of(ends.server) is not None


def test_an_optional_absence_is_held_and_admitted(pki: Any, pair: Any) -> None:
    """No certificate where none is required is known at once as well."""
    ends = held(pki, pair, policies.CommonName("frodo"), name=None, client_certificate="optional")
    assert ends.server._latch.claim() is True
    assert tls.peer_of(ends.server) is None


@pytest.mark.parametrize("name", ["sam", "stranger", None])
def test_a_denial_is_refused_there_and_then(name: str | None, pki: Any, pair: Any, resolver: Any) -> None:
    """What no fact can change is never held."""
    policy = policies.CommonName("frodo") & enrolled
    context = pki.server(policy, options=tls.ServerOptions(pending="hold", resolver=resolver))
    ends = pair(context, pki.plain_client(name), "localhost")
    with pytest.raises(tls.HandshakeRejected):
        ends.shake()
    assert ends.server._latch.state is REFUSED


def test_without_hold_a_missing_fact_refuses(pki: Any, pair: Any, resolver: Any) -> None:
    """pending="refuse", the default, refuses what is INDETERMINATE, and says that it may be tried again."""
    context = pki.server(enrolled, options=tls.ServerOptions(resolver=resolver))
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(context, pki.plain_client(), "localhost").shake()
    assert (caught.value.code, caught.value.http_status, caught.value.retryable) == ("fact.missing", 503, True)


def test_facts_at_hand_decide_without_a_gate(pki: Any, pair: Any, resolver: Any) -> None:
    """A fact that the resolver has kept is used on an event loop, where nothing may wait."""
    context = pki.server(enrolled, options=tls.ServerOptions(resolver=resolver))
    ends = held(pki, pair, enrolled, resolver=resolver)
    settle(ends.server._latch.judgement, resolver)
    again = pair(context, pki.plain_client(), "localhost")
    again.shake()
    assert tls.peer_of(again.server) is not None


def test_a_gate_refuses_for_reasons_of_its_own(pki: Any, pair: Any, resolver: Any, lines: Any) -> None:
    """A deadline or a full house refuses with the gate's code: once, logged, seen by the observer, and for good."""
    seen: list[Any] = []
    verifier = pki.clients(enrolled).observed_by(seen.append)
    context = tls.server_context(
        credential=pki.credential(), verifier=verifier, options=tls.ServerOptions(pending="hold", resolver=resolver)
    )
    ends = pair(context, pki.plain_client(), "localhost")
    ends.shake()
    latch = ends.server._latch
    assert latch.claim(("192.0.2.7", 1)) is False
    latch.refuse(refusal("gate.full", "too many"))
    latch.refuse(refusal("gate.timeout", "too late"))
    assert latch.reason.code == "gate.full"
    assert latch.claim() is False
    assert verifier._observer.drain(20)
    assert [decision.code for decision in seen] == ["gate.full"]
    assert len(lines()) == 1
    assert lines()[0].startswith("WARNING refused 192.0.2.7:1: gate.full: too many")
    with pytest.raises(tls.HandshakeRejected):
        ends.server.write(b"x")


def test_what_was_not_claimed_is_not_settled(pki: Any, pair: Any, resolver: Any) -> None:
    """Settling needs a claim, and a latch that is not held stays as it is."""
    ends = held(pki, pair, enrolled, resolver=resolver)
    latch = ends.server._latch
    outcome = settle(latch.judgement, resolver)
    assert latch.settle(outcome) is False
    assert latch.state is HELD
    fresh = Latch()
    assert fresh.settle(outcome) is False
    assert fresh.claim() is False
    assert fresh.reason.code == "tls.interrupted"


def test_a_gate_that_outlives_its_connection_refuses_into_the_void(pki: Any, pair: Any, resolver: Any) -> None:
    """The connection object may be gone when the decision comes; nothing is kept alive and nothing fails."""
    ends = held(pki, pair, enrolled, resolver=resolver)
    latch = ends.server._latch
    latch.claim()
    latch.locate(None)
    del ends
    latch.refuse(refusal("tls.peer-gone", "gone"))
    assert latch.state is REFUSED


def test_an_admitted_connection_can_be_refused_later(pki: Any, pair: Any) -> None:
    """Whoever finds out later that a peer must go refuses it, and the reason is the new one."""
    ends = pair(pki.server(), pki.plain_client(), "localhost")
    ends.shake()
    latch = ends.server._latch
    latch.refuse(refusal("acme.closed", "enough"))
    assert latch.reason.code == "acme.closed"
    with pytest.raises(tls.HandshakeRejected):
        ends.server.read(10)
