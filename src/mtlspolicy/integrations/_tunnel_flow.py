"""Moves bytes between a local connection and one over TLS, both ways, on one thread. It decides nothing.

One thread, and no second one for the way back: OpenSSL has no protection against a reader and a writer at once.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from typing import Final, TypeAlias

__all__ = ["relay"]

_PART: Final = 65536
_TURNS: Final = 16
"""Parts that one direction may move before the other has its turn."""
_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE
_Wait: TypeAlias = tuple[socket.socket, int]


class _Flow:
    """One direction, from *source* to *sink*, neither of which blocks.

    Attributes:
        wait: The socket and the event without which it cannot go on; ``None``: it can.
        ended: Whether one of the two has ended; all that came before that is written.
    """

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.wait: _Wait | None = None
        self.ended: bool = False
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
                self.ended = True
            if self.ended or self.wait is not None:
                return

    def _step(self) -> None:
        if self._left:
            self._left = self._left[self._sink.send(self._left) :]
        else:
            self._left = memoryview(self._source.recv(_PART))
            self.ended = not self._left


def _event_of(error: OSError, otherwise: int) -> int:
    """Return what *error* waits for: TLS may have to write in order to read, and the other way round."""
    if isinstance(error, ssl.SSLWantReadError):
        return _READ
    return _WRITE if isinstance(error, ssl.SSLWantWriteError) else otherwise


def relay(local: socket.socket, remote: socket.socket, stop: socket.socket) -> None:
    """Move bytes both ways until one of the two has ended, or *stop* can be read.

    Args:
        local: A connection without TLS.
        remote: One with it, whose handshake is over.
        stop: Is never read.
    """
    local.settimeout(0)
    remote.settimeout(0)
    flows = (_Flow(local, remote), _Flow(remote, local))
    with selectors.DefaultSelector() as selector:
        selector.register(stop, _READ)
        while True:
            for flow in flows:
                flow.move()
            if any(flow.ended for flow in flows):
                return
            waits = [flow.wait for flow in flows if flow.wait is not None]
            for sock in (local, remote):
                _register(selector, sock, sum({event for at, event in waits if at is sock}))
            ready = selector.select(None if len(waits) == len(flows) else 0)
            if any(key.fileobj is stop for key, _ in ready):
                return


def _register(selector: selectors.BaseSelector, sock: socket.socket, events: int) -> None:
    known = selector.get_map().get(sock.fileno())
    if known is None:
        if events:
            selector.register(sock, events)
    elif not events:
        selector.unregister(sock)
    elif known.events != events:
        selector.modify(sock, events)
