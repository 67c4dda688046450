"""What the pages about blocking servers need before their blocks run, and what must be true afterwards."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

if TYPE_CHECKING:
    from tests.docs.conftest import Lab


def _wsgi_servers(lab: Lab) -> Iterator[None]:
    """The small server greets frodo by name and tells all others that they are refused; CherryPy's closes on them."""
    root = CertificateAuthority("Clients")
    root.issue_server("localhost").files(".", name="server")
    Path("clients-ca.pem").write_bytes(root.pem)
    yield
    small: Any = lab.namespace["small"]
    small.serve_forever()
    assert lab.get(root.issue_client("frodo"), root) == (200, "hello frodo\n")
    for client, code in ((root.issue_client("sam"), "name.mismatch"), (None, "path.no-certificate")):
        status, text = lab.get(client, root)
        assert (status, json.loads(text)) == (403, {"error": code})
    small.server_close()
    site: Any = lab.namespace["cherrypy"].server.httpserver
    assert site.bind_addr == ("127.0.0.1", lab.port)
    with _started(site) as lab.port:
        assert lab.get(root.issue_client("frodo"), root) == (200, "hello frodo\n")
        for refused in (root.issue_client("sam"), None):
            with pytest.raises((OSError, http.client.HTTPException)):
                lab.get(refused, root)


@contextlib.contextmanager
def _started(site: Any) -> Iterator[int]:
    """Run the server of CherryPy, on a port of its own, without the engine, which ends the process where it fails."""
    site.bind_addr = ("127.0.0.1", 0)
    site.prepare()
    thread = threading.Thread(target=site.serve)
    thread.start()
    try:
        yield site.bind_addr[1]
    finally:
        site.stop()
        thread.join(20)
        assert not thread.is_alive()


def _ask_later(lab: Lab) -> Iterator[None]:
    """Everybody is greeted; the page for frodo asks, and a client that cannot be asked is told."""
    root = CertificateAuthority("Clients")
    root.issue_server("localhost").files(".", name="server")
    Path("clients-ca.pem").write_bytes(root.pem)
    yield
    for page, status, text in (("/", 200, "hello, whoever you are"), ("/admin", 403, "come with --cert")):
        assert _get(lab, root, page) == (status, text)
    assert _get(lab, root, "/admin", shows=root.issue_client("frodo")) == (200, "hello frodo")
    with pytest.raises((OSError, http.client.HTTPException)):
        _get(lab, root, "/admin", shows=root.issue_client("sam"))


def _get(lab: Lab, root: CertificateAuthority, page: str, *, shows: IssuedCertificate | None = None) -> tuple[int, str]:
    context = ssl.create_default_context(cadata=root.pem.decode())
    if shows is not None:
        context.post_handshake_auth = True
        context.load_cert_chain(*shows.files("."))
    connection = http.client.HTTPSConnection("localhost", lab.port, context=context, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status, answer.read().decode().partition(", --key")[0]


WSGI_SETUPS: Final[dict[str, Callable[[Lab], Iterator[None]]]] = {
    "docs/howto/ask-later.md": _ask_later,
    "docs/howto/wsgi-servers.md": _wsgi_servers,
}
