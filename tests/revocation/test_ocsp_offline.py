"""Responses at hand: as facts for `Verifier.verify`, and as the source of a resolver, at real connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlspolicy import (
    Policy,
    PolicyDenied,
    PolicyIndeterminate,
    Resolver,
    RevocationStatus,
    TrustStore,
    Verifier,
    policies,
    tls,
)
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._resolver import Answer
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import OCSP, _offline, responses_source
from mtlspolicy.revocation import best_answer as best
from mtlspolicy.revocation import facts as facts_of
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.revocation.made import (
    AT,
    FRODO,
    HOUR,
    ROOT,
    SAM,
    UNKNOWN,
    Entry,
    Made,
    about,
    by_delegate,
    delegate,
    error,
    question,
    revoked,
)

NOT_REVOKED: Final = policies.NotRevoked()
SOFT: Final = policies.NotRevoked(soft=True)
GOOD: Final = Made().encoded()
REVOKED: Final = Made().saying(status=revoked()).encoded()
OLDER_GOOD: Final = Made(produced_at=AT - 2 * HOUR).saying(this_update=AT - 2 * HOUR).encoded()


def verifier(policy: Policy = NOT_REVOKED, ca: CertificateAuthority = ROOT) -> Verifier:
    """Return a verifier of clients, whoever they are, under a further policy."""
    return Verifier.for_clients(trust=TrustStore(anchors=[ca.root]), policy=policies.Anyone() & policy)


def outcome(responses: Sequence[bytes], policy: Policy = NOT_REVOKED) -> tuple[str, str]:
    """Return verdict and code for frodo with these responses at hand."""
    judge = verifier(policy)
    known = facts_of(judge, FRODO.chain_pem, responses=responses, at=AT)
    decision = judge.decide(FRODO.chain_pem, at=AT, facts=known)
    return decision.verdict.name, decision.code


@pytest.mark.parametrize(
    ("responses", "wanted"),
    [
        ([GOOD], ("PERMIT", "ocsp.good")),
        ([REVOKED], ("DENY", "ocsp.revoked")),
        ([Made().saying(status=UNKNOWN).encoded()], ("INDETERMINATE", "ocsp.unknown")),
        ([], ("INDETERMINATE", "ocsp.unavailable")),
        ([error(3)], ("INDETERMINATE", "ocsp.unavailable")),
        ([b"garbage", Made().saying(serial=7).encoded(), GOOD], ("PERMIT", "ocsp.good")),
        ([GOOD, REVOKED], ("DENY", "ocsp.revoked")),
        ([Made(spoilt=True).encoded()], ("INDETERMINATE", "ocsp.unavailable")),
    ],
)
def test_verify_with_responses(responses: list[bytes], wanted: tuple[str, str]) -> None:
    """`facts` answers what the verifier's policy asks about a chain; soft admits on UNAVAILABLE alone."""
    decided = outcome(responses)
    assert decided[0] == wanted[0]
    assert decided[1] == ("policy.all" if wanted[1] == "ocsp.good" else wanted[1])
    soft = outcome(responses, SOFT)
    assert soft[0] == ("PERMIT" if wanted[1] == "ocsp.unavailable" else wanted[0])


def test_verify_admits_and_refuses() -> None:
    """The target: `Verifier.verify(chain, facts=...)`."""
    judge = verifier()
    good = facts_of(judge, FRODO.chain_pem, responses=[GOOD], at=AT)
    assert judge.verify(FRODO.chain_pem, at=AT, facts=good).common_name == "frodo"
    with pytest.raises(PolicyDenied) as denied:
        judge.verify(FRODO.chain_pem, at=AT, facts=facts_of(judge, FRODO.chain_pem, responses=lambda: [REVOKED], at=AT))
    assert (denied.value.code, denied.value.tls_alert) == ("ocsp.revoked", "certificate_revoked")
    with pytest.raises(PolicyIndeterminate) as open_:
        judge.verify(FRODO.chain_pem, at=AT)
    assert (open_.value.http_status, open_.value.retryable) == (503, True)


def test_the_issuer_comes_from_the_path() -> None:
    """THREATS 5, a session without a chain: what is asked names the issuer of the validated path, not one presented."""
    authority = ROOT.intermediate("Issuing", not_before=AT - HOUR, not_after=AT + HOUR)
    leaf = authority.issue_client("frodo", not_before=AT - HOUR, not_after=AT + HOUR)
    trust = TrustStore(anchors=[ROOT.certificate], intermediates=[authority.certificate])
    judge = Verifier.for_clients(trust=trust, policy=policies.Anyone() & NOT_REVOKED)
    asked: list[Any] = [need.key for need in facts_of(judge, leaf.certificate_pem, responses=[], at=AT)]
    assert [key.issuer.der for key in asked] == [authority.der, ROOT.der]


