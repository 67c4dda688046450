"""TLS that the server itself speaks, with a context of ours: the peer in the application, and the proxy's own."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
import sys
import weakref
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from websockets.sync.client import connect

from mtlspolicy import (
    ConfigurationError,
    Policy,
    Possession,
    PresentedChain,
    Resolver,
    TrustStore,
    Verifier,
    policies,
    tls,
)
from mtlspolicy.integrations import asgi
from mtlspolicy.integrations import hypercorn as our_hypercorn
from mtlspolicy.integrations import uvicorn as our_uvicorn
from mtlspolicy.integrations._admission import Admission
from mtlspolicy.integrations._tls_extension import tls_extension
from tests.integrations import applications
from tests.integrations.serving import (
    FRODO,
    GOLLUM,
    HOST,
    ROOT,
    SAM,
    asgi_app,
    gunicorn_serving,
    hypercorn_serving,
    item,
    uvicorn_serving,
    wsgi_app,
)

_EITHER = policies.CommonName("frodo", "sam")
_TRUST = TrustStore(anchors=[ROOT.certificate])
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")

_SERVER = ROOT.issue_server("localhost", HOST)
_CREDENTIAL = tls.Credential.of(_SERVER.chain, _SERVER.key)


def _context(policy: Policy | None = None, **options: Any) -> ssl.SSLContext:
    verifier = Verifier.for_clients(trust=_TRUST, policy=_EITHER if policy is None else policy)
    return tls.server_context(credential=_CREDENTIAL, verifier=verifier, **options)


def _client(folder: Path, name: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.der)
    if name is not None:
        context.load_cert_chain(*ROOT.issue_client(name).files(folder))
    return context


async def _extension(scope: Any, receive: Any, send: Any) -> None:
    """Tell what the extension says, over HTTP."""
    if scope["type"] != "http":
        await applications.tell(scope, receive, send)
        return
    peer = asgi.peer_or_none(scope)
    body = json.dumps({"tls": scope["extensions"]["tls"], "peer": peer and peer.common_name}).encode("ascii")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def _app(app: Any = _extension, **options: Any) -> Any:
    return asgi.Middleware(app, source="connection", **options)


def _get(port: int, context: ssl.SSLContext, **options: Any) -> httpx.Response:
    headers = options.pop("headers", {})
    with httpx.Client(verify=context, **options) as client:
        return client.get(f"https://localhost:{port}/", headers=headers)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_uvicorn_tells_the_application_the_peer_of_the_connection(tmp_path: Path, http: str, loop: str) -> None:
    """The peer of the handshake, and the ASGI TLS extension 0.2; a header claims nothing here."""
    with uvicorn_serving(_app(), context=_context(), http=http, loop=loop) as server:
        reply = _get(server.address[1], _client(tmp_path, "frodo"), headers={"Client-Cert": item(SAM)})
        with pytest.raises(httpx.TransportError):
            _get(server.address[1], _client(tmp_path, "gollum"))
    told = reply.json()
    assert told["peer"] == "frodo"
    extension = told["tls"]
    assert set(extension) == {
        *("spec_version", "server_cert", "client_cert_chain", "client_cert_name", "client_cert_error"),
        *("tls_version", "cipher_suite"),
    }
    assert extension["server_cert"] is None
    assert extension["client_cert_chain"][0].startswith("-----BEGIN CERTIFICATE-----")
    assert extension["client_cert_name"] == "CN=frodo"
    assert extension["client_cert_error"] is None
    assert extension["tls_version"] == 0x0304
    assert extension["cipher_suite"] in {0x1301, 0x1302, 0x1303}


class _Suited:
    """What `tls_extension` asks of a connection, without one."""

    def __init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def cipher(self) -> tuple[str, str, int]:
        """Return a suite."""
        return "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256

    def version(self) -> str:
        """Return a version."""
        return "TLSv1.3"


def test_the_name_in_the_extension_is_that_of_rfc_4514() -> None:
    """An empty subject is the empty text, and no word that a person would read."""
    long = "x" * 60
    rows: tuple[Any, ...] = (
        ({"common_name": None, "dns": ["a.test"], "organization": None}, ""),
        ({"common_name": long, "organization": None}, f"CN={long}"),
    )
    for subject, name in rows:
        leaf = ROOT.issue_client(subject.pop("common_name"), **subject)
        verifier = Verifier.for_clients(trust=_TRUST, policy=policies.Anyone())
        peer = verifier.verify(PresentedChain((leaf.der, *leaf.issuers_der), Possession.TLS))
        stated = tls_extension(cast("Any", _Suited()), Admission(peer, peer.presented))
        assert (stated["client_cert_name"], stated["cipher_suite"]) == (name, 0x1302)


def test_contexts_that_were_replaced_are_let_go() -> None:
    """With each new certificate of the server there is a new context: the numbers of its suites do not keep the old."""
    made = _Suited()
    tls_extension(cast("Any", made), Admission(None, None))
    gone = weakref.ref(made.context)
    del made
    gc.collect()
    assert gone() is None


def test_the_extension_names_the_suite_of_tls_1_2(tmp_path: Path) -> None:
    """The numbers are those of the registry, in both versions."""
    context = _client(tmp_path, "frodo")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM")
    with uvicorn_serving(_app(), context=_context()) as server:
        extension = _get(server.address[1], context).json()["tls"]
    assert extension["tls_version"] == 0x0303
    assert extension["cipher_suite"] in {0xC02B, 0xC02C, 0xC02F, 0xC030}


def test_a_connection_without_a_handshake_states_nothing() -> None:
    """What is not known is None."""
    connection = _context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    from mtlspolicy.integrations._admission import Admission

    class _Before:
        context = connection.context

        def cipher(self) -> None:
            """Nothing is agreed on."""

        def version(self) -> None:
            """Likewise."""

    stub: Any = _Before()
    extension = tls_extension(stub, Admission(None, None))
    assert (extension["tls_version"], extension["cipher_suite"], extension["client_cert_chain"]) == (None, None, [])


@pytest.mark.parametrize("http2", [True, False])
def test_hypercorn_tells_the_application_the_peer_of_the_connection(tmp_path: Path, *, http2: bool) -> None:
    """Likewise, over HTTP/1.1 and HTTP/2."""
    context = _context(alpn=("h2", "http/1.1"))
    with hypercorn_serving(_app(), context=context) as server:
        reply = _get(server.address[1], _client(tmp_path, "sam"), http2=http2)
    assert (reply.http_version, reply.json()["peer"]) == ("HTTP/2" if http2 else "HTTP/1.1", "sam")


def test_websockets_have_the_peer_of_the_connection(tmp_path: Path) -> None:
    """A WebSocket over TLS of ours, and the further policy that refuses it before it is accepted."""
    context = _client(tmp_path, "frodo")
    with uvicorn_serving(_app(applications.tell), context=_context()) as server:
        url = f"wss://localhost:{server.address[1]}/"
        with connect(url, ssl=context) as socket_:
            assert json.loads(socket_.recv())["peer"] == "frodo"
    with uvicorn_serving(_app(applications.tell, policy=policies.CommonName("sam")), context=_context()) as server:
        url = f"wss://localhost:{server.address[1]}/"
        with pytest.raises(Exception, match="403"), connect(url, ssl=context):
            pass


def test_a_further_policy_of_the_connection_answers_and_an_optional_certificate_may_be_absent(tmp_path: Path) -> None:
    """Who has none is refused or let in as the middleware says, whatever the context allows."""
    optional: Any = {"client_certificate": "optional"}
    anonymous = _client(tmp_path, None)
    with uvicorn_serving(_app(), context=_context(**optional)) as server:
        reply = _get(server.address[1], anonymous)
        assert (reply.status_code, reply.json()) == (403, {"error": "path.no-certificate"})
    with uvicorn_serving(_app(required=False), context=_context(**optional)) as server:
        told = _get(server.address[1], anonymous).json()
        assert (told["peer"], told["tls"]["client_cert_chain"], told["tls"]["client_cert_name"]) == (None, [], None)


def test_a_held_connection_of_uvicorn_waits_for_its_fact(tmp_path: Path) -> None:
    """``pending="hold"`` works: each connection goes through the gate before uvicorn's protocol exists."""
    seen: list[Any] = []

    async def enrolled(keys: Any) -> Any:
        seen.append(keys)
        return True

    @policies.lookup("partner.enrolled", key=lambda path: path.end_entity.spki_sha256, max_age=None)
    def is_enrolled(row: Any, _: Any) -> bool:
        return row is True

    options = tls.ServerOptions(resolver=Resolver({"partner.enrolled": enrolled}), pending="hold")
    context = _context(policies.CommonName("frodo") & is_enrolled, options=options)
    with uvicorn_serving(_app(), context=context) as server:
        assert _get(server.address[1], _client(tmp_path, "frodo")).json()["peer"] == "frodo"
        assert _get(server.address[1], _client(tmp_path, "frodo")).json()["peer"] == "frodo"
    assert seen
    with uvicorn_serving(_app(), context=context) as server:  # another server with the same context has a gate too
        assert _get(server.address[1], _client(tmp_path, "frodo")).status_code == 200


