"""`Hardening`: named sets of TLS parameters, each after the public guideline that it follows.

It decides protocol versions, cipher suites and, where Python can set them, key exchange groups. It does not decide
about certificates, tickets or renegotiation: the builders of contexts do.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from mtlspolicy.errors import ConfigurationError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
"""A plain name: no operator of OpenSSL's cipher list language, such as ``!``, ``+`` or ``@SECLEVEL=0``."""

_LEGACY_OPTIONS: Final = 0x00040000 | 0x00000004
"""``SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION`` and ``SSL_OP_LEGACY_SERVER_CONNECT``; ``ssl`` names only the latter."""

_LEAST_LEVEL: Final = 2
"""OpenSSL's security level of at least 112 bits (RFC 9325, section 4.1): RSA and DH of 2048 bits, no SHA-1."""


@dataclass(frozen=True, slots=True)
class Hardening:
    """A set of TLS parameters.

    With Python 3.11 to 3.14 ``ssl`` can set neither the cipher suites of TLS 1.3 nor more than one key exchange group.
    There OpenSSL's own stay: all suites of TLS 1.3 that OpenSSL switches on by default are the three of Mozilla's
    lists, and its groups are X25519, P-256, X448, P-384, P-521 and finite fields of 2048 bits or more (with OpenSSL 3.5
    and newer X25519MLKEM768 first). Where ``SSLContext.set_ciphersuites`` and ``SSLContext.set_groups`` exist, both are
    set.

    Attributes:
        name: The guideline, for logs.
        minimum_version: TLS 1.2 or 1.3; older ones are refused (RFC 8996).
        maximum_version: ``ssl.TLSVersion.MAXIMUM_SUPPORTED`` or a version not below the minimum.
        tls12_ciphers: OpenSSL names of the TLS 1.2 suites in order of preference; empty only where TLS 1.3 is the
            minimum.
        tls13_ciphersuites: Names of the TLS 1.3 suites in order of preference.
        groups: OpenSSL names of key exchange groups in order of preference; those that OpenSSL does not know are left
            out.
        server_preference: Whether a server takes its own order of cipher suites before the client's.
    """

    name: str
    minimum_version: ssl.TLSVersion
    maximum_version: ssl.TLSVersion
    tls12_ciphers: tuple[str, ...]
    tls13_ciphersuites: tuple[str, ...]
    groups: tuple[str, ...]
    server_preference: bool = False

    MODERN: ClassVar[Hardening]
    """Mozilla's Server Side TLS guideline, version 6.0 (6 April 2026), configuration "modern": TLS 1.3 alone."""

    INTERMEDIATE: ClassVar[Hardening]
    """Mozilla's Server Side TLS guideline, version 6.0 (6 April 2026), configuration "intermediate": TLS 1.2 and 1.3,
    forward secrecy and authenticated encryption only. The client's order counts, since all suites are good ones and the
    client knows whether it has hardware for AES. Without the DHE suites that versions up to 5.7 still had."""

    RFC9325: ClassVar[Hardening]
    """RFC 9325 (BCP 195), sections 3.1.1, 4.2 and 4.2.1: TLS 1.2 and 1.3, the four suites that it recommends for TLS
    1.2, the server's order, and the groups P-256 and X25519 that it asks for."""

    def __post_init__(self) -> None:
        """Refuse what would weaken a context: old versions, list operators, nothing at all."""
        if self.minimum_version not in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            raise ConfigurationError(
                f"minimum_version of {self.name!r} is {self.minimum_version!r}: TLS 1.0 and 1.1 are deprecated (RFC "
                "8996); use ssl.TLSVersion.TLSv1_2 or ssl.TLSVersion.TLSv1_3"
            )
        highest = self.maximum_version
        if highest is not ssl.TLSVersion.MAXIMUM_SUPPORTED and highest < self.minimum_version:
            raise ConfigurationError(
                f"maximum_version of {self.name!r} is {highest!r}, below its minimum_version {self.minimum_version!r}: "
                "use ssl.TLSVersion.MAXIMUM_SUPPORTED"
            )
        for field in ("tls12_ciphers", "tls13_ciphersuites", "groups"):
            names: object = getattr(self, field)
            if not _plain(names):
                raise ConfigurationError(
                    f"{field} of {self.name!r} is {names!r}: it takes a tuple of plain names, such as "
                    "('ECDHE-ECDSA-AES128-GCM-SHA256',), without operators; see openssl ciphers -v"
                )
            if not names and not (field == "tls12_ciphers" and self.minimum_version is ssl.TLSVersion.TLSv1_3):
                raise ConfigurationError(f"{field} of {self.name!r} is empty: name at least one")

    def apply(self, context: ssl.SSLContext) -> None:
        """Set the parameters on *context*, in place; compression and legacy renegotiation go off.

        The security level of OpenSSL is raised where it is too low, and never lowered.

        Raises:
            ConfigurationError: OpenSSL knows none of the names, or does not speak the versions.
        """
        # A system-wide policy may ask for more than we do.
        level = max(_LEAST_LEVEL, context.security_level)
        try:
            # Not used where TLS 1.3 is the minimum, but OpenSSL takes no empty list.
            context.set_ciphers(":".join((f"@SECLEVEL={level}", *(self.tls12_ciphers or _AES_GCM))))
            context.maximum_version = self.maximum_version
            context.minimum_version = self.minimum_version
            _set_where_python_can(context, self)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigurationError(
                f"{ssl.OPENSSL_VERSION}, which this Python uses, does not take the hardening {self.name!r} ({error}): "
                "use Hardening.INTERMEDIATE, or name what openssl ciphers -v and openssl list -tls-groups show"
            ) from None
        options = (context.options | ssl.OP_NO_COMPRESSION) & ~_LEGACY_OPTIONS & ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.options = options | (ssl.OP_CIPHER_SERVER_PREFERENCE if self.server_preference else 0)


