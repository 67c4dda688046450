"""Validates certification paths (RFC 5280, section 6) under a named profile: presented chain and trust in, paths out.

Policies are not asked here. Several paths may be valid; they come one at a time, in an order that the peer cannot
choose.
Deliberately not done: revocation (a policy), policy OID processing, building paths from fetched certificates.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import Limits
from mtlspolicy._constraints import subject_email_violation
from mtlspolicy._path_diagnosis import diagnose, no_candidate
from mtlspolicy._path_direct import direct_refusal
from mtlspolicy._path_engines import PathEngine, path_engine_named
from mtlspolicy._path_links import Links
from mtlspolicy._path_rules import (
    SERIAL_LIMIT,
    Refusal,
    comparisons_refusal,
    end_entity_refusal,
    issuer_refusal,
    key_usage_refusal,
    malformed,
    serial_refusal,
    unconstrained,
)
from mtlspolicy._path_search import Search, search
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._profile import PathProfile, Purpose
from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import MalformedEvidence

__all__ = ["CertificationPath", "PathProfile", "Purpose", "Refusal", "Rules", "validate_paths", "warm_up"]

TOO_MANY = Refusal(
    "path.too-many", "more candidate paths than are tried; send one chain, or remove cross certificates from the store"
)


class Rules:
    """What paths are validated under: profile, purpose, limits and path engine."""

    __slots__ = ("failure", "limits", "path_engine", "profile", "profile_name", "purpose")

    def __init__(
        self, profile: PathProfile, purpose: Purpose, limits: Limits, path_engine: str = "cryptography"
    ) -> None:
        self.profile: PathProfile = profile
        self.profile_name: str = str(getattr(profile, "value", profile))  # what is no profile the verifier refuses
        self.purpose: Purpose = purpose
        self.limits: Limits = limits
        self.path_engine: str = path_engine
        self.failure: PathEngine = path_engine_named(path_engine, profile)


def validate_paths(
    presented: tuple[ParsedCertificate, ...], store: TrustStore, rules: Rules, at: datetime
) -> Iterator[CertificationPath | Refusal]:
    """Yield each valid path of the first certificate of *presented*, and a `Refusal` for each other candidate.

    Args:
        presented: End entity first; the order of the others does not matter. Within the limits already.
        store: What is trusted.
        rules: Profile, purpose and limits.
        at: Aware time of the validation.

    At least one item is yielded, and nothing is raised for what the peer presented.
    """
    try:
        found = _before_search(presented, store, rules) or _search(presented, store, rules)
    except MalformedEvidence as error:
        found = malformed(error)
    if isinstance(found, Refusal):
        yield found
        return
    if not found.candidates:
        yield no_candidate(presented, store, found, rules.profile)
    alone = len(found.candidates) == 1 and not found.truncated
    links = None if alone else Links()
    direct, name = rules.profile is PathProfile.DIRECT, rules.profile_name
    for number, candidate in enumerate(found.candidates):
        path = CertificationPath(candidate, name, alone=alone)
        try:
            refusal = _issuers_refusal(path, links if number and not direct else None)
            refusal = refusal or _path_refusal(path, store, rules, at=at, links=links)
        except MalformedEvidence as error:
            refusal = malformed(error)
        yield refusal or path
    if found.truncated:
        yield TOO_MANY


def warm_up(store: TrustStore, rules: Rules, at: datetime) -> None:
    """Have the path engine do what its first validation would do besides, so that no peer waits for it.

    An anchor is validated as if it were an end entity below itself, and the answer is thrown away.
    """
    for anchor in store.anchors[:1]:
        anchor.self_signed  # noqa: B018 - verifies a signature, the first of which loads the algorithm
        if rules.profile is not PathProfile.DIRECT:
            rules.failure((anchor, anchor), profile=rules.profile, purpose=rules.purpose, at=at, memo=store.engine_memo)


def _before_search(presented: tuple[ParsedCertificate, ...], store: TrustStore, rules: Rules) -> Refusal | None:
    for certificate in presented:
        certificate.layout  # noqa: B018 - writes the serial number
        if not 0 < certificate.serial_number < SERIAL_LIMIT:
            return serial_refusal(certificate)
    if rules.profile is PathProfile.DIRECT and store.direct_problem is not None:
        return Refusal("path.name-constraints", store.direct_problem)
    return end_entity_refusal(presented[0], rules.limits)


def _search(presented: tuple[ParsedCertificate, ...], store: TrustStore, rules: Rules) -> Search:
    limits = rules.limits
    if rules.profile is not PathProfile.DIRECT:
        return search(presented, store, longest=limits.path, most=limits.paths)
    end_entity = presented[0]
    if end_entity.der in store.registered and not store.distrusts(end_entity):
        return Search(((end_entity,),), truncated=False, distrusted=None, too_long=False)
    found = search((end_entity,), store, longest=2, most=limits.paths)
    return found._replace(too_long=False)


def _issuers_refusal(path: CertificationPath, links: Links | None) -> Refusal | None:
    """Return what refuses *path* before the path engine is asked; *links* for candidates after the first.

    The usual peer has one candidate, whose signatures are verified once, by the engine. What more a peer causes is
    verified here first, so that junk costs one signature each and not as many as a path is long.
    """
    for certificate in path.certificates[1:]:
        refusal = None if certificate.sound_issuer else issuer_refusal(certificate)
        if refusal is not None:
            return refusal
    return None if links is None else links.refusal(path.certificates)


def _path_refusal(
    path: CertificationPath, store: TrustStore, rules: Rules, *, at: datetime, links: Links | None
) -> Refusal | None:
    candidate = path.certificates
    if rules.profile is PathProfile.DIRECT:
        return direct_refusal(candidate, purpose=rules.purpose, at=at)
    if unconstrained(candidate):
        path.__dict__["name_constraints"] = ()  # so that nobody looks again
    else:
        refusal = comparisons_refusal(candidate)
        if refusal is not None:
            return refusal
    text = rules.failure(candidate, profile=rules.profile, purpose=rules.purpose, at=at, memo=store.engine_memo)
    if text is not None:
        known = links or Links()
        return diagnose(candidate, profile=rules.profile, purpose=rules.purpose, at=at, detail=text, links=known)
    if path.name_constraints:
        violation = subject_email_violation(path)
        if violation is not None:
            return Refusal("path.name-constraints", violation)
    # WEBPKI is what the engine's rules are, as they come
    return key_usage_refusal(candidate[0], rules.purpose) if rules.profile is PathProfile.PRIVATE_PKI else None
