"""``mtlspolicy probe`` against real servers: what each lets in is found out, told, and worth its exit status."""

from __future__ import annotations

import json
import os
import re
import ssl
import threading
import warnings
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtensionOID

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.cli.probe._connect import Plan, observe
from mtlspolicy.cli.probe._json import as_json
from mtlspolicy.cli.probe._judge import judge
from mtlspolicy.cli.probe._seen import Place
from mtlspolicy.cli.probe._wire import Clock
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.testing._hand_made import HandMade
from mtlspolicy.testing._issued import pem_of

from ..conftest import Call, require_printable  # noqa: TID252 - tests are no package that could be named
from .probing import (  # noqa: TID252 - the same
    FORBIDDEN,
    NEXT_YEAR,
    OK,
    Served,
    Site,
    by_certificate,
    serving,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return certificates and their files."""
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def strict(site: Site) -> Generator[Served, None, None]:
    """Run a server that takes certificates of this site alone."""
    with serving(site.context()) as served:
        yield served


def probed(call: Call, site: Site, served: Served, *flags: object) -> dict[str, Any]:
    """Return the JSON of a probe with the good certificate, whose exit status agrees with it."""
    answer = call(*site.flags(served.port), "--json", *flags)
    assert answer.err == ""
    report: dict[str, Any] = json.loads(answer.out)
    assert answer.status == (0 if report["passed"] else 1)
    return report


def codes(report: dict[str, Any]) -> set[str]:
    """Return the codes of a report that keep it from the best grade."""
    return {finding["code"] for finding in report["findings"] if finding["grade"] != "A"}


def test_a_good_server_has_the_best_grade(call: Call, site: Site, strict: Served) -> None:
    """Nobody but the good certificate is let in, each refusal with its alert, and everything was tried."""
    report = probed(call, site, strict, *site.all_flags)
    assert (report["grade"], codes(report)) == ("A", set())
    clients = report["clients"]
    assert clients["good"]["text"] == "HTTP/1.1 200 OK"
    assert clients["good"]["sent"]
    assert {key: clients[key]["text"] for key in ("none", "another-ca", "expired", "wrong-use")} == {
        "none": "TLS alert certificate_required",
        "another-ca": "TLS alert unknown_ca",
        "expired": "TLS alert certificate_expired",
        "wrong-use": "TLS alert unsupported_certificate",
    }
    assert not any(clients[key]["in_handshake"] for key in ("none", "another-ca", "expired", "wrong-use"))
    assert clients["resumed"]["resumed"]
    assert clients["resumed"]["status"] == 200
    assert list(report["not_observed"]) == ["suites of TLS 1.3"]
    assert report["versions"] == {"TLSv1.3": True, "TLSv1.2": True, "TLSv1.1": False, "TLSv1.0": False}
    assert report["tls12_suites"]["ECDHE, AEAD"].startswith("ECDHE-ECDSA-AES")
    assert report["tls12_suites"]["broken"] is None
    subjects = [one["subject"] for one in report["chain"]]
    assert subjects == ["CN=localhost", "CN=Issuing CA,O=mtlspolicy TEST CA"]
    assert report["verified"]["verdict"] == "PERMIT"


def test_the_connections_are_few(call: Call, site: Site) -> None:
    """A whole probe opens at most twenty connections, as many as it says."""
    with serving(site.context()) as served:
        report = probed(call, site, served, *site.all_flags)
    assert report["connections"] == served.connections <= 20


def test_refusals_of_tls_1_2_come_in_the_handshake(call: Call, site: Site) -> None:
    """With TLS 1.2 alone the chain is seen although the handshake fails; the lack of TLS 1.3 is said."""
    context = site.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(context) as served:
        report = probed(call, site, served, *site.all_flags)
    assert codes(report) == {"probe.no-tls13"}
    assert report["clients"]["none"]["in_handshake"]
    assert report["clients"]["none"]["version"] == "TLSv1.2"
    assert report["handshake"]["version"] == "TLSv1.2"
    assert report["handshake"]["cipher"].startswith("ECDHE-ECDSA-")
    assert len(report["chain"]) == 2
    assert report["clients"]["resumed"]["resumed"]


def test_a_server_that_asks_nobody_fails(call: Call, site: Site) -> None:
    """A server that asks for no certificate serves everybody: grade F; that others are refused is not claimed."""
    with serving(site.context(asks=False)) as served:
        report = probed(call, site, served, *site.good_flags)
    assert report["grade"] == "F"
    assert codes(report) == {"probe.none-served", "probe.not-asked", "probe.good-not-tried"}
    assert report["not_observed"]["a certificate of another CA"] == "not shown: the server did not ask for one"
    assert report["acceptable_cas"] == {"not_observed": "the server did not ask for a certificate"}


def test_the_endpoint_test_of_a_webhook(call: Call, site: Site) -> None:
    """No certificate gives 403 and a good one 200: the test that partners ask for passes."""
    context = site.context()
    context.verify_mode = ssl.CERT_OPTIONAL
    with serving(context, by_certificate) as served:
        report = probed(call, site, served, *site.good_flags)
        assert served.requests[0].startswith(b"GET / HTTP/1.1\r\nHost: localhost:")
    assert report["grade"] == "A"
    assert (report["clients"]["none"]["status"], report["clients"]["good"]["status"]) == (403, 200)


def test_our_own_server_passes(call: Call, site: Site) -> None:
    """A server with a context of this library has the best grade: it resumes nothing, and says so."""
    credential = tls.Credential.from_pem(site.server.chain_pem, site.server.key_pem)
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[site.root.certificate]), policy=policies.CommonName("frodo")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = tls.server_context(credential=credential, verifier=verifier)
    with serving(context) as served:
        report = probed(call, site, served, *site.all_flags)
    assert report["grade"] == "A"
    assert not report["clients"]["resumed"]["resumed"]
    assert "probe.no-resumption" in {finding["code"] for finding in report["findings"]}


def test_the_good_certificate_that_is_refused(call: Call, site: Site, strict: Served) -> None:
    """A client that is not let in is a failing grade, and its session is not tried."""
    other = CertificateAuthority("Else").issue_client("sam")
    cert, key = other.files(site.folder, name="sam")
    report = probed(call, site, strict, "--cert", cert, "--key", key)
    assert (report["grade"], codes(report)) == ("D", {"probe.good-refused"})
    assert "not let in" in report["not_observed"]["a resumed session"]


def test_a_certificate_of_another_ca_that_is_given(call: Call, site: Site, strict: Served) -> None:
    """The certificate of another CA may be one's own."""
    other = CertificateAuthority("Else").issue_client("sam")
    cert, key = other.files(site.folder, name="other")
    report = probed(call, site, strict, "--other-ca-cert", cert, "--other-ca-key", key)
    assert report["clients"]["another-ca"]["text"] == "TLS alert unknown_ca"
    assert report["clients"]["another-ca"]["sent"]


def test_without_certificates_the_rest_is_told(call: Call, site: Site, strict: Served) -> None:
    """What was not tried is named with its reason, and keeps the best grade away."""
    report = probed(call, site, strict)
    assert (report["grade"], codes(report)) == ("B", {"probe.good-not-tried"})
    assert set(report["not_observed"]) == {
        "the good certificate", "an expired certificate", "a certificate with the wrong EKU",
        "a resumed session", "suites of TLS 1.3",
    }  # fmt: skip
    assert report["clients"]["expired"] == {
        "not_observed": "not tried: needs a CA that the server trusts, a test CA: --issuer-cert and --issuer-key"
    }


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\n\r\n", "probe.unclear"),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", "probe.unclear"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "probe.unclear"),
    ],
)
def test_what_is_neither_yes_nor_no(call: Call, site: Site, answer: bytes, code: str) -> None:
    """A redirect is not followed, and an answer that is neither served nor refused is called unclear."""
    context = site.context()
    context.verify_mode = ssl.CERT_OPTIONAL
    with serving(context, lambda secured, _: OK if secured.getpeercert() else answer) as served:
        report = probed(call, site, served, *site.good_flags)
    assert codes(report) == {code}
    assert report["passed"]


