"""Azure App Service, which forwards base64 of DER and verifies nothing, and Application Gateway, which forwards PEM."""

from __future__ import annotations

from typing import Final, Literal, Unpack

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._forms import usable_form
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import SourceOptions, source_of
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.forwarded._verdict import Companion

__all__ = ["azure_app_service", "azure_application_gateway"]

_GATEWAY: Final = "azure_application_gateway"
_SUCCESS: Final = frozenset({"SUCCESS"})
_NONE: Final = frozenset({"NONE"})


def azure_app_service(
    *, header: str = "x-arr-clientcert", sandboxed: bool = False, **options: Unpack[SourceOptions]
) -> ForwardedSource:
    """Return the source that reads what the front end of App Service forwards, base64 of the client's certificate.

    App Service verifies nothing, and overwrites what a client sends only while *client certificates* are switched on
    (``clientCertEnabled``): our own validation is all there is. It forwards no intermediates, which belong in the trust
    store.

    The front end's addresses serve all customers of Azure: ``secret=`` (set by a gateway in front) or a `Verifier` is
    required, unless you say that nothing but the front end can reach the application.

    Args:
        header: Name of the header.
        sandboxed: Say ``True`` where the application runs in App Service itself, whose sandbox lets nobody but the
            front end open a connection to it: then ``trusted`` may be the address that the front end has there.
        **options: `SourceOptions`; ``trusted`` and, unless it is a `Verifier` or ``sandboxed``, ``secret`` are
            required.

    Raises:
        ConfigurationError: An option that is none, or what is trusted proves nothing.
    """
    if not isinstance(sandboxed, bool):
        raise ConfigurationError(f"forwarded.azure_app_service(sandboxed={sandboxed!r}): True or False")
    dialect = CertificateHeaders(name="azure_app_service", leaf=header, form="der-base64")
    return source_of(dialect, options, shared=not sandboxed)


def azure_application_gateway(
    *,
    header: str = "x-client-certificate",
    verify_header: str = "x-client-certificate-verification",
    encoding: Literal["pem-percent", "pem-spaces"] = "pem-percent",
    proxy_verifies: bool = True,
    **options: Unpack[SourceOptions],
) -> ForwardedSource:
    """Return the source that reads what Application Gateway forwards.

    A rewrite that puts server variables into two headers does it::

        X-Client-Certificate:              {var_client_certificate}
        X-Client-Certificate-Verification: {var_client_certificate_verification}

    It forwards the client's own certificate; the intermediates belong in the trust store. ``secret=``, one more header
    of the rewrite, or a `Verifier` is required, for what else may connect from the same addresses.

    Args:
        header: Name of the header with the certificate.
        verify_header: Name of the header with ``SUCCESS``, ``NONE`` or ``FAILED:reason``; it must be there as well.
        encoding: What becomes of the PEM's line ends: ``"pem-percent"``, encoded with the rest as in RFC 3986, or
            ``"pem-spaces"``, a space for each.
        proxy_verifies: Whether ``FAILED`` is refused as ``forwarded.not-verified``. False is for passthrough mode: our
            own validation alone counts.
        **options: `SourceOptions`; ``trusted`` and, unless it is a `Verifier`, ``secret`` are required.

    Raises:
        ConfigurationError: An encoding or option that is none, or what is trusted proves nothing.
    """
    usable_form(encoding, ("pem-percent", "pem-spaces"))
    verdict = Companion(verify_header, presented=_SUCCESS, absent=_NONE, failed="FAILED:.*")
    dialect = CertificateHeaders(
        name=_GATEWAY, leaf=header, form=encoding, companions=(verdict,), proxy_verifies=proxy_verifies
    )
    return source_of(dialect, options, shared=True)
