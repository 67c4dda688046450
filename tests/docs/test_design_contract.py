"""The code by which the library was designed runs as it was printed, and the signatures are those that were listed.

``contract_block.py.txt`` and ``contract_signatures.py.txt`` are test data and are not edited to make a test pass.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import hashlib
import http.server
import inspect
import re
import socket
import ssl
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
import httpx
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy import PathProfile, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.testing._request import leaf_request, sign_request

HERE: Final = Path(__file__).parent
BLOCK: Final = (HERE / "contract_block.py.txt").read_text(encoding="utf-8")
LISTING: Final = (HERE / "contract_signatures.py.txt").read_text(encoding="utf-8")
SERVER_NAME: Final = "api.example.com"
BOTH: Final = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


def _credential(leaf: IssuedCertificate) -> tls.Credential:
    return tls.Credential.from_pem(leaf.chain_pem, leaf.key_pem)


@contextlib.contextmanager
def _connection(root: CertificateAuthority, issuing: CertificateAuthority) -> Iterator[ssl.SSLSocket]:
    """Lend the server's end of a connection that a client, frodo, has opened and that was admitted."""
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[root.certificate]), policy=policies.CommonName("frodo"))
    context = tls.server_context(credential=_credential(issuing.issue_server(SERVER_NAME)), verifier=verifier)
    client = ssl.create_default_context(cadata=root.pem.decode())
    with issuing.issue_client("frodo").tempfiles() as (chain, key):
        client.load_cert_chain(chain, key)
    ours, theirs = socket.socketpair()
    shaking = threading.Thread(target=_shake_hands, args=(client, theirs))
    shaking.start()
    with context.wrap_socket(ours, server_side=True) as server:
        shaking.join()
        yield server
    theirs.close()


def _shake_hands(context: ssl.SSLContext, plain: socket.socket) -> None:
    with contextlib.suppress(OSError):
        context.wrap_socket(plain, server_hostname=SERVER_NAME)


@contextlib.contextmanager
def _site(issuing: CertificateAuthority) -> Iterator[str]:
    """Run an HTTPS server of the name that the contract expects, and lend its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with issuing.issue_server(SERVER_NAME).tempfiles() as (chain, key):
        context.load_cert_chain(chain, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://{SERVER_NAME}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer 200 with nothing."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing."""


def _files(root: CertificateAuthority, issuing: CertificateAuthority) -> None:
    """Write the files that the block names."""
    Path("clients-ca.pem").write_bytes(root.pem + issuing.pem)
    Path("issuing-ca.pem").write_bytes(issuing.pem)
    Path("old.pem").write_bytes(root.pem)
    Path("new.pem").write_bytes(CertificateAuthority("New CA").pem)
    issuing.issue_server("localhost").files(".", name="server")


def _names(root: CertificateAuthority, issuing: CertificateAuthority) -> dict[str, Any]:
    """Return the imports and values that the block takes for granted."""
    existing = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=root.pem.decode())
    existing.verify_mode = ssl.CERT_REQUIRED
    old, new = CertificateAuthority("Old CA"), CertificateAuthority("New CA")
    return {
        "asyncio": asyncio, "aiohttp": aiohttp, "httpx": httpx, "dataclass": dataclass,
        "urllib": SimpleNamespace(request=urllib.request),
        "datetime": datetime, "timedelta": timedelta, "UTC": UTC, "PARIS": ZoneInfo("Europe/Paris"),
        "root": root.certificate, "issuing_ca": issuing.certificate,
        "old_ca": old.certificate, "new_ca": new.certificate,
        "bad_ca": CertificateAuthority("Bad CA").certificate,
        "self_signed": _self_signed(),
        "pin": b64encode(hashlib.sha256(b"a key").digest()).decode(),
        "chain_pem": issuing.issue_client("frodo").chain_pem,
        "credential": _credential(issuing.issue_client("frodo", eku=BOTH)),  # the block presents it on both sides
        "existing_context": existing, "form_username": "frodo",
        "on_connect": lambda *streams: streams[1].close(), "ProtocolFactory": asyncio.Protocol,
        "fetch_row": lambda _: {"active": 1},
    }  # fmt: skip