def test_a_status_of_ones_own_and_a_path(call: Call, site: Site) -> None:
    """What counts as served, and what is asked for, are the caller's."""
    with serving(site.context(), b"HTTP/1.1 204 No Content\r\n\r\n") as served:
        report = probed(call, site, served, *site.good_flags, "--expect-status", "204", "--path", "/hook?x=1")
        assert served.requests[0].startswith(b"GET /hook?x=1 HTTP/1.1\r\n")
    assert report["grade"] == "A"


def test_the_table_is_for_people(call: Call, site: Site, strict: Served) -> None:
    """The table fits a terminal, in plain text, with the grade first and what was not observed marked."""
    answer = call(*site.flags(strict.port), *site.good_flags)
    assert answer.status == 0
    assert max(map(len, answer.out.splitlines())) <= 100
    require_printable(answer.out)
    lines = answer.out.splitlines()
    assert lines[2] == "Grade A: nothing to mend"
    refused = f"  + {'no certificate':<33} refused: TLS alert certificate_required at the first read"
    assert refused in lines
    assert "  + the good certificate              served: HTTP/1.1 200 OK" in lines
    assert any(line.startswith("  ? an expired certificate") for line in lines)


def test_a_server_by_another_name(call: Call, site: Site) -> None:
    """The name that is asked for and verified may be another than the host, by address too."""
    leaf = site.issuing.issue_server("api.example.com", not_after=NEXT_YEAR)
    with serving(site.context(leaf=leaf)) as served:
        flags = ["probe", f"127.0.0.1:{served.port}", "--allow-private", "--ca", site.ca, "--json"]
        by_name = json.loads(call(*flags, *site.good_flags, "--server-name", "API.example.com").out)
        by_address = json.loads(call(*flags, *site.good_flags).out)
    assert by_name["grade"] == "A"
    assert by_name["server_name"] == "api.example.com"
    assert by_address["grade"] == "F"
    assert codes(by_address) == {"probe.unverified", "probe.good-not-tried"}


