"""What is known of delegates, and what they signed that waits for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import CRLQuestion, OCSPQuestion, OCSPRule
from mtlspolicy.revocation import CachedStatement, RevocationAnswer
from mtlspolicy.revocation._delegates import Delegates
from tests.revocation.made import AT, ROOT, delegate

STATUS = RevocationStatus
FIRST, SECOND = (ParsedCertificate(delegate(extensions=[]).der) for _ in range(2))
ISSUER: Final = ParsedCertificate(ROOT.der)
RULE: Final = OCSPRule()
NAMING: Final = OCSPRule(responders=(ISSUER,))
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
    known.wait("a", FIRST, RULE, statement(b"old"))
    known.wait("a", FIRST, RULE, statement(b"new"))
    known.wait("b", SECOND, RULE, statement(b"b"))
    assert known.learn(about(FIRST), NONE) == known.learn(about(FIRST, delegate=False), GOOD) == ()
    assert known.status(FIRST, RULE) is STATUS.UNAVAILABLE
    assert known.learn(about(FIRST), GOOD) == (("a", statement(b"new")),)
    assert known.learn(about(FIRST), GOOD) == ()
    assert (known.status(FIRST, RULE), known.status(SECOND, RULE)) == (STATUS.GOOD, STATUS.UNAVAILABLE)


def test_what_a_revoked_delegate_signed_is_dropped() -> None:
    """REVOKED stays whatever another method says; a hold ends with GOOD, and what it dropped is gone."""
    known = Delegates()
    known.wait("a", FIRST, RULE, statement(b"a"))
    assert known.learn(about(FIRST), HELD) == ()
    assert known.status(FIRST, RULE) is STATUS.REVOKED
    assert known.learn(about(FIRST), GOOD) == ()
    assert known.status(FIRST, RULE) is STATUS.GOOD
    known.wait("a", FIRST, RULE, statement(b"a"))
    known.learn(about(FIRST), REVOKED)
    assert known.learn(CRLQuestion(FIRST, ISSUER, delegate=True), GOOD) == ()
    assert known.status(FIRST, RULE) is STATUS.REVOKED


def test_it_is_bounded() -> None:
    """What was told first goes first."""
    known = Delegates(most=1, waiting=1)
    known.wait("a", FIRST, RULE, statement(b"a"))
    known.wait("b", FIRST, RULE, statement(b"b"))
    assert known.learn(about(FIRST), GOOD) == (("b", statement(b"b")),)
    known.learn(about(SECOND), GOOD)
    assert (known.status(FIRST, RULE), known.status(SECOND, RULE)) == (STATUS.UNAVAILABLE, STATUS.GOOD)


def test_what_a_named_responder_says_counts_where_it_is_named() -> None:
    """Of a delegate, in either direction; what the CA itself says counts everywhere, and REVOKED above all."""
    known = Delegates()
    known.wait("a", FIRST, RULE, statement(b"a"))
    known.wait("b", FIRST, NAMING, statement(b"b"))
    named = OCSPQuestion(FIRST, ISSUER, NAMING, delegate=True)
    assert known.learn(named, GOOD) == (("b", statement(b"b")),)
    assert (known.status(FIRST, RULE), known.status(FIRST, NAMING)) == (STATUS.UNAVAILABLE, STATUS.GOOD)
    known.learn(named, REVOKED)
    assert (known.status(FIRST, RULE), known.status(FIRST, NAMING)) == (STATUS.UNAVAILABLE, STATUS.REVOKED)
    assert known.learn(about(FIRST), GOOD) == (("a", statement(b"a")),)
    assert (known.status(FIRST, RULE), known.status(FIRST, NAMING)) == (STATUS.GOOD, STATUS.REVOKED)
    known.learn(about(SECOND), REVOKED)
    assert known.status(SECOND, NAMING) is STATUS.REVOKED
    assert known.status(SECOND, OCSPRule(allow_sha1=True)) is STATUS.UNAVAILABLE
