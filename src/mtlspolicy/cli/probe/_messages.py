"""Takes apart the handshake messages that a server sent: its certificates, whom it asks for, alerts. It trusts nothing.

`watch_messages` shows the messages, decrypted, also of handshakes that fail. It is used here for diagnosis alone, and
nothing is admitted on what it says.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from mtlspolicy._names import DistinguishedName
from mtlspolicy._text import escape
from mtlspolicy.cli.probe._seen import Unseen
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.tls._cpython import watch_messages

MOST_BYTES: Final = 256 * 1024
"""Of all messages of a connection that are kept; OpenSSL itself takes 100 KiB of certificates."""
MOST_MESSAGES: Final = 500
"""Handshake messages of a connection. OpenSSL reads sessions and keys without end before it looks at any clock."""
MOST_CERTIFICATES: Final = 32
MOST_NAMES: Final = 100
"""Names of authorities that are shown; there may be thousands."""
NAME_LENGTH: Final = 256
_HANDSHAKE, _ALERT = 22, 21  # content types of records (RFC 8446, section 5.1)
_SERVER_HELLO, _CERTIFICATE, _CERTIFICATE_REQUEST = 2, 11, 13  # RFC 8446, section 4
_KEPT: Final = frozenset({_SERVER_HELLO, _CERTIFICATE, _CERTIFICATE_REQUEST})
_TLS13: Final = 0x0304
_AUTHORITIES: Final = 47  # extension certificate_authorities (RFC 8446, section 4.2.4)
ALERTS: Final = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
    42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
    46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
    51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
    86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension",
    110: "unsupported_extension", 112: "unrecognized_name", 113: "bad_certificate_status_response",
    115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol",
}  # fmt: skip
"""Names of alerts (RFC 8446, section 6, and RFC 5246, section 7.2)."""


class Transcript:
    """The messages of one connection that are of interest, bounded in number and size. ``note`` never raises."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[int, bytes]] = {}
        self._left = MOST_BYTES
        self._messages = 0
        self.alert: int | None = None
        self.certificate_sent = False

    def note(self, connection: Any, direction: str, version: int, kind: int, _type: object, data: bytes) -> None:
        """Take one message, as `watch_messages` has it; the first of each kind counts. One too many ends it all."""
        self._messages += int(kind) == _HANDSHAKE
        if self._messages > MOST_MESSAGES:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        if int(kind) == _ALERT and direction == "read" and len(data) == 2:
            self.alert = self.alert if data[1] == 0 and self.alert is not None else data[1]
        if int(kind) != _HANDSHAKE or len(data) < 4 or data[0] not in _KEPT:
            return
        if direction == "write":
            # a client without a certificate sends an empty list; the request's context comes before it in TLS 1.3
            self.certificate_sent |= data[0] == _CERTIFICATE and len(data) > 16
        elif data[0] not in self._read and len(data) <= self._left:
            self._left -= len(data)
            self._read[data[0]] = (int(version), data[4:])

    @property
    def spoken(self) -> bool:
        """Whether the server answered the hello with one of its own, so that a version was agreed on."""
        return _SERVER_HELLO in self._read

    @property
    def asked(self) -> bool:
        """Whether the server asked for a certificate."""
        return _CERTIFICATE_REQUEST in self._read

    @property
    def version(self) -> str | None:
        """The version of the server's certificate message, as ``ssl`` writes versions; ``None``: it sent none."""
        number = self._read.get(_CERTIFICATE, (0, b""))[0]
        return {0x0304: "TLSv1.3", 0x0303: "TLSv1.2", 0x0302: "TLSv1.1", 0x0301: "TLSv1"}.get(number)

    def suite(self) -> int | None:
        """Return the number of the cipher suite that the server chose; ``None``: it cannot be read."""
        body = self._read.get(_SERVER_HELLO, (0, b""))[1]
        try:
            reader = Reader(body)
            reader.take(34)  # version and random
            reader.vector(1)  # session
            return int.from_bytes(reader.take(2), "big")
        except ValueError:
            return None

    def certificates(self) -> tuple[bytes, ...]:
        """Return what the server sent, DER, in its order, duplicates included, at most `MOST_CERTIFICATES`.

        Empty where it sent none, or a message that cannot be read.
        """
        version, body = self._read.get(_CERTIFICATE, (0, b""))
        try:
            return tuple(_certificates(Reader(body), version))[:MOST_CERTIFICATES]
        except ValueError:
            return ()

    def authorities(self) -> tuple[str, ...] | Unseen:
        """Return the names of acceptable CAs, escaped, at most `MOST_NAMES`; empty: the server sent none."""
        if not self.asked:
            return Unseen("the server did not ask for a certificate")
        version, body = self._read[_CERTIFICATE_REQUEST]
        try:
            return tuple(map(_name, _authorities(body, version)[:MOST_NAMES]))
        except ValueError:
            return Unseen("the server's request for a certificate cannot be read")


class Reader:
    """Bytes that are taken from the front. Raises `ValueError` where there are not as many as are asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether something is left."""
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """Return the next *count* bytes."""
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise ValueError("too short")
        self._at += count
        return found

    def vector(self, octets: int) -> bytes:
        """Return a vector whose length stands before it in that many octets (RFC 8446, section 3.4)."""
        return self.take(int.from_bytes(self.take(octets), "big"))


def _certificates(reader: Reader, version: int) -> Iterator[bytes]:
    if version >= _TLS13:
        reader.vector(1)  # certificate_request_context
    entries = Reader(reader.vector(3))
    while entries:
        yield entries.vector(3)
        if version >= _TLS13:
            entries.vector(2)  # extensions of the entry


def _authorities(body: bytes, version: int) -> list[bytes]:
    reader = Reader(body)
    if version < _TLS13:
        reader.vector(1)  # certificate types (RFC 5246, section 7.4.4)
        if version >= 0x0303:
            reader.vector(2)  # signature algorithms
        return _names(reader.vector(2))
    reader.vector(1)  # certificate_request_context
    extensions = Reader(reader.vector(2))
    found: list[bytes] = []
    while extensions:
        kind, data = int.from_bytes(extensions.take(2), "big"), extensions.vector(2)
        if kind == _AUTHORITIES:
            found += _names(Reader(data).vector(2))
    return found


def _names(data: bytes) -> list[bytes]:
    reader = Reader(data)
    found: list[bytes] = []
    while reader:
        found.append(reader.vector(2))
    return found


def _name(der: bytes) -> str:
    try:
        return escape(str(DistinguishedName.from_der(der)), NAME_LENGTH)
    except MalformedEvidence:
        return "(unreadable)"


def listen(context: ssl.SSLContext) -> Transcript:
    """Return the transcript of the next connection of *context*.

    Raises:
        ConfigurationError: This Python shows no messages.
    """
    transcript = Transcript()
    watch_messages(context, transcript.note)
    return transcript
