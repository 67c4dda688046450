"""What each end of a pyOpenSSL connection learns: who is admitted, and the TLS alert of each refusal."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from OpenSSL import SSL

from mtlspolicy import Decision, Evidence, Policy, TrustStore, Verdict, Verifier, policies, tls
from mtlspolicy.testing import broken

VERSIONS_OF_SSL = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}


class Answering(Policy):
    """A policy with one answer, whoever asks."""

    identifies = True

    def __init__(self, verdict: Verdict, code: str) -> None:
        self.verdict, self.code = verdict, code

    def evaluate(self, _evidence: Evidence) -> Decision:
        """Return the answer, whatever the evidence."""
        answers = {Verdict.PERMIT: self.permit, Verdict.DENY: self.deny, Verdict.INDETERMINATE: self.indeterminate}
        return answers[self.verdict](self.code, "as it was told")


@pytest.mark.parametrize("version", VERSIONS)
def test_both_ends_are_admitted_and_know_each_other(version: str, pki: Any, pair: Any, hears: Any) -> None:
    """Pyopenssl on both sides, each with its verifier: data flow, and `peer_of` says who is there."""
    only = replace(tls.Hardening.INTERMEDIATE, maximum_version=VERSIONS_OF_SSL[version])
    ends = pair(pki.server(hardening=only), pki.client()).shake()
    assert ends.raised == {"client": None, "server": None}
    ends.client.sendall(b"hello")
    ends.move()
    assert hears(ends.server) == "hello"
    server, peer = tls.peer_of(ends.client), tls.peer_of(ends.server)
    assert server is not None
    assert server.dns_names == ("localhost",)
    assert peer is not None
    assert peer.common_name == "frodo"
    assert peer.connection.tls_version == version
    assert peer.connection.server_name == "localhost"
    presented = tls.presented_by(ends.server)
    assert presented is not None
    assert presented.ders == (pki.leaf("frodo").der, pki.ca.der), "as presented: without the anchor of our store"
    assert tls.decision_of(ends.server).verdict is Verdict.PERMIT


REFUSALS: dict[str, tuple[Callable[[Any], Policy], str, str]] = {
    "a policy denies": (lambda _: policies.CommonName("sam"), "name.mismatch", "certificate unknown"),
    "revoked": (lambda _: Answering(Verdict.DENY, "ocsp.revoked"), "ocsp.revoked", "certificate revoked"),
    "a fact is missing": (
        lambda _: Answering(Verdict.INDETERMINATE, "fact.missing"), "fact.missing", "internal error"
    ),
    "not known": (lambda _: Answering(Verdict.INDETERMINATE, "acme.doubt"), "acme.doubt", "certificate unknown"),
    "our path is not valid": (lambda _: Answering(Verdict.DENY, "path.invalid"), "path.invalid", "bad certificate"),
    "our anchors are others": (lambda _: Answering(Verdict.DENY, "path.no-issuer"), "path.no-issuer", "unknown ca"),
    "expired for us": (lambda _: Answering(Verdict.DENY, "path.expired"), "path.expired", "certificate expired"),
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", REFUSALS)
def test_a_refused_client_gets_the_alert_of_the_table(
    case: str, version: str, pki: Any, pair: Any, hears: Any, lines: Any
) -> None:
    """A real TLS alert, in the handshake with TLS 1.2 and at its first read with TLS 1.3; one line is logged.

    OpenSSL can send no access_denied from a verification callback: certificate_unknown stands for it.
    """
    make, code, alert = REFUSALS[case]
    ends = pair(pki.server(make(pki)), pki.plain(pki.leaf("frodo"), version=VERSIONS[version])).shake()
    refused = ends.raised["server"]
    assert isinstance(refused, tls.HandshakeRejected)
    assert isinstance(refused, SSL.Error)
    assert refused.code == code
    told = hears(ends.client) if ends.raised["client"] is None else str(ends.raised["client"])
    assert f"alert {alert}" in told
    assert tls.decision_of(ends.server).code == code
    (line,) = lines()
    assert line.startswith(f"refused address unknown: {code}")
    assert "subject: CN=frodo" in line
    for _ in range(2):
        with pytest.raises(tls.HandshakeRejected):
            ends.server.do_handshake()
    assert lines() == []


@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        ("stranger", ("tls.openssl-no-issuer", "unknown ca")),
        (None, ("tls.openssl-no-certificate", "certificate required")),
    ],
)
def test_what_openssl_refuses_is_logged_with_our_codes(
    who: str | None, refusal: tuple[str, str], pki: Any, pair: Any, hears: Any, lines: Any
) -> None:
    """The same codes and remedies as with the engine of the standard library; OpenSSL sends its own alert."""
    client = pki.plain(None if who is None else pki.leaf(who))
    ends = pair(pki.server(), client).shake()
    refused = ends.raised["server"]
    assert isinstance(refused, tls.HandshakeRejected)
    assert refused.code == refusal[0]
    assert f"alert {refusal[1]}" in hears(ends.client)
    (line,) = lines()
    assert refused.code in line


def test_an_expired_certificate_is_refused_by_openssl_with_its_number(pki: Any, pair: Any, lines: Any) -> None:
    """``verify_code`` is OpenSSL's, as with the standard library."""
    ends = pair(pki.server(), pki.plain(broken("expired", pki.ca))).shake()
    refused = ends.raised["server"]
    assert isinstance(refused, tls.HandshakeRejected)
    assert (refused.code, refused.verify_code) == ("tls.openssl-expired", 10)
    assert "CERT_HAS_EXPIRED" in lines()[0]


