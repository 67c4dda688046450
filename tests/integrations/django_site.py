"""A site in Django, for a process of its own, because Django's settings belong to a process; by ASGI or WSGI.

``python -m tests.integrations.django_site FD`` serves it by uvicorn over TLS on the listening socket with that number;
gunicorn takes `wsgi_application`. The current directory has the credential and the root of the clients.
"""

from __future__ import annotations

import os
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

settings: Any = import_module("django.conf").settings  # a package without types
settings.configure(
    DEBUG="MTLSPOLICY_TEST_DEBUG" in os.environ,
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["localhost", "127.0.0.1", "testserver"],
    ROOT_URLCONF=__name__,
    LOGGING_CONFIG=None,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "mtlspolicy.integrations.django.Refusals",
    ],
)
import_module("django").setup(set_prefix=False)

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls  # noqa: E402
from mtlspolicy.integrations import asgi, uvicorn, wsgi  # noqa: E402
from mtlspolicy.integrations import django as ours  # noqa: E402
from tests.integrations import applications  # noqa: E402

_asgi: Any = import_module("django.core.asgi").get_asgi_application
_wsgi: Any = import_module("django.core.wsgi").get_wsgi_application
_http: Any = import_module("django.http")
_path: Any = import_module("django.urls").path
_csrf_exempt: Any = import_module("django.views.decorators.csrf").csrf_exempt
_method_decorator: Any = import_module("django.utils.decorators").method_decorator
if TYPE_CHECKING:
    View = object
else:
    View = import_module("django.views").View
in_path = ours.require(lambda request: policies.CommonName(request.resolver_match.kwargs["name"]))


async def _owner(request: Any) -> Policy:
    return policies.CommonName(request.POST["user"])


@in_path
def users(request: Any, name: str) -> Any:
    """Tell the sender its name, which is the one in the path."""
    assert ours.peer(request).common_name == name
    return _http.HttpResponse(name)


@ours.require(lambda request: policies.CommonName(request.POST["user"]))
def pay(request: Any) -> Any:
    """Pay for the user in the form."""
    return _http.HttpResponse(request.POST["user"])


@ours.require(_owner)
async def pay_async(request: Any) -> Any:
    """Do the same in a coroutine."""
    return _http.HttpResponse(request.POST["user"])


def me(request: Any) -> Any:
    """Tell the sender its name."""
    return _http.HttpResponse(ours.peer(request).common_name)


def anyone(request: Any) -> Any:
    """Tell anybody."""
    who = ours.peer_or_none(request)
    assert (who is None) == (ours.presented(request) is None)
    return _http.HttpResponse("nobody" if who is None else who.common_name)


async def further(request: Any) -> Any:
    """Ask the peer itself."""
    ours.peer(request).require(policies.CommonName("sam"))
    return _http.HttpResponse("sam")


def asked(request: Any) -> Any:
    """Ask in the middle of a view."""
    return _http.HttpResponse(ours.require(policies.CommonName("sam"))(request).common_name)


def broken(request: Any) -> Any:
    """Fail."""
    raise RuntimeError(str(ours.peer(request)))


def called_another(request: Any) -> Any:
    """Call a server that is not trusted."""
    del request
    applications.verifier_for(Path("root.pem").read_bytes()).verify(Path("foreign.pem").read_bytes())
    raise AssertionError


@in_path
class Whole(View):
    """A class-based view, decorated itself."""

    def get(self, request: Any, name: str) -> Any:
        """Tell the name."""
        del request
        return _http.HttpResponse(name)


@in_path
class Awaited(View):
    """The same, asynchronous."""

    async def get(self, request: Any, name: str) -> Any:
        """Tell the name."""
        del request
        return _http.HttpResponse(name)


class Plain(View):
    """A view that is decorated where it is used, or by Django's ``method_decorator``."""

    def get(self, request: Any, name: str) -> Any:
        """Tell the name."""
        del request
        return _http.HttpResponse(name)


class Dispatched(Plain):
    """Decorated as Django's own decorators are."""


def own_page(request: Any) -> Any:
    """Be the site's own page for errors."""
    del request
    return _http.HttpResponse("own page", status=500)


def _as_view(view: Any) -> Any:
    return view.as_view()


handler500 = own_page
urlpatterns = [
    _path("users/<name>", users),
    _path("pay", _csrf_exempt(pay)),
    _path("async/pay", _csrf_exempt(pay_async)),
    _path("me", me),
    _path("anyone", anyone),
    _path("further", further),
    _path("asked", asked),
    _path("broken", broken),
    _path("called-another", called_another),
    _path("whole/<name>", _as_view(Whole)),
    _path("awaited/<name>", _as_view(Awaited)),
    _path("around/<name>", in_path(_as_view(Plain))),
    _path("dispatched/<name>", _as_view(_method_decorator(in_path, name="dispatch")(Dispatched))),
]
asgi_application: Any = asgi.Middleware(_asgi(), source="connection", required=False, absent=401)
wsgi_application: Any = wsgi.Middleware(_wsgi(), source="connection", required=False, absent=401)


def context() -> Any:
    """Return the context of the server, made of what lies in the current directory."""
    trust = TrustStore.from_file("root.pem")
    verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo", "sam"))
    credential = tls.Credential.from_files("server.pem", "server.key")
    return tls.server_context(credential=credential, verifier=verifier, client_certificate="optional")


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        import_module("uvicorn").Server(uvicorn.config(asgi_application, context=context(), log_config=None)).run(
            sockets=[listener]
        )
