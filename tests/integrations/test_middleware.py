"""The middlewares by themselves: what they delete, what they answer, what an application may ask."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from typing import Any

import pytest

from mtlspolicy import Resolver, TrustStore, Verifier, policies
from mtlspolicy.errors import ConfigurationError, NoPeerCertificate, PolicyDenied, VerificationError
from mtlspolicy.forwarded import UNIX_SOCKET, envoy
from mtlspolicy.integrations import asgi, wsgi
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted
from mtlspolicy.integrations._log import LIMITER
from tests.integrations import applications
from tests.integrations.serving import FRODO, HOST, ROOT, SAM, VERIFIER, item

_TRUST = TrustStore(anchors=[ROOT.certificate])
_PROXY = Accepted(None, address=HOST)
_HEADER = (b"client-cert", item(FRODO).encode("ascii"))
FRODO_ONLY = policies.CommonName("frodo")


@pytest.fixture(autouse=True)
def _full_buckets() -> None:
    """Let no earlier test use up the lines of the log."""
    LIMITER.clear()


def scope_of(*headers: tuple[bytes, bytes], kind: str = "http", **more: Any) -> dict[str, Any]:
    """Return the scope of a request from the proxy."""
    accepted = {ACCEPTED: _PROXY}
    return {"type": kind, "http_version": "1.1", "headers": list(headers), "client": (HOST, 1), **accepted, **more}


def run(app: Any, scope: dict[str, Any], *received: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what *app* sends for *scope*."""
    sent: list[dict[str, Any]] = []
    waiting = list(received)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(dict(message))

    asyncio.run(app(scope, receive, send))
    return sent


def middleware(app: Any = applications.tell, **options: Any) -> asgi.Middleware:
    """Return the middleware in front of *app*."""
    given: Any = {"source": applications.source(), "verifier": VERIFIER, **options}
    return asgi.Middleware(app, **given)


def answered(sent: list[dict[str, Any]]) -> tuple[int, Any]:
    """Return status and body."""
    return sent[0]["status"], json.loads(sent[1]["body"])


