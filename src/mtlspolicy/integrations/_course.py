"""The course of one request at a server that awaits: on its connection, or through a source and a verifier.

One for ASGI, aiohttp and Tornado, which say what they have read of the request. Nothing is kept for the next request.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from mtlspolicy._resolver import settle_async
from mtlspolicy.forwarded._gate import ImmediatePeer
from mtlspolicy.integrations._authority import require_authority
from mtlspolicy.integrations._request import (
    admission_by,
    admitted,
    connection_of,
    read,
    require_accepted,
    selected,
    without_certificate,
)
from mtlspolicy.integrations._stand_in import StandIn

if TYPE_CHECKING:
    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._evidence import Connection
    from mtlspolicy.forwarded._headers import HeaderPairs
    from mtlspolicy.integrations._admission import Admission
    from mtlspolicy.integrations._immediate import Accepted, Shown
    from mtlspolicy.integrations._options import Settings

__all__ = ["Asked", "Hosts", "admission_by_chain", "admission_of", "admission_on"]

Hosts: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Header fields among which every host is that a request names; gone through where it matters, and once."""


class Asked:
    """One request, as its server has read it.

    Args:
        seen: The request as the application will see it, without the certificate: what ``select`` is called with.
        headers: All header fields, those of the proxy included.
        http_version: As in the request line, ``"1.1"``.
        hosts: See `Hosts`.
    """

    __slots__ = ("headers", "hosts", "http_version", "seen")

    def __init__(
        self,
        seen: Any,
        *,
        headers: HeaderPairs,
        http_version: str | None,
        hosts: Hosts,
    ) -> None:
        self.seen: Any = seen
        self.headers: HeaderPairs = headers
        self.http_version: str | None = http_version
        self.hosts: Hosts = hosts


async def admission_of(end: Accepted | ImmediatePeer | None, asked: Asked, settings: Settings) -> Admission:
    """Return who was admitted with one request.

    Args:
        end: The connection that it came on; where its server hides that, what it says of the other end, if anything.
        asked: The request.
        settings: Of the middleware.

    Raises:
        VerificationError: Nobody.
        MalformedEvidence: What is forwarded cannot be read.
        ConfigurationError: The connection is not one of a context of ours.
    """
    if isinstance(end, StandIn):
        return end.admission(settings)
    source = settings.source
    if source is None:
        found = require_accepted(end)
        return admission_on(found, found.shown(), asked.hosts, settings)
    there = end if isinstance(end, ImmediatePeer) else require_accepted(end).peer()
    forwarded = read(source, asked.headers, there, asked.http_version)
    return await admission_by_chain(forwarded.chain, connection_of(there, forwarded), asked.seen, settings)


async def admission_by_chain(
    chain: PresentedChain | None, connection: Connection, seen: Any, settings: Settings
) -> Admission:
    """Return who was admitted by the certificates that came with one request.

    Args:
        chain: Whose sender was seen to hold the key; ``None``: none came.
        connection: What policies are told of the connection.
        seen: See `Asked`.
        settings: Of the middleware.

    Raises:
        VerificationError: Nobody.
    """
    anonymous = without_certificate(chain, settings)
    if anonymous is not None:
        return anonymous
    verifier = settings.verifier or selected(await _select(settings, seen))
    judgement = verifier.judgement(chain, connection=connection)
    return admitted(judgement, await settle_async(judgement, settings.resolver), settings)


def admission_on(accepted: Accepted, shown: Shown, hosts: Hosts, settings: Settings) -> Admission:
    """Return who was admitted in the handshake of *accepted* itself, which has *shown* it, for a request for *hosts*.

    Raises:
        VerificationError: Nobody, the further policy does not permit it, or it was judged for another host.
    """
    admission = admission_by(accepted, shown, settings)
    if shown.several_hosts:
        require_authority(accepted, hosts)
    return admission


async def _select(settings: Settings, seen: Any) -> Any:
    select: Any = settings.select  # there where there is no verifier
    try:
        found = select(seen)
        return await found if inspect.isawaitable(found) else found
    except Exception as error:  # noqa: BLE001 - whatever it raises is a refusal
        return error
