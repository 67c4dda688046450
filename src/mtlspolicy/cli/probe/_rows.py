"""The rows of a report, as the table on a terminal and the page show them alike: a section, a mark, a name, a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from mtlspolicy.cli.probe._judge import Report
from mtlspolicy.cli.probe._seen import NAMES, Attempt, End, Observations, Staple, Unseen

GOOD, BAD, PLAIN, UNSEEN = "good", "bad", "plain", "unseen"
"""Marks: as it should be, not as it should be, merely said, not observed."""
_LISTED: Final = 12
"""Names that a table lists; the JSON has more."""


class Row(NamedTuple):
    """One line of a section."""

    mark: str
    name: str
    text: str


def sections(report: Report) -> Iterator[tuple[str, tuple[Row, ...]]]:
    """Return the sections of *report*, each with its rows."""
    seen = report.seen
    codes = {finding.code for finding in report.findings}
    yield "Who is let in", tuple(_client(key, attempt, codes) for key, attempt in seen.attempts)
    yield "The server's certificate", tuple(_server(seen, codes))
    yield "TLS", tuple(_protocol(seen, codes))


def _client(key: str, attempt: Attempt | Unseen, codes: set[str]) -> Row:
    name = NAMES[key]
    if isinstance(attempt, Unseen):
        return Row(UNSEEN, name, attempt.reason)
    if key not in {"none", "resumed"} and not attempt.sent and attempt.end is not End.NOT_VERIFIED:
        return Row(UNSEEN, name, f"not shown; {attempt.text}")
    if key in {"good", "resumed"}:
        bad = {f"probe.{'good' if key == 'good' else 'resumption'}-{how}" for how in ("refused", "unclear")} & codes
        served = not bad and attempt.end is not End.NOT_VERIFIED
        word = "served" if served else "unclear" if "probe.good-unclear" in bad else "not served"
        how = "" if key == "good" else ", resumed" if attempt.resumed else ", by a full handshake"
        return Row(GOOD if served else BAD, name, f"{word}{how}: {attempt.text}")
    where = (
        "" if attempt.end is not End.ALERT else " in the handshake" if attempt.in_handshake else " at the first read"
    )
    served = f"probe.{key}-served" in codes
    word = "refused" if attempt.refused else "served" if served else "unclear"
    return Row(GOOD if attempt.refused else BAD, name, f"{word}: {attempt.text}{where}")


def _server(seen: Observations, codes: set[str]) -> Iterator[Row]:
    decision = seen.chain.verified
    name = seen.place.server_name
    if decision is None:
        yield Row(BAD, "verified", "no certificate that can be read")
    elif decision and "probe.unverified" not in codes:
        yield Row(GOOD, "verified", f"as {name}")
    else:
        yield Row(BAD, "verified", f"not as {name}: {decision.decisive.code}" if not decision else f"not as {name}")
    for number, one in enumerate(seen.chain.reports, 1):
        what = "the server" if number == 1 else "a root" if one["self_signed"] else "a CA"
        life = f"{one['not_before'][:10]} to {one['not_after'][:10]}"
        yield Row(PLAIN, f"{number}  {what}", f"{one['subject']}; {one['key']}; {one['signature']}; {life}")
    yield from _names(seen)
    yield _staple(seen.staple)


def _names(seen: Observations) -> Iterator[Row]:
    names: Any = seen.chain.reports[0]["names"] if seen.chain.reports else {}
    if isinstance(names, str):
        yield Row(BAD, "names", names)
        return
    for kind, title in (("dns", "DNS names"), ("ip", "IP addresses")):
        listed: list[str] = names.get(kind, [])
        if listed:
            more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
            yield Row(PLAIN, title, ", ".join(listed[:_LISTED]) + more)


def _staple(staple: Staple | Unseen | None) -> Row:
    name = "OCSP stapled"
    if isinstance(staple, Unseen):
        return Row(UNSEEN, name, staple.reason)
    if staple is None:
        return Row(PLAIN, name, "no")
    return Row(GOOD if staple.status == "good" else BAD, name, f"{staple.status}; {staple.code}")


def _protocol(seen: Observations, codes: set[str]) -> Iterator[Row]:
    yield Row(PLAIN, "in use", f"{seen.version or 'unknown version'}, {seen.cipher or 'unknown suite'}")
    for name, spoken in seen.versions:
        if isinstance(spoken, Unseen):
            yield Row(UNSEEN, name, spoken.reason)
            continue
        modern = name in {"TLSv1.2", "TLSv1.3"}
        bad = (spoken and not modern) or (not spoken and name == "TLSv1.3")
        mark = BAD if bad else PLAIN if not spoken and modern else GOOD
        yield Row(mark, name, "offered" if spoken else "not offered")
    for suite in seen.suites:
        if isinstance(suite.chosen, Unseen):
            yield Row(UNSEEN, f"TLS 1.2: {suite.group}", suite.chosen.reason)
            continue
        unwanted = suite.group in {"broken", "no forward secrecy"}
        good = unwanted or (suite.chosen and suite.group.endswith("AEAD"))  # CBC is neither praised nor blamed
        mark = BAD if suite.chosen and unwanted else GOOD if good else PLAIN
        yield Row(mark, f"TLS 1.2: {suite.group}", suite.chosen or "not offered")
    asks = "probe.not-asked" not in codes
    yield Row(GOOD if asks else BAD, "asks for a certificate", "yes" if asks else "no")
    yield _authorities(seen.authorities)


def _authorities(authorities: tuple[str, ...] | Unseen) -> Row:
    name = "acceptable CAs"
    if isinstance(authorities, Unseen):
        return Row(UNSEEN, name, authorities.reason)
    if not authorities:
        return Row(PLAIN, name, "no names are sent")
    more = f" | and {len(authorities) - _LISTED} more" if len(authorities) > _LISTED else ""
    return Row(PLAIN, name, " | ".join(authorities[:_LISTED]) + more)
