"""gunicorn with a context of ours: the hook for its configuration, and the worker for ASGI. It decides nothing.

WSGI workers behind a proxy need none of it: they give the socket of a request by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mtlspolicy.integrations._gunicorn_hook import Hook

if TYPE_CHECKING:
    import ssl

    from mtlspolicy.integrations._blocking import Refuse
    from mtlspolicy.integrations._uvicorn_worker import UvicornWorker

__all__ = ["UvicornWorker", "ssl_context"]


def ssl_context(
    context: ssl.SSLContext, *, refuse: Refuse = "handshake", absent: int = 403
) -> Callable[[Any, Any], ssl.SSLContext]:
    """Return the hook ``ssl_context`` of gunicorn's configuration file, beside ``certfile`` and ``keyfile``.

    For the workers ``sync``, ``gthread`` and `UvicornWorker`. gunicorn speaks TLS only where ``certfile``
    is set; what counts is the credential of *context*. Workers that replace `ssl` with classes of their own (gevent)
    end gunicorn when they start, with exit status 3: their connections never ask a policy. So do, with
    ``refuse="respond"``, workers that answer nobody (gunicorn's own for ASGI and Tornado).

    Args:
        context: Of `tls.server_context`, or one that `tls.enforce` was called on.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an answer of the table of codes to its first request, by the worker, and then it is closed.
            The application sees neither. Whom OpenSSL refuses gets no answer either way.
        absent: Status where no certificate came: 403, 400 or 401.

    Raises:
        ConfigurationError: *context* has no verifier of clients, or the other arguments are none of these.
    """
    return Hook(context, refuse=refuse, absent=absent)


def __getattr__(name: str) -> Any:
    """Import the worker when it is asked for: its package need not be there for WSGI."""
    if name != "UvicornWorker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("mtlspolicy.integrations._uvicorn_worker").UvicornWorker
