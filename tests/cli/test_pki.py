"""``mtlspolicy pki``: a CA on disk whose certificates are good, and whose files are for their owner alone."""

from __future__ import annotations

import http.server
import os
import shlex
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from mtlspolicy import TrustStore, Verifier, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation_pointers import crl_urls, declares_crl, declares_ocsp, ocsp_urls
from mtlspolicy.cli._ca import Wanted, issue
from mtlspolicy.cli._ca_files import load_issuing, replace_file, write_new
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import MARKER_OID

from .conftest import Call, plain_environment, require_printable  # noqa: TID252 - tests are no package that could be named

POSIX = pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")


def leaf(path: Path) -> x509.Certificate:
    """Return the first certificate of a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


@POSIX
def test_files_are_for_their_owner_alone(call: Call, tmp_path: Path) -> None:
    """The directory is 0700 and each file 0600, whatever the umask says."""
    before = os.umask(0)
    try:
        assert call("pki", "new", tmp_path / "pki").status == 0
        assert call("pki", "client", tmp_path / "pki", "frodo").status == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()}
    assert set(modes) == {
        *("ca.pem", "crl.pem", "frodo.key", "frodo.pem", "issuing.key", "issuing.pem", "root.key", "root.pem")
    }
    assert set(modes.values()) == {0o600}


@POSIX
def test_an_empty_directory_is_taken_and_shut(call: Call, tmp_path: Path) -> None:
    """An empty directory that others can read becomes the owner's alone."""
    open_to_all = tmp_path / "pki"
    open_to_all.mkdir(mode=0o755)
    assert call("pki", "new", open_to_all).status == 0
    assert stat.S_IMODE(open_to_all.stat().st_mode) == 0o700


def test_a_directory_with_something_in_it_is_refused(call: Call, tmp_path: Path) -> None:
    """A directory that is not empty is left as it is."""
    (tmp_path / "mine").write_text("x")
    answer = call("pki", "new", tmp_path)
    assert answer.status == 2
    assert "is not empty" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_in_the_place_of_the_directory(call: Call, tmp_path: Path) -> None:
    """A directory that cannot be made is an error that names it."""
    (tmp_path / "pki").write_text("x")
    answer = call("pki", "new", tmp_path / "pki")
    assert answer.status == 2
    assert "cannot be made" in answer.err


def test_nothing_is_overwritten(call: Call, pki: Path) -> None:
    """A file that is there is never written over, and what was begun is taken back; another name makes another file."""
    (pki / "frodo.pem").write_text("mine")
    answer = call("pki", "client", pki, "frodo")
    assert answer.status == 2
    assert "exists already and is not overwritten" in answer.err
    assert (pki / "frodo.pem").read_text() == "mine"
    assert not (pki / "frodo.key").exists()
    assert call("pki", "client", pki, "frodo", "--out", "frodo-2").status == 0
    assert (pki / "frodo-2.key").exists()
    assert call("pki", "client", pki, "root").status == 2


@POSIX
def test_no_symbolic_link_is_followed(call: Call, pki: Path, tmp_path: Path) -> None:
    """A link that waits in the place of a new file is not written through."""
    (pki / "frodo.key").symlink_to(tmp_path / "elsewhere")
    assert call("pki", "client", pki, "frodo").status == 2
    assert not (tmp_path / "elsewhere").exists()


def test_certificates_are_admitted_by_the_library(call: Call, pki: Path) -> None:
    """What the CA issues is admitted under the strict private profile, as what it was issued for and nothing else."""
    assert call("pki", "server", pki, "localhost", "127.0.0.1", "::1").status == 0
    issued = call(
        "pki", "client", pki, "frodo", "--dns", "frodo.test", "--uri", "spiffe://a.test/frodo", "--email", "f@a.test"
    )
    assert issued.status == 0
    trust = TrustStore.from_file(pki / "ca.pem")
    clients = Verifier.for_clients(
        trust=trust, policy=policies.CommonName("frodo") & policies.IssuerPin.from_file(pki / "issuing.pem")
    )
    peer = clients.verify((pki / "frodo.pem").read_bytes())
    assert (peer.dns_names, peer.uris, peer.emails) == (("frodo.test",), ("spiffe://a.test/frodo",), ("f@a.test",))
    for name in ("localhost", "127.0.0.1", "::1"):
        servers = Verifier.for_servers(trust=trust, expected=name)
        assert servers.decide((pki / "localhost.pem").read_bytes())
        assert servers.decide((pki / "frodo.pem").read_bytes()).code == "path.extended-key-usage"
    assert peer.decision.context is not None
    assert peer.decision.context.notes == ()
    assert MARKER_OID not in {one.oid for one in leaf(pki / "root.pem").extensions}


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_agrees(call: Call, pki: Path, purpose: str) -> None:
    """OpenSSL's strict verification accepts what the CA issues."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("the openssl program is not installed")
    kind = "server" if purpose == "sslserver" else "client"
    assert call("pki", kind, pki, "leaf.test").status == 0
    words = ("-x509_strict", "-purpose", purpose, "-CAfile", pki / "root.pem", "-untrusted", pki / "leaf.test.pem")
    command = [program, "verify", *map(str, words), str(pki / "leaf.test.pem")]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 0


def test_key_and_chain_belong_together(call: Call, pki: Path) -> None:
    """The files load into a context as they are."""
    assert call("pki", "client", pki, "frodo", "--key", "rsa-2048").status == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(pki / "frodo.pem", pki / "frodo.key")
    assert leaf(pki / "frodo.pem").extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment


def test_validity(call: Call, pki: Path) -> None:
    """The validity is the one that was asked for, and never longer than the CA's."""
    assert call("pki", "client", pki, "frodo", "--days", "3").status == 0
    assert timedelta(days=2) < leaf(pki / "frodo.pem").not_valid_after_utc - datetime.now(UTC) <= timedelta(days=3)
    answer = call("pki", "client", pki, "sam", "--days", "4000")
    assert answer.status == 2
    assert "outlive its CA CN=Development Issuing CA" in answer.err
    assert not (pki / "sam.pem").exists()


