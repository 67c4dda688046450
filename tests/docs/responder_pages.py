"""What the pages about OCSP on a server and a private CA need, and what must be true afterwards.

Every responder is real, on loopback: it stands in for the host names and networks that a page has.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlspolicy import Verdict, revocation
from mtlspolicy._peer import now
from mtlspolicy.cli import main
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

from .conftest import blocks  # noqa: TID252 - tests are no package that could be named
from .revocation_tools import (  # noqa: TID252 - tests are no package that could be named
    LIVENESS,
    command,
    decided,
    refused,
    stand_in,
    write,
)

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

Steps: TypeAlias = Iterator[None]


def _server_page(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    write("clients-ca.pem", root.pem)
    root.issue_server("localhost").files(".", name="server")
    with root.ocsp_responder() as responder:
        stand_in(lab, responder)
        frodo, sam, merry = (root.issue_client(name, ocsp_url=responder.url) for name in ("frodo", "sam", "merry"))
        root.revoke(sam, reason=x509.ReasonFlags.key_compromise, at=datetime(2026, 1, 1, 12, tzinfo=UTC))
        yield
        status, explained = lab.get(frodo, root)
        assert (status, responder.requests) == (200, 1)
        assert _dated(lab, "docs/howto/ocsp-server.md", "ocsp.good   ") <= {_undated(explained, "ocsp.good")}
        assert refused(lab, sam, root)
        responder.answer(http_status=503)
        assert refused(lab, merry, root)
        responder.answer()
        lab.close()
        for serve in ("serve", "serve_with_httpx"):
            assert asyncio.run(_asked(lab, lab.namespace[serve], frodo, root)) == b"hello frodo"
            assert asyncio.run(_asked(lab, lab.namespace[serve], sam, root)) == b""
        rule = lab.namespace["policies"].CommonName("frodo") & lab.namespace["named"]
        unnamed = root.issue_client("frodo")
        resolver = lab.namespace["private"].resolver()
        assert decided(root, rule, unnamed, resolver)[0] is Verdict.PERMIT, responder.url
        lab.namespace["refresher"].close()
        lab.namespace["private"].close()


def _undated(text: str, mark: str) -> str:
    """Return the line of *text* that has *mark*, without runs of spaces, dates and ports."""
    line = next(one for one in text.splitlines() if mark in one)
    line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE", line)
    return re.sub(r"\s+", " ", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", line)).strip()


def _dated(lab: Lab, page: str, mark: str) -> set[str]:
    return {_undated(lab.as_run(text), mark) for text in blocks(page, "text") if mark in text}


async def _asked(
    lab: Lab,
    serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    client: IssuedCertificate,
    trust: CertificateAuthority,
) -> bytes:
    """Run the server of a page, and return what it says to *client*."""
    context = ssl.create_default_context(cadata=trust.pem.decode())
    with client.tempfiles() as (chain, key):
        context.load_cert_chain(chain, key)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(stop))
    try:
        async with asyncio.timeout(LIVENESS):
            reader, writer = await _opened(lab.port, context, serving)
            with contextlib.closing(writer), contextlib.suppress(ConnectionError, ssl.SSLError):
                return await reader.read()
            return b""
    finally:
        stop.set()
        await serving


async def _opened(
    port: int, context: ssl.SSLContext, serving: asyncio.Task[None]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a server that is about to listen."""
    while True:
        assert not serving.done(), serving
        with contextlib.suppress(ConnectionRefusedError):
            return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        await asyncio.sleep(0.01)


def _private_ca(lab: Lab) -> Steps:
    page = "docs/howto/private-ca-responder.md"
    root = CertificateAuthority("Corp CA")
    frodo, gollum = root.issue_client("frodo"), root.issue_client("gollum")
    write("ca.pem", root.pem)
    write("ca.key", root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write("frodo.pem", frodo.certificate_pem)
    root.revoke(gollum)
    with root.ocsp_responder() as responder:
        stand_in(lab, responder)
        yield
        policy, resolver = lab.namespace["policy"], lab.namespace["resolver"]
        assert decided(root, policy, frodo, resolver)[0] is Verdict.PERMIT
        assert decided(root, policy, gollum, resolver) == (Verdict.DENY, "ocsp.revoked")
        lab.namespace["refresher"].close()
        explain = lab.as_run(command(page, "mtlspolicy explain")).split()[1:]
        write("gollum.pem", gollum.certificate_pem)
        assert main([*explain, "--allow-cn", "frodo"]) == 0
        assert main([*explain[:-1], "gollum.pem", "--allow-cn", "gollum"]) == 1
    if shutil.which("openssl") is not None:
        _commands(page, frodo, gollum)


def _commands(page: str, frodo: IssuedCertificate, gollum: IssuedCertificate) -> None:
    """Run the commands of *page* that make a certificate, and have openssl answer with what they made."""
    made = command(page, "cat > responder.ext")
    answers = command(page, "openssl ocsp -index")
    client = command(page, "printf ")
    _shell(made)
    rows = [_row("V", "", frodo), _row("R", "260101120000Z,keyCompromise", gollum)]
    Path("index.txt").write_text("".join(rows), encoding="ascii")
    for leaf, said in ((frodo, "good"), (gollum, "revoked")):
        asked = revocation.ocsp_question(leaf.certificate_pem, Path("ca.pem").read_bytes())
        write("request.der", revocation.ocsp_request(asked))
        # -port would listen on every address of the machine: the same command, on files
        _shell(answers.replace("-port 8080", "-reqin request.der -respout response.der"))
        assert revocation.read_ocsp(Path("response.der").read_bytes(), asked, at=now()).status.value == said
    _shell("openssl req -new -newkey rsa:2048 -nodes -keyout client.key -subj /CN=sam -out client.csr")
    _shell(client)


def _shell(commands: str) -> None:
    done = subprocess.run(["sh", "-ec", commands], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def _row(status: str, revoked: str, leaf: IssuedCertificate) -> str:
    """Return a line of the index of `openssl ca`."""
    until = leaf.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    serial = f"{leaf.certificate.serial_number:X}"
    return f"{status}\t{until}\t{revoked}\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN=x\n"


RESPONDER_SETUPS: Final[dict[str, Callable[[Lab], Steps]]] = {
    "docs/howto/ocsp-server.md": _server_page,
    "docs/howto/private-ca-responder.md": _private_ca,
}
