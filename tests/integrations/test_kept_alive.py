"""What is kept of a connection between its requests: the client of its handshake, for as long as that stands."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from mtlspolicy import ConfigurationError, NoPeerCertificate, policies, tls
from mtlspolicy.integrations import asgi
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted
from mtlspolicy.integrations._introduce import introduced
from mtlspolicy.tls._enforcement import Enforcement, enforcement_of
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._object import LatchedObject
from tests.integrations import applications
from tests.integrations.answering import FRODO, Clients, context_for, serving
from tests.integrations.serving import PATIENCE, ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="as for the servers beside")


class _Ends:
    """Both ends of a connection in memory, after the handshake, and the transport of the server's."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, session: Any = None) -> None:
        self.to_server, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(self.to_server, self.to_client, server_side=True)
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname="localhost", session=session)
        for _ in range(3):
            for end in (self.client, self.server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        self.accepted = Accepted(self)

    def get_extra_info(self, name: str) -> object:
        """What a transport tells: the TLS object."""
        return {"ssl_object": self.server}.get(name)

    def ask_again(self) -> None:
        """Ask the client for a certificate below the latch, which has no such question for objects, and take it."""
        below: Any = self.server.__dict__["_sslobj"]
        below.verify_client_post_handshake()
        self.server.write(b"question")
        assert self.client.read() == b"question"
        self.client.write(b"answer")
        assert self.server.read() == b"answer"


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """The contexts of clients."""
    return Clients(tmp_path_factory.mktemp("clients"))


def _offering(folder: Path) -> ssl.SSLContext:
    """Return the context of a client that shows its certificate whenever it is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.der)
    context.load_cert_chain(*ROOT.issue_client("frodo").files(folder))
    context.post_handshake_auth = True
    return context


class _Application:
    """Remembers the scopes that reach it, and writes into them as applications may."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 200."""
        del receive
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"ok"})


Ask = Callable[..., list[Any]]


