"""What each public name of `ssl.SSLSocket` and `ssl.SSLObject` may do in each state of the latch, as a table.

A name that is in no row is refused by a test: a Python with a new method fails there until somebody has thought about
it.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["OBJECT_ACCESS", "SOCKET_ACCESS", "Access"]


class Access(enum.Enum):
    """When a name of a connection object may be used. While refused none but ``OPEN`` ones."""

    DATA = "data"
    """Moves application data or shows identity: decides first, and waits while held."""
    ANSWER = "answer"
    """Shows identity or ends TLS: decides first, and answers while held, because event loops ask before a gate can."""
    FACT = "fact"
    """Parameters of the handshake, or a step before it: needs no decision, and answers while held."""
    OPEN = "open"
    """The plain socket below, or what our own side set: always."""
    OWN = "own"
    """Written by hand in the class, with a rule of its own that stands there."""


def _rows(*rows: tuple[Access, str]) -> dict[str, Access]:
    return {name: access for access, names in rows for name in names.split()}


_COMMON: Final = (
    (
        Access.DATA,
        "read write get_verified_chain get_unverified_chain get_channel_binding verify_client_post_handshake",
    ),
    (Access.ANSWER, "getpeercert pending unwrap"),
    (Access.FACT, "cipher compression selected_alpn_protocol selected_npn_protocol shared_ciphers version"),
    (Access.FACT, "session_reused group client_sigalg server_sigalg"),
    (Access.OWN, "context do_handshake session"),
)
OBJECT_ACCESS: Final = _rows(*_COMMON, (Access.FACT, "server_hostname server_side"))
"""Every public name of `ssl.SSLObject`."""

SOCKET_ACCESS: Final = _rows(
    *_COMMON,
    (Access.DATA, "recv recv_into recvfrom recvfrom_into recvmsg recvmsg_into"),
    (Access.DATA, "send sendall sendfile sendmsg sendmsg_afalg sendto"),
    (Access.FACT, "connect connect_ex makefile"),
    (Access.OPEN, "bind close detach dup family fileno get_inheritable getblocking getpeername getsockname getsockopt"),
    (Access.OPEN, "server_hostname server_side"),
    (
        Access.OPEN,
        "gettimeout ioctl listen proto set_inheritable setblocking setsockopt settimeout share shutdown timeout type",
    ),
    (Access.OWN, "accept"),
)
"""Every public name of `ssl.SSLSocket`, those that it has from `socket.socket` included."""
