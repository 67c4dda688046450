"""Certificates that a proxy forwards in a header: one `ForwardedSource` for each dialect, behind one gate.

Nothing is decided here: what a source reads goes to a `Verifier`, and a proxy that nobody named is refused. Each family
lives in a module of its own, which is loaded when one of its names is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mtlspolicy.forwarded._apache import apache
    from mtlspolicy.forwarded._aws import aws_alb, aws_api_gateway
    from mtlspolicy.forwarded._azure import azure_app_service, azure_application_gateway
    from mtlspolicy.forwarded._caddy import caddy
    from mtlspolicy.forwarded._claims import TextClaims
    from mtlspolicy.forwarded._client_address import ClientAddressHeader, real_ip, x_forwarded_for
    from mtlspolicy.forwarded._cloudflare import cloudflare
    from mtlspolicy.forwarded._cloudfront import cloudfront
    from mtlspolicy.forwarded._custom import custom
    from mtlspolicy.forwarded._emit import cache_headers, emit_rfc9440, emit_xfcc
    from mtlspolicy.forwarded._environ import clean_environ, environ_headers
    from mtlspolicy.forwarded._envoy import envoy
    from mtlspolicy.forwarded._gate import UNIX_SOCKET, Gate, ImmediatePeer, UnixSocket
    from mtlspolicy.forwarded._google import google_cloud
    from mtlspolicy.forwarded._haproxy import haproxy
    from mtlspolicy.forwarded._headers import JoinedHeaders
    from mtlspolicy.forwarded._nginx import nginx
    from mtlspolicy.forwarded._options import SourceOptions
    from mtlspolicy.forwarded._proxy_protocol import ProxyHeader, ProxyTLS
    from mtlspolicy.forwarded._rfc9440 import rfc9440
    from mtlspolicy.forwarded._source import Dialect, ForwardedSource, Request
    from mtlspolicy.forwarded._traefik import traefik

__all__ = [
    "UNIX_SOCKET",
    "ClientAddressHeader",
    "Dialect",
    "ForwardedSource",
    "Gate",
    "ImmediatePeer",
    "JoinedHeaders",
    "ProxyHeader",
    "ProxyTLS",
    "Request",
    "SourceOptions",
    "TextClaims",
    "UnixSocket",
    "apache",
    "aws_alb",
    "aws_api_gateway",
    "azure_app_service",
    "azure_application_gateway",
    "cache_headers",
    "caddy",
    "clean_environ",
    "cloudflare",
    "cloudfront",
    "custom",
    "emit_rfc9440",
    "emit_xfcc",
    "environ_headers",
    "envoy",
    "google_cloud",
    "haproxy",
    "nginx",
    "real_ip",
    "rfc9440",
    "traefik",
    "x_forwarded_for",
]

_HOMES: Final = {
    "mtlspolicy.forwarded._apache": ("apache",),
    "mtlspolicy.forwarded._aws": ("aws_alb", "aws_api_gateway"),
    "mtlspolicy.forwarded._azure": ("azure_app_service", "azure_application_gateway"),
    "mtlspolicy.forwarded._caddy": ("caddy",),
    "mtlspolicy.forwarded._claims": ("TextClaims",),
    "mtlspolicy.forwarded._client_address": ("ClientAddressHeader", "real_ip", "x_forwarded_for"),
    "mtlspolicy.forwarded._cloudflare": ("cloudflare",),
    "mtlspolicy.forwarded._cloudfront": ("cloudfront",),
    "mtlspolicy.forwarded._custom": ("custom",),
    "mtlspolicy.forwarded._emit": ("cache_headers", "emit_rfc9440", "emit_xfcc"),
    "mtlspolicy.forwarded._environ": ("clean_environ", "environ_headers"),
    "mtlspolicy.forwarded._envoy": ("envoy",),
    "mtlspolicy.forwarded._gate": ("UNIX_SOCKET", "Gate", "ImmediatePeer", "UnixSocket"),
    "mtlspolicy.forwarded._google": ("google_cloud",),
    "mtlspolicy.forwarded._haproxy": ("haproxy",),
    "mtlspolicy.forwarded._headers": ("JoinedHeaders",),
    "mtlspolicy.forwarded._nginx": ("nginx",),
    "mtlspolicy.forwarded._options": ("SourceOptions",),
    "mtlspolicy.forwarded._proxy_protocol": ("ProxyHeader", "ProxyTLS"),
    "mtlspolicy.forwarded._rfc9440": ("rfc9440",),
    "mtlspolicy.forwarded._source": ("Dialect", "ForwardedSource", "Request"),
    "mtlspolicy.forwarded._traefik": ("traefik",),
}
_HOME: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load the module in which *name* lives, once."""
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
