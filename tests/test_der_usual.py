"""The reader for certificates of the usual shape answers as the general one does, or leaves the answer to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._der import EXTENSIONS, certificate_layout
from mtlspolicy._der_usual import has_three_parts, usual_layout
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.testing import CertificateAuthority, broken, pooled_key
from mtlspolicy.testing import _der_writer as der

AUTHORITY = CertificateAuthority("Root")
ISSUING = AUTHORITY.intermediate("Issuing CA " + 50 * "x", key=pooled_key("rsa-2048", 1))
USUAL = (
    AUTHORITY.issue_client("client", dns=["client.test"]).der,
    ISSUING.issue_client("client", dns=[f"client-{number}.test" for number in range(9)]).der,
    ISSUING.issue_server("server.test", key=pooled_key("rsa-2048", 2)).der,
    AUTHORITY.issue_client("c" * 60, dns=[f"client-{number:03}.test" for number in range(30)]).der,
    AUTHORITY.der,
    ISSUING.der,
)
V3 = der.explicit(0, der.integer(2))
NAME, SIGNATURE = der.sequence(), b"\x03\x02\x00\x00"
KEY = der.sequence(bytes(300))
EXTENSION = der.sequence(der.object_identifier("2.5.29.15"), der.octet_string(b"\x03\x02\x07\x80"))

LISTED = der.explicit(3, der.sequence(EXTENSION))
FIELDS = (V3, der.integer(1), der.sequence(), NAME, der.sequence(), NAME, KEY, LISTED)


def _certificate(*fields: bytes, signature: bytes = SIGNATURE, algorithm: bytes = der.sequence()) -> bytes:
    return der.sequence(der.sequence(*fields), algorithm, signature)


def _with(
    *after: bytes, version: bytes = V3, serial: bytes = b"\x02\x01\x01", name: bytes = NAME, key: bytes = KEY
) -> bytes:
    return _certificate(version, serial, der.sequence(), NAME, der.sequence(), name, key, *after)


@pytest.mark.parametrize("data", USUAL)
def test_usual_certificates_are_read_alike(data: bytes) -> None:
    """What authorities issue is of the usual shape, and both readers find the same parts."""
    assert usual_layout(data) == certificate_layout(data)


def test_hand_made_certificates_of_the_usual_shape_are_read() -> None:
    """The smallest parts, and lengths of one, two and three bytes, are the usual shape too."""
    for count in (1, 10, 20):
        data = _with(der.explicit(3, der.sequence(*[EXTENSION] * count)))
        assert usual_layout(data) == certificate_layout(data)
    for size in (1, 127, 128, 255, 256, 1000):
        data = _with(der.explicit(3, der.sequence(EXTENSION)), name=der.sequence(bytes(size)))
        assert usual_layout(data) == certificate_layout(data)
    for size in (1, 127, 128, 256):
        signature = b"\x03" + der.octet_string(bytes(1 + size))[1:]
        data = _certificate(*FIELDS, signature=signature)
        assert usual_layout(data) == certificate_layout(data)


OTHERS = {
    "short": AUTHORITY.issue_client("c").der[:200],
    "version 1": broken("v1", AUTHORITY).der,
    "unique identifiers": _with(der.implicit(1, b"\x00x"), LISTED),
    "no extensions": _with(),
    "an empty list of extensions": _with(der.explicit(3, der.sequence())),
    "extensions of another tag": _with(der.explicit(4, der.sequence(EXTENSION))),
    "something after the extensions": _with(LISTED, der.null()),
    "a set of extensions": _with(der.explicit(3, der.set_of(EXTENSION))),
    "a small body": _certificate(
        *FIELDS[:6], der.sequence(), LISTED, signature=b"\x03" + der.octet_string(bytes(300))[1:]
    ),
    "a long serial number": _with(LISTED, serial=der.integer(1 << 8 * 130)),
    "another first part": _with(LISTED, version=der.explicit(1, der.integer(2))),
    "a key of another tag": _with(LISTED, key=der.octet_string(bytes(300))),
    "a key that is longer than the body": _with(LISTED, key=b"\x30\x82\xff\xff" + bytes(300)),
    "a key of an indefinite length": _with(LISTED, key=b"\x30\x80" + bytes(300)),
    "a key with a padded length": _with(LISTED, key=b"\x30\x81\x7f" + bytes(127) + bytes(200)),
    "a signature of another tag": _with(LISTED)[:-4] + der.octet_string(b"\0\0"),
    "unused bits": _with(LISTED)[:-2] + b"\x01\x00",
    "no signature": _certificate(*FIELDS, signature=b""),
    "an algorithm of another tag": _certificate(*FIELDS, algorithm=der.set_of()),
    "a long algorithm": _certificate(*FIELDS, algorithm=der.sequence(bytes(200))),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_another_shape_is_left_to_the_general_reader(what: str) -> None:
    """Nothing is refused here but extensions: what is unusual is not read, and the general reader decides."""
    assert usual_layout(OTHERS[what]) is None


def test_extensions_are_refused_as_by_the_general_reader() -> None:
    """A malformed extension, or one too many, is the same error, whichever reader meets it."""
    flawed = der.sequence(der.object_identifier("2.5.29.15"), der.null())
    for extensions, code in (([flawed], "chain.malformed"), ([EXTENSION] * (EXTENSIONS + 1), "chain.too-large")):
        for read in (usual_layout, certificate_layout):
            with pytest.raises(MalformedEvidence) as caught:
                read(_with(der.explicit(3, der.sequence(*extensions))))
            assert caught.value.code == code


def _both(data: bytes) -> None:
    try:
        usual = usual_layout(data)
    except MalformedEvidence as error:
        with pytest.raises(MalformedEvidence) as caught:
            certificate_layout(data)
        assert caught.value.code == error.code  # noqa: PT017 - some bytes are certificates
    else:
        assert usual is None or usual == certificate_layout(data)


@given(st.sampled_from(USUAL), st.data())
def test_a_changed_byte_is_no_difference_between_the_readers(data: bytes, draw: st.DataObject) -> None:
    """Attack, two readers that disagree: with any byte changed they find the same parts, refuse both, or one passes."""
    at, value = draw.draw(st.integers(0, len(data) - 1)), draw.draw(st.integers(0, 255))
    _both(data[:at] + bytes((value,)) + data[at + 1 :])


@given(st.sampled_from(USUAL), st.data())
def test_a_cut_or_grown_certificate_is_no_difference_between_the_readers(data: bytes, draw: st.DataObject) -> None:
    """The same where bytes are missing or added anywhere, with the outermost lengths mended or not."""
    at, much = draw.draw(st.integers(4, len(data))), draw.draw(st.integers(0, 6))
    more = draw.draw(st.binary(max_size=4))
    inside = data[4:at] + more + data[at + much :]
    _both(data[:at] + more + data[at + much :])
    _both(b"\x30\x82" + len(inside).to_bytes(2, "big") + inside)
    body = int.from_bytes(data[6:8], "big") + len(more) - min(much, len(data) - at)
    _both(b"\x30\x82" + len(inside).to_bytes(2, "big") + b"\x30\x82" + max(body, 0).to_bytes(2, "big") + inside[4:])


@given(st.binary(max_size=400))
def test_any_bytes_are_no_difference_between_the_readers(data: bytes) -> None:
    """Any bytes give a layout that the general reader finds too, nothing, or our own error."""
    _both(data)
    _both(USUAL[0][:15] + data)


@pytest.mark.parametrize("data", USUAL)
def test_a_certificate_has_three_parts(data: bytes) -> None:
    """What authorities issue is known from its outline; with a byte more or less, or a flaw in it, it is not."""
    assert has_three_parts(data)
    for flawed in (data[:-1], data + b"\0", b"\x31" + data[1:], data[:4] + b"\x31" + data[5:], data[:200]):
        assert not has_three_parts(flawed)
    assert not has_three_parts(OTHERS["a small body"])
    assert not has_three_parts(OTHERS["unused bits"])
