"""What a proxy states beside a certificate: exact words, all of them together, and a digest that must be right."""

from __future__ import annotations

import base64
import hashlib

import pytest

from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._verdict import Companion, Digest, Standing, joint_standing, not_verified

VERIFY = Companion("X-Verify", presented=frozenset({"SUCCESS"}), absent=frozenset({"NONE"}), failed="FAILED:.*")
THERE = Companion("x-there", presented=frozenset({"1"}), absent=frozenset({"0"}))
REVOKED = Companion("x-revoked", open=frozenset({"no"}), failed="yes")
ALL = (VERIFY, THERE, REVOKED)


@pytest.mark.parametrize(
    ("word", "standing"),
    [
        ("SUCCESS", Standing.PRESENTED),
        ("NONE", Standing.ABSENT),
        ("", Standing.ABSENT),
        ("FAILED:", Standing.FAILED),
        ("FAILED:certificate has expired\tnow", Standing.FAILED),
    ],
)
def test_words(word: str, standing: Standing) -> None:
    """Each word of the dialect has one meaning; the empty one says that there is nothing."""
    assert VERIFY.standing({"x-verify": word}) is standing


@pytest.mark.parametrize("word", ["success", "SUCCESS ", "SUCCESSFAILED:", "FAILED", " FAILED:x", "NONE,NONE", "null"])
def test_unknown_words_are_malformed(word: str) -> None:
    """A word that the dialect does not have is no verdict, and is escaped in the message."""
    with pytest.raises(MalformedEvidence, match="a word that it does not have") as caught:
        VERIFY.standing({"x-verify": word})
    assert caught.value.code == "forwarded.malformed"


def test_a_companion_without_failures_knows_none() -> None:
    """Where no expression is given, no word is a failure, the empty one included."""
    with pytest.raises(MalformedEvidence):
        THERE.standing({"x-there": "2"})
    assert THERE.standing({"x-there": ""}) is Standing.ABSENT


def test_a_missing_companion_names_the_remedy() -> None:
    """What a hop removed is half of what the proxy wrote."""
    with pytest.raises(MalformedEvidence, match="have the proxy set it") as caught:
        VERIFY.standing({"x-there": "1"})
    assert caught.value.code == "forwarded.companion"


@pytest.mark.parametrize(
    ("said", "standing"),
    [
        (("SUCCESS", "1", "no"), Standing.PRESENTED),
        (("SUCCESS", "1", "yes"), Standing.FAILED),
        (("FAILED:x", "1", "no"), Standing.FAILED),
        (("FAILED:x", "0", "no"), Standing.ABSENT),
        (("NONE", "0", "yes"), Standing.ABSENT),
        (("NONE", "0", "no"), Standing.ABSENT),
    ],
)
def test_all_words_together(said: tuple[str, str, str], standing: Standing) -> None:
    """Failure outweighs presence, absence failure: a proxy without certificate also says that none verified."""
    assert joint_standing(ALL, dict(zip(("x-verify", "x-there", "x-revoked"), said, strict=True))) is standing


@pytest.mark.parametrize("said", [("SUCCESS", "0"), ("NONE", "1")])
def test_contradictions_are_malformed(said: tuple[str, str]) -> None:
    """One header says that there is a certificate, another that there is none: one of them is somebody else's."""
    with pytest.raises(MalformedEvidence, match="there and that it is not") as caught:
        joint_standing((VERIFY, THERE), dict(zip(("x-verify", "x-there"), said, strict=True)))
    assert caught.value.code == "forwarded.companion"


def test_nothing_said() -> None:
    """Without companions, and with those alone that say nothing about presence, all is open."""
    assert joint_standing((), {}) is Standing.OPEN
    assert joint_standing((REVOKED,), {"x-revoked": "no"}) is Standing.OPEN


def test_the_reason_is_hostile_text() -> None:
    """The reason comes from a certificate that nobody verified: it is escaped and cut."""
    error = not_verified((VERIFY,), {"x-verify": "FAILED:\x1b[2J" + "a" * 1000})
    assert error.code == "forwarded.not-verified"
    assert r"x-verify: 'FAILED:\x1b[2J" in str(error)
    assert len(str(error)) < 500


def test_digest_in_hex_and_in_base64() -> None:
    """Either case of hex, base64 with or without padding; nothing else and no other digest."""
    raw = hashlib.sha256(b"der").digest()
    Digest("X-Hash").require(raw.hex().upper(), b"der")
    padded = base64.b64encode(raw).decode()
    Digest("x-hash", "base64").require(padded, b"der")
    Digest("x-hash", "base64").require(padded.rstrip("="), b"der")
    for digest, text in [
        (Digest("x-hash"), hashlib.sha256(b"other").hexdigest()),
        (Digest("x-hash"), raw.hex()[:-1]),
        (Digest("x-hash"), padded),
        (Digest("x-hash", "base64"), raw.hex()),
        (Digest("x-hash", "base64"), base64.urlsafe_b64encode(hashlib.sha256(b"other").digest()).decode()),
        (Digest("x-hash", "base64"), ""),
    ]:
        with pytest.raises(MalformedEvidence, match="'x-hash' is not the SHA-256"):
            digest.require(text, b"der")


@pytest.mark.parametrize("name", ["", "x_verify", "x verify", "connection"])
def test_names_of_headers(name: str) -> None:
    """A companion and a digest have names like every header that a source reads."""
    with pytest.raises(ConfigurationError):
        Companion(name)
    with pytest.raises(ConfigurationError):
        Digest(name)
