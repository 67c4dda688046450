"""One set of clients for every server that speaks TLS with a context of ours, and how to start those that need it.

A server's application tells its caller who he is, and writes one octet into a file for each run; its verifier writes
the code of each decision into another one.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Final, NamedTuple, TypeVar
from wsgiref.simple_server import WSGIServer, make_server

from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy import Decision, Resolver, TrustStore, Verifier, policies, revocation, tls
from mtlspolicy.integrations import asgi, wsgi
from mtlspolicy.integrations import wsgiref as our_wsgiref
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.integrations import applications
from tests.integrations.serving import HOST, PATIENCE, REPOSITORY, listening, on_thread

T = TypeVar("T")
ROOT: Final = CertificateAuthority("Battery root")
ISSUING: Final = ROOT.intermediate("Battery issuing CA")
OTHER: Final = ROOT.intermediate("Battery other CA")
SERVER: Final = ROOT.issue_server("localhost", HOST)
_PAST: Final = datetime.now(UTC) - timedelta(days=30)
_REVOKED: Final = ISSUING.issue_client("frodo")
ISSUING.revoke(_REVOKED)
_CRL: Final = ISSUING.crl().public_bytes(Encoding.DER)

GOOD: Final = ISSUING.issue_client("frodo")
SAM: Final = ISSUING.issue_client("sam")
ALLOWED: Final = "frodo sam"
REFUSED: Final[dict[str, IssuedCertificate | None]] = {
    "another issuing CA": OTHER.issue_client("frodo"),
    "another name": ISSUING.issue_client("gollum"),
    "expired": ISSUING.issue_client("frodo", not_before=_PAST, not_after=_PAST + timedelta(days=1)),
    "revoked": _REVOKED,
    "an unknown CA": CertificateAuthority("Foreign").issue_client("frodo"),
    "none": None,
}


@policies.lookup("battery.enrolled", key=lambda path: path.end_entity.spki_sha256, max_age=None)
def enrolled(row: Any, _: Any) -> bool:
    """Permit whom the look-up knows."""
    return row is True


async def look_up(_: Any) -> bool:
    """Know everybody, after a turn of the loop."""
    await asyncio.sleep(0)
    return True


def server_context(folder: Path, **options: Any) -> ssl.SSLContext:
    """Return a context that admits the names in *folder* of the issuing CA, unless its CRL there names them.

    With ``pending="hold"`` a fact is looked up by a coroutine as well.
    """
    (folder / "list.crl").write_bytes(_CRL)
    names, codes = folder / "names", folder / "codes"
    names.write_text(ALLOWED, encoding="ascii")

    def note(decision: Decision) -> None:
        with codes.open("a", encoding="ascii") as file:
            file.write(f"{decision.code}\n")

    policy = (
        policies.CommonName(lambda: names.read_text(encoding="ascii").split())
        & policies.IssuerPin(ISSUING.certificate)
        & policies.NotRevoked("crl", scope="end-entity")
    )
    lists = revocation.crls_source(revocation.CRLFiles(folder / "list.crl"))
    sources: dict[str, Any] = {revocation.CRL: lists, "battery.enrolled": look_up}
    settings = tls.ServerOptions(resolver=Resolver(sources), **options)
    asked = policy & enrolled if "pending" in options else policy
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=asked).observed_by(note)
    return tls.server_context(
        credential=tls.Credential.of(SERVER.chain, SERVER.key), verifier=verifier, options=settings
    )


def client_context(folder: Path, certificate: IssuedCertificate | None) -> ssl.SSLContext:
    """Return a plain context that shows *certificate*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.der)
    if certificate is not None:
        context.load_cert_chain(*certificate.files(folder))
    return context


