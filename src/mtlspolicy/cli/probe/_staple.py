"""Asks a server for an OCSP response in the handshake (RFC 6066, section 8), and has it read. ``ssl`` cannot ask.

It needs the extra ``pyopenssl``. The connection shows no certificate and relies on nothing that the server says; what
the response is worth is decided by the interpreter of `mtlspolicy.revocation`.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from mtlspolicy._revocation import OCSPQuestion
from mtlspolicy._text import escape
from mtlspolicy.cli.probe._seen import Chain, Place, Staple, Unseen
from mtlspolicy.cli.probe._wire import Clock
from mtlspolicy.revocation._ocsp_response import read_ocsp

MISSING: Final = "needs pyOpenSSL: install mtlspolicy[pyopenssl]"
_PIECE: Final = 16 * 1024
_MOST_RECEIVED: Final = 512 * 1024


def stapled(place: Place, clock: Clock) -> bytes | Unseen | None:
    """Return the response that came in a handshake, ``None`` where none came, or why that is not known.

    Raises:
        TimeoutError: The time of the probe was up before it began.
    """
    try:
        from OpenSSL import SSL
    except ImportError:
        return Unseen(MISSING)
    until = time.monotonic() + clock.open()
    found: list[bytes] = []

    def keep(_connection: Any, response: bytes, _data: object) -> bool:
        found.append(response)
        return True

    context: Any = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_ocsp_client_callback(keep)
    connection: Any = SSL.Connection(context, None)
    connection.set_connect_state()
    connection.request_ocsp()
    if not _is_address(place.server_name):
        connection.set_tlsext_host_name(place.server_name.encode("ascii"))
    try:
        with socket.create_connection((place.address, place.port), timeout=until - time.monotonic()) as plain:
            done = _shake_hands(connection, plain, until, SSL)
    except OSError:
        done = False
    if found and found[0]:
        return found[0]
    # The callback is called with nothing where the server sent nothing, also in a handshake that fails later.
    return None if found or done else Unseen("the handshake was not finished, so nothing is known of it")


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def _shake_hands(connection: Any, plain: socket.socket, until: float, engine: Any) -> bool:
    """Return whether the handshake was finished, in time and within the bytes that one may have."""
    left = _MOST_RECEIVED
    while left > 0:
        try:
            connection.do_handshake()
        except engine.WantReadError:
            pass
        except engine.Error:
            return False
        else:
            return True
        with suppress(engine.WantReadError):
            plain.settimeout(max(until - time.monotonic(), 0.001))
            plain.sendall(connection.bio_read(_PIECE * 4))
        plain.settimeout(max(until - time.monotonic(), 0.001))
        piece = plain.recv(_PIECE)
        if not piece or time.monotonic() > until:
            return False
        left -= len(piece)
        connection.bio_write(piece)
    return False


def read_staple(response: bytes | Unseen | None, chain: Chain, at: datetime) -> Staple | Unseen | None:
    """Return what *response* says of the server's certificate.

    Args:
        response: From `stapled`.
        chain: The chain of the same server, whose issuer signs.
        at: The time, aware.
    """
    if response is None or isinstance(response, Unseen):
        return response
    if not chain.certificates or chain.issuer is None:
        return Unseen(f"a response of {len(response)} bytes came; it is not read, because the server is not verified")
    answer = read_ocsp(response, OCSPQuestion(chain.certificates[0], chain.issuer), at=at, source="stapled")
    return Staple(answer.status.value.lower(), answer.code, escape(answer.detail, 300))
