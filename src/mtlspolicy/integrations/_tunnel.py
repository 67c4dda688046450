"""A way over TLS for programs that cannot be given a context: a Unix socket of this process, which leads to one server.

Each connection to it is one connection over TLS, on which the verifier of the context decides before a byte is moved.
Whoever may connect is said by the operating system: this process alone. It decides nothing about servers itself.
"""

from __future__ import annotations

import atexit
import os
import re
import selectors
import shutil
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._tunnel_flow import farewell, relay
from mtlspolicy.tls._log import LIMITER, LOGGER

__all__ = ["Course", "Way", "endpoint"]

_PATIENCE: Final = 10.0
"""Seconds for the connection to the server before its handshake, which has a limit of its own; and to end a thread."""
_PAUSE: Final = 0.05
"""Seconds until a connection that could not be accepted is tried again."""
_MOST_PORTS: Final = 65536
_PEER: Final = {"linux": (1, 17, 12), "darwin": (0, 2, 4)}
"""``SOL_SOCKET, SO_PEERCRED`` and ``SOL_LOCAL, LOCAL_PEERPID``: level, option, octets. Four of them are the process."""


class Way(NamedTuple):
    """Where a tunnel leads, and how.

    Attributes:
        host: Of the server: what is dialed, and what `ReferenceIdentifier.DIALED` means.
        port: Of the server.
        context: Of a client, with a verifier.
        before: Speaks with the server before TLS begins; whatever it raises as ``OSError`` ends the connection.
        protocol: The application protocol (ALPN) that has to be agreed on; "": none is asked for.
    """

    host: str
    port: int
    context: ssl.SSLContext
    before: Callable[[socket.socket], object] | None
    protocol: str


def endpoint(target: object) -> tuple[str, int]:
    """Return host and port of *target*, ``db.example.org:5432`` or ``[2001:db8::1]:5432``; other names as A-labels.

    Raises:
        ConfigurationError: It is something else.
    """
    host, _, port = target.rpartition(":") if isinstance(target, str) else ("", "", "")
    bracketed = host[:1] == "[" and host[-1:] == "]"
    name = host[1:-1] if bracketed else host
    numbered = re.fullmatch(r"[0-9]{1,5}", port) is not None and 0 < int(port) < _MOST_PORTS
    plain = name.isascii() and name.isprintable() and not set(name) & set("/[]@?# ")
    if not name or not plain or not numbered or bracketed != (":" in name):
        raise ConfigurationError(
            f'target={escape(repr(target))}: give host and port, "server.example.org:50051" or "[2001:db8::1]:50051"'
        )
    return name, int(port)


