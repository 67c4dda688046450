"""WSGI: a gateway that hides how a header came is read only where nobody can put one in under another name."""

from __future__ import annotations

import socket
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded import (
    ForwardedSource,
    ImmediatePeer,
    JoinedHeaders,
    clean_environ,
    environ_headers,
    rfc9440,
    x_forwarded_for,
)
from tests.forwarded.writing import FRODO, ISSUING, PROXY, TRUSTED, item

SOURCE = rfc9440(trusted=TRUSTED, client_address=x_forwarded_for(), marker=("x-edge", "mtls"))
REAL, EVIL = item(FRODO.der), item(ISSUING.der)


def environ(software: Any = "gunicorn/23.0.0", **more: Any) -> dict[str, Any]:
    """Return what a server gives for a request of the proxy."""
    made = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "10.0.0.1", "HTTP_X_EDGE": "mtls"}
    return made | ({} if software is None else {"SERVER_SOFTWARE": software}) | more


def code_of(given: dict[str, Any], source: ForwardedSource = SOURCE) -> str:
    """Return the code with which a request is refused."""
    with pytest.raises(MalformedEvidence) as caught:
        source.read(environ_headers(given), peer=PROXY)
    return caught.value.code


@pytest.mark.parametrize(
    "software",
    ["gunicorn/22.0.0", "gunicorn/27.0.1", "gunicorn/23.0", "Werkzeug/2.3.8", "Werkzeug/3.1.9 x", "waitress"],
)
def test_servers_that_drop_underscores(software: str) -> None:
    """These drop a name with an underscore, as measured; their requests are read."""
    chain = SOURCE.read(environ_headers(environ(software, HTTP_CLIENT_CERT=REAL)), peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der,)


def test_two_keys_of_one_header() -> None:
    """A layer that writes the name with a hyphen beside the server's own copy: nobody can say which one counts."""
    environ = {"SERVER_SOFTWARE": "gunicorn/23.0.0", "HTTP_X_CERT": "a", "HTTP_X-CERT": "b"}
    with pytest.raises(MalformedEvidence) as caught:
        environ_headers(environ)
    assert caught.value.code == "forwarded.duplicate"


@pytest.mark.parametrize(
    "software",
    [
        "gunicorn/21.2.0",
        "gunicorn/20.1.0",
        "gunicorn",
        "Werkzeug/2.2.3",
        "Werkzeug/2.3.7",
        "Apache/2.4.62 (Debian)",
        "uWSGI",
        "",
        None,
        "gunicornish/99.0",
        "waitress-fork",
        "my gunicorn/27.0",
        "\n",
        "werkzeug/3.x",
        "Gunicorn/999999999999",
    ],
)
def test_underscore_alias_through_wsgi(software: str | None) -> None:
    """Older servers, unknown ones and those that state no version pass an alias on: nobody may read a header there."""
    with pytest.raises(ConfigurationError, match="drops_underscores=True"):
        environ_headers(environ(software))
    assert isinstance(environ_headers(environ(software), drops_underscores=True), JoinedHeaders)


@pytest.mark.parametrize("software", ["WSGIServer/0.2", "WSGIServer/0.2 CPython/3.11.9", "Cheroot/11.1.2 Server"])
@pytest.mark.parametrize("stated", [True, False])
def test_servers_with_which_nothing_helps(software: str, *, stated: bool) -> None:
    """wsgiref and Cheroot are refused, whatever is said of them."""
    with pytest.raises(ConfigurationError, match="nobody can say who wrote a header"):
        environ_headers(environ(software), drops_underscores=stated)


@pytest.mark.parametrize("stated", [None, 1, "yes"])
def test_what_is_said_is_true_or_false(stated: bool) -> None:
    """A text is no statement."""
    with pytest.raises(ConfigurationError, match="True or False"):
        environ_headers(environ(), drops_underscores=stated)


@pytest.mark.parametrize("joined", [f"{EVIL},{REAL}", f"{EVIL}, {REAL}", f",{REAL}", f"{REAL},"])
def test_two_copies_that_wsgi_has_joined(joined: str) -> None:
    """Copies arrive with a comma between them, an empty one too; one certificate is read or none."""
    assert code_of(environ(HTTP_CLIENT_CERT=joined)) in {"forwarded.malformed", "forwarded.duplicate"}


def test_list_that_may_be_a_join() -> None:
    """A chain of several elements may be EVIL joined to REAL: it is not read from WSGI."""
    chain = {"HTTP_CLIENT_CERT": REAL, "HTTP_CLIENT_CERT_CHAIN": f"{EVIL}, {item(FRODO.der)}"}
    assert code_of(environ(**chain)).startswith("forwarded.")


