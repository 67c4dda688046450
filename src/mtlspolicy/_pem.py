"""Reads PEM (RFC 7468) into labelled DER blocks. It decides what is well-formed PEM, not what the blocks hold."""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

from mtlspolicy.errors import MalformedEvidence

_BOUNDARY: Final = re.compile(rb"^-----(BEGIN|END) ([A-Z0-9][A-Z0-9 ]{0,60})-----[ \t]*$")


class PemBlock(NamedTuple):
    """One block: its label, such as ``CERTIFICATE``, and its content.

    ``der`` is empty for a block with headers (an old-style encrypted key), which is not base64 as a whole.
    """

    label: str
    der: bytes


def looks_like_pem(data: bytes) -> bool:
    """Return whether *data* holds a PEM boundary and is not DER.

    A certificate's DER begins with 0x30, which is also the digit 0, and a length of several bytes, which is no text.
    """
    return not b"\x30\x80" <= data[:2] < b"\x31" and b"-----BEGIN " in data


def read_pem(data: bytes) -> tuple[PemBlock, ...]:
    """Return the blocks of *data* in order. Text outside blocks is explanatory text and is passed over (RFC 7468, 5.2).

    Raises:
        MalformedEvidence: A block that does not end, ends under another label, or holds something but base64.
    """
    blocks: list[PemBlock] = []
    label: str | None = None
    body: list[bytes] = []
    for number, line in enumerate(data.splitlines(), 1):
        boundary = _BOUNDARY.match(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
        if boundary is None:
            if _is_spoilt_boundary(line, inside=label is not None):
                raise MalformedEvidence(f"not PEM: the boundary on line {number} is malformed", code="chain.malformed")
            if label is not None:
                body.append(line.strip(b" \t"))
            continue
        kind, name = boundary[1], boundary[2].decode("ascii")
        if (kind == b"BEGIN") != (label is None) or (label is not None and name != label):
            raise MalformedEvidence(f"not PEM: '{kind.decode()} {name}' on line {number} is out of place")
        if label is None:
            label, body = name, []
        else:
            blocks.append(PemBlock(label, _content(label, body, number)))
            label = None
    if label is not None:
        raise MalformedEvidence(f"not PEM: the block '{label}' has no END line")
    return tuple(blocks)


def _is_spoilt_boundary(line: bytes, *, inside: bool) -> bool:
    """Return whether *line* begins like a boundary and is none; outside blocks a ruler of dashes is just text."""
    return line.lstrip().startswith(b"-----") and (inside or b"BEGIN" in line or b"END" in line)


def _content(label: str, body: list[bytes], number: int) -> bytes:
    if any(b":" in line for line in body):
        return b""
    try:
        return binascii.a2b_base64(b"".join(body), strict_mode=True)
    except binascii.Error as error:
        raise MalformedEvidence(f"not PEM: the block '{label}' that ends on line {number}: {error}") from None


def write_pem(der: bytes, label: str = "CERTIFICATE") -> str:
    """Return *der* as one PEM block with lines of 64 characters and a final line feed."""
    text = binascii.b2a_base64(der, newline=False).decode("ascii")
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def certificate_blocks(data: bytes) -> tuple[bytes, ...]:
    """Return the DER of every certificate in the PEM *data*.

    Raises:
        MalformedEvidence: A block of another kind: a key, a request, or ``TRUSTED CERTIFICATE``, whose trust settings
            only OpenSSL reads.
    """
    blocks = read_pem(data)
    for block in blocks:
        if block.label not in ("CERTIFICATE", "X509 CERTIFICATE"):
            raise MalformedEvidence(f"a PEM block '{block.label}' where only certificates belong")
        if not block.der:
            raise MalformedEvidence(f"a PEM block '{block.label}' that is empty or has headers")
    return tuple(block.der for block in blocks)
