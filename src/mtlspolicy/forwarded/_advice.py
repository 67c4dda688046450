"""What to set in each proxy, so that it writes a header as its dialect says: for messages about one that is not so.

In one place, dialect by dialect. Nothing here reads or decides anything.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.forwarded._encodings import MALFORMED, malformed

__all__ = ["Advice", "advice_for", "advised"]


class Advice(NamedTuple):
    """How one proxy is made to write its headers, with ``HEADER`` for the header's name; empty: there is no advice.

    Attributes:
        leaf: The client's own certificate.
        chain: The other certificates.
        verdict: What the proxy makes of them.
        digest: The certificate's SHA-256.
    """

    leaf: str = ""
    chain: str = ""
    verdict: str = ""
    digest: str = ""


_NONE: Final = Advice()
_CUSTOM: Final = "have the proxy write it as encoding=FORM says"
_CLOUDFRONT: Final = "have the origin request policy name HEADER, so that CloudFront writes it"
_ADVICE: Final = MappingProxyType[str, Advice](
    {
        "nginx": Advice(
            "have nginx write it: proxy_set_header HEADER $ssl_client_escaped_cert; ($ssl_client_cert has line ends)",
            verdict="have nginx write it: proxy_set_header HEADER $ssl_client_verify;",
        ),
        "haproxy": Advice(
            "have HAProxy write it: http-request set-header HEADER %[ssl_c_der,base64]",
            "have HAProxy write it: http-request set-header HEADER %[ssl_c_chain_der,base64]",
            "have HAProxy write it: http-request set-header HEADER %[ssl_c_verify]",
        ),
        "apache": Advice(
            'have Apache write it: SSLOptions +ExportCertData, and RequestHeader set HEADER "%{SSL_CLIENT_CERT}s"',
            "have Apache write it: SSLOptions +ExportCertData, and RequestHeader set HEADER "
            '"%{SSL_CLIENT_CERT_CHAIN_0}s", with _1, _2 in those after it',
            'have Apache write it: RequestHeader set HEADER "%{SSL_CLIENT_VERIFY}s"',
        ),
        "traefik": Advice(
            "have Traefik write it: the middleware passTLSClientCert: {pem: true}, of a version that does not "
            "percent-encode"
        ),
        "caddy": Advice(
            "have Caddy write it: header_up HEADER {http.request.tls.client.certificate_der_base64}",
            digest="have Caddy write it: header_up HEADER {http.request.tls.client.fingerprint}",
        ),
        "aws_alb": Advice(
            "let it come as the load balancer writes it, which is percent-encoded PEM in the header of mode="
        ),
        "aws_api_gateway:pem-percent": Advice(
            "have an authorizer put encodeURIComponent(clientCertPem) into it, or say encoding='pem-base64' and map "
            "$util.base64Encode(...) to it"
        ),
        "aws_api_gateway:pem-base64": Advice(
            "map $util.base64Encode($context.identity.clientCert.clientCertPem) to it, or say which encoding= it is"
        ),
        "aws_api_gateway:pem-spaces": Advice(
            "have the mapping put a space in place of each line end of clientCertPem, or say which encoding= it is"
        ),
        "google_cloud": Advice(
            "have the backend service write it: the custom request header HEADER:{client_cert_leaf}",
            "have the backend service write it: the custom request header HEADER:{client_cert_chain}",
            "have the backend service write both of verdict_headers=: {client_cert_present}, then "
            "{client_cert_chain_verified}",
            "have the backend service write it: the custom request header HEADER:{client_cert_sha256_fingerprint}",
        ),
        "cloudflare:rfc9440": Advice(
            "have a transform rule set HEADER to cf.tls_client_auth.cert_rfc9440",
            "have a transform rule set HEADER to cf.tls_client_auth.cert_chain_rfc9440",
            'switch on the managed transform "Add TLS client auth headers", which writes it',
        ),
        "cloudflare:der-base64": Advice(
            "let it come as Cloudflare Access forwards it, or say encoding='rfc9440' where a transform rule writes it",
            verdict='switch on the managed transform "Add TLS client auth headers", which writes it',
        ),
        "cloudfront": Advice(_CLOUDFRONT, _CLOUDFRONT, _CLOUDFRONT, _CLOUDFRONT),
        "azure_app_service": Advice(
            "switch client certificates on (clientCertEnabled), so that App Service writes it"
        ),
        "azure_application_gateway": Advice(
            "have a rewrite set HEADER to {var_client_certificate}, and say in encoding= what becomes of its line ends",
            verdict="have a rewrite set HEADER to {var_client_certificate_verification}",
        ),
        "custom": Advice(_CUSTOM, _CUSTOM),
        "rfc9440": Advice(
            "have the proxy write it as RFC 9440 says: the base64 of the DER between two colons",
            "have the proxy write it as RFC 9440 says: the base64 of each DER between two colons, separated by commas",
        ),
        "envoy": Advice(
            "have Envoy replace what clients send (forward_client_cert_details: SANITIZE_SET) and write the "
            "certificate (set_current_client_cert_details: {cert: true, chain: true})"
        ),
    }
)  # fmt: skip
"""By the dialect's name; with a colon and the form after it where one proxy writes several."""


def advice_for(dialect: str, form: str = "") -> Advice:
    """Return what to set in the proxy of *dialect*, by the constructor's name; nothing for one that is not known.

    Args:
        dialect: Its name.
        form: How it writes certificates, where one proxy has several ways; ``FORM`` in what is returned.
    """
    return _ADVICE.get(f"{dialect}:{form}") or _ADVICE.get(dialect, _NONE)


def advised(error: MalformedEvidence, advice: str, header: str | None = None) -> MalformedEvidence:
    """Return *error* with the *advice* behind it, and in front of it the *header* that it is about, if given.

    Only ``forwarded.malformed`` is advised upon: the others name their remedy themselves.
    """
    if error.code != MALFORMED:
        return error
    named = str(error) if header is None else f"the header {header!r}: {error}"
    return malformed(f"{named}; {advice}" if advice else named)
