"""`Hardening`: what each named set lets through and what it keeps out, in real handshakes."""

from __future__ import annotations

import dataclasses
import ssl
from typing import Any

import pytest

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.tls._credential import Credential
from mtlspolicy.tls._hardening import Hardening

ROOT = CertificateAuthority("Hardening Root")
SERVERS = {kind: ROOT.issue_server("server.test", key=kind) for kind in ("ec-p256", "rsa-2048", "ed25519")}
ALL = [Hardening.MODERN, Hardening.INTERMEDIATE, Hardening.RFC9325]
TLS12 = [Hardening.INTERMEDIATE, Hardening.RFC9325]


def server_context(hardening: Hardening | None, issued: IssuedCertificate = SERVERS["ec-p256"]) -> ssl.SSLContext:
    """Return a server context with a hardening, or one that takes whatever OpenSSL still can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if hardening is None:
        anything(context)
    else:
        hardening.apply(context)
    Credential.of(issued.chain, issued.key).load_into(context)
    return context


def client_context(hardening: Hardening | None = None) -> ssl.SSLContext:
    """Return a client context that trusts the root, with a hardening or as it comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.pem.decode())
    if hardening is not None:
        hardening.apply(context)
    return context


def anything(context: ssl.SSLContext) -> None:
    """Make a context take everything that this OpenSSL was built with."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Shake hands in memory and return the client's side; raises what the side that refuses raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="server.test")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    assert waiting == []
    return ours


@pytest.mark.parametrize("hardening", ALL, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", SERVERS)
def test_each_hardening_shakes_hands_with_itself_and_with_defaults(hardening: Hardening, kind: str) -> None:
    """With each, a server of each kind of key and a client agree on TLS 1.3; so do they with Python's defaults."""
    for client in (client_context(hardening), client_context()):
        assert handshake(server_context(hardening, SERVERS[kind]), client).version() == "TLSv1.3"


@pytest.mark.parametrize("hardening", TLS12, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048"])
def test_tls12_has_forward_secrecy_and_aead(hardening: Hardening, kind: str) -> None:
    """A client that stops at TLS 1.2 gets a suite of the list, and each suite of it works by itself."""
    for name in hardening.tls12_ciphers:
        if ("ECDSA" in name) is not (kind == "ec-p256"):
            continue
        client = client_context()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(name)
        ours = handshake(server_context(hardening, SERVERS[kind]), client)
        cipher = ours.cipher()
        assert cipher is not None
        assert (ours.version(), cipher[0]) == ("TLSv1.2", name)


def test_the_tls12_suites_are_exactly_those_listed() -> None:
    """Nothing but the names of the guideline is enabled for TLS 1.2."""
    for hardening in TLS12:
        context = server_context(hardening)
        enabled = {one["name"] for one in context.get_ciphers() if one["protocol"] != "TLSv1.3"}
        assert enabled == set(hardening.tls12_ciphers)


def test_modern_refuses_tls12() -> None:
    """With MODERN a client that stops at TLS 1.2 is refused, and the same client is served by INTERMEDIATE."""
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="(?i)protocol"):
        handshake(server_context(Hardening.MODERN), client)
    assert handshake(server_context(Hardening.INTERMEDIATE), client).version() == "TLSv1.2"


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.parametrize("hardening", ALL, ids=lambda one: one.name)
def test_old_versions_are_refused(hardening: Hardening, version: str) -> None:
    """A client of TLS 1.0 or 1.1 is refused by each, and served by a server without hardening: the control."""
    client = client_context()
    anything(client)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        client.maximum_version = ssl.TLSVersion[version]
    try:
        assert handshake(server_context(None), client).version() == version.replace("_", ".")
    except ssl.SSLError:
        pytest.skip(f"this OpenSSL does not speak {version} at all")
    with pytest.raises(ssl.SSLError, match="(?i)protocol"):
        handshake(server_context(hardening), client)