def test_a_proxy_that_authenticates_itself_speaks_for_its_clients_and_is_none_of_them(tmp_path: Path) -> None:
    """The source trusts the proxy's certificate; the peer is the header's, and no extension names the proxy."""
    proxies = Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("proxy"))
    context = _context(policies.CommonName("proxy", "frodo"))

    async def told(scope: Any, receive: Any, send: Any) -> None:
        assert "tls" not in scope.get("extensions", {})
        await applications.tell(scope, receive, send)

    app = asgi.Middleware(told, source=applications.source(proxies), verifier=applications.verifier_for(ROOT.pem))
    with uvicorn_serving(app, context=context) as server:
        port, proxy = server.address[1], _client(tmp_path, "proxy")
        assert _get(port, proxy, headers={"Client-Cert": item(SAM)}).json()["peer"] == "sam"
        assert _get(port, proxy).json() == {"error": "path.no-certificate"}
        reply = _get(port, _client(tmp_path, "frodo"), headers={"Client-Cert": item(FRODO)})
        assert (reply.status_code, reply.json()) == (403, {"error": "forwarded.untrusted-proxy"})


def test_a_context_without_a_verifier_is_refused_when_a_server_is_made() -> None:
    """It would serve everybody, and an application that asks nobody would never notice."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for make in (
        lambda: our_uvicorn.config(_app(), context=context),
        lambda: asyncio.run(our_hypercorn.serve(_app(), our_hypercorn.config(context=context))),
    ):
        with pytest.raises(ConfigurationError, match="context that verifies clients") as raised:
            make()
        assert raised.value.code == "tls.not-ours"


@pytest.mark.parametrize("bare", [False, True])
def test_tls_of_somebody_else_proves_nothing(tmp_path: Path, *, bare: bool) -> None:
    """A server's own context, without a verifier, has no peer: not for the application, and not for a source's gate."""
    chain, key = map(str, _SERVER.files(tmp_path))
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    given: Any = {
        "ssl_certfile": chain, "ssl_keyfile": key, "ssl_ca_certs": str(tmp_path / "root.pem"), "ssl_cert_reqs": 2
    }  # fmt: skip
    proxies = Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("proxy"))
    app = asgi.Middleware(
        applications.tell, source=applications.source(proxies), verifier=applications.verifier_for(ROOT.pem)
    )
    client = _client(tmp_path, "proxy")
    with uvicorn_serving(_app() if bare else app, http="h11", **given) as server:
        reply = _get(server.address[1], client, headers={"Client-Cert": item(SAM)})
    assert reply.status_code == (500 if bare else 403)
    assert ("forwarded.untrusted-proxy" in reply.text) is not bare


def test_streams_of_one_http2_connection_of_the_proxy_stay_apart(tmp_path: Path) -> None:
    """Each stream is a request of its own: two clients and one without a certificate, interleaved."""
    expected = {FRODO: "frodo", SAM: "sam", GOLLUM: None, b"": None}
    context = _context(policies.CommonName("proxy"), alpn=("h2", "http/1.1"))

    async def asked(port: int) -> list[tuple[bytes, str | None]]:
        async with httpx.AsyncClient(verify=_client(tmp_path, "proxy"), http1=False, http2=True) as client:

            async def one(der: bytes) -> tuple[bytes, str | None]:
                headers = {"Client-Cert": item(der)} if der else {}
                reply = await client.get(f"https://localhost:{port}/", headers=headers)
                assert reply.http_version == "HTTP/2"
                return der, reply.json().get("peer") if reply.status_code == 200 else None

            return await asyncio.gather(*map(one, [*expected] * 8))

    with hypercorn_serving(asgi_app(), context=context) as server:
        for der, name in asyncio.run(asked(server.address[1])):
            assert name == expected[der]


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_gunicorn_with_a_context_of_ours_has_the_peer_of_its_socket(tmp_path: Path, worker: str) -> None:
    """The hook ``ssl_context`` of gunicorn's configuration takes the context as it is."""
    certificate, key = _SERVER.files(tmp_path)
    text = f"""
from mtlspolicy import TrustStore, Verifier, policies, tls
verifier = Verifier.for_clients(trust=TrustStore.from_file("root.pem"), policy=policies.CommonName("frodo"))
certfile, keyfile = {str(certificate)!r}, {str(key)!r}
context = tls.server_context(credential=tls.Credential.from_files(certfile, keyfile), verifier=verifier)
def ssl_context(config, default):
    return context
"""
    (tmp_path / "settings.py").write_text(text, encoding="utf-8")
    arguments = ("--config", str(tmp_path / "settings.py"), "--worker-class", worker)
    with gunicorn_serving("wsgi_connection", tmp_path, *arguments) as server:
        port = server.address[1]
        assert _get(port, _client(tmp_path, "frodo"), headers={"Client-Cert": item(SAM)}).json()["peer"] == "frodo"
        with pytest.raises(httpx.TransportError):
            _get(port, _client(tmp_path, "sam"))


