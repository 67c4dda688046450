"""Reads the parts of a CRL (RFC 5280, section 5.1) around its list of entries, and what its scope is.

It decides what is a well-formed CRL, and nothing about whether it is true. The entries are left for `_crl_index`.
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from mtlspolicy import _der
from mtlspolicy._der import INTEGER, SEQUENCE, element, elements
from mtlspolicy._pem import looks_like_pem
from mtlspolicy._revocation_pointers import DistributionPoint, point_names
from mtlspolicy.errors import MalformedEvidence

Extensions: TypeAlias = "dict[str, tuple[bool, bytes]]"
"""By dotted OID: critical, and the DER of the value."""

MOST_BYTES: Final = 64 * 1024 * 1024
"""Longest CRL, DER; the longest in public use have some tens of MiB."""
MOST_PEM: Final = MOST_BYTES // 3 * 4 + MOST_BYTES // 16
"""The same as PEM: four characters for three bytes, and the ends of the lines."""
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
ISSUING_DISTRIBUTION_POINT: Final = "2.5.29.28"
CRL_NUMBER: Final = "2.5.29.20"

BIT_STRING: Final = 0x03
_EXPLICIT_0: Final = 0xA0
_TIMES: Final = {UTC_TIME: re.compile(rb"[0-9]{12}Z"), GENERALIZED_TIME: re.compile(rb"[0-9]{14}Z")}
"""RFC 5280, section 4.1.2.5: with seconds, without fractions, in GMT."""
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----[ \t]*\r?\n([^-]*)-----END \1-----")
_BLANKS: Final = b" \t\r\n"
_LABEL: Final = b"X509 CRL"
_FIELDS: Final = (0xA0, 0x81, 0x82, 0x83, 0x84, 0x85)
"""Tags of an IssuingDistributionPoint, in their order."""
_TRUE, _FALSE = b"\xff", b"\x00"


class Layout(NamedTuple):
    """Parts of a TBSCertList as they stand in its bytes.

    Attributes:
        version: 1 or 2.
        algorithm: DER of the AlgorithmIdentifier inside the signed part.
        signature_algorithm: DER of the one beside the signature.
        issuer: DER of the issuer Name.
        this_update: Aware, UTC.
        next_update: Aware, UTC; ``None`` where it is left out.
        start: Where the content of revokedCertificates begins.
        end: Where it ends; the same as *start* where there is none.
        extensions: Of the CRL, not of its entries.
    """

    version: int
    algorithm: bytes
    signature_algorithm: bytes
    issuer: bytes
    this_update: datetime
    next_update: datetime | None
    start: int
    end: int
    extensions: Extensions


class Scope(NamedTuple):
    """What an issuingDistributionPoint says (RFC 5280, section 5.2.5); all of it false where there is none."""

    point: DistributionPoint | None = None
    users: bool = False
    authorities: bool = False
    partial: bool = False
    indirect: bool = False
    attributes: bool = False


def layout_of(data: bytes) -> Layout:
    """Return the layout of the CRL whose DER is *data*; nothing is verified.

    Raises:
        MalformedEvidence: *data* does not have the shape of a CRL, or something follows it.
    """
    tag, first, last = element(data, 0, len(data))
    parts = elements(data, first, last)
    if tag != SEQUENCE or last != len(data) or [kind for kind, _, _ in parts] != [SEQUENCE, SEQUENCE, BIT_STRING]:
        raise MalformedEvidence("no CRL, or something follows it")
    beside = data[parts[0][2] : parts[1][2]]
    _, first, last = parts[0]
    fields = elements(data, first, last)
    version, at = 1, first
    if fields and fields[0][0] == INTEGER:
        _, start, at = fields.pop(0)
        version = 2 if data[start:at] == b"\x01" else 0  # v1 is said by leaving it out
    kinds = [kind for kind, _, _ in fields]
    if version == 0:
        raise MalformedEvidence("a CRL of a version that is neither 1 nor 2", code="crl.version")
    if kinds[:2] != [SEQUENCE, SEQUENCE] or kinds[2:3] not in ([UTC_TIME], [GENERALIZED_TIME]):
        raise MalformedEvidence("a CRL of another shape")
    following = None
    if kinds[3:4] in ([UTC_TIME], [GENERALIZED_TIME]):
        following = moment(kinds[3], data[fields[3][1] : fields[3][2]])
    entries, extensions = _optional(data, fields[3 if following is None else 4 :])
    if version == 1 and extensions:
        # RFC 5280, section 5.1.2.1: "When extensions are used, [...] this field MUST be present and MUST specify
        # version 2". Read as v1 it would escape every rule that looks at extensions
        raise MalformedEvidence("a CRL of version 1 with extensions", code="crl.version")
    algorithm, issuer = data[at : fields[0][2]], data[fields[0][2] : fields[1][2]]
    now = moment(kinds[2], data[fields[2][1] : fields[2][2]])
    return Layout(version, algorithm, beside, issuer, now, following, *entries, extensions)


def _optional(data: bytes, fields: list[tuple[int, int, int]]) -> tuple[tuple[int, int], Extensions]:
    """Return where the entries are, and the extensions, from what follows the times."""
    entries = (0, 0)
    extensions: Extensions = {}
    rest = list(fields)
    if rest and rest[0][0] == SEQUENCE:
        entries = rest.pop(0)[1:]
    if rest and rest[0][0] == _EXPLICIT_0:
        extensions = extensions_of(data, *rest.pop(0)[1:])
    if rest:
        raise MalformedEvidence("a CRL with parts that no version has")
    return entries, extensions


def extensions_of(data: bytes, start: int, end: int) -> Extensions:
    """Return the Extensions that stand, with their tag, between *start* and *end*.

    Raises:
        MalformedEvidence: They are of another shape, none at all, or one of them is there twice.
    """
    listed = _der._extensions(data, start, end)
    found = {oid: (critical, value) for oid, critical, value in listed}
    if not listed or len(found) != len(listed):
        raise MalformedEvidence("extensions of a CRL of which one is there twice, or an empty list of them")
    return found


def is_time(tag: int, content: bytes) -> bool:
    """Return whether this is a Time in the form that RFC 5280, section 4.1.2.5, allows; not whether there is such."""
    form = _TIMES.get(tag)
    return form is not None and form.fullmatch(content) is not None


def moment(tag: int, content: bytes) -> datetime:
    """Return the Time of this tag and content, aware, UTC.

    Raises:
        MalformedEvidence: It is not of the form that RFC 5280, section 4.1.2.5, allows, or no date.
    """
    if not is_time(tag, content):
        raise MalformedEvidence("a time in a form that RFC 5280 does not allow")
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = ("19" if text >= "50" else "20") + text  # section 4.1.2.5.1
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise MalformedEvidence(f"a time that does not exist: {text}") from None


def crl_number(extensions: Extensions) -> int | None:
    """Return the cRLNumber (RFC 5280, section 5.2.3), or ``None`` where there is none.

    Raises:
        MalformedEvidence: It is not an INTEGER alone.
    """
    _, value = extensions.get(CRL_NUMBER, (False, None))
    if value is None:
        return None
    tag, start, end = element(value, 0, len(value))
    if tag != INTEGER or end != len(value) or start == end:
        raise MalformedEvidence("a cRLNumber that is not an INTEGER alone")
    return int.from_bytes(value[start:end], "big", signed=True)


def scope_of(extensions: Extensions) -> Scope:
    """Return what the issuingDistributionPoint says, critical or not.

    Raises:
        MalformedEvidence: It is of another shape, or claims more than one kind of certificate.
    """
    _, value = extensions.get(ISSUING_DISTRIBUTION_POINT, (False, None))
    if value is None:
        return Scope()
    tag, start, end = element(value, 0, len(value))
    fields = elements(value, start, end)
    parts = {kind: value[first:last] for kind, first, last in fields}
    if (
        tag != SEQUENCE
        or end != len(value)
        or [kind for kind in _FIELDS if kind in parts] != [one[0] for one in fields]
    ):
        raise MalformedEvidence("an issuingDistributionPoint of another shape")
    flags = {kind: parts[kind] == _TRUE for kind in (0x81, 0x82, 0x84, 0x85) if kind in parts}
    # BER has 255 ways to say TRUE (X.690, section 8.2.2); taken for FALSE, the others would widen the scope
    if (
        any(parts[kind] not in (_TRUE, _FALSE) for kind in flags)
        or sum(flags.get(kind, False) for kind in (0x81, 0x82, 0x85)) > 1
    ):
        # RFC 5280, section 5.2.5: at most one of the three "may be set to TRUE"
        raise MalformedEvidence("an issuingDistributionPoint that contradicts itself")
    point = point_names(value, fields[0][1], fields[0][2]) if 0xA0 in parts else None
    return Scope(point, flags.get(0x81, False), flags.get(0x82, False), 0x83 in parts, flags.get(0x84, False),
                 flags.get(0x85, False))  # fmt: skip


def crl_blocks(data: bytes) -> tuple[bytes, ...]:
    """Return the DER of every CRL in *data*: the bytes themselves, or the blocks ``X509 CRL`` of PEM.

    `_pem.read_pem` goes line by line, which is too slow for the million lines that a CRL may have.

    Raises:
        MalformedEvidence: PEM without a CRL, with a block of another kind, or with one that is not base64.
    """
    if not looks_like_pem(data):
        return (data,)
    if len(data) > MOST_PEM:
        raise MalformedEvidence(f"{len(data)} bytes of PEM; at most {MOST_PEM}", code="crl.too-large")
    found: list[bytes] = []
    for label, body in _BLOCK.findall(data):
        if label != _LABEL:
            raise MalformedEvidence(f"a PEM block '{label.decode('ascii')}' where only 'X509 CRL' belongs")
        try:
            found.append(binascii.a2b_base64(body.translate(None, _BLANKS), strict_mode=True))
        except binascii.Error as error:
            raise MalformedEvidence(f"not PEM: a block 'X509 CRL' that is not base64: {error}") from None
    if not found or len(found) != data.count(b"-----BEGIN "):
        raise MalformedEvidence("not PEM: no block 'X509 CRL', or a block that does not end")
    return tuple(found)
