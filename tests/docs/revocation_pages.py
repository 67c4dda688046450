"""What the pages about revocation need before their blocks run, and what must be true afterwards.

Every responder is real, on loopback: it stands in for the host names and networks that a page has.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp

from mtlspolicy import Policy, PresentedChain, Resolver, TrustStore, Verdict, Verifier, policies, revocation, tls
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._peer import now
from mtlspolicy._resolver import settle
from mtlspolicy.cli import main
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, OCSPResponder
from tests.revocation.made import Entry, Made, revoked

from .conftest import blocks  # noqa: TID252 - tests are no package that could be named

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

Steps: TypeAlias = Iterator[None]
LIVENESS: Final = 20.0
"""Seconds in which what has to happen has happened, on a busy machine too."""
REDIS: Final = "rediss://revocation:secret@redis.corp.example:6379/0"


def _write(name: str, *parts: bytes) -> None:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(parts))


def _until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + LIVENESS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def _stand_in(lab: Lab, responder: OCSPResponder) -> None:
    """Let the responder on loopback stand in for those of the pages."""
    port = responder.url.rsplit(":", 1)[1].partition("/")[0]
    here = f'hosts={{"127.0.0.1"}}, ports={{{port}}}, addresses={{"127.0.0.0/8"}}'
    lab.stands_in |= {
        "http://ocsp.corp.example:8080/": responder.url,
        'hosts={"ocsp.corp.example"}, ports={8080}, addresses={"10.20.0.0/16"}': here,
        "http://ocsp.example.com/": responder.url,
        "http://ocsp.example.com": f"http://127.0.0.1:{port}",
        'hosts={"ocsp.example.com"}': f"destinations=revocation.Destinations({here})",
    }


def _refused(lab: Lab, client: IssuedCertificate, trust: CertificateAuthority) -> bool:
    try:
        lab.get(client, trust)
    except (ssl.SSLError, ConnectionError, EOFError):
        return True
    return False


def _serve(lab: Lab, context: ssl.SSLContext) -> None:
    """Serve 200 under *context*, as a page of the reader's would."""

    class Fine(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", lab.port), Fine)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refused client is no news
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def _context(root: CertificateAuthority, policy: Policy, resolver: Resolver) -> ssl.SSLContext:
    issued = root.issue_server("localhost")
    return tls.server_context(
        credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem),
        verifier=Verifier.for_clients(trust=TrustStore(anchors=[root.certificate]), policy=policy),
        options=tls.ServerOptions(resolver=resolver),
    )


def _server_page(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    _write("clients-ca.pem", root.pem)
    root.issue_server("localhost").files(".", name="server")
    with root.ocsp_responder() as responder:
        _stand_in(lab, responder)
        frodo, sam, merry = (root.issue_client(name, ocsp_url=responder.url) for name in ("frodo", "sam", "merry"))
        root.revoke(sam, reason=x509.ReasonFlags.key_compromise, at=datetime(2026, 1, 1, 12, tzinfo=UTC))
        yield
        status, explained = lab.get(frodo, root)
        assert (status, responder.requests) == (200, 1)
        assert _dated(lab, "docs/howto/ocsp-server.md", "ocsp.good   ") <= {_undated(explained, "ocsp.good")}
        assert _refused(lab, sam, root)
        responder.answer(http_status=503)
        assert _refused(lab, merry, root)
        responder.answer()
        lab.close()
        for serve in ("serve", "serve_with_httpx"):
            assert asyncio.run(_asked(lab, lab.namespace[serve], frodo, root)) == b"hello frodo"
            assert asyncio.run(_asked(lab, lab.namespace[serve], sam, root)) == b""
        rule = lab.namespace["policies"].CommonName("frodo") & lab.namespace["named"]
        unnamed = root.issue_client("frodo")
        resolver = lab.namespace["private"].resolver()
        assert _decided(root, rule, unnamed, resolver)[0] is Verdict.PERMIT, responder.url
        lab.namespace["refresher"].close()
        lab.namespace["private"].close()


def _undated(text: str, mark: str) -> str:
    """Return the line of *text* that has *mark*, without runs of spaces, dates and ports."""
    line = next(one for one in text.splitlines() if mark in one)
    line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE", line)
    return re.sub(r"\s+", " ", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", line)).strip()


def _dated(lab: Lab, page: str, mark: str) -> set[str]:
    return {_undated(lab.as_run(text), mark) for text in blocks(page, "text") if mark in text}


def _decided(
    root: CertificateAuthority, policy: Policy, leaf: IssuedCertificate, resolver: Resolver
) -> tuple[Verdict, str]:
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[root.certificate]), policy=policy)
    decision = settle(verifier.judgement(PresentedChain.parse(leaf.chain_pem)), resolver).decision
    return decision.verdict, decision.code


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
            while True:
                assert not serving.done(), serving
                with contextlib.suppress(ConnectionRefusedError):
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", lab.port, ssl=context, server_hostname="localhost"
                    )
                    break
                await asyncio.sleep(0.01)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                return await reader.read()
            return b""
    finally:
        writer.close()
        stop.set()
        await serving


