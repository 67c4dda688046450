"""Names of validation rule sets and of purposes. The rules themselves are in `_path_engine` and `_path_direct`."""

from __future__ import annotations

import enum


class PathProfile(enum.Enum):
    """A named set of rules for validating certification paths; recorded in every decision.

    * ``PRIVATE_PKI`` (default): RFC 5280 with the CA/Browser Forum's extras relaxed: subjectAltName and
      authorityKeyIdentifier may be absent, subjectAltName and extKeyUsage critical or not, a CA may lack keyUsage
      (where it is there it must allow certificate signing). extKeyUsage, basicConstraints, path length, name
      constraints, key strength and unknown critical extensions are held.
    * ``WEBPKI``: `cryptography`'s rules for the Web PKI as they come.
    * ``DIRECT``: the end entity is one of the store's ``peers``, or is signed by one of its ``anchors`` directly. X.509
      v1 end entities and anchors and Ed25519 CAs are allowed, intermediates are not; validity, extKeyUsage, keyUsage,
      key strength and critical extensions are held.
    """

    PRIVATE_PKI = "PRIVATE_PKI"
    WEBPKI = "WEBPKI"
    DIRECT = "DIRECT"


class Purpose(enum.Enum):
    """What the end entity must be allowed to be (extKeyUsage, RFC 5280, section 4.2.1.12)."""

    CLIENT = "client"
    SERVER = "server"
