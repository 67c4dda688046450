"""The JWK Set at a ``jwks_uri``: a need of each decision, which a resolver brings; nothing is fetched by us."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy import (
    ConfigurationError,
    Decision,
    Evidence,
    Fact,
    Facts,
    Need,
    Policy,
    Possession,
    PresentedChain,
    Resolver,
    TrustStore,
    VerificationError,
    Verifier,
    oauth,
    tls,
)
from mtlspolicy.testing import CertificateAuthority
from tests.oauth.pki import ROOT, jwk_of, jwks_of, self_signed, self_signed_client, shown

pytestmark = pytest.mark.filterwarnings("ignore:.*TEST CA.*")

OLD, NEW, STRANGER = self_signed("frodo"), self_signed("frodo"), self_signed("frodo")
URI: Final = "https://frodo.test/jwks"
NEED: Final = Need("oauth.jwks", URI, timedelta(minutes=5))
VERIFIER: Final = oauth.client_verifier(self_signed_client(jwks_uri=URI))


def found(verifier: Verifier) -> Callable[[str], Verifier | None]:
    """Return a registry with one client, ``frodo``."""
    return {"frodo": verifier}.get


def authenticated(leaf: Any, resolver: Resolver | None, verifier: Verifier = VERIFIER) -> Any:
    """Return the code of the refusal of *leaf*, or its peer."""
    try:
        return oauth.authenticate_client("frodo", leaf and shown(leaf), find=found(verifier), resolver=resolver)
    except oauth.InvalidClient as error:
        return error.code
    except VerificationError as error:
        return f"{error.http_status} {error.code}"


@dataclass
class Published:
    """What a client publishes over HTTPS, and how often it was asked for."""

    uri: str = ""
    answer: bytes | None = field(default_factory=lambda: json.dumps(jwks_of(OLD)).encode())
    asked: int = 0


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Published, Path]]:
    """Serve a JWK Set over TLS, as a client does; yield it and the CA's file."""
    published, ca = Published(), CertificateAuthority("Web")
    folder = tmp_path_factory.mktemp("web")
    (folder / "ca.pem").write_bytes(ca.pem)
    ca.issue_server("localhost").files(folder, name="server")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            published.asked += 1
            body = published.answer
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
            """Stay silent."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        published.uri = f"https://localhost:{server.server_port}/jwks"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield published, folder / "ca.pem"
        server.shutdown()
        thread.join()


def fetching(ca: Path) -> Callable[[str], Any]:
    """Return a source that fetches over TLS with a context of ours."""
    verifier = Verifier.for_servers(trust=TrustStore.from_file(ca), expected="localhost")
    context = tls.client_context(verifier=verifier)

    def fetch(uri: str) -> Any:
        with urllib.request.urlopen(uri, context=context, timeout=5) as response:  # noqa: S310 - https, as registered
            return json.load(response)

    return fetch


def test_a_set_is_fetched_by_the_resolver_and_rotates(serving: tuple[Published, Path]) -> None:
    """Who is in the set is the client, by threads and by event loops; who was taken out is nobody; an outage is 503."""
    published, ca = serving
    metadata = self_signed_client(jwks_uri=published.uri)
    verifier = oauth.client_verifier(metadata, jwks_max_age=timedelta(microseconds=1))
    with Resolver({"oauth.jwks": fetching(ca)}, negative_max_age=0) as resolver:
        peer = authenticated(OLD, resolver, verifier)
        assert (peer.certificate, peer.decision.admitted_by) == (
            OLD.certificate,
            ("certificate registered by the client",),
        )
        assert authenticated(STRANGER, resolver, verifier) == "path.not-registered"
        published.answer = json.dumps(jwks_of(NEW)).encode()
        assert authenticated(OLD, resolver, verifier) == "path.not-registered"
        assert authenticated(NEW, resolver, verifier).certificate == NEW.certificate
        published.answer = None
        assert authenticated(NEW, resolver, verifier) == "503 fact.missing"

    async def by_loop() -> Any:
        async def fetch(uri: str) -> Any:
            return await asyncio.to_thread(fetching(ca), uri)

        async def find(client_id: str) -> Verifier | None:
            await asyncio.sleep(0)
            return found(verifier)(client_id)

        with Resolver({"oauth.jwks": fetch}) as resolver:
            return await oauth.authenticate_client_async("frodo", shown(NEW), find=find, resolver=resolver)

    published.answer = json.dumps(jwks_of(NEW)).encode()
    assert asyncio.run(by_loop()).certificate == NEW.certificate


def test_many_strangers_make_one_question() -> None:
    """While a set is young enough nobody makes us ask its host again, whatever they present."""
    asked: list[str] = []

    def fetch(uri: str) -> Any:
        asked.append(uri)
        return jwks_of(OLD)

    async def flood() -> list[Any]:
        with Resolver({"oauth.jwks": fetch}) as resolver:
            tries = (
                oauth.authenticate_client_async("frodo", shown(STRANGER), find=found(VERIFIER), resolver=resolver)
                for _ in range(50)
            )
            return await asyncio.gather(*tries, return_exceptions=True)

    answers = asyncio.run(flood())
    assert {getattr(answer, "code", None) for answer in answers} == {"path.not-registered"}
    assert asked == [URI]


def test_nobody_is_asked_about_who_shows_nothing() -> None:
    """No certificate, no possession, another client_id: refused before any question."""
    asked: list[str] = []
    with Resolver({"oauth.jwks": asked.append}) as resolver:
        assert authenticated(None, resolver) == "path.no-certificate"
        seen_by_nobody = shown(OLD, Possession.NONE)
        for client_id, presented in (("frodo", seen_by_nobody), ("gollum", shown(OLD)), (None, shown(OLD))):
            with pytest.raises(oauth.InvalidClient):
                oauth.authenticate_client(client_id, presented, find=found(VERIFIER), resolver=resolver)
    assert asked == []
    assert VERIFIER.judgement(None).outcome().decision.code == "path.no-certificate"


def test_without_the_set_the_decision_states_what_it_needs() -> None:
    """INDETERMINATE, 503, and the need with its key; given as a fact, it decides."""
    decision = VERIFIER.decide(shown(OLD))
    assert (decision.verdict.name, decision.code, decision.missing) == ("INDETERMINATE", "fact.missing", (NEED,))
    assert URI in decision.explain()
    assert decision.retryable
    assert authenticated(OLD, None) == "503 fact.missing"
    facts = Facts({NEED: Fact(jwks_of(OLD))})
    assert oauth.authenticate_client("frodo", shown(OLD), find=found(VERIFIER), facts=facts).spki_sha256
    assert VERIFIER.verify(shown(OLD), facts=Facts({NEED: Fact(jwks_of(OLD, NEW))})).serial_number
    assert VERIFIER.decide(shown(STRANGER), facts=facts).code == "path.not-registered"


def test_the_set_of_one_client_is_not_that_of_another() -> None:
    """A fact that is stated by kind, as tests do, or that came along with a peer, is no client's set."""
    other = oauth.client_verifier(self_signed_client(jwks_uri="https://sam.test/jwks"))
    by_kind = Facts(by_kind={"oauth.jwks": jwks_of(OLD)})
    for facts in (by_kind, Facts({NEED: Fact(jwks_of(OLD))})):
        with pytest.raises(VerificationError) as raised:
            oauth.authenticate_client("frodo", shown(OLD), find=found(other), facts=facts)
        assert raised.value.code == "fact.missing"
    peer = oauth.authenticate_client("frodo", shown(OLD), find=found(VERIFIER), facts=Facts({NEED: Fact(jwks_of(OLD))}))
    assert oauth.authenticate_client("frodo", peer, find=found(VERIFIER)).certificate == OLD.certificate
    with pytest.raises(VerificationError) as raised:
        oauth.authenticate_client("frodo", peer, find=found(other))
    assert raised.value.code == "fact.missing"


