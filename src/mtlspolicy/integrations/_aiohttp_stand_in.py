"""A peer for the tests of an application of aiohttp, see `integrations.testing`: under aiohttp's test server alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._aiohttp_guard import STAND_IN, guard
from mtlspolicy.integrations._aiohttp_runner import INSTALLED
from mtlspolicy.integrations._callers import called_from
from mtlspolicy.integrations._options import CONNECTION, settings_of
from mtlspolicy.integrations._stand_in import StandIn

if TYPE_CHECKING:
    from mtlspolicy._peer import VerifiedPeer

__all__ = ["stand_in"]

_TAKEN: Final = web.AppKey("mtlspolicy.stand_in", bool)
_SERVERS: Final = ("aiohttp.test_utils",)
_ELSEWHERE: Final = (
    "as_peer: this application was not started by a test server: use aiohttp.test_utils.TestServer and TestClient, or "
    "aiohttp_client of pytest-aiohttp; with a real server present a real certificate, of testing.CertificateAuthority"
)


def stand_in(app: web.Application, peer: VerifiedPeer | None) -> web.Application:
    """Return *app* itself, each request of which comes from *peer*.

    Raises:
        ConfigurationError: It runs already, or has its peer.
    """
    if app.frozen or _TAKEN in app:
        state = "runs already" if app.frozen else "has its peer already"
        raise ConfigurationError(f"as_peer(app, ...): the application {state}: make one for each peer")
    if INSTALLED not in app:
        guard(app, settings_of(CONNECTION, None, {"required": False}))
    app[_TAKEN] = True
    started: list[web.Application] = []

    @web.middleware
    async def standing(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not started:
            raise ConfigurationError(_ELSEWHERE)
        request[STAND_IN] = StandIn(peer)
        return await handler(request)

    async def starting(begun: web.Application) -> None:
        if not called_from(_SERVERS):
            raise ConfigurationError(_ELSEWHERE)
        started.append(begun)

    app.middlewares.insert(0, standing)
    app.on_startup.insert(0, starting)
    return app
