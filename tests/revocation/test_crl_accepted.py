"""CRLs that answer: what they say, of which certificates, and when it counts (RFC 5280, sections 5 and 6.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._pem import write_pem
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.revocation import RevocationList, crl_question, read_crl
from mtlspolicy.revocation._crl_layout import crl_number
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension, signature_algorithm
from tests.revocation.made import AT, FRODO, HOUR, LIFE, ROOT, SAM
from tests.revocation.made_crls import (
    HERE,
    NUMBER,
    THERE,
    MadeCRL,
    Revoked,
    asked,
    flag,
    full_name,
    invalidity,
    pointing,
    reason,
    scope,
    told,
    uri,
)

GOOD, REVOKED, UNAVAILABLE = RevocationStatus.GOOD, RevocationStatus.REVOKED, RevocationStatus.UNAVAILABLE
RELATIVE = der.explicit(0, der.explicit(1, der.sequence(der.object_identifier("2.5.4.3"), der.utf8_string("part 1"))))
HOLD = reason(6)


def test_a_certificate_that_is_not_listed_is_good() -> None:
    """The answer says since when and until when it is known."""
    answer = told(MadeCRL((Revoked(SAM.certificate.serial_number),)), source="here")
    assert (answer.status, answer.code, answer.source) == (GOOD, "crl.good", "here")
    assert (answer.this_update, answer.next_update) == (AT - HOUR, AT + HOUR)


def test_a_certificate_that_is_listed_is_revoked() -> None:
    """The answer says since when, why, and since when the key is unsafe."""
    entry = Revoked(extensions=(reason(1), invalidity(AT - 3 * HOUR)))
    answer = told(MadeCRL((Revoked(1), entry, Revoked(2))))
    assert (answer.status, answer.code, answer.reason) == (REVOKED, "crl.revoked", "keyCompromise")
    assert (answer.revoked_at, answer.invalidity_date) == (AT - HOUR, AT - 3 * HOUR)
    assert answer.final


@pytest.mark.parametrize("entries", [(), (Revoked(1),)])
def test_an_absent_and_another_entry_are_both_no_revocation(entries: tuple[Revoked, ...]) -> None:
    """RFC 5280, section 5.1.2.6: without revoked certificates the list is absent."""
    assert told(MadeCRL(entries)).status is GOOD


def test_an_empty_list_is_read_as_none() -> None:
    """Some CAs write the empty list that they should leave out."""
    assert told(MadeCRL(empty=True)).status is GOOD


def test_version_1_without_extensions_is_accepted() -> None:
    """What `openssl ca -gencrl` makes without crl_extensions; nothing that is critical can hide in it."""
    crl = MadeCRL((Revoked(1),), version=b"", extensions=())
    assert told(crl).status is GOOD
    assert told(crl.but(entries=(Revoked(),))).status is REVOKED
    assert RevocationList.parse(crl.encoded()).version == 1


@pytest.mark.parametrize(("code", "name"), [
    (0, "unspecified"), (2, "cACompromise"), (3, "affiliationChanged"), (4, "superseded"),
    (5, "cessationOfOperation"), (7, "not defined"), (9, "privilegeWithdrawn"), (10, "aACompromise"),
    (11, "not defined"), (255, "not defined"),
])  # fmt: skip
def test_every_reason_revokes_for_ever(code: int, name: str) -> None:
    """A reason that is not defined is still a reason."""
    answer = told(MadeCRL((Revoked(extensions=(reason(code),)),)), at=AT + timedelta(days=4000))
    assert (answer.status, answer.reason) == (REVOKED, name)


@pytest.mark.parametrize("value", [b"", b"\x0a\x01", b"\x02\x01\x01", b"\x0a\x02\x00\x01"])
def test_a_reason_that_cannot_be_read_revokes(value: bytes) -> None:
    """Garbage beside an entry does not take the entry away."""
    answer = told(MadeCRL((Revoked(extensions=(Extension("2.5.29.21", value),)),)))
    assert (answer.status, answer.reason) == (REVOKED, "not defined")


@pytest.mark.parametrize("value", [b"", b"\x18\x0f20261301000000Z", b"\x04\x01a"])
def test_an_invalidity_date_that_cannot_be_read_revokes(value: bytes) -> None:
    """Garbage beside an entry does not take the entry away."""
    answer = told(MadeCRL((Revoked(extensions=(Extension("2.5.29.24", value),)),)))
    assert (answer.status, answer.invalidity_date) == (REVOKED, None)


def test_a_date_that_does_not_exist_revokes() -> None:
    """The entry is there; when it came is not known."""
    answer = told(MadeCRL((Revoked(at=b"\x17\x0d261301000000Z"),)))
    assert (answer.status, answer.revoked_at) == (REVOKED, None)


@pytest.mark.parametrize(
    "parts",
    [
        {"next_update": AT - HOUR, "this_update": AT - 100 * HOUR},
        {"this_update": AT + 100 * HOUR, "next_update": AT + 200 * HOUR},
        {"this_update": AT - timedelta(days=4000)},
        {"next_update": None},
        {"extensions": (scope(full_name(uri(THERE))),)},
        {"extensions": (scope(flag(2)),)},
        {"extensions": (scope(der.implicit(3, b"\x06\x40")),)},
    ],
    ids="-".join,
)
def test_revoked_stays_so_however_old_the_list_and_whatever_part_it_is(parts: dict[str, Any]) -> None:
    """There is no way back, and a serial number is its issuer's whatever list it stands on (section 4.1.2.2)."""
    assert told(MadeCRL((Revoked(),), **parts)).status is REVOKED
    assert told(MadeCRL((Revoked(1),), **parts)).status is UNAVAILABLE