def _private_ca(lab: Lab) -> Steps:
    page = "docs/howto/private-ca-responder.md"
    root = CertificateAuthority("Corp CA")
    frodo, gollum = root.issue_client("frodo"), root.issue_client("gollum")
    _write("ca.pem", root.pem)
    _write("ca.key", root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write("frodo.pem", frodo.certificate_pem)
    root.revoke(gollum)
    with root.ocsp_responder() as responder:
        _stand_in(lab, responder)
        yield
        policy, resolver = lab.namespace["policy"], lab.namespace["resolver"]
        assert _decided(root, policy, frodo, resolver)[0] is Verdict.PERMIT
        assert _decided(root, policy, gollum, resolver) == (Verdict.DENY, "ocsp.revoked")
        lab.namespace["refresher"].close()
        explain = lab.as_run(_command(page, "mtlspolicy explain")).split()[1:]
        _write("gollum.pem", gollum.certificate_pem)
        assert main([*explain, "--allow-cn", "frodo"]) == 0
        assert main([*explain[:-1], "gollum.pem", "--allow-cn", "gollum"]) == 1
    if shutil.which("openssl") is not None:
        _commands(page, frodo, gollum)


def _commands(page: str, frodo: IssuedCertificate, gollum: IssuedCertificate) -> None:
    """Run the commands of *page* that make a certificate, and have openssl answer with what they made."""
    made = _command(page, "cat > responder.ext")
    answers = _command(page, "openssl ocsp -index")
    client = _command(page, "printf ")
    _shell(made)
    rows = [_row("V", "", frodo), _row("R", "260101120000Z,keyCompromise", gollum)]
    Path("index.txt").write_text("".join(rows), encoding="ascii")
    for leaf, said in ((frodo, "good"), (gollum, "revoked")):
        asked = revocation.ocsp_question(leaf.certificate_pem, Path("ca.pem").read_bytes())
        _write("request.der", revocation.ocsp_request(asked))
        # -port would listen on every address of the machine: the same command, on files
        _shell(answers.replace("-port 8080", "-reqin request.der -respout response.der"))
        assert revocation.read_ocsp(Path("response.der").read_bytes(), asked, at=now()).status.value == said
    _shell("openssl req -new -newkey rsa:2048 -nodes -keyout client.key -subj /CN=sam -out client.csr")
    _shell(client)


def _command(page: str, start: str) -> str:
    return next(code for code in blocks(page, "sh") if code.startswith(start))


def _shell(commands: str) -> None:
    done = subprocess.run(["sh", "-ec", commands], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def _row(status: str, revoked: str, leaf: IssuedCertificate) -> str:
    """Return a line of the index of `openssl ca`."""
    until = leaf.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    serial = f"{leaf.certificate.serial_number:X}"
    return f"{status}\t{until}\t{revoked}\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN=x\n"


def _crl_files(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    frodo, gollum = root.issue_client("frodo"), root.issue_client("gollum")
    _write("clients-ca.pem", root.pem)
    _write("frodo.pem", frodo.certificate_pem)
    root.issue_server("localhost").files(".", name="server")
    _write("crls/clients.crl", _list(root, timedelta(days=1)))
    yield
    assert lab.namespace["peer"].common_name == "frodo"
    _serve(lab, lab.namespace["context"])
    assert lab.get(gollum, root)[0] == 200
    root.revoke(gollum)
    lab.namespace["replace_crl"](_list(root, timedelta(hours=1)))
    _until(lambda: _refused(lab, gollum, root))
    assert lab.get(frodo, root)[0] == 200
    lab.namespace["replace_crl"](_list(root, timedelta(hours=20)))
    _until(lambda: _refused(lab, frodo, root))
    assert _refused(lab, gollum, root)
    lab.namespace["resolver"].close()


def _list(root: CertificateAuthority, age: timedelta) -> bytes:
    at = datetime.now(UTC)
    return root.crl(this_update=at - age, next_update=at + timedelta(days=2)).public_bytes(Encoding.DER)


def _shared_cache(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    _write("clients-ca.pem", root.pem)
    root.issue_server("localhost").files(".", name="server")
    Path("state").mkdir(mode=0o700)
    with root.ocsp_responder() as responder, _redis() as url:
        _stand_in(lab, responder)
        lab.stands_in[REDIS] = url
        frodo = root.issue_client("frodo", ocsp_url=responder.url)
        yield
        _serve(lab, lab.namespace["context"])
        assert lab.get(frodo, root)[0] == 200
        lab.close()
        rule, asked = policies.CommonName("frodo") & policies.NotRevoked(), 1
        for name in ("everywhere", "own"):
            with lab.namespace[name] as refresher:
                assert _decided(root, rule, frodo, refresher.resolver())[0] is Verdict.PERMIT
                asked += 1
                assert responder.requests == asked
        lab.namespace["refresher"].close()
        for name in ("cache", *(["shared"] if url != REDIS else [])):
            again = revocation.Refresher(destinations=refresher.destinations, cache=lab.namespace[name])
            with again:
                assert _decided(root, rule, frodo, again.resolver())[0] is Verdict.PERMIT
            assert responder.requests == asked
            lab.namespace[name].close()


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    """Run a Redis of our own and give its URL; where there is none, the URL that the page has, where nobody answers."""
    if shutil.which("redis-server") is None:
        yield REDIS
        return
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "redis.sock")
        program = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            _until(socket.exists)
            yield f"unix://{socket}"
        finally:
            program.kill()
            program.wait(LIVENESS)


def _responder_down(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    _write("clients-ca.pem", root.pem)
    with root.ocsp_responder() as responder:
        _stand_in(lab, responder)
        frodo = root.issue_client("frodo", ocsp_url=responder.url)
        _write("frodo.pem", frodo.certificate_pem)
        yield
        explain = lab.as_run(_command("docs/howto/responder-down.md", "mtlspolicy explain")).split()[1:]
        explain += ["--allow-cn", "frodo", "--allow-private"]
        assert main(explain) == 0
        responder.answer(status="try-later")
        assert main(explain) == 1
        responder.answer(never=True)
        port = int(responder.url.rsplit(":", 1)[1].partition("/")[0])
        here = revocation.Destinations(ports={port}, addresses={"127.0.0.0/8"})
        with revocation.Refresher(destinations=here, deadline=0.3) as refresher:
            rule = policies.CommonName("frodo") & policies.NotRevoked()
            _serve(lab, _context(root, rule, refresher.resolver()))
            assert _refused(lab, frodo, root)
            lab.close()


def _responses(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    frodo = root.issue_client("frodo")
    _write("clients-ca.pem", root.pem)
    _write("frodo.pem", frodo.certificate_pem)
    root.issue_server("localhost").files(".", name="server")
    _respond(root, frodo, is_revoked=False)
    _write("crls/root.crl", _list(root, timedelta(hours=1)))
    yield
    assert lab.namespace["peer"].common_name == "frodo"
    assert lab.namespace["then"].verdict is Verdict.PERMIT, lab.namespace["then"].explain()
    assert ocsp.load_der_ocsp_request(lab.namespace["request"]).serial_number == frodo.certificate.serial_number
    assert lab.namespace["context"].verify_mode is ssl.CERT_REQUIRED
    _respond(root, frodo, is_revoked=True)
    verifier, chain, at_hand = lab.namespace["verifier"], frodo.certificate_pem, lab.namespace["at_hand"]
    assert verifier.decide(chain, facts=revocation.facts(verifier, chain, responses=at_hand)).code == "ocsp.revoked"
    signed = lab.namespace["signed"]
    past = verifier.decide(chain, at=signed, facts=revocation.facts(verifier, chain, responses=at_hand, at=signed))
    assert (past.verdict, "revocation.later" in past.explain()) == (Verdict.PERMIT, True)


def _respond(root: CertificateAuthority, leaf: IssuedCertificate, *, is_revoked: bool) -> None:
    """Write a response of the CA about *leaf*, produced an hour ago, into the page's folder."""
    at, hour = datetime.now(UTC).replace(microsecond=0), timedelta(hours=1)
    entry = Entry(
        name=root.certificate.subject.public_bytes(),
        spki=ParsedCertificate(root.der).layout.spki,
        serial=leaf.certificate.serial_number,
        this_update=at - hour,
        next_update=at + hour,
        **({"status": revoked(at - timedelta(minutes=1))} if is_revoked else {}),
    )
    _write("ocsp/frodo.der", Made((entry,), signer=root, produced_at=at - hour).encoded())


REVOCATION_SETUPS: Final[dict[str, Callable[[Lab], Steps]]] = {
    "docs/howto/ocsp-server.md": _server_page,
    "docs/howto/private-ca-responder.md": _private_ca,
    "docs/howto/crl-files.md": _crl_files,
    "docs/howto/shared-cache.md": _shared_cache,
    "docs/howto/responder-down.md": _responder_down,
    "docs/howto/ocsp-offline.md": _responses,
}