def test_a_set_older_than_it_may_be_does_not_decide() -> None:
    """A store of somebody's own that gives an old set gives none."""
    now = datetime.now(UTC)
    for age, code in ((timedelta(minutes=4), "policy.anyone"), (timedelta(minutes=6), "fact.missing")):
        facts = Facts({NEED: Fact(jwks_of(OLD), now - age)})
        assert VERIFIER.decide(shown(OLD), facts=facts, at=now).code == code
    for max_age in (timedelta(0), timedelta(seconds=-1), 300):
        with pytest.raises(ConfigurationError, match="jwks_max_age"):
            oauth.client_verifier(self_signed_client(jwks_uri=URI), jwks_max_age=max_age)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "published",
    [None, {"keys": []}, {}, [], "text", b"", {"keys": [{"kty": "EC"}]}, {"keys": [jwk_of(ROOT.certificate)]}],
)
def test_what_is_no_set_of_certificates_admits_nobody(published: Any) -> None:
    """Looked up and not there, empty, malformed, a CA's certificate: refused, with or without a good certificate."""
    for leaf in (OLD, ROOT.issue_client("frodo")):
        with Resolver({"oauth.jwks": lambda _: published}) as resolver:
            assert authenticated(leaf, resolver) == "trust.unavailable"


def test_a_further_policy_has_needs_of_its_own() -> None:
    """The set first, then what the policy asks for; the same resolver brings both."""

    @dataclass(frozen=True)
    class Enrolled(Policy):
        def evaluate(self, evidence: Evidence) -> Decision:
            need = Need("test.enrolled", evidence.path.end_entity.sha256)
            fact = evidence.fact(need)
            if fact is None:
                return self.indeterminate("fact.missing", "no answer", needs=(need,))
            return self.permit("test.in") if fact.value is True else self.deny("test.out", "not enrolled")

    verifier = oauth.client_verifier(self_signed_client(jwks_uri=URI), policy=Enrolled())
    enrolled = {PresentedChain((OLD.der,)).end_entity.sha256}
    sources = {"oauth.jwks": lambda _: jwks_of(OLD, NEW), "test.enrolled": lambda key: key in enrolled}
    with Resolver(sources) as resolver:
        assert authenticated(OLD, resolver, verifier).common_name == "frodo"
        assert authenticated(NEW, resolver, verifier) == "test.out"
        assert authenticated(STRANGER, resolver, verifier) == "path.not-registered"