class Running(NamedTuple):
    """A server that runs.

    Attributes:
        port: On loopback.
        processes: Those whose descriptors and threads are its own.
        runs: A file with an octet for each run of its application.
        tasks: Returns how many tasks there are where it runs in an event loop.
        waits: Whether it waits for facts. Elsewhere whoever comes before the CRL was read has to come again.
    """

    port: int
    processes: Callable[[], list[int]]
    runs: Path
    tasks: Callable[[], int] = int
    waits: bool = True

    @property
    def ran(self) -> int:
        """How often its application has run."""
        return self.runs.stat().st_size

    @property
    def begun(self) -> int:
        """How often anything of its application has begun, if only to wait for a request."""
        begun = self.runs.with_name("begun")
        return (begun if begun.exists() else self.runs).stat().st_size

    @property
    def names(self) -> Path:
        """The file with the names that its policy allows."""
        return self.runs.with_name("names")

    def decided(self, code: str) -> int:
        """Return how many decisions with *code* its verifier has told so far, which may be a moment late."""
        codes = self.runs.with_name("codes")
        return codes.read_text(encoding="ascii").split().count(code) if codes.exists() else 0

    def belongings(self) -> tuple[int, int, int]:
        """Return how many descriptors, threads and, in an event loop, tasks it has."""
        return *self._of_processes(), self.tasks()

    def _of_processes(self) -> tuple[int, int]:
        counts = [
            [sum(1 for _ in Path(f"/proc/{pid}/{kind}").iterdir()) for pid in self.processes()]
            for kind in ("fd", "task")
        ]
        return sum(counts[0]), sum(counts[1])

    def settled(self) -> tuple[int, int, int]:
        """Return its belongings when they stay as they are, so that connections of before are gone from it."""
        found = [self.belongings()]

        def stable() -> bool:
            found.append(self.belongings())
            return len(found) > 4 and len(set(found[-4:])) == 1

        until(stable)
        return found[-1]

    def settles(self, before: tuple[int, int, int]) -> bool:
        """Return whether its belongings come to be no more than *before*.

        Descriptors and threads first, while nobody asks it anything: a thread that looks facts up ends when it is idle.
        """
        return until(
            lambda: all(now <= then for now, then in zip(self._of_processes(), before[:2], strict=True))
        ) and until(lambda: self.tasks() <= before[2])


Start = Callable[[Path], AbstractContextManager[Running]]


def own_process() -> list[int]:
    """Return this process: where the server runs on a thread of it."""
    return [os.getpid()]


def counted(runs: Path) -> Any:
    """Return an ASGI application that counts its runs."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/tasks":
            body = json.dumps({"peer": len(asyncio.all_tasks())}).encode("ascii")
            fields = [(b"content-length", str(len(body)).encode("ascii"))]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": body})
            return
        if scope["type"] != "lifespan":
            if scope["path"] == "/sam":
                await asgi.require(policies.CommonName("sam"))(scope)
            count_run(runs)
        await applications.tell(scope, receive, send)

    return asgi.Middleware(app, source="connection")


def counted_wsgi(runs: Path) -> Any:
    """Return the same for WSGI."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/sam":
            wsgi.require(policies.CommonName("sam"))(environ)
        count_run(runs)
        return applications.tell_wsgi(environ, start_response)

    return wsgi.Middleware(app, source="connection")


def count_run(runs: Path) -> None:
    """Write that an application has run."""
    with runs.open("ab") as file:
        file.write(b"x")