def test_alias_with_other_characters() -> None:
    """Servers keep a dot in a name; then it is seen to be an alias. So is a variable of another spelling."""
    assert code_of(environ(**{"HTTP_CLIENT.CERT": REAL})) == "forwarded.alias"
    assert code_of(environ(HTTP_CLIENT_CERT=REAL, HTTP_client_cert=EVIL)) == "forwarded.duplicate"


def test_folded_line_and_connection() -> None:
    """Line breaks that a server leaves in a value, and Connection, are seen here as elsewhere."""
    assert code_of(environ(HTTP_CLIENT_CERT=f"{REAL[:50]}\r\n {REAL[50:]}")) == "forwarded.malformed"
    assert code_of(environ(HTTP_CLIENT_CERT=REAL, HTTP_CONNECTION="close, Client-Cert")) == "forwarded.connection"


def test_http_1_0_is_seen() -> None:
    """The version of the request is the server's SERVER_PROTOCOL; where there is none it is not known."""
    assert code_of(environ(HTTP_CLIENT_CERT=REAL, SERVER_PROTOCOL="HTTP/1.0")) == "forwarded.http-version"
    assert environ_headers(environ(SERVER_PROTOCOL=None)).http_version is None


def test_address_of_the_client() -> None:
    """The list of addresses is one by nature, joined or not."""
    given = environ(HTTP_X_FORWARDED_FOR="10.9.9.9, 192.0.2.1", HTTP_CLIENT_CERT=REAL)
    assert SOURCE.request(environ_headers(given), peer=PROXY).client_address == "192.0.2.1"


def test_remote_addr_after_a_proxy_fix_is_not_asked() -> None:
    """REMOTE_ADDR is what middlewares rewrite: the peer comes from the socket, and no environ replaces it."""
    given = environ(HTTP_CLIENT_CERT=REAL, REMOTE_ADDR="10.0.0.1")
    with pytest.raises(Exception, match="untrusted-proxy"):
        SOURCE.read(environ_headers(given), peer=ImmediatePeer())


def test_os_environ_and_stale_values_are_deleted() -> None:
    """What the process, another layer or the client left in the environ is no identity; NONE is written."""
    given = environ(
        HTTP_CLIENT_CERT=REAL,
        HTTP_X_EDGE="mtls",
        HTTP_X_FORWARDED_FOR="192.0.2.1",
        HTTP_HOST="a.test",
        SSL_CLIENT_S_DN="CN=EVIL",
        SSL_CLIENT_VERIFY="SUCCESS",
        SSL_SERVER_S_DN="CN=EVIL",
        REDIRECT_REDIRECT_SSL_CLIENT_CERT="EVIL",
        REDIRECT_HTTP_CLIENT_CERT="EVIL",
        ssl_client_i_dn="CN=EVIL",
        SSL_CERT_FILE="/etc/ssl/cert.pem",
        HTTP_client_cert="EVIL",
        **{"mtlspolicy.peer": "EVIL", "HTTP_CLIENT.CERT_CHAIN": "EVIL", "wsgi.version": (1, 0)},
    )
    clean_environ(given, SOURCE)
    assert given == {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "10.0.0.1",
        "SERVER_SOFTWARE": "gunicorn/23.0.0",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_HOST": "a.test",
        "SSL_CERT_FILE": "/etc/ssl/cert.pem",
        "wsgi.version": (1, 0),
        "SSL_CLIENT_VERIFY": "NONE",
    }


def test_without_a_source_no_header_is_deleted() -> None:
    """Where no header is read, the headers are the application's own."""
    given = {"HTTP_CLIENT_CERT": "v", "SSL_CLIENT_CERT": "EVIL"}
    clean_environ(given)
    assert given == {"HTTP_CLIENT_CERT": "v", "SSL_CLIENT_VERIFY": "NONE"}


class Quiet(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def ask(server: WSGIServer, lines: bytes) -> bytes:
    """Send a request with *lines* of header to *server* and return the answer."""
    with socket.create_connection(("127.0.0.1", server.server_port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n" + lines + b"\r\n")
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_wsgiref_is_refused_for_what_it_does() -> None:
    """On the real server an alias reads as the header itself, and its environ is refused."""
    seen: list[dict[str, Any]] = []

    def application(given: dict[str, Any], start: Any) -> list[bytes]:
        seen.append(given)
        start("204 No Content", [])
        return []

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            assert b"204" in ask(server, b"Client_Cert: EVIL\r\n")
        finally:
            server.shutdown()
            thread.join()
    assert seen[0]["HTTP_CLIENT_CERT"] == "EVIL"
    with pytest.raises(ConfigurationError, match="wsgiref"):
        environ_headers(seen[0], drops_underscores=True)
