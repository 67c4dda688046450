"""What the pages about CRLs, caches, outages and answers at hand need, and what must be true afterwards."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlspolicy import Verdict, policies, revocation
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.cli import main
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.revocation.made import GOOD, Entry, Made, revoked

from .revocation_tools import (  # noqa: TID252 - tests are no package that could be named
    LIVENESS,
    command,
    context,
    decided,
    refused,
    serve,
    stand_in,
    until,
    write,
)

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

Steps: TypeAlias = Iterator[None]
REDIS: Final = "rediss://revocation:secret@redis.corp.example:6379/0"


def _crl_files(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    frodo, gollum = root.issue_client("frodo"), root.issue_client("gollum")
    write("clients-ca.pem", root.pem)
    write("frodo.pem", frodo.certificate_pem)
    root.issue_server("localhost").files(".", name="server")
    write("crls/clients.crl", _list(root, timedelta(days=1)))
    yield
    assert lab.namespace["peer"].common_name == "frodo"
    serve(lab, lab.namespace["context"])
    assert lab.get(gollum, root)[0] == 200
    root.revoke(gollum)
    lab.namespace["replace_crl"](_list(root, timedelta(hours=1)))
    until(lambda: refused(lab, gollum, root))
    assert lab.get(frodo, root)[0] == 200
    lab.namespace["replace_crl"](_list(root, timedelta(hours=20)))
    until(lambda: refused(lab, frodo, root))
    assert refused(lab, gollum, root)
    lab.namespace["resolver"].close()


def _list(root: CertificateAuthority, age: timedelta) -> bytes:
    at = datetime.now(UTC)
    return root.crl(this_update=at - age, next_update=at + timedelta(days=2)).public_bytes(Encoding.DER)


def _shared_cache(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    write("clients-ca.pem", root.pem)
    root.issue_server("localhost").files(".", name="server")
    Path("state").mkdir(mode=0o700)
    with root.ocsp_responder() as responder, _redis() as url:
        stand_in(lab, responder)
        lab.stands_in[REDIS] = url
        frodo = root.issue_client("frodo", ocsp_url=responder.url)
        yield
        serve(lab, lab.namespace["context"])
        assert lab.get(frodo, root)[0] == 200
        lab.close()
        rule, asked = policies.CommonName("frodo") & policies.NotRevoked(), 1
        for name in ("everywhere", "own"):
            with lab.namespace[name] as refresher:
                assert decided(root, rule, frodo, refresher.resolver())[0] is Verdict.PERMIT
                asked += 1
                assert responder.requests == asked
        lab.namespace["refresher"].close()
        for name in ("cache", *(["shared"] if url != REDIS else [])):
            again = revocation.Refresher(destinations=refresher.destinations, cache=lab.namespace[name])
            with again:
                assert decided(root, rule, frodo, again.resolver())[0] is Verdict.PERMIT
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
            until(socket.exists)
            yield f"unix://{socket}"
        finally:
            program.kill()
            program.wait(LIVENESS)


def _responder_down(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    write("clients-ca.pem", root.pem)
    with root.ocsp_responder() as responder:
        stand_in(lab, responder)
        frodo = root.issue_client("frodo", ocsp_url=responder.url)
        write("frodo.pem", frodo.certificate_pem)
        yield
        explain = lab.as_run(command("docs/howto/responder-down.md", "mtlspolicy explain")).split()[1:]
        explain += ["--allow-cn", "frodo", "--allow-private"]
        assert main(explain) == 0
        responder.answer(status="try-later")
        assert main(explain) == 1
        responder.answer(never=True)
        port = int(responder.url.rsplit(":", 1)[1].partition("/")[0])
        here = revocation.Destinations(ports={port}, addresses={"127.0.0.0/8"})
        with revocation.Refresher(destinations=here, deadline=0.3) as refresher:
            rule = policies.CommonName("frodo") & policies.NotRevoked()
            serve(lab, context(root, rule, refresher.resolver()))
            assert refused(lab, frodo, root)
            lab.close()


def _responses(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    frodo = root.issue_client("frodo")
    write("clients-ca.pem", root.pem)
    write("frodo.pem", frodo.certificate_pem)
    root.issue_server("localhost").files(".", name="server")
    _respond(root, frodo, is_revoked=False)
    write("crls/root.crl", _list(root, timedelta(hours=1)))
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
        status=revoked(at - timedelta(minutes=1)) if is_revoked else GOOD,
    )
    write("ocsp/frodo.der", Made((entry,), signer=root, produced_at=at - hour).encoded())


ANSWER_SETUPS: Final[dict[str, Callable[[Lab], Steps]]] = {
    "docs/howto/crl-files.md": _crl_files,
    "docs/howto/shared-cache.md": _shared_cache,
    "docs/howto/responder-down.md": _responder_down,
    "docs/howto/ocsp-offline.md": _responses,
}
