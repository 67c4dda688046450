"""Two proxies, one behind the other, in front of a program of ours. Only the first one speaks TLS with clients."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import envoy, haproxy  # noqa: TID252 - tests are no package that could be named
from .apache import apache  # noqa: TID252 - the same
from .backend import serving  # noqa: TID252 - the same
from .nginx import nginx  # noqa: TID252 - the same
from .pages import filled  # noqa: TID252 - the same
from .programs import HOST, free_port  # noqa: TID252 - the same
from .rules import Proxied  # noqa: TID252 - the same

_PLAIN_APACHE: Final = """
Listen {host}:{port}
<VirtualHost *:{port}>
    ProxyPass / http://{host}:{backend}/
</VirtualHost>
"""
"""A second proxy that nobody has told of certificates."""


@dataclass(frozen=True)
class TwoHops(Proxied):
    """Two proxies that listen, and the program behind them.

    Attributes:
        inner: Port of the second proxy.
    """

    inner: int


@contextmanager
def envoy_before_nginx(certificates: Path, folder: Path) -> Generator[TwoHops, None, None]:
    """Run Envoy, nginx and the program as the page of Envoy says."""
    names = envoy.PAGE.namespace(certificates, blocks=2)
    edge, inner = free_port(), free_port()
    first = envoy.PAGE.configuration("/etc/envoy/envoy.yaml")
    second = envoy.PAGE.configuration("/etc/nginx/conf.d/inner.conf")
    with (
        serving(names["source"], names["verifier"]) as backend,
        nginx(filled(second, certificates, {8080: inner, 8000: backend.port}), folder, inner),
        envoy.envoy(filled(first, certificates, {8443: edge, 8000: inner}), folder, edge),
    ):
        yield TwoHops(edge, certificates, backend, inner)


@contextmanager
def envoy_before_envoy(certificates: Path, folder: Path) -> Generator[TwoHops, None, None]:
    """Run two Envoys, which speak mutual TLS with each other, and the program as the page says."""
    names = envoy.PAGE.namespace(certificates, blocks=3)
    edge, inner = free_port(), free_port()
    first = envoy.PAGE.changed(envoy.PAGE.configuration("/etc/envoy/envoy.yaml"), 1)
    second = envoy.PAGE.configuration("/etc/envoy/inner.yaml")
    with (
        serving(names["source"], names["verifier"]) as backend,
        envoy.envoy(filled(second, certificates, {8444: inner, 8000: backend.port}), folder, inner),
        envoy.envoy(filled(first, certificates, {8443: edge, 8000: inner}), folder, edge),
    ):
        yield TwoHops(edge, certificates, backend, inner)


@contextmanager
def haproxy_before_apache(certificates: Path, folder: Path, *, sanitise: bool = True) -> Generator[TwoHops, None, None]:
    """Run HAProxy and the program as the page of HAProxy says, with an Apache between them that obeys ``Connection``.

    Args:
        certificates: Folder of certificates and keys.
        folder: Of the proxies.
        sanitise: Whether HAProxy removes what a client has in ``Connection``.
    """
    names = haproxy.PAGE.namespace(certificates)
    edge, inner = free_port(), free_port()
    first = haproxy.PAGE.configuration("/etc/haproxy/haproxy.cfg")
    if not sanitise:
        lines = first.splitlines(keepends=True)
        first = "".join(line for line in lines if "-header Connection" not in line)
    with serving(names["source"], names["verifier"]) as backend:
        second = _PLAIN_APACHE.format(host=HOST, port=inner, backend=backend.port)
        with (
            apache(second, folder, inner),
            haproxy.haproxy(filled(first, certificates, {8443: edge, 8000: inner}), folder, edge),
        ):
            yield TwoHops(edge, certificates, backend, inner)
