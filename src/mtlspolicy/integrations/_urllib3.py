"""urllib3's pools over a context with a verifier, for the integrations of urllib3 and of requests; it decides nothing.

A kept connection is decided on again before it is used, and no connection is made without TLS.
"""

from __future__ import annotations

import ssl
from typing import Any, NoReturn

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.tls._again import still_admitted
from mtlspolicy.tls._peer_of import latch_of

with Extra("urllib3"):
    from urllib3.connection import HTTPSConnection
    from urllib3.connectionpool import HTTPSConnectionPool
    from urllib3.poolmanager import PoolManager

__all__ = ["proxy_options", "refuse_plain", "restricted", "tls_options"]


def tls_options(context: ssl.SSLContext) -> dict[str, Any]:
    """Return what a pool is told about TLS to the server itself."""
    if context.check_hostname:
        return {"ssl_context": context}
    # The identity is a URI or a common name: urllib3 would look for the host's name, in a certificate without one.
    return {"ssl_context": context, "assert_hostname": False}


def proxy_options(proxy: str, context: ssl.SSLContext, proxy_context: ssl.SSLContext | None) -> dict[str, Any]:
    """Return what a pool behind *proxy* is told besides.

    Raises:
        ConfigurationError: No kind of proxy that is known here, one that speaks TLS and has no context, or the
            server's.
    """
    scheme = proxy.partition("://")[0].lower()
    if scheme not in {"http", "https"}:
        raise ConfigurationError(
            f"a proxy of the scheme {scheme!r}: connections through it would not be decided on again; use one that is "
            "asked for a tunnel, http:// or https://"
        )
    if scheme == "http":
        return {}
    if proxy_context is None:
        raise ConfigurationError(
            "a proxy that speaks TLS, https://, is verified by a context of its own: pass proxy_context=, made by "
            "tls.client_context or ssl.create_default_context(); http:// is a proxy that is asked in the clear"
        )
    if proxy_context is context:
        raise ConfigurationError(
            "proxy_context is the server's context: it would show the proxy our certificate and expects another name; "
            "make one for the proxy"
        )
    return {"proxy_ssl_context": proxy_context}


def restricted(pools: PoolManager) -> PoolManager:
    """Return *pools*, which from now on make connections over TLS that are decided on again, and no others.

    Whoever asks them for others is refused before (`refuse_plain`), since only there the host is known that is meant.
    """
    classes: dict[str, Any] = {"https": _Pool}
    pools.pool_classes_by_scheme = classes
    return pools


class _Kept(HTTPSConnection):
    """A connection that counts as dropped where its peer would not be admitted any more."""

    def connect(self) -> None:
        """Connect; what is not of a context with a verifier is closed, whoever passed another one (``pool_kwargs``).

        Raises:
            ConfigurationError: It is named, ``tls.not-ours``; nothing was sent.
        """
        super().connect()
        try:
            latch_of(_tls_of(self.sock))
        except ConfigurationError:
            self.close()
            raise

    @property
    def is_connected(self) -> bool:
        """Whether it may be used for another request."""
        if not super().is_connected:
            return False
        return still_admitted(_tls_of(self.sock))


def _tls_of(sock: Any) -> Any:
    # Over a proxy that speaks TLS itself urllib3 keeps the TLS object inside a transport of its own.
    return getattr(sock, "sslobj", sock)


class _Pool(HTTPSConnectionPool):
    ConnectionCls: Any = _Kept


def refuse_plain(host: str | None) -> NoReturn:
    """Refuse a request to *host*, hostile text, that would go out without TLS.

    Raises:
        ConfigurationError: Always.
    """
    raise ConfigurationError(
        f"http://{host}: without TLS nobody is verified; use https://, and do not follow a redirect that leaves it"
    )
