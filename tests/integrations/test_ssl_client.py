"""The names that mod_ssl has for a client's certificate: which ones, how they are written, what is deleted first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from werkzeug.test import Client

from mtlspolicy import PathValidationError, VerifiedPeer, testing
from mtlspolicy._names import COMMON_NAME, DistinguishedName
from mtlspolicy._pem import write_pem
from mtlspolicy.integrations import wsgi
from mtlspolicy.integrations._ssl_client import _names, printable
from mtlspolicy.integrations.testing import as_peer
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

UPPER: Final = CertificateAuthority("Names root").intermediate("Upper")
LOWER: Final = UPPER.intermediate("Lower")
SAM: Final = LOWER.issue_client(
    "sam", organization='Å "x", y', dns=["a.test", "*.b.test"], emails=["sam@a.test"], uris=["urn:sam"], serial=0xA12
)
NEW: Final = (
    "SSL_CLIENT_S_DN_CN", "SSL_CLIENT_I_DN_CN", "SSL_CLIENT_M_VERSION", "SSL_CLIENT_CERT_CHAIN_0",
    "SSL_CLIENT_CERT_CHAIN_7", "SSL_CLIENT_SAN_DNS_0", "SSL_CLIENT_SAN_DNS_7", "SSL_CLIENT_SAN_Email_0",
)  # fmt: skip
HOSTILE: Final = "fro\ndo\0\u202e\N{NO-BREAK SPACE}"


def found(who: VerifiedPeer | None, **left: str) -> dict[str, str]:
    """Return the names that an application finds, where a server has *left* some in the environ already."""
    names: dict[str, str] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        names.update({key: value for key, value in environ.items() if "SSL_" in key.upper()})
        start_response("204 No Content", [])
        return []

    app_of_ours = wsgi.Middleware(app, source="connection", required=False)
    assert Client(as_peer(app_of_ours, who)).get("/", environ_overrides=left).status_code == 204
    return names


def names_of(issued: IssuedCertificate, **left: str) -> dict[str, str]:
    """Return the same of whom a real verifier admits with *issued*."""
    return found(testing.peer(certificate=issued), **left)


def named(*attributes: x509.NameAttribute[Any]) -> IssuedCertificate:
    """Return a certificate with this subject."""
    return LOWER.issue_client(subject=x509.Name(attributes), dns=["a.test"])


def cn(text: str) -> x509.NameAttribute[str]:
    """Return a common name."""
    return x509.NameAttribute(NameOID.COMMON_NAME, text)


def test_the_names_of_a_client() -> None:
    """Each as mod_ssl 2.4.71 writes it, most specific attribute first; the chain without end entity and anchor."""
    names = names_of(SAM)
    assert names.pop("SSL_CLIENT_V_START").endswith(" GMT")
    assert names.pop("SSL_CLIENT_V_END").endswith(" GMT")
    assert names == {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_S_DN": r"CN=sam,O=Å \"x\"\, y",
        "SSL_CLIENT_S_DN_CN": "sam",
        "SSL_CLIENT_I_DN": "CN=Lower,O=mtlspolicy TEST CA",
        "SSL_CLIENT_I_DN_CN": "Lower",
        "SSL_CLIENT_M_VERSION": "3",
        "SSL_CLIENT_M_SERIAL": "0A12",
        "SSL_CLIENT_CERT": write_pem(SAM.der),
        "SSL_CLIENT_CERT_CHAIN_0": write_pem(LOWER.der),
        "SSL_CLIENT_CERT_CHAIN_1": write_pem(UPPER.der),
        "SSL_CLIENT_SAN_DNS_0": "a.test",
        "SSL_CLIENT_SAN_DNS_1": "*.b.test",
        "SSL_CLIENT_SAN_Email_0": "sam@a.test",
    }


@pytest.mark.parametrize("name", NEW)
def test_smuggled_names_are_deleted(name: str) -> None:
    """What the process, another layer or an internal redirect left is gone, whether somebody was admitted or not."""
    left = dict.fromkeys((name, name.lower(), f"REDIRECT_{name}"), "EVIL")
    assert found(None, **left) == {"SSL_CLIENT_VERIFY": "NONE"}
    without_any = names_of(LOWER.issue_client(uris=["urn:nobody"]), **left)
    assert "EVIL" not in without_any.values()
    assert without_any["SSL_CLIENT_VERIFY"] == "SUCCESS"


def test_without_a_subject_the_name_is_empty() -> None:
    """RFC 4514, section 2.1: the empty sequence is the empty text, and no word that a certificate could spell."""
    names = names_of(LOWER.issue_client(dns=["a.test"]))
    assert names["SSL_CLIENT_S_DN"] == ""
    assert "SSL_CLIENT_S_DN_CN" not in names
    assert names["SSL_CLIENT_SAN_DNS_0"] == "a.test"
    assert names_of(LOWER.issue_client("(empty name)"))["SSL_CLIENT_S_DN"] == "CN=(empty name)"


def test_of_several_common_names_none_is_the_one() -> None:
    """mod_ssl writes the first: whoever had his own name put in front would be that one."""
    names = names_of(named(cn("sam"), cn("frodo")))
    assert names["SSL_CLIENT_S_DN"] == "CN=frodo,CN=sam"
    assert "SSL_CLIENT_S_DN_CN" not in names
    assert names["SSL_CLIENT_I_DN_CN"] == "Lower"


def test_a_name_that_cannot_be_read_is_no_text_of_another_one() -> None:
    """Two such subjects would have the same text: neither has any, and the other names are there."""
    unread = x509.NameAttribute(NameOID.COMMON_NAME, "sam", _type=_ASN1Type.T61String)
    names = names_of(named(unread))
    assert not {"SSL_CLIENT_S_DN", "SSL_CLIENT_S_DN_CN"} & set(names)
    assert (names["SSL_CLIENT_I_DN_CN"], names["SSL_CLIENT_SAN_DNS_0"]) == ("Lower", "a.test")


@pytest.mark.parametrize("text", [HOSTILE, "#sam ", " sam", 'a,b+c"d\\<e>;=f', "\\0A", "Zoë 名前"])
def test_hostile_text_is_escaped_and_stays_the_same_name(text: str) -> None:
    """Line feeds, NUL, marks of direction: octets as RFC 4514 writes them, from which the same name is read back."""
    name = DistinguishedName((frozenset({(COMMON_NAME, text)}),))
    written = printable(name.rfc4514())
    assert written.isprintable()
    assert DistinguishedName.parse(written) == name


def test_nobody_with_control_characters_is_admitted_and_other_white_space_is_escaped() -> None:
    """Neither in a client's own names nor in its CA's; a space that is none is seen to be another character."""
    two_lines = x509.SubjectAlternativeName([x509.DNSName("a.test\r\nX-Admin: 1")])
    ca = CertificateAuthority("Names\nroot")
    for hostile in (named(cn(HOSTILE)), LOWER.issue_client("sam", extensions=[two_lines]), ca.issue_client("sam")):
        with pytest.raises(PathValidationError, match=r"name\.hostile"):
            names_of(hostile)
    names = names_of(named(cn("sam\N{NO-BREAK SPACE}gamgee")))
    assert (names["SSL_CLIENT_S_DN"], names["SSL_CLIENT_S_DN_CN"]) == (r"CN=sam\C2\A0gamgee", r"sam\C2\A0gamgee")


def test_what_was_never_validated_is_escaped_all_the_same() -> None:
    """The second line of defence, for names of every kind: nothing here relies on the first."""
    entries = [x509.DNSName("a.test\r\nX-Admin: 1"), x509.RFC822Name("a\0@a.test")]
    leaf = LOWER.issue_client(subject=x509.Name([cn(HOSTILE)]), extensions=[x509.SubjectAlternativeName(entries)])
    names = _names(testing.evidence(certificate=leaf).path.certificates)
    assert names["SSL_CLIENT_S_DN_CN"] == r"fro\0Ado\00\E2\80\AE\C2\A0"
    assert names["SSL_CLIENT_SAN_DNS_0"] == r"a.test\0D\0AX-Admin: 1"
    assert names["SSL_CLIENT_SAN_Email_0"] == r"a\00@a.test"


def test_a_backslash_of_its_own_is_doubled() -> None:
    """Or a name that spells the octets of a line feed would be the text of the name that has one."""
    names = names_of(LOWER.issue_client(r"sam\0A", dns=[r"a\0A.test"], emails=[r"sam\0A@a.test"]))
    assert names["SSL_CLIENT_S_DN"] == r"CN=sam\\0A"
    assert names["SSL_CLIENT_S_DN_CN"] == r"sam\\0A"
    assert names["SSL_CLIENT_SAN_DNS_0"] == r"a\\0A.test"
    assert names["SSL_CLIENT_SAN_Email_0"] == r"sam\\0A@a.test"


def test_two_long_names_do_not_become_one() -> None:
    """Nothing is cut: what stands behind the first thousand characters is part of who it is."""
    texts = {
        names_of(named(*(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60) for _ in range(20)), cn(end)))[
            "SSL_CLIENT_S_DN"
        ]
        for end in ("sam", "gus")
    }
    assert len(texts) == 2


def test_printable_text_is_left_as_it_is() -> None:
    """Letters of any script are; what is no character at all becomes its octets."""
    assert printable("Zoë 名前, sam") == "Zoë 名前, sam"
    assert printable(HOSTILE) == r"fro\0Ado\00\E2\80\AE\C2\A0"
    assert printable("\ud800") == r"\ED\A0\80"


def test_the_issuer_that_is_the_anchor_is_no_part_of_the_chain() -> None:
    """Nothing lies in between."""
    assert not [name for name in names_of(CertificateAuthority("Alone").issue_client("sam")) if "CHAIN" in name]


def test_times_are_written_as_openssl_writes_them() -> None:
    """In English and in UTC, a day of one figure after two spaces."""
    first, last = datetime(2026, 3, 9, 8, 5, 0, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    leaf = LOWER.issue_client("sam", not_before=first, not_after=last)
    names = _names(testing.evidence(certificate=leaf).path.certificates)
    assert names["SSL_CLIENT_V_START"] == "Mar  9 08:05:00 2026 GMT"
    assert names["SSL_CLIENT_V_END"] == "Dec 31 23:59:59 2049 GMT"
