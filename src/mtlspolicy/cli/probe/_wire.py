"""Opens one connection of a probe, asks once, reads once, and says how it ended. Bounded in time and bytes.

A refusal of TLS 1.3 comes after the client has finished its handshake, so that it shows at the first read and nowhere
else. Nothing is judged here, no redirect is followed, and only the one address is connected to.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from mtlspolicy._text import escape
from mtlspolicy._version import __version__
from mtlspolicy.cli.probe._messages import ALERTS, Transcript, listen
from mtlspolicy.cli.probe._seen import Attempt, End, Place
from mtlspolicy.tls._errors import HandshakeRejected
from mtlspolicy.tls._openssl import diagnose

MOST_READ: Final = 16 * 1024
"""Bytes of an answer that are read; the status line is what is wanted."""
STEP: Final = 10.0
"""Seconds for one connection, at most."""
QUIET = 2.0
"""Seconds that a server without HTTP has for a first byte, or for its refusal."""
PAUSE: Final = 0.05
"""Seconds that a refusal of TLS 1.3 has at least before the request is sent; else twice what the handshake took."""
LINE: Final = 120
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")


class Clock:
    """The one deadline of a probe, and the number of connections that it may open.

    Args:
        seconds: For the whole probe.
        connections: How many may be opened.
    """

    def __init__(self, seconds: float, connections: int = 20) -> None:
        self._until = time.monotonic() + seconds
        self._most = connections
        self.opened = 0

    def left(self, most: float = STEP) -> float:
        """Return the seconds for something that may take at most *most*; 0 or less: the time is up."""
        return min(most, self._until - time.monotonic())

    def open(self) -> float:
        """Count a connection, and return its seconds.

        Raises:
            TimeoutError: The time is up, or there were connections enough.
        """
        if self.opened >= self._most or self.left() <= 0:
            raise TimeoutError("the time of the probe is up")
        self.opened += 1
        return self.left()


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection as it went.

    Attributes:
        end: How it ended.
        text: The same in words, escaped.
        transcript: The messages of its handshake.
        status: Of HTTP.
        in_handshake: Whether it ended there.
        version: The TLS version, where the handshake was complete.
        resumed: Whether a session was resumed.
        session: The session that the server left us with.
    """

    end: End
    text: str
    transcript: Transcript
    status: int | None = None
    in_handshake: bool = False
    version: str | None = None
    resumed: bool = False
    session: ssl.SSLSession | None = None

    def attempt(self, key: str) -> Attempt:
        """Return it as the attempt called *key*."""
        transcript = self.transcript
        return Attempt(
            key, self.end, self.text, self.status, transcript.asked, transcript.certificate_sent, self.in_handshake,
            self.version or transcript.version, self.resumed,
        )  # fmt: skip


def visit(
    place: Place, context: ssl.SSLContext, clock: Clock, *, read: bool = True, session: ssl.SSLSession | None = None
) -> Visit:
    """Connect, and return how it went; whatever the other end does, nothing is raised but that the time is up.

    Args:
        place: Where to, and what to ask for.
        context: Of the client; it decides what is shown to whom.
        clock: The deadline of the whole.
        read: Whether to ask and read after the handshake.
        session: One to resume.

    Raises:
        TimeoutError: The time was up before it began.
    """
    until = time.monotonic() + clock.open()
    transcript = listen(context)
    try:
        plain = socket.create_connection((place.address, place.port), timeout=until - time.monotonic())
    except OSError as error:
        return Visit(End.UNREACHABLE, _reason(error), transcript)
    with plain, ExitStack() as opened:
        try:
            secured = opened.enter_context(
                context.wrap_socket(
                    plain, server_hostname=place.server_name, do_handshake_on_connect=False, session=session
                )
            )
            secured.settimeout(_left(until))
            began = time.monotonic()
            secured.do_handshake()
        except (OSError, ValueError) as error:
            return _ended(error, transcript, in_handshake=True)
        if not read:
            return Visit(End.OPEN, "handshake complete", transcript, version=secured.version())
        pause = QUIET if place.path is None else min(max(2 * (time.monotonic() - began), PAUSE), QUIET)
        return _asked(secured, place, transcript, until, pause=pause)