@pytest.mark.parametrize("name", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA256"])
@pytest.mark.parametrize("hardening", TLS12, ids=lambda one: one.name)
def test_cbc_suites_are_refused(hardening: Hardening, name: str) -> None:
    """A client with a CBC suite alone is refused by each, and served by a server without hardening: the control."""
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(f"{name}:@SECLEVEL=0")
    assert (handshake(server_context(None), client).cipher() or ("",))[0] == name
    with pytest.raises(ssl.SSLError, match="(?i)handshake_failure|no_shared_cipher|no shared cipher"):
        handshake(server_context(hardening), client)


@pytest.mark.parametrize("name", ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
def test_static_rsa_and_finite_field_suites_are_refused(name: str) -> None:
    """Key exchange by RSA (no forward secrecy) and, since Mozilla's 5.8, by finite fields is not offered."""
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(name)
    with pytest.raises(ssl.SSLError, match="(?i)handshake_failure|no_shared_cipher|no shared cipher"):
        handshake(server_context(Hardening.INTERMEDIATE, SERVERS["rsa-2048"]), client)


@pytest.mark.parametrize(("hardening", "chosen"), [(Hardening.RFC9325, 0), (Hardening.INTERMEDIATE, -1)])
def test_whose_order_counts(hardening: Hardening, chosen: int) -> None:
    """RFC 9325 lets the server's order count, Mozilla's intermediate the client's."""
    names = [name for name in Hardening.RFC9325.tls12_ciphers if "ECDSA" in name]
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(":".join(reversed(names)))
    assert (handshake(server_context(hardening), client).cipher() or ("",))[0] == names[chosen]


def test_foreign_options_are_put_right() -> None:
    """Compression and legacy renegotiation go off, whatever the context had."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options = (context.options | 0x00040004) & ~ssl.OP_NO_COMPRESSION
    Hardening.INTERMEDIATE.apply(context)
    assert context.options & ssl.OP_NO_COMPRESSION
    assert not context.options & 0x00040004


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 2), (4, 4)])
def test_the_security_level_only_rises(before: int, after: int) -> None:
    """A level below 2 is raised, a higher one, of a strict system-wide policy, is kept."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(f"ALL:@SECLEVEL={before}")
    Hardening.INTERMEDIATE.apply(context)
    assert context.security_level == after


def test_the_values_are_those_of_the_guidelines() -> None:
    """Versions, suites and groups stand as in Mozilla's guideline 6.0 and RFC 9325."""
    suites = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
    assert {one.tls13_ciphersuites for one in ALL} == {suites}
    assert Hardening.MODERN.minimum_version is ssl.TLSVersion.TLSv1_3
    assert Hardening.MODERN.tls12_ciphers == ()
    assert len(Hardening.INTERMEDIATE.tls12_ciphers) == 6
    assert len(Hardening.RFC9325.tls12_ciphers) == 4
    assert (
        Hardening.MODERN.groups
        == Hardening.INTERMEDIATE.groups
        == ("X25519MLKEM768", "X25519", "prime256v1", "secp384r1")
    )
    assert set(Hardening.RFC9325.groups) == {"prime256v1", "X25519"}


def test_it_is_a_frozen_value() -> None:
    """A hardening cannot be changed, compares by value, and a changed copy is another value."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Hardening.MODERN.name = "mine"  # type: ignore[misc]
    mine = dataclasses.replace(Hardening.INTERMEDIATE, name="mine", maximum_version=ssl.TLSVersion.TLSv1_2)
    assert mine != Hardening.INTERMEDIATE
    assert handshake(server_context(mine), client_context()).version() == "TLSv1.2"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"minimum_version": ssl.TLSVersion.TLSv1_1}, "minimum_version of 'mine'.*RFC 8996.*TLSv1_2"),
        ({"minimum_version": ssl.TLSVersion.MINIMUM_SUPPORTED}, "minimum_version of 'mine'"),
        (
            {"minimum_version": ssl.TLSVersion.TLSv1_3, "maximum_version": ssl.TLSVersion.TLSv1_2},
            "maximum_version of 'mine'.*below its minimum_version.*MAXIMUM_SUPPORTED",
        ),
        ({"tls12_ciphers": ("ALL:@SECLEVEL=0",)}, "tls12_ciphers of 'mine'.*plain names.*without operators"),
        ({"tls12_ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}, "tls12_ciphers of 'mine'.*a tuple"),
        ({"tls13_ciphersuites": (7,)}, "tls13_ciphersuites of 'mine'.*a tuple"),
        ({"groups": ("X25519:P-256",)}, "groups of 'mine'.*plain names"),
        ({"tls12_ciphers": ()}, "tls12_ciphers of 'mine' is empty: name at least one"),
        ({"groups": ()}, "groups of 'mine' is empty"),
    ],
)
def test_a_hardening_that_weakens_is_refused(changes: dict[str, Any], says: str) -> None:
    """Old versions, operators of the cipher list language and empty lists are errors at construction."""
    with pytest.raises(ConfigurationError, match=says):
        dataclasses.replace(Hardening.INTERMEDIATE, name="mine", **changes)


def test_names_that_openssl_does_not_know_are_named() -> None:
    """A hardening of which OpenSSL knows nothing is an error that says how to see what it knows."""
    mine = dataclasses.replace(Hardening.INTERMEDIATE, name="mine", tls12_ciphers=("NO-SUCH-SUITE",))
    with pytest.raises(ConfigurationError, match="does not take the hardening 'mine'.*openssl ciphers -v"):
        mine.apply(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


class Newer(ssl.SSLContext):
    """A context with the methods of Python 3.15, over an OpenSSL that knows some groups only."""

    known: frozenset[str]
    suites: str
    groups: str

    def set_ciphersuites(self, ciphersuites: str, /) -> None:
        """Record the suites."""
        self.suites = ciphersuites

    def set_groups(self, groups: str, /) -> None:
        """Record the groups, or refuse the whole list for one unknown name, as OpenSSL does."""
        if not set(groups.split(":")) <= self.known:
            raise ssl.SSLError("unknown group")
        self.groups = groups


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({"X25519MLKEM768", "X25519", "prime256v1", "secp384r1"}, "X25519MLKEM768:X25519:prime256v1:secp384r1"),
        ({"X25519", "prime256v1", "secp384r1"}, "X25519:prime256v1:secp384r1"),
    ],
)
def test_suites_and_groups_are_set_where_python_can(known: set[str], wanted: str) -> None:
    """With the newer methods both are set; an OpenSSL before 3.5 gets the groups without ML-KEM."""
    context = Newer(ssl.PROTOCOL_TLS_SERVER)
    context.known = frozenset(known)
    Hardening.INTERMEDIATE.apply(context)
    assert context.groups == wanted
    assert context.suites == ":".join(Hardening.INTERMEDIATE.tls13_ciphersuites)


def test_no_known_group_is_an_error() -> None:
    """An OpenSSL that knows none of the groups is said, not left with its defaults."""
    context = Newer(ssl.PROTOCOL_TLS_SERVER)
    context.known = frozenset()
    with pytest.raises(ConfigurationError, match="unknown group"):
        Hardening.INTERMEDIATE.apply(context)
