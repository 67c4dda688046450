"""Evidence and admitted peers for tests of policies, with real certificates and without TLS, network or files.

The path of `evidence` is put together, not validated; that of `peer` went through a real verifier.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import Limits, Possession, PresentedChain
from mtlspolicy._evidence import Connection, Evidence, Facts
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._anyone import Anyone
from mtlspolicy.testing._authority import CertificateAuthority
from mtlspolicy.testing._issued import IssuedCertificate
from mtlspolicy.testing._request import MARKER_TEXT
from mtlspolicy.testing._template import AttributeValue, ExtraExtension, LeafOptions

if TYPE_CHECKING:
    from mtlspolicy._peer import VerifiedPeer

VALIDITY: Final = timedelta(days=7)
"""How long before and after the time of the evidence a certificate that is made for it is valid."""
_FIRST, _LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2190, 1, 1, tzinfo=UTC)
_MANY: Final = Limits(certificates=64, certificate_bytes=1 << 20, chain_bytes=1 << 22)


class EvidenceOptions(TypedDict, total=False):
    """What `evidence` and `peer` accept by keyword, besides name, time and facts.

    ``dns``, ``uris``, ``emails``, ``ips``, ``organization``, ``attributes``, ``eku``, ``extensions``, ``serial``: as in
    `CertificateAuthority.issue_client`. ``issuer``: the CA that issues the certificate, by default one that is made
    once a process, below a root of its own. ``certificate``: this one instead of a new one, from `CertificateAuthority`
    or `broken`, or a whole path as PEM or DER bytes or `cryptography` certificates, end entity first and anchor last.
    ``transport_address``, ``client_address``, ``server_name``, ``tls_version``, ``resumed``: see `Connection`; not
    known by default. ``possession``: who saw the proof, by default TLS. ``dialed``: the name that the connection was
    opened to.
    """

    dns: Sequence[str]
    uris: Sequence[str]
    emails: Sequence[str]
    ips: Sequence[str | ipaddress.IPv4Address | ipaddress.IPv6Address]
    organization: str | None
    attributes: Mapping[str, AttributeValue]
    eku: Sequence[x509.ObjectIdentifier] | None
    extensions: Sequence[ExtraExtension]
    serial: int | None
    issuer: CertificateAuthority
    certificate: IssuedCertificate | bytes | x509.Certificate | Sequence[bytes | x509.Certificate]
    transport_address: str | None
    client_address: str | None
    server_name: str | None
    tls_version: str | None
    resumed: bool | None
    possession: Possession
    dialed: str | None


_OF_CERTIFICATE: Final = tuple(key for key in LeafOptions.__annotations__ if key in EvidenceOptions.__annotations__)
_OF_CONNECTION: Final = ("transport_address", "client_address", "server_name", "tls_version", "resumed")


def evidence(
    common_name: str | None = None,
    *,
    at: datetime | None = None,
    facts: Mapping[str, Any] | Facts | None = None,
    **options: Unpack[EvidenceOptions],
) -> Evidence:
    """Return what a policy would see of a client with these names. Nothing is validated, so anything may be asked for.

    Args:
        common_name: CN of the subject, if any; without any name at all it is ``client``.
        at: The time of the decision, aware; default now. The certificate is made to be valid then.
        facts: Value by kind, which answers every need of that kind, or `Facts`. Kinds that are left out are missing.
        options: See `EvidenceOptions`.

    Raises:
        ConfigurationError: *at* is naive, an option is unknown, or a value cannot be written into a certificate.
    """
    moment = _moment(at)
    certificates = tuple(map(ParsedCertificate, _ders(common_name, moment, options)))
    return Evidence(
        CertificationPath(certificates, "PRIVATE_PKI"),
        at=moment,
        facts=_facts(facts),
        connection=_connection(options),
        possession=options.get("possession", Possession.TLS),
        dialed=options.get("dialed"),
    )


def peer(
    common_name: str | None = None,
    *,
    at: datetime | None = None,
    facts: Mapping[str, Any] | Facts | None = None,
    policy: Policy | None = None,
    **options: Unpack[EvidenceOptions],
) -> VerifiedPeer:
    """Return the `VerifiedPeer` that a client with these names is, by a real verifier over the path of `evidence`.

    Args:
        common_name: As for `evidence`.
        at: As for `evidence`; ``peer.require(...)`` asks at the time of the call, when the certificate must still be
            valid.
        facts: As for `evidence`.
        policy: Policy of the verifier; default ``policies.Anyone()``.
        options: See `EvidenceOptions`.

    Raises:
        VerificationError: The path is not valid, or *policy* does not permit.
        ConfigurationError: As for `evidence`.
    """
    from mtlspolicy._trust import TrustStore  # evidence alone needs no verifier
    from mtlspolicy._verifier import Verifier

    moment = _moment(at)
    ders = _ders(common_name, moment, options)
    trust = TrustStore(anchors=[x509.load_der_x509_certificate(ders[-1])])
    verifier = Verifier.for_clients(trust=trust, policy=Anyone() if policy is None else policy)
    presented = PresentedChain(ders[:-1], options.get("possession", Possession.TLS))
    judgement = verifier.judgement(presented, at=moment, connection=_connection(options), dialed=options.get("dialed"))
    outcome = judgement.outcome(_facts(facts))
    if outcome.peer is None:
        raise outcome.error()
    return outcome.peer


def _moment(at: datetime | None) -> datetime:
    if at is None:
        return datetime.now(UTC)
    if at.tzinfo is None or at.utcoffset() is None:
        raise ConfigurationError(
            f"at={at.isoformat()} has no time zone: give an aware datetime, as with tzinfo=datetime.UTC"
        )
    return at


def _facts(facts: Mapping[str, Any] | Facts | None) -> Facts:
    return facts if isinstance(facts, Facts) else Facts(by_kind=facts)


def _connection(options: EvidenceOptions) -> Connection:
    unknown = sorted(set(options) - set(EvidenceOptions.__annotations__))
    if unknown:
        raise ConfigurationError(
            f"unknown option {unknown[0]!r}: there are {', '.join(EvidenceOptions.__annotations__)}"
        )
    given: dict[str, Any] = {key: value for key, value in options.items() if key in _OF_CONNECTION}
    return Connection(**given)


def _ders(common_name: str | None, at: datetime, options: EvidenceOptions) -> tuple[bytes, ...]:
    """Return the path, end entity first and anchor last, as DER."""
    of_certificate: dict[str, Any] = {key: value for key, value in options.items() if key in _OF_CERTIFICATE}
    given = options.get("certificate")
    if given is None:
        named = any(of_certificate.get(kind) for kind in ("dns", "uris", "emails", "ips", "organization", "attributes"))
        leaf_options: Any = {"not_before": at - VALIDITY, "not_after": at + VALIDITY, **of_certificate}
        name = "client" if common_name is None and not named else common_name
        return _whole((options.get("issuer") or issuing_authority()).issue_client(name, **leaf_options))
    superfluous = [*(["common_name"] if common_name is not None else []), *of_certificate, *({"issuer"} & set(options))]
    if superfluous:
        raise ConfigurationError(f"certificate= is a certificate already: leave out {', '.join(superfluous)}")
    if isinstance(given, IssuedCertificate):
        return _whole(given)
    return PresentedChain.parse(given, limits=_MANY).ders


def _whole(leaf: IssuedCertificate) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys((leaf.der, *leaf.issuers_der, leaf.root_der)))


@cache
def issuing_authority() -> CertificateAuthority:
    """Return the CA of `evidence` and `peer`, made once a process: an issuing CA below a root."""
    root = CertificateAuthority(f"{MARKER_TEXT} root", not_before=_FIRST, not_after=_LAST)
    return root.intermediate(f"{MARKER_TEXT} issuing", not_before=_FIRST, not_after=_LAST)
