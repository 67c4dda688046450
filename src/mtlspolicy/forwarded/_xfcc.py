"""The grammar of Envoy's ``x-forwarded-client-cert``: elements of key and value, with quoted strings. It believes none.

It is read in one pass by quoted strings, never split at delimiters first. What two readers could take for two things
(an empty element, a quote within a bare value, a second ``Hash``) is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from mtlspolicy._text import quoted
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.forwarded._encodings import malformed

__all__ = ["Element", "Pair", "read_elements"]

_KEY: Final = re.compile('([A-Za-z][A-Za-z0-9_-]*+)=(?:"|([^",;]*+))')
"""A key, and its value if that stands without quotes. There may be an equals sign in it: Envoy does not quote URIs."""
_QUOTED: Final = re.compile(r'(?:[^"\\]++|\\.)*+"')
"""What follows an opening quote. A backslash and the character after it belong together, as in RFC 4514."""
_SINGLE: Final = frozenset({"hash", "cert", "chain", "subject"})
"""Keys that an element has once. A second one is what somebody else has put into an unquoted name."""
_PAIRS: Final = 512
"""Most pairs of a header: 128 DNS names and 128 URIs, which is what one certificate may have, and as many again."""


class Pair(NamedTuple):
    """One ``Key=value``.

    Attributes:
        key: Lower case.
        value: As written, without the quotes around it; escapes stay.
        bare: Whether it stands there without quotes.
    """

    key: str
    value: str
    bare: bool


class Element(NamedTuple):
    """What one proxy says of the certificate at its other end; unknown keys are kept.

    Attributes:
        pairs: In the order in which they stand there.
        single: Values by key, of the keys that occur once: ``hash``, ``cert``, ``chain``, ``subject``.
    """

    pairs: tuple[Pair, ...]
    single: Mapping[str, str]

    def one(self, key: str) -> str | None:
        """Return the value of *key*, one of those that occur once; ``None``: it is not there."""
        return self.single.get(key)

    def every(self, key: str) -> tuple[str, ...]:
        """Return the values of *key* that are not empty, escaped quotes without their backslash."""
        found = (pair.value.replace('\\"', '"') for pair in self.pairs if pair.key == key)
        return tuple(value for value in found if value)


def read_elements(text: str) -> tuple[Element, ...]:
    """Return the elements of a header's value, that of the proxy nearest to the client first.

    Args:
        text: ASCII without control characters but the tab.

    Raises:
        MalformedEvidence: It is not of this grammar, has an empty element or pair, or a key that occurs once twice.
    """
    elements: list[Element] = []
    pairs: list[Pair] = []
    at = 0
    for _ in range(_PAIRS):
        pair, at = _pair(text, at)
        pairs.append(pair)
        delimiter = text[at : at + 1]
        at += 1
        if delimiter == ";":
            continue
        elements.append(_element(pairs))
        if not delimiter:
            return tuple(elements)
        pairs = []
        while text.startswith((" ", "\t"), at):  # a proxy that joins lines writes a space
            at += 1
    raise MalformedEvidence(f"more than {_PAIRS} keys in one header", code="forwarded.too-large")


def _pair(text: str, at: int) -> tuple[Pair, int]:
    """Return the pair that begins at *at*, and where it ends: at a comma, a semicolon, or the end of *text*."""
    found = _KEY.match(text, at)
    if found is None:
        raise malformed(_objection(text, at))
    key, value = found.groups()
    end = found.end()
    bare = value is not None
    if value is None:
        start = end
        end = text.find('"', start)
        if end < 0 or text.find("\\", start, end) >= 0:  # seldom; certificates are long and have no backslash
            rest = _QUOTED.match(text, start)
            if rest is None:
                raise malformed(f"the quote at character {start - 1} does not end")
            end = rest.end() - 1
        value = text[start:end]
        end += 1
    if end < len(text) and text[end] not in ",;":
        raise malformed(_objection(text, end))
    return Pair(key.lower(), value, bare), end


def _element(pairs: list[Pair]) -> Element:
    single: dict[str, str] = {}
    for key, value, _ in pairs:
        if key in _SINGLE:
            if key in single:
                raise malformed(
                    f"the key {key.capitalize()!r} twice in one element: a name that Envoy does not quote may have put "
                    "the second one there"
                )
            single[key] = value
    return Element(tuple(pairs), single)


def _objection(text: str, at: int) -> str:
    rest = text[at:]
    if not rest or rest[0] in ",;":
        return "an empty element or pair, or a comma or semicolon at the end"
    return f'neither Key=value nor Key="quoted value" at character {at}: {quoted(rest, 40)}'
