"""Broken certificates, the names: subjects and subjectAltNames that are hostile, ambiguous or unreadable.

All but the name is right, and a client certificate of the authority. See ``testing.BROKEN``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cryptography.x509.oid import ExtensionOID, NameOID

from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._catalogue import Defect, remade
from mtlspolicy.testing._hand_made import HandMade, relative_name

CN: Final = NameOID.COMMON_NAME.dotted_string
DNS: Final = 2  # the context tags of GeneralName, RFC 5280, section 4.2.1.6
X400_ADDRESS: Final = 3
EDI_PARTY_NAME: Final = 5
IP_ADDRESS: Final = 7
READABLE: Final = der.implicit(DNS, b"client.test")


def _subject(*names: bytes) -> Callable[[HandMade], HandMade]:
    return lambda hand: replace(hand, subject=der.sequence(*names))


def _common_name(value: bytes) -> Callable[[HandMade], HandMade]:
    return _subject(relative_name((CN, value)))


def _san(*names: bytes) -> Callable[[HandMade], HandMade]:
    return lambda hand: hand.setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.sequence(*names))


def _nameless(hand: HandMade) -> HandMade:
    return replace(hand.without(ExtensionOID.SUBJECT_ALTERNATIVE_NAME), subject=der.sequence())


def _two_sans(hand: HandMade) -> HandMade:
    other = der.sequence(der.implicit(DNS, b"admin.test"))
    return hand.adding(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, other)


def _by_hand(description: str, change: Callable[[HandMade], HandMade]) -> Defect:
    return Defect(description, lambda authority: remade(authority, change))


_EDI: Final = der.implicit(EDI_PARTY_NAME, der.explicit(1, der.utf8_string("party")), constructed=True)
_X400: Final = der.implicit(X400_ADDRESS, der.sequence(), constructed=True)

NAMES: Final[dict[str, Defect]] = {
    "no-san": _by_hand(
        "there is no subjectAltName; the common name is no host name",
        lambda hand: hand.without(ExtensionOID.SUBJECT_ALTERNATIVE_NAME),
    ),
    "cn-only": _by_hand(
        "there is no subjectAltName, and the common name is a host name, client.test",
        lambda hand: _common_name(der.utf8_string("client.test"))(hand.without(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)),
    ),
    "nameless": _by_hand("the subject is empty and there is no subjectAltName", _nameless),
    "two-common-names": _by_hand(
        "the subject has two common names, client and admin",
        _subject(relative_name((CN, der.utf8_string("client"))), relative_name((CN, der.utf8_string("admin")))),
    ),
    "multi-valued-rdn": _by_hand(
        "common name client and organizational unit admin share one RDN",
        _subject(
            relative_name(
                (CN, der.utf8_string("client")),
                (NameOID.ORGANIZATIONAL_UNIT_NAME.dotted_string, der.utf8_string("admin")),
            )
        ),
    ),
    "email-in-subject": _by_hand(
        "an e-mail address, client@client.test, is in the subject and not in the subjectAltName (RFC 5280, 4.1.2.6)",
        _subject(
            relative_name((CN, der.utf8_string("client"))),
            relative_name((NameOID.EMAIL_ADDRESS.dotted_string, der.ia5_string("client@client.test"))),
        ),
    ),
    "comma-in-cn": _by_hand(
        "the common name is the text 'client,CN=admin', which reads as two in a printed name",
        _common_name(der.utf8_string("client,CN=admin")),
    ),
    "nul-in-cn": _by_hand(
        "the common name is 'client', a NUL and '.evil.test'", _common_name(der.utf8_string("client\0.evil.test"))
    ),
    "bidi-in-cn": _by_hand(
        "the common name has a right-to-left override, so that it prints as another one",
        _common_name(der.utf8_string("client\u202enimda")),
    ),
    "zero-width-in-cn": _by_hand(
        "the common name is 'client' with a zero-width space in it", _common_name(der.utf8_string("cli\u200bent"))
    ),
    "c1-control-in-cn": _by_hand(
        "the common name has the C1 control CSI (U+009B), a terminal escape",
        _common_name(der.utf8_string("client\x9b31m")),
    ),
    "newline-in-cn": _by_hand(
        "the common name has a line feed, which forges a line of a log",
        _common_name(der.utf8_string("client\nadmitted admin")),
    ),
    "bmp-string-cn": _by_hand(
        "the common name is a BMPString, UTF-16 on the wire", _common_name(der.bmp_string("client"))
    ),
    "t61-string-cn": _by_hand(
        "the common name is a T61String with an octet beyond ASCII", _common_name(der.t61_string("cli\xe9nt"))
    ),
    "invalid-utf8-cn": _by_hand(
        "the common name is a UTF8String of octets that are no UTF-8",
        _common_name(der.tlv(der.UTF8_STRING, b"cli\xff")),
    ),
    "nul-in-dns": _by_hand(
        "the DNS name is 'client.test', a NUL and '.evil.test'", _san(der.implicit(DNS, b"client.test\0.evil.test"))
    ),
    "empty-dns": _by_hand(
        "the subjectAltName has an empty DNS name beside client.test", _san(der.implicit(DNS, b""), READABLE)
    ),
    "ip-in-dns": _by_hand("the IP address 192.0.2.1 is written as a DNS name", _san(der.implicit(DNS, b"192.0.2.1"))),
    "ip-san-bad-length": _by_hand(
        "the subjectAltName has an IP address of five octets beside the DNS name client.test",
        _san(der.implicit(IP_ADDRESS, b"\xc0\x00\x02\x01\x01"), READABLE),
    ),
    "unsupported-general-name": _by_hand(
        "the subjectAltName has an ediPartyName and an x400Address beside the DNS name client.test",
        _san(_EDI, _X400, READABLE),
    ),
    "duplicate-extension": _by_hand("there are two subjectAltNames, client.test and admin.test", _two_sans),
    "critical-san": _by_hand(
        "the subjectAltName is critical although the subject is not empty (RFC 5280, section 4.2.1.6)",
        lambda hand: hand.setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.sequence(READABLE), critical=True),
    ),
    "wildcard-client": Defect(
        "the certificate of a client has the wildcard DNS name *.client.test",
        lambda authority: authority.issue_client("client", dns=["*.client.test"]),
    ),
    "huge-san": Defect(
        "the subjectAltName has 129 DNS names, one more than the default limit",
        lambda authority: authority.issue_client("client", dns=[f"n{number}.client.test" for number in range(129)]),
    ),
}
"""Name to defect."""
