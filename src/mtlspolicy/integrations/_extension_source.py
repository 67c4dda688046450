"""What a server says of its client by the TLS extension of ASGI (0.2, or the draft of 0.3), read once for each request.

The server has seen the proof of possession, and that is all that its word counts for: its own validation is believed
where it refused, names that it states are never read, and the certificates are judged like any others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, cast

from mtlspolicy._chain import DEFAULT_LIMITS, Possession, PresentedChain
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, PathValidationError

__all__ = ["chain_in"]

_MOST: Final = DEFAULT_LIMITS.certificates + 1
"""Certificates that are taken of an iterable, one more than any verifier allows by default."""
_SHOWN: Final = 200
_CLAUSE: Final = "TLS extension of ASGI"


def chain_in(scope: Mapping[str, Any]) -> tuple[PresentedChain | None, dict[str, Any]]:
    """Return the certificates that the server of *scope* says came with the connection, and the extension to hand on.

    The extension is a copy whose ``client_cert_chain`` is a list, since the one that was read may be gone.

    Args:
        scope: Of a request, as the server made it.

    Returns:
        ``None`` in place of certificates: none came, or the session was resumed and the server does not know them.

    Raises:
        ConfigurationError: The server writes no such extension, or speaks no TLS.
        PathValidationError: The server has refused the certificate (``path.refused-by-server``).
        MalformedEvidence: The chain is none.
    """
    extensions = scope.get("extensions")
    stated = cast("Mapping[str, object]", extensions).get("tls") if isinstance(extensions, Mapping) else None
    if not isinstance(stated, Mapping):
        raise ConfigurationError(
            'source="extension": this server states no TLS extension (scope["extensions"]["tls"]) for this connection: '
            "it speaks no TLS here, or does not know the extension; serve with integrations.uvicorn or "
            'integrations.hypercorn and source="connection"'
        )
    found = dict(cast("Mapping[str, Any]", stated))
    error = found.get("client_cert_error")
    if error is not None:
        detail = f"the server has refused the certificate: {quoted(str(error), _SHOWN)}"
        raise PathValidationError(Decision(Verdict.DENY, "path.refused-by-server", detail, clause=_CLAUSE))
    parts = _parts(found.get("client_cert_chain"))
    found["client_cert_chain"] = parts
    if not parts:
        return None, found
    return PresentedChain.parse([_bytes(part) for part in parts], possession=Possession.TLS), found


def _parts(chain: object) -> list[str | bytes]:
    if chain is None:
        return []
    if isinstance(chain, str | bytes) or not isinstance(chain, Iterable):
        raise MalformedEvidence(f"{_CLAUSE}: client_cert_chain is {type(chain).__name__}, and no list of PEM")
    parts = list(islice(cast("Iterable[object]", chain), _MOST))
    for part in parts:
        if not isinstance(part, str | bytes):
            raise MalformedEvidence(f"{_CLAUSE}: client_cert_chain holds {type(part).__name__} where PEM belongs")
    return cast("list[str | bytes]", parts)


def _bytes(part: str | bytes) -> bytes:
    try:
        data = part if isinstance(part, bytes) else part.encode("ascii")
    except UnicodeEncodeError:
        raise MalformedEvidence(f"{_CLAUSE}: client_cert_chain holds text that is no PEM") from None
    if not data.lstrip().startswith(b"-----BEGIN CERTIFICATE-----") or data.count(b"-----BEGIN ") != 1:
        raise MalformedEvidence(f"{_CLAUSE}: client_cert_chain holds one PEM certificate in each place")
    return data
