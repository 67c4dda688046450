"""The DER reader: well-formed DER gives the bytes as they stand, anything else gives `MalformedEvidence`."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._der import EXTENSIONS, certificate_layout, element, elements, object_identifier
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.testing import CertificateAuthority, broken
from mtlspolicy.testing import _der_writer as der

AUTHORITY = CertificateAuthority()
LEAF = AUTHORITY.issue_client("client", dns=["client.test"])


def _body(*fields: bytes) -> bytes:
    return der.sequence(der.sequence(*fields), der.sequence(), b"\x03\x01\x00")


_NAME = der.sequence()
_FIELDS = (der.integer(1), der.sequence(), _NAME, der.sequence(), _NAME, der.sequence())
_V3 = der.explicit(0, der.integer(2))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x05\x00", (5, 2, 2)),
        (b"\x04\x02ab", (4, 2, 4)),
        (b"\x04\x81\x80" + bytes(128), (4, 3, 131)),
        (b"\x04\x82\x01\x00" + bytes(256), (4, 4, 260)),
    ],
)
def test_element_says_tag_and_where_the_content_is(data: bytes, expected: tuple[int, int, int]) -> None:
    """Short and long lengths, each in as few bytes as it needs, are read."""
    assert element(data, 0, len(data)) == expected


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cut short at byte 0"),
        (b"\x30", "cut short"),
        (b"\x1f\x01\x00", "a tag of more than one byte"),
        (b"\x30\x80\x00\x00", "indefinite, too long or cut short"),
        (b"\x30\x85\x00\x00\x00\x00\x01\x00", "indefinite, too long or cut short"),
        (b"\x30\x82\x01", "indefinite, too long or cut short"),
        (b"\x30\x81\x7f" + bytes(127), "more bytes than it needs"),
        (b"\x30\x82\x00\x80" + bytes(128), "more bytes than it needs"),
        (b"\x30\x03\x00\x00", "longer than what holds it"),
        (b"\x30\x84\xff\xff\xff\xff\x00", "longer than what holds it"),
    ],
)
def test_element_refuses_what_is_not_der(data: bytes, says: str) -> None:
    """Truncation, indefinite and padded lengths (X.690, 10.1) and long tags are refused."""
    with pytest.raises(MalformedEvidence, match=says):
        element(data, 0, len(data))


def test_element_does_not_read_past_its_end() -> None:
    """An element must fit before the end that is given, whatever follows in the data."""
    with pytest.raises(MalformedEvidence, match="longer than what holds it"):
        element(b"\x04\x02ab", 0, 3)


def test_elements_are_returned_in_order() -> None:
    """A run of elements is split at its boundaries, and rubbish after the last one is refused."""
    assert elements(b"\x05\x00\x02\x01\x07", 0, 5) == [(5, 2, 2), (2, 4, 5)]
    assert elements(b"", 0, 0) == []
    with pytest.raises(MalformedEvidence):
        elements(b"\x05\x00\x02", 0, 3)


@pytest.mark.parametrize("dotted", ["2.5.29.17", "1.2.840.113549.1.1.11", "0.9.2342.19200300.100.1.25", "2.999.3"])
def test_object_identifier_is_read_as_it_was_written(dotted: str) -> None:
    """Dotted text survives writing and reading, first arcs of 2 with large second arcs included."""
    assert object_identifier(der.object_identifier(dotted)[2:]) == dotted


def test_object_identifier_of_a_uuid_is_read() -> None:
    """Arcs of 128 bits (ITU-T X.667) are read."""
    dotted = f"2.25.{2**128 - 1}"
    assert object_identifier(der.object_identifier(dotted)[2:]) == dotted


@pytest.mark.parametrize("content", [b"", b"\x80\x01", b"\x55\x80\x01", b"\x55\x8f", b"\x55" + b"\x81" * 19 + b"\x01"])
def test_object_identifier_refuses_other_encodings(content: bytes) -> None:
    """An empty, padded, cut or endless object identifier is refused."""
    with pytest.raises(MalformedEvidence, match="object identifier"):
        object_identifier(content)


def test_layout_is_what_stands_in_the_bytes() -> None:
    """Names, key, serial number and extensions are the bytes that the certificate has."""
    certificate = LEAF.certificate
    layout = certificate_layout(LEAF.der)
    assert layout.version == 3
    assert int.from_bytes(layout.serial, "big") == certificate.serial_number
    assert layout.subject == certificate.subject.public_bytes()
    assert layout.issuer == certificate.issuer.public_bytes()
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert layout.spki == key
    listed = [(one.oid.dotted_string, one.critical, one.value.public_bytes()) for one in certificate.extensions]
    assert list(layout.extensions) == listed


def test_layout_keeps_a_compressed_key_as_it_is() -> None:
    """The key is not brought into another encoding: a pin is the digest of the bytes in the certificate."""
    issued = broken("compressed-point", AUTHORITY)
    key = certificate_layout(issued.der).spki
    assert key in issued.der
    assert key != issued.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_layout_keeps_duplicate_extensions() -> None:
    """Two extensions of one type are both there, for others to refuse."""
    extensions = certificate_layout(broken("duplicate-extension", AUTHORITY).der).extensions
    assert [oid for oid, _, _ in extensions].count("2.5.29.17") == 2


def test_layout_knows_version_1() -> None:
    """Without the version field a certificate is v1 and has no extensions."""
    layout = certificate_layout(broken("v1", AUTHORITY).der)
    assert (layout.version, layout.extensions) == (1, ())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x02\x01\x01", "no certificate"),
        (LEAF.der + b"\x00", "something follows it"),
        (LEAF.der[:-1], "longer than what holds it"),
        (der.sequence(), "cut short"),
        (der.sequence(der.integer(1)), "without a body"),
        (_body(), "another shape"),
        (der.sequence(der.sequence()), "signature is of another shape"),
        (der.sequence(der.sequence(), der.sequence(), b"\x03\x00"), "signature is of another shape"),
        (der.sequence(der.sequence(), der.sequence(), b"\x04\x01\x00"), "signature is of another shape"),
        (der.sequence(der.sequence(), der.sequence(), b"\x03\x01\x00", der.null()), "signature is of another shape"),
        (_body(*_FIELDS[:5]), "another shape"),
        (_body(*_FIELDS[:4], der.integer(3), _FIELDS[5]), "another shape"),
        (_body(der.explicit(0, der.integer(5)), *_FIELDS), "says version 6"),
        (_body(_V3, *_FIELDS, der.explicit(3, der.integer(1))), "extensions of another shape"),
        (_body(_V3, *_FIELDS, der.explicit(3, der.sequence() + der.null())), "extensions of another shape"),
        (_body(_V3, *_FIELDS, der.explicit(3, der.sequence(der.sequence(der.null())))), "an extension of another"),
    ],
)
def test_layout_refuses_another_shape(data: bytes, says: str) -> None:
    """What does not have the shape of a certificate, or has something after it, is refused."""
    with pytest.raises(MalformedEvidence, match=says):
        certificate_layout(data)


def test_one_certificate_has_one_hash() -> None:
    """A signature with unused bits is refused: other readers pass over their number, which makes a twin."""
    signature = LEAF.certificate.signature
    head = LEAF.der.removesuffix(b"\x00" + signature)
    assert head + b"\x00" + signature == LEAF.der
    for unused in (1, 7, 8, 255):
        with pytest.raises(MalformedEvidence, match="signature is of another shape"):
            certificate_layout(head + bytes((unused,)) + signature)


def _with_extensions(*extensions: bytes) -> bytes:
    return _body(_V3, *_FIELDS, der.explicit(3, der.sequence(*extensions)))


def test_a_flag_that_is_no_boolean_is_refused() -> None:
    """What stands between type and value of an extension is its critical flag, and nothing else."""
    oid, value = der.object_identifier("2.5.29.15"), der.octet_string(b"")
    for fields in ((oid, der.integer(1), value), (oid, der.null(), value), (oid, value, der.TRUE), (oid, value, value)):
        with pytest.raises(MalformedEvidence, match="an extension of another shape"):
            certificate_layout(_with_extensions(der.sequence(*fields)))


def test_the_number_of_extensions_is_bounded() -> None:
    """Thousands of tiny extensions fit into a certificate of 16 KiB: more than any real one has are refused."""
    one = der.sequence(der.object_identifier("1.2.3"), der.octet_string(b""))
    assert len(certificate_layout(_with_extensions(*[one] * EXTENSIONS)).extensions) == EXTENSIONS
    with pytest.raises(MalformedEvidence, match=f"{EXTENSIONS + 1} extensions; at most {EXTENSIONS}") as caught:
        certificate_layout(_with_extensions(*[one] * (EXTENSIONS + 1)))
    assert caught.value.code == "chain.too-large"


def test_layout_passes_over_unique_identifiers() -> None:
    """issuerUniqueID and subjectUniqueID (RFC 5280, section 4.1.2.8) are there in old certificates and say nothing."""
    layout = certificate_layout(_body(_V3, *_FIELDS, der.implicit(1, b"\x00x"), der.implicit(2, b"\x00y")))
    assert layout.extensions == ()


def test_extensions_of_a_certificate_that_says_v1_are_refused() -> None:
    """Extensions are for v3 (RFC 5280, section 4.1.2.9): read as v1 they would escape every rule on extensions."""
    with pytest.raises(MalformedEvidence, match="says version 1 and has extensions"):
        certificate_layout(broken("v1-with-extensions", AUTHORITY).der)


def test_critical_is_read_from_the_boolean() -> None:
    """An explicit FALSE, which DER would leave out, is not critical; everything else that is not FALSE is."""

    def flag(value: bytes) -> bool:
        extension = der.sequence(der.object_identifier("2.5.29.15"), value, der.octet_string(b""))
        layout = certificate_layout(_body(_V3, *_FIELDS, der.explicit(3, der.sequence(extension))))
        return layout.extensions[0][1]

    assert not flag(b"")
    assert not flag(b"\x01\x01\x00")
    assert flag(der.TRUE)
    assert flag(b"\x01\x01\x01")


@given(st.binary(max_size=300))
def test_any_bytes_give_a_layout_or_malformed_evidence(data: bytes) -> None:
    """Any bytes give a value or one of our errors, nothing else."""
    try:
        layout = certificate_layout(data)
    except MalformedEvidence as error:
        assert error.code == "chain.malformed"  # noqa: PT017 - some bytes are certificates
    else:
        assert layout.version in {1, 2, 3}


@given(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_a_layout_or_malformed_evidence(at: int, value: int) -> None:
    """A certificate with one byte changed gives a value or one of our errors, and never more than its bytes."""
    data = LEAF.der[:at] + bytes((value,)) + LEAF.der[at + 1 :]
    try:
        layout = certificate_layout(data)
    except MalformedEvidence as error:
        assert error.code == "chain.malformed"  # noqa: PT017 - some bytes are certificates
    else:
        assert all(part in data for part in (layout.issuer, layout.subject, layout.spki))


@given(st.integers(0, len(LEAF.der)))
def test_a_cut_certificate_is_malformed(end: int) -> None:
    """Every true prefix of a certificate is refused."""
    if end == len(LEAF.der):
        assert certificate_layout(LEAF.der).version == x509.Version.v3.value + 1
        return
    with pytest.raises(MalformedEvidence):
        certificate_layout(LEAF.der[:end])


@pytest.mark.parametrize(("count", "refused"), [(EXTENSIONS, False), (EXTENSIONS + 1, True)])
def test_extensions_are_counted_before_they_are_read(count: int, *, refused: bool) -> None:
    """A certificate full of tiny extensions costs nothing to refuse."""
    one = der.sequence(der.object_identifier("1.2.3"), der.octet_string(b""))
    data = _body(_V3, *_FIELDS, der.explicit(3, der.sequence(one * count)))
    if refused:
        with pytest.raises(MalformedEvidence, match="65 extensions; at most 64") as caught:
            certificate_layout(data)
        assert caught.value.code == "chain.too-large"
    else:
        assert len(certificate_layout(data).extensions) == count