@contextmanager
def wsgiref_serving(folder: Path) -> Generator[Running, None, None]:
    """Serve by the standard library's WSGI server, a thread for each connection."""

    class Threaded(ThreadingMixIn, WSGIServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Print nothing."""

    class Handler(our_wsgiref.RequestHandler):
        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    runs = folder / "runs"
    runs.touch()
    server = make_server(HOST, 0, counted_wsgi(runs), server_class=Threaded, handler_class=Handler)
    server.socket = server_context(folder).wrap_socket(server.socket, server_side=True)
    with server, on_thread(lambda: server.serve_forever(0.02), server.shutdown):
        yield Running(server.server_port, own_process, runs)


@contextmanager
def cheroot_serving(folder: Path) -> Generator[Running, None, None]:
    """Serve by cheroot."""
    from cheroot.wsgi import Server

    from mtlspolicy.integrations import cheroot as our_cheroot

    runs = folder / "runs"
    runs.touch()
    server: Any = Server((HOST, 0), counted_wsgi(runs), numthreads=4, timeout=5)
    server.ssl_adapter = our_cheroot.SSLAdapter(server_context(folder))
    server.error_log = lambda *_, **__: None
    server.prepare()
    with on_thread(server.serve, server.stop):
        yield Running(server.bind_addr[1], own_process, runs)


SETTINGS: Final = """
import os
from pathlib import Path
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy import Resolver, TrustStore, Verifier, policies, revocation, tls
from mtlspolicy.integrations import gunicorn
certfile, keyfile = "server.pem", "server.key"
crls = revocation.crls_source(revocation.CRLFiles("list.crl"))
policy = policies.CommonName(lambda: Path("names").read_text().split()) & policies.IssuerPin.from_file("issuing.pem")
policy &= policies.NotRevoked("crl", scope="end-entity")
sources = {revocation.CRL: crls}
# more
def note(decision):
    with open("codes", "a") as file:
        file.write(f"{decision.code}\\n")
verifier = Verifier.for_clients(trust=TrustStore.from_file("root.pem"), policy=policy).observed_by(note)
ssl_context = gunicorn.ssl_context(
    tls.server_context(
        credential=tls.Credential.from_files(certfile, keyfile),
        verifier=verifier,
        options=tls.ServerOptions(resolver=Resolver(sources)),
    )
)
"""
_MORE: Final = """
from tests.integrations.battery import enrolled, look_up
policy &= enrolled
sources["battery.enrolled"] = look_up
"""
HOLDING: Final = SETTINGS.replace("resolver=", 'pending="hold", resolver=').replace("# more", _MORE)


def gunicorn_files(folder: Path) -> None:
    """Write what `SETTINGS` needs."""
    for name, data in (("root.pem", ROOT.pem), ("issuing.pem", ISSUING.pem), ("list.crl", _CRL)):
        (folder / name).write_bytes(data)
    for name, path in zip(("server.pem", "server.key"), SERVER.files(folder), strict=True):
        (folder / name).write_bytes(path.read_bytes())
    (folder / "settings.py").write_text(SETTINGS, encoding="utf-8")
    (folder / "names").write_text(ALLOWED, encoding="ascii")
    (folder / "runs").touch()


def gunicorn_command(application: str, listener: int, *arguments: str) -> list[str]:
    """Return the command that serves *application* of `gunicorn_program`."""
    return [
        *(sys.executable, "-m", "gunicorn", "--config", "settings.py", "--bind", f"fd://{listener}"),
        *("--log-level", "critical", "--no-control-socket", "--graceful-timeout", "2", *arguments),
        f"tests.integrations.gunicorn_program:{application}",
    ]


def gunicorn_environment(folder: Path) -> dict[str, str]:
    """Return the environment in which gunicorn finds the program and its file of runs."""
    search = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    return {**os.environ, "MTLSPOLICY_TEST_RUNS": str(folder / "runs"), "PYTHONPATH": search}


@contextmanager
def gunicorn_serving(
    folder: Path, *arguments: str, application: str = "wsgi_app", settings: str = SETTINGS, in_loop: bool = False
) -> Generator[Running, None, None]:
    """Serve by gunicorn, in processes of its own."""
    gunicorn_files(folder)
    (folder / "settings.py").write_text(settings, encoding="utf-8")
    with listening() as listener:
        process = subprocess.Popen(
            gunicorn_command(application, listener.fileno(), *arguments),
            cwd=folder, env=gunicorn_environment(folder), pass_fds=[listener.fileno()],
        )  # fmt: skip
        port: int = listener.getsockname()[1]

        def workers() -> list[int]:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
            return [int(pid) for pid in children.split()]

        try:
            yield Running(port, workers, folder / "runs", tasks_told(folder, port) if in_loop else int)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def ask(server: Running, context: ssl.SSLContext, page: str = "/", *, patience: float = PATIENCE) -> str | None:
    """Return who the server says is asking, or its refusal; ``None``: it closed the connection, or says nothing."""
    connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=patience)
    try:
        connection.request("GET", page, headers={"Connection": "close"})
        reply = connection.getresponse()
        told = json.loads(reply.read())
        return str(told["peer"]) if reply.status == 200 else f"{reply.status} {told['error']}"
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def ask_again(server: Running, context: ssl.SSLContext, page: str = "/") -> str | None:
    """Return what `ask` does; where the server waits for no fact, as soon as there is an answer."""
    return ask(server, context, page) if server.waits else repeated(lambda: ask(server, context, page))


def repeated(asking: Callable[[], T], answered: Callable[[T], object] = lambda told: told is not None) -> T:
    """Return what *asking* returns once that is an answer, or cannot be waited for any longer."""
    end = time.monotonic() + PATIENCE
    told = asking()
    while not answered(told) and time.monotonic() < end:
        told = asking()
    return told


def tasks_told(folder: Path, port: int, *, waits: bool = True) -> Callable[[], int]:
    """Return what asks the server at *port*, by a client that is admitted there, for its page ``/tasks``."""
    context = client_context(folder, GOOD)
    server = Running(port, own_process, folder, waits=waits)
    return lambda: int(ask_again(server, context, "/tasks") or "")


def until(condition: Callable[[], bool]) -> bool:
    """Return whether *condition* comes to hold while one can wait for it."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        with suppress(OSError):
            if condition():
                return True
        pause.wait(0.02)
    return False
