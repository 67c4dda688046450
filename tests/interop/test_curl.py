"""curl against our servers: who is admitted is told who it is, and each refusal is a line with a code and a remedy."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import Site, Until  # noqa: TID252 - tests are no package that could be named
from .programs import require_curl_with_openssl, run  # noqa: TID252 - the same
from .serving import KINDS, serving  # noqa: TID252 - the same

ENDED = {35, 52, 56}
"""Exit statuses of curl: the handshake failed, the server answered nothing, receiving failed."""

pytestmark = pytest.mark.parametrize("kind", KINDS)


def curl(site: Site, port: int, name: str | None, *more: str) -> subprocess.CompletedProcess[str]:
    """Ask the server on *port* with the certificate of a client."""
    shown = () if name is None else ("--cert", site.files(name)[0], "--key", site.files(name)[1])
    return run(
        "curl", "--silent", "--show-error", "--max-time", 20, "--cacert", site.web_root, *shown, *more,
        f"https://localhost:{port}/",
    )  # fmt: skip


@pytest.mark.parametrize(("version", "flags"), [("TLSv1.3", ["--tlsv1.3"]), ("TLSv1.2", ["--tls-max", "1.2"])])
def test_the_right_client_alone_is_served(site: Site, until: Until, kind: str, version: str, flags: list[str]) -> None:
    """frodo is told who it is; a wrong name, an unknown CA and no certificate get nothing, and a line each."""
    require_curl_with_openssl()
    with serving(kind, site.server(kind)) as port:
        good = curl(site, port, "frodo", *flags)
        assert (good.returncode, good.stderr) == (0, "")
        assert good.stdout.startswith("frodo of CN=Partner Issuing CA,")
        assert good.stdout.endswith(f", {version}\n")
        refused = {name: curl(site, port, name, *flags) for name in ("gollum", "stranger", None)}
        assert [done.stdout for done in refused.values()] == ["", "", ""]
    found = until("name.mismatch", "tls.openssl-no-issuer", "tls.openssl-no-certificate")
    assert {done.returncode for done in refused.values()} <= ENDED
    # The standard library cannot tell the client of our refusals, and asyncio drops the alert of OpenSSL's own.
    assert "certificate" not in refused["gollum"].stderr
    if kind == "http.server":
        assert "unknown ca" in refused["stranger"].stderr
        assert ("certificate required" if version == "TLSv1.3" else "handshake failure") in refused[None].stderr
    assert len(found) == 3
    assert all(line.startswith("refused 127.0.0.1:") for line in found)
    assert any("'gollum'" in line and "subject: CN=gollum" in line for line in found)
    assert any("curl: --cert, --key" in line for line in found)
