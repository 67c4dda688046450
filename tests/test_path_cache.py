"""The memory of valid paths: bounded, keyed by every byte that matters, and nobody's place is taken by another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import TrustStore, Verifier, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._path_cache import ISSUERS, PRESENTATIONS, SELF_SIGNED, WHOLE, Entry, PathCache
from mtlspolicy._path_value import CertificationPath
from mtlspolicy.testing import CertificateAuthority, broken

ROOT = CertificateAuthority()
ISSUING = ROOT.intermediate("issuing")
LEAF = ISSUING.issue_client("client")


def _entry(end_entity: bytes) -> Entry:
    path = CertificationPath((ParsedCertificate(end_entity), ParsedCertificate(ROOT.der)), "PRIVATE_PKI")
    return Entry((path,), complete=True, kept=({},))


def _put(cache: PathCache, end_entity: bytes, variation: bytes) -> Any:
    key = cache.key("store", (end_entity, variation))
    cache.put(key, _entry(end_entity))
    return key


def test_an_entry_is_found_under_its_own_key_alone() -> None:
    """What is kept under a store and a chain is found under these."""
    cache = PathCache()
    key = _put(cache, b"leaf", b"a")
    assert cache.get(key) is not None
    assert cache.get(cache.key("another store", (b"leaf", b"a"))) is None
    assert cache.get(cache.key("store", (b"leaf",))) is None
    assert len(cache) == 1


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=5), st.lists(st.binary(max_size=6), min_size=1, max_size=5))
def test_keys_are_equal_only_for_equal_chains(one: list[bytes], other: list[bytes]) -> None:
    """Lengths are part of the key: where one certificate ends is not for the peer to choose."""
    cache = PathCache()
    assert (cache.key("s", tuple(one)) == cache.key("s", tuple(other))) is (one == other)


def test_an_end_entity_has_four_places() -> None:
    """Of many presentations by one end entity the last four are kept."""
    cache = PathCache(100)
    keys = [_put(cache, b"leaf", bytes([number])) for number in range(10)]
    assert len(cache) == PRESENTATIONS
    assert [key for key in keys if cache.get(key)] == keys[-PRESENTATIONS:]
    again = cache.get(keys[-1])
    assert again is not None
    cache.put(keys[-1], again)
    assert len(cache) == PRESENTATIONS


def test_a_peer_who_varies_his_chain_empties_nobody_elses_place() -> None:
    """Eviction attack: after a thousand variations of one end entity everybody else is still known."""
    cache = PathCache(64)
    others = [_put(cache, b"peer %d" % number, b"x") for number in range(20)]
    for number in range(1000):
        _put(cache, b"attacker", number.to_bytes(2, "big"))
    assert all(cache.get(key) is not None for key in others)


def test_surplus_presentations_leave_the_older_generation_too() -> None:
    """The four places are counted over both generations, and a surplus presentation is forgotten in both."""
    cache = PathCache(20)
    keys = [_put(cache, b"leaf", bytes([number])) for number in range(2)]
    for number in range(9):
        _put(cache, b"filler %d" % number, b"x")
    keys += [_put(cache, b"leaf", bytes([number])) for number in range(2, 5)]
    assert [cache.get(key) is not None for key in keys] == [False, True, True, True, True]


def test_the_size_is_bounded_and_what_is_asked_for_stays() -> None:
    """Ten thousand end entities leave a bounded memory; one that is asked for again and again is still there."""
    cache = PathCache(100)
    wanted = _put(cache, b"regular", b"x")
    for number in range(10_000):
        _put(cache, b"visitor %d" % number, b"x")
        if number % 20 == 0:
            assert cache.get(wanted) is not None
    assert len(cache) <= 100
    assert cache.get(_put(PathCache(), b"visitor 0", b"x")) is None


@pytest.mark.parametrize("size", [0, 1, 2])
def test_the_smallest_cache_works(size: int) -> None:
    """A cache of next to nothing forgets, and does not fail."""
    cache = PathCache(size)
    keys = [_put(cache, bytes([number]), b"x") for number in range(5)]
    assert cache.get(keys[-1]) is not None
    assert len(cache) <= 2


def test_a_self_signed_extra_is_dropped_before_the_digest() -> None:
    """A root that was sent along, once known, makes no other key; the end entity always counts."""
    cache = PathCache()
    chain = (LEAF.der, ISSUING.der, ROOT.der)
    assert cache.key("s", chain) != cache.key("s", chain[:2])
    cache.learn(tuple(map(ParsedCertificate, chain)))
    assert cache.key("s", chain) == cache.key("s", chain[:2])
    assert cache.key("s", (LEAF.der, ROOT.der, ISSUING.der)) == cache.key("s", chain[:2])
    assert cache.key("s", (ROOT.der,)) != cache.key("s", (LEAF.der,))
    assert cache.key("s", (ROOT.der, ISSUING.der)) != cache.key("s", (ISSUING.der,))
    assert cache.key("s", (LEAF.der, ISSUING.der)) != cache.key("s", (LEAF.der,)), "an intermediate is not dropped"


def test_only_what_verifies_with_its_own_key_counts_as_self_signed() -> None:
    """Self-issued certificates that another key signed can stand in a path: they stay in the key."""
    rolled = CertificateAuthority("roll").cross_sign(CertificateAuthority("roll"))
    weak = broken("issuer-rsa-1024", ROOT)
    cache = PathCache()
    for last in (rolled.der, ISSUING.der, weak.issuers_der[0]):
        cache.learn((ParsedCertificate(LEAF.der), ParsedCertificate(last)))
        assert cache.key("s", (LEAF.der, last)) != cache.key("s", (LEAF.der,))
    cache.learn((ParsedCertificate(ROOT.der),))
    assert cache.key("s", (LEAF.der, ROOT.der)) != cache.key("s", (LEAF.der,)), "an end entity alone is no extra"


def test_known_self_signed_certificates_are_bounded() -> None:
    """A peer who sends another self-signed certificate each time fills a bounded table and no more."""
    cache = PathCache()
    leaf = ParsedCertificate(LEAF.der)
    junk = [CertificateAuthority(f"junk {number}").der for number in range(SELF_SIGNED + 1)]
    for one in (*junk, junk[-1]):
        cache.learn((leaf, ParsedCertificate(one)))
    assert len(cache._self_signed) == 1


def test_a_ca_of_a_valid_path_is_parsed_once() -> None:
    """What is kept of one path for another is the parsed form of the same bytes, and never the end entity's."""
    cache = PathCache()
    leaf, issuing, root = (ParsedCertificate(one.der) for one in (LEAF, ISSUING, ROOT))
    path = CertificationPath((leaf, issuing, root), "PRIVATE_PKI")
    cache.put(cache.key("s", (LEAF.der, ISSUING.der)), Entry((path,), complete=True, kept=({},)))
    parsed = cache.parsed((LEAF.der, ISSUING.der, ROOT.der))
    assert [one.der for one in parsed] == [LEAF.der, ISSUING.der, ROOT.der]
    assert [one is known for one, known in zip(parsed, (leaf, issuing, root), strict=True)] == [False, True, False]
    assert cache.parsed((ISSUING.der,))[0] is not issuing, "an end entity is parsed anew"