class Seeing:
    """An application that keeps the scope it was given, and then does what it is told."""

    def __init__(self, action: Any = None) -> None:
        self.scope: dict[str, Any] = {}
        self._action = action

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope."""
        self.scope = scope
        if self._action is not None:
            await self._action(scope)
        await applications.tell(scope, receive, send)


def test_what_others_left_for_a_peer_is_deleted_and_the_callers_scope_is_not_changed() -> None:
    """``mtlspolicy.*`` and the TLS extension of another layer are gone; other extensions stay."""
    seeing = Seeing()
    extensions: Any = {"tls": {"client_cert_chain": ["EVIL"]}, "http.response.push": {}}
    scope = scope_of(_HEADER, extensions=extensions, **{"mtlspolicy.peer": "EVIL", "mtlspolicy.admission": "EVIL"})
    assert answered(run(middleware(seeing), scope))[0] == 200
    assert seeing.scope["extensions"] == {"http.response.push": {}}
    assert "mtlspolicy.peer" not in seeing.scope
    assert asgi.peer(seeing.scope).common_name == "frodo"
    assert scope["extensions"] is extensions
    assert _HEADER in scope["headers"]


def test_the_headers_are_removed_in_every_spelling_also_for_who_has_no_certificate() -> None:
    """Whoever sent them: an application does not see Client-Cert, nor what it could take for it."""
    seeing = Seeing()
    names = [b"Client_Cert", b"client.cert", b"CLIENT-CERT-CHAIN", b"x-other"]
    stranger: Any = {ACCEPTED: Accepted(None, address="10.0.0.9")}
    sent = run(middleware(seeing, required=False), scope_of(*[(name, b"") for name in names], **stranger))
    assert answered(sent) == (403, {"error": "forwarded.untrusted-proxy"})
    sent = run(middleware(seeing, required=False), scope_of((b"x-other", b"")))
    assert (answered(sent)[0], asgi.peer_or_none(seeing.scope), asgi.presented(seeing.scope)) == (200, None, None)


def test_headers_that_can_be_read_once_alone_are_seen_by_all() -> None:
    """ASGI allows any iterable: the source must not see less than the application."""
    seeing = Seeing()
    scope = scope_of()
    scope["headers"] = iter([_HEADER, (b"x-other", b"1"), (b"x-" + b"a" * 100, b"2")])
    assert answered(run(middleware(seeing, required=False), scope))[0] == 200
    assert asgi.peer(seeing.scope).common_name == "frodo"
    assert seeing.scope["headers"] == [(b"x-other", b"1"), (b"x-" + b"a" * 100, b"2")]


def test_nested_middlewares_each_ask_the_socket_and_the_inner_one_wins() -> None:
    """An outer middleware hands the connection on, and not its answer."""
    seeing = Seeing()
    inner = middleware(seeing, verifier=Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("sam")))
    other = envoy(trusted=[f"{HOST}/32"])
    outer = asgi.Middleware(inner, source=other, verifier=VERIFIER, required=False)
    sam = (b"client-cert", item(SAM).encode("ascii"))
    assert answered(run(outer, scope_of(sam)))[0] == 200
    assert asgi.peer(copy.deepcopy(seeing.scope)).common_name == "sam"  # as Hypercorn's ProxyFix copies it
    assert answered(run(outer, scope_of(_HEADER))) == (403, {"error": "name.mismatch"})


def test_lifespan_passes_and_what_is_no_http_does_not() -> None:
    """A scope that nobody knows has no sender who could be admitted."""
    seen: list[str] = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        seen.append(scope["type"])

    run(middleware(app), {"type": "lifespan"})
    with pytest.raises(ConfigurationError, match="webtransport"):
        run(middleware(app), scope_of(kind="webtransport"))
    assert seen == ["lifespan"]


def test_a_websocket_is_closed_before_it_is_accepted_where_the_server_can_answer_nothing_else() -> None:
    """Without the response extension the close itself is the refusal; with it the table's answer goes out."""
    scope = scope_of(kind="websocket")
    sent = run(middleware(), scope, {"type": "websocket.connect"})
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "path.no-certificate"}]
    scope = scope_of(kind="websocket", extensions={"websocket.http.response": {}})
    sent = run(middleware(absent=401), scope, {"type": "websocket.connect"})
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 401
    assert dict(sent[0]["headers"])[b"www-authenticate"] == b'Mutual error="path.no-certificate"'


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ("no-store", [(b"x", b"1"), (b"cache-control", b"no-store")]),
        ("vary", [(b"x", b"1"), (b"cache-control", b"public"), (b"vary", b"client-cert, client-cert-chain")]),
        (None, [(b"x", b"1"), (b"cache-control", b"public")]),
    ],
)
def test_responses_that_a_certificate_chose_are_kept_out_of_shared_caches(cache: Any, expected: Any) -> None:
    """RFC 9440, 2.4; and a certificate header never stands in a response."""

    async def app(_: Any, __: Any, send: Any) -> None:
        fields = [(b"x", b"1"), (b"cache-control", b"public"), (b"client-cert", b"a")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})

    assert run(middleware(app, cache=cache), scope_of(_HEADER))[0]["headers"] == expected

    def plain(_: Any, start: Any) -> list[bytes]:
        start("200 OK", [("x", "1"), ("cache-control", "public"), ("client-cert", "a")])
        return []

    _, headers, _ = call(wsgi_middleware(plain, cache=cache), environ_of(FRODO))
    assert [(name.lower().encode(), value.encode()) for name, value in headers] == expected


def test_a_fact_that_could_not_be_had_is_a_503_that_may_be_tried_again() -> None:
    """The resolver is asked; its failure is not the client's fault."""
    answers: list[Any] = [True]

    async def enrolled(_: Any) -> Any:
        if not answers:
            raise ConnectionError("down")
        return answers.pop()

    @policies.lookup("partner.enrolled", key=lambda path: path.end_entity.spki_sha256, max_age=None)
    def is_enrolled(row: Any, _: Any) -> bool:
        return row is True

    verifier = Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("frodo", "sam") & is_enrolled)
    app = middleware(verifier=verifier, resolver=Resolver({"partner.enrolled": enrolled}))
    assert answered(run(app, scope_of(_HEADER)))[0] == 200
    sent = run(app, scope_of((b"client-cert", item(SAM).encode("ascii"))))
    assert answered(sent) == (503, {"error": "fact.missing"})
    assert dict(sent[0]["headers"])[b"retry-after"] == b"5"


