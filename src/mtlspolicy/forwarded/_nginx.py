"""nginx, which forwards the client's own certificate in ``$ssl_client_escaped_cert`` and says what it makes of it.

``$ssl_client_fingerprint`` is SHA-1 and is not read; neither are the variables with names, which say less than the
certificate.
"""

from __future__ import annotations

from typing import Final, Unpack

from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Companion

__all__ = ["nginx"]

_SUCCESS: Final = frozenset({"SUCCESS"})
_NONE: Final = frozenset({"NONE"})


def nginx(
    *,
    header: str = "x-ssl-client-cert",
    verify_header: str = "x-ssl-client-verify",
    proxy_verifies: bool = True,
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads what nginx forwards.

    Two lines of its configuration do it::

        proxy_set_header X-SSL-Client-Cert   $ssl_client_escaped_cert;
        proxy_set_header X-SSL-Client-Verify $ssl_client_verify;

    The first is percent-encoded PEM of one certificate: nginx has no variable for the intermediates, which belong in
    the trust store. ``$ssl_client_cert``, with tabs, and ``$ssl_client_raw_cert`` are refused. The ingress of
    Kubernetes names its headers ``ssl-client-cert`` and ``ssl-client-verify``.

    Args:
        header: Name of the header with the certificate.
        verify_header: Name of the header with ``SUCCESS``, ``NONE`` or ``FAILED:reason``; required with the
            certificate.
        proxy_verifies: Whether ``FAILED`` is refused as ``forwarded.not-verified``. False is for
            ``ssl_verify_client optional_no_ca``: our own validation alone counts.
        **options: `SourceOptions`; ``trusted`` is required.

    Raises:
        ConfigurationError: An option that is none, names that are the same, or nobody is trusted.
    """
    verdict = Companion(verify_header, presented=_SUCCESS, absent=_NONE, failed="FAILED:.*")
    dialect = CertificateHeaders(
        name="nginx", leaf=header, form="pem-percent", companions=(verdict,), proxy_verifies=proxy_verifies
    )
    return source_of(dialect, options)
