"""Evidence: values that policies look at, facts that have an age, addresses that are compared in one form."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import Possession
from mtlspolicy._evidence import (
    UNKNOWN_CONNECTION,
    Connection,
    Evidence,
    Fact,
    Facts,
    Need,
    RevocationStatus,
    plain_address,
)
from mtlspolicy._path_value import CertificationPath
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NEED = Need("partner.enrolled", "frodo", 5 * MINUTE)


def _evidence(**given: Any) -> Evidence:
    root = CertificateAuthority()
    path = CertificationPath((ParsedCertificate(root.issue_client("x").der), ParsedCertificate(root.der)), "DIRECT")
    return Evidence(path, at=NOW, **given)


def test_a_need_is_a_key() -> None:
    """Equal needs share one answer; kind, key and age are all part of one."""
    assert Need("a.b", "x") == Need("a.b", "x")
    assert len({Need("a.b", "x"), Need("a.b", "x"), Need("a.b", "y"), Need("a.c", "x"), NEED}) == 4
    with pytest.raises(AttributeError):
        NEED.kind = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("age", "max_age", "fresh"),
    [
        (timedelta(), None, True),
        (timedelta(days=9999), None, True),
        (5 * MINUTE, 5 * MINUTE, True),
        (5 * MINUTE + timedelta(microseconds=1), 5 * MINUTE, False),
        (-MINUTE, 5 * MINUTE, True),
        (MINUTE, timedelta(), False),
    ],
)
def test_a_fact_is_no_older_than_its_need_allows(age: timedelta, max_age: timedelta | None, fresh: bool) -> None:
    """Age is counted to the time of the decision; no limit takes any age, and a given fact has none."""
    assert Fact(1, NOW - age).fresh(max_age, NOW) is fresh
    assert Fact(1).fresh(max_age, NOW)


def test_evidence_shows_fresh_facts_alone() -> None:
    """A stale fact is an absent one; ``None`` as a value is a fact."""
    assert _evidence().fact(NEED) is None
    assert _evidence(facts=Facts({NEED: Fact(None, NOW)})).fact(NEED) == Fact(None, NOW)
    assert _evidence(facts=Facts({NEED: Fact(1, NOW - 6 * MINUTE)})).fact(NEED) is None
    assert _evidence(facts=Facts({NEED: Fact(1, NOW)})).fact(Need("other.kind", "frodo")) is None


def test_facts_are_found_by_need_and_then_by_kind() -> None:
    """A fact for the very need wins over one that was given for its kind."""
    facts = Facts({NEED: Fact(1, NOW)}, by_kind={"partner.enrolled": 2, "other.kind": None})
    assert facts.get(NEED) == Fact(1, NOW)
    assert facts.get(Need("partner.enrolled", "sam")) == Fact(2)
    assert facts.get(Need("other.kind", 1)) == Fact(None)
    assert facts.get(Need("third.kind", 1)) is None
    assert (len(facts), list(facts), repr(facts)) == (3, [NEED], "<Facts 3>")


def test_joining_facts_changes_none_of_them() -> None:
    """``with_`` returns new facts, and the newer ones win."""
    first = Facts({NEED: Fact(1)}, by_kind={"other.kind": 1})
    joined = first.with_({NEED: Fact(2), Need("third.kind", 1): Fact(3)})
    assert first.get(NEED) == Fact(1)
    assert joined.get(NEED) == Fact(2)
    assert joined.get(Need("other.kind", 1)) == Fact(1)
    assert (len(first), len(joined), len(Facts.NONE)) == (2, 3, 0)


def test_facts_do_not_follow_the_mapping_that_they_came_from() -> None:
    """A caller who changes his dictionary later changes no evidence."""
    given, kinds = {NEED: Fact(1)}, {"other.kind": 1}
    facts = Facts(given, by_kind=kinds)
    given.clear()
    kinds.clear()
    assert len(facts) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_an_address_has_one_form(text: str, expected: str) -> None:
    """The zone is removed and an IPv4-mapped address is IPv4, so that it is in the networks it belongs to."""
    assert plain_address(text) == ipaddress.ip_address(expected)


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.1:80", "[::1]", "192.0.2.01", "192.0.2", "%eth0", "0x7f.1"])
def test_what_is_no_address_is_an_error(text: str) -> None:
    """Nothing is guessed about an address."""
    with pytest.raises(ConfigurationError, match="is not an IP address"):
        plain_address(text)


def test_a_connection_shows_what_is_known() -> None:
    """Unknown parts are ``None`` and not shown; hostile text is shown as a literal."""
    assert repr(UNKNOWN_CONNECTION) == "Connection()"
    connection = Connection(transport_address="192.0.2.1", server_name="a\x1b", resumed=False)
    assert connection.client_address is None
    assert (connection.tls_version, connection.cipher, connection.resumed) == (None, None, False)
    assert repr(connection) == "Connection(resumed=False, server_name='a\\x1b', transport_address='192.0.2.1')"


def test_evidence_has_safe_defaults() -> None:
    """Nobody proved possession, nothing is known of the connection, no fact is there."""
    evidence = _evidence()
    assert evidence.possession is Possession.NONE
    assert evidence.connection is UNKNOWN_CONNECTION
    assert (evidence.facts, evidence.dialed, evidence.kept) == (Facts.NONE, None, None)


def test_revocation_has_four_answers() -> None:
    """Good, revoked, unknown, and the answer that was not to be had, which is none of these."""
    assert [status.value for status in RevocationStatus] == ["good", "revoked", "unknown", "unavailable"]
