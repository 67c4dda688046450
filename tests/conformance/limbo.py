"""Runs a case of x509-limbo through a verifier of ours, and through `cryptography`'s own for comparison."""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from mtlspolicy import (
    Decision,
    Limits,
    MTLSPolicyError,
    PathProfile,
    Policy,
    PresentedChain,
    TrustStore,
    Verdict,
    Verifier,
    policies,
)
from mtlspolicy._path import CertificationPath, Purpose, Rules, validate_paths
from mtlspolicy._verifier_rules import references_of

Case: TypeAlias = Mapping[str, Any]
WIDE = Limits(certificates=100, path=20, certificate_bytes=2**20, chain_bytes=2**22, names=100_000)
"""Limits that no case meets: what is compared with the raw verifier, which has none."""


def moment(case: Case) -> datetime:
    """Return the time of validation; cases that have none are for now."""
    text = case["validation_time"]
    return datetime.now(UTC) if text is None else datetime.fromisoformat(text)


def chain(case: Case) -> bytes:
    """Return the presented chain, PEM."""
    return "\n".join([case["peer_certificate"], *case["untrusted_intermediates"]]).encode()


def store(case: Case) -> TrustStore:
    """Return the trusted certificates."""
    return TrustStore(anchors=[pem.encode() for pem in case["trusted_certs"]])


def limits(case: Case, base: Limits) -> Limits:
    """Return *base* with the case's own length of a path: limbo counts the intermediates, we the certificates."""
    depth = case["max_chain_depth"]
    path = base.path if depth is None else min(base.path, depth + 2)
    return Limits(base.certificates, path, base.certificate_bytes, base.chain_bytes, base.names, base.paths)


def policy(case: Case) -> Policy:
    """Return the policy of a client case: the name that must be found, or anyone of a private CA."""
    name = case["expected_peer_name"]
    if name is None:
        return policies.Anyone()
    return policies.DNSName(name["value"]) if name["kind"] == "DNS" else policies.IPAddressName(name["value"])


def verifier(case: Case, profile: PathProfile) -> Verifier:
    """Return the verifier for *case* as a user would build it, with the default limits."""
    bounds = limits(case, Limits())
    if case["validation_kind"] == "SERVER":
        expected = case["expected_peer_name"]["value"]
        return Verifier.for_servers(trust=store(case), expected=expected, profile=profile, limits=bounds)
    return Verifier.for_clients(trust=store(case), policy=policy(case), profile=profile, limits=bounds)


def decide(case: Case, profile: PathProfile) -> Decision | MTLSPolicyError:
    """Return the decision on *case*, or the error where such a verifier cannot be built."""
    try:
        ours = verifier(case, profile)
    except MTLSPolicyError as error:
        return error
    return ours.decide(chain(case), at=moment(case))


def path_accepts(case: Case, profile: PathProfile) -> bool:
    """Return whether a path is valid and the expected name matches: without limits, and without policies on names."""
    purpose = Purpose.SERVER if case["validation_kind"] == "SERVER" else Purpose.CLIENT
    try:
        presented = PresentedChain.parse(chain(case), limits=WIDE).certificates
        rules = Rules(profile, purpose, limits(case, WIDE))
        found = list(validate_paths(presented, store(case), rules, moment(case)))
        if not any(isinstance(one, CertificationPath) for one in found):
            return False
        if purpose is Purpose.CLIENT:
            return True
        (reference,) = references_of(case["expected_peer_name"]["value"], profile)
        return reference.match(presented[0].names)[0] is Verdict.PERMIT
    except MTLSPolicyError:
        return False


def raw_accepts(case: Case) -> bool:
    """Return whether `cryptography`'s verifier accepts *case* with its defaults, by the case's own kind."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # serial numbers of zero, which it still reads
            return _raw_accepts(case)
    except (VerificationError, ValueError, TypeError):
        return False


def _raw_accepts(case: Case) -> bool:
    trusted = [x509.load_pem_x509_certificate(pem.encode()) for pem in case["trusted_certs"]]
    known = [x509.load_pem_x509_certificate(pem.encode()) for pem in case["untrusted_intermediates"]]
    peer = x509.load_pem_x509_certificate(case["peer_certificate"].encode())
    builder = PolicyBuilder().store(Store(trusted)).time(moment(case).astimezone(UTC).replace(tzinfo=None))
    if case["max_chain_depth"] is not None:
        builder = builder.max_chain_depth(case["max_chain_depth"])
    if case["validation_kind"] == "CLIENT":
        builder.build_client_verifier().verify(peer, known)
        return True
    name = case["expected_peer_name"]
    address = name["kind"] == "IP"
    subject = x509.IPAddress(ipaddress.ip_address(name["value"])) if address else x509.DNSName(name["value"])
    builder.build_server_verifier(subject).verify(peer, known)
    return True
