"""CRLs over the network: fetched and parsed once for all who ask, kept, and never replaced by older ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy import RevocationStatus, Verdict, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._resolver import settle
from mtlspolicy._revocation import CRLQuestion
from mtlspolicy.revocation import Refresher
from mtlspolicy.revocation import _crl_course as crl_course
from mtlspolicy.revocation._crl_list import RevocationList
from mtlspolicy.revocation._crls import CRLs, Held
from mtlspolicy.revocation._steps import Wait
from tests.revocation.refreshing import Site, ask, free_port, running, until

GOOD, REVOKED = RevocationStatus.GOOD, RevocationStatus.REVOKED
UNAVAILABLE = RevocationStatus.UNAVAILABLE
HOUR = timedelta(hours=1)


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Give the CRLs that were parsed, in order."""
    seen: list[bytes] = []
    parse = RevocationList.parse

    def noted(data: bytes, *, source: str = "") -> RevocationList:
        seen.append(data)
        return parse(data, source=source)

    monkeypatch.setattr(RevocationList, "parse", noted)
    return seen


def crl(site: Site, age: timedelta = HOUR, left: timedelta = HOUR) -> bytes:
    """Return the authority's list as it is now, so old, DER."""
    at = datetime.now(UTC)
    return site.authority.crl(this_update=at - age, next_update=at + left).public_bytes(Encoding.DER)


def test_good_and_revoked(site: Site) -> None:
    """The target: NotRevoked('crl') works with a refresher's resolver."""
    frodo, sam = site.client(), site.client("sam")
    site.authority.revoke(sam)
    rule = policies.NotRevoked("crl")
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(frodo, rule), resolver).decision.verdict is Verdict.PERMIT
        assert settle(site.judgement(sam, rule), resolver).decision.code == "crl.revoked"
    assert site.responder.crl_requests == 1


def test_many_certificates_share_one_fetch(site: Site, parsed: list[bytes]) -> None:
    """RULES 11: forty questions at once, under two rules, about certificates of one list fetch and parse it once."""
    leaves = [site.client(f"client {number}") for number in range(20)]
    site.authority.revoke(leaves[7])
    site.responder.answer_crl(delay=0.2)
    questions = [site.crl(leaf, **rule) for leaf in leaves for rule in ({}, {"allow_sha1": True})]
    with site.refresher(deadline=20) as refresher, ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(lambda question: ask(refresher, question), questions))
        wanted = [REVOKED if leaf is leaves[7] else GOOD for leaf in leaves for _ in range(2)]
        assert [answer.status for answer in answers] == wanted
    assert (site.responder.crl_requests, len(parsed)) == (1, 1)


def test_a_list_that_takes_long_is_fetched_to_its_end(site: Site) -> None:
    """Who asks gets 'pending' at the deadline; the fetch is nobody's and goes on, and the next one finds the list."""
    frodo = site.client()
    site.responder.answer_crl(delay=0.5)
    with site.refresher(deadline=0.1) as refresher:
        answer = ask(refresher, site.crl(frodo))
        assert (answer.status, answer.code) == (UNAVAILABLE, "crl.pending")
        until(lambda: ask(refresher, site.crl(frodo)).status is GOOD)
    assert site.responder.crl_requests == 1


def test_attack_a_list_that_never_ends_is_waited_for_once(site: Site) -> None:
    """A fetch older than the deadline holds no further thread: who asks then is told at once that it is pending."""
    questions = [site.crl(site.client(name)) for name in ("frodo", "sam")]
    site.responder.answer_crl(never=True)
    with site.refresher(deadline=0.1) as refresher:
        assert ask(refresher, questions[0]).code == "crl.pending"
        course = refresher._office.desk.answer(questions[1])
        step = next(course)
        assert isinstance(step, Wait)
        assert step.until <= time.monotonic() + 0.05, "no deadline of its own, which would be 0.1 s away"
        course.close()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"http_status": 500}, "fetch.status"),
        ({"http_status": 404}, "fetch.status"),
        ({"body": b"garbage"}, "crl.malformed"),
        ({"body": b""}, "crl.malformed"),
    ],
)
def test_what_a_distribution_point_may_do(site: Site, script: Any, code: str) -> None:
    """Whatever goes wrong is told with its code to all who wait, and the point is left alone for a moment."""
    questions = [site.crl(site.client(name)) for name in ("frodo", "sam")]
    site.responder.answer_crl(**script)
    with site.refresher(deadline=5) as refresher:
        assert ask(refresher, questions[0]).code == code
        asked = site.responder.crl_requests
        assert ask(refresher, questions[1]).code == "crl.breaker"
        assert site.responder.crl_requests == asked
        site.responder.answer_crl()
        until(lambda: ask(refresher, questions[1]).status is GOOD)


