"""``mtlspolicy explain --crl``: what a list says of itself, whether it is fresh, and who is on it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy.cli._ask_crl import Lists
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, OCSPResponder
from mtlspolicy.testing import _der_writer as der
from tests.revocation.made import AT, HOUR
from tests.revocation.made_crls import DELTA, HERE, NUMBER, MadeCRL, flag, full_name, scope, uri

from .conftest import Call  # noqa: TID252 - tests are no package that could be named


def written(folder: Path, ca: CertificateAuthority, leaf: IssuedCertificate, **dates: datetime) -> Path:
    """Write the chain of *leaf*, and the list of *ca*, whose file is returned."""
    leaf.files(folder, name="chain")
    (folder / "crl.pem").write_bytes(ca.crl(**dates).public_bytes(Encoding.PEM))
    return folder / "crl.pem"


def rows(call: Call, folder: Path, *flags: object) -> tuple[int, dict[str, Any]]:
    """Return exit status and the JSON for the chain in *folder*."""
    answer = call("explain", folder / "chain.pem", "--trust", folder / "ca.pem", "--json", *flags)
    return answer.status, json.loads(answer.out)


def test_who_is_not_on_the_list(program: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """Status 0; what the list says of itself is told, and that the certificate is not on it."""
    crl = written(tmp_path, ca, ca.issue_client("frodo"))
    answer = program("explain", tmp_path / "chain.pem", "--trust", tmp_path / "ca.pem", "--crl", crl)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("PERMIT")
    listed, _, looked_for = answer.out.partition(f"\nlist: {crl}\n")[2].partition("\ncrl: CN=frodo\n")
    for text in (
        "issuer      CN=Root",
        "number      1",
        "thisUpdate  20",
        "nextUpdate  20",
        "fresh       yes",
        "entries     0",
        "scope       all certificates of its issuer",
    ):
        assert text in listed
    assert looked_for.split() == ["answer", "not", "on", "the", "list", "code", "crl.good"]


def test_who_is_on_the_list(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """Status 1, with date and reason."""
    frodo = ca.issue_client("frodo")
    ca.revoke(frodo, reason=x509.ReasonFlags.key_compromise)
    status, row = rows(call, tmp_path, "--allow-cn", "frodo", "--crl", written(tmp_path, ca, frodo))
    assert (status, row["code"], row["list"][0]["entries"]) == (1, "crl.revoked", "1")
    assert (row["crl"][0]["answer"], row["crl"][0]["reason"]) == ("on the list", "keyCompromise")
    assert row["crl"][0]["revoked"].endswith("Z")


def test_a_list_that_lapsed(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """It says nothing good of anybody; at a time when it was fresh it did."""
    at = datetime.now(UTC) - timedelta(minutes=50)
    crl = written(tmp_path, ca, ca.issue_client("frodo"), this_update=at, next_update=at + timedelta(minutes=30))
    status, row = rows(call, tmp_path, "--crl", crl)
    assert (status, row["crl"][0]["code"]) == (1, "crl.expired")
    assert row["list"][0]["fresh"].startswith("no: nextUpdate is over")
    status, row = rows(call, tmp_path, "--crl", crl, "--at", (at + timedelta(minutes=20)).isoformat())
    assert (row["list"][0]["fresh"], row["crl"][0]["code"]) == ("yes", "crl.good")


def test_a_list_of_another_ca(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """What somebody else signed says nothing, and the codes say whose fault it is."""
    frodo = ca.issue_client("frodo")
    status, row = rows(call, tmp_path, "--crl", written(tmp_path, CertificateAuthority("Other"), frodo))
    assert (status, row["crl"][0]["code"], row["list"][0]["issuer"]) == (
        1,
        "crl.absent",
        "CN=Other,O=mtlspolicy TEST CA",
    )
    status, row = rows(call, tmp_path, "--crl", written(tmp_path, CertificateAuthority("Root"), frodo))
    assert (status, row["crl"][0]["code"], row["crl"][0]["answer"]) == (1, "crl.signature", "cannot be said")


def test_a_list_by_url(call: Call, tmp_path: Path, ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """One that is named is fetched once; without a URL those that the certificates name are."""
    issuing = ca.intermediate("Issuing", crl_url=responder.crl_url)
    with issuing.ocsp_responder() as below:
        issuing.issue_client("frodo", crl_url=below.crl_url).files(tmp_path, name="chain")
        status, row = rows(call, tmp_path, "--crl", below.crl_url, "--allow-private")
        assert (status, [one["certificate"] for one in row["crl"]]) == (0, ["CN=frodo"])
        assert (below.crl_requests, responder.crl_requests) == (1, 0)
        status, row = rows(call, tmp_path, "--crl", "--allow-private")
        assert (status, [one["list"] for one in row["list"]]) == (0, [below.crl_url, responder.crl_url])
        assert [one["certificate"].split(",")[0] for one in row["crl"]] == ["CN=frodo", "CN=Issuing"]
        status, row = rows(call, tmp_path, "--crl")
        assert (status, row["crl"][0]["code"]) == (1, "fetch.host")
        assert row["list"][0]["detail"].endswith("say --allow-private")
        below.answer_crl(body=b"rubbish")
        status, row = rows(call, tmp_path, "--crl", below.crl_url, "--allow-private")
        assert (status, row["list"][0]["code"]) == (1, "crl.malformed")
        below.answer_crl(http_status=404)
        status, row = rows(call, tmp_path, "--crl", below.crl_url, "--allow-private")
        assert (status, row["list"][0]["code"], "allow-private" in row["list"][0]["detail"]) == (
            1,
            "fetch.status",
            False,
        )


def test_a_certificate_that_names_no_list(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """It is said what to name, and where a pointer cannot be read, that."""
    ca.issue_client("frodo").files(tmp_path, name="chain")
    answer = call("explain", tmp_path / "chain.pem", "--trust", tmp_path / "ca.pem", "--crl")
    assert "list: none: the path is not valid, or nothing in it names one" in answer.out
    assert "say --crl FILE or --crl URL" in " ".join(answer.out.split())
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.31"), b"\x04\x00")
    ca.issue_client("frodo", extensions=[odd]).files(tmp_path, name="chain")
    status, row = rows(call, tmp_path, "--crl")
    assert (status, row["verdict"]) == (1, "INDETERMINATE")


def test_a_path_that_is_not_valid(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """The list is told of all the same; nobody is looked for on it."""
    crl = written(tmp_path, ca, CertificateAuthority("Stranger").issue_client("frodo"))
    answer = call("explain", tmp_path / "chain.pem", "--trust", tmp_path / "ca.pem", "--crl", crl)
    assert answer.status == 1
    assert "fresh       yes" in answer.out
    assert "crl: nothing was looked for: the path is not valid" in answer.out


def test_a_list_at_a_server(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """Of a server's chain the same is asked."""
    server = ca.issue_server("localhost")
    ca.revoke(server)
    status, row = rows(call, tmp_path, "--server", "localhost", "--crl", written(tmp_path, ca, server))
    assert (status, row["code"]) == (1, "crl.revoked")


