"""Blocking servers that answer whom they refuse, on threads of this process or in processes of their own."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from mtlspolicy import TrustStore, Verifier, policies, revocation, tls
from mtlspolicy.integrations import cheroot as our_cheroot
from mtlspolicy.integrations import werkzeug as our_werkzeug
from mtlspolicy.integrations import wsgiref as our_wsgiref
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.integrations import battery
from tests.integrations.battery import Running
from tests.integrations.serving import HOST, PATIENCE, on_thread

CLIENTS: Final = CertificateAuthority("Clients")
GOOD: Final = CLIENTS.issue_client("frodo")
GOLLUM: Final = CLIENTS.issue_client("gollum")
_OPEN: Final[list[revocation.Refresher]] = []
Contexts = Callable[[Path], ssl.SSLContext]
Started = Callable[..., AbstractContextManager[Running]]


def plain_context(folder: Path, **options: Any) -> ssl.SSLContext:
    """Return a context that admits frodo, of the CA in the file ``clients.pem``, within two seconds."""
    trust = TrustStore.from_file(folder / "clients.pem")
    verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"))
    return _context(folder, verifier, tls.ServerOptions(handshake_timeout=2.0), **options)


def endpoint_context(folder: Path, **options: Any) -> ssl.SSLContext:
    """Return the context of scenario 1, whose responder is on the port in the file ``port``."""
    port = int((folder / "port").read_text(encoding="ascii"))
    open_to = revocation.Destinations(ports={port}, addresses={"127.0.0.1/32"})
    refresher = revocation.Refresher(destinations=open_to)
    _OPEN.append(refresher)
    trust = TrustStore.from_file(folder / "clients.pem")
    policy = policies.CommonName("hooks") & policies.IssuerPin(next(iter(trust.anchors))) & policies.NotRevoked()
    verifier = Verifier.for_clients(trust=trust, policy=policy)
    return _context(folder, verifier, tls.ServerOptions(resolver=refresher.resolver(), **options))


def holding_endpoint_context(folder: Path) -> ssl.SSLContext:
    """Return the same for an event loop, whose connections wait for the responder."""
    return endpoint_context(folder, pending="hold")


def _context(folder: Path, verifier: Verifier, options: tls.ServerOptions, **more: Any) -> ssl.SSLContext:
    credential = tls.Credential.from_files(folder / "server.pem", folder / "server.key")
    return tls.server_context(credential=credential, verifier=verifier, options=options, **more)


def settings(contexts: Contexts, **options: Any) -> str:
    """Return the configuration of gunicorn with what *contexts*, a function of this module, makes."""
    return f"""
from pathlib import Path
from mtlspolicy.integrations import gunicorn
from tests.integrations import blocking
certfile, keyfile = "server.pem", "server.key"
ssl_context = gunicorn.ssl_context(blocking.{contexts.__name__}(Path()), **{options!r})
"""


@contextmanager
def _werkzeug(folder: Path, contexts: Contexts, **options: Any) -> Generator[Running, None, None]:
    class Handler(our_werkzeug.RequestHandler):
        def log(self, *_: Any) -> None:
            """Print nothing."""

    app = battery.counted_wsgi(folder / "runs")
    server: Any = our_werkzeug.make_server(app, context=contexts(folder), port=0, request_handler=Handler, **options)
    server.daemon_threads = True
    with contextlib.closing(server.socket), on_thread(lambda: server.serve_forever(0.02), server.shutdown):
        yield Running(server.server_port, battery.own_process, folder / "runs")


@contextmanager
def _wsgiref(folder: Path, contexts: Contexts, **options: Any) -> Generator[Running, None, None]:
    app = battery.counted_wsgi(folder / "runs")
    with wsgiref_serving(app, contexts(folder), **options) as port:
        yield Running(port, battery.own_process, folder / "runs")


@contextmanager
def wsgiref_serving(app: Any, context: ssl.SSLContext, **options: Any) -> Generator[int, None, None]:
    """Serve *app* by wsgiref; give the port."""
    server = our_wsgiref.make_server(app, context=context, port=0, **options)
    with server, on_thread(lambda: server.serve_forever(0.02), server.shutdown):
        yield server.server_port


@contextmanager
def _cheroot(folder: Path, contexts: Contexts, **options: Any) -> Generator[Running, None, None]:
    from cheroot.wsgi import Server

    server: Any = Server((HOST, 0), battery.counted_wsgi(folder / "runs"), numthreads=4, timeout=5)
    server.ssl_adapter = our_cheroot.SSLAdapter(contexts(folder), **options)
    server.error_log = lambda *_, **__: None
    server.prepare()
    with on_thread(server.serve, server.stop):
        yield Running(server.bind_addr[1], battery.own_process, folder / "runs")


def _gunicorn(
    folder: Path, contexts: Contexts, *, arguments: tuple[str, ...] = (), application: str = "wsgi_app", **options: Any
) -> AbstractContextManager[Running]:
    written = settings(contexts, **options)
    return battery.gunicorn_serving(folder, *arguments, application=application, settings=written)


_UVICORN_WORKER: Final = "mtlspolicy.integrations.gunicorn.UvicornWorker"
SERVERS: Final[dict[str, Started]] = {
    "werkzeug": _werkzeug,
    "wsgiref": _wsgiref,
    "cheroot": _cheroot,
    "gunicorn-sync": _gunicorn,
    "gunicorn-gthread": partial(_gunicorn, arguments=("--worker-class", "gthread", "--threads", "4")),
}
ALL_SERVERS: Final[dict[str, Started]] = {
    **SERVERS,
    "gunicorn-uvicorn": partial(_gunicorn, arguments=("--worker-class", _UVICORN_WORKER), application="asgi_app"),
}


@contextmanager
def serving(
    name: str,
    folder: Path,
    contexts: Contexts = plain_context,
    *,
    clients: CertificateAuthority = CLIENTS,
    **options: Any,
) -> Generator[Running, None, None]:
    """Serve by the server *name*, with ``refuse="respond"`` where nothing else is said."""
    (folder / "clients.pem").write_bytes(clients.pem)
    battery.gunicorn_files(folder)
    try:
        with ALL_SERVERS[name](folder, contexts, **{"refuse": "respond", **options}) as running:
            yield running
    finally:
        while _OPEN:
            _OPEN.pop().close()


def client_context(folder: Path, certificate: IssuedCertificate | None) -> ssl.SSLContext:
    """Return the plain context of a client that shows *certificate*."""
    return battery.client_context(folder, certificate)


@contextmanager
def connected(running: Running, context: ssl.SSLContext) -> Generator[ssl.SSLSocket, None, None]:
    """Open a connection."""
    with (
        socket.create_connection((HOST, running.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        yield secured


def everything(connection: ssl.SSLSocket) -> bytes:
    """Return all that comes until the server ends the connection, however it does."""
    got = b""
    with contextlib.suppress(OSError):
        while chunk := connection.recv(65536):
            got += chunk
    return got


def told(running: Running, context: ssl.SSLContext, *parts: bytes) -> bytes:
    """Return all that the server says to *parts*, each of them a record."""
    got = b""
    with contextlib.suppress(OSError), connected(running, context) as connection:
        with contextlib.suppress(OSError):
            for part in parts:
                connection.sendall(part)
        got = everything(connection)
    return got
