"""A table of the dialects in which a certificate has a header of its own: how each proxy writes, by standard means.

Each row is one way to build a source, and what the proxy of that row sends for a client with and without a certificate.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from mtlspolicy import TrustStore, Verifier, forwarded, policies
from mtlspolicy.forwarded import ForwardedSource
from tests.forwarded.certificate_forms import FORMS, b64, der_base64, der_base64_list, pem_safe, pem_spaces, rfc9440
from tests.forwarded.writing import ISSUING, ROOT, TRUSTED, escaped

Headers = list[tuple[str, str]]

SECRET: Final = ("x-origin-secret", "dGhpcyBpcyByYW5kb20gZW5vdWdo")
KNOWING: Final = Verifier.for_clients(
    trust=TrustStore(anchors=[ROOT.certificate], intermediates=[ISSUING.certificate]),
    policy=policies.CommonName("frodo", "sam"),
)
"""A verifier that knows the issuing CA, as it must where a proxy forwards no chain."""


class Row(NamedTuple):
    """One way to build a source.

    Attributes:
        name: For the test's name.
        make: The constructor with the arguments of the row; it takes those that every source has.
        leaf: Header with the end entity.
        write: How that header is written.
        several: Whether it holds the chain as well.
        chain: Headers with the rest of the chain, in order; ``whole`` says whether one header takes all of it.
        good: What the proxy adds for a certificate that verified.
        bad: The same for one that did not; empty: the dialect has no word for it.
        none: What the proxy sends for a client without certificate.
        digest: Header and writer of the digest.
    """

    name: str
    make: Callable[..., ForwardedSource]
    leaf: str
    write: Callable[..., str]
    several: bool = False
    chain: tuple[str, ...] = ()
    whole: bool = True
    good: tuple[tuple[str, str], ...] = ()
    bad: tuple[tuple[str, str], ...] = ()
    none: tuple[tuple[str, str], ...] = ()
    digest: tuple[str, Callable[[bytes], str]] | None = None
    shared: bool = False

    def source(self, **options: Any) -> ForwardedSource:
        """Return the source of the row."""
        if self.shared:
            options.setdefault("secret", SECRET)
        return self.make(**{"trusted": TRUSTED, **options})

    def sent(self, *fields: tuple[str, str]) -> Headers:
        """Return *fields* with what the proxy adds to every request."""
        return [("host", "a.test"), *fields, *([SECRET] if self.shared else [])]

    def headers(self, *ders: bytes, leaf: str | None = None, bad: bool = False) -> Headers:
        """Return what the proxy sends for a client that presented *ders*; *leaf* stands in place of the right value."""
        first = ders if self.several else ders[:1]
        fields = [(self.leaf, self.write(*first) if leaf is None else leaf)]
        rest = ders[1:]
        if self.chain and rest:
            values = [self.write(*rest)] if self.whole else list(map(self.write, rest))
            fields += list(zip(self.chain, values, strict=False))
        if self.digest is not None:
            fields.append((self.digest[0], self.digest[1](ders[0])))
        return self.sent(*fields, *(self.bad if bad else self.good))

    def told(self, *ders: bytes) -> tuple[bytes, ...]:
        """Return those of *ders* that the proxy forwards."""
        return ders if self.several or self.chain else ders[:1]


def hex_digest(der: bytes) -> str:
    """Return SHA-256 in hex."""
    return hashlib.sha256(der).hexdigest()


def base64_digest(der: bytes) -> str:
    """Return SHA-256 in base64."""
    return b64(hashlib.sha256(der).digest())


def made(make: Callable[..., ForwardedSource], *given: Any, **fixed: Any) -> Callable[..., ForwardedSource]:
    """Return *make* with some arguments given."""
    return lambda **options: make(*given, **fixed, **options)


CERT, VERIFY, CHAIN = "x-ssl-client-cert", "x-ssl-client-verify", "x-ssl-client-chain"
_NGINX: Final[dict[str, Any]] = {
    "good": ((VERIFY, "SUCCESS"),),
    "bad": ((VERIFY, "FAILED:self signed certificate"),),
    "none": ((VERIFY, "NONE"),),
}
_APACHE: Final[dict[str, Any]] = {
    "good": ((VERIFY, "SUCCESS"),),
    "bad": ((VERIFY, "GENEROUS"),),
    "none": ((CERT, "(null)"), (VERIFY, "NONE")),
}
_HAPROXY: Final[dict[str, Any]] = {
    "good": ((VERIFY, "0"),),
    "bad": ((VERIFY, "18"),),
    "none": ((CERT, ""), (VERIFY, "0")),
}
_GOOGLE: Final = ("x-client-cert-present", "x-client-cert-chain-verified")
_CLOUDFLARE: Final = ("cf-cert-presented", "cf-cert-verified", "cf-cert-revoked")


def zipped(names: tuple[str, ...], *values: str) -> tuple[tuple[str, str], ...]:
    """Return headers of names and values."""
    return tuple(zip(names, values, strict=True))


ROWS: Final = (
    Row("nginx", forwarded.nginx, CERT, escaped, **_NGINX),
    Row("haproxy", forwarded.haproxy, CERT, der_base64, **_HAPROXY),
    Row(
        "haproxy-chain", made(forwarded.haproxy, chain_header=CHAIN), CERT, der_base64, chain=(CHAIN,), **_HAPROXY
    ),
    Row("apache", forwarded.apache, CERT, pem_spaces, **_APACHE),
    Row(
        "apache-chain",
        made(forwarded.apache, chain_headers=[f"{CHAIN}-0", f"{CHAIN}-1"]),
        CERT,
        pem_spaces,
        chain=(f"{CHAIN}-0", f"{CHAIN}-1"),
        whole=False,
        **_APACHE,
    ),
    Row("traefik", forwarded.traefik, "x-forwarded-tls-client-cert", der_base64_list, several=True),
    Row(
        "caddy",
        made(forwarded.caddy, fingerprint_header="x-client-fingerprint"),
        "x-client-cert",
        der_base64,
        digest=("x-client-fingerprint", hex_digest),
        none=(
            ("x-client-cert", "{http.request.tls.client.certificate_der_base64}"),
            ("x-client-fingerprint", "{http.request.tls.client.fingerprint}"),
        ),
    ),
    Row("alb", forwarded.aws_alb, "x-amzn-mtls-clientcert-leaf", pem_safe),
    Row(
        "alb-passthrough",
        made(forwarded.aws_alb, mode="passthrough"),
        "x-amzn-mtls-clientcert",
        pem_safe,
        several=True,
    ),
    *(
        Row(
            f"api-gateway-{form}",
            made(forwarded.aws_api_gateway, encoding=form),
            "x-client-cert",
            FORMS[form],
            none=(("x-client-cert", ""),),
            shared=True,
        )
        for form in ("pem-percent", "pem-base64", "pem-spaces")
    ),
    Row(
        "google",
        made(forwarded.google_cloud, hash_header="x-client-cert-hash"),
        "x-client-cert-leaf",
        rfc9440,
        chain=("x-client-cert-chain",),
        good=zipped(_GOOGLE, "true", "true"),
        bad=zipped(_GOOGLE, "true", "false"),
        none=zipped(
            (*_GOOGLE, "x-client-cert-leaf", "x-client-cert-chain", "x-client-cert-hash"), "false", "false", "", "", ""
        ),
        digest=("x-client-cert-hash", base64_digest),
        shared=True,
    ),
    Row(
        "cloudflare",
        made(forwarded.cloudflare, chain_header="client-cert-chain"),
        "client-cert",
        rfc9440,
        chain=("client-cert-chain",),
        good=zipped(_CLOUDFLARE, "true", "true", "false"),
        bad=zipped(_CLOUDFLARE, "true", "false", "false"),
        none=zipped(_CLOUDFLARE, "false", "false", "false"),
        shared=True,
    ),
    Row(
        "cloudflare-access",
        made(
            forwarded.cloudflare, encoding="der-base64", sha256_header="Cf-Client-Cert-Sha256", managed_headers=False
        ),
        "cf-client-cert-der-base64",
        der_base64,
        digest=("cf-client-cert-sha256", hex_digest),
        shared=True,
    ),
    Row(
        "cloudfront",
        made(forwarded.cloudfront, sha256_header="CloudFront-Viewer-Cert-Sha256"),
        "cloudfront-viewer-cert-pem",
        escaped,
        good=(("cloudfront-viewer-cert-present", "1"),),
        none=(("cloudfront-viewer-cert-present", "0"),),
        digest=("cloudfront-viewer-cert-sha256", hex_digest),
        shared=True,
    ),
    Row(
        "cloudfront-rfc9440",
        made(forwarded.cloudfront, encoding="rfc9440", chain_header="client-cert-chain"),
        "client-cert",
        rfc9440,
        chain=("client-cert-chain",),
        good=(("cloudfront-viewer-cert-present", "1"),),
        none=(("cloudfront-viewer-cert-present", "0"),),
        shared=True,
    ),
    Row("app-service", forwarded.azure_app_service, "x-arr-clientcert", der_base64, shared=True),
    *(
        Row(
            f"application-gateway-{form}",
            made(forwarded.azure_application_gateway, encoding=form),
            "x-client-certificate",
            FORMS[form],
            good=(("x-client-certificate-verification", "SUCCESS"),),
            bad=(("x-client-certificate-verification", "FAILED:unable to get local issuer certificate"),),
            none=(("x-client-certificate-verification", "NONE"),),
            shared=True,
        )
        for form in ("pem-percent", "pem-spaces")
    ),
    *(
        Row(f"custom-{form}", made(forwarded.custom, "x-cert", encoding=form), "x-cert", write, several=True)
        for form, write in FORMS.items()
    ),
    Row(
        "custom-chain",
        made(
            forwarded.custom, "x-cert", encoding="pem-percent", chain_header="x-chain", verdict_header="x-verdict",
            verdict_ok=["good", "0"],
        ),
        "x-cert",
        escaped,
        chain=("x-chain",),
        good=(("x-verdict", "good"),),
        bad=(("x-verdict", "no"),),
        none=(("x-verdict", "NONE"),),
    ),
)  # fmt: skip
BY_NAME: Final = {row.name: row for row in ROWS}
EVERY: Final = sorted(BY_NAME)
WITH_VERDICT: Final = [name for name in EVERY if BY_NAME[name].good]
WITH_FAILURE: Final = [name for name in EVERY if BY_NAME[name].bad]
WITH_DIGEST: Final = [name for name in EVERY if BY_NAME[name].digest]
SHARED: Final = [name for name in EVERY if BY_NAME[name].shared]


def alias(name: str) -> str:
    """Return the spelling of *name* that CGI cannot tell from it."""
    return re.sub("-", "_", name)
