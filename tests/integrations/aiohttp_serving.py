"""aiohttp's server on a thread, with an application that tells its callers who they are."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import WSMsgType, web

from mtlspolicy import Policy, policies
from mtlspolicy.integrations import aiohttp as ours
from tests.integrations import applications
from tests.integrations.loop_serving import in_a_loop
from tests.integrations.serving import VERIFIER, Server


async def tell(request: web.Request) -> web.Response:
    """Tell who the caller is, and what is seen of the headers."""
    await request.read()
    peer = ours.peer_or_none(request)
    seen = sorted(
        {name.lower() for name in request.headers} | {name.decode().lower() for name, _ in request.raw_headers}
    )
    body = {"peer": peer and peer.common_name, "headers": seen, "client": request.remote, "host": request.host}
    return web.json_response(body, headers={"Cache-Control": "public", "Client-Cert": "echoed"})


async def _form_user(request: web.Request) -> Policy:
    return policies.CommonName(str((await request.post())["user"]))


may_bank = ours.require(_form_user)
may_act = ours.require(lambda request: policies.CommonName(request.match_info["name"]))


async def bank(request: web.Request) -> web.Response:
    """Serve the user whom the form names."""
    return web.Response(text=(await may_bank(request)).common_name)


async def act(request: web.Request) -> web.Response:
    """Serve the user whom the path names."""
    return web.Response(text=(await may_act(request)).common_name)


async def begun(request: web.Request) -> web.StreamResponse:
    """Begin an answer, and ask too late."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    await may_act(request)
    return response


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Greet by name over a WebSocket; "act" asks further."""
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    await connection.send_str(ours.peer(request).common_name or "")
    async for message in connection:
        if message.type is WSMsgType.TEXT:
            await ours.require(policies.CommonName(message.data))(request)
            await connection.send_str("may")
    return connection


def application(*, installed: bool = True, **options: Any) -> web.Application:
    """Return the application, with a sub-application at /below."""
    app, below = web.Application(), web.Application()
    below.router.add_get("/tell", tell)
    for path, handler in (("/", tell), ("/act/{name}", act), ("/begun/{name}", begun), ("/echo", echo)):
        app.router.add_get(path, handler)
    app.router.add_post("/", tell)
    app.router.add_post("/bank", bank)
    app.add_subapp("/below", below)
    if installed:
        given: Any = {"source": "connection", **options}
        ours.install(app, **given)
    return app


def behind_a_proxy(**options: Any) -> web.Application:
    """Return the application that believes a proxy at 127.0.0.1."""
    given: Any = {"source": applications.source(), "verifier": VERIFIER, **options}
    return application(**given)


@contextmanager
def aiohttp_serving(
    app: web.Application, *, context: Any = None, runner: Any = web.AppRunner, path: str | None = None,
    loop: Any = None, **options: Any,
) -> Generator[Server, None, None]:  # fmt: skip
    """Serve *app* by aiohttp."""
    if "refuse" in options:
        options["context"] = context

    @asynccontextmanager
    async def begin(listener: socket.socket) -> AsyncGenerator[None, None]:
        made = runner(app, shutdown_timeout=0.1, **options)
        given = getattr(made, "ssl_context", None) or context
        await made.setup()
        try:
            await web.SockSite(made, listener, ssl_context=given).start()
            yield
        finally:
            await made.cleanup()

    with in_a_loop(begin, path, loop) as server:
        yield server
