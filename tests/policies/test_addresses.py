"""PeerAddress and ClientAddress (RULES 24, 38): which address is asked, how networks are written and compared."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import policies
from mtlspolicy._chain import Possession
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import evidence

NETWORKS = ("10.0.0.0/8", "203.0.113.7", "2001:db8::/32")


def told(policy: Policy, **connection: Any) -> tuple[str, str]:
    """Return verdict and code on evidence with this connection."""
    decision = decide(policy, evidence("a", **connection))
    return decision.verdict.name, decision.code


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("10.1.2.3", ("PERMIT", "address.match")),
        ("10.255.255.255", ("PERMIT", "address.match")),
        ("11.0.0.0", ("DENY", "address.mismatch")),
        ("203.0.113.7", ("PERMIT", "address.match")),
        ("203.0.113.8", ("DENY", "address.mismatch")),
        ("::ffff:10.1.2.3", ("PERMIT", "address.match")),
        ("::ffff:11.0.0.1", ("DENY", "address.mismatch")),
        ("2001:db8::1", ("PERMIT", "address.match")),
        ("2001:db8::1%eth0", ("PERMIT", "address.match")),
        ("2001:db9::1", ("DENY", "address.mismatch")),
        ("::10.1.2.3", ("DENY", "address.mismatch")),
        (None, ("INDETERMINATE", "address.unknown")),
        ("", ("INDETERMINATE", "address.unknown")),
        ("@unix", ("INDETERMINATE", "address.unknown")),
        ("10.1.2.3:443", ("INDETERMINATE", "address.unknown")),
        ("010.1.2.3", ("INDETERMINATE", "address.unknown")),
        ("2001:db8::1%" + "x" * 100, ("INDETERMINATE", "address.unknown")),
    ],
)
def test_an_address_is_in_a_network_or_not_or_not_known(address: str | None, wanted: tuple[str, str]) -> None:
    """IPv4-mapped addresses are compared as IPv4, zones removed; the unknown is a doubt, also under ``~``."""
    opposite = {"PERMIT": "DENY", "DENY": "PERMIT"}.get(wanted[0], wanted[0])
    for kind, place in ((policies.PeerAddress, "transport_address"), (policies.ClientAddress, "client_address")):
        assert told(kind(*NETWORKS), **{place: address}) == wanted
        assert told(~kind(*NETWORKS), **{place: address})[0] == opposite


def test_neither_address_stands_in_for_the_other() -> None:
    """``PeerAddress`` asks the socket alone, ``ClientAddress`` the trusted proxy's word alone."""
    assert told(policies.PeerAddress("10.0.0.0/8"), client_address="10.0.0.1") == ("INDETERMINATE", "address.unknown")
    assert told(policies.ClientAddress("10.0.0.0/8"), transport_address="10.0.0.1") == (
        "INDETERMINATE",
        "address.unknown",
    )


def test_behind_a_proxy_the_sockets_address_is_not_the_clients() -> None:
    """On a forwarded certificate ``PeerAddress`` is a doubt that names ``ClientAddress``; ``ClientAddress`` answers."""
    behind: dict[str, Any] = {
        "possession": Possession.PROXY,
        "transport_address": "10.0.0.1",
        "client_address": "198.51.100.9",
    }
    decision = decide(policies.PeerAddress("10.0.0.0/8"), evidence("a", **behind))
    assert (decision.verdict.name, decision.code) == ("INDETERMINATE", "address.of-proxy")
    assert "policies.ClientAddress" in decision.detail
    assert told(~policies.PeerAddress("10.0.0.0/8"), **behind) == ("INDETERMINATE", "address.of-proxy")
    assert told(policies.ClientAddress("198.51.100.0/24"), **behind) == ("PERMIT", "address.match")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.1/8", "has host bits set: write '10.0.0.0/8'"),
        ("2001:db8::1/32", "has host bits set: write '2001:db8::/32'"),
        ("fe80::%eth0/64", "is no network.*without zone"),
        ("fe80::1%eth0", "is no network.*without zone"),
        ("10.0.0.0/33", "is no network"),
        ("10.0.0.0:443", "is no network"),
        ("localhost", "is no network"),
        ("", "is no network"),
        (" 10.0.0.0/8", "is no network"),
        (10, "takes networks as text .* not int"),
        (b"\x0a\0\0\1", "not bytes"),
    ],
)
def test_what_is_no_network_is_refused(text: Any, message: str) -> None:
    """Host bits are refused with the network that was meant; so is everything that is no network."""
    for kind in (policies.PeerAddress, policies.ClientAddress):
        with pytest.raises(ConfigurationError, match=message):
            kind("192.0.2.0/24", text)


def test_every_form_of_a_network_is_the_same_policy(tmp_path: Path) -> None:
    """Text, objects, IPv4-mapped networks and lists are one value; the two kinds are not."""
    (tmp_path / "list").write_text("10.0.0.0/8 # inside\n203.0.113.7\n", "utf-8")
    for kind in (policies.PeerAddress, policies.ClientAddress):
        forms: list[object] = [
            kind("10.0.0.0/8", "203.0.113.7"),
            kind("::ffff:10.0.0.0/104", "203.0.113.7/32"),
            kind.of(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_address("203.0.113.7")),
            kind.from_list_file(tmp_path / "list"),
        ]
        assert len(set(forms)) == 1
        assert repr(forms[0]) == f"{kind.__name__}('10.0.0.0/8', '203.0.113.7/32')"
    assert repr(policies.PeerAddress.parse("2001:db8::/32")) == "PeerAddress('2001:db8::/32')"
    kinds: set[Policy] = {policies.PeerAddress("10.0.0.0/8"), policies.ClientAddress("10.0.0.0/8")}
    assert len(kinds) == 2


def test_a_long_list_answers_as_a_short_one() -> None:
    """Beyond the number of prefix lengths another look-up is used, with the same answers."""
    many = [f"10.{high}.{low}.0/24" for high in range(2) for low in range(100)]
    policy = policies.PeerAddress(*many, "2001:db8::/32", "0.0.0.0/32")
    found = [
        told(policy, transport_address=text)[0] for text in ("10.1.99.7", "10.1.100.7", "2001:db8::1", "2001:db9::1")
    ]
    assert found == ["PERMIT", "DENY", "PERMIT", "DENY"]


def test_an_address_is_no_identity_and_never_kept() -> None:
    """Where packets come from says nothing about who sends them, and changes from connection to connection."""
    for policy in (policies.PeerAddress("10.0.0.0/8"), policies.ClientAddress("10.0.0.0/8")):
        assert not policy.identifies
        assert not policy._reads_path_only
    with pytest.raises(ConfigurationError, match="without an entry"):
        policies.PeerAddress()


def test_a_live_list_of_networks() -> None:
    """A source is asked at each evaluation; one that fails is a doubt."""
    networks: list[str] = ["10.0.0.0/8"]
    policy = policies.PeerAddress(lambda: networks)
    assert told(policy, transport_address="10.0.0.1")[0] == "PERMIT"
    networks[:] = ["192.0.2.0/24"]
    assert told(policy, transport_address="10.0.0.1")[0] == "DENY"
    networks.clear()
    assert told(policy, transport_address="10.0.0.1") == ("INDETERMINATE", "policy.error")
