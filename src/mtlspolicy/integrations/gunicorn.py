"""gunicorn with a context of ours: the hook for its configuration, and the worker for ASGI. It decides nothing.

WSGI workers behind a proxy need none of it: they give the socket of a request by themselves.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._contexts import require_enforced
from mtlspolicy.tls._enforce import require_unpatched

if TYPE_CHECKING:
    from mtlspolicy.integrations._uvicorn_worker import UvicornWorker

__all__ = ["UvicornWorker", "ssl_context"]

_NO_START: Final = 3
"""Exit status of a worker that ends gunicorn as a whole, which would start it again for any other."""
_LOG: Final = logging.getLogger("mtlspolicy.connection")


def ssl_context(context: ssl.SSLContext) -> Callable[[Any, Any], ssl.SSLContext]:
    """Return the hook ``ssl_context`` of gunicorn's configuration file, beside ``certfile`` and ``keyfile``.

    For the workers ``sync``, ``gthread`` and `UvicornWorker`. gunicorn speaks TLS only where ``certfile``
    is set; what counts is the credential of *context*. Workers that replace `ssl` with classes of their own (gevent)
    end gunicorn when they start, with exit status 3: their connections never ask a policy.

    Args:
        context: Of `tls.server_context`, or one that `tls.enforce` was called on.

    Raises:
        ConfigurationError: *context* has no verifier.
    """
    require_enforced(context, "ssl_context")

    def hook(_config: object, _default: object) -> ssl.SSLContext:
        try:
            require_unpatched()
        except ConfigurationError as error:
            _LOG.critical("gunicorn cannot serve with this worker: %s", error)
            raise SystemExit(_NO_START) from error
        return context

    return hook


def __getattr__(name: str) -> Any:
    """Import the worker when it is asked for: its package need not be there for WSGI."""
    if name != "UvicornWorker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("mtlspolicy.integrations._uvicorn_worker").UvicornWorker
