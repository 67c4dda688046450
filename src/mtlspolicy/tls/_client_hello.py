"""Reads the server name out of the first bytes of a connection (RFC 8446, section 4.1.2; RFC 6066, section 3).

OpenSSL tells the name of the *session* where a client resumes one with TLS 1.2, whatever the client asks for now; only
the bytes say that. It decides nothing, and what it cannot read it says it cannot: `UNREADABLE`.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["UNREADABLE", "Unreadable", "server_name_in"]

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0


class Unreadable(enum.Enum):
    """The answer where the bytes are not one whole ClientHello in one record."""

    UNREADABLE = "unreadable"


UNREADABLE: Final = Unreadable.UNREADABLE


class _Short(Exception):
    """The bytes end before the field does."""


class _Bytes:
    """Fields of a TLS structure, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise _Short
        found = self._data[self._at : end]
        self._at = end
        return found

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def vector(self, length: int) -> bytes:
        """Return a field that has its own length before it, in *length* bytes."""
        return self.take(self.number(length))

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def server_name_in(data: bytes) -> str | Unreadable | None:
    """Return the host name that the ClientHello at the start of *data* asks for; ``None``: it asks for none.

    Args:
        data: The first bytes of the connection, as the client sent them.
    """
    try:
        record = _Bytes(data)
        if record.number(1) != _HANDSHAKE:
            return UNREADABLE
        record.take(2)  # legacy_record_version
        message = _Bytes(record.vector(2))
        if message.number(1) != _CLIENT_HELLO:
            return UNREADABLE
        hello = _Bytes(message.vector(3))
        hello.take(2 + 32)  # legacy_version, random
        hello.vector(1)  # legacy_session_id
        hello.vector(2)  # cipher_suites
        hello.vector(1)  # legacy_compression_methods
        return _host_name(_Bytes(hello.vector(2) if hello else b""))
    except (_Short, UnicodeDecodeError):
        return UNREADABLE


def _host_name(extensions: _Bytes) -> str | None:
    while extensions:
        kind, body = extensions.number(2), _Bytes(extensions.vector(2))
        if kind == _SERVER_NAME:
            names = _Bytes(body.vector(2))
            if names.number(1) != _HOST_NAME:
                raise _Short
            return names.vector(2).decode("ascii")
    return None
