"""Where a certificate says that its revocation is published: OCSP responders and CRL distribution points.

It reads what is stated and fetches nothing; whether a host may be asked is for whoever fetches. URLs are hostile text.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._der import OID, SEQUENCE, element, elements
from mtlspolicy.errors import MalformedEvidence

__all__ = ["DistributionPoint", "crl_urls", "declares_crl", "declares_ocsp", "distribution_points", "ocsp_urls"]

CRL_DISTRIBUTION_POINTS: Final = "2.5.29.31"
AUTHORITY_INFO_ACCESS: Final = "1.3.6.1.5.5.7.1.1"

_OCSP: Final = bytes.fromhex("2b06010505073001")
"""Content of the object identifier id-ad-ocsp, 1.3.6.1.5.5.7.48.1 (RFC 5280, section 4.2.2.1)."""
_URI: Final = 0x86
_FULL_NAME, _RELATIVE_NAME = 0xA0, 0xA1
_POINT, _REASONS, _ISSUER = 0xA0, 0x81, 0xA2
_LONGEST_URL: Final = 2048
_URL: Final = re.compile(rb"(?i:https?)://[A-Za-z0-9.\-\[\]:]+(?:[/?][!-~]*)?")

GeneralName: TypeAlias = "tuple[int, bytes]"
"""Tag and content of a GeneralName as it stands in the bytes (RFC 5280, section 4.2.1.6)."""


class DistributionPoint(NamedTuple):
    """One DistributionPoint (RFC 5280, section 4.2.1.13).

    Attributes:
        names: The fullName; empty where there is none.
        relative: Content of a nameRelativeToCRLIssuer; empty where there is none.
        partial: Whether it is for some reasons of revocation only.
        indirect: Whether somebody else than the certificate's issuer signs the CRL.
    """

    names: tuple[GeneralName, ...] = ()
    relative: bytes = b""
    partial: bool = False
    indirect: bool = False


def ocsp_urls(certificate: ParsedCertificate) -> tuple[str, ...]:
    """Return the http and https URLs of the OCSP responders that *certificate* names, in order, each once.

    Raises:
        MalformedEvidence: authorityInfoAccess cannot be read.
    """
    return _urls(_ocsp_locations(certificate))


def crl_urls(certificate: ParsedCertificate) -> tuple[str, ...]:
    """Return the http and https URLs of complete CRLs that the issuer of *certificate* signs itself, each once.

    Those of distribution points for some reasons only, or with another CRL issuer, are left out.

    Raises:
        MalformedEvidence: cRLDistributionPoints cannot be read.
    """
    whole = [one for one in distribution_points(certificate) if not (one.partial or one.indirect)]
    return _urls([name for one in whole for name in one.names])


def declares_ocsp(certificate: ParsedCertificate) -> bool:
    """Return whether *certificate* names an OCSP responder, also by a kind of URL that is not used here.

    Raises:
        MalformedEvidence: authorityInfoAccess cannot be read.
    """
    return bool(_ocsp_locations(certificate))


def declares_crl(certificate: ParsedCertificate) -> bool:
    """Return whether *certificate* has a CRL distribution point, also of a kind that is not used here, such as ldap.

    Raises:
        MalformedEvidence: cRLDistributionPoints cannot be read.
    """
    return bool(distribution_points(certificate))


def distribution_points(certificate: ParsedCertificate) -> tuple[DistributionPoint, ...]:
    """Return the CRL distribution points of *certificate*; none where it has no such extension.

    Raises:
        MalformedEvidence: cRLDistributionPoints cannot be read.
    """
    value = certificate.extension_value(CRL_DISTRIBUTION_POINTS)
    if value is None:
        return ()
    return tuple([_distribution_point(value, start, end) for _, start, end in _members(value)])


def point_names(value: bytes, start: int, end: int) -> DistributionPoint:
    """Return the DistributionPointName between *start* and *end*, as a point without anything else.

    Raises:
        MalformedEvidence: It is of another shape, or empty.
    """
    parts = elements(value, start, end)
    if len(parts) != 1 or parts[0][0] not in {_FULL_NAME, _RELATIVE_NAME}:
        raise MalformedEvidence("a distribution point whose name is of another shape")
    tag, first, last = parts[0]
    names = elements(value, first, last)
    if not names:
        raise MalformedEvidence("a distribution point whose name is empty")
    if tag == _RELATIVE_NAME:
        return DistributionPoint(relative=value[first:last])
    return DistributionPoint(tuple([(kind, value[at:stop]) for kind, at, stop in names]))


def _distribution_point(value: bytes, start: int, end: int) -> DistributionPoint:
    fields = {tag: (first, last) for tag, first, last in elements(value, start, end)}
    tags = [tag for tag, _, _ in elements(value, start, end)]
    if [tag for tag in (_POINT, _REASONS, _ISSUER) if tag in fields] != tags:
        raise MalformedEvidence("a distribution point of another shape")
    if fields.keys() <= {_REASONS}:
        # RFC 5280, section 4.2.1.13: "a DistributionPoint MUST NOT consist of only the reasons field"
        raise MalformedEvidence("a distribution point that says neither where nor by whom")
    point = point_names(value, *fields[_POINT]) if _POINT in fields else DistributionPoint()
    return point._replace(partial=_REASONS in fields, indirect=_ISSUER in fields)


def _ocsp_locations(certificate: ParsedCertificate) -> list[GeneralName]:
    value = certificate.extension_value(AUTHORITY_INFO_ACCESS)
    if value is None:
        return []
    found: list[GeneralName] = []
    for _, start, end in _members(value):
        fields = elements(value, start, end)
        if len(fields) != 2 or fields[0][0] != OID:  # accessMethod and accessLocation
            raise MalformedEvidence("an access description of another shape")
        (_, at, stop), (tag, first, last) = fields
        if value[at:stop] == _OCSP:
            found.append((tag, value[first:last]))
    return found


def _members(value: bytes) -> list[tuple[int, int, int]]:
    """Return the members of the SEQUENCE that *value* is: one at least, and each a SEQUENCE."""
    tag, start, end = element(value, 0, len(value))
    members = elements(value, start, end)
    if tag != SEQUENCE or end != len(value) or not members or any(member[0] != SEQUENCE for member in members):
        raise MalformedEvidence("a list of pointers to revocation that is of another shape, or empty")
    return members


def _urls(names: list[GeneralName]) -> tuple[str, ...]:
    usable = [value for tag, value in names if tag == _URI and len(value) <= _LONGEST_URL and _URL.fullmatch(value)]
    return tuple(dict.fromkeys(value.decode("ascii") for value in usable))
