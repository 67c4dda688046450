"""What a verifier accepts when it is built: current values of sources, and policies that say who the peer is.

A verifier for clients needs a policy of which every way to PERMIT passes an identity clause, or an explicit `Anyone`
over a private store; a source's later values are held to the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, cast

from mtlspolicy._combinators import contains
from mtlspolicy._decision import Verdict
from mtlspolicy._identifiers import DNS
from mtlspolicy._path import Refusal
from mtlspolicy._policy import Policy, require_policy
from mtlspolicy._profile import PathProfile
from mtlspolicy._reference import ReferenceIdentifier
from mtlspolicy._trust import TrustStore
from mtlspolicy._trust_roles import TEST_CA_OID
from mtlspolicy._trust_state import TrustRefused
from mtlspolicy.errors import ConfigurationError, MTLSPolicyError
from mtlspolicy.policies._anyone import Anyone

Expected: TypeAlias = "str | ReferenceIdentifier | Iterable[str | ReferenceIdentifier]"
_TEST_CA = TEST_CA_OID.dotted_string

_LOCATORS: Final = frozenset({"http", "https", "ws", "wss", "grpc", "grpcs", "tcp", "tls"})
"""Schemes of addresses of servers, which people paste; no certificate has one of them as its name."""


def text_of(error: Exception) -> str:
    """Return kind and text of *error*; total, since an exception's own text may fail."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - whatever it raises, its kind is known
        return type(error).__name__


def current_store(source: object) -> TrustStore:
    """Return the store that *source* is or returns.

    Raises:
        ConfigurationError: It raised, or returned something else (``trust.unavailable``).
    """
    value = source
    if not isinstance(source, TrustStore) and callable(source):
        try:
            value = source()
        except TrustRefused:
            raise
        except Exception as error:  # noqa: BLE001 - a source that fails is a refusal, whatever it raised
            raise ConfigurationError(
                f"the source of the trust store failed: {text_of(error)}", code="trust.unavailable"
            ) from None
    if not isinstance(value, TrustStore):
        raise ConfigurationError(
            f"trust is {type(value).__name__}: give a TrustStore, for example TrustStore.from_file('ca.pem'), or a "
            f"callable that returns one",
            code="trust.unavailable",
        )
    return value


def require_policy_source(source: object, where: str) -> None:
    """Raise `ConfigurationError` unless *source* is a policy or a callable that may return one."""
    if isinstance(source, type) or not (isinstance(source, Policy) or callable(source)):
        require_policy(source, where)


def current_policy(source: object) -> Policy:
    """Return the policy that *source* is or returns.

    Raises:
        ConfigurationError: It raised, or returned something else (``trust.unavailable``).
    """
    if isinstance(source, Policy):
        return source
    try:
        value = cast("Callable[[], object]", source)()  # held callable by require_policy_source
    except Exception as error:  # noqa: BLE001 - a source that fails is a refusal, whatever it raised
        raise ConfigurationError(
            f"the source of the policy failed: {text_of(error)}", code="trust.unavailable"
        ) from None
    try:
        return require_policy(value, "the source of the policy")
    except ConfigurationError as error:
        raise ConfigurationError(str(error), code="trust.unavailable") from None


def require_named(policy: Policy) -> None:
    """Raise `ConfigurationError` unless *policy* says who the client is on every way to PERMIT, or has `Anyone`."""
    if not policy.identifies and not contains(policy, Anyone):
        raise ConfigurationError(
            f"the policy {policy!r} can permit without saying who the client is: join a name, pin, serial number or "
            f"issuer with &, or say that any client of this private CA is meant with '& policies.Anyone()'",
            code="policy.not-identifying",
        )


def require_identifying(policy: Policy, store: TrustStore) -> None:
    """Raise `ConfigurationError` unless *policy* may decide on clients of *store*.

    It says who the client is on every way to PERMIT, or it contains `Anyone` and the store is private.
    """
    require_named(policy)
    if not policy.identifies and store.is_public:
        raise ConfigurationError(
            "policies.Anyone() with a public trust store: everybody can get a certificate there; use the private CA "
            "that issues for your clients, or a policy that identifies them",
            code="policy.not-identifying",
        )


def no_trust(failure: MTLSPolicyError | None) -> tuple[Refusal, Verdict]:
    """Return the refusal and verdict where trust or policy could not be had, because of *failure*."""
    if isinstance(failure, TrustRefused):
        return Refusal(failure.code, str(failure)), failure.verdict
    return Refusal("trust.unavailable", "no trust store" if failure is None else str(failure)), Verdict.INDETERMINATE


def notes_on(policy: Policy | None, store: TrustStore) -> tuple[str, ...]:
    """Return what a person should know about *policy* over *store*; shown in every decision."""
    notes: list[str] = [*store.remarks]
    if any(oid == _TEST_CA for anchor in store.anchors for oid, _, _ in anchor.layout.extensions):
        notes.append("the trust store holds a test CA of mtlspolicy.testing")
    if policy is not None and len(store.anchors) > 1 and not policy._binds_issuer and not contains(policy, Anyone):
        notes.append(
            f"any of the {len(store.anchors)} anchors may assert the names in this policy: join them with & "
            f"IssuerPin(...), or use one verifier for each CA"
        )
    return tuple(notes)


def _require_no_locator(text: str) -> None:
    """Raise `ConfigurationError` for an address that was pasted; who means a URI of this scheme says so by *parse*."""
    scheme, found, rest = text.partition("://")
    if found and scheme.lower() in _LOCATORS:
        host = re.sub(r":\d*$", "", re.split("[/?#]", rest)[0].rpartition("@")[2])
        raise ConfigurationError(
            f"expected={text!r} says where a server is: its certificate has the host name alone, {host!r}; for a URI "
            "that the certificate itself bears give ReferenceIdentifier.parse(...)"
        )


def references_of(
    expected: Expected, profile: PathProfile = PathProfile.PRIVATE_PKI
) -> tuple[ReferenceIdentifier, ...]:
    """Return the reference identifiers that *expected* names, at least one.

    Raises:
        ConfigurationError: Nothing is expected, something that is no name, or with the profile ``WEBPKI`` a name that
            public CAs do not certify.
    """
    several = isinstance(expected, Iterable) and not isinstance(expected, str)
    given: tuple[object, ...] = tuple(expected) if several else (expected,)  # type: ignore[arg-type]  # as just asked
    if not given:
        raise ConfigurationError(
            "expected= is empty: name the server, or ReferenceIdentifier.DIALED for the name dialed"
        )
    found: list[ReferenceIdentifier] = []
    for one in given:
        if isinstance(one, str):
            _require_no_locator(one)
            found.append(ReferenceIdentifier.parse(one))
        elif isinstance(one, ReferenceIdentifier):
            found.append(one)
        else:
            raise ConfigurationError(f"expected={one!r}: a DNS name, IP address, URI or ReferenceIdentifier")
        if profile is PathProfile.WEBPKI and found[-1].kind == DNS and "_" in found[-1].value:
            raise ConfigurationError(
                f"expected={one!r}: public CAs certify no name with an underscore (Baseline Requirements, 7.1.4.2.1); "
                "private ones do: PathProfile.PRIVATE_PKI"
            )
    return tuple(dict.fromkeys(found))
