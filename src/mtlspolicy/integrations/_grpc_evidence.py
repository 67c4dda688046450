"""What gRPC says of the connection of a call: certificates, whether their key was proven, address. Nothing is decided.

All of it comes from the transport: the authentication context and the socket's address. Metadata is the client's own
word and is never read.
"""

from __future__ import annotations

import functools
import ipaddress
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._chain import Limits, Possession, PresentedChain
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Connection
from mtlspolicy._text import escape
from mtlspolicy.errors import NoPeerCertificate, PolicyDenied, PolicyIndeterminate

if TYPE_CHECKING:
    from mtlspolicy._judgement import Judgement
    from mtlspolicy._verifier import Verifier

__all__ = ["address_of", "connection_of", "judgement_of", "presented_chain"]

TLS: Final = b"ssl"
"""``transport_security_type`` of the credentials in which BoringSSL has seen a signature by the certificate's key."""
REMEMBERED: Final = 256
"""Chains and addresses whose reading is remembered, by all of their octets; nothing is decided by that."""
_REMEDY: Final = "open the port with add_secure_port and integrations.grpc.credentials(...)"
_VERSIONS: Final = {b"TLSv1.2": "TLSv1.2", b"TLSv1.3": "TLSv1.3"}
_RESUMED: Final = {b"true": True, b"false": False}


def judgement_of(verifier: Verifier, context: Any) -> Judgement:
    """Return the judgement of the other end of the connection of one call: trust, policy and time are taken now.

    Args:
        verifier: For clients.
        context: Of the call, gRPC's own.

    Raises:
        VerificationError: No certificate, or nobody has seen a proof of possession.
        MalformedEvidence: What is there is no certificate, or outside the limits.
    """
    found: Mapping[str, Iterable[bytes]] = context.auth_context()
    chain = presented_chain(found, verifier)
    return verifier.judgement(chain, connection=connection_of(found, context.peer()))


def presented_chain(found: Mapping[str, Iterable[bytes]], verifier: Verifier) -> PresentedChain:
    """Return the certificates in the authentication context *found*, end entity first.

    ``x509_pem_cert`` is the certificate whose key signed the handshake. ``x509_pem_cert_chain`` is what the client sent
    beside it, where it sent something: material for a path and no more.

    Raises:
        NoPeerCertificate: There is none.
        PolicyDenied: There is one on a transport other than gRPC's TLS, ``peer.no-possession``.
        PolicyIndeterminate: There are several in place of one, ``chain.malformed``.
        MalformedEvidence: It cannot be read, or is outside the limits.
    """
    kinds, leaves = list(found.get("transport_security_type", ())), list(found.get("x509_pem_cert", ()))
    shown = escape(b" and ".join(kinds).decode("latin-1"), 40) or "unknown"
    if not leaves:
        detail = f"the call came without a client certificate, over a connection of the kind {shown}: {_REMEDY}"
        raise NoPeerCertificate(Decision(Verdict.DENY, "path.no-certificate", detail, clause="gRPC"))
    if kinds != [TLS]:
        # Local, ALTS and xDS credentials may carry a name as well; who proved what is then for their set-up to say.
        detail = (
            f"a certificate over a connection of the kind {shown}, which does not say who proved its key: {_REMEDY}"
        )
        raise PolicyDenied(Decision(Verdict.DENY, "peer.no-possession", detail, clause="gRPC"))
    if len(leaves) > 1:
        detail = f"{len(leaves)} certificates of the client in place of one"
        raise PolicyIndeterminate(Decision(Verdict.INDETERMINATE, "chain.malformed", detail, clause="gRPC"))
    beside = [pem for pem in found.get("x509_pem_cert_chain", ()) if pem]
    return _parsed((leaves[0], *beside), verifier.limits)


@functools.lru_cache(REMEMBERED)
def _parsed(pems: tuple[bytes, ...], limits: Limits) -> PresentedChain:
    # Each call of a connection brings the same octets, and reading PEM costs more than the decision.
    return PresentedChain.parse(pems, possession=Possession.TLS, limits=limits)


def connection_of(found: Mapping[str, Iterable[bytes]], peer: object) -> Connection:
    """Return what is known of the connection; what an earlier gRPC does not say is not known.

    Args:
        found: The authentication context.
        peer: What ``context.peer()`` returns.
    """
    name = _one(found, "ssl_requested_server_name")
    return Connection(
        transport_address=address_of(peer),
        server_name=name.decode("latin-1") or None,
        tls_version=_VERSIONS.get(_one(found, "ssl_tls_version")),
        resumed=_RESUMED.get(_one(found, "ssl_session_reused")),
    )


@functools.lru_cache(REMEMBERED)
def address_of(peer: object) -> str | None:
    """Return the IP address in ``ipv4:192.0.2.1:50051`` or ``ipv6:%5B::1%5D:50051``; ``None``: there is none."""
    kind, _, rest = str(peer).partition(":")
    host, _, port = urllib.parse.unquote(rest).rpartition(":")
    if kind == "ipv6" and host[:1] == "[" and host[-1:] == "]":
        host = host[1:-1].partition("%")[0]
    elif kind != "ipv4":
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return str(address) if f"ipv{address.version}" == kind and port.isdecimal() else None


def _one(found: Mapping[str, Iterable[bytes]], name: str) -> bytes:
    values = tuple(found.get(name, ()))
    return values[0] if len(values) == 1 else b""
