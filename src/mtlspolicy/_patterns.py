"""Patterns for names, without the traps of `re`: ASCII classes, full match, no flags, and time linear in the text.

The language is the regular part of Python's: literals, classes, groups, ``|`` and counts. It is run on a position
automaton (Glushkov), so no pattern backtracks. Lookaround, back-references and inline flags are refused. What a pattern
means for trust is not decided here.
"""

from __future__ import annotations

from typing import Final, cast

from mtlspolicy._pattern_syntax import Alternatives, CharacterClass, Node, Repeat, Sequence, parse
from mtlspolicy.errors import ConfigurationError

SUBJECT_LIMIT: Final = 256
"""Longest text, in characters, that a pattern is run on."""
PATTERN_LIMIT: Final = 1000
"""Longest pattern, in characters."""
POSITION_LIMIT: Final = 512
"""Most places for a character that a pattern may have, counts written out: bounds memory and time."""
_PROBES: Final = (
    "mallory", "MALLORYSERVER", "4815162342", "-._~-._~-._~", "x0Y1z2W3v4U5", "mallory.evil.test", "mallory@evil.test",
    "spiffe://evil.test/mallory", "xn--mllory-4uf.evil.test", "*.evil.test", "!?(){}[]<>|&%$",
)  # fmt: skip
"""Names of every kind: a pattern that all of them match tells nobody apart."""


class SafePattern:
    """A pattern that must match the whole text. Equal when text and folding are.

    Args:
        text: The pattern.
        ascii_casefold: Whether ASCII letters match in either case; no other letter is ever folded.

    Raises:
        ConfigurationError: It cannot be parsed, uses what is not regular, matches the empty text or everything, or is
            too large.
    """

    __slots__ = ("_first", "_follow", "_last", "_masks", "_table", "ascii_casefold", "text")

    def __init__(self, text: str, *, ascii_casefold: bool = False) -> None:
        if not isinstance(cast("object", text), str):
            raise ConfigurationError(
                f"a pattern is text, not {type(text).__name__}: pass the pattern, not a compiled one"
            )
        if len(text) > PATTERN_LIMIT:
            raise ConfigurationError(
                f"the pattern has {len(text)} characters; at most {PATTERN_LIMIT}: use a list of values"
            )
        self.text: str = text
        self.ascii_casefold: bool = ascii_casefold
        builder = _Builder(text)
        empty, self._first, self._last = builder.add(parse(text))
        self._follow = tuple(builder.follow)
        self._masks = tuple(builder.masks.items())
        self._table = tuple(self._mask(chr(code)) for code in range(128))
        if empty:
            raise ConfigurationError(f"the pattern {text!r} matches the empty text: ask for one character at least")
        if all(map(self.matches, _PROBES)):
            raise ConfigurationError(
                f"the pattern {text!r} matches every name: say which are meant, or policies.Anyone() if all are"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SafePattern):
            return NotImplemented
        return self.text == other.text and self.ascii_casefold == other.ascii_casefold

    def __hash__(self) -> int:
        return hash((self.text, self.ascii_casefold))

    def __repr__(self) -> str:
        return f"SafePattern({self.text!r}, ascii_casefold={self.ascii_casefold})"

    def matches(self, text: str) -> bool:
        """Return whether the whole of *text* matches; its length is for the caller to bound (`SUBJECT_LIMIT`)."""
        state, hits, follow, table = self._first, 0, self._follow, self._table
        for char in text:
            hits = state & (table[ord(char)] if ord(char) < 128 else self._mask(char))
            state, rest = 0, hits
            while rest:
                lowest = rest & -rest
                state |= follow[lowest.bit_length() - 1]
                rest ^= lowest
            if not hits:
                return False
        return bool(hits & self._last)

    def _mask(self, char: str) -> int:
        """Return the positions, as bits, that *char* may stand at."""
        mask = 0
        for accepted, positions in self._masks:
            if accepted.holds(char, ascii_casefold=self.ascii_casefold):
                mask |= positions
        return mask


class _Builder:
    """Numbers the characters of a pattern and finds which may follow which; a set of positions is an integer's bits."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.follow: list[int] = []
        self.masks: dict[CharacterClass, int] = {}

    def add(self, node: Node) -> tuple[bool, int, int]:
        """Return whether *node* matches the empty text, and the positions that it may begin and end with."""
        if isinstance(node, CharacterClass):
            return self._position(node)
        if isinstance(node, Alternatives):
            parts = [self.add(part) for part in node.parts]
            first = last = 0
            for _, begins, ends in parts:
                first, last = first | begins, last | ends
            return any(empty for empty, _, _ in parts), first, last
        if isinstance(node, Repeat):
            return self._repeated(node)
        return self._joined(node)

    def _position(self, accepted: CharacterClass) -> tuple[bool, int, int]:
        if len(self.follow) == POSITION_LIMIT:
            raise ConfigurationError(
                f"the pattern {self.text!r} has more than {POSITION_LIMIT} characters with its counts written out: "
                "make it smaller"
            )
        bit = 1 << len(self.follow)
        self.follow.append(0)
        self.masks[accepted] = self.masks.get(accepted, 0) | bit
        return False, bit, bit

    def _link(self, ends: int, begins: int) -> None:
        while ends:
            lowest = ends & -ends
            self.follow[lowest.bit_length() - 1] |= begins
            ends ^= lowest

    def _joined(self, node: Sequence) -> tuple[bool, int, int]:
        empty, first, last = True, 0, 0
        for part in node.parts:
            part_empty, begins, ends = self.add(part)
            self._link(last, begins)
            first |= begins if empty else 0
            last = ends | (last if part_empty else 0)
            empty = empty and part_empty
        return empty, first, last

    def _repeated(self, node: Repeat) -> tuple[bool, int, int]:
        """Write the count out: *least* copies, then optional ones; without an upper bound the last copy repeats."""
        copies = max(node.least, 1) if node.most is None else node.most
        empty, first, last = True, 0, 0
        for number in range(1, copies + 1):
            part_empty, begins, ends = self.add(node.part)
            if node.most is None and number == copies:
                self._link(ends, begins)
            self._link(last, begins)
            optional = part_empty or number > node.least
            first |= begins if empty else 0
            last = ends | (last if optional else 0)
            empty = empty and optional
        return empty, first, last
