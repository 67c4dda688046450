"""RULES 48 and THREATS 1: a resumed connection is decided on like a new one, on the certificates that are held."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from mtlspolicy import Evidence, TrustStore, Verifier, policies, tls
from mtlspolicy.tls._enforcement import enforcement_of

KINDS = pytest.mark.parametrize(
    ("version", "tickets"),
    [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
    ids=["tls12-id", "tls12-ticket", "tls13-ticket"],
)


def with_tickets(context: ssl.SSLContext) -> ssl.SSLContext:
    """Switch tickets on again in an enforced context, and have that taken for the right setting."""
    context.options &= ~ssl.OP_NO_TICKET
    context.num_tickets = 2
    enforcement = enforcement_of(context)
    assert enforcement is not None
    enforcement.bind()
    return context


class Resuming:
    """A context that allows resumption, with a note of what its policy was asked."""

    def __init__(self, pki: Any, pair: Any, *, tickets: bool, trust: Any = None) -> None:
        self.pair = pair
        self.allowed = {"frodo", "sam"}
        self.asked: list[bool | None] = []
        self.trust = trust or pki.trust
        self.kept: list[Any] = []

        @policies.predicate("test.allowed", identifies=True)
        def allowed(evidence: Evidence) -> bool:
            self.asked.append(evidence.connection.resumed)
            return evidence.path.end_entity.common_name in self.allowed

        self.context = pki.plain_server()
        tls.enforce(self.context, Verifier.for_clients(trust=lambda: self.trust, policy=allowed))
        if tickets:
            with_tickets(self.context)

    def visit(self, client: ssl.SSLContext, session: Any = None, name: str = "localhost") -> Any:
        """Connect and exchange a byte, so that a session is there; the connection stays open, and its session valid."""
        ends = self.pair(self.context, client, name, session)
        ends.shake()
        ends.server.write(b"x")
        assert ends.client.read(10) == b"x"
        self.kept.append(ends)
        return ends


@KINDS
def test_callback_is_not_skipped_on_resumption(version: Any, tickets: bool, pki: Any, pair: Any) -> None:
    """THREATS 1: the policy is asked once for every connection, resumed ones included, with the whole path."""
    server = Resuming(pki, pair, tickets=tickets)
    client = pki.plain_client("frodo", version)
    first = server.visit(client)
    second = server.visit(client, first.client.session)
    assert second.client.session_reused
    assert server.asked == [False, True]
    peers = [tls.peer_of(ends.server) for ends in (first, second)]
    assert peers[0] is not None
    assert peers[1] is not None
    assert peers[0].path.certificates == peers[1].path.certificates
    assert peers[1].connection.resumed is True


@KINDS
def test_removal_from_the_policy_is_seen_by_a_resumed_session(version: Any, tickets: bool, pki: Any, pair: Any) -> None:
    """THREATS 1, revocation not applied after resume: what is no longer allowed is refused, session or not."""
    server = Resuming(pki, pair, tickets=tickets)
    client = pki.plain_client("frodo", version)
    session = server.visit(client).client.session
    server.allowed.discard("frodo")
    with pytest.raises(tls.HandshakeRejected) as caught:
        server.visit(client, session)
    assert caught.value.code == "test.allowed"
    assert server.asked[0] is False
    assert set(server.asked[1:]) == {True}


@KINDS
def test_rule_48_a_ca_that_is_no_longer_trusted_is_seen_by_a_resumed_session(
    version: Any, tickets: bool, pki: Any, pair: Any
) -> None:
    """Reload and then resume: the current store decides, though the session was made under the old one."""
    server = Resuming(pki, pair, tickets=tickets)
    client = pki.plain_client("frodo", version)
    session = server.visit(client).client.session
    server.trust = TrustStore(anchors=[pki.stranger.certificate])
    with pytest.raises(tls.HandshakeRejected) as caught:
        server.visit(client, session)
    assert caught.value.code in {"path.no-issuer", "resumption.no-path"}
    assert server.asked == [False]


@pytest.mark.parametrize("known", [True, False], ids=["issuer-in-store", "issuer-unknown"])
def test_a_chain_that_resumption_forgot_is_rebuilt_or_refused(known: bool, pki: Any, pair: Any) -> None:
    """With a stateless ticket the leaf alone is left: the path comes from the store, or is refused."""
    issuing = pki.ca.intermediate("Issuing CA")
    leaf = issuing.issue_client("frodo")
    intermediates = [issuing.certificate] if known else []
    trust = TrustStore(anchors=[pki.ca.certificate], intermediates=intermediates)
    server = Resuming(pki, pair, tickets=True, trust=trust)
    client = pki.plain_client(None, ssl.TLSVersion.TLSv1_2)
    client.load_cert_chain(*leaf.files(pki.folder))
    session = server.visit(client).client.session
    if known:
        ends = server.visit(client, session)
        assert ends.client.session_reused
        peer = tls.peer_of(ends.server)
        assert peer is not None
        assert peer.path.issuer is not None
        assert peer.path.issuer.certificate == issuing.certificate
        assert peer.presented.ders == (leaf.der,)
    else:
        with pytest.raises(tls.HandshakeRejected) as caught:
            server.visit(client, session)
        assert caught.value.code == "resumption.no-path"


def test_an_issuer_pin_does_not_pass_for_want_of_an_issuer(pki: Any, pair: Any) -> None:
    """THREATS 1, chain empty on resumption: the pin is held against the path that was rebuilt."""
    issuing, other = pki.ca.intermediate("Issuing CA"), pki.ca.intermediate("Other CA")
    pins = [policies.IssuerPin(issuing.certificate)]
    trust = TrustStore(anchors=[pki.ca.certificate], intermediates=[issuing.certificate])
    context = pki.plain_server()
    tls.enforce(context, Verifier.for_clients(trust=trust, policy=lambda: pins[0]))
    with_tickets(context)
    client = pki.plain_client(None, ssl.TLSVersion.TLSv1_2)
    client.load_cert_chain(*issuing.issue_client("frodo").files(pki.folder))
    first = pair(context, client, "localhost")
    first.shake()
    second = pair(context, client, "localhost", first.client.session)
    second.shake()
    assert second.client.session_reused
    pins[0] = policies.IssuerPin(other.certificate)
    third = pair(context, client, "localhost", first.client.session)
    with pytest.raises(tls.HandshakeRejected) as caught:
        third.shake()
    assert caught.value.code == "issuer.not-pinned"


def hosts(pki: Any, how: str, *, tickets: bool) -> ssl.SSLContext:
    """Return a context that trusts CA 1, and leads to one that trusts CA 2 for the name ``strict.test``."""
    trust = TrustStore(anchors=[pki.stranger.certificate])
    strict = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"))
    if how == "built":
        inner = tls.server_context(credential=pki.credential(), verifier=strict)
        return pki.server(options=tls.ServerOptions(virtual_hosts={"strict.test": inner}))  # type: ignore[no-any-return]
    inner, outer = pki.plain_server(), pki.plain_server()
    tls.enforce(inner, strict)
    if how == "enforced":
        tls.enforce(outer, pki.clients(), options=tls.ServerOptions(virtual_hosts={"strict.test": inner}))
    else:

        def choose(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
            if name == "strict.test":
                connection.context = inner

        outer.sni_callback = choose
        tls.enforce(outer, pki.clients())
    return with_tickets(outer) if tickets else outer


@KINDS
@pytest.mark.parametrize("how", ["built", "enforced", "own-callback"])
def test_session_of_one_host_does_not_open_another(how: str, version: Any, tickets: bool, pki: Any, pair: Any) -> None:
    """THREATS 1, nginx CVE-2025-23419: a session of host A under CA 1 gets nobody into host B under CA 2."""
    outer = hosts(pki, how, tickets=tickets)
    client = pki.plain_client("frodo", version)
    first = pair(outer, client, "a.test")
    first.shake()
    first.server.write(b"x")
    assert first.client.read(10) == b"x"
    second = pair(outer, client, "strict.test", first.client.session)
    with pytest.raises(tls.HandshakeRejected):
        second.shake()
    if version is ssl.TLSVersion.TLSv1_2:
        assert tls.decision_of(second.server).code == "resumption.other-host"
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            second.client.do_handshake()


@KINDS
def test_session_of_a_host_opens_the_same_host_again(version: Any, tickets: bool, pki: Any, pair: Any) -> None:
    """Where several hosts share a listener a session is resumed at its own host, in any spelling."""
    outer = hosts(pki, "enforced", tickets=tickets)
    client = pki.plain_client("frodo", version)
    client.check_hostname = False
    first = pair(outer, client, "a.test")
    first.shake()
    first.server.write(b"x")
    assert first.client.read(10) == b"x"
    kept = []  # OpenSSL forgets the session of a connection that is dropped without an end
    for name in ("a.test", "A.TEST"):
        again = pair(outer, client, name, first.client.session)
        kept.append(again)
        again.shake()
        assert again.client.session_reused
        assert tls.peer_of(again.server) is not None


@pytest.mark.parametrize("patience", [0.2, 0.0], ids=["blocking", "not-blocking"])
def test_session_of_one_host_does_not_open_another_on_a_socket(patience: float, pki: Any) -> None:
    """The same on sockets, where the name is read from the bytes that wait in the socket."""
    outer = hosts(pki, "built", tickets=False)
    client = pki.plain_client("frodo", ssl.TLSVersion.TLSv1_2)
    kept: list[Any] = []

    def connect(name: str, session: Any) -> tuple[Any, Any]:
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        theirs.settimeout(0.0)
        dialing = client.wrap_socket(theirs, server_hostname=name, session=session, do_handshake_on_connect=False)
        serving = outer.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
        kept.extend((dialing, serving))
        return serving, dialing

    def shake(serving: Any, dialing: Any) -> None:
        serving.settimeout(patience)
        done = [False, False]
        while not all(done):
            for index, end in enumerate((serving, dialing)):
                if not done[index]:
                    try:
                        end.do_handshake()
                        done[index] = True
                    except (ssl.SSLWantReadError, TimeoutError):
                        continue

    serving, dialing = connect("a.test", None)
    shake(serving, dialing)
    session = dialing.session
    assert tls.peer_of(serving).common_name == "frodo"  # type: ignore[union-attr]
    serving, dialing = connect("a.test", session)
    shake(serving, dialing)
    assert dialing.session_reused
    serving, dialing = connect("strict.test", session)
    with pytest.raises(tls.HandshakeRejected) as caught:
        shake(serving, dialing)
    assert caught.value.code == "resumption.other-host"
    for end in kept:
        end.close()


def test_built_contexts_send_no_tickets(pki: Any, pair: Any) -> None:
    """By default a session of TLS 1.3 cannot be resumed at all."""
    context, client = pki.server(), pki.plain_client("frodo", ssl.TLSVersion.TLSv1_3)
    ends = pair(context, client, "localhost")
    ends.shake()
    ends.server.write(b"x")
    ends.client.read(10)
    again = pair(context, client, "localhost", ends.client.session)
    again.shake()
    assert again.client.session_reused is False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls12", "tls13"])
def test_clients_verify_the_server_of_a_resumed_session(version: Any, pki: Any, pair: Any) -> None:
    """On the client's side a resumed session is judged as well, under the policy of now."""
    pins = [policies.SPKIPin.of(pki.server_leaf.certificate)]
    verifier = Verifier.for_servers(trust=pki.trust, expected="localhost", policy=lambda: pins[0])
    client = tls.client_context(verifier=verifier, credential=pki.credential("frodo"))
    client.maximum_version = version
    server = pki.plain_server(num_tickets=2)
    first = pair(server, client, "localhost")
    first.shake()
    first.server.write(b"x")
    assert first.client.read(10) == b"x"
    session = first.client.session
    second = pair(server, client, "localhost", session)
    second.shake()
    assert second.client.session_reused
    pins[0] = policies.SPKIPin.of(pki.leaf("sam").certificate)
    third = pair(server, client, "localhost", session)
    with pytest.raises(tls.HandshakeRejected) as caught:
        third.shake()
    assert caught.value.code == "pin.mismatch"
