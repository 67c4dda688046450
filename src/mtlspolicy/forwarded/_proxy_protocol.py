"""Reads a PROXY protocol version 2 header: the addresses, and what the proxy says of the client's TLS, as values.

Nothing here is trusted: who reaches the port can send one. Whether the sender is the proxy, a `Gate` says first.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from mtlspolicy._evidence import plain_address
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.forwarded._encodings import malformed

__all__ = ["ProxyHeader", "ProxyTLS"]

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
START: Final = 16
"""Bytes before the addresses: signature, version and command, family, length."""
MOST: Final = 4096
"""Bytes of a whole header. Those with every field that proxies send have some hundreds."""

_LOCAL, _PROXY = 0x20, 0x21
_FAMILIES: Final = {0x00: 0, 0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16, 0x31: 108, 0x32: 108}
"""Bytes of one address by family and transport: unspecified, IPv4, IPv6 and Unix, each over a stream or datagrams."""
_CRC32C, _NOOP, _SSL = 0x03, 0x04, 0x20
_VERSION, _CN = 0x21, 0x22
_ONCE: Final = frozenset({0x01, 0x02, _CRC32C, 0x05, _SSL, _VERSION, _CN})
"""ALPN, authority, checksum, unique id, TLS; version and CN: of two, readers would pick different ones."""

TLVs = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class ProxyTLS:
    """What the proxy says of the client's TLS connection (PP2_TYPE_SSL). Words, and no certificate: see `TextClaims`.

    Attributes:
        tls: Whether the client spoke TLS to the proxy.
        certificate_on_connection: Whether it presented a certificate on this connection.
        certificate_in_session: Whether it did at least once in this TLS session.
        verify: 0 where the proxy has verified that certificate. Also 0 where there was none: see `verified`.
        version: Such as ``"TLSv1.3"``; ``None``: not stated.
        common_name: CN of the certificate's subject, hostile text; ``None``: not stated.
        tlvs: All sub-fields as ``(type, value)``, in order.
    """

    tls: bool
    certificate_on_connection: bool
    certificate_in_session: bool
    verify: int
    version: str | None
    common_name: str | None
    tlvs: TLVs

    @property
    def verified(self) -> bool:
        """Whether the proxy says that a certificate was presented and that it has verified it."""
        presented = self.certificate_on_connection or self.certificate_in_session
        return self.tls and presented and self.verify == 0


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A PROXY protocol version 2 header. Its addresses count after the gate has said that the proxy sent it.

    A server that listens behind such a proxy reads the header from the socket before the first byte of TLS or HTTP, and
    hands the address to whoever decides::

        gate = forwarded.Gate.of(["10.1.2.0/24"])
        gate.require(forwarded.ImmediatePeer(address=socket.getpeername()[0]))
        header = forwarded.ProxyHeader.parse(data)      # ProxyHeader.length_of(data[:16]) says how much to read
        connection = Connection(transport_address=socket.getpeername()[0], client_address=header.source)

    Then `policies.ClientAddress` judges the client and `policies.PeerAddress` still the other end of the socket. It
    belongs to the connection and to every request on it, unlike a header of HTTP.

    Attributes:
        local: The proxy speaks for itself, as health probes do; then there is no address, and no client.
        source: IP address of the client, text; ``None``: not stated (``local``, a Unix socket, unspecified).
        source_port: ``None`` likewise.
        destination: IP address that the client connected to, text; ``None`` likewise.
        destination_port: ``None`` likewise.
        tls: What the proxy says of TLS; ``None``: nothing.
        tlvs: All fields as ``(type, value)``, in order, without those that are padding. A checksum (CRC32c) among them
            has been verified; it protects from accidents and not from people.
    """

    local: bool
    source: str | None = None
    source_port: int | None = None
    destination: str | None = None
    destination_port: int | None = None
    tls: ProxyTLS | None = None
    tlvs: TLVs = ()

    @staticmethod
    def length_of(start: bytes, *, most: int = MOST) -> int:
        """Return the length in bytes of the header that begins with *start*, its first 16 bytes.

        Raises:
            MalformedEvidence: Not version 2 (version 1, a line of text, is refused by name), or longer than *most*.
        """
        if start.startswith(b"PROXY "):
            raise malformed("PROXY protocol version 1: have the proxy send version 2 (HAProxy: send-proxy-v2)")
        if len(start) < START or not start.startswith(SIGNATURE):
            raise malformed("no PROXY protocol header of version 2, or one that is cut short")
        length = START + int.from_bytes(start[14:16], "big")
        if length > most:
            raise MalformedEvidence(
                f"a PROXY protocol header of {length} bytes; at most {most}", code="forwarded.too-large"
            )
        return length

    @classmethod
    def parse(cls, data: bytes, *, most: int = MOST) -> ProxyHeader:
        """Return the header that *data* is, from its first byte to its last.

        Args:
            data: The whole header and nothing after it.
            most: Longest header, in bytes.

        Raises:
            MalformedEvidence: It is not one, or there is something after it.
        """
        if cls.length_of(data[:START], most=most) != len(data):
            raise malformed("a PROXY protocol header that is cut short, or something follows it")
        command, family = data[12], data[13]
        if command not in (_LOCAL, _PROXY):
            raise malformed("a PROXY protocol header of another version, or with an unknown command")
        if command == _LOCAL:  # whatever addresses and fields follow are to be passed over
            return cls(local=True)
        size = _FAMILIES.get(family)
        if size is None:
            raise malformed("a PROXY protocol header with an unknown address family or transport")
        ports = 2 if size in (4, 16) else 0
        rest = START + 2 * (size + ports)
        if rest > len(data):
            raise malformed("a PROXY protocol header too short for its addresses")
        tlvs = _fields(data, rest, len(data))
        _require_checksum(data, rest)
        tls = next((_tls(value) for kind, value in tlvs if kind == _SSL), None)
        if not ports:
            return cls(local=False, tls=tls, tlvs=tlvs)
        at = START + 2 * size
        return cls(
            local=False,
            source=_address(data[START : START + size]),
            source_port=int.from_bytes(data[at : at + 2], "big"),
            destination=_address(data[START + size : at]),
            destination_port=int.from_bytes(data[at + 2 : at + 4], "big"),
            tls=tls,
            tlvs=tlvs,
        )


