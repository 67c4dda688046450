"""RULES 6 and 8: what enforce refuses to bind to, and what is noticed when a context changes afterwards."""

from __future__ import annotations

import ssl
import types
from typing import Any

import pytest

from mtlspolicy import ReferenceIdentifier, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._cpython import CREATORS
from mtlspolicy.tls._enforcement import enforcement_of


def servers(pki: Any, expected: Any = "localhost") -> Verifier:
    """Return a verifier of servers."""
    return Verifier.for_servers(trust=pki.trust, expected=expected)


@pytest.mark.parametrize("kind", ["server", "client"])
def test_one_line_on_a_context_that_somebody_else_built(kind: str, pki: Any, pair: Any, version: Any) -> None:
    """After tls.enforce connections are decided on, and the context is still a plain one."""
    if kind == "server":
        context = pki.plain_server()
        tls.enforce(context, pki.clients(policies.CommonName("sam")))
        contexts = context, pki.plain_client("frodo", version)
        wanted = "name.mismatch"
    else:
        context = ssl.create_default_context(cadata=pki.ca.pem.decode())
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(*pki.leaf("frodo").files(pki.folder))
        pin = policies.SPKIPin.of(pki.leaf("frodo").certificate)
        tls.enforce(context, Verifier.for_servers(trust=pki.trust, expected="localhost", policy=pin))
        contexts = pki.plain_server(), context
        wanted = "pin.mismatch"
    assert type(context) is ssl.SSLContext
    ends = pair(*contexts, "localhost")
    with pytest.raises(tls.HandshakeRejected) as caught:
        ends.shake()
    assert caught.value.code == wanted


def test_rule_6_a_server_that_never_asks_is_refused(pki: Any) -> None:
    """(a) With CERT_NONE no certificate would ever be there to decide on."""
    with pytest.raises(ConfigurationError, match="never asks clients") as caught:
        tls.enforce(pki.plain_server(verify_mode=ssl.CERT_NONE), pki.clients())
    assert caught.value.code == "tls.no-certificate-asked"


@pytest.mark.parametrize(
    ("mode", "said"), [(ssl.CERT_OPTIONAL, "required"), (ssl.CERT_REQUIRED, "optional")], ids=["optional", "required"]
)
def test_rule_6_optional_is_said_twice_or_not_at_all(mode: ssl.VerifyMode, said: Any, pki: Any) -> None:
    """(b) A context that lets clients without certificate in is bound only by somebody who says so."""
    with pytest.raises(ConfigurationError, match="client_certificate"):
        tls.enforce(pki.plain_server(verify_mode=mode), pki.clients(), client_certificate=said)


def test_rule_6_optional_lets_in_nobody_as_nobody(pki: Any, pair: Any) -> None:
    """No certificate is let in without a peer; one that the policy refuses is refused."""
    context = pki.plain_server(verify_mode=ssl.CERT_OPTIONAL)
    tls.enforce(context, pki.clients(), client_certificate="optional")
    ends = pair(context, pki.plain_client(None), "localhost")
    ends.shake()
    assert tls.peer_of(ends.server) is None
    assert not tls.decision_of(ends.server)
    with pytest.raises(tls.HandshakeRejected):
        pair(context, pki.plain_client("sam"), "localhost").shake()


def test_rule_6_the_verifier_belongs_to_the_other_side(pki: Any) -> None:
    """(c) A verifier of clients on a client's context would accept the wrong purpose; so would one for both sides."""
    with pytest.raises(ConfigurationError, match="PROTOCOL_TLS_SERVER") as caught:
        tls.enforce(pki.plain_client(), pki.clients())
    assert caught.value.code == "tls.wrong-side"
    with pytest.raises(ConfigurationError, match="PROTOCOL_TLS_CLIENT"):
        tls.enforce(pki.plain_server(), servers(pki))
    with pytest.warns(DeprecationWarning, match="PROTOCOL_TLS"):
        both = ssl.SSLContext(ssl.PROTOCOL_TLS)
    with pytest.raises(ConfigurationError, match="one side alone"):
        tls.enforce(both, pki.clients())


def test_rule_6_classes_of_another_library_are_not_replaced(pki: Any) -> None:
    """(d) A context that has somebody's classes is refused; so is a subclass with its own wrapping."""

    class Theirs(ssl.SSLSocket):
        """Another library's."""

    context = pki.plain_server()
    context.sslsocket_class = Theirs
    with pytest.raises(ConfigurationError) as caught:
        tls.enforce(context, pki.clients())
    assert caught.value.code == "tls.foreign-class"

    class Wrapping(ssl.SSLContext):
        """A context that wraps by itself, as truststore's does."""

        def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
            """Wrap."""
            return super().wrap_socket(*args, **kwargs)

    theirs = Wrapping(ssl.PROTOCOL_TLS_SERVER)
    theirs.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(ConfigurationError, match="Wrapping.wrap_socket"):
        tls.enforce(theirs, pki.clients())
    context = pki.plain_server()
    context.wrap_bio = types.MethodType(ssl.SSLContext.wrap_bio, context)
    with pytest.raises(ConfigurationError, match="wrap_bio"):
        tls.enforce(context, pki.clients())


