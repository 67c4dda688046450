"""Destinations: which URL may be fetched and which address connected to, the same on every Python."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtlspolicy._codes import CODES
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._destinations import (
    Destinations,
    FetchFailed,
    Target,
    address_allowed,
    permitted_addresses,
    target_of,
)
from tests.revocation.loopback import outcome

ANY = Destinations()


def test_a_named_network_is_allowed_and_nothing_beside_it() -> None:
    """A private CA's responder is reached by naming its network; its mapped form is the same, tunnels to it are not."""
    private = Destinations(addresses=["10.1.0.0/16", "fd00:1::/32", ipaddress.ip_address("127.0.0.1")])
    allowed = ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5", "127.0.0.1", "8.8.8.8")
    refused = ("10.2.0.1", "fd00:2::5", "127.0.0.2", "64:ff9b::10.1.2.3", "2002:a01:203::1", "::10.1.2.3")
    assert [address_allowed(ipaddress.ip_address(one), private) for one in allowed] == [True] * len(allowed)
    assert [address_allowed(ipaddress.ip_address(one), private) for one in refused] == [False] * len(refused)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://ocsp.example.com", Target("http", "ocsp.example.com", 80, "/")),
        ("HTTPS://OCSP.Example.COM/a/b?c=%2F", Target("https", "ocsp.example.com", 443, "/a/b?c=%2F")),
        ("http://ocsp.example.com?x", Target("http", "ocsp.example.com", 80, "/?x")),
        ("http://ocsp.example.com?x/y", Target("http", "ocsp.example.com", 80, "/?x/y")),
        ("http://ocsp.example.com/x?y/z", Target("http", "ocsp.example.com", 80, "/x?y/z")),
        ("http://xn--bcher-kva.example/", Target("http", "xn--bcher-kva.example", 80, "/")),
        ("http://pki_1/crl", Target("http", "pki_1", 80, "/crl")),
        ("http://h:443/", Target("http", "h", 443, "/")),
        ("http://a.example/@/x", Target("http", "a.example", 80, "/@/x")),
        ("http://93.184.216.34/", Target("http", "93.184.216.34", 80, "/", ipaddress.ip_address("93.184.216.34"))),
        ("http://[2001:DB8::0:1]:80/", Target("http", "2001:db8::1", 80, "/", ipaddress.ip_address("2001:db8::1"))),
    ],
)
def test_urls_that_are_fetched(url: str, target: Target) -> None:
    """A plain http or https URL is taken apart; scheme and host in lower case, the path as it stands."""
    assert target_of(url, ANY) == target


@pytest.mark.parametrize(
    ("target", "authority", "origin"),
    [
        (Target("http", "a.example", 80, "/"), "a.example", "http://a.example"),
        (Target("https", "a.example", 80, "/"), "a.example:80", "https://a.example:80"),
        (Target("http", "2001:db8::1", 8080, "/"), "[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
    ],
)
def test_the_host_header_names_host_and_port(target: Target, authority: str, origin: str) -> None:
    """IPv6 in brackets, the port where it is not the scheme's own (RFC 9110, section 7.2)."""
    assert (target.authority, target.origin) == (authority, origin)


@pytest.mark.parametrize(
    "url",
    [
        "", "ocsp.example.com", "//ocsp.example.com/", "ldap://ldap.example.com/cn=x", "ftp://h/", "file:///etc/passwd",
        "gopher://127.0.0.1/", "javascript:alert(1)", "http:/h/", "http:h", "http://", "http:///x", "http://?x",
        "http://h/#f", "http://h#f", "http://user@h/", "http://user:secret@h/", "http://good.example@evil.example/",
        "http://good.example\\@evil.example/", "http://h\\x/", "http://h/a b", " http://h/", "http://h/\r\nX: y",
        "http://h\r\nHost: evil/", "http://h/\tx", "http://h/\x00", "http://h/\x7f", "http://bücher.example/",
        "http://h/ü", "http://\uff48/", "http://h:/", "http://h:0/", "http://h:080/", "http://h:+80/", "http://h:80:80/",
        "http://h:99999999/", "http://h:x/", "http://h:80x/", "http://-h/", "http://h-/", "http://.h/", "http://h./",
        "http://h..h/", "http://h%2e/", "http://127.1/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://2130706433/",
        "http://0x7f000001/", "http://1.2.3.4.5/", "http://1.2.3/", "http://256.1.1.1/", "http://h.0x1/", "http://[::1/",
        "http://::1/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::g]/", "http://[127.0.0.1]/",
        "http://[v1.x]/", "http://[::1]x/", "http://" + "a" * 64 + ".example/", "http://" + "a." * 127 + "aa/",
        "http://h/" + "x" * 2048,
    ],
)  # fmt: skip
def test_hostile_urls_are_not_fetched(url: str) -> None:
    """Other schemes, user names, fragments, control characters, and hosts that two readers read in two ways."""
    with pytest.raises(FetchFailed) as caught:
        target_of(url, ANY)
    assert (caught.value.code, caught.value.counts_for, caught.value.retryable) == ("fetch.url", "certificate", False)
    assert str(caught.value).isprintable()


def test_a_password_in_a_url_is_not_repeated() -> None:
    """The message about a URL with credentials leaves them out: it goes to logs."""
    with pytest.raises(FetchFailed) as caught:
        target_of("http://user:secret@h/", ANY)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [None, b"http://h/", 5])
def test_what_is_no_text_is_no_url(url: Any) -> None:
    """A caller without a type checker is told as well."""
    with pytest.raises(FetchFailed, match="is no URL"):
        target_of(url, ANY)


