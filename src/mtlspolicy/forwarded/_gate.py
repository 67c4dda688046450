"""Who may speak for a client: the trusted proxy, recognised by the socket that the request came over.

The address of that socket, or the certificate of the proxy itself, decides; never a header, and never what a server or
middleware has made of one. Reading the socket is for the edges.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mtlspolicy._chain import Possession
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy._text import quoted
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError, VerificationError
from mtlspolicy.forwarded._headers import header_name
from mtlspolicy.policies._addresses import (
    LONGEST,
    IPNetwork,
    Range,
    parse_network,
)
from mtlspolicy.policies._addresses import _inside as inside
from mtlspolicy.policies._addresses import _place as place_of

__all__ = ["UNIX_SOCKET", "Gate", "ImmediatePeer", "Trusted", "UnixSocket"]


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """The proxy speaks over a Unix socket of this machine, whose file permissions say who may connect.

    Args:
        uids: User ids that may be at the other end (SO_PEERCRED); ``None``: whoever the file lets in.

    Raises:
        ConfigurationError: An empty list, or something that is no user id.
    """

    uids: Collection[int] | None = None

    def __post_init__(self) -> None:
        if self.uids is None:
            return
        uids = frozenset(self.uids)
        if not uids or not all(isinstance(uid, int) and not isinstance(uid, bool) and uid >= 0 for uid in uids):
            raise ConfigurationError(
                f"uids={self.uids!r}: the numbers of the users that the proxy runs as, or None for whoever the "
                "socket's file permissions let in"
            )
        object.__setattr__(self, "uids", uids)


UNIX_SOCKET: Final = UnixSocket()
"""Any user that the socket's file permissions let in."""

Trusted: TypeAlias = "Iterable[str] | UnixSocket | Verifier"
"""Networks in CIDR form, a Unix socket, or the verifier of a proxy that authenticates itself with mutual TLS."""

_LEAST_SECRET: Final = 22
"""Characters of a secret header: 128 bits in base64."""
_LEAST_KINDS: Final = 8
"""Different characters in it: a random one of 22 hexadecimal digits has fewer once in a million."""
_WIDEST: Final = {4: 8, 6: 7}
"""Shortest prefix of a network of proxies, by IP version: 10.0.0.0/8 and fc00::/7 are the widest that one can own."""


@dataclass(frozen=True, slots=True)
class ImmediatePeer:
    """The other end of the accepted socket, as the socket says it. An edge makes it; no header has a part in it.

    Args:
        address: IP address, text; ``None`` where it is not known, or for a Unix socket.
        unix: Whether the socket that was listened on is a Unix socket. That no address is known does not say so.
        uid: User id of the process at the other end of a Unix socket, where the system tells.
        proxy: The peer that mutual TLS on this very connection has shown, where there was one.

    Raises:
        ConfigurationError: An address at the other end of a Unix socket, or a user id without one.
    """

    address: str | None = None
    unix: bool = False
    uid: int | None = None
    proxy: VerifiedPeer | None = None

    def __post_init__(self) -> None:
        if (self.unix and self.address is not None) or (not self.unix and self.uid is not None):
            raise ConfigurationError(
                "ImmediatePeer: a Unix socket has a user id and no address: an address there was made of a header"
            )

    def __str__(self) -> str:
        return "a Unix socket" if self.unix else (quoted(self.address, LONGEST) if self.address else "no known address")


