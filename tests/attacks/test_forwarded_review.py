"""Attacks on forwarded certificates, tenants and middlewares: floods, swapped secrets, index bombs, odd lines."""

from __future__ import annotations

import asyncio
import base64
import http.client
import re
import socket
import ssl
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import Decision, MalformedEvidence, Verdict, VerificationError, forwarded, policies, tls
from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._encodings import percent_decoded
from mtlspolicy.integrations import asgi, wsgi
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted
from mtlspolicy.tenants._index import read_index
from tests.integrations import applications
from tests.integrations.serving import FRODO, HOST, VERIFIER, item, werkzeug_serving, wsgi_app
from tests.integrations.test_tls import _client, _context

PROXY = forwarded.ImmediatePeer(address="10.0.0.1")
TRUSTED = ["10.0.0.1"]
SECRET = "N3gfZ1wq0yXc7Jd5Vt2LhB"


def test_a_flood_of_empty_sequences_in_base64_is_counted_while_it_is_split() -> None:
    """36,000 elements of two octets cost thirty milliseconds before anybody counted the certificates."""
    flood = base64.b64encode(b"\x30\x00" * 36_000).decode("ascii")
    headers = [("x-ssl-client-verify", "0"), ("x-ssl-client-cert", flood)]
    with pytest.raises(MalformedEvidence) as caught:
        forwarded.haproxy(trusted=TRUSTED).read(headers, peer=PROXY)
    assert caught.value.code == "forwarded.too-large"


@given(st.text(alphabet=st.sampled_from("%0123456789aAfFgG+/= \n-"), max_size=80))
def test_percent_decoding_with_a_table_reads_what_rfc_3986_says_and_nothing_else(text: str) -> None:
    """Each ``%`` has two hexadecimal digits, or the text is malformed; it is decoded once."""
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        with pytest.raises(MalformedEvidence) as caught:
            percent_decoded(text)
        assert caught.value.code == "forwarded.malformed"
    else:
        assert percent_decoded(text) == unquote_to_bytes(text)


@pytest.mark.parametrize("separator", [" ", ";", "\t", "; ", ",\t"])
@pytest.mark.parametrize("which", ["connection", "trailer"])
def test_a_connection_header_that_names_ours_after_another_separator_is_refused(which: str, separator: str) -> None:
    """Lenient proxies end a name at a space or semicolon, and remove what ``Connection`` names so."""
    source = forwarded.rfc9440(trusted=TRUSTED)
    headers = [(which, f"close{separator}Client-Cert"), ("client-cert", item(FRODO))]
    with pytest.raises(MalformedEvidence) as caught:
        source.read(headers, peer=PROXY)
    assert caught.value.code == f"forwarded.{which}"


@pytest.mark.parametrize("separator", [" ", ";", "\t"])
def test_a_connection_header_of_a_client_does_not_remove_what_is_emitted(separator: str) -> None:
    """The next hop would take the certificate out again, and the client would be nobody there."""
    chain = PresentedChain((FRODO,), Possession.TLS)
    fields = forwarded.emit_rfc9440(chain, [("Connection", f"close{separator}client-cert")])
    assert fields == [("Client-Cert", item(FRODO))]


def test_a_connection_header_of_a_megabyte_is_too_large_before_it_is_split() -> None:
    """It is read, so it counts among the characters that are read."""
    with pytest.raises(MalformedEvidence) as caught:
        forwarded.rfc9440(trusted=TRUSTED).read([("connection", "a," * 500_000)], peer=PROXY)
    assert caught.value.code == "forwarded.too-large"


