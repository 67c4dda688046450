"""Puts a verifier on an `ssl.SSLContext`: `enforce` on one that somebody else built, `bind` on ours.

It refuses contexts that it cannot make safe. What the context trusts by itself never admits anybody.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._cpython import CREATORS, old_python
from mtlspolicy.tls._creation import guard_creation
from mtlspolicy.tls._enforcement import Enforcement, enforcement_of
from mtlspolicy.tls._object import LatchedObject
from mtlspolicy.tls._options import ClientOptions, ServerOptions
from mtlspolicy.tls._socket import LatchedSocket
from mtlspolicy.tls._virtual_hosts import install, observe

if TYPE_CHECKING:
    from mtlspolicy._trust import TrustStore

__all__ = ["bind", "enforce", "judged_by_openssl", "log_expired", "require_verifier"]

_LOGGER: Final = logging.getLogger("mtlspolicy.context")
_PLAIN_METHODS: Final = {name: getattr(ssl.SSLContext, name) for name in ("wrap_socket", "wrap_bio", *CREATORS)}


def enforce(
    context: ssl.SSLContext,
    verifier: Verifier,
    *,
    client_certificate: Literal["required", "optional"] = "required",
    options: ServerOptions | ClientOptions | None = None,
) -> None:
    """Have every connection of *context* decided on by *verifier*, in one line, for a context that somebody else built.

    The verifier's trust anchors are loaded into it, tickets and renegotiation are switched off. It must not be changed
    afterwards in what verifies peers: connections are refused then (``tls.context-changed``).

    Args:
        context: An `ssl.SSLContext` that asks for certificates.
        verifier: From `Verifier.for_clients` for a context for servers, from `Verifier.for_servers` for one for
            clients.
        client_certificate: ``"optional"`` for a context with ``CERT_OPTIONAL``, which lets clients without certificate
            in.
        options: `ServerOptions` or `ClientOptions`, by the side.

    Raises:
        ConfigurationError: The context cannot be made safe; the message says what to set before.
    """
    server_side = _require_parts(context, verifier, options)
    if enforcement_of(context) is not None:
        raise ConfigurationError(
            "the context has a verifier already: build a context for each", code="tls.enforced-twice"
        )
    _require_standard(context)
    if server_side:
        _require_server_settings(context, client_certificate)
        chosen: ServerOptions | ClientOptions = options or ServerOptions()
        _lead_to_hosts(context, chosen)
    else:
        _require_client_settings(context, verifier, client_certificate)
        chosen = options or ClientOptions()
    bind(context, verifier, chosen, optional=client_certificate == "optional")


def _lead_to_hosts(context: ssl.SSLContext, options: ServerOptions | ClientOptions) -> None:
    """Install virtual hosts, or watch the callback for server names that is there already."""
    if isinstance(options, ServerOptions) and options.virtual_hosts:
        if context.sni_callback is not None:
            raise ConfigurationError(
                "the context has an sni_callback of its own, which virtual_hosts would replace: drop one"
            )
        install(context, options.virtual_hosts)
    elif context.sni_callback is not None:
        observe(context)


def bind(
    context: ssl.SSLContext,
    verifier: Verifier,
    options: ServerOptions | ClientOptions,
    *,
    optional: bool,
    later: bool = False,
) -> None:
    """Write the verifier on *context*, load its trust, and switch off what would change a peer after the decision.

    Args:
        context: Of `ssl`.
        verifier: Who decides.
        options: By the side.
        optional: Whether a client may present no certificate.
        later: Whether it is asked for the certificate after the handshake, by `request_certificate` alone.
    """
    require_unpatched()
    old = old_python()
    if old is not None:
        _LOGGER.warning("%s", old)
    enforcement = Enforcement(context, verifier, options, optional=optional)
    # A server could present another certificate after the decision (TLS 1.2), and a ticket would skip the next one.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    enforcement.later = later
    context.post_handshake_auth = later or (isinstance(options, ClientOptions) and options.post_handshake_auth)
    if enforcement.server_side:
        context.num_tickets = 0
    context.sslsocket_class, context.sslobject_class = _asking() if later else (LatchedSocket, LatchedObject)
    if isinstance(options, ClientOptions) and (verifier.live or options.max_age is not None):
        _age(context)
    guard_creation(context)
    try:
        log_expired(enforcement.load_trust())
    except ssl.SSLError as error:
        raise ConfigurationError(f"OpenSSL cannot read a certificate of the trust store: {error}") from None
    enforcement.bind()


def _age(context: ssl.SSLContext) -> None:
    from mtlspolicy.tls._again import AgeingObject, AgeingSocket  # the same

    context.sslsocket_class, context.sslobject_class = AgeingSocket, AgeingObject


def _asking() -> tuple[type[LatchedSocket], type[LatchedObject]]:
    from mtlspolicy.tls._post_handshake import AskingSocket, UnaskableObject  # few need it, and it costs an import

    return AskingSocket, UnaskableObject


def require_unpatched() -> None:
    """Raise where another library has put its own classes in the place of those of `ssl`.

    Raises:
        ConfigurationError: `ssl.SSLContext` or `ssl.SSLSocket` is not Python's own (eventlet, gevent).
    """
    bases = (LatchedSocket.__mro__[1], LatchedObject.__mro__[1])
    patched = ssl.SSLContext.__module__ != "ssl" or any(base.__module__ != "ssl" for base in bases)
    if patched or bases != (ssl.SSLSocket, ssl.SSLObject):
        raise ConfigurationError(
            "ssl is monkey-patched (eventlet and gevent do that), and their sockets would never ask a policy: use "
            "threads or asyncio",
            code="tls.patched-ssl",
        )
    for name, method in _PLAIN_METHODS.items():
        if getattr(ssl.SSLContext, name) is not method:
            raise ConfigurationError(
                f"ssl.SSLContext.{name} is monkey-patched: take the patch out", code="tls.patched-ssl"
            )


def require_verifier(verifier: object, role: str, builder: str) -> None:
    """Raise unless *verifier* is one of peers of *role*, which *builder* needs.

    Raises:
        ConfigurationError: It is something else, or verifies the other side.
    """
    if not isinstance(verifier, Verifier):
        raise ConfigurationError(f"verifier={type(verifier).__name__}: {builder} takes Verifier.for_{role}s(...)")
    if verifier.peer_role != role:
        raise ConfigurationError(
            f"{builder} was given a verifier of {verifier.peer_role}s: its peers are {role}s, so use "
            f"Verifier.for_{role}s(...)",
            code="tls.wrong-side",
        )


def judged_by_openssl(verifier: Verifier) -> bool:
    """Return whether OpenSSL can judge the expected identity: the name dialed, DNS names and IP addresses."""
    return {reference.kind for reference in verifier.expected} <= {"dns", "ip", "dialed"}


def _require_parts(context: object, verifier: object, options: object) -> bool:
    """Return whether the context is for servers; raise for parts that do not fit each other."""
    if not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(f"context={type(context).__name__}: enforce takes an ssl.SSLContext")
    if not isinstance(verifier, Verifier):
        raise ConfigurationError(
            f"verifier={type(verifier).__name__}: use Verifier.for_clients(...) or Verifier.for_servers(...)"
        )
    server_side = verifier.peer_role == "client"
    fits = {True: ssl.PROTOCOL_TLS_SERVER, False: ssl.PROTOCOL_TLS_CLIENT}[server_side]
    if context.protocol is not fits:
        raise ConfigurationError(
            f"the verifier is for {verifier.peer_role}s and the context is {context.protocol.name}: it must be "
            f"{fits.name}, which serves one side alone",
            code="tls.wrong-side",
        )
    if options is not None and getattr(options, "engine", "ssl") != "ssl":
        raise ConfigurationError(
            'options say engine="pyopenssl" and the context is one of ssl: build one with tls.server_context or '
            "tls.client_context, whose options these are",
            code="tls.wrong-engine",
        )
    kind = ServerOptions if server_side else ClientOptions
    if options is not None and not isinstance(options, kind):
        raise ConfigurationError(f"options={type(options).__name__}: this context takes tls.{kind.__name__}(...)")
    return server_side


def _require_standard(context: ssl.SSLContext) -> None:
    if context.sslsocket_class is not ssl.SSLSocket or context.sslobject_class is not ssl.SSLObject:
        raise ConfigurationError(
            "the context has an sslsocket_class or sslobject_class of another library, which we would replace: start "
            "from a plain context",
            code="tls.foreign-class",
        )
    for name, method in _PLAIN_METHODS.items():
        if getattr(type(context), name) is not method or name in vars(context):
            raise ConfigurationError(
                f"{type(context).__name__}.{name} is not that of ssl.SSLContext, so connections might never ask the "
                "policy: start from a plain ssl.SSLContext",
                code="tls.foreign-class",
            )


def _require_server_settings(context: ssl.SSLContext, client_certificate: str) -> None:
    wanted = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL}.get(client_certificate)
    if wanted is None:
        raise ConfigurationError(f'client_certificate={client_certificate!r}: use "required" or "optional"')
    if context.verify_mode is ssl.CERT_NONE:
        raise ConfigurationError(
            "the context never asks clients for a certificate: set context.verify_mode = ssl.CERT_REQUIRED before",
            code="tls.no-certificate-asked",
        )
    if context.verify_mode is not wanted:
        raise ConfigurationError(
            f'client_certificate="{client_certificate}" and the context has {context.verify_mode.name}: '
            f"set context.verify_mode = ssl.{wanted.name}, or say the other one",
            code="tls.verify-mode",
        )


def _require_client_settings(context: ssl.SSLContext, verifier: Verifier, client_certificate: str) -> None:
    if client_certificate != "required":
        raise ConfigurationError(
            "client_certificate= is for contexts of servers; a server always presents a certificate"
        )
    if context.verify_mode is not ssl.CERT_REQUIRED:
        raise ConfigurationError(
            "the context takes servers without a valid certificate, and would show them ours: set "
            "context.verify_mode = ssl.CERT_REQUIRED before",
            code="tls.verify-mode",
        )
    wanted = judged_by_openssl(verifier)
    if context.check_hostname is not wanted:
        why = (
            "an impostor would see our certificate"
            if wanted
            else "OpenSSL cannot judge a URI or common name, and would refuse"
        )
        raise ConfigurationError(f"{why}: set context.check_hostname = {wanted} before", code="tls.check-hostname")


def log_expired(store: TrustStore) -> None:
    """Say which anchors and registered peers of *store* have expired: nobody gets in by them."""
    now = datetime.now(UTC)
    for anchor in (*store.anchors, *store.peers):
        if anchor.not_after < now:
            _LOGGER.warning(
                "trust.expired: %s expired on %s: paths to it are refused", anchor, f"{anchor.not_after:%Y-%m-%d}"
            )
