"""The options that the middlewares share, and the one place that holds them against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict, cast

from mtlspolicy._policy import Policy
from mtlspolicy._resolver import Resolver
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._source import ForwardedSource
from mtlspolicy.integrations._answers import ABSENT

__all__ = ["CONNECTION", "EXTENSION", "ASGISource", "MiddlewareOptions", "Settings", "Source", "settings_of"]

CONNECTION: Final = "connection"
EXTENSION: Final = "extension"
Source = ForwardedSource | Literal["connection"]
ASGISource = ForwardedSource | Literal["connection", "extension"]
Cache = Literal["no-store", "vary"]


class MiddlewareOptions(TypedDict, total=False):
    """What each middleware accepts by keyword beside ``source`` and ``verifier``.

    ``select``: called with the request (the scope or environ, without the certificate), returns the `Verifier` for it,
    for tenants; in place of ``verifier``. ``policy``: a further policy of every request; facts it needs are not looked
    up. ``resolver``: turns the needs of the verifier's policy into facts. ``required``: whether a request without a
    certificate is refused, the default. ``absent``: the status for that: 403, 400 or 401. ``cache``: how responses are
    kept out of shared caches (RFC 9440, 2.4): ``"no-store"``, ``"vary"`` or ``None``. ``address_is_transport``: says
    that the server gives the address of the socket, where no integration of ours reads the socket itself.
    """

    select: Callable[[Any], Any] | None
    policy: Policy | None
    resolver: Resolver | None
    required: bool
    absent: int
    cache: Cache | None
    address_is_transport: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """Options that go together.

    Attributes:
        source: Where certificates are forwarded; ``None``: the connection itself, or the extension.
        verifier: Who may come; ``None``: ``select`` says, or the context of the connection has decided.
        select: See `MiddlewareOptions`, as are the others.
        vary: Value of ``Vary``; ``None``: ``Cache-Control: no-store`` or nothing, as ``cache`` says.
        extension: Whether a server with TLS of its own states certificates in the TLS extension of ASGI.
    """

    source: ForwardedSource | None
    verifier: Verifier | None
    select: Callable[[Any], Any] | None
    policy: Policy | None
    resolver: Resolver | None
    required: bool
    absent: int
    cache: Cache | None
    vary: str
    address_is_transport: bool
    extension: bool


def settings_of(
    source: ASGISource, verifier: Verifier | None, options: MiddlewareOptions, *, asgi: bool = False
) -> Settings:
    """Return the settings, or say which of them do not go together.

    Args:
        source: As each middleware says.
        verifier: As each middleware says.
        options: As each middleware says.
        asgi: Whether there is an extension of ASGI.

    Raises:
        ConfigurationError: Names the option, the rule and the remedy.
    """
    unknown = sorted(set(options) - set(MiddlewareOptions.__annotations__))
    if unknown:
        raise ConfigurationError(
            f"Middleware({unknown[0]}=...): there is no such option; there are: "
            + ", ".join(("source", "verifier", *MiddlewareOptions.__annotations__))
        )
    given: Mapping[str, Any] = cast("Mapping[str, Any]", options)
    _require_values(given)
    extension = asgi and source == EXTENSION
    if not extension:
        _require_source(source, verifier, given)
    if source != CONNECTION:
        _require_verifier(verifier, given)
    ours = source if isinstance(source, ForwardedSource) else None
    return Settings(
        ours, verifier, given.get("select"), given.get("policy"), given.get("resolver"), given.get("required", True),
        given.get("absent", 403), None if ours is None else given.get("cache", "no-store"),
        ", ".join(sorted(ours.dialect.names)) if ours else "", given.get("address_is_transport", False), extension,
    )  # fmt: skip


def _require_values(given: Mapping[str, Any]) -> None:
    """Return if each option by itself is one."""
    for name in ("required", "address_is_transport"):
        if not isinstance(given.get(name, False), bool):
            raise ConfigurationError(f"{name}={given[name]!r}: True or False")
    absent, cache = given.get("absent", 403), given.get("cache", "no-store")
    if isinstance(absent, bool) or absent not in ABSENT:
        raise ConfigurationError(f"absent={absent!r}: the status without a certificate is 403, 400 or 401")
    if cache not in {"no-store", "vary", None}:
        raise ConfigurationError(f'cache={cache!r}: "no-store", "vary" or None')
    for name, kind in (("policy", Policy), ("resolver", Resolver)):
        if given.get(name) is not None and not isinstance(given[name], kind):
            raise ConfigurationError(f"{name}={type(given[name]).__name__}: give a {kind.__name__}")


def _require_source(source: object, verifier: object, given: Mapping[str, Any]) -> None:
    """Return if *source* is one, and the connection is given nothing that its context has."""
    if source == CONNECTION:
        if verifier is not None or given.get("select") is not None or given.get("resolver") is not None:
            raise ConfigurationError(
                'source="connection": the verifier and its resolver are named once, in the context that the server '
                "uses; give policy= for a further policy"
            )
    elif not isinstance(source, ForwardedSource):
        raise ConfigurationError(
            f"source={type(source).__name__}: give a source such as forwarded.nginx(trusted=[...]), or "
            '"connection" where the server itself speaks TLS with a context of ours'
        )


def _require_verifier(verifier: object, given: Mapping[str, Any]) -> None:
    """Return if exactly one thing says who may come."""
    select = given.get("select")
    if (verifier is None) == (select is None):
        raise ConfigurationError("give either verifier= or select=, a callable that returns the Verifier of a request")
    if select is not None and not callable(select):
        raise ConfigurationError(f"select={type(select).__name__}: give a callable of the request")
    if verifier is not None:
        require_for_clients(verifier)


def require_for_clients(verifier: object) -> Verifier:
    """Return *verifier* if it judges clients.

    Raises:
        ConfigurationError: It is none, or one for servers.
    """
    if not isinstance(verifier, Verifier) or verifier.peer_role != "client":
        raise ConfigurationError(f"{type(verifier).__name__}: requests are judged by a Verifier.for_clients(...)")
    return verifier
