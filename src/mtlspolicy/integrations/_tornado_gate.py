"""Tornado's HTTP server behind the gate: held connections wait for their decision, refused ones are answered if asked.

It decides nothing. Tornado is given a connection once its peer is admitted, and goes on doing everything else; the
refused are served by a server of Tornado's that knows their refusal alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tornado import httpserver, httputil
from tornado.iostream import IOStream, SSLIOStream
from tornado.log import app_log

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._answers import Answer, answer, responds
from mtlspolicy.integrations._tornado_middleware import Middleware
from mtlspolicy.integrations._tornado_request import RefusedRequest
from mtlspolicy.tls._answering import MOST_BYTES, let_in_to_answer
from mtlspolicy.tls._gate_socket import SocketGate
from mtlspolicy.tls._serving import require_for_loop

if TYPE_CHECKING:
    import socket
    import ssl

    from mtlspolicy.errors import VerificationError
    from mtlspolicy.integrations._refusing import Refuse
    from mtlspolicy.tls._gate_socket import Passed

__all__ = ["HTTPServer"]


class HTTPServer(httpserver.HTTPServer):
    """``tornado.httpserver.HTTPServer`` with the gate in front of each connection, for ``pending="hold"`` and answers.

    The loop goes on while a fact is looked up, and Tornado has a connection when its peer is admitted. The loop has to
    be one that watches sockets (``add_reader``), which the default one on Windows does not.

    Args:
        app: `Middleware` around the application.
        ssl_options: Context of `tls.server_context`.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an answer of the table of codes to its first request, and then it is closed. The application
            sees neither. Whom OpenSSL refuses, a certificate of an unknown CA for example, gets no answer either way.
        **options: Of ``tornado.httpserver.HTTPServer``.

    Raises:
        ConfigurationError: The context has no verifier of clients, or ``refuse="respond"`` for an application without
            `Middleware`, or with one that takes the peer from elsewhere than the connection.
    """

    def initialize(  # type: ignore[override]  # Tornado's own goes by the class that is made
        self,
        app: Any,
        *,
        ssl_options: ssl.SSLContext,
        refuse: Refuse = "handshake",
        **options: Any,
    ) -> None:
        """Set up what the constructor was given; Tornado calls this."""
        self._absent = 403
        answers = responds(refuse)
        if answers:
            if not isinstance(app, Middleware) or app.settings.source is not None:
                raise ConfigurationError(
                    'refuse="respond" for an application without the middleware: give HTTPServer(integrations.tornado.'
                    'Middleware(app, source="connection"), ...)'
                )
            self._absent = app.settings.absent
            let_in_to_answer(ssl_options)
        self._gate = SocketGate(require_for_loop(ssl_options, "HTTPServer(ssl_options=...)"), answers=answers)
        self._entering: set[asyncio.Task[None]] = set()
        self._told: set[_Answering] = set()
        super().initialize(app, **options)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Take a connection that was accepted, without TLS as yet, to the gate."""
        plain: Any = stream.socket
        left: Any = stream
        left.socket = None  # so that nothing of it is left: the stream has not been used
        task = asyncio.get_running_loop().create_task(self._enter(plain, address))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def close_all_connections(self) -> None:
        """Close all connections, those at the gate and those of the refused included, and wait for them to end."""
        for task in self._entering:
            task.cancel()
        await asyncio.gather(*self._entering, return_exceptions=True)
        for stream in tuple(self._told):
            stream.close()
        await super().close_all_connections()

    async def _enter(self, plain: socket.socket, address: Any) -> None:
        passed = await self._gate.pass_through(plain)
        if passed is None:
            return
        server: Any = super()  # whose annotations name a tuple of unknown things
        if passed.refused is None:
            stream = SSLIOStream(
                passed.connection, max_buffer_size=self.max_buffer_size, read_chunk_size=self.read_chunk_size
            )
        else:
            stream = _Answering(passed, self._told)
            app = _Refusing(passed.refused, self._absent)
            server = httpserver.HTTPServer(app, no_keep_alive=True, max_body_size=MOST_BYTES)
        try:
            server.handle_stream(stream, address)
        except Exception:  # noqa: BLE001 - logged, as Tornado does for its own connections
            stream.close()
            app_log.exception("Error in connection callback")


class _Answering(SSLIOStream):
    """The stream of one refused connection, until it has its answer or has had time enough.

    What it reads is bounded by what Tornado reads of a request: its header and a short body, see `RefusedRequest`.

    Args:
        passed: The connection.
        among: Where it is found while it is open.
    """

    def __init__(self, passed: Passed, among: set[_Answering]) -> None:
        super().__init__(passed.connection, max_buffer_size=MOST_BYTES)
        self._passed = passed
        self._among = among
        loop: Any = self.io_loop
        self._timer: object = loop.call_later(passed.seconds, self.close)
        among.add(self)

    def close_fd(self) -> None:
        """End the answer, for good; Tornado calls this however the stream ends, and once."""
        self.io_loop.remove_timeout(self._timer)
        self._among.discard(self)
        self._passed.ended()
        super().close_fd()


class _Refusing(httputil.HTTPServerConnectionDelegate):
    """Answers whatever is asked with one refusal.

    Args:
        error: The refusal.
        absent: Status where no certificate came.
    """

    def __init__(self, error: VerificationError, absent: int) -> None:
        self._what: Answer = answer(error, absent=absent)

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> RefusedRequest:
        """Return what receives one request."""
        del server_conn
        return RefusedRequest(request_conn, self._what)
