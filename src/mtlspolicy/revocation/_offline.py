"""Answers from OCSP responses and CRLs at hand: staples, what a job fetched; as facts for `Verifier`, or as a source.

Nothing is fetched. Of several answers about one certificate the newest counts, and a revocation above all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mtlspolicy._chain import ChainInput, Possession, PresentedChain
from mtlspolicy._evidence import Fact, Facts, Need, RevocationStatus
from mtlspolicy._peer import now
from mtlspolicy._resolver import Answer
from mtlspolicy._revocation import CRL, OCSP, CRLQuestion, OCSPQuestion, RevocationAnswer, RevocationQuestion
from mtlspolicy._revocation_pointers import crl_urls
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.revocation._cache import Cache, CachedStatement, CacheFailed, crl_key, ocsp_key
from mtlspolicy.revocation._crl_set import CRLInput, Held, crl_answer, held_crls, weight
from mtlspolicy.revocation._ocsp_response import read_ocsp
from mtlspolicy.revocation._seen import Seen

if TYPE_CHECKING:
    from mtlspolicy._verifier import Verifier

__all__ = ["best_answer", "facts", "responses_source"]

Responses: TypeAlias = "Iterable[bytes] | Callable[[], Iterable[bytes]]"
"""OCSP responses, DER; or a callable that returns the current ones."""

RETRY: Final = 1.0
"""Seconds for which an answer is kept that another response may change, which may already be at hand."""
_KINDS: Final = frozenset({OCSP, CRL})
ROUNDS: Final = 8
"""How often facts may open new needs; as the resolver has it."""
_ABSENT: Final = RevocationAnswer(
    RevocationStatus.UNAVAILABLE, "ocsp.absent", "no response about this certificate is at hand"
)


def best_answer(question: OCSPQuestion, responses: Iterable[bytes], *, at: datetime) -> RevocationAnswer:
    """Return what *responses* together say: a revocation first, else the newest answer, else why there is none.

    Args:
        question: Which certificate, by which issuer, under which rule.
        responses: OCSP responses, DER, about whatever certificates; hostile ones do no harm.
        at: The aware time, as for `read_ocsp`.

    Raises:
        ConfigurationError: *at* is naive, or *responses* holds something else than bytes.
    """
    answers = [read_ocsp(one, question, at=at) for one in _listed(responses)]
    usable = [answer for answer in answers if answer.told is not RevocationStatus.UNAVAILABLE]
    if usable:
        holds = [answer for answer in usable if answer.told is RevocationStatus.REVOKED]
        return max(usable, key=_standing).after(max(holds, key=_standing, default=None))
    telling = (answer for answer in answers if answer.code not in {"ocsp.other-certificate", "ocsp.malformed"})
    return next(telling, _ABSENT)


def _standing(answer: RevocationAnswer) -> tuple[bool, tuple[bool, datetime, int], bool]:
    """Return what answers are ordered by: as `weight` has it, claims for what they say, and behind what is as new.

    A claim of REVOKED stands above a newer GOOD as every revocation: whether its delegate may speak is asked, then.
    """
    return answer.final, weight(answer.vouched()), answer.claim is None


def facts(
    verifier: Verifier,
    chain: ChainInput,
    *,
    responses: Responses = (),
    crls: Iterable[CRLInput] = (),
    cache: Cache | None = None,
    at: datetime | None = None,
) -> Facts:
    """Return the facts that *verifier* needs for *chain*, as far as *responses*, *crls* and *cache* have them.

    For ``verifier.verify(chain, at=at, facts=...)``. A chain that is not valid has no needs, and no facts.

    Args:
        verifier: Whose policy asks.
        chain: As for `Verifier.verify`.
        responses: OCSP responses, DER.
        crls: CRLs, DER or PEM, or parsed, as they should be where they are long and asked more than once.
        cache: What a `Refresher` has kept; read, verified anew, never written. One that is down has nothing.
        at: Aware time; give the same one to `verify`. ``None`` is now.

    Raises:
        ConfigurationError: *at* is naive, or *responses* or *crls* holds something else than bytes.
    """
    given, held = _listed(responses() if callable(responses) else responses), held_crls(crls)
    _require_cache(cache)
    try:
        presented = PresentedChain.parse(chain, possession=Possession.NONE, limits=verifier.limits)
    except MalformedEvidence:
        return Facts.NONE
    judgement = verifier.judgement(presented, at=at)
    found: dict[Need, Fact] = {}
    for _ in range(ROUNDS):
        needs = [need for need in judgement.outcome(Facts(found)).needs if need.kind in _KINDS and need not in found]
        if not needs:
            break
        for need in needs:
            answer = _at_hand(need.key, given, held, cache, judgement.at)
            found[need] = Fact(answer, obtained_at(answer, judgement.at))
    return Facts(found)


def _require_cache(cache: object) -> None:
    if cache is not None and not isinstance(cache, Cache):
        raise ConfigurationError(f"cache={type(cache).__name__}: give a cache, such as revocation.SQLiteCache(path)")


def _at_hand(key: Any, responses: tuple[bytes, ...], held: Held, cache: Cache | None, at: datetime) -> RevocationAnswer:
    if isinstance(key, CRLQuestion):
        kept = held_crls([] if cache is None else _kept(cache, _crl_keys(key)))
        return crl_answer(key, Held(held.crls + kept.crls, held.problems + kept.problems), at=at)
    asked = _question(key)
    issuer, certificate = asked.issuer.layout.spki, asked.certificate
    if cache is not None:
        responses += tuple(_kept(cache, [ocsp_key(issuer, certificate.layout.issuer, certificate.serial_number)]))
    return best_answer(asked, responses, at=at)


def _crl_keys(question: CRLQuestion) -> list[str]:
    """Return under which keys a refresher keeps the CRLs of *question*; none where its pointers cannot be read."""
    url = question.rule.distribution_point
    try:
        urls = crl_urls(question.certificate) if url is None else (url,)
    except MalformedEvidence:
        return []
    return [crl_key(question.issuer.layout.spki, question.certificate.layout.issuer, one) for one in urls]


def _kept(cache: Cache, keys: list[str]) -> list[bytes]:
    """Return what *cache* has under *keys*, which nobody has verified."""
    found: list[bytes] = []
    for key in keys:
        try:
            statement = cache.get(key)
        except CacheFailed:
            return found
        if isinstance(statement, CachedStatement):
            found.append(statement.data)
    return found


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
        keep = RETRY if given is None else keep_for(answer, asked, at)
        return Answer(answer, obtained_at=obtained_at(answer, at), keep=keep)

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


def _question(key: Any) -> OCSPQuestion:
    if not isinstance(key, OCSPQuestion):
        raise ConfigurationError(f"{OCSP} is asked with an OCSPQuestion, not {type(key).__name__}")
    return key


def obtained_at(answer: RevocationAnswer, at: datetime) -> datetime:
    """Return what the age of an answer counts from: what it states, where it can be outdated by a later one."""
    if answer.told is RevocationStatus.GOOD and answer.this_update is not None:
        return min(answer.this_update, at)
    return at


def keep_for(answer: RevocationAnswer, question: RevocationQuestion, at: datetime) -> float | None:
    """Return for how many seconds an answer may be kept; ``None``: as long as its need allows."""
    if answer.final:
        return None
    if answer.told is not RevocationStatus.GOOD:
        return RETRY
    if answer.next_update is None:
        return None
    return max(timedelta(0), answer.next_update - at + question.rule.clock_skew).total_seconds()