def test_a_list_of_somebody_else(site: Site) -> None:
    """Another CA's list says nothing, is not kept, and does not stay in the way of the right one."""
    frodo = site.client()
    with running() as stranger:
        site.responder.answer_crl(body=crl(stranger))
    with site.refresher() as refresher:
        assert ask(refresher, site.crl(frodo)).code == "crl.signature"
        assert refresher._office.desk.crls._held == {}
        site.responder.answer_crl()
        until(lambda: ask(refresher, site.crl(frodo)).status is GOOD)


def test_a_list_that_is_over_is_not_fetched_again_at_once(site: Site, parsed: list[bytes]) -> None:
    """What is signed and too old is UNAVAILABLE by each question's own rule, and fetched again after a while only."""
    frodo = site.client()
    site.responder.answer_crl(body=crl(site, 3 * HOUR, -HOUR))
    with site.refresher() as refresher:
        for _ in range(3):
            assert ask(refresher, site.crl(frodo)).code == "crl.expired"
        assert ask(refresher, site.crl(frodo, max_age=HOUR)).code == "crl.too-old"
        assert ask(refresher, site.crl(frodo, clock_skew=2 * HOUR)).status is GOOD
    assert (site.responder.crl_requests, len(parsed)) == (1, 1)


def test_a_new_list_takes_its_place(site: Site, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the list at hand is over the next question fetches; the same bytes are not parsed a second time."""
    monkeypatch.setattr(crl_course, "RECENT", 0.0)
    frodo = site.client()
    over = crl(site, 3 * HOUR, -HOUR)
    site.responder.answer_crl(body=over)
    with site.refresher() as refresher:
        for _ in range(2):
            assert ask(refresher, site.crl(frodo)).code == "crl.expired"
        site.responder.answer_crl()
        assert ask(refresher, site.crl(frodo)).status is GOOD
    assert site.responder.crl_requests == 3
    assert parsed[0] == over
    assert len(parsed) == 2


def test_attack_an_older_list_put_in_its_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES 49: yesterday's list, replayed, does not let in somebody revoked since whom nobody has asked about."""
    monkeypatch.setattr(crl_course, "RECENT", 0.0)
    frodo, sam = site.client(), site.client("sam")
    yesterday = crl(site, 24 * HOUR, 24 * HOUR)
    site.authority.revoke(sam)
    short = crl(site, HOUR, -timedelta(minutes=1))
    site.responder.answer_crl(body=short)
    with site.refresher() as refresher:
        assert ask(refresher, site.crl(frodo)).status is GOOD  # within the clock skew
        site.responder.answer_crl(body=yesterday)
        strict = {"clock_skew": timedelta(0)}
        assert ask(refresher, site.crl(frodo, **strict)).code == "crl.rollback"
        assert ask(refresher, site.crl(sam, **strict)).status is REVOKED


def test_a_revocation_in_an_older_list_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no way back: who is listed in an older list that comes late is revoked, though that list is not kept."""
    monkeypatch.setattr(crl_course, "RECENT", 0.0)
    frodo, sam = site.client(), site.client("sam")
    current = crl(site, HOUR, -timedelta(minutes=1))
    site.authority.revoke(sam)
    older = crl(site, 2 * HOUR, HOUR)
    site.responder.answer_crl(body=current)
    with site.refresher() as refresher:
        assert ask(refresher, site.crl(frodo)).status is GOOD
        site.responder.answer_crl(body=older)
        assert ask(refresher, site.crl(sam, clock_skew=timedelta(0))).status is REVOKED


def test_attack_another_part_of_the_list(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another partition of the same CA, put at this URL on the way, is refused and replaces nothing."""
    monkeypatch.setattr(crl_course, "RECENT", 0.0)
    frodo = site.client()
    other = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(site.authority.certificate.subject)
        .last_update(datetime.now(UTC) - HOUR)
        .next_update(datetime.now(UTC) + HOUR)
        .add_extension(_partition("http://crl.example/other.crl"), critical=True)
        .sign(site.authority.key, _digest())
        .public_bytes(Encoding.DER)
    )
    site.responder.answer_crl(body=crl(site, HOUR, -timedelta(minutes=1)))
    with site.refresher() as refresher:
        assert ask(refresher, site.crl(frodo)).status is GOOD
        site.responder.answer_crl(body=other)
        strict = {"clock_skew": timedelta(0)}
        assert ask(refresher, site.crl(frodo, **strict)).code == "crl.distribution-point"
        held = list(refresher._office.desk.crls._held.values())
        assert [one.crl.partition for one in held] == [b""]


