"""Moves bytes between a local connection and one over TLS, both ways, on one thread. It decides nothing.

One thread, and no second one for the way back: OpenSSL has no protection against a reader and a writer at once.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from typing import Final, TypeAlias

__all__ = ["farewell", "relay"]

_PART: Final = 65536
_TURNS: Final = 16
"""Parts that one direction may move before the other has its turn."""
_SILENCE: Final = 30.0
"""Seconds without progress after which a connection ends of which one direction has ended."""
_FAREWELL: Final = 10.0
"""Seconds that a server has to end its side once it was told of the end."""
_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE
_Wait: TypeAlias = tuple[socket.socket, int]


class _Flow:
    """One direction, from *source* to *sink*, neither of which blocks.

    Attributes:
        wait: The socket and the event without which it cannot go on; ``None``: it can.
        ended: Whether *source* has ended; all that came before that is written, or was lost.
        lost: Whether *sink* takes no more: what *source* says is read and dropped, lest it waits for that for ever.
        moved: When something was moved last, or one of the two ended, by the monotonic clock.
    """

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.wait: _Wait | None = None
        self.ended: bool = False
        self.lost: bool = False
        self.moved: float = time.monotonic()
        self._source: socket.socket = source
        self._sink: socket.socket = sink
        self._left: memoryview = memoryview(b"")

    def move(self) -> None:
        """Move what can be moved now."""
        self.wait = None
        for _ in range(_TURNS):
            at, event = (self._sink, _WRITE) if self._left else (self._source, _READ)
            try:
                self._step()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
                self.wait = (at, _event_of(error, event))
            except OSError:
                self._fail()
            if self.ended or self.wait is not None:
                return

    def _step(self) -> None:
        if self._left:
            self._left = self._left[self._sink.send(self._left) :]
        else:
            part = self._source.recv(_PART)
            self.ended = not part
            if self.lost and part:
                return  # which is no progress
            self._left = memoryview(part)
        self.moved = time.monotonic()

    def _fail(self) -> None:
        if self._left:
            self.lost, self._left = True, memoryview(b"")
        else:
            self.ended = True
        self.moved = time.monotonic()


def _event_of(error: OSError, otherwise: int) -> int:
    """Return what *error* waits for: TLS may have to write in order to read, and the other way round."""
    if isinstance(error, ssl.SSLWantReadError):
        return _READ
    return _WRITE if isinstance(error, ssl.SSLWantWriteError) else otherwise


def relay(local: socket.socket, remote: socket.socket, stop: socket.socket) -> None:
    """Move bytes both ways until the server has ended, or the driver has and all that it wrote is written.

    A driver that ends its own direction alone is given what the server says until that ends, or is silent for
    `_SILENCE`; the server is told of the end only then, because `ssl` would drop what it says meanwhile. A server that
    takes nothing for as long, when the driver has gone, loses the rest.

    Args:
        local: A connection without TLS.
        remote: One with it, whose handshake is over.
        stop: Is never read; where it can be, everything ends at once.
    """
    local.settimeout(0)
    remote.settimeout(0)
    out, back = _Flow(local, remote), _Flow(remote, local)
    with selectors.DefaultSelector() as selector:
        selector.register(stop, _READ)
        while True:
            going = [flow for flow in (out, back) if not flow.ended]
            for flow in going:
                flow.move()
            if back.ended or out.lost or (out.ended and (back.lost or _gone(local))):
                return
            waits = [flow.wait for flow in going if not flow.ended and flow.wait is not None]
            for sock in (local, remote):
                _register(selector, sock, sum({event for at, event in waits if at is sock}))
            patience = _patience(out, back)
            busy = len(waits) < sum(not flow.ended for flow in going)
            ready = selector.select(0 if busy else patience)
            if any(key.fileobj is stop for key, _ in ready) or (patience is not None and patience <= 0):
                return


def _patience(out: _Flow, back: _Flow) -> float | None:
    """Return for how many seconds nothing may move; ``None``: no direction has ended, and nothing has to."""
    if not out.ended and not back.lost:
        return None
    return max(out.moved, back.moved) + _SILENCE - time.monotonic()


def _gone(local: socket.socket) -> bool:
    """Return whether the other end of *local*, a Unix socket, is closed for reading too: then nothing can be sent."""
    try:
        local.send(b"")
    except OSError:
        return True
    return False


def farewell(remote: ssl.SSLSocket, stop: socket.socket) -> None:
    """Say on *remote* that this is the end of TLS, and wait until the server has ended as well, or for `_FAREWELL`.

    What it still says is dropped. A socket that is closed while something is unread is reset, and the server would lose
    what it has not been sent yet.

    Args:
        remote: Does not block.
        stop: Is never read; where it can be, nothing is waited for.
    """
    end = time.monotonic() + _FAREWELL
    event = _WRITE
    with selectors.DefaultSelector() as selector:
        selector.register(stop, _READ)
        while (left := end - time.monotonic()) > 0:
            if event == _WRITE:
                event = _say_the_end(remote)
            if remote.fileno() == -1 or (event == _READ and _heard_the_end(remote)):
                return
            _register(selector, remote, event)
            if any(key.fileobj is stop for key, _ in selector.select(left)):
                return


def _say_the_end(remote: ssl.SSLSocket) -> int:
    """Send the alert ``close_notify`` (RFC 8446, section 6.1), and return the event to wait for next."""
    try:
        remote.unwrap()
    except ssl.SSLWantWriteError:
        return _WRITE
    except (OSError, ValueError):  # it waits for the answer, or there is no TLS any more
        return _READ
    return _READ


def _heard_the_end(remote: socket.socket) -> bool:
    """Read what has come, below TLS, and return whether the server has ended."""
    try:
        for _ in range(_TURNS):
            if not socket.socket.recv(remote, _PART):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def _register(selector: selectors.BaseSelector, sock: socket.socket, events: int) -> None:
    known = selector.get_map().get(sock.fileno())
    if known is None:
        if events:
            selector.register(sock, events)
    elif not events:
        selector.unregister(sock)
    elif known.events != events:
        selector.modify(sock, events)
