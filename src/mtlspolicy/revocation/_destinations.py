"""Decides which URL may be fetched and which address may be connected to. It resolves nothing and opens nothing.

A URL comes from a certificate and an address from DNS: both are the attacker's to choose until they are judged here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from mtlspolicy._identifiers import IPAddress
from mtlspolicy._text import escape, quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._addresses import IPNetwork, parse_network
from mtlspolicy.revocation._public_addresses import is_public, unmapped

__all__ = ["Destinations", "FetchFailed", "Target", "address_allowed", "permitted_addresses", "target_of"]

Blame: TypeAlias = Literal["responder", "certificate"]

LONGEST_URL: Final = 2048
"""Characters; longer URLs are in no certificate of a CA that means to be asked."""
_PORTS: Final = MappingProxyType({"http": 80, "https": 443})
_DEFAULT_PORTS: Final = frozenset(_PORTS.values())
_URL: Final = re.compile(r"[!-~]+", re.ASCII)
_PLACE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([1-9][0-9]{0,4}))?", re.ASCII)
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*", re.ASCII
)
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)
"""A name whose last label is a number: resolvers read 127.1, 0x7f.1 and 2130706433 as addresses."""

_CERTIFICATE: Final = frozenset({"fetch.url", "fetch.host", "fetch.status", "fetch.redirect", "fetch.too-large"})
_PASSING: Final = frozenset({"fetch.resolve", "fetch.connect", "fetch.timeout", "fetch.incomplete"})


class FetchFailed(Exception):
    """Nothing was fetched. ``str()`` says why, for people, with hostile characters escaped.

    Args:
        code: Stable reason code, ``fetch.*``.
        detail: What happened, at which origin.
        retryable: Whether the same request may succeed a moment later; ``None``: as the code has it.
        counts_for: Whom a breaker may hold it against: the whole ``"responder"``, or only the one ``"certificate"``
            that was asked about, so that nobody's own certificate stops the questions about others; ``None``: as the
            code has it.
    """

    retryable: bool
    counts_for: Blame

    def __init__(
        self, code: str, detail: str, *, retryable: bool | None = None, counts_for: Blame | None = None
    ) -> None:
        super().__init__(escape(detail, 1024))
        self.code = code
        self.retryable = code in _PASSING if retryable is None else retryable
        self.counts_for = counts_for or ("certificate" if code in _CERTIFICATE else "responder")


@dataclass(frozen=True, slots=True, init=False)
class Destinations:
    """Where fetching may go. By default to any host with a public address, at port 80 or 443.

    A CA's private responder needs its network in *addresses*, and its port in *ports* where it is another.

    Args:
        hosts: Exact host names, or IP addresses, that may be asked; an IDN in its ``xn--`` form. ``None``: any host
            that a validated path names.
        ports: TCP ports that may be connected to.
        addresses: Networks that are allowed although they are not public, as CIDR text or `ipaddress` objects, such as
            ``"10.0.0.0/8"``; whoever may choose a URL or answer for its name reaches them, each port in *ports*.

    Raises:
        ConfigurationError: A value that is no host, port or network, or a list that is empty.
    """

    hosts: frozenset[str] | None
    ports: frozenset[int]
    addresses: tuple[IPNetwork, ...]

    def __init__(
        self,
        *,
        hosts: Iterable[str] | None = None,
        ports: Iterable[int] = _DEFAULT_PORTS,
        addresses: Iterable[str | IPNetwork | IPAddress] = (),
    ) -> None:
        write = object.__setattr__
        write(self, "hosts", None if hosts is None else frozenset(map(_host, _listed(hosts, "hosts"))))
        write(self, "ports", frozenset(map(_port, _listed(ports, "ports"))))
        given = _listed(addresses, "addresses", may_be_empty=True)
        write(self, "addresses", tuple(parse_network(_text(one), "addresses:") for one in given))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be fetched, taken apart.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name in lower case, or an IP address without brackets.
        port: TCP port.
        path: Path and query, as in the URL; ``/`` where it has none.
        address: The host, where it is an IP address.
    """

    scheme: str
    host: str
    port: int
    path: str
    address: IPAddress | None = None

    @property
    def authority(self) -> str:
        """The value of the Host header (RFC 9110, section 7.2): the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages."""
        return f"{self.scheme}://{self.authority}"


