"""Decides whether a data base may lie where the caller says: in a folder and in files that nobody else can write.

What is in the files it does not read.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["Identity", "Unsafe", "identity", "prepared"]

Identity = tuple[int, int]
"""Device and number of a file: what it is, whatever it is called."""

BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite writes next to its file, by name: a link that somebody planted there would lead it elsewhere."""
_OWNED: Final = os.name == "posix"
"""Whether files have an owner and permissions in POSIX's sense; elsewhere the folder's access list decides."""


class Unsafe(Exception):
    """The place is not one for a data base of ours; the message says why, and what mends it."""


def prepared(path: Path) -> Identity:
    """Return which file lies at *path*; create it, empty and for its owner alone, where nothing lies.

    Between this answer and SQLite's opening of the file only the owner of the folder can put another in its place.

    Raises:
        Unsafe: Folder or file is not ours alone, is a link, or is no folder or file.
        OSError: Folder or file cannot be reached or created.
    """
    _folder(path.parent)
    # O_EXCL follows no link. A file that exists is never opened here: closing it would drop SQLite's locks on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    found = _file(path)
    for ending in BESIDE:
        with suppress(FileNotFoundError):
            _file(path.with_name(path.name + ending))
    return found


def reason_of(error: Exception) -> str:
    """Return what *error*, of the file system or of SQLite, says to people."""
    if not isinstance(error, OSError):
        return str(error)
    what: str = str(error.filename or "the file")
    remedy = "make the folder first, for its owner alone" if isinstance(error, FileNotFoundError) else "name another"
    return f"{what} cannot be reached or created: {error.strerror or type(error).__name__}; {remedy}"


def identity(path: Path) -> Identity | None:
    """Return which file lies at *path* now; ``None``: nothing, or it cannot be told."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _folder(folder: Path) -> None:
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise Unsafe(f"{folder} is no folder")
    if _OWNED and found.st_uid not in {0, os.geteuid()}:
        raise Unsafe(f"the folder {folder} belongs to user {found.st_uid}; give one that belongs to {os.geteuid()}")
    if _OWNED and found.st_mode & 0o022:
        raise Unsafe(f"others can write in the folder {folder}; make one of your own, or: chmod go-w {folder}")


def _file(path: Path) -> Identity:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Unsafe(f"{path} is a link, a folder or something else that is no plain file; remove it or name another")
    if found.st_nlink != 1:
        raise Unsafe(f"{path} has {found.st_nlink} names (hard links); a data base has one")
    if _OWNED and found.st_uid != os.geteuid():
        raise Unsafe(f"{path} belongs to user {found.st_uid}, not to {os.geteuid()} who opens it")
    if _OWNED and found.st_mode & 0o077:
        raise Unsafe(f"others can read or write {path}: chmod 600 {path}")
    return found.st_dev, found.st_ino
