"""Apache httpd, which forwards PEM with a space for each line end, and ``(null)`` for what there is none of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Unpack

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Companion

__all__ = ["apache"]

_NULL: Final = "(null)"
"""What mod_headers prints for a variable that is not there."""


def apache(
    *,
    header: str = "x-ssl-client-cert",
    verify_header: str = "x-ssl-client-verify",
    chain_headers: Sequence[str] = (),
    proxy_verifies: bool = True,
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads what Apache httpd forwards.

    ``SSLOptions +ExportCertData`` and these lines of its configuration do it::

        RequestHeader set X-SSL-Client-Cert    "%{SSL_CLIENT_CERT}s"
        RequestHeader set X-SSL-Client-Verify  "%{SSL_CLIENT_VERIFY}s"
        RequestHeader set X-SSL-Client-Chain-0 "%{SSL_CLIENT_CERT_CHAIN_0}s"

    They belong outside every ``<Location>`` and into each virtual host that forwards, also those without TLS, where
    they read ``(null)``: what a client sends is otherwise passed on.

    Args:
        header: Name of the header with the certificate.
        verify_header: Name of the header with ``SUCCESS``, ``NONE``, ``FAILED:reason``, or ``GENEROUS``, which is
            Apache's word for a certificate that it did not verify; required with the certificate.
        chain_headers: Names of the headers with ``SSL_CLIENT_CERT_CHAIN_0``, ``_1`` and so on, in this order; empty:
            the intermediates are in the trust store.
        proxy_verifies: Whether ``FAILED`` and ``GENEROUS`` are refused as ``forwarded.not-verified``. False is for
            ``SSLVerifyClient optional_no_ca``: our own validation alone counts.
        **options: `SourceOptions`; ``trusted`` is required.

    Raises:
        ConfigurationError: An option that is none, names that are the same, or nobody is trusted.
    """
    if isinstance(chain_headers, str):
        raise ConfigurationError(f"forwarded.apache(chain_headers={chain_headers!r}): give a list of names")
    return source_of(_dialect(header, verify_header, tuple(chain_headers), proxy_verifies=proxy_verifies), options)


def _dialect(header: str, verify_header: str, chain: tuple[str, ...], *, proxy_verifies: bool) -> CertificateHeaders:
    verdict = Companion(
        verify_header,
        presented=frozenset({"SUCCESS"}),
        absent=frozenset({"NONE", _NULL}),
        failed="GENEROUS|FAILED:.*",
    )
    return CertificateHeaders(
        name="apache",
        leaf=header,
        form="pem-spaces",
        chain=chain,
        companions=(verdict,),
        proxy_verifies=proxy_verifies,
        nothing=frozenset({"", _NULL}),
    )
