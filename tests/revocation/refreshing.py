"""A CA with a real responder on loopback, clients that point to it, and refreshers that may go there."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mtlspolicy import Policy, PresentedChain, Resolver, TrustStore, Verifier, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._judgement import Judgement
from mtlspolicy._revocation import CRL, OCSP, CRLQuestion, CRLRule, OCSPQuestion, OCSPRule, RevocationAnswer
from mtlspolicy.revocation import CachedStatement, Refresher, ocsp_key
from mtlspolicy.revocation._destinations import Destinations
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.revocation.made import Entry, Made

NOT_REVOKED: Final = policies.NotRevoked()
MINUTE: Final = timedelta(minutes=1)
LIVENESS: Final = 20.0
"""Seconds in which what has to happen has happened, on a busy machine too."""


def port_of(url: str) -> int:
    """Return the port in a URL of a loopback server."""
    return int(url.rsplit(":", 1)[1].partition("/")[0])


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(condition: Callable[[], Any], seconds: float = LIVENESS) -> None:
    """Return as soon as *condition* holds.

    Raises:
        AssertionError: It did not in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


class Site:
    """One authority, its running responder, and its clients."""

    def __init__(self, authority: CertificateAuthority, responder: Any) -> None:
        self.authority = authority
        self.responder = responder
        self.port = port_of(responder.url)

    def client(self, name: str = "frodo", **options: Any) -> IssuedCertificate:
        """Return the certificate of a client that names the responder and the list."""
        return self.authority.issue_client(
            name, **{"ocsp_url": self.responder.url, "crl_url": self.responder.crl_url, **options}
        )

    def destinations(self, *ports: int, **options: Any) -> Destinations:
        """Return that loopback may be asked."""
        return Destinations(addresses=["127.0.0.0/8"], ports=[self.port, *ports], **options)

    def refresher(self, *ports: int, **options: Any) -> Refresher:
        """Return a refresher that may go to the responder, and to other ports here."""
        given: dict[str, Any] = {"destinations": self.destinations(*ports), **options}
        return Refresher(**given)

    def ocsp(self, leaf: IssuedCertificate, **rule: Any) -> OCSPQuestion:
        """Return the question about *leaf*."""
        return OCSPQuestion(ParsedCertificate(leaf.der), ParsedCertificate(self.authority.der), OCSPRule(**rule))

    def crl(self, leaf: IssuedCertificate, **rule: Any) -> CRLQuestion:
        """Return the same question for a CRL."""
        return CRLQuestion(ParsedCertificate(leaf.der), ParsedCertificate(self.authority.der), CRLRule(**rule))

    def judgement(self, leaf: IssuedCertificate, policy: Policy = NOT_REVOKED) -> Judgement:
        """Return the judgement on *leaf* under *policy*, by default NotRevoked."""
        trust = TrustStore(anchors=[self.authority.root])
        verifier = Verifier.for_clients(trust=trust, policy=policies.Anyone() & policy)
        return verifier.judgement(PresentedChain.parse(leaf.chain_pem))


@contextlib.contextmanager
def running(authority: CertificateAuthority | None = None) -> Iterator[Site]:
    """Run the responder of a new authority."""
    made = authority or CertificateAuthority("Root")
    with made.ocsp_responder() as responder:
        yield Site(made, responder)


def ask(refresher: Refresher, question: OCSPQuestion | CRLQuestion) -> RevocationAnswer:
    """Return the answer of a refresher with the standard library's HTTP."""
    kind = OCSP if isinstance(question, OCSPQuestion) else CRL
    answer = refresher.sources[kind](question).value
    assert isinstance(answer, RevocationAnswer)
    return answer


FORMER: Final[set[threading.Thread]] = set()
"""Threads that were there before the present test: a refresher of another one may wait for the collector."""


def threads(*names: str) -> Sequence[threading.Thread]:
    """Return the threads of refreshers that the present test has started and that are alive."""
    ours = names or ("mtlspolicy-renewals", "mtlspolicy-fetch")
    return [one for one in threading.enumerate() if one.name in ours and one not in FORMER]


def facts_of(resolver: Resolver, question: OCSPQuestion | CRLQuestion) -> RevocationAnswer | None:
    """Return what a resolver has at hand."""
    fact = resolver.at_hand([question.need]).get(question.need)
    return None if fact is None else fact.value


def key_of(site: Site, leaf: Any) -> str:
    """Return the key of the client's OCSP responses."""
    issuer, certificate = ParsedCertificate(site.authority.der), ParsedCertificate(leaf.der)
    return ocsp_key(issuer.layout.spki, certificate.layout.issuer, certificate.serial_number)


def response(site: Site, leaf: Any, age: timedelta = MINUTE, **parts: Any) -> bytes:
    """Return a response of the authority about *leaf*, so old."""
    at = datetime.now(UTC).replace(microsecond=0)
    entry = Entry(
        name=site.authority.certificate.subject.public_bytes(),
        spki=ParsedCertificate(site.authority.der).layout.spki,
        serial=leaf.certificate.serial_number,
        this_update=at - age,
        next_update=at + timedelta(hours=1),
        **parts,
    )
    return Made((entry,), signer=site.authority, produced_at=at - age).encoded()


def statement(data: bytes, age: timedelta = MINUTE) -> CachedStatement:
    """Return *data* as a cache has it."""
    at = datetime.now(UTC).replace(microsecond=0)
    return CachedStatement(data, at - age, at + timedelta(hours=1))
