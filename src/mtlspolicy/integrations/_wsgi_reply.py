"""What a WSGI application answers to one request, and what is answered in its place where it lets a refusal pass.

An application that is a generator runs when its body is read, so that a refusal may come as late. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mtlspolicy.errors import VerificationError
from mtlspolicy.integrations._admission import Admission
from mtlspolicy.integrations._answers import Refusal, answer
from mtlspolicy.integrations._log import log_refused
from mtlspolicy.integrations._outgoing import log_hidden

__all__ = ["Fields", "Reply", "refused"]

Fields = list[tuple[str, str]]


class Reply:
    """One response.

    Args:
        admission: Who was admitted with the request, in its environ already.
        start_response: The server's.
        kept_apart: What becomes of the headers of a response.
    """

    __slots__ = ("_admission", "_kept_apart", "_start_response", "_started")

    def __init__(
        self, admission: Admission, start_response: Callable[..., Any], kept_apart: Callable[[Fields], Fields]
    ) -> None:
        self._admission: Admission = admission
        self._start_response: Callable[..., Any] = start_response
        self._kept_apart: Callable[[Fields], Fields] = kept_apart
        self._started: bool = False

    def of(self, app: Callable[..., Any], environ: dict[str, Any]) -> Iterable[bytes]:
        """Return what *app* answers, or the answer to what it was told by `peer` or `require`."""
        try:
            body: Iterable[bytes] = app(environ, self._start)
        except VerificationError as error:
            if not self.answers(error):
                raise
            return self.refusal(error)
        return body if self._started else _Body(body, self)

    def answers(self, error: VerificationError) -> bool:
        """Return whether *error* is answered here: it is of this request, and no answer has begun."""
        return not self._started and self._admission.answers(error) is not None

    def refusal(self, error: VerificationError) -> list[bytes]:
        """Begin the answer to *error*, and return its body."""
        return refused(error, self._start_response, self._admission.address, absent=self._admission.absent)

    def _start(self, status: str, headers: Fields, *more: Any) -> Any:
        self._started = True
        if self._admission.raised is not None:
            log_hidden(self._admission.raised, int(status[:3]))
        return self._start_response(status, self._kept_apart(headers), *more)


class _Body:
    """The body of a response that has not begun when the application returned: what runs now may still refuse."""

    __slots__ = ("_body", "_parts", "_reply")

    def __init__(self, body: Iterable[bytes], reply: Reply) -> None:
        self._body: Iterable[bytes] = body
        self._parts: Iterator[bytes] | None = None
        self._reply: Reply = reply

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)
        except VerificationError as error:
            if not self._reply.answers(error):
                raise
            self._parts = iter(self._reply.refusal(error))
        return next(self._parts)

    def close(self) -> None:
        """Close the application's own body (PEP 3333)."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def refused(error: Refusal, start_response: Callable[..., Any], address: str, *, absent: int) -> list[bytes]:
    """Begin the answer to *error*, write its line, and return its body.

    Args:
        error: The refusal.
        start_response: The server's.
        address: Of the socket.
        absent: Status where no certificate came.
    """
    log_refused(error, address)
    what = answer(error, absent=absent)
    start_response(what.status_line, list(what.headers))
    return [what.body]
