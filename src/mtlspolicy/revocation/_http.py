"""Fetches bytes over HTTP with sockets of its own: one resolution, one address that was judged, one deadline.

Proxies of the environment, redirects, cookies and credentials do not exist here. What the bytes say is not looked at.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, TypeAlias

from mtlspolicy._identifiers import IPAddress
from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._destinations import Destinations, FetchFailed, Target, permitted_addresses, target_of
from mtlspolicy.revocation._http_response import Wire, read_answer, remaining, timed_out
from mtlspolicy.revocation._lookups import Lookups, Resolve, answer_of

__all__ = ["Exchange", "HTTPTransport", "Trust", "headers_of", "places_of", "require_destinations"]

Trust: TypeAlias = "TrustStore | str | os.PathLike[str] | None"
"""Whom https responders are verified against: a store, a PEM file of CA certificates, or certifi's (``None``)."""

MOST_TRIED: Final = 4
"""Addresses of one name that are tried, each with its share of the time that is left."""
ANYWHERE: Final = Destinations()
_FIELD: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, and how long its answer may be.

    Attributes:
        url: Where to; judged before anything is opened.
        body: Sent by POST where there is one; GET otherwise.
        content_type: Media type of the body.
        accept: Media type that is asked for; what comes is not held to it.
        most_bytes: Longest body of the answer.
    """

    url: str
    body: bytes | None = None
    content_type: str = ""
    accept: str = ""
    most_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for what would be another request than it looks."""
        for name, value in (("content_type", self.content_type), ("accept", self.accept)):
            if value and not _FIELD.fullmatch(value):
                raise ConfigurationError(f"{name}={value!r}: give a media type on one line, in ASCII")
        if self.most_bytes < 1:
            raise ConfigurationError(f"most_bytes={self.most_bytes!r}: let an answer have at least one byte")

    @property
    def method(self) -> str:
        """``POST`` or ``GET``."""
        return "GET" if self.body is None else "POST"


