"""SerialNumbers and Blocked (RULES 26): issuer and serial number together, and the base of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._evidence import Evidence
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, broken, evidence

CA = CertificateAuthority("Issuing CA")
RENEWED = CertificateAuthority("Issuing CA", key=CA.key)
RENAMED = CertificateAuthority("Issuing CA G2", key=CA.key)
REKEYED = CertificateAuthority("Issuing CA")
STRANGER = CertificateAuthority("Other CA")
LISTED = policies.SerialNumbers(issuer=CA.certificate, serials={0x51})
BLOCKED = policies.Blocked(CA.certificate, {0x51})


def told(policy: Policy, presented: Evidence) -> tuple[str, str]:
    """Return verdict and code."""
    decision = decide(policy, presented)
    return decision.verdict.name, decision.code


@pytest.mark.parametrize(
    ("issuer", "serial", "wanted"),
    [
        (CA, 0x51, ("PERMIT", "serial.match")),
        (CA, 0x52, ("DENY", "serial.mismatch")),
        (CA, 51, ("DENY", "serial.mismatch")),
        (RENEWED, 0x51, ("PERMIT", "serial.match")),
        (RENAMED, 0x51, ("PERMIT", "serial.match")),
        (REKEYED, 0x51, ("INDETERMINATE", "serial.other-key")),
        (REKEYED, 0x52, ("DENY", "serial.mismatch")),
        (STRANGER, 0x51, ("DENY", "serial.mismatch")),
    ],
)
def test_issuer_and_serial_number_match_together(
    issuer: CertificateAuthority, serial: int, wanted: tuple[str, str]
) -> None:
    """The issuer is compared by key; its name with another key is a doubt, also under ``~``."""
    presented = evidence("a", issuer=issuer, serial=serial)
    assert told(LISTED, presented) == wanted
    assert (told(~LISTED, presented)[0] == "PERMIT") is (wanted[0] == "DENY")


@pytest.mark.parametrize(
    ("issuer", "serial", "denied"),
    [
        (CA, 0x51, True),
        (RENEWED, 0x51, True),
        (RENAMED, 0x51, True),
        (REKEYED, 0x51, True),
        (STRANGER, 0x51, False),
        (CA, 0x52, False),
        (REKEYED, 0x52, False),
    ],
)
def test_for_a_denial_name_or_key_of_the_issuer_is_enough(
    issuer: CertificateAuthority, serial: int, *, denied: bool
) -> None:
    """A re-issued, cross-signed or re-keyed CA does not get a blocked certificate past the list."""
    wanted = ("DENY", "serial.blocked") if denied else ("PERMIT", "serial.not-blocked")
    assert told(BLOCKED, evidence("a", issuer=issuer, serial=serial)) == wanted


def test_a_re_encoded_issuer_is_the_same_issuer() -> None:
    """The issuer's key is compared by its numbers, so that a compressed point changes nothing."""
    twin = ParsedCertificate(broken("compressed-point", CA).der)
    leaf = evidence("a", issuer=CA, serial=0x51).path.end_entity.der
    listed = policies.SerialNumbers._holding(
        frozenset({0x51}), issuer_key=twin.key_sha256, issuer_name=ParsedCertificate(STRANGER.der).subject
    )
    assert told(listed, evidence(certificate=[leaf, twin.der])) == ("PERMIT", "serial.match")


def test_a_blocked_ca_blocks_what_it_issued() -> None:
    """Every certificate below the anchor is looked up, the anchor is not."""
    below = CA.intermediate("Below", serial=0x51)
    assert told(BLOCKED, evidence("a", issuer=below)) == ("DENY", "serial.blocked")
    assert told(LISTED, evidence("a", issuer=below)) == ("DENY", "serial.mismatch")
    anchor = CertificateAuthority("Root", serial=0x51)
    assert told(policies.Blocked(anchor.certificate, [0x51]), evidence("a", issuer=anchor))[0] == "PERMIT"


def test_a_registered_peer_has_the_name_of_its_issuer_alone() -> None:
    """Without an issuer in the path its name is still enough for a denial, and a doubt for a match."""
    for issuer, of_list, of_block in ((CA, "INDETERMINATE", "DENY"), (STRANGER, "DENY", "PERMIT")):
        alone = evidence(certificate=evidence("a", issuer=issuer, serial=0x51).path.end_entity.der)
        assert told(LISTED, alone)[0] == of_list
        assert told(BLOCKED, alone)[0] == of_block


