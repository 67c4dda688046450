"""Takes the header fields that a source reads out of a request, or says what is wrong with them. It decodes nothing.

A field counts under its exact name alone. Whatever a server, a proxy or a gateway might take for the same field makes
the request malformed, because nobody can say any more who wrote it: an alias, a second copy, a name in ``Connection``.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._advice import advised
from mtlspolicy.forwarded._encodings import malformed

__all__ = [
    "SEPARATORS",
    "HeaderPairs",
    "JoinedHeaders",
    "canonical",
    "collect",
    "header_name",
    "is_ours",
    "names_one_of",
]

HeaderPairs: TypeAlias = "Iterable[tuple[str | bytes, str | bytes]]"
"""Header fields as a server received them, in order, each with its copies: text or Latin-1 bytes."""
_Say: TypeAlias = "Callable[[str], str]"

_PLAIN: Final = bytes(
    ord(chr(code).lower()) if chr(code) in string.ascii_letters + string.digits else ord("-") for code in range(256)
)
"""Letters in lower case, digits, and a hyphen for every other byte: the widest mapping that gateways are known for."""
_NAMING: Final = {"connection": "forwarded.connection", "trailer": "forwarded.trailer"}
"""Headers whose value is a list of names of headers."""
SEPARATORS: Final = str.maketrans("; \t", ",,,")
"""What ends a name in such a list besides the comma, for readers that are lenient (Apache httpd is one)."""
_NOT_OURS: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "host"),
    }
)
"""Hop by hop (RFC 9110, 7.6.1), or what a server frames and routes a message by."""
_LONGEST: Final = 64
"""Longest name whose canonical form is remembered."""


class JoinedHeaders:
    """Header fields of a gateway that hides how they came: WSGI, where ``-`` and ``_`` and several copies are one.

    Args:
        fields: Names, lower case with hyphens, to values. Copies are joined by commas, as RFC 9110 (5.3) allows.
        http_version: Of the request, such as ``"HTTP/1.1"``; ``None``: not known.
    """

    __slots__ = ("fields", "http_version")

    def __init__(self, fields: Mapping[str, str], *, http_version: str | None = None) -> None:
        self.fields: Mapping[str, str] = fields
        self.http_version: str | None = http_version

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields.items())


def canonical(name: str | bytes) -> str:
    """Return *name* as a careless reader may take it: lower case, a hyphen for what is no letter or digit, ends bare.

    CGI and WSGI write ``_`` for ``-``, some languages ``_`` for a dot or a space, and a space before the colon is
    dropped by some servers and not by others.
    """
    if isinstance(name, str):
        name = name.encode("latin-1", "replace")
    return name.translate(_PLAIN).strip(b"-").decode("ascii")


_remembered: Final = lru_cache(maxsize=512)(canonical)
"""Requests carry the same dozen names; a stranger who sends others fills this with short texts and nothing else."""


def header_name(name: str, what: str = "header") -> str:
    """Return the *name* of a header that a source is to read, in lower case.

    Raises:
        ConfigurationError: It has other characters than letters, digits and hyphens, or belongs to HTTP itself. *what*
            names the argument.
    """
    lower = name.lower() if isinstance(name, str) and name.isascii() else ""
    if not lower or canonical(lower) != lower or lower in _NOT_OURS:
        raise ConfigurationError(
            f"{what}={name!r}: the name of a header is made of letters, digits and hyphens, so that it has one "
            "spelling alone, and is none that belongs to HTTP itself"
        )
    return lower


def is_ours(name: str | bytes, names: frozenset[str]) -> bool:
    """Return whether *name* is one of *names* in any spelling; what is removed before an application sees it."""
    return canonical(name) in names


def names_one_of(headers: HeaderPairs | JoinedHeaders, names: frozenset[str]) -> bool:
    """Return whether one of *headers* is one of *names* in any spelling; their values are not looked at."""
    return any(True for _ in _fields(headers, names))


def _none(_: str) -> str:
    return ""


def collect(
    headers: HeaderPairs | JoinedHeaders, names: frozenset[str], lists: frozenset[str], most: int, advise: _Say = _none
) -> dict[str, str]:
    """Return the values of those *names* that are there, without white space around them.

    Args:
        headers: All header fields of the request.
        names: Lower-case names with hyphens, as `header_name` returns them.
        lists: Those that may stand on several lines (RFC 9110, 5.3); they are joined by ``", "``.
        most: Characters of all their values together, ``Connection`` included, held before anything is decoded.
        advise: Gives for a header's name what to set in the proxy, for a message; empty: nothing is known.

    Raises:
        MalformedEvidence: ``forwarded.alias``, ``forwarded.duplicate``, ``forwarded.connection``,
            ``forwarded.trailer``, ``forwarded.malformed`` (control or non-ASCII characters), ``forwarded.too-large``.
        ConfigurationError: *headers* are not pairs of names and values.
    """
    found: dict[str, str | list[str]] = {}
    size = 0
    for plain, name, raw in _fields(headers, names.union(_NAMING)):
        value = _text(raw)
        size += len(value) + 2
        if size > most + 2:
            raise MalformedEvidence(f"headers of more than {most} characters", code="forwarded.too-large")
        if plain not in names:
            _require_unnamed(plain, value, names)
            continue
        _require_exact(plain, _text(name))
        value = _clean(plain, value, advise)
        before = found.get(plain)
        if before is None:
            found[plain] = [value] if plain in lists else value
        elif isinstance(before, list):
            before.append(value)
        else:
            raise MalformedEvidence(f"the header {plain!r} is there twice", code="forwarded.duplicate")
    return {name: value if isinstance(value, str) else ", ".join(value) for name, value in found.items()}


def _require_exact(plain: str, name: str) -> None:
    if name.lower() != plain:
        raise MalformedEvidence(
            f"the header {quoted(name, 80)} may be taken for {plain!r}: have the proxy drop it", code="forwarded.alias"
        )


def _clean(name: str, value: str, advise: _Say) -> str:
    text = value.replace("\t", " ") if "\t" in value else value
    if not (text.isascii() and text.isprintable()):
        problem = f"the header {name!r} has a line end, another control character or one outside ASCII"
        raise advised(malformed(problem), advise(name))
    return value.strip(" \t")


def _require_unnamed(which: str, options: str, names: frozenset[str]) -> None:
    """Return if *which*, ``Connection`` or ``Trailer``, names no header of ours.

    The next hop must remove what ``Connection`` names (RFC 9110, 7.6.1), and a trailer stands where no proxy looks.
    """
    for option in options.translate(SEPARATORS).split(","):
        if canonical(option) in names:
            raise MalformedEvidence(
                f"the header {which!r} names {quoted(option, 80)}, which the proxy alone may write: have the "
                f"proxy drop {which!r} or set it itself",
                code=_NAMING[which],
            )


def _fields(
    headers: HeaderPairs | JoinedHeaders, names: frozenset[str]
) -> Iterator[tuple[str, str | bytes, str | bytes]]:
    """Yield the canonical name, the name and the value of each field whose canonical name is one of *names*."""
    given: object = headers
    if type(given) is not list and (isinstance(given, Mapping) or hasattr(given, "environ")):
        raise ConfigurationError(
            "headers: a mapping hides copies and spellings. Give all fields as pairs, such as scope['headers'] (ASGI); "
            "under WSGI give forwarded.environ_headers(environ, ...)"
        )
    for pair in headers:
        try:
            name, value = pair
            plain = _remembered(name) if len(name) <= _LONGEST else canonical(name)
        except (TypeError, ValueError, AttributeError):
            raise ConfigurationError("headers: give all fields as pairs of name and value, text or bytes") from None
        if plain in names:
            yield plain, name, value


def _text(value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        raise ConfigurationError("headers: names and values are text, or bytes in Latin-1")
    return value.decode("latin-1")