class Course:
    """What runs: a socket that listens, a thread that accepts, and one for each connection.

    Attributes:
        path: Of the socket, in a folder of its own that nobody else may enter.
        refusal: Why the last connection came to nothing; ``None``: it was admitted, or there was none yet.

    Args:
        way: Where it leads.
        name: Of the socket in its folder.

    Raises:
        ConfigurationError: This system does not say who connects to a Unix socket.
        OSError: The socket cannot be made.
    """

    def __init__(self, way: Way, name: str) -> None:
        if not hasattr(socket, "AF_UNIX") or sys.platform not in _PEER:
            raise ConfigurationError(
                "a tunnel is a Unix socket for this process alone, and this system does not say who connects to one: "
                "Linux and macOS do"
            )
        self.refusal: Exception | None = None
        self._way: Way = way
        self._closed: bool = False
        self._process: int = os.getpid()
        self._lock: threading.Lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._switches: set[socket.socket] = set()
        with ExitStack() as undo:
            folder = tempfile.mkdtemp(prefix="mtls-")  # of mode 0700
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            self.path: Path = Path(folder) / name
            self._listener: socket.socket = undo.enter_context(socket.socket(socket.AF_UNIX))
            self._listener.bind(str(self.path))
            self._listener.listen()
            self._listener.settimeout(0)
            self._stop, self._stopped = socket.socketpair()
            undo.enter_context(self._stopped)
            self._end: ExitStack = undo.pop_all()
        atexit.register(self.close)
        self._start(self._accept)

    def close(self) -> None:
        """End every connection and the socket; once more, or in a process forked off, does nothing."""
        if os.getpid() != self._process:
            return  # and the lock may be one that a thread of the parent held, for ever
        with self._lock:
            if self._closed:
                return
            self._closed = True
            _shut(self._stop)  # so that every thread that waits can read the other half, whoever was forked off
            self._stop.close()
            for switch in self._switches:
                _shut(switch)
            threads = tuple(self._threads)
        atexit.unregister(self.close)
        for thread in threads:
            thread.join(_PATIENCE)
        self._end.close()

    def _start(self, run: Callable[[], None]) -> None:
        def course() -> None:
            try:
                run()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=course, name="mtlspolicy-tunnel", daemon=True)
        with self._lock:
            thread.start()
            self._threads.add(thread)

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while not self._closed:
                selector.select()
                try:
                    self._begin()
                except (OSError, RuntimeError):  # closed meanwhile, or no descriptor or thread is left for now
                    time.sleep(_PAUSE)

    def _begin(self) -> None:
        local, _ = self._listener.accept()
        with ExitStack() as undo:
            undo.enter_context(local)
            undo.callback(_shut, local)
            found = _process_of(local)
            if found != self._process:
                _log("closed a connection to a tunnel that came from another process, %d", found)
                return
            self._start(lambda: self._serve(local))
            undo.pop_all()

    def _serve(self, local: socket.socket) -> None:
        with local, ExitStack() as open_ones:
            open_ones.callback(_shut, local)
            try:
                remote = self._connected(open_ones)
            except Exception as error:  # noqa: BLE001 - whatever a policy's source or `before` raised admits nobody
                self.refusal = error.with_traceback(None)  # which would keep all that it went through
                return
            self.refusal = None
            relay(local, remote, self._stopped)
            _shut(local)
            farewell(remote, self._stopped)

    def _connected(self, open_ones: ExitStack) -> ssl.SSLSocket:
        """Return a connection over TLS to a server that was admitted; the context logs who was not."""
        way = self._way
        try:
            plain = open_ones.enter_context(socket.create_connection((way.host, way.port), _PATIENCE))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._watch(plain, open_ones)
            if way.before is not None:
                way.before(plain)
            remote = open_ones.enter_context(way.context.wrap_socket(plain, server_hostname=way.host))
            _require_protocol(remote, way.protocol)
        except Exception as error:
            if not isinstance(error, ssl.SSLError):
                _log("no way to %s:%d: %s", escape(way.host), way.port, escape(str(error) or type(error).__name__))
            raise
        return remote

    def _watch(self, plain: socket.socket, open_ones: ExitStack) -> None:
        """See to it that `close` ends *plain*, whatever waits for it."""
        switch = open_ones.enter_context(plain.dup())  # TLS takes the descriptor of the other one away
        with self._lock:
            if self._closed:
                raise ConnectionAbortedError("the tunnel was closed")
            self._switches.add(switch)
        open_ones.callback(self._forget, switch)

    def _forget(self, switch: socket.socket) -> None:
        _shut(switch)
        with self._lock:
            self._switches.discard(switch)


def _shut(sock: socket.socket) -> None:
    """End a connection for its other end as well where a forked child has a copy of it, which `close` does not."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _require_protocol(remote: ssl.SSLSocket, protocol: str) -> None:
    if protocol and remote.selected_alpn_protocol() != protocol:
        raise ConnectionAbortedError(f"the server does not speak {protocol} over TLS")


def _process_of(local: socket.socket) -> int:
    """Return the number of the process at the other end, as the operating system says."""
    level, option, size = _PEER[sys.platform]
    found: int = struct.unpack_from("i", local.getsockopt(level, option, size))[0]
    return found


def _log(text: str, *parts: object) -> None:
    if LIMITER.take("tunnel", time.monotonic()) is not None:
        LOGGER.warning(text, *parts)
