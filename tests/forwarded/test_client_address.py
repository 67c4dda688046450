"""The client's address: what the trusted hops have written, and nothing to the left of it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded import ClientAddressHeader, real_ip, x_forwarded_for

ONE, TWO, REAL = x_forwarded_for(), x_forwarded_for(2), real_ip()


@pytest.mark.parametrize(
    ("value", "one", "two"),
    [
        (None, None, None),
        ("", None, None),
        ("192.0.2.1", "192.0.2.1", None),
        ("198.51.100.7, 192.0.2.1", "192.0.2.1", "198.51.100.7"),
        ("10.0.0.1, 198.51.100.7,192.0.2.1", "192.0.2.1", "198.51.100.7"),
        ("EVIL, 192.0.2.1", "192.0.2.1", None),
        ("10.0.0.1,", None, "10.0.0.1"),
        (",,", None, None),
        (", 192.0.2.1", "192.0.2.1", None),
    ],
)
def test_spoofed_left_part(value: str | None, one: str | None, two: str | None) -> None:
    """Entries count from the right by trusted hops: what the client sent himself is never read."""
    assert (ONE.stated(value), TWO.stated(value)) == (one, two)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        (" \t192.0.2.1 ", "192.0.2.1"),
    ],
)
def test_forms_of_an_address(text: str, address: str) -> None:
    """With a port, in brackets, IPv4 in IPv6, with a zone: one canonical address."""
    assert ONE.stated(text) == REAL.stated(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "unknown",
        "_hidden",
        "192.0.2.1:",
        "192.0.2.1:http",
        "192.0.2",
        "192.0.2.01",
        "[192.0.2.1]:80",
        "[::1",
        "[::1]x",
        "[::1]:",
        "[::1]:x",
        "::1:80:x",
        "192.0.2.1" + chr(0x660),
        "1" * 100,
        "for=192.0.2.1",
        "192.0.2.1:" + chr(0x661),
        "2130706433",
    ],
)
def test_what_is_no_address(text: str) -> None:
    """Not known, and never a guess."""
    assert ONE.stated(text) is None
    assert REAL.stated(text) is None


@pytest.mark.parametrize("value", ["192.0.2.1, 192.0.2.2", "EVIL,192.0.2.1", "192.0.2.1,"])
def test_real_ip_that_a_gateway_has_joined(value: str) -> None:
    """One address, which the proxy sets: a list of them was not written by it alone."""
    assert REAL.stated(value) is None


@pytest.mark.parametrize("hops", [0, -1, True, 1.0, "1", None])
def test_hops_are_counted(hops: int) -> None:
    """The number of proxies is a whole number from one."""
    with pytest.raises(ConfigurationError, match="hops"):
        x_forwarded_for(hops)


def test_names_of_the_headers() -> None:
    """Conventional defaults, or the operator's own; a name with two spellings is refused."""
    assert (ONE.name, REAL.name) == ("x-forwarded-for", "x-real-ip")
    assert (x_forwarded_for(header="X-Edge").name, real_ip("True-Client-IP").name) == ("x-edge", "true-client-ip")
    for make in (real_ip, lambda name: x_forwarded_for(header=name)):
        with pytest.raises(ConfigurationError, match="hyphens"):
            make("X_Real_IP")
    assert hash(x_forwarded_for()) == hash(ONE)


@given(st.text(max_size=200), st.integers(0, 3))
def test_any_text_gives_an_address_or_none(text: str, hops: int) -> None:
    """Any text gives an address in canonical form or None."""
    stated = ClientAddressHeader("x-any", hops).stated(text)
    assert stated is None or str(ipaddress.ip_address(stated)) == stated
