"""The gate: the socket's other end says who may speak for clients, and no header does."""

from __future__ import annotations

import pytest

from mtlspolicy import Connection, PresentedChain, TrustStore, Verifier, policies
from mtlspolicy._chain import Possession
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy.errors import ConfigurationError, VerificationError
from mtlspolicy.forwarded import UNIX_SOCKET, Gate, ImmediatePeer, UnixSocket
from mtlspolicy.testing import CertificateAuthority

MESH = CertificateAuthority("Mesh")
GATEWAY = MESH.issue_client("gateway")
INTRUDER = MESH.issue_client("intruder")
PROXIES = Verifier.for_clients(trust=TrustStore(anchors=[MESH.certificate]), policy=policies.CommonName("gateway"))
ANYONE = Verifier.for_clients(trust=TrustStore(anchors=[MESH.certificate]), policy=policies.Anyone())
SECRET = ("X-Origin-Secret", "GxTn3kQ0hW_5mZbR8yLc2A")


def peer_of(der: bytes, possession: Possession = Possession.TLS, verifier: Verifier = ANYONE) -> VerifiedPeer:
    """Return the peer that a TLS connection would have shown."""
    return verifier.verify(PresentedChain((der,), possession), connection=Connection(transport_address="10.0.0.9"))


def refused(gate: Gate, peer: ImmediatePeer) -> str:
    """Return why *gate* refuses *peer*."""
    with pytest.raises(VerificationError) as caught:
        gate.require(peer)
    assert caught.value.code == "forwarded.untrusted-proxy"
    assert caught.value.http_status == 403
    return str(caught.value)


@pytest.mark.parametrize(
    ("trusted", "address"),
    [
        (["10.0.0.0/8"], "10.255.1.2"),
        (["10.0.0.1"], "10.0.0.1"),
        (["10.0.0.0/8"], "::ffff:10.1.2.3"),
        (["::ffff:10.0.0.0/104"], "10.1.2.3"),
        (["2001:db8::/32", "10.0.0.0/8"], "2001:db8::1"),
        (["fe80::1"], "fe80::1%eth0"),
        (("127.0.0.1", "::1"), "::1"),
    ],
)
def test_the_proxy_is_known_by_its_network(trusted: list[str], address: str) -> None:
    """Single addresses and networks; IPv4 in IPv6 is IPv4, and the zone of an interface is no part of an address."""
    assert Gate.of(trusted).objection(ImmediatePeer(address)) is None
    Gate.of(trusted).require(ImmediatePeer(address))


@pytest.mark.parametrize(
    "address",
    [
        "11.0.0.1",
        "::a00:1",
        "64:ff9b::a00:1",
        "10.0.0.1 ",
        "010.0.0.1",
        "127.0.0.1",
        "unix:",
        "10.0.0.1, 10.0.0.2",
        "x" * 500,
        "10.0.0.1:80",
        "localhost",
        "",
        "2002:a00:1::",
    ],
)
def test_direct_connection_of_a_stranger(address: str) -> None:
    """Another address, one that merely holds the digits of the proxy's, or text that is none: not the proxy."""
    assert "trusted proxy" in (text := refused(Gate.of(["10.0.0.0/8"]), ImmediatePeer(address))) or "address" in text


def test_unknown_address_is_no_unix_socket() -> None:
    """Servers say None for a Unix socket and for not known alike; the listening side alone tells them apart."""
    assert "not known" in refused(Gate.of(["127.0.0.1"]), ImmediatePeer())
    assert "Unix socket" in refused(Gate.of(UNIX_SOCKET), ImmediatePeer())
    assert "Unix socket" in refused(Gate.of(UNIX_SOCKET), ImmediatePeer("127.0.0.1"))
    assert "not known" in refused(Gate.of(["127.0.0.1"]), ImmediatePeer(unix=True))


def test_unix_socket_of_some_users() -> None:
    """SO_PEERCRED narrows a Unix socket to the proxy's user; where the system does not tell, nobody is let in."""
    assert Gate.of(UNIX_SOCKET).objection(ImmediatePeer(unix=True)) is None
    assert Gate.of(UNIX_SOCKET).objection(ImmediatePeer(unix=True, uid=0)) is None
    gate = Gate.of(UnixSocket(uids=[33, 101]))
    assert gate.objection(ImmediatePeer(unix=True, uid=33)) is None
    assert "user id 0 is not the proxy's; if it is, name it in uids=" in refused(gate, ImmediatePeer(unix=True, uid=0))
    assert "user id None" in refused(gate, ImmediatePeer(unix=True))
    assert hash(UnixSocket(uids={33})) == hash(UnixSocket(uids=[33]))


@pytest.mark.parametrize("uids", [[], [-1], ["33"], [True], [33, None]])
def test_unix_socket_of_nobody(uids: list[int]) -> None:
    """An empty list of users is not everybody."""
    with pytest.raises(ConfigurationError, match="uids="):
        UnixSocket(uids=uids)


def test_forged_address_at_a_unix_socket() -> None:
    """Behind a Unix socket an address can only have been made of X-Forwarded-For, and a user id not of TCP."""
    with pytest.raises(ConfigurationError, match="made of a header"):
        ImmediatePeer("127.0.0.1", unix=True)
    with pytest.raises(ConfigurationError, match="made of a header"):
        ImmediatePeer("127.0.0.1", uid=0)


