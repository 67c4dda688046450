"""The servers of `bench.servers`, each in a process of its own: says its port, and its CPU time whenever it is asked.

``python -m bench._server KIND ours|bare|bare-tickets CHAIN KEY ROOT ISSUING``

Of the kind ``kept-alive`` one process has several listeners, so that they share its memory and caches:
``python -m bench._server kept-alive h11|httptools CHAIN KEY ROOT ISSUING`` says the ports of `KEPT`, in that order.
"""

from __future__ import annotations

import asyncio
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import FunctionType
from typing import Any

KEPT = ("the middleware", "our context alone", "our context alone, again", "a bare context")
"""What stands before the application on each listener of the kind ``kept-alive``."""
UVICORN: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "log_level": "warning", "lifespan": "off"}
_RUNNING: list[asyncio.Task[None]] = []
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def bare_context(chain: str, key: str, root: str, *, tickets: bool) -> ssl.SSLContext:
    """Return a bare context, with the default tickets or without any, as ours are."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=root)
    context.load_cert_chain(chain, key)
    context.verify_mode = ssl.CERT_REQUIRED
    if not tickets:
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def our_context(chain: str, key: str, root: str, issuing: str) -> ssl.SSLContext:
    """Return a context of ours with six policies."""
    from mtlspolicy import TrustStore, Verifier, policies, tls

    issuer = Path(issuing).read_bytes()
    policy = (
        policies.CommonName("client-0000")
        & policies.IssuerPin(issuer)
        & policies.Blocked(issuer=issuer, serials={0x51, 0x52})
        & policies.ExtendedKeyUsage("clientAuth")
        & policies.KeyStrength()
        & policies.MaxLifetime(timedelta(days=30))
    )
    verifier = Verifier.for_clients(trust=TrustStore.from_file(root), policy=policy)
    return tls.server_context(credential=tls.Credential.from_files(chain, key), verifier=verifier)


def answer_questions(*ports: int) -> None:
    """Say the ports, then the CPU time for each line that comes in, on a thread of its own."""
    print(*ports, flush=True)

    def serve() -> None:
        for _ in sys.stdin:
            print(time.process_time(), flush=True)

    threading.Thread(target=serve, daemon=True).start()


class _Handler(socketserver.BaseRequestHandler):
    """Reads a request and answers it."""

    def handle(self) -> None:
        """Answer one connection."""
        self.request.settimeout(self.server.patience)  # type: ignore[attr-defined]
        connection: ssl.SSLSocket = self.server.context.wrap_socket(self.request, server_side=True)  # type: ignore[attr-defined]
        with connection:
            if connection.recv(65536):
                connection.sendall(ANSWER)


class _Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


def serve_threads(context: ssl.SSLContext, patience: float | None) -> None:
    """Serve on threads, which shake hands themselves; *patience* is the time-out of their sockets, in seconds."""
    with _Threads(("127.0.0.1", 0), _Handler) as server:
        server.context = context  # type: ignore[attr-defined]
        server.patience = patience  # type: ignore[attr-defined]
        answer_questions(server.server_address[1])
        server.serve_forever()


async def serve_asyncio(context: ssl.SSLContext) -> None:
    """Serve with asyncio's streams."""

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(65536):
            writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(on_connect, "127.0.0.1", 0, ssl=context)
    answer_questions(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _application(
    scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def serve_uvicorn(context: ssl.SSLContext) -> None:
    """Serve with uvicorn on asyncio."""
    import uvicorn

    config = uvicorn.Config(_application, **UVICORN, loop="asyncio")
    config.load()
    config.ssl = context
    answer_questions(await _started(uvicorn.Server(config)))
    await asyncio.Event().wait()


async def serve_kept_alive(http: str, ours: ssl.SSLContext, bare: ssl.SSLContext) -> None:
    """Serve with uvicorn and its protocol *http* on the listeners of `KEPT`: with the middleware, and without it.

    CPython fits bytecode to the types that it meets. Our protocol is a class of its own below uvicorn's, so that two
    listeners with the same code would slow each other, h11's by three microseconds a request; a server has one of them.
    So each has a copy of the code that it would otherwise share.
    """
    import uvicorn

    from mtlspolicy.integrations import uvicorn as with_middleware

    options: dict[str, Any] = {**UVICORN, "loop": "asyncio", "access_log": False}
    configs = [
        with_middleware.config(_copy_of_application(), context=ours, http=http, **options),
        *(uvicorn.Config(_copy_of_application(), http=_copy_of_protocol(http), **options) for _ in range(3)),
    ]
    for config, context in zip(configs[1:], (ours, ours, bare), strict=True):
        config.load()
        config.ssl = context
    answer_questions(*[await _started(uvicorn.Server(config)) for config in configs])
    await asyncio.Event().wait()


def _copy_of_application() -> Any:
    return FunctionType(_application.__code__.replace(), globals())


def _copy_of_protocol(http: str) -> Any:
    """Return the class of uvicorn's protocol *http*, of a copy of its module."""
    found = find_spec(f"uvicorn.protocols.http.{http}_impl")
    if found is None or found.loader is None:
        raise AssertionError(f"uvicorn has no {http}")
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return getattr(module, {"h11": "H11Protocol", "httptools": "HttpToolsProtocol"}[http])


async def _started(server: Any) -> int:
    """Return the port of a server of uvicorn that has started."""
    _RUNNING.append(asyncio.create_task(server.serve()))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


def main(kind: str, which: str, *files: str) -> None:
    """Serve until the process is ended."""
    if kind == "kept-alive":
        asyncio.run(serve_kept_alive(which, our_context(*files), bare_context(*files[:3], tickets=False)))
        return
    context = our_context(*files) if which == "ours" else bare_context(*files[:3], tickets=which == "bare-tickets")
    if kind.startswith("threads"):
        serve_threads(context, 10.0 if kind.endswith("time-outs") else None)
    elif kind == "uvloop":
        import uvloop

        uvloop.run(serve_asyncio(context))
    else:
        asyncio.run(serve_uvicorn(context) if kind == "uvicorn" else serve_asyncio(context))


if __name__ == "__main__":
    main(*sys.argv[1:])