def _tenants(request: Any) -> Any:
    query = request.get("query_string", b"").decode()
    if query == "denied":
        raise PolicyDenied(FRODO_ONLY.deny("acme.no-tenant", "unknown tenant"))
    return {"a": VERIFIER, "b": Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("sam"))}[query]


async def _tenants_async(request: Any) -> Any:
    return None if request["query_string"] == b"none" else _tenants(request)


@pytest.mark.parametrize("select", [_tenants, _tenants_async])
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        (b"a", 200, None),
        (b"b", 403, "name.mismatch"),
        (b"unknown", 403, "policy.error"),
        (b"denied", 403, "acme.no-tenant"),
    ],
)
def test_the_callers_tenant_chooses_the_verifier(select: Any, query: bytes, status: int, code: str | None) -> None:
    """Unknown tenants and whatever the callable raises are refusals; nobody falls back to another verifier."""
    sent = run(middleware(verifier=None, select=select), scope_of(_HEADER, query_string=query))
    assert sent[0]["status"] == status
    assert code is None or answered(sent)[1] == {"error": code}


def test_a_tenant_without_a_verifier_is_refused() -> None:
    """None is no verifier, and neither is one for servers."""
    app = middleware(verifier=None, select=_tenants_async)
    assert answered(run(app, scope_of(_HEADER, query_string=b"none"))) == (403, {"error": "policy.bad-result"})
    servers = Verifier.for_servers(trust=_TRUST, expected="a.test")
    app = middleware(verifier=None, select=lambda _: servers)
    assert answered(run(app, scope_of(_HEADER))) == (403, {"error": "policy.bad-result"})


def test_a_further_policy_of_all_requests() -> None:
    """``policy=`` is asked of who was admitted."""
    assert answered(run(middleware(policy=FRODO_ONLY), scope_of(_HEADER)))[0] == 200
    refused = middleware(policy=policies.CommonName("sam"))
    assert answered(run(refused, scope_of(_HEADER))) == (403, {"error": "name.mismatch"})


class _Form:
    """A request with a form, as the bank's partners post it."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def form(self) -> dict[str, str]:
        """Return the form, read from the connection."""
        await asyncio.sleep(0)
        fields: dict[str, str] = json.loads(self.scope["query_string"])
        return fields


async def _user(request: Any) -> Any:
    return policies.CommonName((await request.form())["user"])


async def _no_policy(_: Any) -> Any:
    return True


def _own_refusal(_: Any) -> Any:
    raise PolicyDenied(FRODO_ONLY.deny("acme.closed", "closed"))


@pytest.mark.parametrize(
    ("policy", "form", "status", "code"),
    [
        (_user, b'{"user": "frodo"}', 200, None),
        (_user, b'{"user": "sam"}', 403, "name.mismatch"),
        (_user, b"{}", 403, "policy.error"),
        (_no_policy, b"{}", 403, "policy.bad-result"),
        (_own_refusal, b"{}", 403, "acme.closed"),
        (FRODO_ONLY, b"{}", 200, None),
        (policies.CommonName("sam"), b"{}", 403, "name.mismatch"),
    ],
)
def test_the_name_in_the_certificate_must_be_the_one_in_the_form(
    policy: Any, form: bytes, status: int, code: str | None
) -> None:
    """A route's own question: another user is refused, and a form without the name is a 403 and not a 500."""
    needed = asgi.require(policy)

    async def route(scope: Any) -> None:
        assert (await needed(_Form(scope))).common_name == "frodo"

    sent = run(middleware(Seeing(route)), scope_of(_HEADER, query_string=form))
    assert sent[0]["status"] == status
    assert code is None or answered(sent)[1] == {"error": code}


def test_an_error_that_is_not_about_this_client_is_not_answered_as_one() -> None:
    """A refusal that the application had from elsewhere, its own upstream, is its own trouble."""
    refusal = PolicyDenied(FRODO_ONLY.deny("acme.upstream", "upstream"))

    async def upstream(_: Any) -> None:
        raise refusal

    with pytest.raises(PolicyDenied):
        run(middleware(Seeing(upstream)), scope_of(_HEADER))

    def plain(_: Any, __: Any) -> list[bytes]:
        raise refusal

    with pytest.raises(PolicyDenied):
        call(wsgi_middleware(plain), environ_of(FRODO))


