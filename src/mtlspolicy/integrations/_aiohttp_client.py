"""aiohttp's connector over one context: a connection that was kept is decided on again before a request goes over it.

What would lead around the context, such as ``ssl=False`` of a request or a redirect to plain HTTP, is refused by name.
"""

from __future__ import annotations

import ssl as ssl_module
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import aiohttp

from mtlspolicy._decision import Verdict
from mtlspolicy._resolver import settle_async
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._contexts import require_client_context
from mtlspolicy.tls._again import judgement_now, shut_out
from mtlspolicy.tls._enforcement import enforcement_of

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection

__all__ = ["TCPConnector"]


class TCPConnector(aiohttp.TCPConnector):
    """``aiohttp.TCPConnector(ssl=context)`` whose pool forgets who would not be admitted any more.

    A kept connection is judged again on the certificates that it came with, by the verifier of the context as it is now
    (trust, policy, facts, clock); one that is refused is closed and logged, and a new one made.

    Args:
        context: Of `tls.client_context`, or one on which `tls.enforce` was called.
        **options: Of ``aiohttp.TCPConnector``, without ``ssl``.

    Raises:
        ConfigurationError: The context has no verifier of servers. At a request: another ``ssl=``, or no TLS.
    """

    def __init__(self, context: ssl_module.SSLContext, **options: Any) -> None:
        self._context = require_client_context(context, "integrations.aiohttp.TCPConnector(context)")
        self._used: WeakSet[ResponseHandler] = WeakSet()
        above: Any = super()  # whose own annotations name types without arguments
        above.__init__(ssl=context, **options)

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Connection:
        """Return a connection for a request: a new one, or one that was kept and would be admitted now."""
        if not req.is_ssl():
            raise ConfigurationError(f"{req.url.scheme}://{req.url.host}: no TLS, so nobody is verified; use https")
        if req.ssl is not True and req.ssl is not self._context:
            raise ConfigurationError("ssl=... of a request: the connector's context says all about TLS; leave it out")
        while True:
            connection = await super().connect(req, traces, timeout)
            handler: Any = connection.protocol
            if handler not in self._used:
                self._used.add(handler)
                return connection
            if await _still_admitted(connection.transport):
                return connection
            connection.close()


async def _still_admitted(transport: Any) -> bool:
    """Return whether the server at the other end of a decided connection would be admitted now; if not, it is ended."""
    reached = transport.get_extra_info("ssl_object")
    judgement, enforcement = judgement_now(reached), enforcement_of(reached.context)
    if judgement is None or enforcement is None:
        return False
    decision = judgement.conclude(await settle_async(judgement, enforcement.resolver)).decision
    if decision.verdict is Verdict.PERMIT:
        return True
    transport.abort()
    shut_out(reached, decision)
    return False
