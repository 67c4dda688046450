"""aiohttp's runner with the gate in front of each connection, and an answer for the refused where it is told to.

It decides nothing. The refused are served by a server of aiohttp that knows their refusal alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from aiohttp import web

from mtlspolicy import tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._answers import Refusal, answer, responds
from mtlspolicy.integrations._refusing import Refuse
from mtlspolicy.tls._answering import answering_listener
from mtlspolicy.tls._gate import answering_gate
from mtlspolicy.tls._serving import require_for_loop

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mtlspolicy.errors import VerificationError

__all__ = ["INSTALLED", "AppRunner", "response"]

INSTALLED: Final = web.AppKey("mtlspolicy.installed", bool)
"""Whether the middleware of an application takes the peer from the connection; not there: it has none of ours."""


def response(error: Refusal, *, absent: int) -> web.Response:
    """Return the answer to *error*."""
    what = answer(error, absent=absent)
    headers = [(name, value) for name, value in what.headers if name != "Content-Length"]  # aiohttp writes it
    return web.Response(status=what.status, headers=headers, body=what.body)


_AT_ONCE: Final = 0.01
"""Seconds; aiohttp takes none for no end."""


class AppRunner(web.AppRunner):
    """``web.AppRunner`` with the gate of `tls.gate` in front of each connection, for ``pending="hold"`` and answers.

    All its sites are behind the gate: ``web.TCPSite(runner, host, port, ssl_context=runner.ssl_context)``, and
    ``SockSite`` and ``UnixSite`` alike. A connection without TLS of ours is refused.

    Args:
        app: The application.
        context: Of `tls.server_context`, for the sites; ``None``: each site is given one of its own.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an answer of the table of codes to its first request, and then it is closed. The application
            sees neither. Whom OpenSSL refuses, a certificate of an unknown CA for example, gets no answer either way.
        absent: Status of that answer where no certificate came: 403, 400 or 401.
        **options: Of ``web.AppRunner``.

    Raises:
        ConfigurationError: ``refuse="respond"`` without a context, or for an application that `install` was not called
            on with ``source="connection"``.
    """

    __slots__ = ("_absent", "_context", "_gated", "_responds", "_told")

    def __init__(
        self,
        app: web.Application,
        *,
        context: ssl.SSLContext | None = None,
        refuse: Refuse = "handshake",
        absent: int = 403,
        **options: Any,
    ) -> None:
        self._absent = absent
        self._responds = responds(refuse, absent)
        self._gated: _Gated | None = None
        self._told: WeakSet[web.Server] = WeakSet()
        if self._responds:
            if context is None:
                raise ConfigurationError('refuse="respond" without context=: give the context of tls.server_context')
            if not app.get(INSTALLED):
                raise ConfigurationError(
                    'refuse="respond" for an application without the middleware: call integrations.aiohttp.install('
                    'app, source="connection") before'
                )
            context = answering_listener(context)
        elif context is not None:
            require_for_loop(context, "context=")
        self._context = context
        super().__init__(app, **options)

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """What sites of this runner are given as ``ssl_context``."""
        return self._context

    @property
    def server(self) -> Any:
        """What makes the protocol of each connection; ``None`` before `setup`. One gate counts for all sites."""
        server = super().server
        if server is None:
            return None
        if self._gated is None or self._gated.server is not server:
            self._gated = _Gated(server, self._refusing if self._responds else None)
        return self._gated

    async def shutdown(self) -> None:
        """End the connections of the refused, and what the application itself ends."""
        await asyncio.gather(*(server.shutdown(_AT_ONCE) for server in tuple(self._told)))
        await super().shutdown()

    def _refusing(self, error: VerificationError) -> Any:
        async def answering(_request: web.BaseRequest) -> web.Response:
            made = response(error, absent=self._absent)
            made.force_close()
            return made

        server = web.Server(answering, access_log=None)
        self._told.add(server)  # as long as its connection is there
        return server()


class _Gated:
    """A server of aiohttp whose protocols are made behind the gate, and which is itself in all else."""

    def __init__(self, server: web.Server, answers: Callable[[VerificationError], Any] | None) -> None:
        self.server = server
        self._make = tls.gate(server) if answers is None else answering_gate(server, answers)

    def __call__(self) -> Any:
        """Return the gatekeeper of one connection."""
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.server, name)