def test_parsed_cas_are_bounded() -> None:
    """Many hostile CAs fill a bounded table and no more."""
    cache = PathCache()
    leaf, root = ParsedCertificate(LEAF.der), ParsedCertificate(ROOT.der)
    for number in range(ISSUERS + 1):
        issuer = ParsedCertificate(b"%d" % number)
        cache.put(
            ("s", (b"%d" % number,)), Entry((CertificationPath((leaf, issuer, root), "P"),), complete=True, kept=({},))
        )
    assert list(cache._issuers) == [b"%d" % ISSUERS]


def test_many_bytes_are_kept_as_a_digest() -> None:
    """Junk of a peer stays in memory as 32 bytes for each presentation; where one certificate ends counts still."""
    cache = PathCache()
    half = bytes(WHOLE // 2)
    assert cache.key("s", (half, half)) == ("s", (half, half))
    large = cache.key("s", (half, half, b"x"))
    assert len(large[1][-1]) == 32  # type: ignore[arg-type]
    others = [(half + b"x", half), (half, half + b"x"), (half, half, b"y"), (half, b"x", half), (half, half)]
    assert large not in [cache.key("s", other) for other in others]
    assert large == cache.key("s", (bytes(WHOLE // 2), half, b"x"))
    assert large != cache.key("t", (half, half, b"x"))


def test_a_key_holds_no_second_copy_of_an_issuer() -> None:
    """The bytes of an issuing CA, which every peer sends anew, are held once."""
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.der]), policy=policies.Anyone())
    for name in ("a", "b", "c"):
        client = ISSUING.issue_client(name)
        assert verifier.decide([client.der, bytes(bytearray(ISSUING.der))])
    held = {id(ders[1]) for _, ders in verifier._cache._new}
    assert (len(verifier._cache), len(held)) == (3, 1)
