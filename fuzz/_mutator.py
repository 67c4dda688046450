"""Changes bytes at random, by a seed. It knows nothing of what they mean but the tokens that it is given."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

LONGEST: Final = 64 * 1024
"""Bytes of an input: what parsers accept at most, with some to spare, is what they must be quick with."""
_USUAL: Final = (b"\x00", b"\xff", b"\x80", b"\r\n", b"\n", b" ", b"\t", b"%", b"\\", b'"', b",", b";", b"=", b":")


class Mutator:
    """Makes inputs out of others.

    Args:
        seed: The same seed gives the same inputs of the same corpus.
        tokens: Pieces that mean something in the format.
    """

    def __init__(self, seed: int, tokens: Sequence[bytes] = ()) -> None:
        self._random = random.Random(seed)  # noqa: S311 - not for keys
        self._tokens = (*tokens, *_USUAL)
        self._steps: tuple[Callable[[bytearray, Sequence[bytes]], None], ...] = (
            *(self._flip, self._write, self._delete, self._repeat, self._insert, self._replace),
            *(self._splice, self._swap, self._count, self._case, self._insert, self._cut),
        )

    def mutated(self, corpus: Sequence[bytes]) -> bytes:
        """Return one of *corpus*, by preference of the first, changed in a few places; now and then in none."""
        data = bytearray(corpus[int(len(corpus) * self._random.random() ** 3)])
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            self._random.choice(self._steps)(data, corpus)
        return bytes(data[:LONGEST])

    def _place(self, data: bytearray) -> int:
        return self._random.randrange(len(data) + 1)

    def _span(self, data: bytearray) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._random.choice((1, 1, 2, 4, 16, 64, 1024)))

    def _flip(self, data: bytearray, _: Sequence[bytes]) -> None:
        if data:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)

    def _write(self, data: bytearray, _: Sequence[bytes]) -> None:
        if data:
            data[self._random.randrange(len(data))] = self._random.randrange(256)

    def _count(self, data: bytearray, _: Sequence[bytes]) -> None:
        """One more or one less: lengths, numbers, tags."""
        if data:
            at = self._random.randrange(len(data))
            data[at] = (data[at] + self._random.choice((-1, 1))) % 256

    def _case(self, data: bytearray, _: Sequence[bytes]) -> None:
        start, end = self._span(data)
        data[start:end] = data[start:end].swapcase()

    def _delete(self, data: bytearray, _: Sequence[bytes]) -> None:
        start, end = self._span(data)
        del data[start:end]

    def _repeat(self, data: bytearray, _: Sequence[bytes]) -> None:
        start, end = self._span(data)
        data[end:end] = data[start:end] * self._random.choice((1, 1, 2, 20))

    def _insert(self, data: bytearray, _: Sequence[bytes]) -> None:
        at = self._place(data)
        data[at:at] = self._random.choice(self._tokens)

    def _replace(self, data: bytearray, _: Sequence[bytes]) -> None:
        """One token by another, wherever it first stands after a random place."""
        at = data.find(token := self._random.choice(self._tokens), self._place(data))
        if at >= 0:
            data[at : at + len(token)] = self._random.choice(self._tokens)

    def _splice(self, data: bytearray, corpus: Sequence[bytes]) -> None:
        other = self._random.choice(corpus)
        start, end = sorted((self._random.randrange(len(other) + 1), self._random.randrange(len(other) + 1)))
        first, last = self._span(data)
        data[first : self._random.choice((first, last, len(data)))] = other[start:end]

    def _swap(self, data: bytearray, _: Sequence[bytes]) -> None:
        (first, end), (second, last) = sorted((self._span(data), self._span(data)))
        if end <= second:
            data[first:last] = data[second:last] + data[end:second] + data[first:end]

    def _cut(self, data: bytearray, _: Sequence[bytes]) -> None:
        del data[self._place(data) :]
