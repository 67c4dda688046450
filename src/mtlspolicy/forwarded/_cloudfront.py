"""Amazon CloudFront, which forwards a viewer's certificate as percent-encoded PEM or in the headers of RFC 9440."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal, Unpack

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._forms import usable_form
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Companion, Digest

__all__ = ["cloudfront"]

_HEADERS: Final = MappingProxyType({"pem-percent": "cloudfront-viewer-cert-pem", "rfc9440": "client-cert"})
_PRESENT: Final = frozenset({"1"})
_NOT_PRESENT: Final = frozenset({"0"})


def cloudfront(
    *,
    encoding: Literal["pem-percent", "rfc9440"] = "pem-percent",
    header: str | None = None,
    chain_header: str | None = None,
    present_header: str = "cloudfront-viewer-cert-present",
    sha256_header: str | None = None,
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads a viewer's certificate, from headers that the origin request policy names.

    ``"pem-percent"`` is ``CloudFront-Viewer-Cert-Pem``, ``"rfc9440"`` are ``Client-Cert`` and, by choice,
    ``Client-Cert-Chain``. ``CloudFront-Viewer-Cert-Present`` must be in the policy as well: ``1`` says that there is a
    certificate, ``0`` that there is none, and neither that it verified. CloudFront states no verdict on it; in
    passthrough mode it verifies nothing, and our own validation is all there is.
    Its addresses serve all its customers, who can make a distribution with your server as its origin: ``secret=``, a
    custom header of the origin, or a `Verifier` for CloudFront's own client certificate is required.

    Args:
        encoding: How the certificate is written.
        header: Name of the header with it; ``None``: ``CloudFront-Viewer-Cert-Pem`` or ``Client-Cert``.
        chain_header: Name of the header with the intermediates, only for ``"rfc9440"``; ``None``: not read.
        present_header: Name of the header that says whether there is one; required with the certificate.
        sha256_header: Name of the header with its SHA-256 in hex, ``CloudFront-Viewer-Cert-Sha256``, which must then be
            there and be right; ``None``: not read.
        **options: `SourceOptions`; ``trusted`` and, unless it is a `Verifier`, ``secret`` are required.

    Raises:
        ConfigurationError: An encoding or option that is none, or what is trusted proves nothing.
    """
    leaf = _leaf(encoding, header)
    if chain_header is not None and encoding != "rfc9440":
        raise ConfigurationError("forwarded.cloudfront(chain_header=...): only with encoding='rfc9440'")
    chain = () if chain_header is None else (chain_header,)
    there = Companion(present_header, presented=_PRESENT, absent=_NOT_PRESENT)
    digest = None if sha256_header is None else Digest(sha256_header)
    dialect = CertificateHeaders(
        name="cloudfront", leaf=leaf, form=encoding, chain=chain, companions=(there,), digest=digest
    )
    return source_of(dialect, options, shared=True)


def _leaf(encoding: str, header: str | None) -> str:
    usable_form(encoding, tuple(_HEADERS))
    return _HEADERS[encoding] if header is None else header
