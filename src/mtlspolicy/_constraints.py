"""Name constraints (RFC 5280, section 4.2.1.10) as policies need them: may the CAs of the path vouch for this name?

Path validation enforces constraints on names of the types that they speak of. This adds what no path validation holds:
common names, emailAddress attributes, whole subjects, and names of a type that a constrained CA is not constrained in.
It can only refuse: each function returns an objection, or ``None``.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._identifiers import DNS, EMAIL, IP, URI, IPAddress
from mtlspolicy._names import COMMON_NAME, EMAIL_ADDRESS, DistinguishedName
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import is_dns_name, normal_dns
from mtlspolicy._text import quoted
from mtlspolicy.errors import MalformedEvidence

_FORMS: Final[dict[str, type[x509.GeneralName]]] = {
    DNS: x509.DNSName,
    IP: x509.IPAddress,
    EMAIL: x509.RFC822Name,
    URI: x509.UniformResourceIdentifier,
}
_NAMES: Final = {DNS: "dNSName", IP: "iPAddress", EMAIL: "rfc822Name", URI: "uniformResourceIdentifier"}
_REMEDY: Final = "give the CA constraints of this type, or say allow_unconstrained=True"
_AUTHORITY: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#@:\[\]]+)(?::[0-9]*)?(?:[/?#].*)?", re.ASCII
)


class Standing(enum.Enum):
    """How a name stands to the constraints of a path."""

    FREE = "free"
    """No constraint speaks of names of its type."""
    INSIDE = "inside"
    """Inside every permitted set of subtrees, outside all excluded ones."""
    OUTSIDE = "outside"
    """Excluded, or not permitted."""


def standing(constraints: Iterable[x509.NameConstraints], kind: str, value: str | IPAddress) -> Standing:
    """Return how the name *value* of the type *kind* (``dns``, ``ip``, ``email`` or ``uri``) stands to *constraints*.

    Every extension is held by itself: a name must be permitted by each that permits anything of its type.
    """
    form, found = _FORMS[kind], Standing.FREE
    for extension in constraints:
        permitted = [base.value for base in extension.permitted_subtrees or () if isinstance(base, form)]
        excluded = [base.value for base in extension.excluded_subtrees or () if isinstance(base, form)]
        if any(_covers(kind, base, value, excluding=True) for base in excluded):
            return Standing.OUTSIDE
        if permitted and not any(_covers(kind, base, value, excluding=False) for base in permitted):
            return Standing.OUTSIDE
        if permitted or excluded:
            found = Standing.INSIDE
    return found


def _covers(kind: str, base: object, value: str | IPAddress, *, excluding: bool) -> bool:
    """Return whether the subtree *base* covers *value*; where the standards are silent, so that fewer names pass."""
    if isinstance(base, ipaddress.IPv4Network | ipaddress.IPv6Network):
        # An address is read once, not once for each of thousands of comparisons.
        address = ipaddress.ip_address(value) if isinstance(value, str) else value
        return any(form in base for form in both_forms(address))
    subtree, name = str(base), str(value)
    if kind == EMAIL:
        return _covers_email(subtree, name, excluding=excluding)
    if kind == DNS:
        return _covers_dns(normal_dns(subtree), normal_dns(name).removeprefix("*."), excluding=excluding)
    authority = _AUTHORITY.fullmatch(normal_dns(name))
    if authority is None:
        return excluding  # RFC 5280: a URI without an authority part with a host name is to be refused
    return _covers_host(normal_dns(subtree), authority[1], excluding=excluding)


def both_forms(address: IPAddress) -> tuple[IPAddress, ...]:
    """Return *address*, and the IPv4 address that it maps, which is what policies compare: it escapes no constraint."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (address,) if mapped is None else (address, mapped)


def _covers_dns(base: str, name: str, *, excluding: bool) -> bool:
    """Labels added on the left satisfy a constraint, also none; a leading dot, which some CAs write, asks for one."""
    rest = base.removeprefix(".")
    apex = rest == base or excluding
    return not rest or name.endswith("." + rest) or (apex and name == rest)


def _covers_host(base: str, host: str, *, excluding: bool) -> bool:
    """URI and mailbox hosts: ``.a.test`` is every host below, ``a.test`` that host; an empty base excludes all."""
    if not base:
        return excluding
    return host.endswith(base) if base.startswith(".") else host == base


def _covers_email(base: str, mailbox: str, *, excluding: bool) -> bool:
    """RFC 5280: a mailbox, a host, or ``.domain``. Local parts have case, but not for getting past an exclusion."""
    local, _, host = mailbox.rpartition("@")
    base_local, at, base_host = base.rpartition("@")
    if not at:
        return _covers_host(normal_dns(base), normal_dns(host), excluding=excluding)
    same = local == base_local or (excluding and normal_dns(local) == normal_dns(base_local))
    return same and normal_dns(host) == normal_dns(base_host)


