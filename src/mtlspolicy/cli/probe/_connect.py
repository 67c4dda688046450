"""The connections of a probe, in their order, and what they show. Nothing is judged but whether the server is ours.

The good certificate is shown only after the server was verified twice without it: by our verifier on the chain that a
connection without a certificate saw, and in a handshake of a context that verifies. The connection that shows it
verifies once more, before it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from mtlspolicy._verifier import Verifier
from mtlspolicy.cli.probe._chain import read_chain
from mtlspolicy.cli.probe._contexts import SUITES, VERSIONS, looking, offering, resuming, showing
from mtlspolicy.cli.probe._credentials import Issuer, expired, stranger, wrong_use
from mtlspolicy.cli.probe._messages import Transcript
from mtlspolicy.cli.probe._seen import NAMES, TIME_UP, Attempt, End, Observations, Place, Suite, Unseen
from mtlspolicy.cli.probe._staple import read_staple, stapled
from mtlspolicy.cli.probe._wire import Clock, Visit, visit
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._credential import Credential

_T = TypeVar("_T")
NOT_VERIFIED: Final = "not shown: the server is not verified"
NO_GOOD: Final = "not tried: give the client's certificate with --cert and --key"
NO_ISSUER: Final = "not tried: needs a CA that the server trusts, a test CA: --issuer-cert and --issuer-key"
_HEARD: Final = frozenset({End.ANSWERED, End.OPEN, End.ALERT, End.CLOSED})
"""Ends of a connection in whose handshake the server was verified, or that the server itself ended."""
OLD_OPENSSL: Final = "this Python's OpenSSL cannot offer it"
NO_TLS12: Final = "not tried: the server does not speak TLS 1.2"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a probe works with.

    Attributes:
        place: What is probed.
        verifier: Of servers: the trust, and the name that is meant.
        good: The client's own certificate.
        other: A certificate of another CA; ``None``: one is made.
        issuer: A test CA that the server trusts.
        at: The time at which certificates are judged, aware.
    """

    place: Place
    verifier: Verifier
    good: Credential | None
    other: Credential | None
    issuer: Issuer | None
    at: datetime


def observe(plan: Plan, clock: Clock) -> Observations:
    """Probe, and return what was seen.

    Raises:
        ConfigurationError: There is no TCP connection, or nothing there speaks TLS.
        TimeoutError: The time was up before the first connection.
    """
    first = _look(plan, clock)
    transcript = first.transcript
    chain = read_chain(transcript.certificates(), plan.verifier, plan.at)
    attempts = _attempts(plan, clock, verified=bool(chain.verified))
    versions = _versions(plan, clock, first)
    speaks = dict(versions).get("TLSv1.2") is True
    suites = tuple(_suite(plan, clock, group, names, tried=speaks) for group, names in SUITES)
    staple = _in_time(lambda: stapled(plan.place, clock))
    return Observations(
        plan.place, plan.at, first.version or transcript.version, _suite_name(transcript), transcript.asked,
        transcript.authorities(), chain, versions, suites, attempts, read_staple(staple, chain, plan.at), clock.opened,
    )  # fmt: skip


def _look(plan: Plan, clock: Clock) -> Visit:
    """Return a connection that shows nothing and takes any server, with an old version where no newer one is spoken."""
    said = ""
    where = f"{plan.place.address} port {plan.place.port}"
    old = (offering(version) for _, version in VERSIONS[2:])
    for context in filter(None, (looking(), *old)):
        found = visit(plan.place, context, clock, read=False)
        if found.transcript.spoken:
            return found
        if found.end is End.UNREACHABLE:
            raise ConfigurationError(
                f"no connection to {where}: {found.text}; is the server running, and is this its port?"
            )
        said = found.text
        if found.end not in {End.ALERT, End.CLOSED}:
            break
    raise ConfigurationError(f"no TLS handshake with {where}: {said}; is this its port for TLS, and its --server-name?")


def _in_time(ask: Callable[[], _T]) -> _T | Unseen:
    try:
        return ask()
    except TimeoutError:
        return Unseen(TIME_UP)


def _versions(plan: Plan, clock: Clock, first: Visit) -> tuple[tuple[str, bool | Unseen], ...]:
    return tuple((name, _version(plan, clock, first, name)) for name, _ in VERSIONS)