def target_of(url: str, destinations: Destinations) -> Target:
    """Return what to connect to for *url*. The address behind a name is judged later, by `permitted_addresses`.

    Raises:
        FetchFailed: ``fetch.url`` for what is no plain http or https URL in ASCII (RFC 3986; no user name, no
            fragment), ``fetch.host`` for a host or port that *destinations* do not allow.
    """
    if not isinstance(url, str) or len(url) > LONGEST_URL or not _URL.fullmatch(url):
        raise FetchFailed("fetch.url", f"{_shown(url)} is no URL of at most {LONGEST_URL} printable ASCII characters")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _PORTS:
        raise FetchFailed("fetch.url", f"{_shown(url)} is neither an http nor an https URL")
    if "#" in rest:
        raise FetchFailed("fetch.url", f"{_shown(url)} has a fragment, which no server is sent")
    ends = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    place, path = (rest[: min(ends)], rest[min(ends) :]) if ends else (rest, "/")
    if "@" in place:  # not repeated: what stands before it may be a password
        raise FetchFailed("fetch.url", "a URL with a user name or password is not fetched")
    found = _PLACE.fullmatch(place)
    host = _plain_host(found[1], found[2]) if found else None
    if found is None or host is None:
        raise FetchFailed("fetch.url", f"{_shown(url)} names no host, or one that can be read in two ways")
    port = int(found[3] or _PORTS[scheme])
    address = _address(host)
    target = Target(scheme, host, port, path if path[0] == "/" else "/" + path, address)
    _require_destination(target, destinations)
    return target


def _require_destination(target: Target, destinations: Destinations) -> None:
    if destinations.hosts is not None and target.host not in destinations.hosts:
        raise FetchFailed(
            "fetch.host",
            f"{target.origin}: not one of the hosts that Refresher(hosts=...) or Destinations(hosts=...) allows",
        )
    if target.port not in destinations.ports:
        raise FetchFailed(
            "fetch.host",
            f"{target.origin}: port {target.port} is not one that Destinations(ports=...) allows; where it is meant, "
            f"say Refresher(destinations=Destinations(ports=[{target.port}, ...]))",
        )


def address_allowed(address: IPAddress, destinations: Destinations) -> bool:
    """Return whether *address* is public, or in a network that *destinations* name. The same on every Python.

    A network that is named allows its own addresses, also as IPv4-mapped IPv6; not what tunnels or translates to them.
    """
    plain = unmapped(address)
    return is_public(plain) or any(plain in network for network in destinations.addresses)


def permitted_addresses(
    target: Target, answers: Iterable[IPAddress], destinations: Destinations
) -> tuple[IPAddress, ...]:
    """Return the addresses to connect to, in the resolver's order, each once.

    Raises:
        FetchFailed: ``fetch.address`` where one of them is not allowed, whatever the others are: who mixes a private
            address into the answer wants it to be tried. ``fetch.resolve`` where there is none.
    """
    addresses = tuple(dict.fromkeys(answers))
    for address in addresses:
        if not address_allowed(address, destinations):
            raise FetchFailed(
                "fetch.address",
                f"{target.origin}: its address {address} is not public; where it is meant, name its network in "
                "Destinations(addresses=...)",
            )
    if not addresses:
        raise FetchFailed("fetch.resolve", f"{target.origin}: the name has no address")
    return addresses


def _shown(url: object) -> str:
    return quoted(url, 200) if isinstance(url, str) else type(url).__name__


def _plain_host(literal: str | None, name: str | None) -> str | None:
    """Return the canonical form of an IPv6 literal, an IPv4 address or a name; ``None`` for anything else."""
    try:
        if literal is not None:
            return str(ipaddress.IPv6Address(literal))
        host = (name or "").lower()
        if _NUMBER.fullmatch(host):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        return None
    return host if _NAME.fullmatch(host) else None


def _address(host: str) -> IPAddress | None:
    if ":" in host:
        return ipaddress.IPv6Address(host)
    return ipaddress.IPv4Address(host) if _NUMBER.fullmatch(host) else None


def _listed(values: Iterable[Any], what: str, *, may_be_empty: bool = False) -> tuple[Any, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{what}={values!r}: give several, as in {what}=[...], also where it is one alone")
    listed = tuple(values)
    if not listed and not may_be_empty:
        raise ConfigurationError(f"{what} is empty, so that nothing could be fetched; leave {what} out for the default")
    return listed


def _host(value: object) -> str:
    text = value if isinstance(value, str) else ""
    literal = text.strip("[]") if ":" in text else None
    host = _plain_host(literal, text)
    if host is None:
        raise ConfigurationError(
            f"hosts: {quoted(str(value), 200)} is no host; give a name such as 'ocsp.example.com' or an IP address, "
            "without scheme, port, path or wildcard, and an IDN in its 'xn--' form"
        )
    return host


def _port(value: object) -> int:
    if type(value) is not int or not 0 < value < 65536:
        raise ConfigurationError(f"ports: {value!r} is no TCP port; give numbers from 1 to 65535, such as 8080")
    return value


def _text(value: object) -> str:
    if not isinstance(
        value, str | ipaddress.IPv4Network | ipaddress.IPv6Network | ipaddress.IPv4Address | ipaddress.IPv6Address
    ):
        raise ConfigurationError(
            f"addresses: {type(value).__name__} is no network; give CIDR text such as '10.0.0.0/8', or an ipaddress "
            "object"
        )
    return str(value)
