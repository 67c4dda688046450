"""Caddy 2, which forwards the client's own certificate in a header that the operator names, as base64 of DER."""

from __future__ import annotations

from typing import Final, Unpack

from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Digest

__all__ = ["caddy"]

_NOTHING: Final = frozenset(
    {"", "{http.request.tls.client.certificate_der_base64}", "{http.request.tls.client.fingerprint}"}
)
"""A placeholder that Caddy has no value for stays in the header as it is written in the configuration."""


def caddy(
    *, header: str = "x-client-cert", fingerprint_header: str | None = None, **options: Unpack[SourceOptions]
) -> ForwardedSource:
    """Return the source that reads what Caddy forwards.

    These lines of its ``reverse_proxy`` do it::

        header_up X-Client-Cert        {http.request.tls.client.certificate_der_base64}
        header_up X-Client-Fingerprint {http.request.tls.client.fingerprint}

    ``certificate_pem`` cannot be forwarded: it has line ends, with which Caddy sends no request. For a client without
    certificate the header holds the placeholder itself, letter by letter, and reads as none. Caddy forwards no
    intermediates, which belong in the trust store, and states no verdict: what it verified is in its ``client_auth``,
    and our own validation follows either way.

    Args:
        header: Name of the header with the certificate.
        fingerprint_header: Name of the header with its SHA-256 in hex, which must then be there and be right; ``None``:
            not read.
        **options: `SourceOptions`; ``trusted`` is required.

    Raises:
        ConfigurationError: An option that is none, names that are the same, or nobody is trusted.
    """
    dialect = CertificateHeaders(
        name="caddy",
        leaf=header,
        form="der-base64",
        digest=None if fingerprint_header is None else Digest(fingerprint_header),
        nothing=_NOTHING,
    )
    return source_of(dialect, options)
