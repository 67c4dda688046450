"""The applications behind the servers: they tell who was admitted, and what they can see. Also loaded by gunicorn."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from werkzeug.wsgi import get_input_stream

from mtlspolicy import TrustStore, Verifier, forwarded, policies
from mtlspolicy.integrations import asgi, wsgi


def told(request: Any, headers: list[str], client: object) -> bytes:
    """Return what an application sees of *request*, JSON."""
    peer = asgi.peer_or_none(request)
    name = None if peer is None else peer.common_name
    return json.dumps({"peer": name, "headers": sorted(headers), "client": client}).encode("ascii")


async def tell(scope: Any, receive: Any, send: Any) -> None:
    """Tell each caller who it is, over HTTP and WebSocket."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = told(scope, [name.decode("latin-1") for name, _ in scope["headers"]], scope["client"])
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": body.decode("ascii")})
        await send({"type": "websocket.close"})
        return
    while (await receive()).get("more_body"):
        continue
    fields = [(b"content-length", str(len(body)).encode("ascii")), (b"cache-control", b"public")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def tell_wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Tell each caller who it is."""
    get_input_stream(environ).read()
    names = [key for key in environ if key.startswith(("HTTP_", "SSL_"))]
    body = told(environ, names, environ.get("REMOTE_ADDR"))
    start_response("200 OK", [("Content-Length", str(len(body))), ("Cache-Control", "public")])
    return [body]


def verifier_for(root: bytes) -> Verifier:
    """Return the verifier of frodo and sam under the root, PEM."""
    return Verifier.for_clients(trust=TrustStore.from_pem(root), policy=policies.CommonName("frodo", "sam"))


def source(trusted: Any = ("127.0.0.1/32",)) -> forwarded.ForwardedSource:
    """Return the source: RFC 9440 from a proxy at 127.0.0.1."""
    return forwarded.rfc9440(trusted=trusted)


def __getattr__(name: str) -> Any:
    """Make the applications that gunicorn asks for by name; the root lies in a file that the environment names."""
    verifier = verifier_for(Path(os.environ["MTLSPOLICY_TEST_ROOT"]).read_bytes())
    trusted: Any = forwarded.UNIX_SOCKET if name.endswith("_unix") else ["127.0.0.1/32"]
    if name.startswith("asgi_app"):
        return asgi.Middleware(tell, source=source(trusted), verifier=verifier)
    if name == "wsgi_connection":
        return wsgi.Middleware(tell_wsgi, source="connection")
    if name.startswith("wsgi_fixed"):
        from werkzeug.middleware.proxy_fix import ProxyFix

        return ProxyFix(wsgi.Middleware(tell_wsgi, source=source(trusted), verifier=verifier))
    if name.startswith("wsgi_app"):
        return wsgi.Middleware(tell_wsgi, source=source(trusted), verifier=verifier)
    raise AttributeError(name)
