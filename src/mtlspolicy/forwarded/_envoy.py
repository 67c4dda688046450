"""Envoy's ``x-forwarded-client-cert`` (XFCC). Who the client is comes from the forwarded certificate and nothing else.

Envoy writes the names of a certificate beside it, some without quotes: such a name can imitate everything that follows
it. They are read only where a source is built to return them as words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Unpack

from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._advice import advice_for, advised
from mtlspolicy.forwarded._claims import TextClaims
from mtlspolicy.forwarded._encodings import malformed, pem_certificates, percent_decoded
from mtlspolicy.forwarded._headers import header_name
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._xfcc import Element, read_elements

__all__ = ["XFCC", "envoy"]

_HASH: Final = re.compile("[0-9A-Fa-f]{64}")
_OF_THE_PROXY: Final = frozenset({"by", "hash", "cert", "chain"})
"""Keys whose value the client has no part in, beside the certificate itself."""
_MOST_HOPS: Final = 16
_BEGIN: Final = b"-----BEGIN "


@dataclass(frozen=True, slots=True)
class XFCC:
    """The dialect; see `envoy`.

    Attributes:
        header: Lower-case name of the header.
        hops: Proxies that add an element each.
        text_claims: Whether words are returned where there is no certificate.
        name: Of the constructor.
    """

    header: str
    hops: int
    text_claims: bool
    name: str = "envoy"

    @property
    def names(self) -> frozenset[str]:
        """The one header."""
        return frozenset({self.header})

    @property
    def lists(self) -> frozenset[str]:
        """None: Envoy appends to the one line that there is, and a second line is somebody else's."""
        return frozenset()

    @property
    def states_absence(self) -> bool:
        """False: without a certificate there is no header."""
        return False

    def advice(self, header: str | None = None) -> str:
        """Return what to set in Envoy, whichever header it is about; see `Dialect.advice`."""
        del header  # there is one
        return advice_for(self.name).leaf

    def parse(self, values: Mapping[str, str], *, joined: bool) -> tuple[bytes, ...] | TextClaims:
        """Return the DER of the certificates, end entity first, or words; see `Dialect.parse`."""
        try:
            return self._parsed(values, joined=joined)
        except MalformedEvidence as error:
            raise advised(error, self.advice(), self.header) from None

    def _parsed(self, values: Mapping[str, str], *, joined: bool) -> tuple[bytes, ...] | TextClaims:
        elements = read_elements(values[self.header])
        if len(elements) != self.hops:
            raise MalformedEvidence(
                f"{self.header!r} has {len(elements)} elements where {self.hops} proxies add one each: have the "
                "outermost one replace what the client sends (forward_client_cert_details: SANITIZE_SET), those "
                "behind it append (APPEND_FORWARD), and give hops= their number",
                code="forwarded.hops",
            )
        client, *others = elements  # of exactly that many, the first is the one that the outermost proxy wrote
        if joined and others:
            raise MalformedEvidence(
                f"{self.header!r} with several elements, which under WSGI may as well be two copies that somebody "
                "joined: have the last proxy forward one element, or serve over ASGI",
                code="forwarded.duplicate",
            )
        return self._client(client)

    def _client(self, element: Element) -> tuple[bytes, ...] | TextClaims:
        hashed = element.one("hash")
        if hashed is not None and not _HASH.fullmatch(hashed):
            raise malformed("Hash is not the hexadecimal SHA-256 of a certificate")
        ders = _certificates(element)
        if ders is not None:
            _hold_hash(element, hashed, ders[0])
            return ders
        if self.text_claims:
            return _claims(element, hashed)
        raise MalformedEvidence(
            f"{self.header!r} has neither Cert nor Chain, only words about a certificate: have Envoy forward it, "
            "set_current_client_cert_details: {cert: true, chain: true}",
            code="forwarded.text-only",
        )


