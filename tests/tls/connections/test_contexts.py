"""The builders: what a context is given, what is refused, and what a newcomer is told."""

from __future__ import annotations

import dataclasses
import logging
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import mtlspolicy.tls
from mtlspolicy import PathProfile, Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls import _cpython, _warm_up
from mtlspolicy.tls._address import ip_address_of, printable_address


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"client_certificate": "none"}, "client_certificate='none'"),
        ({"options": tls.ClientOptions()}, "ServerOptions"),
        ({"hardening": "modern"}, "Hardening"),
        ({"alpn": "h2"}, "a sequence of names"),
        ({"alpn": (b"h2",)}, "a sequence of names"),
        ({"alpn": ("",)}, "1 to 255"),
        ({"alpn": ("é",)}, "RFC 7301"),
        ({"credential": "server.pem"}, r"Credential\.from_files"),
        ({"verifier": "clients"}, r"Verifier\.for_clients"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], message: str, pki: Any) -> None:
    """Each wrong argument is an error that says what belongs there."""
    given = {"credential": pki.credential(), "verifier": pki.clients(), **arguments}
    with pytest.raises(ConfigurationError, match=message):
        tls.server_context(**given)


def test_a_verifier_of_the_other_side_is_named(pki: Any) -> None:
    """A verifier of servers cannot judge clients."""
    verifier = Verifier.for_servers(trust=pki.trust, expected="localhost")
    with pytest.raises(ConfigurationError, match=r"server_context was given a verifier of servers") as caught:
        tls.server_context(credential=pki.credential(), verifier=verifier)
    assert caught.value.code == "tls.wrong-side"


def test_a_credential_for_the_other_side_is_refused(pki: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What every peer would refuse is an error at construction; what some would is a line in the log."""
    with pytest.raises(ConfigurationError, match="serverAuth") as caught:
        tls.server_context(credential=pki.credential("frodo"), verifier=pki.clients())
    assert caught.value.code == "credential.purpose"
    now = datetime.now(UTC)
    old = pki.ca.issue_server("localhost", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2))
    caplog.set_level(logging.WARNING, logger="mtlspolicy.context")
    tls.server_context(credential=tls.Credential.of(old.chain, old.key), verifier=pki.clients())
    assert "credential.expired" in caplog.text


def test_an_expired_anchor_is_logged_and_no_error(pki: Any, caplog: pytest.LogCaptureFixture) -> None:
    """No clock is read when a store is made; whoever builds a context with an expired anchor is told."""
    from mtlspolicy.testing import CertificateAuthority

    now = datetime.now(UTC)
    expired = CertificateAuthority("Old Root", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2))
    trust = TrustStore(anchors=[pki.ca.certificate, expired.certificate])
    caplog.set_level(logging.WARNING, logger="mtlspolicy.context")
    tls.server_context(
        credential=pki.credential(),
        verifier=Verifier.for_clients(trust=trust, policy=policies.SPKIPin.of(pki.leaf("frodo").certificate)),
    )
    assert "trust.expired: CN=Old Root" in caplog.text


def test_application_protocols_are_negotiated(pki: Any, pair: Any) -> None:
    """alpn= is offered in order of preference."""
    client = pki.plain_client()
    client.set_alpn_protocols(["http/1.1", "h2"])
    ends = pair(pki.server(alpn=("h2", "http/1.1")), client, "localhost")
    ends.shake()
    assert ends.server.selected_alpn_protocol() == "h2"


def test_what_is_switched_on_and_off(pki: Any) -> None:
    """No tickets, no renegotiation, no compression, no key log, no strict flag that refuses v1 certificates."""
    for context in (pki.server(), pki.client()):
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_TICKET
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.keylog_filename is None
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert not context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert pki.server(client_certificate="optional").verify_mode is ssl.CERT_OPTIONAL


def test_the_key_log_of_the_environment_is_not_used(pki: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """SSLKEYLOGFILE, which create_default_context obeys, would write the secrets of every session."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert pki.server().keylog_filename is None
    assert pki.client().keylog_filename is None
    assert not (tmp_path / "keys").exists()


def connect(pki: Any, pair: Any, verifier: Verifier, leaf: Any) -> Any:
    """Return the verified peer of a client that presents *leaf* alone."""
    context = tls.server_context(credential=pki.credential(), verifier=verifier)
    client = pki.plain_client(None)
    chain, key = leaf.files(pki.folder)
    chain.write_bytes(leaf.certificate_pem)
    client.load_cert_chain(chain, key)
    ends = pair(context, client, "localhost")
    ends.shake()
    return tls.peer_of(ends.server)


def test_an_issuing_ca_alone_may_be_the_anchor(pki: Any, pair: Any) -> None:
    """OpenSSL ends paths in an issuing CA where the store trusts one."""
    issuing = pki.ca.intermediate("Issuing CA")
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[issuing.certificate]), policy=policies.CommonName("frodo")
    )
    peer = connect(pki, pair, verifier, issuing.issue_client("frodo"))
    assert peer.path.anchor.certificate == issuing.certificate


