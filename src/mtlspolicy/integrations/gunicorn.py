"""The worker with which gunicorn serves ASGI through uvicorn's protocols of ours. WSGI workers need none of it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

__all__ = ["UvicornWorker"]

if TYPE_CHECKING:
    _Base = object  # a package without types
else:
    _Base = import_module("uvicorn_worker").UvicornWorker


class UvicornWorker(_Base):
    """``gunicorn -k mtlspolicy.integrations.gunicorn.UvicornWorker``: the socket is known to `asgi.Middleware`."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "auto",
        "http": "mtlspolicy.integrations.uvicorn:AutoHTTPProtocol",
        "ws": "mtlspolicy.integrations.uvicorn:AutoWebSocketsProtocol",
    }
