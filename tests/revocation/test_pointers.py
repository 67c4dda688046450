"""Where a certificate says that its revocation is published: URLs to use, others that still count, garbage."""

from __future__ import annotations

import pytest
from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation_pointers import (
    DistributionPoint,
    crl_urls,
    declares_crl,
    declares_ocsp,
    distribution_points,
    ocsp_urls,
)
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.testing import _der_writer as der
from tests.revocation.made import LIFE, ROOT
from tests.revocation.made_crls import HERE, THERE, full_name, uri

OCSP, CA_ISSUERS = "1.3.6.1.5.5.7.48.1", "1.3.6.1.5.5.7.48.2"
RELATIVE = der.explicit(0, der.explicit(1, der.sequence(der.object_identifier("2.5.4.3"), der.utf8_string("part 1"))))
REASONS = der.implicit(1, b"\x07\x80")
ISSUER = der.explicit(2, der.explicit(4, ROOT.certificate.subject.public_bytes()))


def made(*extensions: tuple[str, bytes]) -> ParsedCertificate:
    """Return a client's certificate with these extensions."""
    listed = [x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value) for oid, value in extensions]
    return ParsedCertificate(ROOT.issue_client("frodo", extensions=listed, **LIFE).der)


def access(*descriptions: tuple[str, bytes]) -> ParsedCertificate:
    """Return a certificate with this authorityInfoAccess."""
    return made(
        ("1.3.6.1.5.5.7.1.1", der.sequence(*(der.sequence(der.object_identifier(a), b) for a, b in descriptions)))
    )


def points(*members: bytes) -> ParsedCertificate:
    """Return a certificate with these distribution points."""
    return made(("2.5.29.31", der.sequence(*members)))


def test_a_certificate_without_pointers_has_none() -> None:
    """Absent extensions are no pointers, and no error."""
    plain = made()
    assert (ocsp_urls(plain), crl_urls(plain), distribution_points(plain)) == ((), (), ())
    assert not declares_ocsp(plain)
    assert not declares_crl(plain)


def test_responders_are_listed_in_order_and_once() -> None:
    """Other access methods and other schemes are no URL to ask, and a repeated one is asked once."""
    one, two = uri("http://ocsp.example.com"), uri("HTTPS://ocsp.example.com:8443/a?b")
    certificate = access((OCSP, one), (CA_ISSUERS, uri("http://ca.example.com")), (OCSP, two), (OCSP, one))
    assert ocsp_urls(certificate) == ("http://ocsp.example.com", "HTTPS://ocsp.example.com:8443/a?b")
    assert declares_ocsp(certificate)


def test_a_responder_of_another_kind_is_still_declared() -> None:
    """A CA that names a responder by ldap or by a directory name has said that there is one."""
    for name in (uri("ldap://ocsp.example.com/"), der.explicit(4, ROOT.certificate.subject.public_bytes())):
        certificate = access((OCSP, name))
        assert ocsp_urls(certificate) == ()
        assert declares_ocsp(certificate)


def test_issuers_certificates_alone_are_no_responder() -> None:
    """id-ad-caIssuers says nothing of revocation."""
    assert not declares_ocsp(access((CA_ISSUERS, uri("http://ca.example.com"))))


def test_complete_lists_of_the_issuer_itself_are_listed() -> None:
    """Points for some reasons only, or with another CRL issuer, name no list that says GOOD."""
    certificate = points(
        der.sequence(full_name(uri(HERE), uri("ldap://x/y"))),
        der.sequence(full_name(uri("http://partial.example.com/")), REASONS),
        der.sequence(full_name(uri("http://indirect.example.com/")), ISSUER),
        der.sequence(ISSUER),
        der.sequence(RELATIVE),
        der.sequence(full_name(uri(THERE), uri(HERE))),
    )
    assert crl_urls(certificate) == (HERE, THERE)
    found = distribution_points(certificate)
    assert [(one.partial, one.indirect, bool(one.relative)) for one in found] == [
        (False, False, False), (True, False, False), (False, True, False), (False, True, False),
        (False, False, True), (False, False, False),
    ]  # fmt: skip
    assert found[3] == DistributionPoint(indirect=True)


@pytest.mark.parametrize(
    "point", [der.sequence(full_name(uri("ldap://x/y"))), der.sequence(RELATIVE), der.sequence(ISSUER)]
)
def test_a_list_of_another_kind_is_still_declared(point: bytes) -> None:
    """A pointer that cannot be followed is no reason to take the certificate for one without."""
    assert crl_urls(points(point)) == ()
    assert declares_crl(points(point))


@pytest.mark.parametrize(
    "url",
    [
        "http://user@crl.example.com/a", "http://crl.example.com\\@evil/", "http://crl.example.com/a b",
        "http://crl.example.com/\r\nHost: evil", "http://crl.example.com/\x00", "http://", "file:///etc/passwd",
        "http://crl.example.com/\x7f", "http://[::1%25lo]/", "http:crl.example.com", "http://a/" + "x" * 2048,
    ],
)  # fmt: skip
def test_hostile_urls_are_declared_and_never_returned(url: str) -> None:
    """User names, white space, line ends, other schemes and URLs without end reach nobody who fetches."""
    certificate = points(der.sequence(full_name(uri(url))))
    assert crl_urls(certificate) == ()
    assert declares_crl(certificate)


@pytest.mark.parametrize(
    "value",
    [
        b"", der.sequence(), der.sequence(der.sequence()), der.sequence(der.sequence(REASONS)),
        der.sequence(der.integer(1)), der.set_of(der.sequence(full_name(uri(HERE)))),
        der.sequence(der.sequence(full_name(uri(HERE)))) + b"\x00", der.sequence(der.sequence(full_name())),
        der.sequence(der.sequence(der.explicit(0, uri(HERE)))), der.sequence(der.sequence(der.explicit(0, b""))),
        der.sequence(der.sequence(REASONS, full_name(uri(HERE)))),
        der.sequence(der.sequence(full_name(uri(HERE)), full_name(uri(THERE)))),
        der.sequence(der.sequence(full_name(uri(HERE)), der.implicit(3, b""))),
        der.sequence(der.sequence(full_name(uri(HERE))))[:-1],
    ],
)  # fmt: skip
def test_distribution_points_that_cannot_be_read_are_an_error(value: bytes) -> None:
    """Garbage is neither a pointer nor the absence of one."""
    certificate = made(("2.5.29.31", value))
    for read in (crl_urls, declares_crl):
        with pytest.raises(MalformedEvidence):
            read(certificate)


@pytest.mark.parametrize(
    "value",
    [
        b"", der.sequence(), der.sequence(der.sequence()), der.sequence(der.integer(1)), b"\x30\x80\x00\x00",
        der.sequence(der.sequence(der.object_identifier(OCSP))),
        der.sequence(der.sequence(uri("http://a/"), der.object_identifier(OCSP))),
        der.sequence(der.sequence(der.object_identifier(OCSP), uri("http://a/"), uri("http://b/"))),
    ],
)  # fmt: skip
def test_access_descriptions_that_cannot_be_read_are_an_error(value: bytes) -> None:
    """Garbage is neither a pointer nor the absence of one."""
    certificate = made(("1.3.6.1.5.5.7.1.1", value))
    for read in (ocsp_urls, declares_ocsp):
        with pytest.raises(MalformedEvidence):
            read(certificate)
