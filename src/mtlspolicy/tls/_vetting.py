"""What both TLS engines hold against a credential, a hardening and names of application protocols before they use them.

It decides whether a context is built with them; no peer is decided on here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._credential import Credential
from mtlspolicy.tls._hardening import Hardening

if TYPE_CHECKING:
    from mtlspolicy.tls._credential_findings import Role

__all__ = ["vet", "vet_alpn"]

_LOGGER: Final = logging.getLogger("mtlspolicy.context")


def vet(credential: Credential | None, hardening: Hardening, role: Role) -> None:
    """Raise for a credential or hardening that no context is built with, and log what is remarkable.

    Raises:
        ConfigurationError: Something else than a `Credential` or `Hardening`, or a credential that peers refuse.
    """
    if credential is not None and not isinstance(credential, Credential):
        raise ConfigurationError(
            f"credential={type(credential).__name__}: give tls.Credential.from_files('chain.pem', 'key.pem'), "
            ".from_pem or .of"
        )
    if not isinstance(hardening, Hardening):
        raise ConfigurationError(
            f"hardening={hardening!r}: use tls.Hardening.INTERMEDIATE, MODERN, RFC9325 or one of your own"
        )
    if credential is None:
        return
    for finding in credential.findings(role, at=datetime.now(UTC)):
        if finding.fatal:
            raise ConfigurationError(finding.message, code=finding.code)
        _LOGGER.warning("%s: %s", finding.code, finding.message)
    for note in credential.notes:
        _LOGGER.warning("credential: %s", note)


def vet_alpn(alpn: Sequence[str]) -> list[bytes]:
    """Return names of application protocols as they are sent.

    Raises:
        ConfigurationError: Something else than a sequence of ASCII names of 1 to 255 characters (RFC 7301).
    """
    if isinstance(alpn, str) or not all(isinstance(name, str) for name in alpn):
        raise ConfigurationError(f"alpn={alpn!r}: a sequence of names, such as ('h2', 'http/1.1')")
    if not all(name.isascii() and 0 < len(name) < 256 for name in alpn):
        raise ConfigurationError(f"alpn={alpn!r}: ASCII names of 1 to 255 characters (RFC 7301)")
    return [name.encode("ascii") for name in alpn]
