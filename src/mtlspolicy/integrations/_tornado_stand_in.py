"""A peer for the tests of an application of Tornado, see `integrations.testing`: in a loop that such a test runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tornado import httputil

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._callers import called_from
from mtlspolicy.integrations._options import CONNECTION
from mtlspolicy.integrations._stand_in import StandIn
from mtlspolicy.integrations._tornado_middleware import Middleware
from mtlspolicy.integrations._tornado_request import STAND_IN

if TYPE_CHECKING:
    from mtlspolicy._peer import VerifiedPeer

__all__ = ["stand_in"]

_LOOPS: Final = ("tornado.testing",)
_ELSEWHERE: Final = (
    "as_peer: a request came to a loop that no test of Tornado runs: use tornado.testing.AsyncHTTPTestCase; with a "
    "real server present a real certificate, of testing.CertificateAuthority"
)


class _Standing(httputil.HTTPServerConnectionDelegate):
    """An application whose requests come from a peer."""

    def __init__(self, app: httputil.HTTPServerConnectionDelegate, peer: VerifiedPeer | None) -> None:
        self._app: Any = app
        self._inner = Middleware(app, source=CONNECTION, required=False)
        self._peer = peer

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        """Return what receives one request."""
        if not called_from(_LOOPS):
            below: Any = request_conn
            below.stream.close()  # Tornado logs what is raised here, and leaves the connection open
            raise ConfigurationError(_ELSEWHERE)
        setattr(request_conn, STAND_IN, StandIn(self._peer))
        return self._inner.start_request(server_conn, request_conn)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)


def stand_in(
    app: httputil.HTTPServerConnectionDelegate, peer: VerifiedPeer | None
) -> httputil.HTTPServerConnectionDelegate:
    """Return *app* for ``HTTPServer``, such that each request comes from *peer*."""
    return _Standing(app, peer)