def test_rule_6_enforcing_twice_is_an_error(pki: Any) -> None:
    """A second verifier on one context would silently replace the first."""
    context = pki.server()
    with pytest.raises(ConfigurationError) as caught:
        tls.enforce(context, pki.clients())
    assert caught.value.code == "tls.enforced-twice"


def change_mode(context: ssl.SSLContext) -> None:
    """Do what urllib3 and requests do for verify=False."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


CHANGES: dict[str, Any] = {
    "verify_mode": lambda c: setattr(c, "verify_mode", ssl.CERT_OPTIONAL),
    "verify_flags": lambda c: setattr(c, "verify_flags", c.verify_flags | ssl.VERIFY_ALLOW_PROXY_CERTS),
    "OP_NO_RENEGOTIATION or OP_NO_TICKET": lambda c: setattr(c, "options", c.options & ~ssl.OP_NO_RENEGOTIATION),
    "num_tickets": lambda c: setattr(c, "num_tickets", 2),
    "post_handshake_auth": lambda c: setattr(c, "post_handshake_auth", True),
    "sni_callback": lambda c: setattr(c, "sni_callback", lambda *_: None),
    "sslsocket_class": lambda c: setattr(c, "sslsocket_class", ssl.SSLSocket),
}


@pytest.mark.parametrize("name", CHANGES)
def test_rule_6_a_change_afterwards_refuses_the_next_connection(name: str, pki: Any, pair: Any) -> None:
    """(e) What verifies peers must not change once a verifier is bound; the setting is named."""
    context = pki.server()
    CHANGES[name](context)
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(context, pki.plain_client(), "localhost").shake()
    assert caught.value.code == "tls.context-changed"
    assert str(caught.value).split("tls.context-changed: ")[1].startswith(name)


def test_rule_6_tickets_turned_on_again_refuse(pki: Any, pair: Any) -> None:
    """(f) OP_NO_TICKET is among what must not change."""
    context = pki.server()
    context.options &= ~ssl.OP_NO_TICKET
    with pytest.raises(tls.HandshakeRejected, match="OP_NO_TICKET"):
        pair(context, pki.plain_client(), "localhost").shake()


def test_rule_60_switching_verification_off_on_a_shared_client_context_is_caught(pki: Any, pair: Any) -> None:
    """requests with verify=False leaves CERT_NONE on the context for ever: connections are refused from then on."""
    context = pki.client()
    change_mode(context)
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(pki.plain_server(), context, "localhost").shake()
    assert caught.value.code == "tls.context-changed"


def test_rule_6_host_names_that_are_no_longer_verified_are_caught(pki: Any, pair: Any) -> None:
    """(e) check_hostname switched off alone would show our certificate to impostors of the same CA."""
    context = pki.client()
    context.check_hostname = False
    with pytest.raises(tls.HandshakeRejected, match="tls.context-changed: check_hostname"):
        pair(pki.plain_server(), context, "localhost").shake()


def test_rule_6_tickets_from_before_open_no_session(version: Any, pki: Any, pair: Any) -> None:
    """(f) A ticket that the context issued before it was enforced is void: a full handshake, and one decision."""
    context, client = pki.plain_server(), pki.plain_client("sam", version)
    first = pair(context, client, "localhost")
    first.shake()
    first.server.write(b"x")
    assert first.client.read(10) == b"x"
    session = first.client.session
    again = pair(context, client, "localhost", session)
    again.shake()
    assert again.client.session_reused
    tls.enforce(context, pki.clients(policies.CommonName("frodo", "sam")))
    offered = pair(context, client, "localhost", session)
    offered.shake()
    assert offered.client.session_reused is False
    assert tls.peer_of(offered.server).common_name == "sam"  # type: ignore[union-attr]


def test_rule_6_a_listener_whose_context_lost_our_class_refuses(pki: Any, serving: Any) -> None:
    """A listening socket of ours accepts connections of ours, whatever class the context names by then."""
    import socket

    context = pki.server()
    with serving(context) as server:
        context.sslsocket_class = ssl.SSLSocket
        raw = socket.create_connection(server.address, timeout=20)
        with pki.plain_client().wrap_socket(raw, server_hostname="localhost") as client:
            assert client.recv(10) == b""
        assert server.result().code == "tls.context-changed"


def test_rule_6_what_the_context_holds_and_speaks_may_change(pki: Any, pair: Any) -> None:
    """Versions, suites, ALPN and CAs are not compared: none of them admits anybody."""
    context = pki.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=pki.stranger.der)
    ends = pair(context, pki.plain_client(), "localhost")
    ends.shake()
    assert tls.peer_of(ends.server).common_name == "frodo"  # type: ignore[union-attr]
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(context, pki.plain_client("stranger"), "localhost").shake()
    assert caught.value.code == "path.no-issuer"


@pytest.mark.parametrize("kind", ["built", "enforced"])
def test_rule_6_settings_are_applied(kind: str, pki: Any) -> None:
    """(f) Tickets, renegotiation and post-handshake authentication are off, in contexts built and enforced."""
    context = pki.server() if kind == "built" else pki.plain_server(num_tickets=2, post_handshake_auth=True)
    if kind == "enforced":
        tls.enforce(context, pki.clients())
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.post_handshake_auth is False


@pytest.mark.parametrize(
    ("setting", "expected", "message"),
    [
        ({"check_hostname": False}, "localhost", "check_hostname = True"),
        ({"check_hostname": False}, ReferenceIdentifier.DIALED, "check_hostname = True"),
        ({}, "spiffe://example.org/db", "check_hostname = False"),
        ({"check_hostname": False, "verify_mode": ssl.CERT_NONE}, "localhost", "CERT_REQUIRED"),
        ({"check_hostname": False, "verify_mode": ssl.CERT_OPTIONAL}, "localhost", "CERT_REQUIRED"),
    ],
)
def test_rule_9_client_contexts_keep_what_hides_our_certificate(
    setting: dict[str, Any], expected: Any, message: str, pki: Any
) -> None:
    """A client's context must demand a valid chain, and the host name where OpenSSL can judge it."""
    context = pki.plain_client()
    for name, value in setting.items():
        setattr(context, name, value)
    with pytest.raises(ConfigurationError, match=message):
        tls.enforce(context, servers(pki, expected))