def test_both_must_accept_what_the_verifier_refuses_openssl_cannot_admit(pki: Any, pair: Any) -> None:
    """OpenSSL is given the anchors that a source had; the verifier goes by those that it has now."""
    current = [pki.trust]
    ends = pair(
        pki.server(verifier=Verifier.for_clients(trust=lambda: current[0], policy=policies.CommonName("frodo"))),
        pki.plain(pki.leaf("frodo")),
    )
    current[0] = TrustStore(anchors=[pki.stranger.certificate])
    ends.shake()
    assert tls.decision_of(ends.server).code == "path.no-issuer"


def test_an_anchor_that_a_source_has_gained_is_given_to_openssl(pki: Any, pair: Any) -> None:
    """A new CA is not refused by OpenSSL before the verifier sees the chain; a source that fails refuses."""
    current: list[Any] = [TrustStore(anchors=[pki.stranger.certificate])]
    verifier = Verifier.for_clients(trust=lambda: current[0], policy=policies.CommonName("frodo"))
    context = pki.server(verifier=verifier)
    assert pair(context, pki.plain(pki.leaf("frodo"))).shake().raised["server"] is not None
    current[0] = current[0] | pki.trust
    assert pair(context, pki.plain(pki.leaf("frodo"))).shake().raised["server"] is None
    current[0] = "gone"
    ends = pair(context, pki.plain(pki.leaf("frodo"))).shake()
    assert tls.decision_of(ends.server).code == "trust.unavailable"


def test_an_issuing_ca_alone_is_an_anchor_for_openssl_too(pki: Any, pair: Any) -> None:
    """PARTIAL_CHAIN, and what our store has added to OpenSSL's path was not presented."""
    ends = pair(pki.server(trust=TrustStore(anchors=[pki.ca.certificate])), pki.plain(pki.leaf("frodo"))).shake()
    assert ends.raised["server"] is None
    presented = tls.presented_by(ends.server)
    assert presented is not None
    assert presented.ders == (pki.leaf("frodo").der,)


def test_a_client_without_certificate_is_let_in_where_one_is_optional(pki: Any, pair: Any, hears: Any) -> None:
    """`peer_of` is None, and the decision is that on no certificate."""
    context = pki.server(client_certificate="optional")
    ends = pair(context, pki.plain(None)).shake()
    assert ends.raised == {"client": None, "server": None}
    assert tls.peer_of(ends.server) is None
    assert tls.decision_of(ends.server).code == "path.no-certificate"
    ends.client.send(b"hello")
    ends.move()
    assert hears(ends.server) == "hello"
    assert pair(context, pki.plain(pki.leaf("sam"))).shake().raised["server"] is not None
    known = pair(context, pki.plain(pki.leaf("frodo"))).shake()
    peer = tls.peer_of(known.server)
    assert peer is not None
    assert peer.common_name == "frodo"


def test_limits_hold_for_what_openssl_has_built(pki: Any, pair: Any) -> None:
    """A path of more bytes than the limits is refused, with the code of the limits."""
    from mtlspolicy import Limits

    verifier = Verifier.for_clients(trust=pki.trust, policy=policies.CommonName("frodo"), limits=Limits(certificates=1))
    ends = pair(pki.server(verifier=verifier), pki.plain(pki.leaf("frodo"))).shake()
    assert tls.decision_of(ends.server).code == "chain.too-large"


def test_a_refused_client_of_ours_logs_the_alert_that_it_gets(pki: Any, pair: Any, hears: Any, lines: Any) -> None:
    """With TLS 1.3 a client learns only from its first read that it was refused, and that is logged too."""
    ends = pair(pki.server(), pki.client("sam")).shake()
    assert lines()[0].startswith("refused address unknown: name.mismatch")
    assert "alert certificate unknown" in hears(ends.client)
    (line,) = lines()
    assert line.startswith("was refused by address unknown: tls.openssl-alert-certificate-unknown")


def test_other_ends_of_a_handshake_keep_their_own_errors(pki: Any, pair: Any, lines: Any) -> None:
    """No version in common, plain HTTP, the end of the connection: OpenSSL's error is raised and a line is logged."""
    old = pair(pki.server(hardening=tls.Hardening.MODERN), pki.plain(None, version=SSL.TLS1_2_VERSION)).shake()
    assert type(old.raised["server"]) is SSL.Error
    assert "tls.openssl-protocol-version" in lines()[0]
    web = SSL.Connection(pki.server(), None)
    web.set_accept_state()
    web.bio_write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    with pytest.raises(SSL.Error):
        web.do_handshake()
    assert "tls.openssl-plain-http" in lines()[0]
    gone = SSL.Connection(pki.server(), None)
    gone.set_accept_state()
    gone.bio_shutdown()
    with pytest.raises(SSL.SysCallError):
        gone.do_handshake()
    assert "tls.peer-gone" in lines()[0]


def test_the_time_is_that_of_the_decision(pki: Any, pair: Any) -> None:
    """The clock is read when the callback runs, once, and recorded."""
    before = datetime.now(UTC)
    ends = pair(pki.server(), pki.plain(pki.leaf("frodo"))).shake()
    context = tls.decision_of(ends.server).context
    assert context is not None
    assert before <= context.at <= datetime.now(UTC)
