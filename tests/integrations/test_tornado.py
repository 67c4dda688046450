"""Tornado's server: identity of the connection and of what a proxy forwards, per handler, and nothing before it."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Generator

import pytest
from tornado import httputil, web
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mtlspolicy.errors import ConfigurationError, NoPeerCertificate
from mtlspolicy.integrations import tornado as ours
from tests.integrations.loop_serving import (
    ask,
    client_context,
    dialed,
    server_context,
)
from tests.integrations.serving import FRODO, GOLLUM, PATIENCE, SAM, Server, item
from tests.integrations.tornado_serving import application, behind_a_proxy, guarded, tornado_serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Tornado there needs another loop, and no Unix sockets")


@pytest.fixture(scope="module")
def proxied() -> Generator[Server, None, None]:
    """Lend a server behind a proxy at 127.0.0.1 that believes X-Forwarded-For as Tornado does."""
    with tornado_serving(behind_a_proxy(), xheaders=True) as server:
        yield server


@pytest.fixture(scope="module")
def direct() -> Generator[Server, None, None]:
    """Lend a server that speaks TLS itself."""
    with tornado_serving(guarded(), context=server_context()) as server:
        yield server


def test_the_peer_of_the_connection_is_in_the_handler_and_headers_claim_nothing(direct: Server) -> None:
    """The handler sees the peer of the handshake."""
    reply = ask(direct, "frodo", f"Client-Cert: {item(SAM)}", "X-Forwarded-For: 10.0.0.1")
    assert (reply.status, reply.told["peer"]) == (200, "frodo")
    assert ask(direct, "frodo", path="/nowhere").status == 404


def test_the_handler_asks_further(direct: Server) -> None:
    """The path and the form say who it must be; another is 403 with the code, and so is a form without the name."""
    assert ask(direct, "frodo", path="/act/frodo").body == b"frodo"
    refused = ask(direct, "frodo", path="/act/sam")
    assert (refused.status, refused.told) == (403, {"error": "name.mismatch"})
    assert refused.headers["content-type"] == "application/json"
    assert ask(direct, "sam", path="/bank", form="user=sam").body == b"sam"
    for form, code in (("user=frodo", "name.mismatch"), ("other=frodo", "policy.error"), ("", "policy.error")):
        reply = ask(direct, "sam", path="/bank", form=form)
        assert (reply.status, reply.told) == (403, {"error": code})
    assert ask(direct, "frodo", path="/request").body == b"name.mismatch"


def test_a_refusal_is_no_error_of_the_server(direct: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It ends the request quietly, with one line on our logger."""
    ask(direct, "frodo", path="/act/sam")
    assert "Uncaught exception" not in caplog.text
    assert "name.mismatch" in caplog.text


def test_a_body_that_is_streamed_is_asked_about_before_it_is_read(direct: Server) -> None:
    """``stream_request_body`` with a refusal in ``prepare`` takes nothing of the body."""
    assert ask(direct, "frodo", path="/upload", form="a=" + "b" * 100_000).body == b"100002"
    assert ask(direct, "sam", path="/upload", form="a=b").told == {"error": "name.mismatch"}


def test_a_refusal_after_the_answer_has_begun_ends_the_connection(direct: Server) -> None:
    """No second answer is written into the first, and the first does not look complete."""
    context = client_context("frodo")
    connection = http.client.HTTPSConnection("localhost", direct.address[1], context=context, timeout=PATIENCE)
    connection.request("GET", "/begun")
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    connection.close()
    assert caught.value.partial == b"begun"


def test_a_path_that_does_not_exist_asks_for_the_certificate_first() -> None:
    """The middleware stands before the application, 404 included; HEAD has no body."""
    context = server_context(client_certificate="optional")
    with tornado_serving(guarded(absent=401), context=context) as server:
        reply = ask(server, "none", path="/nowhere")
        assert (reply.status, reply.told) == (401, {"error": "path.no-certificate"})
        with dialed(server, client_context("none")) as client:
            text = "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            client._sock.sendall(text.encode("ascii"))
            heads = [client._file.readline().split()[1]]
            while client._file.readline().strip():
                continue
            heads.append(client._file.readline().split()[1])
        assert heads == [b"401", b"401"]
    with tornado_serving(guarded(required=False), context=context) as server:
        assert ask(server, "none").told["peer"] is None
        assert ask(server, "none", path="/mine").told == {"error": "path.no-certificate"}
        assert ask(server, "frodo", path="/mine").body == b"frodo"


@pytest.mark.parametrize(
    "more",
    [
        "Expect: 100-continue\r\nContent-Length: 5\r\n",
        "Content-Length: 10000000\r\n",
        "Transfer-Encoding: chunked\r\n",
    ],
)
def test_the_body_of_a_refused_request_reaches_nobody(more: str) -> None:
    """It is answered before the body is read, and nobody is asked to go on with it; then the connection ends."""
    context = server_context(client_certificate="optional")
    with tornado_serving(guarded(), context=context) as server, dialed(server, client_context("none")) as client:
        text = f"POST / HTTP/1.1\r\nHost: localhost\r\n{more}\r\n"
        assert client.raw(text.encode("ascii")).told == {"error": "path.no-certificate"}
        assert client.raw(b"hello").status == 0