@pytest.mark.parametrize("secret", [(SECRET, "x-origin-secret"), (f"{SECRET}_+", "x-origin-secret-of-22-and-more")])
def test_a_secret_in_the_place_of_its_name_is_not_repeated_in_the_error(secret: tuple[str, str]) -> None:
    """Name and value the wrong way round must not write the secret into a log of tracebacks."""
    with pytest.raises(ConfigurationError) as caught:
        forwarded.cloudflare(trusted=TRUSTED, secret=secret)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "bomb",
    [
        "a" + ".a" * 5_000 + " = 1",
        "a" + " . a" * 5_000 + " = 1",
        '"a"' + '."a\\""' * 5_000 + " = 1",
        "''" + ".'#'" * 5_000 + " = 1",
        "[a" + ".a" * 5_000 + "]",
        "x = {a" + ".a" * 5_000 + " = 1}",
        'x = {a = """\n""", b' + ".a" * 5_000 + " = 1}",
        "x = {a = '''\n''', b" + ".a" * 5_000 + " = 1}",
    ],
)
def test_an_index_with_a_key_of_thousands_of_parts_is_refused_before_it_is_parsed(
    bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tomllib takes the square of their number, and a look that never ends lets the trust of all tenants grow old."""
    parsed: list[str] = []
    monkeypatch.setattr(tomllib, "loads", parsed.append)
    with pytest.raises(ConfigurationError) as caught:
        read_index(bomb.encode(), "index.toml")
    assert caught.value.code == "tenant.index"
    assert not parsed


def test_file_names_with_many_dots_quotes_and_comments_are_no_bomb() -> None:
    """What stands in strings and comments is no key."""
    common = """common = [ "a.b.c.d.e.f.g.h.i.j.k.pem", "it's.pem" ]  # don't: a.a.a.a.a.a.a.a.a.a"""
    index = read_index(f'{common}\n[tenants]\n"t.x" = ["1.2.3.pem"]'.encode(), "index.toml")
    assert index.common == ("a.b.c.d.e.f.g.h.i.j.k.pem", "it's.pem")
    assert dict(index.tenants) == {"t.x": ("1.2.3.pem",)}


@pytest.mark.parametrize("name", ["X-\xdf", "X\x01", "X\x7f", "X\xa0"])
def test_a_header_name_at_which_werkzeug_ends_the_header_block_is_refused(name: str) -> None:
    """What follows such a line, the proxy's header and Content-Length included, is not there for http.server."""
    with werkzeug_serving(wsgi_app(required=False)) as server:
        assert server.ask(f"Client-Cert: {item(FRODO)}").told["peer"] == "frodo"
        assert server.ask(f"{name}: 1", f"Client-Cert: {item(FRODO)}").status == 400


def test_a_refusal_with_the_decision_of_an_admission_is_not_answered_with_200() -> None:
    """An exception is never an admission, whatever decision an application put into it."""

    def confused(_: Any) -> Any:
        raise VerificationError(Decision(Verdict.PERMIT, "acme.open", "permitted, and raised all the same"))

    question = asgi.require(confused)
    sent: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        await question(scope)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {
        "type": "http",
        "http_version": "1.1",
        "headers": [(b"client-cert", item(FRODO).encode("ascii"))],
        ACCEPTED: Accepted(None, address=HOST),
    }
    middleware = asgi.Middleware(app, source=applications.source(), verifier=VERIFIER)
    asyncio.run(middleware(scope, receive, send))
    assert sent[0]["status"] == 403


def test_a_wsgi_request_for_another_virtual_host_than_the_connection_was_judged_for_is_misdirected(
    tmp_path: Path,
) -> None:
    """frodo may come to the outer host alone, and names the strict one in ``Host``."""
    strict = _context(policies.CommonName("sam"))
    context = _context(options=tls.ServerOptions(virtual_hosts={"strict.test": strict}))
    client = _client(tmp_path, "frodo")
    with werkzeug_serving(wsgi.Middleware(applications.tell_wsgi, source="connection"), context=context) as server:
        assert _status(server.address, client, "localhost") == 200
        assert _status(server.address, client, "strict.test") == 421


def _status(address: Any, context: ssl.SSLContext, host: str) -> int:
    """Return the status of a request for *host* over a connection to ``localhost``."""
    context.check_hostname = False
    with context.wrap_socket(socket.create_connection(address, 20), server_hostname="localhost") as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii"))
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        return reply.status
