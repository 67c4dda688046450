"""Google Cloud's Application Load Balancer, which forwards in custom headers that the operator names (RFC 9440)."""

from __future__ import annotations

from typing import Final, Unpack

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Companion, Digest

__all__ = ["google_cloud"]

_TRUE: Final = frozenset({"true"})
_FALSE: Final = frozenset({"false"})


def google_cloud(
    *,
    header: str = "x-client-cert-leaf",
    chain_header: str | None = "x-client-cert-chain",
    verdict_headers: tuple[str, str] = ("x-client-cert-present", "x-client-cert-chain-verified"),
    hash_header: str | None = None,
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads what a load balancer of Google Cloud forwards.

    These custom request headers of the backend service do it::

        X-Client-Cert-Leaf:{client_cert_leaf}
        X-Client-Cert-Chain:{client_cert_chain}
        X-Client-Cert-Present:{client_cert_present}
        X-Client-Cert-Chain-Verified:{client_cert_chain_verified}
        X-Client-Cert-Hash:{client_cert_sha256_fingerprint}

    It fills the first two only with what it has verified: what it has not is ``forwarded.not-verified``, and what is
    too large for it ``forwarded.companion``. Its addresses serve all customers of Google, who can send any header from
    them: ``secret=``, one more custom header, or a `Verifier` for its own client certificate is required.

    Args:
        header: Name of the header with ``client_cert_leaf``.
        chain_header: Name of the header with ``client_cert_chain``; ``None``: the intermediates are in the trust store.
        verdict_headers: Names of the headers with ``client_cert_present`` and ``client_cert_chain_verified``, in this
            order; both are required on every request that has one of these headers.
        hash_header: Name of the header with ``client_cert_sha256_fingerprint``, which must then be there and be right;
            ``None``: not read.
        **options: `SourceOptions`; ``trusted`` and, unless it is a `Verifier`, ``secret`` are required.

    Raises:
        ConfigurationError: An option that is none, names that are the same, or what is trusted proves nothing.
    """
    said, chain = _verdicts(verdict_headers), () if chain_header is None else (chain_header,)
    digest = None if hash_header is None else Digest(hash_header, "base64")
    dialect = CertificateHeaders(
        name="google_cloud", leaf=header, form="rfc9440", chain=chain, companions=said, digest=digest
    )
    return source_of(dialect, options, shared=True)


def _verdicts(names: tuple[str, str]) -> tuple[Companion, Companion]:
    if not isinstance(names, tuple) or len(names) != 2:
        raise ConfigurationError(f"forwarded.google_cloud(verdict_headers={names!r}): give both names")
    present, verified = names
    return (
        Companion(present, presented=_TRUE, absent=_FALSE),
        Companion(verified, presented=_TRUE, failed="false"),
    )
