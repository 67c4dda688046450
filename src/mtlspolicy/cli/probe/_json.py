"""A probe's report as JSON for machines: plain values, text escaped, names that stay."""

from __future__ import annotations

from typing import Any, Final, cast

from mtlspolicy._version import __version__
from mtlspolicy.cli.probe._findings import GRADES
from mtlspolicy.cli.probe._judge import Report
from mtlspolicy.cli.probe._seen import Attempt, Place, Staple, Unseen

FORMAT: Final = 1
"""Raised when a name in it changes or goes."""


def as_json(report: Report) -> dict[str, Any]:
    """Return *report* as dictionaries, lists and text. ``{"not_observed": reason}`` stands for what was not seen."""
    seen, place = report.seen, report.seen.place
    decision = seen.chain.verified
    return {
        "format": FORMAT,
        "tool": f"mtlspolicy {__version__}",
        "at": f"{seen.at:%Y-%m-%dT%H:%M:%SZ}",
        "host": place.host,
        "port": place.port,
        "address": place.address,
        "server_name": place.server_name,
        "grade": report.grade,
        "meaning": GRADES[report.grade],
        "passed": report.passed,
        "findings": [
            {
                "code": finding.code, "grade": finding.kind.grade, "title": finding.kind.title, "text": finding.text,
                "remedy": finding.kind.remedy,
            }
            for finding in report.findings
        ],
        "not_observed": dict(report.unseen),
        "handshake": {"version": seen.version, "cipher": seen.cipher, "asks_for_certificate": seen.asked},
        "chain": list(seen.chain.reports),
        "verified": None if decision is None else decision.as_dict(),
        "versions": {name: _plain(value) for name, value in seen.versions},
        "tls12_suites": {suite.group: _plain(suite.chosen) for suite in seen.suites},
        "acceptable_cas": _plain(seen.authorities),
        "clients": {key: _client(place, attempt) for key, attempt in seen.attempts},
        "stapled_ocsp": _plain(seen.staple),
        "connections": seen.connections,
    }  # fmt: skip


def _plain(value: object) -> Any:
    if isinstance(value, Unseen):
        return {"not_observed": value.reason}
    if isinstance(value, tuple):
        return [str(one) for one in cast("tuple[object, ...]", value)]
    if isinstance(value, Staple):
        return {"status": value.status, "code": value.code, "text": value.text}
    return value


def _client(place: Place, attempt: Attempt | Unseen) -> dict[str, Any]:
    if isinstance(attempt, Unseen):
        return {"not_observed": attempt.reason}
    return {
        "end": attempt.end.value, "text": attempt.text, "status": attempt.status, "served": place.served(attempt),
        "refused": attempt.refused, "asked": attempt.asked, "sent": attempt.sent,
        "in_handshake": attempt.in_handshake, "version": attempt.version, "resumed": attempt.resumed,
    }  # fmt: skip