def name_objection(
    path: CertificationPath, kind: str, values: Iterable[str | IPAddress], *, allow_unconstrained: bool
) -> str | None:
    """Return why *values*, names of the end entity of the type *kind*, count for nothing under *path*'s constraints.

    Args:
        path: The validated path.
        kind: ``dns``, ``ip``, ``email`` or ``uri``.
        values: The names that are looked at.
        allow_unconstrained: Whether a CA with constraints, none of which speaks of this type, may vouch for such names.
    """
    try:
        constraints = path.name_constraints
    except MalformedEvidence as error:
        return str(error)
    if not constraints:
        return None
    for value in values:
        stands = standing(constraints, kind, value)
        if stands is Standing.OUTSIDE:
            return f"the {_NAMES[kind]} {quoted(str(value))} lies outside the name constraints of the path"
        if stands is Standing.FREE and not allow_unconstrained:
            return f"a CA of the path has name constraints, and none speaks of {_NAMES[kind]} entries: {_REMEDY}"
    return None


def common_name_objection(path: CertificationPath, text: str, *, allow_unconstrained: bool) -> str | None:
    """Return why the common name *text* counts for nothing under the constraints of *path*.

    No constraint speaks of common names. One that is a DNS name inside the dNSName constraints may count; one that
    looks like a DNS name, an address, a mailbox or a URI outside the constraints of that type never does; any other
    counts only with *allow_unconstrained*.
    """
    try:
        constraints = path.name_constraints
    except MalformedEvidence as error:
        return str(error)
    if not constraints:
        return None
    kind = _shape(text)
    stands = Standing.FREE if kind is None else standing(constraints, kind, text)
    if stands is Standing.OUTSIDE:
        return f"the common name {quoted(text)} lies outside the name constraints of the path"
    if allow_unconstrained or (stands is Standing.INSIDE and kind == DNS and is_dns_name(text)):
        return None
    return (
        "a CA of the path has name constraints, which do not reach common names: compare a subjectAltName, or say "
        "allow_unconstrained=True"
    )


def _shape(text: str) -> str | None:
    """Return the type of name that a common name looks like, or ``None`` for one that is no name of the network."""
    if "://" in text:
        return URI
    if "@" in text:
        return EMAIL
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return DNS if "." in text and " " not in text else None
    return IP


def subject_objection(path: CertificationPath, *, whole: bool, allow_unconstrained: bool) -> str | None:
    """Return why the end entity's subject counts for nothing under the constraints of *path*.

    Args:
        path: The validated path.
        whole: Whether the whole subject is compared, so that directoryName constraints that it keeps to suffice; they
            say nothing of a single attribute, which may stand once more below the permitted part.
        allow_unconstrained: Whether a CA with constraints, none of which reaches the subject, may vouch for it.

    Raises:
        MalformedEvidence: The subject cannot be read.
    """
    try:
        constraints = path.name_constraints
    except MalformedEvidence as error:
        return str(error)
    if not constraints:
        return None
    subject = path.end_entity.subject
    stands = _directory_standing(constraints, subject)
    if stands is Standing.OUTSIDE:
        return f"the subject {subject} is not inside the directoryName constraints of the path"
    for name in subject.values(COMMON_NAME):
        kind = None if name is None else _shape(name)
        if name is not None and kind is not None and standing(constraints, kind, name) is Standing.OUTSIDE:
            return f"the common name {quoted(name)} lies outside the name constraints of the path"
    if allow_unconstrained or (whole and stands is Standing.INSIDE):
        return None
    return (
        "a CA of the path has name constraints, which do not reach this part of the subject: compare a subjectAltName, "
        "or say allow_unconstrained=True"
    )


def _directory_standing(constraints: Iterable[x509.NameConstraints], subject: DistinguishedName) -> Standing:
    """Return the standing of *subject*. Any excluded directoryName counts as met: its matching folds, ours does not.

    A base of which some value cannot be read permits nothing.
    """
    found = Standing.FREE
    for extension in constraints:
        if any(isinstance(base, x509.DirectoryName) for base in extension.excluded_subtrees or ()):
            return Standing.OUTSIDE
        names = [base.value for base in extension.permitted_subtrees or () if isinstance(base, x509.DirectoryName)]
        bases = [DistinguishedName.from_der(name.public_bytes()) for name in names]
        if bases and not any(base.readable and subject.rdns[: len(base.rdns)] == base.rdns for base in bases):
            return Standing.OUTSIDE
        if bases:
            found = Standing.INSIDE
    return found


def subject_email_violation(path: CertificationPath) -> str | None:
    """Return which emailAddress attribute of *path* lies outside the rfc822Name constraints above it, or ``None``.

    RFC 5280, section 4.2.1.10, wants this where a certificate has no subjectAltName; here it is held always, so that
    the legacy attribute is no way around. A self-issued CA certificate is passed over (section 6.1.3). Total: what
    cannot be read is a violation.
    """
    try:
        for place, certificate in enumerate(path.certificates[:-1]):
            if place and certificate.self_issued:
                continue
            for extension in _above(path, place):
                violation = _email_violation(certificate, extension)
                if violation is not None:
                    return violation
    except MalformedEvidence as error:
        return str(error)
    return None


def _above(path: CertificationPath, place: int) -> Iterator[x509.NameConstraints]:
    for authority in path.certificates[place + 1 :]:
        constraints = authority.extension(x509.NameConstraints)
        if constraints is not None:
            yield constraints


def _email_violation(certificate: ParsedCertificate, extension: x509.NameConstraints) -> str | None:
    for address in certificate.subject.values(EMAIL_ADDRESS):
        stands = standing((extension,), EMAIL, address or "")
        if stands is Standing.OUTSIDE or (address is None and stands is Standing.INSIDE):
            return f"{certificate} has an emailAddress outside the rfc822Name constraints of a CA above it"
    return None