def test_a_short_body_of_a_refused_request_is_read_and_dropped() -> None:
    """So that the answer arrives, and the connection can go on."""
    context = server_context(client_certificate="optional")
    with tornado_serving(guarded(), context=context) as server, dialed(server, client_context("none")) as client:
        for _ in range(2):
            text = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
            assert client.raw(text.encode("ascii")).told == {"error": "path.no-certificate"}


def test_plain_http_has_no_identity_of_its_own() -> None:
    """``source="connection"`` without TLS of ours serves nobody, whatever a header says."""
    with tornado_serving(guarded()) as server:
        assert server.ask(f"Client-Cert: {item(FRODO)}").status == 0


def test_an_application_without_the_middleware_has_no_peers() -> None:
    """A middleware that was forgotten opens nothing: asking is an error, and not the absence of a peer."""
    with tornado_serving(application(), context=server_context()) as server:
        assert ask(server, "frodo").status == 500
    for what in (object(), {}, web.RequestHandler):
        with pytest.raises(ConfigurationError, match="Middleware"):
            ours.peer(what)  # type: ignore[arg-type]


def test_a_websocket_has_the_peer_and_is_closed_when_it_is_refused(direct: Server) -> None:
    """Refused before the upgrade with an answer; afterwards with 1008."""
    uri = f"wss://localhost:{direct.address[1]}/echo"
    with connect(uri, ssl=client_context("frodo")) as connection:
        assert connection.recv(PATIENCE) == "frodo"
        connection.send("frodo")
        assert connection.recv(PATIENCE) == "may"
        connection.send("sam")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "name.mismatch")
    with pytest.raises(InvalidStatus) as caught, connect(uri, ssl=client_context("sam")):
        pass
    assert caught.value.response.status_code == 403
    assert json.loads(caught.value.response.body or b"") == {"error": "name.mismatch"}


def test_who_leaves_with_the_request_is_not_judged(direct: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A request whose end comes together with it has no socket to ask, and is no error of the server."""
    for _ in range(5):
        with socket.create_connection(direct.address, PATIENCE) as plain:
            sock = client_context("frodo").wrap_socket(plain, server_hostname="localhost")
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            sock.close()
    assert ask(direct, "frodo").status == 200
    assert "Uncaught exception" not in caplog.text


def test_the_proxy_says_who_it_is_and_the_application_does_not_see_how(proxied: Server) -> None:
    """The headers are gone; the answer is kept from shared caches; X-Forwarded-For moves nobody."""
    reply = proxied.ask(f"Client-Cert: {item(FRODO)}", "X-Forwarded-For: 10.0.0.1")
    assert (reply.status, reply.told["peer"], reply.told["client"]) == (200, "frodo", "10.0.0.1")
    assert reply.told["headers"] == ["connection", "host", "x-forwarded-for"]
    assert reply.headers["cache-control"] == "no-store"
    assert "client-cert" not in reply.headers
    assert proxied.ask(f"Client-Cert: {item(GOLLUM)}").told == {"error": "name.mismatch"}
    assert proxied.ask().told == {"error": "path.no-certificate"}


def test_old_versions_of_http_carry_no_identity(proxied: Server) -> None:
    """A proxy of today speaks HTTP/1.1."""
    with proxied.connection() as client:
        text = f"GET / HTTP/1.0\r\nHost: a\r\nClient-Cert: {item(FRODO)}\r\nConnection: close\r\n\r\n"
        assert client.raw(text.encode("ascii")).status == 400


def test_trailers_are_no_headers(proxied: Server) -> None:
    """A proxy passes on the trailers of a client: they identify nobody."""
    text = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    text += f"Client-Cert: {item(FRODO)}\r\n\r\n"
    with proxied.connection() as client:
        reply = client.raw(text.encode("ascii"))
    assert b"frodo" not in reply.body
    assert reply.status in {0, 400, 403}


def test_a_request_without_a_handler_is_told_by_the_error_itself() -> None:
    """Nothing can be answered there."""

    class Asks(web.RequestHandler):
        def get(self) -> None:
            with pytest.raises(NoPeerCertificate):
                ours.peer(self.request)
            self.write("told")

    context = server_context(client_certificate="optional")
    with tornado_serving(guarded(web.Application([("/", Asks)]), required=False), context=context) as server:
        assert ask(server, "none").body == b"told"


def test_the_application_is_told_of_the_end_of_a_connection() -> None:
    """The middleware stands between a server and any delegate of Tornado's."""
    ended: list[object] = []

    class Told(httputil.HTTPServerConnectionDelegate):
        def on_close(self, server_conn: object) -> None:
            ended.append(server_conn)

    guarded(Told()).on_close("connection")
    assert ended == ["connection"]


def test_what_does_not_go_together_is_said_when_it_is_built() -> None:
    """No application, no source, no policy."""
    with pytest.raises(ConfigurationError, match="Application"):
        ours.Middleware(print, source="connection")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="source"):
        guarded(source="header")
    with pytest.raises(ConfigurationError, match="callable"):
        ours.require("frodo")  # type: ignore[arg-type]
