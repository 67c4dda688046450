"""Answers from OCSP responses at hand: files, staples, what a job fetched; as facts for `Verifier`, or as a source.

Nothing is fetched. Of several responses about one certificate the newest counts, and a revocation above all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mtlspolicy._chain import ChainInput, Possession, PresentedChain
from mtlspolicy._evidence import Fact, Facts, Need, RevocationStatus
from mtlspolicy._peer import now
from mtlspolicy._resolver import Answer
from mtlspolicy._revocation import OCSP, RevocationAnswer, RevocationQuestion
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.revocation._ocsp_response import read_ocsp
from mtlspolicy.revocation._seen import Seen

if TYPE_CHECKING:
    from mtlspolicy._verifier import Verifier

__all__ = ["best_answer", "facts", "responses_source"]

Responses: TypeAlias = "Iterable[bytes] | Callable[[], Iterable[bytes]]"
"""OCSP responses, DER; or a callable that returns the current ones."""

RETRY: Final = 1.0
"""Seconds for which an answer is kept that another response may change, which may already be at hand."""
ROUNDS: Final = 8
"""How often facts may open new needs; as the resolver has it."""
_ABSENT: Final = RevocationAnswer(
    RevocationStatus.UNAVAILABLE, "ocsp.absent", "no response about this certificate is at hand"
)
_SEVERITY: Final = (RevocationStatus.GOOD, RevocationStatus.UNKNOWN, RevocationStatus.REVOKED)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def best_answer(question: RevocationQuestion, responses: Iterable[bytes], *, at: datetime) -> RevocationAnswer:
    """Return what *responses* together say: a revocation first, else the newest answer, else why there is none.

    Args:
        question: Which certificate, by which issuer, under which rule.
        responses: OCSP responses, DER, about whatever certificates; hostile ones do no harm.
        at: The aware time, as for `read_ocsp`.

    Raises:
        ConfigurationError: *at* is naive, or *responses* holds something else than bytes.
    """
    answers = [read_ocsp(one, question, at=at) for one in _listed(responses)]
    usable = [answer for answer in answers if answer.status is not RevocationStatus.UNAVAILABLE]
    if usable:
        return max(usable, key=_weight)
    telling = (answer for answer in answers if answer.code not in {"ocsp.other-certificate", "ocsp.malformed"})
    return next(telling, _ABSENT)


def _weight(answer: RevocationAnswer) -> tuple[bool, datetime, int]:
    """Return what the answers are ordered by: final ones, then the newest, then the gravest.

    A contradictory response has no date of its own; it counts as the newest, so that nothing good hides it.
    """
    return answer.final, answer.this_update or _LAST, _SEVERITY.index(answer.status)


def facts(verifier: Verifier, chain: ChainInput, *, responses: Responses, at: datetime | None = None) -> Facts:
    """Return the facts that *verifier* needs for *chain*, as far as *responses* have them.

    For ``verifier.verify(chain, at=at, facts=...)``. A chain that is not valid has no needs, and no facts.

    Args:
        verifier: Whose policy asks.
        chain: As for `Verifier.verify`.
        responses: OCSP responses, DER.
        at: Aware time; give the same one to `verify`. ``None`` is now.

    Raises:
        ConfigurationError: *at* is naive, or *responses* holds something else than bytes.
    """
    given = _listed(responses() if callable(responses) else responses)
    try:
        presented = PresentedChain.parse(chain, possession=Possession.NONE, limits=verifier.limits)
    except MalformedEvidence:
        return Facts.NONE
    judgement = verifier.judgement(presented, at=at)
    found: dict[Need, Fact] = {}
    for _ in range(ROUNDS):
        needs = [need for need in judgement.outcome(Facts(found)).needs if need.kind == OCSP and need not in found]
        if not needs:
            break
        for need in needs:
            answer = best_answer(_question(need.key), given, at=judgement.at)
            found[need] = Fact(answer, _obtained(answer, judgement.at))
    return Facts(found)


def responses_source(responses: Responses) -> Callable[[Any], Answer]:
    """Return a source for ``Resolver({revocation.OCSP: ...})`` that answers from *responses* and fetches nothing.

    Where there is no usable response it answers UNAVAILABLE: a hard rule refuses then, and a soft one admits. Within
    the process it remembers what it answered: who was revoked stays so, and an older answer after a newer is refused.

    Args:
        responses: OCSP responses, DER; or a callable that returns the current ones, asked for each question, and again
            a second later, so that a response that is replaced counts from then on.

    Raises:
        ConfigurationError: *responses* holds something else than bytes.
    """
    given = None if callable(responses) else _listed(responses)
    seen = Seen()

    def source(question: Any) -> Answer:
        current = responses() if callable(responses) else given
        at = now()
        asked = _question(question)
        answer = seen.judged(asked, best_answer(asked, current or (), at=at))
        keep = RETRY if given is None else _keep(answer, asked, at)
        return Answer(answer, obtained_at=_obtained(answer, at), keep=keep)

    return source


def _listed(responses: Iterable[bytes]) -> tuple[bytes, ...]:
    if isinstance(responses, bytes | bytearray | str):
        raise ConfigurationError("responses: give a list of OCSP responses, [response], not one alone")
    listed = tuple(responses)
    for one in listed:
        if not isinstance(one, bytes):
            raise ConfigurationError(
                f"responses: {type(one).__name__} is no OCSP response; give its DER as bytes, as Path.read_bytes() does"
            )
    return listed


def _question(key: Any) -> RevocationQuestion:
    if not isinstance(key, RevocationQuestion):
        raise ConfigurationError(f"{OCSP} is asked with a RevocationQuestion, not {type(key).__name__}")
    return key


def _obtained(answer: RevocationAnswer, at: datetime) -> datetime:
    """Return what the age of an answer counts from: what it states, where it can be outdated by a later one."""
    if answer.status is RevocationStatus.GOOD and answer.this_update is not None:
        return min(answer.this_update, at)
    return at


def _keep(answer: RevocationAnswer, question: RevocationQuestion, at: datetime) -> float | None:
    """Return for how many seconds an answer may be kept; ``None``: as long as its need allows."""
    if answer.final:
        return None
    if answer.status is not RevocationStatus.GOOD:
        return RETRY
    if answer.next_update is None:
        return None
    return max(timedelta(0), answer.next_update - at + question.rule.clock_skew).total_seconds()