def test_without_http(call: Call, site: Site, strict: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that speaks first, or waits, is judged by whether it refuses after the handshake."""
    monkeypatch.setattr("mtlspolicy.cli.probe._wire.QUIET", 0.7)
    report = probed(call, site, strict, *site.good_flags, "--no-http")
    assert report["clients"]["none"]["text"] == "TLS alert certificate_required"
    assert report["clients"]["good"]["end"] == "open"
    assert report["grade"] == "A"


def test_the_page_is_written_once(call: Call, site: Site, strict: Served, tmp_path: Path) -> None:
    """The page is a file of its own, never written over another."""
    page = tmp_path / "report.html"
    assert call(*site.flags(strict.port), *site.good_flags, "--html", page).status == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "Grade A: nothing to mend." in text
    again = call(*site.flags(strict.port), "--html", page)
    assert (again.status, again.out) == (2, "")
    assert "is there already" in again.err
    assert page.read_text(encoding="utf-8") == text


def test_a_page_that_cannot_be_written(call: Call, site: Site, strict: Served, tmp_path: Path) -> None:
    """What keeps the page from being written is said in one line, and a link is not followed."""
    if os.name == "posix":
        link = tmp_path / "link.html"
        link.symlink_to(tmp_path / "elsewhere.html")
        assert "is there already" in call(*site.flags(strict.port), "--html", link).err
    too_long = call(*site.flags(strict.port), "--html", tmp_path / ("x" * 300))
    assert too_long.status == 2
    assert "cannot be written" in too_long.err


def test_an_encrypted_key_and_its_password(
    call: Call, site: Site, strict: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password comes from the environment; without one, and without a terminal, the error says where from."""
    key = site.file("encrypted.key", site.good.encrypted_key_pem(b"for a test"))
    monkeypatch.setenv("MTLSPOLICY_KEY_PASSWORD", "for a test")
    assert probed(call, site, strict, "--cert", site.cert, "--key", key)["grade"] == "A"
    monkeypatch.delenv("MTLSPOLICY_KEY_PASSWORD")
    answer = call(*site.flags(strict.port), "--cert", site.cert, "--key", key)
    assert answer.status == 2
    assert "MTLSPOLICY_KEY_PASSWORD" in answer.err


def test_a_password_is_asked_for_on_a_terminal(
    call: Call, site: Site, strict: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the password is asked for, naming the key, and nothing of it is printed."""
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "for a test"

    key = site.file("asked.key", site.good.encrypted_key_pem(b"for a test"))
    monkeypatch.delenv("MTLSPOLICY_KEY_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", ask)
    answer = call(*site.flags(strict.port), "--cert", site.cert, "--key", key)
    assert answer.status == 0
    assert asked == ["Password of the key of --cert: "]
    assert "for a test" not in answer.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["probe", "localhost"], "no HOST:PORT"),
        (["probe", "localhost:0", "--allow-private"], "names no host"),
        (["probe", "localhost:70000"], "port"),
        (["probe", "localhost:443 "], "no HOST:PORT"),
        (["probe", "user@localhost:443"], "no HOST:PORT"),
        (["probe", "localhost/x:443"], "no HOST:PORT"),
        (["probe", "::1:443"], "no HOST:PORT"),
        (["probe", "0x7f.1:443"], "names no host"),
        (["probe", "localhost:443", "--path", "x"], "no path"),
        (["probe", "localhost:443", "--path", "/a b"], "no path"),
        (["probe", "localhost:443", "--timeout", "0"], "no number of seconds"),
        (["probe", "localhost:443", "--timeout", "soon"], "no number of seconds"),
        (["probe", "localhost:443", "--expect-status", "99"], "no final HTTP status"),
        (["probe", "localhost:443", "--key", "x.key"], "--key is given without --cert"),
        (["probe", "localhost:443", "--other-ca-key", "x.key"], "--other-ca-key is given without --other-ca-cert"),
        (["probe", "localhost:443", "--issuer-cert", "x.pem"], "--issuer-cert is given without --issuer-key"),
        (["probe", "localhost:443", "--cert", "missing.pem"], "missing.pem"),
        (["probe", "localhost:443", "--html", "missing/x.html"], "no such folder"),
        (["probe", "127.0.0.1:443", "--allow-private", "--server-name", "a b"], "no DNS name"),
        (["probe", "127.0.0.1:443", "--allow-private", "--ca", "missing.pem"], "missing.pem"),
    ],
)
def test_wrong_usage(call: Call, words: list[str], said: str) -> None:
    """What cannot be right is said before anything is connected to, with exit status 2."""
    answer = call(*words)
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err


def test_the_test_ca_must_be_one(call: Call, site: Site, strict: Served) -> None:
    """A test CA that is no CA, or whose key is another's, is refused before anything is connected to."""
    before = strict.connections
    leaf = call(*site.flags(strict.port), "--issuer-cert", site.cert, "--issuer-key", site.key)
    assert leaf.status == 2
    assert "is no CA certificate" in leaf.err
    swapped = call(*site.flags(strict.port), "--issuer-cert", site.issuer_cert, "--issuer-key", site.key)
    assert swapped.status == 2
    assert "is not the key of" in swapped.err
    assert strict.connections == before


def test_as_a_program(program: Call, site: Site, strict: Served) -> None:
    """As a process of its own it prints the same, and nothing on standard error."""
    answer = program(*site.flags(strict.port), *site.all_flags)
    assert (answer.status, answer.err) == (0, "")
    assert "Grade A" in answer.out


def test_a_server_that_refuses_everybody(call: Call, site: Site) -> None:
    """A server that answers everybody 403 refuses the good certificate too."""
    with serving(site.context(), FORBIDDEN) as served:
        report = probed(call, site, served, *site.good_flags)
    assert codes(report) == {"probe.good-refused"}
    assert report["clients"]["good"]["status"] == 403


def test_a_test_ca_without_basic_constraints(call: Call, site: Site, strict: Served) -> None:
    """A certificate that does not say that it is a CA is none."""
    bare = HandMade.of(site.root.certificate).without(ExtensionOID.BASIC_CONSTRAINTS).signed_by(site.root.key)
    certificate = site.file("bare.pem", pem_of(bare))
    secret: Any = site.root.key
    key = site.file("root.key", secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    answer = call(*site.flags(strict.port), "--issuer-cert", certificate, "--issuer-key", key)
    assert answer.status == 2
    assert "is no CA certificate" in answer.err


def test_no_time_at_all(call: Call, site: Site, strict: Served) -> None:
    """A probe whose time is up before it began says so."""
    answer = call("probe", f"127.0.0.1:{strict.port}", "--allow-private", "--ca", site.ca, "--timeout", "1e-9")
    assert answer.status == 2
    assert "raise --timeout" in answer.err


def test_a_resolver_that_hangs(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of the name is within the time of the probe."""
    ended = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        ended.wait(30)
        return []

    monkeypatch.setattr("mtlspolicy.cli.probe._command.socket.getaddrinfo", hang)
    answer = call("probe", "slow.example:443", "--timeout", "0.2")
    ended.set()
    assert answer.status == 2
    assert "was not resolved in time" in answer.err


@pytest.mark.parametrize("most", range(1, 17))
def test_a_probe_that_is_cut_short(site: Site, strict: Served, most: int) -> None:
    """Wherever the time ends, there is a report: what was not reached is named, and the best grade is not given."""
    place = Place("localhost", strict.port, "localhost", "127.0.0.1")
    verifier = Verifier.for_servers(trust=TrustStore(anchors=[site.root.certificate]), expected="localhost")
    good = tls.Credential.from_files(site.cert, site.key)
    clock = Clock(60, connections=most)
    report = judge(observe(Plan(place, verifier, good, None, None, datetime.now(UTC)), clock))
    assert report.seen.connections == clock.opened <= most
    assert ("probe.not-finished" in {finding.code for finding in report.findings}) is (clock.opened == most < 15)
    assert (report.grade == "A") is (most >= 15)
    assert as_json(report)["grade"] == report.grade


def test_the_output_in_the_guide(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide shows what its second command really prints, for a server with a CA of ``mtlspolicy pki``."""
    monkeypatch.chdir(tmp_path)
    for words in (["new", "."], ["server", ".", "localhost"], ["client", ".", "frodo"]):
        assert call("pki", *words).status == 0
    verifier = Verifier.for_clients(trust=TrustStore.from_file("ca.pem"), policy=policies.CommonName("frodo"))
    credential = tls.Credential.from_files("localhost.pem", "localhost.key")
    with serving(tls.server_context(credential=credential, verifier=verifier)) as served:
        printed = call(
            "probe", f"localhost:{served.port}", "--allow-private", "--ca", "ca.pem", "--cert", "frodo.pem", "--key",
            "frodo.key", "--issuer-cert", "issuing.pem", "--issuer-key", "issuing.key",
        )  # fmt: skip
    guide = (Path(__file__).parents[3] / "docs" / "howto" / "probe.md").read_text(encoding="utf-8")
    shown = guide.partition("```text\n")[2].partition("```")[0]
    assert _without_numbers(printed.out) == _without_numbers(shown)


def _without_numbers(text: str) -> str:
    """Return *text* without what differs from run to run: dates, ports, the suite of this OpenSSL."""
    return re.sub(r"\b[0-9][0-9TZ:-]*|\w*AES\w*(?:-\w+)*", "0", text)
