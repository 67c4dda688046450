"""Parses the regular part of Python's pattern syntax into a tree and refuses the rest by name. It matches nothing.

Classes are ASCII as under ``re.ASCII``: a digit is 0 to 9 and nothing else.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn, TypeAlias

from mtlspolicy.errors import ConfigurationError

_COUNT: Final = re.compile(r"\{(?:([0-9]{1,4})(?:(,)([0-9]{1,4})?)?|,([0-9]{1,4}))\}", re.ASCII)
_COUNTS: Final[dict[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_NAMED: Final = re.compile(r"\?P<[A-Za-z_][A-Za-z0-9_]*>", re.ASCII)
_HEXADECIMAL: Final = {"x": 2, "u": 4, "U": 8}
_DIGITS: Final = (("0", "9"),)
_WORD: Final = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACE: Final = (("\t", "\r"), (" ", " "))
_LAST: Final = "\U0010ffff"
DEPTH_LIMIT: Final = 30
"""Most groups inside each other."""

Range: TypeAlias = tuple[str, str]


def _outside(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return the ranges of all other characters; *ranges* are sorted and apart."""
    found: list[Range] = []
    start = 0
    for low, high in ranges:
        found.append((chr(start), chr(ord(low) - 1)))
        start = ord(high) + 1
    return (*found, (chr(start), _LAST))


_CLASSES: Final = {
    "d": _DIGITS, "D": _outside(_DIGITS), "w": _WORD, "W": _outside(_WORD), "s": _SPACE, "S": _outside(_SPACE),
}  # fmt: skip


class CharacterClass(NamedTuple):
    """Characters that may stand at one place: those in *ranges*, or all others."""

    ranges: tuple[Range, ...]
    negated: bool = False

    def holds(self, char: str, *, ascii_casefold: bool) -> bool:
        """Return whether *char* may stand there, in either ASCII case if asked."""
        forms = (char, char.swapcase()) if ascii_casefold and char.isascii() else (char,)
        return any(low <= form <= high for form in forms for low, high in self.ranges) is not self.negated


class Sequence(NamedTuple):
    """One after the other."""

    parts: tuple[Node, ...]


class Alternatives(NamedTuple):
    """One of several."""

    parts: tuple[Node, ...]


class Repeat(NamedTuple):
    """One part several times; *most* is ``None`` without an upper bound."""

    part: Node
    least: int
    most: int | None


Node: TypeAlias = CharacterClass | Sequence | Alternatives | Repeat
_ANY: Final = CharacterClass((("\n", "\n"),), negated=True)


def parse(text: str) -> Node:
    """Return the tree of the pattern *text*; a leading ``^`` and a final ``$`` add nothing to a full match.

    Raises:
        ConfigurationError: Names what is not understood, or not allowed, and where.
    """
    return _Parser(text).whole()


