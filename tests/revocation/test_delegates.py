"""What is known of delegates, and what they signed that waits for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import CRLQuestion, OCSPQuestion
from mtlspolicy.revocation import CachedStatement, RevocationAnswer
from mtlspolicy.revocation._delegates import Delegates
from tests.revocation.made import AT, ROOT, delegate

STATUS = RevocationStatus
FIRST, SECOND = (ParsedCertificate(delegate(extensions=[]).der) for _ in range(2))
ISSUER: Final = ParsedCertificate(ROOT.der)
GOOD: Final = RevocationAnswer(STATUS.GOOD, this_update=AT)
REVOKED: Final = RevocationAnswer(STATUS.REVOKED, this_update=AT)
HELD: Final = RevocationAnswer(STATUS.REVOKED, this_update=AT, reason="certificateHold")
NONE: Final = RevocationAnswer(STATUS.UNAVAILABLE)


def about(certificate: ParsedCertificate, *, delegate: bool = True) -> OCSPQuestion:
    """Return the question about a delegate."""
    return OCSPQuestion(certificate, ISSUER, delegate=delegate)


def statement(data: bytes) -> CachedStatement:
    """Return something signed."""
    return CachedStatement(data, AT, AT + timedelta(hours=1))


def test_what_was_signed_waits_until_its_delegate_is_good() -> None:
    """It is released once, by GOOD of that very delegate; not by no answer, nor by an ordinary question."""
    known = Delegates()
    known.wait("a", FIRST, statement(b"old"))
    known.wait("a", FIRST, statement(b"new"))
    known.wait("b", SECOND, statement(b"b"))
    assert known.learn(about(FIRST), NONE) == known.learn(about(FIRST, delegate=False), GOOD) == ()
    assert known.status(FIRST) is STATUS.UNAVAILABLE
    assert known.learn(about(FIRST), GOOD) == (("a", statement(b"new")),)
    assert known.learn(about(FIRST), GOOD) == ()
    assert (known.status(FIRST), known.status(SECOND)) == (STATUS.GOOD, STATUS.UNAVAILABLE)


def test_what_a_revoked_delegate_signed_is_dropped() -> None:
    """REVOKED stays whatever another method says; a hold ends with GOOD, and what it dropped is gone."""
    known = Delegates()
    known.wait("a", FIRST, statement(b"a"))
    assert known.learn(about(FIRST), HELD) == ()
    assert known.status(FIRST) is STATUS.REVOKED
    assert known.learn(about(FIRST), GOOD) == ()
    assert known.status(FIRST) is STATUS.GOOD
    known.wait("a", FIRST, statement(b"a"))
    known.learn(about(FIRST), REVOKED)
    assert known.learn(CRLQuestion(FIRST, ISSUER, delegate=True), GOOD) == ()
    assert known.status(FIRST) is STATUS.REVOKED


def test_it_is_bounded() -> None:
    """What was told first goes first."""
    known = Delegates(most=1, waiting=1)
    known.wait("a", FIRST, statement(b"a"))
    known.wait("b", FIRST, statement(b"b"))
    assert known.learn(about(FIRST), GOOD) == (("b", statement(b"b")),)
    known.learn(about(SECOND), GOOD)
    assert (known.status(FIRST), known.status(SECOND)) == (STATUS.UNAVAILABLE, STATUS.GOOD)