def test_after_the_response_has_begun_there_is_nothing_to_answer() -> None:
    """The server ends such a response; a second one would be spoken into its body."""

    async def late(scope: Any, _: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        asgi.peer(scope)

    with pytest.raises(NoPeerCertificate):
        run(middleware(late, required=False), scope_of())

    def plain(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        wsgi.peer(environ)
        return []

    with pytest.raises(NoPeerCertificate):
        call(wsgi_middleware(plain, required=False), environ_of(None))


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_route_that_needs_a_certificate_where_others_do_not(kind: str) -> None:
    """``peer`` of a request without one is answered as a missing certificate."""

    async def route(scope: Any) -> None:
        asgi.peer(scope)

    extensions: Any = {"websocket.http.response": {}}
    app = middleware(Seeing(route), required=False, absent=400)
    assert answered(run(app, scope_of(kind=kind, extensions=extensions))) == (400, {"error": "path.no-certificate"})


@pytest.mark.parametrize(
    ("told", "closed"), [("websocket.accept", True), ("websocket.send", True), ("websocket.close", False)]
)
def test_a_websocket_that_is_open_is_closed_with_the_code(told: str, *, closed: bool) -> None:
    """A route that asks after it has accepted: closed with 1008 and the code; one that it closed itself stays so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        await send({"type": told})
        asgi.peer(scope)

    front = middleware(app, required=False)
    if closed:
        sent = run(front, scope_of(kind="websocket"))
        assert sent == [{"type": told}, {"type": "websocket.close", "code": 1008, "reason": "path.no-certificate"}]
    else:
        with pytest.raises(NoPeerCertificate):
            run(front, scope_of(kind="websocket"))


@pytest.mark.parametrize("request_", [{}, object(), {"mtlspolicy.admission": "EVIL"}, None])
def test_a_request_that_no_middleware_has_seen_has_no_peer(request_: Any) -> None:
    """Not even none: forgetting the middleware must not open a route."""
    for ask in (asgi.peer, asgi.peer_or_none, asgi.presented, wsgi.require(FRODO_ONLY)):
        with pytest.raises(ConfigurationError, match="Middleware"):
            ask(request_)


def test_a_refused_request_is_logged_once_and_a_flood_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Address, code and reason on ``mtlspolicy.request``; the body tells the client the code alone."""
    with caplog.at_level(logging.WARNING, "mtlspolicy.request"):
        for _ in range(40):
            run(middleware(), scope_of())
    assert 0 < len(caplog.records) < 40
    first: Any = caplog.records[0]
    assert (first.mtlspolicy_code, first.mtlspolicy_address) == ("path.no-certificate", HOST)
    bucket = LIMITER._held["path.no-certificate"]
    bucket[0] = 1.0
    with caplog.at_level(logging.WARNING, "mtlspolicy.request"):
        run(middleware(), scope_of())
    assert "more refused with this code" in caplog.messages[-1]


def test_without_an_edge_of_ours_the_connection_has_no_peer() -> None:
    """A Unix socket, an unknown address, a server that hides the connection: refused, and the remedy is named."""
    scope = scope_of(_HEADER)
    del scope[ACCEPTED]
    with pytest.raises(ConfigurationError, match="integrations.uvicorn"):
        run(middleware(), dict(scope))
    with pytest.raises(ConfigurationError, match="integrations.uvicorn"):
        run(asgi.Middleware(applications.tell, source="connection"), dict(scope))
    app = middleware(address_is_transport=True)
    assert answered(run(app, {**scope, "client": None})) == (403, {"error": "forwarded.untrusted-proxy"})
    assert answered(run(app, {**scope, "client": (HOST, 0)}))[0] == 200
    forwarded = [*scope["headers"], (b"forwarded", b"for=10.0.0.1")]
    assert answered(run(app, {**scope, "headers": forwarded}))[0] == 200
    refused = run(app, {**scope, "client": (HOST, 0), "headers": forwarded})
    assert answered(refused) == (403, {"error": "forwarded.untrusted-proxy"})
    assert answered(run(app, {**scope, "headers": [], "http_version": "2"})) == (403, {"error": "path.no-certificate"})
    for version in ("2", "3", None):
        sent = run(app, {**scope, "http_version": version})
        assert answered(sent) == (400, {"error": "forwarded.http-version"})
    by_unix = middleware(source=applications.source(UNIX_SOCKET), address_is_transport=True)
    assert answered(run(by_unix, {**scope, "client": None})) == (403, {"error": "forwarded.untrusted-proxy"})


def test_words_about_a_certificate_admit_nobody() -> None:
    """A source that reads Envoy's text claims makes no peer of them."""
    source = envoy(trusted=[f"{HOST}/32"], text_claims=True)
    header = (b"x-forwarded-client-cert", b"Hash=" + b"a" * 64 + b';Subject="CN=frodo"')
    sent = run(middleware(source=source), scope_of(header))
    assert answered(sent) == (400, {"error": "forwarded.text-only"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "socket"}, "give a source"),
        ({"source": "connection"}, "named once"),
        ({"source": "connection", "verifier": None, "select": _tenants}, "named once"),
        ({"source": "connection", "verifier": None, "resolver": Resolver({"acme.row": lambda _: None})}, "named once"),
        ({"verifier": None}, "either verifier= or select="),
        ({"select": _tenants}, "either verifier= or select="),
        ({"verifier": None, "select": 1}, "callable"),
        ({"verifier": Verifier.for_servers(trust=_TRUST, expected="a.test")}, "for_clients"),
        ({"verifier": 1}, "for_clients"),
        ({"required": 0}, "required=0"),
        ({"address_is_transport": "yes"}, "address_is_transport='yes'"),
        ({"absent": 404}, "absent=404"),
        ({"absent": True}, "absent=True"),
        ({"cache": "public"}, "cache='public'"),
        ({"policy": 1}, "policy=int"),
        ({"resolver": 1}, "resolver=int"),
        ({"optional": True}, "there is no such option"),
    ],
)
def test_options_that_do_not_go_together_are_refused_when_the_application_is_built(options: Any, words: str) -> None:
    """The message names the option, the rule and the remedy; for ASGI and WSGI alike."""
    for build in (middleware, wsgi_middleware):
        with pytest.raises(ConfigurationError, match=words):
            build(**options)


