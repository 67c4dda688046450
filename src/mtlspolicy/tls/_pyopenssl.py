"""Builds contexts of pyOpenSSL, for programs that use it, whose connections a verifier decides on inside the handshake.

This module can be imported without pyOpenSSL; what it calls cannot. It decides nothing about peers.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from cryptography import x509

from mtlspolicy.errors import ConfigurationError, MTLSPolicyError
from mtlspolicy.tls._enforce import log_expired
from mtlspolicy.tls._hardening import Hardening
from mtlspolicy.tls._vetting import vet, vet_alpn

if TYPE_CHECKING:
    from OpenSSL import SSL

    from mtlspolicy._verifier import Verifier
    from mtlspolicy.tls._credential import Credential
    from mtlspolicy.tls._options import ClientOptions, ServerOptions
    from mtlspolicy.tls._pyopenssl_context import PyOpenSSLContext

__all__ = ["Parts", "client", "server"]

_LEAST_LEVEL: Final = 2
"""OpenSSL's security level of at least 112 bits (RFC 9325, section 4.1)."""


class Parts(NamedTuple):
    """What both builders are given."""

    credential: Credential | None
    verifier: Verifier
    alpn: Sequence[str]
    hardening: Hardening
    options: ServerOptions | ClientOptions


def server(parts: Parts, *, optional: bool) -> PyOpenSSLContext:
    """Return a context for servers.

    Args:
        parts: Vetted by `server_context` in what both engines share.
        optional: Whether a client may present no certificate.

    Raises:
        ConfigurationError: pyOpenSSL is not installed, or a part does not fit.
    """
    vet(parts.credential, parts.hardening, "server")
    ssl_module, context = _context(server_side=True)
    _equip(context, parts)
    offered = vet_alpn(parts.alpn)
    if offered:
        context.set_alpn_select_callback(_chooser(offered, ssl_module.NO_OVERLAPPING_PROTOCOLS))
    for certificate in _certificates(cast("ServerOptions", parts.options).acceptable_cas):
        context.add_client_ca(certificate)
    mode = ssl_module.VERIFY_PEER | (0 if optional else ssl_module.VERIFY_FAIL_IF_NO_PEER_CERT)
    return _bound(context, parts, mode, optional=optional)


def client(parts: Parts) -> PyOpenSSLContext:
    """Return a context for clients; arguments and errors as for `server`."""
    vet(parts.credential, parts.hardening, "client")
    ssl_module, context = _context(server_side=False)
    _equip(context, parts)
    offered = vet_alpn(parts.alpn)
    if offered:
        context.set_alpn_protos(offered)
    return _bound(context, parts, ssl_module.VERIFY_PEER, optional=False)


def _context(*, server_side: bool) -> tuple[Any, PyOpenSSLContext]:
    try:
        from OpenSSL import SSL

        from mtlspolicy.tls._pyopenssl_context import PyOpenSSLContext
    except ImportError as error:
        raise ConfigurationError(
            f"engine=\"pyopenssl\" needs pyOpenSSL ({error}): pip install 'mtlspolicy[pyopenssl]'",
            code="tls.engine-unavailable",
        ) from None
    return SSL, PyOpenSSLContext(SSL.TLS_SERVER_METHOD if server_side else SSL.TLS_CLIENT_METHOD)


def _equip(context: SSL.Context, parts: Parts) -> None:
    from OpenSSL import SSL, crypto

    hardening, credential = parts.hardening, parts.credential
    suites = hardening.tls12_ciphers or Hardening.INTERMEDIATE.tls12_ciphers  # OpenSSL takes no empty list
    highest = hardening.maximum_version
    try:
        context.set_min_proto_version(int(hardening.minimum_version))
        context.set_max_proto_version(0 if highest is ssl.TLSVersion.MAXIMUM_SUPPORTED else int(highest))
        context.set_cipher_list(":".join((f"@SECLEVEL={_LEAST_LEVEL}", *suites)).encode("ascii"))
        context.set_tls13_ciphersuites(":".join(hardening.tls13_ciphersuites).encode("ascii"))
    except SSL.Error as error:
        raise ConfigurationError(
            f"pyOpenSSL's OpenSSL does not take the hardening {hardening.name!r} ({error}): use Hardening.INTERMEDIATE"
        ) from None
    # A resumed session shows no certificate, and a renegotiation may show another one.
    options = SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION
    context.set_options(options | (SSL.OP_CIPHER_SERVER_PREFERENCE if hardening.server_preference else 0))
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if credential is not None:
        try:
            context.use_certificate(credential.chain[0])
            for certificate in credential.chain[1:]:
                context.add_extra_chain_cert(certificate)
            context.use_privatekey(cast("Any", credential._key))
            context.check_privatekey()
        except (SSL.Error, crypto.Error, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"pyOpenSSL's OpenSSL refuses the certificate and key ({error}): have it issued for a kind of key that "
                "every version takes, such as EC P-256",
                code="credential.handover",
            ) from None


def _bound(context: PyOpenSSLContext, parts: Parts, mode: int, *, optional: bool) -> PyOpenSSLContext:
    from mtlspolicy.tls._pyopenssl_binding import Binding
    from mtlspolicy.tls._pyopenssl_hook import verify_peer

    binding = Binding(parts.verifier, parts.options, optional=optional)
    log_expired(binding.bind(context))
    context.set_verify(mode, verify_peer)
    context._binding = binding
    with suppress(MTLSPolicyError):  # a name that cannot be written again is no reason not to build the context
        parts.verifier.warm_up()
    return context


def _chooser(offered: Sequence[bytes], none: Any) -> Callable[[Any, list[bytes]], Any]:
    """Return the callback that takes the first of *offered* that the client knows; without one TLS goes on without."""

    def choose(_connection: Any, known: list[bytes]) -> Any:
        return next((name for name in offered if name in known), none)

    return choose


def _certificates(given: object) -> tuple[x509.Certificate, ...]:
    if given is None:
        return ()
    found = tuple(cast("Iterable[object]", given)) if isinstance(given, Iterable) else (given,)
    certificates = tuple(one for one in found if isinstance(one, x509.Certificate))
    if len(certificates) != len(found) or not found:
        raise ConfigurationError("acceptable_cas takes one or more cryptography.x509.Certificate: [ca_certificate]")
    return certificates