def _version(plan: Plan, clock: Clock, first: Visit, name: str) -> bool | Unseen:
    if (first.version or first.transcript.version) == {"TLSv1.0": "TLSv1"}.get(name, name):
        return True
    context = offering(dict(VERSIONS)[name])
    if context is None:
        return Unseen(OLD_OPENSSL)
    seen = _in_time(lambda: visit(plan.place, context, clock, read=False))
    if isinstance(seen, Unseen):
        return seen
    return _taken(seen)


def _taken(seen: Visit) -> bool | Unseen:
    """Return whether the server took what was offered. A refusal in TLS is a no, and so is a hello with other terms."""
    if seen.transcript.certificates() or seen.version is not None:
        return True
    if seen.end in {End.ALERT, End.CLOSED} or (seen.end is End.NO_TLS and seen.transcript.spoken):
        return False
    return Unseen(f"not known: {seen.end.value}: {seen.text}")


def _suite(plan: Plan, clock: Clock, group: str, names: str, *, tried: bool) -> Suite:
    if not tried:
        return Suite(group, Unseen(NO_TLS12))
    context = offering(dict(VERSIONS)["TLSv1.2"], names)
    if context is None:
        return Suite(group, Unseen(OLD_OPENSSL))
    seen = _in_time(lambda: visit(plan.place, context, clock, read=False))
    if isinstance(seen, Unseen):
        return Suite(group, seen)
    taken = _taken(seen)
    if isinstance(taken, Unseen):
        return Suite(group, taken)
    return Suite(group, (_suite_name(seen.transcript) or "(unknown suite)") if taken else None)


def _suite_name(transcript: Transcript) -> str | None:
    number = transcript.suite()
    if number is None:
        return None
    known = {int(row["id"]) & 0xFFFF: str(row["name"]) for row in looking().get_ciphers()}
    return known.get(number, f"0x{number:04x}")


def _attempts(plan: Plan, clock: Clock, *, verified: bool) -> tuple[tuple[str, Attempt | Unseen], ...]:
    """Try what the server lets in; what may show anything of ours comes last, and only to a server that is verified."""
    tries = _Tries(plan, clock, verified=verified)
    found: dict[str, Attempt | Unseen] = {"none": tries.show("none", None)}
    seen = found["none"]
    tries.verified = verified and isinstance(seen, Attempt) and seen.end in _HEARD
    other = plan.other or stranger(plan.good if tries.verified else None)
    found["another-ca"] = tries.show("another-ca", other) if plan.other is None else tries.ours("another-ca", other)
    issuer = plan.issuer
    found["expired"] = Unseen(NO_ISSUER) if issuer is None else tries.ours("expired", expired(plan.good, issuer))
    found["wrong-use"] = Unseen(NO_ISSUER) if issuer is None else tries.ours("wrong-use", wrong_use(plan.good, issuer))
    found["good"] = Unseen(NO_GOOD) if plan.good is None else tries.ours("good", plan.good)
    found["resumed"] = tries.resumed(found["good"])
    return tuple((key, found[key]) for key in NAMES)


class _Tries:
    """Shows certificates to one server, each at most once."""

    def __init__(self, plan: Plan, clock: Clock, *, verified: bool) -> None:
        self._plan = plan
        self._clock = clock
        self.verified = verified

    def show(self, key: str, credential: Credential | None) -> Attempt | Unseen:
        """Show nothing, or what was made up and gives nothing away, whoever the server is."""
        plan = self._plan
        context = showing(plan.verifier, credential) if self.verified else looking()
        if credential is not None and not self.verified:
            credential.load_into(context)
        seen = _in_time(lambda: visit(plan.place, context, self._clock))
        return seen if isinstance(seen, Unseen) else seen.attempt(key)

    def ours(self, key: str, credential: Credential) -> Attempt | Unseen:
        """Show something of the user's, to a verified server alone."""
        return self.show(key, credential) if self.verified else Unseen(NOT_VERIFIED)

    def resumed(self, good: Attempt | Unseen) -> Attempt | Unseen:
        """Connect twice with the good certificate, the second time with the session of the first."""
        plan = self._plan
        if plan.good is None or isinstance(good, Unseen):
            return good if isinstance(good, Unseen) else Unseen(NO_GOOD)
        if not plan.place.served(good):
            return Unseen("not tried: the good certificate was not let in")
        context = resuming(plan.verifier, plan.good)
        first = _in_time(lambda: visit(plan.place, context, self._clock))
        if isinstance(first, Unseen):
            return first
        session = first.session
        if session is None:
            return Unseen(f"no session came with the connection before it: {first.text}")
        second = _in_time(lambda: visit(plan.place, context, self._clock, session=session))
        return second if isinstance(second, Unseen) else second.attempt("resumed")