def test_next_commands_are_printed_and_work(call: Call, pki: Path) -> None:
    """Each command prints the next one, and the printed ``explain`` line is one that admits."""
    made = call("pki", "client", pki, "it's frodo")
    assert "curl --cacert " in made.out
    line = next(line for line in made.out.splitlines() if "mtlspolicy explain" in line)
    assert call(*shlex.split(line)[1:]).status == 0


def test_the_server_that_is_printed_runs(call: Call, pki: Path) -> None:
    """The printed server and the printed curl command work together as they are, but for the port."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    made = call("pki", "server", pki, "localhost").out
    program = textwrap.dedent("".join(line + "\n" for line in made.splitlines() if line.startswith("  ")))
    program = program[program.index("import http.server") : program.index("serve_forever()")] + "serve_forever()\n"
    curl = next(line for line in call("pki", "client", pki, "frodo").out.splitlines() if "curl" in line)
    words = [*shlex.split(curl.replace("8443", port)), "--silent", "--show-error", "--max-time", "20"]
    command = [sys.executable, "-c", program.replace("8443", port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=plain_environment()) as server:
        try:
            retrying = ("--retry", "50", "--retry-delay", "0", "--retry-connrefused", "--retry-max-time", "20")
            ended = subprocess.run([*words, *retrying], capture_output=True, text=True, check=False)
        finally:
            server.kill()
    assert (ended.stdout, ended.returncode) == ("hello frodo\n", 0), ended.stderr
    assert f"mtlspolicy pki client {pki} frodo" in made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["server", "no good"], "no DNS name"),
        (["server", "a.test."], "no DNS name"),
        (["server", "exämple.test"], "no DNS name"),
        (["client", " "], "the common name is"),
        (["client", "fro\x1b[31mdo"], "control or format characters"),
        (["client", "x" * 65], "cannot be written"),
        (["client", "frodo", "--uri", "spiffe://a.test/\u202efrodo"], "control or format characters"),
        (["client", "frodo", "--email", "ü@a.test"], "cannot be written"),
        (["client", "frodo", "--out", "../frodo"], "no plain file name"),
        (["client", "frodo", "--out", ".hidden"], "no plain file name"),
        (["client", "frodo", "--ocsp-url", "ldap://a.test"], "--ocsp-url: 'ldap://a.test' is neither an http"),
        (["server", "a.test", "--crl-url", "http://a.test/\x1b[31m"], "--crl-url: 'http://a.test/"),
        (["server", "a.test", "--crl-url", "crl.pem"], "such as http://ocsp.example.com/"),
    ],
)
def test_names_that_are_none(call: Call, pki: Path, words: list[str], said: str) -> None:
    """A name that no certificate or file should have is refused, and nothing is written."""
    before = sorted(pki.iterdir())
    answer = call("pki", words[0], pki, *words[1:])
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err
    require_printable(answer.err)
    assert sorted(pki.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "stem"),
    [("*.example.test", "_.example.test"), ("../../etc/passwd", "_.._etc_passwd"), ("...", "certificate")],
)
def test_file_names_stay_in_the_directory(call: Call, pki: Path, name: str, stem: str) -> None:
    """Whatever a client is called, its files lie in the CA's directory."""
    assert call("pki", "client", pki, name).status == 0
    assert (pki / f"{stem}.pem").exists()


