"""curl, ``openssl s_client``, Node and Java against application servers: who gets in, and what the others are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final

import pytest

from mtlspolicy.integrations import aiohttp as our_aiohttp
from mtlspolicy.integrations import cheroot as our_cheroot
from mtlspolicy.integrations import wsgi
from tests.integrations import aiohttp_serving, answering, applications
from tests.integrations.serving import on_thread

from .conftest import PASSWORD, Site  # noqa: TID252 - tests are no package that could be named
from .programs import require, require_curl_with_openssl, require_java, run  # noqa: TID252 - the same
from .serving import HOST  # noqa: TID252 - the same
from .test_java import SOURCE  # noqa: TID252 - the same
from .test_node import SCRIPT  # noqa: TID252 - the same
from .test_s_client import s_client  # noqa: TID252 - the same

ANSWERS: Final = {"gollum": "name.mismatch", "nobody": "path.no-certificate"}
"""What who is answered is told, with status 403; a stranger's chain is refused by OpenSSL, and he is not answered."""
Start = Callable[[Site], AbstractContextManager[int]]


@contextmanager
def _asgi(site: Site, name: str, refuse: str) -> Generator[int, None, None]:
    with answering.serving(name)(applications.tell, context=site.server(name), refuse=refuse) as server:
        yield int(server.address[1])


@contextmanager
def _aiohttp(site: Site, refuse: str) -> Generator[int, None, None]:
    app = aiohttp_serving.application(source="connection")
    with aiohttp_serving.aiohttp_serving(
        app, context=site.server("aiohttp"), runner=our_aiohttp.AppRunner, refuse=refuse
    ) as server:
        yield int(server.address[1])


@contextmanager
def _cheroot(site: Site) -> Generator[int, None, None]:
    from cheroot.wsgi import Server

    app = wsgi.Middleware(applications.tell_wsgi, source="connection")
    server: Any = Server((HOST, 0), app, numthreads=4, timeout=5)
    server.ssl_adapter = our_cheroot.SSLAdapter(site.server("cheroot"))
    server.error_log = lambda *_, **__: None
    server.prepare()
    with on_thread(server.serve, server.stop):
        yield int(server.bind_addr[1])


SERVERS: Final[dict[str, Start]] = {
    "uvicorn": lambda site: _asgi(site, "uvicorn-httptools-asyncio", "handshake"),
    "uvicorn, answering": lambda site: _asgi(site, "uvicorn-h11-asyncio", "respond"),
    "hypercorn, answering": lambda site: _asgi(site, "hypercorn", "respond"),
    "aiohttp, answering": lambda site: _aiohttp(site, "respond"),
    "cheroot": _cheroot,
}


@pytest.fixture(scope="module")
def kinds(site: Site) -> Generator[dict[int, str], None, None]:
    """Run all servers, and lend their kinds by port."""
    with ExitStack() as running:
        yield {running.enter_context(start(site)): kind for kind, start in SERVERS.items()}


def require_told(kind: str, client: str, status: int | None, text: str) -> None:
    """Fail unless *client* has got from a server of *kind* what is due; a status ``None``: no answer."""
    if client == "frodo":
        assert (status, json.loads(text)["peer"]) == (200, "frodo")
    elif client in ANSWERS and "answering" in kind:
        assert (status, json.loads(text)) == (403, {"error": ANSWERS[client]})
    else:
        assert (status, text) == (None, "")


@pytest.mark.parametrize("client", ["frodo", "gollum", "stranger", "nobody"])
def test_curl(site: Site, kinds: dict[int, str], client: str) -> None:
    """frodo is told who it is; others get the code where the server answers, and else nothing."""
    require_curl_with_openssl()
    shown = () if client == "nobody" else ("--cert", site.files(client)[0], "--key", site.files(client)[1])
    ending = ("--silent", "--max-time", 20, "--write-out", "\n%{http_code}", "--cacert", site.web_root)
    for port, kind in kinds.items():
        text, _, code = run("curl", *ending, *shown, f"https://localhost:{port}/").stdout.rpartition("\n")
        require_told(kind, client, int(code) or None, text)


@pytest.mark.parametrize("client", ["frodo", "gollum", "stranger", "nobody"])
def test_s_client(site: Site, kinds: dict[int, str], client: str) -> None:
    """The same for a client that speaks HTTP by hand."""
    for port, kind in kinds.items():
        said = s_client(site, port, None if client == "nobody" else client).stdout
        head, _, rest = said.partition("HTTP/1.")[2].partition("\n\n" if "\r\n\r\n" not in said else "\r\n\r\n")
        body = rest[rest.find("{") : rest.find("}") + 1] if rest else ""
        require_told(kind, client, int(head.split()[1]) if head else None, body)


@pytest.mark.parametrize("by", ["https", "fetch"])
def test_node(site: Site, kinds: dict[int, str], by: str) -> None:
    """The same for Node's ``https`` and its ``fetch``."""
    require("node")
    origins = [f"https://localhost:{port}" for port in kinds]
    seen = json.loads(run("node", SCRIPT, by, site.folder, *origins, good=True).stdout)
    if any("missing" in one for one in seen):
        pytest.skip(seen[0]["missing"])
    assert len(seen) == 4 * len(kinds)
    for one in seen:
        kind = kinds[int(one["origin"].rpartition(":")[2])]
        require_told(kind, one["client"], one.get("status"), one.get("text", ""))


def test_java(site: Site, kinds: dict[int, str]) -> None:
    """The same for Java's ``HttpClient``."""
    require_java()
    done = run("java", SOURCE, site.folder, PASSWORD.decode(), *kinds, good=True)
    seen = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(seen) == 4 * len(kinds)
    for port, client, outcome, text in seen:
        status, _, body = text.partition(" ") if outcome == "status" else ("", "", "")
        require_told(kinds[int(port)], client, int(status) if status else None, body)
