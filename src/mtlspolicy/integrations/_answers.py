"""The HTTP answer to a refusal, from the one table of codes. It says the code alone: the tree is for logs."""

from __future__ import annotations

import http
import json
from typing import Final, NamedTuple, TypeAlias

from mtlspolicy.errors import ConfigurationError, MalformedEvidence, NoPeerCertificate, VerificationError

__all__ = ["ABSENT", "Answer", "Refusal", "answer", "responds"]

Refusal: TypeAlias = VerificationError | MalformedEvidence
ABSENT: Final = frozenset({400, 401, 403})
"""What may be answered where no certificate came."""


class Answer(NamedTuple):
    """An HTTP response.

    Attributes:
        status: Code.
        headers: Names and values.
        body: JSON, with the reason code as ``error``.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status_line(self) -> str:
        """Code and phrase, as WSGI wants them."""
        return f"{self.status} {http.HTTPStatus(self.status).phrase}"


def answer(error: Refusal, *, absent: int = 403) -> Answer:
    """Return the answer to *error*.

    Args:
        error: The refusal.
        absent: Status where no certificate came, one of `ABSENT`.
    """
    status = absent if isinstance(error, NoPeerCertificate) else error.http_status
    if status < 400:
        status = 403  # a refusal that somebody made of a decision which admits is a refusal all the same
    body = json.dumps({"error": error.code}).encode("ascii") + b"\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    headers += error.http_headers.items()
    if status == 401 and "WWW-Authenticate" not in error.http_headers:
        # RFC 9110, 15.5.2 wants one; the code alone, because names in a certificate are hostile text
        headers.append(("WWW-Authenticate", f'Mutual error="{error.code}"'))
    return Answer(status, tuple(headers), body)


def responds(refuse: object, absent: object = 403) -> bool:
    """Return whether refusals are answered, as ``refuse="respond"`` says, and not ``"handshake"``.

    Args:
        refuse: Either.
        absent: Status where no certificate came.

    Raises:
        ConfigurationError: One of them is something else.
    """
    if isinstance(absent, bool) or absent not in ABSENT:
        raise ConfigurationError(f"absent={absent!r}: the status without a certificate is 403, 400 or 401")
    if refuse not in ("handshake", "respond"):
        raise ConfigurationError(f'refuse={refuse!r}: "handshake" closes the connection, "respond" answers')
    return refuse == "respond"