@pytest.mark.parametrize("policy", [None, 1, "frodo"])
def test_a_requirement_is_a_policy_or_makes_one(policy: Any) -> None:
    """A name in place of a policy is a mistake that shows when the route is built."""
    for require in (asgi.require, wsgi.require):
        with pytest.raises(ConfigurationError, match="give a policy"):
            require(policy)


# -- WSGI ------------------------------------------------------------------------------------------------------------


def wsgi_middleware(app: Any = None, **options: Any) -> wsgi.Middleware:
    """Return the middleware in front of *app*."""

    def tell(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        return [json.dumps({key: value for key, value in environ.items() if key.startswith("SSL_")}).encode()]

    given: Any = {"source": applications.source(), "verifier": VERIFIER, **options}
    return wsgi.Middleware(app or tell, **given)


def environ_of(der: bytes | None, **more: Any) -> dict[str, Any]:
    """Return the environ of a request from the proxy, as gunicorn gives it."""
    environ: dict[str, Any] = {"SERVER_SOFTWARE": "gunicorn/27.0.1", "SERVER_PROTOCOL": "HTTP/1.1", ACCEPTED: _PROXY}
    if der is not None:
        environ["HTTP_CLIENT_CERT"] = item(der)
    return {**environ, **more}


def call(app: Any, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
    """Return status, headers and body."""
    started: list[Any] = []
    body = b"".join(app(environ, lambda *arguments: started.extend(arguments)))
    return started[0], started[1], body


def test_what_servers_call_the_client_is_deleted_and_then_set() -> None:
    """A process variable or another layer must not read as identity; without a peer VERIFY is NONE."""
    left = {"SSL_CLIENT_S_DN": "CN=EVIL", "SSL_CLIENT_FINGERPRINT": "EVIL", "SSL_SERVER_S_DN": "EVIL"}
    status, _, body = call(wsgi_middleware(), environ_of(SAM, **left))
    told = json.loads(body)
    assert status == "200 OK"
    assert (told["SSL_CLIENT_VERIFY"], told["SSL_CLIENT_S_DN"]) == ("SUCCESS", "CN=sam")
    assert told["SSL_CLIENT_V_END"].endswith(" GMT")
    assert "EVIL" not in body.decode()
    _, _, body = call(wsgi_middleware(required=False), environ_of(None, **left))
    assert json.loads(body) == {"SSL_CLIENT_VERIFY": "NONE"}


def test_wsgi_refuses_with_a_status_line_and_flask_may_do_the_same() -> None:
    """The same answers; a framework that catches exceptions itself gets them from an error handler."""
    status, headers, body = call(wsgi_middleware(), environ_of(None))
    assert (status, body) == ("403 Forbidden", b'{"error": "path.no-certificate"}\n')
    assert ("Cache-Control", "no-store") in headers

    def route(environ: Any, _: Any) -> list[bytes]:
        wsgi.require(lambda _: policies.CommonName("sam"))(environ)
        return []

    assert call(wsgi_middleware(route), environ_of(FRODO))[2] == b'{"error": "name.mismatch"}\n'
    with pytest.raises(VerificationError) as caught:
        wsgi.peer({"mtlspolicy.admission": _admission_of_nobody()})
    assert wsgi.answer(caught.value)[:2] == (b'{"error": "path.no-certificate"}\n', 403)


def _admission_of_nobody() -> Any:
    seen: list[Any] = []

    def route(environ: Any, start: Any) -> list[bytes]:
        seen.append(environ["mtlspolicy.admission"])
        start("200 OK", [])
        return []

    call(wsgi_middleware(route, required=False), environ_of(None))
    return seen[0]


def test_a_coroutine_in_place_of_a_policy_is_a_refusal_under_wsgi() -> None:
    """Nobody awaits it there; it is closed and refused."""

    def route(environ: Any, _: Any) -> list[bytes]:
        wsgi.require(_user)(environ)
        return []

    assert call(wsgi_middleware(route), environ_of(FRODO))[2] == b'{"error": "policy.bad-result"}\n'


def test_a_server_without_a_socket_or_that_keeps_aliases_is_refused_under_wsgi() -> None:
    """waitress gives no socket: its word counts where one says so. wsgiref is refused in any case."""
    environ = environ_of(FRODO, SERVER_SOFTWARE="waitress", REMOTE_ADDR=HOST, REMOTE_PORT="5000")
    del environ[ACCEPTED]
    with pytest.raises(ConfigurationError, match="address_is_transport"):
        call(wsgi_middleware(), dict(environ))
    believing = wsgi_middleware(address_is_transport=True)
    assert call(believing, dict(environ))[0] == "200 OK"
    rewritten = {**environ, "HTTP_X_FORWARDED_FOR": HOST}
    assert call(believing, rewritten)[2] == b'{"error": "forwarded.untrusted-proxy"}\n'
    with pytest.raises(ConfigurationError, match="wsgiref"):
        call(believing, {**environ, "SERVER_SOFTWARE": "WSGIServer/0.2 CPython/3.11"})
    with pytest.raises(ConfigurationError, match="drop"):
        call(believing, {**environ, "SERVER_SOFTWARE": "acme/1.0"})
    told = wsgi_middleware(address_is_transport=True, drops_underscores=True)
    assert call(told, {**environ, "SERVER_SOFTWARE": "acme/1.0"})[0] == "200 OK"


def test_a_text_in_place_of_a_socket_is_no_socket() -> None:
    """wsgiref copies the environment of the process into the environ: a variable is no proof."""
    environ = environ_of(FRODO, **{"gunicorn.socket": "EVIL"})
    del environ[ACCEPTED]
    with pytest.raises(ConfigurationError, match="address_is_transport"):
        call(wsgi_middleware(), environ)


def test_tenants_under_wsgi() -> None:
    """The callable gets the environ, without the header, and its failure is a refusal."""
    seen: list[Any] = []

    def select(environ: Any) -> Any:
        seen.append(dict(environ))
        return {"a": VERIFIER}[environ["PATH_INFO"]]

    app = wsgi_middleware(verifier=None, select=select)
    assert call(app, environ_of(FRODO, PATH_INFO="a"))[0] == "200 OK"
    assert call(app, environ_of(FRODO, PATH_INFO="b"))[2] == b'{"error": "policy.error"}\n'
    assert all("HTTP_CLIENT_CERT" not in environ for environ in seen)
