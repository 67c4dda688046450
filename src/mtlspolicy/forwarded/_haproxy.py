"""HAProxy, which forwards DER in base64: the client's own certificate, its chain, and OpenSSL's verdict as a number."""

from __future__ import annotations

from typing import Final, Unpack

from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Companion

__all__ = ["haproxy"]

_OK: Final = frozenset({"0", "X509_V_OK"})
"""The verdict on a client without certificate as well, so that it says nothing about whether there is one."""
_ERROR: Final = "[1-9][0-9]{0,4}|X509_V_ERR_[A-Z0-9_]{1,64}"


def haproxy(
    *,
    header: str = "x-ssl-client-cert",
    verify_header: str = "x-ssl-client-verify",
    chain_header: str | None = None,
    proxy_verifies: bool = True,
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads what HAProxy forwards.

    These lines of its configuration do it::

        http-request set-header X-SSL-Client-Cert   %[ssl_c_der,base64]
        http-request set-header X-SSL-Client-Verify %[ssl_c_verify]
        http-request set-header X-SSL-Client-Chain  %[ssl_c_chain_der,base64]

    Set them without a condition: an empty certificate beside ``0`` says that there is none, while a verdict whose
    certificate is missing altogether is refused, as a hop in between may have removed it. The chain is base64 of all
    DER one after the other. Quotes, as ``%{+Q}[...]`` writes them, are refused, and so is PEM.

    Args:
        header: Name of the header with the certificate.
        verify_header: Name of the header with ``0`` or OpenSSL's error number, or what ``x509_v_err_str`` makes of it;
            required with the certificate.
        chain_header: Name of the header with the intermediates; ``None``: they are in the trust store.
        proxy_verifies: Whether another verdict than ``0`` is refused as ``forwarded.not-verified``. False is for
            ``crt-ignore-err`` and ``ca-ignore-err``: our own validation alone counts.
        **options: `SourceOptions`; ``trusted`` is required.

    Raises:
        ConfigurationError: An option that is none, names that are the same, or nobody is trusted.
    """
    chain = () if chain_header is None else (chain_header,)
    verdict = Companion(verify_header, open=_OK, failed=_ERROR)
    return source_of(_dialect(header, chain, verdict, proxy_verifies=proxy_verifies), options)


def _dialect(header: str, chain: tuple[str, ...], verdict: Companion, *, proxy_verifies: bool) -> CertificateHeaders:
    return CertificateHeaders(
        name="haproxy",
        leaf=header,
        form="der-base64",
        chain=chain,
        companions=(verdict,),
        proxy_verifies=proxy_verifies,
    )
