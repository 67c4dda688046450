"""What files are read through, in one look at a time, and the reader that asks a caller's function for each of them.

What is read is bounded; what it means, and for how long an older content counts, is decided elsewhere.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

from mtlspolicy._verifier_rules import text_of

Place: TypeAlias = tuple[str, ...]
"""A file below the root, from the top: ``("tenants", "test", "test.pem")``."""
Stamp: TypeAlias = object
"""Equal as long as a file is the same one with the same content; ``None`` equals nothing."""
Read: TypeAlias = Callable[[str], bytes]
"""``read("tenants/test/test.pem")`` returns the content, or raises `FileNotFoundError` or `KeyError` if it is gone."""

MOST_FILE = 1024 * 1024
"""Bytes of a file of certificates: some five hundred of them."""


class Missing(Exception):
    """The file is not there."""


class Unreadable(Exception):
    """The file is there, or may be, and cannot be read: the text says why."""


class View(Protocol):
    """One look at all files."""

    @abstractmethod
    def index(self) -> Place:
        """Return where the index is; raise `Missing`, or `Unreadable` where there are several."""

    @abstractmethod
    def fetch(self, place: Place, known: Stamp, most: int) -> tuple[bytes, Stamp] | None:
        """Return content and stamp of the file at *place*, or ``None`` where it still is the one with stamp *known*.

        Args:
            place: Which file.
            known: Its stamp when it was last fetched; ``None`` fetches in any case.
            most: Bytes.

        Raises:
            Missing: It is not there.
            Unreadable: Anything else, a longer file included.
        """


class Reader(Protocol):
    """Where files come from."""

    @abstractmethod
    def look(self) -> AbstractContextManager[View]:
        """Open a look; raise `Missing` or `Unreadable` where there is nothing to look at."""


class FunctionReader:
    """Asks *read* for each file, by its name with slashes. The index is called *index*, or is there already."""

    def __init__(self, read: Read, index: str) -> None:
        self._read = read
        self._index = index

    def look(self) -> AbstractContextManager[View]:
        """Open a look; a function has nothing to open."""
        return nullcontext(self)

    def index(self) -> Place:
        """Return the name of the index."""
        return (self._index,)

    def fetch(self, place: Place, known: Stamp, most: int) -> tuple[bytes, Stamp] | None:
        """Ask for the file; it counts as the same one if its content has the same SHA-256."""
        try:
            data = self._read("/".join(place))
        except (FileNotFoundError, KeyError):
            raise Missing from None
        except Exception as error:  # noqa: BLE001 - whatever it raises, the file cannot be had
            raise Unreadable(f"cannot be read: {text_of(error)}") from None
        if not isinstance(data, bytes | bytearray | memoryview):
            raise Unreadable(f"cannot be read: read() returned {type(data).__name__}, not bytes")
        if len(data) > most:
            raise Unreadable(f"has {len(data)} bytes; at most {most}")
        stamp = hashlib.sha256(data).digest()
        return None if stamp == known else (bytes(data), stamp)
