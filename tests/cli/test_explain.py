"""``mtlspolicy explain``: flags become trust and policy, the answer is the library's, with the remedy and a status."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtlspolicy import policies
from mtlspolicy.testing import BROKEN, CertificateAuthority, broken

from .conftest import Call, require_printable  # noqa: TID252 - tests are no package that could be named


def test_permit_is_status_0(program: Call, frodo: Path, trust: Path) -> None:
    """A permitted chain is status 0 and shows the path and the clause that admitted it."""
    answer = program("explain", frodo, "--trust", trust, "--allow-cn", "frodo")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("PERMIT  name.match")
    assert "path: CN=frodo < CN=Issuing CA" in answer.out
    assert "+ CommonName('frodo')" in answer.out
    assert "remedy" not in answer.out


def test_refusal_is_status_1_with_the_remedy(call: Call, frodo: Path, trust: Path) -> None:
    """A refused chain is status 1 and says what was expected, what was presented and what to do."""
    answer = call("explain", frodo, "--trust", trust, "--allow-cn", "sam")
    assert answer.status == 1
    assert "expected 'sam', presented 'frodo'" in answer.out
    assert "remedy: if this is the peer that is meant, allow the name that it presents" in answer.out
    assert max(map(len, answer.out.partition("remedy: ")[2].splitlines())) <= 100


def test_json_is_the_tree(call: Call, frodo: Path, trust: Path) -> None:
    """``--json`` prints the decision's own dictionary, with the same status."""
    answer = call("explain", frodo, "--trust", trust, "--allow-cn", "sam", "--json")
    row = json.loads(answer.out)
    assert answer.status == 1
    assert (row["verdict"], row["code"], row["profile"]) == ("DENY", "name.mismatch", "PRIVATE_PKI")


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        (["--allow-dns", "frodo.test"], 0),
        (["--allow-uri", "spiffe://example.test/frodo"], 0),
        (["--allow-cn", "sam", "--allow-cn", "frodo"], 0),
        (["--allow-cn", "sam", "--allow-dns", "frodo.test"], 0),
        (["--allow-cn", "sam", "--allow-dns", "sam.test", "--allow-uri", "spiffe://example.test/sam"], 1),
    ],
)
def test_names_are_alternatives(call: Call, frodo: Path, trust: Path, flags: list[str], status: int) -> None:
    """Names that are allowed are alternatives, of one kind and of several."""
    assert call("explain", frodo, "--trust", trust, *flags).status == status