def envoy(
    *,
    hops: int = 1,
    text_claims: bool = False,
    header: str = "x-forwarded-client-cert",
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads Envoy's ``x-forwarded-client-cert``, as Istio, Contour and others configure it too.

    The header must have exactly *hops* elements; the first of them, which the outermost proxy wrote, is the client's.
    That element has ``Cert``, ``Chain`` or both (the first of ``Chain`` is then ``Cert``), and its ``Hash`` is that of
    the certificate. An element without ``Hash``, which Envoy always writes, is read only if no unquoted text of the
    certificate stands before ``Cert`` and ``Chain``. Malformed are also a key of these twice, a quote that does not
    end, and empty elements. Unknown keys are passed over. Under WSGI only one element is read.

    Envoy needs ``forward_client_cert_details: SANITIZE_SET`` at the edge and ``set_current_client_cert_details: {cert:
    true, chain: true}``.

    Args:
        hops: Proxies that add an element each, the one that connects to this program included.
        text_claims: Return the proxy's words where it forwards no certificate, as ``source.request(...).claims``. They
            are no `PresentedChain`, no verifier takes them, and ``source.read`` refuses them as ever.
        header: Its name.
        **options: `SourceOptions`; ``trusted`` is required.

    Raises:
        ConfigurationError: An option that is none, or nobody is trusted.
    """
    if isinstance(hops, bool) or not isinstance(hops, int) or not 1 <= hops <= _MOST_HOPS:
        raise ConfigurationError(
            f"hops={hops!r}: the number of proxies that add an element to {header!r}, 1 to {_MOST_HOPS}"
        )
    if not isinstance(text_claims, bool):
        raise ConfigurationError(f"text_claims={text_claims!r}: True or False")
    return source_of(XFCC(header_name(header), hops, text_claims), options)


def _certificates(element: Element) -> tuple[bytes, ...] | None:
    """Return the certificates of ``Cert`` and ``Chain``, one at least; ``None``: there is neither."""
    cert, chain = element.one("cert"), element.one("chain")
    if chain is None:
        if cert is None:
            return None
        ders = pem_certificates(percent_decoded(cert))
        if len(ders) > 1:
            raise malformed("Cert with more than one certificate")
        return ders
    data = percent_decoded(chain)
    ders = pem_certificates(data)
    if cert is None or (chain.startswith(cert) and _is_one_block(cert, data)):
        return ders
    if pem_certificates(percent_decoded(cert)) != ders[:1]:
        raise malformed("Cert is not one certificate, the first of Chain")
    return ders


def _is_one_block(cert: str, data: bytes) -> bool:
    """Return whether *cert* is surely the first block of *data*, PEM whose percent-encoding begins with *cert*.

    Envoy writes ``Cert`` once more at the beginning of ``Chain``; to decode it twice takes half as long again.
    """
    size, second = len(cert) - 2 * cert.count("%"), data.find(_BEGIN, 1)
    return data.startswith(_BEGIN) and size == (len(data) if second < 0 else second) and "%" not in cert[-2:]


def _hold_hash(element: Element, hashed: str | None, der: bytes) -> None:
    """Return if the certificate is the one that ``Hash`` says, or cannot have come out of a name in the certificate.

    A URI name ``x;Cert=...`` reads like a key of Envoy's own. Envoy writes ``Hash`` first, and names after ``Chain``.
    """
    if hashed is not None:
        if hashed.lower() != sha256(der).hexdigest():
            raise malformed("Hash is not that of the forwarded certificate")
        return
    names = False
    for pair in element.pairs:
        names = names or (pair.bare and pair.key not in _OF_THE_PROXY)
        if names and pair.key in ("cert", "chain"):
            raise malformed("no Hash, and Cert or Chain after an unquoted name, which may have put it there")


def _claims(element: Element, hashed: str | None) -> TextClaims:
    claims = TextClaims(
        sha256=None if hashed is None else hashed.lower(),
        subject=element.one("subject") or None,
        uris=element.every("uri"),
        dns_names=element.every("dns"),
    )
    if claims == TextClaims():
        raise malformed("an element that says nothing about a certificate")
    return claims
