"""Reads one HTTP/1.1 response (RFC 9112) from a connection, within one deadline and within limits, or says why not.

`http.client` reads the framing; every byte that it asks for comes through `Wire`. What the body says, and its media
type, are not looked at: signatures decide on those.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from email.message import Message
from typing import Any, Final

from mtlspolicy._text import escape
from mtlspolicy.revocation._destinations import Blame, FetchFailed

__all__ = ["Wire", "left_or_little", "read_answer", "refuse_status", "remaining", "timed_out", "too_large"]

MOST_HEADERS: Final = 32 * 1024
"""Bytes of status line and headers, together with what of the body arrives beside them. Servers allow 8 to 16 KiB."""
READ_AHEAD: Final = 8 * 1024
"""Bytes of the body that may be counted among the headers; Python's own default is not the same in each version."""
PIECE: Final = 64 * 1024
"""Bytes read at once."""
LONGEST_WAIT: Final = 1_000_000.0
"""Seconds; what a socket's timeout can hold."""
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Line ends among them: a value on several lines (obs-fold, RFC 9112, section 5.2) keeps them."""


def remaining(until: float, origin: str) -> float:
    """Return the seconds left until the moment *until* of `time.monotonic`.

    Raises:
        FetchFailed: ``fetch.timeout``: there are none, or *until* is no number.
    """
    left = until - time.monotonic()
    if not left > 0:
        raise timed_out(origin)
    return min(left, LONGEST_WAIT)


def left_or_little(until: float) -> float:
    """Return the seconds left until *until*, at least one thousandth: for what finds by itself that they are over."""
    return min(max(until - time.monotonic(), 0.001), LONGEST_WAIT)


def timed_out(origin: str) -> FetchFailed:
    """Return the failure of a deadline that has passed."""
    return FetchFailed("fetch.timeout", f"{origin}: no complete answer within the time allowed")


class Wire(io.RawIOBase):
    """A connected socket on which every single read and write ends at the one deadline, and reads end at a limit.

    A limit on each read alone would let a peer that sends one byte at a time go on for ever.
    """

    def __init__(self, connection: socket.socket, *, until: float, origin: str) -> None:
        super().__init__()
        self.origin = origin
        self._connection = connection
        self._until = until
        self._left = MOST_HEADERS
        self._too_long = FetchFailed("fetch.headers", f"{origin}: more than {MOST_HEADERS} bytes of headers")

    def expect_piece(self, most_bytes: int) -> None:
        """Let as many bytes come as a piece of a body of *most_bytes* takes, in chunks of a sensible size or none.

        Each piece by itself: else a long body could be all framing, and chunks of one byte take a second for a million.
        """
        self._left = 3 * PIECE
        self._too_long = too_large(self.origin, most_bytes)

    def send(self, data: bytes) -> None:
        """Send all of *data*.

        Raises:
            FetchFailed: ``fetch.timeout``, or ``fetch.incomplete`` where the connection broke.
        """
        view = memoryview(data)
        while view:
            self._connection.settimeout(remaining(self._until, self.origin))
            try:
                view = view[self._connection.send(view) :]
            except OSError as error:
                raise self._broken(error) from None

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a buffered reader of what arrives: all that `http.client.HTTPResponse` asks of a socket."""
        return io.BufferedReader(self, READ_AHEAD)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read what has arrived, at least one byte; 0 at the end.

        Raises:
            FetchFailed: The deadline has passed, the connection broke, or more has come than may.
        """
        self._connection.settimeout(remaining(self._until, self.origin))
        try:
            count = self._connection.recv_into(buffer)
        except OSError as error:
            raise self._broken(error) from None
        self._left -= count
        if self._left < 0:
            raise self._too_long
        return count

    def _broken(self, error: OSError) -> FetchFailed:
        if isinstance(error, TimeoutError):
            return timed_out(self.origin)
        reason = error.strerror or type(error).__name__
        cut = not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError)
        return FetchFailed("fetch.incomplete" if cut else "fetch.tls", f"{self.origin}: the connection broke: {reason}")


def read_answer(wire: Wire, *, method: str, most_bytes: int) -> bytes:
    """Return the body of the one response on *wire*, from 0 to *most_bytes* bytes.

    Raises:
        FetchFailed: Anything but a complete 200, not encoded, within the limits and before the deadline.
    """
    origin = wire.origin
    response = http.client.HTTPResponse(wire, method=method)  # type: ignore[arg-type]  # all it takes is makefile
    try:
        _begin(response, origin)
        refuse_status(response.status, response.reason, origin)
        length = _framing(response, origin)
        if length is not None and length > most_bytes:
            raise too_large(origin, most_bytes)
        body = _read(response, wire, most_bytes)
    finally:
        response.close()
    if length is not None and len(body) != length:
        raise FetchFailed("fetch.incomplete", f"{origin}: {len(body)} bytes of {length}")
    return body


def _begin(response: http.client.HTTPResponse, origin: str) -> None:
    try:
        response.begin()
    except FetchFailed:
        raise
    except http.client.RemoteDisconnected:
        raise FetchFailed("fetch.incomplete", f"{origin}: the connection was closed without an answer") from None
    except Exception as error:  # noqa: BLE001 - whatever hostile headers do to the parser, they are no answer
        raise FetchFailed("fetch.headers", f"{origin}: no HTTP response: {type(error).__name__}") from None


def refuse_status(status: int, reason: str, origin: str) -> None:
    """Raise for every status but 200.

    Redirects are not followed: they lead where nobody allowed. What is refused for one certificate (4xx) is held
    against that one alone.

    Raises:
        FetchFailed: ``fetch.redirect`` or ``fetch.status``.
    """
    if status == 200:
        return
    said = f"{origin}: answered {status} {escape(reason, 80)}".rstrip()
    if 300 <= status < 400:
        raise FetchFailed("fetch.redirect", f"{said}; redirects are not followed")
    blame: Blame = "responder" if status >= 500 else "certificate"
    raise FetchFailed("fetch.status", said, retryable=status >= 500 or status in {408, 425, 429}, counts_for=blame)


def _framing(response: http.client.HTTPResponse, origin: str) -> int | None:
    """Return the length of the body, or ``None`` where chunks or the end of the connection tell it."""
    headers = response.headers
    _require_plain(headers, origin)
    codings = headers.get_all("transfer-encoding", [])
    lengths = headers.get_all("content-length", [])
    if headers.get_all("content-encoding") or len(codings) > 1 or bool(codings) != response.chunked:
        named = ", ".join([*headers.get_all("content-encoding", []), *codings])
        raise FetchFailed("fetch.encoding", f"{origin}: an encoded body, {escape(named, 80)}; none was asked for")
    # RFC 9112, section 6.1: both together, or chunks in HTTP/1.0, are how requests are smuggled
    if codings and (lengths or response.version < 11):
        raise FetchFailed("fetch.headers", f"{origin}: chunks where there can be none")
    if not lengths:
        return None
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise FetchFailed("fetch.headers", f"{origin}: Content-Length {escape(', '.join(lengths), 80)}")
    return int(lengths[0])


def _require_plain(headers: Message, origin: str) -> None:
    """Raise unless every header is one line of name, colon and text; the parser of mail headers forgives much."""
    odd = headers.defects or headers.get_unixfrom() or headers.get_payload()
    if odd or any(_CONTROL.search(str(text)) for item in headers.items() for text in item):
        raise FetchFailed("fetch.headers", f"{origin}: headers that are not plain lines (RFC 9112, section 5)")


def _read(response: http.client.HTTPResponse, wire: Wire, most_bytes: int) -> bytes:
    body, origin = bytearray(), wire.origin
    try:
        wire.expect_piece(most_bytes)
        # one byte more than allowed is asked for, which tells a body that ends there from one that goes on
        while len(body) <= most_bytes and (piece := response.read(min(PIECE, most_bytes + 1 - len(body)))):
            body += piece
            wire.expect_piece(most_bytes)
    except FetchFailed:
        raise
    except Exception as error:  # noqa: BLE001 - a broken chunk, in whichever way http.client tells it
        reason = type(error).__name__
        raise FetchFailed(
            "fetch.incomplete", f"{origin}: the body is broken after {len(body)} bytes: {reason}"
        ) from None
    if len(body) > most_bytes:
        raise too_large(origin, most_bytes)
    return bytes(body)


def too_large(origin: str, most_bytes: int) -> FetchFailed:
    """Return the failure of an answer that is longer than it may be."""
    return FetchFailed("fetch.too-large", f"{origin}: the answer is longer than {most_bytes} bytes")
