"""A real browser with a client certificate: headless Chromium, which verifies the server by a CA of its own data base.

Its certificates come from the NSS data base of a home directory of the test's. It asks nobody which one to show because
of a policy, which it reads from ``/etc/chromium``: there a directory of the test's is mounted, for the browser alone.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.integrations import answering
from tests.integrations.serving import uvicorn_serving

HOST: Final = "127.0.0.1"
SECONDS: Final = 50.0
PACKAGES: Final = {
    "certutil": "libnss3-tools",
    "chromium": "chromium",
    "mount": "mount",
    "pk12util": "libnss3-tools",
    "unshare": "util-linux",
}
POLICIES: Final = Path("/etc/chromium")
FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--no-proxy-server", "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND", "--timeout=20000",
    "--virtual-time-budget=5000", "--dump-dom",
)  # fmt: skip
NAMESPACE: Final = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /etc/chromium && exec "$@"')


class _Page(http.server.BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        peer = tls.peer_of(self.connection)
        self.server.served.append(str(peer and peer.common_name))
        body = f"<p>you are {peer and peer.common_name}</p>".encode("ascii")
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((HOST, 0), _Page)
        self.served: list[str] = []
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_: object) -> None:
        """Print no traceback: what was refused is on the logger."""


class Site:
    """A server, its CA, and a CA of clients."""

    def __init__(self) -> None:
        self.servers, self.clients = CertificateAuthority("Servers"), CertificateAuthority("Clients")
        leaf = self.servers.issue_server("localhost")
        self._credential = tls.Credential.of(leaf.chain, leaf.key)
        self.server = _Server(self.context())

    def context(self) -> ssl.SSLContext:
        """Return a context that admits frodo."""
        trust = TrustStore(anchors=[self.clients.certificate])
        verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"))
        return tls.server_context(credential=self._credential, verifier=verifier)

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"https://localhost:{self.server.server_port}/"


@pytest.fixture(scope="module")
def site() -> Generator[Site, None, None]:
    """Run the server; skip where there is no browser, or no mount of a test's own."""
    for name, package in PACKAGES.items():
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed: on Debian, apt-get install {package}")
    if not POLICIES.is_dir():
        pytest.skip(f"this chromium does not read its policies from {POLICIES}")
    if subprocess.run([*NAMESPACE, "/tmp", "true"], capture_output=True, check=False).returncode != 0:  # noqa: S108 - any directory
        pytest.skip("no mount namespace is to be had here")
    made = Site()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join(SECONDS)
    made.server.server_close()


def browse(site: Site, home: Path, leaf: IssuedCertificate | None, url: str | None = None) -> tuple[str, str]:
    """Return the page that a browser with the certificate *leaf* shows of *url*, and what it printed besides."""
    ca = home / "ca.pem"
    ca.write_bytes(site.servers.pem)
    for place in (".pki", ".local/share/pki"):  # of older and of newer versions
        folder = home / place / "nssdb"
        folder.mkdir(parents=True)
        base = ["-d", f"sql:{folder}"]
        _run("certutil", "-N", *base, "--empty-password")
        _run("certutil", "-A", *base, "-n", "servers", "-t", "C,,", "-i", str(ca))
        if leaf is not None:
            (home / "client.p12").write_bytes(leaf.pkcs12(b"for a test"))
            _run("pk12util", "-i", str(home / "client.p12"), *base, "-W", "for a test")
    managed = home / "etc" / "policies" / "managed"
    managed.mkdir(parents=True)
    choice = json.dumps({"pattern": "https://localhost", "filter": {}})
    (managed / "test.json").write_text(json.dumps({"AutoSelectCertificateForUrls": [choice]}), encoding="ascii")
    command = [
        *NAMESPACE,
        str(home / "etc"),
        "chromium",
        *FLAGS,
        f"--user-data-dir={home / 'profile'}",
        url or site.url,
    ]
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_CACHE_HOME": str(home / "cache")}
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR"}}
    done = subprocess.run(command, env={**kept, **own}, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.stdout, done.stderr


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)


def test_a_browser_with_its_certificate_is_admitted(site: Site, tmp_path: Path) -> None:
    """The page tells the browser who it is, and the browser has verified the server by its CA."""
    page, _ = browse(site, tmp_path, site.clients.issue_client("frodo"))
    assert "<p>you are frodo</p>" in page


@pytest.mark.parametrize("who", ["gollum", "nobody"])
def test_a_browser_that_is_refused_shows_an_error(who: str, site: Site, tmp_path: Path) -> None:
    """Another certificate of the same CA, or none: no code of the application runs, and an error shows."""
    before = len(site.server.served)
    page, printed = browse(site, tmp_path, site.clients.issue_client(who) if who == "gollum" else None)
    assert "you are" not in page
    assert "net::ERR_" in printed
    assert len(site.server.served) == before


@pytest.mark.parametrize(
    ("who", "shown"),
    [("frodo", '"peer": "frodo"'), ("gollum", '{"error": "name.mismatch"}'), ("nobody", '"path.no-certificate"')],
    ids=["frodo", "gollum", "nobody"],
)
def test_a_browser_is_answered_by_an_application_server(site: Site, tmp_path: Path, who: str, shown: str) -> None:
    """uvicorn with ``refuse="respond"``: the page, or the reason in place of it, which the application never sees."""
    app = answering.Counted()
    leaf = None if who == "nobody" else site.clients.issue_client(who)
    with uvicorn_serving(app, context=site.context(), refuse="respond", access_log=False) as server:
        page, _ = browse(site, tmp_path, leaf, f"https://localhost:{server.address[1]}/")
    assert shown in page
    assert (app.calls > 0) is (who == "frodo")
