"""How a probe judges what it saw: each finding has its grade, the worst one counts, nothing unseen counts as good."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from mtlspolicy import TrustStore, Verifier
from mtlspolicy.cli.probe._chain import read_chain
from mtlspolicy.cli.probe._findings import FAILING, GRADES, KINDS
from mtlspolicy.cli.probe._html import as_html
from mtlspolicy.cli.probe._json import as_json
from mtlspolicy.cli.probe._judge import Report, judge
from mtlspolicy.cli.probe._seen import (
    NAMES,
    TIME_UP,
    Attempt,
    Chain,
    End,
    Observations,
    Place,
    Staple,
    Suite,
    Unseen,
)
from mtlspolicy.cli.probe._table import as_lines
from mtlspolicy.testing import CertificateAuthority

from .probing import NEXT_YEAR  # noqa: TID252 - tests are no package that could be named

NOW: Final = datetime.now(UTC)
ROOT: Final = CertificateAuthority("Root", not_after=NEXT_YEAR)
PLACE: Final = Place("api.example.com", 443, "api.example.com", "192.0.2.7")
NO_CHAIN: Final = Chain((), (), None, (("probe.chain-none", "nothing"),))


def _chain() -> Chain:
    leaf = ROOT.issue_server("api.example.com", not_after=NEXT_YEAR)
    verifier = Verifier.for_servers(trust=TrustStore(anchors=[ROOT.certificate]), expected="api.example.com")
    return read_chain([leaf.der], verifier, NOW)


def _refused(key: str) -> Attempt:
    return Attempt(key, End.ALERT, "TLS alert unknown_ca", asked=True, sent=key != "none", version="TLSv1.3")


def _served(key: str) -> Attempt:
    return Attempt(key, End.ANSWERED, "HTTP/1.1 200 OK", 200, asked=True, sent=True, version="TLSv1.3", resumed=True)


GOOD: Final = Observations(
    place=PLACE,
    at=NOW,
    version="TLSv1.3",
    cipher="TLS_AES_128_GCM_SHA256",
    asked=True,
    authorities=("CN=Partner CA",),
    chain=_chain(),
    versions=tuple({"TLSv1.3": True, "TLSv1.2": True, "TLSv1.1": False, "TLSv1.0": False}.items()),
    suites=(
        Suite("ECDHE, AEAD", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        Suite("no forward secrecy", None),
        Suite("broken", None),
    ),
    attempts=tuple((key, _served(key) if key in {"good", "resumed"} else _refused(key)) for key in NAMES),
    staple=Staple("good", "ocsp.good", "signed by the issuer"),
    connections=16,
)


def _with(**attempts: Attempt | Unseen) -> Observations:
    named = {key.replace("_", "-"): attempt for key, attempt in attempts.items()}
    return replace(GOOD, attempts=tuple((key, named.get(key, old)) for key, old in GOOD.attempts))


def _versions(*spoken: str) -> Observations:
    return replace(GOOD, versions=tuple((name, name in spoken) for name, _ in GOOD.versions))


def _answer(key: str, status: int) -> Attempt:
    return Attempt(key, End.ANSWERED, f"HTTP/1.1 {status} x", status, asked=True, sent=key != "none")


SILENT: Final = Attempt("none", End.SILENT, "too late", asked=True)
CASES: Final[Sequence[tuple[Observations, str]]] = (
    (_with(none=_answer("none", 200)), "probe.none-served"),
    (_with(another_ca=_answer("another-ca", 200)), "probe.another-ca-served"),
    (_with(expired=_answer("expired", 200)), "probe.expired-served"),
    (_with(wrong_use=_answer("wrong-use", 200)), "probe.wrong-use-served"),
    (replace(GOOD, chain=NO_CHAIN), "probe.unverified"),
    (_with(none=Attempt("none", End.NOT_VERIFIED, "identity.mismatch: other")), "probe.unverified"),
    (_with(good=Attempt("good", End.NOT_VERIFIED, "identity.mismatch: other")), "probe.unverified"),
    (replace(GOOD, staple=Staple("revoked", "ocsp.revoked", "long ago")), "probe.staple-revoked"),
    (_with(good=_refused("good")), "probe.good-refused"),
    (_with(good=_answer("good", 403)), "probe.good-refused"),
    (
        replace(
            GOOD,
            asked=False,
            attempts=tuple((key, replace(one, asked=False)) for key, one in GOOD.attempts if isinstance(one, Attempt)),
        ),
        "probe.not-asked",
    ),
    (replace(GOOD, chain=NO_CHAIN), "probe.chain-none"),
    (_versions("TLSv1.1"), "probe.only-old-versions"),
    (_versions("TLSv1.3", "TLSv1.2", "TLSv1.0"), "probe.old-version"),
    (_versions("TLSv1.2"), "probe.no-tls13"),
    (replace(GOOD, suites=(Suite("broken", "NULL-SHA256"),)), "probe.broken-suite"),
    (replace(GOOD, suites=(Suite("no forward secrecy", "AES128-SHA"),)), "probe.no-forward-secrecy"),
    (_with(none=_answer("none", 404)), "probe.unclear"),
    (_with(none=SILENT), "probe.unclear"),
    (_with(good=_answer("good", 404)), "probe.good-unclear"),
    (_with(good=_answer("good", 302)), "probe.good-unclear"),
    (_with(good=Attempt("good", End.ANSWERED, "no HTTP", asked=True, sent=True)), "probe.good-unclear"),
    (_with(good=_answer("good", 503)), "probe.good-refused"),
    (_with(good=replace(_served("good"), asked=False, sent=False)), "probe.good-not-tried"),
    (_with(resumed=_answer("resumed", 403)), "probe.resumption-refused"),
    (replace(GOOD, staple=Staple("unavailable", "ocsp.stale", "old")), "probe.staple-unusable"),
    (_with(good=Unseen("no flag")), "probe.good-not-tried"),
    (_with(none=Unseen(TIME_UP)), "probe.none-not-tried"),
    (_with(none=Unseen(TIME_UP)), "probe.not-finished"),
    (_with(none=Attempt("none", End.CLOSED, "closed")), "probe.closed"),
    (replace(GOOD, authorities=()), "probe.no-authorities"),
    (replace(GOOD, staple=None), "probe.no-staple"),
    (_with(resumed=replace(_served("resumed"), resumed=False)), "probe.no-resumption"),
)


def _codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


def test_nothing_to_find() -> None:
    """Where all is as it should be and all was seen, the grade is the best."""
    report = judge(GOOD)
    assert (report.grade, report.passed, _codes(report), report.reasons) == ("A", True, [], ())
    assert [name for name, _ in report.unseen] == ["suites of TLS 1.3"]


@pytest.mark.parametrize(("seen", "code"), CASES, ids=[f"{number}-{code}" for number, (_, code) in enumerate(CASES)])
def test_each_finding(seen: Observations, code: str) -> None:
    """Each observation gives its finding, and the grade is that of the worst one."""
    report = judge(seen)
    assert code in _codes(report)
    assert report.grade == max(finding.kind.grade for finding in report.findings)
    assert report.passed == (report.grade in "AB")
    assert all(finding.text for finding in report.findings)


def test_every_code_has_a_test() -> None:
    """A code of the table that comes of no observation would document what does not happen."""
    by_chain = {code for code in KINDS if code.startswith("probe.chain-")} | {
        "probe.expired", "probe.not-yet-valid", "probe.no-san", "probe.weak-certificate", "probe.expires-soon",
        "probe.root-sent",
    }  # fmt: skip
    chains = (Path(__file__).parent / "test_chain.py").read_text(encoding="utf-8")
    assert {code for code in by_chain if f'"{code}"' not in chains} == set()
    assert KINDS.keys() - by_chain == {code for _, code in CASES} - by_chain


def test_the_table_of_findings() -> None:
    """Every code has a grade, a title, and a remedy where there is something to mend; the heaviest come first."""
    grades = [kind.grade for kind in KINDS.values()]
    assert grades == sorted(grades, reverse=True)
    assert set(grades) == set(GRADES)
    assert set("CDF") == FAILING
    for code, kind in KINDS.items():
        assert re.fullmatch(r"probe\.[a-z0-9-]+", code)
        assert kind.title
        assert kind.remedy or code in {"probe.good-not-tried", "probe.none-not-tried", "probe.no-resumption"}


def test_the_worst_counts_and_comes_first() -> None:
    """Ten small things do not hide a great one."""
    seen = replace(
        _with(none=_answer("none", 200)), staple=None, authorities=(), versions=_versions("TLSv1.2").versions
    )
    report = judge(seen)
    assert report.grade == "F"
    assert _codes(report)[0] == "probe.none-served"
    assert [finding.code for finding in report.reasons] == ["probe.none-served", "probe.no-tls13"]


def test_what_was_not_shown_proves_nothing() -> None:
    """A certificate that the server never saw is neither admitted nor refused."""
    unseen = replace(_answer("another-ca", 200), asked=False, sent=False)
    ended = replace(_refused("expired"), sent=False)
    report = judge(_with(another_ca=unseen, expired=ended))
    assert _codes(report) == []
    said = dict(report.unseen)
    assert said["a certificate of another CA"] == "not shown: the server did not ask for one"
    assert said["an expired certificate"] == "not shown: the handshake ended before"


def test_without_http_an_open_connection_is_served() -> None:
    """Where nothing is asked, whoever is not refused is served."""
    place = replace(PLACE, path=None)
    waiting = Attempt("none", End.OPEN, "handshake complete, nothing refused", asked=True)
    good = replace(waiting, key="good", sent=True)
    attempts = tuple((key, {"none": waiting, "good": good}.get(key, old)) for key, old in GOOD.attempts)
    report = judge(replace(GOOD, place=place, attempts=attempts))
    assert _codes(report) == ["probe.none-served"]
    refused = tuple((key, _refused("good") if key == "good" else old) for key, old in GOOD.attempts)
    assert "probe.good-refused" in _codes(judge(replace(GOOD, place=place, attempts=refused)))


UNSEEN_ALL: Final = replace(
    GOOD,
    version=None, cipher=None, authorities=Unseen("a"), staple=Unseen("b"), chain=NO_CHAIN,
    versions=tuple((name, Unseen("c")) for name, _ in GOOD.versions),
    suites=tuple(Suite(suite.group, Unseen("d")) for suite in GOOD.suites),
    attempts=tuple((key, Unseen("e")) for key in NAMES),
)  # fmt: skip
MANY: Final = replace(GOOD, authorities=tuple(f"CN=CA {number}" for number in range(50)))
BAD_NAMES: Final = replace(
    GOOD, chain=replace(GOOD.chain, reports=({**GOOD.chain.reports[0], "names": "unreadable: x"},))
)


EVERY: Final = (GOOD, UNSEEN_ALL, MANY, BAD_NAMES, *(seen for seen, _ in CASES))


@pytest.mark.parametrize("seen", EVERY, ids=map(str, range(len(EVERY))))
def test_every_report_can_be_told_in_three_ways(seen: Observations) -> None:
    """Table, JSON and page show every report, with the same grade and all findings in each."""
    report = judge(seen)
    table, data, page = "\n".join(as_lines(report)), as_json(report), as_html(report)
    assert f"Grade {report.grade}:" in table
    assert max(map(len, table.splitlines())) <= 100
    assert json.loads(json.dumps(data))["grade"] == report.grade
    assert f">{report.grade}</div>" in page
    for finding in report.findings:
        assert finding.code in table
        assert f"<code>{finding.code}</code>" in page
    assert [finding["code"] for finding in data["findings"]] == _codes(report)


def test_what_was_not_seen_says_so_everywhere() -> None:
    """The reason stands in the table, the JSON and the page; nothing is shown as good."""
    report = judge(UNSEEN_ALL)
    table = list(as_lines(report))
    assert [line for line in table if line.startswith("  + ")] == [f"  + {'asks for a certificate':<33} yes"]
    assert sum(line.startswith("  ? ") for line in table) == 4 + 3 + 1 + 1 + len(NAMES)
    assert as_json(report)["acceptable_cas"] == {"not_observed": "a"}
    assert as_html(report).count('class="good"') == 1


def test_long_lists_are_cut_for_people_alone() -> None:
    """The table names a dozen authorities and says how many more there are; the JSON has them all."""
    report = judge(MANY)
    assert "and 38 more" in " ".join("\n".join(as_lines(report)).split())
    assert len(as_json(report)["acceptable_cas"]) == 50


def test_a_page_that_is_not_there_is_no_refusal() -> None:
    """An API without a page at / answers 404 to whom it knows: the remedy is a path, and the grade no failing one."""
    report = judge(_with(good=_answer("good", 404), resumed=Unseen("not tried")))
    assert (report.grade, _codes(report)) == ("B", ["probe.good-unclear"])
    assert report.reasons[0].text == "with the good certificate: HTTP/1.1 404 x; expected is 200"
    assert "--path" in report.reasons[0].kind.remedy
    assert "  ! the good certificate              unclear: HTTP/1.1 404 x" in list(as_lines(report))


def test_machines_read_who_is_served() -> None:
    """What counts as served depends on the flags, so that the JSON says it of each client."""
    clients = as_json(judge(_with(expired=Unseen("no CA"))))["clients"]
    assert {key: one.get("served") for key, one in clients.items()} == {
        "none": False, "good": True, "another-ca": False, "expired": None, "wrong-use": False, "resumed": True,
    }  # fmt: skip


def test_who_is_not_asked_shows_nothing() -> None:
    """Where the server asks for no certificate nothing is claimed of the good one either."""
    report = judge(_with(good=replace(_served("good"), asked=False, sent=False)))
    assert "  ? the good certificate              not shown; HTTP/1.1 200 OK" in list(as_lines(report))
    assert dict(report.unseen)["the good certificate"] == "not shown: the server did not ask for one"
    ended = judge(_with(good=Attempt("good", End.SILENT, "too late", asked=True)))
    assert dict(ended.unseen)["the good certificate"] == "not shown: the handshake ended before"


def test_suites_that_nobody_praises() -> None:
    """CBC with forward secrecy is merely said; what is wanted is marked, offered or not as it should be."""
    suites = (Suite("ECDHE, AEAD", "X"), Suite("forward secrecy, CBC", "Y"), Suite("broken", None))
    lines = list(as_lines(judge(replace(GOOD, suites=suites))))
    assert "  + TLS 1.2: ECDHE, AEAD              X" in lines
    assert "    TLS 1.2: forward secrecy, CBC     Y" in lines
    assert "  + TLS 1.2: broken                   not offered" in lines


def test_flags_stay_on_one_line_of_the_page() -> None:
    """A short word with hyphens is not broken in its middle; a long one is, and no text becomes markup by it."""
    seen = _with(expired=Unseen(f"give --issuer-cert (a test-CA), <b>-x</b> a-{'b' * 30}"))
    assert "give <span>--issuer-cert</span> (a <span>test-CA</span>), &lt;b&gt;-x&lt;/b&gt; a-bbb" in as_html(
        judge(seen)
    )


def test_the_page_loads_nothing() -> None:
    """The page has a policy that forbids everything but its own style, no script, and no address of another place."""
    page = as_html(judge(GOOD))
    assert "default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;" in page
    words = (
        "<script",
        "<img",
        "<link",
        "<iframe",
        "src=",
        "href=",
        "url(",
        "@import",
        "javascript:",
        "http:",
        "https:",
    )
    assert [word for word in words if word in page] == []


def test_the_guide_lists_every_code_and_grade() -> None:
    """The page of the documentation has a row for each code and each grade, as the table has them."""
    guide = (Path(__file__).parents[3] / "docs" / "howto" / "probe.md").read_text(encoding="utf-8")
    rows = [line for line in guide.splitlines() if line.startswith("| `probe.")]
    assert rows == [f"| `{code}` | {kind.grade} | {kind.title} |" for code, kind in KINDS.items()]
    for grade, meaning in GRADES.items():
        assert f"| {grade} | {meaning} | {int(grade in FAILING)} |" in guide