def test_a_list_that_is_not_there(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """A file that cannot be read is said to be so before trust is asked for, which the list needs as well."""
    written(tmp_path, ca, ca.issue_client("frodo"))
    words = ("explain", tmp_path / "chain.pem", "--crl", tmp_path / "none.pem")
    for more in ((), ("--trust", tmp_path / "ca.pem")):
        answer = call(*words, *more)
        assert (answer.status, answer.out) == (2, "")
        assert "none.pem' cannot be read: No such file" in answer.err
    assert "no trust: give --trust FILE" in call("explain", tmp_path / "chain.pem", "--crl", tmp_path / "crl.pem").err


def test_a_file_that_is_no_list(call: Call, tmp_path: Path, ca: CertificateAuthority) -> None:
    """A certificate, rubbish and an empty file in the place of a list are refused with what belongs there."""
    written(tmp_path, ca, ca.issue_client("frodo"))
    for content, told in (
        (ca.pem, "give the CA's list, PEM or DER"),
        (b"rubbish", "is no revocation list"),
        (b"\n", "is empty: give a revocation list, PEM or DER"),
    ):
        (tmp_path / "odd").write_bytes(content)
        answer = call("explain", tmp_path / "chain.pem", "--trust", tmp_path / "ca.pem", "--crl", tmp_path / "odd")
        assert (answer.status, told in " ".join(answer.err.split())) == (2, True)


BAD_NAME = der.sequence(der.tlv(0x31, der.sequence(der.tlv(0x0C, b"x"))))


@pytest.mark.parametrize(
    ("made", "field", "told"),
    [
        (MadeCRL(this_update=AT + HOUR, next_update=AT + 2 * HOUR), "fresh", "no: it is of a time to come"),
        (MadeCRL(next_update=None), "fresh", "no: it does not say until when"),
        (MadeCRL(next_update=None), "nextUpdate", "none"),
        (MadeCRL(this_update=AT - timedelta(days=11)), "fresh", "no: older than 10 days"),
        (MadeCRL(extensions=()), "number", "none"),
        (MadeCRL(entries=[der.sequence(b"\x05\x00")]), "entries", "cannot be read"),
        (MadeCRL(issuer=BAD_NAME), "issuer", "cannot be read"),
        (MadeCRL(extensions=(NUMBER, DELTA)), "scope", "changes only (a delta CRL)"),
        (MadeCRL(extensions=(NUMBER, scope(flag(1)))), "scope", "certificates that are no CA's"),
        (
            MadeCRL(extensions=(NUMBER, scope(full_name(uri(HERE)), flag(2)))),
            "scope",
            "certificates of CAs, one distribution point",
        ),
        (MadeCRL(extensions=(NUMBER, scope(flag(4)))), "scope", "certificates of several issuers"),
    ],
)
def test_what_a_list_says_of_itself(tmp_path: Path, made: MadeCRL, field: str, told: str) -> None:
    """Dates, number, entries and scope, also of lists that no rule accepts, in words that any terminal can show."""
    (tmp_path / "one.crl").write_bytes(made.encoded())
    (row,) = Lists(str(tmp_path / "one.crl"), allow_private=False).rows(AT)
    assert row[field].startswith(told)
    assert all(text.isprintable() for text in row.values())
