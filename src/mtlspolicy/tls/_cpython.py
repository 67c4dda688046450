"""Every difference between versions of CPython, and the few private names of it that are relied on.

It decides nothing. Each private name has a test of its own, so that a new Python fails there and not in a handshake.
"""

from __future__ import annotations

import _ssl  # type: ignore[import-not-found, unused-ignore]  # the C half of ssl: typeshed describes it only in part
import gc
import ssl
import sys
from collections.abc import Callable
from inspect import getattr_static
from types import FrameType
from typing import Any, Final, Protocol

from mtlspolicy.errors import ConfigurationError

__all__ = [
    "CREATORS",
    "SOCKET_CONTEXT",
    "SOCKET_SESSION",
    "TLSObject",
    "asyncio_origin",
    "creator_of",
    "leaf_of",
    "old_python",
    "presented_ders",
    "settings_of",
    "tls_object",
    "uvloop_peername",
    "watch_messages",
]


class TLSObject(Protocol):
    """What is used of ``_ssl._SSLSocket``, the C object below both ``SSLSocket`` and ``SSLObject``, in 3.11 to 3.14."""

    context: ssl.SSLContext
    server_side: bool
    server_hostname: str | None
    session_reused: bool

    def do_handshake(self) -> None:
        """Take the handshake further."""

    def getpeercert(self, der: bool, /) -> bytes | None:  # noqa: FBT001 - the signature is CPython's
        """Return the peer's certificate, DER."""

    def get_unverified_chain(self) -> list[Any] | None:
        """Return the certificates that the peer sent, as ``_ssl.Certificate``; after a resumption often nothing."""

    def verify_client_post_handshake(self) -> None:
        """Have the next step of the handshake ask the client for its certificate."""

    def read(self, size: int, /) -> bytes | None:
        """Return application data."""

    def version(self) -> str | None:
        """Return the protocol version."""

    def cipher(self) -> tuple[str, str, int] | None:
        """Return the name, the protocol and the bits of the cipher suite."""


_DER: Final = _ssl.ENCODING_DER
_Base: Final[Any] = ssl.SSLContext.__mro__[
    1
]  # _ssl._SSLContext: its attributes are plain numbers, without an enum around each
_verify_mode: Final = _Base.verify_mode.__get__
_verify_flags: Final = _Base.verify_flags.__get__
_options: Final = _Base.options.__get__
_num_tickets: Final = _Base.num_tickets.__get__
_post_handshake_auth: Final = _Base.post_handshake_auth.__get__
_check_hostname: Final = _Base.check_hostname.__get__
_sni_callback: Final = _Base.sni_callback.__get__
CREATORS: Final = ("_wrap_socket", "_wrap_bio")
"""The methods of a context from which every connection of ``ssl`` gets its C object, in 3.11 to 3.14."""
SOCKET_CONTEXT: Final[Any] = getattr_static(ssl.SSLSocket, "context")
SOCKET_SESSION: Final[Any] = getattr_static(ssl.SSLSocket, "session")
"""Properties of the sockets of ``ssl``, which eventlet's class inherits: that it replaced ssl's own is said later."""
_WATCHED_OPTIONS: Final = int(ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET)


def old_python(version: tuple[int, ...] = sys.version_info[:3]) -> str | None:
    """Return why this Python should be updated, or ``None``: before 3.11.5, bytes sent before a handshake could pass.

    Args:
        version: The version that runs, three numbers.

    CVE-2023-40217: an ``SSLSocket`` whose peer closed at once handed out plain bytes as if TLS had protected them. The
    latch lets nothing through before its decision, so this is a second reason and not the only one.
    """
    if version >= (3, 11, 5):
        return None
    number = ".".join(map(str, version))
    return (
        f"Python {number} has CVE-2023-40217 (plain bytes before a TLS handshake), unless its packager mended it: "
        "update to 3.11.5 or later"
    )


def tls_object(connection: object) -> TLSObject | None:
    """Return the C object below *connection*; ``None`` before it is connected and after it was dropped."""
    found: TLSObject | None = connection.__dict__.get("_sslobj")
    return found


def leaf_of(tls: TLSObject | None) -> bytes | None:
    """Return the peer's certificate, DER; ``None``: it presented none.

    Raises:
        ValueError: The connection is closed, or broken.
    """
    if tls is None:
        raise ValueError("no TLS object")
    return tls.getpeercert(True)  # noqa: FBT003 - the signature is CPython's


