"""The worker with which gunicorn serves ASGI through uvicorn's protocols of ours, imported when it is asked for."""

from __future__ import annotations

import ssl
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._gunicorn_hook import Hook
from mtlspolicy.integrations._refusing import Direct
from mtlspolicy.integrations.uvicorn import AutoHTTPProtocol, Gated, _Answering

__all__ = ["UvicornWorker"]

if TYPE_CHECKING:
    _Base = object  # a package without types
else:
    with Extra("uvicorn_worker", "gunicorn"):
        _Base = import_module("uvicorn_worker").UvicornWorker


class UvicornWorker(_Base):
    """``gunicorn -k mtlspolicy.integrations.gunicorn.UvicornWorker``: the socket is known to `asgi.Middleware`.

    With ``certfile`` and the hook ``ssl_context`` of gunicorn's configuration it speaks TLS by the context of the hook,
    which the worker below it leaves out, and through the gate, so that ``pending="hold"`` holds. Where the hook says
    ``refuse="respond"``, uvicorn's own protocol answers the refused.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "auto",
        "http": "mtlspolicy.integrations.uvicorn:AutoHTTPProtocol",
        "ws": "mtlspolicy.integrations.uvicorn:AutoWebSocketsProtocol",
    }
    cfg: Any
    config: Any
    _direct: Direct | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.cfg.is_ssl:
            hook = self.cfg.ssl_context
            if isinstance(hook, Hook) and hook.responds:
                self._direct = Direct(hook.context, refuse="respond", absent=hook.absent)
            answering = None if self._direct is None else _Answering("auto", self._direct)
            self.config.ssl_context_factory = self._context
            self.config.http = Gated(AutoHTTPProtocol, answering)

    def _context(self, _config: object, _default: object) -> ssl.SSLContext:
        if self._direct is not None:
            return cast("ssl.SSLContext", self._direct.listener)
        context: ssl.SSLContext = import_module("gunicorn.sock").ssl_context(self.cfg)
        return context
