"""The refresher at a real responder: what it sends, what it makes of what comes, and what it leaves alone."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mtlspolicy import Resolver, RevocationStatus, Verdict, policies
from mtlspolicy._resolver import settle
from mtlspolicy._revocation import CRL, OCSP
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import MemoryCache, Refresher
from mtlspolicy.revocation._destinations import Destinations
from mtlspolicy.revocation._shelf import MOST, Notes
from tests.revocation.loopback import Conversation, Server
from tests.revocation.refreshing import Site, ask, free_port, running, threads, until

GOOD, REVOKED = RevocationStatus.GOOD, RevocationStatus.REVOKED
UNKNOWN, UNAVAILABLE = RevocationStatus.UNKNOWN, RevocationStatus.UNAVAILABLE


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


def test_good_and_revoked(site: Site) -> None:
    """The target: NotRevoked works with a refresher's resolver, and one question is one request."""
    frodo, sam = site.client(), site.client("sam")
    site.authority.revoke(sam)
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        for _ in range(3):
            assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
            assert settle(site.judgement(sam), resolver).decision.code == "ocsp.revoked"
    assert site.responder.requests == 2


def test_the_plain_form(site: Site) -> None:
    """The sources may be given to any resolver, beside others."""
    frodo = site.client()
    with site.refresher() as refresher, Resolver({**refresher.sources, "k": lambda _key: True}) as resolver:
        assert resolver.kinds == {OCSP, CRL, "k"}
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT


@pytest.mark.parametrize(
    ("script", "code", "soft"),
    [
        ({"http_status": 503}, "fetch.status", True),
        ({"http_status": 404}, "fetch.status", True),
        ({"never": True}, "fetch.timeout", True),
        ({"body": b""}, "ocsp.malformed", True),
        ({"body": b"<html>"}, "ocsp.malformed", True),
        ({"body": b"x" * 70_000}, "fetch.too-large", True),
        ({"status": "try-later"}, "ocsp.try-later", True),
        ({"status": "unauthorized"}, "ocsp.unauthorized", True),
        ({"status": "internal-error"}, "ocsp.internal-error", True),
        ({"signer": "stranger"}, "ocsp.signature", True),
        ({"dates": "expired"}, "ocsp.expired", True),
        ({"about": "another"}, "ocsp.other-certificate", True),
        ({"status": "unknown"}, "ocsp.unknown", False),
    ],
)
def test_what_a_responder_may_do(site: Site, script: Any, code: str, *, soft: bool) -> None:
    """What goes wrong is UNAVAILABLE with its own code: hard rules refuse, soft ones admit; UNKNOWN admits nobody."""
    frodo = site.client()
    site.responder.answer(**script)
    with site.refresher(deadline=0.4) as refresher:
        assert ask(refresher, site.ocsp(frodo)).code == code
        resolver = refresher.resolver()
        hard = settle(site.judgement(frodo), resolver)
        assert hard.decision.code == ("ocsp.unavailable" if soft else "ocsp.unknown")
        assert hard.error().http_status == (503 if soft else 403)
        admitted = settle(site.judgement(frodo, policies.NotRevoked(soft=True)), resolver).decision
        assert admitted.verdict is (Verdict.PERMIT if soft else Verdict.INDETERMINATE)
        assert ("ocsp.soft" in admitted.explain()) is soft


def test_nobody_listens(site: Site) -> None:
    """A responder that is gone is UNAVAILABLE, and left alone for a moment: the next answer comes at once."""
    port = free_port()
    frodo = site.client(ocsp_url=f"http://127.0.0.1:{port}/ocsp")
    with site.refresher(port) as refresher:
        first, second = (ask(refresher, site.ocsp(frodo)) for _ in range(2))
    assert (first.status, first.code) == (UNAVAILABLE, "fetch.connect")
    assert (second.status, second.code) == (UNAVAILABLE, "ocsp.breaker")
    assert "fetch.connect" in second.detail


def test_a_responder_that_fails_is_told_of_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The log names responder and reason, so that a soft rule's silence is heard of; one line in a while for each."""
    site.responder.answer(http_status=404)
    with site.refresher() as refresher:
        for number in range(3):
            ask(refresher, site.ocsp(site.client(f"client {number}")))
    lines = [record.getMessage() for record in caplog.records if record.name == "mtlspolicy.revocation"]
    assert len(lines) == 1
    assert lines[0].startswith(f"no answer from {site.responder.url}: fetch.status: ")


