"""What a client registers, and whom its certificates must name (RFC 8705, section 2.1; RULES 28)."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import ConfigurationError, MTLSPolicyError, Verdict, oauth, policies, testing
from mtlspolicy.oauth._metadata import SUBJECTS
from tests.oauth.pki import pki_client, self_signed_client

CN: Final = NameOID.COMMON_NAME
Part = tuple[x509.ObjectIdentifier, str]


def subject(*rdns: Part | tuple[Part, ...]) -> x509.Name:
    """Return a name, most general RDN first; an RDN is one attribute or several."""
    found: list[x509.RelativeDistinguishedName] = []
    for rdn in rdns:
        parts: Any = [rdn] if isinstance(rdn[0], x509.ObjectIdentifier) else rdn
        found.append(x509.RelativeDistinguishedName(x509.NameAttribute(oid, value) for oid, value in parts))
    return x509.Name(found)


def answer(registered: dict[str, Any], **names: Any) -> tuple[Verdict, str]:
    """Return verdict and code of the client's policy on a certificate with these names."""
    if "subject" in names:
        names = {"certificate": testing.CertificateAuthority("A").issue_client(None, subject=names["subject"])}
    decision = oauth.client_policy(pki_client(**registered)).evaluate(testing.evidence(**names))
    return decision.verdict, decision.code


@pytest.mark.parametrize(
    ("registered", "names", "verdict"),
    [
        ({"tls_client_auth_san_dns": "api.a.test"}, {"dns": ["API.a.test"]}, Verdict.PERMIT),
        ({"tls_client_auth_san_dns": "api.a.test"}, {"dns": ["b.test", "api.a.test"]}, Verdict.PERMIT),
        ({"tls_client_auth_san_dns": "api.a.test"}, {"dns": ["api.a.test.evil.test"]}, Verdict.DENY),
        ({"tls_client_auth_san_dns": "api.a.test"}, {"dns": ["*.a.test"]}, Verdict.INDETERMINATE),
        ({"tls_client_auth_san_dns": "api.a.test"}, {"common_name": "api.a.test"}, Verdict.INDETERMINATE),
        ({"tls_client_auth_san_uri": "https://a.test/x"}, {"uris": ["https://a.test/x"]}, Verdict.PERMIT),
        ({"tls_client_auth_san_uri": "https://a.test/x"}, {"uris": ["https://A.test/x"]}, Verdict.DENY),
        ({"tls_client_auth_san_ip": "2001:db8:0:0::1"}, {"ips": ["2001:db8::1"]}, Verdict.PERMIT),
        ({"tls_client_auth_san_ip": "192.0.2.1"}, {"ips": ["192.0.2.1"]}, Verdict.PERMIT),
        ({"tls_client_auth_san_ip": "::ffff:192.0.2.1"}, {"ips": ["192.0.2.1"]}, Verdict.PERMIT),
        ({"tls_client_auth_san_ip": "192.0.2.1"}, {"ips": ["192.0.2.10"]}, Verdict.DENY),
        ({"tls_client_auth_san_ip": "192.0.2.1"}, {"dns": ["192.0.2.1"]}, Verdict.INDETERMINATE),
        ({"tls_client_auth_san_email": "ops@a.test"}, {"emails": ["ops@A.test"]}, Verdict.PERMIT),
        ({"tls_client_auth_san_email": "ops@a.test"}, {"emails": ["OPS@a.test"]}, Verdict.DENY),
        ({"tls_client_auth_subject_dn": "cn=frodo"}, {"subject": subject((CN, "frodo"))}, Verdict.PERMIT),
        ({"tls_client_auth_subject_dn": "CN=frodo"}, {"subject": subject((CN, "sam"))}, Verdict.DENY),
    ],
)
def test_each_parameter_is_compared_with_names_of_its_kind(
    registered: dict[str, Any], names: dict[str, Any], verdict: Verdict
) -> None:
    """A name counts where it stands as what it was registered as, and nowhere else."""
    assert answer(registered, **names)[0] is verdict


def test_a_certificate_without_subject_is_nobody() -> None:
    """An empty subject is no name that was registered, and is not denied under a negation either."""
    nameless = testing.CertificateAuthority("A").issue_client(None, organization=None, dns=["a.test"])
    assert nameless.certificate.subject.rdns == []
    decision = oauth.client_policy(pki_client(tls_client_auth_subject_dn="CN=a")).evaluate(
        testing.evidence(certificate=nameless)
    )
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "name.absent")