@pytest.fixture(params=["by any server", "by a server of ours"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return what returns what an application sends for one request on a connection."""
    ours = request.param == "by a server of ours"
    return lambda app, accepted, **more: _ask(introduced(app, accepted) if ours else app, accepted, **more)


def _ask(app: Any, accepted: Accepted, **more: Any) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("no body is read here")

    async def send(message: Any) -> None:
        sent.append(message)

    async def serve() -> None:
        scope = {"type": "http", "headers": [(b"host", b"localhost")], "http_version": "1.1", **more}
        await app({**scope, ACCEPTED: accepted}, receive, send)

    asyncio.run(serve())
    return sent


def test_requests_share_the_handshake_and_nothing_that_can_be_written(clients: Clients, ask: Ask) -> None:
    """The peer is the same object; scopes, headers and the TLS extension are each request's own."""
    inner, ends = _Application(), _Ends(context_for(), clients["frodo"])
    app = asgi.Middleware(inner, source="connection")
    told: Any = {"extensions": {"tls": {"client_cert_name": "CN=mallory"}, "other": {}}}
    each: list[dict[str, Any]] = [{}, told, {}]
    for more in each:
        assert [message["type"] for message in ask(app, ends.accepted, **more)] == [
            "http.response.start",
            "http.response.body",
        ]
        scope = inner.scopes[-1]
        assert scope["extensions"]["tls"]["client_cert_name"] == "CN=frodo"
        assert len(scope["extensions"]["tls"]["client_cert_chain"]) == 2
        scope["extensions"]["tls"]["client_cert_name"] = "CN=gollum"
        scope["extensions"]["tls"]["client_cert_chain"].append("gollum")
        scope["headers"].append((b"x", b"y"))
    first, second, third = inner.scopes
    assert set(second["extensions"]) == {"tls", "other"}
    assert asgi.peer(first) is asgi.peer(second) is asgi.peer(third) is tls.peer_of(ends.server)
    assert ends.accepted.shown() is ends.accepted.shown()


def test_what_looks_like_our_word_does_not_reach_the_application(clients: Clients) -> None:
    """A server of ours is called by nobody who could write it; before any other it is taken out, whoever wrote it."""
    inner, ends = _Application(), _Ends(context_for(), clients["frodo"])
    _ask(asgi.Middleware(inner, source="connection"), ends.accepted, **{"mtlspolicy.peer": "mallory"})
    assert "mtlspolicy.peer" not in inner.scopes[0]


def test_a_middleware_of_somebody_elses_making_is_called_as_it_is(clients: Clients) -> None:
    """What a class of one's own adds is not left out because a server of ours calls it."""
    called: list[str] = []

    class Own(asgi.Middleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            """Serve one scope."""
            called.append(scope["type"])
            await super().__call__(scope, receive, send)

    inner, ends = _Application(), _Ends(context_for(), clients["frodo"])
    _ask(introduced(Own(inner, source="connection"), ends.accepted), ends.accepted)
    assert called == ["http"]
    assert asgi.peer(inner.scopes[0]).common_name == "frodo"


def test_what_is_no_request_has_no_peer(clients: Clients, ask: Ask) -> None:
    """A type of scope that nobody knows is refused, and the application not called."""
    inner, ends = _Application(), _Ends(context_for(), clients["frodo"])
    with pytest.raises(ConfigurationError, match="a scope of type 'telnet'"):
        ask(asgi.Middleware(inner, source="connection"), ends.accepted, type="telnet")
    assert inner.scopes == []


def test_attack_a_request_for_another_host_on_a_kept_connection(clients: Clients, ask: Ask) -> None:
    """The host is held against the one that the connection was judged for with each request: 421."""
    options = tls.ServerOptions(virtual_hosts={"strict.test": context_for(policies.CommonName("sam"))})
    inner, ends = _Application(), _Ends(context_for(options=options), clients["frodo"])
    app = asgi.Middleware(inner, source="connection")
    hosts = (b"localhost", b"strict.test", b"localhost")
    assert [ask(app, ends.accepted, headers=[(b"host", host)])[0]["status"] for host in hosts] == [200, 421, 200]
    assert len(inner.scopes) == 2


def test_attack_requests_of_two_connections_by_turns(clients: Clients, ask: Ask) -> None:
    """What is kept belongs to one connection: through one middleware each request has the peer of its own."""
    inner, context = _Application(), context_for(policies.CommonName("frodo", "sam"))
    app = asgi.Middleware(inner, source="connection")
    connections = {name: _Ends(context, clients[name]).accepted for name in ("frodo", "sam")}
    for name in ("frodo", "sam", "frodo", "sam"):
        ask(app, connections[name])
        scope = inner.scopes[-1]
        assert (asgi.peer(scope).common_name, scope["extensions"]["tls"]["client_cert_name"]) == (name, f"CN={name}")


def test_a_connection_that_was_refused_meanwhile_serves_nobody(clients: Clients, ask: Ask) -> None:
    """The next request sees the latch, whatever was shown before."""
    inner, ends = _Application(), _Ends(context_for(), clients["frodo"])
    app = asgi.Middleware(inner, source="connection")
    ask(app, ends.accepted)
    latch: Any = ends.server._latch  # type: ignore[attr-defined]
    latch.refuse(refusal("tls.peer-changed", "somebody else"))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"tls\.peer-changed"):
            ask(app, ends.accepted)
    assert len(inner.scopes) == 1
    with pytest.raises(ConfigurationError):
        ends.accepted.shown()


def test_attack_another_certificate_below_a_kept_connection(clients: Clients, ask: Ask) -> None:
    """A TLS object that is not the one that was seen is asked anew: the connection is shut, and answered 403."""

    class Changed:
        """A C object below a connection that shows another certificate."""

        server_side = True

        def getpeercert(self, _der: bool, /) -> bytes:
            """Return the certificate of somebody else."""
            return ROOT.issue_client("gollum").der

    inner, ends = _Application(), _Ends(context_for(), clients["frodo"])
    app = asgi.Middleware(inner, source="connection")
    ask(app, ends.accepted)
    ends.server.__dict__["_sslobj"] = Changed()
    assert ask(app, ends.accepted)[0]["status"] == 403
    assert len(inner.scopes) == 1
    with pytest.raises(tls.HandshakeRejected):
        ends.server.read(1)


def test_attack_a_certificate_that_comes_after_the_decision(tmp_path: Path) -> None:
    """OpenSSL sets the validated chain anew for it, which is what is compared: nobody becomes somebody on the way."""
    context = context_for(client_certificate="on-request")
    context.sslobject_class = LatchedObject  # which no such context makes by itself
    cast("Enforcement", enforcement_of(context)).bind()
    ends = _Ends(context, _offering(tmp_path))
    assert ends.accepted.shown().peer is None
    assert ends.accepted.shown() is ends.accepted.shown()
    ends.ask_again()
    with pytest.raises(tls.HandshakeRejected):
        ends.accepted.shown()
    with pytest.raises(ConfigurationError, match="refused"):
        ends.accepted.shown()


def test_the_same_certificate_once_more_is_the_same_client(tmp_path: Path) -> None:
    """Certificates are compared, and not the objects that hold them."""
    ends = _Ends(context_for(), _offering(tmp_path))
    shown = ends.accepted.shown()
    ends.ask_again()
    assert ends.accepted.shown() is shown


def test_a_resumed_connection_is_kept_until_it_breaks(clients: Clients) -> None:
    """OpenSSL has no validated chain of it: the certificate itself is compared, which a broken one does not show."""
    context = context_for()
    context.options &= ~ssl.OP_NO_TICKET
    context.num_tickets = 1
    enforcement = enforcement_of(context)
    assert enforcement is not None
    enforcement.bind()  # tickets are not ours to give: what a context of somebody else's would do
    first = _Ends(context, clients["frodo"])
    first.server.write(b"x")
    assert first.client.read() == b"x"
    ends = _Ends(context, clients["frodo"], first.client.session)
    assert ends.client.session_reused
    shown = ends.accepted.shown()
    assert ends.accepted.shown() is shown
    assert shown.peer is not None
    assert shown.peer.common_name == "frodo"
    ends.to_server.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ssl.SSLError):
        ends.server.read(1)
    with pytest.raises(ConfigurationError, match="closed"):
        ends.accepted.shown()


def test_what_is_no_transport_of_ours_is_asked_each_time(clients: Clients) -> None:
    """Where the connection does not tell its TLS object, nothing is compared, and `peer_of` is asked."""
    accepted = Accepted(_Ends(context_for(), clients["frodo"]).server)
    assert accepted.shown() is not accepted.shown()
    assert accepted.shown().peer is tls.peer_of(accepted.connection)


def test_a_peer_that_was_asked_for_later_is_the_peer_of_the_next_request(tmp_path: Path) -> None:
    """`tls.request_certificate` on a blocking socket: what was shown before it no longer stands."""
    context = context_for(client_certificate="on-request")
    raised: list[object] = []
    plain, other = socket.socketpair()

    def client() -> None:
        try:
            with _offering(tmp_path).wrap_socket(other, server_hostname="localhost") as connection:
                connection.sendall(b"x")
                raised.append(connection.recv(10))
        except BaseException as error:  # noqa: BLE001 - shown below
            raised.append(error)

    thread = threading.Thread(target=client)
    thread.start()
    plain.settimeout(PATIENCE)
    with context.wrap_socket(plain, server_side=True) as connection:
        assert connection.recv(1) == b"x"
        accepted = Accepted(connection)
        assert accepted.shown().peer is None
        peer = tls.request_certificate(connection)
        assert accepted.shown().peer is peer
        assert accepted.shown().stands()
        connection.sendall(b"bye")
    thread.join(PATIENCE)
    assert raised == [b"bye"]


def test_a_further_policy_is_asked_for_each_request(clients: Clients, ask: Ask) -> None:
    """What is kept is who the client is, and never that a request of his was permitted."""
    ends = _Ends(context_for(), clients["frodo"])
    inner = _Application()
    assert ask(asgi.Middleware(inner, source="connection", policy=FRODO), ends.accepted)[0]["status"] == 200
    other = asgi.Middleware(inner, source="connection", policy=policies.CommonName("sam"))
    assert [ask(other, ends.accepted)[0]["status"] for _ in range(2)] == [403, 403]
    assert len(inner.scopes) == 1


def test_who_shows_no_certificate_is_refused_each_time(clients: Clients, ask: Ask) -> None:
    """A connection without a certificate is kept as such, and the middleware's own rule is asked for each request."""
    ends = _Ends(context_for(client_certificate="optional"), clients[None])
    strict, lax = (asgi.Middleware(_Application(), source="connection", required=one) for one in (True, False))
    assert [ask(app, ends.accepted)[0]["status"] for app in (strict, lax, strict)] == [403, 200, 403]


def test_messages_that_are_sent_by_tasks_are_held_in_their_order(clients: Clients, ask: Ask) -> None:
    """A page of an error that hides a refusal is held from the call on, and not from when it is awaited."""
    ends = _Ends(context_for(client_certificate="optional"), clients[None])

    async def page(scope: Any, receive: Any, send: Any) -> None:
        del receive
        with pytest.raises(NoPeerCertificate) as caught:
            asgi.peer(scope)
        start = {"type": "http.response.start", "status": 500, "headers": []}
        body = {"type": "http.response.body", "body": b"secrets of the framework"}
        await asyncio.gather(send(start), send(body))
        raise caught.value

    sent = ask(asgi.Middleware(page, source="connection", required=False), ends.accepted)
    assert [(one.get("status"), one.get("body")) for one in sent] == [
        (403, None),
        (None, b'{"error": "path.no-certificate"}\n'),
    ]


def test_an_error_of_the_application_is_for_its_server(clients: Clients, ask: Ask) -> None:
    """What has nothing to do with the peer is raised, behind the page that the application made of it."""
    ends, sent = _Ends(context_for(), clients["frodo"]), []

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"a page"})
        sent.append("all")
        raise KeyError("row")

    with pytest.raises(KeyError, match="row"):
        ask(asgi.Middleware(broken, source="connection"), ends.accepted)
    assert sent == ["all"]