@dataclass(frozen=True, slots=True)
class Gate:
    """Which immediate peers may speak for clients.

    Attributes:
        networks: Networks of the proxy; empty where it is recognised otherwise.
        unix: The Unix socket, or ``None``.
        verifier: The verifier of a proxy with a certificate, or ``None``.
        secret: Name (lower case) and value of a header that only the proxy knows, or ``None``.
    """

    networks: tuple[IPNetwork, ...] = ()
    unix: UnixSocket | None = None
    verifier: Verifier | None = None
    secret: tuple[str, str] | None = field(default=None, repr=False)
    _ranges: frozenset[Range] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ranges", frozenset(map(_range, self.networks)))

    @classmethod
    def of(cls, trusted: Trusted, *, secret: tuple[str, str] | None = None, shared: bool = False) -> Gate:
        """Return the gate for what a person writes as ``trusted=``.

        Args:
            trusted: See `Trusted`.
            secret: Name and value of a header that the proxy adds and nobody else knows.
            shared: Whether the proxy's addresses serve other customers as well, so that they prove nothing.

        Raises:
            ConfigurationError: Nothing is trusted, a network is none or too wide, or what is trusted proves nothing.
        """
        usable = None if secret is None else _usable(secret)
        if shared and usable is None and not isinstance(trusted, Verifier):
            # whoever opens an account there comes from the same addresses, with headers of his own making
            raise ConfigurationError(
                "the addresses of this proxy serve all of its customers: give secret=('x-origin-secret', value) that "
                "only your configuration of it adds, or trusted=Verifier.for_clients(...) for a client certificate of "
                "your own that it presents"
            )
        if isinstance(trusted, Verifier):
            if trusted.peer_role != "client":
                raise ConfigurationError("trusted=Verifier.for_servers(...): the proxy is our client: for_clients")
            return cls(verifier=trusted, secret=usable)
        if isinstance(trusted, UnixSocket):
            return cls(unix=trusted, secret=usable)
        return cls(networks=_networks(trusted), secret=usable)

    def objection(self, peer: ImmediatePeer) -> str | None:
        """Return why *peer* is not the trusted proxy as far as its socket tells, or ``None``."""
        if self.verifier is not None:
            return _not_the_proxy(self.verifier, peer.proxy)
        if self.unix is not None:
            if not peer.unix:
                return "the proxy speaks over a Unix socket"
            known = self.unix.uids is None or peer.uid in self.unix.uids
            return None if known else f"user id {peer.uid} is not the proxy's; if it is, name it in uids="
        if peer.address is None or len(peer.address) > LONGEST:
            return "its address is not known, and the proxy is known by its address"
        place = place_of(peer.address)
        if place is None:
            return "that is no IP address, and the proxy is known by its address"
        return None if inside(place, self._ranges) else "that is not the trusted proxy; if it is, name it in trusted="

    def require(self, peer: ImmediatePeer) -> None:
        """Return if *peer* is the trusted proxy as far as its socket tells.

        Raises:
            VerificationError: It is not, ``forwarded.untrusted-proxy``.
        """
        objection = self.objection(peer)
        if objection is not None:
            raise self.refusal(peer, objection)

    def require_secret(self, peer: ImmediatePeer, secret: str | None) -> None:
        """Return if *secret*, the value of that header in the request, is the proxy's, or none is agreed on.

        Raises:
            VerificationError: It is not, ``forwarded.untrusted-proxy``.
        """
        if self.secret is not None and (
            secret is None or not hmac.compare_digest(secret.encode(), self.secret[1].encode())
        ):
            raise self.refusal(peer, "it does not know the proxy's secret")

    @staticmethod
    def refusal(peer: ImmediatePeer, objection: str) -> VerificationError:
        """Return the error for a request from *peer*, which is not the trusted proxy."""
        detail = f"a request that only the proxy may send came from {peer}: {objection}"
        return VerificationError(Decision(Verdict.DENY, "forwarded.untrusted-proxy", detail, clause="forwarded"))


def _not_the_proxy(verifier: Verifier, proxy: VerifiedPeer | None) -> str | None:
    if proxy is None or proxy.possession is not Possession.TLS:
        return "the proxy presented no certificate on this connection"
    decision = verifier.decide(proxy.presented, connection=proxy.connection, facts=proxy.evidence.facts)
    return None if decision else f"its own certificate is not the proxy's ({decision.code})"


def _usable(secret: tuple[str, str]) -> tuple[str, str]:
    if not isinstance(secret, tuple) or len(secret) != 2 or not all(isinstance(text, str) for text in secret):
        raise ConfigurationError("secret=: give the header's name and its value, two texts")
    name, value = secret
    try:
        usable = header_name(name, "secret")
    except ConfigurationError:  # the two may be the wrong way round, so that neither is repeated
        raise ConfigurationError("secret=(name, value): the first is no header's name, as for header=") from None
    good = value.isascii() and value.isprintable() and value.strip() == value
    if not good or len(value) < _LEAST_SECRET or len(set(value)) < _LEAST_KINDS:
        raise ConfigurationError(
            f"secret=(name, value): give at least {_LEAST_SECRET} printable ASCII characters at random as the value, "
            "such as secrets.token_urlsafe(24)"
        )
    return usable, value


def _range(network: IPNetwork) -> Range:
    bits = network.max_prefixlen - network.prefixlen
    return network.version, bits, int(network.network_address) >> bits


def _networks(trusted: Iterable[str]) -> tuple[IPNetwork, ...]:
    if isinstance(trusted, str | bytes) or not isinstance(trusted, Iterable):
        raise ConfigurationError(f"trusted={trusted!r}: give a list of networks, such as ['10.1.2.0/24']")
    found = tuple(parse_network(str(text), "trusted") for text in trusted)
    if not found:
        raise ConfigurationError("trusted=[]: name the proxy's networks, forwarded.UNIX_SOCKET, or a Verifier")
    for network in found:
        if network.prefixlen < _WIDEST[network.version]:
            raise ConfigurationError(f"trusted={str(network)!r} is too wide: name the addresses of the proxy itself")
        if isinstance(network, ipaddress.IPv6Network) and network.supernet_of(ipaddress.IPv6Network("::ffff:0:0/96")):
            raise ConfigurationError(f"trusted={str(network)!r} contains every IPv4 address: name those of the proxy")
    return found
