"""Candidate paths: by name from the end entity to the anchors, in an order that the peer cannot choose, and bounded."""

from __future__ import annotations

from itertools import permutations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from mtlspolicy import _path_search
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._path_search import Search, search
from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken

ROOT = CertificateAuthority("root")
ISSUING = ROOT.intermediate("issuing")
LEAF = ISSUING.issue_client("client")
OTHER = CertificateAuthority("other root")
CROSS = OTHER.cross_sign(ISSUING)


def _parsed(*ders: bytes) -> tuple[ParsedCertificate, ...]:
    return tuple(map(ParsedCertificate, ders))


def _search(*ders: bytes, store: TrustStore, longest: int = 4, most: int = 8) -> Search:
    return search(_parsed(*ders), store, longest=longest, most=most)


def _ders(found: Search) -> list[tuple[bytes, ...]]:
    return [tuple(one.der for one in candidate) for candidate in found.candidates]


def test_the_path_of_a_usual_chain() -> None:
    """End entity, issuing CA, anchor: whether the peer or the store has the issuing CA."""
    expected = [(LEAF.der, ISSUING.der, ROOT.der)]
    assert _ders(_search(LEAF.der, ISSUING.der, store=TrustStore(anchors=[ROOT.der]))) == expected
    known = TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der])
    assert _ders(_search(LEAF.der, store=known)) == expected
    assert _ders(_search(LEAF.der, ISSUING.der, store=known)) == expected, "the same certificate twice is one candidate"
    assert _ders(_search(LEAF.der, store=TrustStore(anchors=[ISSUING.der]))) == [(LEAF.der, ISSUING.der)]


def test_what_does_not_belong_is_passed_over() -> None:
    """Certificates whose name nobody asks for make no candidate, whatever they are."""
    stray = OTHER.intermediate("stray")
    found = _search(LEAF.der, stray.der, OTHER.der, ISSUING.der, store=TrustStore(anchors=[ROOT.der]))
    assert _ders(found) == [(LEAF.der, ISSUING.der, ROOT.der)]
    assert not found.truncated
    assert not found.too_long


def test_a_root_that_was_sent_along_stands_below_no_anchor() -> None:
    """The entity of the anchor, under the same or another certificate of it, is no intermediate of its own path."""
    store = TrustStore(anchors=[ROOT.der])
    renewed = CertificateAuthority("root", key=ROOT.key)
    for extra in (ROOT.der, renewed.der):
        assert _ders(_search(LEAF.der, ISSUING.der, extra, store=store)) == [(LEAF.der, ISSUING.der, ROOT.der)]


def test_an_anchor_is_never_the_end_entity() -> None:
    """The end entity is signed by an anchor and is not itself one, nor another certificate of the same entity."""
    store = TrustStore(anchors=[ROOT.der])
    assert _ders(_search(ROOT.der, store=store)) == []
    assert _ders(_search(CertificateAuthority("root", key=ROOT.key).der, store=store)) == []


def test_cross_signed_issuer_gives_both_paths() -> None:
    """An issuing CA that two roots certified makes two candidates."""
    store = TrustStore(anchors=[ROOT.der, OTHER.der])
    found = _ders(_search(LEAF.der, ISSUING.der, CROSS.der, store=store))
    assert set(found) == {(LEAF.der, ISSUING.der, ROOT.der), (LEAF.der, CROSS.der, OTHER.der)}


def test_peer_chooses_no_order() -> None:
    """Every permutation of what is sent after the end entity gives the same candidates in the same order."""
    store = TrustStore(anchors=[ROOT.der, OTHER.der])
    extras = (ISSUING.der, CROSS.der, ROOT.der, OTHER.der, OTHER.intermediate("stray").der)
    orders = {tuple(_ders(_search(LEAF.der, *order, store=store))) for order in permutations(extras)}
    assert len(orders) == 1


