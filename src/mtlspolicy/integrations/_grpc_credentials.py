"""Credentials in the form that gRPC takes. Whom they let in is only a first sieve: no policy can be asked in there.

The private key is handed over as PEM that is not encrypted, in memory, because gRPC takes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlspolicy import tls
from mtlspolicy._pem import write_pem
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._options import require_for_clients

with Extra("grpc"):
    _grpc: Any = import_module("grpc")

__all__ = ["CredentialSource", "channel_credentials", "credentials"]

CredentialSource = tls.Credential | Callable[[], tls.Credential]


def credentials(*, credential: CredentialSource, verifier: Verifier) -> Any:
    """Return ``grpc.ServerCredentials`` that demand a client certificate of the CAs of *verifier*.

    **They do not ask its policy**: gRPC has no place for that in a handshake. `Interceptor` or `AioInterceptor` asks it
    for each call; a server without one is open to every client of these CAs.

    Where the trust of *verifier* or *credential* is a callable it is asked before each handshake, on a thread of gRPC,
    and a change holds from the next connection on; while it fails, the last configuration stays. Such credentials are
    for one port: make others for a second one.

    Args:
        credential: Of the server, or a callable that returns the current one.
        verifier: The same that the interceptor has.

    Raises:
        ConfigurationError: The credential is none, the verifier is not for clients, or their sources fail now.
    """
    require_for_clients(verifier)
    served = _Served(credential, verifier)
    first = served.current()
    if isinstance(credential, tls.Credential) and isinstance(verifier._trust, TrustStore):
        pairs = [(_key(credential), _chain(credential))]
        return _grpc.ssl_server_credentials(pairs, _roots(verifier._trust), require_client_auth=True)
    return _grpc.dynamic_ssl_server_credentials(first, served.change, require_client_authentication=True)


def channel_credentials(*, trust: TrustStore, credential: tls.Credential | None = None) -> Any:
    """Return ``grpc.ChannelCredentials`` for a client: the CAs that servers must be of, and its own certificate.

    gRPC compares the server's name with the target (subjectAltName alone) and validates its chain, both by rules of its
    own, and shows the certificate to nobody: no policy, no pin and no revocation can be asked about a server.

    Args:
        trust: CAs of the servers; there is no default.
        credential: Of the client; ``None``: it presents none.

    Raises:
        ConfigurationError: One of them is of another type, or the store distrusts keys, which gRPC cannot.
    """
    if not isinstance(trust, TrustStore):
        raise ConfigurationError(f"trust={type(trust).__name__}: give a TrustStore, such as TrustStore.from_file(...)")
    if trust.distrusted or trust.peers:
        raise ConfigurationError(
            "channel_credentials(trust=...): gRPC knows CAs alone, and neither distrusted keys nor registered peers; "
            "give a store with anchors"
        )
    if credential is None:
        return _grpc.ssl_channel_credentials(_roots(trust))
    _require_credential(credential)
    return _grpc.ssl_channel_credentials(_roots(trust), _key(credential), _chain(credential))


class _Served:
    """What a server presents and which CAs it names, as of now; it knows what it has handed out last."""

    def __init__(self, credential: CredentialSource, verifier: Verifier) -> None:
        self._credential = credential
        self._verifier = verifier
        self._last: tuple[tls.Credential, str] | None = None

    def current(self) -> Any:
        """Return the configuration of now; ``None``: it is that of the last time.

        Raises:
            Exception: Whatever a source raises.
        """
        credential = self._credential() if callable(self._credential) else self._credential
        _require_credential(credential)
        store = self._verifier.trust_now()
        if self._last == (credential, store.digest):
            return None
        found = _grpc.ssl_server_certificate_configuration([(_key(credential), _chain(credential))], _roots(store))
        self._last = (credential, store.digest)
        return found

    def change(self) -> Any:
        """Return the same for gRPC, to which an exception and no change are one."""
        try:
            return self.current()
        except Exception:  # noqa: BLE001 - the last configuration stays; who may call, the interceptor decides
            return None


def _require_credential(credential: object) -> None:
    if not isinstance(credential, tls.Credential):
        raise ConfigurationError(
            f"credential={type(credential).__name__}: give a tls.Credential, such as tls.Credential.from_files(...)"
        )


def _chain(credential: tls.Credential) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in credential.chain)


def _key(credential: tls.Credential) -> bytes:
    return credential._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _roots(store: TrustStore) -> bytes:
    """Return what BoringSSL may build paths of, PEM; it takes each of them for an anchor, and the verifier does not."""
    certificates = (*store.anchors, *store.intermediates, *store.peers)
    return "".join(write_pem(certificate.der) for certificate in certificates).encode("ascii")