@pytest.mark.parametrize("name", ["zero-serial", "negative-serial", "serial-21-octets"])
def test_a_serial_number_out_of_range_is_a_doubt(name: str) -> None:
    """What no certificate may have is neither on a list nor off it."""
    presented = evidence(certificate=broken(name, CA))
    for policy in (LISTED, ~LISTED, BLOCKED, ~BLOCKED):
        assert told(policy, presented) == ("INDETERMINATE", "serial.out-of-range")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0x51", 0x51),
        ("0X51", 0x51),
        ("serial=51", 0x51),
        ("SERIAL=0a1B", 0xA1B),
        ("0a:1b", 0xA1B),
        ("00:9F:00", 0x9F00),
        ("0x" + "7f" * 20, int("7f" * 20, 16)),
    ],
)
def test_text_is_hex_with_a_mark(text: str, number: int) -> None:
    """``0x``, ``serial=`` and colons mark hex; every way in reads them alike."""
    assert policies.SerialNumbers(CA.certificate, [text]).entries == frozenset({number})
    assert policies.Blocked.parse(text, issuer=CA.der) == policies.Blocked(CA.pem, [number])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("51", "write 0x51 if it is hex, as openssl prints it, or 0x33 if it is decimal"),
        ("5A", "write 0x5a if it is hex, as openssl prints it$"),
        ("-0x52", "write it in hex"),
        ("0x", "write it in hex"),
        ("0x5_1", "write it in hex"),
        ("0x-51", "write it in hex"),
        ("a:1b", "write it in hex"),
        ("0a:1", "write it in hex"),
        ("serial=", "write it in hex"),
        ("81 (0x51)", "write it in hex"),
        ("\N{ARABIC-INDIC DIGIT FIVE}", "write it in hex"),
        ("0x0", "positive and have 20 octets"),
        ("0x80" + "00" * 19, "positive and have 20 octets"),
        ("0x01" + "00" * 20, "positive and have 20 octets"),
        (0, "positive and have 20 octets"),
        (-0x52, "-0x52: they are positive"),
        (2**159, "positive and have 20 octets"),
        (True, "not bool"),
        (None, "not NoneType"),
        (5.0, "not float"),
    ],
)
def test_what_is_no_serial_number_is_refused(value: Any, message: str) -> None:
    """Text without a mark is refused with both readings, and so is what no certificate has."""
    for kind in (policies.SerialNumbers, policies.Blocked):
        with pytest.raises(ConfigurationError, match=message):
            kind(CA.certificate, [0x51, value])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: policies.Blocked(CA.certificate, ()), "Blocked without an entry"),
        (lambda: policies.Blocked(CA.certificate, 0x51), "give several, as in serials={0x51}"),  # type: ignore[arg-type]
        (lambda: policies.Blocked(CA.certificate, "0x51"), "give several"),
        (lambda: policies.Blocked(CA.pem * 2, [1]), "takes one certificate; there are 2"),
        (lambda: policies.Blocked(CA.issue_client("x").certificate, [1]), "issuer=...*is not a CA certificate"),
        (lambda: policies.SerialNumbers("ca.pem", [1]), "takes a certificate"),  # type: ignore[arg-type]
        (lambda: policies.SerialNumbers.of(issuer=CA.certificate), "without an entry"),
        (
            lambda: policies.SerialNumbers.of(STRANGER.issue_client("x").der, issuer=CA.der),
            "Other CA.* issued CN=x.*, not CN=Iss",
        ),
        (lambda: policies.Blocked.of(broken("zero-serial", CA).der, issuer=CA.der), "0x0: they are positive"),
    ],
)
def test_what_is_no_list_is_refused(build: Any, message: str) -> None:
    """An empty list, one number alone, several issuers and certificates of another issuer are refused."""
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_every_way_in_makes_the_same_policy(tmp_path: Path) -> None:
    """Numbers, text, certificates, files and lists are one value."""
    leaf = CA.issue_client("x", serial=0x51)
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
    (tmp_path / "list").write_text("# stolen\n0x51 # of x\nserial=51\n", "utf-8")
    for kind in (policies.SerialNumbers, policies.Blocked):
        forms: list[object] = [
            kind(issuer=CA.certificate, serials={0x51}),
            kind(CA.der, (n for n in ["0x51"])),
            kind(ParsedCertificate(CA.der), [0x51, "serial=51"]),
            kind.parse("0x51", issuer=CA.pem),
            kind.of(leaf.certificate, issuer=CA.certificate),
            kind.from_file(tmp_path / "leaf.pem", issuer=CA.certificate),
            kind.from_list_file(tmp_path / "list", issuer=CA.certificate),
            kind(RENEWED.certificate, [0x51]),
        ]
        assert len(set(forms)) == 1
        assert forms[0] != kind(REKEYED.certificate, [0x51])
        assert repr(forms[0]) == f"{kind.__name__}(CN=Issuing CA,O=mtlspolicy TEST CA, 0x51)"
    kinds: set[Policy] = {LISTED, BLOCKED}
    assert len(kinds) == 2


def test_a_bare_number_in_a_list_file_names_its_line(tmp_path: Path) -> None:
    """One bad entry refuses the whole list."""
    (tmp_path / "list").write_text("0x51\n52\n", "utf-8")
    with pytest.raises(ConfigurationError, match=r"list'?, line 2: serial number '52' has no mark"):
        policies.Blocked.from_list_file(tmp_path / "list", issuer=CA.certificate)


def test_live_serial_numbers() -> None:
    """A source returns numbers, or a policy of the same issuer; an empty list blocks nobody and so is a doubt."""
    current: list[Any] = [[0x51]]
    policy = policies.Blocked(CA.certificate, lambda: current[0])
    presented = evidence("a", issuer=CA, serial=0x51)
    assert told(policy, presented) == ("DENY", "serial.blocked")
    for value, verdict in (
        ({0x52}, "PERMIT"),
        (BLOCKED, "DENY"),
        (policies.Blocked(STRANGER.certificate, [0x51]), "INDETERMINATE"),
        (LISTED, "INDETERMINATE"),
        ((), "INDETERMINATE"),
        (None, "INDETERMINATE"),
        (["51"], "INDETERMINATE"),
    ):
        current[0] = value
        assert told(policy, presented)[0] == verdict


def test_what_identifies() -> None:
    """Issuer and serial number name one certificate; a deny list names nobody."""
    assert LISTED.identifies
    assert not BLOCKED.identifies
