"""Reads files below a directory without ever following a link: the name in the index is the file that is opened.

The directory itself may be a link, and is opened once a look. Below it each step is opened relative to the one before,
so that nobody who can write in one tenant's directory can lead the reader into another's, not even by being fast.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mtlspolicy.tenants._index import INDEX_NAMES
from mtlspolicy.tenants._names import taken_for_another
from mtlspolicy.tenants._reader import Missing, Place, Stamp, Unreadable, View

SETTLING: Final = 2.0
"""Seconds in which two contents of a file may bear the same time (FAT), and for which a missing or empty file is taken
for one that is being replaced."""
_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_FILE: Final = (
    os.O_RDONLY | _NO_FOLLOW
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO in place of a file must not stop the reader
    | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip
_REPARSE_POINT: Final = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0x400)
STEPWISE: Final = bool(_NO_FOLLOW) and {os.open, os.stat} <= os.supports_dir_fd
"""Whether this system opens files relative to an open directory; Windows does not."""


class FolderReader:
    """Reads files below the directory *root*."""

    def __init__(self, root: str | os.PathLike[str], *, stepwise: bool = STEPWISE) -> None:
        self.root = Path(root)
        self._stepwise = stepwise

    @contextmanager
    def look(self) -> Iterator[View]:
        """Open the directory for one look."""
        if not self._stepwise:
            yield PathView(self.root)
            return
        try:
            opened = os.open(self.root, _DIRECTORY)
        except (OSError, ValueError) as error:
            raise _sorted(error) from None
        try:
            yield StepView(opened)
        finally:
            os.close(opened)


class _FolderView(ABC):
    def index(self) -> Place:
        """Return where the one index is."""
        found = [name for name in INDEX_NAMES if self.there(name)]
        if not found:
            raise Missing
        if len(found) > 1:
            raise Unreadable(f"cannot be told apart: {' and '.join(found)} are both there, and one is the index")
        return (found[0],)

    def there(self, name: str) -> bool:
        """Return whether something called *name* is in the directory."""
        try:
            self.status((name,))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _sorted(error) from None
        return True

    def fetch(self, place: Place, known: Stamp, most: int) -> tuple[bytes, Stamp] | None:
        """Read the file at *place* unless it still is the one with the stamp *known*."""
        try:
            if known is not None and _stamp(self.status(place)) == known:
                return None
            return _content(self.open(place), most)
        except (OSError, ValueError) as error:
            raise _sorted(error) from None

    @abstractmethod
    def status(self, place: Place) -> os.stat_result:
        """Return the status of what is at *place*, of a link the link's own."""

    @abstractmethod
    def open(self, place: Place) -> int:
        """Open the file at *place*, following no link, and return its descriptor."""


class StepView(_FolderView):
    """A look at an open directory, step by step (openat with O_NOFOLLOW, POSIX.1-2008)."""

    def __init__(self, root: int) -> None:
        self._root = root

    def status(self, place: Place) -> os.stat_result:
        """Return the status; it only tells whether to open the file, which then follows no link on the way either."""
        return os.stat("/".join(place), dir_fd=self._root, follow_symlinks=False)

    def open(self, place: Place) -> int:
        """Open one step after the other, none of which may be a link."""
        *directories, name = place
        held: list[int] = []
        try:
            for directory in directories:
                held.append(os.open(directory, _DIRECTORY | _NO_FOLLOW, dir_fd=held[-1] if held else self._root))
            return os.open(name, _FILE, dir_fd=held[-1] if held else self._root)
        finally:
            for descriptor in held:
                os.close(descriptor)


class PathView(_FolderView):
    """A look by paths, for Windows: links are looked for before a file is opened and again afterwards.

    Somebody who may make links in the directory, and wins two races against this, is not stopped by it; on Windows that
    takes a privilege that users do not have. What it does not open: links, junctions, and names that Windows takes for
    a device or another name.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def status(self, place: Place) -> os.stat_result:
        """Return the status."""
        return self._root.joinpath(*place).lstat()

    def open(self, place: Place) -> int:
        """Open the file if no step is a link, neither before nor after, and it is the one that was looked at."""
        if any(map(taken_for_another, place)):
            raise Unreadable("has a name that this system takes for another")
        before = self._steps(place)
        descriptor = os.open(self._root.joinpath(*place), _FILE)
        try:
            opened = os.fstat(descriptor)
            after = [*self._steps(place)[:-1], (opened.st_dev, opened.st_ino)]
        except BaseException:
            os.close(descriptor)
            raise
        if after != before:
            os.close(descriptor)
            raise Unreadable("was replaced while it was opened")
        return descriptor

    def _steps(self, place: Place) -> list[tuple[int, int]]:
        steps: list[tuple[int, int]] = []
        for length in range(1, len(place) + 1):
            info = self.status(place[:length])
            if stat.S_ISLNK(info.st_mode) or getattr(info, "st_file_attributes", 0) & _REPARSE_POINT:
                raise Unreadable("is, or lies behind, a link, and links are not followed")
            steps.append((info.st_dev, info.st_ino))
        return steps


def _content(descriptor: int, most: int) -> tuple[bytes, Stamp]:
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise Unreadable("is no regular file")
    with os.fdopen(descriptor, "rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise Unreadable(f"has more than {most} bytes")
    fresh = abs(time.time() - info.st_mtime) < SETTLING  # the next content may bear the same time: look again
    return data, None if fresh else _stamp(info)


def _stamp(info: os.stat_result) -> Stamp:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _sorted(error: OSError | ValueError) -> Missing | Unreadable:
    """Return what *error* means: not there, or not to be had. A link ends in ELOOP, or as a directory in ENOTDIR."""
    if isinstance(error, FileNotFoundError):
        return Missing()
    if isinstance(error, NotADirectoryError) or getattr(error, "errno", None) == errno.ELOOP:
        return Unreadable("is, or lies behind, a link or something that is no directory, and links are not followed")
    return Unreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}")
