"""A certification path: end entity to anchor, and when it is valid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._path_value import CertificationPath
from mtlspolicy.testing import CertificateAuthority

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


def _path(*ders: bytes) -> CertificationPath:
    return CertificationPath(tuple(map(ParsedCertificate, ders)), "PRIVATE_PKI")


def test_parts_of_a_path() -> None:
    """End entity first, its direct issuer, the anchor last; a path of one has no issuer."""
    root = CertificateAuthority("root", organization=None)
    issuing = root.intermediate("issuing", organization=None)
    leaf = issuing.issue_client("client")
    path = _path(leaf.der, issuing.der, root.der)
    assert (path.end_entity.der, path.anchor.der) == (leaf.der, root.der)
    assert path.issuer is not None
    assert path.issuer.der == issuing.der
    assert str(path) == "CN=client < CN=issuing < CN=root"
    assert repr(path) == "<CertificationPath CN=client < CN=issuing < CN=root>"
    alone = _path(leaf.der)
    assert alone.issuer is None
    assert alone.anchor.der == leaf.der


def test_the_validity_of_a_path_is_that_of_all_certificates() -> None:
    """Latest notBefore and earliest notAfter, anchor included, to the last second."""
    root = CertificateAuthority(not_before=NOW - HOUR, not_after=NOW + 2 * HOUR)
    issuing = root.intermediate(not_before=NOW - 3 * HOUR, not_after=NOW + HOUR)
    leaf = issuing.issue_client("client", not_before=NOW - 2 * HOUR, not_after=NOW + 3 * HOUR)
    path = _path(leaf.der, issuing.der, root.der)
    assert (path.not_before, path.not_after) == (NOW - HOUR, NOW + HOUR)
    tick = timedelta(microseconds=1)
    assert [path.valid_at(at) for at in (NOW - HOUR - tick, NOW - HOUR, NOW)] == [False, True, True]
    assert [path.valid_at(NOW + HOUR + rest) for rest in (timedelta(), timedelta(seconds=1) - tick)] == [True, True]
    assert not path.valid_at(NOW + HOUR + timedelta(seconds=1))


def test_a_certificate_without_end_is_valid_until_the_end_of_time() -> None:
    """99991231235959Z, "no well-defined expiration date" (RFC 5280, section 4.1.2.5), overflows nothing."""
    root = CertificateAuthority(not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    path = _path(root.issue_client("x", not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)).der, root.der)
    assert path.valid_at(NOW)
    assert path.valid_at(datetime.max.replace(tzinfo=UTC))


def test_name_constraints_are_those_of_the_cas() -> None:
    """Constraints of every CA of the path count, anchor included; those of the end entity do not."""
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("a.test")], excluded_subtrees=None)
    root = CertificateAuthority(name_constraints=constraints)
    plain = CertificateAuthority()
    leaf = root.issue_client("x", dns=["a.test"], extensions=[constraints])
    assert _path(leaf.der, root.der).name_constraints == (constraints,)
    assert _path(leaf.der, plain.der).name_constraints == ()
