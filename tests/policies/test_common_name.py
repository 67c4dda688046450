"""CommonName: one common name, exactly or by a pattern; doubts admit nobody, under ``~`` neither."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies import CommonName
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade, relative_name

ROOT = CertificateAuthority()
AT = datetime(2026, 1, 1, tzinfo=UTC)
PERMIT, DENY, DOUBT = Verdict.PERMIT, Verdict.DENY, Verdict.INDETERMINATE


def evidence_of(issued: IssuedCertificate) -> Evidence:
    """Return evidence of the path that *issued* presents, without validating it."""
    ders = (issued.der, *issued.issuers_der, issued.root_der)
    return Evidence(CertificationPath(tuple(map(ParsedCertificate, ders)), "PRIVATE_PKI"), at=AT)


def asked(policy: Policy, issued: IssuedCertificate) -> Decision:
    """Return the decision of *policy*, after making sure that ``~`` answers the opposite and a doubt stays one."""
    decision = decide(policy, evidence_of(issued))
    opposite = {PERMIT: DENY, DENY: PERMIT, DOUBT: DOUBT}[decision.verdict]
    assert decide(~policy, evidence_of(issued)).verdict is opposite
    return decision


def constrained(*names: x509.GeneralName) -> CertificateAuthority:
    """Return an issuing CA that is permitted *names* alone."""
    return ROOT.intermediate(name_constraints=x509.NameConstraints(names, None))


@pytest.mark.parametrize(
    ("name", "verdict", "code"),
    [("frodo", PERMIT, "name.match"), ("sam", PERMIT, "name.match"), ("gollum", DENY, "name.mismatch")],
)
def test_one_of_the_names(name: str, verdict: Verdict, code: str) -> None:
    """The one common name is one of those expected, or it is not."""
    decision = asked(CommonName("frodo", "sam"), ROOT.issue_client(name))
    assert (decision.verdict, decision.code) == (verdict, code)
    assert f"'{name}'" in decision.detail


@pytest.mark.parametrize(
    "name", ["Frodo", "FRODO", "frod\u03bf", "fro\u200bdo", "\ufb00rodo", "frodo.", "xfrodo", "frodox"]
)
def test_unicode_confusables_and_case_do_not_match(name: str) -> None:
    """A common name is compared code point by code point."""
    assert asked(CommonName("frodo"), ROOT.issue_client(name)).verdict is DENY


@pytest.mark.parametrize(
    ("defect", "code"),
    [
        ("two-common-names", "name.ambiguous"),
        ("nameless", "name.absent"),
        ("t61-string-cn", "name.unreadable"),
        ("invalid-utf8-cn", "name.unreadable"),
        ("duplicate-extension", "name.unreadable"),
    ],
)
def test_no_one_readable_common_name_is_a_doubt(defect: str, code: str) -> None:
    """Several, none, or one that cannot be read: INDETERMINATE, also under ``~``."""
    for policy in (CommonName("client"), CommonName("nobody"), CommonName.matching("[a-z]{6}")):
        decision = asked(policy, broken(defect, ROOT))
        assert (decision.verdict, decision.code) == (DOUBT, code)


@pytest.mark.parametrize("defect", ["comma-in-cn", "nul-in-cn", "multi-valued-rdn"])
def test_cn_is_never_read_out_of_a_printed_name(defect: str) -> None:
    """An escaped comma, a NUL, another attribute in the same RDN: none makes another common name."""
    assert asked(CommonName("admin"), broken(defect, ROOT)).verdict is DENY
    assert asked(CommonName.matching("admin|[.]evil[.]test"), broken(defect, ROOT)).verdict is DENY


def test_the_name_in_another_attribute_does_not_count() -> None:
    """An O or OU of that value is no common name."""
    issued = ROOT.issue_client("x", organization="frodo", attributes={"OU": "frodo"})
    assert asked(CommonName("frodo"), issued).verdict is DENY


@pytest.mark.parametrize(
    ("name", "verdict", "code"),
    [
        ("0123456789ABCDEF", PERMIT, "name.match"),
        ("0123456789ABCDEF0", DENY, "name.mismatch"),
        ("\u0661" * 16, DENY, "name.mismatch"),
    ],
)
def test_matching_is_a_full_ascii_match(name: str, verdict: Verdict, code: str) -> None:
    """The pattern matches the whole name, with ASCII classes."""
    decision = asked(CommonName.matching(r"[0-9A-F]{16}"), ROOT.issue_client(name))
    assert (decision.verdict, decision.code) == (verdict, code)


def test_matching_with_casefold_ascii() -> None:
    """ASCII letters match in either case where that is asked for, and the Kelvin sign never does."""
    policy = CommonName.matching("[a-k]{4}", casefold="ascii")
    assert asked(policy, ROOT.issue_client("AbCk")).verdict is PERMIT
    assert asked(policy, ROOT.issue_client("AbC\u212a")).verdict is DENY


def test_a_long_name_is_not_run_through_a_pattern() -> None:
    """More than 256 characters are a doubt."""
    leaf = ROOT.issue_client("a")
    subject = der.sequence(relative_name(("2.5.4.3", der.utf8_string("a" * 257))))
    hand = replace(HandMade.of(leaf.certificate), subject=subject)
    decision = asked(CommonName.matching("a+"), replace(leaf, der=hand.signed_by(ROOT.key)))
    assert (decision.verdict, decision.code) == (DOUBT, "name.too-long")


def test_cn_evades_dns_name_constraints() -> None:
    """CN=admin.b.test under a CA for a.test, with a permitted SAN beside it: INDETERMINATE, also under ``~``."""
    issuing = constrained(x509.DNSName("a.test"))
    escaping = issuing.issue_client("admin.b.test", dns=["x.a.test"])
    for policy in (CommonName("admin.b.test"), CommonName("other"), CommonName.matching(".*[.]b[.]test")):
        decision = asked(policy, escaping)
        assert (decision.verdict, decision.code) == (DOUBT, "name.constrained")
    allowed = CommonName("admin.b.test", allow_unconstrained=True)
    assert asked(allowed, escaping).verdict is DOUBT
    assert asked(CommonName("x.a.test"), issuing.issue_client("x.a.test")).verdict is PERMIT
    assert asked(CommonName("y.a.test"), issuing.issue_client("x.a.test")).verdict is DENY


def test_a_cn_that_no_constraint_reaches_counts_only_if_allowed() -> None:
    """Free text under a constrained CA is a doubt unless allow_unconstrained is said."""
    issued = constrained(x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))).issue_client("frodo")
    assert asked(CommonName("frodo"), issued).code == "name.constrained"
    assert asked(CommonName("frodo", allow_unconstrained=True), issued).verdict is PERMIT


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "empty list is refused"),
        (([],), "empty list is refused"),
        (("",), "empty name"),
        (("frodo ",), "white space"),
        (("frodo\n",), "white space"),
        (("fro\x00do",), "control or format"),
        (("fro\u200bdo",), "control or format"),
        (("*",), "Anyone()"),
        ((b"frodo",), "not bytes"),
        ((7,), "not int"),
        ((CommonName,), "takes text"),
    ],
)
def test_empty_allow_set_and_names_that_nobody_has_are_refused(arguments: tuple[object, ...], why: str) -> None:
    """An empty set never means everybody, and one bad name refuses the list."""
    with pytest.raises(ConfigurationError) as caught:
        CommonName(*arguments)  # type: ignore[arg-type]  # the mistakes
    assert why in str(caught.value)


@pytest.mark.parametrize("pattern", [".*", "", "(?i)frodo", "[", ".+"])
def test_a_pattern_that_tells_nobody_apart_is_refused(pattern: str) -> None:
    """``.matching(".*")`` would admit the Web PKI."""
    with pytest.raises(ConfigurationError):
        CommonName.matching(pattern)


def test_casefold_is_ascii_or_nothing() -> None:
    """Other ways to fold are refused."""
    with pytest.raises(ConfigurationError, match="'ascii'"):
        CommonName.matching("frodo", casefold="unicode")  # type: ignore[arg-type]  # the mistake


def test_ways_to_build(tmp_path: Path) -> None:
    """Names, a collection, a certificate, text and a file build the same policy."""
    listed = tmp_path / "names"
    listed.write_text("# fellowship\nfrodo  # ring-bearer\n\nsam\n")
    wanted = CommonName("frodo", "sam")
    certificates = [ROOT.issue_client(name).certificate for name in ("frodo", "sam")]
    assert wanted == CommonName({"sam", "frodo"}) == CommonName.from_list_file(listed) == CommonName.of(*certificates)
    assert CommonName.parse("frodo") == CommonName("frodo")
    assert hash(wanted) == hash(CommonName(["frodo", "sam"]))
    assert wanted != CommonName("frodo", "sam", allow_unconstrained=True)
    assert CommonName.matching("a") != CommonName("a")


@pytest.mark.parametrize("defect", ["nameless", "two-common-names", "t61-string-cn", "duplicate-extension"])
def test_of_needs_one_common_name(defect: str) -> None:
    """A certificate without one readable common name is no template."""
    with pytest.raises(ConfigurationError, match=r"CommonName\.of"):
        CommonName.of(broken(defect, ROOT).der)


def test_a_file_with_a_bad_name_is_refused_with_its_line(tmp_path: Path) -> None:
    """One bad entry refuses the list and is named."""
    listed = tmp_path / "names"
    listed.write_text("frodo\n*\n")
    with pytest.raises(ConfigurationError, match="line 2"):
        CommonName.from_list_file(listed)


def test_a_live_list_is_asked_each_time() -> None:
    """A source is a callable; what it returns now decides, and the answer is not kept with the path."""
    current = {"frodo"}
    policy = CommonName(lambda: current)
    frodo = ROOT.issue_client("frodo")
    assert asked(policy, frodo).verdict is PERMIT
    current = {"sam"}
    assert asked(policy, frodo).verdict is DENY
    assert not policy._reads_path_only
    assert CommonName("frodo")._reads_path_only


@pytest.mark.parametrize("returned", [None, [], "frodo", ["frodo", ""], 7, CommonName.matching("frodo")])
def test_a_live_list_that_is_none_admits_nobody(returned: object) -> None:
    """A source that returns something else, or nothing, is a doubt: neither "all" nor "none"."""
    assert asked(CommonName(lambda: returned), ROOT.issue_client("frodo")).verdict is DOUBT


def test_a_live_list_that_fails_admits_nobody() -> None:
    """A source that raises is a doubt."""

    def source() -> object:
        raise OSError

    assert asked(CommonName(source), ROOT.issue_client("frodo")).code == "policy.error"


def test_it_identifies_and_shows_what_it_expects() -> None:
    """The repr is what explanations print: names, pattern, options, and a number where they are many."""
    assert CommonName.identifies
    assert not CommonName("frodo")._binds_issuer
    assert repr(CommonName("sam", "frodo")) == "CommonName('frodo', 'sam')"
    assert repr(CommonName([str(number) for number in range(10)])) == "CommonName(10 entries)"
    assert repr(CommonName("a", allow_unconstrained=True)) == "CommonName('a', allow_unconstrained=True)"
    assert repr(CommonName.matching("a+b", casefold="ascii")) == "CommonName.matching('a+b', casefold='ascii')"
    assert (
        repr(CommonName.matching("a+b", allow_unconstrained=True))
        == "CommonName.matching('a+b', allow_unconstrained=True)"
    )
