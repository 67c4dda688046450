"""Java's ``HttpClient`` against our servers, with PKCS#12 key stores: who is admitted, and what the others are told."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .conftest import PASSWORD, Site, Until  # noqa: TID252 - tests are no package that could be named
from .programs import require_java, run  # noqa: TID252 - the same
from .serving import serving_all  # noqa: TID252 - the same

SOURCE: Final = Path(__file__).parent / "data" / "Ask.java"
TOLD: Final = {
    "gollum": "java.io.IOException: HTTP/1.1 header parser received no bytes",
    "stranger": "javax.net.ssl.SSLHandshakeException: Received fatal alert: unknown_ca",
    "nobody": "javax.net.ssl.SSLHandshakeException: Received fatal alert: certificate_required",
}
"""What it says on TLS 1.3 where the alert of OpenSSL gets through, which it does on threads."""


def test_the_right_client_alone_is_served(site: Site, until: Until) -> None:
    """frodo is told who it is by every kind of server; a wrong name, an unknown CA and no certificate get an error."""
    require_java()
    with serving_all(site.server) as kinds:
        done = run("java", SOURCE, site.folder, PASSWORD.decode(), *kinds, good=True)
    until("name.mismatch", "tls.openssl-no-issuer", "tls.openssl-no-certificate")
    seen = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(seen) == 4 * len(kinds)
    for port, client, outcome, text in seen:
        if client == "frodo":
            assert outcome == "status"
            assert text.startswith("200 frodo of CN=Partner Issuing CA,")
            continue
        assert outcome == "error"
        if kinds[int(port)] == "http.server":
            assert text == TOLD[client]
        else:  # asyncio drops the alert
            assert text.startswith(("java.io.IOException: ", "java.net.SocketException: ", "javax.net.ssl.SSL"))