def test_a_wildcard_and_a_uri_for_a_server(call: Call, pki: Path) -> None:
    """A server may be issued a wildcard and a URI; the common name is the first that fits."""
    long = "a" * 60 + ".example.test"
    assert call("pki", "server", pki, long, "*.example.test", "spiffe://a.test/s", "--out", "s").status == 0
    certificate = leaf(pki / "s.pem")
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.value.get_values_for_type(x509.DNSName) == [long, "*.example.test"]
    assert certificate.subject.rfc4514_string() == "CN=*.example.test"
    assert call("pki", "server", pki, long, "--out", "t").status == 0
    empty = leaf(pki / "t.pem")
    assert not list(empty.subject)
    assert empty.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


@pytest.mark.parametrize("words", [("server", "a.test"), ("client", "a.test")])
def test_where_to_ask_about_it(call: Call, pki: Path, words: tuple[str, str]) -> None:
    """A certificate names the responder and the list that it is told, on any port, and by itself neither."""
    places = ("http://ocsp.test:8080/", "https://crl.test/crl.pem")
    role, name = words
    assert call("pki", role, pki, name, "--ocsp-url", places[0], "--crl-url", places[1]).status == 0
    certificate = ParsedCertificate.of(leaf(pki / "a.test.pem"))
    assert (ocsp_urls(certificate), crl_urls(certificate)) == ((places[0],), (places[1],))
    assert call("pki", role, pki, name, "--out", "without").status == 0
    without = ParsedCertificate.of(leaf(pki / "without.pem"))
    assert not declares_ocsp(without)
    assert not declares_crl(without)


def test_the_list_that_a_certificate_names_is_asked(call: Call, pki: Path) -> None:
    """From ``pki`` to ``explain``: the list at the URL that the certificate names says who is revoked, and when."""

    class Listed(http.server.BaseHTTPRequestHandler):
        """Answers with the CA's list."""

        def do_GET(self) -> None:
            """Send the list as it is now."""
            body = (pki / "crl.pem").read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Listed) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/crl.pem"
            assert call("pki", "client", pki, "frodo", "--crl-url", url).status == 0
            words = ("explain", pki / "frodo.pem", "--trust", pki / "ca.pem", "--crl", "--allow-private")
            good = call(*words)
            assert call("pki", "revoke", pki, pki / "frodo.pem").status == 0
            revoked = call(*words)
        finally:
            server.shutdown()
            thread.join()
    assert f"list: {url}" in good.out
    assert "crl: CN=frodo\n  answer  not on the list" in good.out
    assert "crl: CN=frodo\n  answer   on the list" in revoked.out
    assert (revoked.status, revoked.out.split()[0]) == (1, "DENY")


def test_names_of_the_authorities(call: Call, tmp_path: Path) -> None:
    """The CAs are called as asked; kinds of keys are as asked; a hostile name is refused."""
    assert call("pki", "new", tmp_path / "a", "--name", "Acme", "--key", "ec-p384", "--days", "10").status == 0
    assert leaf(tmp_path / "a" / "issuing.pem").issuer.rfc4514_string() == "CN=Acme Root"
    assert call("pki", "new", tmp_path / "b", "--name", "A\x07").status == 2
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("issuing.pem", None, "pki new DIR"),
        ("issuing.key", None, "pki new DIR"),
        ("issuing.pem", b"junk", "the CA in"),
        ("issuing.key", b"junk", "the CA in"),
    ],
)
def test_a_damaged_ca(call: Call, pki: Path, file: str, content: bytes | None, said: str) -> None:
    """A CA whose files are missing or unreadable issues nothing."""
    (pki / file).unlink()
    if content is not None:
        (pki / file).write_bytes(content)
    answer = call("pki", "client", pki, "frodo")
    assert answer.status == 2
    assert said in answer.err


def test_the_key_of_another_ca(call: Call, pki: Path) -> None:
    """A key that does not belong to the CA's certificate signs nothing."""
    (pki / "issuing.key").write_bytes((pki / "root.key").read_bytes())
    answer = call("pki", "client", pki, "frodo")
    assert answer.status == 2
    assert "is not that of issuing.pem" in answer.err


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file that cannot be made is an error that names it."""
    absent = tmp_path / "absent" / "x.pem"
    said = r"the file .*absent.x\.pem' cannot be written: No such file"
    with pytest.raises(ConfigurationError, match=said):
        write_new({absent: b"x"})
    with pytest.raises(ConfigurationError, match=said):
        replace_file(absent, b"x")


def test_a_name_that_is_too_long_for_the_system(call: Call, tmp_path: Path) -> None:
    """A path that the system cannot take is an error, not a traceback."""
    answer = call("pki", "new", tmp_path / ("x" * 300))
    assert answer.status == 2
    assert "cannot be made" in answer.err


def test_a_certificate_that_names_nobody_is_not_issued(pki: Path) -> None:
    """Without common name and subjectAltName nothing is signed."""
    authority = load_issuing(pki)
    end = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(ConfigurationError, match="would name nobody"):
        issue(authority, Wanted("client", None, (), (end - timedelta(days=2), end)), authority.key.public_key())
