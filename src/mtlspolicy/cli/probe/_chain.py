"""Says what a server's chain as sent is worth: its order, what is missing or too much, what is old or weak.

Pure: the chain, the trust and the time are arguments. Whether it is accepted is our verifier's decision alone; the rest
says what other clients would stumble over, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlspolicy._certificate import ParsedCertificate, issued_by
from mtlspolicy._decision import Decision
from mtlspolicy._keys import weakness
from mtlspolicy._text import escape
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.cli._report import report
from mtlspolicy.cli.probe._seen import Chain
from mtlspolicy.errors import MalformedEvidence, VerificationError

SOON: Final = timedelta(days=14)
"""A certificate that ends within it should have been renewed; one with a short life, within a third of its life."""
_BROKEN: Final = frozenset({"md5", "sha1"})
_CA_ISSUERS: Final = AuthorityInformationAccessOID.CA_ISSUERS

Problem = tuple[str, str]
"""The code of a finding, and what was found, in a sentence."""


def read_chain(ders: Sequence[bytes], verifier: Verifier, at: datetime) -> Chain:
    """Return what is to be said of a chain.

    Args:
        ders: What the server sent, DER, in its order; possession was shown in the handshake that it came from.
        verifier: Of servers, with the trust and the name that is meant.
        at: The time, aware.
    """
    found: list[ParsedCertificate] = []
    for number, der in enumerate(ders, 1):
        certificate = ParsedCertificate(der)
        try:
            _ = certificate.certificate, certificate.layout
        except MalformedEvidence as error:
            return Chain((), (), None, (("probe.chain-unreadable", f"certificate {number}: {error}"),))
        found.append(certificate)
    if not found:
        return Chain((), (), None, (("probe.chain-none", "the server sent no certificate that could be seen"),))
    decision, issuer = _verified(found, verifier, at)
    problems = tuple(_problems(found, verifier.trust_now(), decision, at))
    return Chain(tuple(found), tuple(report(one, at) for one in found), decision, problems, issuer)


def _verified(
    chain: Sequence[ParsedCertificate], verifier: Verifier, at: datetime
) -> tuple[Decision, ParsedCertificate | None]:
    ders = tuple(dict.fromkeys(one.der for one in chain))
    try:
        peer = verifier.verify(ders, at=at)
    except VerificationError as error:
        return error.decision, None
    path = peer.path.certificates
    return peer.decision, path[1] if len(path) > 1 else None


def _problems(
    chain: Sequence[ParsedCertificate], trust: TrustStore, decision: Decision, at: datetime
) -> Iterator[Problem]:
    if not decision:
        yield "probe.unverified", f"{decision.decisive.code}: {decision.decisive.detail or decision.detail}"
    linked = _linked(chain)
    yield from _order(chain, linked)
    yield from _completeness(linked, trust)
    for number, certificate in enumerate(chain, 1):
        yield from _of_one(certificate, number, at)


def _linked(chain: Sequence[ParsedCertificate]) -> list[ParsedCertificate]:
    """Return the certificates that follow from the first one, each the issuer of the one before it.

    By signature; of a root the name is enough, since many old ones carry a signature of SHA-1 that nobody verifies.
    """
    linked = [chain[0]]
    others = [one for one in dict.fromkeys(chain) if one != chain[0]]
    while others and not linked[-1].self_signed:
        last = linked[-1]
        roots = [one for one in others if one.self_issued and one.layout.subject == last.layout.issuer]
        following = next((one for one in others if issued_by(last, one)), next(iter(roots), None))
        if following is None:
            break
        linked.append(following)
        others.remove(following)
    return linked


def _order(chain: Sequence[ParsedCertificate], linked: list[ParsedCertificate]) -> Iterator[Problem]:
    unique = list(dict.fromkeys(chain))
    if len(unique) < len(chain):
        yield "probe.chain-duplicate", f"{len(chain) - len(unique)} certificates were sent twice"
    extra = [one for one in unique if one not in linked]
    if extra:
        yield "probe.chain-extra", f"{_numbers(chain, extra)} not part of the chain: {_subjects(extra)}"
    in_chain = [one for one in unique if one in linked]
    if in_chain != linked:
        places = ", ".join(str(chain.index(one) + 1) for one in linked)
        yield "probe.chain-order", f"each certificate must be followed by its issuer; the right order is {places}"
    roots = [one for one in linked[1:] if one.self_issued]
    if roots:
        yield "probe.root-sent", f"{_subjects(roots)} was sent, which every client must have already"


def _numbers(chain: Sequence[ParsedCertificate], some: Sequence[ParsedCertificate]) -> str:
    numbers = ", ".join(str(chain.index(one) + 1) for one in some)
    return f"certificate {numbers} is" if len(some) == 1 else f"certificates {numbers} are"


def _subjects(some: Sequence[ParsedCertificate]) -> str:
    return "; ".join(str(one) for one in some)


def _completeness(linked: list[ParsedCertificate], trust: TrustStore) -> Iterator[Problem]:
    last = linked[-1]
    anchors = trust.anchors
    if any(one in anchors or _is_below(one, trust) for one in linked):
        return
    if last.self_issued:
        return  # a root that is not trusted: the decision says so
    where = _ca_issuers(last)
    place = f"; it says where that is: {where}" if where else ""
    known = any(issued_by(last, one) for one in trust.intermediates_named(last.layout.issuer))
    had = ", which only clients have that know it already" if known else ""
    yield (
        "probe.chain-incomplete",
        f"the issuer of {last}, {last.issuer}, was not sent{had}, and is no trust anchor here{place}",
    )


def _is_below(certificate: ParsedCertificate, trust: TrustStore) -> bool:
    return any(issued_by(certificate, anchor) for anchor in trust.anchors_named(certificate.layout.issuer))


def _ca_issuers(certificate: ParsedCertificate) -> str:
    try:
        access = certificate.extension(x509.AuthorityInformationAccess)
    except MalformedEvidence:
        return ""
    places = [
        one.access_location.value
        for one in access or ()
        if one.access_method == _CA_ISSUERS and isinstance(one.access_location, x509.UniformResourceIdentifier)
    ]
    return escape(places[0], 256) if places else ""


def _of_one(certificate: ParsedCertificate, number: int, at: datetime) -> Iterator[Problem]:
    name = f"certificate {number} ({certificate})"
    try:
        if at > certificate.not_after:
            yield "probe.expired", f"{name} expired at {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}"
        elif at < certificate.not_before:
            yield "probe.not-yet-valid", f"{name} is valid from {certificate.not_before:%Y-%m-%dT%H:%M:%SZ} on"
        elif certificate.not_after - at < min(SOON, (certificate.not_after - certificate.not_before) / 3):
            left = (certificate.not_after - at) // timedelta(days=1)
            yield "probe.expires-soon", f"{name} expires in {left} days, at {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}"
        weak = weakness(certificate)
        if weak is not None:
            yield "probe.weak-certificate", f"{name} has {weak}"
        digest = _digest(certificate)
        if digest in _BROKEN and not certificate.self_issued:
            yield "probe.weak-certificate", f"{name} is signed with {digest.upper()}"
        if number == 1 and not certificate.names.has_san:
            yield "probe.no-san", f"{name} has no subjectAltName, and clients look nowhere else (RFC 9525)"
    except MalformedEvidence as error:
        yield "probe.chain-unreadable", f"{name}: {error}"


def _digest(certificate: ParsedCertificate) -> str:
    try:
        digest = certificate.certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "unknown"
    return "" if digest is None else digest.name
