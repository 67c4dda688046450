"""A site of Django with web sockets by Channels, for a process of its own, as `django_site` is.

``python -m tests.integrations.channels_site FD`` serves it by uvicorn over TLS on the socket with that number.
"""

from __future__ import annotations

import socket
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

settings: Any = import_module("django.conf").settings  # a package without types
settings.configure(
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    LOGGING_CONFIG=None,
    INSTALLED_APPS=["channels"],
)
import_module("django").setup(set_prefix=False)

from mtlspolicy import TrustStore, Verifier, policies, tls  # noqa: E402
from mtlspolicy.integrations import asgi, uvicorn  # noqa: E402
from mtlspolicy.integrations import django as ours  # noqa: E402

_asgi: Any = import_module("django.core.asgi").get_asgi_application
_http: Any = import_module("django.http")
_path: Any = import_module("django.urls").path
_routing: Any = import_module("channels.routing")
_validator: Any = import_module("channels.security.websocket").AllowedHostsOriginValidator
if TYPE_CHECKING:
    AsyncConsumer = object
    SyncConsumer = object
else:
    AsyncConsumer = import_module("channels.generic.websocket").AsyncWebsocketConsumer
    SyncConsumer = import_module("channels.generic.websocket").WebsocketConsumer
may_enter = asgi.require(lambda scope: policies.CommonName(scope["url_route"]["kwargs"]["name"]))


class Room(AsyncConsumer):
    """A room for the one whose name is in the path; each message names who may say it."""

    async def connect(self) -> None:
        """Let him in."""
        this: Any = self
        who = await may_enter(this.scope)
        await this.accept()
        await this.send(who.common_name)

    async def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        """Say it again, to who is named."""
        del bytes_data
        this: Any = self
        asgi.peer(this.scope).require(policies.CommonName(text_data))
        await this.send(text_data)


class Threaded(SyncConsumer):
    """The same on a thread."""

    def connect(self) -> None:
        """Let him in."""
        this: Any = self
        who = asgi.peer(this.scope)
        who.require(policies.CommonName(this.scope["url_route"]["kwargs"]["name"]))
        this.accept()
        this.send(who.common_name)


def me(request: Any) -> Any:
    """Tell the sender its name."""
    return _http.HttpResponse(ours.peer(request).common_name)


def _as_asgi(consumer: Any) -> Any:
    return consumer.as_asgi()


urlpatterns = [_path("me", me)]
sockets: Any = [_path("room/<name>", _as_asgi(Room)), _path("threaded/<name>", _as_asgi(Threaded))]
application: Any = asgi.Middleware(
    _routing.ProtocolTypeRouter({"http": _asgi(), "websocket": _validator(_routing.URLRouter(sockets))}),
    source="connection",
)


def context() -> Any:
    """Return the context of the server, made of what lies in the current directory."""
    verifier = Verifier.for_clients(trust=TrustStore.from_file("root.pem"), policy=policies.CommonName("frodo", "sam"))
    return tls.server_context(credential=tls.Credential.from_files("server.pem", "server.key"), verifier=verifier)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        import_module("uvicorn").Server(uvicorn.config(application, context=context(), log_config=None)).run(
            sockets=[listener]
        )