class _Parser:
    """Recursive descent; groups inside each other are counted, so the depth is bounded."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def refuse(self, why: str) -> NoReturn:
        raise ConfigurationError(f"the pattern {self.text!r}, at character {self.at}: {why}")

    def peek(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def whole(self) -> Node:
        if self.peek() == "^":
            self.at += 1
        elif self.peek(2) == r"\A":
            self.at += 2
        node = self.alternatives()
        if self.at < len(self.text):
            self.refuse("a ')' that closes nothing; a parenthesis itself is written \\)")
        return node

    def alternatives(self) -> Node:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            parts.append(self.sequence())
        return Alternatives(tuple(parts)) if len(parts) > 1 else parts[0]

    def sequence(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.text) and self.peek() not in ("|", ")"):
            if self.text[self.at :] in ("$", r"\Z"):
                self.at = len(self.text)
                break
            parts.append(self.counted(self.atom()))
        if not parts:
            self.refuse("nothing stands here, so the empty text would match")
        return Sequence(tuple(parts)) if len(parts) > 1 else parts[0]

    def counted(self, part: Node) -> Node:
        bounds = self.count()
        if bounds is None:
            return part
        if self.peek() == "?":
            self.at += 1  # as few as possible: the same texts match as a whole
        elif self.peek() == "+":
            self.refuse("a possessive count is not regular: leave out the '+'")
        if self.peek() and self.peek() in "*+?{":
            self.refuse("a count of a count: put the first into a group '(?:...)'")
        return Repeat(part, *bounds)

    def count(self) -> tuple[int, int | None] | None:
        char = self.peek()
        if char in _COUNTS:
            self.at += 1
            return _COUNTS[char]
        if char != "{":
            return None
        match = _COUNT.match(self.text, self.at)
        if match is None:
            self.refuse("a '{' that begins no count like {2} or {1,8}; a brace itself is written \\{")
        self.at = match.end()
        least = int(match[1] or 0)
        most = int(match[4]) if match[4] else least if not match[2] else int(match[3]) if match[3] else None
        if most is not None and (most < least or most == 0):
            self.at = match.start()
            self.refuse("a count of none, or whose end is before its start")
        return least, most

    def atom(self) -> Node:
        char = self.peek()
        if char == "(":
            return self.group()
        if char == "[":
            return self.character_class()
        if char == "\\":
            return CharacterClass(self.escape())
        if char in "*+?{":
            self.refuse(f"a count with nothing before it; the character itself is written \\{char}")
        if char in "^$":
            self.refuse(
                f"'{char}' inside a pattern: the whole text is matched anyway; the character is written \\{char}"
            )
        if char in "]}":
            self.refuse(f"a '{char}' that closes nothing; the character itself is written \\{char}")
        self.at += 1
        return _ANY if char == "." else CharacterClass(((char, char),))

    def group(self) -> Node:
        self.at += 1
        if self.peek() == "?":
            named = _NAMED.match(self.text, self.at)
            if named is None and self.peek(2) != "?:":
                self.refuse(
                    "only plain groups '(...)' and '(?:...)': no lookaround, no conditions, and no inline flags, which "
                    "would fold letters beyond ASCII; say casefold='ascii'"
                )
            self.at = named.end() if named else self.at + 2
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            self.refuse(f"more than {DEPTH_LIMIT} groups inside each other")
        node = self.alternatives()
        if self.peek() != ")":
            self.refuse("a group that is not closed by ')'")
        self.at += 1
        self.depth -= 1
        return node

    def escape(self) -> tuple[Range, ...]:
        char = self.text[self.at + 1 : self.at + 2]
        if char in _HEXADECIMAL:
            return self.hexadecimal(_HEXADECIMAL[char])
        if char in _CLASSES:
            self.at += 2
            return _CLASSES[char]
        if not char or char.isalnum():
            self.refuse(f"the escape '\\{char}' is not known or not regular (a boundary, a back-reference)")
        self.at += 2
        return ((char, char),)

    def hexadecimal(self, size: int) -> tuple[Range, ...]:
        digits = self.text[self.at + 2 : self.at + 2 + size]
        if not re.fullmatch(r"[0-9A-Fa-f]+", digits, re.ASCII) or len(digits) != size or int(digits, 16) > ord(_LAST):
            self.refuse(f"an escape that needs {size} hex digits of a character")
        self.at += 2 + size
        char = chr(int(digits, 16))
        return ((char, char),)

    def character_class(self) -> CharacterClass:
        self.at += 1
        negated = self.peek() == "^"
        self.at += negated
        ranges: list[Range] = []
        first = True
        while first or self.peek() != "]":
            first = False
            ranges += self.class_item()
        self.at += 1
        return CharacterClass(tuple(dict.fromkeys(ranges)), negated)

    def class_item(self) -> tuple[Range, ...]:
        low = self.class_member()
        if self.peek() != "-" or self.peek(2) == "-]":
            return low
        self.at += 1
        high = self.class_member()
        if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1] or low > high:
            self.refuse("a range of a class that has no start or end, or they are in the wrong order")
        return ((low[0][0], high[0][1]),)

    def class_member(self) -> tuple[Range, ...]:
        char = self.peek()
        if not char:
            self.refuse("a class that is not closed by ']'")
        if char == "\\":
            return self.escape()
        if char == "[":
            self.refuse("a '[' inside a class, which other languages read as a set: write \\[")
        self.at += 1
        return ((char, char),)