def test_lines_are_told_apart_by_responder(caplog: pytest.LogCaptureFixture) -> None:
    """One responder's lines silence no other's; of too many responders the oldest is forgotten."""
    notes = Notes()
    for number in range(MOST + 1):
        notes.say(f"http://{number}", "first")
    notes.say("http://1", "second")
    notes.say("http://0", "third")
    said = [record.getMessage() for record in caplog.records]
    assert said == ["first"] * (MOST + 1) + ["third"]


def test_a_certificate_without_pointers(site: Site) -> None:
    """Who names neither responder nor list is UNAVAILABLE, each with its own code, and nobody is asked."""
    frodo = site.authority.issue_client("frodo")
    with site.refresher() as refresher:
        assert ask(refresher, site.ocsp(frodo)).code == "ocsp.no-responder"
        assert ask(refresher, site.crl(frodo)).code == "crl.no-distribution-point"
        assert ask(refresher, site.ocsp(frodo, responder=site.responder.url)).status is GOOD
        assert ask(refresher, site.crl(frodo, distribution_point=site.responder.crl_url)).status is GOOD


def test_pointers_that_cannot_be_read(site: Site) -> None:
    """A certificate whose pointers are rubbish is a doubt that no outage explains: no soft rule admits it."""
    from cryptography import x509

    rubbish = [x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x03\x01") for oid in _POINTERS]
    frodo = site.authority.issue_client("frodo", extensions=rubbish)
    with site.refresher() as refresher:
        for question in (site.ocsp(frodo), site.crl(frodo)):
            answer = ask(refresher, question)
            assert (answer.status, answer.code) == (UNKNOWN, "revocation.pointers")


_POINTERS = ("1.3.6.1.5.5.7.1.1", "2.5.29.31")


@pytest.mark.parametrize(
    ("options", "methods"),
    [
        ({}, [b"GET"]),
        ({"nonce": True}, [b"POST"]),
        ({"path": "/" + "a" * 200}, [b"POST"]),
        ({"path": "/?a"}, [b"POST"]),
    ],
)
def test_short_requests_go_by_get(site: Site, options: Any, methods: list[bytes]) -> None:
    """RFC 5019, section 5: GET up to 255 bytes of URL; POST above, with a nonce, and where the URL has a query."""
    seen: list[bytes] = []

    def script(talk: Conversation) -> None:
        talk.read_request()
        seen.append(talk.request.split(b" ")[0])
        talk.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with Server(script) as server:
        frodo = site.client(ocsp_url=f"http://127.0.0.1:{server.port}{options.pop('path', '/')}")
        with site.refresher(server.port, **options) as refresher:
            assert ask(refresher, site.ocsp(frodo)).code == "fetch.status"
    assert seen == [*methods, *([b"POST"] if methods == [b"GET"] else [])]


def test_rubbish_by_get_is_asked_again_by_post(site: Site) -> None:
    """A server that knows POST alone still answers, in the same question."""
    frodo = site.client()
    requests: list[bytes] = []

    def script(talk: Conversation) -> None:
        talk.read_request()
        requests.append(talk.request)
        body = b"<html>"
        if talk.request.startswith(b"POST"):
            body = site.responder._ocsp(talk.request.partition(b"\r\n\r\n")[2])[0]
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with Server(script) as server:
        other = f"http://127.0.0.1:{server.port}/ocsp"
        with site.refresher(server.port) as refresher:
            assert ask(refresher, site.ocsp(frodo, responder=other)).status is GOOD
    assert [one.split(b" ")[0] for one in requests] == [b"GET", b"POST"]


@pytest.mark.parametrize(
    ("script", "nonce", "required", "code"),
    [
        ("repeated", True, True, "ocsp.good"),
        ("repeated", False, True, "ocsp.good"),
        ("none", True, False, "ocsp.good"),
        ("none", True, True, "ocsp.nonce-missing"),
        ("another", True, False, "ocsp.nonce-differs"),
    ],
)
def test_nonces(site: Site, script: str, code: str, *, nonce: bool, required: bool) -> None:
    """A nonce is sent where the refresher or the rule says so, and held to what the rule says; never from the cache."""
    frodo, cache = site.client(), MemoryCache()
    with site.refresher(cache=cache) as filling:
        assert ask(filling, site.ocsp(frodo)).status is GOOD
    site.responder.answer(nonce=script)
    with site.refresher(cache=cache if required else None, nonce=nonce) as refresher:
        assert ask(refresher, site.ocsp(frodo, require_nonce=required)).code == code


def test_sha256_in_the_request(site: Site) -> None:
    """A responder may be asked by SHA-256, and its answer has to be by it."""
    with site.refresher(digest="sha256") as refresher:
        assert ask(refresher, site.ocsp(site.client())).status is GOOD


def test_a_failure_is_tried_again_in_time(site: Site) -> None:
    """An outage shorter than the deadline is not seen: the same question is sent again after a moment."""
    frodo = site.client()
    turns = iter([b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"] * 2)

    def script(talk: Conversation) -> None:
        talk.read_request()
        talk.send(next(turns, None) or _ok(site.responder._ocsp(talk.request.partition(b"\r\n\r\n")[2])[0]))

    with Server(script) as server, site.refresher(server.port, deadline=15.0) as refresher:
        question = site.ocsp(frodo, responder=f"http://127.0.0.1:{server.port}/?post")
        assert ask(refresher, question).status is GOOD


def _ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_several_responders_are_asked_in_order(site: Site) -> None:
    """The next URL of the certificate is asked where one gives no answer, also where that one hangs."""
    with Server(lambda talk: talk.wait_for_end()) as hanging:
        urls = [f"http://127.0.0.1:{hanging.port}/", site.responder.url]
        frodo = site.authority.issue_client("frodo", extensions=[_access(*urls)])
        with site.refresher(hanging.port, deadline=1.0) as refresher:
            answer = ask(refresher, site.ocsp(frodo))
    assert (answer.status, answer.source) == (GOOD, site.responder.url)


def test_of_several_failures_the_first_is_told(site: Site) -> None:
    """Where nobody answers, it is the first responder's failure that people read of."""
    port = free_port()
    frodo = site.authority.issue_client(
        "frodo", extensions=[_access(f"http://127.0.0.1:{port}/", "http://not-allowed.example/")]
    )
    with site.refresher(port) as refresher:
        assert ask(refresher, site.ocsp(frodo)).code == "fetch.connect"


def _access(*urls: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID

    method = AuthorityInformationAccessOID.OCSP
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier(url)) for url in urls]
    )


def test_two_tenants_with_different_hosts(site: Site) -> None:
    """RULES 11: the tenant whose list lacks the host is refused by it, and the other one is answered all the same."""
    frodo, cache = site.client(), MemoryCache()
    with (
        site.refresher(destinations=site.destinations(hosts=["other.example"]), cache=cache) as first,
        site.refresher(destinations=site.destinations(hosts=["127.0.0.1"]), cache=cache) as second,
    ):
        for question in (site.ocsp(frodo), site.crl(frodo)):
            refused = ask(first, question)
            assert (refused.code, refused.status) == ("fetch.host", UNAVAILABLE)
            assert ask(second, question).status is GOOD


def test_the_responder_of_a_rule_has_to_be_allowed_too(site: Site) -> None:
    """NotRevoked(responder=...) opens no host by itself, and says which list lacks it."""
    with site.refresher(destinations=site.destinations(hosts=["other.example"])) as refresher:
        answer = ask(refresher, site.ocsp(site.client(), responder=site.responder.url))
    assert answer.code == "fetch.host"
    assert "hosts=" in answer.detail


def test_by_default_loopback_is_not_asked(site: Site) -> None:
    """What a certificate names is fetched from public addresses alone, unless somebody says otherwise."""
    with Refresher() as refresher:
        assert ask(refresher, site.ocsp(site.client())).code == "fetch.host"
    with site.refresher(destinations=Destinations(ports=[site.port])) as refresher:
        assert ask(refresher, site.ocsp(site.client())).code == "fetch.address"
    assert site.responder.requests == 0


def test_what_was_unknown_stays_unknown_in_an_outage(site: Site) -> None:
    """A certificate that the responder does not know is not admitted by a soft rule once the responder is silent."""
    about = site.client()
    site.responder.answer(status="unknown")
    with site.refresher() as refresher:
        question = site.ocsp(about)
        assert ask(refresher, question).status is UNKNOWN
        assert ask(refresher, question).code == "ocsp.unknown"
        assert site.responder.requests == 1
        site.responder.answer(http_status=500)
        until(lambda: ask(refresher, question).status is UNKNOWN and site.responder.requests > 1)
        assert ask(refresher, question).status is UNKNOWN
        site.responder.answer()
        until(lambda: ask(refresher, question).status is GOOD)


def test_a_revocation_is_for_ever(site: Site) -> None:
    """Once seen revoked, neither silence nor another answer brings a certificate back, under whatever ages."""
    frodo = site.client()
    site.authority.revoke(frodo)
    with site.refresher() as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is REVOKED
        site.responder.answer(status="good")
        assert ask(refresher, site.ocsp(frodo)).status is REVOKED
        assert ask(refresher, site.ocsp(frodo, max_age=timedelta(hours=2))).status is REVOKED
        site.responder.answer(http_status=500)
        soft = policies.NotRevoked(soft=True, max_age=timedelta(hours=3))
        assert settle(site.judgement(frodo, soft), refresher.resolver()).decision.code == "ocsp.revoked"


def test_attack_an_outage_on_purpose(site: Site) -> None:
    """RULES 53: strangers for whom the responder fails keep nobody from learning that frodo is revoked."""
    frodo = site.client()
    strangers = [site.client(f"stranger {number}") for number in range(8)]
    site.authority.revoke(frodo)
    site.responder.answer(*strangers[:4], http_status=429)
    site.responder.answer(*strangers[4:], status="unknown")
    soft = policies.NotRevoked(soft=True)
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        for stranger in strangers:
            settle(site.judgement(stranger, soft), resolver)
        assert settle(site.judgement(frodo, soft), resolver).decision.code == "ocsp.revoked"


def test_no_thread_and_no_socket_before_the_first_question(site: Site) -> None:
    """A refresher may be built before a server forks; the thread comes with the first answer that lapses."""
    before = set(threads())
    with site.refresher() as refresher:
        refresher.resolver()
        assert set(threads()) == before
        assert ask(refresher, site.ocsp(site.client())).status is GOOD
        assert len(set(threads()) - before) == 1
    until(lambda: set(threads()) == before)


def test_after_the_end_there_is_no_fact(site: Site) -> None:
    """A closed refresher answers nobody: neither hard nor soft rules admit, and its resolvers are closed with it."""
    frodo = site.client()
    refresher = site.refresher()
    resolver, plain = refresher.resolver(), Resolver(refresher.sources)
    assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
    refresher.close()
    refresher.close()
    soft = policies.NotRevoked(soft=True)
    for one in (resolver, plain):
        assert settle(site.judgement(frodo, soft), one).decision.verdict is Verdict.INDETERMINATE
    with pytest.raises(ConfigurationError, match="closed"):
        ask(refresher, site.ocsp(frodo))
    plain.close()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hosts": []}, "hosts is empty"),
        ({"hosts": ["a.example"], "destinations": Destinations()}, "not both"),
        ({"client": object(), "trust": "ca.pem"}, "context of its own"),
        ({"client": object()}, "AsyncClient"),
        ({"deadline": 0}, "more than zero"),
        ({"deadline": float("inf")}, "finite"),
        ({"deadline": float("nan")}, "finite"),
        ({"deadline": True}, "seconds"),
        ({"deadline": "1"}, "seconds"),
        ({"nonce": 1}, "neither True nor False"),
        ({"background": None}, "neither True nor False"),
        ({"digest": "md5"}, "sha1 or sha256"),
        ({"cache": {}}, "a cache with get"),
        ({"destinations": "ocsp.example"}, "revocation.Destinations"),
    ],
)
def test_what_is_refused_when_it_is_built(options: Any, named: str) -> None:
    """Every value that can never be right is named, with what to give instead."""
    with pytest.raises(ConfigurationError, match=named):
        Refresher(**options)


def test_what_is_refused_of_a_resolver() -> None:
    """A deadline that is not longer than the refresher's, and a source for what the refresher answers."""
    with Refresher(hosts={"ocsp.example.com"}) as refresher:
        for deadline in (1.0, 1.5):
            with pytest.raises(ConfigurationError, match="not longer than the refresher's 1.5 s"):
                refresher.resolver(deadline=deadline)
        with pytest.raises(ConfigurationError, match="leave it out"):
            refresher.resolver({OCSP: lambda _key: None})
        assert refresher.resolver({"k": lambda _key: None}).kinds == {OCSP, CRL, "k"}
        for kind in (OCSP, CRL):
            with pytest.raises(ConfigurationError, match="is asked with"):
                refresher.sources[kind]("frodo")
        assert repr(refresher) == "<Refresher ocsp.example.com>"
        assert repr(Refresher()) == "<Refresher any host>"
        with pytest.raises(TypeError, match="instead of pickling"):
            pickle.dumps(refresher)