def _plain(names: object) -> bool:
    if not isinstance(names, tuple):
        return False
    return all(isinstance(one, str) and _NAME.fullmatch(one) for one in cast("tuple[object, ...]", names))


def _set_where_python_can(context: Any, hardening: Hardening) -> None:
    """Hold every difference between versions of Python and OpenSSL: what ``ssl`` gained with 3.15."""
    if hasattr(context, "set_ciphersuites"):
        context.set_ciphersuites(":".join(hardening.tls13_ciphersuites))
    if hasattr(context, "set_groups"):
        try:
            context.set_groups(":".join(hardening.groups))
        except ssl.SSLError:  # OpenSSL before 3.5 knows no ML-KEM, and one unknown name makes it refuse the whole list
            context.set_groups(":".join(group for group in hardening.groups if "MLKEM" not in group))


_TLS13: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_AES_GCM: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
_MOZILLA_GROUPS: Final = ("X25519MLKEM768", "X25519", "prime256v1", "secp384r1")

Hardening.MODERN = Hardening(
    name="Mozilla 6.0 modern",
    minimum_version=ssl.TLSVersion.TLSv1_3,
    maximum_version=ssl.TLSVersion.MAXIMUM_SUPPORTED,
    tls12_ciphers=(),
    tls13_ciphersuites=_TLS13,
    groups=_MOZILLA_GROUPS,
)
Hardening.INTERMEDIATE = Hardening(
    name="Mozilla 6.0 intermediate",
    minimum_version=ssl.TLSVersion.TLSv1_2,
    maximum_version=ssl.TLSVersion.MAXIMUM_SUPPORTED,
    tls12_ciphers=(*_AES_GCM, "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
    tls13_ciphersuites=_TLS13,
    groups=_MOZILLA_GROUPS,
)
Hardening.RFC9325 = Hardening(
    name="RFC 9325",
    minimum_version=ssl.TLSVersion.TLSv1_2,
    maximum_version=ssl.TLSVersion.MAXIMUM_SUPPORTED,
    tls12_ciphers=_AES_GCM,
    tls13_ciphersuites=_TLS13,
    groups=("prime256v1", "X25519"),
    server_preference=True,
)