def test_a_client_that_sends_its_leaf_alone_is_admitted(pki: Any, pair: Any) -> None:
    """The issuing CA that the store knows is enough."""
    issuing = pki.ca.intermediate("Issuing CA")
    trust = TrustStore(anchors=[pki.ca.certificate], intermediates=[issuing.certificate])
    verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"))
    peer = connect(pki, pair, verifier, issuing.issue_client("frodo"))
    assert len(peer.path.certificates) == 3


def test_a_registered_peer_is_admitted_and_issues_for_nobody(pki: Any, pair: Any) -> None:
    """DIRECT with peers: the self-signed certificate itself, and nothing that its key has signed."""
    leaf = pki.stranger.issue_client("frodo")
    trust = TrustStore(peers=[leaf.certificate])
    verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"), profile=PathProfile.DIRECT)
    peer = connect(pki, pair, verifier, leaf)
    assert peer.path.certificates[0].der == leaf.der
    with pytest.raises(tls.HandshakeRejected):
        connect(pki, pair, verifier, pki.stranger.issue_client("frodo"))


def test_more_certificates_than_the_limits_are_refused(pki: Any, pair: Any) -> None:
    """THREATS 4: what is outside the limits is refused by us before a certificate is parsed."""
    leaf = pki.leaf("frodo")
    extra = [pki.ca.issue_client(f"extra-{number}").der for number in range(7)]
    import base64

    def pem(der: bytes) -> bytes:
        return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"

    path = pki.folder / "long.pem"
    path.write_bytes(leaf.chain_pem + b"".join(pem(der) for der in extra))
    client = pki.plain_client(None)
    client.load_cert_chain(path, leaf.files(pki.folder)[1])
    seen: list[Any] = []
    context = tls.server_context(credential=pki.credential(), verifier=pki.clients().observed_by(seen.append))
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(context, client, "localhost").shake()
    assert caught.value.code == "chain.too-large"


