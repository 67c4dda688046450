"""Real clients, refused by a real server, print what the page about them says."""

from __future__ import annotations

import asyncio
import http.server
import re
import shutil
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
import pytest
import requests

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

HERE: Final = Path(__file__).parent
PAGE: Final = (HERE.parents[1] / "docs" / "howto" / "what-clients-print.md").read_text(encoding="utf-8")
CASES: Final = ("not meant", "no certificate", "unknown CA")
ROWS: Final = re.findall(r"^\| (\w+) \| `(.*?)` \| `(.*?)` \| `(.*?)` \|$", PAGE, re.MULTILINE)
NODE: Final = """
const fs = require("fs"), [url, ca, chain, key] = process.argv.slice(1);
const own = chain ? { cert: fs.readFileSync(chain), key: fs.readFileSync(key) } : {};
require("https")
  .get(url, { ca: fs.readFileSync(ca), ...own }, (answer) => { console.log(answer.statusCode); answer.resume(); })
  .on("error", (error) => console.log(`Error: ${error.message} (code ${error.code})`));
"""


@dataclass(frozen=True)
class Setting:
    """Where the server is, and with which files a client goes there; no chain: without a certificate."""

    url: str
    ca: str
    chain: str | None
    key: str | None
    bundle: str

    def context(self) -> ssl.SSLContext:
        """Return an ordinary context for clients."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.chain is not None:
            context.load_cert_chain(self.chain, self.key)
        return context


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer 200 with nothing."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: refusals are what is asked for here."""


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    """Return the CA that the server and its clients have in common."""
    return CertificateAuthority("Root")


@pytest.fixture(scope="module")
def url(authority: CertificateAuthority) -> Iterator[str]:
    """Run the server that means frodo alone, and lend its URL."""
    leaf = authority.issue_server("localhost")
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[authority.certificate]), policy=policies.CommonName("frodo")
    )
    credential = tls.Credential.from_pem(leaf.chain_pem, leaf.key_pem)
    server = _Server(("127.0.0.1", 0), _Hello)
    server.socket = tls.server_context(credential=credential, verifier=verifier).wrap_socket(
        server.socket, server_side=True
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def _setting(url: str, authority: CertificateAuthority, client: IssuedCertificate | None) -> Setting:
    Path("ca.pem").write_bytes(authority.pem)
    if client is None:
        return Setting(url, "ca.pem", None, None, "-")
    chain, key = client.files(".", name="client")
    Path("client.p12").write_bytes(client.pkcs12(b"changeit"))
    return Setting(url, "ca.pem", str(chain), str(key), "client.p12")


def _said(call: Callable[[], object]) -> str:
    try:
        return str(call())
    except Exception as error:  # noqa: BLE001 - whatever a client raises is its message
        return f"{type(error).__qualname__}: {error}"


def _requests(setting: Setting) -> str:
    own = None if setting.chain is None or setting.key is None else (setting.chain, setting.key)
    return _said(lambda: requests.get(setting.url, verify=setting.ca, cert=own, timeout=20).status_code)


def _httpx(setting: Setting) -> str:
    return _said(lambda: httpx.get(setting.url, verify=setting.context()).status_code)


def _urllib(setting: Setting) -> str:
    def call() -> int:
        with urllib.request.urlopen(setting.url, context=setting.context()) as answer:  # noqa: S310 - https
            return int(answer.status)

    return _said(call)


def _aiohttp(setting: Setting) -> str:
    async def call() -> int:
        async with aiohttp.ClientSession() as session, session.get(setting.url, ssl=setting.context()) as answer:
            return answer.status

    return _said(lambda: asyncio.run(call()))


def _program(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    return done.stdout + done.stderr


def _curl(setting: Setting) -> str:
    own = [] if setting.chain is None else ["--cert", setting.chain, "--key", str(setting.key)]
    return _program("curl", "-sS", "--cacert", setting.ca, *own, setting.url)


def _node(setting: Setting) -> str:
    own = [] if setting.chain is None else [setting.chain, str(setting.key)]
    return _program("node", "-e", NODE, setting.url, setting.ca, *own)


def _java(setting: Setting) -> str:
    return _program("java", str(HERE / "Refused.java"), setting.url, setting.ca, setting.bundle)


CLIENTS: Final[dict[str, Callable[[Setting], str]]] = {
    "curl": _curl, "requests": _requests, "httpx": _httpx, "urllib": _urllib, "aiohttp": _aiohttp, "Node": _node,
    "Java": _java,
}  # fmt: skip


def test_the_table_has_every_client() -> None:
    """The rows of the page are the clients that are run here."""
    assert [row[0] for row in ROWS] == list(CLIENTS)


@pytest.mark.parametrize("case", range(len(CASES)), ids=CASES)
@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_client_prints_what_the_page_says(
    row: tuple[str, ...],
    case: int,
    url: str,
    authority: CertificateAuthority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a refused client prints contains the words in its row of the table."""
    monkeypatch.chdir(tmp_path)
    client = (authority.issue_client("gollum"), None, CertificateAuthority("Stranger").issue_client("frodo"))[case]
    assert row[case + 1] in CLIENTS[row[0]](_setting(url, authority, client))


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_that_is_meant_is_admitted(
    name: str, url: str, authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same client with the right certificate gets an answer, so that the refusals above are refusals of it."""
    monkeypatch.chdir(tmp_path)
    said = CLIENTS[name](_setting(url, authority, authority.issue_client("frodo")))
    assert said.strip() in ("200", "")
