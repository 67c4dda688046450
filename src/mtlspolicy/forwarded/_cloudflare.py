"""Cloudflare, which forwards in RFC 9440 by a rule of the operator's, or by Cloudflare Access in base64 of DER."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal, Unpack

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._forms import usable_form
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Companion, Digest

__all__ = ["cloudflare"]

_HEADERS: Final = MappingProxyType({"rfc9440": "client-cert", "der-base64": "cf-client-cert-der-base64"})
_TRUE: Final = frozenset({"true"})
_FALSE: Final = frozenset({"false"})
_COMPANIONS: Final = (
    Companion("cf-cert-presented", presented=_TRUE, absent=_FALSE),
    Companion("cf-cert-verified", presented=_TRUE, failed="false"),
    Companion("cf-cert-revoked", open=_FALSE, failed="true"),
)
"""Those of the managed transform "Add TLS client auth headers", whose names nobody can change."""


def cloudflare(
    *,
    encoding: Literal["rfc9440", "der-base64"] = "rfc9440",
    header: str | None = None,
    chain_header: str | None = None,
    sha256_header: str | None = None,
    managed_headers: bool = True,
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads a client certificate which Cloudflare forwards.

    With ``"rfc9440"`` a transform rule sets headers to ``cf.tls_client_auth.cert_rfc9440`` and ``cert_chain_rfc9440``
    on every request. Cloudflare fills these **whatever it thinks of the certificate**, so its verdict is required: the
    managed transform *Add TLS client auth headers* sends ``Cf-Cert-Presented``, ``Cf-Cert-Verified`` and
    ``Cf-Cert-Revoked``. A certificate too large for the field is ``forwarded.companion``. ``"der-base64"`` is what
    Cloudflare Access forwards. Cloudflare's addresses serve all its customers: ``secret=``, a header that a transform
    rule sets, or a `Verifier` for origin pulls *with a certificate of your own* is required.

    Args:
        encoding: How the certificate is written.
        header: Name of the header with it; ``None``: ``Client-Cert`` or ``Cf-Client-Cert-Der-Base64``.
        chain_header: Name of the header with the intermediates, only for ``"rfc9440"``; ``None``: not read.
        sha256_header: Name of the header with its SHA-256 in hex, ``Cf-Client-Cert-Sha256`` for Access, which must then
            be there and be right; ``None``: not read.
        managed_headers: Whether the managed transform is on, whose verdict is then required. False says that our own
            validation alone counts.
        **options: `SourceOptions`; ``trusted`` and, unless it is a `Verifier`, ``secret`` are required.

    Raises:
        ConfigurationError: An encoding or option that is none, or what is trusted proves nothing.
    """
    leaf, said = _leaf(encoding, header), _companions(managed=managed_headers)
    if chain_header is not None and encoding != "rfc9440":
        raise ConfigurationError("forwarded.cloudflare(chain_header=...): Cloudflare Access forwards no intermediates")
    chain = () if chain_header is None else (chain_header,)
    digest = None if sha256_header is None else Digest(sha256_header)
    dialect = CertificateHeaders(
        name="cloudflare", leaf=leaf, form=encoding, chain=chain, companions=said, digest=digest
    )
    return source_of(dialect, options, shared=True)


def _companions(*, managed: bool) -> tuple[Companion, ...]:
    if not isinstance(managed, bool):
        raise ConfigurationError(f"forwarded.cloudflare(managed_headers={managed!r}): True or False")
    return _COMPANIONS if managed else ()


def _leaf(encoding: str, header: str | None) -> str:
    usable_form(encoding, tuple(_HEADERS))
    return _HEADERS[encoding] if header is None else header
