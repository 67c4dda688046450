"""``mtlspolicy explain --ocsp``: whether a responder is reached from here, what it answers and until when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlspolicy._evidence import Need
from mtlspolicy.cli._ask import ask
from mtlspolicy.revocation import ocsp_question
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, OCSPResponder

from .conftest import Call  # noqa: TID252 - tests are no package that could be named


def written(folder: Path, leaf: IssuedCertificate) -> Path:
    """Return the file of a chain."""
    return leaf.files(folder, name="chain")[0]


def rows(call: Call, folder: Path, *flags: object) -> tuple[int, dict[str, Any]]:
    """Return exit status and the JSON for the chain in *folder*."""
    answer = call("explain", folder / "chain.pem", "--trust", folder / "ca.pem", "--json", *flags)
    return answer.status, json.loads(answer.out)


def test_a_good_answer(program: Call, tmp_path: Path, ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """Status 0; responder, answer, dates and signer are told."""
    chain = written(tmp_path, ca.issue_client("frodo"))
    answer = program("explain", chain, "--trust", tmp_path / "ca.pem", "--ocsp", responder.url, "--allow-private")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("PERMIT")
    told = answer.out.partition("\nocsp: CN=frodo\n")[2]
    assert f"responder   {responder.url}" in told
    for text in (
        "answer      good",
        "code        ocsp.good",
        "thisUpdate  20",
        "nextUpdate  20",
        "signed by   the issuer",
    ):
        assert text in told
    assert "any client of this trust" in answer.out
    assert responder.requests == 1


def test_the_responder_that_the_certificate_names(
    call: Call, tmp_path: Path, ca: CertificateAuthority, responder: OCSPResponder
) -> None:
    """Without a URL each certificate of the path is asked about where it says; a delegate is named."""
    with ca.intermediate("Issuing", ocsp_url=responder.url).ocsp_responder() as below:
        issuing = below._authority
        written(tmp_path, issuing.issue_client("frodo", ocsp_url=below.url))
        below.answer(signer="delegate")
        status, row = rows(call, tmp_path, "--allow-private", "--ocsp")
        assert (status, row["verdict"]) == (0, "PERMIT")
        assert [one["certificate"].split(",")[0] for one in row["ocsp"]] == ["CN=frodo", "CN=Issuing"]
        assert [one["responder"] for one in row["ocsp"]] == [below.url, responder.url]
        assert row["ocsp"][0]["signed by"] == "CN=OCSP responder, in the issuer's name"
        ca.revoke(issuing.certificate, reason=x509.ReasonFlags.ca_compromise)
        status, row = rows(call, tmp_path, "--allow-private", "--ocsp")
        assert (status, row["code"], row["ocsp"][1]["reason"]) == (1, "ocsp.revoked", "cACompromise")
        assert row["ocsp"][1]["revoked"].endswith("Z")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"status": "revoked"}, "ocsp.revoked"),
        ({"status": "unknown"}, "ocsp.unknown"),
        ({"status": "try-later"}, "ocsp.try-later"),
        ({"dates": "expired"}, "ocsp.expired"),
        ({"signer": "stranger"}, "ocsp.signature"),
        ({"http_status": 503}, "fetch.status"),
        ({"body": b""}, "ocsp.malformed"),
    ],
)
def test_no_usable_answer_is_status_1(
    call: Call, tmp_path: Path, ca: CertificateAuthority, options: dict[str, Any], code: str
) -> None:
    """Whatever is not GOOD gives status 1, with its own code and a sentence; the policy's word stands beside it."""
    written(tmp_path, ca.issue_client("frodo"))
    with ca.ocsp_responder() as responder:
        responder.answer(**options)
        status, row = rows(call, tmp_path, "--ocsp", responder.url, "--allow-private", "--allow-cn", "frodo")
    (told,) = row["ocsp"]
    answer = code.partition(".")[2] if code in {"ocsp.revoked", "ocsp.unknown"} else "none"
    assert (status, told["answer"], told["code"]) == (1, answer, code)
    assert ("signed by" in told) is (answer != "none")
    assert "detail" in told or answer != "none"


