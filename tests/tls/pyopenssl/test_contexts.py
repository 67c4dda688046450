"""Contexts of the pyOpenSSL engine: what they are built with, what is refused, and that they stay so."""

from __future__ import annotations

import logging
import ssl
import sys
from dataclasses import replace
from typing import Any

import pytest
from OpenSSL import SSL

from mtlspolicy import ConfigurationError, ReferenceIdentifier, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls._pyopenssl_binding import Binding
from mtlspolicy.tls._pyopenssl_surface import SEALED

VERSIONS_OF_SSL = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def test_the_context_is_one_of_pyopenssl_and_has_a_public_name(pki: Any) -> None:
    """For isinstance and for a type checker: ``tls.PyOpenSSLContext``."""
    for context in (pki.server(), pki.client()):
        assert isinstance(context, tls.PyOpenSSLContext)
        assert isinstance(context, SSL.Context)
        assert not isinstance(context, ssl.SSLContext)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pending": "hold"}, "inside the handshake and can wait for nothing afterwards"),
        ({"virtual_hosts": {"a.test": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}}, "a listener for each host"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_at_construction(options: dict[str, Any], says: str) -> None:
    """By name, with the reason; the standard library's engine refuses what it cannot do in the same way."""
    with pytest.raises(ConfigurationError, match=says) as error:
        tls.ServerOptions(engine="pyopenssl", **options)
    assert error.value.code == "tls.engine-unavailable"
    with pytest.raises(ConfigurationError, match='or use engine="pyopenssl"'):
        tls.ServerOptions(acceptable_cas=[1])


def test_enforce_takes_no_options_of_the_other_engine(pki: Any) -> None:
    """A context of ssl cannot become one of pyOpenSSL."""
    verifier = Verifier.for_clients(trust=pki.trust, policy=policies.CommonName("frodo"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(ConfigurationError, match="the context is one of ssl") as error:
        tls.enforce(context, verifier, options=tls.ServerOptions(engine="pyopenssl"))
    assert error.value.code == "tls.wrong-engine"


@pytest.mark.parametrize("builder", ["server", "client"])
def test_a_missing_extra_is_named_with_its_command(builder: str, pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fallen back on."""
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mtlspolicy\[pyopenssl\]'") as error:
        getattr(pki, builder)()
    assert error.value.code == "tls.engine-unavailable"


@pytest.mark.parametrize("name", SEALED)
def test_rule_6_what_verifies_peers_is_not_changed_afterwards(name: str, pki: Any) -> None:
    """Neither verification nor versions, cipher suites or sessions: said when the context is built, or not at all."""
    for context in (pki.server(), pki.client()):
        with pytest.raises(ConfigurationError, match=f"{name}\\(\\) on a context with a verifier") as error:
            getattr(context, name)(0)
        assert error.value.code == "tls.sealed"


@pytest.mark.parametrize("version", VERSIONS_OF_SSL)
def test_the_hardening_is_what_is_negotiated(version: str, pki: Any, pair: Any) -> None:
    """Versions and cipher suites; the server's order where the hardening says so."""
    only = replace(
        tls.Hardening.RFC9325, minimum_version=VERSIONS_OF_SSL[version], maximum_version=VERSIONS_OF_SSL[version],
        tls12_ciphers=("ECDHE-ECDSA-AES256-GCM-SHA384",), tls13_ciphersuites=("TLS_CHACHA20_POLY1305_SHA256",),
    )  # fmt: skip
    ends = pair(pki.server(hardening=only), pki.client()).shake()
    assert ends.raised == {"client": None, "server": None}
    assert ends.server.get_protocol_version_name() == version
    assert ends.server.get_cipher_name() in {*only.tls12_ciphers, *only.tls13_ciphersuites}
    modern = pair(pki.server(hardening=tls.Hardening.MODERN), pki.client()).shake()
    assert modern.server.get_protocol_version_name() == "TLSv1.3"


def test_older_versions_are_refused(pki: Any, pair: Any) -> None:
    """RFC 8996: a client of TLS 1.1 gets an alert."""
    old = pki.plain(pki.leaf("frodo"), version=SSL.TLS1_1_VERSION)
    old.set_cipher_list(b"ALL:@SECLEVEL=0")
    ends = pair(pki.server(), old).shake()
    assert isinstance(ends.raised["server"], SSL.Error)
    assert not isinstance(ends.raised["server"], SSL.WantReadError)


def test_a_hardening_that_openssl_does_not_take_is_named(pki: Any) -> None:
    """The message names the set and one that works."""
    unknown = replace(tls.Hardening.INTERMEDIATE, name="mine", tls13_ciphersuites=("TLS_NOTHING",))
    with pytest.raises(ConfigurationError, match="does not take the hardening 'mine'"):
        pki.server(hardening=unknown)


def test_application_protocols_are_negotiated(pki: Any, pair: Any) -> None:
    """The server's order counts; without one in common TLS goes on without, as with the standard library."""
    server = pki.server(alpn=("h2", "http/1.1"))
    for offered, chosen in ((("http/1.1", "h2"), b"h2"), (("http/1.1",), b"http/1.1"), (("acme",), b"")):
        ends = pair(server, pki.client(alpn=offered)).shake()
        assert ends.raised == {"client": None, "server": None}
        assert ends.client.get_alpn_proto_negotiated() == ends.server.get_alpn_proto_negotiated() == chosen
    with pytest.raises(ConfigurationError, match="1 to 255"):
        pki.server(alpn=("",))


def test_names_of_acceptable_cas_are_sent(pki: Any, pair: Any) -> None:
    """A hint for clients, which only this engine can give."""
    ends = pair(pki.server(acceptable_cas=[pki.ca.certificate, pki.root.certificate]), pki.client()).shake()
    names = ends.client.get_client_ca_list(as_cryptography=True)
    assert names == [pki.ca.certificate.subject, pki.root.certificate.subject]
    one = pair(pki.server(acceptable_cas=pki.ca.certificate), pki.client()).shake()
    assert one.client.get_client_ca_list(as_cryptography=True) == [pki.ca.certificate.subject]
    for wrong in ([], ["CN=x"], "CN=x"):
        with pytest.raises(ConfigurationError, match="acceptable_cas takes"):
            pki.server(acceptable_cas=wrong)


def test_credentials_are_vetted_as_ever(pki: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A client's certificate in a server is an error, a note is logged, and a key that OpenSSL refuses is named."""
    with pytest.raises(ConfigurationError) as error:
        pki.server(leaf=pki.leaf("frodo"))
    assert error.value.code == "credential.purpose"
    weak = CertificateAuthority("weak").issue_server("localhost")
    credential = tls.Credential.of(weak.chain, weak.key)
    object.__setattr__(credential, "_key", pki.server_leaf.key)
    verifier = Verifier.for_clients(trust=pki.trust, policy=policies.CommonName("frodo"))
    with pytest.raises(ConfigurationError, match="refuses the certificate and key") as error:
        tls.server_context(credential=credential, verifier=verifier, options=tls.ServerOptions(engine="pyopenssl"))
    assert error.value.code == "credential.handover"
    caplog.clear()
    with caplog.at_level(logging.WARNING, "mtlspolicy.context"):
        pki.client(None)
    assert caplog.records == []


def test_a_store_that_openssl_cannot_read_is_an_error(pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At construction: OpenSSL would refuse every peer otherwise."""
    from OpenSSL import crypto

    def unreadable(*_: Any) -> None:
        raise crypto.Error([("asn1", "", "bad")])

    monkeypatch.setattr(crypto.X509Store, "add_cert", unreadable)
    with pytest.raises(ConfigurationError, match="OpenSSL cannot read a certificate of the trust store"):
        pki.server()


def test_a_context_without_a_store_is_an_error(pki: Any) -> None:
    """pyOpenSSL may return none; then nothing can be verified."""

    class Bare:
        def get_cert_store(self) -> None:
            return None

    verifier = Verifier.for_clients(trust=pki.trust, policy=policies.CommonName("frodo"))
    context: Any = Bare()
    with pytest.raises(ConfigurationError, match="no certificate store"):
        Binding(verifier, tls.ServerOptions(), optional=False).bind(context)


def test_a_connection_knows_its_side(pki: Any, pair: Any) -> None:
    """``context.connection`` is ``Connection`` and a few calls after it: side, SNI, the name dialed, the address."""
    client, server = pki.client(expected=ReferenceIdentifier.DIALED), pki.server()
    for dialed, sent in (("localhost", b"localhost"), ("127.0.0.1", None)):
        ends = pair.of(
            server.connection(peername=lambda: ("192.0.2.7", 4711)), client.connection(server_hostname=dialed)
        ).shake()
        assert ends.server.get_servername() == sent
        peer, found = tls.peer_of(ends.server), tls.peer_of(ends.client)
        assert peer is not None
        assert peer.connection.transport_address == "192.0.2.7"
        assert found is not None
        assert found.connection.server_name == dialed
    nobody = pair.of(server.connection(), client.connection()).shake()
    assert tls.decision_of(nobody.client).code == "identity.unknown", "no name was dialed: nobody is the right one"
    with pytest.raises(ConfigurationError, match="is for clients"):
        server.connection(server_hostname="localhost")
    with pytest.raises(ConfigurationError, match="not ASCII"):
        client.connection(server_hostname="bücher.test")
