"""Reading what a client registered (RFC 7591; RFC 8705, section 2.1.2): its method, and who its certificates name.

Nothing is fetched, and no certificate is looked at. ``null`` counts as left out, as a row of a data base has it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final, cast

from mtlspolicy._names import DistinguishedName
from mtlspolicy._policy import Policy
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.oauth._subject_dn import RegisteredDN
from mtlspolicy.policies._dns_name import DNSName
from mtlspolicy.policies._ip_name import IPAddressName
from mtlspolicy.policies._names import TextNamePolicy
from mtlspolicy.policies._san import EmailName, URIName

__all__ = ["PKI", "SELF_SIGNED", "SUBJECTS", "client_policy", "method_of", "object_of", "registered_subject", "wrong"]

PKI: Final = "tls_client_auth"
SELF_SIGNED: Final = "self_signed_tls_client_auth"
METHOD: Final = "token_endpoint_auth_method"
SUBJECTS: Final[Mapping[str, type[TextNamePolicy[Any]]]] = {
    "tls_client_auth_subject_dn": RegisteredDN,
    "tls_client_auth_san_dns": DNSName,
    "tls_client_auth_san_uri": URIName,
    "tls_client_auth_san_ip": IPAddressName,
    "tls_client_auth_san_email": EmailName,
}
"""Each parameter that says whom a certificate must name, and the policy that compares it."""
_SHOWN: Final = 80


def wrong(message: str, code: str = "oauth.metadata") -> ConfigurationError:
    """Return the error for metadata that can never be right."""
    return ConfigurationError(message, code=code)


def object_of(metadata: object) -> Mapping[str, Any]:
    """Return *metadata* without the members that are ``None``.

    Raises:
        ConfigurationError: It is no JSON object (``oauth.metadata``).
    """
    if not isinstance(metadata, Mapping):
        raise wrong(f"metadata is a JSON object, a mapping of names, not {type(metadata).__name__}")
    found = cast("Mapping[object, Any]", metadata)
    return {name: value for name, value in found.items() if isinstance(name, str) and value is not None}


def method_of(metadata: Mapping[str, Any]) -> str:
    """Return the method by which the client authenticates: `PKI` or `SELF_SIGNED`.

    Raises:
        ConfigurationError: Another one, or none, which is ``client_secret_basic`` (RFC 7591, section 2).
    """
    method = metadata.get(METHOD)
    if method not in (PKI, SELF_SIGNED):
        said = quoted(method, _SHOWN) if isinstance(method, str) else "not said" if method is None else "no text"
        raise wrong(f"{METHOD} is {said}: a client that authenticates by certificate has {PKI!r} or {SELF_SIGNED!r}")
    return cast("str", method)


def subjects_in(metadata: Mapping[str, Any]) -> list[str]:
    """Return the parameters of *metadata* that say whom a certificate must name."""
    return [name for name in SUBJECTS if name in metadata]


def _subject_of(metadata: object) -> tuple[str, TextNamePolicy[Any]]:
    known = object_of(metadata)
    if method_of(known) != PKI:
        raise wrong(f"{METHOD} is {SELF_SIGNED!r}, which registers certificates and no names: use client_verifier")
    given = subjects_in(known)
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise wrong(
            f"a client of {PKI} registers exactly one of {', '.join(SUBJECTS)} (RFC 8705, section 2.1.2), not {found}"
        )
    name, value = given[0], known[given[0]]
    if not isinstance(value, str):
        raise wrong(f"{name} is text, not {type(value).__name__}")
    try:
        if name == "tls_client_auth_san_ip":
            _require_address(value)
        return name, SUBJECTS[name].parse(value)
    except ConfigurationError as error:
        raise wrong(f"{name}: {error}") from None


def _require_address(text: str) -> None:
    """Raise `ConfigurationError` unless *text* is one address: a client that registers a network is everybody in it."""
    try:
        ipaddress.ip_address("" if "%" in text else text)
    except ValueError:
        raise ConfigurationError(f"{quoted(text, _SHOWN)} is no IP address without zone, port and prefix") from None


def client_policy(metadata: Mapping[str, Any]) -> Policy:
    """Return the policy for certificates of a client that registered *metadata* with ``tls_client_auth``.

    It compares a name, which any CA of the trust store may assert (section 7.4): join it with
    ``& policies.IssuerPin(...)`` where the store holds more than the CAs that issue for clients. DNS names and the
    domain of a mailbox match without regard to ASCII case, URIs exactly, addresses in binary, the subject as
    `registered_subject` writes it. An entry that only a wildcard of the certificate would cover does not match.

    Args:
        metadata: As registered (RFC 7591), with exactly one of ``tls_client_auth_subject_dn`` and ``..._san_dns``,
            ``_uri``, ``_ip`` and ``_email``.

    Raises:
        ConfigurationError: Another method, none or several of these, or a value that is no such name
            (``oauth.metadata``); a registration endpoint answers ``invalid_client_metadata``.
    """
    return _subject_of(metadata)[1]


def registered_subject(metadata: Mapping[str, Any]) -> str:
    """Return whom a client of ``tls_client_auth`` registered, as text that is equal for equal clients.

    Two clients with the same text, under the same CAs, are authenticated by each other's certificates: keep it in a
    column with a unique index. Of a subject, ASCII letters are in lower case and runs of spaces are one space.

    Args:
        metadata: As for `client_policy`.

    Raises:
        ConfigurationError: As for `client_policy`.
    """
    name, policy = _subject_of(metadata)
    (entry,) = policy._current()
    text = entry.rfc4514() if isinstance(entry, DistinguishedName) else str(getattr(entry, "network_address", entry))
    return f"{name}:{text}"
