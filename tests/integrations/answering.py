"""Servers that speak TLS themselves, with a context of ours, and clients of every kind that ask them."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.integrations import hypercorn as our_hypercorn
from mtlspolicy.testing import CertificateAuthority
from tests.integrations import applications
from tests.integrations.serving import HOST, PATIENCE, ROOT, Server, listening, on_thread, uvicorn_serving

FRODO: Final = policies.CommonName("frodo")
STRANGERS: Final = CertificateAuthority("Strangers")
_SERVER: Final = ROOT.issue_server("localhost", "strict.test", HOST)
CREDENTIAL: Final = tls.Credential.of([*_SERVER.chain, ROOT.certificate], _SERVER.key)
_UVICORN: Final[dict[str, dict[str, Any]]] = {
    "uvicorn-h11-asyncio": {"http": "h11", "loop": "asyncio"},
    "uvicorn-h11-uvloop": {"http": "h11", "loop": "uvloop"},
    "uvicorn-httptools-asyncio": {"http": "httptools", "loop": "asyncio"},
    "uvicorn-httptools-uvloop": {"http": "httptools", "loop": "uvloop"},
}
SERVERS: Final = [*_UVICORN, "hypercorn"]
Serving = Callable[..., AbstractContextManager[Server]]


def context_for(policy: Policy = FRODO, **options: Any) -> ssl.SSLContext:
    """Return a context that admits whom *policy* permits, of clients of the root."""
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=policy)
    return tls.server_context(credential=CREDENTIAL, verifier=verifier, **options)


@contextmanager
def hypercorn_serving(app: Any, *, context: Any, **options: Any) -> Generator[Server, None, None]:
    """Serve by `integrations.hypercorn.serve`, with its options."""
    with listening() as listener:
        config = our_hypercorn.config(context=context, bind=[f"fd://{os.dup(listener.fileno())}"], graceful_timeout=1)
        config.accesslog = config.errorlog = None
        ended: list[Any] = []
        ready = threading.Event()

        async def serving() -> None:
            end = asyncio.Event()
            ended.extend((asyncio.get_running_loop(), end))
            ready.set()
            await our_hypercorn.serve(app, config, shutdown_trigger=end.wait, **options)

        def stop() -> None:
            assert ready.wait(PATIENCE)
            ended[0].call_soon_threadsafe(ended[1].set)

        with on_thread(lambda: asyncio.run(serving()), stop):
            yield Server(listener.getsockname())


def serving(name: str) -> Serving:
    """Return what serves by the server *name* of `SERVERS`."""
    if name == "hypercorn":
        return hypercorn_serving
    if name.endswith("uvloop"):
        pytest.importorskip("uvloop")

    def uvicorn(app: Any, **options: Any) -> AbstractContextManager[Server]:
        return uvicorn_serving(app, access_log=False, **_UVICORN[name], **options)

    return uvicorn


class Clients:
    """The contexts of clients, each made once.

    Args:
        folder: For their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str | None, ssl.SSLContext] = {}

    def files(self, name: str) -> tuple[Path, Path]:
        """Return the files of the certificate and key for *name*; ``stranger`` is of another CA."""
        authority = STRANGERS if name == "stranger" else ROOT
        chain, key = authority.issue_client(name).files(self._folder, name=name)
        return Path(chain), Path(key)

    def __getitem__(self, name: str | None) -> ssl.SSLContext:
        """Return the context of a client with a certificate for *name*; ``None``: without one."""
        if name not in self._made:
            context = self._made[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=ROOT.der)
            if name is not None:
                context.load_cert_chain(*self.files(name))
        return self._made[name]

    def get(self, server: Server, name: str | None, **options: Any) -> httpx.Response:
        """Return the answer to one request over a connection of its own."""
        method, content = options.pop("method", "GET"), options.pop("content", None)
        headers = options.pop("headers", None)
        with httpx.Client(verify=self[name], timeout=PATIENCE, trust_env=False, **options) as client:
            return client.request(method, f"https://localhost:{server.address[1]}/", content=content, headers=headers)

    def curl(self, server: Server, name: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Return what curl prints: the body and, in a line of its own, the status (000: no answer)."""
        root = self._folder / "root.pem"
        root.write_bytes(ROOT.pem)
        command = ["curl", "--silent", "--max-time", "20", "--cacert", str(root), "--write-out", "\n%{http_code}"]
        if name is not None:
            certificate, key = self.files(name)
            command += ["--cert", str(certificate), "--key", str(key)]
        url = f"https://localhost:{server.address[1]}/"
        return subprocess.run(
            [*command, *arguments, url], capture_output=True, text=True, timeout=PATIENCE + 10, check=False
        )


class Counted:
    """An ASGI application that counts who reached it, and otherwise tells each caller who it is."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope."""
        self.calls += scope["type"] != "lifespan"
        await applications.tell(scope, receive, send)
