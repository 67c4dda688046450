"""``openssl s_client`` against our servers: both versions of TLS, renegotiation, and sessions that it keeps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mtlspolicy import Policy, Verifier, policies, tls

from .conftest import Lines, Site, Until  # noqa: TID252 - tests are no package that could be named
from .programs import environment, openssl_version, require, run  # noqa: TID252 - the same
from .serving import KINDS, serving  # noqa: TID252 - the same

REQUEST = "GET / HTTP/1.0\r\n\r\n"


def flags(site: Site, port: int, name: str | None) -> list[object]:
    """Return the arguments that connect with the certificate of a client."""
    openssl_version()  # skips where there is none
    found: list[object] = [
        "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-CAfile", site.web_root,
        "-verify_return_error", "-verify_hostname", "localhost",
    ]  # fmt: skip
    if name is not None:
        chain, key = site.files(name)
        # -cert sends the first certificate of a file alone.
        found += ["-cert", chain, "-cert_chain", chain, "-key", key]
    return found


def s_client(site: Site, port: int, name: str | None, *more: object) -> subprocess.CompletedProcess[str]:
    """Connect with the certificate of a client, send a request, and read to the end."""
    return run("openssl", *flags(site, port, name), "-ign_eof", *more, given=REQUEST)


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_right_client_alone_is_served(site: Site, until: Until, kind: str, version: str) -> None:
    """frodo is told who it is; a wrong name, an unknown CA and no certificate get nothing, and a line each."""
    with serving(kind, site.server(kind)) as port:
        good = s_client(site, port, "frodo", f"-{version}")
        assert "Verify return code: 0 (ok)" in good.stdout
        assert (
            f"frodo of CN=Partner Issuing CA,O=mtlspolicy TEST CA, {version.replace('tls1_', 'TLSv1.')}\n"
            in good.stdout
        )
        refused = {name: s_client(site, port, name, f"-{version}") for name in ("gollum", "stranger", None)}
    found = until("name.mismatch", "tls.openssl-no-issuer", "tls.openssl-no-certificate")
    assert not any("HTTP/" in done.stdout for done in refused.values())
    assert len(found) == 3
    if kind == "http.server":  # asyncio drops the alert
        assert "alert unknown ca" in refused["stranger"].stderr
        expected = "alert handshake failure" if version == "tls1_2" else "alert certificate required"
        assert expected in refused[None].stderr


def test_a_leaf_alone_is_enough_where_the_store_knows_the_issuing_ca(site: Site) -> None:
    """A client that sends no intermediate is admitted by a store that has it."""
    trust = site.trust | type(site.trust)(anchors=[site.root.certificate], intermediates=[site.issuing.certificate])
    verifier = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"))
    context = tls.server_context(credential=site.credential(), verifier=verifier)
    chain, key = site.files("frodo")
    with serving("http.server", context) as port:
        done = s_client(site, port, None, "-cert", chain, "-key", key)
    assert "frodo of CN=Partner Issuing CA" in done.stdout


@pytest.mark.parametrize("kind", ["http.server", "asyncio", "uvloop"])
def test_a_client_may_not_renegotiate(site: Site, kind: str) -> None:
    """Asked to renegotiate (TLS 1.2), the server does not: who was decided on stays, or the connection ends."""
    with serving(kind, site.server(kind)) as port:
        command = [require("openssl"), *map(str, flags(site, port, "frodo")), "-tls1_2"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        ) as running:
            try:
                assert running.stdin is not None
                assert running.stdout is not None
                running.stdin.write("R\n")  # a command of s_client, where the line is nothing else
                running.stdin.flush()
                said = running.stdout.read()  # to its end: it gives up by itself, with its input still open
            finally:
                running.kill()
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said
    assert "HTTP/" not in said


@pytest.mark.parametrize("kind", ["http.server", "asyncio", "uvloop"])
def test_a_session_that_was_kept_is_decided_on_anew(site: Site, until: Until, tmp_path: Path, kind: str) -> None:
    """A client that resumes a session (TLS 1.2) is refused once its name has left the policy."""
    allowed: list[Policy] = [policies.CommonName("frodo", "gollum")]
    verifier = Verifier.for_clients(trust=site.trust, policy=lambda: allowed[0])
    context = tls.server_context(credential=site.credential(), verifier=verifier)
    session = tmp_path / "session"
    with serving(kind, context) as port:
        first = s_client(site, port, "gollum", "-tls1_2", "-sess_out", session)
        assert "gollum of CN=Partner Issuing CA" in first.stdout
        again = s_client(site, port, "gollum", "-tls1_2", "-sess_in", session)
        assert "gollum of CN=Partner Issuing CA" in again.stdout
        allowed[0] = policies.CommonName("frodo")
        refused = s_client(site, port, "gollum", "-tls1_2", "-sess_in", session)
        assert "HTTP/" not in refused.stdout
    assert len(until("name.mismatch")) == 1


def test_no_ticket_is_sent_over_tls_1_3(site: Site, lines: Lines, tmp_path: Path) -> None:
    """A client of TLS 1.3 is given no session that it could resume."""
    session = tmp_path / "session"
    with serving("http.server", site.server("http.server")) as port:
        done = s_client(site, port, "frodo", "-tls1_3", "-sess_out", session)
    assert "frodo of" in done.stdout
    assert "New Session Ticket" not in done.stdout
    assert not session.exists()
    assert lines() == []
