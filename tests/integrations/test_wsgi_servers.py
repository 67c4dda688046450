"""cheroot and wsgiref: what their integrations take, and what they read as a header."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any, cast

import pytest

from mtlspolicy import ConfigurationError
from mtlspolicy.integrations.cheroot import SSLAdapter
from tests.integrations import battery
from tests.integrations.serving import HOST, PATIENCE


def test_the_adapter_takes_a_context_with_a_verifier() -> None:
    """Anything else would be TLS that asks nobody."""
    with pytest.raises(ConfigurationError, match=r"SSLAdapter\(SSLContext\): give a context of tls.server_context"):
        SSLAdapter(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with pytest.raises(ConfigurationError, match=r"SSLAdapter\(str\)"):
        SSLAdapter("server.pem")  # type: ignore[arg-type]


def _ask(port: int, context: ssl.SSLContext, request: bytes) -> bytes:
    """Return what comes back for *request*."""
    plain = socket.create_connection((HOST, port), PATIENCE)
    with context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(4096), b""))


def test_wsgiref_reads_a_header_as_proxies_do(tmp_path: Path) -> None:
    """A bare CR inside of a value makes no second header."""
    with battery.wsgiref_serving(tmp_path) as server:
        context = battery.client_context(tmp_path, battery.GOOD)
        good = b"GET / HTTP/1.0\r\nX: 1\r\n\r\n"
        assert b" 200 OK" in _ask(server.port, context, good).splitlines()[0]
        assert b" 400 " in _ask(server.port, context, good.replace(b"1\r", b"1\rClient-Cert: x\r")).splitlines()[0]
        assert server.ran == 1


def test_cheroot_says_that_the_connection_is_https(tmp_path: Path) -> None:
    """Applications build addresses from it; and the peer stands beside it under the names that servers use."""
    with battery.cheroot_serving(tmp_path) as server:
        answer = _ask(server.port, battery.client_context(tmp_path, battery.GOOD), b"GET / HTTP/1.0\r\n\r\n")
    assert b"SSL_CLIENT_S_DN" in answer
    assert server.ran == 1


def test_what_cheroot_could_not_write_is_dropped_once_and_for_all(tmp_path: Path) -> None:
    """An error of the socket is told once, as it is; what is still to be written to it then goes nowhere."""
    adapter = SSLAdapter(battery.server_context(tmp_path))
    near, far = socket.socketpair()
    far.close()
    with near:
        file: Any = adapter.makefile(cast("Any", near), "wb", 8192)
        with pytest.raises(OSError):  # noqa: PT011 - which one is for the system to say
            file.write(b"x")
        file.close()
        assert near.fileno() >= 0


def test_cheroot_outlives_an_answer_that_nobody_waits_for(tmp_path: Path) -> None:
    """Whoever is gone when the answer is written ends his own connection, and not the server."""
    with battery.cheroot_serving(tmp_path) as server:
        context = battery.client_context(tmp_path, battery.GOOD)
        for _ in range(5):
            with socket.create_connection((HOST, server.port), PATIENCE) as plain:
                sock = context.wrap_socket(plain, server_hostname="localhost")
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                sock.close()
            with socket.create_connection((HOST, server.port), PATIENCE) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 200 OK" in _ask(server.port, context, b"GET / HTTP/1.0\r\n\r\n").splitlines()[0]