def test_a_hold_needs_a_current_list() -> None:
    """A hold may have been lifted since (RFC 5280, section 5.3.1)."""
    crl = MadeCRL((Revoked(extensions=(HOLD,)),))
    answer = told(crl)
    assert (answer.status, answer.reason, answer.final) == (REVOKED, "certificateHold", False)
    assert told(crl, at=AT + 2 * HOUR).code == "crl.expired"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_entries_any_revocation_counts(order: int) -> None:
    """A serial number that is listed twice is revoked if one entry says so, in whatever order."""
    held, gone = Revoked(extensions=(HOLD,)), Revoked(at=AT - 2 * HOUR)
    answer = told(MadeCRL((held, gone)[::order]))
    assert (answer.final, answer.revoked_at) == (True, AT - 2 * HOUR)
    assert told(MadeCRL((Revoked(extensions=(reason(8),)), gone)[::order])).final


def test_entries_of_one_number_far_apart_are_all_found() -> None:
    """The list is searched in pieces, and the entry that counts may be in another one."""
    crl = MadeCRL((Revoked(extensions=(HOLD,)), *(Revoked(2**100 + n) for n in range(3000)), Revoked()))
    assert told(crl).final


@pytest.mark.parametrize("key", [
    rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1()),
    ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate(),
], ids=["rsa", "p384", "ed25519", "ed448"])  # fmt: skip
def test_every_algorithm_of_certificates_signs_lists(key: Any) -> None:
    """RSA with PKCS #1, ECDSA, Ed25519 and Ed448."""
    authority = CertificateAuthority("Other", key=key, **LIFE)
    leaf = authority.issue_client("frodo", **LIFE)
    assert told(MadeCRL(signer=authority), asked(leaf, authority)).status is GOOD


def test_pss_is_accepted() -> None:
    """RSASSA-PSS, as RFC 4055 writes it: one digest, and a salt of its length."""
    key = rsa.generate_private_key(65537, 2048)
    authority = CertificateAuthority("Other", key=key, **LIFE)
    sha256 = der.sequence(der.object_identifier("2.16.840.1.101.3.4.2.1"), der.null())
    parameters = der.sequence(
        der.explicit(0, sha256),
        der.explicit(1, der.sequence(der.object_identifier("1.2.840.113549.1.1.8"), sha256)),
        der.explicit(2, der.integer(32)),
    )
    pss = der.sequence(der.object_identifier("1.2.840.113549.1.1.10"), parameters)
    crl = MadeCRL(signer=authority, pss=True, digest=hashes.SHA256(), algorithm=pss)
    about = asked(authority.issue_client("frodo", **LIFE), authority)
    assert told(crl, about).status is GOOD
    assert told(crl.but(spoilt=True), about).code == "crl.signature"


def test_sha1_counts_where_the_rule_says_so() -> None:
    """Old PKIs have nothing better; the asker decides."""
    crl = MadeCRL(digest=hashes.SHA1())  # noqa: S303 - refused by default, which is what is tested
    assert told(crl).code == "crl.sha1"
    assert told(crl, asked(allow_sha1=True)).status is GOOD


@pytest.mark.parametrize("extension", [
    Extension("2.5.29.46", der.sequence(der.sequence(full_name(uri(HERE))))),
    Extension("1.2.3.4", b"\x05\x00"), Extension("2.5.29.20", der.integer(2**159), critical=True),
    Extension("2.5.29.35", der.sequence(der.implicit(0, b"x")), critical=True),
])  # fmt: skip
def test_extensions_that_change_nothing_are_passed_over(extension: Extension) -> None:
    """freshestCRL, unknown ones that are not critical, and those that are understood, critical or not."""
    assert told(MadeCRL(extensions=(extension,))).status is GOOD


