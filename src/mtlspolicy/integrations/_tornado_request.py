"""One request of Tornado between the server and the application: judged on its headers, answered or handed on.

The application gets a connection object of ours, which carries who was admitted and keeps answers out of shared caches.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from tornado import httputil

from mtlspolicy.errors import MalformedEvidence, VerificationError
from mtlspolicy.integrations._answers import Answer, answer
from mtlspolicy.integrations._course import Asked, admission_of
from mtlspolicy.integrations._immediate import accepted
from mtlspolicy.integrations._log import log_refused
from mtlspolicy.integrations._request import without
from mtlspolicy.integrations._stand_in import StandIn

if TYPE_CHECKING:
    from mtlspolicy.forwarded._source import ForwardedSource
    from mtlspolicy.integrations._admission import Admission
    from mtlspolicy.integrations._immediate import Accepted
    from mtlspolicy.integrations._options import Settings

__all__ = ["STAND_IN", "RefusedRequest", "SeenConnection", "SeenRequest"]

STAND_IN: Final = "_mtlspolicy_stand_in"
"""Where Tornado's connection of a test's request has its peer. The type counts and not the name."""
_DIGITS = 7
"""Of the length of a body that is read for nobody: less than a million octets."""
_Line = httputil.RequestStartLine | httputil.ResponseStartLine


class SeenConnection(httputil.HTTPConnection):
    """The connection of one request as the application sees it, with who was admitted.

    Args:
        connection: Tornado's own, for one request.
        settings: Of the middleware.
    """

    def __init__(self, connection: httputil.HTTPConnection, settings: Settings) -> None:
        self.below: Any = connection
        self.begun = False
        self.admission: Admission | None = None
        self.address = "a connection"
        self.settings = settings

    def write_headers(self, start_line: _Line, headers: httputil.HTTPHeaders, chunk: bytes | None = None) -> Any:
        """Write the headers, fit for shared caches, and without a certificate (RFC 9440, 2.4)."""
        self.begun = True
        settings = self.settings
        if settings.source is not None:
            headers = stripped(settings.source, headers)
            if settings.cache == "no-store":
                headers["Cache-Control"] = "no-store"
            elif settings.cache == "vary":
                headers.add("Vary", settings.vary)
        return self.below.write_headers(start_line, headers, chunk)

    def write(self, chunk: bytes) -> Any:
        """Write a part of the body."""
        return self.below.write(chunk)

    def finish(self) -> None:
        """Say that the last part was written."""
        self.below.finish()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)


class RefusedRequest(httputil.HTTPMessageDelegate):
    """Receives one request and answers it with a refusal, whatever it asks for.

    Args:
        connection: Takes the answer.
        what: The answer.
    """

    def __init__(self, connection: httputil.HTTPConnection, what: Answer) -> None:
        self._connection = connection
        self._what = what
        self._method = ""

    def headers_received(self, start_line: _Line, headers: httputil.HTTPHeaders) -> None:
        """Answer at once, unless a small body is read first: Tornado then ends the connection, body or not."""
        line: Any = start_line
        self._method = line.method
        if not _is_short(headers):
            self.finish()

    def data_received(self, chunk: bytes) -> None:
        """Throw a part of the body away."""

    def finish(self) -> None:
        """Answer; Tornado calls this once, and not after an answer."""
        code, _, phrase = self._what.status_line.partition(" ")
        line = httputil.ResponseStartLine("HTTP/1.1", int(code), phrase)
        body = None if self._method == "HEAD" else self._what.body
        self._connection.write_headers(line, httputil.HTTPHeaders(dict(self._what.headers)), body)
        self._connection.finish()

    def on_connection_close(self) -> None:
        """Do nothing: nobody waits for the answer."""


class SeenRequest(httputil.HTTPMessageDelegate):
    """Receives one request: judges its sender on the headers, and only then makes the receiver of the application."""

    def __init__(
        self, app: httputil.HTTPServerConnectionDelegate, server: object, connection: SeenConnection, settings: Settings
    ) -> None:
        self._app = app
        self._server = server
        self._connection = connection
        self._settings = settings
        self._inner: httputil.HTTPMessageDelegate | None = None

    async def headers_received(self, start_line: _Line, headers: httputil.HTTPHeaders) -> None:
        """Judge the sender; hand the request on, or answer."""
        connection, settings = self._connection, self._settings
        if connection.below.stream.closed():  # the request and its end came together: nobody is there to answer
            return
        known = getattr(connection.below, STAND_IN, None)
        end = known if type(known) is StandIn else accepted(connection.below.stream.socket)
        connection.address = str(end.address)
        kept = headers if settings.source is None else stripped(settings.source, headers)
        line: Any = start_line
        request = httputil.HTTPServerRequest(connection=connection, start_line=line, headers=kept)
        try:
            connection.admission = await self._admission(request, headers, end)
        except (VerificationError, MalformedEvidence) as error:
            log_refused(error, connection.address)
            self._inner = RefusedRequest(connection, answer(error, absent=settings.absent))
            self._inner.headers_received(start_line, headers)
            return
        inner = self._app.start_request(self._server, connection)
        self._inner = inner
        waiting: Awaitable[None] | None = inner.headers_received(start_line, kept)
        if waiting is not None:
            await waiting

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Hand a part of the body on."""
        return None if self._inner is None else self._inner.data_received(chunk)

    def finish(self) -> None:
        """Say that the request is complete."""
        if self._inner is not None:
            self._inner.finish()

    def on_connection_close(self) -> None:
        """Say that the connection ended before."""
        if self._inner is not None:
            self._inner.on_connection_close()

    async def _admission(
        self, request: httputil.HTTPServerRequest, headers: httputil.HTTPHeaders, end: Accepted
    ) -> Admission:
        version, fields = request.version.removeprefix("HTTP/"), list(headers.get_all())
        hosts = ((b"host", host.encode("latin-1")) for host in headers.get_list("Host"))
        asked = Asked(request, headers=fields, http_version=version, hosts=hosts)
        return await admission_of(end, asked, self._settings)


def _is_short(headers: httputil.HTTPHeaders) -> bool:
    """Return whether the body comes by itself and is small, so that it is read first: a reset would lose the answer."""
    length = headers.get("Content-Length", "0")
    if "Transfer-Encoding" in headers or "Expect" in headers or not (length.isascii() and length.isdigit()):
        return False
    return len(length) < _DIGITS


def stripped(source: ForwardedSource, headers: httputil.HTTPHeaders) -> httputil.HTTPHeaders:
    """Return *headers* without those that the proxy alone may write."""
    kept = httputil.HTTPHeaders()
    for name, value in without(source.own, list(headers.get_all())):
        kept.add(name, value)
    return kept