def test_pin_and_issuer_come_on_top(
    call: Call, frodo: Path, trust: Path, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """A pin and an issuer must hold besides the names; several issuers are alternatives."""
    issuing, other = tmp_path / "issuing.pem", tmp_path / "other.pem"
    issuing.write_bytes(authority.pem)
    other.write_bytes(CertificateAuthority("Other").pem)
    right = json.loads(call("inspect", frodo, "--json").out)[0]["certificates"][0]["pins"]["spki"]
    wrong = "sha256/" + "A" * 43 + "="
    base = ("explain", frodo, "--trust", trust)
    assert call(*base, "--allow-cn", "frodo", "--pin", right, "--issuer", issuing).status == 0
    assert call(*base, "--pin", wrong, "--pin", right).status == 0
    assert call(*base, "--issuer", other, "--issuer", issuing).status == 0
    assert "pin.mismatch" in call(*base, "--allow-cn", "frodo", "--pin", wrong).out
    answer = call(*base, "--allow-cn", "frodo", "--issuer", other)
    assert answer.status == 1
    assert "issuer.not-pinned" in answer.out
    assert "remedy: if this issuing CA is meant as well" in answer.out


def test_without_a_policy_any_client_is_asked_for(call: Call, frodo: Path, trust: Path) -> None:
    """Without a policy the question is whether any client of the trust would do, and the answer says so."""
    answer = call("explain", frodo, "--trust", trust)
    assert answer.status == 0
    assert "note: no --allow-..., --pin or --issuer was given" in answer.out


def test_a_server(call: Call, trust: Path, authority: CertificateAuthority, tmp_path: Path) -> None:
    """With ``--server`` the peer is a server of that name, and a policy may ask for more."""
    chain, _ = authority.issue_server("api.test").files(tmp_path, name="api")
    base = ("explain", chain, "--trust", trust)
    assert call(*base, "--server", "api.test").status == 0
    assert call(*base, "--server", "api.test", "--allow-dns", "api.test").status == 0
    assert call(*base, "--server", "api.test", "--allow-dns", "other.test").status == 1
    answer = call(*base, "--server", "other.test")
    assert answer.status == 1
    assert "remedy: connect by a name that is in the certificate" in answer.out
    assert "note: no --allow" not in answer.out


def test_a_server_is_no_client(call: Call, trust: Path, authority: CertificateAuthority, tmp_path: Path) -> None:
    """A certificate for servers is refused in the place of a client's, and the sentence itself is the remedy."""
    chain, _ = authority.issue_server("api.test").files(tmp_path, name="api")
    answer = call("explain", chain, "--trust", trust, "--allow-cn", "api.test")
    assert answer.status == 1
    assert "path.extended-key-usage" in answer.out
    assert "lacks clientAuth" in answer.out
    assert "remedy:" not in answer.out


def test_the_time(call: Call, frodo: Path, trust: Path) -> None:
    """``--at`` decides at another time."""
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat(timespec="seconds")
    answer = call("explain", frodo, "--trust", trust, "--allow-cn", "frodo", "--at", later)
    assert answer.status == 1
    assert "path.expired" in answer.out


def test_profiles(call: Call, authority: CertificateAuthority, trust: Path, tmp_path: Path) -> None:
    """The profile is the one that the flag names: v1 is for ``direct`` alone."""
    chain, _ = broken("v1", authority).files(tmp_path, name="v1")
    issuing = tmp_path / "issuing.pem"
    issuing.write_bytes(authority.pem)
    assert "path.version" in call("explain", chain, "--trust", trust, "--allow-cn", "client").out
    direct = ("explain", chain, "--trust", issuing, "--anchors", "all", "--allow-cn", "client", "--profile", "direct")
    assert call(*direct).status == 0
    assert "(WEBPKI)" in call("explain", chain, "--trust", trust, "--allow-cn", "client", "--profile", "webpki").out


def test_a_registered_peer(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """A self-signed certificate that is registered is admitted by ``--peer`` under ``direct``."""
    chain, _ = broken("self-signed", authority).files(tmp_path, name="self")
    assert call("explain", chain, "--peer", chain, "--profile", "direct", "--allow-cn", "client").status == 0
    answer = call("explain", chain, "--peer", chain, "--allow-cn", "client")
    assert answer.status == 2
    assert "PathProfile.DIRECT" in answer.err


def test_public_trust(call: Call, frodo: Path, trust: Path) -> None:
    """Public CAs can be trusted besides a file, and then a policy that identifies is needed."""
    assert call("explain", frodo, "--public", "--trust", trust, "--allow-cn", "frodo").status == 0
    answer = call("explain", frodo, "--public")
    assert answer.status == 2
    assert "Anyone()" in answer.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "no trust"),
        (["--trust", "/absent.pem"], "/absent.pem"),
        (["--public", "--pin", "sha256/abc"], "sha256/abc"),
        (["--public", "--server", "a..b"], "a..b"),
        (["--public", "--allow-cn", ""], "CommonName"),
        (["--public", "--issuer", "/absent.pem"], "/absent.pem"),
        (["--public", "--allow-cn", "frodo", "--at", "now"], "no ISO 8601 time"),
    ],
)
def test_wrong_flags_are_status_2(call: Call, frodo: Path, flags: list[str], said: str) -> None:
    """A flag that cannot be right is an error that names its value, before anything is decided."""
    answer = call("explain", frodo, *flags)
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err


def test_an_unreadable_chain_is_status_2_and_a_malformed_one_1(call: Call, trust: Path, tmp_path: Path) -> None:
    """A file that is not there is our error; bytes that are no certificate are a peer's, and refused."""
    base = ("--trust", trust, "--allow-cn", "frodo")
    assert call("explain", tmp_path / "absent", *base).status == 2
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x30\x03abc")
    answer = call("explain", junk, *base)
    assert answer.status == 1
    assert "chain.malformed" in answer.out
    assert "remedy: give the certificates alone" in answer.out


@pytest.mark.parametrize("name", BROKEN)
def test_nothing_hostile_leaves(
    call: Call, authority: CertificateAuthority, trust: Path, tmp_path: Path, name: str
) -> None:
    """Of every broken certificate the explanation is printable, as text and as JSON, and never a traceback."""
    path = tmp_path / "broken.pem"
    path.write_bytes(broken(name, authority).chain_pem)
    for flags in ((), ("--json",)):
        answer = call("explain", path, "--trust", trust, "--allow-cn", "client", *flags)
        assert answer.status in (0, 1)
        require_printable(answer.out + answer.err)


def test_standard_input(program: Call, frodo: Path, trust: Path) -> None:
    """``-`` reads the chain from standard input."""
    assert program("explain", "-", "--trust", trust, "--allow-cn", "frodo", stdin=frodo.read_bytes()).status == 0


def test_it_is_the_library_that_answers(call: Call, frodo: Path, trust: Path) -> None:
    """The tree is that of the same policy value, built in Python."""
    shown = call("explain", frodo, "--trust", trust, "--allow-cn", "frodo", "--allow-dns", "x.test").out
    for clause in (policies.CommonName("frodo"), policies.DNSName("x.test")):
        assert repr(clause) in shown
