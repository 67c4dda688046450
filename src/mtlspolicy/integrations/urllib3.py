"""urllib3 over a context with a verifier: pools in which a kept connection is decided on again before it is used.

The context says all about TLS. What would change it, or ask another CA or name than the verifier does, is refused by
name; nothing is decided here.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._contexts import require_client_context
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._urllib3 import proxy_options, refuse_plain, restricted, tls_options

with Extra("urllib3"):
    from urllib3.poolmanager import PoolManager, ProxyManager

__all__ = ["pool"]

_TLS: Final = frozenset(
    {
        "assert_fingerprint",
        "assert_hostname",
        "ca_cert_data",
        "ca_cert_dir",
        "ca_certs",
        "cert_file",
        "cert_reqs",
        "key_file",
        "key_password",
        "server_hostname",
        "ssl_context",
        "ssl_maximum_version",
        "ssl_minimum_version",
        "ssl_version",
    }
)
_PROXY: Final = frozenset(
    {"proxy_assert_fingerprint", "proxy_assert_hostname", "proxy_ssl_context", "use_forwarding_for_https"}
)


def pool(
    context: ssl.SSLContext, *, proxy: str | None = None, proxy_context: ssl.SSLContext | None = None, **options: Any
) -> PoolManager:
    """Return a ``urllib3.PoolManager`` for https that decides again on each connection it kept.

    Args:
        context: Of `tls.client_context`, or one on which `tls.enforce` was called.
        proxy: URL of a proxy, which is asked for a tunnel (``CONNECT``); no variable of the environment is read.
        proxy_context: For a proxy that speaks TLS itself, ``https://``: what verifies the proxy. Never *context*.
        **options: Of ``urllib3.PoolManager``, without those about TLS.

    Raises:
        ConfigurationError: *context* has no verifier of servers, an option is about TLS, or the proxy and its context
            do not go together. At a request: a URL without TLS.
    """
    require_client_context(context, "urllib3.pool(context)")
    for name in sorted(options):
        if name in _TLS | _PROXY:
            raise ConfigurationError(f"{name}=...: the context says all about TLS; leave {name} out")
    options.update(tls_options(context))
    if proxy is None:
        if proxy_context is not None:
            raise ConfigurationError("proxy_context=... without proxy=...: name the proxy, or leave it out")
        return restricted(_Pools(**options))
    options.update(proxy_options(proxy, context, proxy_context))
    return restricted(_Tunnels(proxy, **options))


class _OverTLS:
    """Refuses what would go out without TLS, where the host that is meant is known, and not only a proxy."""

    def connection_from_host(
        self, host: str | None, port: int | None = None, scheme: str | None = "http", pool_kwargs: Any = None
    ) -> Any:
        """Return the pool for a host; see ``urllib3.PoolManager``."""
        if scheme != "https":
            refuse_plain(host)
        above: Any = super()
        return above.connection_from_host(host, port, scheme, pool_kwargs)


class _Pools(_OverTLS, PoolManager):
    """Pools of connections to servers."""


class _Tunnels(_OverTLS, ProxyManager):
    """Pools of connections through a proxy."""