def test_proxy_that_authenticates_itself() -> None:
    """The certificate that the proxy showed on this connection is judged by its own verifier, at each request."""
    gate = Gate.of(PROXIES)
    assert gate.objection(ImmediatePeer("192.0.2.1", proxy=peer_of(GATEWAY.der))) is None
    assert "name.mismatch" in refused(gate, ImmediatePeer("192.0.2.1", proxy=peer_of(INTRUDER.der)))
    assert "no certificate" in refused(gate, ImmediatePeer("127.0.0.1"))


@pytest.mark.parametrize("possession", [Possession.NONE, Possession.PROXY])
def test_proxy_certificate_that_nobody_proved(possession: Possession) -> None:
    """Certificates are public: the proxy's own counts from our TLS connection alone, not out of a file or a header."""
    assert "no certificate" in refused(Gate.of(PROXIES), ImmediatePeer(proxy=peer_of(GATEWAY.der, possession)))


def test_secret_of_the_proxy() -> None:
    """The secret is compared as a whole, besides the address and not in its place."""
    gate = Gate.of(["10.0.0.0/8"], secret=SECRET)
    proxy = ImmediatePeer("10.0.0.1")
    gate.require(proxy)
    gate.require_secret(proxy, SECRET[1])
    for wrong in (None, "", SECRET[1][:-1], SECRET[1] + "x", SECRET[1].lower()):
        with pytest.raises(VerificationError, match="secret") as caught:
            gate.require_secret(proxy, wrong)
        assert caught.value.code == "forwarded.untrusted-proxy"
        assert SECRET[1] not in str(caught.value)
    Gate.of(["10.0.0.0/8"]).require_secret(proxy, None)
    assert refused(gate, ImmediatePeer("192.0.2.1"))


def test_secret_is_in_no_repr() -> None:
    """A value that is printed into a log does not hand out the secret."""
    assert SECRET[1] not in repr(Gate.of(["10.0.0.0/8"], secret=SECRET))


@pytest.mark.parametrize(
    "secret",
    [
        ("x-secret", ""),
        ("x-secret", "short"),
        ("x-secret", "a" * 40),
        ("x-secret", "GxTn3kQ0hW_5mZbR8yLc2A\n"),
        ("x-secret", " GxTn3kQ0hW_5mZbR8yLc2A"),
        ("x-secret", "GxTn3kQ0hW_5mZbR8yLc2é"),
        ("x_secret", SECRET[1]),
        ("", SECRET[1]),
        ("x-secret", 5),
        SECRET[1],
        (SECRET[1],),
    ],
)
def test_secret_that_can_be_guessed(secret: tuple[str, str]) -> None:
    """Less than 128 bits, one letter repeated, or what cannot stand in a header: refused, and not printed."""
    with pytest.raises(ConfigurationError, match="secret") as caught:
        Gate.of(["10.0.0.0/8"], secret=secret)
    assert "GxTn3" not in str(caught.value)


@pytest.mark.parametrize("trusted", [["192.0.2.0/24"], UNIX_SOCKET])
def test_cdn_of_another_customer(trusted: list[str] | UnixSocket) -> None:
    """Addresses that serve all customers of a provider prove nothing: a secret or a certificate is needed."""
    with pytest.raises(ConfigurationError, match="all of its customers"):
        Gate.of(trusted, shared=True)
    assert Gate.of(trusted, secret=SECRET, shared=True).secret == ("x-origin-secret", SECRET[1])
    assert Gate.of(PROXIES, shared=True).verifier is PROXIES


@pytest.mark.parametrize(
    "trusted",
    [
        [],
        "10.0.0.0/8",
        b"10.0.0.0/8",
        None,
        5,
        ["0.0.0.0/0"],
        ["::/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        ["2000::/3"],
        ["::/16"],
        ["10.0.0.1/8"],
        ["*"],
        ["localhost"],
        ["10.0.0.0/8", ""],
        ["fe80::1%eth0"],
        [None],
    ],
)
def test_trusting_nobody_or_everybody(trusted: list[str]) -> None:
    """No network, one that is none, or one that is everybody in one piece or in two."""
    with pytest.raises(ConfigurationError, match="trusted"):
        Gate.of(trusted)


def test_verifier_of_servers_is_no_gate() -> None:
    """The proxy is the client of this program."""
    servers = Verifier.for_servers(trust=TrustStore(anchors=[MESH.certificate]), expected="proxy.test")
    with pytest.raises(ConfigurationError, match="for_clients"):
        Gate.of(servers)


def test_gates_are_values() -> None:
    """Equal gates are equal, hash alike and do not change."""
    first, second = (Gate.of(["10.0.0.0/8"], secret=SECRET) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != Gate.of(["10.0.0.0/9"], secret=SECRET)
    with pytest.raises(AttributeError):
        first.networks = ()  # type: ignore[misc]


def test_hostile_address_is_escaped() -> None:
    """An address that a server made of a header is hostile text."""
    assert "\n" not in refused(Gate.of(["10.0.0.0/8"]), ImmediatePeer("10.0.0.1\nadmitted"))
    assert str(ImmediatePeer()) == "no known address"
    assert str(ImmediatePeer(unix=True)) == "a Unix socket"