def _partition(url: str) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(url)],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )


def _digest() -> Any:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def test_a_list_about_users_serves_them_whoever_asked_first(site: Site) -> None:
    """A list that says nothing of CAs is kept for the users it is about, when a CA was asked about first."""
    users = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(site.authority.certificate.subject)
        .last_update(datetime.now(UTC) - HOUR)
        .next_update(datetime.now(UTC) + HOUR)
        .add_extension(
            x509.IssuingDistributionPoint(
                full_name=None,
                relative_name=None,
                only_contains_user_certs=True,
                only_contains_ca_certs=False,
                only_some_reasons=None,
                indirect_crl=False,
                only_contains_attribute_certs=False,
            ),
            critical=True,
        )
        .sign(site.authority.key, _digest())
        .public_bytes(Encoding.DER)
    )
    site.responder.answer_crl(body=users)
    below = site.authority.intermediate("Issuing", crl_url=site.responder.crl_url)
    about = CRLQuestion(ParsedCertificate(below.der), ParsedCertificate(site.authority.der))
    with site.refresher() as refresher:
        assert ask(refresher, about).code == "crl.user-certificates-only"
        assert ask(refresher, site.crl(site.client())).status is GOOD
    assert site.responder.crl_requests == 1


def test_several_points_are_tried_in_order(site: Site) -> None:
    """The next URL is tried where one gives nothing; of several failures the first is told."""
    port = free_port()
    nowhere = f"http://127.0.0.1:{port}/a.crl"
    for urls, code in (
        ([nowhere, site.responder.crl_url], "crl.good"),
        ([nowhere, "http://no.example/"], "fetch.connect"),
    ):
        points = [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None) for url in urls]
        frodo = site.client(extensions=[x509.CRLDistributionPoints(points)], crl_url=None)
        with site.refresher(port, deadline=10.0) as refresher:
            assert ask(refresher, site.crl(frodo)).code == code


def test_a_system_without_threads_gives_no_fact(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the fetch cannot begin the question fails, nobody waits for it, and the next one begins anew."""
    import threading

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    question = site.crl(site.client())
    with site.refresher() as refresher:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError, match="new thread"):
                ask(refresher, question)
        assert ask(refresher, question).status is GOOD


def test_what_nobody_foresaw_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in a fetch that is nobody's is logged, and tells those who wait that there is no list."""

    def fail(*_args: Any, **_options: Any) -> None:
        raise LookupError("\x1b[31m")

    monkeypatch.setattr(crl_course, "read_crl", fail)
    with site.refresher() as refresher:
        assert ask(refresher, site.crl(site.client())).code == "crl.unavailable"
    assert "LookupError" in caplog.text
    assert "\x1b" not in caplog.text


def held(site: Site, age: timedelta = HOUR) -> Held:
    """Return the authority's list as it is held."""
    data = crl(site, age)
    return Held(RevocationList.parse(data), data, time.monotonic())


def test_lists_in_memory_are_bounded(site: Site) -> None:
    """By number and bytes; the one unused for longest goes first, and one alone may be as large as it is."""
    one = held(site)
    for bounds in ({"most": 2}, {"most_bytes": 2 * len(one.crl.der) + 1}):
        crls = CRLs(**bounds)
        assert crls.keep("a", one)
        assert crls.keep("b", one)
        assert crls.held("a") == one
        assert crls.keep("c", one)
        assert [crls.held(key) is not None for key in "abc"] == [True, False, True]
    small = CRLs(most_bytes=1)
    assert small.keep("a", one)
    assert small.keep("b", one)
    assert [small.held(key) is not None for key in "ab"] == [False, True]


def test_a_list_is_not_replaced_by_an_older_one(site: Site) -> None:
    """Whatever is fetched later, the newer one stays; an equal one takes its place."""
    crls = CRLs()
    assert crls.keep("a", held(site))
    assert not crls.keep("a", held(site, 2 * HOUR))
    newer = held(site, timedelta(0))
    assert crls.keep("a", newer)
    assert crls.keep("a", newer)
    assert crls.held("a") == newer


def test_refreshers_share_nothing_in_memory(site: Site) -> None:
    """Two refreshers without a shared cache each fetch their own list."""
    frodo = site.client()
    for _ in range(2):
        refresher: Refresher
        with site.refresher() as refresher:
            assert ask(refresher, site.crl(frodo)).status is GOOD
    assert site.responder.crl_requests == 2