def test_entry_extensions_that_are_not_critical_are_passed_over() -> None:
    """RFC 5280, section 5.3: unrecognised ones that are not critical may be ignored; critical known ones are known."""
    entries = (
        Revoked(1, extensions=(Extension("1.2.3.4", b"\x05\x00"),)),
        Revoked(2, extensions=(reason(1, critical=True),)),
    )
    assert told(MadeCRL(entries)).status is GOOD


def test_a_list_for_the_certificates_distribution_point_is_about_it() -> None:
    """RFC 5280, section 6.3.3, b 2 i: one of the names of the one is a name of the other."""
    leaf = asked(pointing(der.sequence(full_name(uri("ldap://x/"), uri(HERE)))))
    crl = MadeCRL(extensions=(scope(full_name(uri(THERE), uri(HERE))),))
    assert told(crl, leaf).status is GOOD
    assert told(crl.but(extensions=(scope(full_name(uri(THERE))),)), leaf).code == "crl.distribution-point"
    assert told(MadeCRL(), leaf).status is GOOD


def test_relative_names_are_compared_as_they_stand() -> None:
    """Both are relative to the same issuer."""
    leaf = asked(pointing(der.sequence(RELATIVE)))
    assert told(MadeCRL(extensions=(scope(RELATIVE),)), leaf).status is GOOD
    assert told(MadeCRL(extensions=(scope(full_name(uri(HERE))),)), leaf).code == "crl.distribution-point"


def test_without_a_pointer_the_issuers_name_is_the_point() -> None:
    """RFC 5280, section 6.3.3, at its end: the distribution point is then the issuer's name."""
    name = der.explicit(4, ROOT.certificate.subject.public_bytes())
    assert told(MadeCRL(extensions=(scope(full_name(name)),))).status is GOOD


def test_lists_by_kind_of_certificate() -> None:
    """onlyContainsUserCerts and onlyContainsCACerts are held against basicConstraints (section 6.3.3, b 2)."""
    users, authorities = MadeCRL(extensions=(scope(flag(1)),)), MadeCRL(extensions=(scope(flag(2)),))
    authority = asked(ROOT.intermediate("Issuing", **LIFE))
    assert told(users).status is GOOD
    assert told(authorities).code == "crl.ca-certificates-only"
    assert told(users, authority).code == "crl.user-certificates-only"
    assert told(authorities, authority).status is GOOD


def test_false_flags_and_an_empty_scope_restrict_nothing() -> None:
    """DER leaves false out; who writes it says the same."""
    for parts in ((), (flag(1, b"\x00"), flag(2, b"\x00"), flag(4, b"\x00"), flag(5, b"\x00"))):
        assert told(MadeCRL(extensions=(scope(*parts),))).status is GOOD


@pytest.mark.parametrize("difference", [timedelta(minutes=5), timedelta(0)])
def test_clocks_may_differ_by_the_skew(difference: timedelta) -> None:
    """Exactly as far as the rule allows, at both ends, and no second further."""
    first, last = AT - HOUR - difference, AT + HOUR + difference
    about = asked(clock_skew=difference)
    assert [told(MadeCRL(), about, at=at).status for at in (first, last)] == [GOOD, GOOD]
    second = timedelta(seconds=1)
    assert told(MadeCRL(), about, at=first - second).code == "crl.not-yet-valid"
    assert told(MadeCRL(), about, at=last + second).code == "crl.expired"


def test_an_old_list_counts_no_longer_than_max_age() -> None:
    """Whatever nextUpdate says: what a replayed list can hide is bounded."""
    crl = MadeCRL(this_update=AT - 300 * HOUR)
    assert told(crl).code == "crl.too-old"
    assert told(crl, asked(max_age=301 * HOUR)).status is GOOD


def test_dates_after_2049_are_generalized_times() -> None:
    """RFC 5280, section 5.1.2.4."""
    late = datetime(2050, 6, 1, tzinfo=UTC)
    crl = MadeCRL((Revoked(at=late),), this_update=late, next_update=late + HOUR)
    answer = told(crl, at=late)
    assert (answer.this_update, answer.revoked_at) == (late, late)


def test_an_old_list_of_the_last_century_has_its_date() -> None:
    """RFC 5280, section 4.1.2.5.1: two digits from 50 are of the twentieth century."""
    crl = MadeCRL((Revoked(),), this_update=datetime(1999, 1, 1, tzinfo=UTC))
    assert told(crl).this_update == datetime(1999, 1, 1, tzinfo=UTC)


def test_pem_and_der_say_the_same() -> None:
    """Also with text around the block, and with the line ends of other systems."""
    data = MadeCRL((Revoked(),)).encoded()
    text = write_pem(data, "X509 CRL")
    for pem in (text, f"Issuer: hobbits\n{text}\nbye\n", text.replace("\n", "\r\n")):
        assert told(pem.encode()).status is REVOKED