def test_arguments_that_do_not_fit_are_named(pki: Any) -> None:
    """Each wrong argument is an error that says what belongs there."""
    with pytest.raises(ConfigurationError, match="context=str"):
        tls.enforce("context", pki.clients())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="verifier=CommonName"):
        tls.enforce(pki.plain_server(), policies.CommonName("frodo"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"tls\.ServerOptions"):
        tls.enforce(pki.plain_server(), pki.clients(), options=tls.ClientOptions())
    with pytest.raises(ConfigurationError, match=r"tls\.ClientOptions"):
        tls.enforce(pki.plain_client(), servers(pki), options=tls.ServerOptions())
    with pytest.raises(ConfigurationError, match="client_certificate='maybe'"):
        tls.enforce(pki.plain_server(), pki.clients(), client_certificate="maybe")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a server always presents"):
        tls.enforce(pki.plain_client(), servers(pki), client_certificate="optional")


def test_virtual_hosts_replace_no_callback_of_somebody_else(pki: Any, pair: Any) -> None:
    """enforce takes virtual_hosts, but not over an sni_callback that is there."""
    options = tls.ServerOptions(virtual_hosts={"a.test": pki.server(policies.CommonName("sam"))})
    context = pki.plain_server(sni_callback=lambda *_: None)
    with pytest.raises(ConfigurationError, match="sni_callback"):
        tls.enforce(context, pki.clients(), options=options)
    context = pki.plain_server()
    tls.enforce(context, pki.clients(), options=options)
    ends = pair(context, pki.plain_client("sam"), "a.test")
    ends.shake()
    assert tls.peer_of(ends.server).common_name == "sam"  # type: ignore[union-attr]


def test_a_binding_that_was_copied_to_another_context_binds_nothing(pki: Any, pair: Any) -> None:
    """The binding counts on the context that it was made for alone, which is also the one that shakes hands then."""
    model, context = pki.server(), pki.plain_server()
    context.__dict__.update(model.__dict__)
    assert enforcement_of(context) is None
    with pytest.raises(tls.HandshakeRejected, match=r"name\.mismatch"):
        pair(context, pki.plain_client("sam"), "localhost").shake()
    ends = pair(context, pki.plain_client("frodo"), "localhost")
    ends.shake()
    assert ends.server.context is model
    for name in CREATORS:
        del context.__dict__[name]
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(context, pki.plain_client(), "localhost").shake()
    assert caught.value.code == "tls.unenforced-context"


@pytest.mark.parametrize("kind", ["object", "socket"])
def test_a_context_used_on_the_wrong_side_is_refused(kind: str, pki: Any, pair: Any, serving: Any) -> None:
    """A verifier of clients never judges a server: the connection is refused before it says a word."""
    from mtlspolicy.tls._enforcement import Enforcement

    with pytest.warns(DeprecationWarning, match="PROTOCOL_TLS"):
        both = ssl.SSLContext(ssl.PROTOCOL_TLS)
    model = pki.server()
    both.sslsocket_class, both.sslobject_class = model.sslsocket_class, model.sslobject_class
    Enforcement(both, pki.clients(), tls.ServerOptions(), optional=False).bind()
    if kind == "object":
        ends = pair(pki.plain_server(), both, None)
        with pytest.raises(tls.HandshakeRejected) as caught:
            ends.client.do_handshake()
        assert ends.to_server.pending == 0
    else:
        import socket

        with serving(pki.server()) as server, pytest.raises(tls.HandshakeRejected) as caught:
            both.wrap_socket(socket.create_connection(server.address, timeout=20))
    assert caught.value.code == "tls.wrong-side"


def test_rule_8_monkey_patched_ssl_is_refused(pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """eventlet and gevent put their own classes into ssl and lose the hook: the builders say so."""

    class Green(ssl.SSLSocket):
        """What eventlet puts there."""

    with monkeypatch.context() as patch:
        patch.setattr(ssl, "SSLSocket", Green)
        with pytest.raises(ConfigurationError, match="monkey-patched") as caught:
            pki.server()
    assert caught.value.code == "tls.patched-ssl"
    with monkeypatch.context() as patch:
        patch.setattr(ssl.SSLContext, "wrap_socket", lambda *_: None)
        with pytest.raises(ConfigurationError, match="wrap_socket is monkey-patched"):
            pki.client()


def test_a_trust_source_that_gains_a_ca_admits_its_clients(pki: Any, pair: Any) -> None:
    """OpenSSL is given new anchors before the next handshake, also one that is not self-signed; it forgets none."""
    issuing = pki.stranger.intermediate("New Issuing CA")
    leaf = issuing.issue_client("frodo")
    stores: list[TrustStore] = [pki.trust]

    def source() -> TrustStore:
        return stores[0]

    verifier = Verifier.for_clients(trust=source, policy=policies.CommonName("frodo"))
    context = tls.server_context(credential=pki.credential(), verifier=verifier)
    client = pki.plain_client(None)
    client.load_cert_chain(*leaf.files(pki.folder))
    with pytest.raises(tls.HandshakeRejected):
        pair(context, client, "localhost").shake()
    stores[0] = TrustStore(anchors=[issuing.certificate])
    ends = pair(context, client, "localhost")
    ends.shake()
    assert tls.peer_of(ends.server).path.anchor.certificate == issuing.certificate  # type: ignore[union-attr]
    with pytest.raises(tls.HandshakeRejected) as caught:  # OpenSSL still holds the old one, and it does not count
        pair(context, pki.plain_client(), "localhost").shake()
    assert caught.value.code == "path.no-issuer"
    stores.clear()
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(context, client, "localhost").shake()
    assert caught.value.code == "trust.unavailable"


def test_a_new_ca_that_openssl_cannot_read_stops_no_listener(pki: Any, pair: Any) -> None:
    """A source's later value that OpenSSL cannot load leaves it with the old ones; the verifier decides on the new."""
    stores = [pki.trust]
    verifier = Verifier.for_clients(trust=lambda: stores[0], policy=policies.CommonName("frodo"))
    context = tls.server_context(credential=pki.credential(), verifier=verifier)
    stores[0] = TrustStore(anchors=[pki.stranger.certificate])
    stores[0].anchors[0].der = b"\x30\x03\x02\x01\x00"
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(context, pki.plain_client(), "localhost").shake()
    assert caught.value.code == "path.no-issuer"


def test_two_issuing_cas_as_anchors_need_the_flag_once(pki: Any, pair: Any) -> None:
    """A source that changes from one issuing CA to another: OpenSSL is told of both."""
    first, second = pki.ca.intermediate("First"), pki.ca.intermediate("Second")
    stores = [TrustStore(anchors=[first.certificate])]
    verifier = Verifier.for_clients(trust=lambda: stores[0], policy=policies.CommonName("frodo"))
    context = tls.server_context(credential=pki.credential(), verifier=verifier)
    for issuing in (first, second):
        stores[0] = TrustStore(anchors=[issuing.certificate])
        client = pki.plain_client(None)
        client.load_cert_chain(*issuing.issue_client("frodo").files(pki.folder))
        pair(context, client, "localhost").shake()
