"""The hook by which gunicorn gets its context, and the workers that it does not serve. It decides nothing."""

from __future__ import annotations

import logging
import ssl
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._blocking import listener_for
from mtlspolicy.tls._enforce import require_unpatched

if TYPE_CHECKING:
    from mtlspolicy.integrations._blocking import Refuse

__all__ = ["Hook"]

_NO_START: Final = 3
"""Exit status of a worker that ends gunicorn as a whole, which would start it again for any other."""
_LOG: Final = logging.getLogger("mtlspolicy.connection")
_BLOCKING: Final = (("gunicorn.workers.sync", "SyncWorker"), ("gunicorn.workers.gthread", "ThreadWorker"))
"""Where gunicorn has the workers whose sockets block."""


class Hook:
    """``ssl_context`` of gunicorn's configuration.

    Args:
        context: As for `integrations.gunicorn.ssl_context`, as are the others.
        refuse: The same.
        absent: The same.

    Attributes:
        absent: Status where no certificate came.
        context: The context.
        responds: Whether refusals are answered.

    Raises:
        ConfigurationError: What was given does not go together.
    """

    def __init__(self, context: ssl.SSLContext, *, refuse: Refuse, absent: int) -> None:
        self.context: ssl.SSLContext = context
        self.absent: int = absent
        self.responds: bool = refuse == "respond"
        self._listener = listener_for(context, "ssl_context", refuse=refuse, absent=absent)
        self._fits = False

    def __call__(self, config: Any, default: object) -> ssl.SSLContext:
        """Return what gunicorn speaks TLS with; called by each worker, by some for each connection.

        Raises:
            SystemExit: The worker never asks a policy, or answers nobody where refusals are to be answered.
        """
        del default
        if not self._fits:
            try:
                require_unpatched()
                if self.responds:
                    _require_blocking(config)
            except ConfigurationError as error:
                _LOG.critical("gunicorn cannot serve with this worker: %s", error)
                raise SystemExit(_NO_START) from error
            self._fits = True
        return self._listener


def _require_blocking(config: Any) -> None:
    worker = config.worker_class
    if not issubclass(worker, tuple(getattr(import_module(module), name) for module, name in _BLOCKING)):
        raise ConfigurationError(
            f'refuse="respond" with {worker.__name__}: the workers sync and gthread answer, and '
            'mtlspolicy.integrations.gunicorn.UvicornWorker; use one of them, or refuse="handshake"'
        )
