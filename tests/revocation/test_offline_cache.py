"""What a cache holds, given to `facts`: read as it stands, verified anew under the asker's rule, and never trusted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mtlspolicy import Decision, TrustStore, Verifier, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import CachedStatement, CacheFailed, MemoryCache, crl_key, facts, ocsp_key
from mtlspolicy.testing import IssuedCertificate
from mtlspolicy.testing._hand_made import HandMade
from tests.revocation.made import AT, FRODO, LIFE, ROOT, Made
from tests.revocation.made_crls import MadeCRL, Revoked

URL = "http://crl.test/root.crl"
ISSUER = ParsedCertificate(ROOT.der)
POINTED = ROOT.issue_client("frodo", crl_url=URL, **LIFE)


def keys(leaf: IssuedCertificate) -> tuple[str, str]:
    """Return the keys of the leaf's OCSP responses and of its CRL."""
    of = ParsedCertificate(leaf.der)
    spki, name = ISSUER.layout.spki, of.layout.issuer
    return ocsp_key(spki, name, of.serial_number), crl_key(spki, name, URL)


def decision(leaf: IssuedCertificate, rule: str, cache: Any, **options: Any) -> Decision:
    """Return the decision on *leaf* by *rule* with what *cache* has."""
    policy = policies.CommonName("frodo") & policies.NotRevoked(rule, **options)
    asked = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=policy)
    return asked.decide([leaf.der], at=AT, facts=facts(asked, [leaf.der], cache=cache, at=AT))


def holding(key: str, data: bytes) -> MemoryCache:
    """Return a cache that holds *data* under *key*."""
    cache = MemoryCache()
    cache.put(key, CachedStatement(data, AT, AT + timedelta(days=9999)))
    return cache


def test_a_response_that_was_kept_decides() -> None:
    """It admits where it is good, and nothing else of the cache is asked for."""
    cache = holding(keys(FRODO)[0], Made().encoded())
    assert decision(FRODO, "ocsp", cache)
    assert decision(FRODO, "ocsp", MemoryCache()).code == "ocsp.unavailable"


@pytest.mark.parametrize(("listed", "code"), [(False, "policy.all"), (True, "crl.revoked")])
def test_a_list_that_was_kept_decides(listed: bool, code: str) -> None:
    """The CRL that a refresher has kept for the certificate's own distribution point, or for the rule's."""
    serial = POINTED.certificate.serial_number
    data = MadeCRL((Revoked(serial),) if listed else ()).encoded()
    assert decision(POINTED, "crl", holding(keys(POINTED)[1], data)).code == code
    bare = ROOT.issue_client("frodo", serial=serial, **LIFE)
    assert decision(bare, "crl", holding(keys(bare)[1], data), distribution_point=URL).code == code
    assert decision(bare, "crl", holding(keys(bare)[1], data)).code == "crl.unavailable"


@pytest.mark.parametrize("data", [b"garbage", Made(spoilt=True).encoded()])
def test_attack_what_was_written_into_a_cache_is_verified_again(data: bytes) -> None:
    """Who can write to the cache cannot make a statement of the issuer's."""
    assert decision(FRODO, "ocsp", holding(keys(FRODO)[0], data)).code == "ocsp.unavailable"
    assert decision(POINTED, "crl", holding(keys(POINTED)[1], data)).code == "crl.unavailable"


class Down:
    """A cache that is down."""

    def get(self, key: str) -> CachedStatement | None:
        """Fail."""
        raise CacheFailed(key)

    def put(self, key: str, statement: CachedStatement) -> None:
        """Fail."""
        raise CacheFailed(f"{key}: {statement}")

    def close(self) -> None:
        """Nothing is open."""


class Odd(Down):
    """A cache that gives something else."""

    def get(self, key: str) -> Any:
        """Return no statement."""
        return key


@pytest.mark.parametrize("cache", [Down(), Odd()])
def test_a_cache_that_is_down_has_nothing(cache: Any) -> None:
    """No exception comes out, and nobody is admitted."""
    assert decision(FRODO, "ocsp", cache).code == "ocsp.unavailable"
    assert decision(POINTED, "crl", cache).code == "crl.unavailable"


def test_pointers_that_cannot_be_read_lead_to_no_list() -> None:
    """A certificate whose cRLDistributionPoints are garbage has no key in the cache."""
    from cryptography import x509

    hand = HandMade.of(FRODO.certificate).setting(x509.ObjectIdentifier("2.5.29.31"), b"\x04\x00")
    leaf = IssuedCertificate(hand.signed_by(ROOT.key), FRODO.key, ROOT.der, ())
    assert decision(leaf, "crl", holding(keys(leaf)[1], MadeCRL().encoded())).code == "crl.unavailable"


def test_what_is_no_cache() -> None:
    """A path in place of a cache is refused by name."""
    with pytest.raises(ConfigurationError, match=r"revocation\.SQLiteCache\(path\)"):
        decision(FRODO, "ocsp", "revocation.db")
