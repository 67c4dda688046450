"""Judges what a probe saw: findings, each with a stable code and a remedy, and the grade that the worst of them leaves.

Pure: a function of the observations. What was not seen never counts as good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mtlspolicy.cli.probe._findings import FAILING, KINDS, Kind
from mtlspolicy.cli.probe._seen import NAMES, TIME_UP, Attempt, Chain, End, Observations, Staple, Unseen

_MUST_FAIL: Final = ("none", "another-ca", "expired", "wrong-use")
_SHOWN: Final = (*_MUST_FAIL[1:], "good")
NOT_ASKED: Final = "not shown: the server did not ask for one"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: Stable, of `KINDS`.
        text: What was seen, escaped for printing.
    """

    code: str
    text: str

    @property
    def kind(self) -> Kind:
        """What the code stands for."""
        return KINDS[self.code]


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen and what it is worth.

    Attributes:
        seen: The observations.
        findings: The heaviest first.
        unseen: What was not observed, by name, with the reason.
    """

    seen: Observations
    findings: tuple[Finding, ...]
    unseen: tuple[tuple[str, str], ...]

    @property
    def grade(self) -> str:
        """The grade that the worst finding leaves: ``A``, ``B``, ``C``, ``D`` or ``F``."""
        return max((finding.kind.grade for finding in self.findings), default="A")

    @property
    def passed(self) -> bool:
        """Whether the grade is no failing one."""
        return self.grade not in FAILING

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """The findings that keep the grade from being A."""
        return tuple(finding for finding in self.findings if finding.kind.grade != "A")


def judge(seen: Observations) -> Report:
    """Return the report on what was seen."""
    attempts, unseen = dict(seen.attempts), tuple(_unseen(seen))
    found = [
        *_chain(seen.chain),
        *_versions(seen),
        *_suites(seen),
        *(finding for key in _MUST_FAIL for finding in _refusal(seen, key, attempts[key])),
        *_good(seen, attempts["good"]),
        *_resumption(seen, attempts["resumed"]),
        *_request(seen, attempts),
        *_staple(seen.staple),
        *_unfinished(unseen),
    ]
    order = list(KINDS)
    unique = sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.code))
    return Report(seen, tuple(unique), unseen)


def _chain(chain: Chain) -> Iterator[Finding]:
    if not chain.certificates:
        yield Finding("probe.unverified", "nothing of the server's certificate could be read")
    for code, text in chain.problems:
        yield Finding(code, text)


def _versions(seen: Observations) -> Iterator[Finding]:
    versions = dict(seen.versions)
    old = [name for name in ("TLSv1.0", "TLSv1.1") if versions[name] is True]
    if old:
        yield Finding("probe.old-version", f"the server speaks {' and '.join(old)}")
    if versions["TLSv1.3"] is False:
        code = "probe.only-old-versions" if versions["TLSv1.2"] is False else "probe.no-tls13"
        yield Finding(code, "the server does not speak TLSv1.3")


def _suites(seen: Observations) -> Iterator[Finding]:
    weights = {"broken": "probe.broken-suite", "no forward secrecy": "probe.no-forward-secrecy"}
    for suite in seen.suites:
        if suite.group in weights and isinstance(suite.chosen, str):
            yield Finding(weights[suite.group], f"the server takes {suite.chosen}")


def _refusal(seen: Observations, key: str, attempt: Attempt | Unseen) -> Iterator[Finding]:
    if isinstance(attempt, Unseen):
        if key == "none":
            yield Finding("probe.none-not-tried", attempt.reason)
        return
    with_what = NAMES[key]
    if attempt.end is End.NOT_VERIFIED:
        yield Finding("probe.unverified", attempt.text)
    elif key != "none" and not attempt.sent:
        return  # the server never saw it, and nothing is known of what it would have said
    elif seen.place.served(attempt):
        yield Finding(f"probe.{key}-served", f"with {with_what}: {attempt.text}")
    elif attempt.end is End.CLOSED:
        yield Finding("probe.closed", f"with {with_what}: {attempt.text}")
    elif not attempt.refused:
        yield Finding("probe.unclear", f"with {with_what}: {attempt.text}")


def _good(seen: Observations, attempt: Attempt | Unseen) -> Iterator[Finding]:
    if isinstance(attempt, Unseen):
        yield Finding("probe.good-not-tried", attempt.reason)
    elif attempt.end is End.NOT_VERIFIED:
        yield Finding("probe.unverified", attempt.text)
    elif not attempt.sent and not attempt.asked:
        yield Finding("probe.good-not-tried", NOT_ASKED)
    elif not seen.place.served(attempt):
        wanted = "" if seen.place.path is None else f"; expected is {seen.place.expected}"
        code = "probe.good-unclear" if attempt.unclear else "probe.good-refused"
        yield Finding(code, f"with {NAMES['good']}: {attempt.text}{wanted}")


def _resumption(seen: Observations, attempt: Attempt | Unseen) -> Iterator[Finding]:
    if isinstance(attempt, Unseen):
        return
    if not seen.place.served(attempt):
        yield Finding("probe.resumption-refused", f"with {NAMES['resumed']}: {attempt.text}")
    elif not attempt.resumed:
        yield Finding("probe.no-resumption", "each connection is a full handshake, which is the safe way")


def _request(seen: Observations, attempts: dict[str, Attempt | Unseen]) -> Iterator[Finding]:
    tried = [attempt for attempt in attempts.values() if isinstance(attempt, Attempt)]
    if not seen.asked and not any(attempt.asked for attempt in tried):
        yield Finding("probe.not-asked", "there is no request for a certificate in the handshake")
    if seen.authorities == ():
        yield Finding("probe.no-authorities", "the request for a certificate names no CA")


def _staple(staple: Staple | Unseen | None) -> Iterator[Finding]:
    if staple is None:
        yield Finding("probe.no-staple", "a client that asks gets none in the handshake")
    elif isinstance(staple, Staple) and staple.status == "revoked":
        yield Finding("probe.staple-revoked", f"{staple.code}: {staple.text}")
    elif isinstance(staple, Staple) and staple.status != "good":
        yield Finding("probe.staple-unusable", f"{staple.code}: {staple.text}")


def _unfinished(unseen: tuple[tuple[str, str], ...]) -> Iterator[Finding]:
    late = [name for name, reason in unseen if reason == TIME_UP]
    if late:
        yield Finding("probe.not-finished", f"the time was up before: {', '.join(late)}")


def _unseen(seen: Observations) -> Iterator[tuple[str, str]]:
    """Return what was not observed, by name; the suites of TLS 1.3 are always among it."""
    named: list[tuple[str, object]] = [
        *seen.versions,
        *((f"suites of TLS 1.2: {suite.group}", suite.chosen) for suite in seen.suites),
        ("names of acceptable CAs", seen.authorities),
        *((NAMES[key], attempt) for key, attempt in seen.attempts),
        ("OCSP response in the handshake", seen.staple),
    ]
    for name, value in named:
        if isinstance(value, Unseen):
            yield name, value.reason
        elif isinstance(value, Attempt) and value.key in _SHOWN and not value.sent:
            yield name, "not shown: the handshake ended before" if value.asked else NOT_ASKED
    yield "suites of TLS 1.3", "ssl cannot choose among them; the one in use is shown"
