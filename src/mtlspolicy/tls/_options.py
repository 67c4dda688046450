"""What a context is told beside credential and verifier. Values with bounds; no decisions."""

from __future__ import annotations

import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from mtlspolicy.errors import ConfigurationError

if TYPE_CHECKING:
    from mtlspolicy._resolver import Resolver

__all__ = ["ClientOptions", "ServerOptions"]

_LONGEST: Final = 3600.0
"""Longest time-out that is accepted, in seconds: more is a unit mistake (milliseconds)."""


def _nobody() -> Mapping[str, ssl.SSLContext]:
    return MappingProxyType({})


def _require_engine(engine: object) -> None:
    if engine not in ("ssl", "pyopenssl"):
        raise ConfigurationError(f'engine={engine!r} is not known: use engine="ssl" or engine="pyopenssl"')


def _require_for_engine(options: ServerOptions) -> None:
    """Raise for what the engine of *options* cannot do."""
    if options.engine == "ssl":
        if options.acceptable_cas is not None:
            raise ConfigurationError(
                "acceptable_cas cannot be sent with the standard library's ssl (python/cpython has no call for it): "
                'leave it out, or use engine="pyopenssl"',
                code="tls.engine-unavailable",
            )
    elif options.pending == "hold":
        raise ConfigurationError(
            'pending="hold" does not go with engine="pyopenssl", whose decision is made inside the handshake and can '
            'wait for nothing afterwards: use engine="ssl" with a gate, or pending="refuse"',
            code="tls.engine-unavailable",
        )
    elif options.virtual_hosts:
        raise ConfigurationError(
            'virtual_hosts does not go with engine="pyopenssl": use engine="ssl", or a listener for each host',
            code="tls.engine-unavailable",
        )


def _require_seconds(name: str, value: object) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not 0 < value <= _LONGEST
    ):
        raise ConfigurationError(f"{name}={value!r}: give seconds, more than 0 and at most {_LONGEST:.0f}")


def _require_resolver(value: object) -> None:
    if value is None:
        return
    from mtlspolicy._resolver import Resolver

    if not isinstance(value, Resolver):
        hint = "call its resolver()" if hasattr(value, "resolver") else "Resolver({kind: function})"
        raise ConfigurationError(f"resolver={type(value).__name__}: give a Resolver: {hint}")


def _require_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name}={value!r}: give a whole number of at least 1")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of a context for servers.

    Attributes:
        pending: What becomes of a connection on an event loop whose decision waits for a fact: ``"refuse"`` it, and ask
            in the background, so that a peer that tries again finds the fact at hand; or ``"hold"`` it, shut, until a
            gate (`start_server`, `gate`) has decided. A blocking socket resolves inline and never holds.
        resolver: Turns the needs of policies into facts; ``None``: facts are never had. Where its deadline is longer
            than a connection may wait (``handshake_timeout``, ``hold_timeout``), the connection is refused with
            ``fact.missing`` in time, and the look-up goes on: a peer that tries again finds the fact at hand.
        virtual_hosts: Contexts by host name (SNI), each built by `server_context`; other names get this context.
        acceptable_cas: ``cryptography`` certificates of CAs whose names are sent to clients, as a hint which
            certificate to choose; only with ``engine="pyopenssl"``, since ``ssl`` of the standard library sends none.
        engine: Who speaks TLS: ``"ssl"``, the standard library, or ``"pyopenssl"`` (extra ``pyopenssl``), which decides
            inside the handshake and sends alerts. `server_context` returns an ``OpenSSL.SSL.Context`` then, neither
            ``pending="hold"`` nor ``virtual_hosts`` goes with it, and facts are waited for over blocking sockets alone.
        handshake_timeout: Seconds for the whole handshake of a blocking socket, facts included. Event loops have their
            own.
        hold_timeout: Seconds that a connection may be held.
        max_held: Connections held at most.
        max_held_per_address: Connections held at most from one address.
    """

    pending: Literal["refuse", "hold"] = "refuse"
    resolver: Resolver | None = None
    virtual_hosts: Mapping[str, ssl.SSLContext] = field(default_factory=_nobody, hash=False)
    acceptable_cas: Any = None
    engine: Literal["ssl", "pyopenssl"] = "ssl"
    handshake_timeout: float = 10.0
    hold_timeout: float = 5.0
    max_held: int = 10_000
    max_held_per_address: int = 2_000

    def __post_init__(self) -> None:
        """Refuse what is out of range or not available.

        Raises:
            ConfigurationError: Names the option, the rule and the remedy.
        """
        if self.pending not in ("refuse", "hold"):
            raise ConfigurationError(f'pending={self.pending!r}: use "refuse" or "hold"')
        _require_engine(self.engine)
        _require_resolver(self.resolver)
        if not isinstance(self.virtual_hosts, Mapping):
            raise ConfigurationError("virtual_hosts takes a mapping of host name to context: {'a.example': context}")
        object.__setattr__(self, "virtual_hosts", MappingProxyType(dict(self.virtual_hosts)))
        _require_for_engine(self)
        _require_seconds("handshake_timeout", self.handshake_timeout)
        _require_seconds("hold_timeout", self.hold_timeout)
        _require_count("max_held", self.max_held)
        _require_count("max_held_per_address", self.max_held_per_address)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Options of a context for clients.

    Attributes:
        resolver: Turns the needs of policies into facts; ``None``: facts are never had. Where its deadline is longer
            than ``handshake_timeout``, the connection is refused with ``fact.missing`` in time, and the look-up goes
            on: the next attempt finds the fact at hand.
        engine: Who speaks TLS: ``"ssl"``, the standard library, or ``"pyopenssl"`` (extra ``pyopenssl``), which decides
            on the server before our certificate is sent. `client_context` returns an ``OpenSSL.SSL.Context`` then.
        handshake_timeout: Seconds for the whole handshake of a blocking socket, facts included. Event loops have their
            own.
        post_handshake_auth: Whether a server may ask for our certificate after the handshake (RFC 8446, 4.6.2), once it
            has seen a request; with ``engine="ssl"`` alone.
        max_age: Seconds that a decision may be old when something is written; an older one is made anew first, and a
            server that is not admitted any more is shut out. For libraries that keep connections in a pool. ``None``:
            a decision is made anew only where the verifier's trust or policy is a source and returns something else.
            Facts are looked up by blocking sockets; event loops use those at hand, as in a handshake, and ask for one
            that is missing. With ``engine="ssl"`` alone, which is also the one that notices what sources return.
    """

    resolver: Resolver | None = None
    engine: Literal["ssl", "pyopenssl"] = "ssl"
    handshake_timeout: float = 10.0
    post_handshake_auth: bool = False
    max_age: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range or not available.

        Raises:
            ConfigurationError: Names the option, the rule and the remedy.
        """
        _require_engine(self.engine)
        _require_resolver(self.resolver)
        _require_seconds("handshake_timeout", self.handshake_timeout)
        if not isinstance(self.post_handshake_auth, bool):
            raise ConfigurationError(f"post_handshake_auth={self.post_handshake_auth!r}: True or False")
        if self.post_handshake_auth and self.engine != "ssl":
            raise ConfigurationError(
                'post_handshake_auth does not go with engine="pyopenssl", which has no call for it',
                code="tls.engine-unavailable",
            )
        if self.max_age is not None:
            _require_seconds("max_age", self.max_age)
            if self.engine != "ssl":
                raise ConfigurationError(
                    'max_age does not go with engine="pyopenssl": keep its connections no longer than that',
                    code="tls.engine-unavailable",
                )
