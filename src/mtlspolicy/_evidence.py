"""Everything that a policy may look at: the validated path, the connection, the facts and the time. All of it values.

Evaluation is a pure function of `Evidence`. What a policy needs from outside it names as a `Need`; an edge turns needs
into facts and asks again. Nothing here fetches or decides.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, NoReturn

from mtlspolicy._chain import Possession
from mtlspolicy._identifiers import IPAddress
from mtlspolicy._path_value import CertificationPath
from mtlspolicy.errors import ConfigurationError

__all__ = ["Connection", "Evidence", "Fact", "Facts", "Need", "RevocationStatus"]


class RevocationStatus(enum.Enum):
    """certStatus of RFC 6960, section 4.2.1, and the answer that was not to be had."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Need:
    """Something from outside that a policy asks for.

    Attributes:
        kind: Which source answers: ``partner.enrolled``.
        key: What is asked of it; equal keys share one answer.
        max_age: Oldest acceptable answer, or ``None`` for any age.
    """

    kind: str
    key: Hashable
    max_age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A source's answer. ``None`` is a value too: looked up, and not there.

    Attributes:
        value: What the source returned.
        obtained_at: When it was obtained, aware; ``None`` for a fact that was simply given, which has no age.
    """

    value: Any
    obtained_at: datetime | None = None

    def fresh(self, max_age: timedelta | None, at: datetime) -> bool:
        """Return whether the fact is no older than *max_age* at the time *at*."""
        return max_age is None or self.obtained_at is None or at - self.obtained_at <= max_age


class Facts:
    """An immutable collection of facts by `Need`.

    Facts may also be given by kind alone, as tests do: then every need of that kind gets that value.
    """

    __slots__ = ("_by_kind", "_by_need")

    NONE: ClassVar[Facts]

    def __init__(self, by_need: Mapping[Need, Fact] | None = None, *, by_kind: Mapping[str, Any] | None = None) -> None:
        self._by_need = dict(by_need or {})
        self._by_kind = {kind: Fact(value) for kind, value in (by_kind or {}).items()}

    def get(self, need: Need) -> Fact | None:
        """Return the fact for *need*, or ``None`` where there is none; its age is for the caller to judge."""
        fact = self._by_need.get(need)
        return fact if fact is not None else self._by_kind.get(need.kind)

    def stated(self, need: Need) -> Fact | None:
        """Return the fact that was stated for *need* itself; one by kind alone would be anybody's."""
        return self._by_need.get(need)

    def with_(self, more: Mapping[Need, Fact]) -> Facts:
        """Return these facts and *more*, which win."""
        joined = Facts()
        joined._by_need = {**self._by_need, **more}
        joined._by_kind = self._by_kind
        return joined

    def __len__(self) -> int:
        return len(self._by_need) + len(self._by_kind)

    def __iter__(self) -> Iterator[Need]:
        return iter(self._by_need)

    def __repr__(self) -> str:
        return f"<Facts {len(self)}>"


Facts.NONE = Facts()


def plain_address(text: str) -> IPAddress:
    """Return the IP address in *text*: zone removed, an IPv4-mapped IPv6 address as IPv4.

    Raises:
        ConfigurationError: *text* is not an IP address.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise ConfigurationError(f"{text!r} is not an IP address") from None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class Connection:
    """What is known of the connection; anything may be ``None``: not known.

    Attributes:
        transport_address: IP address of the other end of the socket, text.
        client_address: IP address of the client as a trusted proxy states it, text.
        server_name: The name that the client asked for (SNI), as sent: hostile text.
        tls_version: ``TLSv1.2`` or ``TLSv1.3``.
        cipher: Name of the cipher suite.
        resumed: Whether the TLS session was resumed.
    """

    __slots__ = ("cipher", "client_address", "resumed", "server_name", "tls_version", "transport_address")

    def __init__(
        self,
        *,
        transport_address: str | None = None,
        client_address: str | None = None,
        server_name: str | None = None,
        tls_version: str | None = None,
        cipher: str | None = None,
        resumed: bool | None = None,
    ) -> None:
        self.transport_address: str | None = transport_address
        self.client_address: str | None = client_address
        self.server_name: str | None = server_name
        self.tls_version: str | None = tls_version
        self.cipher: str | None = cipher
        self.resumed: bool | None = resumed

    def __repr__(self) -> str:
        known = ", ".join(
            f"{name}={getattr(self, name)!r}" for name in Connection.__slots__ if getattr(self, name) is not None
        )
        return f"Connection({known})"


class _Unknown(Connection):
    """The connection of all peers of which none is known: what one wrote on it would be told of every other."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"nothing is known of this connection: cannot set {name!r}; pass a Connection(...)")


UNKNOWN_CONNECTION: Final = Connection()
UNKNOWN_CONNECTION.__class__ = _Unknown


class Evidence:
    """One peer's path, connection, facts and time: all that a policy sees.

    Attributes:
        path: The validated path.
        at: The time of the decision, aware.
        facts: What was looked up.
        connection: What is known of the connection.
        possession: Who saw the peer prove that it holds the key.
        dialed: The name that the connection was opened to; ``None`` where that is not known (always on servers).
        historical: Whether *at* was given by the caller of `Verifier.decide` or `Verifier.verify`, as for the past; an
            edge never gives one.
    """

    __slots__ = ("at", "connection", "dialed", "facts", "historical", "kept", "path", "possession")

    def __init__(  # noqa: PLR0913 - one slot each
        self,
        path: CertificationPath,
        *,
        at: datetime,
        facts: Facts = Facts.NONE,
        connection: Connection = UNKNOWN_CONNECTION,
        possession: Possession = Possession.NONE,
        dialed: str | None = None,
        kept: dict[int, Any] | None = None,
        historical: bool = False,
    ) -> None:
        self.path: CertificationPath = path
        self.at: datetime = at
        self.facts: Facts = facts
        self.connection: Connection = connection
        self.possession: Possession = possession
        self.dialed: str | None = dialed
        self.historical: bool = historical
        self.kept: dict[int, Any] | None = kept
        """Decisions that are kept with the path; the verifier's own, not for policies."""

    def fact(self, need: Need) -> Fact | None:
        """Return the fact for *need*, or ``None`` where there is none or it is older than the need allows."""
        fact = self.facts.get(need)
        return fact if fact is not None and fact.fresh(need.max_age, self.at) else None
