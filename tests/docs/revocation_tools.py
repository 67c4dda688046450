"""What the pages about revocation share: a responder that stands in for those of a page, a server, a decision."""

from __future__ import annotations

import http.server
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy import Policy, PresentedChain, Resolver, TrustStore, Verdict, Verifier, tls
from mtlspolicy._resolver import settle
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, OCSPResponder

from .conftest import blocks  # noqa: TID252 - tests are no package that could be named

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

LIVENESS: Final = 20.0
"""Seconds in which what has to happen has happened, on a busy machine too."""


def write(name: str, *parts: bytes) -> None:
    """Write a file below the current folder."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(parts))


def until(condition: Callable[[], Any]) -> None:
    """Return as soon as *condition* holds."""
    end = time.monotonic() + LIVENESS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def stand_in(lab: Lab, responder: OCSPResponder) -> None:
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


def refused(lab: Lab, client: IssuedCertificate, trust: CertificateAuthority) -> bool:
    """Return whether the connection of *client* ends without an answer."""
    try:
        lab.get(client, trust)
    except (ssl.SSLError, ConnectionError, EOFError):
        return True
    return False


def serve(lab: Lab, context: ssl.SSLContext) -> None:
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


def context(root: CertificateAuthority, policy: Policy, resolver: Resolver) -> ssl.SSLContext:
    """Return the context of a server of *root*, whose clients are judged by *policy*."""
    issued = root.issue_server("localhost")
    return tls.server_context(
        credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem),
        verifier=Verifier.for_clients(trust=TrustStore(anchors=[root.certificate]), policy=policy),
        options=tls.ServerOptions(resolver=resolver),
    )


def decided(
    root: CertificateAuthority, policy: Policy, leaf: IssuedCertificate, resolver: Resolver
) -> tuple[Verdict, str]:
    """Return verdict and code for *leaf*, once everything that can be had was looked up."""
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[root.certificate]), policy=policy)
    decision = settle(verifier.judgement(PresentedChain.parse(leaf.chain_pem)), resolver).decision
    return decision.verdict, decision.code


def command(page: str, start: str) -> str:
    """Return the commands of *page* that begin with *start*."""
    return next(code for code in blocks(page, "sh") if code.startswith(start))
