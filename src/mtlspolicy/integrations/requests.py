"""A transport adapter for requests over a context with a verifier: what else could say something about TLS is refused.

The context has the credential, the trust and the identity. requests' own ``verify=`` and ``cert=`` are refused by name
where they say something else; what the environment says about CAs has no effect. Nothing is decided here.
"""

from __future__ import annotations

import os
import ssl
from typing import Any, Final, NoReturn

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._contexts import require_client_context
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._urllib3 import proxy_options, refuse_plain, restricted, tls_options

with Extra("requests"):
    import requests
    from requests.adapters import HTTPAdapter

__all__ = ["Adapter", "mount"]

_BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that requests turns into ``verify=`` where a session trusts its environment."""


def mount(
    session: requests.Session, context: ssl.SSLContext, url: str = "https://", *, adapter: Adapter | None = None
) -> None:
    """Have *session* send what begins with *url* over *context*, and refuse the same without TLS.

    requests picks an adapter by the first characters of the URL as it is written: ``https://api.example.com:443/`` does
    not begin with ``https://api.example.com/`` and goes out by whatever is mounted for it. The default, every https
    URL, has no such gap.

    Args:
        session: Whose requests they are.
        context: Of `tls.client_context`, or one on which `tls.enforce` was called.
        url: ``https://`` and, if you like, a host, a port and a path; it is ended by a slash, so that
            ``https://api.example.com`` is not the beginning of another host's name.
        adapter: One with options of its own over the same *context*.

    Raises:
        ConfigurationError: *context* has no verifier of servers, or *url* is not one of https.
    """
    if not url.lower().startswith("https://"):
        raise ConfigurationError(f"mount(url={url!r}): a context is for URLs that begin with https://")
    if adapter is None:
        adapter = Adapter(context)
    elif adapter.context is not context:
        raise ConfigurationError("mount(adapter=...): the adapter was made over another context")
    place = url if url.endswith("/") else f"{url}/"
    session.mount(place, adapter)
    session.mount(f"http{place[5:]}", adapter)


class Adapter(HTTPAdapter):
    """A transport adapter that sends over a context with a verifier; `mount` puts it where it belongs.

    A connection that was kept is decided on again before another request goes over it.

    Args:
        context: Of `tls.client_context`, or one on which `tls.enforce` was called.
        proxy_context: What verifies a proxy that speaks TLS itself, ``https://``. Never *context*.
        **options: Of ``requests.adapters.HTTPAdapter``.

    Raises:
        ConfigurationError: *context* has no verifier of servers. At a request: ``verify=`` or ``cert=`` says something
            else than the context, the URL is without TLS, or the proxy is of a kind that cannot be verified.
    """

    def __init__(self, context: ssl.SSLContext, *, proxy_context: ssl.SSLContext | None = None, **options: Any) -> None:
        self._context = require_client_context(context, "requests.Adapter(context)")
        self._proxy_context = proxy_context
        super().__init__(**options)

    @property
    def context(self) -> ssl.SSLContext:
        """The context that it sends over."""
        return self._context

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - the parameter of requests
        """Hand the context to urllib3; called by requests."""
        super().init_poolmanager(connections, maxsize, block, **options, **tls_options(self._context))
        restricted(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Hand the context to urllib3 for connections through *proxy*; called by requests."""
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        options.update(tls_options(self._context))
        options.update(proxy_options(proxy, self._context, self._proxy_context))
        return restricted(super().proxy_manager_for(proxy, **options))

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - the same
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002 - the same
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send *request*; called by requests.

        Raises:
            ConfigurationError: See the class.
        """
        if not (request.url or "").lower().startswith("https://"):
            refuse_plain((request.url or "").partition("://")[2].partition("/")[0])
        _require_nothing_else(verify, cert)
        return super().send(request, stream=stream, timeout=timeout, verify=True, cert=None, proxies=proxies)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Load nothing: requests would add certifi's CAs to the context; called by requests."""

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Say where the request goes, and nothing about TLS; called by requests."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def __getstate__(self) -> NoReturn:
        """Refuse: a context cannot be copied."""
        raise ConfigurationError("an Adapter is neither pickled nor copied, and neither is its session: mount it anew")


def _require_nothing_else(verify: object, cert: object) -> None:
    """Refuse what a caller says besides the context.

    Raises:
        ConfigurationError: It is named.
    """
    if cert is not None:
        raise ConfigurationError("cert=...: the context has the credential; pass it to tls.client_context, not here")
    if verify is True or verify in {os.environ.get(name) for name in _BUNDLES} - {None}:
        return
    raise ConfigurationError(
        f"verify={verify!r}: the verifier of the context says whom to trust, and that is not switched off or changed "
        "here; leave verify out, and give another CA to TrustStore"
    )