def _asked(secured: ssl.SSLSocket, place: Place, transcript: Transcript, until: float, *, pause: float) -> Visit:
    """Return what the server says, first unasked for a pause: an alert is lost where the request meets a reset."""
    version, resumed = secured.version(), bool(secured.session_reused)
    http = place.path is not None
    try:
        data = _first(secured, min(until, time.monotonic() + pause)) if not http or version == "TLSv1.3" else None
        if data is None and http:
            _send(secured, request_for(place), until)
            data = _first(secured, until)
        session = secured.session
    except (OSError, ValueError) as error:
        return _ended(error, transcript, in_handshake=False, version=version)
    if data is None:
        silence = "no answer to the request in time" if http else "handshake complete, nothing refused"
        return Visit(End.OPEN, silence, transcript, version=version, resumed=resumed, session=session)
    if not data:
        return _closed(transcript, version)
    status, text = _said(data, http=http)
    return Visit(End.ANSWERED, text, transcript, status, version=version, resumed=resumed, session=session)


def _send(secured: ssl.SSLSocket, data: bytes, until: float) -> None:
    """Send; where the server has gone already, what it said before is still there to be read."""
    try:
        secured.settimeout(_left(until))
        secured.sendall(data)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
        return


def _first(secured: ssl.SSLSocket, until: float) -> bytes | None:
    """Return what comes until the status line is whole, the connection ends, or it is enough; ``None``: not in time."""
    data = b""
    try:
        while b"\n" not in data and len(data) < MOST_READ and b"HTTP/".startswith(data[:5]):
            secured.settimeout(_left(until))
            piece = secured.recv(MOST_READ - len(data))
            if not piece:
                break
            data += piece
    except TimeoutError:
        return None
    return data


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for this connection is up")
    return left


def request_for(place: Place) -> bytes:
    """Return the request of a probe: GET, no redirect followed, no body, the connection for it alone."""
    host = f"[{place.server_name}]" if ":" in place.server_name else place.server_name
    host = host if place.port == 443 else f"{host}:{place.port}"
    lines = [
        f"GET {place.path} HTTP/1.1", f"Host: {host}", f"User-Agent: mtlspolicy-probe/{__version__}", "Accept: */*",
        "Accept-Encoding: identity", "Connection: close", "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode("ascii")


def _said(data: bytes, *, http: bool) -> tuple[int | None, str]:
    line = escape(data.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "replace"), LINE)
    found = _STATUS.match(data) if http else None
    if found is not None:
        return int(found[1]), line
    return None, f"data that is not HTTP/1.1: {line}" if http else f"data: {line}"


def _ended(
    error: OSError | ValueError, transcript: Transcript, *, in_handshake: bool, version: str | None = None
) -> Visit:
    """Return what *error* comes to; the alert that was received says more than OpenSSL's words for it."""

    def told(end: End, text: str) -> Visit:
        return Visit(end, text, transcript, in_handshake=in_handshake, version=version)

    if isinstance(error, TimeoutError):
        what = "finish the handshake" if in_handshake else "take the request"
        return told(End.SILENT, f"the server did not {what} in time")
    if isinstance(error, ssl.SSLCertVerificationError):
        decision = error.decision if isinstance(error, HandshakeRejected) else diagnose(error, server_side=False)
        return told(End.NOT_VERIFIED, f"{decision.code}: {decision.detail}")
    if transcript.alert:
        return told(End.ALERT, f"TLS alert {alert_name(transcript.alert)}")
    if _is_end(error):
        return _closed(transcript, version, in_handshake=in_handshake)
    reason = _reason(error)
    return told(End.NO_TLS, reason if transcript.spoken else f"what came back is not TLS ({reason})")


def _is_end(error: OSError | ValueError) -> bool:
    ends = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ConnectionError)
    unexpected = getattr(error, "reason", None) == "UNEXPECTED_EOF_WHILE_READING"
    return isinstance(error, ends) or unexpected or error.args[:1] == (errno.ENOTCONN,)


def _closed(transcript: Transcript, version: str | None, *, in_handshake: bool = False) -> Visit:
    when = "in the handshake" if in_handshake else "without an answer"
    return Visit(
        End.CLOSED, f"the server closed the connection {when}", transcript, in_handshake=in_handshake, version=version
    )


def alert_name(number: int) -> str:
    """Return the name of an alert, or its number."""
    return ALERTS.get(number, str(number))


def _reason(error: OSError | ValueError) -> str:
    text = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return escape(str(text), LINE)
