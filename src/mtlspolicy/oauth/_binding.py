"""Binding tokens to certificates (RFC 8705, section 3): making the ``cnf`` member, and holding a sender to it.

Signature, issuer, audience and expiry of a token are judged before, by whoever parses it: so are duplicate JSON keys.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from mtlspolicy._decision import Verdict
from mtlspolicy._text import quoted
from mtlspolicy._trust import CertificateInput, certificate_of
from mtlspolicy.errors import ConfigurationError, PolicyDenied
from mtlspolicy.oauth._errors import TokenBindingError, refused
from mtlspolicy.oauth._sender import NO_POSSESSION, Sender, chain_of, thumbprint_of

__all__ = ["THUMBPRINT", "Confirmation", "cnf", "confirm", "thumbprint"]

THUMBPRINT: Final = "x5t#S256"
"""The member of ``cnf`` that binds to a certificate (RFC 8705, section 3.1)."""
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a token is bound to, and by whom that is verified.

    Attributes:
        thumbprint: ``x5t#S256`` of the certificate that the token is bound to and the sender holds; ``None``: to none.
        left: Names of other members of ``cnf``, of those in *also_confirmed_by*, which the caller verifies.
    """

    thumbprint: str | None
    left: frozenset[str]


def thumbprint(certificate: CertificateInput) -> str:
    """Return the ``x5t#S256`` of *certificate*: base64url without padding of the SHA-256 of its DER (section 3.1).

    Nothing is verified, neither the certificate nor who sent it.

    Args:
        certificate: A `cryptography` certificate, or the PEM or DER bytes of one.

    Raises:
        ConfigurationError: It is not one certificate.
    """
    return thumbprint_of(certificate_of(certificate, "thumbprint").der)


def cnf(peer: Sender) -> dict[str, str]:
    """Return the value of ``cnf`` for a token, a refresh token or an introspection response that is bound to *peer*.

    Args:
        peer: Who asked for the token: a `VerifiedPeer`; of a public client (section 4), whose certificate nobody
            validates, a `PresentedChain`.

    Raises:
        PolicyDenied: Nobody saw it prove that it holds the key (``peer.no-possession``).
        ConfigurationError: It is something else.
    """
    chain, seen = chain_of(peer, "cnf")
    if not seen:
        raise PolicyDenied(refused("peer.no-possession", NO_POSSESSION, clause="possession"))
    return {THUMBPRINT: thumbprint_of(chain.ders[0])}


def confirm(
    claims: object,
    presented: Sender | None,
    *,
    required: bool = True,
    also_confirmed_by: Collection[str] = (),
) -> Confirmation:
    """Return what the token is bound to, if its sender may use it. For access and refresh tokens alike.

    Whatever stands under ``cnf`` makes a token bound. Not verified: everything else about the token; whether the
    certificate is valid, which a resource server need not ask (section 6.2).

    Args:
        claims: Claims of a token whose signature was verified, or the members of an introspection response (RFC 7662).
        presented: The sender: a `VerifiedPeer`, or a `PresentedChain` with possession; ``None``: no certificate.
        required: Whether a token that is bound to nothing is refused.
        also_confirmed_by: Members of ``cnf`` that the caller verifies by itself, such as ``{"jkt"}`` of RFC 9449. A
            token without ``x5t#S256`` whose members are all among them is left to the caller.

    Raises:
        TokenBindingError: It may not: 401.
        ConfigurationError: *presented*, *required* or *also_confirmed_by* is something else.
    """
    others = _named(required, also_confirmed_by)
    ours = None if presented is None else _ours(presented)
    members = _members(claims)
    if members is None:
        if required:
            raise _error("oauth.unbound", "the token has no cnf, and this resource takes bound tokens only")
        return Confirmation(None, frozenset())
    left = others.intersection(members)
    if THUMBPRINT in members:
        _require_same(members[THUMBPRINT], ours)
        return Confirmation(ours, left)
    if not members or len(left) != len(members):
        raise _error("oauth.other-confirmation", f"nobody verifies {_shown(members, others)}")
    return Confirmation(None, left)


def _named(required: object, also_confirmed_by: object) -> frozenset[str]:
    if not isinstance(required, bool):
        raise ConfigurationError(f"confirm(required={required!r}): True or False")
    if isinstance(also_confirmed_by, str) or not isinstance(also_confirmed_by, Collection):
        raise ConfigurationError("confirm(also_confirmed_by=...) takes a set of names: {'jkt'}")
    others = frozenset(cast("Collection[object]", also_confirmed_by))
    if THUMBPRINT in others or not all(isinstance(name, str) and name for name in others):
        raise ConfigurationError(
            f"confirm(also_confirmed_by=...) names members of cnf that the caller verifies; {THUMBPRINT} is not his"
        )
    return cast("frozenset[str]", others)


def _ours(presented: Sender) -> str:
    chain, seen = chain_of(presented, "confirm")
    if not seen:
        raise _error("peer.no-possession", NO_POSSESSION)
    return thumbprint_of(chain.ders[0])


def _members(claims: object) -> Mapping[object, Any] | None:
    """Return the members of ``cnf``; ``None``: the token has no such claim."""
    if not isinstance(claims, Mapping):
        raise _doubt("oauth.malformed-claims", f"claims are an object, not {type(claims).__name__}")
    found = cast("Mapping[object, object]", claims)
    if "token_introspection" in found:
        raise _doubt(
            "oauth.malformed-claims",
            "a JWT introspection response (RFC 9701): what binds is below token_introspection; pass that",
        )
    if "active" in found and found["active"] is not True:
        raise _error("oauth.inactive", "introspection does not say that the token is active")
    if "cnf" not in found:
        return None
    members = found["cnf"]
    if not isinstance(members, Mapping):
        raise _doubt("oauth.malformed-cnf", f"cnf is an object (RFC 7800, section 3.1), not {type(members).__name__}")
    return cast("Mapping[object, Any]", members)


def _require_same(claimed: object, ours: str | None) -> None:
    # A thumbprint has more than one spelling for a lenient decoder; the one that is computed counts.
    if not isinstance(claimed, str) or _FORM.fullmatch(claimed) is None:
        raise _doubt("oauth.malformed-cnf", f"{THUMBPRINT} is 43 characters of base64url (RFC 8705, section 3.1)")
    if ours is None:
        raise _error("oauth.no-certificate", "the token is bound to a certificate, and the sender presented none")
    if not hmac.compare_digest(ours, claimed):
        raise _error("oauth.other-certificate", f"the token is bound to another certificate than {ours}")


def _shown(members: Mapping[object, Any], others: frozenset[str]) -> str:
    """Return the members that nobody verifies, escaped, as text."""
    names = (name if isinstance(name, str) else type(name).__name__ for name in members if name not in others)
    unknown = sorted(quoted(name, _SHOWN) for name in names)
    return f"the token's {', '.join(unknown[:4])}" if unknown else "a token whose cnf is empty"


def _error(code: str, detail: str) -> TokenBindingError:
    return TokenBindingError(refused(code, detail, clause="token binding"))


def _doubt(code: str, detail: str) -> TokenBindingError:
    return TokenBindingError(refused(code, detail, clause="token binding", verdict=Verdict.INDETERMINATE))