def presented_ders(tls: TLSObject) -> tuple[bytes, ...]:
    """Return what the peer presented, end entity first, DER, duplicates left out; empty: no certificate.

    ``SSLSocket.get_unverified_chain`` is public from 3.13 on; the method of the C object below gives the same in 3.11
    and 3.12. On servers each call puts the end entity in front of the same list once more, hence duplicates. The end
    entity is taken from ``getpeercert``, which has it after a resumption too.
    """
    leaf = tls.getpeercert(True)  # noqa: FBT003 - the signature is CPython's
    if leaf is None:
        return ()
    chain = tls.get_unverified_chain()
    if not chain or len(chain) == 1:
        return (leaf,)
    # The first of the chain is the end entity again; encoding it once more would cost a microsecond.
    if len(chain) == 2:
        issuer: bytes = chain[1].public_bytes(_DER)
        return (leaf,) if issuer == leaf else (leaf, issuer)
    return tuple(dict.fromkeys((leaf, *[certificate.public_bytes(_DER) for certificate in chain[1:]])))


def creator_of(context: ssl.SSLContext, name: str) -> Any:
    """Return CPython's own method of *context* of that name, one of `CREATORS`, whatever stands in its place."""
    return getattr(_Base, name).__get__(context)


def settings_of(context: ssl.SSLContext) -> tuple[Any, ...]:
    """Return the settings of *context* that must not change once it is enforced, for comparing; a microsecond.

    Not among them: protocol versions, cipher suites, ALPN and the CAs held, none of which can admit anybody.
    """
    return (
        _verify_mode(context),
        _verify_flags(context),
        _options(context) & _WATCHED_OPTIONS,
        _num_tickets(context),
        _post_handshake_auth(context),
        _check_hostname(context),
        _sni_callback(context),
        context.sslsocket_class,
        context.sslobject_class,
    )


def asyncio_origin() -> tuple[object, bool]:
    """Return where asyncio's TLS comes from: the address of the socket below it, and whether plain bytes came before.

    To be called from what ``do_handshake`` calls, which asyncio's ``_do_handshake`` calls.

    An ``SSLObject`` is not told which transport it belongs to. asyncio's ``SSLProtocol`` is the caller, and its
    transport is the plain one of the socket. A stream that it upgrades to TLS (``start_tls``) may hold bytes that came
    before. uvloop's is compiled and has no frame, so nothing is known: see `uvloop_peername`.
    """
    frame: FrameType | None = sys._getframe(2).f_back
    if frame is None or frame.f_code.co_name != "_do_handshake":  # none where a thread began with do_handshake itself
        return None, False
    owner: object = frame.f_locals.get("self")
    if type(owner).__module__ != "asyncio.sslproto":
        return None, False
    transport, protocol = getattr(owner, "_transport", None), getattr(owner, "_app_protocol", None)
    plaintext = bool(getattr(getattr(protocol, "_stream_reader", None), "_buffer", None))
    return None if transport is None else transport.get_extra_info("peername"), plaintext


def uvloop_peername(part: object, generations: int = 3) -> object:
    """Return the address of the socket below uvloop's TLS that holds *part*: a TLS object, or the memory it reads from.

    uvloop tells nobody before the handshake is over, and is compiled, so it has no frames: its protocol is looked for
    among the objects of the garbage collector. The young ones, a few thousand, take some 50 microseconds; all of them
    40 milliseconds for each million, in one call that nothing ends before its time.

    Args:
        part: What is looked for.
        generations: How many generations of objects are gone through, 1 to 3. The last is as large as the program: a
            stranger who only opens connections must not have it gone through.
    """
    kind = getattr(sys.modules.get("uvloop.loop"), "SSLProtocol", None)
    if kind is None:
        return None
    young = min(generations, 2) if gc.isenabled() else 0  # of a collector that is off all objects are young
    for generation in range(young):
        for found in reversed(gc.get_objects(generation)):
            if type(found) is kind and any(one is part for one in gc.get_referents(found)):
                return _peername_below(found)
    holders = gc.get_referrers(part) if generations > 2 else []
    return next((_peername_below(found) for found in holders if type(found) is kind), None)


def _peername_below(protocol: object) -> object:
    transports = [one for one in gc.get_referents(protocol) if _is_transport_of_uvloop(one)]
    return transports[0].get_extra_info("peername") if transports else None


def _is_transport_of_uvloop(candidate: object) -> bool:
    return type(candidate).__module__ == "uvloop.loop" and type(candidate).__name__.endswith("Transport")


def watch_messages(context: ssl.SSLContext, note: Callable[..., None]) -> None:
    """Have *note* called with each handshake message and alert of *context*'s connections, decrypted. For diagnosis.

    ``_msg_callback`` is the one way of ``ssl`` to see them, also of handshakes that fail. Nothing is admitted on it.

    Args:
        context: One of whose connections the messages are wanted.
        note: Takes connection, ``read`` or ``write``, version, content type, message type and bytes. It must not raise.

    Raises:
        ConfigurationError: This Python shows no messages.
    """
    if not hasattr(type(context), "_msg_callback"):
        raise ConfigurationError("this Python shows no handshake messages, so nothing can be probed: use CPython")
    private: Any = context
    private._msg_callback = note
