"""The answer to a refused client of a blocking server: one request head is read, and one response is its bytes.

Nothing in the head counts but its first line, and of that only that it is HTTP/1 and whether it wants a body. What is
not plainly such a request gets no answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from mtlspolicy.errors import VerificationError
from mtlspolicy.integrations._answers import answer

__all__ = ["MOST_HEAD", "HTTPAnswers"]

MOST_HEAD: Final = 64 * 1024
"""Octets of a request head, as many as http.server takes for a line."""
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) [!-~]+ HTTP/1\.[01]")
"""RFC 9112, 3: method, target and version, a single space between them."""


class HTTPAnswers:
    """Answers refused clients in HTTP/1.

    Args:
        absent: Status where no certificate came: 403, 400 or 401.
    """

    __slots__ = ("_absent",)

    def __init__(self, absent: int) -> None:
        self._absent = absent

    def __call__(self, error: VerificationError, read: Callable[[], bytes]) -> bytes | None:
        """Return the response to *error* once a request head has come; ``None``: what came is no such thing.

        A body is not waited for: ``Expect: 100-continue`` takes the final answer as well (RFC 9110, 10.1.1).

        Args:
            error: The refusal.
            read: Returns the client's next octets; none: its end.
        """
        found = _REQUEST_LINE.fullmatch(_first_line(read))
        if found is None:
            return None
        what = answer(error, absent=self._absent)
        fields = (*what.headers, ("Date", formatdate(usegmt=True)), ("Connection", "close"))
        head = "\r\n".join((f"HTTP/1.1 {what.status_line}", *(f"{name}: {value}" for name, value in fields), "", ""))
        return head.encode("ascii") + (b"" if found[1] == b"HEAD" else what.body)  # RFC 9110, 9.3.2


def _first_line(read: Callable[[], bytes]) -> bytes:
    """Return the first line of a head that is complete; empty: it ended before, or is too large."""
    head = bytearray()
    while len(head) <= MOST_HEAD:
        got = read()
        if not got:
            break
        seen = max(0, len(head) - 3)
        head += got
        if head.find(b"\r\n\r\n", seen, MOST_HEAD) >= 0:
            return bytes(head[: head.index(b"\r\n")])
    return b""