def headers_of(exchange: Exchange, target: Target) -> tuple[tuple[str, str], ...]:
    """Return the request's headers. No encoding is asked for, and the connection is for this exchange alone."""
    headers = [
        ("Host", target.authority),
        ("User-Agent", "mtlspolicy"),
        ("Accept", exchange.accept or "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    if exchange.body is not None:
        headers += [
            ("Content-Type", exchange.content_type or "application/octet-stream"),
            ("Content-Length", str(len(exchange.body))),
        ]
    return tuple(headers)


class HTTPTransport:
    """Fetches with the standard library alone. Blocks until the deadline at most; safe between threads.

    The deadline covers the resolver, every connection attempt, the TLS handshake and each byte of the answer.

    Args:
        destinations: Where it may go; by default to public addresses, port 80 and 443.
        trust: Whom https responders are verified against, host name included; by default certifi. Whether their
            certificates are revoked is not asked: that question would have no end.
        resolve: In place of `socket.getaddrinfo`, whose arguments and rows it has; called once for a fetch.

    Raises:
        ConfigurationError: A store that OpenSSL cannot be held to, or a file that is none.
    """

    def __init__(
        self, *, destinations: Destinations = ANYWHERE, trust: Trust = None, resolve: Resolve = socket.getaddrinfo
    ) -> None:
        self._destinations = require_destinations(destinations)
        self._context = _context(trust)
        self._lookups = Lookups(resolve)

    def fetch(self, exchange: Exchange, *, until: float) -> bytes:
        """Return the body of the answer.

        Args:
            exchange: What to send where.
            until: The moment of `time.monotonic` by which the last byte must be there.

        Raises:
            FetchFailed: There is none, for whatever reason.
        """
        target, tried = places_of(exchange.url, self._destinations, self._lookups, until=until)
        with ExitStack() as opened:
            connection = opened.enter_context(_connected(target, tried, until))
            if target.scheme == "https":
                connection = _secured(opened, self._context, connection, target=target, until=until)
            wire = opened.enter_context(Wire(connection, until=until, origin=target.origin))
            wire.send(_request(exchange, target))
            return read_answer(wire, method=exchange.method, most_bytes=exchange.most_bytes)


def places_of(
    url: str, destinations: Destinations, lookups: Lookups, *, until: float
) -> tuple[Target, tuple[IPAddress, ...]]:
    """Return what *url* names, and those of its addresses that are tried; blocks until the deadline at most.

    The URL is judged before its name is resolved, and each address before anything is opened.

    Raises:
        FetchFailed: It may not be fetched, or its name has no address that may be gone to, or none in time.
    """
    target = target_of(url, destinations)
    found = _answers_within(lookups, target, until)
    return target, permitted_addresses(target, found, destinations)[:MOST_TRIED]


def _answers_within(lookups: Lookups, target: Target, until: float) -> Iterable[IPAddress]:
    left = remaining(until, target.origin)
    if target.address is not None:
        return (target.address,)
    future = lookups.start(target)
    if not wait((future,), left).done:
        raise FetchFailed("fetch.timeout", f"{target.origin}: the name was not resolved within the time allowed")
    return answer_of(future, target)


def require_destinations(destinations: object) -> Destinations:
    """Return *destinations*, or raise `ConfigurationError` where they are something else."""
    if not isinstance(destinations, Destinations):
        raise ConfigurationError(f"destinations={type(destinations).__name__}: give revocation.Destinations(...)")
    return destinations


def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # CERT_REQUIRED, and the host name is verified
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525, section 2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if trust is None:
        import certifi

        context.load_verify_locations(certifi.where())
        return context
    store = trust if isinstance(trust, TrustStore) else TrustStore.from_file(trust)
    if store.peers or store.distrusted:
        raise ConfigurationError(
            "trust: OpenSSL verifies the responders and knows neither registered peers nor distrusted keys; give a "
            "TrustStore of anchors"
        )
    # an issuing CA alone may be the anchor; nothing but anchors is loaded, so that no other ends a path
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=b"".join(certificate.der for certificate in store.anchors))
    return context


def _connected(target: Target, tried: tuple[IPAddress, ...], until: float) -> socket.socket:
    """Return a connection to the first of *tried* that takes one: to that very address, never to the name."""
    reason = ""
    for place, address in enumerate(tried):
        share = remaining(until, target.origin) / (len(tried) - place)
        try:
            return _opened(address, target.port, share)
        except TimeoutError:
            reason = "no answer"
        except OSError as error:
            reason = error.strerror or type(error).__name__
    remaining(until, target.origin)
    shown = ", ".join(map(str, tried))
    raise FetchFailed("fetch.connect", f"{target.origin}: no connection to {shown}: {reason}")


def _opened(address: IPAddress, port: int, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect((str(address), port))
    except BaseException:
        connection.close()
        raise
    return connection


def _secured(
    opened: ExitStack, context: ssl.SSLContext, connection: socket.socket, *, target: Target, until: float
) -> ssl.SSLSocket:
    """Return the connection after the TLS handshake, in which the server was verified by name; *opened* closes it."""
    try:
        secured = opened.enter_context(
            context.wrap_socket(
                connection,
                server_hostname=target.host,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,  # where the end of the connection ends the body, TLS must have said so
            )
        )
        secured.settimeout(remaining(until, target.origin))
        secured.do_handshake()
    except TimeoutError:
        raise timed_out(target.origin) from None
    except (OSError, ValueError) as error:
        raise _tls_failure(error, target) from None
    return secured


def _tls_failure(error: OSError | ValueError, target: Target) -> FetchFailed:
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
    code = "fetch.tls" if isinstance(error, ssl.SSLError | ValueError) else "fetch.connect"
    return FetchFailed(code, f"{target.origin}: the TLS handshake failed: {reason}")


def _request(exchange: Exchange, target: Target) -> bytes:
    fields = [f"{name}: {text}" for name, text in headers_of(exchange, target)]
    head = "\r\n".join([f"{exchange.method} {target.path} HTTP/1.1", *fields, "", ""])
    return head.encode("ascii") + (exchange.body or b"")
