"""Traefik's middleware PassTLSClientCert, which forwards the bodies of PEM, without boundaries and line ends.

``X-Forwarded-Tls-Client-Cert-Info`` is not read: its values are not quoted, and the client chooses some of them.
"""

from __future__ import annotations

from typing import Unpack

from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource

__all__ = ["traefik"]


def traefik(*, header: str = "x-forwarded-tls-client-cert", **options: Unpack[SourceOptions]) -> ForwardedSource:
    """Return the source that reads what Traefik forwards with ``passTLSClientCert: {pem: true}``.

    It is base64 of each certificate that the client presented, its own first, separated by commas. The percent-encoded
    form of Traefik 1 and early 2 is refused. Traefik states no verdict: whether it verified is in its TLS options, and
    our own validation follows either way. Versions that keep what a client without certificate sends in this header are
    open to anybody, whatever reads it. Under WSGI, where two copies of a header look like a list, one certificate is
    read and several are refused.

    Args:
        header: Name of the header; Traefik has no other.
        **options: `SourceOptions`; ``trusted`` is required.

    Raises:
        ConfigurationError: An option that is none, a name that is none, or nobody is trusted.
    """
    dialect = CertificateHeaders(name="traefik", leaf=header, form="der-base64-list", several=True)
    return source_of(dialect, options)
