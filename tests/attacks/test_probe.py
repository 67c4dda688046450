"""Attacks of a server on whoever probes it: for the certificate, the terminal, the page, the network, and its time."""

from __future__ import annotations

import base64
import ipaddress
import json
import socket
import ssl
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlspolicy.cli import main
from mtlspolicy.testing import CertificateAuthority
from tests.cli.probe.probing import HOST, NEXT_YEAR, OK, Served, Site, listening, reset, serving

HOSTILE: Final = "<script>alert(1)</script>\x1b[2J\x1b]0;taken\x07\u202e\r\nGrade A: nothing to mend"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return certificates and their files."""
    return Site(tmp_path_factory.mktemp("site"))


class Said:
    """What a probe printed: the exit status, the table or JSON, the page."""

    def __init__(self, status: int, out: str, page: str) -> None:
        self.status = status
        self.out = out
        self.page = page


@pytest.fixture
def told(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that probes a server of the site, with flags."""

    def run(port: int, *flags: object) -> Said:
        page = tmp_path / "page.html"
        page.unlink(missing_ok=True)
        status = main([str(word) for word in (*site.flags(port), "--html", page, *flags)])
        out, err = capsys.readouterr()
        assert err == ""
        return Said(status, out, page.read_text(encoding="utf-8"))

    return run


def _greedy(site: Site, leaf: Any) -> ssl.SSLContext:
    """Return a context that asks for a certificate and takes any of the site's."""
    context = site.context(leaf=leaf)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.mark.parametrize("name", ["a stranger's CA", "the right CA and another name"])
def test_an_impostor_sees_no_certificate(site: Site, told: Any, name: str) -> None:
    """A server of another CA, or of another name, is shown nothing of ours, and the report says so."""
    stranger = CertificateAuthority("Else", not_after=NEXT_YEAR)
    leaf = stranger.issue_server("localhost") if name.startswith("a s") else site.issuing.issue_server("evil.example")
    with serving(_greedy(site, leaf)) as served:
        said = told(served.port, *site.all_flags, "--json")
    assert said.status == 1
    assert not [subject for subject in served.subjects if subject]
    report = json.loads(said.out)
    for key in ("good", "expired", "wrong-use", "resumed"):
        assert report["clients"][key] == {"not_observed": "not shown: the server is not verified"}


def test_a_server_that_turns_into_an_impostor(site: Site, told: Any) -> None:
    """One that is itself while it is looked at, and another when the certificate would come, still sees none."""
    impostor = _greedy(site, CertificateAuthority("Else", not_after=NEXT_YEAR).issue_server("localhost"))
    honest = _greedy(site, None)

    def serve(connection: socket.socket, served: Served) -> None:
        context = honest if served.connections <= 2 else impostor
        with context.wrap_socket(connection, server_side=True) as secured:
            served.subjects.append((secured.getpeercert() or {}).get("subject"))
            secured.recv(4096)
            secured.sendall(OK)

    with listening(serve) as served:
        said = told(served.port, *site.all_flags, "--json")
    assert said.status == 1
    assert not [subject for subject in served.subjects if subject]
    assert json.loads(said.out)["clients"]["good"]["end"] == "server not verified"


def test_a_refusal_at_the_first_read_is_not_taken_for_an_admission(site: Site, told: Any) -> None:
    """In TLS 1.3 a client that is refused has finished its handshake: the refusal shows at the first read alone."""
    context = site.context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with serving(context) as served:
        report = json.loads(told(served.port, "--no-http", "--json").out)
    for key in ("none", "another-ca"):
        attempt = report["clients"][key]
        assert (attempt["version"], attempt["in_handshake"], attempt["refused"]) == ("TLSv1.3", False, True)