@pytest.mark.parametrize(
    ("text", "presented", "code"),
    [
        ("CN=Frodo Baggins", "frodo  BAGGINS", "name.match"),
        ("CN=frodo   baggins", "Frodo Baggins", "name.match"),
        ("CN=frodo", " frodo", "name.mismatch"),
        ("CN=frodo baggins", "frodobaggins", "name.mismatch"),
        ("CN=kelvin", "\u212aelvin", "name.mismatch"),
        ("CN=final", "\ufb01nal", "name.mismatch"),
        ("CN=frodo", "fro\u00addo", "name.mismatch"),
        ("CN=fro do", "fro\u00a0do", "name.mismatch"),
        ("CN=stra\u00dfe", "strasse", "name.mismatch"),
        ("CN=\u00c9clair", "\u00e9clair", "name.mismatch"),
        ("CN=f\uff52odo", "frodo", "name.mismatch"),
        (r"CN=frodo\, junior", "Frodo, Junior", "name.match"),
        ("CN=#0c0546726f646f", "frodo", "name.match"),
    ],
)
def test_subjects_differ_in_ascii_case_and_runs_of_spaces_only(text: str, presented: str, code: str) -> None:
    """Of RFC 4518 nothing else is done: what a CA took for two names stays two."""
    registered = {"tls_client_auth_subject_dn": text}
    assert answer(registered, subject=subject((CN, presented)))[1] == code


def test_order_of_rdns_counts_and_order_within_one_does_not() -> None:
    """RFC 4517, distinguishedNameMatch; a text that matches backwards only is said to."""
    organization, unit = NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME
    registered = {"tls_client_auth_subject_dn": "CN=Frodo+OU=Ring,O=Shire"}
    same = subject((organization, "shire"), ((unit, "RING"), (CN, "frodo")))
    assert answer(registered, subject=same)[1] == "name.match"
    backwards = subject(((CN, "frodo"), (unit, "ring")), (organization, "shire"))
    assert answer(registered, subject=backwards) == (Verdict.INDETERMINATE, "name.reversed")
    longer = subject((NameOID.COUNTRY_NAME, "NZ"), (organization, "shire"), ((unit, "ring"), (CN, "frodo")))
    assert answer(registered, subject=longer)[1] == "name.mismatch"
    apart = subject((organization, "shire"), (unit, "ring"), (CN, "frodo"))
    assert answer(registered, subject=apart)[1] == "name.mismatch"


def test_an_rdn_whose_attributes_fold_into_one_is_a_doubt() -> None:
    """``CN=a+CN=A`` does not become ``CN=a``."""
    two = subject(((CN, "a"), (CN, "A")))
    assert answer({"tls_client_auth_subject_dn": "CN=a"}, subject=two) == (Verdict.INDETERMINATE, "name.ambiguous")
    with pytest.raises(ConfigurationError, match="differ in case or spaces only"):
        oauth.client_policy(pki_client(tls_client_auth_subject_dn="CN=a+CN=A"))


def test_values_of_unknown_types_are_compared_exactly() -> None:
    """Nobody here knows whether two spellings of them are two things."""
    private = x509.ObjectIdentifier("1.2.3.4.5")
    registered = {"tls_client_auth_subject_dn": "CN=frodo,1.2.3.4.5=aB"}
    assert answer(registered, subject=subject((private, "aB"), (CN, "FRODO")))[1] == "name.match"
    assert answer(registered, subject=subject((private, "ab"), (CN, "FRODO")))[1] == "name.mismatch"


def test_a_subject_that_cannot_be_read_is_a_doubt() -> None:
    """A T61String is not guessed at."""
    unreadable = testing.broken("t61-string-cn", testing.CertificateAuthority("A"))
    policy = oauth.client_policy(pki_client(tls_client_auth_subject_dn="CN=frodo"))
    decision = policy.evaluate(testing.evidence(certificate=unreadable))
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "name.unreadable")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"tls_client_auth_subject_dn": None},
        {"tls_client_auth_subject_dn": "CN=a", "tls_client_auth_san_dns": "a.test"},
        dict.fromkeys(SUBJECTS, "a.test"),
        {"tls_client_auth_san_dns": ["a.test"]},
        {"tls_client_auth_san_dns": 3},
        {"tls_client_auth_san_dns": ""},
        {"tls_client_auth_san_dns": "*.a.test"},
        {"tls_client_auth_san_dns": "192.0.2.1"},
        {"tls_client_auth_san_uri": "no uri"},
        {"tls_client_auth_san_ip": "192.0.2.0/24"},
        {"tls_client_auth_san_ip": "0.0.0.0/0"},
        {"tls_client_auth_san_ip": "192.0.2.1/32"},
        {"tls_client_auth_san_ip": "fe80::1%eth0"},
        {"tls_client_auth_san_ip": "192.0.2.1:443"},
        {"tls_client_auth_san_ip": "192.0.2.01"},
        {"tls_client_auth_san_email": "a.test"},
        {"tls_client_auth_subject_dn": ""},
        {"tls_client_auth_subject_dn": "/C=NZ/CN=frodo"},
        {"tls_client_auth_subject_dn": "CN="},
        {"tls_client_auth_subject_dn": "frodo"},
    ],
)
def test_metadata_with_none_or_several_names_or_a_wrong_one(metadata: dict[str, Any]) -> None:
    """Exactly one parameter, and one name in it: a network would be everybody in it."""
    with pytest.raises(ConfigurationError) as raised:
        oauth.client_policy(pki_client(**metadata))
    assert raised.value.code == "oauth.metadata"
    with pytest.raises(ConfigurationError):
        oauth.registered_subject(pki_client(**metadata))


