"""The subject as a client registers it: RFC 4514 text, compared a little more loosely than `policies.SubjectDN` does.

Of distinguishedNameMatch (RFC 4517) only this is done: in values of known attribute types ASCII letters match in either
case, and a run of spaces (U+0020) counts as one. No other character is folded, mapped or dropped (RFC 4518), since what
looks alike under a CA that vets exact strings is somebody else.
"""

from __future__ import annotations

import re
import string
from typing import Final

from mtlspolicy._decision import Verdict
from mtlspolicy._names import SHORT_NAMES, Attribute, DistinguishedName
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import Match, absent
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._subject import SubjectDN

__all__ = ["RegisteredDN", "folded"]

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""ASCII alone: `str.lower` makes a k of the Kelvin sign."""
_SPACES: Final = re.compile("  +")


def folded(name: DistinguishedName) -> DistinguishedName | None:
    """Return *name* as it is compared; ``None`` where two attributes of one RDN would become one."""
    rdns = tuple(frozenset(map(_folded, rdn)) for rdn in name.rdns)
    alike = any(len(rdn) != len(before) for rdn, before in zip(rdns, name.rdns, strict=True))
    return None if alike else DistinguishedName(rdns)


def _folded(attribute: Attribute) -> Attribute:
    oid, value = attribute
    if value is None or oid not in SHORT_NAMES:  # nobody here knows the matching rule of the type
        return attribute
    return oid, _SPACES.sub(" ", value.translate(_LOWER))


class RegisteredDN(SubjectDN):
    """The subject is the registered name: same RDNs in the same order, values equal but for ASCII case and spaces."""

    __slots__ = ()

    @classmethod
    def _entry(cls, value: object) -> DistinguishedName:
        name = folded(super()._entry(value))
        if name is None:
            raise ConfigurationError(f"{value!r} has an RDN with two attributes that differ in case or spaces only")
        return name

    def _match(self, path: CertificationPath) -> Match:
        subject = path.end_entity.subject
        if not subject.rdns:
            return absent("subject")
        if not subject.readable:
            return Verdict.INDETERMINATE, "name.unreadable", f"the subject {subject} has a value that cannot be read"
        name, wanted = folded(subject), self._current()
        if name is None:
            detail = f"the subject {subject} has two attributes in one RDN that differ in case or spaces only"
            return Verdict.INDETERMINATE, "name.ambiguous", detail
        if name in wanted:
            return Verdict.PERMIT, "name.match", str(subject)
        if name.reversed() in wanted:
            return (
                Verdict.INDETERMINATE,
                "name.reversed",
                f"presented {subject}: the registered text has the RDNs in reverse; register it as printed here",
            )
        return Verdict.DENY, "name.mismatch", f"registered {self._listed()}, presented {subject}"