def test_wsgi_has_the_peer_of_a_socket_of_ours(tmp_path: Path) -> None:
    """A WSGI server that gives its TLS socket: the peer of the handshake, also under the names that servers use."""
    from tests.integrations.serving import werkzeug_serving

    app = wsgi_app(source="connection", verifier=None)
    with werkzeug_serving(app, context=_context()) as server:
        reply = _get(server.address[1], _client(tmp_path, "frodo"), headers={"Client-Cert": item(SAM)})
    told = reply.json()
    assert told["peer"] == "frodo"
    assert "SSL_CLIENT_S_DN" in told["headers"]
    proxies = Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("frodo"))
    with werkzeug_serving(wsgi_app(source=applications.source(proxies)), context=_context()) as server:
        port = server.address[1]
        assert _get(port, _client(tmp_path, "frodo"), headers={"Client-Cert": item(SAM)}).json()["peer"] == "sam"
        assert _get(port, _client(tmp_path, "sam"), headers={"Client-Cert": item(SAM)}).status_code == 403


@pytest.mark.parametrize("http2", [True, False])
def test_a_request_for_another_host_than_the_connection_was_judged_for_is_misdirected(
    tmp_path: Path, *, http2: bool
) -> None:
    """One connection, two authorities: frodo may come to the outer host, and asks there for the strict one."""
    alpn = ("h2", "http/1.1")
    strict = _context(policies.CommonName("sam"), alpn=alpn)
    options = tls.ServerOptions(virtual_hosts={"Strict.test": strict})
    context = _context(alpn=alpn, options=options)
    rows = [
        ("localhost", "frodo", None, 200),
        ("localhost", "frodo", "localhost.", 200),
        ("localhost", "frodo", "[::1]:8443", 200),
        ("localhost", "frodo", "[::1]", 200),
        ("localhost", "frodo", "strict.test", 421),
        ("localhost", "frodo", "STRICT.test.:8443", 421),
        ("localhost", "frodo", "strict.test:", 421),
        ("strict.test", "sam", "strict.test", 200),
        ("strict.test", "sam", "localhost", 421),
    ]
    with hypercorn_serving(_app(), context=context) as server:
        for asked, name, authority, status in rows:
            client_context = _client(tmp_path, name)
            client_context.check_hostname = False
            headers = {"Host": authority} if authority else {}
            with httpx.Client(verify=client_context, http2=http2) as client:
                url = f"https://localhost:{server.address[1]}/"
                reply = client.get(url, headers=headers, extensions={"sni_hostname": asked})
            assert reply.status_code == status, (asked, authority)
            assert status == 200 or reply.json() == {"error": "tls.misdirected"}


