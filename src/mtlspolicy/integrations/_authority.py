"""Whether a request names a host that its connection was judged for, where several hosts share a listener.

A connection is judged once, by the verifier of the host that it asked for in the handshake (SNI); a request on it may
name any other, and HTTP/2 clients do so on purpose (RFC 9113, 9.1.1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._text import quoted
from mtlspolicy.errors import PolicyDenied
from mtlspolicy.tls._latch import Latch
from mtlspolicy.tls._virtual_hosts import normal_host

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mtlspolicy.integrations._immediate import Accepted

__all__ = ["require_authority"]

_AUTHORITY: Final = re.compile(r"([A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?", re.ASCII)
"""RFC 9110, 7.2, with the letters that names of hosts have."""


def require_authority(accepted: Accepted, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Return if the verifier that judged the connection is that of the host that the request is for.

    Args:
        accepted: A connection that TLS of ours has admitted.
        headers: Of the request; servers write ``:authority`` of HTTP/2 as ``host``.

    Raises:
        PolicyDenied: It is another one's, ``tls.misdirected``: 421, after which clients connect anew.
    """
    reached = accepted.ssl_object
    latch = getattr(reached, "_latch", None)
    if reached is None or not isinstance(latch, Latch) or not latch.hosts:
        return
    named = [value.decode("latin-1").strip(" \t") for name, value in headers if name.lower() == b"host"]
    for authority in named or [""]:
        context, _ = latch.hosts.get(_host(authority), (latch.began, None))
        if context is not reached.context:
            detail = f"the request is for {quoted(authority, 80)}, and the connection was judged for another host"
            raise PolicyDenied(Decision(Verdict.DENY, "tls.misdirected", detail, clause="TLS connection"))


def _host(authority: str) -> str:
    """Return the host of *authority* as server names are compared; user information has no place there.

    Raises:
        PolicyDenied: It is neither a name nor an address, or what follows is no port. Readers differ on such a
            host; several fields that a server has joined, ``a, b``, are one.
    """
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        detail = f"{quoted(authority, 80)} is no host, with a port or without"
        raise PolicyDenied(Decision(Verdict.DENY, "tls.misdirected", detail, clause="TLS connection"))
    return normal_host(found[1])