@pytest.mark.parametrize(
    ("url", "destinations", "code"),
    [
        ("http://OCSP.example.com/", Destinations(hosts=["Ocsp.Example.com"]), None),
        ("http://evil.ocsp.example.com/", Destinations(hosts=["ocsp.example.com"]), "fetch.host"),
        ("http://ocsp.example.com.evil.example/", Destinations(hosts=["ocsp.example.com"]), "fetch.host"),
        ("http://[2001:db8:0::1]/", Destinations(hosts=["[2001:db8::1]"]), None),
        ("http://[2001:db8:0::1]/", Destinations(hosts=["2001:DB8::1"]), None),
        ("http://10.0.0.1/", Destinations(hosts=["10.0.0.1"]), None),
        ("http://10.0.0.2/", Destinations(hosts=["10.0.0.1"]), "fetch.host"),
        ("http://h:8080/", ANY, "fetch.host"),
        ("http://h:22/", ANY, "fetch.host"),
        ("http://h:8080/", Destinations(ports=[8080]), None),
        ("http://h/", Destinations(ports=[8080]), "fetch.host"),
    ],
)
def test_hosts_and_ports_are_held_to(url: str, destinations: Destinations, code: str | None) -> None:
    """Exact names, no part of them; 80 and 443 unless others are named."""
    if code is None:
        assert target_of(url, destinations).port in destinations.ports
    else:
        with pytest.raises(FetchFailed) as caught:
            target_of(url, destinations)
        assert (caught.value.code, caught.value.counts_for) == (code, "certificate")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hosts": []}, "hosts is empty"),
        ({"hosts": "ocsp.example.com"}, "hosts=[...]"),
        ({"hosts": 5}, "hosts=[...]"),
        ({"hosts": ["http://ocsp.example.com/"]}, "is no host"),
        ({"hosts": ["*.example.com"]}, "is no host"),
        ({"hosts": ["ocsp.example.com:80"]}, "is no host"),
        ({"hosts": ["bücher.example"]}, "'xn--' form"),
        ({"hosts": ["127.1"]}, "is no host"),
        ({"hosts": [""]}, "is no host"),
        ({"hosts": [b"h"]}, "is no host"),
        ({"hosts": ["h\n"]}, "is no host"),
        ({"ports": []}, "ports is empty"),
        ({"ports": [0]}, "from 1 to 65535"),
        ({"ports": [65536]}, "from 1 to 65535"),
        ({"ports": [True]}, "from 1 to 65535"),
        ({"ports": ["80"]}, "from 1 to 65535"),
        ({"addresses": "10.0.0.0/8"}, "addresses=[...]"),
        ({"addresses": ["10.0.0.1/8"]}, "10.0.0.0/8"),
        ({"addresses": ["private"]}, "is no network"),
        ({"addresses": [10]}, "int is no network"),
    ],
)
def test_destinations_that_can_never_be_right(arguments: dict[str, Any], message: str) -> None:
    """The error names the value, the rule and the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        Destinations(**arguments)
    assert message in str(caught.value)


def test_destinations_are_values() -> None:
    """Equal when the content is, hashable, and read from what a person has in hand."""
    one = Destinations(hosts=["A.example"], ports=[80, 443], addresses=["10.0.0.0/8"])
    assert one == Destinations(hosts={"a.example"}, addresses=(ipaddress.ip_network("10.0.0.0/8"),))
    assert hash(one) == hash(Destinations(hosts={"a.example"}, addresses=["10.0.0.0/8"]))
    assert Destinations() == Destinations(hosts=None, ports=frozenset({80, 443}), addresses=())


def test_one_private_address_among_many_refuses_all() -> None:
    """Who mixes 127.0.0.1 into an answer of public addresses waits for it to be tried."""
    target = Target("http", "rebind.example", 80, "/")
    public = [ipaddress.ip_address(f"8.8.4.{last}") for last in range(50)]
    assert permitted_addresses(target, [*public, public[0]], ANY) == tuple(public)
    with pytest.raises(FetchFailed, match="127.0.0.1 is not public") as caught:
        permitted_addresses(target, [*public, ipaddress.ip_address("127.0.0.1")], ANY)
    assert (caught.value.code, caught.value.counts_for) == ("fetch.address", "responder")
    with pytest.raises(FetchFailed) as caught:
        permitted_addresses(target, [], ANY)
    assert caught.value.code == "fetch.resolve"


def test_failures_say_whom_they_count_for_and_are_escaped() -> None:
    """Trouble on the way counts for the responder and may pass; hostile text in a message is printable."""
    error = FetchFailed("fetch.connect", "http://h: \x1b[31m\n")
    assert (error.code, error.retryable, error.counts_for) == ("fetch.connect", True, "responder")
    assert str(error) == "http://h: \\x1b[31m\\n"
    assert not FetchFailed("fetch.connect", "x", retryable=False).retryable
    assert FetchFailed("fetch.connect", "x", counts_for="certificate").counts_for == "certificate"


@given(
    st.text()
    | st.from_regex(r"https?://[^\n]*", fullmatch=True)
    | st.builds("http://{}{}".format, st.text("a1.:[]@%\\-_/?#x0", max_size=20), st.text(max_size=5))
)
@example("http://[::ffff:1.2.3.4]/")
@example("http://1.1.1.1:65536/")
def test_any_text_is_a_target_or_a_failure(url: str) -> None:
    """Any text gives a target that is safe to write into a request, or FetchFailed, and nothing else."""
    found = outcome(lambda: target_of(url, ANY))
    if isinstance(found, FetchFailed):
        assert found.code in CODES
        assert str(found).isprintable()
    else:
        assert found.port in ANY.ports
        line = f"{found.path}{found.authority}"
        assert line.isascii()
        assert line.isprintable()
        assert " " not in line
        assert found.path.startswith("/")
        assert found.host in url.lower() or found.address is not None
