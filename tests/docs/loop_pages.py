"""What the pages about aiohttp, Tornado and websockets need before their blocks run, and what must be true after."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import threading
import unittest
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web
from websockets.exceptions import InvalidStatus

from mtlspolicy.testing import CertificateAuthority

if TYPE_CHECKING:
    from tests.docs.conftest import Lab


def _certificates() -> tuple[CertificateAuthority, CertificateAuthority]:
    clients, servers = CertificateAuthority("Clients"), CertificateAuthority("Servers")
    Path("clients-ca.pem").write_bytes(clients.pem)
    Path("api-ca.pem").write_bytes(servers.pem)
    servers.issue_server("localhost").files(".", name="server")
    clients.issue_client("frodo").files(".", name="frodo")
    return clients, servers


def _asked(lab: Lab, running: Any, clients: CertificateAuthority, servers: CertificateAuthority) -> list[Any]:
    """Return what frodo, who asks for his own and for sam's, and a stranger are told while *running* serves."""
    answers: list[Any] = []

    def ask() -> None:
        for name, path in (("frodo", "/users/frodo"), ("frodo", "/users/sam"), ("gollum", "/users/gollum")):
            try:
                answers.append(_get(lab, clients.issue_client(name), servers, path))
            except (ssl.SSLError, OSError, EOFError):
                answers.append(None)

    async def run() -> None:
        thread = threading.Thread(target=ask)
        async with running():
            thread.start()
            await asyncio.to_thread(thread.join)
            url = f"https://localhost:{lab.port}/"
            answers.append(await lab.namespace["get"](url))

    asyncio.run(run())
    return answers


def _get(lab: Lab, client: Any, servers: CertificateAuthority, path: str) -> tuple[int, str]:
    context = ssl.create_default_context(cadata=servers.pem.decode())
    with client.tempfiles() as (chain, key):
        context.load_cert_chain(chain, key)
    connection = http.client.HTTPSConnection("localhost", lab.port, context=context, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


EXPECTED: Final = [(200, "frodo may\n"), (403, '{"error": "name.mismatch"}\n'), None, "hello frodo\n"]


def _aiohttp(lab: Lab) -> Iterator[None]:
    clients, servers = _certificates()
    yield
    names = lab.namespace

    @asynccontextmanager
    async def running() -> AsyncGenerator[None, None]:
        runner = web.AppRunner(names["app"], shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", lab.port, ssl_context=names["context"]).start()
        yield
        await runner.cleanup()

    assert _asked(lab, running, clients, servers) == EXPECTED

    @asynccontextmanager
    async def held() -> AsyncGenerator[None, None]:
        app = web.Application()
        app.router.add_get("/", names["hello"])
        app.router.add_get("/users/{user}", names["act"])
        names["mutual"].install(app, source="connection")
        runner = await names["serve"](app)
        yield
        await runner.cleanup()

    assert _asked(lab, held, clients, servers) == EXPECTED
    asyncio.run(names["test_act"]())


def _tornado(lab: Lab) -> Iterator[None]:
    clients, servers = _certificates()
    yield

    @asynccontextmanager
    async def running() -> AsyncGenerator[None, None]:
        server = lab.namespace["listen"]()
        yield
        server.stop()
        await server.close_all_connections()

    assert _asked(lab, running, clients, servers) == EXPECTED

    @asynccontextmanager
    async def answering() -> AsyncGenerator[None, None]:
        server = lab.namespace["answer"]()
        yield
        server.stop()
        await server.close_all_connections()

    told = [*EXPECTED[:2], (403, '{"error": "name.mismatch"}\n'), EXPECTED[3]]
    assert _asked(lab, answering, clients, servers) == told
    result = unittest.TestResult()
    lab.namespace["ActTest"]("test_act").run(result)
    assert (result.testsRun, result.errors + result.failures) == (1, [])


def _websockets(lab: Lab) -> Iterator[None]:
    _certificates()
    yield
    names = lab.namespace

    async def run() -> None:
        async with names["serve"]():
            url = f"wss://localhost:{lab.port}"
            assert await asyncio.to_thread(names["greeting"], f"{url}/frodo") == ("localhost", "hello frodo")
            with pytest.raises(InvalidStatus, match="403"):
                await asyncio.to_thread(names["greeting"], f"{url}/sam")

    asyncio.run(run())


LOOP_SETUPS: Final[dict[str, Callable[[Lab], Iterator[None]]]] = {
    "docs/howto/aiohttp.md": _aiohttp,
    "docs/howto/tornado.md": _tornado,
    "docs/howto/websockets.md": _websockets,
}
