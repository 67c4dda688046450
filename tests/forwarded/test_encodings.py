"""The encodings of certificates in headers: each is read strictly, and none is taken for another."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._pem import certificate_blocks
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.forwarded._encodings import (
    _usual_blocks,
    base64_der,
    concatenated_der,
    pem_certificates,
    percent_decoded,
    require_certificate,
)
from tests.forwarded.writing import FRODO, ISSUING, pem

ONE, TWO = pem(FRODO.der), pem(ISSUING.der)


def refused(read: object, value: object) -> str:
    """Return the message with which *value* is refused as malformed."""
    with pytest.raises(MalformedEvidence) as caught:
        read(value)  # type: ignore[operator]
    assert caught.value.code == "forwarded.malformed"
    return str(caught.value)


@given(st.binary())
def test_percent_encoding_is_undone(data: bytes) -> None:
    """What RFC 3986 escapes comes back byte for byte, with few escapes and with many."""
    assert percent_decoded(quote(data, safe="")) == data
    assert percent_decoded(quote(data)) == data


def test_plus_decoded_as_space() -> None:
    """RFC 3986 knows no such rule, and base64 is full of pluses that AWS leaves as they are."""
    assert percent_decoded("a+b%2Bc%20d") == b"a+b+c d"


@pytest.mark.parametrize("text", ["%252B", "%25%32%42", "%2525", "%25252F"])
def test_escapes_are_undone_once(text: str) -> None:
    """An escape that comes of another is text."""
    assert percent_decoded(text) == unquote_to_bytes(text)


@pytest.mark.parametrize("text", ["%", "a%2", "%zz", "%%20", "%2", "% 2B", "%2 ", "%+1", "é"])
def test_broken_escapes(text: str) -> None:
    """A percent sign without its two digits is malformed, not itself."""
    refused(percent_decoded, text)


def test_base64_of_one_form() -> None:
    """Standard alphabet, padded, canonical."""
    assert base64_der(base64.b64encode(FRODO.der).decode()) == FRODO.der


@pytest.mark.parametrize(
    "text", ["", "AAA", "AA==AA==", "AB==", "A A=", "AAAA\n", "-_-_", "AAAA,AAAA", "%41AAA", "é", "AAAA===="]
)
def test_other_base64(text: str) -> None:
    """Empty, without padding, with stray bits, another alphabet, white space or several of them: malformed."""
    refused(base64_der, text)


def test_concatenated_der_is_split() -> None:
    """Certificates one after the other, as HAProxy writes a chain."""
    assert concatenated_der(FRODO.der + ISSUING.der) == (FRODO.der, ISSUING.der)
    assert concatenated_der(b"") == ()


@pytest.mark.parametrize(
    "data", [b"\x02\x01\x00", FRODO.der + b"\x00", FRODO.der[:-1], FRODO.der + ISSUING.der[:-1], b"\x30"]
)
def test_concatenated_der_with_something_else(data: bytes) -> None:
    """What is not SEQUENCEs from end to end is malformed, a cut last one included."""
    refused(concatenated_der, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x00",
        FRODO.der[:-1],
        FRODO.der + b"\x00",
        FRODO.der * 2,
        b"\x31" + FRODO.der[1:],
        b"\x30\x04\x30\x00\x30\x00",
        b"\x30\x06\x30\x00\x30\x00\x30\x00",
        b"\x30\x06\x30\x00\x03\x00\x30\x00",
        b"\x30\x08\x30\x00\x30\x00\x03\x00\x03\x00",
    ],
)
def test_what_has_not_the_parts_of_a_certificate(data: bytes) -> None:
    """Cut short, followed by something, or of other parts: refused before anything is verified."""
    refused(require_certificate, data)
    require_certificate(FRODO.der)


@pytest.mark.parametrize("text", [ONE, f" \r\n{ONE}\n", ONE.replace("\n", "\r\n")])
def test_pem_of_one(text: str) -> None:
    """One block, with white space around it."""
    assert pem_certificates(text.encode()) == (FRODO.der,)


@pytest.mark.parametrize("between", ["", "\n", " \t\r\n\n"])
def test_pem_of_two(between: str) -> None:
    """Blocks with nothing but white space between them."""
    assert pem_certificates(f"{ONE}{between}{TWO}".encode()) == (FRODO.der, ISSUING.der)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk" + ONE + TWO,
        ONE.replace("BEGIN", "BEGLN") + TWO,
        ONE.replace("-----BEGIN CERTIFICATE-----\n", "") + TWO,
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" + TWO,
        ONE[: len(ONE) // 2] + TWO,
        ONE + "junk\n" + TWO,
        ONE[:60] + ONE[61:] + TWO,
        ONE.replace("\n-----END", "-----END"),
        ONE + TWO + "junk",
        ONE + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ONE.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        ONE.replace("\n", " "),
        "-----BEGIN CERTIFICATE-----",
        base64.b64encode(FRODO.der).decode(),
    ],
)
def test_corrupt_first_pem_promotes_nobody(text: str) -> None:
    """A damaged or commented-out first block never makes the second certificate the peer's (CVE-2023-2422)."""
    refused(pem_certificates, text.encode())


@given(
    st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 600), st.sampled_from(["", "\n", " ", "=", "-", "A", "\r", "é"])), max_size=2),
)
def test_both_ways_to_read_pem_agree(ders: list[bytes], edits: list[tuple[int, str]]) -> None:
    """The short way for what every proxy writes gives what the long way gives, or leaves it to that."""
    text = pem(*ders)
    for at, what in edits:
        text = text[:at] + what + text[at + 1 :]
    short, long = _usual_blocks(text.strip().encode()), _read(certificate_blocks, text.strip().encode())
    assert short in ((), long)
    assert short or edits


def _read(read: Callable[[Any], Any], value: object) -> Any:
    """Return what *read* makes of *value*, or None where it is malformed."""
    try:
        return read(value)
    except MalformedEvidence as error:
        return None if error.code == "forwarded.malformed" else error


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_certificates_or_our_error(data: bytes) -> None:
    """Any bytes give parts of themselves or our error, whichever encoding they are read in."""
    for split in (concatenated_der, pem_certificates):
        assert isinstance(_read(split, data) or (), tuple)
    for decode in (base64_der, percent_decoded):
        decoded = _read(decode, data.decode("latin-1"))
        assert decoded is None or len(decoded) <= len(data)


def _whole(text: str) -> bytes | None:
    """Return what *text* is as base64 where all of it is what an encoder writes; the rule in its simplest form."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return data if data and base64.b64encode(data) == text.encode() else None


@given(st.binary(max_size=30), st.lists(st.tuples(st.integers(0, 40), st.sampled_from("AQg/+=-_ \n\0%é")), max_size=2))
def test_base64_is_canonical_as_a_whole(data: bytes, changes: list[tuple[int, str]]) -> None:
    """Attack, two spellings of one certificate: the end alone is encoded again, and nothing else passes for that."""
    text = base64.b64encode(data).decode()
    for at, char in changes:
        text = text[:at] + char + text[at + 1 :]
    assert _read(base64_der, text) == _whole(text)