def test_a_parsed_list_says_what_it_is() -> None:
    """Issuer, dates, number and length, without a signature having been verified."""
    crl = RevocationList.parse(MadeCRL((Revoked(1), Revoked(2)), spoilt=True).encoded(), source="a file")
    assert (crl.issuer, crl.version, crl.crl_number) == (ROOT.certificate.subject.public_bytes(), 2, 7)
    assert (crl.this_update, crl.next_update, len(crl)) == (AT - HOUR, AT + HOUR, 2)
    assert crl
    assert "2026-01-01T11:00:00Z" in repr(crl)
    assert read_crl(crl, asked(), at=AT).source == "a file"
    assert read_crl(crl, asked(), at=AT, source="elsewhere").source == "elsewhere"


def test_an_empty_list_is_true_and_has_no_length() -> None:
    """A CRL that lists nobody is not nothing."""
    crl = RevocationList.parse(MadeCRL(extensions=()).encoded())
    assert bool(crl)
    assert (len(crl), crl.crl_number, crl.partition) == (0, None, b"")


def test_a_parsed_list_answers_again_and_again() -> None:
    """Signature and entries are remembered; what is answered is not, since it depends on the question."""
    crl = RevocationList.parse(MadeCRL((Revoked(),)).encoded())
    statuses = [read_crl(crl, about, at=AT).status for about in (asked(), asked(SAM), asked(), asked(SAM))]
    assert statuses == [REVOKED, GOOD, REVOKED, GOOD]
    assert (len(crl), len(crl)) == (1, 1)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many keys of one name, or many revoked peers, do not fill the memory."""
    monkeypatch.setattr("mtlspolicy.revocation._crl_list._KEYS", 1)
    monkeypatch.setattr("mtlspolicy.revocation._crl_index._REMEMBERED", 1)
    crl = RevocationList.parse(MadeCRL((Revoked(), Revoked(SAM.certificate.serial_number))).encoded())
    other = CertificateAuthority("Root", **LIFE)
    for about in (asked(), asked(SAM), asked(issuer=other), asked()):
        expected = "crl.revoked" if about.issuer.der == ROOT.der else "crl.signature"
        assert read_crl(crl, about, at=AT).code == expected


def test_a_question_comes_from_what_a_person_has() -> None:
    """PEM, DER or a certificate object."""
    question = crl_question(FRODO.certificate, ROOT.certificate)
    assert question == asked()
    assert told(MadeCRL(), question).status is GOOD
    with pytest.raises(ConfigurationError):
        crl_question(b"no certificate", ROOT.certificate)


def test_a_naive_time_is_refused() -> None:
    """Naive times are compared with nothing."""
    with pytest.raises(ConfigurationError, match="naive"):
        told(MadeCRL(), at=datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose


def test_several_lists_in_one_file_are_given_one_by_one() -> None:
    """One answer comes of one list."""
    text = write_pem(MadeCRL().encoded(), "X509 CRL") * 2
    with pytest.raises(MalformedEvidence, match="one by one"):
        RevocationList.parse(text.encode())


def test_a_number_that_is_none_is_no_number() -> None:
    """cRLNumber is an INTEGER."""
    for value in (b"", b"\x02\x00", b"\x04\x01\x00", b"\x02\x01\x00\x00"):
        with pytest.raises(MalformedEvidence):
            crl_number({"2.5.29.20": (False, value)})


def test_the_algorithm_has_a_name_for_people() -> None:
    """What is not accepted is named."""
    algorithm = der.sequence(der.object_identifier("1.2.3.4"))
    assert "1.2.3.4" in told(MadeCRL(algorithm=algorithm)).detail
    assert "cannot be read" in told(MadeCRL(algorithm=der.sequence(der.integer(1)))).detail
    assert signature_algorithm(ROOT.key, hashes.SHA256()) in MadeCRL().encoded()


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer(data: bytes) -> None:
    """Whatever the bytes are, the answer is a value, and never that the certificate is good."""
    assert told(data).status is UNAVAILABLE


_VALID = MadeCRL((Revoked(1), Revoked(2, extensions=(reason(1),))), extensions=(NUMBER, scope(flag(1)))).encoded()


@given(st.integers(0, len(_VALID) - 1), st.integers(0, 255))
def test_no_changed_byte_goes_unnoticed(place: int, value: int) -> None:
    """A list in which one byte is another one says nothing, unless it is the same list after all."""
    changed = bytearray(_VALID)
    changed[place] = value
    same = bytes(changed) == _VALID
    assert told(bytes(changed)).status is (GOOD if same else UNAVAILABLE)


@given(st.integers(0, len(_VALID) - 1))
def test_no_list_cut_short_is_read(length: int) -> None:
    """Half a file is no file."""
    assert told(_VALID[:length]).status is UNAVAILABLE
