"""The options that every constructor of a source shares, and the one place that turns them into a `ForwardedSource`.

An option that nobody knows is an error: a misspelt ``secret=`` must not be a gate without one.
"""

from __future__ import annotations

from typing import Required, TypedDict

from mtlspolicy._chain import DEFAULT_LIMITS, Limits
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._client_address import ClientAddressHeader
from mtlspolicy.forwarded._gate import Gate, Trusted
from mtlspolicy.forwarded._source import MOST_CHARACTERS, Dialect, ForwardedSource

__all__ = ["SourceOptions", "source_of"]


class SourceOptions(TypedDict, total=False):
    """What every source accepts by keyword.

    ``trusted``: who the proxy is: networks in CIDR form, `UNIX_SOCKET`, or the `Verifier` of a proxy that authenticates
    itself with mutual TLS; always required. ``secret``: name and value of a header that the proxy adds to each request
    and nobody else knows. ``client_address``: `x_forwarded_for` or `real_ip`; without it the client's address is not
    read. ``marker``: name and value of a header that the proxy sets on each request, with and without a certificate, so
    that the absence of a certificate is the proxy's word. ``limits``: bounds on number and size of certificates.
    ``most_characters``: bound on all headers that are read, held before anything is decoded.
    """

    trusted: Required[Trusted]
    secret: tuple[str, str] | None
    client_address: ClientAddressHeader | None
    marker: tuple[str, str] | None
    limits: Limits
    most_characters: int


def source_of(dialect: Dialect, options: SourceOptions, *, shared: bool = False) -> ForwardedSource:
    """Return the source that reads *dialect* under *options*.

    Args:
        dialect: How the proxy writes it.
        options: What the caller of a constructor gave by keyword.
        shared: Whether the proxy's addresses serve other customers as well, so that they prove nothing.

    Raises:
        ConfigurationError: An option that there is not, none that says who the proxy is, or a value that is none.
    """
    unknown = sorted(set(options) - set(SourceOptions.__annotations__))
    if unknown:
        raise ConfigurationError(
            f"forwarded.{dialect.name}({unknown[0]}=...): there is no such option; besides those of the dialect: "
            + ", ".join(SourceOptions.__annotations__)
        )
    if "trusted" not in options:
        raise ConfigurationError(
            f"forwarded.{dialect.name}(trusted=...): say who the proxy is: its networks, such as ['10.1.2.0/24'], "
            "forwarded.UNIX_SOCKET, or the Verifier of its own certificate"
        )
    return ForwardedSource(
        dialect,
        Gate.of(options["trusted"], secret=options.get("secret"), shared=shared),
        client_address=options.get("client_address"),
        marker=options.get("marker"),
        limits=options.get("limits", DEFAULT_LIMITS),
        most_characters=options.get("most_characters", MOST_CHARACTERS),
    )
