"""Writes the client's certificate into headers, for a program that terminates TLS in Python and forwards requests.

What a client sent under those names goes first, in every spelling, with a certificate and without. Only a certificate
whose key was proved on this program's own TLS connection is written: forwarding what was forwarded is another trust.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, TypeAlias

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy._identifiers import DNS, URI
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy._pem import write_pem
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._headers import SEPARATORS, HeaderPairs, canonical

__all__ = ["cache_headers", "emit_rfc9440", "emit_xfcc"]

Fields: TypeAlias = list[tuple[str, str]]
_CERT, _CHAIN, _XFCC = "client-cert", "client-cert-chain", "x-forwarded-client-cert"
_RFC9440: Final = frozenset({_CERT, _CHAIN})
_BY_NAME: Final = frozenset({"connection", "trailer"})
_ESCAPES: Final = (("\n", "%0A"), (" ", "%20"), ("+", "%2B"), ("/", "%2F"), ("=", "%3D"))
"""What Envoy escapes of PEM, and all of PEM that is not unreserved (RFC 3986, 2.3)."""


def emit_rfc9440(peer: VerifiedPeer | PresentedChain | None, inbound: HeaderPairs, *, chain: bool = False) -> Fields:
    """Return the headers of the request to forward, with ``Client-Cert`` (RFC 9440, section 2).

    Args:
        peer: The client; ``None``: it presented no certificate, and the headers are cleaned of what it wrote itself.
        inbound: All header fields of the client's request.
        chain: Whether the certificates that it presented besides its own go into ``Client-Cert-Chain``.

    Returns:
        Names and values as text. Other fields are as they came; nothing else of what an intermediary does is done here.

    Raises:
        ConfigurationError: Nobody saw the client prove possession of the key over TLS here.
    """
    fields = _without(inbound, _RFC9440)
    if peer is None:
        return fields
    ders = _ders(peer)
    fields.append(("Client-Cert", _byte_sequence(ders[0])))
    if chain and len(ders) > 1:
        fields.append(("Client-Cert-Chain", ", ".join(map(_byte_sequence, ders[1:]))))
    return fields


def emit_xfcc(
    peer: VerifiedPeer | PresentedChain | None,
    inbound: HeaderPairs,
    *,
    by: str | None = None,
    chain: bool = False,
    names: bool = False,
) -> Fields:
    """Return the headers of the request to forward, with one element of ``X-Forwarded-Client-Cert``, Envoy's format.

    It is Envoy's ``SANITIZE_SET``: elements that were there are not kept, so that one is one hop.

    Args:
        peer: The client; ``None``: it presented no certificate, and the headers are cleaned of what it wrote itself.
        inbound: All header fields of the client's request.
        by: URI of this program, as in its own certificate.
        chain: Whether all certificates that the client presented go into ``Chain``, its own first.
        names: Whether ``Subject``, ``URI`` and ``DNS`` are stated besides, for readers that read no certificate.

    Returns:
        As `emit_rfc9440`.

    Raises:
        ConfigurationError: Nobody saw the client prove possession of the key over TLS here, or *by* is no URI.
        MalformedEvidence: A name that was asked for cannot stand in a header.
    """
    if by is not None and not _is_plain(by):
        raise ConfigurationError(f"by={by!r}: a URI of printable ASCII without quotes, commas and semicolons")
    fields = _without(inbound, frozenset({_XFCC}))
    if peer is None:
        return fields
    ders = _ders(peer)
    parts = [] if by is None else [f"By={by}"]
    parts += [f"Hash={sha256(ders[0]).hexdigest()}", f'Cert="{_escaped_pem(ders[:1])}"']
    if chain:
        parts.append(f'Chain="{_escaped_pem(ders)}"')
    if names:
        parts += _named(ders[0])
    fields.append(("X-Forwarded-Client-Cert", ";".join(parts)))
    return fields


def cache_headers(headers: HeaderPairs, *, vary: bool = False) -> Fields:
    """Return the headers of a response that depends on the client's certificate, fit for caches (RFC 9440, 2.4).

    Without this a shared cache hands what one client may see to the next. A certificate header has no place in a
    response and is removed.

    Args:
        headers: All header fields of the response.
        vary: ``False``: ``Cache-Control: no-store`` in place of what was there. ``True``: ``Vary: Client-Cert``
            besides, for a cache between the proxy and this program, where each client's answer may be kept for it.
    """
    fields = _without(headers, _RFC9440)
    if vary:
        return [*fields, ("Vary", "Client-Cert")]
    return [*(field for field in fields if canonical(field[0]) != "cache-control"), ("Cache-Control", "no-store")]


def _without(headers: HeaderPairs, names: frozenset[str]) -> Fields:
    """Return *headers* as text, without *names* in any spelling and without a ``Connection`` that names one of them."""
    fields: Fields = []
    for raw_name, raw_value in headers:
        name, value = _text(raw_name), _text(raw_value)
        plain = canonical(name)
        listed = value.translate(SEPARATORS).split(",") if plain in _BY_NAME else ()
        if plain in names or any(canonical(option) in names for option in listed):
            continue
        fields.append((name, value))
    return fields


def _ders(peer: VerifiedPeer | PresentedChain) -> tuple[bytes, ...]:
    presented = peer.presented if isinstance(peer, VerifiedPeer) else peer
    possession = peer.possession
    if possession is not Possession.TLS or not presented.ders:
        raise ConfigurationError(
            f"a certificate with possession {possession.value}: only one whose key the client has proved on a TLS "
            "connection of this program may be forwarded"
        )
    return presented.ders


def _byte_sequence(der: bytes) -> str:
    return f":{binascii.b2a_base64(der, newline=False).decode('ascii')}:"


def _escaped_pem(ders: Iterable[bytes]) -> str:
    text = "".join(map(write_pem, ders))
    for char, escape in _ESCAPES:
        text = text.replace(char, escape)
    return text


def _named(der: bytes) -> list[str]:
    """Return what the certificate says, each value in quotes; in the subject, RFC 4514 text, quotes are escaped."""
    certificate = ParsedCertificate(der)
    names = certificate.names
    if not names.unreadable.isdisjoint({DNS, URI}):
        raise MalformedEvidence("a certificate with a name that cannot be read: forward it without names=True")
    parts = [f'Subject="{_printable(certificate.subject.rfc4514())}"']
    for key, values in (("URI", names.uris), ("DNS", names.dns_names)):
        for value in values:
            if not value.isprintable() or not {'"', "\\"}.isdisjoint(value):
                raise MalformedEvidence(f"the name {quoted(value, 80)} cannot be quoted: forward it without names=True")
            parts.append(f'{key}="{value}"')
    return parts


def _printable(text: str) -> str:
    """Return *text* with the UTF-8 of what is not printable ASCII in pairs of digits (RFC 4514, 2.4)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isascii() and c.isprintable() else "".join(f"\\{byte:02X}" for byte in c.encode("utf-8", "replace"))
        for c in text
    )


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and bool(text) and not set(' ",;\\') & set(text)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
