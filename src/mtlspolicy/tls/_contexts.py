"""Builds contexts whose connections a verifier decides on: `server_context` and `client_context`.

The contexts are plain ones (``type(context) is ssl.SSLContext``), so every library takes them. OpenSSL's own
verification stays on and comes first; it can refuse, and it never admits.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, cast

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls import _pyopenssl
from mtlspolicy.tls._enforce import bind, judged_by_openssl, require_verifier
from mtlspolicy.tls._hardening import Hardening
from mtlspolicy.tls._options import ClientOptions, ServerOptions
from mtlspolicy.tls._vetting import vet, vet_alpn
from mtlspolicy.tls._virtual_hosts import install
from mtlspolicy.tls._warm_up import warm_up

if TYPE_CHECKING:
    from mtlspolicy._verifier import Verifier
    from mtlspolicy.tls._credential import Credential
    from mtlspolicy.tls._credential_findings import Role

__all__ = ["client_context", "server_context"]

_SERVER_OPTIONS: Final = ServerOptions()
_CLIENT_OPTIONS: Final = ClientOptions()


def server_context(
    *,
    credential: Credential,
    verifier: Verifier,
    client_certificate: Literal["required", "optional", "on-request"] = "required",
    alpn: Sequence[str] = (),
    hardening: Hardening = Hardening.INTERMEDIATE,
    options: ServerOptions = _SERVER_OPTIONS,
) -> ssl.SSLContext:
    """Return a context for servers of any kind, whose clients the verifier decides on.

    No session tickets are sent and nobody may renegotiate, so each connection shows its certificate once and is decided
    on once. A client that is refused sees the end of the connection: the standard library cannot send an alert of ours.
    With ``engine="pyopenssl"`` it is a `PyOpenSSLContext` (``cast`` it for a type checker), which sends one.

    Args:
        credential: The server's own chain and key.
        verifier: From `Verifier.for_clients`.
        client_certificate: ``"required"``; ``"optional"``: a client without certificate is let in and has no peer, one
            whose certificate is refused is refused; ``"on-request"``: `request_certificate` asks later (TLS 1.3 alone).
        alpn: Application protocols in order of preference, such as ``("h2", "http/1.1")``.
        hardening: Versions and cipher suites.
        options: See `ServerOptions`.

    Raises:
        ConfigurationError: A part that does not fit; the message names it, the rule and the remedy.
    """
    _require_server_parts(verifier, client_certificate, options)
    if options.engine == "pyopenssl":
        parts = _pyopenssl.Parts(credential, verifier, alpn, hardening, options)
        return cast("ssl.SSLContext", _pyopenssl.server(parts, optional=client_certificate == "optional"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL if client_certificate == "optional" else ssl.CERT_REQUIRED
    _equip(context, credential, hardening=hardening, alpn=alpn, role="server")
    if options.virtual_hosts:
        install(context, options.virtual_hosts)
    later = _asks_later(context, client_certificate)
    bind(context, verifier, options, optional=client_certificate != "required", later=later)
    warm_up(context, verifier, server_side=True)
    return context


def client_context(
    *,
    credential: Credential | None = None,
    verifier: Verifier,
    alpn: Sequence[str] = (),
    hardening: Hardening = Hardening.INTERMEDIATE,
    options: ClientOptions = _CLIENT_OPTIONS,
) -> ssl.SSLContext:
    """Return a context for clients of any kind, whose servers the verifier decides on.

    OpenSSL validates the chain against the verifier's trust store, and the host name where a DNS name or IP address is
    expected, before our certificate is sent. Pins, issuers and URIs it cannot judge: those are decided after our
    certificate was shown to a server of a trusted CA. With ``options=ClientOptions(engine="pyopenssl")`` everything is
    decided before, and the context is a `PyOpenSSLContext` (see `server_context`).

    Args:
        credential: The client's own chain and key, where it has one.
        verifier: From `Verifier.for_servers`.
        alpn: Application protocols in order of preference.
        hardening: Versions and cipher suites.
        options: See `ClientOptions`.

    Raises:
        ConfigurationError: A part that does not fit; the message names it, the rule and the remedy.
    """
    require_verifier(verifier, "server", "client_context")
    if not isinstance(options, ClientOptions):
        raise ConfigurationError(f"options={type(options).__name__}: client_context takes tls.ClientOptions(...)")
    if options.engine == "pyopenssl":
        parts = _pyopenssl.Parts(credential, verifier, alpn, hardening, options)
        return cast("ssl.SSLContext", _pyopenssl.client(parts))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = judged_by_openssl(verifier)
    context.verify_mode = ssl.CERT_REQUIRED
    # RFC 9525, section 2: the common name of the subject is no identity of a service.
    context.hostname_checks_common_name = False
    _equip(context, credential, hardening=hardening, alpn=alpn, role="client")
    bind(context, verifier, options, optional=False)
    warm_up(context, verifier, server_side=False)
    return context


def _asks_later(context: ssl.SSLContext, client_certificate: str) -> bool:
    """Return whether clients are asked on request alone, and see to it that *context* can."""
    if client_certificate != "on-request":
        return False
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # in TLS 1.2 asking later would mean renegotiation
    return True


def _require_server_parts(verifier: object, client_certificate: object, options: object) -> None:
    require_verifier(verifier, "client", "server_context")
    if client_certificate not in ("required", "optional", "on-request"):
        raise ConfigurationError(
            f'client_certificate={client_certificate!r}: use "required", "optional" or "on-request"'
        )
    if not isinstance(options, ServerOptions):
        raise ConfigurationError(f"options={type(options).__name__}: server_context takes tls.ServerOptions(...)")
    if client_certificate == "on-request" and (options.engine != "ssl" or options.virtual_hosts):
        raise ConfigurationError(
            'client_certificate="on-request" goes with engine="ssl" and without virtual_hosts: ask in the handshake, '
            '"optional"',
            code="tls.engine-unavailable",
        )


def _equip(
    context: ssl.SSLContext, credential: Credential | None, *, hardening: Hardening, alpn: Sequence[str], role: Role
) -> None:
    vet(credential, hardening, role)
    # Strict would refuse v1 certificates and CAs without key identifiers, which the profiles of the verifier judge.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    hardening.apply(context)
    if alpn:
        vet_alpn(alpn)
        context.set_alpn_protocols(list(alpn))
    if credential is not None:
        credential.load_into(context)
