"""Which addresses are public: a table of our own, up to its very borders, the same on every Python."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.revocation._public_addresses import is_public

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255",
    "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
    "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
    "168.63.129.15", "168.63.129.17",
    "2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1", "2606:4700:4700::1111",
    "2a00:1450:4001::1", "3ffe:ffff::1", "3fff:1000::1",
    "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
    "2001:0:808:808:0:ffff:f7f7:f7f7",  # Teredo: server 8.8.8.8, client 8.8.8.8 inverted
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200", "100.127.255.255",  # noqa: S104 - nothing is bound
    "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.0.0", "169.254.169.254", "172.16.0.0", "172.31.255.255",
    "192.0.0.0", "192.0.0.9", "192.0.0.170", "192.0.0.192", "192.0.0.255", "192.0.2.1", "192.88.99.1", "192.168.0.1",
    "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::2", "::127.0.0.1", "::10.0.0.1", "::ffff:0.0.0.0", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:224.0.0.1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1",
    "64:ff9b:1:ffff::8.8.8.8", "64:ff9b:1::", "64:ff9b:0:1::8.8.8.8", "100::1", "100:0:0:1::1", "2001::1",
    "2001:0:7f00:1:0:ffff:f7f7:f7f7", "2001:0:808:808:0:ffff:80ff:fffe", "2001:1::1", "2001:2::1", "2001:3::1",
    "2001:10::1", "2001:20::1", "2001:30::1", "2001:1ff:ffff::1", "2001:db8::1", "2001:db8:ffff::1",
    "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1", "2002:a9fe:a9fe::1", "2002:e000:1::1", "3fff::1",
    "3fff:fff::1", "4000::1", "5f00::1", "8000::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%1",
    "febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1", "ffff::1", "1::1", "1fff::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_allowed(text: str) -> None:
    """Global unicast may be asked, up to the very borders of what is not; translated addresses as what they lead to."""
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_ssrf_to_addresses_that_are_not_public(text: str) -> None:
    """Private, local, reserved, multicast and translated ones are refused, whatever this Python's ipaddress says."""
    assert not is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_every_way_to_write_an_ipv4_address_gives_one_answer_or_no(address: ipaddress.IPv4Address) -> None:
    """No translation of an IPv4 address makes it public, and mapped it is the same address."""
    value = int(address)
    inner = is_public(address)
    assert is_public(ipaddress.IPv6Address(0xFFFF << 32 | value)) is inner
    for shift, prefix in ((0, 0x64FF9B << 96), (0, 0), (80, 0x2002 << 112)):
        assert is_public(ipaddress.IPv6Address(prefix | value << shift)) is inner
    assert not is_public(ipaddress.IPv6Address(0x64FF9B0001 << 80 | value))
