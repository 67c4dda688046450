"""The TLS extension of ASGI, version 0.2, for a connection of ours. It states what was decided and decides nothing."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

from mtlspolicy._pem import write_pem
from mtlspolicy.integrations._ssl_client import printable

if TYPE_CHECKING:
    from mtlspolicy.integrations._admission import Admission
    from mtlspolicy.integrations._immediate import Accepted, Shown

__all__ = ["tls_extension", "write_extension"]

_VERSIONS: Final = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def write_extension(scope: dict[str, Any], accepted: Accepted, shown: Shown) -> None:
    """Write ``scope["extensions"]["tls"]`` for one request: what `tls_extension` states, in objects of its own.

    Args:
        scope: Of the request.
        accepted: A connection that TLS of ours has admitted.
        shown: What its handshake has shown. Nothing of it changes as long as that stands.
    """
    stated = shown.extension
    if stated is None:
        stated = shown.extension = tls_extension(cast("ssl.SSLObject", accepted.ssl_object), shown)
    own = stated.copy()
    own["client_cert_chain"] = stated["client_cert_chain"].copy()
    others = scope.get("extensions")
    scope["extensions"] = {**others, "tls": own} if others else {"tls": own}


def tls_extension(connection: ssl.SSLSocket | ssl.SSLObject, admission: Admission | Shown) -> dict[str, Any]:
    """Return ``scope["extensions"]["tls"]`` for a decided *connection*.

    ``server_cert`` is ``None``, which the specification allows: the standard library does not tell which certificate
    was chosen. ``client_cert_error`` is ``None``, because nobody is admitted whose certificate did not verify.
    ``client_cert_name`` is RFC 4514 text with control characters escaped; ``None`` where a part of it is unreadable.
    """
    chain, who = admission.presented, admission.peer
    cipher = connection.cipher()
    return {
        "spec_version": "0.2",
        "server_cert": None,
        "client_cert_chain": [] if chain is None else list(_pems(chain.ders)),
        "client_cert_name": printable(who.subject.rfc4514()) if who is not None and who.subject.readable else None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": None if cipher is None else _suites(connection.context).get(cipher[0]),
    }


@lru_cache(maxsize=256)
def _pems(ders: tuple[bytes, ...]) -> tuple[str, ...]:
    """Return *ders* as PEM: the same for each request of a connection, and dearer than the rest of the extension."""
    return tuple(map(write_pem, ders))


_SUITES: Final[WeakKeyDictionary[ssl.SSLContext, dict[str, int]]] = WeakKeyDictionary()


def _suites(context: ssl.SSLContext) -> dict[str, int]:
    """Return the numbers of the cipher suites of *context* (the last two octets of OpenSSL's ids) by name."""
    found = _SUITES.get(context)
    if found is None:
        found = _SUITES[context] = {entry["name"]: entry["id"] & 0xFFFF for entry in context.get_ciphers()}
    return found
