"""The PEM reader (RFC 7468): blocks with their labels, text outside them passed over, everything doubtful refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._pem import PemBlock, certificate_blocks, looks_like_pem, read_pem, write_pem
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.testing import CertificateAuthority

LEAF = CertificateAuthority().issue_client("client")
PEM = LEAF.certificate_pem


def _block(body: bytes, label: bytes = b"CERTIFICATE") -> bytes:
    return b"-----BEGIN " + label + b"-----\n" + body + b"\n-----END " + label + b"-----\n"


def test_what_is_written_is_read() -> None:
    """A block that was written comes back with its label and every byte."""
    text = write_pem(LEAF.der)
    assert text.encode() == PEM
    assert read_pem(text.encode()) == (PemBlock("CERTIFICATE", LEAF.der),)
    assert max(map(len, text.splitlines())) == 64
    assert write_pem(b"", "X").splitlines() == ["-----BEGIN X-----", "", "-----END X-----"]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_line_endings_do_not_matter(ending: bytes) -> None:
    """LF, CRLF and CR files are the same file."""
    assert certificate_blocks(PEM.replace(b"\n", ending)) == (LEAF.der,)


@pytest.mark.parametrize(
    "text",
    [
        b"subject=CN = client\nissuer=CN = ca\n",
        b" 0 s:CN = client\n   i:CN = ca\n",
        b"0 s:CN = client\n",
        b"# My CA: a comment with a colon\n",
        b"=====================\n",
        b"---------------------\n",
        b"--- Example Root -----\n",
        b"\xef\xbb\xbf",
        b"\n\n\t\n",
    ],
)
def test_text_outside_blocks_is_passed_over(text: bytes) -> None:
    """Explanatory text (RFC 7468, section 5.2), a byte order mark and a ruler of dashes do not hide a block."""
    assert looks_like_pem(text + PEM)
    assert certificate_blocks(text + PEM) == (LEAF.der,)
    assert read_pem(PEM + text.removeprefix(b"\xef\xbb\xbf")) == read_pem(PEM)


def test_blanks_around_lines_are_passed_over() -> None:
    """Lines that an editor indented or filled up are read; a boundary stands at the start of its line."""
    begin, *body, end = PEM.splitlines()
    assert read_pem(b"\n".join([begin + b" \t", *(b"\t" + line + b" " for line in body), end])) == read_pem(PEM)
    with pytest.raises(MalformedEvidence, match="the boundary on line 1 is malformed"):
        read_pem(b" " + PEM)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (PEM.replace(b"-----END CERTIFICATE-----\n", b""), "has no END line"),
        (PEM.replace(b"END CERTIFICATE", b"END TRUSTED CERTIFICATE"), "is out of place"),
        (PEM.replace(b"-----BEGIN CERTIFICATE-----\n", b""), "'END CERTIFICATE' on line .* is out of place"),
        (PEM.replace(b"-----END CERTIFICATE-----\n", b"") + PEM, "'BEGIN CERTIFICATE' on line .* is out of place"),
        (PEM.replace(b"-----BEGIN CERTIFICATE-----", b"-----BEGIN CERTIFICATE----"), "the boundary on line 1"),
        (PEM.replace(b"-----BEGIN CERTIFICATE-----", b"-----BEGIN certificate-----"), "the boundary on line 1"),
        (PEM.replace(b"-----END CERTIFICATE-----", b"-----END CERTIFICATE"), "the boundary on line"),
        (_block(b"AAAA\n-----\nAAAA"), "the boundary on line 3 is malformed"),
        (_block(b"AA*A"), "'CERTIFICATE' that ends on line 3"),
        (_block(b"AAA"), "'CERTIFICATE' that ends on line 3"),
        (_block(b"AAAA=AAA"), "'CERTIFICATE' that ends on line 3"),
    ],
)
def test_a_spoilt_block_refuses_the_whole(data: bytes, says: str) -> None:
    """A block that does not end, ends under another name or is not base64 is an error, never passed over."""
    with pytest.raises(MalformedEvidence, match=says):
        read_pem(data)


def test_one_spoilt_block_among_good_ones_refuses_the_whole() -> None:
    """Certificates before and after a spoilt one are not taken without it."""
    with pytest.raises(MalformedEvidence):
        certificate_blocks(PEM + _block(b"A") + PEM)


def test_only_certificates_belong_among_certificates() -> None:
    """A key, a request or TRUSTED CERTIFICATE among certificates is refused by its name."""
    for label in (b"PRIVATE KEY", b"CERTIFICATE REQUEST", b"TRUSTED CERTIFICATE", b"PUBLIC KEY"):
        with pytest.raises(MalformedEvidence, match=f"a PEM block '{label.decode()}' where only certificates belong"):
            certificate_blocks(PEM + _block(b"AAAA", label))


def test_both_names_of_a_certificate_block_are_read() -> None:
    """X509 CERTIFICATE is an old name of the same thing (RFC 7468, section 5.1)."""
    assert certificate_blocks(PEM.replace(b"CERTIFICATE", b"X509 CERTIFICATE")) == (LEAF.der,)


@pytest.mark.parametrize("body", [b"", b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA"])
def test_a_certificate_block_without_content_is_refused(body: bytes) -> None:
    """An empty block, and one with the headers of an old encrypted key, is no certificate."""
    with pytest.raises(MalformedEvidence, match="is empty or has headers"):
        certificate_blocks(PEM + _block(body))


def test_a_key_with_headers_has_no_content_of_its_own() -> None:
    """An old-style encrypted key is recognised by its label; its content is for OpenSSL to read."""
    body = b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA"
    assert read_pem(_block(body, b"RSA PRIVATE KEY")) == (PemBlock("RSA PRIVATE KEY", b""),)


def test_der_is_not_taken_for_pem() -> None:
    """DER in whose text a boundary stands is DER; a text that begins with the digit 0, which is byte 0x30, is not."""
    assert not looks_like_pem(b"\x30\x82\x01\x00-----BEGIN CERTIFICATE-----")
    assert not looks_like_pem(LEAF.der)
    assert not looks_like_pem(b"")
    assert looks_like_pem(b"0 s:CN=client\n" + PEM)


@given(st.binary(max_size=200))
def test_any_bytes_are_written_and_read(data: bytes) -> None:
    """Whatever is written as PEM is read as the same bytes."""
    assert read_pem(write_pem(data, "DATA").encode()) == (PemBlock("DATA", data),)


@given(st.lists(st.sampled_from([*PEM.splitlines(keepends=True), b"-----\n", b"-----BEGIN X-----\n", b"a:\n", b"\n"])))
def test_any_order_of_lines_gives_blocks_or_malformed_evidence(lines: list[bytes]) -> None:
    """Any lines give blocks or one of our errors, nothing else."""
    try:
        blocks = read_pem(b"".join(lines))
    except MalformedEvidence as error:
        assert error.code == "chain.malformed"  # noqa: PT017 - some lines are blocks
    else:
        assert all(base64.b64encode(block.der) in b"".join(lines).replace(b"\n", b"") for block in blocks)