def test_a_whole_path_is_asked_about() -> None:
    """Each certificate but the anchor needs its response; the issuing CA's comes from the root."""
    authority = ROOT.intermediate("Issuing", not_before=AT - HOUR, not_after=AT + HOUR)
    leaf = authority.issue_client("frodo", not_before=AT - HOUR, not_after=AT + HOUR)
    own = Made(
        (
            Entry(
                name=authority.certificate.subject.public_bytes(),
                spki=ParsedCertificate(authority.der).layout.spki,
                serial=leaf.certificate.serial_number,
            ),
        ),
        signer=authority,
    ).encoded()
    above = Made().saying(serial=authority.certificate.serial_number)
    judge = verifier()
    for responses, code in (
        ([own, above.encoded()], "PERMIT"),
        ([own], "INDETERMINATE"),
        ([own, above.saying(status=revoked()).encoded()], "DENY"),
    ):
        known = facts_of(judge, leaf.chain_pem, responses=responses, at=AT)
        assert len(known) == 2
        assert judge.decide(leaf.chain_pem, at=AT, facts=known).verdict.name == code


@pytest.mark.parametrize("chain", [b"garbage", bytes(100_000), SAM.chain_pem])
def test_no_facts_where_nothing_is_asked(chain: bytes) -> None:
    """A chain that cannot be read, and a policy that asks nothing, have no facts."""
    assert len(facts_of(verifier(policies.Anyone()), chain, responses=[GOOD], at=AT)) == 0