def test_peer_chooses_no_order_where_the_search_ends_early() -> None:
    """Where there are more candidates than are looked for, which of them are found is not the peer's choice either."""
    anchors = [CertificateAuthority("x").der for _ in range(4)]
    store = TrustStore(anchors=anchors)
    extras = [CertificateAuthority("x").intermediate("x").der for _ in range(5)]
    leaf = CertificateAuthority("x").issue_client("client").der
    expected = _search(leaf, *extras, store=store)
    assert expected.truncated
    assert len(expected.candidates) == 8
    for order in list(permutations(extras))[::17]:
        assert _ders(_search(leaf, *order, store=store)) == _ders(expected)
    turned = TrustStore(anchors=anchors[::-1])
    assert _ders(_search(leaf, *extras, store=turned)) == _ders(expected), "nor does the order of the store matter"


def test_fitting_key_identifiers_come_first_then_the_shorter_path() -> None:
    """The path that is meant is tried first, so that junk of the same name costs the honest peer nothing."""
    impostors = [CertificateAuthority("issuing").der for _ in range(3)]
    found = _search(LEAF.der, *impostors, ISSUING.der, store=TrustStore(anchors=[ROOT.der, *impostors]))
    assert _ders(found)[0] == (LEAF.der, ISSUING.der, ROOT.der)
    both = TrustStore(anchors=[ROOT.der, ISSUING.der])
    assert [len(one) for one in _ders(_search(LEAF.der, ISSUING.der, store=both))] == [2, 3]
    direct = ROOT.issue_client("client")
    longer = OTHER.cross_sign(ROOT)
    found = _search(direct.der, longer.der, store=TrustStore(anchors=[ROOT.der, OTHER.der]))
    assert [len(one) for one in _ders(found)] == [2, 3]


def test_an_unreadable_key_identifier_does_not_fit() -> None:
    """Extensions that cannot be read put a candidate last; absent identifiers speak against nothing."""
    spoilt = broken("duplicate-extension", ROOT)
    twins = [CertificateAuthority("root", key=ROOT.key).der]
    found = _search(spoilt.der, store=TrustStore(anchors=[ROOT.der, CertificateAuthority("root").der]))
    assert len(found.candidates) == 2
    v1 = broken("v1-root", CertificateAuthority("root"))
    assert len(_search(v1.der, store=TrustStore(anchors=[v1.root_der, *twins])).candidates) == 2
    bare = ROOT.issue_client("client", extensions=())
    without = x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(ROOT.certificate.subject)], 5)
    from mtlspolicy.testing._hand_made import HandMade

    hand = HandMade.of(bare.certificate).setting(ExtensionOID.AUTHORITY_KEY_IDENTIFIER, without.public_bytes())
    data = hand.signed_by(ROOT.key)
    assert len(_search(data, store=TrustStore(anchors=[ROOT.der])).candidates) == 1


def test_self_issued_certificates_make_no_loop() -> None:
    """Four CAs of one name that certify each other: a name and key stands in a path once (RFC 4158, section 5.2)."""
    cas = [CertificateAuthority("loop") for _ in range(4)]
    crossed = [one.cross_sign(other).der for one in cas for other in cas if one is not other]
    leaf = cas[0].issue_client("client")
    found = _search(leaf.der, *crossed[:5], store=TrustStore(anchors=[cas[3].der]))
    for candidate in found.candidates:
        keys = [one.layout.spki for one in candidate]
        assert len(set(keys)) == len(keys)
    assert len(found.candidates) <= 8


def test_a_path_longer_than_the_limit_is_said_to_be_too_long() -> None:
    """Four certificates by default, end entity and anchor included; one more is not looked for."""
    lower = ISSUING.intermediate("lower")
    lowest = lower.intermediate("lowest")
    store = TrustStore(anchors=[ROOT.der])
    fits = _search(lower.issue_client("client").der, lower.der, ISSUING.der, store=store)
    assert [len(one) for one in fits.candidates] == [4]
    assert not fits.too_long
    found = _search(lowest.issue_client("client").der, lowest.der, lower.der, ISSUING.der, store=store)
    assert (found.candidates, found.too_long) == ((), True)
    short = _search(LEAF.der, ISSUING.der, store=store, longest=2)
    assert (short.candidates, short.too_long) == ((), True)
    intermediate_too_long = _search(LEAF.der, ISSUING.der, store=TrustStore(anchors=[ROOT.der, OTHER.der]), longest=3)
    assert not intermediate_too_long.too_long
    anchored = _search(LEAF.der, store=TrustStore(anchors=[ISSUING.der]), longest=1)
    assert (anchored.candidates, anchored.too_long) == ((), True)


