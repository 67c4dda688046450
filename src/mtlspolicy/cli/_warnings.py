"""What a person should know about a certificate before using it: version, validity, strength, names and purpose.

Advice, not a decision: whether a chain is accepted is said by ``explain``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._keys import weakness
from mtlspolicy._path_diagnosis import V1_REMEDY, purpose_refusal, validity_refusal
from mtlspolicy._path_rules import serial_refusal
from mtlspolicy._profile import Purpose
from mtlspolicy._text import quoted
from mtlspolicy._trust_roles import TEST_CA_OID, ca_problem
from mtlspolicy.cli._report import purposes
from mtlspolicy.errors import MalformedEvidence

_BROKEN_DIGESTS: Final = frozenset({"md5", "sha1"})
_TLS_PURPOSES: Final = frozenset({"serverAuth", "clientAuth", "anyExtendedKeyUsage"})


def warnings_on(certificate: ParsedCertificate, *, at: datetime, role: str | None) -> list[str]:
    """Return sentences on what is doubtful or wrong, printable, most serious kinds first.

    Args:
        certificate: Whose contents are judged.
        at: The time, aware.
        role: ``client``, ``server``, or ``None``: not known.
    """
    found: list[str] = []
    for sentences in (
        _version(certificate), _names(certificate, role), _strength(certificate), _basics(certificate),
        _validity(certificate, at), _purpose(certificate, role),
    ):  # fmt: skip
        try:
            found.extend(sentences)  # what comes before a part that cannot be read stays
        except MalformedEvidence as error:
            found.append(str(error))
    return list(dict.fromkeys(found))


def _version(certificate: ParsedCertificate) -> Iterator[str]:
    if certificate.version != 3:
        yield f"an X.509 v{certificate.version} certificate, which has no extensions: {V1_REMEDY}"
    refusal = serial_refusal(certificate)
    if refusal is not None:
        yield refusal.detail


def _names(certificate: ParsedCertificate, role: str | None) -> Iterator[str]:
    names = certificate.names
    if names.hostile is not None:
        yield f"the name {quoted(names.hostile)} holds control or format characters: such a peer is always refused"
    if names.unreadable:
        yield f"names that cannot be read, of these kinds: {', '.join(sorted(names.unreadable))}; they match nothing"
    if len(names.common_names) > 1:
        yield f"{len(names.common_names)} common names: a policy that needs exactly one does not match"
    may_serve = role == "server" or (role is None and _may_serve(certificate))
    if may_serve and not names.has_san and certificate.version == 3 and not _is_ca(certificate):
        yield "no subjectAltName: clients take a server's name from nowhere else (RFC 9525, section 4.1)"


def _may_serve(certificate: ParsedCertificate) -> bool:
    """Return whether its purposes allow a server; one that states none, or cannot be read, might be anything."""
    try:
        allowed = purposes(certificate)
    except MalformedEvidence:
        return True
    return allowed is None or not {"serverAuth", "anyExtendedKeyUsage"}.isdisjoint(allowed)


def _strength(certificate: ParsedCertificate) -> Iterator[str]:
    weak = weakness(certificate)
    if weak is not None:
        yield f"it has {weak}"
    elif certificate.key_sha256 != certificate.spki_sha256:
        yield "the key is not encoded in the canonical way: its pin as a peer and its pin as an issuer differ"
    try:
        digest = certificate.certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        yield "it is signed with an algorithm that is not known here"
        return
    if digest is not None and digest.name in _BROKEN_DIGESTS and not certificate.self_signed:
        yield f"it is signed with {digest.name.upper()}, which can be forged: have it issued again with SHA-256"


def _basics(certificate: ParsedCertificate) -> Iterator[str]:
    if _is_ca(certificate):
        problem = ca_problem(certificate)
        if problem is not None:
            yield f"it cannot be a CA: {problem}"
    if any(oid == TEST_CA_OID.dotted_string for oid, _, _ in certificate.layout.extensions):
        yield "a test CA of mtlspolicy.testing: never trust it outside tests"


def _validity(certificate: ParsedCertificate, at: datetime) -> Iterator[str]:
    refusal = validity_refusal(certificate, at)
    if refusal is not None:
        yield refusal.detail


def _purpose(certificate: ParsedCertificate, role: str | None) -> Iterator[str]:
    if certificate.version != 3:
        return
    if _is_ca(certificate):
        if role is not None:
            yield f"a CA certificate, which no {role} may present as its own"
        return
    allowed = purposes(certificate)
    if allowed is None:
        yield "no extKeyUsage: many verifiers refuse that; have it issued with serverAuth or clientAuth"
    elif role is not None and f"{role}Auth" not in allowed:
        yield purpose_refusal(certificate, Purpose(role)).detail
    elif not _TLS_PURPOSES & set(allowed):
        yield f"extKeyUsage allows neither clients nor servers, only {', '.join(allowed)}"


def _is_ca(certificate: ParsedCertificate) -> bool:
    constraints = certificate.extension(x509.BasicConstraints)
    return constraints is not None and constraints.ca


def chain_warnings(certificates: Sequence[ParsedCertificate]) -> list[str]:
    """Return what is wrong with the order of a file that begins with an end entity; nothing for a list of CAs."""
    try:
        if _is_ca(certificates[0]):
            return []
    except MalformedEvidence:
        return []  # said of the certificate itself
    return [
        f"certificate {number + 1} ({above}) is not the issuer of certificate {number}: a chain goes upwards, each "
        "followed by the CA that issued it"
        for number, (below, above) in enumerate(pairwise(certificates), 1)
        if below.layout.issuer != above.layout.subject
    ]
