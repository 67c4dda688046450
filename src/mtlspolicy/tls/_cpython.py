"""Every difference between versions of CPython, and the few private names of it that are relied on.

It decides nothing. Each private name has a test of its own, so that a new Python fails there and not in a handshake.
"""

from __future__ import annotations

import _ssl  # type: ignore[import-not-found, unused-ignore]  # the C half of ssl: typeshed describes it only in part
import gc
import ssl
import sys
from types import FrameType
from typing import Any, Final, Protocol

__all__ = [
    "TLSObject",
    "asyncio_peername",
    "asyncio_plaintext",
    "leaf_of",
    "old_python",
    "presented_ders",
    "settings_of",
    "tls_object",
    "uvloop_peername",
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
    return tuple(dict.fromkeys((leaf, *[certificate.public_bytes(_DER) for certificate in chain[1:]])))


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


def asyncio_peername() -> object:
    """Return the address of the socket below asyncio's TLS.

    To be called from what ``do_handshake`` calls, which asyncio's ``_do_handshake`` calls.

    An ``SSLObject`` is not told which transport it belongs to. asyncio's ``SSLProtocol`` is the caller, and its
    transport is the plain one of the socket. uvloop's is compiled and has no frame: see `uvloop_peername`.
    """
    transport = getattr(_asyncio_owner(sys._getframe(2).f_back), "_transport", None)
    return None if transport is None else transport.get_extra_info("peername")


def asyncio_plaintext() -> bool:
    """Return whether the stream that asyncio upgrades to TLS (``start_tls``) holds bytes that came before; not uvloop.

    To be called as `asyncio_peername` is.
    """
    protocol = getattr(_asyncio_owner(sys._getframe(2).f_back), "_app_protocol", None)
    return bool(getattr(getattr(protocol, "_stream_reader", None), "_buffer", None))


def _asyncio_owner(frame: FrameType | None) -> object:
    if frame is None or frame.f_code.co_name != "_do_handshake":  # none where a thread began with do_handshake itself
        return None
    owner: object = frame.f_locals.get("self")
    return owner if type(owner).__module__ == "asyncio.sslproto" else None


def uvloop_peername(connection: object) -> object:
    """Return the address of the socket below uvloop's TLS that drives *connection*; for the line about a refusal alone.

    Walks the objects of the garbage collector, a millisecond for 50,000 of them, so never for a decision and never
    often.
    """
    holders = [one for one in gc.get_referrers(connection) if _is_uvloop(one, "SSLProtocol")]
    transports: list[Any] = [one for one in gc.get_referents(*holders) if _is_uvloop(one, "Transport")]
    return transports[0].get_extra_info("peername") if transports else None


def _is_uvloop(candidate: object, suffix: str) -> bool:
    return type(candidate).__module__ == "uvloop.loop" and type(candidate).__name__.endswith(suffix)
