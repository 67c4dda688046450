"""WSGI middleware: who sent this request, by what a proxy forwards or by the connection itself, before the application.

It answers refusals itself. What an application could take for a peer is deleted first: ``SSL_CLIENT_*`` may come from
the environment of the process, ``mtlspolicy.*`` from another layer, and headers from the client.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Unpack

from mtlspolicy._resolver import settle
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import MalformedEvidence, VerificationError
from mtlspolicy.forwarded._environ import clean_environ, environ_headers
from mtlspolicy.integrations._admission import (
    Admission,
    Choice,
    Requirement,
    peer,
    peer_or_none,
    presented,
)
from mtlspolicy.integrations._answers import Refusal
from mtlspolicy.integrations._answers import answer as _answer
from mtlspolicy.integrations._course import admission_on
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted, accepted
from mtlspolicy.integrations._log import log_refused
from mtlspolicy.integrations._options import MiddlewareOptions, Source, settings_of
from mtlspolicy.integrations._request import (
    admitted,
    connection_of,
    read,
    require_accepted,
    selected,
    stated_peer,
    without,
    without_certificate,
)
from mtlspolicy.integrations._ssl_client import write_names
from mtlspolicy.integrations._stand_in import StandIn, accepted_of
from mtlspolicy.integrations._wsgi_reply import Fields, Reply, refused

if TYPE_CHECKING:
    from mtlspolicy.forwarded._source import ForwardedSource

__all__ = ["Middleware", "WSGIOptions", "answer", "peer", "peer_or_none", "presented", "require"]

Environ = dict[str, Any]
_SOCKET: Final = "gunicorn.socket"
"""Where gunicorn gives the accepted socket. No header leads to such a key."""


class WSGIOptions(MiddlewareOptions, total=False):
    """`MiddlewareOptions`, and ``drops_underscores``: says that the server drops names with an underscore.

    It need not be said for servers that are known to: gunicorn from 22, Werkzeug from 2.3.8, waitress.
    """

    drops_underscores: bool


def require(policy: Choice) -> Requirement:
    """Return a question to ask about a request: is its sender permitted by *policy* as well?

    ``require(policies.CommonName("sam"))(environ)`` returns the peer, or raises a `VerificationError`. The middleware
    answers that; a framework that catches all exceptions itself is told so: ``app.register_error_handler(
    VerificationError, wsgi.answer)`` for Flask.

    Args:
        policy: A policy, or a callable that returns one for a request (whatever the question is asked about). Whatever
            it raises is a refusal, ``policy.error``.

    Raises:
        ConfigurationError: It is neither.
    """
    return Requirement(policy)


def answer(error: Refusal) -> tuple[bytes, int, list[tuple[str, str]]]:
    """Return body, status and headers of the answer to *error*, and write its line: for an error handler of Flask."""
    admission = getattr(error, "_admission", None)
    known = admission if isinstance(admission, Admission) else Admission(None, None)
    log_refused(error, known.address)
    what = _answer(error, absent=known.absent)
    return what.body, what.status, list(what.headers)


class Middleware:
    """Admits the sender of each request, or answers in place of *app*.

    The address is that of the socket, which gunicorn and `integrations.werkzeug.RequestHandler` give; `ProxyFix` has no
    part in it, wherever it stands. Beside the peer an application finds ``SSL_CLIENT_VERIFY``, ``SSL_CLIENT_S_DN`` and
    the other names that servers use; ``SSL_CLIENT_VERIFY`` is ``NONE`` where no certificate came.

    Args:
        app: The WSGI application.
        source: Where the certificate comes from: a `ForwardedSource`, or ``"connection"`` where the server itself
            speaks TLS with a context of ours.
        verifier: `Verifier.for_clients`, for a `ForwardedSource`.
        **options: `WSGIOptions`.

    Raises:
        ConfigurationError: What was given does not go together; from a request: the server is not known to drop header
            names with an underscore, or gives no socket.
    """

    def __init__(
        self, app: Any, *, source: Source, verifier: Verifier | None = None, **options: Unpack[WSGIOptions]
    ) -> None:
        self._app: Any = app
        self._drops_underscores: bool = options.pop("drops_underscores", False)
        self._settings = settings_of(source, verifier, options)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        connection = _connection(environ)
        address = "a connection" if connection is None else str(connection.address)
        try:
            admission = self._admission(environ, connection)
        except (VerificationError, MalformedEvidence) as error:
            return refused(error, start_response, address, absent=self._settings.absent)
        admission.absent, admission.address = self._settings.absent, address
        write_names(environ, admission)
        if connection is not None:
            environ[ACCEPTED] = connection
        return Reply(admission, start_response, self._kept_apart).of(self._app, environ)

    def _admission(self, environ: Environ, connection: Accepted | None) -> Admission:
        settings = self._settings
        if isinstance(connection, StandIn):
            clean_environ(environ, settings.source)
            return connection.admission(settings)
        if settings.source is None:
            clean_environ(environ)
            found = require_accepted(connection)
            host = str(environ.get("HTTP_HOST", "")).encode("latin-1", "replace")
            return admission_on(found, found.shown(), [(b"host", host)], settings)
        headers = environ_headers(environ, drops_underscores=self._drops_underscores)
        clean_environ(environ, settings.source)
        return self._forwarded(settings.source, environ, headers, connection)

    def _forwarded(
        self, source: ForwardedSource, environ: Environ, headers: Any, connection: Accepted | None
    ) -> Admission:
        if connection is None:
            address, port = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")
            believed = self._settings.address_is_transport
            end = stated_peer(address, None if port in {None, "", "0"} else port, headers, believed=believed)
        else:
            end = connection.peer()
        found = read(source, headers, end, None)
        anonymous = without_certificate(found.chain, self._settings)
        if anonymous is not None:
            return anonymous
        verifier = self._settings.verifier or selected(self._select(environ))
        judgement = verifier.judgement(found.chain, connection=connection_of(end, found))
        return admitted(judgement, settle(judgement, self._settings.resolver), self._settings)

    def _select(self, environ: Environ) -> Any:
        try:
            return self._settings.select(environ)  # type: ignore[misc]  # there where there is no verifier
        except Exception as error:  # noqa: BLE001 - whatever it raises is a refusal
            return error

    def _kept_apart(self, headers: Fields) -> Fields:
        """Return the headers of a response, fit for shared caches, and without a certificate (RFC 9440, 2.4)."""
        settings = self._settings
        if settings.source is not None:
            headers = without(settings.source.own, headers)
        if settings.cache == "no-store":
            return [*(field for field in headers if field[0].lower() != "cache-control"), ("Cache-Control", "no-store")]
        return [*headers, ("Vary", settings.vary)] if settings.cache == "vary" else headers


def _connection(environ: Environ) -> Accepted | None:
    known = accepted_of(environ.get(ACCEPTED))
    if known is not None:
        return known
    found = environ.get(_SOCKET)
    return accepted(found) if isinstance(found, socket.socket) else None
