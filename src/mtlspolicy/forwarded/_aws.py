"""Amazon's Application Load Balancer and API Gateway, which forward PEM and state no verdict of their own."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal, Unpack

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._forms import usable_form
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource

__all__ = ["aws_alb", "aws_api_gateway"]

_ALB_HEADERS: Final = MappingProxyType(
    {"verify": "x-amzn-mtls-clientcert-leaf", "passthrough": "x-amzn-mtls-clientcert"}
)


def aws_alb(
    *, mode: Literal["verify", "passthrough"] = "verify", header: str | None = None, **options: Unpack[SourceOptions]
) -> ForwardedSource:
    """Return the source that reads what an Application Load Balancer forwards from a listener with mutual TLS.

    Both modes forward percent-encoded PEM that leaves ``+``, ``=`` and ``/`` as they are, so a ``+`` is a ``+`` and no
    space. The load balancer states no verdict: in passthrough mode it verifies nothing, and our own validation is all
    there is. Its addresses are in a network of your own, so that these, and a security group in which nothing else may
    connect, say who it is. On listeners without mutual TLS it passes on what clients send: keep them from this target.

    Args:
        mode: ``"verify"``: the client's own certificate, in ``X-Amzn-Mtls-Clientcert-Leaf``; the intermediates belong
            in the trust store. ``"passthrough"``: all that the client presented, in ``X-Amzn-Mtls-Clientcert``.
        header: Name of the header where the listener's attributes give it another; ``None``: that of the mode.
        **options: `SourceOptions`; ``trusted`` is required: the load balancer's subnets.

    Raises:
        ConfigurationError: A mode that there is not, an option that is none, or nobody is trusted.
    """
    if mode not in _ALB_HEADERS:
        raise ConfigurationError(f"forwarded.aws_alb(mode={mode!r}): 'verify' or 'passthrough', as the listener says")
    dialect = CertificateHeaders(
        name="aws_alb",
        leaf=_ALB_HEADERS[mode] if header is None else header,
        form="pem-percent",
        several=mode == "passthrough",
    )
    return source_of(dialect, options)


def aws_api_gateway(
    *,
    header: str = "x-client-cert",
    encoding: Literal["pem-percent", "pem-base64", "pem-spaces"] = "pem-percent",
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads a header into which an API's mapping puts ``clientCertPem``.

    API Gateway forwards no certificate by itself. Map ``$context.identity.clientCert.clientCertPem`` (in an HTTP API
    ``$context.authentication.clientCert.clientCertPem``) to a header yourself, and overwrite what the client sent
    there. Its line ends cannot stand in a header, so say what becomes of them. ``$util.urlEncode`` writes ``+`` for a
    space, which is refused: use ``$util.base64Encode``.

    The gateway's addresses serve all customers of Amazon, who can send any header from them: ``secret=`` or a
    `Verifier` for the gateway's own client certificate is required.

    Args:
        header: Name of the header.
        encoding: ``"pem-percent"``: RFC 3986, as ``encodeURIComponent`` of an authorizer writes it; ``"pem-base64"``:
            base64 of the PEM, as ``$util.base64Encode`` does; ``"pem-spaces"``: a space for each line end.
        **options: `SourceOptions`; ``trusted`` and, unless it is a `Verifier`, ``secret`` are required.

    Raises:
        ConfigurationError: An encoding or option that is none, or what is trusted proves nothing.
    """
    usable_form(encoding, ("pem-percent", "pem-base64", "pem-spaces"))
    return source_of(CertificateHeaders(name="aws_api_gateway", leaf=header, form=encoding), options, shared=True)