def test_hostile_names_command_no_terminal_and_no_page(site: Site, told: Any) -> None:
    """Names of the certificate and the status line are text: in the table, in JSON, in the page."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTILE[:60])])
    leaf = site.issuing.issue_server("localhost", subject=subject, not_after=NEXT_YEAR)
    banner = b"HTTP/1.1 403 " + HOSTILE.replace("\r\n", "\r").encode() + b"\r\n\r\n"
    with serving(_greedy(site, leaf), banner) as served:
        table, data = told(served.port), told(served.port, "--json")
    for out in (table.out, data.out, table.page):
        assert {c for c in out if not c.isprintable()} <= {"\n"}
        assert "\x1b" not in out
    assert "\\x1b[2J" in table.out
    assert json.loads(data.out)["chain"][0]["subject"].startswith("CN=\\<script\\>alert(1)")
    assert "<script" not in table.page
    assert "&lt;script" in table.page
    assert not [line for line in table.out.splitlines() if line.startswith("Grade A")]


def test_a_banner_instead_of_tls_commands_no_terminal(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """What a port without TLS says is not repeated to the terminal as it is."""

    def serve(connection: socket.socket, _served: Served) -> None:
        connection.sendall(HOSTILE.encode())
        reset(connection)

    with listening(serve) as served:
        assert main([str(word) for word in site.flags(served.port)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert {c for c in err if not c.isprintable()} <= {"\n"}
    assert "\x1b" not in err


def test_a_redirect_leads_nowhere(site: Site, told: Any) -> None:
    """Only the host that is given is connected to, whatever it says about others."""

    def elsewhere(_connection: socket.socket, _served: Served) -> None:
        return

    with listening(elsewhere) as other:
        answer = f"HTTP/1.1 302 Found\r\nLocation: https://{HOST}:{other.port}/\r\n\r\n".encode()
        with serving(_greedy(site, None), answer) as served:
            said = told(served.port, *site.good_flags, "--json")
        assert other.connections == 0
    assert json.loads(said.out)["clients"]["good"]["status"] == 302


def test_the_inner_network_is_not_probed_unasked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A private address, or a name of one, is not connected to unless that is said."""
    with serving(site.context()) as served:
        for host in (HOST, "localhost", "[::ffff:127.0.0.1]", "[::1]", "[64:ff9b::7f00:1]"):
            assert main(["probe", f"{host}:{served.port}"]) == 2
            err = capsys.readouterr().err
            assert "is not public; where this server is meant, say --allow-private" in err
        assert served.connections == 0


def test_a_name_that_changes_its_address(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once, and every connection goes to the address that was judged."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        address = HOST if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    leaf = site.issuing.issue_server("rebinding.example", not_after=NEXT_YEAR)
    with serving(site.context(leaf=leaf)) as served:
        monkeypatch.setattr("mtlspolicy.cli.probe._command.socket.getaddrinfo", _only("rebinding.example", resolve))
        flags = [f"rebinding.example:{served.port}", "--allow-private", "--ca", site.ca, "--json", *site.good_flags]
        assert main(["probe", *map(str, flags)]) == 0
        monkeypatch.undo()
    report = json.loads(capsys.readouterr().out)
    assert asked == ["rebinding.example"]
    assert (report["address"], report["connections"]) == (HOST, served.connections)


def _only(name: str, resolve: Any) -> Any:
    """Return a resolver that answers for one name, and addresses as ever."""
    real = socket.getaddrinfo

    def answer(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if host == name:
            return resolve(host, port)
        ipaddress.ip_address(host)  # anything else that is looked up is an error
        return real(host, port, *arguments, **options)

    return answer


def test_no_key_is_in_what_is_shown(site: Site, told: Any) -> None:
    """Reports are passed on to others: nothing of a private key is in them."""
    with serving(site.context()) as served:
        said = [told(served.port, *site.all_flags), told(served.port, *site.all_flags, "--json")]
    for path in (site.key, site.issuer_key):
        body = "".join(path.read_text(encoding="ascii").splitlines()[1:-1])
        secret = base64.b64decode(body)[36:68]
        for one in said:
            for shown in (one.out, one.page):
                assert body[40:80] not in shown
                assert secret.hex() not in shown
                assert "PRIVATE KEY" not in shown


def test_a_server_cannot_make_the_report_long(site: Site, told: Any) -> None:
    """Endless lines and piles of certificates are cut: the report stays one that people read."""
    pile = [site.server.certificate_pem, site.issuing.pem, *[site.issue_pem(number) for number in range(40)]]
    context = site.context(chain=pile, asks=False)
    with serving(context, b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n") as served:
        said = told(served.port)
    assert len(said.out.splitlines()) < 200
    assert max(map(len, said.out.splitlines())) <= 100
    assert len(said.page) < 60_000
