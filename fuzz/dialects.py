"""Targets for what proxies send: each dialect of a forwarded certificate, and the PROXY protocol.

An input is the header fields of one request, a line each. A dialect is one line in ``SOURCES``.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias
from urllib.parse import quote

from fuzz._material import FRODO, ISSUING, ROOT, SAM, STRANGER, VALUE, Target, outcome, require, require_issued, told
from mtlspolicy import MTLSPolicyError, Possession, forwarded
from mtlspolicy.forwarded import ForwardedSource, ImmediatePeer, JoinedHeaders, ProxyHeader

TRUSTED: Final = ["10.0.0.1/32"]
PROXY: Final = ImmediatePeer("10.0.0.1")
STRANGER_AT: Final = ImmediatePeer("10.0.0.2")
SECRET: Final = ("x-origin-secret", "an0ther-Very_secret.value")
Written: TypeAlias = Callable[..., dict[str, str]]
"""The headers that a proxy writes of a chain, which it is given as DER, end entity first."""


def _pem(*ders: bytes) -> str:
    return "".join(map(ssl.DER_cert_to_PEM_cert, ders))


def _escaped(*ders: bytes) -> str:
    return quote(_pem(*ders), safe="")


def _base64(der: bytes) -> str:
    return base64.b64encode(der).decode("ascii")


def _items(*ders: bytes) -> str:
    return ", ".join(f":{_base64(der)}:" for der in ders)


def _spaces(der: bytes) -> str:
    return _pem(der).replace("\n", " ").strip()


def _hex(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


def _xfcc(leaf: bytes, *others: bytes) -> dict[str, str]:
    chain = f'Cert="{_escaped(leaf)}";Chain="{_escaped(leaf, *others)}"'
    return {"x-forwarded-client-cert": f'By=spiffe://a/p;Hash={_hex(leaf)};{chain};Subject="CN=a\\"b";URI=;DNS=a.test'}


def _words(leaf: bytes, *_: bytes) -> dict[str, str]:
    return {"x-forwarded-client-cert": f'By=;Hash={_hex(leaf)};Subject="O=b,CN=a\\"b";URI=spiffe://a/b;DNS=a;DNS=b'}


def _twice(*ders: bytes) -> dict[str, str]:
    ((name, first),), ((_, second),) = _xfcc(*ders).items(), _xfcc(ISSUING.der).items()
    return {name: f"{first},{second}"}


def _google(leaf: bytes, *others: bytes) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(leaf).digest()).decode()
    found = {"x-client-cert-present": "true", "x-client-cert-chain-verified": "true", "x-client-cert-hash": digest}
    return {"x-client-cert-leaf": _items(leaf), "x-client-cert-chain": _items(*others), **found}


def _cloudflare(leaf: bytes, *others: bytes) -> dict[str, str]:
    found = {"cf-cert-presented": "true", "cf-cert-verified": "true", "cf-cert-revoked": "false"}
    return {"client-cert": _items(leaf), "client-cert-chain": _items(*others), **found}


def _apache(leaf: bytes, *others: bytes) -> dict[str, str]:
    chain = {f"x-chain-{number}": _spaces(der) for number, der in enumerate(others)}
    return {"x-ssl-client-cert": _spaces(leaf), "x-ssl-client-verify": "SUCCESS", **chain}


SOURCES: Final[Mapping[str, tuple[Callable[..., ForwardedSource], Written]]] = {
    "envoy": (forwarded.envoy, _xfcc),
    "envoy-two-hops": (partial(forwarded.envoy, hops=2), _twice),
    "envoy-words": (partial(forwarded.envoy, text_claims=True), _words),
    "rfc9440": (forwarded.rfc9440, lambda a, *b: {"client-cert": _items(a), "client-cert-chain": _items(*b)}),
    "nginx": (forwarded.nginx, lambda a, *_: {"x-ssl-client-cert": _escaped(a), "x-ssl-client-verify": "SUCCESS"}),
    "haproxy": (
        partial(forwarded.haproxy, chain_header="x-chain"),
        lambda a, *b: {
            "x-ssl-client-cert": _base64(a), "x-ssl-client-verify": "0", "x-chain": _base64(b"".join(b))
        },
    ),
    "apache": (partial(forwarded.apache, chain_headers=("x-chain-0", "x-chain-1")), _apache),
    "traefik": (forwarded.traefik, lambda *a: {"x-forwarded-tls-client-cert": ",".join(map(_base64, a))}),
    "caddy": (
        partial(forwarded.caddy, fingerprint_header="x-client-hash"),
        lambda a, *_: {"x-client-cert": _base64(a), "x-client-hash": _hex(a)},
    ),
    "aws_alb": (
        forwarded.aws_alb, lambda a, *_: {"x-amzn-mtls-clientcert-leaf": quote(_pem(a), safe="+=/")}
    ),
    "aws_alb-passthrough": (
        partial(forwarded.aws_alb, mode="passthrough"),
        lambda *a: {"x-amzn-mtls-clientcert": quote(_pem(*a), safe="+=/")},
    ),
    "aws_api_gateway": (
        partial(forwarded.aws_api_gateway, encoding="pem-base64"),
        lambda a, *_: {"x-client-cert": _base64(_pem(a).encode())},
    ),
    "google_cloud": (partial(forwarded.google_cloud, hash_header="x-client-cert-hash"), _google),
    "cloudflare": (partial(forwarded.cloudflare, chain_header="client-cert-chain"), _cloudflare),
    "cloudfront": (
        partial(forwarded.cloudfront, sha256_header="cloudfront-viewer-cert-sha256"),
        lambda a, *_: {
            "cloudfront-viewer-cert-pem": _escaped(a), "cloudfront-viewer-cert-present": "1",
            "cloudfront-viewer-cert-sha256": _hex(a),
        },
    ),
    "azure_app_service": (forwarded.azure_app_service, lambda a, *_: {"x-arr-clientcert": _base64(a)}),
    "azure_application_gateway": (
        partial(forwarded.azure_application_gateway, encoding="pem-spaces"),
        lambda a, *_: {"x-client-certificate": _spaces(a), "x-client-certificate-verification": "SUCCESS"},
    ),
    "custom": (
        partial(forwarded.custom, "x-leaf", encoding="der-base64-list", verdict_header="x-verdict"),
        lambda *a: {"x-leaf": ",".join(map(_base64, a)), "x-verdict": "SUCCESS"},
    ),
}  # fmt: skip
_TOKENS: Final = (
    *(b"SUCCESS", b"NONE", b"FAILED:expired", b"GENEROUS", b"(null)", b"true", b"false", b"0", b"1", b"%2D", b"%0A"),
    *(b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"-----BEGIN%20CERTIFICATE-----%0A", b"\nhost: a"),
    *(b'";Cert="', b'";Chain="', b";Hash=", b"By=", b";URI=", b'Subject="', b"\\", b'\\"', b"\nconnection: ", b":;a=1"),
    *(item.encode() for item in (_escaped(SAM.der), _base64(SAM.der), _items(SAM.der), _hex(SAM.der))),
    *(b"=", b"==", b"::", b"(", b"\n", b"\n ", b"_"),
)


def _lines(headers: Mapping[str, str]) -> bytes:
    return "\n".join(f"{name}: {value}" for name, value in headers.items()).encode()


def _fields(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the header fields in *data*. An empty name, a colon in a value, any byte at all: a server may pass it."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in data.split(b"\n"))]


def _source_target(make: Callable[..., ForwardedSource], write: Written) -> Target:
    source = make(trusted=TRUSTED, secret=SECRET)

    def headers(data: bytes) -> str:
        """Any bytes give a value or one of our errors, nothing else.

        A mutated header never gives a different identity that verifies: the certificate is one that the CA has issued.
        What is read is read again, and under WSGI, where less can be seen, it is the same or refused.
        """
        fields = _fields(data)
        try:
            found = source.request(fields, peer=PROXY)
        except MTLSPolicyError as error:
            return told(error)
        require(source.request(fields, peer=PROXY) == found, "the same headers read as something else")
        joined = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in fields}
        if len(joined) == len(fields):
            again = outcome(
                lambda: require(source.request(JoinedHeaders(joined), peer=PROXY) == found, "other in WSGI")
            )
            require(again == VALUE or "duplicate" in again, f"of one copy each, WSGI makes {again}")
        if found.chain is None:
            return VALUE if found.claims else "absent"
        require(found.chain.possession is Possession.PROXY, "possession that nobody has seen")
        refused = outcome(lambda: source.request(fields, peer=STRANGER_AT))
        require("untrusted-proxy" in refused, f"from a stranger it is {refused}")
        return require_issued(found.chain, found.chain.ders[0])

    def seed(*ders: bytes) -> bytes:
        return _lines({"host": "a.test", **write(*ders), SECRET[0]: SECRET[1]})

    chains = ((FRODO.der, ISSUING.der), (SAM.der, ISSUING.der, ROOT.der), (STRANGER.der,), (FRODO.der, SAM.der))
    names = tuple(name.encode() for name in sorted(source.names))
    return Target(headers, tuple(seed(*chain) for chain in chains), (*_TOKENS, *names))


def proxy_protocol(data: bytes) -> str:
    """Any bytes give a value or one of our errors, nothing else. A header is read whole, not a byte more or less."""
    found = outcome(lambda: ProxyHeader.parse(data))
    if found == VALUE:
        require(ProxyHeader.length_of(data[:16]) == len(data), "a header of another length than it says")
        require(outcome(lambda: ProxyHeader.parse(data + b"\0")) != VALUE, "something after the header is passed over")
    return found


def _v2(family: int, addresses: bytes, *tlvs: tuple[int, bytes], command: int = 0x21) -> bytes:
    body = addresses + b"".join(struct.pack("!BH", kind, len(value)) + value for kind, value in tlvs)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, family, len(body)) + body


_SSL_FIELD: Final = (0x20, b"\x07\0\0\0\0" + b"\x21\0\x07TLSv1.3" + b"\x22\0\x05frodo")
_PROXY_SEEDS: Final = (
    _v2(0x11, bytes(range(1, 13)), _SSL_FIELD, (0x04, b"\0\0"), (0x02, b"a.test")),
    _v2(0x21, bytes(range(36)), (0x01, b"h2"), (0x05, b"id")),
    _v2(0x31, bytes(216)),
    _v2(0x00, b"", command=0x20),
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
)

TARGETS: Final[Mapping[str, Target]] = {
    **{name: _source_target(*row) for name, row in SOURCES.items()},
    "proxy_protocol": Target(proxy_protocol, _PROXY_SEEDS, (b"\x20\0", b"\x21\0\x01", b"\x03\0\x04", b"QUIT\n")),
}