def test_no_context_takes_a_verifier_whose_trust_is_looked_up() -> None:
    """Each client has its own set, so it is judged after TLS, by client_id: said when the context is built."""
    with ROOT.issue_server("localhost").tempfiles() as (chain, key):
        credential = tls.Credential.from_files(chain, key)
    for make in (
        lambda: tls.server_context(credential=credential, verifier=VERIFIER),
        VERIFIER.trust_now,
        VERIFIER.warm_up,
    ):
        with pytest.raises(ConfigurationError, match="give authenticate_client a resolver") as raised:
            make()
        assert raised.value.code == "trust.unavailable"


def test_an_observer_sees_its_decisions() -> None:
    """A copy with an observer asks for the set as the first one does."""
    seen: list[Decision] = []
    there = threading.Event()

    def hook(decision: Decision) -> None:
        seen.append(decision)
        there.set()

    observed = VERIFIER.observed_by(hook)
    with Resolver({"oauth.jwks": lambda _: jwks_of(OLD)}) as resolver:
        assert authenticated(OLD, resolver, observed).common_name == "frodo"
    assert there.wait(10)
    assert [(decision.verdict.name, decision.code) for decision in seen] == [("PERMIT", "policy.anyone")]


@pytest.mark.parametrize(
    "uri",
    [
        *("http://a.test/jwks", "ftp://a.test", "https:///jwks", "https://", "a.test/jwks", "", "//a.test/jwks"),
        *("https://user@a.test/jwks", "https://a.test/jwks#x", "https://a.test:0/", "https://a.test:99999/"),
        *("https://a.test/ jwks", "https://a.test/\n", "https://\u0430.test/", "https://[::1/", "https://a.test\\@b/"),
        *(
            "https://[2001:db8::1].internal/",
            "https://x[::1]/",
            "https://a..test/",
            "https://a.test:/",
            "https://%61.test/",
        ),
        *("https://a.test/" + "a" * 2048, 3, ["https://a.test/"], b"https://a.test/"),
    ],
    ids=range(25),
)
def test_what_is_no_https_url_is_refused_at_registration(uri: Any) -> None:
    """A stranger's text: only what every reader takes for the same host gets as far as a source."""
    with pytest.raises(ConfigurationError, match="jwks_uri is") as raised:
        oauth.client_verifier(self_signed_client(jwks_uri=uri))
    assert raised.value.code == "oauth.metadata"


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.test",
        "https://a.test./x",
        "https://a-1.test:8443/a/b?c=d&e=[f]",
        "https://[2001:db8::1]:65535/",
        "https://a?b",
    ],
)
def test_what_is_a_plain_https_url_is_registered(uri: str) -> None:
    """As it stands: it is the key of the need."""
    verifier = oauth.client_verifier(self_signed_client(jwks_uri=uri))
    assert [need.key for need in verifier.decide(shown(OLD)).missing] == [uri]


def test_facts_or_a_resolver() -> None:
    """Given both, nobody could say which of them counted."""
    facts = Facts(by_kind={"oauth.jwks": jwks_of(NEW)})
    with (
        Resolver({"oauth.jwks": lambda _: jwks_of(OLD)}) as resolver,
        pytest.raises(ConfigurationError, match="facts="),
    ):
        oauth.authenticate_client("frodo", shown(OLD), find=found(VERIFIER), resolver=resolver, facts=facts)


def test_too_many_certificates_are_no_client() -> None:
    """The limits on what is presented hold here as well, before anybody is asked."""
    chain = PresentedChain(tuple(self_signed(f"c{number}").der for number in range(7)), Possession.TLS)
    with Resolver({"oauth.jwks": lambda _: jwks_of(OLD)}) as resolver, pytest.raises(oauth.InvalidClient) as raised:
        oauth.authenticate_client("frodo", chain, find=found(VERIFIER), resolver=resolver)
    assert raised.value.code == "chain.too-large"