def _self_signed() -> Any:
    request = leaf_request("registered", ExtendedKeyUsageOID.CLIENT_AUTH, {})
    return sign_request(request, issuer=request.subject, issuer_key=request.key)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_contract_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of the contract runs to its end, and what it builds admits and refuses whom it says."""
    monkeypatch.chdir(tmp_path)
    root = CertificateAuthority("Root")
    issuing = root.intermediate("Issuing CA")
    _files(root, issuing)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: resolve("127.0.0.1" if host == SERVER_NAME else host, *rest, **more),
    )
    names = _names(root, issuing)
    code = compile(BLOCK, "contract_block.py.txt", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)

    async def run() -> None:
        names["loop"] = asyncio.get_running_loop()
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as httpd:
            names["httpd"] = httpd
            await eval(code, names)  # noqa: S307 - the code is the test's own data
        names["server"].close()
        names["resolver"].close()

    with _connection(root, issuing) as connection, _site(issuing) as url:
        names.update(connection=connection, url=url)
        asyncio.run(run())
    assert names["decision"].verdict.name == "PERMIT"
    assert names["peer"].common_name == "frodo"
    assert not names["verifier"].decide(issuing.issue_client("gollum").chain_pem)
    assert not names["verifier"].decide(root.issue_client("frodo").chain_pem)
    assert not names["verifier"].decide(issuing.issue_client("frodo", serial=0x51).chain_pem)


def _listed() -> list[tuple[str, str]]:
    """Return name and arguments of each signature of the listing."""
    text = "\n".join(line.partition("#")[0].rstrip() for line in LISTING.splitlines())
    return re.findall(r"^([\w.]+)\((.*?)\)(?: ->[^\n]*)?$", text, re.MULTILINE | re.DOTALL)


def test_the_listing_is_read_whole() -> None:
    """Each line of the listing that starts a signature is read as one."""
    starts = [line for line in LISTING.splitlines() if re.match(r"[A-Za-z]", line)]
    assert len(_listed()) == len(starts) == 10


def _default(node: ast.expr) -> object:
    if isinstance(node, ast.Dict):
        return {}
    return eval(ast.unparse(node), {"tls": tls, "PathProfile": PathProfile})  # noqa: S307 - as above


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


@pytest.mark.parametrize(("name", "arguments"), [pair for pair in _listed() if "=..." not in pair[1]])
def test_a_signature_is_as_listed(name: str, arguments: str) -> None:
    """Parameters have the names, the order, the kinds and the defaults of the listing."""
    owner, _, last = name.rpartition(".")
    function = getattr({"tls": tls, "Verifier": Verifier, "verifier": Verifier}[owner], last)
    listed = ast.parse(f"def f({'*, ' if isinstance(function, type) else ''}{arguments}): ...").body[0]
    assert isinstance(listed, ast.FunctionDef)
    real = {key: value for key, value in inspect.signature(function).parameters.items() if key != "self"}
    positional = [one.arg for one in listed.args.args]
    keywords = {one.arg: default for one, default in zip(listed.args.kwonlyargs, listed.args.kw_defaults, strict=True)}
    expected = [*positional, *keywords]
    assert [key for key in real if key in expected] == expected
    for key, default in keywords.items():
        # An attribute of a value that was made without arguments is its default, also where a factory makes it.
        given = getattr(function(), key) if isinstance(function, type) else real[key].default
        assert _plain(given) == (inspect.Parameter.empty if default is None else _plain(_default(default))), key


def test_servers_are_expected_by_keyword() -> None:
    """The server that is meant is said by keyword, and has no default."""
    parameter = inspect.signature(Verifier.for_servers).parameters["expected"]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameter.default is inspect.Parameter.empty