def _address(packed: bytes) -> str:
    """Return the address, an IPv4-mapped one as IPv4, as everywhere."""
    return str(plain_address(str(ipaddress.ip_address(packed))))


def _fields(data: bytes, start: int, end: int) -> TLVs:
    """Return the type-length-value fields between *start* and *end*, which they must fill."""
    found: list[tuple[int, bytes]] = []
    seen: set[int] = set()
    while start < end:
        if start + 3 > end:
            raise malformed("a field of a PROXY protocol header is cut short")
        kind, length = data[start], int.from_bytes(data[start + 1 : start + 3], "big")
        start += 3
        if start + length > end:
            raise malformed("a field of a PROXY protocol header is longer than what holds it")
        if kind in _ONCE and kind in seen:
            raise malformed(f"the field 0x{kind:02x} of a PROXY protocol header is there twice")
        seen.add(kind)
        if kind != _NOOP:
            found.append((kind, data[start : start + length]))
        start += length
    return tuple(found)


def _tls(value: bytes) -> ProxyTLS:
    if len(value) < 5:
        raise malformed("the field PP2_TYPE_SSL of a PROXY protocol header is cut short")
    tlvs = _fields(value, 5, len(value))
    texts = {kind: _text(part) for kind, part in tlvs if kind in (_VERSION, _CN)}
    client = value[0]
    return ProxyTLS(
        tls=bool(client & 1),
        certificate_on_connection=bool(client & 2),
        certificate_in_session=bool(client & 4),
        verify=int.from_bytes(value[1:5], "big"),
        version=texts.get(_VERSION),
        common_name=texts.get(_CN),
        tlvs=tlvs,
    )


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("a text in a PROXY protocol header is not UTF-8") from None


def _require_checksum(data: bytes, start: int) -> None:
    """Return if the checksum among the fields from *start* on is that of *data* with zeros in its place, or none is."""
    while start < len(data):
        kind, length = data[start], int.from_bytes(data[start + 1 : start + 3], "big")
        start += 3
        if kind == _CRC32C:
            blank = data[:start] + bytes(length) + data[start + length :]
            if length != 4 or _crc32c(blank) != int.from_bytes(data[start : start + 4], "big"):
                raise malformed("a PROXY protocol header whose checksum is not its own")
        start += length


def _table() -> tuple[int, ...]:
    table: list[int] = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901 - one bit after the other
        table.append(value)
    return tuple(table)


_CRC_TABLE: Final = _table()


def _crc32c(data: bytes) -> int:
    """Return the CRC-32C (RFC 3720, appendix B.4) of *data*."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
