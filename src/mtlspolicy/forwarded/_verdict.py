"""What a proxy states beside a certificate: whether there is one, whether it verified, what its digest is.

Words that the dialect does not know are malformed. What our own validation says of the certificate is decided
elsewhere.
"""

from __future__ import annotations

import base64
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._text import quoted
from mtlspolicy.errors import MalformedEvidence, VerificationError
from mtlspolicy.forwarded._encodings import malformed
from mtlspolicy.forwarded._headers import header_name

__all__ = ["Companion", "Digest", "Standing", "companion_error", "joint_standing", "not_verified"]

_HEX: Final = re.compile("[0-9A-Fa-f]{64}")
_LONGEST: Final = 200
"""Characters of the proxy's reason that an error repeats; OpenSSL's are shorter."""


class Standing(enum.Enum):
    """What the proxy says of the client's certificate."""

    PRESENTED = "there is one, and nothing against it"
    ABSENT = "there is none"
    FAILED = "there is one that did not verify"
    OPEN = "nothing against it, if there is one"
    """HAProxy's verdict on a client without certificate is ``0`` as well."""


@dataclass(frozen=True, slots=True)
class Companion:
    """A header in which the proxy states one thing about the certificate, and the words it has for it.

    Attributes:
        header: Its name.
        presented: Words for `Standing.PRESENTED`, exactly.
        absent: Words for `Standing.ABSENT`; the empty value is always one.
        open: Words for `Standing.OPEN`.
        failed: Regular expression for `Standing.FAILED`, held against the whole value.
    """

    header: str
    presented: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()
    failed: str = "(?!)"

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a name that no header has."""
        object.__setattr__(self, "header", header_name(self.header))

    def standing(self, values: Mapping[str, str]) -> Standing:
        """Return what this header says.

        Raises:
            MalformedEvidence: It is missing where other headers of the proxy are there (``forwarded.companion``): a hop
                between may have removed it, because a client named it in ``Connection``; or it has no word that is
                known.
        """
        word = values.get(self.header)
        if word is None:
            raise companion_error(
                f"the header {self.header!r}, with which the proxy says what it makes of the certificate, is missing: "
                "have the proxy set it wherever it sets the certificate, and let no hop in between remove it"
            )
        if word in self.presented:
            return Standing.PRESENTED
        if not word or word in self.absent:
            return Standing.ABSENT
        if word in self.open:
            return Standing.OPEN
        if re.fullmatch(self.failed, word):
            return Standing.FAILED
        raise malformed(f"the header {self.header!r} says {quoted(word, _LONGEST)}, a word that it does not have")


@dataclass(frozen=True, slots=True)
class Digest:
    """A header with the SHA-256 of the certificate's DER.

    Attributes:
        header: Its name.
        form: ``"hex"`` in either case, or ``"base64"`` with or without padding.
    """

    header: str
    form: Literal["hex", "base64"] = "hex"

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a name that no header has."""
        object.__setattr__(self, "header", header_name(self.header))

    def require(self, text: str, der: bytes) -> None:
        """Return if *text* is the digest of *der*.

        Raises:
            MalformedEvidence: It is another one, or none: the two headers were not written for the same client.
        """
        digest = sha256(der).digest()
        if self.form == "hex":
            same = _HEX.fullmatch(text) is not None and text.lower() == digest.hex()
        else:
            same = text.rstrip("=") == base64.b64encode(digest).decode("ascii").rstrip("=")
        if not same:
            raise malformed(f"the header {self.header!r} is not the SHA-256 of the certificate that came with it")


def companion_error(detail: str) -> MalformedEvidence:
    """Return the error for a certificate and a verdict of which one is there without the other."""
    return MalformedEvidence(detail, code="forwarded.companion")


def not_verified(companions: tuple[Companion, ...], values: Mapping[str, str]) -> VerificationError:
    """Return the error for a certificate that the proxy says did not verify, with its words, which may be hostile."""
    said = ", ".join(f"{one.header}: {quoted(values[one.header], _LONGEST)}" for one in companions)
    detail = f"the proxy says that the client's certificate did not verify ({said})"
    return VerificationError(Decision(Verdict.DENY, "forwarded.not-verified", detail, clause="forwarded"))


def joint_standing(companions: tuple[Companion, ...], values: Mapping[str, str]) -> Standing:
    """Return what all *companions* together say; without any it is `Standing.OPEN`.

    A proxy that has no certificate also says that none verified: absence outweighs failure, and contradicts presence.

    Raises:
        MalformedEvidence: One is missing, has an unknown word, or contradicts another (``forwarded.companion``).
    """
    said = {one.standing(values) for one in companions}
    if Standing.ABSENT in said:
        if Standing.PRESENTED in said:
            raise companion_error("the proxy says of one certificate that it is there and that it is not")
        return Standing.ABSENT
    for standing in (Standing.FAILED, Standing.PRESENTED):
        if standing in said:
            return standing
    return Standing.OPEN
