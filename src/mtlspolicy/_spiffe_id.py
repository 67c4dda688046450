"""SPIFFE IDs: text to trust domain and path (SPIFFE-ID standard, section 2). Whose anchors may assert one is no matter.

Nothing is normalised: upper-case schemes and trust domains, percent-encoding, ports, queries, empty and dot segments
are refused.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mtlspolicy._text import quoted
from mtlspolicy.errors import MalformedEvidence

SCHEME: Final = "spiffe://"
MAX_LENGTH: Final = 2048
"""Longest SPIFFE ID, in bytes (section 2.3)."""
MAX_TRUST_DOMAIN: Final = 255
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]+", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


class SpiffeIdentifier(NamedTuple):
    """A SPIFFE ID.

    Attributes:
        trust_domain: Name of the trust domain, lower case.
        path: Empty, or ``/`` and segments.
    """

    trust_domain: str
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> SpiffeIdentifier:
        """Return the SPIFFE ID that *text* writes: ``spiffe://trust.domain/path``.

        Raises:
            MalformedEvidence: *text* breaks the standard; the message says where.
        """
        if not text.startswith(SCHEME):
            raise _malformed(text, f"it does not begin with {SCHEME!r}")
        if len(text) > MAX_LENGTH:
            raise _malformed(text, f"it is longer than {MAX_LENGTH} bytes")
        domain, slash, path = text.removeprefix(SCHEME).partition("/")
        return cls.of(domain, *(path.split("/") if slash else ()))

    @classmethod
    def of(cls, trust_domain: str, *segments: str) -> SpiffeIdentifier:
        """Return the SPIFFE ID of *trust_domain* with a path of *segments*.

        Raises:
            MalformedEvidence: One of them breaks the standard.
        """
        whole = "/".join((SCHEME + trust_domain, *segments))
        if not _TRUST_DOMAIN.fullmatch(trust_domain) or len(trust_domain) > MAX_TRUST_DOMAIN:
            raise _malformed(
                whole,
                "a trust domain is 1 to 255 lower-case letters, digits, dots, dashes, underscores; no port, no user",
            )
        for segment in segments:
            if segment in (".", ".."):
                raise _malformed(whole, "a path has no dot segments")
            if not _SEGMENT.fullmatch(segment):
                raise _malformed(
                    whole,
                    "path segments are letters, digits, dots, dashes and underscores, never empty: no final slash, no "
                    "percent-encoding, no query",
                )
        if len(whole) > MAX_LENGTH:
            raise _malformed(whole, f"it is longer than {MAX_LENGTH} bytes")
        return cls(trust_domain, whole[len(SCHEME) + len(trust_domain) :])

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}{self.path}"


def _malformed(text: str, why: str) -> MalformedEvidence:
    return MalformedEvidence(f"{quoted(text, 200)} is no SPIFFE ID: {why}", code="name.unreadable")