def test_a_policy_that_asks_for_ever_is_left_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fixed number of rounds no further question is answered."""
    monkeypatch.setattr(_offline, "ROUNDS", 1)
    assert len(facts_of(verifier(), FRODO.chain_pem, responses=[GOOD], at=AT)) == 1


def test_needs_of_other_kinds_are_left_alone() -> None:
    """Only questions about revocation are answered; now is the time where none is given."""

    @policies.lookup("acme.row", key=lambda path: path.end_entity.sha256)
    def row(value: Any, evidence: Any) -> bool:
        """Is it there?"""
        del evidence
        return bool(value)

    assert len(facts_of(verifier(row), FRODO.chain_pem, responses=[GOOD], at=AT)) == 0
    fresh = CertificateAuthority("Root")
    leaf = fresh.issue_client("frodo")
    assert len(facts_of(verifier(NOT_REVOKED, fresh), leaf.chain_pem, responses=[])) == 1


@pytest.mark.parametrize("responses", [GOOD, "file.der", bytearray(GOOD), ["file.der"], [GOOD, None]])
def test_responses_are_a_list_of_bytes(responses: Any) -> None:
    """What is no list of bytes is refused with what to give."""
    with pytest.raises(ConfigurationError, match="responses"):
        facts_of(verifier(), FRODO.chain_pem, responses=responses, at=AT)
    with pytest.raises(ConfigurationError, match="responses"):
        responses_source(responses)


OLD_REVOKED: Final = Made().saying(status=revoked(), this_update=AT - 30 * HOUR).encoded()
OLDER_HELD: Final = Made().saying(status=revoked(reason=6), this_update=AT - 2 * HOUR).encoded()
HELD: Final = Made().saying(status=revoked(reason=6)).encoded()
CONTRADICTORY: Final = Made((Entry(), Entry(status=revoked()))).encoded()


@pytest.mark.parametrize(
    ("responses", "code"),
    [
        ([GOOD, OLDER_GOOD], "ocsp.good"),
        ([OLDER_GOOD, REVOKED], "ocsp.revoked"),
        ([OLD_REVOKED, GOOD], "ocsp.revoked"),
        ([HELD, OLDER_GOOD], "ocsp.revoked"),
        ([HELD, GOOD], "ocsp.revoked"),
        ([OLDER_HELD, GOOD], "ocsp.good"),
        ([Made().saying(status=UNKNOWN).encoded(), OLDER_GOOD], "ocsp.unknown"),
        ([CONTRADICTORY, GOOD], "ocsp.contradictory"),
        ([CONTRADICTORY, REVOKED], "ocsp.revoked"),
        ([b"", Made().saying(serial=7).encoded()], "ocsp.absent"),
        ([Made().saying(serial=7).encoded(), error(6)], "ocsp.unauthorized"),
        ([], "ocsp.absent"),
    ],
)  # fmt: skip
def test_of_several_responses_the_newest_counts_and_a_revocation_above_all(responses: list[bytes], code: str) -> None:
    """An older GOOD beside REVOKED hides nothing, in either order; a hold that a newer answer has lifted is lifted."""
    for order in (responses, responses[::-1]):
        assert best(question(), order, at=AT).code == code


def test_a_delegate_is_not_excused_by_a_response_about_it() -> None:
    """Whatever else is at hand, the word of a delegate without nocheck is a claim: its own status is asked apart."""
    helper = delegate(extensions=[])
    response = by_delegate(helper).encoded()
    about_it = Made((about(helper, ROOT),)).encoded()
    assert best(question(helper), [about_it], at=AT).code == "ocsp.good"
    for order in ([response, about_it], [about_it, response]):
        assert best(question(), order, at=AT).code == "ocsp.delegate-revocation"
    named = question(responders=(ParsedCertificate(helper.der),))
    assert best(named, [response], at=AT).code == "ocsp.good"


def test_the_source_says_how_long_its_answers_live() -> None:
    """GOOD of a fixed list lives until nextUpdate, its age from thisUpdate on; what may change is kept briefly."""
    ca = CertificateAuthority("Root")
    leaf = ca.issue_client("frodo")
    asked = question(leaf, ca)
    now = datetime.now(UTC).replace(microsecond=0)
    good = responses_source([signed(ca, leaf, ocsp.OCSPCertStatus.GOOD)])(asked)
    assert isinstance(good, Answer)
    assert good.obtained_at == good.value.this_update
    assert good.keep is not None
    assert 0 < good.keep <= 3600 + 300
    current = responses_source(lambda: [signed(ca, leaf, ocsp.OCSPCertStatus.GOOD)])(asked)
    assert (current.value.code, current.keep) == ("ocsp.good", 1.0)
    endless = responses_source([signed(ca, leaf, ocsp.OCSPCertStatus.GOOD, until=None)])(asked)
    assert (endless.value.code, endless.keep) == ("ocsp.good", None)
    gone = responses_source([signed(ca, leaf, ocsp.OCSPCertStatus.REVOKED)])(asked)
    assert (gone.value.status, gone.keep) == (RevocationStatus.REVOKED, None)
    assert gone.obtained_at is not None
    assert gone.obtained_at >= now
    none = responses_source([])(asked)
    assert (none.value.code, none.keep) == ("ocsp.absent", 1.0)


def test_the_source_answers_questions_about_revocation_alone() -> None:
    """Registered under another kind it would be asked other things, which it refuses."""
    with pytest.raises(ConfigurationError, match="OCSPQuestion"):
        responses_source([])("sha256")


# at connections, now


def signed(
    ca: CertificateAuthority,
    leaf: IssuedCertificate,
    status: ocsp.OCSPCertStatus,
    until: timedelta | None = HOUR,
) -> bytes:
    """Return a response of now, as `cryptography` builds it, by a delegate of *ca*."""
    now = datetime.now(UTC).replace(microsecond=0)
    gone = status is ocsp.OCSPCertStatus.REVOKED
    helper = delegate(ca, not_before=None, not_after=None)
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            leaf.certificate, ca.certificate, hashes.SHA1(), status, now, None if until is None else now + until,  # noqa: S303 - a CertID
            now if gone else None, x509.ReasonFlags.key_compromise if gone else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, helper.certificate)
        .certificates([helper.certificate])
    )  # fmt: skip
    return builder.sign(helper.key, hashes.SHA256()).public_bytes(Encoding.DER)


class Site:
    """A CA, a server, four clients, and the responses that are at hand, which a test may change."""

    def __init__(self) -> None:
        self.ca = CertificateAuthority("Root")
        self.leaves = {name: self.ca.issue_client(name) for name in ("good", "revoked", "unknown", "nobody")}
        server = self.ca.issue_server("localhost")
        self.credential = tls.Credential.of(server.chain, server.key)
        self.responses = [signed(self.ca, self.leaves[status.name.lower()], status) for status in ocsp.OCSPCertStatus]
        self.asked = 0

    def at_hand(self) -> list[bytes]:
        """Return the responses, and count."""
        self.asked += 1
        return self.responses

    def context(self, policy: Policy = NOT_REVOKED, **options: Any) -> ssl.SSLContext:
        """Return a server's context whose resolver answers from the responses at hand."""
        resolver = Resolver({OCSP: responses_source(self.at_hand)})
        return tls.server_context(
            credential=self.credential,
            verifier=verifier(policy, self.ca),
            options=tls.ServerOptions(resolver=resolver, **options),
        )

    def client(self, name: str) -> ssl.SSLContext:
        """Return the context of a client."""
        context = ssl.create_default_context(cadata=self.ca.pem.decode())
        with self.leaves[name].tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)
        return context

    def connect(self, context: ssl.SSLContext, name: str) -> str:
        """Open a connection on blocking sockets and return whom the server admitted; raise what it raises."""
        ours, theirs = socket.socketpair()
        client = threading.Thread(target=self._say, args=(self.client(name), theirs))
        client.start()
        try:
            with context.wrap_socket(ours, server_side=True) as connection:
                assert connection.recv(5) == b"hello"
                return str(tls.peer_of(connection).common_name)  # type: ignore[union-attr]  # there is one
        finally:
            ours.close()
            client.join(20)

    @staticmethod
    def _say(context: ssl.SSLContext, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(b"hello")
            connection.recv(1)


def test_an_older_answer_put_back_while_the_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES 49: a genuine GOOD of before, put back or left alone, admits nobody who was seen revoked; nor does none."""
    monkeypatch.setattr(_offline, "RETRY", 0.0)
    site = Site()
    context = site.context(SOFT)
    before = site.responses
    assert site.connect(context, "good") == "good"
    site.responses = [signed(site.ca, site.leaves["good"], ocsp.OCSPCertStatus.REVOKED)]
    for at_hand in (site.responses, before, []):
        site.responses = at_hand
        with pytest.raises(tls.HandshakeRejected, match="ocsp.revoked"):
            site.connect(context, "good")


REFUSED: Final = [
    ("revoked", "ocsp.revoked", 403, False),
    ("unknown", "ocsp.unknown", 403, False),
    ("nobody", "ocsp.unavailable", 503, True),
]


def test_good_is_admitted_on_a_socket() -> None:
    """The handshake resolves inline, in the handler's thread."""
    site = Site()
    assert site.connect(site.context(), "good") == "good"
    assert site.asked == 1


def test_whoever_is_revoked_while_the_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that is replaced counts for the next connection, once what was kept of the old one is over."""
    monkeypatch.setattr(_offline, "RETRY", 0.0)
    site = Site()
    context = site.context()
    assert site.connect(context, "good") == "good"
    site.responses = [signed(site.ca, site.leaves["good"], ocsp.OCSPCertStatus.REVOKED)]
    with pytest.raises(tls.HandshakeRejected, match="ocsp.revoked"):
        site.connect(context, "good")


@pytest.mark.parametrize(("name", "code", "status", "retryable"), REFUSED)
def test_others_are_refused_on_a_socket(name: str, code: str, status: int, retryable: bool) -> None:
    """Revoked and unknown for good, no answer with a 503; no byte of theirs is read."""
    site = Site()
    with pytest.raises(tls.HandshakeRejected) as caught:
        site.connect(site.context(), name)
    assert (caught.value.code, caught.value.http_status, caught.value.retryable) == (code, status, retryable)


def test_a_soft_rule_on_a_socket() -> None:
    """Where no answer is at hand a soft rule admits; whom it knows to be revoked it refuses."""
    site = Site()
    context = site.context(SOFT)
    assert site.connect(context, "nobody") == "nobody"
    with pytest.raises(tls.HandshakeRejected, match="ocsp.revoked"):
        site.connect(context, "revoked")


def test_without_a_resolver_nobody_is_admitted() -> None:
    """A policy that asks, and nobody who answers: a 503 for everybody, under a soft rule too."""
    site = Site()
    for policy in (NOT_REVOKED, SOFT):
        context = tls.server_context(credential=site.credential, verifier=verifier(policy, site.ca))
        with pytest.raises(tls.HandshakeRejected, match="ocsp.unavailable"):
            site.connect(context, "good")


def test_a_source_that_fails_admits_nobody() -> None:
    """An exception where the responses come from is no answer."""
    site = Site()

    def broken() -> list[bytes]:
        raise OSError("no such file")

    resolver = Resolver({OCSP: responses_source(broken)})
    context = tls.server_context(
        credential=site.credential,
        verifier=verifier(SOFT, site.ca),
        options=tls.ServerOptions(resolver=resolver),
    )
    with pytest.raises(tls.HandshakeRejected, match="ocsp.unavailable"):
        site.connect(context, "good")


async def _greet(context: ssl.SSLContext, client: ssl.SSLContext) -> bytes:
    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        writer.write(str(tls.peer_of(writer).common_name).encode())  # type: ignore[union-attr]  # there is one
        writer.close()

    server = await tls.start_server(on_connect, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
            writer.write(b"hello")
            answer = await reader.read()
            writer.close()
        except (ssl.SSLError, ConnectionError):
            return b""
        return answer


@pytest.mark.parametrize(("name", "answer"), [("good", b"good"), ("revoked", b""), ("unknown", b""), ("nobody", b"")])
def test_the_same_on_an_event_loop(name: str, answer: bytes) -> None:
    """A held connection waits for the answer, and no byte flows for those who are refused."""
    site = Site()
    assert asyncio.run(_greet(site.context(pending="hold"), site.client(name))) == answer
