"""Of the CRLs at hand, what they together say about one certificate: a revocation above all, else the newest.

Pure: it reads no file and no clock. What it remembers from one question to the next its caller holds.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._revocation import CRLQuestion, RevocationAnswer, shown
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.revocation._crl import read_crl
from mtlspolicy.revocation._crl_layout import crl_blocks
from mtlspolicy.revocation._crl_list import RevocationList

CRLInput: TypeAlias = "bytes | RevocationList"
"""A CRL: DER, PEM with one or several, or parsed."""
Newest: TypeAlias = "MutableMapping[tuple[str, bytes, bytes, bool], datetime]"
"""By issuer's key, its name, what keeps its CRLs apart, and whether SHA-1 counted: the newest thisUpdate accepted."""

MOST: Final = 10_000
"""Parts of issuers' CRLs whose newest thisUpdate is remembered."""
_SEVERITY: Final = (RevocationStatus.GOOD, RevocationStatus.UNKNOWN, RevocationStatus.REVOKED)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_BESIDE_THE_POINT: Final = frozenset(
    {"crl.other-issuer", "crl.distribution-point", "crl.user-certificates-only", "crl.ca-certificates-only"}
)
"""What a CRL of somebody or something else is; it tells less about a certificate than any other refusal."""
_NONE_OF_THE_ISSUER: Final = (
    "no CRL of the certificate's issuer is at hand; give one of each issuer of the path, or say scope='end-entity' "
    "where only the peer's own issuer has one"
)


class Held(NamedTuple):
    """The CRLs at hand, each with where it came from, and a code and sentence for each place that gave none."""

    crls: tuple[tuple[RevocationList, str], ...] = ()
    problems: tuple[tuple[str, str], ...] = ()


def held_crls(crls: Iterable[CRLInput]) -> Held:
    """Return *crls*, parsed; those that cannot be read are the problems.

    Raises:
        ConfigurationError: *crls* is one CRL and no list, or holds something else than CRLs.
    """
    if isinstance(crls, bytes | bytearray | str | RevocationList):
        raise ConfigurationError(
            "crls: give a list of CRLs, [Path(name).read_bytes()], not one alone; crls_source also takes CRLFiles(name)"
        )
    found: list[tuple[RevocationList, str]] = []
    problems: list[tuple[str, str]] = []
    for place, one in enumerate(crls):
        if not isinstance(one, bytes | RevocationList):
            raise ConfigurationError(
                f"crls: {type(one).__name__} is no CRL; give its DER or PEM as bytes, as Path.read_bytes() does"
            )
        try:
            found += [(crl, crl.source) for crl in _parsed(one)]
        except MalformedEvidence as error:
            problems.append(("crl.malformed", f"crls[{place}]: {escape(str(error), 200)}"))
    return Held(tuple(found), tuple(problems))


def _parsed(crl: CRLInput) -> list[RevocationList]:
    if isinstance(crl, RevocationList):
        return [crl]
    return [RevocationList(block) for block in crl_blocks(crl)]


def crl_answer(question: CRLQuestion, held: Held, *, at: datetime, newest: Newest | None = None) -> RevocationAnswer:
    """Return what the CRLs at hand together say: a revocation first, else the newest answer, else why there is none.

    Args:
        question: Which certificate, by which issuer, under which rule.
        held: The CRLs, of whatever issuers; hostile ones do no harm.
        at: The aware time, as for `read_crl`.
        newest: What was accepted before; a CRL that is older than that of the same issuer, and of the same part of its
            certificates, is refused ``crl.rollback``. Written to.
    """
    issuer = question.certificate.layout.issuer
    own = [(crl, source) for crl, source in held.crls if crl.issuer == issuer]
    own.sort(key=lambda one: one[0].this_update, reverse=True)  # the newest first: it says what is older
    answers: list[RevocationAnswer] = []
    for crl, source in own:
        answer = read_crl(crl, question, at=at, source=source)
        answers.append(answer if newest is None else _not_older(crl, question, answer, newest))
    usable = [answer for answer in answers if answer.status is not RevocationStatus.UNAVAILABLE]
    if usable:
        return max(usable, key=weight)
    telling = sorted(answers, key=lambda answer: answer.code in _BESIDE_THE_POINT)
    return telling[0] if telling else _absent(held)


def _absent(held: Held) -> RevocationAnswer:
    code, detail = held.problems[0] if held.problems else ("crl.absent", _NONE_OF_THE_ISSUER)
    return RevocationAnswer(RevocationStatus.UNAVAILABLE, code, detail)


def weight(answer: RevocationAnswer) -> tuple[bool, datetime, int]:
    """Return what the answers are ordered by: final ones, then the newest, then the gravest.

    A contradictory OCSP response has no date of its own; it counts as the newest, so that nothing good hides it.
    """
    return answer.final, answer.this_update or _LAST, _SEVERITY.index(answer.status)


def _not_older(
    crl: RevocationList, question: CRLQuestion, answer: RevocationAnswer, newest: Newest
) -> RevocationAnswer:
    if answer.final or answer.status is RevocationStatus.UNAVAILABLE:
        return answer  # a revocation stays one, and its CRL may be dated ahead of the time
    key = (question.issuer.spki_sha256, crl.issuer, crl.partition, question.rule.allow_sha1)
    known = newest.get(key)
    if known is not None and crl.this_update < known:
        detail = f"thisUpdate {shown(crl.this_update)}, after a CRL of {shown(known)} was seen"
        return RevocationAnswer(RevocationStatus.UNAVAILABLE, "crl.rollback", detail, answer.source)
    if known is None and len(newest) >= MOST:
        newest.pop(next(iter(newest)))
    newest[key] = crl.this_update
    return answer
