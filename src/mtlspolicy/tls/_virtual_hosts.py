"""Several hosts behind one listener: which context a server name (SNI, RFC 6066, section 3) leads to.

It chooses the context alone. The policy of the context that was reached decides, whatever the one that was asked first
says.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mtlspolicy._decision import Verdict
from mtlspolicy._reference import is_dns_name
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._client_hello import UNREADABLE, server_name_in
from mtlspolicy.tls._cpython import tls_object
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._latch import Latch
from mtlspolicy.tls._options import ServerOptions

if TYPE_CHECKING:
    from mtlspolicy.tls._enforcement import Enforcement

__all__ = ["install", "normal_host", "observe"]

ServerNameCallback = Callable[[Any, "str | None", ssl.SSLContext], "int | None"]
"""What ``SSLContext.sni_callback`` takes."""
_Host = tuple[ssl.SSLContext, "Enforcement"]


def install(context: ssl.SSLContext, hosts: Mapping[str, ssl.SSLContext]) -> None:
    """Have *context* take note of the name that a client asks for, and lead to the context of that host.

    Names that are not listed, and clients that send none, get *context* itself; make it the strictest.

    Raises:
        ConfigurationError: A name that is no DNS name, twice the same, or a context that cannot stand behind this one.
    """
    table: dict[str, _Host] = {}
    for name, other in hosts.items():
        key = normal_host(name)
        if not isinstance(name, str) or not is_dns_name(key) or key in table:
            raise ConfigurationError(
                f"virtual_hosts: {name!r} is no DNS name, or there twice: write 'a.example', without port"
            )
        table[key] = other, _require_companion(key, context, other)
    context.sni_callback = _callback(table, None)


def observe(context: ssl.SSLContext) -> None:
    """Put our callback around the one for server names that somebody else has set on *context*."""
    theirs: Any = context.sni_callback
    context.sni_callback = _callback({}, theirs)


def normal_host(name: object) -> str:
    """Return a host name as it is compared: ASCII lower case, without one final dot."""
    text = name if isinstance(name, str) else ""
    return text.removesuffix(".").lower() if text.isascii() else text


def _require_companion(name: str, context: ssl.SSLContext, other: object) -> Enforcement:
    where = f"virtual_hosts[{name!r}]"
    enforcement = enforcement_of(other) if isinstance(other, ssl.SSLContext) else None
    if not isinstance(other, ssl.SSLContext) or enforcement is None or not enforcement.server_side:
        raise ConfigurationError(f"{where} has no verifier of clients: build it with tls.server_context")
    if other.verify_mode is not context.verify_mode:
        raise ConfigurationError(
            f"{where} has {other.verify_mode.name} and the default context {context.verify_mode.name}: OpenSSL keeps "
            "the mode of the context that it started with, so give both the same client_certificate="
        )
    # Like verify_mode, the versions are those of the context that the handshake began on.
    if (other.minimum_version, other.maximum_version) != (context.minimum_version, context.maximum_version):
        raise ConfigurationError(
            f"{where} has other versions of TLS than the default context: give both the same hardening="
        )
    if isinstance(enforcement.options, ServerOptions) and enforcement.options.virtual_hosts:
        raise ConfigurationError(
            f"{where} has virtual hosts of its own, which nobody would reach: list them in the outer one"
        )
    context.verify_flags |= other.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    return enforcement


def _callback(table: Mapping[str, _Host], inner: ServerNameCallback | None) -> ServerNameCallback:
    def choose(connection: Any, name: str | None, context: ssl.SSLContext) -> int | None:
        latch = getattr(connection, "_latch", None)
        if isinstance(latch, Latch):
            latch.server_name = name
            latch.began, latch.hosts = context, table
            tls = tls_object(connection)
            if tls is not None and tls.session_reused and _is_other_host(latch, name):
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if inner is not None:
            return inner(connection, name, context)
        found = table.get(normal_host(name)) if name is not None else None
        if found is not None:
            other, enforcement = found
            enforcement.refresh_trust()
            connection.context = other
        return None

    return choose


def _is_other_host(latch: Latch, name: str | None) -> bool:
    """Refuse a session that is resumed at another host than it was made for; *name* is the one it was made for.

    RFC 6066, section 3: a server must not resume a session for which the server name differs. OpenSSL does, with TLS
    1.2. The alert makes the client forget the session, so that it shakes hands in full the next time.
    """
    asked = server_name_in(latch.first_bytes)
    if asked is not UNREADABLE and normal_host(asked) == normal_host(name):
        return False
    said = "cannot be read" if asked is UNREADABLE else f"is {asked!r}"
    latch.mark_refused(
        refusal(
            "resumption.other-host",
            f"a session that was made for {name!r} was resumed, and the name asked for now {said}: connect without the "
            "session",
            verdict=Verdict.DENY,
        )
    )
    return True