def test_null_counts_as_left_out() -> None:
    """A row of a data base has every column."""
    row = {**dict.fromkeys(SUBJECTS), "tls_client_auth_san_dns": "a.test"}
    assert oauth.client_policy(pki_client(**row)) == policies.DNSName("a.test")


@pytest.mark.parametrize("method", [None, "client_secret_basic", "none", 3, [], "TLS_CLIENT_AUTH"])
def test_a_client_of_another_method_has_no_policy(method: Any) -> None:
    """Left out, the method is ``client_secret_basic`` (RFC 7591): names in the metadata change nothing about it."""
    metadata = {"token_endpoint_auth_method": method, "tls_client_auth_san_dns": "a.test"}
    with pytest.raises(ConfigurationError, match="token_endpoint_auth_method"):
        oauth.client_policy(metadata)


def test_registered_certificates_are_no_names() -> None:
    """A client of self-signed certificates has none to compare."""
    with pytest.raises(ConfigurationError, match="client_verifier"):
        oauth.client_policy(self_signed_client(tls_client_auth_san_dns="a.test"))


@pytest.mark.parametrize("metadata", [None, [], "{}", 3, b"{}"])
def test_what_is_no_metadata(metadata: Any) -> None:
    """Text that nobody parsed is the caller's mistake."""
    with pytest.raises(ConfigurationError, match="JSON object"):
        oauth.client_policy(metadata)


@pytest.mark.parametrize(
    ("kind", "first", "second", "text"),
    [
        ("subject_dn", "CN=Frodo  B,O=Shire", "cn=frodo b,2.5.4.10=shire", "CN=frodo b,O=shire"),
        ("san_dns", "A.test", "a.TEST", "a.test"),
        ("san_ip", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("san_ip", "2001:DB8:0::1", "2001:db8::1", "2001:db8::1"),
        ("san_email", "a@B.test", "a@b.test", "a@b.test"),
    ],
)
def test_two_registrations_of_one_subject_are_told(kind: str, first: str, second: str, text: str) -> None:
    """Equal text, equal policy: a unique index refuses the second client that would be the first."""
    name = f"tls_client_auth_{kind}"
    one, other = pki_client(**{name: first}), pki_client(**{name: second})
    assert oauth.registered_subject(one) == oauth.registered_subject(other) == f"{name}:{text}"
    assert oauth.client_policy(one) == oauth.client_policy(other)


_VALUE: Final = st.none() | st.integers() | st.text(max_size=30) | st.lists(st.text(), max_size=2)


@given(metadata=st.dictionaries(st.sampled_from([*SUBJECTS, "jwks", "jwks_uri"]), _VALUE, max_size=3))
def test_any_metadata_give_a_policy_or_our_error(metadata: dict[str, Any]) -> None:
    """A registration endpoint takes what strangers send."""
    try:
        policy = oauth.client_policy(pki_client(**metadata))
    except MTLSPolicyError as error:
        assert isinstance(error, ConfigurationError)  # noqa: PT017 - nothing else may come of it
    else:
        assert policy.identifies
        assert oauth.registered_subject(pki_client(**metadata)).startswith("tls_client_auth_")


@given(address=st.ip_addresses())
def test_addresses_are_compared_in_binary(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Every way to write an address is that address."""
    exploded = oauth.client_policy(pki_client(tls_client_auth_san_ip=address.exploded.upper()))
    assert exploded == oauth.client_policy(pki_client(tls_client_auth_san_ip=str(address)))