@pytest.mark.parametrize("named", [True, False], ids=["URL", "certificate"])
@pytest.mark.parametrize("code", ["ocsp.good", "ocsp.revoked", "crl.good", "crl.revoked"])
def test_a_delegate_that_may_be_revoked_is_asked_about_as_well(
    call: Call, tmp_path: Path, ca: CertificateAuthority, responder: OCSPResponder, code: str, *, named: bool
) -> None:
    """Its word is shown as a claim, its own status below, and the policy decides on both."""
    way, _, known = code.partition(".")
    written(tmp_path, ca.issue_client("frodo", ocsp_url=responder.url))
    delegate = responder.delegate(f"delegate-with-{way}")
    responder.answer(signer=f"delegate-with-{way}")
    responder.answer(delegate, signer="issuer")
    if known == "revoked":
        ca.revoke(delegate)
    flags = ("--ocsp", responder.url) if named else ("--ocsp",)
    status, row = rows(call, tmp_path, *flags, "--allow-private", "--allow-cn", "frodo")
    claim, *below = row["ocsp"]
    assert (claim["answer"], claim["claim"]) == ("none", "good, if its signer is not revoked")
    assert claim["code"] == "ocsp.delegate-revocation"
    assert claim["signed by"] == "CN=OCSP responder, in the issuer's name"
    (standing,) = below if way == "ocsp" else row["crl"]
    assert (way == "crl") is ("crl" in row)
    assert (standing["certificate"], standing["code"]) == ("CN=OCSP responder", code)
    assert (status, row["verdict"]) == ((0, "PERMIT") if known == "good" else (1, "INDETERMINATE"))
    assert responder.requests + responder.crl_requests == 2


def test_a_delegate_that_names_no_place_for_its_status(
    call: Call, tmp_path: Path, ca: CertificateAuthority, responder: OCSPResponder
) -> None:
    """Both ways are gone, each says why it told nothing, and the delegate does not vouch for itself."""
    written(tmp_path, ca.issue_client("frodo"))
    responder.answer(signer="delegate-without-nocheck")
    flags = ("--ocsp", responder.url, "--allow-private", "--allow-cn", "frodo")
    status, row = rows(call, tmp_path, *flags)
    assert (status, row["code"]) == (1, "ocsp.delegate-unavailable")
    told = [(one["certificate"], one["answer"], one["code"]) for one in (*row["ocsp"][1:], *row["crl"])]
    assert told == [
        ("CN=OCSP responder", "none", "ocsp.delegate-is-subject"),
        ("CN=OCSP responder", "cannot be said", "crl.no-distribution-point"),
    ]
    answer = call("explain", tmp_path / "chain.pem", "--trust", tmp_path / "ca.pem", *flags)
    for text in (
        "claim       good, if its signer is not revoked",
        "\nocsp: CN=OCSP responder\n",
        "\ncrl: CN=OCSP responder\n",
    ):
        assert text in answer.out


def test_private_addresses_and_ports_by_flag_alone(
    call: Call, tmp_path: Path, ca: CertificateAuthority, responder: OCSPResponder
) -> None:
    """A certificate can name any address: without --allow-private nothing of the inner network is connected to."""
    written(tmp_path, ca.issue_client("frodo", ocsp_url=responder.url))
    codes = []
    for url in (responder.url, None):
        flags = ["--ocsp"] if url is None else ["--ocsp", url]
        status, row = rows(call, tmp_path, *flags)
        assert (status, row["ocsp"][0]["answer"]) == (1, "none")
        assert "say --allow-private" in row["ocsp"][0]["detail"]
        codes.append(row["ocsp"][0]["code"])
    assert codes == ["fetch.address", "fetch.host"]
    assert responder.requests == 0
    answer = call("explain", tmp_path / "chain.pem", "--trust", tmp_path / "ca.pem", "--ocsp", responder.url)
    assert answer.status == 1
    assert "is not public" in answer.out


