"""Holds the one connection of a request by httpx to its deadline, and what comes before its answer to a size.

httpcore tells of each connection that it opens by the extension ``trace`` of the request, before a byte is read from
it. It decides nothing about addresses, and reads nothing itself.
"""

from __future__ import annotations

from typing import Any, Final

from mtlspolicy.revocation._destinations import FetchFailed
from mtlspolicy.revocation._http_response import MOST_HEADERS, READ_AHEAD, left_or_little, remaining

__all__ = ["AsyncWire", "BlockingWire"]

_OPENING: Final = "connection.connect_tcp.started"
_OPENED: Final = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})
_ASKING: Final = "http11.send_request_headers.started"
_BEGUN: Final = "http11.receive_response_headers.complete"


class _Wire:
    """What is known of the connection of one request.

    Args:
        until: The deadline, on the monotonic clock, in seconds.
        origin: For messages.

    Attributes:
        stream: The connection, once there is one. httpcore leaves it open where a TLS handshake is cancelled, so that
            whoever gives up closes it.
    """

    def __init__(self, *, until: float, origin: str) -> None:
        self.until = until
        self.origin = origin
        self.stream: Any = None
        self._begun = False
        self._came = 0

    def heard(self, event: str, info: dict[str, Any]) -> Any:
        """Take note of one event of httpcore's, and return the stream of a connection that was just opened.

        Raises:
            FetchFailed: ``fetch.connect``: the request would go over a connection that nobody here holds to anything.
                httpcore then closes it, so that the next attempt opens one of its own.
        """
        if event in _OPENED:
            self.stream = info["return_value"]
            return self.stream
        if event == _ASKING and self.stream is None:
            raise FetchFailed("fetch.connect", f"{self.origin}: a connection of other requests of the client was left")
        self._begun = self._begun or event == _BEGUN
        return None

    def allowed(self, most: int) -> int:
        """Return how many of *most* bytes may be read at once: few, until the answer's own headers are there.

        Interim answers (``100 Continue``, RFC 9110, section 15.2) may come without end, each a line and an empty one,
        and the parser goes through all that was read before anybody else has a turn.

        Raises:
            FetchFailed: ``fetch.headers``: more came than may before them.
        """
        if self._begun:
            return most
        if self._came >= MOST_HEADERS:
            raise FetchFailed(
                "fetch.headers", f"{self.origin}: more than {MOST_HEADERS} bytes of headers and interim answers"
            )
        return min(most, READ_AHEAD)

    def count(self, data: bytes) -> bytes:
        """Return *data*, which was read, after counting it."""
        self._came += len(data)
        return data


class BlockingWire(_Wire):
    """For `httpx.Client`: every read ends at the deadline, where httpx's own time-outs are for each read alone."""

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Stand in front of the stream's methods as soon as there is one."""
        if event == _OPENING:  # after waiting for a place in the pool, which has taken some of the time
            info["timeout"] = min(info["timeout"], left_or_little(self.until))
        stream = self.heard(event, info)
        if stream is None:
            return
        read, start_tls = stream.read, stream.start_tls

        def timed_read(max_bytes: int, timeout: float | None = None) -> bytes:
            del timeout
            found: bytes = read(self.allowed(max_bytes), timeout=remaining(self.until, self.origin))
            return self.count(found)

        def timed_handshake(**options: Any) -> Any:
            # what has passed is left to the handshake to find: it closes the connection
            return start_tls(**{**options, "timeout": left_or_little(self.until)})

        stream.read, stream.start_tls = timed_read, timed_handshake


class AsyncWire(_Wire):
    """For `httpx.AsyncClient`, whose requests are cancelled at the deadline."""

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Stand in front of the stream's reading as soon as there is one."""
        stream = self.heard(event, info)
        if stream is None:
            return
        read = stream.read

        async def limited(max_bytes: int, **limits: Any) -> bytes:
            return self.count(await read(self.allowed(max_bytes), **limits))

        stream.read = limited