def test_hosts_that_somebody_elses_callback_chooses_are_his_business(tmp_path: Path) -> None:
    """Which names lead where is not known of such a listener: a request is not misdirected for having been led on."""
    inner = _context()
    outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    outer.load_cert_chain(*_SERVER.files(tmp_path))
    outer.load_verify_locations(cadata=ROOT.der)
    outer.verify_mode = ssl.CERT_REQUIRED

    def choose(connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        del name, context
        connection.context = inner

    outer.sni_callback = choose
    tls.enforce(outer, Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("sam")))
    with uvicorn_serving(_app(), context=outer) as server:
        assert _get(server.address[1], _client(tmp_path, "frodo")).json()["peer"] == "frodo"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_request_without_a_host_is_for_the_outer_one(tmp_path: Path, loop: str) -> None:
    """HTTP/1.0 may lack it; it is not for a host with a policy of its own."""
    options = tls.ServerOptions(virtual_hosts={"strict.test": _context(policies.CommonName("frodo"))})
    frodo = _client(tmp_path, "frodo")
    frodo.check_hostname = False
    with uvicorn_serving(_app(), context=_context(options=options), http="h11", loop=loop) as server:
        for asked, status in (("localhost", b"200"), ("strict.test", b"421")):
            plain = socket.create_connection(server.address, 20)
            with frodo.wrap_socket(plain, server_hostname=asked) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert connection.recv(100).split()[1] == status