def test_a_certificate_that_names_none(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """Without a URL, and without one in the certificate, nobody is asked; what to say is told."""
    written(tmp_path, ca.issue_client("frodo"))
    status, row = rows(call, tmp_path, "--ocsp")
    assert (status, row["ocsp"][0]["code"]) == (1, "ocsp.no-responder")
    assert "say --ocsp URL" in row["ocsp"][0]["detail"]


def test_a_certificate_whose_responders_cannot_be_read(ca: CertificateAuthority) -> None:
    """An authorityInfoAccess that cannot be read names nobody; needs of other kinds are left alone."""
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.1"), b"\x05\x00")
    question = ocsp_question(ca.issue_client("frodo", extensions=[broken]).der, ca.der)
    (asked,) = ask([Need("acme.row", "frodo"), question.need], allow_private=False)
    assert (asked.question, asked.answer.code) == (question, "ocsp.no-responder")


def test_the_second_responder_is_asked_where_the_first_says_nothing(
    call: Call, tmp_path: Path, ca: CertificateAuthority, responder: OCSPResponder
) -> None:
    """A certificate may name several; the first answer counts, and URLs that cannot be fetched are passed over."""
    places = ["http://127.0.0.1:1/ocsp", "http://127.0.0.1:99999/", responder.url, "http://127.0.0.1:2/ocsp"]
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(one))
            for one in places
        ]
    )
    written(tmp_path, ca.issue_client("frodo", extensions=[access]))
    status, row = rows(call, tmp_path, "--ocsp", "--allow-private")
    assert (status, row["ocsp"][0]["responder"], responder.requests) == (0, responder.url, 1)


def test_a_server(call: Call, tmp_path: Path, ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """With --server the peer is a server; one of another name is refused, and nobody is asked."""
    written(tmp_path, ca.issue_server("localhost"))
    flags = ("--ocsp", responder.url, "--allow-private", "--server")
    status, row = rows(call, tmp_path, *flags, "localhost")
    assert (status, row["ocsp"][0]["answer"]) == (0, "good")
    assert rows(call, tmp_path, *flags, "localhost", "--allow-cn", "other")[0] == 1
    status, row = rows(call, tmp_path, *flags, "elsewhere.example")
    assert (status, row["ocsp"]) == (1, [])


@pytest.mark.parametrize(
    "text",
    [b"no certificate", b"\x30" * 20_000, b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", None],
)
def test_a_chain_that_is_not_valid(call: Call, tmp_path: Path, responder: OCSPResponder, text: bytes | None) -> None:
    """Nobody is asked about a certificate that nobody issued, and that is said."""
    written(tmp_path, CertificateAuthority("Stranger").issue_client("frodo"))
    if text is not None:
        (tmp_path / "chain.pem").write_bytes(text)
    flags = ("--trust", tmp_path / "ca.pem", "--ocsp", responder.url, "--allow-private")
    answer = call("explain", tmp_path / "chain.pem", *flags)
    assert answer.status == 1
    assert "ocsp: nobody was asked: the path is not valid" in answer.out
    assert responder.requests == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--allow-private"], "say --ocsp as well"),
        (["--ocsp", "--at", "2026-01-01T00:00:00Z"], "leave --at out"),
        (["--ocsp", "ftp://ocsp.example.com/"], "give an http or https URL"),
        (["--ocsp", "ca.pem"], "--ocsp 'ca.pem' is no URL: give the responder's, such as http://ocsp.example.com/"),
        (["--ocsp", "ca.pem"], "a revocation list goes to --crl FILE"),
        (["--ocsp", "--crl"], "say one of them"),
        (["--crl", "crl.pem", "--allow-private"], "say --ocsp as well, or --crl URL"),
        (["--crl", "http://h/", "--at", "2026-01-01T00:00:00Z"], "--crl fetches lists of now"),
        (["--crl", "--at", "2026-01-01T00:00:00Z"], "--crl fetches lists of now"),
        (["--crl", "none.pem"], "'none.pem' cannot be read"),
    ],
)
def test_wrong_usage_is_status_2(
    call: Call, tmp_path: Path, ca: CertificateAuthority, flags: list[str], told: str
) -> None:
    """What cannot be meant is said before anything is asked."""
    written(tmp_path, ca.issue_client("frodo"))
    answer = call("explain", tmp_path / "chain.pem", "--trust", tmp_path / "ca.pem", *flags)
    assert answer.status == 2
    assert told in " ".join(answer.err.split())


def test_a_url_with_a_port_that_is_none(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """A port out of range is refused where the URL is judged."""
    written(tmp_path, ca.issue_client("frodo"))
    status, row = rows(call, tmp_path, "--ocsp", "http://127.0.0.1:99999/", "--allow-private")
    assert (status, row["ocsp"][0]["code"]) == (1, "fetch.host")
