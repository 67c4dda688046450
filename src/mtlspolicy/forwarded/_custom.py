"""A proxy that no other dialect is about: header names, encoding and verdict as the operator says."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Unpack

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._forms import Form, usable_form
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Companion

__all__ = ["custom"]

_ABSENT: Final = frozenset({"NONE", "(null)"})


def custom(
    leaf_header: str,
    *,
    encoding: Form,
    chain_header: str | None = None,
    verdict_header: str | None = None,
    verdict_ok: Collection[str] = ("SUCCESS",),
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads the certificate from *leaf_header*, in one stated encoding.

    An empty header says that there is no certificate. Have the proxy set every one of these headers on each request,
    also on those without a certificate, and drop headers whose names have underscores.

    Args:
        leaf_header: Name of the header with the end entity; without *chain_header* the chain may follow it there.
        encoding: ``"der-base64"``, of several certificates one after the other; ``"der-base64-list"``, with commas;
            ``"pem-base64"``, of PEM text; ``"pem-percent"``, as in RFC 3986, in which ``+`` is no space;
            ``"pem-spaces"``, a space for each line end; ``"rfc9440"``, byte sequences with commas.
        chain_header: Name of the header with the other certificates, in the same encoding.
        verdict_header: Name of the header with the proxy's verdict, required with the certificate; ``None``: our own
            validation alone counts.
        verdict_ok: Words with which the proxy says that the certificate verified. ``NONE``, ``(null)`` and the empty
            word say that there is none, unless they are listed here; with every other word the certificate is refused
            as ``forwarded.not-verified``.
        **options: `SourceOptions`; ``trusted`` is required. Where the proxy's addresses serve others as well, give
            ``secret``.

    Raises:
        ConfigurationError: An encoding or option that is none, names that are the same, no word, or nobody is trusted.
    """
    usable_form(encoding)
    verdict = _verdict(verdict_header, verdict_ok)
    several, chain = chain_header is None, () if chain_header is None else (chain_header,)
    dialect = CertificateHeaders(
        name="custom", leaf=leaf_header, form=encoding, several=several, chain=chain, companions=verdict
    )
    return source_of(dialect, options)


def _verdict(header: str | None, good: Collection[str]) -> tuple[Companion, ...]:
    words = frozenset(() if isinstance(good, str) else good)
    if not words or not all(isinstance(word, str) and word for word in words):
        raise ConfigurationError(f"forwarded.custom(verdict_ok={good!r}): a list of words, none of them empty")
    if header is None:
        return ()
    return (Companion(header, presented=words, absent=_ABSENT - words, failed=".*"),)