def test_a_page_of_an_error_that_hides_nothing_is_sent(clients: Clients, ask: Ask) -> None:
    """It was held until the application had ended, and is then its answer."""
    ends = _Ends(context_for(), clients["frodo"])

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"later"})

    sent = ask(asgi.Middleware(failing, source="connection"), ends.accepted)
    assert [(one.get("status"), one.get("body")) for one in sent] == [(503, None), (None, b"later")]


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "uvicorn-httptools-asyncio", "hypercorn"])
def test_a_server_asks_the_socket_once_for_each_connection(clients: Clients, name: str) -> None:
    """What is kept is kept with the connection: the same object with each request on it, and another with the next."""
    inner = _Application()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (applications.tell if scope["type"] == "lifespan" else inner)(scope, receive, send)

    with serving(name)(app, context=context_for()) as server:
        for _ in range(2):
            with httpx.Client(verify=clients["frodo"], timeout=PATIENCE, trust_env=False) as client:
                for _ in range(3):
                    assert client.get(f"https://localhost:{server.address[1]}/").status_code == 200
    seen = [scope[ACCEPTED] for scope in inner.scopes]
    assert [one is seen[0] for one in seen] == [True] * 3 + [False] * 3
    assert [one is seen[3] for one in seen] == [False] * 3 + [True] * 3
    assert [asgi.peer(scope).common_name for scope in inner.scopes] == ["frodo"] * 6
