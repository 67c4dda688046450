"""One file, and for how long what it held counts after it can no longer be had. It reads nothing by itself.

A file that is gone or empty is gone, after the time that a writer needs who truncates first. Content that cannot be
read leaves the last one in force, for as long as the caller says.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tenants._folder import SETTLING
from mtlspolicy.tenants._names import COMMON
from mtlspolicy.tenants._reader import MOST_FILE, Missing, Place, Stamp, Unreadable, View

T = TypeVar("T")


class Trouble(NamedTuple):
    """What is wrong with a file whose last content is in force still, or no more.

    Attributes:
        name: The file, quoted.
        what: A few words: ``is missing``, ``cannot be read: ...``.
        gone: Whether it is missing or empty, not just unreadable.
        common: Whether it concerns those alone who trust the common anchors.
        since: Monotonic time in seconds since which nothing could be read.
        until: Monotonic time from which the last content no longer counts; minus infinity where there never was one.
    """

    name: str
    what: str
    gone: bool
    common: bool
    since: float
    until: float

    def __str__(self) -> str:
        return f"{self.name} {self.what}"


class Held(Generic[T]):
    """A file at *place* with the value that *parse* made of its content.

    Args:
        place: Where it is.
        parse: Takes content and name; raises `ConfigurationError` for what is none.
        max_stale: Seconds for which a value counts while the content cannot be read.
        most: Bytes.
    """

    __slots__ = ("_bad", "_digest", "_gone", "_max_stale", "_most", "_parse", "_stamp", "place", "trouble", "value")

    def __init__(
        self, place: Place, parse: Callable[[bytes, str], T], *, max_stale: float, most: int = MOST_FILE
    ) -> None:
        self.place = place
        self.value: T | None = None
        self.trouble: Trouble | None = None
        self._parse = parse
        self._max_stale = max_stale
        self._most = most
        self._stamp: Stamp = None
        self._digest = b""
        self._gone = self._bad = math.inf

    @property
    def name(self) -> str:
        """The file's name below the root, with slashes."""
        return "/".join(self.place)

    def refresh(self, view: View, clock: float) -> bool:
        """Read the file if it is another one than before; return whether value or trouble may be other ones now."""
        before = self.trouble
        try:
            found = view.fetch(self.place, self._stamp, self._most)
            if found is None:
                return False  # a stamp is kept only of what was read well
            data, stamp = found
            if not data.strip():
                self.fail("is empty", clock, gone=True)
                return True
            digest = hashlib.sha256(data).digest()
            if self.value is None or digest != self._digest:
                self.value = self._parse(data, self.name)
            elif before is None:
                self._stamp = stamp
                return False
        except Missing:
            self.fail("is missing", clock, gone=True)
        except Unreadable as error:
            self.fail(str(error), clock, gone=False)
        except ConfigurationError as error:
            self.fail(f"holds something else: {error}", clock, gone=False)
        else:
            self.trouble = None
            self._gone = self._bad = math.inf
            self._digest = digest
            self._stamp = stamp  # last, so that who forks in between reads the file again
        return True

    def again(self) -> None:
        """Read the file at the next `refresh`, whatever its stamp."""
        self._stamp = None

    def move(self, place: Place) -> None:
        """Take the content from *place* from now on, as if it were another one."""
        self.place = place
        self._stamp, self._digest = None, b""

    def fail(self, what: str, clock: float, *, gone: bool) -> None:
        """Note at *clock* that the file is not to be had."""
        self._stamp = None
        self._bad = min(self._bad, clock)
        self._gone = min(self._gone, clock) if gone else math.inf
        until = min(self._bad + self._max_stale, self._gone + SETTLING)
        until = -math.inf if self.value is None else until
        self.trouble = Trouble(quoted(self.name), what, gone, self.place[:1] == (COMMON,), self._bad, until)

    def current(self, clock: float) -> T | None:
        """Return the value that counts at *clock*; ``None`` where none does."""
        return None if self.trouble is not None and clock >= self.trouble.until else self.value
