"""Tornado's server on a thread, with an application that tells its callers who they are."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tornado import web, websocket
from tornado.httpserver import HTTPServer

from mtlspolicy import Policy, policies
from mtlspolicy.errors import VerificationError
from mtlspolicy.integrations import tornado as ours
from tests.integrations import applications
from tests.integrations.loop_serving import in_a_loop
from tests.integrations.serving import VERIFIER, Server


class Tell(web.RequestHandler):
    """Tells who the caller is, and what is seen of the headers."""

    def get(self) -> None:
        """Answer."""
        peer = ours.peer_or_none(self)
        names = sorted({name.lower() for name in self.request.headers})
        self.set_header("Cache-Control", "public")
        self.set_header("Client-Cert", "echoed")
        self.write({"peer": peer and peer.common_name, "headers": names, "client": self.request.remote_ip})

    post = get
    head = get


class Act(web.RequestHandler):
    """Serves the user whom the path names."""

    async def prepare(self) -> None:
        """Ask."""
        await ours.require(lambda handler: policies.CommonName(handler.path_kwargs["name"]))(self)

    def get(self, name: str) -> None:
        """Answer."""
        del name
        chain = ours.presented(self)
        assert chain is not None
        self.write(ours.peer(self.request).common_name or "")


async def _form_user(handler: Any) -> Policy:
    await asyncio.sleep(0)
    return policies.CommonName(handler.get_body_argument("user"))


class Bank(web.RequestHandler):
    """Serves the user whom the form names."""

    may = ours.require(_form_user)

    async def post(self) -> None:
        """Answer."""
        self.write((await type(self).may(self)).common_name or "")


class Mine(web.RequestHandler):
    """Is for those who have a certificate."""

    def get(self) -> None:
        """Answer."""
        self.write(ours.peer(self).common_name or "")


class Begun(web.RequestHandler):
    """Begins an answer, and asks too late."""

    async def get(self) -> None:
        """Answer."""
        self.write("begun")
        await self.flush()
        await ours.require(policies.CommonName("sam"))(self)


class ByRequest(web.RequestHandler):
    """Asks of the request, without the handler, and answers itself."""

    async def get(self) -> None:
        """Answer."""
        try:
            await ours.require(policies.CommonName("sam"))(self.request)
        except VerificationError as error:
            self.write(error.code)


@web.stream_request_body
class Upload(web.RequestHandler):
    """Receives a body in parts."""

    size = 0

    async def prepare(self) -> None:
        """Ask before the body is read."""
        await ours.require(policies.CommonName("frodo"))(self)

    def data_received(self, chunk: bytes) -> None:
        """Count."""
        self.size += len(chunk)

    def post(self) -> None:
        """Answer."""
        self.write(str(self.size))


class Echo(websocket.WebSocketHandler):
    """Greets by name; what it is sent is a name that it asks further for."""

    async def prepare(self) -> None:
        """Ask before the upgrade."""
        await ours.require(policies.CommonName("frodo"))(self)

    def open(self, *_: str, **__: str) -> None:
        """Greet."""
        self.write_message(ours.peer(self).common_name or "")

    async def on_message(self, message: str | bytes) -> None:
        """Ask further."""
        await ours.require(policies.CommonName(str(message)))(self)
        await self.write_message("may")


def application() -> web.Application:
    """Return the application without anything of ours around it."""
    return web.Application(
        [
            ("/", Tell), ("/act/(?P<name>.*)", Act), ("/bank", Bank), ("/begun", Begun), ("/echo", Echo),
            ("/request", ByRequest), ("/upload", Upload), ("/mine", Mine),
        ],
        log_function=lambda _: None,
    )  # fmt: skip


def guarded(app: Any = None, **options: Any) -> ours.Middleware:
    """Return the application behind the middleware, by the connection itself if nothing else is said."""
    given: Any = {"source": "connection", **options}
    return ours.Middleware(app or application(), **given)


def behind_a_proxy(**options: Any) -> ours.Middleware:
    """Return the application that believes a proxy at 127.0.0.1."""
    given: Any = {"source": applications.source(), "verifier": VERIFIER, **options}
    return guarded(**given)


@contextmanager
def tornado_serving(
    app: Any,
    *,
    context: Any = None,
    path: str | None = None,
    loop: Any = None,
    server_class: type = HTTPServer,
    **options: Any,
) -> Generator[Server, None, None]:
    """Serve *app* by Tornado, or by the server of ours."""

    @asynccontextmanager
    async def begin(listener: socket.socket) -> AsyncGenerator[None, None]:
        server = server_class(app, ssl_options=context, **options)
        taken = listener.dup()
        taken.settimeout(0)
        server.add_sockets([taken])
        try:
            yield
        finally:
            server.stop()
            await server.close_all_connections()

    with in_a_loop(begin, path, loop) as server:
        yield server
