"""What each public name of `OpenSSL.SSL.Connection` may do in each state of the latch, as a table.

A name that is in no row is guarded as if it moved data, and refused by a test until somebody has thought about it.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["CONNECTION_ACCESS", "SEALED", "ConnectionAccess"]


class ConnectionAccess(enum.Enum):
    """When a name of a connection may be used."""

    DATA = "data"
    """Moves application data: shakes hands and decides first; only while admitted."""
    IDENTITY = "identity"
    """Shows who the peer is, or keys of the session: only while admitted, and never shakes hands by itself."""
    START = "start"
    """Says which side this is: only before the handshake, since it begins another one."""
    SEALED = "sealed"
    """Would put another verifier, or none, in the place of ours: never."""
    OPEN = "open"
    """Parameters, our own side, or bytes that TLS protects: always."""
    OWN = "own"
    """Written by hand in the class."""


_Access: Final = ConnectionAccess
_ROWS: Final = (
    (_Access.DATA, "send sendall write recv recv_into read"),
    (_Access.IDENTITY, "get_peer_certificate get_peer_cert_chain get_verified_chain get_session pending"),
    (_Access.IDENTITY, "get_finished get_peer_finished master_key export_keying_material"),
    (_Access.START, "set_accept_state set_connect_state connect connect_ex"),
    (_Access.SEALED, "set_verify set_context set_session renegotiate DTLSv1_listen DTLSv1_handle_timeout"),
    (_Access.OPEN, "accept bio_read bio_write bio_shutdown shutdown get_shutdown set_shutdown sock_shutdown makefile"),
    (_Access.OPEN, "get_app_data set_app_data get_context set_info_callback set_options get_verify_mode"),
    (_Access.OPEN, "get_certificate use_certificate use_privatekey get_client_ca_list request_ocsp"),
    (_Access.OPEN, "set_alpn_protos get_alpn_proto_negotiated set_tlsext_host_name get_servername get_state_string"),
    (_Access.OPEN, "get_cipher_list get_cipher_name get_cipher_bits get_cipher_version get_group_name"),
    (_Access.OPEN, "get_protocol_version get_protocol_version_name get_selected_srtp_profile want_read want_write"),
    (_Access.OPEN, "client_random server_random renegotiate_pending total_renegotiations DTLSv1_get_timeout"),
    (_Access.OPEN, "set_ciphertext_mtu get_cleartext_mtu"),
    (_Access.OWN, "do_handshake"),
)
CONNECTION_ACCESS: Final = {name: access for access, names in _ROWS for name in names.split()}
"""Every public name of ``OpenSSL.SSL.Connection``."""

SEALED: Final = (
    *("set_verify", "set_verify_depth", "set_session_cache_mode", "set_min_proto_version", "set_max_proto_version"),
    *("set_cipher_list", "set_tls13_ciphersuites"),
)
"""Names of ``OpenSSL.SSL.Context`` that change what was asked for when the context was built."""