@pytest.mark.parametrize("distrusted", [LEAF, ISSUING, ROOT])
def test_a_distrusted_key_is_in_no_path(distrusted: CertificateAuthority) -> None:
    """End entity, intermediate or anchor: a branch with a distrusted key ends, and the search says which."""
    store = TrustStore(anchors=[ROOT.der], distrusted=[distrusted.der])
    found = _search(LEAF.der, ISSUING.der, store=store)
    assert found.candidates == ()
    assert found.distrusted is not None
    assert found.distrusted.der == distrusted.der


def test_distrust_ends_one_branch_and_not_the_other() -> None:
    """A cross-signed issuer is still reached by the root that is trusted."""
    store = TrustStore(anchors=[ROOT.der, OTHER.der], distrusted=[ROOT.der])
    found = _search(LEAF.der, ISSUING.der, CROSS.der, store=store)
    assert _ders(found) == [(LEAF.der, CROSS.der, OTHER.der)]


def test_more_candidates_than_are_tried_are_said_to_be_more() -> None:
    """At most so many candidates are returned, and the rest is not silently forgotten."""
    anchors = [CertificateAuthority("same").der for _ in range(9)]
    leaf = CertificateAuthority("same").issue_client("client")
    found = _search(leaf.der, store=TrustStore(anchors=anchors))
    assert len(found.candidates) == 8
    assert found.truncated
    assert not _search(leaf.der, store=TrustStore(anchors=anchors[:8])).truncated


def test_forty_layers_and_a_hundred_intermediates_are_bounded() -> None:
    """Where a caller allows much, the search still ends: no branch is too long, and 64 candidates are enough."""
    authority, layers = ROOT, []
    for number in range(40):
        authority = authority.intermediate(f"layer {number}")
        layers.append(authority.der)
    found = _search(authority.issue_client("deep").der, *layers, store=TrustStore(anchors=[ROOT.der]))
    assert (found.candidates, found.too_long) == ((), True)
    same = [
        CertificateAuthority("hub", key=f"ec-p{256}").cross_sign(CertificateAuthority("hub")).der for _ in range(100)
    ]
    hub = CertificateAuthority("hub")
    found = _search(hub.issue_client("client").der, *same, store=TrustStore(anchors=[hub.der]))
    assert len(found.candidates) == 8
    assert found.truncated


def test_bytes_that_cannot_be_read_end_the_search() -> None:
    """What is sent along is read whole: rubbish among it is an error of the whole."""
    with pytest.raises(MalformedEvidence):
        _search(LEAF.der, b"rubbish", store=TrustStore(anchors=[ROOT.der]))


_STRAY = OTHER.intermediate("stray")
_PRESENTED = (LEAF, ISSUING, ROOT, OTHER, _STRAY, CertificateAuthority("root", key=ROOT.key), ISSUING.issue_client("b"))
_STORES = (
    TrustStore(anchors=[ROOT.der]),
    TrustStore(anchors=[ROOT.der, OTHER.der]),
    TrustStore(anchors=[ROOT.der, _PRESENTED[5].der]),
    TrustStore(anchors=[ISSUING.der]),
    TrustStore(anchors=[ISSUING.der, ROOT.der]),
    TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der]),
    TrustStore(anchors=[ROOT.der], distrusted=[OTHER.der]),
    TrustStore(anchors=[ROOT.der], distrusted=[ISSUING.der]),
)


def test_the_usual_chain_is_found_as_any_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One issuing CA below one anchor is found without a search, and what is found is what the search finds."""
    cases = [
        (one, other, store, longest)
        for one in _PRESENTED for other in _PRESENTED if one is not other
        for store in _STORES for longest in (2, 3, 4)
    ]  # fmt: skip

    def answers() -> list[Search]:
        return [
            search((_held(one), _held(other)), store, longest=longest, most=8) for one, other, store, longest in cases
        ]

    quick = answers()
    monkeypatch.setattr(_path_search, "_usual", lambda *_: None)
    assert answers() == quick
    assert sum(len(found.candidates) for found in quick) > 50


def _held(issued: CertificateAuthority | IssuedCertificate) -> ParsedCertificate:
    return ParsedCertificate(issued.der)