def test_large_certificates_within_the_limits_pass(pki: Any, pair: Any) -> None:
    """A chain that is larger than one certificate may be, and within the limits as a whole, is judged."""
    names = [f"host-{number}-{'x' * 50}.example" for number in range(110)]
    issuing = pki.ca.intermediate("Issuing CA")
    leaf = issuing.issue_client("frodo", dns=names)
    fillers = [issuing.issue_client(f"filler-{number}", dns=names) for number in range(2)]
    path = pki.folder / "large.pem"
    path.write_bytes(leaf.chain_pem + b"".join(filler.certificate_pem for filler in fillers))
    client = pki.plain_client(None)
    client.load_cert_chain(path, leaf.files(pki.folder)[1])
    ends = pair(pki.server(), client, "localhost")
    ends.shake()
    presented = tls.presented_by(ends.server)
    assert presented is not None
    assert len(b"".join(presented.ders)) > 16 * 1024


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pending": "wait"}, "pending='wait'"),
        ({"engine": "gnutls"}, "engine='gnutls'"),
        ({"resolver": object()}, "resolver=object"),
        ({"acceptable_cas": ["CN=x"]}, "acceptable_cas"),
        ({"virtual_hosts": ["a.test"]}, "mapping"),
        ({"handshake_timeout": 0}, "handshake_timeout=0"),
        ({"handshake_timeout": 10_000}, "handshake_timeout=10000"),
        ({"handshake_timeout": float("nan")}, "handshake_timeout=nan"),
        ({"handshake_timeout": True}, "handshake_timeout=True"),
        ({"handshake_timeout": "10"}, "handshake_timeout='10'"),
        ({"hold_timeout": -1}, "hold_timeout=-1"),
        ({"max_held": 0}, "max_held=0"),
        ({"max_held": 1.5}, r"max_held=1\.5"),
        ({"max_held_per_address": True}, "max_held_per_address=True"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    """Each option has a bound, and a value outside it is an error that names both."""
    with pytest.raises(ConfigurationError, match=message):
        tls.ServerOptions(**options)


def test_client_options_have_the_same_bounds() -> None:
    """The options of both sides agree where they share a name."""
    wrong: tuple[dict[str, Any], ...] = ({"engine": "gnutls"}, {"resolver": 1}, {"handshake_timeout": 0})
    for options in wrong:
        with pytest.raises(ConfigurationError):
            tls.ClientOptions(**options)


def test_options_are_values(pki: Any) -> None:
    """Options are frozen and hashable, have the defaults of the design, and take a copy of what they are given."""
    hosts = {"a.test": pki.server()}
    options = tls.ServerOptions(virtual_hosts=hosts)
    hosts.clear()
    assert list(options.virtual_hosts) == ["a.test"]
    assert hash(tls.ServerOptions()) == hash(tls.ServerOptions())
    assert tls.ServerOptions() == tls.ServerOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.pending = "hold"  # type: ignore[misc]
    default = tls.ServerOptions()
    assert (default.pending, default.engine, default.resolver) == ("refuse", "ssl", None)
    assert (default.handshake_timeout, default.hold_timeout) == (10.0, 5.0)
    assert (default.max_held, default.max_held_per_address) == (10_000, 2_000)
    with Resolver({"x.y": lambda key: key}) as resolver:
        assert tls.ClientOptions(resolver=resolver).resolver is resolver


def test_warming_up_asks_no_policy_and_logs_nothing(pki: Any, lines: Any) -> None:
    """Building a context is not seen by policies, observers and logs."""
    asked: list[Any] = []

    @policies.predicate("test.asked", identifies=True)
    def asked_policy(evidence: Any) -> bool:
        asked.append(evidence)
        return True

    verifier = Verifier.for_clients(trust=pki.trust, policy=asked_policy).observed_by(asked.append)
    tls.server_context(credential=pki.credential(), verifier=verifier)
    assert asked == []
    assert lines() == []


def test_a_source_that_fails_after_the_context_was_bound_is_no_error_of_building(pki: Any) -> None:
    """Warming up needs nothing; where the store cannot be had then, connections are refused and not the context."""
    stores = [pki.trust]
    verifier = Verifier.for_clients(trust=lambda: stores[0], policy=policies.CommonName("frodo"))
    stores.clear()
    _warm_up.warm_up(pki.plain_server(), verifier, server_side=False)
    with pytest.raises(ConfigurationError):
        verifier.trust_now()


def test_the_private_names_of_cpython_are_there(pki: Any, pair: Any) -> None:
    """Every private name that is relied on exists in this Python, and does what is expected of it."""
    context = pki.plain_server()
    settings = _cpython.settings_of(context)
    assert len(settings) == 9
    assert settings[0] == ssl.CERT_REQUIRED
    assert settings[7:] == (ssl.SSLSocket, ssl.SSLObject)
    issuing = pki.ca.intermediate("Issuing CA")
    leaf = issuing.issue_client("frodo")
    client = pki.plain_client(None)
    client.load_cert_chain(*leaf.files(pki.folder))
    ends = pair(context, client, "localhost")
    assert _cpython.tls_object(ends.server) is ends.server._sslobj
    ends.shake()
    tls_object = _cpython.tls_object(ends.server)
    assert tls_object is not None
    for _ in range(3):  # on servers each call of CPython's puts the end entity in front once more
        assert _cpython.presented_ders(tls_object) == (leaf.der, issuing.der)
    assert tls_object.context is context
    assert tls_object.server_side is True
    assert tls_object.session_reused is False
    with pytest.raises(ValueError, match="no TLS object"):
        _cpython.leaf_of(None)
    assert _cpython.asyncio_origin() == (None, False)
    assert _cpython.uvloop_peername(object()) is None


@pytest.mark.parametrize(
    ("peername", "address", "printed"),
    [
        (("192.0.2.7", 443), "192.0.2.7", "192.0.2.7:443"),
        (("fe80::1%eth0", 443, 0, 2), "fe80::1", "[fe80::1]:443"),
        ("/run/app.sock", None, "unix"),
        ("", None, "unix"),
        (("a", 1, 2), None, None),
        (None, None, None),
    ],
)
def test_addresses(peername: Any, address: str | None, printed: str | None) -> None:
    """What getpeername gives becomes an IP address for policies and a printable text for logs."""
    assert ip_address_of(peername) == address
    assert printable_address(peername) == printed


def test_a_unix_socket_has_no_address(pki: Any) -> None:
    """Over a socket of the file system everything works, and no address is known."""
    import threading

    ours, theirs = socket.socketpair()
    client = pki.plain_client().wrap_socket(theirs, server_hostname="localhost", do_handshake_on_connect=False)
    thread = threading.Thread(target=client.do_handshake, daemon=True)
    thread.start()
    with pki.server().wrap_socket(ours, server_side=True) as server:
        peer = tls.peer_of(server)
        assert peer is not None
        assert peer.connection.transport_address is None
    thread.join(20)
    client.close()


def test_the_package_lists_what_it_has() -> None:
    """Every public name can be had, those that need asyncio when they are first asked for."""
    for name in mtlspolicy.tls.__all__:
        assert getattr(mtlspolicy.tls, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mtlspolicy.tls.nothing


def test_an_anchor_that_openssl_cannot_read_is_an_error_at_construction(pki: Any) -> None:
    """The two libraries do not read the same: what OpenSSL cannot load is said when the context is built."""
    trust = TrustStore(anchors=[pki.ca.certificate])
    trust.anchors[0].der = b"\x30\x03\x02\x01\x00"
    verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"))
    with pytest.raises(ConfigurationError, match="OpenSSL cannot read"):
        tls.server_context(credential=pki.credential(), verifier=verifier)


def test_the_address_is_taken_from_asyncio_alone(pki: Any, pair: Any) -> None:
    """A caller that looks like asyncio's, and is not, is not asked for an address."""

    class Looks:
        """Has a method and an attribute of the same names as asyncio's protocol."""

        _transport = "not asked"

        def _do_handshake(self, end: ssl.SSLObject) -> None:
            with pytest.raises(ssl.SSLWantReadError):
                end.do_handshake()

    ends = pair(pki.server(), pki.plain_client(), "localhost")
    Looks()._do_handshake(ends.server)
    assert ends.server._latch.peername is None


def test_a_thread_may_begin_with_the_handshake_itself(pki: Any, pair: Any) -> None:
    """Where do_handshake has no caller of Python's, no address is known and nothing fails."""
    import _thread
    import time

    ends = pair(pki.server(), pki.plain_client(), "localhost")
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.do_handshake()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda _: None)  # it wants more bytes, and nobody is there to be told
        _thread.start_new_thread(ends.server.do_handshake, ())
        deadline = time.monotonic() + 20
        while not ends.to_client.pending and time.monotonic() < deadline:
            time.sleep(0.01)
    ends.shake()
    assert tls.peer_of(ends.server).connection.transport_address is None  # type: ignore[union-attr]
