"""A strict reading of header blocks for servers on ``http.server``, which reads them as mail.

It takes a bare CR for the end of a line: what a proxy passed on as part of one value becomes a header of its own. What
is not plainly one header a line is answered with 400 here.
"""

from __future__ import annotations

import string
from typing import Any, Final

__all__ = ["StrictRequests"]


class StrictRequests:
    """Mixed into a request handler of ``http.server``."""

    def parse_request(self) -> bool:
        """Read request line and headers; False where they were refused, and answered."""
        below: Any = super()
        here: Any = self
        source: Any = here.rfile
        self.__dict__["rfile"] = StrictLines(source)
        try:
            return bool(below.parse_request())
        except AmbiguousHeaderError:
            here.close_connection = True
            here.send_error(400)
            return False
        finally:
            self.__dict__["rfile"] = source


_TOKEN: Final = b"!#$%&'*+-.^_`|~" + (string.ascii_letters + string.digits).encode("ascii")
"""Characters of a header's name (RFC 9110, 5.6.2)."""


class AmbiguousHeaderError(Exception):
    """A line of the header block that different servers read differently."""


class StrictLines:
    """Gives the lines of a header block, each of which is one header (RFC 9112, 5.1 and 5.2)."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def readline(self, most: int) -> bytes:
        """Return the next line, of at most *most* octets."""
        line: bytes = self._source.readline(most)
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        name, colon, _ = text.partition(b":")
        # what one or another reader of http.server's takes for the end of a line, NEL in Latin-1 included
        separators = any(code in text for code in b"\r\v\f\x1c\x1d\x1e\x85\0")
        # and a name that is no token ends the header block for it, with all that the proxy wrote below
        if text and (separators or not colon or not name or name.translate(None, _TOKEN)):
            raise AmbiguousHeaderError
        return line
