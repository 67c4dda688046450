"""Says why a path is not valid: which certificate breaks which rule, and what mends it.

Only for people and reason codes: by the time this runs, the path has been refused, and nothing here can admit it.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._path_links import Links
from mtlspolicy._path_rules import Refusal
from mtlspolicy._path_search import Candidate, Search
from mtlspolicy._path_value import REST_OF_SECOND
from mtlspolicy._profile import PathProfile, Purpose
from mtlspolicy._trust import TrustStore
from mtlspolicy._trust_roles import ca_problem
from mtlspolicy.errors import MalformedEvidence

UNDERSTOOD = frozenset(
    kind.oid.dotted_string
    for kind in (
        x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName, x509.NameConstraints,
    )
)  # fmt: skip
"""Extensions that the path engine evaluates; any other one that is critical refuses (RFC 5280, section 4.2)."""
_DIAGNOSED = 12 * 1024
"""Most bytes of extensions, the anchor's aside, that are read to say more: a stranger's may cost a microsecond each."""
V1_REMEDY = (
    "'openssl x509 -req' before OpenSSL 3.2 makes v1 certificates unless it is given '-extfile FILE' with extensions "
    "such as 'subjectAltName=...'; issue it again so, or use PathProfile.DIRECT"
)
NO_PUBLIC_CLIENTS = (
    "public CAs no longer issue certificates for clients: get one from the private CA of the server's operator"
)


def validity_refusal(certificate: ParsedCertificate, at: datetime) -> Refusal | None:
    """Return why *certificate* is outside its validity at *at*, or ``None``."""
    if at > certificate.not_after + REST_OF_SECOND:
        return Refusal(
            "path.expired",
            f"{certificate} expired at {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}, the time is "
            f"{at:%Y-%m-%dT%H:%M:%SZ}: renew it, or set the clock if that is wrong",
        )
    if at < certificate.not_before:
        return Refusal(
            "path.not-yet-valid",
            f"{certificate} is valid from {certificate.not_before:%Y-%m-%dT%H:%M:%SZ}, the time is "
            f"{at:%Y-%m-%dT%H:%M:%SZ}: set the clock of this machine or of the CA",
        )
    return None


def purpose_refusal(certificate: ParsedCertificate, purpose: Purpose) -> Refusal:
    """Return the refusal of an end entity whose extKeyUsage lacks *purpose*."""
    if purpose is Purpose.CLIENT:
        detail = (
            f"{certificate} is not for clients: its extKeyUsage lacks clientAuth (a certificate for servers was "
            f"presented by a client?); {NO_PUBLIC_CLIENTS}"
        )
    else:
        detail = (
            f"{certificate} is not for servers: its extKeyUsage lacks serverAuth; issue it with "
            "extendedKeyUsage=serverAuth"
        )
    return Refusal("path.extended-key-usage", detail)


def diagnose(
    candidate: Candidate, *, profile: PathProfile, purpose: Purpose, at: datetime, detail: str, links: Links
) -> Refusal:
    """Return the most telling reason why *candidate* was refused; *detail* is what the path engine said."""
    try:
        refusal = next((found for one in candidate if (found := validity_refusal(one, at)) is not None), None)
        if refusal is None and _is_much(candidate):
            refusal = links.refusal(candidate) or _invalid(candidate, profile, detail)
        if refusal is not None:
            return refusal
        for position, certificate in enumerate(candidate):
            refusal = _of_certificate(certificate, position, purpose)
            if refusal is not None:
                return refusal
        refusal = links.refusal(candidate)
        if refusal is not None:
            return refusal
        for certificate in candidate:
            unknown = certificate.critical - UNDERSTOOD
            if unknown:
                return Refusal("path.critical-extension", f"{certificate} has the critical extension {min(unknown)}")
        if any(one.extension(x509.NameConstraints) is not None for one in candidate[1:]):
            return Refusal("path.name-constraints", f"a CA of the path has nameConstraints: {detail}")
    except MalformedEvidence as error:
        return Refusal(error.code, str(error))
    return _invalid(candidate, profile, detail)


def _is_much(candidate: Candidate) -> bool:
    return sum(len(value) for one in candidate[:-1] for _, _, value in one.layout.extensions) > _DIAGNOSED


def _invalid(candidate: Candidate, profile: PathProfile, detail: str) -> Refusal:
    return Refusal("path.invalid", f"{candidate[0]} has no valid path under {profile.value}: {detail}")


def _of_certificate(certificate: ParsedCertificate, position: int, purpose: Purpose) -> Refusal | None:
    if certificate.version != 3:
        role = "certificate" if position == 0 else "CA certificate"
        return Refusal("path.version", f"{certificate} is an X.509 v{certificate.version} {role}: {V1_REMEDY}")
    if position == 0:
        constraints = certificate.extension(x509.BasicConstraints)
        if constraints is not None and constraints.ca:
            return Refusal("path.end-entity-is-ca", f"{certificate} is a CA certificate; present one that it issued")
    else:
        problem = ca_problem(certificate)
        if problem is not None:
            code = "path.key-usage" if problem.startswith("its keyUsage") else "path.basic-constraints"
            return Refusal(code, f"{certificate} cannot be a CA: {problem}")
        constraints = certificate.extension(x509.BasicConstraints)
        length = None if constraints is None else constraints.path_length
        if length is not None and length < position - 1:
            return Refusal(
                "path.basic-constraints", f"{certificate} allows {length} CAs below it (pathLen), the path has more"
            )
    return _usage(certificate, position, purpose)


def _usage(certificate: ParsedCertificate, position: int, purpose: Purpose) -> Refusal | None:
    usage = certificate.extension(x509.ExtendedKeyUsage)
    required = ExtendedKeyUsageOID.CLIENT_AUTH if purpose is Purpose.CLIENT else ExtendedKeyUsageOID.SERVER_AUTH
    if usage is not None and required not in usage:
        if position == 0:
            return purpose_refusal(certificate, purpose)
        if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usage:
            return Refusal(
                "path.extended-key-usage",
                f"the CA {certificate} may not issue for {purpose.value}s: its extKeyUsage lacks it",
            )
    return None


def no_candidate(
    presented: tuple[ParsedCertificate, ...], store: TrustStore, found: Search, profile: PathProfile
) -> Refusal:
    """Return why no candidate path was found at all."""
    end_entity = presented[0]
    if found.distrusted is not None:
        return Refusal("path.distrusted", f"the store distrusts the key of {found.distrusted}")
    if found.too_long:
        return Refusal("path.too-long", f"every path from {end_entity} to an anchor is longer than the limit")
    if store.peers:
        return Refusal(
            "path.not-registered",
            f"{end_entity} (sha256 {end_entity.sha256}) is not one of the {len(store.peers)} registered certificates",
        )
    if end_entity in store.anchors:
        return Refusal(
            "path.untrusted-self-signed",
            f"{end_entity} is itself a trust anchor: an anchor issues the peer's certificate and is not one; have it "
            "issue an end entity's certificate (basicConstraints CA:FALSE) for the peer",
        )
    if end_entity.self_signed:
        return Refusal(
            "path.untrusted-self-signed",
            f"{end_entity} is self-signed: have a CA issue it, or register it with TrustStore(peers=[...]) and "
            f"PathProfile.DIRECT",
        )
    if profile is PathProfile.DIRECT:
        return Refusal(
            "path.no-issuer", f"no anchor is named {end_entity.issuer}, and PathProfile.DIRECT follows no intermediates"
        )
    last = _top(presented)
    hint = "" if last is end_entity else f" (the peer's chain ends at {last})"
    return Refusal(
        "path.no-issuer",
        f"no certificate of the issuer {last.issuer} is at hand{hint}: an unknown CA, or a missing intermediate; let "
        f"the peer send it, or add it to the trust store",
    )


def _top(presented: tuple[ParsedCertificate, ...]) -> ParsedCertificate:
    """Return the last certificate that can be reached from the end entity by name, whatever the order of the others."""
    by_name = {one.layout.subject: one for one in sorted(presented[1:], key=lambda one: one.sha256)}
    last, seen = presented[0], {presented[0].der}
    while (above := by_name.get(last.layout.issuer)) is not None and above.der not in seen:
        last = above
        seen.add(above.der)
    return last
