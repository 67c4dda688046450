"""Trust stores: which certificate can have which role, and that a store is a value that nobody changes."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._trust import PUBLIC_SIZE, TrustStore, certificate_of
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken

ROOT = CertificateAuthority("root one")
OTHER = CertificateAuthority("root two")
ISSUING = ROOT.intermediate("issuing")
LEAF = ISSUING.issue_client("client")


def _self_signed() -> IssuedCertificate:
    return broken("self-signed", ROOT)


def test_roles_are_kept_apart() -> None:
    """Anchors, intermediates and distrusted keys stay what they were given as."""
    store = TrustStore(anchors=[ROOT.certificate], intermediates=[ISSUING.der], distrusted=[LEAF.certificate_pem])
    assert [one.der for one in store.anchors] == [ROOT.der]
    assert [one.der for one in store.intermediates] == [ISSUING.der]
    assert [one.der for one in store.distrusted] == [LEAF.der]
    assert store.peers == ()
    assert store.registered == frozenset()
    assert repr(store) == "<TrustStore 1 anchors, 1 intermediates, 1 distrusted>"


def test_an_issuing_ca_alone_may_be_the_anchor() -> None:
    """What is given as an anchor is one, whoever signed it; duplicates count once."""
    store = TrustStore(anchors=[ISSUING.certificate, ISSUING.der, ISSUING.pem, ParsedCertificate(ISSUING.der)])
    assert [one.der for one in store.anchors] == [ISSUING.der]


@pytest.mark.parametrize("given", [{}, {"intermediates": [ISSUING.der]}, {"distrusted": [ROOT.der]}, {"anchors": []}])
def test_a_store_that_trusts_nobody_is_refused(given: dict[str, Any]) -> None:
    """Empty trust is an error at construction, not a store that refuses everybody or nobody later."""
    with pytest.raises(ConfigurationError, match="the trust store is empty: give at least one anchor"):
        TrustStore(**given)


@pytest.mark.parametrize("role", ["anchors", "intermediates"])
def test_registered_peers_and_cas_never_mix(role: str) -> None:
    """`DIRECT` keeps two roles that a store never mixes."""
    given: Any = {role: [ROOT.der], "peers": [_self_signed().der]}
    with pytest.raises(ConfigurationError, match="anchors or peers, not both.* use two verifiers"):
        TrustStore(**given)
    with pytest.raises(ConfigurationError, match="not both"):
        _ = TrustStore(anchors=[ROOT.der]) | TrustStore(peers=[_self_signed().der])


def test_a_registered_peer_is_known_by_every_byte() -> None:
    """Registration is of bytes, not of names or keys."""
    peer = _self_signed()
    assert TrustStore(peers=[peer.certificate]).registered == {peer.der}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("self-signed", "its basicConstraints say CA:FALSE; register it with TrustStore\\(peers="),
        ("truncated", "anchors: not DER"),
        ("v1-with-extensions", "anchors: a certificate that says version 1 and has extensions"),
    ],
)
def test_what_cannot_be_an_anchor_is_refused_with_the_remedy(name: str, says: str) -> None:
    """An end entity, or bytes that cannot be read, is no anchor; the message names it."""
    with pytest.raises(ConfigurationError, match=says):
        TrustStore(anchors=[broken(name, ROOT).der])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("issuer-without-keycertsign", "its keyUsage lacks keyCertSign"),
        ("issuer-without-basic-constraints", "it has no basicConstraints; make it with basicConstraints=critical"),
    ],
)
def test_a_ca_that_may_not_sign_is_refused_in_both_roles(name: str, says: str) -> None:
    """An anchor without keyCertSign, or without basicConstraints, is refused at construction."""
    ca = broken(name, ROOT).issuers_der[0]
    with pytest.raises(ConfigurationError, match=f"cannot be a trust anchor: {says}") as caught:
        TrustStore(anchors=[ca])
    assert caught.value.code == "trust.not-a-ca"
    with pytest.raises(ConfigurationError, match=f"cannot be an intermediate: {says}"):
        TrustStore(anchors=[ROOT.der], intermediates=[ca])


def test_a_v1_certificate_is_an_anchor_and_no_intermediate() -> None:
    """Listing it in ``anchors`` declares a v1 certificate a CA; nothing makes it an intermediate."""
    root = broken("v1-root", ROOT).root_der
    assert TrustStore(anchors=[root]).anchors[0].version == 1
    with pytest.raises(
        ConfigurationError, match="cannot be an intermediate: it is X.509 v1, and an intermediate is v3"
    ):
        TrustStore(anchors=[ROOT.der], intermediates=[broken("v1-intermediate", ROOT).issuers_der[0]])


@pytest.mark.parametrize("name", ["duplicate-extension", "unsupported-general-name"])
def test_a_certificate_with_an_unreadable_extension_has_no_role(name: str) -> None:
    """What cannot be read whole is refused when the store is built, not at the first handshake."""
    data = broken(name, ROOT).der
    for role in ("anchors", "peers"):
        given: Any = {role: [data]}
        with pytest.raises(ConfigurationError, match="cannot be read"):
            TrustStore(**given)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TrustStore(anchors=[ROOT.der], intermediates=[data])


def test_a_ca_is_no_registered_peer() -> None:
    """A CA as a peer is refused: with v1 OpenSSL would let it issue for others."""
    with pytest.raises(ConfigurationError, match="cannot be a registered peer: its basicConstraints say CA:TRUE") as no:
        TrustStore(peers=[ROOT.der])
    assert no.value.code == "trust.peer-is-ca"
    assert TrustStore(peers=[broken("v1", ROOT).der]).peers[0].version == 1
    assert len(TrustStore(peers=[broken("no-eku", ROOT).der]).peers) == 1


def test_a_distrusted_certificate_needs_a_key_that_can_be_read() -> None:
    """A key that cannot be compared cannot be refused: the mistake is said at construction."""
    with pytest.raises(ConfigurationError, match="distrusted: "):
        TrustStore(anchors=[ROOT.der], distrusted=[b"rubbish"])
    unreadable = ParsedCertificate(b"rubbish")
    with pytest.raises(ConfigurationError, match="distrusted: "):
        TrustStore(anchors=[ROOT.der], distrusted=[unreadable])
    with pytest.raises(ConfigurationError, match="anchor: "):
        TrustStore(anchors=[unreadable])
    with pytest.raises(ConfigurationError, match="intermediate: "):
        TrustStore(anchors=[ROOT.der], intermediates=[unreadable])
    with pytest.raises(ConfigurationError, match="peer: "):
        TrustStore(peers=[unreadable])


def test_distrust_compares_keys_and_not_certificates() -> None:
    """A renewed, cross-signed or re-encoded certificate of a distrusted key is distrusted too."""
    cross = OTHER.cross_sign(ISSUING)
    store = TrustStore(anchors=[ROOT.der, OTHER.der], distrusted=[cross.der])
    assert store.distrusts(ParsedCertificate(ISSUING.der))
    assert not store.distrusts(ParsedCertificate(LEAF.der))
    compressed = broken("compressed-point", ROOT)
    plain = ROOT.issue_client("other name", key=compressed.key)
    assert TrustStore(anchors=[ROOT.der], distrusted=[plain.der]).distrusts(ParsedCertificate(compressed.der))
    assert not TrustStore(anchors=[ROOT.der]).distrusts(ParsedCertificate(b"rubbish")), (
        "nothing to compare, nothing read"
    )


@pytest.mark.parametrize("given", [ROOT.der, ROOT.certificate, ParsedCertificate(ROOT.der), "root.pem", None, 7])
def test_one_certificate_where_a_list_belongs_is_an_error(given: Any) -> None:
    """A string would be read letter by letter and bytes number by number: the message shows the list."""
    with pytest.raises(
        ConfigurationError, match=r"TrustStore\(anchors=...\) takes a list: write anchors=\[certificate\]"
    ):
        TrustStore(anchors=given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("root.pem", "anchors: str is not a certificate; .*for a file use .from_file"),
        (7, "anchors: int is not a certificate"),
        (None, "anchors: NoneType is not a certificate"),
        (b"", "anchors: not DER"),
        (ROOT.pem + OTHER.pem, "anchors: 2 certificates where one belongs"),
        (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "anchors: a PEM block"),
        (LEAF.key_pem, "anchors: a PEM block 'PRIVATE KEY' where only certificates belong"),
    ],
)
def test_what_is_no_certificate_is_an_error_that_says_so(given: Any, says: str) -> None:
    """One bad entry in a list refuses the whole and names the list."""
    with pytest.raises(ConfigurationError, match=says):
        TrustStore(anchors=[ROOT.der, given])


def test_a_certificate_is_taken_in_every_form() -> None:
    """`cryptography` certificate, PEM or DER as bytes, bytearray or memoryview."""
    for given in (ROOT.certificate, ROOT.pem, ROOT.der, bytearray(ROOT.der), memoryview(ROOT.pem)):
        assert certificate_of(given, "anchor").der == ROOT.der
    parsed = ParsedCertificate(ROOT.der)
    assert certificate_of(parsed, "anchor") is parsed


def test_an_expired_anchor_is_no_error_at_construction() -> None:
    """No clock is read while a store is built: paths to the anchor are refused instead."""
    expired = broken("expired-root", ROOT).root_der
    assert TrustStore(anchors=[expired]).anchors[0].der == expired


def test_stores_join() -> None:
    """``|`` joins every role, so that an old and a new CA are trusted together for a while."""
    left = TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der])
    right = TrustStore(anchors=[OTHER.der, ROOT.der], distrusted=[LEAF.der])
    joined = left | right
    assert [one.der for one in joined.anchors] == [ROOT.der, OTHER.der]
    assert (len(joined.intermediates), len(joined.distrusted)) == (1, 1)
    peers = TrustStore(peers=[broken("v1", ROOT).der]) | TrustStore(peers=[_self_signed().der])
    assert len(peers.peers) == 2
    with pytest.raises(TypeError):
        _ = left | {ROOT.der}


def test_equal_content_is_an_equal_store_in_any_order() -> None:
    """Digest and equality are of the content with its roles, not of the order or of a counter."""
    one = TrustStore(anchors=[ROOT.der, OTHER.der], intermediates=[ISSUING.der])
    same = TrustStore(anchors=[OTHER.pem, ROOT.certificate], intermediates=[ISSUING.der])
    assert one == same
    assert hash(one) == hash(same)
    assert one.digest == same.digest
    assert one != one.digest


@pytest.mark.parametrize(
    "other",
    [
        TrustStore(anchors=[ROOT.der]),
        TrustStore(anchors=[ISSUING.der, ROOT.der]),
        TrustStore(anchors=[OTHER.der], intermediates=[ISSUING.der]),
        TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der], distrusted=[LEAF.der]),
        TrustStore(peers=[LEAF.der]),
    ],
)
def test_another_role_or_certificate_is_another_digest(other: TrustStore) -> None:
    """The digest tells apart the same certificates in other roles."""
    assert TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der]).digest != other.digest
    assert TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der]) != other


def test_a_store_does_not_change_in_place() -> None:
    """Caches know a store by its content, so that its content is for ever."""
    store = TrustStore(anchors=[ROOT.der])
    with pytest.raises(AttributeError, match="a TrustStore is immutable: cannot set 'anchors'; join stores"):
        store.anchors = ()
    with pytest.raises(AttributeError, match="cannot set 'extra'"):
        store.extra = 1
    with pytest.raises(AttributeError, match="cannot delete 'anchors'"):
        del store.anchors
    assert len(store.anchors) == 1


def test_certificates_are_found_by_the_bytes_of_their_name() -> None:
    """Look-up is by name; several of one name come in an order that does not depend on how the store was written."""
    twins = [CertificateAuthority("twin").der for _ in range(3)]
    store, turned = TrustStore(anchors=[*twins, ROOT.der]), TrustStore(anchors=[ROOT.der, *twins[::-1]])
    name = ParsedCertificate(twins[0]).layout.subject
    assert len(store.anchors_named(name)) == 3
    assert store.anchors_named(name) == turned.anchors_named(name)
    assert store.anchors_named(b"") == ()
    below = TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der])
    assert below.intermediates_named(ParsedCertificate(ISSUING.der).layout.subject)[0].der == ISSUING.der
    assert below.intermediates_named(ParsedCertificate(ROOT.der).layout.subject) == ()


def test_many_anchors_or_one_of_certifis_make_a_store_public() -> None:
    """More than 20 anchors, or one that browsers trust too, count as public."""
    few = [CertificateAuthority(f"ca {number}").der for number in range(PUBLIC_SIZE)]
    assert not TrustStore(anchors=few).is_public
    assert TrustStore(anchors=[*few, ROOT.der]).is_public
    public = TrustStore.public()
    assert public.is_public
    assert TrustStore(anchors=[ROOT.der, public.anchors[0]]).is_public
    assert TrustStore.public() is public
    assert not TrustStore(peers=[LEAF.der]).is_public


def test_an_anchor_with_name_constraints_is_a_problem_for_direct() -> None:
    """`DIRECT` does not evaluate name constraints, so that an anchor that has some is refused there."""
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("a.test")], excluded_subtrees=None)
    constrained = CertificateAuthority("constrained", name_constraints=constraints)
    assert TrustStore(anchors=[ROOT.der]).direct_problem is None
    problem = TrustStore(anchors=[ROOT.der, constrained.der]).direct_problem
    assert problem is not None
    assert "CN=constrained" in problem
    assert "nameConstraints" in problem
